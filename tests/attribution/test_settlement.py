"""Settlement from due money to money that arrived: examples 8, 10 and 19, L11, L12, L16, S4."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import IntegrityError, transaction

from attribution import blocks, payouts, periods, settlement
from attribution.models import (
    Batch,
    BatchLine,
    ClosedPeriod,
    Hold,
    Payment,
    PayoutFile,
    SettlementTerms,
    Statement,
    Txn,
)
from scrm.models import Act, LegalEntity
from tests.attribution.settling import Books, answer, balance, day
from tests.factories.clock import Clock
from tests.factories.shops import leave, shops


@pytest.fixture
def books(db: None) -> Iterator[Books]:
    clock = Clock()
    books = Books(shops(), clock)
    books.shops.member("林小满", store="S1", guide="A")
    books.shops.member("周舟", store="S2", guide="B")
    books.shops.member("方圆", store="F1", guide="F")
    yield books
    clock.stop()


def statement(batch: Batch, who: str) -> Statement:
    return Statement.objects.get(batch=batch, beneficiary__code=who)


@pytest.mark.parametrize(
    ("cap_bp", "netted", "paid", "carried"),
    [(None, 4310, 0, 2185), (2000, 862, 3448, 5633)],
    ids=["no cap", "cap 20 %"],
)
def test_example_08_refund_after_settlement(
    books: Books, cap_bp: int | None, netted: int, paid: int, carried: int
) -> None:
    SettlementTerms.objects.create(applies_from="2027-01", netting_cap_bp=cap_bp)
    books.sell("may", on="05-02", paid_fen=129_900, member="林小满")
    books.vest(on="05-20")
    may = books.settle("2027-05", on="06-10")
    assert (may.status, may.paid_fen) == ("SETTLED", 6495)
    assert (balance("A:bank:HQ"), balance("L:due:G00001"), balance(f"A:payout:{may.code}")) == (6495, 0, 0)

    books.sell("june", on="06-01", paid_fen=86_200, member="林小满")
    books.refund("may", 129_900, on="06-20")
    assert balance("A:recv:G00001") == -6495
    assert Txn.objects.get(kind="CLAWBACK").adjusts_period == "2027-05"
    books.vest(on="06-25")
    june = books.settle("2027-06", on="07-10")
    said = statement(june, "G00001")
    assert (said.earned_fen, said.netted_fen, said.paid_fen, said.carried_fen) == (4310, netted, paid, carried)
    assert (said.opening_debt_fen, said.reversed_fen) == (0, 6495)
    assert (balance("A:recv:G00001"), balance("A:bank:HQ")) == (-carried, 6495 + paid)
    assert june.status == "SETTLED"
    assert periods.frozen("2027-05").digest == ClosedPeriod.objects.get(pk="2027-05").digest  # L11


def test_example_08_the_rest_of_the_debt_is_carried_into_the_next_month(books: Books) -> None:
    books.sell("may", on="05-02", paid_fen=129_900, member="林小满")
    books.vest(on="05-20")
    books.settle("2027-05", on="06-10")
    books.sell("june", on="06-01", paid_fen=86_200, member="林小满")
    books.refund("may", 129_900, on="06-20")
    books.vest(on="06-25")
    books.settle("2027-06", on="07-10")
    books.sell("july", on="07-11", paid_fen=1_000_000, member="林小满")
    books.vest(on="07-30")
    july = statement(books.settle("2027-07", on="08-10"), "G00001")
    assert (july.opening_debt_fen, july.reversed_fen, july.earned_fen) == (5633, 0, 50_000)
    assert (july.netted_fen, july.paid_fen, july.carried_fen) == (5633, 44_367, 0)
    assert balance("A:recv:G00001") == 0


def test_example_10_a_debt_after_exit_is_written_off_by_the_terms(books: Books) -> None:
    books.sell("may", on="05-02", paid_fen=52_900, member="林小满")
    books.vest(on="05-20")
    leave(books.shops.guides["A"], day("05-25"))
    books.settle("2027-05", on="06-10")
    books.refund("may", 52_900, on="06-20")
    now = books.clock.set(day("06-21"))
    assert settlement.write_off_exits(now=now) == 1
    assert settlement.write_off_exits(now=now) == 0
    assert (balance("A:recv:G00001"), balance("X:loss")) == (0, -2645)


@pytest.mark.parametrize("reason", ["still here", "money to come", "terms"])
def test_a_debt_is_not_written_off_while_it_can_be_netted(books: Books, reason: str) -> None:
    books.sell("may", on="05-02", paid_fen=52_900, member="林小满")
    books.vest(on="05-20")
    if reason != "still here":
        leave(books.shops.guides["A"], day("06-15"))
    if reason == "money to come":
        books.sell("june", on="06-01", paid_fen=1000, member="林小满")
    if reason == "terms":
        SettlementTerms.objects.create(applies_from="2027-06", exit_writes_off=False)
    books.settle("2027-05", on="06-10")
    books.refund("may", 52_900, on="06-20")
    assert settlement.write_off_exits(now=books.clock.set(day("06-21"))) == 0
    assert balance("A:recv:G00001") == -2645


def test_every_company_pays_its_own_people(books: Books) -> None:
    books.sell("a", on="05-02", paid_fen=10_000, member="林小满")
    books.sell("f", on="05-02", paid_fen=20_000, member="方圆", store="F1")
    books.vest(on="05-20")
    batch = books.approve(books.make("2027-05", on="06-10"), on="06-11")
    paid = {(p.company.code, p.statement.beneficiary.code): p.amount_fen for p in Payment.objects.filter(batch=batch)}
    assert paid == {("HQ", "G00001"): 500, ("FE", "G00003"): 1000}
    books.pay(batch, on="06-12")
    assert (balance("A:bank:HQ"), balance("A:bank:FE"), balance(f"A:payout:{batch.code}")) == (500, 1000, 0)


def test_l12_batch_lines_payments_and_files_agree_to_the_fen(books: Books) -> None:
    """L12: batch total = sum of lines = payroll file total."""
    for number, fen in enumerate((33_333, 1_999, 70_001)):
        books.sell(f"a{number}", on=f"05-0{number + 1}", paid_fen=fen, member="林小满")
        books.sell(f"b{number}", on=f"05-0{number + 1}", paid_fen=fen, member="周舟", store="S2")
    books.vest(on="05-25")
    batch = books.approve(books.make("2027-05", on="06-10"), on="06-11")
    lines = sum(BatchLine.objects.filter(batch=batch).values_list("amount_fen", flat=True))
    file = books.file(batch)
    rows = bytes(file.content).decode("utf-8-sig").splitlines()
    written = [row.split(",") for row in rows[1:]]
    in_file = sum(round(float(row[6]) * 100) for row in written[:-1])
    assert lines == batch.earned_fen == batch.paid_fen == file.total_fen == in_file
    assert written[-1][0] == "合计" and round(float(written[-1][6]) * 100) == in_file and written[-1][2] == "2"
    assert batch.line_count == 6 and len(batch.digest) == 64


def test_l12_a_due_fen_is_in_one_live_batch_only(books: Books) -> None:
    """L12: by the database, whoever writes."""
    books.sell("a", on="05-02", paid_fen=10_000, member="林小满")
    books.vest(on="05-20")
    batch = books.make("2027-05", on="06-10")
    line = BatchLine.objects.get(batch=batch)
    with pytest.raises(IntegrityError, match=r"due_fen_once|entry_id_vested_on"), transaction.atomic():
        BatchLine.objects.create(
            batch=batch, entry_id=line.entry_id, vested_on=line.vested_on, beneficiary=line.beneficiary, company=line.company,
            amount_fen=1,
        )  # fmt: skip


def test_a_cancelled_batch_gives_everything_back(books: Books) -> None:
    books.sell("a", on="05-02", paid_fen=10_000, member="林小满")
    books.vest(on="05-20")
    first = books.make("2027-05", on="06-10")
    settlement.cancel(batch_id=first.pk, actor=books.approver, reason="少了一家店", now=day("06-10"))
    assert not BatchLine.objects.filter(is_live=True).exists()
    assert Txn.objects.filter(kind__in=["NET", "PAY"]).count() == 0
    second = books.make("2027-05", on="06-11")
    assert (second.code, second.line_count, second.paid_fen) == ("2027-05.2", 1, 500)
    assert second.digest == first.digest


def test_s4_nobody_approves_her_own_batch(books: Books) -> None:
    """S4: refused in Chinese, without a trace, and by the database too."""
    books.sell("a", on="05-02", paid_fen=10_000, member="林小满")
    books.vest(on="05-20")
    batch, acts = books.make("2027-05", on="06-10"), Act.objects.count()
    with pytest.raises(settlement.CannotApprove, match="另一个人"), transaction.atomic():
        settlement.approve(
            batch_id=batch.pk, actor=books.maker, now=day("06-11"), count=batch.line_count, amount_fen=batch.paid_fen
        )
    assert (Act.objects.count(), ClosedPeriod.objects.count(), Batch.objects.get().status) == (acts, 0, "READY")
    with pytest.raises(IntegrityError, match="four_eyes"), transaction.atomic():
        Batch.objects.update(approved_by=books.maker)


@pytest.mark.parametrize("seen", [{"count": 2}, {"amount_fen": 499}])
def test_s4_what_is_approved_is_what_is_delivered(books: Books, seen: dict[str, int]) -> None:
    """S4: another count or amount needs another look."""
    books.sell("a", on="05-02", paid_fen=10_000, member="林小满")
    books.vest(on="05-20")
    batch = books.make("2027-05", on="06-10")
    figures = {"count": batch.line_count, "amount_fen": batch.paid_fen, **seen}
    with pytest.raises(settlement.BatchChanged), transaction.atomic():
        settlement.approve(batch_id=batch.pk, actor=books.approver, now=day("06-11"), **figures)


def test_a_blocked_line_stays_out_and_comes_with_the_next_batch(books: Books) -> None:
    first = books.sell("a", on="05-02", paid_fen=10_000, member="林小满")
    books.sell("b", on="05-03", paid_fen=20_000, member="林小满")
    books.vest(on="05-20")
    blocks.block(line_ids=[first.pk], cause="DISPUTE 1", actor=None)
    may = books.settle("2027-05", on="06-10")
    assert (may.line_count, may.paid_fen) == (1, 1000)
    assert balance("L:due:G00001") == 500
    blocks.release(cause="DISPUTE 1")
    books.sell("c", on="06-11", paid_fen=2_000, member="林小满")
    books.vest(on="06-29")
    june = books.settle("2027-06", on="07-10")
    said = statement(june, "G00001")
    assert (said.earned_fen, said.late_fen, said.paid_fen) == (100, 500, 600)
    assert balance("L:due:G00001") == 0


def test_a_block_after_the_batch_was_made_stops_the_approval(books: Books) -> None:
    line = books.sell("a", on="05-02", paid_fen=10_000, member="林小满")
    books.vest(on="05-20")
    batch = books.make("2027-05", on="06-10")
    blocks.block(line_ids=[line.pk], cause="DISPUTE 1", actor=None)
    with pytest.raises(settlement.BatchChanged, match="1"), transaction.atomic():
        settlement.approve(batch_id=batch.pk, actor=books.approver, now=day("06-11"), count=1, amount_fen=500)
    settlement.cancel(batch_id=batch.pk, actor=books.approver, reason="冻结", now=day("06-11"))
    again = books.make("2027-05", on="06-11")
    assert (again.line_count, again.paid_fen) == (0, 0)


@pytest.mark.parametrize("period", ["2027-05", "2027-04"])
def test_settling_a_closed_period_is_refused_without_a_trace(books: Books, period: str) -> None:
    books.sell("a", on="05-02", paid_fen=10_000, member="林小满")
    books.vest(on="05-20")
    books.settle("2027-05", on="06-10")
    before = (Batch.objects.count(), Act.objects.count(), BatchLine.objects.count())
    with pytest.raises(settlement.CannotSettle, match="已关账"), transaction.atomic():
        settlement.request(period=period, actor=books.maker, now=day("06-11"))
    assert (Batch.objects.count(), Act.objects.count(), BatchLine.objects.count()) == before


def test_a_period_that_has_not_ended_is_refused(books: Books) -> None:
    with pytest.raises(settlement.CannotSettle, match="尚未结束"):
        settlement.request(period="2027-05", actor=books.maker, now=day("05-31"))
    with pytest.raises(settlement.CannotSettle, match="尚未结束"):
        settlement.preview(period="2027-05", now=day("05-31"))


def test_the_preview_says_what_the_batch_will_be_and_writes_nothing(books: Books) -> None:
    books.sell("a", on="05-02", paid_fen=129_900, member="林小满")
    books.vest(on="05-20")
    books.settle("2027-05", on="06-10")
    books.sell("b", on="06-01", paid_fen=86_200, member="林小满")
    books.sell("f", on="06-01", paid_fen=20_000, member="方圆", store="F1")
    books.refund("a", 129_900, on="06-20")
    books.vest(on="06-25")
    now = books.clock.set(day("07-10"))
    before = (Batch.objects.count(), BatchLine.objects.count(), Act.objects.count())
    seen = settlement.preview(period="2027-06", now=now)
    assert (Batch.objects.count(), BatchLine.objects.count(), Act.objects.count()) == before
    assert (seen.line_count, seen.payee_count, seen.earned_fen, seen.netted_fen, seen.paid_fen) == (
        2,
        2,
        5310,
        862,
        4448,
    )
    assert seen.carried_fen == 5633
    assert seen.companies == (("总部", 1, 3448), ("加盟公司", 1, 1000))
    batch = books.make("2027-06", on="07-10")
    assert (batch.line_count, batch.payee_count, batch.paid_fen) == (seen.line_count, seen.payee_count, seen.paid_fen)


def test_a_returned_payment_is_due_again_and_paid_by_the_next_batch(books: Books) -> None:
    books.sell("a", on="05-02", paid_fen=10_000, member="林小满")
    books.sell("b", on="05-02", paid_fen=30_000, member="周舟", store="S2")
    books.vest(on="05-20")
    may = books.approve(books.make("2027-05", on="06-10"), on="06-10")
    may = books.pay(may, on="06-12", returned=frozenset({"G00001"}))
    assert (may.status, balance("L:due:G00001"), balance(f"A:payout:{may.code}")) == ("SETTLED", 500, 0)
    assert Payment.objects.get(statement__beneficiary__code="G00001").reason == "账号不存在"
    june = books.settle("2027-06", on="07-10")
    said = statement(june, "G00001")
    assert (said.late_fen + said.earned_fen, said.paid_fen) == (500, 500)
    assert (balance("L:due:G00001"), balance("A:bank:HQ")) == (0, 2000)


def test_f9_a_second_payout_file_is_the_first(books: Books) -> None:
    """F9: byte for byte, and no second act."""
    books.sell("a", on="05-02", paid_fen=10_000, member="林小满")
    books.vest(on="05-20")
    batch = books.approve(books.make("2027-05", on="06-10"), on="06-10")
    company = LegalEntity.objects.get(code="HQ")
    first, is_new = payouts.produce(batch_id=batch.pk, company_id=company.pk, actor=books.maker, now=day("06-11"))
    acts = Act.objects.count()
    second, is_second_new = payouts.produce(
        batch_id=batch.pk, company_id=company.pk, actor=books.approver, now=day("06-12")
    )
    assert (is_new, is_second_new, second.pk) == (True, False, first.pk)
    assert bytes(second.content) == bytes(first.content)
    assert (PayoutFile.objects.count(), Act.objects.count()) == (1, acts)


def test_the_banks_answer_counts_once(books: Books) -> None:
    books.sell("a", on="05-02", paid_fen=10_000, member="林小满")
    books.vest(on="05-20")
    batch = books.approve(books.make("2027-05", on="06-10"), on="06-10")
    file = books.file(batch)
    content, now = answer(file), books.clock.set(day("06-12"))
    first, is_new = payouts.take_results(file_id=file.pk, content=content, actor=books.maker, now=now)
    second, is_second_new = payouts.take_results(file_id=file.pk, content=content, actor=books.maker, now=now)
    assert (is_new, is_second_new, second.pk) == (True, False, first.pk)
    other = content + b"\r\n"  # the same answers in another file
    third, _is_new = payouts.take_results(file_id=file.pk, content=other, actor=books.maker, now=now)
    assert (third.settled_count, balance("A:bank:HQ")) == (0, 500)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("2027-05.1-000001", "2027-05.1-000009"), "不属于"),
        (lambda text: text.replace("5.00", "6.00"), "金额"),
        (lambda text: text.replace("成功", "ok"), "成功"),
        (lambda text: text.replace("付款编号", "编号"), "第一行"),
        (lambda text: text + text.splitlines()[1] + "\r\n", "两次"),
        (lambda text: text.splitlines()[0], "没有"),
        (lambda text: text.replace("5.00", "五元"), "不是金额"),
    ],
)
def test_a_result_that_does_not_fit_is_refused_as_a_whole(books: Books, change: object, words: str) -> None:
    books.sell("a", on="05-02", paid_fen=10_000, member="林小满")
    books.vest(on="05-20")
    batch = books.approve(books.make("2027-05", on="06-10"), on="06-10")
    file = books.file(batch)
    wrong = change(answer(file).decode())  # type: ignore[operator]
    acts, now = Act.objects.count(), books.clock.set(day("06-12"))
    with pytest.raises(payouts.ResultRefused, match=words), transaction.atomic():
        payouts.take_results(file_id=file.pk, content=wrong.encode(), actor=books.maker, now=now)
    assert (Act.objects.count(), balance("A:bank:HQ"), Payment.objects.get().status) == (acts, 0, "FILED")


def test_a_contradicting_answer_is_refused(books: Books) -> None:
    books.sell("a", on="05-02", paid_fen=10_000, member="林小满")
    books.vest(on="05-20")
    batch = books.approve(books.make("2027-05", on="06-10"), on="06-10")
    file, now = books.file(batch), books.clock.set(day("06-12"))
    payouts.take_results(file_id=file.pk, content=answer(file), actor=books.maker, now=now)
    with pytest.raises(payouts.ResultRefused), transaction.atomic():
        payouts.take_results(file_id=file.pk, content=answer(file, frozenset({"G00001"})), actor=books.maker, now=now)
    assert balance("A:bank:HQ") == 500


@pytest.mark.parametrize(
    "change",
    [
        lambda: Batch.objects.update(paid_fen=1, netted_fen=499),
        lambda: Batch.objects.update(status="READY"),
        lambda: Batch.objects.all().delete(),
        lambda: BatchLine.objects.update(is_live=False),
        lambda: BatchLine.objects.all().delete(),
        lambda: Statement.objects.update(carried_fen=1, reversed_fen=1),
        lambda: Payment.objects.update(amount_fen=1),
        lambda: ClosedPeriod.objects.all().delete(),
    ],
)
def test_what_was_approved_stands_still(books: Books, change: object) -> None:
    books.sell("a", on="05-02", paid_fen=10_000, member="林小满")
    books.vest(on="05-20")
    books.approve(books.make("2027-05", on="06-10"), on="06-10")
    with (
        pytest.raises((IntegrityError, Exception), match=r"does not change|only ever|only moves|Cannot"),
        transaction.atomic(),
    ):
        change()  # type: ignore[operator]


def test_what_the_system_made_and_one_person_approved_another_pays_out(books: Books) -> None:
    books.sell("a", on="05-02", paid_fen=10_000, member="林小满")
    books.vest(on="05-20")
    now = books.clock.set(day("06-10"))
    batch = settlement.request(period="2027-05", actor=None, now=now)
    from scrm import jobs

    jobs.run(batch.job_id or 0)
    batch.refresh_from_db()
    batch = books.approve(batch, on="06-10")
    company = LegalEntity.objects.get(code="HQ")
    with pytest.raises(payouts.CannotPayOut), transaction.atomic():
        payouts.produce(batch_id=batch.pk, company_id=company.pk, actor=books.approver, now=now)
    assert payouts.produce(batch_id=batch.pk, company_id=company.pk, actor=books.maker, now=now)[1]


def test_the_hq_pool_is_paid_to_nobody(books: Books) -> None:
    books.shops.line(
        "x", member=None, store=None, paid_fen=10_000, at=books.clock.set(day("05-02")), completed_at=day("05-03")
    )
    books.vest(on="05-20")
    batch = books.make("2027-05", on="06-10")
    assert (batch.line_count, balance("L:due:HQ_POOL")) == (0, 500)
    assert Hold.objects.get().vested_fen == 500
