"""The end of an attempt: the row and its topic's effects in one transaction, and what to do when those stumble."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import structlog
from django.db import transaction

from scrm import crypto
from scrm.errors import RuleViolation
from scrm.models import OutboxMessage
from scrm.wecom.errors import WecomError
from scrm.wecom.outbox.rules import FIRST_PAUSE_SECONDS, MAX_ATTEMPTS, MAX_CHECKS, Next, pause
from scrm.wecom.outbox.topics import TOPICS, Intent

PURPOSE = "wecom outbox"  # bound into the seal

Status = OutboxMessage.Status
ENDED = (Status.DONE, Status.REFUSED, Status.CANCELLED, Status.EXPIRED)
log = structlog.get_logger(__name__)


def end_safely(
    row: OutboxMessage, found: Next, answer: dict[str, Any] | None, error: Exception | None, at: dt.datetime
) -> str:
    """``_end``; where the topic cannot settle, the row keeps the answer and is settled later. The new state."""
    try:
        with transaction.atomic():
            return end(row, found, answer, error, at)
    except Exception as failure:  # what WeCom has done must not be asked for again because we stumble
        log.exception("wecom_settle_failed", topic=row.topic, message_id=row.pk)
        row.refresh_from_db()
        _keep(row, found, answer, at)
        row.error_code, row.error_detail = _named(failure)
        row.save()
        return row.status


def _keep(row: OutboxMessage, found: Next, answer: dict[str, Any] | None, at: dt.datetime) -> None:
    """What is done is settled later from its answer; what is not is refused again, or too late again, up to the usual end."""
    if answer is not None:
        row.status, row.answer_sealed = Status.UNKNOWN, _sealed(answer)
        row.not_before = at + pause(FIRST_PAUSE_SECONDS, row.checks + 1) if row.checks < MAX_CHECKS else None
    elif row.attempts < MAX_ATTEMPTS:
        row.attempts += found.status == Status.EXPIRED  # was not counted yet
        row.status, row.not_before = Status.WAITING, at + pause(FIRST_PAUSE_SECONDS, row.attempts)
    else:
        row.status, row.not_before, row.settled_at = Status(found.status), None, at


def end(
    row: OutboxMessage, found: Next, answer: dict[str, Any] | None, error: Exception | None, at: dt.datetime
) -> str:
    """Write the state ``found`` with its topic's effects, in the caller's transaction."""
    row.status, row.not_before = found.status, found.at
    if row.expires_at is not None and row.not_before is not None and row.status == Status.WAITING:
        row.not_before = min(row.not_before, row.expires_at)  # it ends when it is too late, not later
    row.error_code, row.error_detail = _named(error) if error is not None else ("", "")
    if row.status != Status.UNKNOWN:
        row.checks = 0
    if row.status in ENDED:
        row.settled_at = at
        row.answer_sealed = None if answer is None else _sealed(answer)
    row.save()
    if row.status in ENDED:
        topic = TOPICS[row.topic]
        topic.settle(intent_of(row), answer, None if answer is not None else _as_wecom(error, row.topic))
    return row.status


def _sealed(values: dict[str, Any]) -> bytes:
    return crypto.seal_text(PURPOSE, json.dumps(values, ensure_ascii=False))


def opened(sealed: bytes | memoryview) -> dict[str, Any]:
    return json.loads(crypto.open_text(PURPOSE, bytes(sealed)))


def intent_of(message: OutboxMessage) -> Intent:
    payload = opened(message.payload_sealed)
    return Intent(message.pk, message.topic, message.corp, message.key, payload, message.attempts, message.created_at)


def _named(error: Exception) -> tuple[str, str]:
    """The code that people are told, and WeCom's number or the kind of error."""
    if not isinstance(error, RuleViolation):
        return "internal_error", type(error).__name__
    errcode = getattr(error, "errcode", None)
    return error.code, "" if errcode is None else str(errcode)


def _as_wecom(error: Exception | None, topic: str) -> WecomError:
    if isinstance(error, WecomError):
        return error
    stopped = WecomError(topic)
    if isinstance(error, RuleViolation):
        stopped.code, stopped.message = error.code, error.message
    return stopped
