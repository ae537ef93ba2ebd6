"""The arithmetic of commission: the worked examples and the invariants L7, L8, L9."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution import commissions
from attribution.commissions import Base, Role, Share

CASES = settings(max_examples=300, deadline=None)
fen = st.integers(min_value=0, max_value=10_000_000)


def shares_of(*weights: int) -> tuple[Share, ...]:
    roles = (Role.SELLER, Role.SERVICE, Role.DELEGATE, Role.IP, Role.HOME, Role.ENTITY, Role.HQ)
    return tuple(Share(roles[i], f"G{i:05}", "S1", weight) for i, weight in enumerate(weights))


@st.composite
def allocations(draw: st.DrawFn) -> tuple[Share, ...]:
    cuts = sorted(draw(st.lists(st.integers(0, 10_000), min_size=0, max_size=5)))
    weights = [b - a for a, b in zip([0, *cuts], [*cuts, 10_000], strict=True)]
    return shares_of(*weights)


def posted(state: commissions.LineState, base: int) -> tuple[list[int], commissions.LineState]:
    before = state.outstanding
    _, after = commissions.reprice(state, base)
    return [new - old for new, old in zip(after.outstanding, before, strict=True)], after


# Worked examples ------------------------------------------------------------------------------------------------------


def test_example_1_flat_rate() -> None:
    assert commissions.pot(29_900, 500) == 1_495


def test_example_2_order_coupon_over_lines() -> None:
    lines = [19_900, 5_990, 3_500]
    [parts] = commissions.allocate_discounts(lines, [5_000])
    assert parts == [3_386, 1_019, 595]
    bases = [line - part for line, part in zip(lines, parts, strict=True)]
    assert bases == [16_514, 4_971, 2_905]
    assert sum(bases) == 24_390
    pots = [commissions.pot(base, rate) for base, rate in zip(bases, (500, 300, 300), strict=True)]
    assert pots == [826, 149, 87]
    assert sum(pots) == 1_062


def test_example_3_odd_fen_goes_to_the_seller() -> None:
    assert commissions.pot(68_900, 500) == 3_445
    assert commissions.split(3_445, shares_of(7_000, 3_000)) == [2_412, 1_033]


def test_tie_order_is_that_of_roles_not_of_positions() -> None:
    backwards = tuple(reversed(shares_of(5_000, 5_000)))
    assert commissions.split(1, backwards) == [0, 1]


def test_equal_roles_tie_by_beneficiary_code() -> None:
    twins = (Share(Role.SELLER, "G00002", None, 5_000), Share(Role.SELLER, "G00001", None, 5_000))
    assert commissions.split(1, twins) == [0, 1]


def test_example_5_rate_with_half_a_fen() -> None:
    pot = commissions.pot(15_990, 350)
    assert pot == 560
    assert commissions.split(pot, shares_of(7_000, 3_000)) == [392, 168]


def test_example_6_two_pools() -> None:
    assert commissions.split(commissions.pot(25_800, 500), shares_of(5_000, 5_000)) == [645, 645]


def test_example_7_partial_refund_before_vesting() -> None:
    state = commissions.opening(shares_of(7_000, 3_000), 500)
    _, state = commissions.reprice(state, 2 * 15_900)
    assert state.outstanding == (1_113, 477)
    taken, state = posted(state, 15_900)
    assert taken == [-557, -238]
    assert state.outstanding == (556, 239)
    assert state.pot_fen == 795


@pytest.mark.parametrize(("cap_bp", "kept", "paid", "carried"), [(None, 4_310, 0, 2_185), (2_000, 862, 3_448, 5_633)])
def test_example_8_refund_after_settlement(cap_bp: int | None, kept: int, paid: int, carried: int) -> None:
    debt = commissions.pot(129_900, 500)
    assert debt == 6_495
    assert commissions.netting(debt, 4_310, cap_bp) == kept
    assert (4_310 - kept, debt - kept) == (paid, carried)


def test_example_9_three_refunds_end_at_zero() -> None:
    state = commissions.opening(shares_of(6_000, 2_500, 1_500), 350)
    _, state = commissions.reprice(state, 10_000)
    assert state.outstanding == (210, 88, 52)
    reversals, pots, refunded = [], [], 0
    for refund in (3_333, 3_333, 3_334):
        refunded += refund
        taken, state = posted(state, commissions.net_base(10_000, refunded))
        reversals.append(taken)
        pots.append(state.pot_fen)
    assert reversals == [[-70, -30, -17], [-70, -29, -17], [-70, -29, -18]]
    assert pots == [233, 117, 0]
    assert state.outstanding == (0, 0, 0)


def test_example_11_leave_halves() -> None:
    assert commissions.split(commissions.pot(88_800, 500), shares_of(5_000, 5_000)) == [2_220, 2_220]


def test_example_12_franchise_bears_its_guide() -> None:
    shares = (Share(Role.SERVICE, "G00001", "F1", 500 * 10_000), Share(Role.ENTITY, "ENTITY:F", None, 1_500 * 10_000))
    _, state = commissions.reprice(commissions.opening(shares, 2_000), 128_000)
    assert (state.pot_fen, state.outstanding) == (25_600, (6_400, 19_200))
    taken, state = posted(state, 128_000 - 39_900)
    assert taken == [-1_995, -5_985]
    assert (state.pot_fen, state.outstanding) == (17_620, (4_405, 13_215))


@pytest.mark.parametrize(
    ("base", "weights", "parts"),
    [
        (30, (6_000, 2_500, 1_500), [1, 1, 0]),
        (99, (6_000, 2_500, 1_500), [3, 1, 1]),
        (199, (1, 1, 1), [4, 3, 3]),
    ],
)
def test_example_15_tiny_amounts(base: int, weights: tuple[int, ...], parts: list[int]) -> None:
    assert commissions.split(commissions.pot(base, 500), shares_of(*weights)) == parts


@pytest.mark.parametrize(("new_base", "change"), [(34_900, 250), (25_900, -200)])
def test_example_16_exchange(new_base: int, change: int) -> None:
    _, state = commissions.reprice(commissions.opening(shares_of(10_000), 500), 29_900)
    adjustments, after = commissions.reprice(state, new_base)
    assert [(a.share.beneficiary, a.amount_fen) for a in adjustments] == [("G00000", change)]
    assert after.pot_fen == commissions.pot(new_base, 500)


def test_example_17_brand_ip_and_home_store() -> None:
    shares = (Share(Role.IP, "IP:main", None, 4_000), Share(Role.HOME, "STORE:S1", "S1", 6_000))
    assert commissions.split(commissions.pot(47_900, 500), shares) == [958, 1_437]


def test_example_20_base_without_coupon_points_and_freight() -> None:
    paid = 39_900 - 4_000  # freight of 12.00 is not part of the line
    assert commissions.line_base(paid, 1_500) == 34_400
    assert commissions.line_base(paid, 1_500, Base.PAID) == 35_900
    assert commissions.pot(34_400, 500) == 1_720


def test_example_23_marginal_steps() -> None:
    steps = [(2_000_000, 300), (5_000_000, 400), (None, 500)]
    month = commissions.tiered(6_123_456, steps)
    after = commissions.tiered(6_123_456 - 130_000, steps)
    assert (month, after, after - month) == (236_173, 229_673, -6_500)


# Edges ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("base", "pot"), [(0, 0), (9, 0), (10, 1), (29, 1), (30, 2)])
def test_pot_rounds_half_up(base: int, pot: int) -> None:
    assert commissions.pot(base, 500) == pot


def test_cap_of_zero_is_zero_and_none_is_no_cap() -> None:
    assert commissions.pot(29_900, 500, 0) == 0
    assert commissions.pot(29_900, 500, 1_000) == 1_000
    assert commissions.pot(29_900, 500, None) == 1_495


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: commissions.pot(-1, 500),
        lambda: commissions.line_base(100, 101),
        lambda: commissions.net_base(100, -1),
        lambda: commissions.apportion(1, (0, 0), (0, 1)),
        lambda: commissions.apportion(-1, (1, 1), (0, 1)),
        lambda: commissions.reversal(3, shares_of(1, 1), (1, 1)),
        lambda: commissions.allocate_discounts([100], [101]),
        lambda: commissions.tiered(101, [(100, 500)]),
    ],
)
def test_impossible_amounts_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        wrong()


def test_refund_above_the_base_leaves_zero() -> None:
    assert commissions.net_base(100, 101) == 0


def test_no_step_below_its_bound_is_paid_twice() -> None:
    assert commissions.tiered(100, [(100, 500), (None, 10_000)]) == 5
    assert commissions.tiered(0, []) == 0


# Invariants -----------------------------------------------------------------------------------------------------------


@given(pot=fen, shares=allocations())
@CASES
def test_l7_parts_sum_to_the_pot(pot: int, shares: tuple[Share, ...]) -> None:
    """L7: split parts sum to the pot and none is negative or more than a fen off its weight."""
    parts = commissions.split(pot, shares)
    assert sum(parts) == pot
    for part, share in zip(parts, shares, strict=True):
        assert part >= 0
        assert abs(part * 10_000 - pot * share.weight) < 10_000


@given(pot=fen, shares=allocations(), random=st.randoms(use_true_random=False))
@CASES
def test_l7_split_does_not_depend_on_the_order_of_shares(pot: int, shares: tuple[Share, ...], random: Random) -> None:
    """L7: the same parts, whatever the order."""
    shuffled = random.sample(shares, len(shares))
    assert dict(zip(shares, commissions.split(pot, shares), strict=True)) == dict(
        zip(shuffled, commissions.split(pot, shuffled), strict=True)
    )


@given(
    base=st.integers(0, 2_000_000),
    rate=st.integers(0, 10_000),
    cap=st.none() | st.integers(0, 50_000),
    shares=allocations(),
    cuts=st.lists(st.integers(0, 2_000_000), max_size=6),
)
@CASES
def test_l8_no_refund_raises_anybody(
    base: int, rate: int, cap: int | None, shares: tuple[Share, ...], cuts: list[int]
) -> None:
    """L8: no refund increases any party, the outstanding balances always sum to the pot, a full refund leaves 0."""
    _, state = commissions.reprice(commissions.opening(shares, rate, cap), base)
    for left in [*sorted((cut for cut in cuts if cut <= base), reverse=True), 0]:
        before = state.outstanding
        adjustments, state = commissions.reprice(state, left)
        assert all(a.amount_fen < 0 for a in adjustments)
        assert all(0 <= now <= then for now, then in zip(state.outstanding, before, strict=True))
        assert state.pot_fen == commissions.pot(left, rate, cap)
    assert state.outstanding == (0,) * len(shares)


@given(
    rate=st.integers(0, 10_000), shares=allocations(), bases=st.lists(st.integers(0, 2_000_000), min_size=1, max_size=8)
)
@CASES
def test_l8_versions_up_and_down(rate: int, shares: tuple[Share, ...], bases: list[int]) -> None:
    """L8: any chain of new prices keeps the sum on the pot, nobody below zero, and returns to nothing at zero."""
    state = commissions.opening(shares, rate)
    total = [0] * len(shares)
    for base in [*bases, 0]:
        adjustments, state = commissions.reprice(state, base)
        assert len({a.amount_fen > 0 for a in adjustments}) <= 1
        for a in adjustments:
            total[shares.index(a.share)] += a.amount_fen
        assert state.pot_fen == commissions.pot(base, rate)
        assert min(state.outstanding) >= 0
    assert total == [0] * len(shares)


def test_l8_weights_alone_would_raise_somebody() -> None:
    """L8: by weights 6:6:2 a pot of 11 gives the third 1 and a pot of 10 gives it 2; by balances it never rises."""
    shares = shares_of(6, 6, 2)
    assert commissions.split(10, shares) == [4, 4, 2]
    assert commissions.split(11, shares) == [5, 5, 1]
    _, state = commissions.reprice(commissions.opening(shares, 10_000), 11)
    _, state = commissions.reprice(state, 10)
    assert state.outstanding[2] <= 1


@given(
    lines=st.lists(st.integers(0, 1_000_000), min_size=1, max_size=12),
    cuts=st.lists(st.integers(0, 10_000), max_size=4),
)
@CASES
def test_l9_discounts_and_bases_sum(lines: list[int], cuts: list[int]) -> None:
    """L9: the parts of each discount sum to it, the line bases to the order's net, and no base is negative."""
    left, discounts = sum(lines), []
    for cut in cuts:
        discounts.append(left * cut // 10_000)
        left -= discounts[-1]
    allocated = commissions.allocate_discounts(lines, discounts)
    assert [sum(parts) for parts in allocated] == discounts
    assert all(part >= 0 for parts in allocated for part in parts)
    bases = (
        [line - sum(column) for line, column in zip(lines, zip(*allocated, strict=True), strict=True)]
        if cuts
        else lines
    )
    assert sum(bases) == sum(lines) - sum(discounts)
    assert min(bases) >= 0


def test_l9_two_coupons_cannot_push_one_line_below_zero() -> None:
    """L9: each coupon is spread on what the one before it left."""
    assert commissions.allocate_discounts([1, 1], [1, 1]) == [[1, 0], [0, 1]]


def test_l9_equal_remainders_go_to_the_dearer_line() -> None:
    """L9: 2 fen over lines of 1 and 3 leave half a fen on both; the dearer line carries it."""
    assert commissions.allocate_discounts([1, 3], [2]) == [[0, 2]]
