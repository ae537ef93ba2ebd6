"""Worked examples 2, 7, 9, 15, 16, 20 and 21: coupons, refunds, exchanges, points and a failed group, on posted money."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from attribution import commissions, rules
from tests.factories.orders import changed, live, order, owed, product_of, refund, rule, touch, vest
from tests.factories.shops import Shops, bind

AT = dt.datetime(2026, 5, 10, 4, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
A, B = "G00001", "G00002"


@pytest.fixture
def between(company: Shops) -> Shops:
    """林小满 is bound to B; A sells to her at the till of S1."""
    bind(company.members["林小满"], company.guides["B"], company.stores["S2"])
    return company


def test_example_02_an_order_coupon_over_three_lines(company: Shops) -> None:
    """50.00 off 199.00, 59.90 and 35.00; main 5 %, accessories 3 %: 8.26 + 1.49 + 0.87 = 10.62."""
    rule(rates={(None, "ACCESSORY"): 300})
    listed = (19_900, 5_990, 3_500)
    [parts] = commissions.allocate_discounts(listed, [5_000])
    assert parts == [3_386, 1_019, 595]
    bases = [fen - part for fen, part in zip(listed, parts, strict=True)]
    assert (bases, sum(bases)) == ([16_514, 4_971, 2_905], 24_390)
    products = (product_of("TEA"), product_of("CUP", "ACCESSORY"), product_of("BAG", "ACCESSORY"))
    lines = order(company, *bases, at=AT, store="S1", cashier=A, products=products)
    assert [owed(line) for line in lines] == [{A: 826}, {A: 149}, {A: 87}]
    assert owed(*lines) == {A: 1_062}


def test_example_07_one_of_two_units_comes_back_before_vesting(between: Shops) -> None:
    """15.90 = 11.13 + 4.77; the return takes 5.57 and 2.38; 5.56 and 2.39 stay."""
    rule(mode="SPLIT")
    [line] = order(between, 31_800, at=AT, store="S1", cashier=A, member="林小满")
    assert owed(line) == {A: 1_113, B: 477}
    refund(between, line, 15_900, AT + DAY)
    assert owed(line) == {A: 556, B: 239}


def test_example_09_three_refunds_of_one_line_end_at_nothing(between: Shops) -> None:
    """3.5 % of 100.00 by 60/25/15: the third part is the delegate's of B."""
    rule(mode="SPLIT", rate_bp=350, seller_bp=6_000, service_bp=4_000)
    between.guides["B"].delegations.create(delegate=between.guides["M"], started_at=AT - DAY, delegate_bp=3_750)
    [line] = order(between, 10_000, at=AT, store="S1", cashier=A, member="林小满")
    seen = [owed(line)]
    for fen in (3_333, 3_333, 3_334):
        refund(between, line, fen, AT + DAY)
        seen.append(owed(line))
    assert seen == [
        {A: 210, B: 88, "G00004": 52},
        {A: 140, B: 58, "G00004": 35},
        {A: 70, B: 29, "G00004": 18},
        {},
    ]


@pytest.mark.parametrize(
    ("fen", "weights", "expected"),
    [
        (30, (6_000, 4_000, 3_750), (1, 1, 0)),
        (99, (6_000, 4_000, 3_750), (3, 1, 1)),
        (199, (3_334, 6_666, 5_000), (4, 3, 3)),
    ],
)
def test_example_15_tiny_amounts(
    between: Shops, fen: int, weights: tuple[int, int, int], expected: tuple[int, int, int]
) -> None:
    seller, service, delegate = weights
    rule(mode="SPLIT", seller_bp=seller, service_bp=service)
    between.guides["B"].delegations.create(delegate=between.guides["M"], started_at=AT - DAY, delegate_bp=delegate)
    [line] = order(between, fen, at=AT, store="S1", cashier=A, member="林小满")
    assert owed(line) == {who: fen for who, fen in zip((A, B, "G00004"), expected, strict=True) if fen}


