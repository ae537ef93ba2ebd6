"""Channel bills against the books: F8 (cut, doubled, re-ordered, other encodings, one bad row), R2, ages and reasons."""

from __future__ import annotations

import datetime as dt
import io
import random
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone

from attribution.channels import bills
from attribution.models import ChannelBill, ChannelBillLine, ChannelDifference
from members import purchases
from members.models import OrderLine
from members.purchases import LineVersion, RefundVersion
from scrm import jobs
from scrm.copyin import FileRefused
from scrm.errors import RuleViolation

DAY = dt.date(2025, 5, 1)
PAID = dt.datetime(2025, 5, 1, 4, tzinfo=dt.UTC)  # noon in Shanghai
NOW = dt.datetime(2025, 5, 3, tzinfo=dt.UTC)

pytestmark = pytest.mark.django_db(transaction=True)


def sold(no: str, fen: int, *, freight: int = 0, at: dt.datetime = PAID, **values: Any) -> LineVersion:
    known = {
        "channel": "TMALL",
        "shop": "shop1",
        "order_no": no,
        "line_no": 1,
        "version_at": at,
        "created_at": at,
        "paid_at": at,
    }
    return LineVersion(
        **{**known, "sku": "K", "quantity": 1, "list_fen": fen, "paid_fen": fen, "freight_fen": freight, **values}
    )


def bill_of(
    rows: list[tuple[str, str, str]], *, total: str | None = None, header: str = "订单编号,实收金额,类型"
) -> str:
    lines = [header, *(",".join(row) for row in rows)]
    return "\n".join([*lines, *([f"合计,{total},"] if total is not None else [])]) + "\n"


def upload(text: str | bytes, *, encoding: str = "utf-8", name: str = "bill.csv") -> Any:
    data = text.encode(encoding) if isinstance(text, str) else text
    return bills.store_file(actor=None, name=name, chunks=iter([data]), now=timezone.now())


def take(text: str | bytes, *, encoding: str = "utf-8", **values: Any) -> ChannelBill:
    known = {"channel": "TMALL", "shop_no": "shop1", "day": DAY}
    bill = bills.take(actor=None, upload=upload(text, encoding=encoding), **{**known, **values})
    assert bill.job is not None
    jobs.run(bill.job.pk)
    bill.refresh_from_db()
    return bill


def differences() -> set[tuple[Any, ...]]:
    rows = ChannelDifference.objects.exclude(state="GONE")
    return set(rows.values_list("order_no", "measure", "kind", "ours_fen", "theirs_fen"))


@pytest.fixture
def books() -> None:
    purchases.record_lines(lines=[
        sold("A", 10_000, freight=600), sold("B", 5_000), sold("B", 2_000, line_no=2), sold("C", 400), sold("D", 100, is_voided=True),
        sold("NIGHT", 700, at=dt.datetime(2025, 4, 30, 16, tzinfo=dt.UTC)),  # midnight in Shanghai: this day's first
        sold("LATER", 700, at=dt.datetime(2025, 5, 1, 16, tzinfo=dt.UTC)), sold("OTHER", 1, shop="shop2"),
    ])  # fmt: skip
    purchases.record_refunds(
        refunds=[
            RefundVersion("TMALL", "shop1", "R1", "B", 1, PAID, PAID, 1, 1_000),  # type: ignore[arg-type]
        ]
    )


FAIR = [
    ("A", "106.00", "收入"),
    ("B", "70.00", "收入"),
    ("C", "4.00", "收入"),
    ("NIGHT", "7.00", "收入"),
    ("B", "-10.00", "退款"),
]


@pytest.mark.usefixtures("books")
def test_a_bill_that_agrees_has_no_differences_and_the_same_sums() -> None:
    """R2: GMV by channel in our books is the channel's file."""
    bill = take(bill_of(FAIR, total="177.00"))
    assert bill.is_current and not differences()
    assert (bill.order_count, bill.paid_fen, bill.refunded_fen) == (4, 18_700, 1_000)
    assert (bill.our_paid_fen, bill.our_refunded_fen) == (18_700, 1_000)
    lines = OrderLine.objects.filter(order__shop="shop1", is_voided=False).exclude(order__order_no="LATER")
    sums = lines.aggregate(paid=Sum("paid_fen"), freight=Sum("freight_fen"))
    assert (
        bill.paid_fen == sums["paid"] + sums["freight"] == ChannelBillLine.objects.aggregate(fen=Sum("paid_fen"))["fen"]
    )


@pytest.mark.usefixtures("books")
def test_what_one_side_has_alone_or_otherwise_is_listed_and_goes_when_it_is_put_right() -> None:
    take(bill_of([("A", "106.00", "收入"), ("B", "60.00", "收入"), ("X", "9.00", "收入"), ("NIGHT", "7.00", "收入")]))
    assert differences() == {
        ("B", "PAID", "AMOUNT", 7_000, 6_000), ("C", "PAID", "ONLY_OURS", 400, 0), ("X", "PAID", "ONLY_THEIRS", 0, 900),
        ("B", "REFUNDED", "ONLY_OURS", 1_000, 0),
    }  # fmt: skip
    purchases.record_lines(lines=[sold("X", 900)])  # it came late
    explained = ChannelDifference.objects.get(order_no="B", measure="PAID")
    bills.decide(actor=None, difference=explained, state="EXPLAINED", reason="平台补贴", now=NOW)
    bills.compare_again(now=timezone.now(), bill_ids=ChannelBill.objects.values_list("pk", flat=True))
    states = dict(ChannelDifference.objects.filter(measure="PAID").values_list("order_no", "state"))
    assert states == {"B": "EXPLAINED", "C": "OPEN", "X": "GONE"}
    first_seen = ChannelDifference.objects.get(order_no="C").found_at
    assert first_seen < timezone.now()  # its age counts from the first time
    take(bill_of([("A", "106.00", "收入"), ("B", "61.00", "收入")]))  # another file of the day
    row = ChannelDifference.objects.get(order_no="B", measure="PAID")
    assert (row.state, row.theirs_fen) == ("OPEN", 6_100)  # its amounts have changed: no longer explained
    assert ChannelBill.objects.filter(is_current=True).count() == 1


