"""One token for all workers: fetched once, replaced when refused, and never seen where it does not belong."""

from __future__ import annotations

import datetime as dt
import logging
import traceback

import pytest
from django.db import connection, transaction
from django.utils import timezone

from scrm import crypto
from scrm.models import Act, WecomApp, WecomToken
from scrm.wecom import corps, directory, errors, tokens
from tests.conftest import Role
from tests.scrm.wecom.conftest import CORP_ID, SECRET, Raw, Wecom, in_threads, refusal


def age(app: WecomApp, **delta: int) -> None:
    """As if the token had been fetched longer ago."""
    fetched_at = WecomToken.objects.get(app=app).fetched_at
    assert fetched_at is not None
    WecomToken.objects.filter(app=app).update(fetched_at=fetched_at - dt.timedelta(**delta))


def test_many_threads_cause_one_refresh(transactional_db: None, wecom: Wecom, app: WecomApp) -> None:
    wecom.token_delay = 0.3  # all of them arrive while the first one asks
    results = in_threads(16, lambda _n: tokens.current(app))
    assert len(wecom.calls("gettoken")) == 1
    assert set(results) == wecom.valid


def test_many_threads_with_a_refused_token_cause_one_refresh(
    transactional_db: None, wecom: Wecom, app: WecomApp
) -> None:
    first = tokens.current(app)
    age(app, hours=1)
    wecom.valid.clear()
    wecom.token_delay = 0.2
    results = in_threads(12, lambda _n: tokens.current(app, refused=first))
    assert len(wecom.calls("gettoken")) == 2
    assert set(results) == wecom.valid


def test_a_token_serves_until_a_minute_before_its_end(wecom: Wecom, app: WecomApp) -> None:
    first = tokens.current(app)
    assert tokens.current(app) == first
    age(app, hours=1)
    WecomToken.objects.update(expires_at=timezone.now() + dt.timedelta(seconds=59))
    assert tokens.current(app) != first
    assert [request.query for request in wecom.calls("gettoken")] == [{"corpid": CORP_ID, "corpsecret": SECRET}] * 2


def test_a_token_lives_as_long_as_wecom_says(wecom: Wecom, app: WecomApp) -> None:
    wecom.token_seconds = 600
    tokens.current(app)
    expires_at = WecomToken.objects.get(app=app).expires_at
    assert expires_at is not None
    left = expires_at - timezone.now()
    assert dt.timedelta(seconds=590) < left <= dt.timedelta(seconds=600)


def test_the_old_token_given_again_shortly_before_its_end_is_not_asked_for_with_every_call(
    wecom: Wecom, app: WecomApp
) -> None:
    wecom.token_seconds = 50
    assert len({tokens.current(app) for _n in range(5)}) == 1
    assert len(wecom.calls("gettoken")) == 1
    age(app, seconds=31)
    tokens.current(app)
    assert len(wecom.calls("gettoken")) == 2


@pytest.mark.parametrize("code", [40001, 40014, 42001])
def test_a_refused_token_is_replaced_and_the_call_repeated_once(wecom: Wecom, app: WecomApp, code: int) -> None:
    first = tokens.current(app)
    age(app, hours=1)
    wecom.on("department/simplelist", refusal(code), {"department_id": []})
    assert directory.department_tree(app) == []
    second = tokens.current(app)
    assert [call.query["access_token"] for call in wecom.calls("department/simplelist")] == [first, second]
    assert len(wecom.calls("gettoken")) == 2


@pytest.mark.parametrize("code", [40014, 42001])
def test_an_endpoint_that_accepts_no_token_does_not_ask_for_tokens_all_day(
    wecom: Wecom, app: WecomApp, code: int
) -> None:
    tokens.current(app)
    age(app, hours=1)
    wecom.on("department/simplelist", refusal(code))
    for _n in range(5):
        with pytest.raises(errors.TokenRefused):
            directory.department_tree(app)
    assert len(wecom.calls("gettoken")) == 2
    assert len(wecom.calls("department/simplelist")) == 2 + 4


def test_the_same_token_given_again_ends_too(wecom: Wecom, app: WecomApp) -> None:
    """WeCom may hand out the same token as long as it is valid."""
    wecom.on("gettoken", {"errcode": 0, "errmsg": "ok", "access_token": "same", "expires_in": 7200})
    with pytest.raises(errors.TokenRefused):
        directory.department_tree(app)
    assert len(wecom.requests) <= 3


