"""The address that WeCom calls: verify, store, answer, and nothing to learn for whoever is not WeCom."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import DatabaseError
from django.test import Client, RequestFactory
from django.utils import timezone

from scrm.models import Act, CallbackEndpoint, InboxEvent
from scrm.wecom import callback, crypto, inbox, tasks
from tests.scrm.wecom import calls
from tests.scrm.wecom.calls import CORP_ID, KEYS, URL, event, outer, post, query, send
from tests.scrm.wecom.test_crypto import HARMFUL, VECTORS, framed, keys_of, sealed

pytestmark = pytest.mark.django_db


def seen(answer: Any) -> tuple[int, bytes, dict[str, str]]:
    return answer.status_code, answer.content, dict(answer.headers)


def test_an_event_is_stored_sealed_and_answered(endpoint: Any) -> None:
    """W1, W2: one row for each decrypted body, however often and however encrypted it comes."""
    body = event(WelcomeCode="CODE", State="a1")
    for _ in range(3):
        assert seen(send(body))[:2] == (200, b"success")
    kept = InboxEvent.objects.get()
    assert (kept.endpoint, kept.event, kept.change_type) == (
        endpoint,
        "change_external_contact",
        "add_external_contact",
    )
    assert (kept.aggregate, kept.lane) == ("change_external_contact|guide_0001|wmA1", "WELCOME")
    assert (int(kept.event_at.timestamp()), kept.status, kept.attempts) == (calls.AT, "RECEIVED", 0)
    assert b"wmA1" not in bytes(kept.body_sealed)


def test_distinct_bodies_of_one_second_are_all_kept(endpoint: Any) -> None:
    """W2: sender and second alone would have made them one."""
    for number in range(5):
        assert send(event(ExternalUserID=f"wm{number}")).status_code == 200
    assert InboxEvent.objects.count() == 5
    calls.endpoint("sync")
    assert send(event(ExternalUserID="wm0"), url="/wecom/callback/sync").status_code == 200
    assert InboxEvent.objects.count() == 6  # each receiver is told of its own


def test_storing_is_one_statement(endpoint: Any, django_assert_num_queries: Any) -> None:
    send(event())
    with django_assert_num_queries(1):
        send(event(calls.AT + 1))


def test_success_is_not_said_before_the_row_is_there(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """W1: what cannot be stored is WeCom's to tell again."""

    def fail(*_args: Any) -> bool:
        raise DatabaseError

    monkeypatch.setattr(inbox, "_store", fail)
    client = Client(raise_request_exception=False)
    encrypted = crypto.encrypt(KEYS, event())
    answer = client.post(f"{URL}?{urlencode(query(encrypted))}", outer(encrypted), content_type="text/xml")
    assert answer.status_code == 500


def test_each_lane_has_its_bell_and_a_repeat_rings_none(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[str] = []

    class Bell:
        def __init__(self, lane: str) -> None:
            self.lane = lane

        def ring(self) -> None:
            rung.append(self.lane)

    monkeypatch.setattr(callback, "_doorbells", {lane: Bell(lane.value) for lane in inbox.Lane})
    for body in (event(), event(), event(WelcomeCode="C"), event(WelcomeCode="C")):
        send(body)
    assert rung == ["NORMAL", "WELCOME"]


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["kind"] in ("echostr", "post")], ids=lambda v: v["id"])
def test_known_calls_are_taken(vector: dict[str, Any]) -> None:
    """WeCom's own examples through the address, their signature renewed, as they are many years old."""
    key, corp = vector["encoding_aes_key"], vector["receive_id"]
    CallbackEndpoint.objects.all().delete()
    inbox.save_endpoint(name="known", corp_id=corp, token=vector["token"], aes_key=key, actor=None)
    timestamp = str(int(timezone.now().timestamp()))
    signed = crypto.signature(keys_of(vector).token, timestamp, vector["nonce"], vector["encrypt"])
    values = {"msg_signature": signed, "timestamp": timestamp, "nonce": vector["nonce"]}
    if vector["kind"] == "echostr":
        answer = Client().get("/wecom/callback/known", {**values, "echostr": vector["encrypt"]})
        assert seen(answer)[:2] == (200, vector["plaintext"].encode())
        assert not InboxEvent.objects.exists()
    else:
        assert seen(post(outer(vector["encrypt"]), values, url="/wecom/callback/known"))[:2] == (200, b"success")
        assert InboxEvent.objects.get().event in ("text", "event")


def unverified_calls() -> list[Any]:
    """Everything that WeCom has not signed for this endpoint, now."""
    now = int(timezone.now().timestamp())
    good = crypto.encrypt(KEYS, event())
    return [
        *(post(body, query("x")) for body in HARMFUL.values()),
        post(outer(good), query(good, msg_signature="0" * 40)),
        post(outer(good), query(good, msg_signature="")),
        post(outer(good), query(good, nonce="n2")),
        post(outer(good), query(good, timestamp=str(now - 1))),
        post(outer(good), query(good, at=now - 602)),
        post(outer(good), query(good, at=now + 602)),
        post(outer("%%%"), query("%%%", at=now - 602)),
        post(outer(good), {}),
        post(outer(good)[:-30], query(good)),
        post(b"", query(good)),
        send(event(), url="/wecom/callback/nobody"),
        post(outer("%%%"), query("%%%"), url="/wecom/callback/nobody"),
        Client().get(URL, {**query(good, msg_signature="0" * 40), "echostr": good}),
        Client().get(URL),
        Client().get("/wecom/callback/nobody", {**query(good), "echostr": good}),
    ]


