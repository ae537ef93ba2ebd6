"""Using a coupon (核销): in any store of its scope, once.

1. What a coupon takes off and why not is ``quoting``'s word; the database holds store, channel, moment and worth once more when the
   row is written.
2. A coupon is used once. Of many tills with one code one wins; the others hear where and when it was used.
3. An order takes one coupon that stands alone, or any number that may be combined; each takes its part of what is still to pay.
4. The redemption keeps whose store it was, who bears what, and posts the clearing between the companies.
5. It is taken back within the hours of the template, with a reason; the coupon comes back and can be used for at least three days
   more. After that it is final, and what the coupon did not need returns to its budget.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils.translation import gettext as _

from members.coupons import clearing, issuing, quoting, records, terms
from members.coupons.quoting import Facts, Quote, Till
from members.coupons.records import Where
from members.coupons.refusals import CouponRefused, constraint_of
from members.coupons.terms import Basket
from members.models import Coupon, CouponEvent, CouponRequest, CouponTemplate, Redemption
from scrm import audit, db

Event = CouponEvent.Kind
AT_ONCE = 2_000  # redemptions made final in one transaction
LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Redeemed:
    redemption: Redemption
    is_new: bool


# The rows that belong to a redemption are written by one statement: it and its lock's end, what companies owe each other, its news,
# its event. Triggers move the coupon and its stock.
_WRITE = """
    WITH unlocked AS (
        UPDATE members_couponlock SET ended_at = %(redeemed_at)s, ended_as = 'REDEEMED'
        WHERE coupon_id = %(coupon_id)s AND ended_at IS NULL
    ), made AS (
        INSERT INTO members_redemption ({columns}) VALUES ({values}) RETURNING id
    ), cleared AS (
        INSERT INTO members_clearingentry
            (redemption_id, is_reversal, payer_id, payee_id, amount_fen, period, adjusts_period, posted_at)
        SELECT made.id, false, owed.payer, %(entity_id)s::bigint, owed.fen, %(period)s::text, %(adjusts)s::text, %(redeemed_at)s::timestamptz
        FROM made, unnest(%(payers)s::bigint[], %(fens)s::bigint[]) owed(payer, fen)
    ), told AS (
        INSERT INTO members_redemptionnews (follower, redemption_id, status)
        SELECT name, made.id, 'REDEEMED' FROM made, unnest(%(followers)s::text[]) name
    )
    INSERT INTO members_couponevent (happened_on, coupon_id, kind, at, actor_id, member_id, store_id, channel, order_no, note)
    VALUES (%(day)s, %(coupon_id)s, 'REDEEMED', %(redeemed_at)s, %(clerk_id)s, %(member_id)s, %(store_id)s, %(channel)s, %(order_no)s, '')
"""
_COLUMNS = tuple(field for field in Redemption._meta.concrete_fields)
_COUPON = tuple(Coupon._meta.concrete_fields)
_TEMPLATE = tuple(CouponTemplate._meta.concrete_fields)
_BOTH = ", ".join([*(f"c.{field.column}" for field in _COUPON), *(f"t.{field.column}" for field in _TEMPLATE)])
_LOCKED = f"""
    SELECT {_BOTH} FROM members_coupon c JOIN members_coupontemplate t ON t.id = c.template_id WHERE c.id = %s FOR UPDATE OF c
