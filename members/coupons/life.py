"""What happens to a coupon between claim and redemption (锁定、转赠、到期、作废).

1. A coupon in an order that is being paid is locked (锁券) for the minutes of its template. The order's cancellation releases it,
   once; a lock nobody ends lapses at its time. Locking it again for the same order says the same.
2. A member gives a coupon away once (转赠), where the template allows it: the offer is a link with a secret, taken by another
   active member who still has a place, or it comes back to the giver, by her wish or when its hours are over. Nobody takes
   it after the coupon's last day.
3. A coupon expires when the business day (Shanghai) after its last one begins. The job of a day runs once; a coupon in an
   order or on its way to somebody waits until it is back. A printed code nobody has claimed lapses with its template and counts
   as never given out.
4. Members who are merged: the coupons of the one are the other's from then on, in whatever state, and what both have had of a template
   counts together against its cap; who has more than the cap allows keeps them and gets no more. The database sees to it, whoever
   merges (``models.coupon_triggers``).
5. The company makes a coupon void with a reason. What expired or is void gives its reserved money back to the budget.
"""

from __future__ import annotations

import datetime as dt
import secrets
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from members.coupons import issuing, quoting, records, redeeming, terms
from members.coupons.quoting import Till
from members.coupons.records import Where
from members.coupons.refusals import CouponRefused, constraint_of
from members.coupons.terms import Basket
from members.models import Coupon, CouponEvent, CouponGift, CouponLock
from scrm import audit, db

AT_ONCE = 2_000
Status, Event = Coupon.Status, CouponEvent.Kind

# --- locks ------------------------------------------------------------------------------------------------------------


@transaction.atomic
def lock(*, coupon_id: int, till: Till, basket: Basket, key: str, now: dt.datetime) -> CouponLock:
    """Hold the coupon for the order. Raises CouponRefused, RequestDiffers."""
    redeeming.lock_order(channel=till.channel, shop=till.shop, order_no=till.order_no)
    coupon = redeeming.locked(coupon_id)
    said: dict[str, Any] = {"locks": coupon_id, "channel": till.channel, "shop": till.shop, "order": till.order_no}
    of_order = coupon.locks.filter(order_no=till.order_no, channel=till.channel, shop=till.shop).order_by("-pk")
    if records.known_before(key=key, coupon_id=coupon_id, **said) is not None:
        return of_order[0]
    found = quoting.quote(coupon=coupon, till=till, basket=basket, now=now)
    if found.refusal is not None:
        raise found.refusal
    standing = of_order.filter(ended_at=None).first()
    if standing is not None:
        return standing
    row = CouponLock.objects.create(
        coupon=coupon, channel=till.channel, shop=till.shop, order_no=till.order_no,
        is_stackable=coupon.template.is_stackable, locked_at=now,
        until=now + dt.timedelta(minutes=coupon.template.lock_minutes),
    )  # fmt: skip
    records.note(Event.LOCKED, [(coupon.pk, coupon.member_id)], at=now, where=till.where)
    return row


@transaction.atomic
def release(*, channel: str, shop: str, order_no: str, now: dt.datetime, where: Where = records.NOWHERE) -> int:
    """The order is cancelled: its coupons come back; how many. Again: none."""
    redeeming.lock_order(channel=channel, shop=shop, order_no=order_no)
    rows = CouponLock.objects.filter(order_no=order_no, channel=channel, shop=shop, ended_at=None)
    return _end_locks(rows, CouponLock.End.RELEASED, now, where)


def lapse_locks(*, now: dt.datetime) -> int:
    """Locks whose time is up; each chunk is a transaction of its own."""
    done = 0
    while count := _lapse_locks(now):
        done += count
    return done


@transaction.atomic
def _lapse_locks(now: dt.datetime) -> int:
    over = CouponLock.objects.filter(ended_at=None, until__lte=now)
    ids = list(over.order_by("until").values_list("pk", flat=True)[:AT_ONCE])
    return _end_locks(over.filter(pk__in=ids), CouponLock.End.LAPSED, now, records.NOWHERE)