def unreadable_calls() -> list[Any]:
    """What is signed as by WeCom, now, and is no message to us."""
    good = crypto.encrypt(KEYS, event())
    other_corp = crypto.encrypt(crypto.Keys(KEYS.token, KEYS.aes_key, "ww_other"), event())
    other_key = crypto.encrypt(crypto.Keys(KEYS.token, bytes(32), CORP_ID), event())
    garbage = [other_corp, other_key, sealed(b"\xff" * 64), framed(b"x", length=9_999), good[:-4], "%%%", ""]
    unreadable = [
        b"not xml",
        b"\xff",
        b"<xml/>",
        b"<xml><Event>x</Event></xml>",
        event(at=-1),
        event(at=10**11),
        *HARMFUL.values(),
    ]
    return [
        *(post(outer(encrypted), query(encrypted)) for encrypted in garbage),
        *(send(message) for message in unreadable),
        Client().get(URL, {**query(good[:-4]), "echostr": good[:-4]}),
        Client().get(URL, {**query(other_corp), "echostr": other_corp}),
    ]


@pytest.mark.parametrize(
    ("calls_of", "status"), [(unverified_calls, 403), (unreadable_calls, 400)], ids=["unverified", "unreadable"]
)
def test_what_is_refused_looks_alike_and_leaves_nothing(endpoint: Any, calls_of: Any, status: int) -> None:
    """W8"""
    answers = calls_of()
    assert len(answers) > 20
    assert {seen(answer)[:2] for answer in answers} == {(status, b"")}
    assert len({json.dumps(seen(answer)[2], sort_keys=True) for answer in answers}) == 1
    assert not InboxEvent.objects.exists()


def test_within_ten_minutes_of_our_clock(endpoint: Any) -> None:
    """W8"""
    now = int(timezone.now().timestamp())
    for seconds in (-598, 598):
        assert send(event(), at=now + seconds).status_code == 200
    assert InboxEvent.objects.count() == 1


def test_more_than_a_mebibyte_is_refused(endpoint: Any) -> None:
    encrypted = crypto.encrypt(KEYS, event())
    fits = outer(encrypted).ljust(inbox.MAX_BODY_BYTES)
    assert post(fits, query(encrypted)).status_code == 200
    assert post(fits + b" ", query(encrypted)).status_code == 413
    assert InboxEvent.objects.count() == 1


@pytest.mark.parametrize("length", ["many", str(inbox.MAX_BODY_BYTES + 1)])
def test_a_length_is_judged_before_anything_is_read(length: str) -> None:
    request = RequestFactory().post(URL, b"x", content_type="text/xml", CONTENT_LENGTH=length)
    assert callback.receive(request, "customers").status_code == 413


def test_only_get_and_post_are_answered(endpoint: Any) -> None:
    assert Client().put(URL).status_code == 405


def test_wecom_needs_no_token_of_a_form(endpoint: Any) -> None:
    encrypted = crypto.encrypt(KEYS, event())
    client = Client(enforce_csrf_checks=True)
    answer = client.post(f"{URL}?{urlencode(query(encrypted))}", outer(encrypted), content_type="text/xml")
    assert answer.status_code == 200


def test_an_endpoint_that_was_switched_off_takes_nothing(endpoint: Any) -> None:
    CallbackEndpoint.objects.update(is_active=False)
    assert send(event()).status_code == 403


def test_keys_are_sealed_recorded_and_replaced(endpoint: Any) -> None:
    assert calls.TOKEN.encode() not in bytes(endpoint.token_sealed)
    assert calls.AES_KEY.encode() not in bytes(endpoint.aes_key_sealed)
    assert send(event()).status_code == 200
    changed = inbox.save_endpoint(name="customers", corp_id=CORP_ID, token="another", aes_key=calls.AES_KEY, actor=None)
    assert changed.pk == endpoint.pk
    inbox._known.clear()  # or some seconds later
    assert send(event()).status_code == 403
    acts = Act.objects.filter(verb="wecom.save_endpoint").order_by("pk")
    assert [act.data for act in acts] == [{"is_first": True}, {"is_first": False}]


@pytest.mark.parametrize(
    "wrong",
    [{"name": "Customers"}, {"name": "a/b"}, {"name": ""}, {"corp_id": " "}, {"corp_id": "w" * 65}, {"token": "x"},
     {"token": "with space"}, {"aes_key": "short"}],
)  # fmt: skip
def test_keys_that_cannot_be_right_are_refused(wrong: dict[str, str]) -> None:
    right = {"name": "customers", "corp_id": CORP_ID, "token": calls.TOKEN, "aes_key": calls.AES_KEY}
    with pytest.raises(inbox.BadEndpoint):
        inbox.save_endpoint(**{**right, **wrong}, actor=None)
    assert not CallbackEndpoint.objects.exists()


def test_the_application_may_store_and_process(endpoint: Any, app_role: Any, applied: list[Any]) -> None:
    with app_role():
        assert send(event()).status_code == 200
        assert inbox.sweep(now=timezone.now())["processed"] == 1


def test_a_worker_knows_the_tasks() -> None:
    """They stand below an app, where Celery does not look by itself: the addresses, which it checks, bring them."""
    code = """
import scrm.celery, django
django.setup()
from django.core.checks import run_checks
run_checks()
print(*scrm.celery.app.tasks)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {tasks.sweep_inbox.name, tasks.process_events.name, tasks.process_welcomes.name} <= set(
        result.stdout.split()
    )
