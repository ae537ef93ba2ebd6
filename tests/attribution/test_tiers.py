"""Monthly steps: example 23 to the fen, and what a repeated run does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from attribution import proving, rulebook, tiers
from attribution.models import Hold, RuleTier, RuleVersion, Txn
from tests.attribution.settling import Books, balance, day
from tests.factories.clock import Clock
from tests.factories.shops import shops

STEPS = ((2_000_000, 300), (5_000_000, 400), (None, 500))


@pytest.fixture
def books(db: None) -> Iterator[Books]:
    """Lines pay 3 %; the month pays 3 % to 20 k, 4 % to 50 k, 5 % above."""
    clock = Clock()
    books = Books(shops(), clock)
    default = RuleVersion.objects.get(number=1)
    default.effective_until = day("04-01")
    default.save(update_fields=["effective_until"])
    rule = RuleVersion.objects.create(
        brand=default.brand, number=2, name="阶梯", mode="SERVICE_FIRST", effective_from=day("04-01")
    )
    rule.rates.create(rate_bp=300)
    for upto_fen, rate_bp in STEPS:
        RuleTier.objects.create(rule=rule, upto_fen=upto_fen, rate_bp=rate_bp)
    RuleVersion.objects.filter(pk=rule.pk).update(status="PUBLISHED", digest=rulebook.digest_of(rule))
    books.shops.member("林小满", store="S1", guide="A")
    yield books
    clock.stop()


def stands() -> int:
    """What the month pays guide A as it stands now."""
    return sum(h.amount_fen - h.reversed_fen - h.clawed_fen for h in Hold.objects.filter(beneficiary__code="G00001"))


@pytest.mark.parametrize("is_settled", [False, True], ids=["before vesting", "after the pay"])
def test_example_23_a_refund_next_month_comes_off_at_the_step_it_came_from(books: Books, is_settled: bool) -> None:
    books.sell("a", on="05-02", paid_fen=4_000_000, member="林小满")
    books.sell("b", on="05-20", paid_fen=2_123_456, member="林小满")
    now = books.clock.set(day("06-02"))
    assert tiers.true_up(period="2027-05", now=now) == 1
    assert stands() == 236_173
    assert tiers.true_up(period="2027-05", now=now) == 0
    if is_settled:
        books.vest(on="06-20")
        batch = books.settle("2027-06", on="07-10")
        assert batch.paid_fen == 236_173
    refunded_on = "07-11" if is_settled else "06-03"
    books.refund("b", 130_000, on=refunded_on)
    assert tiers.true_up(period="2027-05", now=books.clock.set(day(refunded_on, 15))) == 1
    assert stands() == 229_673
    tier_txns = Txn.objects.filter(fact="TIER 2027-05").order_by("pk")
    assert [txn.kind for txn in tier_txns if txn.kind != "VEST"] == ["ACCRUE", "CLAWBACK" if is_settled else "UNHOLD"]
    assert balance("A:recv:G00001") == (-6_500 if is_settled else 0)
    proof = proving.run(now=now)
    assert proof.is_proven, proof.differences


def test_a_month_that_has_not_ended_or_has_no_steps_pays_no_extra(books: Books) -> None:
    books.sell("a", on="05-02", paid_fen=4_000_000, member="林小满")
    assert tiers.true_up(period="2027-05", now=books.clock.set(day("05-31"))) == 0
    assert tiers.true_up(period="2027-03", now=day("05-31")) == 0


def test_a_step_never_lowers_what_the_lines_have_paid(books: Books) -> None:
    books.sell("a", on="05-02", paid_fen=1_000, member="林小满")
    assert tiers.true_up(period="2027-05", now=books.clock.set(day("06-02"))) == 0
    assert stands() == 30