def _end_locks(rows: QuerySet[CouponLock], how: str, now: dt.datetime, where: Where) -> int:
    """The coupons first, in their order, as whoever redeems does; then what is still open of ``rows``."""
    coupon_ids = list(rows.values_list("coupon_id", flat=True))
    db.lock(Coupon.objects.filter(pk__in=coupon_ids))
    still = rows.filter(coupon__in=coupon_ids)
    ended = list(still.values_list("pk", "coupon_id", "coupon__member_id"))
    CouponLock.objects.filter(pk__in=[pk for pk, _coupon, _member in ended]).update(ended_at=now, ended_as=how)
    kind = Event.RELEASED if how == CouponLock.End.RELEASED else Event.LAPSED
    records.note(kind, [(coupon, member) for _pk, coupon, member in ended], at=now, where=where)
    return len(ended)


# --- gifts ------------------------------------------------------------------------------------------------------------


@transaction.atomic
def offer(*, coupon_id: int, giver_id: int, key: str, now: dt.datetime, where: Where = records.NOWHERE) -> CouponGift:
    """Offer the coupon to whoever gets the token. Raises CouponRefused, RequestDiffers."""
    coupon = redeeming.locked(coupon_id)
    if coupon.member_id != giver_id:
        raise issuing.unknown_code()
    if records.known_before(key=key, coupon_id=coupon_id, offers=coupon_id, giver=giver_id) is not None:
        return coupon.gifts.filter(giver=giver_id).order_by("-pk")[0]
    if not coupon.template.is_giftable or coupon.is_gifted:
        raise CouponRefused(
            _("This coupon cannot be given away, or was given away before."), code="coupon_not_giftable", field="code"
        )
    if coupon.status != Status.HELD or (coupon.expires_on and coupon.expires_on < terms.business_day(now)):
        raise CouponRefused(
            _("Only a coupon that can be used is given away; look at its state."),
            code="coupon_not_at_hand",
            field="code",
        )
    assert coupon.expires_on is not None  # it is claimed
    until = min(now + dt.timedelta(hours=coupon.template.gift_hours), terms.end_of(coupon.expires_on))
    row = CouponGift.objects.create(
        coupon=coupon, giver_id=giver_id, token=secrets.token_urlsafe(24), offered_at=now, until=until
    )
    records.note(Event.OFFERED, [(coupon.pk, giver_id)], at=now, where=where)
    return row


@transaction.atomic
def take(*, token: str, taker_id: int, key: str, now: dt.datetime, where: Where = records.NOWHERE) -> Coupon:
    """The coupon becomes the taker's. Raises CouponRefused, RequestDiffers."""
    found = CouponGift.objects.filter(token=token).values_list("pk", "coupon_id").first()
    if found is None:
        raise CouponRefused(_("There is no such gift."), code="gift_unknown", field="token")
    coupon = redeeming.locked(found[1])
    gift = CouponGift.objects.get(pk=found[0])
    if records.known_before(key=key, coupon_id=coupon.pk, takes=gift.pk, taker=taker_id) is not None:
        return coupon
    is_past = coupon.expires_on is not None and coupon.expires_on < terms.business_day(now)
    if gift.ended_at is not None or now >= gift.until or is_past:
        raise CouponRefused(_("This gift was taken, or its time is over."), code="gift_over", field="token")
    if gift.giver_id == taker_id:
        raise CouponRefused(_("It is your own gift; take it back instead."), code="gift_own", field="member")
    issuing.require_member(coupon.template, taker_id)
    gift.ended_at, gift.ended_as, gift.taker_id = now, CouponGift.End.TAKEN, taker_id
    try:
        with transaction.atomic():
            gift.save(update_fields=["ended_at", "ended_as", "taker"])
    except IntegrityError as error:
        if constraint_of(error) == "coupon_member_cap":
            raise issuing.member_cap_reached(coupon.template) from None
        raise
    records.note(Event.TAKEN, [(coupon.pk, taker_id)], at=now, where=where)
    coupon.refresh_from_db()
    return coupon


