"""The business overview (经营看板): what the figures per store and day add up to.

1. GMV (成交额) is what was paid on a day, test and voided lines left out; net of refunds it is what stayed.
2. A day is compared with the day before, the month so far with the same days of the month before.
3. The bound share (专属率) is members with a guide out of members, counted at the home store.
4. Accrued commission (计提) is what was promised less what was taken back; due (应付) is the part that has vested.
5. A person sees the sums of her own part of the organisation only; money of no store is HQ's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Max, QuerySet, Sum

from attribution.models import StoreDay, StoreStock
from members.models import Channel
from scrm import org
from scrm.models import LegalEntity, Region, Store

TREND_DAYS = 30
RANKED_STORES = 10
CHOICES_SHOWN = 500


@dataclass(frozen=True, slots=True)
class Part:
    """The part of the organisation a person looks at; all None: everything she sees."""

    region_id: int | None = None
    entity_id: int | None = None
    store_id: int | None = None


@dataclass(frozen=True, slots=True)
class Sums:
    gmv_fen: int = 0
    refunded_fen: int = 0
    orders: int = 0
    member_gmv_fen: int = 0
    joined: int = 0
    accrued_fen: int = 0
    due_fen: int = 0

    @property
    def member_share_bp(self) -> int | None:
        return self.member_gmv_fen * 10_000 // self.gmv_fen if self.gmv_fen else None

    @property
    def refund_share_bp(self) -> int | None:
        return self.refunded_fen * 10_000 // self.gmv_fen if self.gmv_fen else None


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the start page shows."""

    today: Sums
    yesterday: Sums
    month: Sums
    month_before: Sums
    members: int
    bound: int
    days: list[dict[str, Any]]  # TREND_DAYS rows, oldest first: day, gmv, orders, joined
    channels: list[dict[str, Any]]  # of the month: name, gmv
    regions: list[dict[str, Any]]  # of the month: name, gmv, accrued
    stores: list[dict[str, Any]]  # of the month, the best first: store, gmv, orders, accrued
    last_day: dt.date | None  # with any sale
    has_stores: bool

    @property
    def bound_share_bp(self) -> int | None:
        return self.bound * 10_000 // self.members if self.members else None


# --- pure ---


def change_bp(now: int, before: int) -> int | None:
    """How much more than before, in bp; None when there was nothing before."""
    return (now - before) * 10_000 // before if before else None


def month_before(today: dt.date) -> tuple[dt.date, dt.date]:
    """First day and end (exclusive) of the same days of the month before."""
    first = (today.replace(day=1) - dt.timedelta(days=1)).replace(day=1)
    same = first + dt.timedelta(days=today.day)
    return first, min(same, today.replace(day=1))


def add_up(rows: Iterable[dict[str, Any]]) -> Sums:
    total = dict.fromkeys(Sums.__slots__, 0)
    for row in rows:
        for name in total:
            total[name] += row[name]
    return Sums(**total)


# --- reads ---


def stores_of(*, scope: org.Scope, part: Part) -> QuerySet[Store]:
    """The stores inside the scope that a part names; ids outside the scope name none."""
    stores = org.visible(Store.objects.all(), scope)
    if part.store_id:
        stores = stores.filter(pk=part.store_id)
    if part.entity_id:
        stores = stores.filter(entity_id=part.entity_id)
    if part.region_id:
        subtree = [region.pk for region in Region.objects.descendants(part.region_id, include_self=True)]
        stores = stores.filter(region_id__in=subtree)
    return stores


def choices(*, scope: org.Scope) -> dict[str, list[tuple[int, str]]]:
    """Regions, entities and stores that a person may switch to."""
    stores = org.visible(Store.objects.all(), scope)
    if scope.is_everything:
        regions, entities = Region.objects.all(), LegalEntity.objects.all()
    else:
        regions = Region.objects.filter(pk__in=stores.values("region_id"))
        entities = LegalEntity.objects.filter(pk__in=stores.values("entity_id"))
    return {
        "region": list(regions.order_by("code").values_list("pk", "name")[:CHOICES_SHOWN]),
        "entity": list(entities.order_by("code").values_list("pk", "name")[:CHOICES_SHOWN]),
        "store": list(stores.order_by("code").values_list("pk", "name")[:CHOICES_SHOWN]),
    }


