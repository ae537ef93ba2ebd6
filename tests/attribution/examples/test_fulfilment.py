"""Worked examples 12, 13 and 14: a franchisee's share, pick-up and shipping by another store, on posted money."""

from __future__ import annotations

import datetime as dt

from attribution import queries, rules
from attribution.models import Decision, Txn
from tests.factories.orders import balance, changed, live, order, owed, refund, rule, vest
from tests.factories.shops import Shops, bind, hire

AT = dt.datetime(2026, 5, 10, 4, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
A, G = "G00001", "G00003"


def tree(decision: Decision) -> list[tuple[str, int, int, int]]:
    rows = rules.payables(queries.decision_of(decision))
    return [(row.beneficiary, row.gross_fen, row.out_fen, row.net_fen) for row in rows]


def test_example_12_a_franchisees_member_buys_in_hqs_shop(company: Shops) -> None:
    """F gross 256.00, its guide 64.00 out of that, net 192.00; a refund of 399.00 leaves 176.20, 44.05 and 132.15."""
    rule(entity_share_bp=2_000)
    bind(company.members["林小满"], company.guides["F"], company.stores["F1"])
    [line] = order(company, 128_000, at=AT, channel="TMALL", member="林小满")
    assert owed(line) == {G: 6_400, "ENTITY:FE": 19_200}
    assert tree(live(line)) == [("ENTITY:FE", 25_600, 6_400, 19_200), (G, 6_400, 0, 6_400)]
    refund(company, line, 39_900, AT + DAY)
    assert owed(line) == {G: 4_405, "ENTITY:FE": 13_215}


def test_example_13_picked_up_at_a_franchised_store(company: Shops) -> None:
    """459.00: the guide 22.95 of the brand's budget; F1 9.18 of the online shop's, of which its clerk has 2.75."""
    rule(fulfil_fee_bp=200, fulfil_store_bp=7_000)
    bind(company.members["林小满"], company.guides["A"], company.stores["S1"])
    clerk = hire("G00077", "取货店员", company.stores["F1"])
    [line] = order(
        company, 45_900, at=AT, member="林小满", fulfil_store="F1", delivery_mode="PICKUP",
        details={"fulfil_clerk": clerk.code},
    )  # fmt: skip
    assert owed(line) == {A: 2_295, "STORE:F1": 643, "G00077": 275}
    assert sum(owed(line).values()) == 3_213
    assert (balance("X:budget:brand"), balance("X:budget:ecom")) == (-2_295, -918)
    assert tree(live(line)) == [
        (A, 2_295, 0, 2_295), ("STORE:F1", 918, 275, 643), ("G00077", 275, 0, 275),
    ]  # fmt: skip


def test_example_14_a_parcel_from_a_store_and_one_from_the_warehouse(company: Shops) -> None:
    """299.00 from F1 at 1.5 %, 160.00 from the warehouse; the first comes back: F1 keeps its fee, the work is done."""
    rule(layers=[{"store": company.stores["F1"], "fulfil_fee_bp": 150}])
    bind(company.members["林小满"], company.guides["A"], company.stores["S1"])
    first, second = order(company, 29_900, 16_000, at=AT, member="林小满")
    changed(first, fulfil_store=company.stores["F1"], delivery_mode="STORE_SHIP")
    assert (owed(first), owed(second)) == ({A: 1_495, "STORE:F1": 449}, {A: 800})
    refund(company, first, 29_900, AT + DAY)
    assert (owed(first), owed(second)) == ({"STORE:F1": 449}, {A: 800})


def test_example_14_where_the_rule_takes_the_fee_back(company: Shops) -> None:
    rule(fulfil_fee_bp=150, fulfil_keeps=False)
    [line] = order(company, 29_900, at=AT, cashier=A, fulfil_store="F1")
    assert owed(line) == {A: 1_495, "STORE:F1": 449}
    refund(company, line, 10_000, AT + DAY)
    assert owed(line) == {A: 995, "STORE:F1": 299}
    refund(company, line, 19_900, AT + 2 * DAY)
    assert owed(line) == {}


def test_the_store_that_ships_is_known_later(company: Shops) -> None:
    """The winner and the commission stay as posted, whatever has happened since; only the fee is added, moved, withdrawn."""
    rule(fulfil_fee_bp=150)
    [line] = order(company, 29_900, at=AT, cashier=A, completed_at=AT)
    vest(line)
    accrued = Txn.objects.filter(line_id=line.pk).count()
    bind(company.members["林小满"], company.guides["B"], company.stores["S2"])
    changed(line, fulfil_store=company.stores["F1"])
    assert (owed(line), live(line).sequence, live(line).reason) == ({A: 1_495, "STORE:F1": 449}, 2, "FULFILMENT_KNOWN")
    assert Txn.objects.filter(line_id=line.pk).count() == accrued + 1
    changed(line, fulfil_store=company.stores["S2"])
    assert owed(line) == {A: 1_495, "STORE:S2": 449}
    refund(company, line, 29_900, AT + DAY)
    assert owed(line) == {"STORE:S2": 449}
    changed(line, is_voided=True)
    assert owed(line) == {}
    assert [d.state for d in Decision.objects.filter(line_id=line.pk).order_by("sequence")] == [
        "SUPERSEDED", "SUPERSEDED", "SUPERSEDED", "INELIGIBLE",
    ]  # fmt: skip
