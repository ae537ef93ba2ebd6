"""The cap of a guide's month: what is above is taken back with the batch, refunds give back what was taken too much."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from attribution import caps, proving, settlement, statements
from attribution.models import Batch, MonthCap, Statement, Txn
from tests.attribution.settling import Books, balance, day
from tests.factories import orders
from tests.factories.clock import Clock
from tests.factories.shops import shops

A, B = "G00001", "G00002"


@pytest.fixture
def books(db: None) -> Iterator[Books]:
    """5 % of every line; a guide's month pays 100.00 at most."""
    books = Books(shops(), Clock())
    orders.rule(month_cap_fen=10_000)
    books.shops.member("林小满", store="S1", guide="A")
    books.shops.member("周舟", store="S2", guide="B")
    books.sell("a1", on="05-02", paid_fen=180_000, member="林小满")
    books.sell("a2", on="05-03", paid_fen=120_000, member="林小满")
    books.sell("b", on="05-03", paid_fen=200_000, member="周舟", store="S2")  # exactly the cap
    books.vest(on="05-25")
    yield books
    books.clock.stop()


def said(batch: Batch, who: str) -> tuple[int, ...]:
    s = Statement.objects.get(batch=batch, beneficiary__code=who)
    return s.earned_fen, s.netted_fen, s.capped_fen, s.paid_fen, s.carried_fen


def test_what_is_above_the_cap_is_taken_back_whole_with_the_batch(books: Books) -> None:
    """150.00 earned, 100.00 paid: the netting cap of 20 % does not stand in the way of what was never earned."""
    may = books.settle("2027-05", on="06-10")
    assert said(may, A) == (15_000, 5_000, 5_000, 10_000, 0)
    assert said(may, B) == (10_000, 0, 0, 10_000, 0)
    [txn] = Txn.objects.filter(fact="MONTH_CAP 2027-05")
    assert (txn.kind, txn.reason, bool(txn.reverses_id)) == ("CLAWBACK", "MONTH_CAP", True)
    assert (balance(f"A:recv:{A}"), balance("A:bank:HQ")) == (0, 20_000)
    statement = Statement.objects.get(batch=may, beneficiary__code=A)
    assert [statements.what(row) for row in statements.debts(statement=statement)] == ["超出 2027-05 月度封顶"]
    assert ("其中超出月度封顶", 5_000) in [(str(name), fen) for name, fen in statements.head(statement)]
    proof = proving.run(now=day("06-10"))
    assert proof.is_proven, proof.differences
    assert caps.take_back(period="2027-05", now=day("06-11")) == 0


def test_a_refund_after_gives_back_what_was_taken_too_much(books: Books) -> None:
    books.settle("2027-05", on="06-10")
    books.refund("a2", 80_000, on="06-12")  # 40.00 less: the month stands at 110.00
    assert caps.follow_refunds(now=books.clock.set(day("06-13"))) == 1
    row = MonthCap.objects.get()
    assert (row.earned_fen, row.taken_fen) == (11_000, 1_000)
    books.refund("a1", 180_000, on="06-14")  # 20.00 left: below the cap
    assert caps.follow_refunds(now=books.clock.set(day("06-15"))) == 1
    books.vest(on="06-20")
    june = books.settle("2027-06", on="07-10")
    # given back 50.00 in two parts; owed for the refunds 130.00, of which 20 % of the pay is netted
    assert said(june, A) == (5_000, 1_000, 0, 4_000, 12_000)
    standing = balance("A:bank:HQ") + balance(f"A:recv:{A}")
    assert standing == 20_000 + 4_000 - 12_000  # A's month: 100.00 + 40.00 - 120.00 = 20.00, B's 100.00
    proof = proving.run(now=day("07-10"))
    assert proof.is_proven, proof.differences


def test_a_cap_debt_that_the_pay_does_not_cover_comes_first_the_month_after(books: Books) -> None:
    """May's batch pays only what vested; the rest of May vests in June, whose pay the old debt takes first."""
    books.sell("late", on="05-27", paid_fen=500_000, member="林小满")  # 250.00 more, due in June
    may = books.settle("2027-05", on="06-11")
    assert said(may, A) == (15_000, 15_000, 15_000, 0, 15_000)
    books.vest(on="06-20")
    june = books.settle("2027-06", on="07-10")
    assert said(june, A) == (25_000, 15_000, 15_000, 10_000, 0)
    proof = proving.run(now=day("07-10"))
    assert proof.is_proven, proof.differences


def test_a_month_that_goes_on_or_has_no_cap_is_left_alone(books: Books) -> None:
    assert caps.take_back(period="2027-05", now=day("05-31")) == 0
    orders.rule(since=day("06-01"))
    books.sell("june", on="06-02", paid_fen=900_000, member="林小满")
    assert caps.take_back(period="2027-06", now=books.clock.set(day("07-02"))) == 0
    assert not MonthCap.objects.exists()


def test_a_cancelled_batch_leaves_one_posting(books: Books) -> None:
    batch = books.make("2027-05", on="06-10")
    settlement.cancel(batch_id=batch.pk, actor=books.approver, reason="again", now=day("06-10"))
    may = books.settle("2027-05", on="06-10")
    assert said(may, A) == (15_000, 5_000, 5_000, 10_000, 0)
    assert Txn.objects.filter(fact="MONTH_CAP 2027-05").count() == 1
