"""Replay (重算): lines under the rule that is asked about, beside what stands for them now; posts nothing.

The decision is ``rules.decide``, the evidence ``evidence.load``, the money ``commissions.reprice``: those of the posting.
What is kept of a line is added to a tally at once, so that memory grows with the beneficiaries and not with the lines.
"""

from __future__ import annotations

import datetime as dt
import gc
import heapq
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from django.db import connection

from attribution import commissions, evidence, postings, rulebook, rules
from attribution.commissions import Base, Pot, PotKind, Role, Share
from attribution.models import Beneficiary
from attribution.rules.digests import EPOCH
from members.models import OrderLine
from scrm import db
from scrm.models import Store

CHUNK = 10_000
MOST = 100  # lines that are kept one by one
POSTED = (rules.State.LIVE, rules.State.PROVISIONAL)

Key = tuple[str, str | None, str]  # beneficiary, store, channel
Part = dict[tuple[str, str | None], list[int]]  # (beneficiary, store) → [credit, commission] of one line
Spent = dict[str, int]  # budget → commission of one line
# places in a row of a tally
CREDIT_NOW, CREDIT_THEN, FEN_NOW, FEN_THEN, LINES_NOW, LINES_THEN = range(6)


class Move(NamedTuple):
    """How much a line changes hands; the greatest first, then the oldest line."""

    fen: int
    credit_fen: int
    line_id: int
    booked_on: dt.date

    @property
    def rank(self) -> tuple[int, int, int]:
        return (self.fen, self.credit_fen, -self.line_id)


@dataclass(slots=True)
class Tally:
    """What many lines come to. Adding two in any order gives the same."""

    rows: dict[Key, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0] * 6))
    budgets: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))  # [now, then]
    line_count: int = 0
    undecided_count: int = 0
    changed_count: int = 0
    most: list[Move] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        for key, values in other.rows.items():
            row = self.rows[key]
            for place, value in enumerate(values):
                row[place] += value
        for budget, (now, then) in other.budgets.items():
            self.budgets[budget][0] += now
            self.budgets[budget][1] += then
        self.line_count += other.line_count
        self.undecided_count += other.undecided_count
        self.changed_count += other.changed_count
        self.keep(other.most)

    def keep(self, moves: Sequence[Move]) -> None:
        self.most = heapq.nlargest(MOST, [*self.most, *moves], key=lambda move: move.rank)

    def dump(self) -> bytes:
        content = {
            "rows": [[*key, *values] for key, values in self.rows.items()],
            "budgets": self.budgets,
            "counts": [self.line_count, self.undecided_count, self.changed_count],
            "most": [[move.fen, move.credit_fen, move.line_id, move.booked_on.isoformat()] for move in self.most],
        }
        return zlib.compress(orjson.dumps(content), 1)

    @classmethod
    def load(cls, dumped: bytes) -> Tally:
        content = orjson.loads(zlib.decompress(dumped))
        tally = cls()
        tally.line_count, tally.undecided_count, tally.changed_count = content["counts"]
        for who, store, channel, *values in content["rows"]:
            tally.rows[who, store, channel] = values
        tally.budgets.update(content["budgets"])
        tally.most = [Move(fen, credit, line, dt.date.fromisoformat(day)) for fen, credit, line, day in content["most"]]
        return tally


class Standing(NamedTuple):
    """The live decision of a line. ``pots`` None: the commission alone, of the brand's budget, without a cap."""

    id: int
    state: str
    shares: tuple[Share, ...]
    credits: tuple[rules.Credit, ...]
    rate_bp: int
    pots: tuple[Pot, ...] | None
    member_id: int | None
    sequence: int

    @property
    def terms(self) -> list[tuple[Any, ...]]:
        if self.pots is not None:
            return [terms(pot) for pot in self.pots]
        return [(PotKind.MAIN, postings.BRAND, self.rate_bp, None, self.shares, False, Base.NET)]

    def budget(self, role: str) -> str:
        """Which budget pays a share in that role."""
        kind = PotKind.FULFIL if role == Role.FULFIL else PotKind.MAIN
        return next((pot.budget for pot in self.pots or () if pot.kind == kind), postings.BRAND)


class Side(NamedTuple):
    """What one line comes to on one side."""

    parts: Part
    spent: Spent


NOTHING = Side({}, {})


