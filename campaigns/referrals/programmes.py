"""Referral programmes (老带新活动): written by one person, published by another, ended by either."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from campaigns import links
from campaigns.models import ReferralProgramme
from campaigns.referrals.refusals import ReferralRefused
from members.models import CouponTemplate
from scrm import audit, db
from scrm.models import Brand

Status = ReferralProgramme.Status


def running(brand_id: int, now: dt.datetime) -> ReferralProgramme | None:
    rows = ReferralProgramme.objects.filter(
        brand=brand_id, status=Status.PUBLISHED, starts_at__lte=now, ends_at__gt=now
    )
    return rows.select_related("coupon_template").order_by("-pk").first()


def most_referrals(programme: ReferralProgramme) -> int:
    """How many the budget pays for. Pure."""
    return programme.budget_fen // (programme.coupon_template.value_fen + programme.guide_fen)


@transaction.atomic
def publish(*, programme: ReferralProgramme, actor: Any, now: dt.datetime) -> ReferralProgramme:
    """Put a draft into force; somebody else than its author does (S4). Raises ReferralRefused."""
    db.lock(Brand.objects.filter(pk=programme.brand_id))
    (row,) = db.lock(ReferralProgramme.objects.filter(pk=programme.pk))
    if row.status != Status.DRAFT:
        raise ReferralRefused(_("This programme is published already."), code="referral_published")
    if row.author_id is not None and row.author_id == actor.pk:
        raise ReferralRefused(_("Whoever wrote a programme cannot publish it; ask a colleague."), code="own_programme")
    if row.starts_at < now:
        raise ReferralRefused(_("It would begin in the past; set a later beginning."), code="programme_begins_in_past")
    template = row.coupon_template
    if template.status != CouponTemplate.Status.PUBLISHED or template.brand_id != row.brand_id:
        raise ReferralRefused(
            _("The coupon “%(name)s” is not given out; publish it first or choose another.") % {"name": template.name},
            code="referral_coupon",
        )
    if most_referrals(row) < 1:
        raise ReferralRefused(_("The budget does not pay for a single referral; raise it."), code="referral_budget")
    said = links.refusal(row.target, links.hosts()) if row.target else ""
    if said:
        raise ReferralRefused(said, code="bad_link_target")
    published = ReferralProgramme.objects.filter(brand=row.brand_id, status=Status.PUBLISHED)
    other = published.filter(starts_at__lt=row.ends_at, ends_at__gt=row.starts_at).first()
    if other is not None:
        raise ReferralRefused(_("It overlaps “%(name)s”.") % {"name": other.name}, code="programme_overlaps")
    row.status, row.approver, row.published_at = Status.PUBLISHED, actor, now
    row.save(update_fields=["status", "approver", "published_at"])
    audit.record(actor=actor, verb="referral.publish", target=row, budget_fen=row.budget_fen, guide_fen=row.guide_fen)
    return row


@transaction.atomic
def end(*, programme: ReferralProgramme, actor: Any, reason: str, now: dt.datetime) -> ReferralProgramme:
    """Nobody joins through its links from now on; who has joined goes on. Raises ReferralRefused."""
    (row,) = db.lock(ReferralProgramme.objects.filter(pk=programme.pk))
    if row.status != Status.PUBLISHED or row.ends_at <= now or row.starts_at >= now:
        raise ReferralRefused(_("Only a programme that runs can be ended."), code="programme_cannot_end")
    row.ends_at = now
    row.save(update_fields=["ends_at"])
    audit.record(actor=actor, verb="referral.end", target=row, reason=reason)
    return row
