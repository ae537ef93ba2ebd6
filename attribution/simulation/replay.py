"""Replay (重算): lines under the rule that is asked about, beside what stands for them now; posts nothing.

The decision is ``rules.choose``, the evidence ``evidence.read``, the money ``commissions.reprice``: those of the posting.
Lines of one form are decided once (``forms``). What is kept of a line is added to a tally at once, so that memory grows with
the beneficiaries and not with the lines.
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
from typing import NamedTuple

import orjson
from django.db import connection

from attribution import commissions, evidence, postings, rulebook, rules
from attribution.commissions import Base, Pot, PotKind, Role, Share
from attribution.simulation.forms import Forms, Outcome, outcome_of
from attribution.simulation.standing import Around, Posted, Standing, refunds, terms
from members.models import OrderLine

CHUNK = 10_000
MOST = 100  # lines that are kept one by one

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


# --- pure ---


def is_changed(now: Side, then: Side) -> bool:
    return now is not then and now.parts != then.parts


def move_of(line: evidence.Line, before: Side, after: Side) -> Move:
    none, now, then = [0, 0], before.parts, after.parts
    pairs = [(now.get(who, none), then.get(who, none)) for who in now.keys() | then.keys()]
    credit, fen = (sum(abs(b[place] - a[place]) for a, b in pairs) for place in (0, 1))
    return Move(fen, credit, line.id, line.booked_on)


def money(pot: Pot, refunded: Sequence[int]) -> tuple[int, ...]:
    """What each share of a pot still holds after the refunds, in their order, in fen."""
    state = commissions.opening(pot.shares, pot.rate_bp, pot.cap_fen)
    _, state = commissions.reprice(state, pot.base_fen)
    total = 0
    for amount_fen in () if pot.keeps_on_refund else refunded:
        total += amount_fen
        _, state = commissions.reprice(state, commissions.net_base(pot.base_fen, total))
    return state.outstanding


def credited(sold: Sequence[tuple[str, str | None, int]], net_fen: int) -> list[tuple[str, str | None, int]]:
    """The net sale of a line over those who made it, each with her bp; the parts sum to it."""
    if len(sold) == 1:
        return [(sold[0][0], sold[0][1], net_fen)]
    parts = commissions.apportion(net_fen, [bp for _who, _store, bp in sold], range(len(sold)))
    return [(who, store, part) for (who, store, _bp), part in zip(sold, parts, strict=True)]


def side_of(found: Outcome, line: evidence.Line, refunded: Sequence[int]) -> Side:
    """Credit and commission of a line as the rule would have posted it."""
    if not found.is_posted or not found.shares:
        return NOTHING
    shares = found.shares
    net_fen = line.paid_fen - line.refunded_fen
    base_fen = commissions.line_base(line.paid_fen, line.points_fen, found.basis)
    if len(shares) == 1 and not found.fees and shares[0].role is not Role.ENTITY:  # nearly every line
        if refunded:
            base_fen = commissions.net_base(base_fen, sum(refunded))
        fen = commissions.pot(base_fen, found.rate_bp, found.cap_fen)
        return Side({found.actors[0]: [net_fen, fen]}, {found.budget: fen})
    parts: Part = {}
    spent: Spent = {}
    for who, store, credit_fen in credited(found.sold, net_fen):
        parts.setdefault((who, store), [0, 0])[0] += credit_fen
    amount_fen = commissions.pot(base_fen, found.rate_bp, found.cap_fen)
    held: Sequence[int]
    if refunded:
        main = Pot(PotKind.MAIN, found.budget, base_fen, found.rate_bp, found.cap_fen, amount_fen, shares)
        held = money(main, refunded)
    else:
        held = commissions.split(amount_fen, shares)  # the first accrual, and the only one
    _pay(parts, spent, found.budget, found.actors, held)
    for pot in found.fees:
        actors = [(share.beneficiary, share.store) for share in pot.shares]
        _pay(parts, spent, pot.budget, actors, money(pot, refunded))
    return Side(parts, spent)


def _pay(
    parts: Part, spent: Spent, budget: str, actors: Sequence[tuple[str, str | None]], amounts: Sequence[int]
) -> None:
    for actor, fen in zip(actors, amounts, strict=True):
        parts.setdefault(actor, [0, 0])[1] += fen
        spent[budget] = spent.get(budget, 0) + fen


def _is_same(found: Outcome, standing: Standing) -> bool:
    """Whether the rule pays what is posted: then the posted amounts stand, whatever way they came about."""
    if not found.is_posted or not standing.is_posted:
        return not found.is_posted and not standing.is_posted
    if standing.pots is None and not found.fees:
        return (
            found.rate_bp == standing.rate_bp
            and found.cap_fen is None
            and found.budget == postings.BRAND
            and found.basis is Base.NET
            and _are_same(found, standing.shares)
        )
    main = standing.terms[:1]
    fees = [terms(pot) for pot in found.fees]
    if not main or not found.shares:
        return not main and not found.shares
    kind, budget, rate_bp, cap_fen, shares, keeps, basis = main[0]
    return (
        (kind, budget, rate_bp, cap_fen, keeps, basis)
        == (PotKind.MAIN, found.budget, found.rate_bp, found.cap_fen, False, found.basis)
        and _are_same(found, shares)
        and fees == standing.terms[1:]
    )


def _are_same(found: Outcome, posted: Sequence[Share]) -> bool:
    if len(found.shares) != len(posted):
        return False
    for share, (who, store), stands in zip(found.shares, found.actors, posted):  # noqa: B905  as long as each other
        if stands.beneficiary != who or stands.store != store:
            return False
        if stands.role is not share.role or stands.weight != share.weight:
            return False
    return True


# --- reads ---


class _Question:
    """Some lines, under the rule that is asked about."""

    def __init__(
        self,
        keys: Sequence[evidence.LineKey],
        *,
        then: rulebook.Book,
        now: rulebook.Book,
        as_known_at: dt.datetime,
        staff: evidence.Staff | None = None,
    ) -> None:
        self.stands = Around(keys)
        self.then, self.as_known_at = then, as_known_at
        self.reading = evidence.read(keys, then, seen=self.stands.seen_at, staff=staff)
        self.refunds = refunds(self.reading.lines)
        self.current = _current(self.reading.lines, self.stands, now)
        late = [(line.id, line.booked_on) for line in self.reading.lines if self.stands.was_recognised(line)]
        self._of_nobody: dict[int, evidence.Case] = {}
        if late:
            before = evidence.read(late, then, seen=self.stands.seen_at, of_nobody=True)
            self._of_nobody = {case.line.id: case for case in before.cases()}

    def decide(self, case: evidence.Case) -> rules.Decision:
        """The decision that stands under the rule: a buyer unknown at first is decided as unknown, then once more if the
        rule had left the line provisional and the identity came in time, or had credited the buyer herself."""
        before = self._of_nobody.get(case.line.id)
        if before is None:
            return rules.decide(case.facts, case.evidence, case.rule)
        first = rules.decide(before.facts, before.evidence, before.rule)
        if not rules.is_reopened_by_buyer(first.state, first.shares, case.facts, case.evidence, case.rule):
            return first
        linked_at, was_open = self.stands.linked_at(case.line.id), first.state == rules.State.PROVISIONAL
        if was_open and linked_at is None and rules.is_linked_too_late(case.line.as_of, self.as_known_at, case.rule):
            return first
        found = case.evidence._replace(linked_at=linked_at or self.as_known_at)
        return rules.decide(case.facts, found, case.rule)

    def is_late(self, line: evidence.Line) -> bool:
        return line.id in self._of_nobody

    def both(self, line: evidence.Line, found: Outcome) -> tuple[Side, Side]:
        """The line now and then."""
        standing, refunded = self.stands.standing.get(line.id), self.refunds.get(line.id, ())
        if standing is None:
            undecided = self.current.get(line.id)
            before = side_of(outcome_of(undecided), line, refunded) if undecided else NOTHING
            return before, side_of(found, line, refunded)
        posted = _posted_side(standing, line.paid_fen - line.refunded_fen, self.stands.posted.get(line.id, ()))
        return posted, posted if _is_same(found, standing) else side_of(found, line, refunded)


def sides(
    keys: Sequence[evidence.LineKey], *, then: rulebook.Book, now: rulebook.Book, as_known_at: dt.datetime
) -> Iterator[Sides]:
    """Each line of ``keys`` now and then, decided by itself and with everything to explain it. ``as_known_at``: when an
    identity found meanwhile counts as found."""
    asked = _Question(keys, then=then, now=now, as_known_at=as_known_at)
    for case in asked.reading.cases():
        found = asked.decide(case)
        before, after = asked.both(case.line, outcome_of(found))
        standing = asked.stands.standing.get(case.line.id)
        yield Sides(case, standing, asked.current.get(case.line.id), found, before, after)


def tally(
    keys: Sequence[evidence.LineKey],
    *,
    then: rulebook.Book,
    now: rulebook.Book,
    as_known_at: dt.datetime,
    forms: Forms | None = None,
) -> Tally:
    """The lines of ``keys`` added up. ``forms``: those met before."""
    forms = forms or Forms()
    result = Tally(line_count=len(keys))
    moves: list[Move] = []
    with no_collector():
        asked = _Question(keys, then=then, now=now, as_known_at=as_known_at, staff=forms.staff)
        around = asked.reading.around
        for line, version in zip(asked.reading.lines, asked.reading.versions, strict=True):
            found = None if asked.is_late(line) else forms.outcome(line, around, version)
            if found is None:
                found = outcome_of(asked.decide(asked.reading.case(line, version)))
            before, after = asked.both(line, found)
            _add(result, line.channel, before, after)
            if is_changed(before, after):
                result.changed_count += 1
                moves.append(move_of(line, before, after))
        result.undecided_count = len(keys) - len(asked.stands.standing)
    result.keep(moves)
    return result


def _add(result: Tally, channel: str, before: Side, after: Side) -> None:
    rows, budgets = result.rows, result.budgets
    if before is after:  # nearly every line
        for (who, store), (credit, fen) in before.parts.items():
            row = rows[who, store, channel]
            row[CREDIT_NOW] += credit
            row[CREDIT_THEN] += credit
            row[FEN_NOW] += fen
            row[FEN_THEN] += fen
            row[LINES_NOW] += 1
            row[LINES_THEN] += 1
        for budget, fen in before.spent.items():
            both = budgets[budget]
            both[0] += fen
            both[1] += fen
        return
    for (who, store), (credit, fen) in before.parts.items():
        row = rows[who, store, channel]
        row[CREDIT_NOW] += credit
        row[FEN_NOW] += fen
        row[LINES_NOW] += 1
    for (who, store), (credit, fen) in after.parts.items():
        row = rows[who, store, channel]
        row[CREDIT_THEN] += credit
        row[FEN_THEN] += fen
        row[LINES_THEN] += 1
    for budget, fen in before.spent.items():
        budgets[budget][0] += fen
    for budget, fen in after.spent.items():
        budgets[budget][1] += fen


def commission(*, book: rulebook.Book, progress: Callable[[int], None] | None = None) -> Counter[str]:
    """Fen per beneficiary over all lines under ``book``, computed from nothing: what is posted is not looked at."""
    total: Counter[str] = Counter()
    forms, done = Forms(), 0
    for keys in _all_keys():
        with no_collector():
            reading = evidence.read(keys, book, staff=forms.staff)
            refunded = refunds(reading.lines)
            for line, version in zip(reading.lines, reading.versions, strict=True):
                found = forms.outcome(line, reading.around, version)
                if found is None:
                    case = reading.case(line, version)
                    found = outcome_of(rules.decide(case.facts, case.evidence, case.rule))
                for (who, _store), (_credit, fen) in side_of(found, line, refunded.get(line.id, ())).parts.items():
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


def _current(lines: Sequence[evidence.Line], stands: Around, now: rulebook.Book) -> dict[int, rules.Decision]:
    """What the rule in force says of lines that are not decided yet; nothing where no rule covers them."""
    keys = [
        (line.id, line.booked_on)
        for line in lines
        if line.id not in stands.standing and any(version.holds_at(line.as_of) for version in now.versions)
    ]
    if not keys:
        return {}
    return {case.line.id: rules.decide(case.facts, case.evidence, case.rule) for case in evidence.load(keys, now)}


def _posted_side(standing: Standing, net_fen: int, posted: Sequence[Posted]) -> Side:
    if len(posted) == 1 and len(standing.credits) == 1 and standing.pots is None and standing.is_posted:
        (who, store, _bp), one = standing.credits[0], posted[0]
        if who == one.beneficiary and store == one.store:  # nearly every line
            return Side({(who, store): [net_fen, one.fen]}, {postings.BRAND: one.fen})
    parts: Part = {}
    spent: Spent = {}
    if standing.credits and standing.is_posted:
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