class Sides(NamedTuple):
    """One line now and then. A decided line has ``standing``, one that waits the decision of the rule in force, if any."""

    case: evidence.Case
    standing: Standing | None
    undecided: rules.Decision | None
    found: rules.Decision
    now: Side
    then: Side

    @property
    def is_changed(self) -> bool:
        return self.now is not self.then and self.now.parts != self.then.parts

    @property
    def move(self) -> Move:
        none, now, then = [0, 0], self.now.parts, self.then.parts
        pairs = [(now.get(who, none), then.get(who, none)) for who in now.keys() | then.keys()]
        credit, fen = (sum(abs(b[place] - a[place]) for a, b in pairs) for place in (0, 1))
        return Move(fen, credit, self.case.line.id, self.case.line.booked_on)


# --- pure ---


def terms(pot: Pot) -> tuple[Any, ...]:
    """What has to be the same for a pot to pay the same; its base and amount follow the line."""
    return pot.kind, pot.budget, pot.rate_bp, pot.cap_fen, pot.shares, pot.keeps_on_refund, pot.basis


def money(pot: Pot, refunds: Sequence[int]) -> tuple[int, ...]:
    """What each share of a pot still holds after the refunds, in their order, in fen."""
    state = commissions.opening(pot.shares, pot.rate_bp, pot.cap_fen)
    _, state = commissions.reprice(state, pot.base_fen)
    refunded = 0
    for amount_fen in () if pot.keeps_on_refund else refunds:
        refunded += amount_fen
        _, state = commissions.reprice(state, commissions.net_base(pot.base_fen, refunded))
    return state.outstanding


def credited(sold: Sequence[rules.Credit], net_fen: int) -> list[tuple[str, str | None, int]]:
    """The net sale of a line over those who made it; the parts sum to it."""
    if len(sold) == 1:
        return [(sold[0].beneficiary, sold[0].store, net_fen)]
    parts = commissions.apportion(net_fen, [credit.bp for credit in sold], range(len(sold)))
    return [(credit.beneficiary, credit.store, part) for credit, part in zip(sold, parts, strict=True)]


def side_of(found: rules.Decision, net_fen: int, refunds: Sequence[int]) -> Side:
    """Credit and commission of a line as the rule would have posted it."""
    if found.state not in POSTED or not found.shares:
        return NOTHING
    if len(found.shares) == 1 and not found.fees and found.shares[0].role != Role.ENTITY:
        share = found.shares[0]  # nearly every line
        base_fen = commissions.net_base(found.base_fen, sum(refunds))
        fen = commissions.pot(base_fen, found.rate_bp, found.cap_fen)
        return Side({(share.beneficiary, share.store): [net_fen, fen]}, {found.budget: fen})
    parts: Part = {}
    spent: Spent = {}
    for who, store, credit_fen in credited(rules.credits(found), net_fen):
        parts.setdefault((who, store), [0, 0])[0] += credit_fen
    for pot in found.pots:
        for share, fen in zip(pot.shares, money(pot, refunds), strict=True):
            parts.setdefault((share.beneficiary, share.store), [0, 0])[1] += fen
            spent[pot.budget] = spent.get(pot.budget, 0) + fen
    return Side(parts, spent)


def _is_same(found: rules.Decision, standing: Standing) -> bool:
    """Whether the rule pays what is posted: then the posted amounts stand, whatever way they came about."""
    if found.state not in POSTED or standing.state not in POSTED:
        return found.state not in POSTED and standing.state not in POSTED
    if standing.pots is None and not found.fees:
        return (
            found.rate_bp == standing.rate_bp
            and found.shares == standing.shares
            and found.cap_fen is None
            and found.budget == postings.BRAND
            and found.basis == Base.NET
        )
    return [terms(pot) for pot in found.pots] == standing.terms


# --- reads ---


def sides(
    keys: Sequence[evidence.LineKey], *, then: rulebook.Book, now: rulebook.Book, as_known_at: dt.datetime
) -> Iterator[Sides]:
    """Each line of ``keys`` now and then. ``as_known_at``: when an identity found meanwhile counts as found."""
    cases = evidence.load(keys, then)
    around = _Around(cases, as_known_at)
    current = _current(cases, around.standing, now)
    for case in cases:
        line = case.line
        net_fen = line.paid_fen - line.refunded_fen
        refunds = around.refunds.get(line.id, ())
        standing = around.standing.get(line.id)
        found = _decide(case, standing, around)
        if standing is None:
            undecided = current.get(line.id)
            before = side_of(undecided, net_fen, refunds) if undecided else NOTHING
            yield Sides(case, None, undecided, found, before, side_of(found, net_fen, refunds))
            continue
        posted = _posted_side(standing, net_fen, around.posted.get(line.id, ()))
        after = posted if _is_same(found, standing) else side_of(found, net_fen, refunds)
        yield Sides(case, standing, None, found, posted, after)


