"""From lines to cases: everything that surrounds some lines is read once, then each line gets its facts and its evidence."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from attribution import rulebook, rules
from attribution.evidence import lines as reading
from attribution.evidence import touched
from attribution.evidence.lines import Line, LineKey, Origin
from attribution.evidence.staff import Staff
from scrm import db


class Case(NamedTuple):
    """One line with all that ``rules.decide`` needs."""

    line: Line
    facts: rules.OrderFacts
    evidence: rules.Evidence
    version: rulebook.Version
    rule: rules.Rule  # the version's, resolved for this line
    stores: Mapping[str, int]  # ids by code, of every store that the evidence of the batch names


def everything(_line: Line) -> dt.datetime | None:
    """``seen`` of lines that wait for their decision."""
    return None


@dataclass(frozen=True, slots=True)
class Reading:
    """Lines in the order of their ids, each with its version, and what surrounds them all."""

    lines: list[Line]
    versions: list[rulebook.Version]
    around: Surroundings

    def case(self, line: Line, version: rulebook.Version) -> Case:
        return _case(line, self.around, version)

    def cases(self) -> list[Case]:
        around = self.around
        return [_case(line, around, version) for line, version in zip(self.lines, self.versions, strict=True)]


def load(keys: Sequence[LineKey], book: rulebook.Book) -> list[Case]:
    """The cases of the lines, in the order of their ids. Raises rulebook.NoRule."""
    return read(keys, book).cases()


def read(
    keys: Sequence[LineKey],
    book: rulebook.Book,
    *,
    seen: touched.Seen = everything,
    of_nobody: bool = False,
    staff: Staff | None = None,
) -> Reading:
    """Everything about the lines, each of which may become a case. Raises rulebook.NoRule.

    ``seen``: when a line was decided, for a decision taken again on what was known then. ``of_nobody``: what was known of
    the lines before anybody knew their buyers. ``staff``: the guides that the same run has read before.
    """
    lines, origins = reading.read(keys, book, of_nobody=of_nobody)
    versions = [book.at(line.as_of) for line in lines]
    return Reading(lines, versions, Surroundings(lines, versions, origins, seen, staff or Staff()))


class Surroundings:
    """The stores, products, guides, touches and overrides that some lines name."""

    def __init__(
        self,
        lines: Sequence[Line],
        versions: Sequence[rulebook.Version],
        origins: dict[int, Origin],
        seen: touched.Seen,
        staff: Staff,
    ) -> None:
        store_ids: set[int | None] = set()
        for line in lines:
            store_ids.update((line.store_id, line.home_store_id, line.binding_store_id, line.fulfil_store_id))
        self.origins = origins
        self.stores: dict[int | None, tuple[str, str]] = {}
        self.store_ids: dict[str, int] = {}
        stores, products, overrides = db.read_together(
            (STORES, [_ids(store_ids)]),
            (PRODUCTS, [_ids(line.product_id for line in lines)]),
            (OVERRIDES, [db.array(line.id for line in lines)]),
        )
        for store_id, code, entity in stores:
            self.stores[store_id] = code, entity
            self.store_ids[code] = store_id
        self.products: dict[int, tuple[str, str | None]] = {pk: (sku, category) for pk, sku, category in products}
        # the latest approved override of each line
        self.overrides: dict[int, tuple[int, int, str, str]] = {
            line_id: (pk, guide_id, asked, approved) for line_id, pk, guide_id, asked, approved in overrides
        }
        codes = {line.cashier_code for line in lines} | {line.clerk_code for line in lines}
        self.by_code = touched.guide_ids(code for code in codes if code)
        self.touches = _read_touches(lines, versions, origins, seen)
        guide_ids = {line.binding_guide_id for line in lines} | set(self.by_code.values())
        guide_ids |= {row[1] for row in self.overrides.values()}
        guide_ids |= {guide_id for pairs in self.touches.values() for _, guide_id in pairs}
        self.staff = staff
        staff.add(guide_ids)
        self.successors = _read_successors(lines, versions, self.staff)
        self.store_ids |= self.staff.store_ids

    def store_code(self, store_id: int | None) -> str | None:
        return self.stores[store_id][0] if store_id else None

    def place(self, line: Line) -> rules.Place:
        """Which layers fit the line, and which touches."""
        sku, category = self.products[line.product_id]
        store, company = self.stores[line.store_id] if line.store_id else (None, rules.HQ_ENTITY)
        fulfil, fulfiller = self.stores[line.fulfil_store_id] if line.fulfil_store_id else (None, None)
        return rules.Place(
            line.campaign, sku, category, line.channel, store, company, fulfil, fulfiller, line.live_no or None,
            line.group_no or None,
        )  # fmt: skip

    def may_be_guide(self, line: Line) -> bool:
        """Whether the buyer has an identity of any guide who was read."""
        keys = self.staff.all_keys
        return bool(keys) and not keys.isdisjoint(_buyer_keys(line))


def _case(line: Line, around: Surroundings, version: rulebook.Version) -> Case:
    sku, category = around.products[line.product_id]
    shop = around.stores[line.store_id] if line.store_id else None
    fulfil = around.stores[line.fulfil_store_id] if line.fulfil_store_id else None
    origin = around.origins.get(line.id)
    facts = rules.OrderFacts(
        channel=line.channel,
        shop=line.shop,
        order_no=line.order_no,
        line_no=str(line.line_no),
        version=line.version_at,
        paid_at=line.as_of,
        paid_fen=line.paid_fen,
        created_at=origin.created_at if origin else line.created_at,
        completed_at=line.completed_at,
        sku=sku,
        category=category,
        points_fen=line.points_fen,
        store=shop[0] if shop else None,
        shop_entity=shop[1] if shop else rules.HQ_ENTITY,
        fulfil_store=fulfil[0] if fulfil else None,
        fulfil_entity=fulfil[1] if fulfil else None,
        campaign=line.campaign,
        cashier=line.cashier_code or None,
        live_no=line.live_no or None,
        group_no=line.group_no or None,
        buyer_keys=_buyer_keys(line),
        risk_mark=line.risk_mark,
        is_test=line.is_test,
        is_gift_card=line.is_gift_card,
        is_wholesale=line.is_wholesale,
        is_staff_price=line.is_staff_price,
        is_voided=line.is_voided,
        is_group_failed=line.group_state == "FAILED",
    )
    staff, as_of = around.staff, line.as_of
    cashier_id = around.by_code.get(line.cashier_code)
    clerk_id = around.by_code.get(line.clerk_code) if line.clerk_code else None
    pairs = around.touches.get(line.id)
    evidence = rules.Evidence(
        member=line.member_id,
        override=_override(line, around) if line.id in around.overrides else None,
        cashier=staff.fact(cashier_id, as_of) if cashier_id else None,
        touches=tuple([(touch, staff.fact(guide_id, as_of)) for touch, guide_id in pairs]) if pairs else (),
        binding=_binding(line, around, version) if line.binding_id else None,
        home_store=around.store_code(line.home_store_id),
        clerk=staff.fact(clerk_id, as_of) if clerk_id else None,
    )
    return Case(line, facts, evidence, version, version.rule_for(facts), around.store_ids)


def _override(line: Line, around: Surroundings) -> rules.OverrideFact:
    """Whom two people named; only approved ones are read."""
    override_id, guide_id, requested_by, approved_by = around.overrides[line.id]
    return rules.OverrideFact(override_id, around.staff.fact(guide_id, line.as_of), requested_by, approved_by)


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
    staff, as_of = around.staff, line.as_of
    ip = staff.ip(line.binding_guide_id, as_of)
    guide = None if ip else staff.fact(line.binding_guide_id, as_of)
    delegation = staff.delegation(line.binding_guide_id, as_of)
    successor_id = around.successors.get(line.id)
    return rules.BindingFact(
        id=line.binding_id,
        store=around.store_code(line.binding_store_id),
        started_at=line.binding_from,
        ended_at=line.binding_until,
        guide=guide,
        ip=ip,
        valid_until=valid_until(line, version),
        delegate=staff.fact(delegation[0], as_of) if delegation else None,
        delegate_bp=delegation[1] if delegation else 5_000,
        # the customer still stands with a guide who has left: nobody has been assigned yet
        is_transfer_pending=guide is not None and not guide.is_employed,
        successor=staff.fact(successor_id, as_of) if successor_id else None,
    )


def valid_until(line: Line, version: rulebook.Version) -> dt.datetime | None:
    """When the line's binding would have ended for want of anything that renews it; None: never."""
    if version.binding_validity_days is None:
        return None
    assert line.binding_from
    since = line.binding_from
    renewed_at = max(since, line.last_paid_at or since, line.last_act_at or since)
    return renewed_at + dt.timedelta(days=version.binding_validity_days)


