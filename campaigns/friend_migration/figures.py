"""The funnel of a drive (迁移漏斗) by region, store and guide, against the target of the day. Counts guides, never people."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import F, QuerySet, Sum

from campaigns.models import FriendMigration, FriendMigrationGuide
from scrm import org
from scrm.money import BP

LEVELS = {
    "region": ("store__region_id", "store__region__name"),
    "store": ("store_id", "store__name"),
    "guide": ("guide_id", "guide__name"),
}
WITHIN = {"store": "store__region_id", "guide": "store_id"}
SHOWN = 500
COUNTED = (
    "said_count", "listed_count", "known_count", "double_count", "invited_count", "added_count", "registered_count", "bought_count",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    key: int | None
    name: str
    said_count: int = 0
    listed_count: int = 0
    known_count: int = 0
    double_count: int = 0
    invited_count: int = 0
    added_count: int = 0
    registered_count: int = 0
    bought_count: int = 0

    @property
    def to_move(self) -> int:
        """Who is listed and not on WeCom before; without a list what the guide counted herself."""
        return max(0, max(self.listed_count, self.said_count) - self.known_count)

    @property
    def added_bp(self) -> int:
        return self.added_count * BP // self.to_move if self.to_move else 0


def target_bp(drive: FriendMigration, day: dt.date) -> int | None:
    """What is due by ``day``: the last target that has come due."""
    due = drive.targets.filter(due_on__lte=day).order_by("-due_on")
    return due.values_list("added_bp", flat=True).first()


def lines(*, drive: FriendMigration, level: str, scope: org.Scope, within: int | None = None) -> list[Line]:
    """Who has added least of those to move first."""
    key, name = LEVELS[level]
    rows = _visible(drive, scope)
    if within is not None and level in WITHIN:
        rows = rows.filter(**{WITHIN[level]: within})
    found = rows.values(shown_key=F(key), shown_name=F(name)).annotate(**{each: Sum(each) for each in COUNTED})
    shown = [_line(row["shown_key"], row["shown_name"], row) for row in found.order_by("shown_key")]
    return sorted(shown, key=lambda line: (line.added_bp, -line.to_move, line.name))[:SHOWN]


def total(*, drive: FriendMigration, scope: org.Scope) -> Line:
    return _line(None, "", _visible(drive, scope).aggregate(**{each: Sum(each) for each in COUNTED}))


def of_entry(entry: FriendMigrationGuide) -> Line:
    return Line(entry.guide_id, "", **{each: getattr(entry, each) for each in COUNTED})


def _line(key: int | None, name: str | None, row: Any) -> Line:
    return Line(key, name or "", **{each: int(row[each] or 0) for each in COUNTED})


def _visible(drive: FriendMigration, scope: org.Scope) -> QuerySet[FriendMigrationGuide]:
    rows = FriendMigrationGuide.objects.filter(migration=drive).order_by()
    return rows if scope.is_everything else rows.filter(store__in=scope.store_ids or ())
