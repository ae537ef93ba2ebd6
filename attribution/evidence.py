"""Evidence (证据): what was known about a line as of its payment, read for many lines at once.

1. Everything is read as of ``paid_at``: the binding, the employment, the delegation whose interval covers it. What began
   or ended later does not count, whenever it was recorded.
2. One line and a million are read by the same queries; posting and replay use the same facts.
3. The shop that took the order is the line's store's company, or HQ for a channel without a store.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from attribution import rulebook, rules
from scrm import db

LineKey = tuple[int, dt.date]  # id and booked_on: the primary key of a partitioned line


class Line(NamedTuple):
    """A line as it stands, and the binding that covers its payment."""

    id: int
    booked_on: dt.date
    channel: str
    shop: str
    order_no: str
    line_no: int
    version_at: dt.datetime
    created_at: dt.datetime
    paid_at: dt.datetime
    completed_at: dt.datetime | None
    paid_fen: int
    points_fen: int
    refunded_fen: int
    is_test: bool
    is_gift_card: bool
    is_wholesale: bool
    is_staff_price: bool
    is_voided: bool
    risk_mark: str
    cashier_code: str
    buyer_mobile_index: str
    buyer_unionid: str
    member_id: int | None
    store_id: int | None
    product_id: int
    home_store_id: int | None
    binding_id: int | None
    binding_guide_id: int | None
    binding_store_id: int | None
    binding_from: dt.datetime | None
    binding_until: dt.datetime | None
    last_paid_at: dt.datetime | None


class Case(NamedTuple):
    """One line with all that ``rules.decide`` needs."""

    line: Line
    facts: rules.OrderFacts
    evidence: rules.Evidence
    version: rulebook.Version
    rule: rules.Rule  # the version's, resolved for this line


# The binding's validity counts from the last purchase before this one; read only when a rule limits it.
LAST_PURCHASE = """
    (SELECT max(e.paid_at) FROM members_orderline e WHERE e.member_id = l.member_id AND e.paid_at < l.paid_at)
"""

# Only look-ups by key: tables that are small (stores, products, guides) are read beside it, so that no plan ever
# multiplies them with the lines.
LINES = """
    SELECT l.id, l.booked_on, l.channel, o.shop, o.order_no, l.line_no, l.version_at, l.created_at, l.paid_at,
           l.completed_at, l.paid_fen, l.points_fen, l.refunded_fen, l.is_test, l.is_gift_card, l.is_wholesale,
           l.is_staff_price, l.is_voided, l.risk_mark, l.cashier_code, l.buyer_mobile_index, l.buyer_unionid,
           l.member_id, l.store_id, l.product_id, m.home_store_id,
           b.id, b.guide_id, b.store_id, b.started_at, b.ended_at, {last_purchase}
    FROM unnest(%s::bigint[], %s::date[]) k(id, booked_on)
    JOIN members_orderline l ON l.id = k.id AND l.booked_on = k.booked_on
    JOIN members_order o ON o.id = l.order_id
    LEFT JOIN members_member m ON m.id = l.member_id
    LEFT JOIN LATERAL (
        SELECT b.id, b.guide_id, b.store_id, b.started_at, b.ended_at FROM guides_binding b
        WHERE b.member_id = m.id AND b.brand_id = m.brand_id
          AND b.started_at <= l.paid_at AND (b.ended_at IS NULL OR b.ended_at > l.paid_at)
        ORDER BY b.started_at DESC LIMIT 1
    ) b ON true
    ORDER BY l.id
