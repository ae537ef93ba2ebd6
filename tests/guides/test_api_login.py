"""How a guide gets in, and out."""

from __future__ import annotations

import datetime as dt
import io
import threading

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from guides import login
from guides.models import Employment, LoginCode
from scrm.models import Act, DeviceToken
from tests.factories import defaults
from tests.factories import shops as factory

DEVICE = "phone-0001"


def code_of(guide_code: str) -> str:
    out = io.StringIO()
    call_command("guide_login_code", guide_code, stdout=out, stderr=io.StringIO())
    return out.getvalue().strip()


@pytest.mark.django_db
def test_a_code_lets_her_in_once(api, shops):
    code = code_of("G00001")
    answer = api().post("login", {"code": code, "device": DEVICE})
    assert answer.status_code == 200
    body = answer.json()
    assert body["guide"]["code"] == "G00001"
    assert dt.datetime.fromisoformat(body["expires_at"]) > timezone.now() + dt.timedelta(days=29)
    assert api().client.get("/api/guide/me", headers={"Authorization": f"Bearer {body['token']}"}).status_code == 200
    again = api().post("login", {"code": code, "device": DEVICE})
    assert (again.status_code, again.json()["code"]) == (401, "login_code_refused")


@pytest.mark.django_db
def test_only_hashes_are_kept(api, shops):
    code = code_of("G00001")
    assert code.split("-")[1] not in str(LoginCode.objects.values())
    token = api().post("login", {"code": code, "device": DEVICE}).json()["token"]
    kept = DeviceToken.objects.get(device=DEVICE)
    assert token not in (kept.digest, kept.token_key)
    verbs = list(Act.objects.filter(target_id=str(shops.guides["A"].pk)).order_by("pk").values_list("verb", flat=True))
    assert verbs == ["guide.login_code", "guide.login"]


@pytest.mark.django_db
def test_a_code_may_be_typed_sloppily_and_a_new_one_ends_the_old_one(api, shops):
    old, new = code_of("G00001"), code_of("G00001")
    assert api().post("login", {"code": old, "device": DEVICE}).status_code == 401
    assert api().post("login", {"code": f" {new.lower()} ", "device": DEVICE}).status_code == 200


@pytest.mark.django_db
def test_a_code_ends_after_five_minutes(api, shops):
    code = code_of("G00001")
    with time_machine.travel(timezone.now() + dt.timedelta(minutes=5, seconds=1), tick=False):
        answer = api().post("login", {"code": code, "device": DEVICE})
    assert (answer.status_code, answer.json()["code"]) == (401, "login_code_refused")


@pytest.mark.django_db
def test_the_same_device_again_replaces_its_token_and_no_other(api, shops):
    tokens = [
        api().post("login", {"code": code_of("G00001"), "device": device}).json()["token"]
        for device in (DEVICE, "phone-0002", DEVICE)
    ]

    def status(token):
        return api().client.get("/api/guide/me", headers={"Authorization": f"Bearer {token}"}).status_code

    assert [status(token) for token in tokens] == [401, 200, 200]


@pytest.mark.django_db
def test_log_out_ends_this_device_only(api, shops):
    first, second = api("A"), None
    token = factory.token_of(shops.guides["A"].user, "phone-0002")
    assert first.post("logout").status_code == 204
    assert first.get("me").status_code == 401
    second = api().client.get("/api/guide/me", headers={"Authorization": f"Bearer {token}"})
    assert second.status_code == 200


@pytest.mark.django_db
def test_who_is_not_employed_gets_neither_code_nor_token(api, shops):
    code = code_of("G00001")
    factory.leave(shops.guides["A"], timezone.now())
    answer = api().post("login", {"code": code, "device": DEVICE})
    assert (answer.status_code, answer.json()["code"]) == (409, "guide_not_employed")
    with pytest.raises(CommandError):
        code_of("G00001")
    with pytest.raises(CommandError):
        code_of("NOBODY")
    Employment.objects.filter(guide=shops.guides["A"]).update(ended_at=None)
    shops.guides["A"].user.is_active = False
    shops.guides["A"].user.save()
    with pytest.raises(CommandError):
        code_of("G00001")


