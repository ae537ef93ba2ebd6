"""Batches (结算批次): previewed, made, approved by a second person, or cancelled."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from attribution import caps, periods
from attribution.models import Batch, BatchLine, ClosedPeriod
from attribution.settlement import dues, plan
from attribution.settlement.terms import terms_of
from scrm import audit, db, jobs
from scrm.errors import RuleViolation
from scrm.models import LegalEntity

MAKE, POST = "make_settlement", "post_settlement"


class CannotSettle(RuleViolation):
    code = "cannot_settle"


class CannotApprove(RuleViolation):
    code = "cannot_approve"


class BatchChanged(CannotApprove):
    """What would be delivered is not what was looked at."""

    code = "batch_changed"


@dataclass(frozen=True, slots=True)
class Preview:
    """What a batch would be if it were made now; fen."""

    period: str
    line_count: int
    payee_count: int
    earned_fen: int
    netted_fen: int
    paid_fen: int
    carried_fen: int  # debts that the batch does not net
    companies: tuple[tuple[str, int, int], ...]  # (name, payees, to be paid), the largest first


def preview(*, period: str, now: dt.datetime) -> Preview:
    """Reads only. Raises CannotSettle for a period that cannot be settled."""
    _require_settleable(period, now)
    found = dues.waiting(period)
    debts, cap_bp, above = dues.debts(), terms_of(period).netting_cap_bp, caps.open_debts()
    kept = {who: plan.netted(parts, debts.get(who, 0), cap_bp, above.get(who, 0)) for who, parts in found.items()}
    paid: dict[int, int] = defaultdict(int)
    payees: dict[int, int] = defaultdict(int)
    for who, parts in found.items():
        for company, (_kept, fen) in plan.by_company(plan.parts(parts, kept[who])).items():
            paid[company] += fen
            payees[company] += 1
    names = dict(LegalEntity.objects.values_list("pk", "name"))
    earned = sum(due.due_fen for parts in found.values() for due in parts)
    return Preview(
        period=period,
        line_count=sum(due.lines for parts in found.values() for due in parts),
        payee_count=len(found),
        earned_fen=earned,
        netted_fen=sum(kept.values()),
        paid_fen=earned - sum(kept.values()),
        carried_fen=sum(debts.values()) - sum(kept.values()),
        companies=tuple(
            sorted(((names[pk], payees[pk], fen) for pk, fen in paid.items()), key=lambda row: (-row[2], row[0]))
        ),
    )


@transaction.atomic
def request(*, period: str, actor: Any, now: dt.datetime) -> Batch:
    """Have the batch of a period made by a job; a second click gets the first one's. Raises CannotSettle."""
    live = Batch.objects.filter(period=period).exclude(status=Batch.Status.CANCELLED).first()
    if live is not None and live.status in (Batch.Status.MAKING, Batch.Status.READY):
        return live
    _require_settleable(period, now)
    dues.headquarters()  # somebody has to pay
    number = Batch.objects.filter(period=period).count() + 1
    try:
        with transaction.atomic():
            batch = Batch.objects.create(
                period=period,
                number=number,
                cap_bp=terms_of(period).netting_cap_bp,
                requested_by=actor,
                requested_at=now,
            )
    except IntegrityError:  # somebody clicked at the same time
        return Batch.objects.exclude(status=Batch.Status.CANCELLED).get(period=period)
    batch.job = jobs.enqueue(MAKE, actor=actor, params={"batch": batch.pk}, key=f"{MAKE} {batch.code}")
    batch.save(update_fields=["job"])
    audit.record(actor=actor, verb="settlement.request", target=batch, period=period)
    return batch


