"""A number in full: a reason, a record, a budget, and the same answer when asked again."""

from __future__ import annotations

import datetime as dt
import json
import threading

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from members import reveals
from members.models import Identity
from scrm import crypto
from scrm.api import idempotency
from scrm.models import Act, IdempotentAnswer
from tests.factories import defaults
from tests.factories import shops as factory
from tests.guides.conftest import Api

REASON = {"reason": "顾客预订到货,电话通知"}


@pytest.fixture
def address(shops):
    return f"members/{shops.members['安琪'].pk}/reveal"


def number_of(member):
    return crypto.open_mobile(bytes(Identity.objects.get(member=member, kind="MOBILE").sealed)).removeprefix("+86")


@pytest.mark.django_db
def test_a_reveal_is_recorded(api, shops, address):
    """§8 row 9."""
    answer = api("A").post(address, REASON, Idempotency_Key="reveal-0001")
    assert answer.json() == {"mobiles": [number_of(shops.members["安琪"])]}
    assert answer["Cache-Control"] == "no-store"
    act = Act.objects.get(verb="member.reveal")
    assert (act.actor, act.target_id) == (shops.guides["A"].user, str(shops.members["安琪"].pk))
    assert act.reason == REASON["reason"]
    assert "154" not in json.dumps(act.data)


@pytest.mark.django_db
@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": " 的 "}, {"reason": "x" * 201}])
def test_without_a_reason_nothing_is_shown(api, address, body):
    answer = api("A").post(address, body, Idempotency_Key="reveal-0001")
    assert (answer.status_code, set(answer.json()["extra"]["fields"])) == (400, {"reason"})
    assert not Act.objects.filter(verb="member.reveal").exists()


@pytest.mark.django_db
def test_a_get_reveals_nothing(api, address):
    assert api("A").get(address).status_code == 405


@pytest.mark.django_db
def test_the_budget_of_a_day(api, shops, address, monkeypatch):
    monkeypatch.setattr(reveals, "REVEALS_PER_DAY", 2)
    device = api("A")
    answers = [device.post(address, REASON, Idempotency_Key=f"reveal-{n:04d}") for n in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["code"] == "reveal_budget_spent"
    assert 0 < int(answers[2]["Retry-After"]) <= 86_401
    assert api("M").post(address, REASON, Idempotency_Key="reveal-0001").status_code == 200
    with time_machine.travel(timezone.now() + dt.timedelta(days=1), tick=False):
        assert device.post(address, REASON, Idempotency_Key="reveal-0002").status_code == 200


@pytest.mark.django_db
def test_the_same_key_again_shows_the_same_and_counts_once(api, shops, address):
    device = api("A")
    first, again = (device.post(address, REASON, Idempotency_Key="reveal-0001") for _n in range(2))
    assert (again.status_code, again.json()) == (200, first.json())
    assert again["Idempotency-Replayed"] == "true" and "Idempotency-Replayed" not in first
    assert Act.objects.filter(verb="member.reveal").count() == 1
    kept = IdempotentAnswer.objects.get()
    assert number_of(shops.members["安琪"]) not in str(kept.body)  # S2: nor in the table of answers


@pytest.mark.django_db
def test_the_same_key_with_other_content_is_refused(api, shops, address):
    device = api("A")
    device.post(address, REASON, Idempotency_Key="reveal-0001")
    other = device.post(address, {"reason": "另一个理由"}, Idempotency_Key="reveal-0001")
    elsewhere = device.post(f"members/{shops.members['安然'].pk}/reveal", REASON, Idempotency_Key="reveal-0001")
    for answer in (other, elsewhere):
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_reused")
    assert api("M").post(address, REASON, Idempotency_Key="reveal-0001").status_code == 200  # keys are per person


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", "short", "x" * 129, "中文中文中文中文"])
def test_a_write_without_a_key(api, address, key):
    answer = api("A").post(address, REASON, **({"Idempotency_Key": key} if key.isascii() else {}))
    assert (answer.status_code, set(answer.json()["extra"]["fields"])) == (400, {"Idempotency-Key"})


@pytest.mark.django_db
def test_a_refused_write_stores_nothing(api, address):
    device = api("A")
    assert device.post(address, {"reason": "x"}, Idempotency_Key="reveal-0001").status_code == 400
    assert device.post(address, REASON, Idempotency_Key="reveal-0001").status_code == 200


@pytest.mark.django_db
def test_a_replay_needs_the_right_to_see_her_still(api, shops, address):
    device = api("A")
    device.post(address, REASON, Idempotency_Key="reveal-0001")
    shops.members["安琪"].bindings.update(ended_at=timezone.now())
    assert device.post(address, REASON, Idempotency_Key="reveal-0001").status_code == 404


@pytest.mark.django_db
def test_answers_are_forgotten_after_a_day(api, address):
    api("A").post(address, REASON, Idempotency_Key="reveal-0001")
    assert idempotency.forget_old(timezone.now()) == 0
    assert idempotency.forget_old(timezone.now() + dt.timedelta(days=1, seconds=1)) == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_request_at_once_does_it_once():
    """Eight threads, one key: one record; who comes while it runs is told to wait."""
    defaults.restore()
    company = factory.shops()
    member = company.member("安琪", store="S1", guide="A")
    token = company.token("A")
    start, answers = threading.Barrier(8), []

    def ask():
        start.wait()
        try:
            answers.append(Api(token).post(f"members/{member.pk}/reveal", REASON, Idempotency_Key="reveal-race"))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Act.objects.filter(verb="member.reveal").count() == 1
    assert {answer.status_code for answer in answers} <= {200, 409}
    for answer in answers:
        if answer.status_code == 409:
            assert (answer.json()["code"], answer["Retry-After"]) == ("still_running", "1")
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1


@pytest.mark.django_db(transaction=True)
def test_the_last_of_the_budget_goes_to_one(monkeypatch):
    defaults.restore()
    company = factory.shops()
    member = company.member("安琪", store="S1", guide="A")
    monkeypatch.setattr(reveals, "REVEALS_PER_DAY", 3)
    start, outcomes = threading.Barrier(8), []

    def ask():
        start.wait()
        try:
            reveals.reveal(actor=company.guides["A"].user, member=member, reason="电话回访", now=timezone.now())
            outcomes.append("shown")
        except reveals.BudgetSpent:
            outcomes.append("spent")
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["shown"] * 3 + ["spent"] * 5
