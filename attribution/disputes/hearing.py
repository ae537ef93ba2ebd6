"""The steps of a dispute (审理), each one operation; the rules stand in the package."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, Min, OuterRef, Q
from django.utils.translation import gettext as _

from attribution import blocks, overrides
from attribution.disputes import pictures
from attribution.models import BatchLine, Decision, Dispute, DisputeEvidence, Hold, MoneyBlock
from guides.models import Employment, Guide
from members.models import OrderLine
from scrm import audit, db
from scrm.errors import RuleViolation

STORE_TERM = dt.timedelta(days=3)
OFFICE_TERM = dt.timedelta(days=7)
WINDOW = dt.timedelta(days=30)  # after the statement that paid the line
EVIDENCE_EACH = 10  # of one person on one dispute
CAUSE = "dispute"  # of a block


class CannotDispute(RuleViolation):
    code = "cannot_dispute"


class WrongStep(RuleViolation):
    """The dispute is not where this act needs it to be."""

    code = "dispute_step"


class IsParty(RuleViolation):
    """Somebody who gains or loses by the verdict, or has already acted, may not act on it."""

    code = "dispute_party"


@transaction.atomic
def open_dispute(*, line_id: int, guide: Guide, ground: str, statement: str, actor: Any, now: dt.datetime) -> Dispute:
    """Raises CannotDispute. What the line earned is held from now on."""
    line = OrderLine.objects.filter(pk=line_id).first()
    if line is None:
        raise CannotDispute(_("There is no such line."))
    db.lock(OrderLine.objects.filter(pk=line.pk, booked_on=line.booked_on))
    live = Decision.objects.filter(line_id=line.pk, booked_on=line.booked_on).exclude(state=Decision.State.SUPERSEDED)
    decision = live.first()
    _require_disputable(decision, guide, now)
    assert decision is not None
    job = Employment.objects.filter(guide=guide, started_at__lte=now).order_by("-started_at").first()
    if job is None:
        raise CannotDispute(_("You work in no store."))
    try:
        with transaction.atomic():
            dispute = Dispute.objects.create(
                line_id=line.pk, booked_on=line.booked_on, decision_id=decision.pk, rule_id=decision.rule_id, claimant=guide,
                store_id=job.store_id, against_code=decision.winner_code, against_store_id=decision.store_id, ground=ground,
                statement=statement.strip(), opened_at=now, due_at=now + STORE_TERM,
            )  # fmt: skip
    except IntegrityError as error:
        raise CannotDispute(_("This line is disputed already, or your claim was heard.")) from error
    blocks.block(line_ids=[line.pk], cause=_cause(dispute), actor=actor)
    audit.record(actor=actor, verb="dispute.open", target=dispute, line=line.pk, guide=guide.pk)
    return dispute


def _require_disputable(decision: Decision | None, guide: Guide, now: dt.datetime) -> None:
    if decision is None or decision.state == Decision.State.INELIGIBLE:
        raise CannotDispute(_("This line carries no commission."))
    if decision.winner_code == guide.code and len(decision.shares) == 1:
        raise CannotDispute(_("The line is credited to you already."))
    stated_at = _stated_at(decision.line_id)
    if stated_at is not None and now >= stated_at + WINDOW:
        raise CannotDispute(
            _("The statement with this line is older than %(days)d days; it can no longer be disputed.") % {"days": WINDOW.days}
        )  # fmt: skip


def _stated_at(line_id: int) -> dt.datetime | None:
    """When the first batch that pays the line was approved; None: no statement shows it yet."""
    lines = BatchLine.objects.filter(hold_id__in=Hold.objects.filter(line_id=line_id).values("pk"), is_live=True)
    return lines.aggregate(at=Min("batch__approved_at"))["at"]


@transaction.atomic
def add_evidence(
    *,
    dispute: Dispute,
    actor: Any,
    text: str,
    now: dt.datetime,
    touch_id: int | None = None,
    picture: bytes | None = None,
) -> DisputeEvidence:
    """Raises WrongStep, CannotDispute, pictures.BadPicture. The caller has seen that ``actor`` may see the dispute."""
    (dispute,) = db.lock(Dispute.objects.filter(pk=dispute.pk))
    _require_step(dispute, Dispute.Status.STORE, Dispute.Status.HQ)
    if dispute.evidence.filter(given_by=actor).count() >= EVIDENCE_EACH:
        raise CannotDispute(_("At most %(count)d pieces of evidence each.") % {"count": EVIDENCE_EACH})
    evidence = DisputeEvidence.objects.create(
        dispute=dispute, given_by=actor, given_at=now, text=text.strip(), touch_id=touch_id,
        picture_sealed=pictures.seal(picture) if picture else None,
    )  # fmt: skip
    audit.record(actor=actor, verb="dispute.evidence", target=dispute, evidence=evidence.pk)
    return evidence


@transaction.atomic
def give_opinion(*, dispute: Dispute, opinion: str, text: str, actor: Any, now: dt.datetime) -> Dispute:
    """The store manager's word; the dispute goes on to the region and HQ. Raises WrongStep, IsParty."""
    (dispute,) = db.lock(Dispute.objects.filter(pk=dispute.pk))
    _require_step(dispute, Dispute.Status.STORE)
    _require_no_party(dispute, actor)
    dispute.opinion, dispute.opinion_text, dispute.opinion_by = opinion, text.strip(), actor
    _hand_on(dispute, now)
    audit.record(actor=actor, verb="dispute.opinion", target=dispute, opinion=opinion)
    return dispute


