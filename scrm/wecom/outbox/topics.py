"""The registry of what may be sent: upper apps fill it, and see their messages as intents."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from django.utils.translation import gettext_lazy

from scrm.models import Corp, OutboxMessage
from scrm.wecom.errors import WecomError

Lane = OutboxMessage.Lane


class TooLate(WecomError):
    """What a topic settles with when its message expired unsent."""

    code = "wecom_too_late"
    what = gettext_lazy("It was too late to send this")


class Cancelled(WecomError):
    """What a topic settles with when a person cancelled its message."""

    code = "wecom_cancelled"
    what = gettext_lazy("Somebody cancelled this before it was sent")


@dataclass(frozen=True, slots=True)
class Intent:
    """A message as its topic sees it. ``attempts`` counts the one under way."""

    id: int
    topic: str
    corp: Corp
    key: str
    payload: dict[str, Any]
    attempts: int
    created_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """What reading WeCom says about a message that may be done: ``Verdict.done(answer)``, NOT_DONE or CANNOT_TELL."""

    name: str
    answer: dict[str, Any] | None = None
    NOT_DONE: ClassVar[Verdict]
    CANNOT_TELL: ClassVar[Verdict]

    @classmethod
    def done(cls, answer: dict[str, Any]) -> Self:
        return cls("done", answer)


Verdict.NOT_DONE, Verdict.CANNOT_TELL = Verdict("not done"), Verdict("cannot tell")

Send = Callable[[Intent], dict[str, Any]]
Settle = Callable[[Intent, dict[str, Any] | None, WecomError | None], None]
Reconcile = Callable[[Intent], Verdict]


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    send: Send
    settle: Settle
    reconcile: Reconcile | None
    is_repeatable: bool
    lane: str


TOPICS: dict[str, Topic] = {}


def register(
    topic: str,
    *,
    send: Send,
    settle: Settle,
    is_repeatable: bool,
    reconcile: Reconcile | None = None,
    lane: str = Lane.NORMAL,
) -> None:
    """Called from ``AppConfig.ready``.

    ``send`` asks WeCom, outside any transaction, and returns what ``settle`` needs (JSON values); it raises WecomError, or
    RuleViolation for what stops it before the call. ``settle(intent, answer, error)`` writes the effects inside the
    transaction that ends the message: ``answer`` when it is done, ``error`` when it is not going to be (refused, too late,
    cancelled). ``is_repeatable``: sending twice leaves what sending once leaves. Otherwise ``reconcile`` reads WeCom.
    """
    TOPICS[topic] = Topic(topic, send, settle, reconcile, is_repeatable, Lane(lane).value)
