"""Writing messages with the change that wants them, and what people may do about those that are left."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from scrm import audit, crypto, db
from scrm.errors import RuleViolation
from scrm.models import Corp, OutboxMessage
from scrm.wecom.outbox import ending
from scrm.wecom.outbox.rules import Next
from scrm.wecom.outbox.topics import TOPICS, Cancelled

WELCOME_LIFE = dt.timedelta(seconds=20)  # WeCom's
FORGOTTEN_AT_ONCE = 1_000

Status, Lane = OutboxMessage.Status, OutboxMessage.Lane
FORGOTTEN = (Status.DONE, Status.CANCELLED, Status.EXPIRED)


class OtherContent(RuleViolation):
    """The key is taken by a message of other content."""

    code = "outbox_other_content"


class NotPossible(RuleViolation):
    code = "outbox_not_possible"


def enqueue(
    *,
    topic: str,
    corp: Corp,
    key: str,
    payload: dict[str, Any],
    now: dt.datetime,
    record: str = "",
    not_before: dt.datetime | None = None,
    expires_at: dt.datetime | None = None,
    actor: Any = None,
) -> OutboxMessage:
    """Write a message in the caller's transaction; it is sent after the commit. Raises OtherContent.

    ``key`` names the business fact within topic and corp. ``record`` is what WeCom must not be asked to change twice at a
    time (a pair, a handover). A welcome expires after 20 seconds unless ``expires_at`` says otherwise.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("a message is written in the transaction of the change that wants it")
    known = TOPICS[topic]
    if expires_at is None and known.lane == Lane.WELCOME:
        expires_at = now + WELCOME_LIFE
    text = json.dumps(payload, ensure_ascii=False, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    message, is_new = OutboxMessage.objects.get_or_create(
        topic=topic,
        corp=corp,
        key=key,
        defaults={
            "payload_sealed": crypto.seal_text(ending.PURPOSE, text),
            "payload_hash": digest,
            "record": record,
            "lane": known.lane,
            "not_before": not_before or now,
            "expires_at": expires_at,
            "requested_by": actor,
            "created_at": now,
            "queued_at": now,
        },
    )
    if message.payload_hash != digest:
        raise OtherContent(_("This was asked of WeCom before, with other content (%(key)s).") % {"key": key})
    if is_new:
        transaction.on_commit(lambda: _ring(known.lane))
    return message


# --- acts of people ---------------------------------------------------------------------------------------------------


def may_retry(message: OutboxMessage) -> bool:
    """Refused, or unknown and WeCom is no longer asked."""
    return message.status == Status.REFUSED or (message.status == Status.UNKNOWN and message.not_before is None)


def may_cancel(message: OutboxMessage) -> bool:
    return message.status == Status.WAITING or (message.status == Status.UNKNOWN and message.not_before is None)


def may_ask_again(message: OutboxMessage) -> bool:
    return message.status == Status.UNKNOWN


@transaction.atomic
def retry(*, message: OutboxMessage, actor: Any, now: dt.datetime) -> None:
    """Send it again, whatever was tried before. Raises NotPossible."""
    message = _locked(message, may_retry)
    message.status, message.not_before, message.queued_at = Status.WAITING, now, now
    message.attempts, message.checks, message.lease_until, message.answer_sealed = 0, 0, None, None
    message.error_code, message.error_detail, message.settled_at = "", "", None
    message.save()
    audit.record(actor=actor, verb="outbox.retry", target=message)
    transaction.on_commit(lambda: _ring(message.lane))


@transaction.atomic
def retry_all(*, message_ids: Iterable[int], actor: Any, now: dt.datetime) -> int:
    """Send again those of them that may be; how many."""
    refused = db.lock(OutboxMessage.objects.filter(pk__in=list(message_ids), status=Status.REFUSED))
    for message in refused:
        retry(message=message, actor=actor, now=now)
    return len(refused)


@transaction.atomic
def cancel(*, message: OutboxMessage, actor: Any, now: dt.datetime) -> None:
    """Give it up: it is not going to be sent. Raises NotPossible."""
    message = _locked(message, may_cancel)
    ending.end(message, Next(Status.CANCELLED), None, Cancelled(message.topic), now)
    audit.record(actor=actor, verb="outbox.cancel", target=message)


@transaction.atomic
def ask_again(*, message: OutboxMessage, actor: Any, now: dt.datetime) -> None:
    """Have WeCom read again whether it is done. Raises NotPossible."""
    message = _locked(message, may_ask_again)
    message.checks, message.not_before = 0, now
    message.save(update_fields=["checks", "not_before"])
    audit.record(actor=actor, verb="outbox.ask_again", target=message)
    transaction.on_commit(_ring_sweep)


def _locked(message: OutboxMessage, is_possible: Callable[[OutboxMessage], bool]) -> OutboxMessage:
    (message,) = db.lock(OutboxMessage.objects.select_related("corp").filter(pk=message.pk))
    if not is_possible(message):
        raise NotPossible(_("This is not possible in the present state."))
    return message


def forget(*, now: dt.datetime, days: int) -> int:
    """Delete messages that ended well over ``days`` ago; how many. Their keys are free again; refused ones stay."""
    before, done = now - dt.timedelta(days=days), 0
    while True:
        old = OutboxMessage.objects.filter(status__in=FORGOTTEN, settled_at__lt=before).order_by("settled_at")
        count = OutboxMessage.objects.filter(
            pk__in=list(old.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
        ).delete()[0]
        done += count
        if count < FORGOTTEN_AT_ONCE:
            return done


def _ring(lane: str) -> None:
    from scrm.wecom import tasks  # tasks imports this module

    tasks.ring_outbox(lane)


def _ring_sweep() -> None:
    from scrm.wecom import tasks

    tasks.ring_outbox_sweep()
