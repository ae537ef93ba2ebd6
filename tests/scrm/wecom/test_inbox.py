"""Events are applied in the order in which they happened, once, whoever works on them; poison holds up nobody else."""

from __future__ import annotations

import datetime as dt
import threading
import time
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scrm import schedule
from scrm.errors import RuleViolation
from scrm.models import Act, InboxEvent, Store, User
from scrm.wecom import inbox, tasks
from tests.scrm.wecom import calls
from tests.scrm.wecom.calls import AT, event, send

pytestmark = pytest.mark.django_db


def tell(*bodies: bytes) -> None:
    for body in bodies:
        assert send(body).status_code == 200


def process(**values: Any) -> inbox.Processed:
    return inbox.process(now=timezone.now(), **values)


def sweep() -> dict[str, int]:
    return inbox.sweep(now=timezone.now())


def statuses() -> list[str]:
    return list(InboxEvent.objects.order_by("event_at", "pk").values_list("status", flat=True))


def times(applied: list[inbox.Delivery]) -> list[int]:
    return [int(delivery.event_at.timestamp()) - AT for delivery in applied]


# --- what the row says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "aggregate"),
    [
        (event(UserID="Guide_1"), "change_external_contact|guide_1|wmA1"),
        (event(event="change_external_chat", ChatId="wrA", ChangeType="update"), "change_external_chat|wrA"),
        (event(event="change_external_tag", Id="etA", ChangeType="update"), "change_external_tag|etA"),
        (event(event="change_contact", UserID="G1", ChangeType="create_user"), "change_contact|g1||"),
        (event(event="change_contact", Id="18", ChangeType="create_party"), "change_contact||18|"),
        (event(event="change_contact", TagId="7", ChangeType="update_tag"), "change_contact|||7"),
        (event(event="customer_acquisition", LinkId="ca1", ChangeType="friend_request"), None),
        (event(event="template_card_event", TaskId="t1"), None),
        (event(event="change_external_tag", ChangeType="shuffle"), None),
    ],
)  # fmt: skip
def test_a_state_is_about_something_and_a_fact_stands_for_itself(endpoint: Any, body: bytes, aggregate: str) -> None:
    tell(body)
    kept = InboxEvent.objects.get()
    assert kept.aggregate == (aggregate or f"|{kept.body_hash}")


# --- order ------------------------------------------------------------------------------------------------------------


def test_a_handler_gets_what_was_said(endpoint: Any, applied: list[inbox.Delivery]) -> None:
    tell(event(State="a1", Remark="安琪"))
    assert vars(process()) == {"processed": 1, "stale": 0, "unknown": 0, "parked": 0, "failed": 0}
    [said] = applied
    assert (said.corp_id, said.event, said.change_type) == (
        calls.CORP_ID, "change_external_contact", "add_external_contact",
    )  # fmt: skip
    assert said.event_at == dt.datetime.fromtimestamp(AT, dt.UTC)
    assert (said.fields["State"], said.fields["Remark"], said.fields["UserID"]) == ("a1", "安琪", "guide_0001")
    assert process() == inbox.Processed()  # once


def test_a_kind_of_change_has_its_own_handler_or_that_of_the_event(endpoint: Any, applied: list[Any]) -> None:
    deleted: list[Any] = []
    inbox.register("change_external_contact", "del_follow_user", deleted.append)
    tell(event(), event(AT + 1, ChangeType="del_follow_user"))
    process()
    assert (len(applied), len(deleted)) == (1, 1)


def test_waiting_events_are_applied_as_they_happened(endpoint: Any, applied: list[inbox.Delivery]) -> None:
    tell(*(event(AT + second) for second in (3, 1, 2)))
    assert process().processed == 3
    assert times(applied) == [1, 2, 3]


def test_an_older_event_after_a_newer_one_is_kept_and_not_applied(endpoint: Any, applied: list[Any]) -> None:
    """W4"""
    tell(event(AT + 5))
    process()
    tell(event(AT + 4), event(AT + 4, ExternalUserID="wmOther"), event(AT + 5, State="same second"))
    assert (done := process()).stale == 1 and done.processed == 2
    assert statuses() == ["STALE", "PROCESSED", "PROCESSED", "PROCESSED"]
    assert sorted(times(applied)) == [4, 5, 5]


