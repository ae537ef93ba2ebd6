"""What codes have brought, from what was counted while it happened."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, Sum

from guides.models import WayDay

COUNTS = ("asked", "friend", "member", "bound")
WEEK = dt.timedelta(days=6)


@dataclass(frozen=True, slots=True)
class Brought:
    """Of one period: who asked to be added, who became a friend, who of those is a member, who was bound."""

    asked: int = 0
    friends: int = 0
    members: int = 0
    bound: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    today: Brought = Brought()
    week: Brought = Brought()  # the last seven business days
    ever: Brought = Brought()


def of_ways(way_ids: Sequence[int], *, today: dt.date) -> dict[int, Figures]:
    """One query for a page of codes; a code without a row brought nothing."""
    periods = {"today": Q(day=today), "week": Q(day__gte=today - WEEK, day__lte=today), "ever": Q()}
    sums = {
        f"{period}_{count}": Sum(f"{count}_count", filter=when, default=0)
        for period, when in periods.items()
        for count in COUNTS
    }
    rows: Any = WayDay.objects.filter(way_id__in=way_ids).values("way_id").annotate(**sums)
    return {
        row["way_id"]: Figures(*(Brought(*(row[f"{period}_{count}"] for count in COUNTS)) for period in periods))
        for row in rows
    }


def by_guide(way_id: int, *, limit: int = 100) -> list[dict[str, Any]]:
    """Who was added through one code, the most successful first."""
    rows = WayDay.objects.filter(way_id=way_id).values("guide_id", "guide__code", "guide__name")
    return [
        dict(row)
        for row in rows.annotate(
            friends=Sum("friend_count"), members=Sum("member_count"), bound=Sum("bound_count")
        ).order_by("-friends", "guide_id")[:limit]
    ]
