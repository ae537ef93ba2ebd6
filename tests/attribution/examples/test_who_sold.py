"""Worked examples 1, 3, 4, 5, 24 and 25: share, binding and split, from the order to the ledger's fen."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from attribution.models import Entry
from guides import bindings
from tests.factories.orders import decide, live, order, owed, rule, touch
from tests.factories.shops import Shops, bind

AT = dt.datetime(2026, 5, 10, 4, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
SECOND = dt.timedelta(seconds=1)
A, B, C = "G00001", "G00002", "G00004"


def test_example_01_a_share_two_days_ago_and_no_binding(company: Shops) -> None:
    """299.00 by mini-program: A has 14.95 on hold. Dr X 14.95 / Cr hold:A 14.95."""
    touch(company, "A", "林小满", AT - 2 * DAY)
    [line] = order(company, 29_900, at=AT, member="林小满")
    assert owed(line) == {A: 1_495}
    legs = Entry.objects.filter(txn__line_id=line.pk).values_list("account__code", "amount_fen")
    assert sorted(legs) == [("L:hold:G00001", 1_495), ("X:budget:brand", -1_495)]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("SHARE_FIRST", {A: 3_445}), ("SERVICE_FIRST", {B: 3_445}), ("SPLIT", {A: 2_412, B: 1_033})],
)
def test_example_03_bound_to_b_shared_by_a(company: Shops, mode: str, expected: dict[str, int]) -> None:
    rule(mode=mode)
    bind(company.members["林小满"], company.guides["B"], company.stores["S2"])
    touch(company, "A", "林小满", AT - 2 * DAY)
    [line] = order(company, 68_900, at=AT, member="林小满")
    assert owed(line) == expected


@pytest.mark.parametrize(
    ("age", "expected"),
    [(7 * DAY - SECOND, {A: 2_412, B: 1_033}), (7 * DAY, {B: 3_445}), (7 * DAY + SECOND, {B: 3_445})],
)
def test_example_04_a_touch_of_seven_days_and_a_second_is_expired(
    company: Shops, age: dt.timedelta, expected: dict[str, int]
) -> None:
    """A8: at the second; the decision says why the touch lost."""
    rule(mode="SPLIT")
    bind(company.members["林小满"], company.guides["B"], company.stores["S2"])
    touch(company, "A", "林小满", AT - age)
    [line] = order(company, 68_900, at=AT, member="林小满")
    assert owed(line) == expected
    reasons = {candidate[0]: candidate[5] for candidate in live(line).candidates}
    assert reasons["C2"] == ("WON_SELLER" if A in expected else "TOUCH_EXPIRED")


def test_example_05_a_rounded_pot_in_a_split(company: Shops) -> None:
    """159.90 at 3.5 % is 5.5965, rounded 5.60 = 3.92 + 1.68."""
    rule(mode="SPLIT", rate_bp=350)
    bind(company.members["林小满"], company.guides["B"], company.stores["S2"])
    touch(company, "A", "林小满", AT - DAY)
    [line] = order(company, 15_990, at=AT, member="林小满")
    assert owed(line) == {A: 392, B: 168}


def test_example_24_a_member_is_taken_over_after_the_protection_not_before(company: Shops) -> None:
    """A10: day 12 of 30 is refused and remains a touch; day 45 moves the binding; past orders stay."""
    member, guides = company.members["林小满"], company.guides
    rule(mode="SHARE_FIRST")
    start = timezone.now() - 60 * DAY
    bind(member, guides["B"], company.stores["S2"], start)
    [before] = order(company, 10_000, at=start + 5 * DAY, member="林小满")

    def scan(at: dt.datetime) -> str:
        claim = bindings.Claim(key=f"scan-{at}", member_id=member.pk, guide_id=guides["M"].pk, source="SCAN", at=at)
        return str(bindings.bind(claim)[0].answer)

    assert scan(start + 12 * DAY) == "REFUSED_PROTECTED"
    touch(company, "M", "林小满", start + 12 * DAY, kind="QR")
    [touched] = order(company, 10_000, at=start + 13 * DAY, member="林小满")
    assert owed(touched) == {C: 500}
    assert scan(start + 45 * DAY) == "SNATCH"
    [after] = order(company, 10_000, at=start + 46 * DAY, member="林小满")
    assert owed(after) == {C: 500}
    decide(before)
    assert owed(before) == {B: 500}


def test_example_25_a_guide_buys_through_her_own_link(company: Shops) -> None:
    """A7: C2 is dropped as her own; the home store's pool is next."""
    rule(home_pool_bp=10_000)
    member, guide = company.members["林小满"], company.guides["A"]
    guide.mobile_index = member.identities.get(kind="MOBILE").value
    guide.save()
    touch(company, "A", "林小满", AT - DAY)
    [line] = order(company, 68_900, at=AT, member="林小满")
    assert owed(line) == {"STORE:S1": 3_445}
    assert ("C2", "SELF_DEAL") in {(c[0], c[5]) for c in live(line).candidates}
    rule(home_pool_bp=10_000, is_self_purchase_paid=True, since=AT + DAY)
    [allowed] = order(company, 68_900, at=AT + 2 * DAY, member="林小满")
    assert owed(allowed) == {A: 3_445}
