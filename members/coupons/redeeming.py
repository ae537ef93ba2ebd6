"""Using a coupon (核销): in any store of its scope, once.

1. Scope is held against the store, the channel, the moment and the goods of the redemption, not of the claim. The database holds
   store, channel, moment and worth once more when the row is written.
2. A coupon is used once. Of many tills with one code one wins; the others hear where and when it was used.
3. An order takes one coupon that stands alone, or any number that may be combined; each takes its part of what is still to pay.
4. A coupon held for an order is used in that order only.
5. The redemption keeps whose store it was, who bears what, and posts the clearing between the companies.
6. It is taken back within the hours of the template, with a reason; the coupon comes back and can be used for at least three days
   more. After that it is final, and what the coupon did not need returns to its budget.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from members.coupons import clearing, issuing, records, terms
from members.coupons.records import Where
from members.coupons.refusals import CouponRefused, constraint_of
from members.coupons.terms import Basket
from members.models import (
    Category,
    Channel,
    Coupon,
    CouponEvent,
    CouponLock,
    CouponRequest,
    CouponTemplate,
    Product,
    Redemption,
)
from scrm import audit, db
from scrm.models import LegalEntity, Region, Store

Status, Event = Coupon.Status, CouponEvent.Kind
AT_ONCE = 2_000  # redemptions made final in one transaction
LONGEST_REASON = 200


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


@dataclass(frozen=True, slots=True)
class Quote:
    """What a coupon would take off, or why not."""

    coupon: Coupon
    discount_fen: int
    eligible_fen: int
    refusal: CouponRefused | None


@dataclass(frozen=True, slots=True)
class Redeemed:
    redemption: Redemption
    is_new: bool


def quote(*, coupon: Coupon, till: Till, basket: Basket, now: dt.datetime) -> Quote:
    """Look only; nothing is written. ``coupon`` with its template."""
    used = _used_in(till)
    eligible = _eligible(coupon.template, basket)
    amount = _discount(coupon, basket, eligible, used)
    refusal = _refusal(coupon, till, basket, eligible, amount, now) or _order_refusal(coupon, till)
    return Quote(coupon, 0 if refusal else amount, sum(line.amount_fen for line in eligible), refusal)


@transaction.atomic
def redeem(*, coupon_id: int, till: Till, basket: Basket, key: str, now: dt.datetime) -> Redeemed:
    """Use the coupon in the order. Raises CouponRefused, RequestDiffers."""
    said = {
        "store": till.store.pk, "channel": till.channel, "shop": till.shop, "order": till.order_no, "basket": basket.amount_fen,
        "lines": [[line.sku, line.amount_fen, str(line.quantity)] for line in basket.lines], "redeems": coupon_id,
    }  # fmt: skip
    (redemption_id,) = db.next_ids(Redemption, 1)
    first = records.known_before(key=key, coupon_id=coupon_id, answer_id=redemption_id, **said)
    if first is not None:
        return Redeemed(_made_by(first, till), False)
    lock_order(till)
    coupon = locked(coupon_id)
    found = quote(coupon=coupon, till=till, basket=basket, now=now)
    if found.refusal is not None:
        raise found.refusal
    CouponLock.objects.filter(coupon=coupon, ended_at=None).update(ended_at=now, ended_as=CouponLock.End.REDEEMED)
    row = _row(found, till, basket, now)
    row.pk = redemption_id
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise _by_constraint(constraint_of(error), error) from None
    clearing.post(redemption=row, now=now)
    records.note(Event.REDEEMED, [(coupon.pk, coupon.member_id)], at=now, where=till.where)
    records.tell(row)
    return Redeemed(row, True)


def _made_by(first: records.FirstTime, till: Till) -> Redemption:
    """The very redemption of that request: in one order a coupon may be used, taken back and used again. Requests of earlier
    releases do not name it; theirs is the first of the order."""
    if first.answer_id is not None:
        return Redemption.objects.get(pk=first.answer_id)
    of_order = Redemption.objects.filter(
        coupon=first.coupon_id, order_no=till.order_no, channel=till.channel, shop=till.shop
    )
    return of_order.order_by("pk")[0]


def done_before(*, key: str, coupon_id: int) -> bool:
    """Whether this very request was answered: then its proof of presence is used up, and it gets the same answer."""
    return CouponRequest.objects.filter(key=key, coupon_id=coupon_id).exists()


@transaction.atomic
def reverse(
    *, redemption_id: int, reason: str, key: str, now: dt.datetime, actor: Any = None, where: Where | None = None
) -> Redeemed:
    """Take a redemption back. Raises CouponRefused, RequestDiffers."""
    rows = db.lock(Redemption.objects.filter(pk=redemption_id).select_related("template"))
    if not rows:
        raise CouponRefused(_("There is no such redemption."), code="redemption_unknown", field="redemption")
    row: Redemption = rows[0]
    if records.known_before(key=key, coupon_id=row.coupon_id, reverses=redemption_id) is not None:
        return Redeemed(row, False)
    reason = reason.strip()
    if not reason:
        raise CouponRefused(_("Say why it is taken back."), code="redemption_needs_reason", field="reason")
    if row.status == Redemption.Status.REVERSED:
        raise CouponRefused(_("This redemption was taken back before."), code="redemption_reversed", field="redemption")
    hours = row.template.reversal_hours
    if not can_reverse(row, now):
        raise CouponRefused(
            _("A redemption of this coupon is taken back within %(hours)s hours; now it is final.") % {"hours": hours},
            code="redemption_final", field="redemption",
        )  # fmt: skip
    row.status, row.reversed_at, row.reversed_by, row.reason = (
        Redemption.Status.REVERSED,
        now,
        actor,
        reason[:LONGEST_REASON],
    )
    row.save(update_fields=["status", "reversed_at", "reversed_by", "reason"])
    clearing.post(redemption=row, now=now)
    place = where or Where(actor, row.store_id, row.channel, row.order_no, row.reason)
    records.note(Event.REVERSED, [(row.coupon_id, row.member_id)], at=now, where=place)
    records.tell(row)
    if actor is not None:
        audit.record(actor=actor, verb="coupon.reverse", target=row, reason=row.reason, amount_fen=row.discount_fen)
    return Redeemed(row, True)


def can_reverse(row: Redemption, now: dt.datetime) -> bool:
    """Whether the hours of its template still run."""
    until = row.redeemed_at + dt.timedelta(hours=row.template.reversal_hours)
    return row.status == Redemption.Status.REDEEMED and row.final_at is None and now <= until


def make_final(*, now: dt.datetime) -> int:
    """Redemptions nobody can take back any more; each chunk is a transaction of its own."""
    done = 0
    while count := _make_final(now):
        done += count
    return done


@transaction.atomic
def _make_final(now: dt.datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH ripe AS (SELECT r.id FROM members_redemption r JOIN members_coupontemplate t ON t.id = r.template_id"
            " WHERE r.status = 'REDEEMED' AND r.final_at IS NULL AND r.redeemed_at < %s - make_interval(hours => t.reversal_hours)"
            " ORDER BY r.id LIMIT %s FOR UPDATE OF r SKIP LOCKED)"
            " UPDATE members_redemption r SET final_at = %s FROM ripe WHERE ripe.id = r.id",
            [now, AT_ONCE, now],
        )
        return int(cursor.rowcount)


# --- what locks share -----------------------------------------------------------------------------------------------


def lock_order(till: Till) -> None:
    """Two coupons of one order follow each other. Before the coupon's own lock, always."""
    lock_named_order(till.channel, till.shop, till.order_no)


