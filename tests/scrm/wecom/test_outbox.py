"""The outbox: what is written is sent, what is done is done once, whatever WeCom answers and whoever dies in between."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scrm import audit, schedule
from scrm.errors import RuleViolation
from scrm.models import Act, Corp, OutboxMessage
from scrm.wecom import errors, outbox, tasks
from scrm.wecom.outbox import Intent, Verdict, rules, sending, topics, upkeep
from tests.scrm.wecom.conftest import in_threads

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)
NOW = dt.datetime(2026, 3, 2, 4, 0, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def _own_topics() -> Iterator[None]:
    known = dict(topics.TOPICS)
    topics.TOPICS.clear()
    yield
    topics.TOPICS.clear()
    topics.TOPICS.update(known)


@pytest.fixture
def corp(db: None) -> Corp:
    return Corp.objects.create(corp_id="wwOUTBOX", name="示例公司")


@dataclass
class Wecom:
    """What WeCom did and what our side made of it. ``script`` says how the sends of a key go, one after the other."""

    script: dict[str, list[Any]] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    sends: list[str] = field(default_factory=list)
    settled: list[tuple[str, str]] = field(default_factory=list)
    can_tell: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, intent: Intent) -> dict[str, Any]:
        with self.lock:
            self.sends.append(intent.key)
            replies = self.script.get(intent.key, [])
            reply = replies.pop(0) if replies else "done"
            if reply in ("done", "answer lost", "answer unreadable", "stumbled after"):
                self.done[intent.key] += 1
        if isinstance(reply, Exception):
            raise reply
        if reply in ("answer lost", "never arrived"):
            raise errors.Unreachable("fake")
        if reply == "answer unreadable":
            raise errors.Malformed("fake")
        if reply == "stumbled after":
            raise ZeroDivisionError
        return {"of": intent.key}

    def settle(self, intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
        assert (answer is None) != (error is None)
        assert answer in (None, {"of": intent.key})
        state = error.code if error else "done"
        audit.record(actor=None, verb="test.settled", target_id=intent.key, state=state)

    def reconcile(self, intent: Intent) -> Verdict:
        if not self.can_tell:
            return Verdict.CANNOT_TELL
        return Verdict.done({"of": intent.key}) if self.done[intent.key] else Verdict.NOT_DONE

    def register(self, topic: str = "fake", *, is_repeatable: bool = False, **more: Any) -> None:
        values = {"send": self.send, "settle": self.settle, "reconcile": self.reconcile, **more}
        outbox.register(topic, is_repeatable=is_repeatable, **values)


@pytest.fixture
def wecom() -> Wecom:
    fake = Wecom()
    fake.register()
    fake.register("again", is_repeatable=True)
    return fake


def put(corp: Corp, key: str, *, topic: str = "fake", now: dt.datetime = NOW, **values: Any) -> OutboxMessage:
    with transaction.atomic():
        return outbox.enqueue(topic=topic, corp=corp, key=key, payload=values.pop("payload", {}), now=now, **values)


def effects() -> dict[str, list[str]]:
    """What the topic settled, by key."""
    found: dict[str, list[str]] = {}
    for act in Act.objects.filter(verb="test.settled").order_by("pk"):
        found.setdefault(act.target_id, []).append(act.data["state"])
    return found


def states() -> dict[str, str]:
    return dict(OutboxMessage.objects.values_list("key", "status"))


def left(key: str) -> OutboxMessage:
    return OutboxMessage.objects.get(key=key)


# --- pure -------------------------------------------------------------------------------------------------------------

LIMIT = NOW + HOUR


@pytest.mark.parametrize(
    ("error", "is_repeatable", "status", "seconds"),
    [
        (errors.RateLimited("e", 45009, retry_at=LIMIT), False, "WAITING", 3600),
        (errors.RateLimited("e", 45009), False, "WAITING", 60),
        (errors.Busy("e", -1), False, "WAITING", 4),
        (errors.NotYet("e", 41063), False, "WAITING", 120),
        (errors.TokenRefused("e", 40014), False, "WAITING", 4),
        (errors.Unreachable("e"), False, "UNKNOWN", 60),
        (errors.Unreachable("e", may_be_done=False), False, "WAITING", 4),
        (errors.Unreachable("e"), True, "WAITING", 4),
        (errors.Malformed("e"), False, "UNKNOWN", 60),
        (errors.Malformed("e"), True, "REFUSED", None),
        (errors.NotFriends("e", 84061), False, "REFUSED", None),
        (errors.WecomError("e", 99999), True, "REFUSED", None),
        (RuleViolation("no", code="wecom_app_missing"), False, "REFUSED", None),
        (KeyError("bug"), False, "UNKNOWN", 60),
        (KeyError("bug"), True, "WAITING", 4),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)  # fmt: skip
def test_what_follows_from_an_answer(error: Exception, is_repeatable: bool, status: str, seconds: int | None) -> None:
    found = rules.after(error, is_repeatable=is_repeatable, attempts=2, queued_at=NOW, now=NOW)
    assert (found.status, found.at) == (status, None if seconds is None else NOW + dt.timedelta(seconds=seconds))
    assert found.is_counted is not isinstance(error, errors.RateLimited)


def test_pauses_grow_to_an_hour_and_attempts_end() -> None:
    waits = [rules.pause(rules.FIRST_PAUSE_SECONDS, count) for count in range(1, rules.MAX_ATTEMPTS)]
    assert waits == sorted(waits) and waits[-1] == HOUR
    assert 9 * HOUR < sum(waits, dt.timedelta()) < 12 * HOUR
    last: dict[str, Any] = {"is_repeatable": True, "attempts": rules.MAX_ATTEMPTS, "queued_at": NOW, "now": NOW}
    assert rules.after(errors.Busy("e", -1), **last).status == "REFUSED"
    assert rules.after(errors.RateLimited("e", 45009), **last).status == "WAITING"  # limits cost no attempt
    late = {**last, "now": NOW + rules.MAX_AGE + HOUR}
    assert rules.after(errors.RateLimited("e", 45009), **late).status == "REFUSED"


# --- writing ----------------------------------------------------------------------------------------------------------


def test_the_same_key_and_content_is_the_first_message(corp: Corp, wecom: Wecom) -> None:
    first = put(corp, "k", payload={"a": 1, "b": "安琪"}, record="r", expires_at=NOW + HOUR)
    assert put(corp, "k", payload={"b": "安琪", "a": 1}) == first
    with pytest.raises(outbox.OtherContent):
        put(corp, "k", payload={"a": 2})
    assert put(corp, "k", topic="again", payload={"a": 2}) != first  # a key belongs to its topic
    assert b"\xe5\xae\x89" not in bytes(first.payload_sealed)
    outbox.send_due(now=NOW)
    assert put(corp, "k", payload={"a": 1, "b": "安琪"}).status == "DONE"
    assert wecom.sends == ["k", "k"]


def test_a_message_belongs_to_a_transaction(corp: Corp, wecom: Wecom) -> None:
    with pytest.raises(LookupError):
        put(corp, "k", topic="nobody's")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        put(corp, "k")
        raise ZeroDivisionError
    outbox.send_due(now=NOW)
    assert wecom.sends == []


@pytest.mark.django_db(transaction=True)
def test_nothing_is_written_outside_a_transaction(corp: Corp, wecom: Wecom) -> None:
    with pytest.raises(RuntimeError):
        outbox.enqueue(topic="fake", corp=corp, key="k", payload={}, now=NOW)
    with pytest.raises(RuntimeError), transaction.atomic():
        outbox.send_due(now=NOW)


@pytest.mark.django_db(transaction=True)
def test_the_bell_of_the_lane_rings_after_the_commit(corp: Corp, wecom: Wecom, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[str] = []
    monkeypatch.setattr(tasks, "ring_outbox", rung.append)
    wecom.register("welcome", lane="WELCOME")
    with transaction.atomic():
        outbox.enqueue(topic="fake", corp=corp, key="k", payload={}, now=NOW)
        outbox.enqueue(topic="welcome", corp=corp, key="k", payload={}, now=NOW)
        assert rung == []
    assert rung == ["NORMAL", "WELCOME"]
    put(corp, "k")
    assert len(rung) == 2  # nothing new


# --- sending and settling ---------------------------------------------------------------------------------------------


def test_done_is_settled_with_the_answer(corp: Corp, wecom: Wecom) -> None:
    put(corp, "k")
    put(corp, "later", not_before=NOW + HOUR)
    assert outbox.send_due(now=NOW).done == 1
    assert (states(), effects()) == ({"k": "DONE", "later": "WAITING"}, {"k": ["done"]})
    assert outbox.send_due(now=NOW + HOUR).done == 1
    kept = left("k")
    assert (kept.attempts, kept.error_code, kept.not_before) == (1, "", None)
    assert kept.settled_at is not None and b"of" not in bytes(kept.answer_sealed or b"of")


def test_refused_for_good_is_settled_and_sent_again_by_a_person(corp: Corp, wecom: Wecom) -> None:
    put(corp, "k")
    wecom.script["k"] = [errors.NoPermission("e", 48002)]
    assert outbox.send_due(now=NOW).refused == 1
    assert (left("k").error_code, left("k").error_detail) == ("wecom_no_permission", "48002")
    outbox.sweep(now=NOW + 2 * HOUR)
    assert wecom.sends == ["k"]
    outbox.retry(message=left("k"), actor=None, now=NOW + 2 * HOUR)
    outbox.send_due(now=NOW + 2 * HOUR)
    assert effects() == {"k": ["wecom_no_permission", "done"]}
    assert Act.objects.filter(verb="outbox.retry").count() == 1
    with pytest.raises(outbox.NotPossible):
        outbox.retry(message=left("k"), actor=None, now=NOW)


def test_a_rate_limit_costs_no_attempt_and_its_topic_rests(corp: Corp, wecom: Wecom) -> None:
    for number in range(5):
        put(corp, f"k{number}")
        put(corp, f"a{number}", topic="again")
    wecom.script["k0"] = [errors.RateLimited("e", 45009, retry_at=NOW + HOUR)]
    sent = outbox.send_due(now=NOW)
    assert (sent.done, sent.put_back, sent.next_at) == (5, 1, NOW + HOUR)
    assert [key for key in wecom.sends if key.startswith("k")] == ["k0"]  # the others would only hear the same
    assert (left("k0").attempts, left("k0").not_before) == (0, NOW + HOUR)
    assert outbox.send_due(now=NOW + HOUR).done == 5
    assert set(states().values()) == {"DONE"}


def test_poison_of_one_topic_delays_no_other(corp: Corp, wecom: Wecom) -> None:
    """W7, for what goes out."""
    for number in range(20):
        put(corp, f"k{number}")
        wecom.script[f"k{number}"] = [ZeroDivisionError() if number % 2 else errors.Busy("e", -1)] * 99
        put(corp, f"a{number}", topic="again")
    outbox.sweep(now=NOW)
    assert {key: state for key, state in states().items() if key.startswith("a")} == {
        f"a{n}": "DONE" for n in range(20)
    }
    # the topics take turns: no good one waited for more than one bad one
    assert max(i for i, key in enumerate(wecom.sends) if key.startswith("a")) < 40


def test_what_comes_too_late_is_not_sent(corp: Corp, wecom: Wecom) -> None:
    put(corp, "k", expires_at=NOW + dt.timedelta(seconds=5))
    wecom.script["k"] = [errors.RateLimited("e", 45009, retry_at=NOW + HOUR)]
    sent = outbox.send_due(now=NOW)
    assert sent.next_at == NOW + dt.timedelta(seconds=5)  # it ends then, not when the limit does
    assert outbox.send_due(now=NOW + dt.timedelta(seconds=5)).expired == 1
    assert (states(), effects(), wecom.sends) == ({"k": "EXPIRED"}, {"k": ["wecom_too_late"]}, ["k"])


def test_a_welcome_lives_twenty_seconds_in_a_lane_of_its_own(corp: Corp, wecom: Wecom) -> None:
    wecom.register("welcome", lane="WELCOME")
    put(corp, "w", topic="welcome")
    put(corp, "late", topic="welcome", now=NOW - outbox.messages.WELCOME_LIFE)
    put(corp, "k")
    assert outbox.send_due(now=NOW, lane="WELCOME").done == 1
    assert states() == {"w": "DONE", "late": "EXPIRED", "k": "WAITING"}


def test_messages_of_one_record_go_in_order(corp: Corp, wecom: Wecom) -> None:
    for number in range(3):
        put(corp, f"k{number}", topic="again" if number == 1 else "fake", record="pair")
    put(corp, "other", record="another pair")
    wecom.script["k0"] = [errors.Busy("e", -1)]
    outbox.send_due(now=NOW)
    assert wecom.sends == ["k0", "other"]
    outbox.send_due(now=NOW + HOUR)
    assert wecom.sends == ["k0", "other", "k0", "k1", "k2"]


def test_a_cancelled_message_is_settled_and_not_sent(corp: Corp, wecom: Wecom) -> None:
    put(corp, "k")
    outbox.cancel(message=left("k"), actor=None, now=NOW)
    outbox.send_due(now=NOW)
    assert (states(), effects(), wecom.sends) == ({"k": "CANCELLED"}, {"k": ["wecom_cancelled"]}, [])
    with pytest.raises(outbox.NotPossible):
        outbox.cancel(message=left("k"), actor=None, now=NOW)


def test_old_messages_are_forgotten_and_refused_ones_are_not(corp: Corp, wecom: Wecom) -> None:
    assert schedule.ENTRIES["old events and messages of WeCom"]["task"] == tasks.forget_wecom.name
    for key in ("done", "refused"):
        put(corp, key)
    wecom.script["refused"] = [errors.Blocked("e", 40201)]
    outbox.send_due(now=NOW)
    put(corp, "open", not_before=NOW + 1000 * HOUR)
    day = dt.timedelta(days=1)
    assert outbox.forget(now=NOW + 9 * day, days=10) == 0
    assert outbox.forget(now=NOW + 11 * day, days=10) == 1
    assert states() == {"refused": "REFUSED", "open": "WAITING"}


# --- unknown ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", ["answer lost", "never arrived", "answer unreadable", "stumbled after"])
def test_a_lost_answer_is_looked_for_and_never_guessed(corp: Corp, wecom: Wecom, reply: str) -> None:
    """W5"""
    put(corp, "k")
    wecom.script["k"] = [reply]
    assert outbox.send_due(now=NOW).unknown == 1
    assert effects() == {}
    outbox.sweep(now=NOW + dt.timedelta(seconds=30))
    assert len(wecom.sends) == 1  # WeCom may still be at it
    outbox.sweep(now=NOW + HOUR)
    outbox.sweep(now=NOW + 2 * HOUR)
    assert (states(), effects(), wecom.done["k"]) == ({"k": "DONE"}, {"k": ["done"]}, 1)
    assert len(wecom.sends) == (2 if reply == "never arrived" else 1)


def test_what_nobody_can_tell_is_left_to_people_and_holds_up_nothing(corp: Corp, wecom: Wecom) -> None:
    put(corp, "k", record="pair")
    put(corp, "next", record="pair")
    wecom.script["k"], wecom.can_tell = ["answer lost"], False
    for hour in range(12):
        outbox.sweep(now=NOW + hour * HOUR)
    assert states() == {"k": "UNKNOWN", "next": "DONE"}
    assert (left("k").not_before, left("k").checks) == (None, rules.MAX_CHECKS)
    assert wecom.sends == ["k", "next"]
    outbox.ask_again(message=left("k"), actor=None, now=NOW + 12 * HOUR)
    wecom.can_tell = True
    outbox.sweep(now=NOW + 12 * HOUR)
    assert (states()["k"], effects()["k"], wecom.done["k"]) == ("DONE", ["done"], 1)


def test_a_topic_that_cannot_read_leaves_it_to_people_at_once(corp: Corp, wecom: Wecom) -> None:
    wecom.register("blind", reconcile=None)
    put(corp, "k", topic="blind")
    wecom.script["k"] = ["answer lost"]
    outbox.send_due(now=NOW)
    outbox.sweep(now=NOW + HOUR)
    assert (left("k").status, left("k").not_before) == ("UNKNOWN", None)
    assert outbox.may_retry(left("k")) and outbox.may_cancel(left("k"))


def test_what_is_done_is_not_sent_again_when_settling_stumbles(corp: Corp, wecom: Wecom) -> None:
    stumbles = [OperationalError(), ZeroDivisionError()]

    def settle(intent: Intent, answer: Any, error: Any) -> None:
        wecom.settle(intent, answer, error)
        if stumbles:
            raise stumbles.pop()

    wecom.register(settle=settle)
    put(corp, "k")
    outbox.send_due(now=NOW)
    assert (left("k").status, left("k").error_code, effects()) == ("UNKNOWN", "internal_error", {})
    wecom.done.clear()  # even if WeCom could not tell
    for hour in range(1, 4):
        outbox.sweep(now=NOW + hour * HOUR)
    assert (wecom.sends, states(), effects()) == (["k"], {"k": "DONE"}, {"k": ["done"]})


REPLIES = st.sampled_from(
    [
        "done", "answer lost", "never arrived", "answer unreadable", "stumbled after",
        errors.Busy("e", -1), errors.NotYet("e", 41063), errors.RateLimited("e", 45009), errors.TokenRefused("e", 42001),
        errors.RateLimited("e", 45009, retry_at=NOW + 30 * HOUR), errors.Unreachable("e", may_be_done=False),
        errors.BadParameter("e", 40058), errors.QuotaExhausted("e", 41045), errors.WecomError("e", 12345),
        RuleViolation("no", code="wecom_app_missing"), KeyError("bug"),
    ]
)  # fmt: skip
EXAMPLES = itertools.count()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_script_of_answers_ends(corp: Corp, wecom: Wecom, data: st.DataObject) -> None:
    """W9, W5: whatever WeCom answers and however often settling stumbles, each message ends, and each effect is there once."""
    example = next(EXAMPLES)
    keys = [f"{example}-{number}" for number in range(data.draw(st.integers(1, 4)))]
    wecom.script = {key: data.draw(st.lists(REPLIES, max_size=5)) for key in keys}
    for key in data.draw(st.lists(st.sampled_from(keys), max_size=1)):  # this one never hears anything else
        wecom.script[key] = [data.draw(REPLIES)] * 500
    wecom.done.clear()
    wecom.sends.clear()
    wecom.can_tell = data.draw(st.booleans())
    stumbles = [data.draw(st.booleans()) for _ in range(6)]

    def settle(intent: Intent, answer: Any, error: Any) -> None:
        wecom.settle(intent, answer, error)
        if stumbles and stumbles.pop():
            raise OperationalError

    once = {key: data.draw(st.booleans()) for key in keys}
    wecom.register(settle=settle)
    wecom.register("again", is_repeatable=True, settle=settle)
    for key in keys:
        put(corp, key, topic="fake" if once[key] else "again", record=data.draw(st.sampled_from(["", "r"])))
    at = NOW
    for _ in range(600):
        outbox.sweep(now=at)
        at += HOUR
        if not OutboxMessage.objects.filter(status__in=("WAITING", "SENDING")).exists() and not (
            OutboxMessage.objects.filter(status="UNKNOWN", not_before__isnull=False).exists()
        ):
            break
    found, settled = states(), effects()
    for key in keys:
        if once[key]:
            assert wecom.done[key] <= 1
            assert found[key] in ("DONE", "REFUSED", "UNKNOWN")
            assert found[key] != "REFUSED" or not wecom.done[key]
        else:
            assert found[key] in ("DONE", "REFUSED")
        assert found[key] != "DONE" or (wecom.done[key] >= 1 and settled[key] == ["done"])
        assert len(settled.get(key, [])) <= 1
        assert wecom.sends.count(key) <= 200
    OutboxMessage.objects.all().delete()


# --- at the same time -------------------------------------------------------------------------------------------------


def send_at(at: dt.datetime, _worker: int) -> outbox.Sent:
    return outbox.send_due(now=at)


@pytest.mark.django_db(transaction=True)
def test_eight_workers_send_each_message_once(corp: Corp, wecom: Wecom) -> None:
    """W5: five hundred messages of forty records and none, some refused at first; each effect once, each record in order."""
    dice = random.Random(5)
    inside: Counter[str] = Counter()
    clashes: list[str] = []
    order: dict[str, list[int]] = {}

    def send(intent: Intent) -> dict[str, Any]:
        record = intent.payload["record"]
        with wecom.lock:
            inside[record] += 1
            if record and inside[record] > 1:
                clashes.append(record)
        try:
            answer = wecom.send(intent)
            order.setdefault(record, []).append(intent.payload["number"])
            return answer
        finally:
            with wecom.lock:
                inside[record] -= 1

    wecom.register(send=send)
    wecom.register("again", is_repeatable=True, send=send)
    for number in range(500):
        record = f"r{number % 40}" if number % 5 else ""
        values = {"record": record, "number": number}
        put(corp, f"k{number}", topic=dice.choice(["fake", "again"]), payload=values, record=record)
        if dice.random() < 0.1:
            wecom.script[f"k{number}"] = [errors.Busy("e", -1)]
    for hour in range(8):
        results = in_threads(8, partial(send_at, NOW + hour * HOUR))
        assert all(isinstance(one, outbox.Sent) for one in results), results
        if set(states().values()) == {"DONE"}:
            break
    assert set(states().values()) == {"DONE"}
    assert clashes == []
    assert set(wecom.done.values()) == {1} and len(wecom.done) == 500
    assert effects() == {f"k{number}": ["done"] for number in range(500)}
    assert all(numbers == sorted(numbers) for record, numbers in order.items() if record)


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_commits_after_others_is_sent_too(corp: Corp, wecom: Wecom) -> None:
    """W6: its number is lower than those that were sent before it."""
    written, may_commit = threading.Event(), threading.Event()

    def long_transaction() -> None:
        try:
            with transaction.atomic():
                put(corp, "early", record="pair")
                written.set()
                may_commit.wait(30)
        finally:
            connection.close()

    thread = threading.Thread(target=long_transaction)
    thread.start()
    assert written.wait(30)
    put(corp, "late", record="pair")
    assert outbox.send_due(now=NOW).done == 1
    may_commit.set()
    thread.join()
    assert left("early").pk < left("late").pk
    assert outbox.send_due(now=NOW).done == 1
    assert wecom.sends == ["late", "early"]


@pytest.mark.django_db(transaction=True)
def test_a_message_in_somebodys_hands_is_not_taken_up_however_long_it_takes(corp: Corp, wecom: Wecom) -> None:
    inside, may_go_on = threading.Event(), threading.Event()

    def send(intent: Intent) -> dict[str, Any]:
        inside.set()
        may_go_on.wait(30)
        return wecom.send(intent)

    wecom.register(send=send)
    put(corp, "k")

    def work() -> None:
        try:
            outbox.send_due(now=NOW)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(30)
    outbox.sweep(now=NOW + HOUR)  # the lease is long over
    assert states() == {"k": "SENDING"}
    may_go_on.set()
    thread.join()
    assert (states(), wecom.done["k"]) == ({"k": "DONE"}, 1)


@pytest.mark.django_db(transaction=True)
def test_an_answer_that_comes_after_the_message_was_taken_up_counts(corp: Corp, wecom: Wecom) -> None:
    """A worker whose connection broke has lost its lock; its answer is better than any guess."""

    def send(intent: Intent) -> dict[str, Any]:
        def other() -> None:
            outbox.sweep(now=NOW + dt.timedelta(seconds=61))
            connection.close()

        connection.close()  # the lock is gone
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert states() == {"k": "UNKNOWN"}
        return wecom.send(intent)

    wecom.register(send=send)
    put(corp, "k")
    outbox.send_due(now=NOW)
    outbox.sweep(now=NOW + HOUR)
    assert (states(), effects(), wecom.done["k"]) == ({"k": "DONE"}, {"k": ["done"]}, 1)


# --- killed -----------------------------------------------------------------------------------------------------------

# where a worker dies, and whether before or after the named call; the nth of them is drawn
POINTS: tuple[tuple[Any, str, str], ...] = (
    (sending, "_reserve", "before"),
    (sending, "_reserve", "inside"),
    (sending, "_reserve", "after"),
    (sending, "_attempt", "before"),
    (sending, "conclude", "before"),
    (sending.ending, "end", "before"),
    (sending.ending, "end", "after"),
    (sending, "conclude", "after"),
    (upkeep, "_claim_check", "after"),
    (upkeep, "_check", "after"),
)
ITEMS = int(os.environ.get("OUTBOX_KILL_ITEMS", "12"))
ROUNDS = int(os.environ.get("OUTBOX_KILL_ROUNDS", "1"))


@dataclass
class FileWecom(Wecom):
    """WeCom outlives our processes: what it did is a line in a file."""

    path: Path = Path()

    def send(self, intent: Intent) -> dict[str, Any]:
        with self.path.open("a") as file:
            file.write(f"{intent.key}\n")
        if intent.payload["is_lost"] and intent.attempts == 1:
            raise errors.Unreachable("fake")
        return {"of": intent.key}

    def seen(self) -> list[str]:
        return self.path.read_text().split() if self.path.exists() else []

    def reconcile(self, intent: Intent) -> Verdict:
        return Verdict.done({"of": intent.key}) if intent.key in self.seen() else Verdict.NOT_DONE


def run_and_die(target: Any, name: str, moment: str, nth: int, work: Callable[[], Any]) -> bool:
    """``work()`` in a child that kills itself around the nth call of the function. False: it came to the end."""
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    kept = connection.connection  # the parent's: closing it here would end its session too
    connection.connection = None
    try:
        original, calls = getattr(target, name), 0

        def die() -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        def dying(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == nth and moment == "before":
                die()
            if calls == nth and moment == "inside":
                with transaction.atomic():
                    original(*args, **kwargs)
                    die()
            result = original(*args, **kwargs)
            if calls == nth and moment == "after":
                die()
            return result

        setattr(target, name, dying)
        work()
    finally:
        os._exit(0 if kept else 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("target", "name", "moment"), POINTS, ids=[f"{m.__name__}.{n} {t}" for m, n, t in POINTS])
def test_killed_anywhere_and_resumed_each_effect_is_there_once(
    target: Any, name: str, moment: str, corp: Corp, tmp_path: Path
) -> None:
    """F1, W5: SIGKILL at each point of reserve, send, settle and looking after; nobody has to do anything by hand."""
    for round_number in range(ROUNDS):
        seed = random.SystemRandom().randrange(10**6)
        print(f"seed {seed}")
        dice = random.Random(seed)
        fake = FileWecom(path=tmp_path / f"wecom{round_number}")
        fake.register()
        fake.register("again", is_repeatable=True)
        keys = {f"{round_number}-{number}": dice.choice(["fake", "again"]) for number in range(ITEMS)}
        lost = f"{round_number}-0"  # one at least is looked after
        keys[lost] = "fake"
        for key, topic in keys.items():
            payload = {"is_lost": key == lost or dice.random() < 0.4}
            put(corp, key, topic=topic, payload=payload, record=dice.choice(["", "r1", "r2"]))
        at, died = NOW, 0
        for _ in range(60):
            connection.close()  # the child must not share it
            nth = 1 if target is upkeep else dice.randint(1, 4)
            if died < 3 and run_and_die(target, name, moment, nth, partial(outbox.sweep, now=at)):
                died += 1
            elif died:
                outbox.sweep(now=at)
            at += HOUR
            if set(states().values()) == {"DONE"}:
                break
        assert died, "the point was not reached"
        assert set(states().values()) == {"DONE"}
        assert {key: effects()[key] for key in keys} == {key: ["done"] for key in keys}
        seen = Counter(fake.seen())
        assert set(seen) == set(keys)
        assert all(seen[key] == 1 for key, topic in keys.items() if topic == "fake")


@pytest.mark.django_db(transaction=True)
def test_the_sweep_delivers_what_nobody_rang_for(corp: Corp, wecom: Wecom, monkeypatch: pytest.MonkeyPatch) -> None:
    """F4: the broker is gone; a sweep each minute is enough."""
    assert schedule.ENTRIES["messages to WeCom"]["task"] == tasks.sweep_outbox.name
    monkeypatch.setattr(tasks, "ring_outbox", lambda lane: None)
    count = int(os.environ.get("OUTBOX_SWEPT", "300"))
    wecom.register("welcome", lane="WELCOME")
    now = timezone.now()
    for number in range(count):
        put(corp, f"k{number}", topic=("fake", "again", "welcome")[number % 3], now=now, expires_at=now + HOUR)
    tasks.sweep_outbox()
    if count > 300:  # a sweep gives up its turn after a while
        for _ in range(count // 1_000):
            tasks.sweep_outbox()
    assert set(states().values()) == {"DONE"}
    assert wecom.done == Counter(f"k{number}" for number in range(count))


def test_whoever_puts_back_asks_to_be_rung_again(corp: Corp, wecom: Wecom, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, float]] = []
    monkeypatch.setattr(tasks.celery, "ring_after", lambda task, seconds: asked.append((task.name, seconds)))
    monkeypatch.setattr(tasks, "_asked", {})
    put(corp, "k", now=timezone.now())
    wecom.script["k"] = [errors.Busy("e", -1)] * 2
    tasks.send_messages()
    [(name, seconds)] = asked
    assert name == tasks.send_messages.name and 0 < seconds <= 2
    tasks.send_messages()  # nothing is due, nothing more to ask
    assert len(asked) == 1
