"""Who is added through a code at a moment (值班): pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import chinese_calendar

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Shift:
    """A guide behind a code. ``weekdays``: 1 Monday to 7 Sunday, empty for every day; no hours: the whole day."""

    guide_id: int
    userid: str
    is_backup: bool = False
    weekdays: frozenset[int] = frozenset()
    starts_at: dt.time | None = None
    ends_at: dt.time | None = None
    is_off_on_holidays: bool = False

    @property
    def is_always(self) -> bool:
        return not self.weekdays and self.starts_at is None and not self.is_off_on_holidays


def is_public_holiday(day: dt.date) -> bool:
    """Of the State Council's calendar; a year not yet published has none."""
    try:
        is_off, name = chinese_calendar.get_holiday_detail(day)
    except NotImplementedError:
        return False
    return bool(is_off and name)


def is_on_duty(shift: Shift, at: dt.datetime, is_holiday: Callable[[dt.date], bool] = is_public_holiday) -> bool:
    """Hours are Shanghai's and half-open; a shift over midnight belongs to the day on which it begins."""
    local = at.astimezone(SHANGHAI)
    now, today = local.time(), local.date()
    start, end = shift.starts_at, shift.ends_at
    if start is None or end is None:
        return _works_on(shift, today, is_holiday)
    if start < end:
        return start <= now < end and _works_on(shift, today, is_holiday)
    return (now >= start and _works_on(shift, today, is_holiday)) or (
        now < end and _works_on(shift, today - DAY, is_holiday)
    )


def wanted(
    shifts: Iterable[Shift],
    *,
    at: dt.datetime,
    added: Mapping[int, int],
    cap: int | None,
    is_holiday: Callable[[dt.date], bool] = is_public_holiday,
) -> tuple[str, ...]:
    """The accounts that WeCom is to add at ``at``, in lower case and sorted; ``added``: new friends today by guide.

    Main guides on duty below the cap; else backups on duty below the cap. When everybody is off or full the code must
    still lead somewhere: the main guides on duty, else all main guides, else the backups.
    """
    everybody = list(shifts)
    on_duty = [shift for shift in everybody if is_on_duty(shift, at, is_holiday)]
    free = [shift for shift in on_duty if cap is None or added.get(shift.guide_id, 0) < cap]
    choices = (
        _of(free, is_backup=False),
        _of(free, is_backup=True),
        _of(on_duty, is_backup=False),
        _of(everybody, is_backup=False),
        everybody,
    )
    chosen = next((choice for choice in choices if choice), [])
    return tuple(sorted({shift.userid.lower() for shift in chosen}))


def _of(shifts: Iterable[Shift], *, is_backup: bool) -> list[Shift]:
    return [shift for shift in shifts if shift.is_backup == is_backup]


def _works_on(shift: Shift, day: dt.date, is_holiday: Callable[[dt.date], bool]) -> bool:
    if shift.weekdays and day.isoweekday() not in shift.weekdays:
        return False
    return not (shift.is_off_on_holidays and is_holiday(day))
