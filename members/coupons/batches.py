"""Giving coupons to many (批量发券) and printing codes (印码): looked at first, then made by a job.

1. The preview says how many would get one, who is left out because she has as many as she may, what it reserves, and whether
   number and budget suffice. A batch that does not suffice is not begun.
2. A chunk of members, in the order of their ids, is one transaction together with how far the batch is: a killed job goes on behind it,
   and nobody gets two of one batch.
3. Where the stock runs out while the job runs, it stops and says how many went short.
4. A request to give out, come again with the same key, is the same batch.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from members.coupons import issuing, recipients, records, terms
from members.coupons.records import Where
from members.coupons.refusals import CouponRefused, RequestDiffers, constraint_of
from members.models import Coupon, CouponBatch, CouponEvent, CouponStock, CouponTemplate
from scrm import audit, jobs

KIND = "give_coupons"
CHUNK = 1_000
MOST_CODES = 100_000
TRIES = 5  # of a chunk that others get in the way of
PASSING = {"coupon_member_cap", "coupon_total_cap", "coupon_budget"}

# active members of the brand who have a place left, behind the last one looked at
_WANTED = """
    SELECT m.id, {has_place} AS has_place
    FROM ({source}) s(member_id) JOIN members_member m ON m.id = s.member_id
    WHERE m.brand_id = %s AND m.status = 'ACTIVE' AND m.id > %s
    GROUP BY m.id ORDER BY m.id
"""
_HAS_PLACE = """
    (SELECT count(*) FROM members_couponclaim k WHERE k.template_id = {template} AND k.member_id = m.id) < {cap}
"""


@dataclass(frozen=True, slots=True)
class Preview:
    """Counts of members and coupons; ``left_*`` is None where there is no cap or budget."""

    members: int
    left_out: int
    fen: int
    left_count: int | None
    left_fen: int | None

    @property
    def coupons(self) -> int:
        return self.members - self.left_out

    @property
    def is_possible(self) -> bool:
        return (
            self.coupons > 0
            and (self.left_count is None or self.coupons <= self.left_count)
            and (self.left_fen is None or self.fen <= self.left_fen)
        )


def preview(*, template: CouponTemplate, source: str, value: Any) -> Preview:
    """What a batch would do now; one query."""
    sql, params = _wanted(template, source, value, 0)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*), count(*) FILTER (WHERE NOT has_place) FROM ({sql}) w", params)
        members, left_out = cursor.fetchone()
    return _against_stock(template, members, left_out)


def preview_codes(*, template: CouponTemplate, count: int) -> Preview:
    return _against_stock(template, count, 0)


def require(found: Preview) -> None:
    """Raises CouponRefused that says what is missing."""
    if found.coupons <= 0:
        raise CouponRefused(
            _("Nobody would get one: everybody has as many as she may, or nobody is meant."),
            code="coupon_nobody", field="source",
        )  # fmt: skip
    if found.left_count is not None and found.coupons > found.left_count:
        raise CouponRefused(
            _("%(wanted)s coupons are wanted and %(left)s are left; choose fewer members or publish a version with a higher number.")
            % {"wanted": found.coupons, "left": found.left_count},
            code="coupon_all_given", field="total_cap",
        )  # fmt: skip
    if found.left_fen is not None and found.fen > found.left_fen:
        from scrm.money import yuan

        raise CouponRefused(
            _("It would reserve ¥%(wanted)s and ¥%(left)s of the budget is left; choose fewer members or publish a version with a larger budget.")
            % {"wanted": yuan(found.fen), "left": yuan(found.left_fen)},
            code="coupon_over_budget", field="budget_fen",
        )  # fmt: skip


@transaction.atomic
def start(*, template: CouponTemplate, source: str, value: Any, key: str, actor: Any, now: dt.datetime) -> CouponBatch:
    """A batch to members and its job. Raises CouponRefused, RequestDiffers."""
    known = CouponBatch.objects.filter(key=key).first()
    if known is not None:
        return _same(known, template, source, value)
    issuing.in_force(template.pk, now)
    found = preview(template=template, source=source, value=value)
    require(found)
    return _begin(template, CouponBatch.Kind.MEMBERS, source, value, found.coupons, key, actor, now)


@transaction.atomic
def start_codes(*, template: CouponTemplate, count: int, key: str, actor: Any, now: dt.datetime) -> CouponBatch:
    """Codes to print. Raises CouponRefused, RequestDiffers."""
    known = CouponBatch.objects.filter(key=key).first()
    if known is not None:
        return _same(known, template, "", count)
    issuing.in_force(template.pk, now)
    if not 0 < count <= MOST_CODES:
        raise CouponRefused(
            _("Print 1 to %(most)s codes at a time.") % {"most": f"{MOST_CODES:,}"},
            code="coupon_too_many",
            field="count",
        )
    require(preview_codes(template=template, count=count))
    return _begin(template, CouponBatch.Kind.CODES, "", count, count, key, actor, now)


def work(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``give_coupons``."""
    batch = CouponBatch.objects.select_related("template").get(pk=progress.job.params["batch"])
    progress.stage("give coupons", batch.planned_count)
    while batch.ended_at is None:
        batch = _chunk(batch.pk, timezone.now())
        progress.done(batch.given_count)
    return {"given": batch.given_count, "left_out": batch.left_out_count, "short": batch.short_count}


def _chunk(batch_id: int, now: dt.datetime) -> CouponBatch:
    """The next members of the batch; a till or a claim that got in the way costs another look."""
    for attempt in range(TRIES):
        try:
            return _give_chunk(batch_id, now)
        except IntegrityError as error:
            if constraint_of(error) not in PASSING or attempt == TRIES - 1:
                raise
    raise AssertionError("unreachable")


