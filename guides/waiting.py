"""What of the guides waits for a second person: reward programmes, findings of fraud and handovers."""

from __future__ import annotations

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from guides.models import HandoverCase, IntegrityCase, RewardProgramme
from scrm import approvals
from scrm.approvals import Queue
from scrm.org import Right


def register() -> None:
    """Called from ``AppConfig.ready``."""
    approvals.register(
        "reward programmes",
        Queue(
            gettext_lazy("Reward programmes to be published"), RewardProgramme,
            lambda user: Q(status="DRAFT", author__isnull=False) & ~Q(author=user), "author", "starts_at", Right.CHANGE,
        ),
    )  # fmt: skip
    approvals.register(
        "integrity",
        Queue(
            gettext_lazy("Findings of fraud to be confirmed"), IntegrityCase,
            lambda user: Q(status=IntegrityCase.Status.PROPOSED) & ~Q(proposed_by=user), "proposed_by", "due_at",
            text=lambda case: f"{case.guide.name}：{case.reason or case.get_subject_display()}",
            is_barred=lambda case, user: case.guide.user_id == user.pk,
        ),
    )  # fmt: skip
    approvals.register(
        "handovers",
        Queue(
            gettext_lazy("Handovers to be confirmed"), HandoverCase,
            lambda user: Q(status=HandoverCase.Status.PLANNED, needs_second=True) & ~Q(planned_by=user), "planned_by", "planned_at",
            text=lambda case: _("%(guide)s: %(count)d customers") % {"guide": case.guide.name, "count": case.item_count},
        ),
    )  # fmt: skip