@pytest.mark.django_db
def test_a_store_manager_logs_in_as_herself(api, shops):
    body = api().post("login", {"code": code_of("G00004"), "device": DEVICE}).json()
    assert (body["guide"]["role"], body["guide"]["managed_store_count"]) == ("STORE_MANAGER", 1)


@pytest.mark.django_db
def test_off_in_production(api, shops, settings):
    code = code_of("G00001")
    settings.PRODUCTION, settings.SECURE_SSL_REDIRECT = True, False
    answer = api().post("login", {"code": code, "device": DEVICE})
    assert (answer.status_code, answer.json()["code"]) == (403, "off_in_production")
    assert answer.json()["message"]
    with pytest.raises(CommandError):
        code_of("G00001")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"code": "x"},
        {"code": "x", "device": "short"},
        {"code": "", "device": DEVICE},
        {"code": "x\x00", "device": DEVICE},
    ],
)
def test_a_login_that_cannot_be_read(api, body):
    answer = api().post("login", body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid" and answer.json()["extra"]["fields"]


@pytest.mark.django_db
def test_guessing_is_slowed_down_without_locking_the_guide_out(api, shops, settings):
    """§8 row 20: five a minute per account and address; another address is not affected, nor is a forged header."""
    code = code_of("G00001")
    guess = {"code": "G00001-AAAAA-AAAAA", "device": DEVICE}

    def ask(body, address, **headers):
        return api().client.post(
            "/api/guide/login", body, content_type="application/json", REMOTE_ADDR=address, headers=headers
        )

    statuses = [ask(guess, "203.0.113.9", **{"X-Forwarded-For": f"198.51.100.{n}"}).status_code for n in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    refused = ask(guess, "203.0.113.9")
    assert refused.json()["code"] == "throttled"
    assert 0 < int(refused["Retry-After"]) <= 60 and refused.json()["extra"]["retry_after_seconds"] > 0
    other_guess = {"code": "G00002-AAAAA-AAAAA", "device": DEVICE}
    assert ask(other_guess, "203.0.113.9").status_code == 401
    assert ask({"code": code, "device": DEVICE}, "203.0.113.10").status_code == 200


@pytest.mark.django_db
def test_a_token_in_use_lives_on_and_is_written_once_a_day(api, shops):
    device = api("A")
    first = DeviceToken.objects.get(device="test-device").expiry
    device.get("me")
    assert DeviceToken.objects.get(device="test-device").expiry == first
    with time_machine.travel(timezone.now() + dt.timedelta(days=2), tick=False):
        device.get("me")
    assert DeviceToken.objects.get(device="test-device").expiry > first + dt.timedelta(days=1)


@pytest.mark.django_db
def test_what_nobody_can_use_any_more_is_forgotten(shops):
    from scrm.api import authentication

    shops.token("A")
    login.issue_code(guide_code="G00001", now=timezone.now())
    later = timezone.now() + dt.timedelta(days=31)
    assert (login.forget_codes(later), authentication.forget_expired(later)) == (1, 1)
    assert not LoginCode.objects.exists() and not DeviceToken.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_use_a_code_at_once_one_gets_in():
    defaults.restore()
    company = factory.shops()
    for _round in range(5):
        code, _until = login.issue_code(guide_code=company.guides["A"].code, now=timezone.now())
        start, outcomes = threading.Barrier(4), []

        def use(number, code=code, start=start, outcomes=outcomes):
            start.wait()
            try:
                login.log_in(code=code, device=f"phone-{number:04d}", now=timezone.now())
                outcomes.append("in")
            except login.CodeRefused:
                outcomes.append("refused")
            finally:
                connection.close()

        threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["in", "refused", "refused", "refused"]


@pytest.mark.django_db(transaction=True)
def test_two_logins_of_one_device_at_once_leave_one_token():
    from scrm.api import authentication

    defaults.restore()
    company = factory.shops()
    user = company.guides["A"].user
    start = threading.Barrier(4)

    def log_in():
        start.wait()
        try:
            factory.token_of(user, DEVICE)
        finally:
            connection.close()

    threads = [threading.Thread(target=log_in) for _n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert DeviceToken.objects.filter(user=user, device=DEVICE).count() == 1
    assert authentication  # the lock on the user lies in ``issue``