@transaction.atomic
def take_back(*, coupon_id: int, giver_id: int, now: dt.datetime, where: Where = records.NOWHERE) -> bool:
    """The giver changes her mind; False when nobody was offered it (any more)."""
    coupon = redeeming.locked(coupon_id)
    if coupon.member_id != giver_id:
        raise issuing.unknown_code()
    ended = coupon.gifts.filter(ended_at=None).update(ended_at=now, ended_as=CouponGift.End.TAKEN_BACK)
    if ended:
        records.note(Event.TAKEN_BACK, [(coupon.pk, giver_id)], at=now, where=where)
    return bool(ended)


def lapse_gifts(*, now: dt.datetime) -> int:
    done = 0
    while count := _lapse_gifts(now):
        done += count
    return done


@transaction.atomic
def _lapse_gifts(now: dt.datetime) -> int:
    over = CouponGift.objects.filter(ended_at=None, until__lte=now).order_by("coupon_id")
    ids = list(over.values_list("coupon_id", flat=True)[:AT_ONCE])
    db.lock(Coupon.objects.filter(pk__in=ids))  # the coupon first, as whoever takes it does
    rows = CouponGift.objects.filter(coupon__in=ids, ended_at=None, until__lte=now)
    ended = list(rows.values_list("coupon_id", "giver_id"))
    rows.update(ended_at=now, ended_as=CouponGift.End.LAPSED)
    records.note(Event.TAKEN_BACK, records.pairs(ended), at=now)
    return len(ended)


# --- ends -------------------------------------------------------------------------------------------------------------


@transaction.atomic
def make_void(*, coupon_ids: list[int], reason: str, actor: Any, now: dt.datetime) -> int:
    """Coupons at hand become void, printed codes are withdrawn; how many. Others stay as they are."""
    reason = reason.strip()
    if not reason:
        raise CouponRefused(_("Say why the coupons are made void."), code="coupon_needs_reason", field="reason")
    db.lock(Coupon.objects.filter(pk__in=coupon_ids))
    where = Where(actor=actor, note=reason)
    count = 0
    for before, after, kind in (
        (Status.HELD, Status.VOID, Event.VOID),
        (Status.UNCLAIMED, Status.WITHDRAWN, Event.WITHDRAWN),
    ):
        rows = Coupon.objects.filter(pk__in=coupon_ids, status=before)
        ended = list(rows.values_list("pk", "member_id"))
        rows.update(status=after)
        records.note(kind, records.pairs(ended), at=now, where=where)
        count += len(ended)
    audit.record(
        actor=actor,
        verb="coupon.void",
        target_type=Coupon._meta.label,
        reason=reason,
        count=count,
        ids=coupon_ids[:100],
    )
    return count


def expire(*, today: dt.date, now: dt.datetime) -> int:
    """Coupons whose last day is over; each chunk is a transaction of its own. Again on the same day: none."""
    done = 0
    while count := _end_many(_OVER, {"today": today}, Event.EXPIRED, now):
        done += count
    return done


def withdraw(*, now: dt.datetime) -> int:
    """Printed codes of templates that give nothing out any more."""
    done = 0
    while count := _end_many(_UNCLAIMED, {"now": now}, Event.WITHDRAWN, now):
        done += count
    return done


_OVER = """
    WITH over AS (
        SELECT id FROM members_coupon WHERE status = 'HELD' AND expires_on < %(today)s
        ORDER BY expires_on, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
    UPDATE members_coupon c SET status = 'EXPIRED' FROM over WHERE over.id = c.id RETURNING c.id, c.member_id
"""
_UNCLAIMED = """
    WITH over AS (
        SELECT c.id FROM members_coupon c JOIN members_coupontemplate t ON t.id = c.template_id
        WHERE c.status = 'UNCLAIMED' AND (t.status = 'ENDED' OR t.claim_until <= %(now)s)
        ORDER BY c.id LIMIT %(limit)s FOR UPDATE OF c SKIP LOCKED)
    UPDATE members_coupon c SET status = 'WITHDRAWN' FROM over WHERE over.id = c.id RETURNING c.id, c.member_id
"""


@transaction.atomic
def _end_many(statement: str, values: dict[str, Any], kind: str, now: dt.datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, {**values, "limit": AT_ONCE})
        ended = cursor.fetchall()
    records.note(kind, records.pairs(ended), at=now)
    return len(ended)