def test_an_overtaken_event_is_given_to_a_handler_that_wants_it(endpoint: Any) -> None:
    """W4: it learns that the state is older; a welcome code or a channel is said once and must not be lost."""
    given: list[inbox.Delivery] = []
    inbox.register("change_external_contact", "edit_external_contact", given.append)
    inbox.register("change_external_contact", "add_external_contact", given.append, takes_overtaken=True)
    tell(event(AT + 5, ChangeType="edit_external_contact"))
    process()
    tell(event(AT, State="a1"), event(AT + 1, ChangeType="edit_external_contact"), event(AT + 6))
    assert (done := process()).stale == 2 and done.processed == 1
    assert [(said.fields.get("State"), said.is_overtaken) for said in given] == [
        (None, False),
        ("a1", True),
        (None, False),
    ]
    assert statuses() == ["STALE", "STALE", "PROCESSED", "PROCESSED"]


def test_facts_do_not_overtake_each_other(endpoint: Any) -> None:
    given: list[Any] = []
    inbox.register("template_card_event", "", given.append)
    for second in (2, 1):
        tell(event(AT + second, event="template_card_event", TaskId="t1"))
        process()
    assert len(given) == 2


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_permuted_and_repeated_events_converge(endpoint: Any, data: st.DataObject) -> None:
    """W3: the state of each customer is that of the newest event, whatever came when."""
    state: dict[str, int] = {}

    def remember(said: inbox.Delivery) -> None:
        state[said.fields["ExternalUserID"]] = int(said.event_at.timestamp())

    inbox.register("change_external_contact", "", remember)
    said = data.draw(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(AT, AT + 9)), min_size=1, max_size=12))
    drained = data.draw(st.sets(st.integers(0, len(said))))
    with transaction.atomic():
        for number, (who, at) in enumerate(said):
            tell(event(at, ExternalUserID=who))
            if number in drained:
                process()
        process()
        assert state == {who: max(at for one, at in said if one == who) for who, _at in said}
        assert InboxEvent.objects.count() == len(set(said))
        assert set(statuses()) <= {"PROCESSED", "STALE"}
        transaction.set_rollback(True)


# --- unknown, poison, replay ------------------------------------------------------------------------------------------


def test_an_event_without_a_handler_is_kept_and_played_later(endpoint: Any) -> None:
    tell(event(event="change_future", Value="7"))
    assert process().unknown == 1
    assert process() == inbox.Processed()
    kept = InboxEvent.objects.get()
    assert (kept.status, kept.error_code) == ("UNKNOWN", "")
    given: list[inbox.Delivery] = []
    inbox.register("change_future", "", given.append)
    user = User.objects.create_user("hq", name="hq")
    assert inbox.replay(event_ids=[kept.pk], actor=user) == 1
    assert process().processed == 1
    assert given[0].fields["Value"] == "7"
    act = Act.objects.get(verb="wecom.replay")
    assert (act.actor, act.target_type, act.target_id) == (user, "scrm.InboxEvent", str(kept.pk))
    assert inbox.replay(event_ids=[kept.pk], actor=user) == 0  # done is done
    assert Act.objects.filter(verb="wecom.replay").count() == 1


def failing(who: str, error: Exception) -> list[str]:
    """A handler that fails for one customer, and whom it was asked for."""
    asked: list[str] = []

    def handle(said: inbox.Delivery) -> None:
        asked.append(said.fields["ExternalUserID"])
        Store.objects.update(name="changed")
        if said.fields["ExternalUserID"] == who and said.fields.get("State") != "fine":
            raise error

    inbox.register("change_external_contact", "", handle)
    return asked


