"""What of the calendar waits for a second person (待我审批)."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from campaigns.calendar import reaching
from campaigns.models import CalendarDay
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
