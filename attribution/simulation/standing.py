"""What stands for some lines: the live decision, what is posted for it, the refunds; read once for all of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from attribution import evidence, postings, rules
from attribution.commissions import Base, Pot, PotKind, Role, Share
from attribution.decisions.standing import RECOGNISED, REFITTED
from attribution.models import Beneficiary
from attribution.rules.digests import EPOCH
from scrm import db
from scrm.models import Store

POSTED = (rules.State.LIVE, rules.State.PROVISIONAL)


class Posted(NamedTuple):
    """What one beneficiary stands at on one line."""

    beneficiary: str
    store: str | None
    role: str
    fen: int


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
    decided_at: dt.datetime

    @property
    def is_posted(self) -> bool:
        return self.state in POSTED

    @property
    def terms(self) -> list[tuple[Any, ...]]:
        if self.pots is not None:
            return [terms(pot) for pot in self.pots]
        return [(PotKind.MAIN, postings.BRAND, self.rate_bp, None, self.shares, False, Base.NET)]

    def budget(self, role: str) -> str:
        """Which budget pays a share in that role."""
        kind = PotKind.FULFIL if role == Role.FULFIL else PotKind.MAIN
        return next((pot.budget for pot in self.pots or () if pot.kind == kind), postings.BRAND)


class Seen(NamedTuple):
    """When the winner of a line was found, and the buyer where she was nobody yet."""

    decided_at: dt.datetime
    was_unknown: bool
    linked_at: dt.datetime | None = None  # of the decision that her recognition has led to


def terms(pot: Pot) -> tuple[Any, ...]:
    """What has to be the same for a pot to pay the same; its base and amount follow the line."""
    return pot.kind, pot.budget, pot.rate_bp, pot.cap_fen, pot.shares, pot.keeps_on_refund, pot.basis


class Around:
    """What stands for the lines of ``keys``."""

    def __init__(self, keys: Sequence[evidence.LineKey]) -> None:
        self.standing = _standing(keys)
        self.posted = _posted([line_id for line_id, _day in keys])
        again = [line_id for line_id, standing in self.standing.items() if standing.sequence > 1]
        self._again = _histories(again) if again else {}

    def was_recognised(self, line: evidence.Line) -> bool:
        """Whether the buyer became known after the winner had been found without her."""
        seen = self._seen(line.id)
        return seen is not None and seen.was_unknown and line.member_id is not None

    def linked_at(self, line_id: int) -> dt.datetime | None:
        """When the buyer's recognition led to another decision; None: it did not."""
        seen = self._again.get(line_id)
        return seen.linked_at if seen else None

    def seen_at(self, line: evidence.Line) -> dt.datetime | None:
        """When the decision was taken that the line's evidence belongs to; what came in later did not count. None: it is
        still to be taken."""
        seen = self._seen(line.id)
        if seen is None:
            return None
        return seen.linked_at if seen.was_unknown and line.member_id is not None else seen.decided_at

    def _seen(self, line_id: int) -> Seen | None:
        standing = self.standing.get(line_id)
        if standing is None:
            return None
        return self._again.get(line_id) or Seen(standing.decided_at, standing.member_id is None)


# candidates only where the company may keep the whole share, for the guides who sold all the same
STANDING = """
    SELECT d.line_id, d.id, d.state, d.shares::text, d.rate_bp, d.pots::text, d.member_id, d.sequence, d.decided_at,
           CASE WHEN d.shares::text LIKE '%%ENTITY%%' THEN d.candidates::text ELSE '[]' END
    FROM unnest(%s::bigint[], %s::date[]) k(id, booked_on)
    JOIN attribution_decision d ON d.line_id = k.id AND d.booked_on = k.booked_on AND d.state <> 'SUPERSEDED'
"""


def _standing(keys: Sequence[evidence.LineKey]) -> dict[int, Standing]:
    rows = db.read(STANDING, [db.array(line_id for line_id, _day in keys), db.array(day for _id, day in keys)])
    known: dict[tuple[str, str], tuple[tuple[Share, ...], tuple[rules.Credit, ...]]] = {}  # few distinct ones
    found = {}
    for line_id, pk, state, shares_text, rate_bp, pots_text, member_id, sequence, decided_at, candidates_text in rows:
        key = (shares_text, candidates_text)
        parts = known.get(key)
        if parts is None:
            parts = known[key] = _shares_and_credits(*key)
        pots = tuple(rules.pot_of(row[:-1]) for row in orjson.loads(pots_text)) if pots_text else None
        found[line_id] = Standing(pk, state, *parts, rate_bp, pots, member_id, sequence, decided_at)
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


HISTORIES = """
    SELECT line_id, member_id, reason, decided_at FROM attribution_decision
    WHERE line_id = ANY(%s::bigint[]) ORDER BY line_id, sequence
"""


def _histories(line_ids: Sequence[int]) -> dict[int, Seen]:
    """Of lines that were decided more than once. Recognising the buyer and fitting the fee to another store go on from the
    decision before; any other one was taken anew on what was known by then."""
    found: dict[int, Seen] = {}
    for line_id, member_id, reason, decided_at in db.read(HISTORIES, [db.array(line_ids)]):
        if reason == RECOGNISED:
            found[line_id] = found[line_id]._replace(linked_at=decided_at)
        elif reason != REFITTED:
            found[line_id] = Seen(decided_at, member_id is None)
    return found


REFUNDS = """
    SELECT line_id, amount_fen FROM members_refund
    WHERE line_id = ANY(%s::bigint[]) AND status = 'APPLIED' ORDER BY line_id, refunded_at, refund_no
"""


def refunds(lines: Iterable[evidence.Line]) -> dict[int, list[int]]:
    """In fen, in the order in which they count."""
    ids = [line.id for line in lines if line.refunded_fen]
    found: dict[int, list[int]] = {}
    for line_id, amount_fen in db.read(REFUNDS, [db.array(ids)]) if ids else ():
        found.setdefault(line_id, []).append(amount_fen)
    return found
