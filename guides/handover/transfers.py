"""What WeCom is asked to do for a handover, through the outbox.

1. Up to 100 customers of one giver and one taker are one message; the messages of one giver go one after the other, so that
   WeCom never meets two of them (45035).
2. WeCom answers per customer. 0 and "already in transfer" wait for the result; a limit, a refusal, a stranger end the item
   under its own state; what is busy is asked again, ASKED_MOST times in all.
3. A message whose answer was lost is never sent again blindly: who shows up among the results has begun, the others are
   asked in a new message. When nobody shows up it was not done.
4. Whatever WeCom says, the binding stays with the new guide.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, TypeVar

from django.db.models import F
from django.utils import timezone

from guides.models import HandoverCase, HandoverGroup, HandoverItem, HandoverTaker
from scrm import db
from scrm.wecom import corps, groups, outbox
from scrm.wecom import transfers as wecom
from scrm.wecom.errors import WecomError

TOPIC, GROUP_TOPIC = "handover.transfer", "handover.groups"
BATCH = wecom.CUSTOMERS_PER_CALL
ASKED_MOST = 3
WAITS = dt.timedelta(hours=24)  # until WeCom moves the friend
POLL_AFTER = dt.timedelta(minutes=5)  # after the moment at which it should have

State, GroupState = HandoverItem.State, HandoverGroup.State
STATE_OF = {
    wecom.BEGUN: State.WAITING,
    40100: State.WAITING,
    40129: State.WAITING,
    40099: State.AT_LIMIT,
    40128: State.TWICE_IN_90_DAYS,
    40096: State.NOT_CUSTOMER,
    40131: State.NOT_CUSTOMER,
    84061: State.NOT_CUSTOMER,
}
BUSY_CODES = frozenset({-1, 45033, 45035})
NO_ANSWER = "no_answer"
OWNER_STAYS, OWNER_LEFT = "90500", "90502"  # WeCom's word on one group: the other call is the right one
NAME_CHARS = 128

T = TypeVar("T")


def register() -> None:
    """Called from ``AppConfig.ready``."""
    outbox.register(TOPIC, send=send, settle=settle, reconcile=reconcile, is_repeatable=False)
    outbox.register(
        GROUP_TOPIC, send=send_groups, settle=settle_groups, reconcile=reconcile_groups, is_repeatable=False
    )


def batches(rows: Iterable[T], *, key: Callable[[T], Any]) -> Iterator[list[T]]:
    """Rows of one key, up to BATCH at a time."""
    for _key, some in groupby(sorted(rows, key=key), key=key):
        members = list(some)
        yield from (members[start : start + BATCH] for start in range(0, len(members), BATCH))


# --- customers --------------------------------------------------------------------------------------------------------


def ask(
    *, case: HandoverCase, items: Sequence[HandoverItem], now: dt.datetime, not_before: dt.datetime | None = None
) -> None:
    """Write the messages for items with a contact and a taker on WeCom; they are ASKED from then on."""
    if not items:
        return
    assert case.corp is not None
    for batch in batches(items, key=lambda item: item.taker_id):
        first = batch[0]
        assert first.taker is not None
        payload = {
            "handover": case.userid,
            "takeover": first.taker.userid,
            "is_resigned": case.is_resigned,
            "message": case.message,
            "items": [item.pk for item in batch],
            "customers": [item.contact.external_userid for item in batch if item.contact is not None],
        }
        outbox.enqueue(
            topic=TOPIC, corp=case.corp, key=f"{case.pk}/{first.pk}/{first.asked_count + 1}", payload=payload,
            record=f"handover {case.userid}", now=now, not_before=not_before,
        )  # fmt: skip
    keys = [item.pk for item in items]
    HandoverItem.objects.filter(pk__in=keys).update(
        state=State.ASKED, state_at=now, asked_at=now, asked_count=items[0].asked_count + 1
    )


def send(intent: outbox.Intent) -> dict[str, Any]:
    said = intent.payload
    return {
        "codes": wecom.start(
            corps.app_of(intent.corp),
            handover=said["handover"],
            takeover=said["takeover"],
            external_userids=said["customers"],
            is_resigned=said["is_resigned"],
            message=said["message"],
        )
    }


def reconcile(intent: outbox.Intent) -> outbox.Verdict:
    """Who has begun shows up in the results; of earlier transfers of the pair the time tells."""
    said = intent.payload
    found = wecom.results(
        corps.app_of(intent.corp),
        handover=said["handover"],
        takeover=said["takeover"],
        is_resigned=said["is_resigned"],
    )
    ours = set(said["customers"])
    begun = {
        result.external_userid: wecom.BEGUN
        for result in found
        if result.external_userid in ours and (result.takeover_at is None or result.takeover_at > intent.created_at)
    }
    return outbox.Verdict.done({"codes": begun, "is_partial": True}) if begun else outbox.Verdict.NOT_DONE


def settle(intent: outbox.Intent, answer: dict[str, Any] | None, error: WecomError | None) -> None:
    now = timezone.now()
    rows = HandoverItem.objects.filter(pk__in=intent.payload["items"], state__in=(State.ASKED, State.FAILED))
    items = db.lock(rows.select_related("case__corp", "taker", "contact"))
    again = []
    for item in items:
        state, code = _judged(item, answer, error)
        if state == State.ASKED:
            again.append(item)
        item.state, item.code, item.state_at = state, code, now
        item.takeover_at = now + WAITS if state == State.WAITING else None
    HandoverItem.objects.bulk_update(items, ["state", "code", "state_at", "takeover_at"])
    poll_at = now + WAITS + POLL_AFTER
    waiting = {item.taker_id for item in items if item.state == State.WAITING}
    HandoverTaker.objects.filter(pk__in=waiting, next_poll_at=None).update(next_poll_at=poll_at)
    for count in {item.asked_count for item in again}:
        some = [item for item in again if item.asked_count == count]
        ask(case=some[0].case, items=some, now=now, not_before=now + dt.timedelta(minutes=count))
    if items:
        _finish(items[0].case_id, now)


def _judged(item: HandoverItem, answer: dict[str, Any] | None, error: WecomError | None) -> tuple[str, str]:
    """The item's new state and code; ASKED: in another message."""
    if error is not None or answer is None:
        number = error.errcode if error is not None else None
        return State.FAILED, str(number) if number is not None else error.code if error is not None else NO_ANSWER
    assert item.contact is not None
    number = answer["codes"].get(item.contact.external_userid)
    may_ask = item.asked_count < ASKED_MOST
    if number is None:
        return (State.ASKED, "") if answer.get("is_partial") and may_ask else (State.FAILED, NO_ANSWER)
    if number in BUSY_CODES and may_ask:
        return State.ASKED, ""
    state = STATE_OF.get(number, State.FAILED)
    return state, "" if number == wecom.BEGUN else str(number)