@transaction.atomic(durable=True)
def hand_on_overdue(*, now: dt.datetime) -> int:
    """Disputes on which a store manager said nothing in time go on; how many."""
    late = db.lock(Dispute.objects.filter(status=Dispute.Status.STORE, due_at__lte=now))
    for dispute in late:
        _hand_on(dispute, now)
        audit.record(actor=None, verb="dispute.hand_on", target=dispute)
    return len(late)


@transaction.atomic(durable=True)
def hold_what_came_later() -> int:
    """A line that is disputed may be decided anew for another reason; what it earns then is held as well."""
    new = Hold.objects.filter(
        Exists(Dispute.objects.filter(line_id=OuterRef("line_id"), booked_on=OuterRef("booked_on"), ended_at=None)),
        ~Exists(MoneyBlock.objects.live().filter(hold=OuterRef("pk"), cause__startswith=CAUSE)),
    )
    held = 0
    for dispute in Dispute.objects.filter(ended_at=None, line_id__in=new.values("line_id")).order_by("pk"):
        held += len(blocks.block(line_ids=[dispute.line_id], cause=_cause(dispute), actor=None))
    return held


def _hand_on(dispute: Dispute, now: dt.datetime) -> None:
    dispute.status, dispute.due_at = Dispute.Status.HQ, now + OFFICE_TERM
    dispute.save(update_fields=["status", "due_at", "opinion", "opinion_text", "opinion_by"])


@transaction.atomic
def propose(*, dispute: Dispute, is_upheld: bool, reason: str, actor: Any, now: dt.datetime) -> Dispute:
    """The first of two people. Raises WrongStep, IsParty, overrides.CannotOverride when the claimant cannot have the line."""
    (dispute,) = db.lock(Dispute.objects.filter(pk=dispute.pk))
    _require_step(dispute, Dispute.Status.HQ)
    _require_no_party(dispute, actor)
    dispute.status, dispute.is_upheld_proposed, dispute.verdict_reason = (
        Dispute.Status.PROPOSED,
        is_upheld,
        reason.strip(),
    )
    dispute.proposed_by, dispute.proposed_at = actor, now
    if is_upheld:
        line = OrderLine.objects.get(pk=dispute.line_id, booked_on=dispute.booked_on)
        dispute.override = overrides.request(line=line, guide=dispute.claimant, reason=_words(dispute), actor=actor)
    dispute.save()
    audit.record(actor=actor, verb="dispute.propose", target=dispute, reason=reason, upheld=is_upheld)
    return dispute


@transaction.atomic
def send_back(*, dispute: Dispute, reason: str, actor: Any, now: dt.datetime) -> Dispute:
    """The second person does not agree: it is decided anew. Raises WrongStep, IsParty."""
    (dispute,) = db.lock(Dispute.objects.filter(pk=dispute.pk))
    _require_second(dispute, actor)
    audit.record(
        actor=actor, verb="dispute.send_back", target=dispute, reason=reason, proposed_by=dispute.proposed_by_id
    )
    dispute.status, dispute.is_upheld_proposed, dispute.verdict_reason = Dispute.Status.HQ, None, ""
    dispute.proposed_by, dispute.proposed_at, dispute.due_at = None, None, now + OFFICE_TERM
    if dispute.override is not None:
        overrides.refuse(override=dispute.override, actor=actor, answer=reason, with_verdict=True)
        dispute.override = None
    dispute.save()
    return dispute


