"""Reserve, send, settle: the messages that are due, one after the other, as many workers as like."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q

from scrm import db
from scrm.errors import RuleViolation
from scrm.models import Corp, OutboxMessage
from scrm.wecom import errors
from scrm.wecom.outbox import ending
from scrm.wecom.outbox.rules import Next, after
from scrm.wecom.outbox.topics import TOPICS, TooLate

LEASE = dt.timedelta(seconds=60)  # then a message in nobody's hands has lost its worker
RUN_SECONDS = 50.0  # then a worker lets others have a turn

Status = OutboxMessage.Status
log = structlog.get_logger(__name__)


@dataclass
class Sent:
    """What became of the messages taken; ``next_at``: when the first of those put back is due."""

    done: int = 0
    refused: int = 0
    unknown: int = 0
    expired: int = 0
    put_back: int = 0
    next_at: dt.datetime | None = None

    def count(self, status: str, at: dt.datetime | None) -> None:
        name = "put_back" if status == Status.WAITING else status.lower()
        setattr(self, name, getattr(self, name) + 1)
        if status == Status.WAITING and at is not None:
            self.next_at = min(self.next_at or at, at)


@dataclass
class Run:
    """One run of a worker: its clock goes on from ``now``; a line (topic, corp) that WeCom limits rests until its end."""

    now: dt.datetime
    sent: Sent = field(default_factory=Sent)
    resting: set[tuple[str, int]] = field(default_factory=set)
    _started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def at(self) -> dt.datetime:
        return self.now + dt.timedelta(seconds=self.seconds)


def send_due(*, now: dt.datetime, lane: str = "") -> Sent:
    """Send what is due, of one lane or of both, one message of each topic in turn, until nothing is left or time is up."""
    db.require_no_transaction()
    run = Run(now)
    corps = list(Corp.objects.order_by("pk").values_list("pk", flat=True))
    lines = [(name, corp) for name, topic in TOPICS.items() if lane in ("", topic.lane) for corp in corps]
    while True:
        going, is_over = [line for line in lines if line not in run.resting], True
        while going:
            if run.seconds > RUN_SECONDS:
                run.sent.next_at = run.at
                return run.sent
            going = [line for line in going if _send_next(line, run)]
            is_over = is_over and not going
        if is_over:  # after a round that sent something another line's record may be free
            return run.sent


def _send_next(line: tuple[str, int], run: Run) -> bool:
    """Whether this line may have more that is due."""
    message = _reserve(line, run)
    if message is None:
        return False
    if message.status != Status.SENDING:  # too late, and ended
        return True
    with alone(message) as is_ours:
        if not is_ours:  # somebody is on the same record
            _put_back(message, run)
            return False
        error = _attempt(message, run)
    if isinstance(error, errors.RateLimited):
        run.resting.add(line)
        return False
    return True


def _reserve(line: tuple[str, int], run: Run) -> OutboxMessage | None:
    """The line's next message, ours for LEASE, or ended because it is too late."""
    at = run.at
    others = OutboxMessage.objects.filter(corp=OuterRef("corp"), record=OuterRef("record")).exclude(
        Q(record="") | Q(pk=OuterRef("pk"))
    )
    busy = others.filter(
        Q(status=Status.SENDING)
        | Q(status=Status.UNKNOWN, not_before__isnull=False)
        | Q(status=Status.WAITING, pk__lt=OuterRef("pk"))
    )
    due = OutboxMessage.objects.filter(
        Q(record="") | ~Exists(busy), topic=line[0], corp=line[1], status=Status.WAITING, not_before__lte=at
    )
    with transaction.atomic():
        message = (
            due.select_for_update(skip_locked=True, of=("self",))
            .select_related("corp")
            .order_by("not_before", "pk")
            .first()
        )
        if message is not None and message.expires_at is not None and message.expires_at <= at:
            run.sent.count(ending.end_safely(message, Next(Status.EXPIRED), None, TooLate(message.topic), at), None)
        elif message is not None:
            message.status, message.lease_until = Status.SENDING, at + LEASE
            message.attempts += 1  # before anything is done: what kills its worker ends too
            message.save(update_fields=["status", "lease_until", "attempts"])
    return message


@contextmanager
def alone(message: OutboxMessage) -> Iterator[bool]:
    """In nobody else's hands: the lock ends with its connection, however the worker dies. One record has one lock."""
    about = f"{message.corp_id} {message.record}" if message.record else str(message.pk)
    with db.advisory_lock(f"wecom outbox {about}") as is_ours:
        yield is_ours


def _put_back(message: OutboxMessage, run: Run) -> None:
    OutboxMessage.objects.filter(pk=message.pk, status=Status.SENDING, lease_until=message.lease_until).update(
        status=Status.WAITING, attempts=F("attempts") - 1, lease_until=None
    )
    run.sent.count(Status.WAITING, run.at + dt.timedelta(seconds=1))


def _attempt(message: OutboxMessage, run: Run) -> Exception | None:
    """Send one message and settle it; the error it met, if any."""
    answer, error = None, None
    try:
        answer = TOPICS[message.topic].send(ending.intent_of(message))
    except Exception as failure:  # the row says what it was; other messages go on
        error = failure
        if not isinstance(failure, RuleViolation):
            log.exception("wecom_send_failed", topic=message.topic, message_id=message.pk)
    conclude(message, answer, error, run)
    return error


def conclude(message: OutboxMessage, answer: dict[str, Any] | None, error: Exception | None, run: Run) -> None:
    """Write what became of an attempt, unless somebody has written it already."""
    at = run.at
    if error is None:
        found = Next(Status.DONE)
    else:
        found = after(
            error,
            is_repeatable=TOPICS[message.topic].is_repeatable,
            attempts=message.attempts,
            queued_at=message.queued_at,
            now=at,
        )
    _revive()
    with transaction.atomic():
        held = OutboxMessage.objects.filter(
            pk=message.pk, lease_until=message.lease_until, status__in=(Status.SENDING, Status.UNKNOWN)
        )
        row = held.select_for_update(of=("self",)).select_related("corp").first()
        if row is None:  # our connection was lost and another worker has taken it up meanwhile
            log.warning("wecom_message_taken_over", topic=message.topic, message_id=message.pk)
            return
        row.attempts -= not found.is_counted
        run.sent.count(ending.end_safely(row, found, answer, error, at), row.not_before)


def _revive() -> None:
    """The network took long: a connection lost meanwhile is replaced, and its locks are gone with it."""
    if connection.errors_occurred and not connection.is_usable():
        connection.close()
