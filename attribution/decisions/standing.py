"""What stands: the live decision of a line, its holds and the refunds nobody has posted, and what makes it give way."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from attribution import accruals, commissions, evidence, postings, rulebook, rules
from attribution.models import Hold
from scrm import db

RECOGNISED, REFITTED = "BUYER_RECOGNISED", "FULFILMENT_KNOWN"  # the reasons that go on from the decision before
POSTED = (rules.State.LIVE, rules.State.PROVISIONAL)


class Placed(NamedTuple):
    """A pot with the sequence of the decision it was accrued for: a later decision may take it over as it stands."""

    pot: commissions.Pot
    since: int


@dataclass(frozen=True, slots=True)
class Standing:
    """The live decision of a line."""

    id: int
    sequence: int
    state: str
    pots: tuple[Placed, ...]
    rate_bp: int
    candidates: tuple[rules.Candidate, ...]
    version: rulebook.Version
    is_of_nobody: bool  # taken without a member

    @property
    def override(self) -> str | None:
        """The id of the override it knew."""
        first = self.candidates[0] if self.candidates else None
        return first.ref if first is not None and first.type == "C0" else None


def terms(pot: commissions.Pot) -> tuple[Any, ...]:
    """What has to be the same for a pot to stay as it stands; its base and amount follow the line."""
    return pot.kind, pot.budget, pot.rate_bp, pot.cap_fen, pot.shares, pot.keeps_on_refund, pot.basis


def has_other_fees(case: evidence.Case, standing: Standing) -> bool:
    if case.facts.fulfil_store is None and len(standing.pots) == 1:
        return False
    fees = rules.fees(case.facts, case.evidence, standing.version.rule_for(case.facts))
    return [terms(fee) for fee in fees] != [terms(placed.pot) for placed in standing.pots[1:]]


def needs_new_decision(case: evidence.Case, standing: Standing) -> bool:
    override = case.evidence.override
    if override is not None and str(override.id) != standing.override:
        return True
    is_ineligible = rules.ineligibility(case.facts) is not None
    if is_ineligible or standing.state == rules.State.INELIGIBLE:
        return is_ineligible != (standing.state == rules.State.INELIGIBLE)
    if bool(case.line.risk_mark) != (standing.state == rules.State.HELD):
        return True
    return is_reopened_by_buyer(case, standing)


def is_reopened_by_buyer(case: evidence.Case, standing: Standing) -> bool:
    """``pots[0]`` is the commission; fees follow the store, not the buyer."""
    shares = standing.pots[0].pot.shares if standing.pots else ()
    return standing.is_of_nobody and rules.is_reopened_by_buyer(
        standing.state, shares, case.facts, case.evidence, case.rule
    )


def why(case: evidence.Case, standing: Standing) -> str:
    override = case.evidence.override
    if override is not None and str(override.id) != standing.override:
        return "OVERRIDDEN"
    flag = rules.ineligibility(case.facts)
    if flag is not None:
        return str(flag)
    if standing.state == rules.State.INELIGIBLE:
        return "ELIGIBLE_AGAIN"
    if standing.state in (rules.State.PROVISIONAL, rules.State.LIVE) and not case.line.risk_mark:
        return RECOGNISED
    return "RISK_MARKED" if case.line.risk_mark else "RISK_CLEARED"


class Refund(NamedTuple):
    id: int
    refund_no: str
    version_at: dt.datetime
    refunded_at: dt.datetime
    amount_fen: int


OPEN_REFUNDS = """
    SELECT line_id, id, refund_no, version_at, refunded_at, amount_fen FROM members_refund
    WHERE line_id = ANY(%s::bigint[]) AND status = 'APPLIED' AND NOT is_posted ORDER BY line_id, refunded_at, refund_no
"""


STANDING = """
    SELECT d.line_id, d.id, d.sequence, d.state, d.shares, d.pots, d.rate_bp, d.base_fen, d.pot_fen, d.candidates, d.rule_id,
           d.member_id IS NULL
    FROM unnest(%s::bigint[], %s::date[]) k(id, booked_on)
    JOIN attribution_decision d ON d.line_id = k.id AND d.booked_on = k.booked_on AND d.state <> 'SUPERSEDED'
         AND d.booked_on BETWEEN %s AND %s
"""


class Before(NamedTuple):
    """What was there before a batch. ``refunds``: applied ones that the ledger does not know, in the order in which they count."""

    standing: dict[int, Standing]
    refunds: dict[int, list[Refund]]
    holds: dict[int, list[accruals.HoldState]]
    at: dt.datetime  # the database's clock


def read(cases: Sequence[evidence.Case], book: dict[int, rulebook.Version]) -> Before:
    ids, days = db.array(case.line.id for case in cases), [case.line.booked_on for case in cases]
    decisions, open_refunds, [(at,)] = db.read_together(
        (STANDING, [ids, db.array(days), min(days), max(days)]), (OPEN_REFUNDS, [ids]), ("SELECT clock_timestamp()", [])
    )
    standing = _standing(decisions, book)
    refunds: dict[int, list[Refund]] = defaultdict(list)
    for line_id, *refund in open_refunds:
        refunds[line_id].append(Refund(*refund))
    return Before(standing, refunds, _holds(list(standing)) if standing else {}, at)


def _standing(rows: Sequence[tuple[Any, ...]], book: dict[int, rulebook.Version]) -> dict[int, Standing]:
    found = {}
    for (
        line_id,
        decision_id,
        sequence,
        state,
        shares,
        pots,
        rate_bp,
        base_fen,
        pot_fen,
        candidates,
        rule_id,
        is_of_nobody,
    ) in rows:
        if pots is None:
            parts = _shares(shares)
            main = commissions.Pot(commissions.PotKind.MAIN, postings.BRAND, base_fen, rate_bp, None, pot_fen, parts)
            placed: tuple[Placed, ...] = (Placed(main, sequence),) if parts else ()
        else:
            placed = tuple(Placed(rules.pot_of(row[:-1]), row[-1]) for row in _json(pots))
        known = tuple(rules.Candidate(*candidate) for candidate in _json(candidates))
        found[line_id] = Standing(decision_id, sequence, state, placed, rate_bp, known, book[rule_id], is_of_nobody)
    return found


def _json(stored: Any) -> Any:
    return json.loads(stored) if isinstance(stored, str) else stored


def _shares(stored: Any) -> tuple[commissions.Share, ...]:
    rows = _json(stored)
    return tuple(commissions.Share(commissions.Role(role), who, store, weight) for role, who, store, weight in rows)


def _holds(line_ids: Sequence[int]) -> dict[int, list[accruals.HoldState]]:
    rows = Hold.objects.filter(line_id__in=line_ids).select_related("beneficiary").order_by("line_id", "id")
    found: dict[int, list[accruals.HoldState]] = defaultdict(list)
    for row in rows:
        state = accruals.HoldState(
            row.pk,
            row.role,
            row.beneficiary.code,
            row.amount_fen,
            row.vested_fen,
            row.reversed_fen,
            row.clawed_fen,
        )
        assert row.line_id is not None  # they were looked up by it
        found[row.line_id].append(state)
    return found
