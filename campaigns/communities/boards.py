"""What is shown of sales (活动看板): what is on, how far it is store by store, teams, and what one member has in them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet, Sum

from campaigns.models import Reservation, Sale, SaleRefund, StockBucket, Team, TeamSeat
from scrm import db, org
from scrm.org import Scope

MOST = 100
SOON = dt.timedelta(days=3)  # how long before its start a sale is announced


@dataclass(frozen=True, slots=True)
class Counts:
    total: int = 0
    left: int = 0
    reserved: int = 0
    sold: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A store's part of a sale."""

    store_id: int
    store_name: str
    counts: Counts
    paid_fen: int


def on_sale(*, store_ids: frozenset[int], now: dt.datetime, kind: str = "") -> QuerySet[Sale]:
    """Published sales of these stores that run or begin soon; what ends first comes first."""
    rows = Sale.objects.filter(
        status=Sale.Status.PUBLISHED, ends_at__gt=now, starts_at__lte=now + SOON, planned_stock__store__in=store_ids
    )
    if kind:
        rows = rows.filter(kind=kind)
    return rows.select_related("product").distinct().order_by("ends_at", "pk")


def counts_of(*, sales: list[Sale], store_id: int | None = None) -> dict[int, Counts]:
    """``{sale: counts}`` in one store, or in all."""
    items = {sale.stock_item_id: sale.pk for sale in sales if sale.stock_item_id}
    rows = StockBucket.objects.filter(item__in=items)
    if store_id is not None:
        rows = rows.filter(store=store_id)
    sums = rows.values_list("item").annotate(
        Sum("total_count"), Sum("left_count"), Sum("reserved_count"), Sum("sold_count")
    )
    return {items[item]: Counts(*counts) for item, *counts in sums}


_BOARD = """
    SELECT s.id, s.code || ' ' || s.name, b.total, b.left_count, b.reserved, b.sold, coalesce(p.paid, 0)::bigint
    FROM (
        SELECT store_id, sum(total_count) AS total, sum(left_count) AS left_count, sum(reserved_count) AS reserved,
            sum(sold_count) AS sold
        FROM campaigns_stockbucket WHERE item_id = %(item)s GROUP BY store_id
    ) b
    JOIN scrm_store s ON s.id = b.store_id
    LEFT JOIN (
        SELECT store_id, sum((quantity - returned_count) * unit_fen) AS paid
        FROM campaigns_reservation WHERE item_id = %(item)s AND status = 'SOLD' GROUP BY store_id
    ) p ON p.store_id = b.store_id
    WHERE %(all)s OR s.id = ANY(%(stores)s::bigint[])
    ORDER BY b.left_count::numeric / greatest(b.total, 1), s.code LIMIT %(limit)s
"""


def board(*, sale: Sale, scope: Scope, limit: int = 500) -> list[Line]:
    """Store by store, the emptiest first."""
    if sale.stock_item_id is None:
        rows = sale.planned_stock.select_related("store").order_by("store__code")
        if scope.store_ids is not None:
            rows = rows.filter(store__in=scope.store_ids)
        return [
            Line(row.store_id, str(row.store), Counts(row.planned_count, row.planned_count), 0) for row in rows[:limit]
        ]
    values = {
        "item": sale.stock_item_id, "all": scope.is_everything, "stores": sorted(scope.store_ids or ()), "limit": limit,
    }  # fmt: skip
    return [Line(pk, name, Counts(*map(int, counts)), paid) for pk, name, *counts, paid in db.fetch(_BOARD, values)]


@dataclass(frozen=True, slots=True)
class Totals:
    counts: Counts
    paid_fen: int
    store_count: int
    cut_bp: int  # off the usual price
    most_given_fen: int  # what the price gives away when all is sold


def totals(*, sale: Sale, lines: list[Line]) -> Totals:
    counts = Counts(
        *(sum(getattr(line.counts, name) for line in lines) for name in ("total", "left", "reserved", "sold"))
    )
    cut = sale.list_fen - sale.price_fen
    return Totals(
        counts, sum(line.paid_fen for line in lines), len(lines), cut * 10_000 // sale.list_fen, cut * counts.total
    )


def warnings_of(*, sale: Sale) -> list[tuple[str, str]]:
    """(group's name, what is wrong): groups of the sale that are dissolved or whose owner has left."""
    found = []
    for link in sale.only_groups.select_related("group__owner").order_by("pk"):
        group = link.group
        if group.dissolved_at is not None:
            found.append((str(group), "dissolved"))
        elif group.status == group.Status.OWNER_LEFT:
            found.append((str(group), "owner_left"))
    return found


def team_counts(*, sale: Sale, scope: Scope) -> dict[str, int]:
    rows = org.visible(Team.objects.filter(sale=sale), scope)
    return {status: rows.filter(status=status).count() for status in Team.Status.values}


def refund_counts(*, sale: Sale, scope: Scope) -> tuple[int, int]:
    """(still to be refunded, refunded)"""
    rows = org.visible(SaleRefund.objects.filter(reservation__item=sale.stock_item_id), scope)
    done = rows.filter(status=SaleRefund.Status.DONE).count()
    return rows.count() - done, done


def reservations_of(*, member_id: int, limit: int = MOST) -> list[Reservation]:
    """What a member has in sales, the newest first."""
    rows = Reservation.objects.filter(member=member_id, item__sale__isnull=False)
    return list(rows.select_related("item__sale__product", "store", "seat__team", "refund").order_by("-pk")[:limit])


def team_of(*, code: str) -> Team | None:
    return Team.objects.select_related("sale__product", "store").filter(code=code.strip().upper()).first()


def seats_of(*, team: Team) -> list[TeamSeat]:
    rows = team.seats.exclude(status=TeamSeat.Status.LEFT).select_related("member")
    return list(rows.order_by("pk"))


def teams_of(*, sales: list[Sale], store_ids: frozenset[int], limit: int = MOST) -> list[Team]:
    """Teams that form in these stores, those that lack fewest first."""
    rows = Team.objects.filter(sale__in=sales, store__in=store_ids, status=Team.Status.FORMING)
    return sorted(
        rows.select_related("captain", "sale").order_by("until")[:limit], key=lambda row: row.size - row.paid_count
    )


def shown(sale: Sale, counts: Counts, now: dt.datetime) -> dict[str, Any]:
    """What every screen says of a sale."""
    return {
        "sale_id": sale.pk, "kind": sale.kind, "name": sale.name, "terms": sale.terms, "sku": sale.product.sku,
        "product": sale.product.name, "list_fen": sale.list_fen, "price_fen": sale.price_fen, "starts_at": sale.starts_at,
        "ends_at": sale.ends_at, "seconds_to_start": max(0, round((sale.starts_at - now).total_seconds())),
        "seconds_to_end": max(0, round((sale.ends_at - now).total_seconds())), "left": counts.left, "total": counts.total,
        "reserved": counts.reserved, "sold": counts.sold, "member_cap": sale.member_cap, "hold_minutes": sale.hold_minutes,
        "team_size": sale.team_size, "team_hours": sale.team_hours,
    }  # fmt: skip
