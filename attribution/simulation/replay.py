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
from typing import NamedTuple

import orjson
from django.db import connection

from attribution import commissions, evidence, rulebook, rules
from attribution.commissions import Role, Share
from attribution.models import Beneficiary
from members.models import OrderLine
from scrm import db
from scrm.models import Store

CHUNK = 10_000
MOST = 100  # lines that are kept one by one
POSTED = (rules.State.LIVE, rules.State.PROVISIONAL)
UNPAID = (Role.ENTITY, Role.FULFIL)  # paid, but the sale is not theirs

Key = tuple[str, str | None, str]  # beneficiary, store, channel
Part = dict[tuple[str, str | None], list[int]]  # (beneficiary, store) → [credit, commission] of one line
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
    line_count: int = 0
    undecided_count: int = 0
    changed_count: int = 0
    most: list[Move] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        for key, values in other.rows.items():
            row = self.rows[key]
            for place, value in enumerate(values):
                row[place] += value
        self.line_count += other.line_count
        self.undecided_count += other.undecided_count
        self.changed_count += other.changed_count
        self.keep(other.most)

    def keep(self, moves: Sequence[Move]) -> None:
        self.most = heapq.nlargest(MOST, [*self.most, *moves], key=lambda move: move.rank)

    def dump(self) -> bytes:
        content = {
            "rows": [[*key, *values] for key, values in self.rows.items()],
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
        tally.most = [Move(fen, credit, line, dt.date.fromisoformat(day)) for fen, credit, line, day in content["most"]]
        return tally


class Standing(NamedTuple):
    """The live decision of a line."""

    id: int
    state: str
    shares: tuple[Share, ...]
    rate_bp: int
    cap_fen: int | None
    base: commissions.Base
    member_id: int | None
    sequence: int


class Sides(NamedTuple):
    """One line now and then. ``now`` is None when the line is decided: its decision is ``standing``."""

    case: evidence.Case
    standing: Standing | None
    now: rules.Decision | None
    then: rules.Decision
    now_parts: Part
    then_parts: Part

    @property
    def is_changed(self) -> bool:
        return self.now_parts is not self.then_parts and self.now_parts != self.then_parts

    @property
    def move(self) -> Move:
        none = [0, 0]
        pairs = [
            (self.now_parts.get(who, none), self.then_parts.get(who, none))
            for who in self.now_parts.keys() | self.then_parts.keys()
        ]
        credit, fen = (sum(abs(then[place] - now[place]) for now, then in pairs) for place in (0, 1))
        return Move(fen, credit, self.case.line.id, self.case.line.booked_on)


# --- pure ---


def money(found: rules.Decision, refunds: Sequence[int]) -> tuple[int, ...]:
    """What each share still holds after the refunds, in their order, in fen."""
    state = commissions.opening(found.shares, found.rate_bp, found.cap_fen)
    _, state = commissions.reprice(state, found.base_fen)
    refunded = 0
    for amount_fen in refunds:
        refunded += amount_fen
        _, state = commissions.reprice(state, commissions.net_base(found.base_fen, refunded))
    return state.outstanding


def credit(shares: Sequence[Share], net_fen: int) -> list[tuple[str, str | None, int]]:
    """KPI credit of a line: its net sale over those who made it; whoever is only paid out of it has none."""
    if len(shares) == 1:
        return [(shares[0].beneficiary, shares[0].store, net_fen)]
    made = [share for share in shares if share.role not in UNPAID]
    parts = commissions.split(net_fen, made)
    return [(share.beneficiary, share.store, part) for share, part in zip(made, parts, strict=True)]


def parts_of(found: rules.Decision, net_fen: int, refunds: Sequence[int]) -> Part:
    """Credit and commission of a line that nothing is posted for."""
    parts: Part = {}
    if found.state not in POSTED or not found.shares:
        return parts
    for who, store, credit_fen in credit(found.shares, net_fen):
        parts.setdefault((who, store), [0, 0])[0] += credit_fen
    for share, fen in zip(found.shares, money(found, refunds), strict=True):
        parts.setdefault((share.beneficiary, share.store), [0, 0])[1] += fen
    return parts


def _is_same(found: rules.Decision, standing: Standing, base: commissions.Base) -> bool:
    """Whether the rule pays what is posted: then the posted amounts stand, whatever way they came about."""
    if found.state not in POSTED or standing.state not in POSTED:
        return found.state not in POSTED and standing.state not in POSTED
    return (
        found.rate_bp == standing.rate_bp
        and found.shares == standing.shares
        and found.cap_fen == standing.cap_fen
        and base == standing.base
    )


# --- reads ---


def sides(
    keys: Sequence[evidence.LineKey], *, then: rulebook.Book, now: rulebook.Book, as_known_at: dt.datetime
) -> Iterator[Sides]:
    """Each line of ``keys`` now and then. ``as_known_at``: when an identity found meanwhile counts as found."""
    cases = evidence.load(keys, then)
    around = _Around(cases, now, as_known_at)
    current = _current(cases, around.standing, now)
    for case in cases:
        line = case.line
        net_fen = line.paid_fen - line.refunded_fen
        refunds = around.refunds.get(line.id, ())
        standing = around.standing.get(line.id)
        found = _decide(case, standing, around)
        if standing is None:
            undecided = current.get(line.id)
            now_parts = parts_of(undecided, net_fen, refunds) if undecided else {}
            yield Sides(case, None, undecided, found, now_parts, parts_of(found, net_fen, refunds))
            continue
        now_parts = _posted_parts(standing, net_fen, around.posted.get(line.id, ()))
        is_same = _is_same(found, standing, case.version.rule.base)
        then_parts = now_parts if is_same else parts_of(found, net_fen, refunds)
        yield Sides(case, standing, None, found, now_parts, then_parts)


def tally(
    keys: Sequence[evidence.LineKey], *, then: rulebook.Book, now: rulebook.Book, as_known_at: dt.datetime
) -> Tally:
    """The lines of ``keys`` added up."""
    result = Tally(line_count=len(keys))
    rows, moves = result.rows, []
    with no_collector():
        for one in sides(keys, then=then, now=now, as_known_at=as_known_at):
            channel = one.case.line.channel
            if one.standing is None:
                result.undecided_count += 1
            for (who, store), (credit, fen) in one.now_parts.items():
                row = rows[who, store, channel]
                row[CREDIT_NOW] += credit
                row[FEN_NOW] += fen
                row[LINES_NOW] += 1
            for (who, store), (credit, fen) in one.then_parts.items():
                row = rows[who, store, channel]
                row[CREDIT_THEN] += credit
                row[FEN_THEN] += fen
                row[LINES_THEN] += 1
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
            found = rules.decide(case.facts, case.evidence, case.version.rule)
            for (who, _store), (_credit, fen) in parts_of(found, 0, refunds.get(case.line.id, ())).items():
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

    def __init__(self, cases: Sequence[evidence.Case], now: rulebook.Book, as_known_at: dt.datetime) -> None:
        ids = [case.line.id for case in cases]
        self.standing = _standing(cases, now)
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
    rule = case.version.rule
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
        if case.line.id not in standing and any(version.holds_at(case.line.paid_at) for version in now.versions)
    ]
    if not keys:
        return {}
    return {
        case.line.id: rules.decide(case.facts, case.evidence, case.version.rule) for case in evidence.load(keys, now)
    }