def lock_named_order(channel: str, shop: str, order_no: str) -> None:
    with connection.cursor() as cursor:
        name = f"coupon order {channel} {shop} {order_no}"
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def locked(coupon_id: int) -> Coupon:
    rows = db.lock(Coupon.objects.filter(pk=coupon_id).select_related("template"))
    if not rows:
        raise issuing.unknown_code()
    return rows[0]


def of_code(code: str) -> Coupon:
    found = Coupon.objects.filter(code=issuing.typed_code(code)).select_related("template").first()
    if found is None:
        raise issuing.unknown_code()
    return found


# --- reasons --------------------------------------------------------------------------------------------------------


def scope_refusal(template: CouponTemplate, *, store: Store, channel: str, now: dt.datetime) -> CouponRefused | None:
    """Store, channel and time of day."""
    if not _is_in_stores(template, store):
        message = _("This coupon is not valid in %(store)s, but in %(places)s.")
        return CouponRefused(
            message % {"store": store.name, "places": places(template)}, code="coupon_wrong_store", field="store"
        )
    if template.channels and channel not in template.channels:
        names = dict(Channel.objects.filter(code__in=template.channels).values_list("code", "name"))
        message = _("This coupon is valid in: %(channels)s.")
        channels = "、".join(names.get(code, code) for code in template.channels)
        return CouponRefused(message % {"channels": channels}, code="coupon_wrong_channel", field="channel")
    if not terms.is_at_hour(template, now):
        message = _("This coupon is not valid at this hour, but: %(hours)s.")
        return CouponRefused(message % {"hours": hours(template)}, code="coupon_wrong_time", field="time")
    return None


