"""What keeps the outbox going without a broker and after a kill."""

from __future__ import annotations

import datetime as dt

import structlog

from scrm import db
from scrm.errors import RuleViolation
from scrm.models import OutboxMessage
from scrm.wecom import errors
from scrm.wecom.outbox import ending
from scrm.wecom.outbox.rules import CHECK_SECONDS, LIMIT_SECONDS, MAX_AGE, MAX_CHECKS, pause
from scrm.wecom.outbox.sending import RUN_SECONDS, Run, Sent, alone, conclude, send_due
from scrm.wecom.outbox.topics import TOPICS, Verdict

TAKEN_UP_AT_ONCE = 1_000

Status = OutboxMessage.Status
log = structlog.get_logger(__name__)


def sweep(*, now: dt.datetime) -> Sent:
    """What keeps the outbox going without a broker and after a kill; one sweep at a time over all processes."""
    with db.advisory_lock("wecom outbox sweep") as is_ours:
        if not is_ours:
            return Sent()
        run = Run(now)
        _take_up(run)
        _look_after(run)
        fresh = send_due(now=run.at)
    for name, count in vars(run.sent).items():
        if name != "next_at":
            setattr(fresh, name, getattr(fresh, name) + count)
    fresh.next_at = min(filter(None, (fresh.next_at, run.sent.next_at)), default=None)
    return fresh


def _take_up(run: Run) -> None:
    """Messages whose worker died: sent again where that does no harm, unknown otherwise."""
    lost = OutboxMessage.objects.filter(status=Status.SENDING, lease_until__lte=run.at, topic__in=TOPICS)
    for message in lost.select_related("corp").order_by("pk")[:TAKEN_UP_AT_ONCE]:
        with alone(message) as is_ours:
            if is_ours:
                conclude(message, None, errors.Unreachable(message.topic, detail="worker"), run)


def _look_after(run: Run) -> None:
    """Read WeCom for the messages that may be done."""
    unknown = OutboxMessage.objects.filter(status=Status.UNKNOWN, not_before__lte=run.at, topic__in=TOPICS)
    for message in unknown.select_related("corp").order_by("pk")[:TAKEN_UP_AT_ONCE]:
        if run.seconds > RUN_SECONDS:
            return
        with alone(message) as is_ours:
            if is_ours and _claim_check(message, run.at):
                _check(message, run)


def _claim_check(message: OutboxMessage, at: dt.datetime) -> bool:
    """Count the look before it is made: one that kills its worker ends too."""
    checks = message.checks + 1
    next_at = at + pause(CHECK_SECONDS, checks) if checks < MAX_CHECKS else None
    claimed = OutboxMessage.objects.filter(pk=message.pk, status=Status.UNKNOWN, checks=message.checks).update(
        checks=checks, not_before=next_at
    )
    message.checks, message.not_before = checks, next_at
    return bool(claimed)


def _check(message: OutboxMessage, run: Run) -> None:
    topic = TOPICS[message.topic]
    try:
        if message.answer_sealed is not None:  # done, and only its settling failed
            verdict = Verdict.done(ending.opened(message.answer_sealed))
        else:
            verdict = topic.reconcile(ending.intent_of(message)) if topic.reconcile else Verdict.CANNOT_TELL
    except Exception as error:  # what cannot be read now is read again
        if not isinstance(error, RuleViolation):
            log.exception("wecom_reconcile_failed", topic=message.topic, message_id=message.pk)
        if isinstance(error, errors.RateLimited) and run.at - message.queued_at <= MAX_AGE:
            limit = error.retry_at or run.at + dt.timedelta(seconds=LIMIT_SECONDS)
            OutboxMessage.objects.filter(pk=message.pk, status=Status.UNKNOWN, checks=message.checks).update(
                checks=message.checks - 1, not_before=limit
            )
        return
    if topic.reconcile is None and verdict is Verdict.CANNOT_TELL:
        OutboxMessage.objects.filter(pk=message.pk, status=Status.UNKNOWN).update(not_before=None)
    if verdict.answer is not None:
        conclude(message, verdict.answer, None, run)
    elif verdict.name == Verdict.NOT_DONE.name:
        conclude(message, None, errors.Busy(message.topic), run)