@transaction.atomic
def confirm(*, dispute: Dispute, actor: Any, now: dt.datetime) -> Dispute:
    """The second of two people: the verdict stands and the money follows it at once. Raises WrongStep, IsParty."""
    (dispute,) = db.lock(Dispute.objects.filter(pk=dispute.pk))
    _require_second(dispute, actor)
    dispute.status = Dispute.Status.UPHELD if dispute.is_upheld_proposed else Dispute.Status.REJECTED
    dispute.decided_by, dispute.ended_at = actor, now
    blocks.release(cause=_cause(dispute), actor=actor)
    if dispute.override is not None:
        overrides.approve(override=dispute.override, actor=actor, with_verdict=True)
        dispute.moved_fen = _credited(dispute)
    dispute.save()
    audit.record(
        actor=actor, verb="dispute.confirm", target=dispute, upheld=dispute.is_upheld_proposed, fen=dispute.moved_fen
    )
    return dispute


def _words(dispute: Dispute) -> str:
    return str(_("dispute %(number)s") % {"number": dispute})


def _credited(dispute: Dispute) -> int:
    """What the claimant holds of the line now, in fen."""
    rows = Hold.objects.filter(line_id=dispute.line_id, beneficiary__guide=dispute.claimant)
    return sum(row.amount_fen - row.reversed_fen - row.clawed_fen for row in rows)


@transaction.atomic
def withdraw(*, dispute: Dispute, actor: Any, now: dt.datetime) -> Dispute:
    """The claimant lets it go while nobody has proposed a verdict. Raises WrongStep, IsParty."""
    (dispute,) = db.lock(Dispute.objects.filter(pk=dispute.pk))
    _require_step(dispute, Dispute.Status.STORE, Dispute.Status.HQ)
    if dispute.claimant.user_id != actor.pk:
        raise IsParty(_("Only the guide who opened it can withdraw it."))
    dispute.status, dispute.ended_at = Dispute.Status.WITHDRAWN, now
    dispute.save(update_fields=["status", "ended_at"])
    blocks.release(cause=_cause(dispute), actor=actor)
    audit.record(actor=actor, verb="dispute.withdraw", target=dispute)
    return dispute


def parties(dispute: Dispute) -> frozenset[int]:
    """Users who gain or lose by the verdict: the claimant and every guide who was credited when it was opened."""
    shares = Decision.objects.get(pk=dispute.decision_id, booked_on=dispute.booked_on).shares
    codes = {share[1] for share in shares} | {dispute.against_code}
    guides = Guide.objects.filter(Q(code__in=codes) | Q(pk=dispute.claimant_id))
    return frozenset(guides.values_list("user_id", flat=True))


def overturned(*, since: dt.datetime) -> Mapping[int, tuple[int, int]]:
    """``{rule version: (upheld, decided)}`` of the disputes that ended since."""
    ended = Dispute.objects.filter(ended_at__gte=since).exclude(status=Dispute.Status.WITHDRAWN)
    rows = ended.values_list("rule_id").annotate(
        upheld=Count("pk", filter=Q(status=Dispute.Status.UPHELD)), decided=Count("pk")
    )
    return {rule_id: (upheld, decided) for rule_id, upheld, decided in rows.order_by("rule_id")}


def _cause(dispute: Dispute) -> str:
    return f"{CAUSE} {dispute.pk}"


def _require_step(dispute: Dispute, *steps: str) -> None:
    if dispute.status not in steps:
        raise WrongStep(_("The dispute is %(status)s.") % {"status": dispute.get_status_display()})


def _require_no_party(dispute: Dispute, actor: Any) -> None:
    if actor.pk in parties(dispute):
        raise IsParty(_("Whoever gains or loses by the verdict may not decide."))


def _require_second(dispute: Dispute, actor: Any) -> None:
    _require_step(dispute, Dispute.Status.PROPOSED)
    _require_no_party(dispute, actor)
    if actor.pk == dispute.proposed_by_id:
        raise IsParty(_("Somebody else than the one who proposed it confirms a verdict."))