@pytest.mark.usefixtures("books")
def test_a_difference_is_decided_with_a_reason_only() -> None:
    take(bill_of([("A", "106.00", "收入")]))
    row = ChannelDifference.objects.get(order_no="C")
    for state, reason in (("CLOSED", " "), ("GONE", "x"), ("OPEN", "x")):
        with pytest.raises(RuleViolation):
            bills.decide(actor=None, difference=row, state=state, reason=reason, now=NOW)
    bills.decide(actor=None, difference=row, state="CLOSED", reason="店员漏录，已补", now=NOW)
    row.refresh_from_db()
    assert (row.state, row.reason, row.ended_at) == ("CLOSED", "店员漏录，已补", NOW)


# --- F8 -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("books")
def test_f8_the_same_file_is_refused_twice() -> None:
    take(bill_of(FAIR))
    with pytest.raises(RuleViolation) as raised:
        take(bill_of(FAIR))
    assert raised.value.code == "bill_known" and ChannelBill.objects.count() == 1


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize("encoding", ["gbk", "utf-8-sig", "utf-16", "gb18030"])
def test_f8_other_encodings_say_the_same(encoding: str) -> None:
    assert take(bill_of(FAIR, total="177.00"), encoding=encoding).is_current and not differences()


@pytest.mark.usefixtures("books")
def test_f8_re_ordered_rows_say_the_same() -> None:
    for seed in range(3):
        rows = [*FAIR, (f"Z{seed}", "1.00", "收入")]
        random.Random(seed).shuffle(rows)
        assert take(bill_of(rows)).is_current
        assert differences() == {(f"Z{seed}", "PAID", "ONLY_THEIRS", 0, 100)}


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_f8_a_cut_or_doubled_file_fails_on_its_total(cut: int) -> None:
    whole = bill_of(FAIR, total="177.00")
    lines = whole.splitlines(keepends=True)
    for text in ("".join([*lines[: -1 - cut], lines[-1]]), "".join([*lines[:-1], *lines[1 : 1 + cut], lines[-1]])):
        with pytest.raises(FileRefused) as raised:
            take(text)
        assert raised.value.code == "bill_total"
    assert not ChannelBill.objects.filter(is_current=True).exists() and not ChannelBillLine.objects.exists()
    with pytest.raises(FileRefused):
        take(bill_of(FAIR[:cut]), total_fen=17_700)  # given beside a file that has none


@pytest.mark.usefixtures("books")
def test_f8_broken_rows_are_declared_or_nothing_is_taken() -> None:
    before = take(bill_of(FAIR))
    bill = take(bill_of([*FAIR, ("E", "nine", "收入"), ("", "1.00", "收入")]))
    assert (bill.is_current, bill.bad_count) == (False, 2)
    before.refresh_from_db()
    assert before.is_current and not bill.lines.exists()  # the one before it stays in force
    with pytest.raises(RuleViolation):
        bills.accept_bad(actor=None, bill=bill, count=1, reason="x")
    jobs.run(bills.accept_bad(actor=None, bill=bill, count=2, reason="两行无法更正").pk)
    bill.refresh_from_db()
    assert bill.is_current and bill.order_count == 4
    with pytest.raises(RuleViolation):
        bills.accept_bad(actor=None, bill=bill, count=2, reason="again")


@pytest.mark.usefixtures("books")
def test_f8_a_repeated_flow_number_is_a_broken_row() -> None:
    header = "订单编号,实收金额,类型,账务流水号"
    rows = [(*row, f"f{place}") for place, row in enumerate(FAIR)]
    bill = take(bill_of([*rows, rows[0]], header=header))  # type: ignore[list-item]
    assert (bill.is_current, bill.bad_count) == (False, 1)


@pytest.mark.usefixtures("books")
def test_f8_one_bad_row_in_many_and_killed_between_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    text.write("订单编号,实收金额,类型\n")
    for number in range(30_000):
        text.write(f"N{number % 20_000},1.00,收入\n")
    text.write("N1,一元,收入\n")
    bill = take(text.getvalue())
    assert (bill.bad_count, bill.is_current) == (1, False)
    job = bills.accept_bad(actor=None, bill=bill, count=1, reason="一行无法更正")
    real, done = bills._write_part, []

    def dies(*said: Any) -> None:
        real(*said)
        done.append(said[-1])
        if len(done) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(bills, "_write_part", dies)
    with pytest.raises(KeyboardInterrupt):
        jobs.run(job.pk)
    written = ChannelBillLine.objects.count()
    assert 0 < written < 20_000
    monkeypatch.setattr(bills, "_write_part", real)
    type(job).objects.filter(pk=job.pk).update(status="RUNNING")  # a killed worker leaves it so
    jobs.run(job.pk)
    bill.refresh_from_db()
    assert (bill.is_current, bill.order_count, bill.paid_fen) == (True, 20_000, 3_000_000)