"""
_LOCK_NAMED = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"


def redeem(
    *, coupon_id: int, till: Till, basket: Basket, key: str, now: dt.datetime, owner_id: int | None = None
) -> Redeemed:
    """Use the coupon in the order; of ``owner_id`` only, where given. Raises CouponRefused, RequestDiffers.

    Four times the server is waited for: the request's key, the order's turn, the coupon and what else must be known are asked
    together and in that order, so that each is seen as it stands once the one before is held.
    """
    said = {
        "store": till.store.pk, "channel": till.channel, "shop": till.shop, "order": till.order_no, "basket": basket.amount_fen,
        "lines": [[line.sku, line.amount_fen, str(line.quantity)] for line in basket.lines], "redeems": coupon_id,
    }  # fmt: skip
    day = terms.business_day(now)
    db.ensure_partitions(CouponEvent, day, day)
    with db.plans_kept():
        taken_key, _turn, rows, taken, books = db.read_together(
            records.taking(key, said, coupon_id=coupon_id, answers=Redemption),
            (_LOCK_NAMED, [_order_name(*till.order)]),
            (_LOCKED, [coupon_id]),
            (quoting.TAKEN, [*till.order, *till.order]),
            (clearing.BOOKS, []),
        )
        if not taken_key:
            return Redeemed(_made_by(records.first_time(key, said), till), False)
        coupon = _read_coupon(rows)
        if owner_id is not None and coupon.member_id != owner_id:
            raise issuing.unknown_code()
        found = quoting.by_facts(coupon, Facts(till, basket, [coupon], taken), now)
        if found.refusal is not None:
            raise found.refusal
        row = _row(found, till, basket, clearing.Books(*books[0]), now)
        row.pk = taken_key[0][0]
        _write(row, clearing.Books(*books[0]), day)
    return Redeemed(row, True)


def _write(row: Redemption, books: clearing.Books, day: dt.date) -> None:
    owed = clearing.owed(row, books)
    period, adjusts = clearing.period_of(row, row.redeemed_at, books)
    values = {field.attname: getattr(row, field.attname) for field in _COLUMNS}
    try:
        db.write(
            _WRITE.format(
                columns=", ".join(str(field.column) for field in _COLUMNS),
                values=", ".join(f"%({field.attname})s" for field in _COLUMNS),
            ),
            {
                **values, "payers": list(owed), "fens": list(owed.values()), "period": period, "adjusts": adjusts, "day": day,
                "followers": records.followers(),
            },
        )  # fmt: skip
    except IntegrityError as error:
        raise _by_constraint(constraint_of(error), error) from None


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
    clearing.post_reversal(redemption=row, now=now)
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


def lock_order(*, channel: str, shop: str, order_no: str) -> None:
    """Two coupons of one order follow each other. Before the coupon's own lock, always."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_NAMED, [_order_name(order_no, channel, shop)])


def _order_name(order_no: str, channel: str, shop: str) -> str:
    return f"coupon order {channel} {shop} {order_no}"


def locked(coupon_id: int) -> Coupon:
    rows = db.lock(Coupon.objects.filter(pk=coupon_id).select_related("template"))
    if not rows:
        raise issuing.unknown_code()
    return rows[0]


def id_of_code(code: str) -> int:
    rows = db.fetch("SELECT id FROM members_coupon WHERE code = %(code)s", {"code": issuing.typed_code(code)})
    if not rows:
        raise issuing.unknown_code()
    return int(rows[0][0])


def of_code(code: str) -> Coupon:
    found = Coupon.objects.filter(code=issuing.typed_code(code)).select_related("template").first()
    if found is None:
        raise issuing.unknown_code()
    return found


# --- what a redemption says -------------------------------------------------------------------------------------------


def _read_coupon(rows: list[tuple[Any, ...]]) -> Coupon:
    if not rows:
        raise issuing.unknown_code()
    coupon = Coupon.from_db("default", [field.attname for field in _COUPON], rows[0][: len(_COUPON)])
    coupon.template = CouponTemplate.from_db("default", [field.attname for field in _TEMPLATE], rows[0][len(_COUPON) :])
    return coupon


def _row(found: Quote, till: Till, basket: Basket, books: clearing.Books, now: dt.datetime) -> Redemption:
    coupon, template = found.coupon, found.coupon.template
    assert coupon.member_id is not None  # a constraint of the table
    hq_fen, rest_fen = terms.shares(found.discount_fen, template.hq_share_bp)
    is_issuer = template.bearer == CouponTemplate.Bearer.ISSUER
    bearer_id = (coupon.issuer_id or books.hq) if is_issuer else till.store.entity_id
    return Redemption(
        coupon=coupon, template=template, member_id=coupon.member_id, store=till.store, entity_id=till.store.entity_id,
        bearer_id=bearer_id, channel=till.channel, shop=till.shop, order_no=till.order_no, is_stackable=template.is_stackable,
        basket_fen=basket.amount_fen, eligible_fen=found.eligible_fen, discount_fen=found.discount_fen, hq_fen=hq_fen,
        rest_fen=rest_fen, redeemed_at=now, clerk=till.actor, cashier_code=till.cashier_code[:32],
    )  # fmt: skip


def _by_constraint(name: str, error: IntegrityError) -> CouponRefused:
    """What the database said before our own look could."""
    if name == "coupon_order_alone":
        return quoting.alone()
    if name in ("coupon_redeemed_once", "coupon_at_hand"):
        return CouponRefused(_("This coupon was used a moment ago."), code="coupon_used", field="code")
    raise error
