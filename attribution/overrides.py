"""Overrides (人工指定): two people name the guide of a line, and the line is decided anew as of its payment.

1. One person asks, with a reason; another approves or refuses. Neither is a party: the guide who is named, or one who has a
   share of the line as it stands.
2. The guide worked somewhere when the line was paid and is not its buyer; otherwise nobody is asked.
3. Before anybody asks or answers, what would move is shown: per beneficiary what stands of the line now and what would stand.
4. A request that belongs to the verdict of a dispute is answered with it and nowhere else, since the dispute has more parties.
5. An approval decides the line at once: what stands is reversed, what follows is accrued, with the payment as the business
   date. Of several approved ones the latest counts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from attribution import commissions, decisions, evidence, rulebook, rules
from attribution.models import Decision, Dispute, Hold, Override
from attribution.rules.explanation import REASONS
from guides.models import Guide
from members.models import LineToDecide, OrderLine
from scrm import audit, db
from scrm.errors import RuleViolation


class CannotOverride(RuleViolation):
    code = "override_refused"


class Move(NamedTuple):
    """What one beneficiary has of the line now, and would have; fen."""

    beneficiary: str
    now_fen: int
    then_fen: int

    @property
    def change_fen(self) -> int:
        return self.then_fen - self.now_fen


def preview(*, line: OrderLine, guide: Guide) -> list[Move]:
    """What an approval would move, by beneficiary; reads only. Raises CannotOverride when she cannot have the line."""
    found, _fact = _decided_for(line, guide)
    now: dict[str, int] = {}
    for hold in Hold.objects.filter(line_id=line.pk, booked_on=line.booked_on).select_related("beneficiary"):
        left = hold.amount_fen - hold.reversed_fen - hold.clawed_fen
        now[hold.beneficiary.code] = now.get(hold.beneficiary.code, 0) + left
    then: dict[str, int] = {}
    if found.state in (rules.State.LIVE, rules.State.PROVISIONAL):
        for pot in found.pots:
            refunded = 0 if pot.keeps_on_refund else line.refunded_fen
            fen = commissions.pot(commissions.net_base(pot.base_fen, refunded), pot.rate_bp, pot.cap_fen)
            for share, part in zip(pot.shares, commissions.split(fen, pot.shares), strict=True):
                then[share.beneficiary] = then.get(share.beneficiary, 0) + part
    moves = [Move(who, now.get(who, 0), then.get(who, 0)) for who in sorted({*now, *then})]
    return [move for move in moves if move.now_fen or move.then_fen]


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
def approve(*, override: Override, actor: Any, with_verdict: bool = False) -> Override:
    """Decide the line for the guide who was named. ``with_verdict``: the dispute asks that holds it. Raises CannotOverride."""
    row = _answer(override, actor, Override.Status.APPROVED, "", with_verdict)
    LineToDecide.objects.bulk_create(  # with an update, which waits for a decider who has claimed the line without our answer
        [LineToDecide(line_id=row.line_id, booked_on=row.booked_on)],
        update_conflicts=True,
        unique_fields=["line_id"],
        update_fields=["booked_on"],
    )
    decisions.decide_lines(line_ids=[row.line_id])
    return row


@transaction.atomic
def refuse(*, override: Override, actor: Any, answer: str, with_verdict: bool = False) -> Override:
    if not answer.strip():
        raise CannotOverride(_("Say why."))
    return _answer(override, actor, Override.Status.REFUSED, answer.strip(), with_verdict)


def _answer(override: Override, actor: Any, status: Override.Status, answer: str, with_verdict: bool) -> Override:
    row = db.lock(Override.objects.filter(pk=override.pk))[0]
    if row.status != Override.Status.REQUESTED:
        raise CannotOverride(_("This request has been answered already."))
    if not with_verdict and is_held(override=row):
        raise CannotOverride(_("This request belongs to the verdict of a dispute: answer it there."))
    if row.requested_by_id == actor.pk:
        raise CannotOverride(_("A request is answered by somebody else than who made it."))
    _refuse_party(row.line_id, row.booked_on, row.guide, actor)
    row.status, row.answered_by, row.answered_at, row.answer = status, actor, timezone.now(), answer
    row.save(update_fields=["status", "answered_by", "answered_at", "answer"])
    audit.record(
        actor=actor, verb=f"override.{status.lower()}", target=row, reason=answer or row.reason, line=row.line_id
    )
    return row


def is_held(*, override: Override) -> bool:
    """Whether the verdict of a dispute that waits for its second person holds this request."""
    return Dispute.objects.filter(override=override.pk, status=Dispute.Status.PROPOSED).exists()


def is_party(*, override: Override, user: Any) -> bool:
    try:
        _refuse_party(override.line_id, override.booked_on, override.guide, user)
    except CannotOverride:
        return True
    return False


def _refuse_party(line_id: int, booked_on: Any, guide: Guide, actor: Any) -> None:
    live = Decision.objects.filter(line_id=line_id, booked_on=booked_on).exclude(state=Decision.State.SUPERSEDED)
    codes = {share[1] for shares in live.values_list("shares", flat=True) for share in shares}
    parties = set(Guide.objects.filter(code__in=codes).values_list("user_id", flat=True)) | {guide.user_id}
    if actor.pk in parties:
        raise CannotOverride(_("A party to the line neither asks for it nor answers."))


def _decided_for(line: OrderLine, guide: Guide) -> tuple[rules.Decision, rules.GuideFact]:
    """The decision if two people named the guide. Raises CannotOverride when she may not have the line."""
    [case] = evidence.load([(line.pk, line.booked_on)], rulebook.load())
    fact = evidence.Staff.read([guide.pk]).fact(guide.pk, line.paid_at)
    asked = case.evidence._replace(override=rules.OverrideFact(0, fact, "requested", "approved"))
    found = rules.decide(case.facts, asked, case.rule)
    if found.candidates and not found.candidates[0].ok:
        raise CannotOverride(REASONS[found.candidates[0].reason])
    return found, fact


def _store_then(line: OrderLine, guide: Guide) -> int:
    """Where the guide worked when the line was paid. Raises CannotOverride when she may not have it."""
    _found, fact = _decided_for(line, guide)
    employment = guide.employments.filter(started_at__lte=line.paid_at, store__code=fact.store).latest("started_at")
    return int(employment.store_id)
