"""Giving coupons out (发券): to one member by the company or a guide, or taken by the customer herself.

1. A coupon is made of a published template while it is given out, for an active member of its brand.
2. The template's cap, its budget, the member's cap and the guide's quota of the month are kept by the database: whoever comes too
   late is refused, and nothing is written. A coupon reserves what it is worth at most.
3. A template with several buckets is tried from a random one on; "given out" is said only when no bucket has any left.
4. A code is sixteen random characters without those that look alike: 80 bits, so that nobody guesses one.
5. A printed code is claimed once, by whoever brings it first.
"""

from __future__ import annotations

import datetime as dt
import random
import secrets
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from members.coupons import records, terms
from members.coupons.records import Where
from members.coupons.refusals import CouponRefused, constraint_of
from members.models import Coupon, CouponEvent, CouponQuota, CouponStock, CouponTemplate, Member
from scrm import db
from scrm.models import Store

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # 32 signs; 0, 1, I and O look alike
CODE_LENGTH = 16
OURS = {"coupon_total_cap", "coupon_budget"}

Source, Status, Event = Coupon.Source, Coupon.Status, CouponEvent.Kind


@dataclass(frozen=True, slots=True)
class Given:
    coupon: Coupon
    is_new: bool


def new_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _sign in range(CODE_LENGTH))


def typed_code(text: str) -> str:
    """What somebody types or scans, as it is stored."""
    return "".join(text.upper().split()).replace("-", "")


@transaction.atomic
def give(
    *,
    template_id: int,
    member_id: int,
    key: str,
    now: dt.datetime,
    source: str = Source.STAFF,
    where: Where = records.NOWHERE,
) -> Given:
    """A coupon of the template for the member; ``where.store_id`` is the store that gives it. Raises CouponRefused, RequestDiffers."""
    (coupon_id,) = db.next_ids(Coupon, 1)
    first = records.known_before(key=key, coupon_id=coupon_id, template=template_id, member=member_id, source=source)
    if first is not None:
        return Given(Coupon.objects.get(pk=first.coupon_id), False)
    template = in_force(template_id, now)
    if source == Source.CLAIM and not template.is_claimable:
        raise CouponRefused(
            _("This coupon is given out by the shop; ask there."), code="coupon_not_claimable", field="template"
        )
    require_member(template, member_id)
    if source == Source.GUIDE:
        _take_quota(template, where.actor, now)
    starts_on, expires_on = terms.validity(template, terms.business_day(now))
    coupon = Coupon(
        pk=coupon_id, template=template, code=new_code(), status=Status.HELD, source=source, member_id=member_id,
        member_cap=template.member_cap, value_fen=template.value_fen, issuer_id=_issuer(where.store_id),
        giver=where.actor if source in (Source.GUIDE, Source.STAFF) else None, issued_at=now, claimed_at=now,
        starts_on=starts_on, expires_on=expires_on,
    )  # fmt: skip
    _make(coupon, template)
    kind = Event.CLAIMED if source == Source.CLAIM else Event.ISSUED
    records.note(kind, [(coupon.pk, member_id)], at=now, where=where)
    return Given(coupon, True)


@transaction.atomic
def claim_code(*, code: str, member_id: int, key: str, now: dt.datetime, where: Where = records.NOWHERE) -> Given:
    """The printed code becomes the member's. Raises CouponRefused, RequestDiffers."""
    rows = db.lock(Coupon.objects.filter(code=typed_code(code)).select_related("template"))
    if not rows:
        raise unknown_code()
    coupon: Coupon = rows[0]
    if records.known_before(key=key, coupon_id=coupon.pk, member=member_id, claims=coupon.pk) is not None:
        return Given(coupon, False)
    if coupon.status != Status.UNCLAIMED:
        raise CouponRefused(
            _("This code has been claimed or is no longer given out."), code="coupon_code_taken", field="code"
        )
    template = in_force(coupon.template_id, now)
    require_member(template, member_id)
    coupon.status, coupon.member_id, coupon.claimed_at = Status.HELD, member_id, now
    coupon.starts_on, coupon.expires_on = terms.validity(template, terms.business_day(now))
    try:
        with transaction.atomic():
            coupon.save(update_fields=["status", "member", "claimed_at", "starts_on", "expires_on"])
    except IntegrityError as error:
        if constraint_of(error) == "coupon_member_cap":
            raise member_cap_reached(template) from None
        raise
    records.note(Event.CLAIMED, [(coupon.pk, member_id)], at=now, where=where)
    return Given(coupon, True)


# --- what every way of giving asks ------------------------------------------------------------------------------------


