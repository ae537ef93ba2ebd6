"""The rows of the calendar as the facts that its rules take, each read in one query."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Q, QuerySet

from campaigns.calendar import rules
from campaigns.models import CalendarAdaptation, CalendarEntry, CalendarStoreDay
from scrm import db
from scrm.models import Region, Store

# who works in a store on a day, and is not on leave at its noon
GUIDES = """
    SELECT d.day::date, e.store_id, e.guide_id
    FROM unnest(%(days)s::date[]) d(day)
    JOIN guides_employment e ON e.started_at <= (d.day + time '12:00') AT TIME ZONE 'Asia/Shanghai'
        AND (e.ended_at IS NULL OR e.ended_at > (d.day + time '12:00') AT TIME ZONE 'Asia/Shanghai')
    WHERE e.store_id = ANY(%(stores)s) AND NOT EXISTS (
        SELECT 1 FROM guides_delegation g WHERE g.guide_id = e.guide_id
        AND g.started_at <= (d.day + time '12:00') AT TIME ZONE 'Asia/Shanghai'
        AND (g.ended_at IS NULL OR g.ended_at > (d.day + time '12:00') AT TIME ZONE 'Asia/Shanghai')
    )
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


def region_parents() -> dict[int, int | None]:
    return dict(Region.objects.values_list("pk", "parent_id"))


def path_of(region_id: int, parents: dict[int, int | None]) -> tuple[int, ...]:
    """The region and those above it, the nearest first."""
    found: list[int] = []
    at: int | None = region_id
    while at is not None and at not in found:
        found.append(at)
        at = parents.get(at)
    return tuple(found)


def below(region_id: int, parents: dict[int, int | None]) -> frozenset[int]:
    return frozenset(region for region in parents if region_id in path_of(region, parents))


def rows_between(brand_id: int, first: dt.date, last: dt.date) -> QuerySet[CalendarEntry]:
    """Entries in use that may take place in the days; a brand has some dozens of them."""
    lasts = Q(ends_on=None) | Q(ends_on__gte=first)
    return CalendarEntry.objects.filter(lasts, brand=brand_id, starts_on__lte=last, is_active=True).order_by("pk")


def entry_of(row: CalendarEntry, parents: dict[int, int | None]) -> rules.Entry:
    """``row`` with its material read."""
    return rules.Entry(
        row.pk, row.title, frozenset(row.weekdays), row.starts_on, row.ends_on, row.from_time, row.until_time,
        region_ids=None if row.region_id is None else below(row.region_id, parents), entity_id=row.entity_id,
        store_id=row.store_id, ownership=row.ownership, task_kind=row.task_kind, text=row.text, minutes=row.minutes,
        quota_per=row.quota_per, direct_quota=row.direct_quota, franchisee_quota=row.franchisee_quota,
        material=row.content.name if row.content else "",
    )  # fmt: skip


def entries(brand_id: int, days: Sequence[dt.date], parents: dict[int, int | None]) -> list[rules.Entry]:
    rows = rows_between(brand_id, min(days), max(days)).select_related("content")
    return [entry_of(row, parents) for row in rows]


def adaptations(entry_ids: Iterable[int], days: Sequence[dt.date]) -> dict[int, list[rules.Adaptation]]:
    """By entry."""
    rows = CalendarAdaptation.objects.filter(
        entry__in=list(entry_ids), is_active=True, starts_on__lte=max(days), ends_on__gte=min(days)
    )
    found: dict[int, list[rules.Adaptation]] = {}
    for row in rows.order_by("pk"):
        found.setdefault(row.entry_id, []).append(adaptation_of(row))
    return found


def adaptation_of(row: CalendarAdaptation) -> rules.Adaptation:
    return rules.Adaptation(
        row.pk or 0, row.entry_id, row.starts_on, row.ends_on, row.region_id, row.store_id, row.is_dropped, row.from_time,
        row.until_time, row.quota,
    )  # fmt: skip


def places(stores: QuerySet[Store] | QuerySet[Store, Store], parents: dict[int, int | None]) -> list[rules.Place]:
    columns = ("pk", "region_id", "entity_id", "ownership", "opened_on", "closed_on")
    return [
        rules.Place(pk, path_of(region_id, parents), entity_id, ownership, opened_on, closed_on)
        for pk, region_id, entity_id, ownership, opened_on, closed_on in stores.order_by("pk").values_list(*columns)
    ]


def guides(store_ids: Sequence[int], days: Sequence[dt.date]) -> dict[tuple[dt.date, int], list[int]]:
    """``{(day, store): guides}``."""
    found: dict[tuple[dt.date, int], list[int]] = {}
    for day, store_id, guide_id in db.fetch(GUIDES, {"days": list(days), "stores": list(store_ids)}):
        found.setdefault((day, store_id), []).append(guide_id)
    return found


def standing(brand_id: int, store_ids: Sequence[int], days: Sequence[dt.date]) -> dict[rules.Key, rules.Standing]:
    rows = CalendarStoreDay.objects.filter(day__in=list(days), store__in=list(store_ids), entry__brand=brand_id)
    columns: Any = ("entry_id", "store_id", "day", "pk", "status", "digest", "starts_at")
    return {
        (entry_id, store_id, day): rules.Standing(pk, status, digest, starts_at)
        for entry_id, store_id, day, pk, status, digest, starts_at in rows.values_list(*columns)
    }
