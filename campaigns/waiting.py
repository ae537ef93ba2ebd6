"""What of the calendar, of mass sends and moments waits for a second person (待我审批)."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from campaigns.calendar import reaching
from campaigns.models import CalendarDay, Moment, Referral, ReferralProgramme, Sale, Send
from scrm import approvals
from scrm.org import Right


def register() -> None:
    """Called from ``AppConfig.ready``."""
    approvals.register(
        "calendar coupons",
        approvals.Queue(
            _("Coupons of the calendar"), CalendarDay, waits=reaching.waits_q, asked_by="asked_by", asked_at="asked_at",
            right=Right.CHANGE,
        ),
    )  # fmt: skip
    approvals.register(
        "sales",
        approvals.Queue(
            _("Flash sales and group buys"), Sale, waits=lambda user: Q(status="ASKED") & ~Q(author=user), asked_by="author",
            asked_at="asked_at", right=Right.CHANGE,
        ),
    )  # fmt: skip
    # one who asked, asked when it had been planned or soon after
    for name, title, model in (("mass sends", _("Mass sends"), Send), ("moments", _("Moments"), Moment)):
        approvals.register(
            name,
            approvals.Queue(
                title, model, waits=_of_others, asked_by="requested_by", asked_at="planned_at", right=Right.CHANGE
            ),
        )

    approvals.register(
        "referral programmes",
        approvals.Queue(
            _("Referral programmes"), ReferralProgramme, waits=_drafts_of_others, asked_by="author", asked_at="created_at",
            right=Right.CHANGE,
        ),
    )  # fmt: skip
    approvals.register(
        "referrals",
        approvals.Queue(
            _("Referrals under review"), Referral, waits=_referrals_of_others, asked_by="reviewed_by", asked_at="joined_at",
            right=Right.ACT,
        ),
    )  # fmt: skip


def _referrals_of_others(user: Any) -> Q:
    return Q(review="OPEN") & (Q(guide=None) | ~Q(guide__user=user))


def _drafts_of_others(user: Any) -> Q:
    return Q(status="DRAFT") & (Q(author=None) | ~Q(author=user))


def _of_others(user: Any) -> Q:
    return Q(status="ASKED") & ~Q(requested_by=user)