@transaction.atomic
def _give_chunk(batch_id: int, now: dt.datetime) -> CouponBatch:
    batch = CouponBatch.objects.select_related("template").select_for_update(of=("self",)).get(pk=batch_id)
    template = batch.template
    if batch.ended_at is not None:
        return batch
    is_open = template.status == CouponTemplate.Status.PUBLISHED and now < template.claim_until
    rows = _next_members(batch) if is_open else []
    takers = [member for member, has_place in rows if has_place]
    bucket, room = _bucket(template, len(takers))
    given = takers[:room]
    if given:
        _insert(batch, bucket, given, now)
    batch.given_count += len(given)
    if len(given) < len(takers):  # the last bucket was smaller than the chunk: look behind the last who got one
        batch.reached_id = given[-1] if given else batch.reached_id
        batch.left_out_count += sum(not has_place for member, has_place in rows if given and member <= given[-1])
    elif rows:
        batch.reached_id = rows[-1][0]
        batch.left_out_count += sum(not has_place for _member, has_place in rows)
    if not rows or (takers and not given):
        batch.short_count = max(0, batch.planned_count - batch.given_count) if takers or not is_open else 0
        batch.ended_at = now
    batch.save(update_fields=["given_count", "left_out_count", "short_count", "reached_id", "ended_at"])
    return batch


def _next_members(batch: CouponBatch) -> list[tuple[int, bool]]:
    """(member, whether she has a place left); 0 for a code that is nobody's yet."""
    if batch.kind == CouponBatch.Kind.CODES:
        return [(0, True)] * min(CHUNK, batch.planned_count - batch.given_count)
    sql, params = _wanted(batch.template, batch.source, batch.params["value"], batch.reached_id)
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} LIMIT {CHUNK}", params)
        return cursor.fetchall()


def _bucket(template: CouponTemplate, wanted: int) -> tuple[int, int]:
    """The bucket with the most left, and how many of ``wanted`` fit."""
    best, room = 0, 0
    for stock in CouponStock.objects.filter(template=template).order_by("bucket"):
        fits = wanted if stock.left_count is None else min(wanted, stock.left_count)
        if stock.left_fen is not None:
            fits = min(fits, stock.left_fen // template.value_fen)
        if fits > room:
            best, room = stock.bucket, fits
    return best, room


def _insert(batch: CouponBatch, bucket: int, takers: list[int], now: dt.datetime) -> None:
    template, is_code = batch.template, batch.kind == CouponBatch.Kind.CODES
    days: tuple[Any, Any] = (None, None) if is_code else terms.validity(template, terms.business_day(now))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO members_coupon (template_id, bucket, code, status, source, member_id, member_cap, value_fen, batch_id,"
            " issued_at, claimed_at, starts_on, expires_on, is_gifted, giver_id)"
            " SELECT %s, %s, w.code, %s, %s, nullif(w.member_id, 0), %s, %s, %s, %s, %s, %s, %s, false, %s"
            " FROM unnest(%s::text[], %s::bigint[]) WITH ORDINALITY w(code, member_id, place) ORDER BY w.place"
            " RETURNING id, member_id",
            [
                template.pk, bucket, Coupon.Status.UNCLAIMED if is_code else Coupon.Status.HELD,
                Coupon.Source.CODE if is_code else Coupon.Source.BATCH, template.member_cap, template.value_fen, batch.pk, now,
                None if is_code else now, *days, batch.actor_id, [issuing.new_code() for _taker in takers], takers,
            ],
        )  # fmt: skip
        made = cursor.fetchall()
    records.note(CouponEvent.Kind.ISSUED, made, at=now, where=Where(actor=batch.actor))


def _wanted(template: CouponTemplate, source: str, value: Any, after: int) -> tuple[str, list[Any]]:
    sql, params = recipients.query(source, value)
    cap = template.member_cap
    has_place = "true" if cap is None else _HAS_PLACE.format(template=int(template.pk), cap=int(cap))
    return _WANTED.format(source=sql, has_place=has_place), [*params, template.brand_id, after]


def _against_stock(template: CouponTemplate, members: int, left_out: int) -> Preview:
    sums = CouponStock.objects.filter(template=template).aggregate(
        count=Sum("left_count"), coupons=Sum(F("left_fen") / template.value_fen)
    )
    # money in parts smaller than a coupon buys none
    left_fen = None if sums["coupons"] is None else int(sums["coupons"]) * template.value_fen
    return Preview(members, left_out, (members - left_out) * template.value_fen, sums["count"], left_fen)


def _begin(
    template: CouponTemplate, kind: str, source: str, value: Any, planned: int, key: str, actor: Any, now: dt.datetime
) -> CouponBatch:
    batch = CouponBatch.objects.create(
        template=template, kind=kind, key=key, source=source, params={"value": value}, planned_count=planned, actor=actor,
        created_at=now,
    )  # fmt: skip
    batch.job = jobs.enqueue(KIND, actor=actor, params={"batch": batch.pk}, key=f"{KIND} {batch.pk}")
    batch.save(update_fields=["job"])
    audit.record(actor=actor, verb="coupon.batch", target=batch, template=template.pk, planned=planned)
    return batch


def _same(known: CouponBatch, template: CouponTemplate, source: str, value: Any) -> CouponBatch:
    if (known.template_id, known.source, known.params.get("value")) != (template.pk, source, value):
        raise RequestDiffers(_("This request number was used for something else; send a new one."))
    return known
