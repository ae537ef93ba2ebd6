"""Decisions (归属判定): every line that waits is decided once and posted; what changes later only adds or reverses.

1. A line waits in ``LineToDecide`` from its arrival, a new version or a refund on. Whoever claims it there (SKIP LOCKED)
   decides and posts it in the same transaction; a kill leaves it waiting.
2. A line without a live decision is decided as of its payment and its commission accrued on its full base. Then its
   refunds are applied, one by one, in the order of their time and number.
3. A line that is decided keeps its winner. A new version moves the commission by the difference.
4. A new decision, linked to the one it supersedes, is taken only when a risk mark was cleared, a line became or ceased to
   be eligible, two people named another guide, or the buyer of a provisional line was recognised within the late-link
   window. What was posted for the old one is reversed first.
5. When it turns out that another store hands the order over, the new decision keeps the winner and the commission as they
   stand; only the fulfilment fee is posted.
6. A held or ineligible line has a decision and nothing in the ledger.
"""

from __future__ import annotations

import datetime as dt
import gc
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction

from attribution import accruals, commissions, evidence, figures, ledger, postings, rulebook, rules
from attribution.models import Decision, Hold
from attribution.rules.digests import canonical
from scrm import db
from scrm.models import Store

CHUNK = 10_000  # lines in one transaction: about a second


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


def decide_open(
    *, progress: Callable[[int], None] | None = None, workers: int = 1, chunk: int = CHUNK
) -> dict[str, Any]:
    """Decide and post every waiting line; returns when none is left that nobody else holds.

    ``progress(done)`` is called after each transaction. More ``workers`` are processes of their own that claim beside
    this one; they end with the queue.
    """
    others = [_spawn(chunk) for _ in range(workers - 1)]
    try:
        total = _drain(chunk, progress)
    finally:
        failed = [process.wait() for process in others if process.wait() != 0]
    if failed:
        total.add(_drain(chunk, progress))  # what a dead worker had claimed waits again
    return total.summary()


def decide_lines(*, line_ids: Iterable[int]) -> dict[str, Any]:
    """Decide and post these lines if they wait; the path of a webhook."""
    book = rulebook.load()
    outcome = Outcome()
    with transaction.atomic():
        outcome.add(_settle(_claim_these(sorted(set(line_ids))), book))
    return outcome.summary()


@transaction.atomic(durable=True)
def finalise(*, now: dt.datetime) -> int:
    """Provisional decisions whose late-link window has closed become final; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE attribution_decision d SET state = 'LIVE' FROM attribution_ruleversion r"
            " WHERE r.id = d.rule_id AND d.state = 'PROVISIONAL' AND d.as_of <= %s - make_interval(days => r.late_link_days)",
            [now],
        )
        return cursor.rowcount


def _drain(chunk: int, progress: Callable[[int], None] | None) -> Outcome:
    book = rulebook.load()
    total = Outcome()
    while True:
        with transaction.atomic(durable=True), _no_collector():
            keys = _claim(chunk)
            total.add(_settle(keys, book))
        if not keys:
            return total
        if progress:
            progress(total.lines)


@contextmanager
def _no_collector() -> Iterator[None]:
    """A batch makes a million objects and no cycles: the cycle collector would cost a quarter of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _spawn(chunk: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "attribute", "--quiet", "--chunk", str(chunk)]
    return subprocess.Popen(command, env=os.environ.copy(), stdout=subprocess.DEVNULL)


CLAIM = """
    DELETE FROM members_linetodecide WHERE line_id = ANY(ARRAY(
        SELECT line_id FROM members_linetodecide {where} ORDER BY line_id {limit} FOR UPDATE SKIP LOCKED
    )) RETURNING line_id, booked_on
"""


def _claim(count: int) -> list[evidence.LineKey]:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM.format(where="", limit="LIMIT %s"), [count])
        return sorted(cursor.fetchall())