def _read_touches(
    lines: Sequence[Line], versions: Sequence[rulebook.Version], origins: dict[int, Origin], seen: touched.Seen
) -> dict[int, touched.Touches]:
    """Of the lines whose version has a mode that looks at touches."""
    backs = {
        version.id: touched.seconds_back(version.layers.longest_window) if version.layers.uses_touches else None
        for version in versions
    }
    asked, back = [], []
    for line, version in zip(lines, versions, strict=True):
        seconds = backs[version.id]
        if seconds is not None:
            asked.append(line)
            back.append(seconds)
    return touched.read(asked, origins, back, seen) if asked else {}


def _read_successors(lines: Sequence[Line], versions: Sequence[rulebook.Version], staff: Staff) -> dict[int, int]:
    """Who is to take the member over from a guide who has left, by the handover that was planned when the line was paid."""
    waiting = [
        line
        for line, version in zip(lines, versions, strict=True)
        if line.binding_guide_id and version.layers.has_gap_rule
        and not staff.fact(line.binding_guide_id, line.as_of).is_employed
    ]  # fmt: skip
    if not waiting:
        return {}
    columns = [
        db.array(line.id for line in waiting),
        db.array(line.binding_id for line in waiting if line.binding_id),
        db.array(line.as_of for line in waiting),
    ]
    found = dict(db.read(SUCCESSORS, columns))
    staff.add(found.values())
    return found


