"""Worked example 19: a verdict on a line of a closed month; and that each of the 25 examples is a test named by its number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from attribution import periods, proving
from attribution.disputes import hearing
from attribution.models import ClosedPeriod, Dispute, Entry, Txn
from scrm.models import User
from tests.attribution.settling import Books, balance, day
from tests.factories.clock import Clock
from tests.factories.orders import owed
from tests.factories.shops import shops

A, B = "G00001", "G00002"
TESTS = Path(__file__).resolve().parents[2]


@pytest.fixture
def books(db: None) -> Iterator[Books]:
    """The member is B's by her binding; the line of 765.00 was paid in May, and May is settled and closed."""
    books = Books(shops(), Clock())
    books.shops.member("林小满", store="S2", guide="B")
    books.sell("disputed", on="05-02", paid_fen=76_500, member="林小满", store="S2")
    books.vest(on="05-20")
    books.settle("2027-05", on="06-10")
    yield books
    books.clock.stop()


def heard(books: Books, *, is_upheld: bool) -> Dispute:
    """A says that B's code covered hers; the store agrees, one person proposes, a second confirms. All on 12 June."""
    now = books.clock.forward(day("06-12"))
    first, second = (User.objects.create_user(name) for name in ("region manager", "hq operator"))
    guide = books.shops.guides["A"]
    dispute = hearing.open_dispute(
        line_id=books.shops.lines["disputed"].pk, guide=guide, ground="MY_SHARE", statement="台卡上我的码被李娜的码盖住了",
        actor=guide.user, now=now,
    )  # fmt: skip
    hearing.add_evidence(dispute=dispute, actor=guide.user, text="盖住前后的台卡照片", now=now)
    hearing.give_opinion(dispute=dispute, opinion="FOR", text="照片属实", actor=books.shops.guides["M"].user, now=now)
    hearing.propose(dispute=dispute, is_upheld=is_upheld, reason="照片与巡店记录一致", actor=first, now=now)
    return hearing.confirm(dispute=dispute, actor=second, now=now)


def test_example_19_a_verdict_on_a_closed_may_line(books: Books) -> None:
    """B -38.25 by a claw-back, A +38.25, posted in June, adjusting May; May's entries and digest are as they were."""
    line = books.shops.lines["disputed"]
    may = ClosedPeriod.objects.get(pk="2027-05")
    before = set(Entry.objects.values_list("pk", flat=True))
    assert (owed(line), balance("A:bank:HQ")) == ({B: 3_825}, 3_825)

    dispute = heard(books, is_upheld=True)

    assert (dispute.status, dispute.moved_fen) == ("UPHELD", 3_825)
    assert owed(line) == {A: 3_825}
    clawed, accrued = Txn.objects.filter(line_id=line.pk).order_by("-pk")[:2][::-1]
    assert [clawed.kind, accrued.kind] == ["CLAWBACK", "ACCRUE"]
    assert {periods.period_of(txn.posted_at) for txn in (clawed, accrued)} == {"2027-06"}
    assert {txn.adjusts_period for txn in (clawed, accrued)} == {"2027-05"}
    assert {txn.effective_at for txn in (clawed, accrued)} == {line.paid_at}
    assert clawed.reverses_id == Txn.objects.get(line_id=line.pk, kind="ACCRUE", pk__lt=clawed.pk).pk
    assert (balance(f"A:recv:{B}"), balance(f"L:hold:{A}")) == (-3_825, 3_825)
    assert before < set(Entry.objects.values_list("pk", flat=True))  # nothing was edited
    assert periods.frozen("2027-05") == (may.entry_count, may.debit_fen, may.digest)
    proof = proving.run(now=day("06-12"))
    assert proof.is_proven, proof.differences


def test_example_19_what_follows_in_the_statements_of_june(books: Books) -> None:
    """A's 38.25 vests and is paid with June; B, who earned nothing since, carries her debt over."""
    heard(books, is_upheld=True)
    books.vest(on="06-28")
    june = books.settle("2027-06", on="07-10")
    said = {s.beneficiary.code: (s.paid_fen, s.reversed_fen, s.carried_fen) for s in june.statements.all()}
    assert said == {A: (3_825, 0, 0), B: (0, 3_825, 3_825)}
    assert proving.run(now=day("07-10")).is_proven


def test_example_19_a_rejected_claim_leaves_the_money_where_it_is(books: Books) -> None:
    entries = Entry.objects.count()
    assert heard(books, is_upheld=False).status == "REJECTED"
    assert (owed(books.shops.lines["disputed"]), Entry.objects.count()) == ({B: 3_825}, entries)


def test_each_of_the_25_worked_examples_is_a_test_with_its_number() -> None:
    text = "\n".join(path.read_text() for path in TESTS.glob("*/**/test_*.py"))
    numbers = {int(number) for number in re.findall(r"^def test_(?:\w+_)?example_(\d+)", text, re.MULTILINE)}
    assert numbers == set(range(1, 26))
