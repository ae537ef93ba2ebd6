"""What of attribution waits for a second person: rules, batches, overrides and verdicts."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from attribution import overrides
from attribution.disputes import hearing
from attribution.models import Batch, Dispute, Override, RuleVersion
from scrm import approvals
from scrm.approvals import Queue
from scrm.money import yuan
from scrm.org import Right


def not_mine(field: str, user: Any) -> Q:
    """What nobody asked for, the system did."""
    return Q(**{field: None}) | ~Q(**{field: user})


def register() -> None:
    """Called from ``AppConfig.ready``."""
    approvals.register(
        "rules",
        Queue(
            gettext_lazy("Rule versions to be published"), RuleVersion,
            lambda user: Q(status="DRAFT", effective_from__isnull=False, author__isnull=False) & ~Q(author=user), "author",
            "effective_from", Right.CHANGE,
        ),
    )  # fmt: skip
    approvals.register(
        "batches",
        Queue(
            gettext_lazy("Batches to be approved"), Batch, lambda user: Q(status=Batch.Status.READY) & not_mine("requested_by", user),
            "requested_by", "requested_at",
            text=lambda batch: _("%(code)s: %(count)d lines, ¥%(fen)s to be paid")
            % {"code": batch.code, "count": batch.line_count, "fen": yuan(batch.paid_fen)},
        ),
    )  # fmt: skip
    approvals.register(
        "overrides",
        Queue(
            gettext_lazy("Manual attributions to be answered"), Override,
            # one that belongs to a verdict is answered with it
            lambda user: Q(status=Override.Status.REQUESTED) & ~Q(requested_by=user)
            & ~Q(pk__in=Dispute.objects.filter(status=Dispute.Status.PROPOSED, override__isnull=False).values("override")),
            "requested_by", "requested_at", text=lambda row: f"{row.guide.name}：{row.reason}",
            is_barred=lambda row, user: overrides.is_party(override=row, user=user),
        ),
    )  # fmt: skip
    approvals.register(
        "disputes",
        Queue(
            gettext_lazy("Verdicts to be confirmed"), Dispute, lambda user: Q(status=Dispute.Status.PROPOSED) & ~Q(proposed_by=user),
            "proposed_by", "proposed_at", text=lambda row: f"{row.claimant.name}：{row.verdict_reason}",
            is_barred=lambda row, user: user.pk in hearing.parties(row),
        ),
    )  # fmt: skip