OVERRIDES = """
    SELECT DISTINCT ON (line_id) line_id, id, guide_id, requested_by_id::text, answered_by_id::text
    FROM attribution_override WHERE line_id = ANY(%s::bigint[]) AND status = 'APPROVED' ORDER BY line_id, answered_at DESC, id DESC
"""

SUCCESSORS = """
    SELECT DISTINCT ON (w.line_id) w.line_id, t.guide_id
    FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[]) w(line_id, binding_id, at)
    JOIN guides_binding b ON b.id = w.binding_id
    JOIN guides_handovercase c ON c.guide_id = b.guide_id AND c.planned_at <= w.at AND c.status <> 'CANCELLED'
    JOIN guides_handoveritem i ON i.case_id = c.id AND i.binding_id = w.binding_id
    JOIN guides_handovertaker t ON t.id = i.taker_id
    ORDER BY w.line_id, c.planned_at DESC, c.id DESC
"""

STORES = """
    SELECT s.id, s.code, CASE e.kind WHEN 'HQ' THEN 'HQ' ELSE e.code END
    FROM scrm_store s JOIN scrm_legalentity e ON e.id = s.entity_id WHERE s.id = ANY(%s::bigint[])
"""

PRODUCTS = """
    SELECT p.id, p.sku, c.code FROM members_product p LEFT JOIN members_category c ON c.id = p.category_id
    WHERE p.id = ANY(%s::bigint[])
"""


def _ids(ids: Iterable[int | None]) -> str:
    return db.array(sorted({one for one in ids if one}))