def _claim_these(line_ids: Sequence[int]) -> list[evidence.LineKey]:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM.format(where="WHERE line_id = ANY(%s)", limit=""), [list(line_ids)])
        return sorted(cursor.fetchall())


def _settle(keys: Sequence[evidence.LineKey], book: rulebook.Book) -> Outcome:
    """Decide and post the claimed lines, in the caller's transaction."""
    outcome = Outcome(lines=len(keys))
    if not keys:
        return outcome
    cases = evidence.load(keys, book)
    work = _Work(cases, book, outcome)
    for case in cases:
        work.settle(case)
    work.write(cases)
    return outcome


class _Placed(NamedTuple):
    """A pot with the sequence of the decision it was accrued for: a later decision may take it over as it stands."""

    pot: commissions.Pot
    since: int


@dataclass(frozen=True, slots=True)
class _Standing:
    """The live decision of a line."""

    id: int
    sequence: int
    state: str
    pots: tuple[_Placed, ...]
    rate_bp: int
    candidates: tuple[rules.Candidate, ...]
    version: rulebook.Version

    @property
    def override(self) -> str | None:
        """The id of the override it knew."""
        first = self.candidates[0] if self.candidates else None
        return first.ref if first is not None and first.type == "C0" else None


class _Work:
    """One batch: what stands is read once, what changes is collected and written once."""

    def __init__(self, cases: Sequence[evidence.Case], book: rulebook.Book, outcome: Outcome) -> None:
        ids = [case.line.id for case in cases]
        self._book = {version.id: version for version in book.versions}
        self._outcome = outcome
        self._standing = _standing(cases, self._book)
        self._holds = _holds(list(self._standing)) if self._standing else {}
        self._refunds = _open_refunds(ids)
        self._decision_ids = ledger.Ids(Decision, len(ids) - len(self._standing))
        self._hold_ids = ledger.Ids(Hold, len(ids) - len(self._standing))
        self._store_ids = dict(Store.objects.values_list("code", "id"))
        self._decisions: list[tuple[Any, ...]] = []
        self._superseded: list[int] = []
        self._postings: list[ledger.Posting] = []
        self._posted_refunds: list[int] = []
        self._completed: list[tuple[int, dt.datetime]] = []

    def settle(self, case: evidence.Case) -> None:
        standing = self._standing.get(case.line.id)
        if standing is None:
            self._decide(case, sequence=1)
        elif _needs_new_decision(case, standing):
            self._supersede(case, standing)
        elif standing.state in POSTED and _has_other_fees(case, standing):
            self._refit(case, standing)
        elif standing.state in POSTED:
            self._update(case, standing.id, standing.pots, standing.version.rule_for(case.facts).vest_days)

    def _decide(
        self, case: evidence.Case, *, sequence: int, supersedes: _Standing | None = None, reason: str = ""
    ) -> None:
        found = rules.decide(case.facts, case.evidence, case.rule)
        decision_id = self._decision_ids.take()
        placed = tuple(_Placed(pot, sequence) for pot in found.pots)
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
        self, case: evidence.Case, placed: _Placed, decision_id: int, vest_days: int, corrects: str | None = None
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

    def _supersede(self, case: evidence.Case, standing: _Standing) -> None:
        self._superseded.append(standing.id)
        self._outcome.superseded += 1
        if standing.state in POSTED:
            for placed in standing.pots:
                self._withdraw(case, standing, placed)
        if standing.state == rules.State.PROVISIONAL:
            linked = case.evidence._replace(linked_at=self._now())
            case = case._replace(evidence=linked)
        self._decide(case, sequence=standing.sequence + 1, supersedes=standing, reason=_why(case, standing))

    def _withdraw(self, case: evidence.Case, standing: _Standing, placed: _Placed) -> None:
        account = self._account(case, placed, standing.id, 0)
        account.holds = self._holds.get(case.line.id, [])
        account.withdraw()
        self._postings += account.postings

    def _refit(self, case: evidence.Case, standing: _Standing) -> None:
        """Another store hands the order over than was known: the fees change, the winner and the commission stay."""
        self._superseded.append(standing.id)
        self._outcome.superseded += 1
        rule = standing.version.rule_for(case.facts)
        main, decision_id, sequence = standing.pots[0], self._decision_ids.take(), standing.sequence + 1
        found = rules.seal(
            case.facts, case.evidence, rule, rules.State(standing.state), standing.candidates, main.pot.shares,
            standing.rate_bp, "",
        )  # fmt: skip
        stays = {_terms(placed.pot): placed.since for placed in standing.pots}
        placed = tuple(_Placed(pot, stays.get(_terms(pot), sequence)) for pot in found.pots)
        self._decisions.append(
            self._row(case, found, decision_id, sequence, standing, "FULFILMENT_KNOWN", placed, standing.version.id)
        )
        kept = {_terms(pot.pot) for pot in placed}
        for pot in standing.pots:
            if _terms(pot.pot) not in kept:
                self._withdraw(case, standing, pot)
        for pot in placed:
            if pot.since == sequence:
                self._open(case, pot, decision_id, rule.vest_days)
        self._update(case, decision_id, [pot for pot in placed if pot.since != sequence], rule.vest_days)

    def _update(self, case: evidence.Case, decision_id: int, pots: Sequence[_Placed], vest_days: int) -> None:
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
        self, account: accruals.LineAccount, base_fen: int, refunded_fen: int, refunds: Sequence[_Refund]
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

    def _account(self, case: evidence.Case, placed: _Placed, decision_id: int, vest_days: int) -> accruals.LineAccount:
        return accruals.LineAccount(
            case.line, decision_id, placed.since, placed.pot, vest_days, self._hold_ids, self._store_ids
        )

    def _row(
        self,
        case: evidence.Case,
        found: rules.Decision,
        decision_id: int,
        sequence: int,
        supersedes: _Standing | None,
        reason: str,
        placed: tuple[_Placed, ...],
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
            supersedes.id if supersedes else None, reason or found.reason, self._now(),
        )  # fmt: skip

    def _now(self) -> dt.datetime:
        if not hasattr(self, "_clock"):
            self._clock = db.clock()
        return self._clock

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
            ledger.post(batch=self._postings)
            self._outcome.posted += len(self._postings)
            if self._posted_refunds:
                cursor.execute("UPDATE members_refund SET is_posted = true WHERE id = ANY(%s)", [self._posted_refunds])
            if self._completed:
                ledger.complete(dict(self._completed))
        figures.mark_lines(paid_at=[case.line.paid_at for case in cases], decided_before=list(self._standing))