"""


def load(keys: Sequence[LineKey], book: rulebook.Book) -> list[Case]:
    """The cases of the lines, in the order of their ids. Raises rulebook.NoRule."""
    lines = _read_lines(keys, book)
    around = Surroundings(lines)
    return [_case(line, around, book.at(line.paid_at)) for line in lines]


def _read_lines(keys: Sequence[LineKey], book: rulebook.Book) -> list[Line]:
    is_limited = any(version.binding_validity_days is not None for version in book.versions)
    query = LINES.format(last_purchase=LAST_PURCHASE if is_limited else "NULL::timestamptz")
    rows = db.read(query, [db.array(key[0] for key in keys), db.array(key[1] for key in keys)])
    return [Line._make(row) for row in rows]


class Surroundings:
    """The stores, products and guides that some lines name."""

    def __init__(self, lines: Sequence[Line]) -> None:
        store_ids = {line.store_id for line in lines} | {line.home_store_id for line in lines}
        store_ids |= {line.binding_store_id for line in lines}
        self.stores: dict[int | None, tuple[str, str]] = {
            store_id: (code, entity) for store_id, code, entity in db.read(STORES, [_ids(store_ids)])
        }
        self.products: dict[int, tuple[str, str | None]] = {
            product_id: (sku, category)
            for product_id, sku, category in db.read(PRODUCTS, [_ids({line.product_id for line in lines})])
        }
        codes = {line.cashier_code for line in lines if line.cashier_code}
        self.cashiers: dict[str, int] = dict(db.read(CASHIERS, [sorted(codes)]))
        self.overrides = _read_overrides(lines)
        guide_ids = {line.binding_guide_id for line in lines} | set(self.cashiers.values())
        self.staff = Staff.read(guide_ids | {row[1] for row in self.overrides.values()})

    def store_code(self, store_id: int | None) -> str | None:
        return self.stores[store_id][0] if store_id else None


def _case(line: Line, around: Surroundings, version: rulebook.Version) -> Case:
    sku, category = around.products[line.product_id]
    facts = rules.OrderFacts(
        channel=line.channel,
        shop=line.shop,
        order_no=line.order_no,
        line_no=str(line.line_no),
        version=line.version_at,
        paid_at=line.paid_at,
        paid_fen=line.paid_fen,
        created_at=line.created_at,
        completed_at=line.completed_at,
        sku=sku,
        category=category,
        points_fen=line.points_fen,
        store=around.store_code(line.store_id),
        shop_entity=around.stores[line.store_id][1] if line.store_id else rules.HQ_ENTITY,
        cashier=line.cashier_code or None,
        buyer_keys=_buyer_keys(line),
        risk_mark=line.risk_mark,
        is_test=line.is_test,
        is_gift_card=line.is_gift_card,
        is_wholesale=line.is_wholesale,
        is_staff_price=line.is_staff_price,
        is_voided=line.is_voided,
    )
    cashier_id = around.cashiers.get(line.cashier_code)
    evidence = rules.Evidence(
        member=line.member_id,
        override=_override(line, around) if line.id in around.overrides else None,
        cashier=around.staff.fact(cashier_id, line.paid_at) if cashier_id else None,
        binding=_binding(line, around, version) if line.binding_id else None,
        home_store=around.store_code(line.home_store_id),
    )
    return Case(line, facts, evidence, version, version.rule_for(facts))


def _override(line: Line, around: Surroundings) -> rules.OverrideFact:
    """Whom two people named; only approved ones are read."""
    override_id, guide_id, requested_by, approved_by = around.overrides[line.id]
    return rules.OverrideFact(override_id, around.staff.fact(guide_id, line.paid_at), requested_by, approved_by)


def _read_overrides(lines: Sequence[Line]) -> dict[int, tuple[int, int, str, str]]:
    """The latest approved override of each line."""
    rows = db.read(OVERRIDES, [db.array(line.id for line in lines)])
    return {line_id: (pk, guide_id, asked, approved) for line_id, pk, guide_id, asked, approved in rows}


def _buyer_keys(line: Line) -> frozenset[str]:
    keys = []
    if line.member_id:
        keys.append(f"member:{line.member_id}")
    if line.buyer_mobile_index:
        keys.append(f"mobile:{line.buyer_mobile_index}")
    if line.buyer_unionid:
        keys.append(f"unionid:{line.buyer_unionid}")
    return frozenset(keys)


def _binding(line: Line, around: Surroundings, version: rulebook.Version) -> rules.BindingFact:
    assert line.binding_id and line.binding_guide_id and line.binding_from
    staff = around.staff
    guide = staff.fact(line.binding_guide_id, line.paid_at)
    delegation = staff.delegation(line.binding_guide_id, line.paid_at)
    valid_until = None
    if version.binding_validity_days is not None:
        renewed_at = max(line.binding_from, line.last_paid_at or line.binding_from)
        valid_until = renewed_at + dt.timedelta(days=version.binding_validity_days)
    return rules.BindingFact(
        id=line.binding_id,
        store=around.store_code(line.binding_store_id),
        started_at=line.binding_from,
        ended_at=line.binding_until,
        guide=guide,
        valid_until=valid_until,
        delegate=staff.fact(delegation[0], line.paid_at) if delegation else None,
        delegate_bp=delegation[1] if delegation else 5_000,
        # the customer still stands with a guide who has left: nobody has been assigned yet
        is_transfer_pending=not guide.is_employed,
    )


class Staff:
    """The guides that some lines name: who they are, where they worked and who stood in for them, over all time."""

    def __init__(self) -> None:
        self._codes: dict[int, str] = {}
        self._keys: dict[int, frozenset[str]] = {}
        self._employments: dict[int, list[tuple[dt.datetime, dt.datetime | None, str, str]]] = defaultdict(list)
        self._delegations: dict[int, list[tuple[dt.datetime, dt.datetime | None, int, int]]] = defaultdict(list)
        self._facts: dict[tuple[int, int], rules.GuideFact] = {}  # few distinct facts serve many lines

    @classmethod
    def read(cls, guide_ids: Iterable[int | None]) -> Staff:
        staff = cls()
        ids = [guide_id for guide_id in guide_ids if guide_id]
        delegations = db.read(DELEGATIONS, [_ids(ids)])
        for guide_id, started_at, ended_at, delegate_id, delegate_bp in delegations:
            staff._delegations[guide_id].append((started_at, ended_at, delegate_id, delegate_bp))
            ids.append(delegate_id)
        for guide_id, code, mobile_index, unionid, member_ids in db.read(GUIDES, [_ids(ids)]):
            staff._codes[guide_id] = code
            keys = [f"member:{member_id}" for member_id in member_ids or ()]
            keys += [f"mobile:{mobile_index}"] if mobile_index else []
            keys += [f"unionid:{unionid}"] if unionid else []
            staff._keys[guide_id] = frozenset(keys)
        for guide_id, started_at, ended_at, store, entity in db.read(EMPLOYMENTS, [_ids(ids)]):
            staff._employments[guide_id].append((started_at, ended_at, store, entity))
        return staff

    def fact(self, guide_id: int, at: dt.datetime) -> rules.GuideFact:
        """The guide as she was at that moment."""
        which = -1
        for index, (started_at, ended_at, _store, _entity) in enumerate(self._employments[guide_id]):
            if started_at <= at and (ended_at is None or at < ended_at):
                which = index
                break
        fact = self._facts.get((guide_id, which))
        if fact is None:
            fact = self._facts[guide_id, which] = self._make(guide_id, which)
        return fact

    def delegation(self, guide_id: int, at: dt.datetime) -> tuple[int, int] | None:
        """The delegate and her share in bp while the guide is on leave."""
        for started_at, ended_at, delegate_id, delegate_bp in self._delegations.get(guide_id, ()):
            if started_at <= at and (ended_at is None or at < ended_at):
                return delegate_id, delegate_bp
        return None

    def _make(self, guide_id: int, which: int) -> rules.GuideFact:
        code, keys = self._codes[guide_id], self._keys[guide_id]
        if which < 0:
            return rules.GuideFact(code, None, is_employed=False, keys=keys)
        _, _, store, entity = self._employments[guide_id][which]
        return rules.GuideFact(code, store, entity=entity, keys=keys)


# A guide who is a member herself is found by her mobile number or unionid, so that she cannot serve herself.
GUIDES = """
    SELECT g.id, g.code, g.mobile_index, g.unionid, (
        SELECT array_agg(i.member_id) FROM members_identity i
        WHERE i.value IN (g.mobile_index, g.unionid) AND i.kind IN ('MOBILE', 'UNIONID')
    )
    FROM guides_guide g WHERE g.id = ANY(%s)
