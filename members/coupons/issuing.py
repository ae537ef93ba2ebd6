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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils.translation import gettext as _

from members.coupons import records, terms
from members.coupons.records import Where
from members.coupons.refusals import CouponRefused, constraint_of
from members.models import Coupon, CouponEvent, CouponQuota, CouponStock, CouponTemplate, Member
from scrm import db

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


_TEMPLATE = tuple(CouponTemplate._meta.concrete_fields)
_LOOK = f"""
    SELECT asked.content_hash, asked.coupon_id,
        EXISTS (SELECT FROM members_member m WHERE m.id = %(member)s AND m.brand_id = t.brand_id AND m.status = 'ACTIVE'),
        ARRAY(SELECT s.bucket::int FROM members_couponstock s WHERE s.template_id = t.id
            AND (s.left_count IS NULL OR s.left_count > 0) AND (s.left_fen IS NULL OR s.left_fen >= t.value_fen)),
        {", ".join(f"t.{field.column}" for field in _TEMPLATE)}
    FROM (VALUES (1)) one
    LEFT JOIN members_coupontemplate t ON t.id = %(template)s
    LEFT JOIN members_couponrequest asked ON asked.key = %(key)s
"""
# the request's key, the coupon and its event at once; no row: the key came before, and nothing is written
_MAKE = """
    WITH fresh AS (
        SELECT nextval(pg_get_serial_sequence('members_coupon', 'id')) AS id
    ), asked AS (
        INSERT INTO members_couponrequest (key, content_hash, coupon_id)
        SELECT %(key)s::text, %(digest)s::text, id FROM fresh ON CONFLICT (key) DO NOTHING RETURNING coupon_id
    ), made AS (
        INSERT INTO members_coupon (id, template_id, bucket, code, status, source, member_id, member_cap, value_fen, issuer_id, giver_id,
            issued_at, claimed_at, starts_on, expires_on, is_gifted)
        SELECT coupon_id, %(template)s::bigint, %(bucket)s::smallint, %(code)s::text, 'HELD', %(source)s::text, %(member)s::bigint,
            %(cap)s::smallint, %(value)s::bigint, (SELECT entity_id FROM scrm_store WHERE id = %(store)s::bigint), %(giver)s::bigint,
            %(now)s::timestamptz, %(now)s::timestamptz, %(starts_on)s::date, %(expires_on)s::date, false
        FROM asked RETURNING id, issuer_id
    ), noted AS (
        INSERT INTO members_couponevent
            (happened_on, coupon_id, kind, at, actor_id, member_id, store_id, channel, order_no, note)
        SELECT %(day)s::date, id, %(kind)s::text, %(now)s::timestamptz, %(actor)s::bigint, %(member)s::bigint, %(store)s::bigint,
            %(channel)s::text, %(order_no)s::text, %(note)s::text FROM made
    )
    SELECT id, issuer_id FROM made
"""


def give(
    *,
    template_id: int,
    member_id: int,
    key: str,
    now: dt.datetime,
    source: str = Source.STAFF,
    where: Where = records.NOWHERE,
) -> Given:
    """A coupon of the template for the member; ``where.store_id`` is the store that gives it. Raises CouponRefused, RequestDiffers.

    The server is waited for twice: once to look, once to write everything, so that a hot stock is held no longer than the
    statement takes.
    """
    said = {"template": template_id, "member": member_id, "source": source}
    values = {"template": template_id, "member": member_id, "key": key}
    ((stored, coupon_id, is_member, buckets, *columns),) = db.fetch(_LOOK, values)
    if stored is not None:
        records.require_same(stored, said)
        return _given_before(coupon_id)
    found = CouponTemplate.from_db("default", [field.attname for field in _TEMPLATE], columns) if columns[0] else None
    template = require_open(found, now)
    if source == Source.CLAIM and not template.is_claimable:
        raise CouponRefused(
            _("This coupon is given out by the shop; ask there."), code="coupon_not_claimable", field="template"
        )
    if not is_member:
        raise not_active()
    return _make(template, buckets, {**values, "digest": records.digest(said)}, source, where, now)


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
    template = require_open(coupon.template, now)
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
    return require_open(CouponTemplate.objects.filter(pk=template_id).first(), now)


def require_open(template: CouponTemplate | None, now: dt.datetime) -> CouponTemplate:
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
        raise not_active()


def not_active() -> CouponRefused:
    return CouponRefused(
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


def _make(
    template: CouponTemplate, buckets: list[int], asked: dict[str, Any], source: str, where: Where, now: dt.datetime
) -> Given:
    """Of the buckets that seem to have one, in a random order that starts elsewhere each time."""
    day = terms.business_day(now)
    starts_on, expires_on = terms.validity(template, day)
    is_ours = source in (Source.GUIDE, Source.STAFF) and where.actor is not None
    values = {
        **asked, "code": new_code(), "source": source, "cap": template.member_cap, "value": template.value_fen,
        "giver": where.actor.pk if is_ours else None, "now": now, "starts_on": starts_on, "expires_on": expires_on, "day": day,
        "kind": Event.CLAIMED if source == Source.CLAIM else Event.ISSUED, "actor": where.actor.pk if where.actor else None,
        "store": where.store_id, "channel": where.channel, "order_no": where.order_no, "note": where.note[:200],
    }  # fmt: skip
    db.ensure_partitions(CouponEvent, day, day)
    for bucket in random.sample(buckets, len(buckets)):
        try:
            with _turn(template, source, where, now):
                rows = db.fetch(_MAKE, {**values, "bucket": bucket})
                if not rows:
                    raise _CameBefore
        except _CameBefore:
            first = records.first_time(
                asked["key"], {"template": template.pk, "member": asked["member"], "source": source}
            )
            return _given_before(first.coupon_id)
        except IntegrityError as error:
            name = constraint_of(error)
            if name == "coupon_member_cap":
                raise member_cap_reached(template) from None
            if name not in OURS:
                raise
        else:
            return Given(_coupon(rows[0], template, bucket, values), True)
    raise short(template)


class _CameBefore(Exception):
    """Another request with the key was quicker; what this one wrote is taken back."""


@contextmanager
def _turn(template: CouponTemplate, source: str, where: Where, now: dt.datetime) -> Iterator[None]:
    """One statement is a transaction by itself. A guide's quota goes with it, and a caller's transaction survives a refusal."""
    if source != Source.GUIDE and not connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        if source == Source.GUIDE:
            _take_quota(template, where.actor, now)
        yield


def _coupon(made: tuple[Any, ...], template: CouponTemplate, bucket: int, values: dict[str, Any]) -> Coupon:
    return Coupon(
        pk=made[0], template=template, bucket=bucket, code=values["code"], status=Status.HELD, source=values["source"],
        member_id=values["member"], member_cap=template.member_cap, value_fen=template.value_fen, issuer_id=made[1],
        giver_id=values["giver"], issued_at=values["now"], claimed_at=values["now"], starts_on=values["starts_on"],
        expires_on=values["expires_on"],
    )  # fmt: skip


def _given_before(coupon_id: int) -> Given:
    return Given(Coupon.objects.select_related("template").get(pk=coupon_id), False)


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
