"""Coupon templates (券模板): written by one, published by another, never changed again.

1. A draft belongs to its author; publishing it makes its stock: one bucket, or several for a rush, which share cap and budget.
2. A template needs a cap or a budget, and the budget is enough for at least one coupon.
3. A published version only ends: nothing is given out any more, what is given out stays valid. A change is a new version, drafted
   from the one before; publishing it ends the version in force.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from members.coupons.refusals import CouponRefused
from members.coupons.terms import business_day
from members.models import CouponStock, CouponTemplate
from scrm import audit, db

Status = CouponTemplate.Status
COPIED = tuple(
    field.attname for field in CouponTemplate._meta.concrete_fields
    if field.name not in ("id", "number", "status", "author", "approver", "published_at", "ended_at", "created_at")
)  # fmt: skip


def faults(template: CouponTemplate) -> dict[str, str]:
    """``{field: what is wrong and what to do}`` of a draft."""
    found: dict[str, str] = {}
    kinds = CouponTemplate.Kind
    if template.claim_from and template.claim_until and template.claim_until <= template.claim_from:
        found["claim_until"] = _("It ends before it begins; choose a later end.")
    if (template.kind == kinds.DISCOUNT) != bool(template.off_bp):
        found["off_bp"] = _("A percentage needs a percent off, and only a percentage has one.")
    if template.kind == kinds.FULL_CUT and (template.threshold_fen or 0) < (template.value_fen or 0):
        found["threshold_fen"] = _("The amount to reach is at least what is taken off.")
    if template.kind == kinds.EXCHANGE and not (template.product_ids or template.category_ids):
        found["product_ids"] = _("An exchange names the products or categories it is for.")
    if template.valid_days is None and not (template.valid_from and template.valid_until):
        found["valid_days"] = _("Give the days it is valid for, or its first and last day.")
    elif template.valid_days is not None and (template.valid_from or template.valid_until):
        found["valid_days"] = _("Either days from the claim or fixed days, not both.")
    elif template.valid_from and template.valid_until and template.valid_until < template.valid_from:
        found["valid_until"] = _("The last day lies before the first one.")
    if (template.hour_from is None) != (template.hour_until is None):
        found["hour_until"] = _("A time of day has a beginning and an end.")
    elif template.hour_from is not None and template.hour_from == template.hour_until:
        found["hour_until"] = _("A time of day does not end when it begins.")
    return found | _stock_faults(template)


def _stock_faults(template: CouponTemplate) -> dict[str, str]:
    if template.total_cap is None and template.budget_fen is None:
        return {"total_cap": _("Set a total number or a budget; without either the cost has no end.")}
    if template.budget_fen is not None and template.value_fen and template.budget_fen < template.value_fen:
        return {"budget_fen": _("The budget does not cover a single coupon; raise it.")}
    if pieces(template) < (template.bucket_count or 1):
        return {"bucket_count": _("There are fewer coupons than buckets; take fewer buckets.")}
    return {}


def pieces(template: CouponTemplate) -> int:
    """How many coupons cap and budget allow together."""
    caps = [template.total_cap] if template.total_cap is not None else []
    if template.budget_fen is not None and template.value_fen:
        caps.append(template.budget_fen // template.value_fen)
    return min(caps, default=0)


def buckets(
    *, count: int, total_cap: int | None, budget_fen: int | None, value_fen: int
) -> list[tuple[int | None, int | None]]:
    """(cap, budget) of each bucket: whole coupons' worth of budget, the first buckets one more; the rest lies in the first."""
    caps = [None] * count if total_cap is None else [total_cap // count + (i < total_cap % count) for i in range(count)]
    if budget_fen is None:
        return [(cap, None) for cap in caps]
    coupons, rest = divmod(budget_fen, value_fen)
    funds = [(coupons // count + (i < coupons % count)) * value_fen for i in range(count)]
    funds[0] += rest
    return list(zip(caps, funds, strict=True))


@transaction.atomic
def publish(*, template: CouponTemplate, actor: Any, now: dt.datetime) -> CouponTemplate:
    """Put a draft into force; somebody else than its author does. Raises CouponRefused."""
    (row,) = db.lock(CouponTemplate.objects.filter(pk=template.pk))
    if row.status != Status.DRAFT:
        raise _refused(_("This template is published already."), "template_not_draft", "status")
    if row.author_id == actor.pk:
        raise _refused(_("Whoever wrote a template cannot publish it; ask a colleague."), "own_template", "author")
    wrong = faults(row)
    if not wrong and row.claim_until <= now:
        wrong = {"claim_until": _("The time to give it out is over; choose a later end.")}
    if not wrong and row.valid_until is not None and row.valid_until < business_day(now):
        wrong = {"valid_until": _("Its last day is over; choose a later one.")}
    for field, message in wrong.items():
        label = getattr(CouponTemplate._meta.get_field(field), "verbose_name", field)
        raise _refused(f"{label}: {message}", "template_not_complete", field)
    before = CouponTemplate.objects.filter(brand=row.brand_id, code=row.code, status=Status.PUBLISHED)
    for old in db.lock(before):
        _end(old, actor, now, _("replaced by version %(number)s") % {"number": row.number})
    row.status, row.approver, row.published_at = Status.PUBLISHED, actor, now
    row.save(update_fields=["status", "approver", "published_at"])
    parts = buckets(count=row.bucket_count, total_cap=row.total_cap, budget_fen=row.budget_fen, value_fen=row.value_fen)
    CouponStock.objects.bulk_create(
        CouponStock(template=row, bucket=i, cap_count=cap, left_count=cap, budget_fen=fen, left_fen=fen)
        for i, (cap, fen) in enumerate(parts)
    )
    audit.record(actor=actor, verb="coupon.publish", target=row, budget_fen=row.budget_fen, total_cap=row.total_cap)
    return row


@transaction.atomic
def end(*, template: CouponTemplate, actor: Any, reason: str, now: dt.datetime) -> CouponTemplate:
    """Nothing more is given out; what is given out stays valid. Raises CouponRefused."""
    (row,) = db.lock(CouponTemplate.objects.filter(pk=template.pk))
    if row.status != Status.PUBLISHED:
        raise _refused(_("Only a published template is ended."), "template_not_published", "status")
    _end(row, actor, now, reason)
    return row


@transaction.atomic
def draft_again(*, template: CouponTemplate, actor: Any) -> CouponTemplate:
    """The next version as a draft of ``actor``, with the content of this one."""
    last = CouponTemplate.objects.filter(brand=template.brand_id, code=template.code).order_by("-number")
    number = last.values_list("number", flat=True)[0] + 1
    row = CouponTemplate(**{name: getattr(template, name) for name in COPIED}, number=number, author=actor)
    row.save()
    audit.record(actor=actor, verb="coupon.draft", target=row, of=template.pk)
    return row


def _end(row: CouponTemplate, actor: Any, now: dt.datetime, reason: str) -> None:
    row.status, row.ended_at = Status.ENDED, now
    row.save(update_fields=["status", "ended_at"])
    audit.record(actor=actor, verb="coupon.end", target=row, reason=reason)


def _refused(message: str, code: str, field: str) -> CouponRefused:
    return CouponRefused(message, code=code, field=field)
