"""One batch of lines: what stands is read once, what changes is collected and written once."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from attribution import accruals, commissions, evidence, figures, ledger, postings, rulebook, rules
from attribution.decisions import standing as reading
from attribution.decisions.standing import POSTED, Placed, Refund, Standing
from attribution.models import Decision, Hold
from attribution.rules.digests import canonical
from scrm import db

DECISION_COLUMNS = (
    "id", "line_id", "booked_on", "sequence", "rule_id", "as_of", "state", "member_id", "winner_code", "mode", "store_id",
    "candidates", "shares", "line_version_at", "base_fen", "rate_bp", "pot_fen", "pots", "digest", "supersedes_id", "reason",
    "decided_at",
)  # fmt: skip


@dataclass(slots=True)
class Outcome:
    """What a run did; counts of lines and of transactions posted."""

    lines: int = 0
    decided: int = 0
    superseded: int = 0
    posted: int = 0
    states: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, other: Outcome) -> None:
        self.lines += other.lines
        self.decided += other.decided
        self.superseded += other.superseded
        self.posted += other.posted
        for state, count in other.states.items():
            self.states[state] += count

    def summary(self) -> dict[str, Any]:
        return {
            "lines": self.lines, "decided": self.decided, "superseded": self.superseded, "posted": self.posted,
            "states": dict(sorted(self.states.items())),
        }  # fmt: skip


class Work:
    """One batch: what stands is read once, what changes is collected and written once."""

    def __init__(self, cases: Sequence[evidence.Case], book: rulebook.Book, outcome: Outcome) -> None:
        self._book = {version.id: version for version in book.versions}
        self._outcome = outcome
        self._standing, self._refunds, self._holds, self._now = reading.read(cases, self._book)
        self._decision_ids, self._hold_ids = ledger.draw_ids(Decision, Hold, count=len(cases) - len(self._standing))
        self._store_ids = ledger.StoreIds(case.stores for case in cases)
        self._decisions: list[tuple[Any, ...]] = []
        self._superseded: list[int] = []
        self._postings: list[ledger.Posting] = []
        self._posted_refunds: list[int] = []
        self._completed: list[tuple[int, dt.datetime]] = []

    def settle(self, case: evidence.Case) -> None:
        standing = self._standing.get(case.line.id)
        if standing is None:
            self._decide(case, sequence=1)
        elif reading.needs_new_decision(case, standing):
            self._supersede(case, standing)
        elif standing.state in POSTED and reading.has_other_fees(case, standing):
            self._refit(case, standing)
        elif standing.state in POSTED:
            self._update(case, standing.id, standing.pots, standing.version.rule_for(case.facts).vest_days)

    def _decide(
        self, case: evidence.Case, *, sequence: int, supersedes: Standing | None = None, reason: str = ""
    ) -> None:
        found = rules.decide(case.facts, case.evidence, case.rule)
        decision_id = self._decision_ids.take()
        placed = tuple(Placed(pot, sequence) for pot in found.pots)
        self._decisions.append(self._row(case, found, decision_id, sequence, supersedes, reason, placed))
        self._outcome.decided += 1
        self._outcome.states[found.state] += 1
        if found.state not in POSTED:
            return
        corrects = None
        if supersedes is not None and supersedes.pots and supersedes.state in POSTED:
            corrects = self._account(case, supersedes.pots[0], supersedes.id, 0).accrual_key
        for pot in placed:
            self._open(case, pot, decision_id, case.rule.vest_days, corrects)
        self._mark_refunds(case)

    def _open(
        self, case: evidence.Case, placed: Placed, decision_id: int, vest_days: int, corrects: str | None = None
    ) -> None:
        """The first accrual of a pot, and the refunds that came before it was known."""
        line, base_fen = case.line, placed.pot.base_fen
        account = self._account(case, placed, decision_id, vest_days)
        account.corrects = corrects
        if placed.pot.keeps_on_refund:
            account.accrue(base_fen)
            self._postings += account.postings
            return
        refunds = self._refunds.get(line.id, ())
        already = line.refunded_fen - sum(refund.amount_fen for refund in refunds)
        account.accrue(commissions.net_base(base_fen, already))
        self._refund(account, base_fen, already, refunds)

    def _supersede(self, case: evidence.Case, standing: Standing) -> None:
        self._superseded.append(standing.id)
        self._outcome.superseded += 1
        if standing.state in POSTED:
            for placed in standing.pots:
                self._withdraw(case, standing, placed)
        reason = reading.why(case, standing)
        if standing.state == rules.State.PROVISIONAL or reason == reading.RECOGNISED:
            linked = case.evidence._replace(linked_at=self._now)
            case = case._replace(evidence=linked)
        self._decide(case, sequence=standing.sequence + 1, supersedes=standing, reason=reason)

    def _withdraw(self, case: evidence.Case, standing: Standing, placed: Placed) -> None:
        account = self._account(case, placed, standing.id, 0)
        account.holds = self._holds.get(case.line.id, [])
        account.withdraw()
        self._postings += account.postings

    def _refit(self, case: evidence.Case, standing: Standing) -> None:
        """Another store hands the order over than was known: the fees change, the winner and the commission stay."""
        self._superseded.append(standing.id)
        self._outcome.superseded += 1
        rule = standing.version.rule_for(case.facts)
        main, decision_id, sequence = standing.pots[0], self._decision_ids.take(), standing.sequence + 1
        found = rules.seal(
            case.facts, case.evidence, rule, rules.State(standing.state), standing.candidates, main.pot.shares,
            standing.rate_bp, "",
        )  # fmt: skip
        stays = {reading.terms(placed.pot): placed.since for placed in standing.pots}
        placed = tuple(Placed(pot, stays.get(reading.terms(pot), sequence)) for pot in found.pots)
        self._decisions.append(
            self._row(case, found, decision_id, sequence, standing, reading.REFITTED, placed, standing.version.id)
        )
        kept = {reading.terms(pot.pot) for pot in placed}
        for pot in standing.pots:
            if reading.terms(pot.pot) not in kept:
                self._withdraw(case, standing, pot)
        for pot in placed:
            if pot.since == sequence:
                self._open(case, pot, decision_id, rule.vest_days)
        self._update(case, decision_id, [pot for pot in placed if pot.since != sequence], rule.vest_days)

    def _update(self, case: evidence.Case, decision_id: int, pots: Sequence[Placed], vest_days: int) -> None:
        """A new version or refunds of a line whose pots stand."""
        line = case.line
        refunds = self._refunds.get(line.id, ())
        already = line.refunded_fen - sum(refund.amount_fen for refund in refunds)
        for placed in pots:
            account = self._account(case, placed, decision_id, vest_days)
            account.holds = self._holds.get(line.id, [])
            base_fen = commissions.line_base(line.paid_fen, line.points_fen, placed.pot.basis)
            if placed.pot.keeps_on_refund:
                account.revise(base_fen)
                self._postings += account.postings
            else:
                account.revise(commissions.net_base(base_fen, already))
                self._refund(account, base_fen, already, refunds)
        self._mark_refunds(case)
        if line.completed_at:
            self._completed.append((line.id, line.completed_at + dt.timedelta(days=vest_days)))

    def _refund(
        self, account: accruals.LineAccount, base_fen: int, refunded_fen: int, refunds: Sequence[Refund]
    ) -> None:
        for refund in refunds:
            refunded_fen += refund.amount_fen
            account.refund(
                commissions.net_base(base_fen, refunded_fen),
                refund_id=refund.id,
                refund_no=refund.refund_no,
                version_at=refund.version_at,
                refunded_at=refund.refunded_at,
            )
        self._postings += account.postings

    def _mark_refunds(self, case: evidence.Case) -> None:
        self._posted_refunds += [refund.id for refund in self._refunds.get(case.line.id, ())]

    def _account(self, case: evidence.Case, placed: Placed, decision_id: int, vest_days: int) -> accruals.LineAccount:
        return accruals.LineAccount(
            case.line, decision_id, placed.since, placed.pot, vest_days, self._hold_ids, self._store_ids
        )

    def _row(
        self,
        case: evidence.Case,
        found: rules.Decision,
        decision_id: int,
        sequence: int,
        supersedes: Standing | None,
        reason: str,
        placed: tuple[Placed, ...],
        rule_id: int | None = None,
    ) -> tuple[Any, ...]:
        winner = found.shares[0] if found.shares else None
        store_id = self._store_ids[winner.store] if winner and winner.store else None
        shares = [[s.role, s.beneficiary, s.store, s.weight] for s in found.shares]
        return (
            decision_id, case.line.id, case.line.booked_on, sequence, rule_id or case.version.id, found.as_of, found.state,
            case.line.member_id, winner.beneficiary if winner else "",
            "" if found.mode == case.version.layers.brand_mode else found.mode, store_id, canonical(found.candidates), canonical(shares),
            case.line.version_at, found.base_fen, found.rate_bp, found.pot_fen, _stored_pots(placed, sequence), found.digest,
            supersedes.id if supersedes else None, reason or found.reason, self._now,
        )  # fmt: skip

    def write(self, cases: Sequence[evidence.Case]) -> None:
        with connection.cursor() as cursor:
            if self._superseded:
                cursor.execute(
                    "UPDATE attribution_decision SET state = 'SUPERSEDED' WHERE id = ANY(%s)", [self._superseded]
                )
            if self._decisions:
                days = [case.line.booked_on for case in cases]
                db.ensure_partitions(Decision, min(days), max(days))
                db.copy_rows(Decision._meta.db_table, DECISION_COLUMNS, self._decisions)
            ledger.post(batch=self._postings, stores=self._store_ids)
            self._outcome.posted += len(self._postings)
            if self._posted_refunds:
                cursor.execute("UPDATE members_refund SET is_posted = true WHERE id = ANY(%s)", [self._posted_refunds])
            if self._completed:
                ledger.complete(dict(self._completed))
        figures.mark_lines(paid_at=[case.line.paid_at for case in cases], decided_before=list(self._standing))


def _stored_pots(placed: tuple[Placed, ...], sequence: int) -> bytes | None:
    """None for what the decision's own columns say: the commission alone, of the brand's budget, without a cap."""
    if not placed:
        return None
    main, since = placed[0]
    is_plain = main.budget == postings.BRAND and main.cap_fen is None and main.basis is commissions.Base.NET
    if is_plain and len(placed) == 1 and since == sequence:
        return None
    return canonical([[*rules.pot_row(pot), since] for pot, since in placed])