def _posted_parts(
    standing: Standing, net_fen: int, posted: Sequence[tuple[str, str | None, int]]
) -> dict[tuple[str, str | None], list[int]]:
    parts: Part = {}
    if standing.state in POSTED and standing.shares:
        for who, store, credit_fen in credit(standing.shares, net_fen):
            parts.setdefault((who, store), [0, 0])[0] += credit_fen
    for who, store, fen in posted:
        parts.setdefault((who, store), [0, 0])[1] += fen
    return parts


STANDING = """
    SELECT d.line_id, d.id, d.state, d.shares::text, d.rate_bp, d.rule_id, d.member_id, d.sequence
    FROM unnest(%s::bigint[], %s::date[]) k(id, booked_on)
    JOIN attribution_decision d ON d.line_id = k.id AND d.booked_on = k.booked_on AND d.state <> 'SUPERSEDED'
"""


def _standing(cases: Sequence[evidence.Case], now: rulebook.Book) -> dict[int, Standing]:
    days = db.array(case.line.booked_on for case in cases)
    rows = db.read(STANDING, [db.array(case.line.id for case in cases), days])
    terms = {version.id: (version.rule.cap_fen, version.rule.base) for version in now.versions}
    shares: dict[str, tuple[Share, ...]] = {}  # few distinct ones serve many lines
    found = {}
    for line_id, pk, state, text, rate_bp, rule_id, member_id, sequence in rows:
        if text not in shares:
            shares[text] = tuple(Share(Role(role), who, store, bp) for role, who, store, bp in orjson.loads(text))
        found[line_id] = Standing(pk, state, shares[text], rate_bp, *terms[rule_id], member_id, sequence)
    return found


POSTED_HOLDS = """
    SELECT h.line_id, h.beneficiary_id, h.store_id, h.amount_fen - h.reversed_fen - h.clawed_fen
    FROM attribution_hold h WHERE h.line_id = ANY(%s::bigint[]) AND h.amount_fen > h.reversed_fen + h.clawed_fen
"""


def _posted(line_ids: Sequence[int]) -> dict[int, list[tuple[str, str | None, int]]]:
    """Per line what each beneficiary stands at in the ledger."""
    rows = db.read(POSTED_HOLDS, [db.array(line_ids)])
    if not rows:
        return {}
    codes = dict(Beneficiary.objects.filter(pk__in={row[1] for row in rows}).values_list("pk", "code"))
    stores: dict[int | None, str] = dict(Store.objects.values_list("pk", "code"))
    found: dict[int, list[tuple[str, str | None, int]]] = {}
    for line_id, who, store_id, fen in rows:
        found.setdefault(line_id, []).append((codes[who], stores.get(store_id), fen))
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