def tally(
    keys: Sequence[evidence.LineKey], *, then: rulebook.Book, now: rulebook.Book, as_known_at: dt.datetime
) -> Tally:
    """The lines of ``keys`` added up."""
    result = Tally(line_count=len(keys))
    rows, budgets, moves = result.rows, result.budgets, []
    with no_collector():
        for one in sides(keys, then=then, now=now, as_known_at=as_known_at):
            channel = one.case.line.channel
            if one.standing is None:
                result.undecided_count += 1
            for (who, store), (credit, fen) in one.now.parts.items():
                row = rows[who, store, channel]
                row[CREDIT_NOW] += credit
                row[FEN_NOW] += fen
                row[LINES_NOW] += 1
            for (who, store), (credit, fen) in one.then.parts.items():
                row = rows[who, store, channel]
                row[CREDIT_THEN] += credit
                row[FEN_THEN] += fen
                row[LINES_THEN] += 1
            for place, side in enumerate((one.now, one.then)):
                for budget, fen in side.spent.items():
                    budgets[budget][place] += fen
            if one.is_changed:
                result.changed_count += 1
                moves.append(one.move)
    result.keep(moves)
    return result


def commission(*, book: rulebook.Book, progress: Callable[[int], None] | None = None) -> Counter[str]:
    """Fen per beneficiary over all lines under ``book``, computed from nothing: what is posted is not looked at."""
    total: Counter[str] = Counter()
    done = 0
    for keys in _all_keys():
        cases = evidence.load(keys, book)
        refunds = _refunds(cases)
        for case in cases:
            found = rules.decide(case.facts, case.evidence, case.rule)
            for (who, _store), (_credit, fen) in side_of(found, 0, refunds.get(case.line.id, ())).parts.items():
                total[who] += fen
        done += len(keys)
        if progress:
            progress(done)
    return total


@contextmanager
def no_collector() -> Iterator[None]:
    """A chunk makes a million objects and no cycles: the cycle collector would cost a quarter of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Around:
    """What stands for some lines: read once for all of them."""

    def __init__(self, cases: Sequence[evidence.Case], as_known_at: dt.datetime) -> None:
        ids = [case.line.id for case in cases]
        self.standing = _standing(cases)
        self.posted = _posted(ids)
        self.refunds = _refunds(cases)
        self.as_known_at = as_known_at
        again = [line_id for line_id, standing in self.standing.items() if standing.sequence > 1]
        self.linked: dict[int, tuple[bool, dt.datetime | None]] = {}
        if again:
            for line_id, was_unknown, linked_at in db.read(LINKED, [db.array(again)]):
                self.linked[line_id] = (was_unknown, linked_at)


def _decide(case: evidence.Case, standing: Standing | None, around: _Around) -> rules.Decision:
    """The decision that stands under the rule: a buyer unknown at first is decided as unknown, then once more if the rule
    had left the line provisional."""
    rule = case.rule
    if standing is None or case.line.member_id is None:
        return rules.decide(case.facts, case.evidence, rule)
    was_unknown, linked_at = around.linked.get(case.line.id, (standing.member_id is None, None))
    if not was_unknown:
        return rules.decide(case.facts, case.evidence, rule)
    first = rules.decide(case.facts, case.evidence._replace(member=None), rule)
    if first.state != rules.State.PROVISIONAL:
        return first
    found = case.evidence._replace(linked_at=linked_at or around.as_known_at)
    return rules.decide(case.facts, found, rule)


def _current(
    cases: Sequence[evidence.Case], standing: dict[int, Standing], now: rulebook.Book
) -> dict[int, rules.Decision]:
    """What the rule in force says of lines that are not decided yet; nothing where no rule covers them."""
    keys = [
        (case.line.id, case.line.booked_on)
        for case in cases
        if case.line.id not in standing and any(version.holds_at(case.line.as_of) for version in now.versions)
    ]
    if not keys:
        return {}
    return {case.line.id: rules.decide(case.facts, case.evidence, case.rule) for case in evidence.load(keys, now)}


class Posted(NamedTuple):
    """What one beneficiary stands at on one line."""

    beneficiary: str
    store: str | None
    role: str
    fen: int


def _posted_side(standing: Standing, net_fen: int, posted: Sequence[Posted]) -> Side:
    parts: Part = {}
    spent: Spent = {}
    if standing.state in POSTED and standing.credits:
        for who, store, credit_fen in credited(standing.credits, net_fen):
            parts[who, store] = [credit_fen, 0]
    for who, store, role, fen in posted:
        part = parts.get((who, store))
        if part is None:
            part = parts[who, store] = [0, 0]
        part[1] += fen
        budget = postings.BRAND if standing.pots is None else standing.budget(role)
        spent[budget] = spent.get(budget, 0) + fen
    return Side(parts, spent)


# candidates only where the company may keep the whole share, for the guides who sold all the same
STANDING = """
    SELECT d.line_id, d.id, d.state, d.shares::text, d.rate_bp, d.pots::text, d.member_id, d.sequence,
           CASE WHEN d.shares::text LIKE '%%ENTITY%%' THEN d.candidates::text ELSE '[]' END
    FROM unnest(%s::bigint[], %s::date[]) k(id, booked_on)
    JOIN attribution_decision d ON d.line_id = k.id AND d.booked_on = k.booked_on AND d.state <> 'SUPERSEDED'