@pytest.mark.parametrize(("new_fen", "left"), [(34_900, 1_745), (25_900, 1_295)])
def test_example_16_an_exchange_within_the_line_keeps_the_guide(company: Shops, new_fen: int, left: int) -> None:
    """299.00 -> 349.00: +2.50 to the same guide; 299.00 -> 259.00: -2.00."""
    [line] = order(company, 29_900, at=AT, store="S1", cashier=A)
    assert owed(line) == {A: 1_495}
    changed(line, paid_fen=new_fen, list_fen=new_fen)
    assert owed(line) == {A: left}
    assert live(line).sequence == 1


def test_example_16_an_exchange_by_a_new_order_is_decided_as_of_the_first_payment(company: Shops) -> None:
    """The touch of then counts although it has expired since; an exchange of the exchange leads back to the first order."""
    touch(company, "A", "林小满", AT - DAY)
    order(company, 29_900, at=AT, member="林小满", order_no="OLD")
    bind(company.members["林小满"], company.guides["B"], company.stores["S2"], AT + DAY)
    [plain] = order(company, 34_900, at=AT + 20 * DAY, member="林小满")
    [new] = order(company, 34_900, at=AT + 20 * DAY, member="林小满", order_no="NEW", exchange_of="OLD")
    [third] = order(company, 25_900, at=AT + 25 * DAY, member="林小满", exchange_of="NEW")
    assert (owed(plain), owed(new), owed(third)) == ({B: 1_745}, {A: 1_745}, {A: 1_295})
    assert (live(new).as_of, live(third).as_of) == (AT, AT)
    [strange] = order(company, 10_000, at=AT + 20 * DAY, member="林小满", exchange_of="NEVER-SEEN")
    assert (owed(strange), live(strange).as_of) == ({B: 500}, AT + 20 * DAY)


def test_example_20_coupon_points_and_freight_are_no_base(company: Shops) -> None:
    """List 399.00, HQ coupon 40.00, points 15.00, freight 12.00: base 344.00, 17.20."""
    values: dict[str, Any] = {"list_fen": 39_900, "discounts": {"HQ": 4_000}, "points_fen": 1_500, "freight_fen": 1_200}
    [line] = order(company, 35_900, at=AT, store="S1", cashier=A, **values)
    assert (live(line).base_fen, owed(line)) == (34_400, {A: 1_720})
    rule(base="PAID", since=AT + DAY)
    [whole] = order(company, 35_900, at=AT + 2 * DAY, store="S1", cashier=A, **values)
    assert (live(whole).base_fen, owed(whole)) == (35_900, {A: 1_795})
    changed(whole, points_fen=2_500)
    assert owed(whole) == {A: 1_795}  # the base of then is still the base


def test_example_21_a_group_that_fails_after_three_have_paid(company: Shops) -> None:
    """Three provisional holds are voided, nobody has any credit left."""
    lines = [
        order(company, 9_900, at=AT, channel="PINDUODUO", cashier=A, group_no="T1", group_state="FORMING")[0]
        for _ in range(3)
    ]
    assert owed(*lines) == {A: 3 * 495}
    for line in lines:
        changed(line, group_state="FAILED")
        assert (live(line).state, live(line).reason) == ("INELIGIBLE", "IS_GROUP_FAILED")
    assert owed(*lines) == {}


def test_a_refund_after_vesting_takes_a_capped_pot_back_only_below_the_cap(company: Shops) -> None:
    """The cap of the decision is the cap of its refunds, before and after vesting."""
    rule(cap_fen=1_000)
    [line] = order(company, 40_000, at=AT, store="S1", cashier=A, completed_at=AT)
    assert owed(line) == {A: 1_000}
    refund(company, line, 10_000, AT + DAY)
    assert owed(line) == {A: 1_000}
    vest(line)
    refund(company, line, 20_000, AT + 2 * DAY)
    assert owed(line) == {A: 500}
    assert [rules.pot_of(row[:-1]).cap_fen for row in live(line).pots or ()] == [1_000]
