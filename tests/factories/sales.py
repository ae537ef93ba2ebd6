"""Sales that run, members who buy in them, and the orders and refunds that come in from the shop."""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal
from typing import Any

from django.utils import timezone

from campaigns.communities import flash_sales
from campaigns.communities.flash_sales import Claim, Draft
from campaigns.models import Reservation, Sale, StockBucket
from members import purchases
from members.models import Member
from members.purchases import LineVersion, RefundVersion
from scrm.models import User
from tests.factories import shops as factory
from tests.factories.shops import Shops

CHANNEL, SHOP = "MINI_PROGRAM", "main"
HOUR = dt.timedelta(hours=1)
_numbers = itertools.count(1)


def said(company: Shops, stock: dict[str, int] | None = None, **values: Any) -> Draft:
    now = timezone.now()
    counts = {company.stores[code].pk: count for code, count in (stock or {"S1": 5}).items()}
    if values.get("kind") == "GROUP":
        values = {"team_size": 2, "team_hours": 24, **values}
    return Draft(
        **{
            "kind": "FLASH", "brand": company.brand, "name": "周五秒杀", "product": factory.product("猫山王"), "list_fen": 19_900,
            "price_fen": 9_900, "starts_at": now - HOUR, "ends_at": now + 24 * HOUR, "stock": counts, **values,
        }
    )  # fmt: skip


def person(name: str) -> User:
    return User.objects.get_or_create(username=name)[0]


def asked(company: Shops, stock: dict[str, int] | None = None, **values: Any) -> Sale:
    author, now = person("author"), timezone.now()
    row = flash_sales.draft(said=said(company, stock, **values), actor=author, now=now)
    return flash_sales.ask(sale=row, actor=author, now=now)


def sale(company: Shops, stock: dict[str, int] | None = None, **values: Any) -> Sale:
    return flash_sales.approve(sale=asked(company, stock, **values), actor=person("approver"), now=timezone.now())


def members(company: Shops, count: int) -> list[Member]:
    return Member.objects.bulk_create(
        Member(brand=company.brand, name=f"顾客{n}", home_store=company.stores["S1"]) for n in range(count)
    )


def key() -> str:
    return f"{CHANNEL} test {next(_numbers)}"


def wants(row: Sale, store: Any, member: Member, **values: Any) -> Claim:
    return Claim(**{"sale_id": row.pk, "store_id": store.pk, "member_id": member.pk, "key": key(), **values})


def order(row: Reservation, at: dt.datetime | None = None, *, names: bool = True, **values: Any) -> LineVersion:
    """The shop takes an order for the reservation and it comes in; ``names``: the shop has said which one."""
    at = at or timezone.now()
    number = row.order_no or f"T{next(_numbers):06d}"
    if names and not row.order_no and row.member_id:
        flash_sales.name_order(
            reservation_id=row.pk, member_id=row.member_id, channel=CHANNEL, shop=SHOP, order_no=number
        )
    line = LineVersion(
        **{
            "channel": CHANNEL, "shop": SHOP, "order_no": number, "line_no": 1, "version_at": at, "created_at": at, "paid_at": at,
            "sku": row.item.product.sku if row.item.product else "SKU-1", "quantity": Decimal(row.quantity),
            "list_fen": 19_900 * row.quantity, "paid_fen": (row.unit_fen or 0) * row.quantity, **values,
        }
    )  # fmt: skip
    purchases.record_lines(lines=[line])
    return line


def refund(line: LineVersion, quantity: int = 1, amount_fen: int | None = None) -> str:
    number, at = f"R{next(_numbers):06d}", timezone.now()
    amount = line.paid_fen if amount_fen is None else amount_fen
    said = RefundVersion(
        line.channel, line.shop, number, line.order_no, line.line_no, at, at, Decimal(quantity), amount
    )
    purchases.record_refunds(refunds=[said])
    return number


def counts(row: Sale) -> tuple[int, int, int, int]:
    """(stock, left, reserved, sold) over all stores"""
    rows = StockBucket.objects.filter(item=row.stock_item_id).values_list(
        "total_count", "left_count", "reserved_count", "sold_count"
    )
    total, left, reserved, sold = (sum(column) for column in zip(*rows, strict=True))
    return total, left, reserved, sold