# --- groups -----------------------------------------------------------------------------------------------------------


def ask_groups(*, case: HandoverCase, rows: Sequence[HandoverGroup], now: dt.datetime, not_before: dt.datetime) -> None:
    """Write the message that gives up to 100 groups to one taker; for all of them the owner has left, or for none."""
    assert case.corp is not None and len(rows) <= wecom.GROUPS_PER_CALL
    again = f"/{rows[0].asked_count + 1}" if rows[0].asked_count else ""
    outbox.enqueue(
        topic=GROUP_TOPIC, corp=case.corp, key=f"{case.pk}/{rows[0].pk}{again}",
        payload={
            "takeover": rows[0].taker.userid,
            "is_resigned": owner_has_left(case, rows[0]),
            "groups": [row.pk for row in rows],
            "chats": [row.chat_id for row in rows],
        },
        record=f"handover {case.userid}", now=now, not_before=not_before,
    )  # fmt: skip
    HandoverGroup.objects.filter(pk__in=[row.pk for row in rows]).update(
        state=GroupState.ASKED, state_at=now, asked_count=F("asked_count") + 1
    )


def owner_has_left(case: HandoverCase, group: HandoverGroup) -> bool:
    """As the case says, unless WeCom has said otherwise of this group."""
    return {OWNER_LEFT: True, OWNER_STAYS: False}.get(group.code, case.is_resigned)


def send_groups(intent: outbox.Intent) -> dict[str, Any]:
    said = intent.payload
    failed = wecom.start_groups(
        corps.app_of(intent.corp),
        chat_ids=said["chats"],
        new_owner=said["takeover"],
        is_resigned=said["is_resigned"],
    )
    return {"failed": failed, "names": _names(intent, failed)}


def _names(intent: outbox.Intent, chat_ids: Iterable[str]) -> dict[str, str]:
    """How the groups that stayed are called, so that a person knows them; what cannot be read goes without."""
    app, names = corps.app_of(intent.corp), {}
    for chat_id in chat_ids:
        try:
            names[chat_id] = groups.get(app, chat_id).name
        except WecomError:
            break
    return names


def reconcile_groups(intent: outbox.Intent) -> outbox.Verdict:
    """Groups move at once: those whose owner is the taker have moved."""
    app, takeover = corps.app_of(intent.corp), intent.payload["takeover"].lower()
    staying = {}
    for chat_id in intent.payload["chats"]:
        if groups.get(app, chat_id).owner.lower() != takeover:
            staying[chat_id] = NO_ANSWER
    is_done = len(staying) < len(intent.payload["chats"])
    return outbox.Verdict.done({"failed": staying}) if is_done else outbox.Verdict.NOT_DONE


def settle_groups(intent: outbox.Intent, answer: dict[str, Any] | None, error: WecomError | None) -> None:
    now = timezone.now()
    rows = db.lock(HandoverGroup.objects.filter(pk__in=intent.payload["groups"]))
    for row in rows:
        code: Any = ""
        if error is not None:
            code = error.code if error.errcode is None else error.errcode
        elif answer is not None:
            code = answer["failed"].get(row.chat_id, "")
        row.state, row.code, row.state_at = GroupState.FAILED if code else GroupState.DONE, str(code), now
        row.name = (answer or {}).get("names", {}).get(row.chat_id, row.name)[:NAME_CHARS]
    HandoverGroup.objects.bulk_update(rows, ["state", "code", "state_at", "name"])
    if rows:
        _finish(rows[0].case_id, now)


def _finish(case_id: int, now: dt.datetime) -> None:
    from guides.handover import moving  # moving asks through this module

    moving.finish(case_id=case_id, now=now)