@transaction.atomic
def approve(*, batch_id: int, actor: Any, now: dt.datetime, count: int, amount_fen: int) -> Batch:
    """Approve what was seen: ``count`` lines, ``amount_fen`` to be paid. Closes the periods; the posting follows as a job.

    Raises CannotApprove, BatchChanged.
    """
    batch = db.lock(Batch.objects.filter(pk=batch_id))[0]
    if batch.status != Batch.Status.READY:
        raise CannotApprove(_("Only a batch that waits for approval can be approved."))
    if actor is None or batch.requested_by_id == actor.pk:
        raise CannotApprove(_("A batch is approved by somebody else than the person who made it."))
    if (batch.line_count, batch.paid_fen) != (count, amount_fen):
        raise BatchChanged(
            _("The batch is not the one you looked at: its count or amount has changed. Look at it again.")
        )
    blocked = dues.blocked_lines(batch)
    if blocked:
        raise BatchChanged(
            _("%(count)d lines were blocked after the batch was made. Cancel it and have it made again.")
            % {"count": blocked},
            extra={"blocked": blocked},
        )
    batch.status, batch.approved_by, batch.approved_at = Batch.Status.APPROVED, actor, now
    batch.approved_count, batch.approved_fen = count, amount_fen
    ClosedPeriod.objects.bulk_create(
        ClosedPeriod(period=period, closed_at=now, entry_count=entries, debit_fen=debits, digest=digest)
        for period, entries, debits, digest in batch.frozen
    )
    batch.job = jobs.enqueue(POST, actor=actor, params={"batch": batch.pk}, key=f"{POST} {batch.code}")
    batch.save()
    audit.record(
        actor=actor, verb="settlement.approve", target=batch, count=count, amount_fen=amount_fen, digest=batch.digest
    )
    return batch


@transaction.atomic
def cancel(*, batch_id: int, actor: Any, reason: str, now: dt.datetime) -> Batch:
    """Reject or withdraw a batch before its approval; every line waits for the next one. Raises CannotSettle."""
    batch = db.lock(Batch.objects.filter(pk=batch_id))[0]
    if batch.status not in (Batch.Status.MAKING, Batch.Status.READY):
        raise CannotSettle(_("An approved batch cannot be cancelled; what the bank returns goes into the next one."))
    BatchLine.objects.filter(batch=batch, is_live=True).update(is_live=False)
    if batch.job is not None:
        jobs.cancel(job=batch.job, actor=actor)
    batch.status, batch.cancelled_by, batch.cancelled_at, batch.reason = Batch.Status.CANCELLED, actor, now, reason
    batch.save()
    audit.record(actor=actor, verb="settlement.cancel", target=batch, reason=reason)
    return batch


def request_due(*, now: dt.datetime) -> Batch | None:
    """What the clock does: from the batch day on, the batch of the month before if anything waits for it."""
    period = next_period(now=now)
    local = now.astimezone(periods.SHANGHAI)
    if local.day < terms_of(period).batch_day or Batch.objects.filter(period__gte=period).exists():
        return None  # made already, by hand or by the clock; a cancelled one is made again by hand
    try:
        return request(period=period, actor=None, now=now) if dues.waiting(period) else None
    except RuleViolation:  # closed, or another batch is open: the console shows it
        return None


def next_period(*, now: dt.datetime) -> str:
    """The newest period that has ended."""
    return periods.previous(periods.period_of(now))


def _require_settleable(period: str, now: dt.datetime) -> None:
    if periods.ends_at(period) > now:
        raise CannotSettle(_("The period %(period)s has not ended yet.") % {"period": period})
    closed = ClosedPeriod.objects.order_by("-pk").values_list("period", flat=True).first()
    if closed is not None and period <= closed:
        raise CannotSettle(
            _("The period %(period)s is closed: it has been settled. What came later belongs to the next period.")
            % {"period": period}
        )
    busy = Batch.objects.filter(status__in=[Batch.Status.MAKING, Batch.Status.READY, Batch.Status.APPROVED])
    other = busy.exclude(period=period).first()
    if other is not None:
        raise CannotSettle(_("Finish or cancel the batch %(code)s first.") % {"code": other.code})
