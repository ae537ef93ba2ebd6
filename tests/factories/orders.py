"""Orders, rules and touches in few words, decided and posted for real."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from typing import Any

from django.db.models import F
from django.utils import timezone

from attribution import decisions, ledger, rulebook
from attribution.models import Account, Decision, Hold, RuleBudget, RuleLayer, RuleTier, RuleVersion
from guides import touches
from guides.models import Touch
from members.models import Category, LineToDecide, Order, OrderLine, Product
from scrm import db
from tests.factories.shops import Shops

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_numbers = itertools.count(1)


def rule(
    *,
    since: dt.datetime = LONG_AGO,
    rate_bp: int = 500,
    rates: dict[tuple[str | None, str | None], int] | None = None,
    layers: list[dict[str, Any]] | None = None,
    tiers: list[tuple[int | None, int]] | None = None,
    budgets: dict[str, int] | None = None,
    **values: Any,
) -> RuleVersion:
    """A published version that takes the place of the one in force; ``rates`` by (channel, category)."""
    RuleVersion.objects.filter(effective_until=None).update(effective_until=since)
    last = RuleVersion.objects.order_by("-number").first()
    assert last is not None
    row = RuleVersion.objects.create(
        brand=last.brand,
        number=last.number + 1,
        effective_from=since,
        **{"name": "规则", "mode": "SERVICE_FIRST", **values},
    )
    row.rates.create(rate_bp=rate_bp)
    for (channel, category), bp in (rates or {}).items():
        row.rates.create(channel=channel, category=category_of(category) if category else None, rate_bp=bp)
    for layer in layers or []:
        RuleLayer.objects.create(rule=row, **layer)
    for upto_fen, bp in tiers or []:
        RuleTier.objects.create(rule=row, upto_fen=upto_fen, rate_bp=bp)
    for budget, month_fen in (budgets or {}).items():
        RuleBudget.objects.create(rule=row, budget=budget, month_fen=month_fen)
    row = RuleVersion.objects.get(pk=row.pk)
    RuleVersion.objects.filter(pk=row.pk).update(status="PUBLISHED", digest=rulebook.digest_of(row))
    return row


def category_of(code: str) -> Category:
    return Category.objects.get_or_create(code=code, defaults={"name": code})[0]


def product_of(sku: str, category: str = "MAIN") -> Product:
    return Product.objects.get_or_create(sku=sku, defaults={"name": sku, "category": category_of(category)})[0]


def order(
    company: Shops,
    *fen: int,
    at: dt.datetime,
    member: str | None = None,
    store: str | None = None,
    channel: str | None = None,
    cashier: str = "",
    products: tuple[Product, ...] = (),
    order_no: str = "",
    **values: Any,
) -> list[OrderLine]:
    """An order with a line per amount, decided and posted; ``at`` is the payment. A fulfilling store is named by its code."""
    day = timezone.localtime(at).date()
    db.ensure_partitions(OrderLine, day, day)
    channel = channel or ("POS" if store else "MINI_PROGRAM")
    row = Order.objects.create(
        channel=channel, shop=store or "main", order_no=order_no or f"E{next(_numbers):06d}", booked_on=day
    )
    if "fulfil_store" in values:
        values["fulfil_store"] = company.stores[values["fulfil_store"]]
    lines = []
    for place, paid_fen in enumerate(fen):
        product = products[place] if products else product_of("SKU-1")
        lines.append(
            OrderLine.objects.create(
                **{
                    "order": row,
                    "booked_on": day,
                    "line_no": place + 1,
                    "channel": channel,
                    "version_at": at,
                    "content_hash": f"{next(_numbers):032x}",
                    "created_at": at,
                    "paid_at": at,
                    "store": company.stores[store] if store else None,
                    "cashier_code": cashier,
                    "member": company.members[member] if member else None,
                    "product": product,
                    "quantity": 1,
                    "list_fen": paid_fen,
                    "paid_fen": paid_fen,
                    **values,
                }
            )
        )
    decide(*lines)
    return lines


def decide(*lines: OrderLine) -> None:
    LineToDecide.objects.bulk_create([LineToDecide(line_id=row.pk, booked_on=row.booked_on) for row in lines])
    decisions.decide_lines(line_ids=[row.pk for row in lines])


def changed(line: OrderLine, **values: Any) -> None:
    """A new version of the line, decided."""
    version_at = OrderLine.objects.get(pk=line.pk).version_at + dt.timedelta(hours=1)
    OrderLine.objects.filter(pk=line.pk).update(version_at=version_at, **values)
    decide(line)


def refund(company: Shops, line: OrderLine, amount_fen: int, at: dt.datetime) -> None:
    company.lines["refunded"] = OrderLine.objects.select_related("order").get(pk=line.pk)
    company.refund("refunded", amount_fen, at)


def touch(company: Shops, guide: str, member: str, at: dt.datetime, **values: Any) -> Touch:
    return touches.record(
        **{
            "key": f"t{next(_numbers)}", "kind": "SHARE", "guide_id": company.guides[guide].pk,
            "member_id": company.members[member].pk, "at": at, **values,
        }
    )[0]  # fmt: skip


def owed(*lines: OrderLine) -> dict[str, int]:
    """Fen per beneficiary that the lines still stand for; nobody with nothing."""
    left = F("amount_fen") - F("reversed_fen") - F("clawed_fen")
    rows = Hold.objects.filter(line_id__in=[line.pk for line in lines]).values_list("beneficiary__code", left)
    total: Counter[str] = Counter()
    for code, fen in rows:
        total[code] += fen
    return {code: fen for code, fen in total.items() if fen}


def live(line: OrderLine) -> Decision:
    return Decision.objects.exclude(state="SUPERSEDED").get(line_id=line.pk)


def balance(code: str) -> int:
    return Account.objects.get(code=code).balance_fen


def vest(line: OrderLine) -> None:
    """The line's holds become due, within the test's own transaction."""
    ledger.post(batch=[ledger._vesting(hold) for hold in Hold.objects.filter(line_id=line.pk)])
