"""What waits for a second person (待我审批): every topic with four eyes says what of it waits, and for whom it does not.

1. A topic registers a queue: which rows wait, who asked and when, and which of them a given person may not answer, because
   she asked for it herself or is a party.
2. A person sees the rows of her own part of the organisation, and only where her rights let her answer: what she is shown she
   may open and answer. The page counts and lists, the answer is given on the row's own page.
3. Each queue is read up to a limit; more is shown as "more than".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Model, Q
from django.urls import reverse

from scrm import org
from scrm.org import Right

MOST = 100  # rows of a queue that are read


def nobody_barred(row: Any, user: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Queue:
    """``waits(user)``: the rows that wait for somebody like her. ``is_barred(row, user)``: what no query can say, of few rows."""

    title: Any
    model: type[Model]
    waits: Callable[[Any], Q]
    asked_by: str  # the field that holds who asked
    asked_at: str
    right: Right = Right.ACT
    text: Callable[[Any], str] = str
    is_barred: Callable[[Any, Any], bool] = nobody_barred


class Waiting(NamedTuple):
    text: str
    url: str
    asked_by: Any
    asked_at: dt.datetime | None


class Found(NamedTuple):
    title: Any
    url: str
    rows: list[Waiting]
    has_more: bool


_queues: dict[str, Queue] = {}


def register(name: str, queue: Queue) -> None:
    """Called from ``AppConfig.ready``. The console names the lists and pages of the queue's model."""
    _queues[name] = queue


def names() -> list[str]:
    return list(_queues)


def waiting_for(user: Any) -> list[Found]:
    """The queues of which something waits for this person, in the order of their registration; the oldest row first."""
    scope, found = org.scope_of(user), []
    for queue in _queues.values():
        if not org.may(user, queue.right):
            continue
        rows = org.visible(queue.model._default_manager.filter(queue.waits(user)), scope)
        rows = rows.select_related(queue.asked_by).order_by(queue.asked_at, "pk")
        few = list(rows[: MOST + 1])
        mine = [row for row in few[:MOST] if not queue.is_barred(row, user)]
        if mine:
            found.append(_found(queue, mine, len(few) > MOST))
    return found


def count_for(user: Any) -> int:
    return sum(len(queue.rows) for queue in waiting_for(user))


def _found(queue: Queue, rows: list[Any], has_more: bool) -> Found:
    name = f"admin:{queue.model._meta.app_label}_{queue.model._meta.model_name}"
    waiting = [
        Waiting(
            queue.text(row),
            reverse(f"{name}_change", args=(row.pk,)),
            getattr(row, queue.asked_by),
            getattr(row, queue.asked_at),
        )
        for row in rows
    ]
    return Found(queue.title, reverse(f"{name}_changelist"), waiting, has_more)