def places(template: CouponTemplate) -> str:
    """Where it is valid, in words."""
    named = [
        *Region.objects.filter(pk__in=template.region_ids).values_list("name", flat=True)[:4],
        *LegalEntity.objects.filter(pk__in=template.entity_ids).values_list("name", flat=True)[:4],
        *Store.objects.filter(pk__in=template.store_ids).order_by("pk").values_list("name", flat=True)[:4],
    ]
    count = len(template.region_ids) + len(template.entity_ids) + len(template.store_ids)
    text = "、".join(named[:4])
    return text if count <= 4 else _("%(names)s and others") % {"names": text}


def hours(template: CouponTemplate) -> str:
    days = "、".join(str(WEEKDAYS[day]) for day in template.weekdays)
    times = (
        f"{template.hour_from:%H:%M}–{template.hour_until:%H:%M}" if template.hour_from and template.hour_until else ""
    )
    return " ".join(filter(None, [days, times]))


WEEKDAYS = {1: "周一", 2: "周二", 3: "周三", 4: "周四", 5: "周五", 6: "周六", 7: "周日"}


def _refusal(
    coupon: Coupon, till: Till, basket: Basket, eligible: Sequence[terms.Goods], amount: int, now: dt.datetime
) -> CouponRefused | None:
    template = coupon.template
    return (
        _state_refusal(coupon, till)
        or _day_refusal(coupon, now)
        or scope_refusal(template, store=till.store, channel=till.channel, now=now)
        or _goods_refusal(template, basket, eligible, amount)
    )


def _state_refusal(coupon: Coupon, till: Till) -> CouponRefused | None:
    if coupon.status == Status.HELD:
        return None
    if coupon.status == Status.LOCKED:
        lock = coupon.locks.filter(ended_at=None).first()
        if lock is None or (lock.order_no, lock.channel, lock.shop) == (till.order_no, till.channel, till.shop):
            return None
        until = f"{lock.until.astimezone(terms.SHANGHAI):%H:%M}"
        message = _("This coupon is held for another order until %(until)s; cancel that order or wait.") % {
            "until": until
        }
        return CouponRefused(message, code="coupon_locked", field="code")
    if coupon.status == Status.REDEEMED:
        used = coupon.redemptions.filter(status=Redemption.Status.REDEEMED).select_related("store")[0]
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
    template: CouponTemplate, basket: Basket, eligible: Sequence[terms.Goods], amount: int
) -> CouponRefused | None:
    if sum(line.amount_fen for line in basket.lines) > basket.amount_fen:
        message = _("The lines come to more than the order; send the amount before coupons.")
        return CouponRefused(message, code="coupon_lines_exceed", field="lines")
    if is_for_goods(template) and not basket.lines:
        message = _("This coupon is for some products only; send the lines of the order.")
        return CouponRefused(message, code="coupon_needs_lines", field="lines")
    worth = sum(line.amount_fen for line in eligible)
    if is_for_goods(template) and not worth:
        message = _("Nothing in this order is what the coupon is for: %(goods)s.") % {"goods": goods(template)}
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


