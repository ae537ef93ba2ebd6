"""Overrides (人工指定): two people name the guide of a line, and the line is decided anew as of its payment.

1. One person asks, with a reason; another approves or refuses. Neither is a party: the guide who is named, or one who has a
   share of the line as it stands.
2. The guide worked somewhere when the line was paid and is not its buyer; otherwise nobody is asked.
3. An approval decides the line at once: what stands is reversed, what follows is accrued, with the payment as the business
   date. Of several approved ones the latest counts.
"""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from attribution import decisions, evidence, rulebook, rules
from attribution.models import Decision, Override
from attribution.rules.explanation import REASONS
from guides.models import Guide
from members.models import LineToDecide, OrderLine
from scrm import audit, db
from scrm.errors import RuleViolation


class CannotOverride(RuleViolation):
    code = "override_refused"


@transaction.atomic
def request(*, line: OrderLine, guide: Guide, reason: str, actor: Any) -> Override:
    """Ask that ``guide`` have the line. Raises CannotOverride."""
    if not reason.strip():
        raise CannotOverride(_("Say why."))
    _refuse_party(line.pk, line.booked_on, guide, actor)
    store_id = _store_then(line, guide)
    try:
        with transaction.atomic():
            row = Override.objects.create(
                line_id=line.pk, booked_on=line.booked_on, guide=guide, store_id=store_id, reason=reason.strip(),
                requested_by=actor,
            )  # fmt: skip
    except IntegrityError as error:
        raise CannotOverride(_("A request for this line already waits for its second person.")) from error
    audit.record(actor=actor, verb="override.request", target=row, reason=row.reason, guide=guide.pk, line=line.pk)
    return row


@transaction.atomic
def approve(*, override: Override, actor: Any) -> Override:
    """Decide the line for the guide who was named. Raises CannotOverride."""
    row = _answer(override, actor, Override.Status.APPROVED, "")
    LineToDecide.objects.bulk_create(
        [LineToDecide(line_id=row.line_id, booked_on=row.booked_on)], ignore_conflicts=True
    )
    decisions.decide_lines(line_ids=[row.line_id])
    return row


@transaction.atomic
def refuse(*, override: Override, actor: Any, answer: str) -> Override:
    if not answer.strip():
        raise CannotOverride(_("Say why."))
    return _answer(override, actor, Override.Status.REFUSED, answer.strip())


def _answer(override: Override, actor: Any, status: Override.Status, answer: str) -> Override:
    row = db.lock(Override.objects.filter(pk=override.pk))[0]
    if row.status != Override.Status.REQUESTED:
        raise CannotOverride(_("This request has been answered already."))
    if row.requested_by_id == actor.pk:
        raise CannotOverride(_("A request is answered by somebody else than who made it."))
    _refuse_party(row.line_id, row.booked_on, row.guide, actor)
    row.status, row.answered_by, row.answered_at, row.answer = status, actor, timezone.now(), answer
    row.save(update_fields=["status", "answered_by", "answered_at", "answer"])
    audit.record(
        actor=actor, verb=f"override.{status.lower()}", target=row, reason=answer or row.reason, line=row.line_id
    )
    return row


def _refuse_party(line_id: int, booked_on: Any, guide: Guide, actor: Any) -> None:
    live = Decision.objects.filter(line_id=line_id, booked_on=booked_on).exclude(state=Decision.State.SUPERSEDED)
    codes = {share[1] for shares in live.values_list("shares", flat=True) for share in shares}
    parties = set(Guide.objects.filter(code__in=codes).values_list("user_id", flat=True)) | {guide.user_id}
    if actor.pk in parties:
        raise CannotOverride(_("A party to the line neither asks for it nor answers."))


def _store_then(line: OrderLine, guide: Guide) -> int:
    """Where the guide worked when the line was paid. Raises CannotOverride when she may not have it."""
    [case] = evidence.load([(line.pk, line.booked_on)], rulebook.load())
    fact = evidence.Staff.read([guide.pk]).fact(guide.pk, line.paid_at)
    asked = case.evidence._replace(override=rules.OverrideFact(0, fact, "requested", "approved"))
    found = rules.decide(case.facts, asked, case.rule)
    if found.candidates and not found.candidates[0].ok:
        raise CannotOverride(REASONS[found.candidates[0].reason])
    employment = guide.employments.filter(started_at__lte=line.paid_at, store__code=fact.store).latest("started_at")
    return int(employment.store_id)