"""


def _standing(cases: Sequence[evidence.Case]) -> dict[int, Standing]:
    days = db.array(case.line.booked_on for case in cases)
    rows = db.read(STANDING, [db.array(case.line.id for case in cases), days])
    known: dict[tuple[str, str], tuple[tuple[Share, ...], tuple[rules.Credit, ...]]] = {}  # few distinct ones
    found = {}
    for line_id, pk, state, shares_text, rate_bp, pots_text, member_id, sequence, candidates_text in rows:
        key = (shares_text, candidates_text)
        if key not in known:
            known[key] = _shares_and_credits(*key)
        pots = tuple(rules.pot_of(row[:-1]) for row in orjson.loads(pots_text)) if pots_text else None
        found[line_id] = Standing(pk, state, *known[key], rate_bp, pots, member_id, sequence)
    return found


def _shares_and_credits(shares_text: str, candidates_text: str) -> tuple[tuple[Share, ...], tuple[rules.Credit, ...]]:
    shares = tuple(Share(Role(role), who, store, bp) for role, who, store, bp in orjson.loads(shares_text))
    candidates = tuple(rules.Candidate(*candidate) for candidate in orjson.loads(candidates_text))
    decided = rules.Decision(  # only shares and winners say who sold
        state=rules.State.LIVE, as_of=EPOCH, rule_digest="", mode=rules.Mode.SERVICE_FIRST, candidates=candidates,
        shares=shares, base_fen=0, rate_bp=0, cap_fen=None, pot_fen=0, reason="", provisional_until=None, digest="",
    )  # fmt: skip
    return shares, rules.credits(decided)


POSTED_HOLDS = """
    SELECT h.line_id, h.beneficiary_id, h.store_id, h.role, h.amount_fen - h.reversed_fen - h.clawed_fen
    FROM attribution_hold h WHERE h.line_id = ANY(%s::bigint[]) AND h.amount_fen > h.reversed_fen + h.clawed_fen
"""


def _posted(line_ids: Sequence[int]) -> dict[int, list[Posted]]:
    """Per line what each beneficiary stands at in the ledger."""
    rows = db.read(POSTED_HOLDS, [db.array(line_ids)])
    if not rows:
        return {}
    codes = dict(Beneficiary.objects.filter(pk__in={row[1] for row in rows}).values_list("pk", "code"))
    stores: dict[int | None, str] = dict(Store.objects.values_list("pk", "code"))
    found: dict[int, list[Posted]] = {}
    for line_id, who, store_id, role, fen in rows:
        found.setdefault(line_id, []).append(Posted(codes[who], stores.get(store_id), role, fen))
    return found


LINKED = """
    SELECT line_id, bool_or(sequence = 1 AND member_id IS NULL), min(decided_at) FILTER (WHERE reason = 'BUYER_RECOGNISED')
    FROM attribution_decision WHERE line_id = ANY(%s::bigint[]) GROUP BY line_id
"""

REFUNDS = """
    SELECT line_id, amount_fen FROM members_refund
    WHERE line_id = ANY(%s::bigint[]) AND status = 'APPLIED' ORDER BY line_id, refunded_at, refund_no
"""


def _refunds(cases: Sequence[evidence.Case]) -> dict[int, list[int]]:
    ids = [case.line.id for case in cases if case.line.refunded_fen]
    found: dict[int, list[int]] = {}
    for line_id, amount_fen in db.read(REFUNDS, [db.array(ids)]) if ids else ():
        found.setdefault(line_id, []).append(amount_fen)
    return found


def _all_keys() -> Iterator[list[evidence.LineKey]]:
    last = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT id, booked_on FROM {OrderLine._meta.db_table} WHERE id > %s ORDER BY id LIMIT %s",
                [last, CHUNK],
            )
            keys = cursor.fetchall()
        if not keys:
            return
        yield keys
        last = keys[-1][0]