def in_force(template_id: int, now: dt.datetime) -> CouponTemplate:
    template = CouponTemplate.objects.filter(pk=template_id).first()
    if template is None or template.status == CouponTemplate.Status.DRAFT:
        raise CouponRefused(_("There is no such coupon."), code="coupon_template_unknown", field="template")
    if template.status == CouponTemplate.Status.ENDED or now >= template.claim_until:
        raise CouponRefused(_("This coupon is no longer given out."), code="coupon_ended", field="template")
    if now < template.claim_from:
        start = f"{template.claim_from.astimezone(terms.SHANGHAI):%Y-%m-%d %H:%M}"
        raise CouponRefused(
            _("This coupon is given out from %(start)s on.") % {"start": start}, code="coupon_not_yet", field="template"
        )
    if template.valid_until is not None and template.valid_until < terms.business_day(now):
        raise CouponRefused(_("The last day of this coupon is over."), code="coupon_ended", field="template")
    return template


def require_member(template: CouponTemplate, member_id: int) -> None:
    if not Member.objects.filter(pk=member_id, brand=template.brand_id, status=Member.Status.ACTIVE).exists():
        raise CouponRefused(
            _("Only an active member gets a coupon; register her first or look at her status."),
            code="coupon_member_not_active", field="member",
        )  # fmt: skip


def unknown_code() -> CouponRefused:
    return CouponRefused(
        _("There is no coupon with this number; scan it again or type all 16 characters."),
        code="coupon_unknown",
        field="code",
    )


def member_cap_reached(template: CouponTemplate) -> CouponRefused:
    return CouponRefused(
        _("The member has had this coupon %(cap)s times, and that is the most.") % {"cap": template.member_cap},
        code="coupon_member_cap", field="member",
    )  # fmt: skip


def short(template: CouponTemplate) -> CouponRefused:
    """Why no bucket gives one more: the number or the money."""
    stock = CouponStock.objects.filter(template=template)
    if template.total_cap is not None and not stock.filter(left_count__gt=0).exists():
        return CouponRefused(
            _("All %(count)s coupons are given out. HQ can publish a new version with a higher number.")
            % {"count": template.total_cap},
            code="coupon_all_given", field="total_cap",
        )  # fmt: skip
    return CouponRefused(
        _("The budget of this coupon is used up. HQ can publish a new version with a larger budget."),
        code="coupon_over_budget", field="budget_fen",
    )  # fmt: skip


def open_buckets(template: CouponTemplate) -> list[int]:
    """Buckets that seem to have one, in a random order that starts elsewhere each time."""
    stock = CouponStock.objects.filter(template=template)
    has_count = Q(left_count=None) | Q(left_count__gt=0)
    has_money = Q(left_fen=None) | Q(left_fen__gte=template.value_fen)
    found = list(stock.filter(has_count, has_money).values_list("bucket", flat=True))
    random.shuffle(found)
    return found


def _make(coupon: Coupon, template: CouponTemplate) -> None:
    for bucket in open_buckets(template):
        coupon.bucket = bucket
        try:
            with transaction.atomic():
                coupon.save(force_insert=True)
        except IntegrityError as error:
            name = constraint_of(error)
            if name == "coupon_member_cap":
                raise member_cap_reached(template) from None
            if name not in OURS:
                raise
        else:
            return
    raise short(template)


def _take_quota(template: CouponTemplate, user: Any, now: dt.datetime) -> None:
    cap = template.guide_month_quota
    month = terms.business_day(now).replace(day=1)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO members_couponquota AS q (template_id, user_id, month, cap_count, given_count)"
            " SELECT %s, %s, %s, %s, 1 WHERE %s > 0"
            " ON CONFLICT (user_id, template_id, month) DO UPDATE SET given_count = q.given_count + 1"
            " WHERE q.given_count < q.cap_count",
            [template.pk, user.pk, month, cap or 0, cap or 0],
        )
        if cursor.rowcount:
            return
    if cap is None:
        raise CouponRefused(_("Guides do not give this coupon out."), code="coupon_not_for_guides", field="template")
    raise CouponRefused(
        _("You have given %(cap)s of this coupon this month, and that is your quota; next month there are more.") % {"cap": cap},
        code="coupon_quota_spent", field="template",
    )  # fmt: skip


def quota_left(*, user: Any, templates: list[CouponTemplate], now: dt.datetime) -> dict[int, int]:
    """``{template: how many this person may still give in this month}``."""
    month = terms.business_day(now).replace(day=1)
    rows = CouponQuota.objects.filter(user=user, month=month, template__in=templates)
    given = dict(rows.values_list("template_id", "given_count"))
    return {each.pk: max(0, (each.guide_month_quota or 0) - given.get(each.pk, 0)) for each in templates}


def _issuer(store_id: int | None) -> int | None:
    if store_id is None:
        return None
    return Store.objects.filter(pk=store_id).values_list("entity_id", flat=True).first()
