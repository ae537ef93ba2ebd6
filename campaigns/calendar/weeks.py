"""What the calendar page shows: per day what takes place, what took place a year before, and how far it is."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from campaigns.calendar import conflicts, figures, reading, rules
from campaigns.calendar.conflicts import Conflict
from campaigns.models import CalendarDay, CalendarEntry
from scrm import org

Numbers = tuple[int, int, int, int, int, int]  # of an entry on a day, as ``Shown`` has them
Counted = dict[tuple[int, dt.date], Numbers]


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry on a day. ``day_pk``: its compiled day; None: not compiled yet. Counts are of the stores that one sees."""

    entry_id: int
    day_pk: int | None
    title: str
    kind: str
    kind_text: str
    from_time: dt.time | None
    until_time: dt.time | None
    stores: int
    dropped: int
    task_count: int
    done_count: int
    quota_count: int
    made_count: int
    conflict_count: int
    is_grave: bool

    @property
    def bp(self) -> int | None:
        """How far it is: of the quota, else of the tasks."""
        if self.quota_count:
            return min(self.made_count * 10_000 // self.quota_count, 10_000)
        return self.done_count * 10_000 // self.task_count if self.task_count else None


@dataclass(frozen=True, slots=True)
class Cell:
    day: dt.date
    items: tuple[Shown, ...]
    is_today: bool = False
    is_outside: bool = False  # of another month


def month_days(day: dt.date) -> list[dt.date]:
    """Whole weeks from that of the first to that of the last day of the month."""
    first = rules.monday_of(day.replace(day=1))
    following = (day.replace(day=28) + dt.timedelta(days=4)).replace(day=1)
    last = rules.monday_of(following - dt.timedelta(days=1)) + dt.timedelta(days=6)
    return [first + dt.timedelta(days=place) for place in range((last - first).days + 1)]


def cells(
    *, brand_id: int, days: Sequence[dt.date], scope: org.Scope, today: dt.date, found: Sequence[Conflict] = ()
) -> list[Cell]:
    """Days that are over as they were compiled, today and what comes as it is wished now."""
    rows = org.visible(reading.rows_between(brand_id, min(days), max(days)), scope)
    wished = {row.pk: row for row in rows}
    compiled = _compiled(brand_id, days, scope)
    counts = _counts(compiled, days, scope)
    items: dict[dt.date, list[Shown]] = defaultdict(list)
    wrong: dict[tuple[int, dt.date], list[Conflict]] = defaultdict(list)
    for one in found:
        wrong[one.entry_id, one.day].append(one)
    for day in days:
        if day < today:
            items[day] = [_of_day(row, counts, row.entry) for row in compiled if row.day == day]
            continue
        of_day = {row.entry_id: row for row in compiled if row.day == day}
        for row in wished.values():
            if rules.occurs(_when(row), day):
                items[day].append(_of_entry(row, of_day.get(row.pk), counts, wrong[row.pk, day]))
    return [Cell(day, tuple(sorted(items[day], key=_order)), day == today) for day in days]


def that_ran(*, brand_id: int, days: Sequence[dt.date], scope: org.Scope) -> list[Cell]:
    """What took place on days that are over."""
    compiled = _compiled(brand_id, days, scope)
    counts = _counts(compiled, days, scope)
    return [
        Cell(day, tuple(sorted((_of_day(row, counts, row.entry) for row in compiled if row.day == day), key=_order)))
        for day in days
    ]


def _compiled(brand_id: int, days: Sequence[dt.date], scope: org.Scope) -> list[CalendarDay]:
    rows = CalendarDay.objects.filter(day__in=list(days), is_cancelled=False, entry__brand=brand_id)
    return list(org.visible(rows, scope).select_related("entry").order_by("day", "pk"))


def _counts(compiled: Sequence[CalendarDay], days: Sequence[dt.date], scope: org.Scope) -> Counted:
    """Of all stores they stand on the day's row; of a part they are added up, in as many rows as it has stores."""
    if scope.is_everything:
        return {
            (row.entry_id, row.day): (
                row.store_count, row.dropped_count, row.task_count, row.done_count, row.quota_count, row.made_count
            )
            for row in compiled
        }  # fmt: skip
    ids = [row.entry_id for row in compiled]
    lines = figures.by_occurrence(days=list(days), entry_ids=ids, scope=scope)
    return {
        key: (line.planned, line.dropped, line.task_count, line.done_count, line.quota_count, line.made_count)
        for key, line in lines.items()
    }


def _when(row: CalendarEntry) -> rules.Entry:
    return rules.Entry(
        row.pk, row.title, frozenset(row.weekdays), row.starts_on, row.ends_on, row.from_time, row.until_time
    )


NOTHING: Numbers = (0, 0, 0, 0, 0, 0)


def _of_entry(row: CalendarEntry, day: CalendarDay | None, counts: Counted, wrong: Sequence[Conflict]) -> Shown:
    numbers = counts.get((row.pk, day.day), NOTHING) if day else NOTHING
    return Shown(
        row.pk, day.pk if day else None, row.title, row.kind, row.get_kind_display(), row.from_time, row.until_time, *numbers,
        conflict_count=len(wrong), is_grave=any(one.is_grave for one in wrong),
    )  # fmt: skip


def _of_day(row: CalendarDay, counts: Counted, entry: CalendarEntry) -> Shown:
    numbers = counts.get((row.entry_id, row.day), NOTHING)
    begins = row.starts_at.astimezone(rules.SHANGHAI).time()
    return Shown(
        row.entry_id, row.pk, row.title, row.kind, row.get_kind_display(), begins, None, *numbers,
        conflict_count=0, is_grave=False,
    )  # fmt: skip


def _order(one: Shown) -> tuple[Any, ...]:
    return (one.from_time or dt.time(0), one.entry_id)


def conflicts_of(*, brand_id: int, days: Sequence[dt.date], scope: org.Scope, today: dt.date) -> list[Conflict]:
    """Of today and the days that come; what is over is no plan any more."""
    coming = [day for day in days if day >= today]
    return conflicts.found_on(brand_id=brand_id, days=coming, scope=scope) if coming else []
