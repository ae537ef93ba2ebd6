"""How entries are carried out: by region, then by store, as last counted."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum

from campaigns.models import CalendarStoreDay
from scrm import org

SHOWN = 500
Status = CalendarStoreDay.Status


@dataclass(frozen=True, slots=True)
class Line:
    """A region, a store or all of them. Stores: ``planned`` take part, ``dropped`` leave it out, ``done`` have done every task,
    ``reached`` their quota."""

    key: int | None
    name: str
    planned: int
    dropped: int
    done: int
    reached: int
    idle: int  # have no guide that day
    task_count: int
    done_count: int
    skipped_count: int
    quota_count: int
    made_count: int

    @property
    def done_bp(self) -> int:
        return self.done_count * 10_000 // self.task_count if self.task_count else 0

    @property
    def made_bp(self) -> int:
        return min(self.made_count * 10_000 // self.quota_count, 10_000) if self.quota_count else 0


PLANNED = Q(status=Status.PLANNED)
ASKED = PLANNED & Q(task_count__gt=0)
SUMS: dict[str, Any] = {
    "planned": Count("pk", filter=PLANNED),
    "dropped": Count("pk", filter=Q(status=Status.DROPPED)),
    "done": Count("pk", filter=ASKED & Q(done_count__gte=F("task_count"))),
    "reached": Count("pk", filter=PLANNED & Q(quota_count__gt=0, made_count__gte=F("quota_count"))),
    "idle": Count("pk", filter=PLANNED & Q(task_count=0) & ~Q(entry__task_kind="")),
    **{f"sum_{name}": Sum(name, filter=PLANNED) for name in ("task_count", "done_count", "skipped_count", "quota_count", "made_count")},
}  # fmt: skip
LEVELS = {"region": ("store__region_id", "store__region__name"), "store": ("store_id", "store__name")}


def execution(*, entry_id: int, day: dt.date, level: str, scope: org.Scope, within: int | None = None) -> list[Line]:
    """By region, or by store of a region; who has done least first."""
    key, name = LEVELS[level]
    rows = _rows(entry_id, day, scope)
    if within is not None and level == "store":
        rows = rows.filter(store__region_id=within)
    found = rows.values(key, name).annotate(**SUMS).order_by(key)
    lines = [_line(row[key], row[name], row) for row in found]
    return sorted(lines, key=lambda line: (line.made_bp if line.quota_count else line.done_bp, line.name))[:SHOWN]


def totals(*, entry_id: int, day: dt.date, scope: org.Scope) -> Line:
    return _line(None, "", _rows(entry_id, day, scope).aggregate(**SUMS))


def by_occurrence(*, days: list[dt.date], entry_ids: list[int], scope: org.Scope) -> dict[tuple[int, dt.date], Line]:
    """``{(entry, day): Line}`` of what has begun; as many rows as entries, days and stores of the scope."""
    rows = org.visible(CalendarStoreDay.objects.filter(day__in=days, entry__in=entry_ids), scope)
    found = rows.exclude(status=Status.CANCELLED).values("entry_id", "day").annotate(**SUMS).order_by("day", "entry_id")
    return {(row["entry_id"], row["day"]): _line(None, "", row) for row in found}


def _rows(entry_id: int, day: dt.date, scope: org.Scope) -> QuerySet[CalendarStoreDay]:
    rows = CalendarStoreDay.objects.filter(day=day, entry=entry_id).exclude(status=Status.CANCELLED)
    return org.visible(rows, scope)


def _line(key: int | None, name: str | None, row: dict[str, Any]) -> Line:
    counts = (
        row[f"sum_{field}"] or 0 for field in ("task_count", "done_count", "skipped_count", "quota_count", "made_count")
    )
    return Line(key, name or "", row["planned"], row["dropped"], row["done"], row["reached"], row["idle"], *counts)