def read(*, scope: org.Scope, part: Part, today: dt.date) -> Overview:
    """Six queries over the figures; no big table is touched."""
    rows, stock = _figures(scope, part)
    first_before, end_before = month_before(today)
    first = today.replace(day=1)
    start = min(first_before, today - dt.timedelta(days=TREND_DAYS - 1))
    by_day = _by_day(rows.filter(day__gte=start, day__lte=today))
    month = rows.filter(day__gte=first, day__lte=today)
    counted = stock.aggregate(members=Sum("member_count"), bound=Sum("bound_count"))

    def of(begin: dt.date, end: dt.date) -> Sums:
        return add_up(row for day, row in by_day.items() if begin <= day < end)

    tomorrow = today + dt.timedelta(days=1)
    return Overview(
        today=of(today, tomorrow),
        yesterday=of(today - dt.timedelta(days=1), today),
        month=of(first, tomorrow),
        month_before=of(first_before, end_before),
        members=counted["members"] or 0,
        bound=counted["bound"] or 0,
        days=_trend(by_day, today),
        channels=_by_channel(month),
        regions=_by_region(month),
        stores=_best_stores(month),
        last_day=rows.filter(line_count__gt=0).aggregate(last=Max("day"))["last"],
        has_stores=org.visible(Store.objects.all(), scope).exists(),
    )


def _figures(scope: org.Scope, part: Part) -> tuple[QuerySet[StoreDay], QuerySet[StoreStock]]:
    days, stock = StoreDay.objects.all(), StoreStock.objects.all()
    if scope.is_everything and part == Part():
        return days, stock  # with what stands under no store
    stores = stores_of(scope=scope, part=part).values("pk")
    return days.filter(store__in=stores), stock.filter(store__in=stores)


SUMS = {
    "gmv_fen": Sum("gmv_fen"),
    "refunded_fen": Sum("refunded_fen"),
    "orders": Sum("order_count"),
    "member_gmv_fen": Sum("member_gmv_fen"),
    "joined": Sum("new_member_count"),
    "accrued_fen": Sum(F("accrued_fen") - F("reversed_fen")),
    "due_fen": Sum("vested_fen"),
}


def _by_day(rows: QuerySet[StoreDay]) -> dict[dt.date, dict[str, Any]]:
    # two names of the sums are fields as well, so they are renamed on the way
    sums = {f"sum_{name}": value for name, value in SUMS.items()}
    found = rows.values("day").annotate(**sums).order_by("day")
    rows_of: list[dict[str, Any]] = [dict(row) for row in found]
    return {row["day"]: {name: int(row[f"sum_{name}"]) for name in SUMS} for row in rows_of}


def _trend(by_day: dict[dt.date, dict[str, Any]], today: dt.date) -> list[dict[str, Any]]:
    days = [today - dt.timedelta(days=back) for back in range(TREND_DAYS - 1, -1, -1)]
    empty = dict.fromkeys(SUMS, 0)
    return [{"day": day, **by_day.get(day, empty)} for day in days]


def _by_channel(month: QuerySet[StoreDay]) -> list[dict[str, Any]]:
    names = dict(Channel.objects.values_list("code", "name"))
    rows = month.filter(line_count__gt=0).values("channel").annotate(gmv=Sum("gmv_fen"), orders=Sum("order_count"))
    return [{**row, "name": names.get(row["channel"], row["channel"])} for row in rows.order_by("-gmv", "channel")]


def _by_region(month: QuerySet[StoreDay]) -> list[dict[str, Any]]:
    rows = month.filter(store__isnull=False).values(name=F("store__region__name"), key=F("store__region_id"))
    sums = rows.annotate(gmv=Sum("gmv_fen"), accrued=Sum(F("accrued_fen") - F("reversed_fen")))
    return [dict(row) for row in sums.order_by("-gmv", "key")[:20]]


def _best_stores(month: QuerySet[StoreDay]) -> list[dict[str, Any]]:
    rows = month.filter(store__isnull=False).values(key=F("store_id"), name=F("store__name"), code=F("store__code"))
    sums = rows.annotate(
        gmv=Sum("gmv_fen"), orders=Sum("order_count"), joined=Sum("new_member_count"),
        accrued=Sum(F("accrued_fen") - F("reversed_fen")),
    )  # fmt: skip
    return [dict(row) for row in sums.order_by("-gmv", "key")[:RANKED_STORES]]


def yuan_series(fens: Sequence[int]) -> list[float]:
    """Fen as yuan for a chart; a picture, not a sum."""
    return [round(fen / 100, 2) for fen in fens]