def _order_refusal(coupon: Coupon, till: Till) -> CouponRefused | None:
    place = {"order_no": till.order_no, "channel": till.channel, "shop": till.shop}
    others = Redemption.objects.filter(**place, status=Redemption.Status.REDEEMED)
    held = CouponLock.objects.filter(**place, ended_at=None).exclude(coupon=coupon)
    is_alone = not coupon.template.is_stackable
    if (others.exists() or held.exists()) if is_alone else (
        others.filter(is_stackable=False).exists() or held.filter(is_stackable=False).exists()
    ):  # fmt: skip
        return _alone()
    return None


def _alone() -> CouponRefused:
    return CouponRefused(
        _("This order has a coupon already, and these two do not go together; take one of them out."),
        code="coupon_not_stackable", field="order_no",
    )  # fmt: skip


def _by_constraint(name: str, error: IntegrityError) -> CouponRefused:
    """What the database said before our own look could."""
    if name == "coupon_order_alone":
        return _alone()
    if name in ("coupon_redeemed_once", "coupon_at_hand"):
        return CouponRefused(_("This coupon was used a moment ago."), code="coupon_used", field="code")
    raise error


# --- amounts --------------------------------------------------------------------------------------------------------


def is_for_goods(template: CouponTemplate) -> bool:
    return bool(template.product_ids or template.category_ids)


def goods(template: CouponTemplate) -> str:
    named = [
        *Category.objects.filter(pk__in=template.category_ids).order_by("pk").values_list("name", flat=True)[:4],
        *Product.objects.filter(pk__in=template.product_ids).order_by("pk").values_list("name", flat=True)[:4],
    ]
    count = len(template.category_ids) + len(template.product_ids)
    text = "、".join(named[:4])
    return text if count <= 4 else _("%(names)s and others") % {"names": text}


def _eligible(template: CouponTemplate, basket: Basket) -> tuple[terms.Goods, ...]:
    if not is_for_goods(template):
        return (terms.Goods("", basket.amount_fen),)
    skus = [line.sku for line in basket.lines]
    known = Product.objects.filter(sku__in=skus).values_list("sku", "pk", "category_id")
    right = {sku for sku, pk, category in known if pk in template.product_ids or category in template.category_ids}
    return terms.covered(basket.lines, right)


def _discount(coupon: Coupon, basket: Basket, eligible: Sequence[terms.Goods], used_fen: int) -> int:
    template = coupon.template
    return terms.takes_off(
        kind=template.kind, value_fen=coupon.value_fen, off_bp=template.off_bp, payable_fen=basket.amount_fen - used_fen,
        eligible_fen=sum(line.amount_fen for line in eligible), unit_fen=terms.dearest_unit(eligible),
    )  # fmt: skip


def _used_in(till: Till) -> int:
    others = Redemption.objects.filter(
        order_no=till.order_no, channel=till.channel, shop=till.shop, status=Redemption.Status.REDEEMED
    )
    return int(others.aggregate(fen=Sum("discount_fen"))["fen"] or 0)


def _row(found: Quote, till: Till, basket: Basket, now: dt.datetime) -> Redemption:
    coupon, template = found.coupon, found.coupon.template
    assert coupon.member_id is not None  # a constraint of the table
    hq_fen, rest_fen = terms.shares(found.discount_fen, template.hq_share_bp)
    is_issuer = template.bearer == CouponTemplate.Bearer.ISSUER
    bearer_id = (coupon.issuer_id or clearing.hq().pk) if is_issuer else till.store.entity_id
    return Redemption(
        coupon=coupon, template=template, member_id=coupon.member_id, store=till.store, entity_id=till.store.entity_id,
        bearer_id=bearer_id, channel=till.channel, shop=till.shop, order_no=till.order_no, is_stackable=template.is_stackable,
        basket_fen=basket.amount_fen, eligible_fen=found.eligible_fen, discount_fen=found.discount_fen, hq_fen=hq_fen,
        rest_fen=rest_fen, redeemed_at=now, clerk=till.actor, cashier_code=till.cashier_code[:32],
    )  # fmt: skip


def _is_in_stores(template: CouponTemplate, store: Store) -> bool:
    if not (template.store_ids or template.region_ids or template.entity_ids):
        return True
    if store.pk in template.store_ids or store.entity_id in template.entity_ids:
        return True
    if not template.region_ids:
        return False
    above = Region.objects.ancestors(store.region_id, include_self=True)
    return any(region.pk in template.region_ids for region in above)