DECISION_COLUMNS = (
    "id", "line_id", "booked_on", "sequence", "rule_id", "as_of", "state", "member_id", "winner_code", "mode", "store_id",
    "candidates", "shares", "line_version_at", "base_fen", "rate_bp", "pot_fen", "pots", "digest", "supersedes_id", "reason",
    "decided_at",
)  # fmt: skip
POSTED = (rules.State.LIVE, rules.State.PROVISIONAL)


def _stored_pots(placed: tuple[_Placed, ...], sequence: int) -> bytes | None:
    """None for what the decision's own columns say: the commission alone, of the brand's budget, without a cap."""
    if not placed:
        return None
    main, since = placed[0]
    is_plain = main.budget == postings.BRAND and main.cap_fen is None and main.basis is commissions.Base.NET
    if is_plain and len(placed) == 1 and since == sequence:
        return None
    return canonical([[*rules.pot_row(pot), since] for pot, since in placed])


def _terms(pot: commissions.Pot) -> tuple[Any, ...]:
    """What has to be the same for a pot to stay as it stands; its base and amount follow the line."""
    return pot.kind, pot.budget, pot.rate_bp, pot.cap_fen, pot.shares, pot.keeps_on_refund, pot.basis


def _has_other_fees(case: evidence.Case, standing: _Standing) -> bool:
    if case.facts.fulfil_store is None and len(standing.pots) == 1:
        return False
    fees = rules.fees(case.facts, case.evidence, standing.version.rule_for(case.facts))
    return [_terms(fee) for fee in fees] != [_terms(placed.pot) for placed in standing.pots[1:]]


