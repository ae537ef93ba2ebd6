"""Reviews of referrals (老带新复核): a person decides what flags have ordered.

1. A flagged referral is neither earned nor ended until somebody has cleared or confirmed it, with a reason. Whoever is the guide of
   the referral decides nothing about it.
2. Cleared: it is judged like any other. Confirmed: it is void as fake.
3. What was earned and turns out fake later is taken back: the coupon is made void where it is unused, the guide's reward is clawed back.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from campaigns.models import Referral
from campaigns.referrals import judging
from campaigns.referrals.refusals import ReferralRefused
from members import coupons
from members.models import Coupon
from scrm import audit, db

Status, Review, Reason = Referral.Status, Referral.Review, Referral.Reason
UNUSED = (Coupon.Status.HELD, Coupon.Status.LOCKED)


@transaction.atomic
def clear(*, referral: Referral, actor: Any, reason: str, now: dt.datetime) -> Referral:
    """The flags are explained. Raises ReferralRefused."""
    row = _locked(referral, actor)
    if row.review != Review.OPEN:
        raise ReferralRefused(_("No review of this referral is open."), code="referral_no_review")
    row.review, row.reviewed_by, row.review_note = Review.CLEARED, actor, reason
    row.save(update_fields=["review", "reviewed_by", "review_note"])
    audit.record(actor=actor, verb="referral.clear", target=row, reason=reason)
    return row


@transaction.atomic
def confirm(*, referral: Referral, actor: Any, reason: str, now: dt.datetime) -> Referral:
    """It is fake: nothing is earned, and what was is taken back. Raises ReferralRefused."""
    row = _locked(referral, actor)
    if row.status not in (Status.CLAIMED, Status.VESTED):
        raise ReferralRefused(_("This referral has ended already."), code="referral_ended")
    row.status = Status.VOID if row.status == Status.CLAIMED else Status.CLAWED_BACK
    row.review, row.reviewed_by, row.review_note = Review.CONFIRMED, actor, reason
    row.reason, row.decided_at = Reason.FRAUD, now
    row.save(update_fields=["status", "reason", "decided_at", "review", "reviewed_by", "review_note"])
    coupon = row.coupon
    if row.status == Status.VOID or coupon is None or coupon.status in UNUSED:
        judging.free([row.pk])  # a used coupon has cost its money
    if coupon is not None and coupon.status == Coupon.Status.HELD:
        coupons.life.make_void(coupon_ids=[coupon.pk], reason=reason, actor=actor, now=now)
    audit.record(actor=actor, verb="referral.confirm", target=row, reason=reason)
    return row


def _locked(referral: Referral, actor: Any) -> Referral:
    judging.lock()
    (row,) = db.lock(Referral.objects.filter(pk=referral.pk).select_related("guide", "coupon"))
    if row.guide is not None and row.guide.user_id == actor.pk:
        raise ReferralRefused(_("Whoever is the guide of a referral decides nothing about it."), code="own_referral")
    return row
