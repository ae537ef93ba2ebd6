"""Times and lists as WeCom writes them, where several endpoints do it the same way."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")


def at(seconds: int | str | None) -> dt.datetime | None:
    """A moment from unix seconds, which come as a number or as text; None where there are none."""
    return dt.datetime.fromtimestamp(int(seconds), dt.UTC) if seconds and int(seconds) else None


def piped(text: str | None) -> tuple[str, ...]:
    """``a|b`` as ids. WeCom lower-cases member ids in such a list."""
    return tuple(filter(None, (text or "").split("|")))


def midnight(day: dt.date) -> int:
    """The first second of a day of WeCom, which lives by Shanghai."""
    return int(dt.datetime.combine(day, dt.time(), SHANGHAI).timestamp())


def day(seconds: int) -> dt.date:
    """The day of WeCom in which a moment lies."""
    return dt.datetime.fromtimestamp(seconds, SHANGHAI).date()