def test_poison_is_parked_after_some_attempts_and_delays_nobody_else(endpoint: Any) -> None:
    """W7"""
    asked = failing("poison", ZeroDivisionError())
    tell(
        event(ExternalUserID="poison"),
        event(AT + 1, ExternalUserID="poison", State="fine"),
        event(ExternalUserID="wmB"),
    )
    done = process()
    assert (done.processed, done.failed) == (1, 1)
    assert asked == ["poison", "wmB"]
    process()  # another ring does not use attempts up
    assert asked == ["poison", "wmB"]
    for _ in range(inbox.MAX_ATTEMPTS - 2):
        assert sweep()["failed"] == 1
    assert sweep() == {"processed": 1, "stale": 0, "unknown": 0, "parked": 1, "failed": 0}  # what it held up comes next
    parked = InboxEvent.objects.get(status="PARKED")
    assert (parked.error_code, parked.error_place, parked.attempts) == (
        "internal_error", "ZeroDivisionError", inbox.MAX_ATTEMPTS,
    )  # fmt: skip
    assert parked.processed_at is not None
    assert sum(sweep().values()) == 0


def test_a_failed_handler_leaves_nothing_behind(endpoint: Any) -> None:
    failing("poison", OperationalError())
    before = list(Store.objects.values_list("name"))
    tell(event(ExternalUserID="poison"))
    process()
    assert list(Store.objects.values_list("name")) == before


def test_what_a_rule_refuses_is_parked_at_once_under_its_code(endpoint: Any) -> None:
    failing("refused", RuleViolation("no", code="no_such_guide"))
    tell(event(ExternalUserID="refused"), event(AT + 1, ExternalUserID="refused", State="fine"))
    done = process()
    assert (done.parked, done.processed) == (1, 1)
    parked = InboxEvent.objects.get(status="PARKED")
    assert (parked.error_code, parked.attempts) == ("no_such_guide", 1)


def test_a_parked_event_is_played_again(endpoint: Any, applied: list[inbox.Delivery]) -> None:
    failing("wmA1", RuleViolation("no", code="no_such_guide"))
    tell(event(), event(ExternalUserID="wmB"))
    process()
    inbox.register("change_external_contact", "", applied.append)
    left = list(InboxEvent.objects.values_list("pk", flat=True))
    assert inbox.replay(event_ids=left, actor=None) == 1
    kept = InboxEvent.objects.get(status="RECEIVED")
    assert (kept.attempts, kept.error_code, kept.processed_at) == (0, "", None)
    assert process().processed == 1
    assert [said.fields["ExternalUserID"] for said in applied] == ["wmA1"]


def test_a_replayed_event_does_not_overwrite_what_came_after_it(endpoint: Any, applied: list[Any]) -> None:
    failing("wmA1", RuleViolation("no"))
    tell(event(), event(AT + 1, State="fine"))
    process()
    inbox.register("change_external_contact", "", applied.append)
    inbox.replay(event_ids=InboxEvent.objects.values_list("pk", flat=True), actor=None)
    assert process().stale == 1
    assert applied == []


def test_an_event_that_kills_its_worker_is_parked(endpoint: Any, applied: list[Any]) -> None:
    tell(event())
    InboxEvent.objects.update(attempts=inbox.MAX_ATTEMPTS)
    assert sweep()["parked"] == 1
    assert (InboxEvent.objects.get().error_place, applied) == ("worker", [])


def test_a_sealed_body_that_was_changed_is_parked(endpoint: Any, applied: list[Any]) -> None:
    tell(event())
    InboxEvent.objects.update(body_sealed=b"\x01" + bytes(40))
    process()
    for _ in range(inbox.MAX_ATTEMPTS):
        sweep()
    assert InboxEvent.objects.get().error_place == "SealBroken"


# --- lanes, sweep -----------------------------------------------------------------------------------------------------


def test_welcomes_have_a_lane_of_their_own_and_come_first(endpoint: Any, applied: list[inbox.Delivery]) -> None:
    tell(*(event(ExternalUserID=f"wm{number}") for number in range(3)))
    tell(event(ExternalUserID="wmNew", WelcomeCode="C"))
    tasks.process_welcomes()
    assert [said.fields["ExternalUserID"] for said in applied] == ["wmNew"]
    tell(event(ExternalUserID="wmNext", WelcomeCode="C"))
    tasks.process_events()
    assert [said.fields["ExternalUserID"] for said in applied] == ["wmNew", "wmNext", "wm0", "wm1", "wm2"]


