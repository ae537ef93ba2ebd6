"""The shapes of ledger transactions: balanced, signed, keyed by the business fact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution import commissions, postings
from attribution.commissions import Role, Share
from attribution.postings import Entry, Kind, Part

AT = datetime(2025, 6, 1, 4, 0, tzinfo=UTC)
A = Part("G00001", "S0001", 1_113)
B = Part("G00002", "S0002", 477)
LINE = ("POS", "main", "489434", "1")


def balances(*txns: postings.Transaction) -> dict[str, int]:
    total: Counter[str] = Counter()
    for txn in txns:
        for entry in txn.entries:
            total[entry.account] += entry.amount_fen
    return {account: amount for account, amount in total.items() if amount}


def test_example_1_accrual() -> None:
    txn = postings.accrue(postings.key(Kind.ACCRUE, *LINE, 1), [Part("G00001", "S0001", 1_495)], AT)
    assert txn.key == "ACCRUE|POS|main|489434|1|1"
    assert txn.entries == (
        Entry("X:budget:brand", None, None, -1_495),
        Entry("L:hold:G00001", "G00001", "S0001", 1_495),
    )
    assert len(txn.content_hash) == 32


@pytest.mark.parametrize(
    ("txn", "expected"),
    [
        (postings.accrue("k", [A, B], AT), {"X:budget:brand": -1590, "L:hold:G00001": 1113, "L:hold:G00002": 477}),
        (postings.accrue("k", [B], AT, "ecom"), {"X:budget:ecom": -477, "L:hold:G00002": 477}),
        (postings.vest("k", [A], AT), {"L:hold:G00001": -1113, "L:due:G00001": 1113}),
        (postings.unhold("k", [A], AT), {"L:hold:G00001": -1113, "X:budget:brand": 1113}),
        (postings.clawback("k", [A], AT), {"A:recv:G00001": -1113, "X:budget:brand": 1113}),
        (postings.net("k", [A], AT), {"L:due:G00001": -1113, "A:recv:G00001": 1113}),
        (
            postings.pay("k", [A, B], AT, "2025-06"),
            {"L:due:G00001": -1113, "L:due:G00002": -477, "A:payout:2025-06": 1590},
        ),
        (postings.settled("k", "2025-06", "HQ", 1590, AT), {"A:payout:2025-06": -1590, "A:bank:HQ": 1590}),
        (postings.write_off("k", [A], AT), {"A:recv:G00001": 1113, "X:loss": -1113}),
    ],
)
def test_legs_of_each_kind(txn: postings.Transaction, expected: dict[str, int]) -> None:
    assert balances(txn) == expected
    assert sum(entry.amount_fen for entry in txn.entries) == 0


def test_example_7_unhold() -> None:
    accrued = postings.accrue("a", [A, B], AT)
    [txn] = postings.reverse(
        ("POS", "main", "R1"), [A._replace(amount_fen=557), B._replace(amount_fen=238)], [1_113, 477], AT
    )
    assert (txn.kind, txn.key) == (Kind.UNHOLD, "UNHOLD|POS|main|R1")
    assert balances(accrued, txn) == {"X:budget:brand": -795, "L:hold:G00001": 556, "L:hold:G00002": 239}


@pytest.mark.parametrize(("cap_bp", "paid", "carried"), [(None, 0, -2_185), (2_000, 3_448, -5_633)])
def test_example_8_claw_back_and_net(cap_bp: int | None, paid: int, carried: int) -> None:
    may, june = Part("G00001", "S0001", 6_495), Part("G00001", "S0001", 4_310)
    txns = [
        postings.accrue("a", [may], AT),
        postings.vest("v", [may], AT),
        postings.pay("p", [may], AT, "2025-05"),
        postings.accrue("a2", [june], AT),
        postings.vest("v2", [june], AT),
        *postings.reverse(("POS", "main", "R1"), [may], [0], AT),
    ]
    assert txns[-1].kind == Kind.CLAWBACK
    assert balances(*txns)["A:recv:G00001"] == -6_495
    kept = commissions.netting(6_495, 4_310, cap_bp)
    after = balances(*txns, postings.net("n", [june._replace(amount_fen=kept)], AT))
    assert after.get("L:due:G00001", 0) == paid
    assert after["A:recv:G00001"] == carried


def test_reversal_takes_what_is_held_before_it_claws_back() -> None:
    txns = postings.reverse(("POS", "main", "R1"), [A, B], [1_000, 477], AT)
    assert [txn.kind for txn in txns] == [Kind.UNHOLD, Kind.CLAWBACK]
    assert balances(*txns) == {
        "L:hold:G00001": -1_000,
        "L:hold:G00002": -477,
        "A:recv:G00001": -113,
        "X:budget:brand": 1_590,
    }


def test_example_18_reattribution() -> None:
    pool, guide = Part("HQ_POOL", None, 3_825), Part("G00002", "S0002", 3_825)
    first = postings.accrue("a", [pool], AT)
    txns = postings.reattribute((*LINE, 2), [pool], [3_825], [guide], AT)
    assert [txn.key for txn in txns] == ["UNHOLD|POS|main|489434|1|2", "ACCRUE|POS|main|489434|1|2"]
    assert {txn.effective_at for txn in txns} == {AT}
    assert balances(first, *txns) == {"X:budget:brand": -3_825, "L:hold:G00002": 3_825}


def test_reattribution_of_an_empty_pot_posts_nothing() -> None:
    assert postings.reattribute(LINE, [], [], [A._replace(amount_fen=0)], AT) == []


def test_zero_parts_leave_no_entry() -> None:
    txn = postings.accrue("k", [A, B._replace(amount_fen=0)], AT)
    assert [entry.account for entry in txn.entries] == ["X:budget:brand", "L:hold:G00001"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: postings.accrue("k", [], AT),
        lambda: postings.accrue("k", [A._replace(amount_fen=0)], AT),
        lambda: postings.accrue("k", [A._replace(amount_fen=-1)], AT),
        lambda: postings.net("k", [A._replace(amount_fen=-1)], AT),
        lambda: postings.transaction(Kind.ACCRUE, "k", AT, [Entry("X:loss", None, None, 1)]),
    ],
)
def test_unbalanced_empty_or_negative_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        wrong()


def test_l3_same_content_same_hash_other_content_other_hash() -> None:
    """L3 (the hash of it): the time zone does not matter, every part of the content does."""
    first = postings.accrue("k", [A], AT)
    elsewhere = AT.astimezone(timezone(timedelta(hours=8)))
    assert postings.accrue("k", [A], elsewhere).content_hash == first.content_hash
    others = [
        postings.accrue("k2", [A], AT),
        postings.accrue("k", [A._replace(amount_fen=1_112)], AT),
        postings.accrue("k", [A._replace(store="S0002")], AT),
        postings.accrue("k", [A], AT + timedelta(microseconds=1)),
        postings.accrue("k", [A], AT, "ecom"),
    ]
    assert len({first.content_hash, *(txn.content_hash for txn in others)}) == 6


def test_l3_parts_of_a_key_cannot_run_into_each_other() -> None:
    """L3: two facts never share a key."""
    assert postings.key(Kind.ACCRUE, "a|b", "c") != postings.key(Kind.ACCRUE, "a", "b|c")
    assert postings.key(Kind.ACCRUE, "a%7C", "b") != postings.key(Kind.ACCRUE, "a|", "b")


@given(
    base=st.integers(0, 1_000_000),
    steps=st.lists(st.tuples(st.integers(0, 1_000_000), st.booleans()), max_size=8),
    weights=st.tuples(st.integers(1, 9_998), st.integers(1, 9_998)),
)
@settings(max_examples=200, deadline=None)
def test_l1_l5_a_line_through_any_life(base: int, steps: list[tuple[int, bool]], weights: tuple[int, int]) -> None:
    """L1, L5: entries sum to zero, HOLD and DUE never fall below zero, and the net of all is the line's pot."""
    shares = (Share(Role.SELLER, "G00001", "S1", weights[0]), Share(Role.SERVICE, "G00002", "S2", weights[1]))
    state = commissions.opening(shares, 500)
    txns: list[postings.Transaction] = []
    for number, (new_base, is_vesting) in enumerate([(base, False), *steps, (0, False)]):
        adjustments, state = commissions.reprice(state, new_base)
        parts = postings.parts_of(adjustments)
        now = balances(*txns)
        if parts and adjustments[0].amount_fen > 0:
            txns.append(postings.accrue(f"a{number}", parts, AT))
        elif parts:
            held = [now.get(postings.hold_account(part.beneficiary), 0) for part in parts]
            txns += postings.reverse(("r", number), parts, held, AT)
        now = balances(*txns)
        held_parts = [Part(s.beneficiary, s.store, now.get(postings.hold_account(s.beneficiary), 0)) for s in shares]
        if is_vesting and any(part.amount_fen for part in held_parts):
            txns.append(postings.vest(f"v{number}", held_parts, AT))
        now = balances(*txns)
        assert all(sum(entry.amount_fen for entry in txn.entries) == 0 for txn in txns)
        assert all(amount >= 0 for account, amount in now.items() if account.startswith("L:"))
        assert -now.get("X:budget:brand", 0) == state.pot_fen
    assert state.pot_fen == 0
