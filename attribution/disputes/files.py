"""What a dispute shows (卷宗): the claim, who is credited now and why, what was put to it, what became of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.expressions import ExpressionWrapper
from django.db.models.fields import BooleanField

from attribution import queries, rules
from attribution.models import Decision, Dispute
from guides import touches
from guides.models import Binding, Guide
from guides.queries import Caller
from members.models import OrderLine
from scrm import org

TOUCHES_SHOWN = 20
TOUCH_DAYS = dt.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class File:
    """One dispute on one screen; a fixed number of queries."""

    dispute: Dispute
    line: OrderLine
    sentences: list[str]  # of the decision that is disputed
    against: str  # name or code of who is credited
    evidence: list[Any]  # DisputeEvidence with ``has_picture`` instead of the picture
    touches: list[touches.Touch]  # of the buyer, in the month before the order
    bindings: list[Binding]  # of the buyer, newest first
    live: Decision | None  # the decision that holds now


def seen_by(caller: Caller) -> QuerySet[Dispute]:
    """Hers, those against her, and those of the stores she manages."""
    managed = org.scope_q(Dispute, org.Scope(frozenset(caller.managed_store_ids)))
    return Dispute.objects.filter(Q(claimant_id=caller.guide_id) | Q(against_code=caller.code) | managed)


def page(*, caller: Caller, is_open: bool | None, after: int | None, limit: int) -> Sequence[Dispute]:
    """The newest first; ``after`` is the last id of the page before."""
    found = seen_by(caller).select_related("claimant", "store")
    if is_open is not None:
        found = found.filter(ended_at__isnull=is_open)
    if after is not None:
        found = found.filter(pk__lt=after)
    return list(found.order_by("-pk")[:limit])


def lines_of(disputes: Collection[Dispute]) -> dict[int, OrderLine]:
    """The lines that a page of disputes is about, with order and product."""
    keys = {(dispute.line_id, dispute.booked_on) for dispute in disputes}
    rows = OrderLine.objects.filter(pk__in=[line for line, _day in keys], booked_on__in={day for _line, day in keys})
    return {line.pk: line for line in rows.select_related("order", "product")}


def may_dispute(*, caller: Caller, line_id: int) -> bool:
    """Whether the line is near enough to her: she was considered, it was sold in her store, or she has touched the buyer."""
    if queries.explanation(line_id=line_id, guide_code=caller.code, managed_store_ids=caller.managed_store_ids):
        return True
    line = OrderLine.objects.filter(pk=line_id).first()
    if line is None:
        return False
    if line.store_id in caller.store_ids:
        return True
    if line.member_id is None:
        return False
    if Binding.objects.filter(member_id=line.member_id, guide_id=caller.guide_id).exists():
        return True
    return any(touch.guide == caller.code for touch in _touches(line))


def file_of(dispute: Dispute) -> File:
    decision = Decision.objects.select_related("rule").get(pk=dispute.decision_id, booked_on=dispute.booked_on)
    line = OrderLine.objects.select_related("order", "product", "store", "member").get(
        pk=dispute.line_id, booked_on=dispute.booked_on
    )
    live = Decision.objects.filter(line_id=line.pk, booked_on=line.booked_on).exclude(state=Decision.State.SUPERSEDED)
    named = Guide.objects.filter(code=dispute.against_code).values_list("name", flat=True).first()
    return File(
        dispute=dispute,
        line=line,
        sentences=_sentences(decision),
        against=named or dispute.against_code,
        evidence=_evidence(dispute),
        touches=_touches(line),
        bindings=_bindings(line),
        live=live.first(),
    )


def _bindings(line: OrderLine) -> list[Binding]:
    if line.member_id is None:
        return []
    found = Binding.objects.filter(member_id=line.member_id).select_related("guide", "store")
    return list(found.order_by("-started_at")[:TOUCHES_SHOWN])


def _sentences(decision: Decision) -> list[str]:
    found = queries.decision_of(decision)
    codes = {candidate.beneficiary for candidate in found.candidates} | {share.beneficiary for share in found.shares}
    names = dict(Guide.objects.filter(code__in=codes).values_list("code", "name"))
    return rules.explain(found, rule_name=str(decision.rule), names=names)


def _evidence(dispute: Dispute) -> list[Any]:
    """With ``has_picture`` instead of the picture."""
    has_picture = ExpressionWrapper(Q(picture_sealed__isnull=False), output_field=BooleanField())
    rows = dispute.evidence.select_related("given_by").defer("picture_sealed").annotate(has_picture=has_picture)
    return list(rows.order_by("pk"))


def _touches(line: OrderLine) -> list[touches.Touch]:
    if line.member_id is None:
        return []
    found = touches.of_members([line.member_id], since=line.created_at - TOUCH_DAYS, until=line.created_at)
    return found.get(line.member_id, [])[-TOUCHES_SHOWN:]