def test_a_welcome_brings_along_what_happened_before_it(endpoint: Any, applied: list[inbox.Delivery]) -> None:
    tell(event(AT, ChangeType="del_follow_user"), event(AT + 1, WelcomeCode="C"))
    assert process(lane="WELCOME").processed == 2
    assert times(applied) == [0, 1]


def test_the_sweep_takes_what_nobody_rang_for(endpoint: Any, applied: list[Any]) -> None:
    assert schedule.ENTRIES["WeCom events"]["task"] == tasks.sweep_inbox.name
    tell(event())
    tasks.sweep_inbox()
    assert statuses() == ["PROCESSED"]


def test_old_events_are_deleted_unless_something_about_the_same_waits(endpoint: Any, applied: list[Any]) -> None:
    assert schedule.ENTRIES["old events and messages of WeCom"]["task"] == tasks.forget_wecom.name
    failing("poison", RuleViolation("no"))
    tell(event(AT, ExternalUserID="poison"), event(AT + 1, ExternalUserID="poison", State="fine"))
    tell(event(AT), event(AT + 1), event(event="change_future"))
    process()
    InboxEvent.objects.update(received_at=timezone.now() - dt.timedelta(days=11))
    tell(event(AT + 2))  # waits
    now = timezone.now()
    assert inbox.forget(now=now, days=12) == 0
    assert inbox.forget(now=now, days=10) == 1  # the unknown one
    process()
    assert inbox.forget(now=now, days=10) == 2
    inbox.replay(event_ids=InboxEvent.objects.values_list("pk", flat=True), actor=None)
    assert process().stale == 1  # what overtook the parked one is still there
    assert statuses() == ["STALE", "PROCESSED", "PROCESSED"]


# --- at the same time -------------------------------------------------------------------------------------------------


def together(count: int, work: Any) -> None:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.django_db(transaction=True)
def test_the_same_body_at_the_same_time_is_one_row() -> None:
    calls.endpoint()
    together(6, lambda: tell(event()))
    assert InboxEvent.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_workers_share_the_aggregates_and_keep_the_order_of_each() -> None:
    """Six workers, five customers with eight events each: none twice, none at the same time, none in another order."""
    calls.endpoint()
    taken: list[tuple[str, int]] = []
    at_work: list[str] = []
    clashes: list[str] = []

    def handle(said: inbox.Delivery) -> None:
        who = said.fields["ExternalUserID"]
        if who in at_work:
            clashes.append(who)
        at_work.append(who)
        time.sleep(0.002)
        taken.append((who, int(said.event_at.timestamp())))
        at_work.remove(who)

    inbox.register("change_external_contact", "", handle)
    tell(*(event(AT + second, ExternalUserID=f"wm{who}") for second in range(8) for who in range(5)))
    together(6, lambda: (process(), sweep()))
    assert clashes == []
    assert len(taken) == 40 == len(set(taken))
    for who in range(5):
        assert [at for one, at in taken if one == f"wm{who}"] == [AT + second for second in range(8)]
    assert set(statuses()) == {"PROCESSED"}
    assert set(InboxEvent.objects.values_list("attempts", flat=True)) == {1}  # nobody even tried what others had


@pytest.mark.django_db(transaction=True)
def test_an_event_that_comes_while_its_aggregate_is_in_work_does_not_wait_for_the_sweep() -> None:
    calls.endpoint()
    done: list[int] = []
    is_busy, may_go_on = threading.Event(), threading.Event()

    def handle(said: inbox.Delivery) -> None:
        done.append(int(said.event_at.timestamp()) - AT)
        is_busy.set()
        may_go_on.wait(10)

    inbox.register("change_external_contact", "", handle)
    tell(event())

    def first() -> None:
        process()
        connection.close()

    worker = threading.Thread(target=first)
    worker.start()
    assert is_busy.wait(10)
    tell(event(AT + 1))
    assert process() == inbox.Processed()  # the bell's worker finds the customer in other hands and goes
    may_go_on.set()
    worker.join()
    assert done == [0, 1]