def test_a_wrong_secret_is_tried_once_and_a_new_one_at_once(wecom: Wecom, app: WecomApp) -> None:
    """WeCom blocks the IP of whoever repeats a wrong secret."""
    wecom.secrets = {"another-secret": CORP_ID}
    for _n in range(5):
        with pytest.raises(errors.Misconfigured) as caught:
            tokens.current(app)
        assert caught.value.errcode == 40001
    assert len(wecom.calls("gettoken")) == 1
    corps.replace_secret(actor=None, app=app, secret="another-secret", reason="重置")
    assert tokens.current(app) in wecom.valid
    assert [act.verb for act in Act.objects.order_by("pk")] == ["wecom.add_app", "wecom.replace_secret"]


def test_many_threads_try_a_wrong_secret_once(transactional_db: None, wecom: Wecom, app: WecomApp) -> None:
    wecom.secrets, wecom.token_delay = {}, 0.2
    results = in_threads(8, lambda _n: tokens.current(app))
    assert len(wecom.calls("gettoken")) == 1
    assert {type(result) for result in results} == {errors.Misconfigured}


def test_a_pause_after_no_answer_is_short(wecom: Wecom, app: WecomApp) -> None:
    wecom.on("gettoken", Raw(502))
    with pytest.raises(errors.Unreachable) as caught:
        tokens.current(app)
    assert not caught.value.may_be_done
    with pytest.raises(errors.Unreachable):
        tokens.current(app)
    assert len(wecom.calls("gettoken")) == 1
    paused_until = WecomToken.objects.get(app=app).paused_until
    assert paused_until is not None and paused_until - timezone.now() <= tokens.PAUSE


@pytest.mark.parametrize(
    "answer", [{"errcode": 0}, {"errcode": 0, "access_token": "", "expires_in": 1}, {"errcode": "none"}]
)
def test_an_answer_without_a_token_is_malformed(wecom: Wecom, app: WecomApp, answer: dict[str, object]) -> None:
    wecom.on("gettoken", answer)
    with pytest.raises(errors.Malformed):
        tokens.current(app)


def test_apps_of_one_corp_have_their_own_tokens(wecom: Wecom, app: WecomApp) -> None:
    """Even when their secrets begin alike."""
    secret = SECRET[:10] + "-of-the-contact-sync"
    wecom.secrets[secret] = CORP_ID
    sync = corps.add_app(actor=None, corp=app.corp, kind="CONTACT_SYNC", name="通讯录", secret=secret)
    assert tokens.current(app) != tokens.current(sync)
    assert {request.query["corpsecret"] for request in wecom.calls("gettoken")} == {SECRET, secret}


def test_no_call_inside_a_transaction(transactional_db: None, wecom: Wecom, app: WecomApp) -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a database transaction"):
        tokens.current(app)
    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a database transaction"):
        directory.department_tree(app)
    assert wecom.requests == []


def test_secret_and_token_lie_sealed(wecom: Wecom, app: WecomApp) -> None:
    token = tokens.current(app)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT secret_sealed, token_sealed FROM scrm_wecomapp a JOIN scrm_wecomtoken t ON app_id = a.id"
        )
        row = [bytes(cell) for cell in cursor.fetchone()]
    assert SECRET.encode() not in row[0] and token.encode() not in row[1]
    other = WecomApp(pk=app.pk + 1)
    with pytest.raises(crypto.SealBroken):  # a token copied to another app's row does not open
        crypto.open_text(tokens._purpose(other), row[1])


@pytest.mark.parametrize("answer", [refusal(60011), refusal(-1), Raw(500), Raw(200), Raw(302, location="/cgi-bin/x")])
def test_no_secret_and_no_token_in_errors_and_logs(
    wecom: Wecom, app: WecomApp, caplog: pytest.LogCaptureFixture, answer: dict[str, object] | Raw
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="urllib3.connectionpool")
    wecom.on("department/simplelist", answer)
    with pytest.raises(errors.WecomError) as caught:
        directory.department_tree(app)
    wecom.secrets = {}
    WecomToken.objects.all().delete()
    with pytest.raises(errors.WecomError) as second:
        tokens.current(app)
    shown = caplog.text + "".join(
        part
        for error in (caught.value, second.value)
        for part in (*traceback.format_exception(error), str(vars(error)))
    )
    assert "gettoken?***" in caplog.text  # urllib3 did speak
    for hidden in (SECRET, *(request.query.get("access_token", SECRET) for request in wecom.requests)):
        assert hidden not in shown
    link: BaseException | None
    for link in (caught.value, second.value):
        while link is not None:
            assert isinstance(link, errors.WecomError)  # none of requests' or wechatpy's, which hold the address
            link = link.__context__


def test_the_application_role_may_do_all_of_it(wecom: Wecom, app: WecomApp, app_role: Role) -> None:
    wecom.on("department/simplelist", refusal(45033), {"department_id": []}, refusal(45009))
    with app_role():
        assert directory.department_tree(app) == []
        with pytest.raises(errors.RateLimited):
            directory.department_tree(app)
        corps.replace_secret(actor=None, app=app, secret="another-secret", reason="重置")
