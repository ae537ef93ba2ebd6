"""What follows from an attempt: pure, without a clock or a table."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from scrm.errors import RuleViolation
from scrm.models import OutboxMessage
from scrm.wecom import errors

MAX_ATTEMPTS = 20
FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 2, 3600  # after an attempt that failed, doubled each time
NOT_YET_SECONDS = 60  # the first pause where WeCom must end something first
CHECK_SECONDS = 120  # after the first time WeCom was asked in vain whether it is done
MAX_CHECKS = 8  # over four hours
MAX_AGE = dt.timedelta(days=7)
LIMIT_SECONDS = 60  # of a rate limit that says no time
SETTLING = dt.timedelta(seconds=60)  # before WeCom is asked whether it is done: a call may last that long

Status = OutboxMessage.Status


@dataclass(frozen=True, slots=True)
class Next:
    """The state after an attempt, when something happens next (None: nothing by itself), whether the attempt counts."""

    status: str
    at: dt.datetime | None = None
    is_counted: bool = True


def after(error: Exception, *, is_repeatable: bool, attempts: int, queued_at: dt.datetime, now: dt.datetime) -> Next:
    """What follows from ``error`` at the ``attempts``-th attempt of a message that waits since ``queued_at``."""
    if not is_repeatable and _may_be_done(error):
        return Next(Status.UNKNOWN, now + SETTLING)
    is_passing = isinstance(error, errors.Retryable) or not isinstance(error, RuleViolation)
    is_limited = isinstance(error, errors.RateLimited)
    if not is_passing or now - queued_at > MAX_AGE or (attempts >= MAX_ATTEMPTS and not is_limited):
        return Next(Status.REFUSED)
    if isinstance(error, errors.RateLimited):
        return Next(Status.WAITING, error.retry_at or now + dt.timedelta(seconds=LIMIT_SECONDS), is_counted=False)
    first = NOT_YET_SECONDS if isinstance(error, errors.NotYet) else FIRST_PAUSE_SECONDS
    return Next(Status.WAITING, now + pause(first, attempts))


def pause(first_seconds: int, count: int) -> dt.timedelta:
    """After the ``count``-th time: ``first_seconds``, doubled each time."""
    return dt.timedelta(seconds=min(first_seconds * 2 ** min(count - 1, 20), MOST_PAUSE_SECONDS))


def _may_be_done(error: Exception) -> bool:
    """A call that got no answer, or one that cannot be read; also when our own code fell over it."""
    if isinstance(error, errors.Unreachable):
        return error.may_be_done
    return isinstance(error, errors.Malformed) or not isinstance(error, RuleViolation)
