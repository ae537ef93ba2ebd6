"""What the pages of a settlement batch show."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q, Sum
from django.utils.translation import gettext_lazy as _

from attribution.models import Batch, Payment, PayoutFile, Statement
from attribution.payouts import masked, payee_name
from scrm.models import LegalEntity

SHOWN_PAYMENTS = 100
TITLES = {"earned_fen": _("due"), "netted_fen": _("netted"), "paid_fen": _("to be paid")}


def companies(batch: Batch) -> list[dict[str, Any]]:
    """Per paying company: payments, amount, how far they are, its file; the largest first."""
    rows = Payment.objects.filter(batch=batch).values("company_id", "company__name", "company__code").order_by()
    sums = rows.annotate(
        payments=Count("pk"), fen=Sum("amount_fen"), netted=Sum("netted_fen"),
        arrived=Count("pk", filter=Q(status=Payment.Status.SETTLED)), returned=Count("pk", filter=Q(status=Payment.Status.RETURNED)),
    )  # fmt: skip
    files = dict(PayoutFile.objects.filter(batch=batch).values_list("company_id", "pk"))
    found = [
        {
            **row,
            "file": files.get(row["company_id"]),
            "share": round(100 * (row["arrived"] + row["returned"]) / row["payments"]),
        }
        for row in sums
    ]
    return sorted(found, key=lambda row: (-row["fen"], row["company__code"]))


def before(batch: Batch) -> list[tuple[Any, int, int, int]]:
    """``[(field, then, now, difference)]`` against the batch before."""
    earlier = (
        Batch.objects.filter(period__lt=batch.period).exclude(status=Batch.Status.CANCELLED).order_by("-period").first()
    )
    if earlier is None:
        return []
    return [
        (
            TITLES[name],
            getattr(earlier, name),
            getattr(batch, name),
            getattr(batch, name) - getattr(earlier, name),
        )
        for name in TITLES
    ]


def largest(batch: Batch) -> list[Statement]:
    rows = Statement.objects.filter(batch=batch).select_related(
        "beneficiary__guide", "beneficiary__store", "beneficiary__entity", "store"
    )
    return list(rows.order_by("-paid_fen", "pk")[:10])


def payments(batch: Batch, company: LegalEntity) -> list[dict[str, Any]]:
    """The largest payments of a company; names are masked."""
    rows = Payment.objects.filter(batch=batch, company=company).select_related(
        "statement__beneficiary__guide", "statement__beneficiary__store", "statement__beneficiary__entity"
    )
    return [
        {"number": row.number, "code": row.statement.beneficiary.code, "name": masked(payee_name(row)), "fen": row.amount_fen, "netted": row.netted_fen,
         "status": row.status, "status_text": row.get_status_display(), "reason": row.reason, "statement_id": row.statement_id}
        for row in rows.order_by("-amount_fen", "pk")[:SHOWN_PAYMENTS]
    ]  # fmt: skip
