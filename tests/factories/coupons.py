"""Coupon templates in force and baskets for them."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

from members import coupons
from members.coupons.quoting import Till
from members.coupons.terms import Basket
from members.models import Coupon, CouponTemplate, Redemption
from scrm.models import Brand, Store, User

NOW = dt.datetime(2026, 6, 30, 4, tzinfo=dt.UTC)  # Tuesday noon in Shanghai
DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)
_numbers = itertools.count(1)


def key() -> str:
    return f"key-{next(_numbers)}"


def person(name: str) -> User:
    return User.objects.get_or_create(username=name, defaults={"name": name})[0]


def draft(**values: Any) -> CouponTemplate:
    """满100减20, one a member, a hundred altogether, 2,000.00 yuan, thirty days from the claim."""
    return CouponTemplate.objects.create(
        **{
            "brand": Brand.objects.get(code="MAIN"), "code": f"C{next(_numbers)}", "name": "满100减20", "kind": "FULL_CUT",
            "value_fen": 2_000, "threshold_fen": 10_000, "claim_from": NOW - 30 * DAY, "claim_until": NOW + 60 * DAY,
            "valid_days": 30, "member_cap": 1, "total_cap": 100, "budget_fen": 200_000, "author": person("coupon-author"),
            **values,
        }
    )  # fmt: skip


def template(now: dt.datetime = NOW, **values: Any) -> CouponTemplate:
    row = draft(**values)
    return coupons.templates.publish(template=row, actor=person("coupon-approver"), now=now)


def give(row: CouponTemplate, member: Any, now: dt.datetime = NOW, **values: Any) -> Coupon:
    return coupons.issuing.give(template_id=row.pk, member_id=member.pk, now=now, **{"key": key(), **values}).coupon


def till(store: Store, order_no: str | None = None, **values: Any) -> Till:
    return Till(**{"store": store, "channel": "POS", "order_no": order_no or f"T{next(_numbers)}", **values})


def redeem(coupon: Coupon, where: Till, fen: int = 12_000, now: dt.datetime = NOW, **values: Any) -> Redemption:
    basket = values.pop("basket", Basket(fen))
    return coupons.redeeming.redeem(
        coupon_id=coupon.pk, till=where, basket=basket, now=now, **{"key": key(), **values}
    ).redemption