def _needs_new_decision(case: evidence.Case, standing: _Standing) -> bool:
    override = case.evidence.override
    if override is not None and str(override.id) != standing.override:
        return True
    is_ineligible = rules.ineligibility(case.facts) is not None
    if is_ineligible or standing.state == rules.State.INELIGIBLE:
        return is_ineligible != (standing.state == rules.State.INELIGIBLE)
    if bool(case.line.risk_mark) != (standing.state == rules.State.HELD):
        return True
    return standing.state == rules.State.PROVISIONAL and case.line.member_id is not None


def _why(case: evidence.Case, standing: _Standing) -> str:
    override = case.evidence.override
    if override is not None and str(override.id) != standing.override:
        return "OVERRIDDEN"
    flag = rules.ineligibility(case.facts)
    if flag is not None:
        return str(flag)
    if standing.state == rules.State.INELIGIBLE:
        return "ELIGIBLE_AGAIN"
    if standing.state == rules.State.PROVISIONAL and not case.line.risk_mark:
        return "BUYER_RECOGNISED"
    return "RISK_MARKED" if case.line.risk_mark else "RISK_CLEARED"


class _Refund(NamedTuple):
    id: int
    refund_no: str
    version_at: dt.datetime
    refunded_at: dt.datetime
    amount_fen: int


OPEN_REFUNDS = """
    SELECT line_id, id, refund_no, version_at, refunded_at, amount_fen FROM members_refund
    WHERE line_id = ANY(%s::bigint[]) AND status = 'APPLIED' AND NOT is_posted ORDER BY line_id, refunded_at, refund_no
"""


def _open_refunds(line_ids: Sequence[int]) -> dict[int, list[_Refund]]:
    """Applied refunds that the ledger does not know yet, in the order in which they count."""
    found: dict[int, list[_Refund]] = defaultdict(list)
    for line_id, *refund in db.read(OPEN_REFUNDS, [db.array(line_ids)]):
        found[line_id].append(_Refund(*refund))
    return found


STANDING = """
    SELECT d.line_id, d.id, d.sequence, d.state, d.shares, d.pots, d.rate_bp, d.base_fen, d.pot_fen, d.candidates, d.rule_id
    FROM unnest(%s::bigint[], %s::date[]) k(id, booked_on)
    JOIN attribution_decision d ON d.line_id = k.id AND d.booked_on = k.booked_on AND d.state <> 'SUPERSEDED'
"""


def _standing(cases: Sequence[evidence.Case], book: dict[int, rulebook.Version]) -> dict[int, _Standing]:
    rows = db.read(
        STANDING, [db.array(case.line.id for case in cases), db.array(case.line.booked_on for case in cases)]
    )
    found = {}
    for line_id, decision_id, sequence, state, shares, pots, rate_bp, base_fen, pot_fen, candidates, rule_id in rows:
        if pots is None:
            parts = _shares(shares)
            main = commissions.Pot(commissions.PotKind.MAIN, postings.BRAND, base_fen, rate_bp, None, pot_fen, parts)
            placed: tuple[_Placed, ...] = (_Placed(main, sequence),) if parts else ()
        else:
            placed = tuple(_Placed(rules.pot_of(row[:-1]), row[-1]) for row in _json(pots))
        known = tuple(rules.Candidate(*candidate) for candidate in _json(candidates))
        found[line_id] = _Standing(decision_id, sequence, state, placed, rate_bp, known, book[rule_id])
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