"""

EMPLOYMENTS = """
    SELECT t.guide_id, t.started_at, t.ended_at, s.code, CASE e.kind WHEN 'HQ' THEN 'HQ' ELSE e.code END
    FROM guides_employment t JOIN scrm_store s ON s.id = t.store_id JOIN scrm_legalentity e ON e.id = s.entity_id
    WHERE t.guide_id = ANY(%s) ORDER BY t.guide_id, t.started_at DESC
"""


DELEGATIONS = """
    SELECT guide_id, started_at, ended_at, delegate_id, delegate_bp FROM guides_delegation WHERE guide_id = ANY(%s)
"""

OVERRIDES = """
    SELECT DISTINCT ON (line_id) line_id, id, guide_id, requested_by_id::text, answered_by_id::text
    FROM attribution_override WHERE line_id = ANY(%s::bigint[]) AND status = 'APPROVED' ORDER BY line_id, answered_at DESC, id DESC
"""

STORES = """
    SELECT s.id, s.code, CASE e.kind WHEN 'HQ' THEN 'HQ' ELSE e.code END
    FROM scrm_store s JOIN scrm_legalentity e ON e.id = s.entity_id WHERE s.id = ANY(%s)
"""

PRODUCTS = """
    SELECT p.id, p.sku, c.code FROM members_product p LEFT JOIN members_category c ON c.id = p.category_id
    WHERE p.id = ANY(%s)
"""

CASHIERS = "SELECT code, id FROM guides_guide WHERE code = ANY(%s)"


def _ids(ids: Iterable[int | None]) -> list[int]:
    return sorted({one for one in ids if one})
