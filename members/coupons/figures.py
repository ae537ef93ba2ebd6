"""Answers about coupons for screens."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

from django.db.models import Q, QuerySet, Sum

from members.models import Coupon, CouponEvent, CouponStock, CouponTemplate, Redemption

COUNTS = ("issued_count", "unclaimed_count", "held_count", "redeemed_count", "expired_count", "void_count")
MONEY = ("budget_fen", "left_fen", "reserved_fen", "spent_fen")
OPEN = (Coupon.Status.HELD, Coupon.Status.LOCKED, Coupon.Status.GIVEN)


def stock(template_ids: Collection[int]) -> dict[int, dict[str, Any]]:
    """``{template: counts and money over its buckets}``; one query."""
    wanted = {name: Sum(name) for name in (*COUNTS, *MONEY, "left_count")}
    rows: Any = (
        CouponStock.objects.filter(template__in=template_ids).order_by().values("template_id").annotate(**wanted)
    )
    return {row["template_id"]: row for row in rows}


def of_member(*, member_id: int, is_open: bool, after: int | None, limit: int) -> list[Coupon]:
    """Her coupons, the newest first; ``is_open``: those she can still use."""
    rows = Coupon.objects.filter(member=member_id).select_related("template")
    rows = rows.filter(status__in=OPEN) if is_open else rows
    return list(rows.filter(Q(pk__lt=after) if after is not None else Q()).order_by("-pk")[:limit])


def usable_by(*, member_id: int, today: dt.date, limit: int = 50) -> list[Coupon]:
    """What a till may offer her, what ends first first."""
    rows = Coupon.objects.filter(
        member=member_id,
        status__in=[Coupon.Status.HELD, Coupon.Status.LOCKED],
        starts_on__lte=today,
        expires_on__gte=today,
    )
    return list(rows.select_related("template").order_by("expires_on", "pk")[:limit])


def for_guides(*, now: dt.datetime) -> list[CouponTemplate]:
    """Templates in force that guides give out."""
    rows = CouponTemplate.objects.filter(
        status=CouponTemplate.Status.PUBLISHED, guide_month_quota__gt=0, claim_from__lte=now, claim_until__gt=now
    )
    return list(rows.order_by("pk")[:100])


def claimable(*, now: dt.datetime) -> list[CouponTemplate]:
    """Templates in force that customers take themselves."""
    rows = CouponTemplate.objects.filter(
        status=CouponTemplate.Status.PUBLISHED, is_claimable=True, claim_from__lte=now, claim_until__gt=now
    )
    return list(rows.order_by("pk")[:100])


def redemptions_by(*, store_ids: Collection[int], clerk: Any, after: int | None, limit: int) -> QuerySet[Redemption]:
    """What she has redeemed herself, the newest first."""
    rows = Redemption.objects.filter(clerk=clerk, store__in=store_ids).select_related("template", "coupon", "store")
    return rows.filter(Q(pk__lt=after) if after is not None else Q()).order_by("-pk")[:limit]


def events(coupon_id: int) -> list[CouponEvent]:
    return list(CouponEvent.objects.filter(coupon=coupon_id).order_by("pk")[:200])
