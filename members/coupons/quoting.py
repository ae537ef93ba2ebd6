"""What a coupon would take off in an order, or why not (核销试算).

1. Scope is held against the store, the channel, the moment and the goods of the redemption, not of the claim.
2. A coupon held for an order counts in that order only; one that stands alone counts where no other coupon is used or held.
3. Of one order many coupons are looked at together: what they need to know is asked once, whatever their number.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _

from members.coupons import names, terms
from members.coupons.names import Names
from members.coupons.records import Where
from members.coupons.refusals import CouponRefused
from members.coupons.terms import Basket
from members.models import Coupon, CouponLock, CouponTemplate, Product, Redemption
from scrm import db
from scrm.models import Region, Store

Status = Coupon.Status

# (coupon, whether it may be combined, what it took off) of each coupon used in the order; of each one held for it, 0
TAKEN = """
    SELECT coupon_id, is_stackable, discount_fen, true FROM members_redemption
    WHERE order_no = %s AND channel = %s AND shop = %s AND status = 'REDEEMED'
    UNION ALL
    SELECT coupon_id, is_stackable, 0, false FROM members_couponlock
    WHERE order_no = %s AND channel = %s AND shop = %s AND ended_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Till:
    """Where the customer pays. ``shop`` tells shops of one channel apart, as orders do."""

    store: Store
    channel: str
    order_no: str
    shop: str = ""
    actor: Any = None
    cashier_code: str = ""

    @property
    def where(self) -> Where:
        return Where(actor=self.actor, store_id=self.store.pk, channel=self.channel, order_no=self.order_no)

    @property
    def order(self) -> tuple[str, str, str]:
        return (self.order_no, self.channel, self.shop)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a coupon would take off, or why not."""

    coupon: Coupon
    discount_fen: int
    eligible_fen: int
    refusal: CouponRefused | None


class Facts:
    """What quotes of one order have to know; each part is asked once, when a coupon needs it."""

    def __init__(
        self, till: Till, basket: Basket, coupons: Iterable[Coupon], taken: Sequence[tuple[Any, ...]] | None = None
    ) -> None:
        self.till, self.basket, self.coupons = till, basket, tuple(coupons)
        self.names = Names({row.template_id: row.template for row in self.coupons}.values())
        if taken is not None:
            self.taken = taken

    @cached_property
    def taken(self) -> Sequence[tuple[Any, ...]]:
        return db.read(TAKEN, [*self.till.order, *self.till.order])

    @cached_property
    def goods(self) -> dict[str, tuple[int, int | None]]:
        """``{sku: (product, category)}``"""
        rows = Product.objects.filter(sku__in={line.sku for line in self.basket.lines})
        return {sku: (pk, category) for sku, pk, category in rows.values_list("sku", "pk", "category_id")}

    @cached_property
    def regions(self) -> frozenset[int]:
        """Of the store, with all above it."""
        above = Region.objects.ancestors(self.till.store.region_id, include_self=True)
        return frozenset(region.pk for region in above)

    @cached_property
    def locks(self) -> dict[int, CouponLock]:
        rows = CouponLock.objects.filter(coupon__in=[row.pk for row in self.coupons], ended_at=None)
        return {lock.coupon_id: lock for lock in rows}

    @cached_property
    def uses(self) -> dict[int, Redemption]:
        rows = Redemption.objects.filter(coupon__in=[row.pk for row in self.coupons], status=Redemption.Status.REDEEMED)
        return {used.coupon_id: used for used in rows.select_related("store")}


def quote(*, coupon: Coupon, till: Till, basket: Basket, now: dt.datetime) -> Quote:
    """Look only; nothing is written. ``coupon`` with its template."""
    return by_facts(coupon, Facts(till, basket, [coupon]), now)


def quotes(*, coupons: Iterable[Coupon], till: Till, basket: Basket, now: dt.datetime) -> list[Quote]:
    """Of each coupon by itself, in their order."""
    rows = list(coupons)
    facts = Facts(till, basket, rows)
    return [by_facts(row, facts, now) for row in rows]


def by_facts(coupon: Coupon, facts: Facts, now: dt.datetime) -> Quote:
    eligible = _eligible(coupon.template, facts)
    amount = _discount(coupon, facts, eligible)
    refusal = _refusal(coupon, facts, eligible, amount, now) or _order_refusal(coupon, facts)
    return Quote(coupon, 0 if refusal else amount, sum(line.amount_fen for line in eligible), refusal)


def alone() -> CouponRefused:
    return CouponRefused(
        _("This order has a coupon already, and these two do not go together; take one of them out."),
        code="coupon_not_stackable", field="order_no",
    )  # fmt: skip


# --- reasons --------------------------------------------------------------------------------------------------------


def _refusal(
    coupon: Coupon, facts: Facts, eligible: Sequence[terms.Goods], amount: int, now: dt.datetime
) -> CouponRefused | None:
    return (
        _state_refusal(coupon, facts)
        or _day_refusal(coupon, now)
        or _scope_refusal(coupon.template, facts, now)
        or _goods_refusal(coupon.template, facts, eligible, amount)
    )


def _scope_refusal(template: CouponTemplate, facts: Facts, now: dt.datetime) -> CouponRefused | None:
    """Store, channel and time of day."""
    if not _is_in_stores(template, facts):
        message = _("This coupon is not valid in %(store)s, but in %(places)s.")
        return CouponRefused(
            message % {"store": facts.till.store.name, "places": facts.names.places(template)}, code="coupon_wrong_store", field="store"
        )  # fmt: skip
    if template.channels and facts.till.channel not in template.channels:
        message = _("This coupon is valid in: %(channels)s.")
        return CouponRefused(
            message % {"channels": facts.names.channels(template)}, code="coupon_wrong_channel", field="channel"
        )
    if not terms.is_at_hour(template, now):
        message = _("This coupon is not valid at this hour, but: %(hours)s.")
        return CouponRefused(message % {"hours": names.hours(template)}, code="coupon_wrong_time", field="time")
    return None


def _state_refusal(coupon: Coupon, facts: Facts) -> CouponRefused | None:
    if coupon.status == Status.HELD:
        return None
    if coupon.status == Status.LOCKED:
        lock = facts.locks.get(coupon.pk)
        if lock is None or (lock.order_no, lock.channel, lock.shop) == facts.till.order:
            return None
        until = f"{lock.until.astimezone(terms.SHANGHAI):%H:%M}"
        message = _("This coupon is held for another order until %(until)s; cancel that order or wait.") % {
            "until": until
        }
        return CouponRefused(message, code="coupon_locked", field="code")
    if coupon.status == Status.REDEEMED:
        used = facts.uses.get(coupon.pk)
        if used is None:
            return None  # taken back since the coupon was read
        at = f"{used.redeemed_at.astimezone(terms.SHANGHAI):%Y-%m-%d %H:%M}"
        message = _("This coupon was used on %(at)s in %(store)s.") % {"at": at, "store": used.store.name}
        return CouponRefused(message, code="coupon_used", field="code")
    texts = {
        Status.UNCLAIMED: _("This code is not claimed yet; let the customer claim it first."),
        Status.GIVEN: _("The customer is giving this coupon away; she has to take it back first."),
        Status.EXPIRED: _("This coupon has expired."),
    }
    message = texts.get(Status(coupon.status), _("This coupon was made void."))
    return CouponRefused(message, code=f"coupon_{coupon.status.lower()}", field="code")


def _day_refusal(coupon: Coupon, now: dt.datetime) -> CouponRefused | None:
    today = terms.business_day(now)
    assert coupon.starts_on is not None and coupon.expires_on is not None  # it is claimed
    if today < coupon.starts_on:
        message = _("This coupon is valid from %(day)s on.") % {"day": coupon.starts_on}
        return CouponRefused(message, code="coupon_not_yet", field="code")
    if today > coupon.expires_on:
        message = _("This coupon expired on %(day)s.") % {"day": coupon.expires_on}
        return CouponRefused(message, code="coupon_expired", field="code")
    return None


def _goods_refusal(
    template: CouponTemplate, facts: Facts, eligible: Sequence[terms.Goods], amount: int
) -> CouponRefused | None:
    basket = facts.basket
    if sum(line.amount_fen for line in basket.lines) > basket.amount_fen:
        message = _("The lines come to more than the order; send the amount before coupons.")
        return CouponRefused(message, code="coupon_lines_exceed", field="lines")
    if names.is_for_goods(template) and not basket.lines:
        message = _("This coupon is for some products only; send the lines of the order.")
        return CouponRefused(message, code="coupon_needs_lines", field="lines")
    worth = sum(line.amount_fen for line in eligible)
    if names.is_for_goods(template) and not worth:
        message = _("Nothing in this order is what the coupon is for: %(goods)s.") % {
            "goods": facts.names.goods(template)
        }
        return CouponRefused(message, code="coupon_wrong_product", field="lines")
    if worth < template.threshold_fen:
        from scrm.money import yuan

        message = _("It counts from ¥%(threshold)s, and the goods come to ¥%(worth)s; ¥%(lacking)s is missing.")
        values = {
            "threshold": yuan(template.threshold_fen), "worth": yuan(worth), "lacking": yuan(template.threshold_fen - worth),
        }  # fmt: skip
        return CouponRefused(message % values, code="coupon_below_threshold", field="amount")
    if amount <= 0:
        return CouponRefused(_("There is nothing left to take off."), code="coupon_nothing_off", field="amount")
    return None


def _order_refusal(coupon: Coupon, facts: Facts) -> CouponRefused | None:
    is_alone = not coupon.template.is_stackable
    for other, is_stackable, _fen, is_used in facts.taken:
        if (is_used or other != coupon.pk) and (is_alone or not is_stackable):
            return alone()
    return None


# --- amounts --------------------------------------------------------------------------------------------------------


def _eligible(template: CouponTemplate, facts: Facts) -> tuple[terms.Goods, ...]:
    if not names.is_for_goods(template):
        return (terms.Goods("", facts.basket.amount_fen),)
    right = {
        sku for sku, (pk, category) in facts.goods.items() if pk in template.product_ids or category in template.category_ids
    }  # fmt: skip
    return terms.covered(facts.basket.lines, right)


def _discount(coupon: Coupon, facts: Facts, eligible: Sequence[terms.Goods]) -> int:
    template, used_fen = coupon.template, sum(fen for _coupon, _is_stackable, fen, _is_used in facts.taken)
    return terms.takes_off(
        kind=template.kind, value_fen=coupon.value_fen, off_bp=template.off_bp, payable_fen=facts.basket.amount_fen - used_fen,
        eligible_fen=sum(line.amount_fen for line in eligible), unit_fen=terms.dearest_unit(eligible),
    )  # fmt: skip


def _is_in_stores(template: CouponTemplate, facts: Facts) -> bool:
    if not (template.store_ids or template.region_ids or template.entity_ids):
        return True
    store = facts.till.store
    if store.pk in template.store_ids or store.entity_id in template.entity_ids:
        return True
    return not facts.regions.isdisjoint(template.region_ids) if template.region_ids else False
