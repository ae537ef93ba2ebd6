"""Figures (核查数字): how much of what was paid has proven fake, and how long cases wait."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db import connection

from guides.integrity.suspicions import share_bp
from scrm import db


@dataclass(frozen=True, slots=True)
class Fake:
    """Rewards that were earned, and those of them that have proven fake since."""

    paid: int = 0
    paid_fen: int = 0
    fake: int = 0
    fake_fen: int = 0

    @property
    def share_bp(self) -> int:
        return share_bp(self.fake, self.paid)


_PAID = """
    SELECT {month} count(*), coalesce(sum(amount_fen), 0)::bigint, count(*) FILTER (WHERE status = 'CLAWED_BACK'),
        coalesce(sum(amount_fen) FILTER (WHERE status = 'CLAWED_BACK'), 0)::bigint
    FROM guides_rewardclaim WHERE status IN ('VESTED', 'CLAWED_BACK') {group}
"""
_MONTH = "to_char(vested_at AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM'),"


def paid_then_fake() -> Fake:
    """Of all that was ever earned."""
    return Fake(*db.fetch(_PAID.format(month="", group=""), {})[0])


def paid_then_fake_by_month(*, limit: int = 12) -> list[tuple[str, Fake]]:
    """By the month in which it was earned, the newest first."""
    query = _PAID.format(month=_MONTH, group="GROUP BY 1 ORDER BY 1 DESC LIMIT %(limit)s")
    return [(month, Fake(*rest)) for month, *rest in db.fetch(query, {"limit": limit})]


_QUEUE = """
    SELECT count(*), count(*) FILTER (WHERE due_at < %(now)s), coalesce(sum(held_fen), 0)::bigint, min(opened_at)
    FROM guides_integritycase WHERE status IN ('OPEN', 'PROPOSED')
"""
_ENDED = """
    SELECT k.kind, count(*), count(*) FILTER (WHERE c.status IN ('CONFIRMED', 'FINAL'))
    FROM guides_integrityflag k JOIN guides_integritycase c ON c.id = k.case_id
    WHERE c.status IN ('RELEASED', 'CONFIRMED', 'FINAL') GROUP BY k.kind ORDER BY k.kind
"""


@dataclass(frozen=True, slots=True)
class Queue:
    waiting: int
    overdue: int
    held_fen: int
    oldest_at: dt.datetime | None


def queue(*, now: dt.datetime) -> Queue:
    return Queue(*_rows(_QUEUE, {"now": now})[0])


def kinds_proven() -> list[tuple[str, int, int]]:
    """Of each kind of flag how many cases were decided, and how many of them were fraud."""
    return [(kind, decided, fraud) for kind, decided, fraud in _rows(_ENDED, {})]


def _rows(query: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()
