"""F8 for a till's day file: cut, doubled, re-ordered, in GBK, with broken rows, sent again; returns find their sale."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from attribution import proving
from attribution.channels import pos_day
from attribution.models import PosDay
from members.models import OrderLine, Refund
from scrm import jobs, uploads
from scrm.copyin import FileRefused
from scrm.models import Job, JobProblem
from tests.factories.orders import owed
from tests.factories.shops import Shops, shops

pytestmark = pytest.mark.django_db(transaction=True)
HEADER = "店号,机号,营业日期,小票号,行号,交易时间,单据类型,原单号,线上单号,货号,品名,数量,零售价,实收,会员卡号,手机号,导购编码"
DAY, NEXT = dt.date(2026, 6, 1), dt.date(2026, 6, 2)
NOW = dt.datetime(2026, 6, 3, 4, tzinfo=dt.UTC)


@pytest.fixture
def company(transactional_db: None) -> Shops:
    from tests.factories import defaults

    defaults.restore()
    return shops()


def row(receipt: str = "000123", line: int = 1, *, day: dt.date = DAY, **values: Any) -> str:
    said: dict[str, Any] = {
        "store": "S1", "till": "02", "day": day.isoformat(), "receipt": receipt, "line": line, "at": f"{day.isoformat()} 15:04:05", "kind": "销售",
        "orig": "", "online": "", "sku": "W-01", "name": "苹果", "qty": 2, "price": "100.00", "paid": "180.00", "card": "", "phone": "",
        "guide": "G00001",
    }  # fmt: skip
    return ",".join(str(value) for value in {**said, **values}.values())


def total(yuan: str) -> str:
    return f"合计,,,,,,,,,,,,,{yuan},,,"


def take(
    company: Shops, *rows: str, day: dt.date = DAY, encoding: str = "utf-8", at: dt.datetime = NOW, store: str = "S1"
) -> Job:
    content = "\r\n".join([HEADER, *rows, ""]).encode(encoding)
    upload = uploads.store(actor=None, purpose=pos_day.KIND, name="day.csv", chunks=[content], now=timezone.now())
    taken = pos_day.take(actor=None, store=company.stores[store], day=day, upload=upload, now=at)
    assert taken.job is not None
    return jobs.run(taken.job.pk)


def standing() -> dict[str, tuple[int, int, bool]]:
    rows = OrderLine.objects.select_related("order").order_by("order__order_no", "line_no")
    return {
        f"{line.order.order_no}-{line.line_no}": (line.paid_fen, line.refunded_fen, line.is_voided) for line in rows
    }


THREE = (row(), row(line=2, sku="W-02", paid="20.00", qty="0.5", price="40.00"), row("000124", paid="30.00", qty=1))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_day_becomes_receipts_that_are_complete_and_decided(company: Shops, encoding: str) -> None:
    job = take(company, *THREE, total("230.00"), encoding=encoding)
    assert (job.status, job.summary["in_force"], job.summary["inserted"]) == ("DONE", 1, 3), job.error
    line = OrderLine.objects.select_related("order").get(order__order_no="S1/02/20260601/000123", line_no=1)
    assert (line.channel, line.order.shop, line.store, line.paid_fen, line.list_fen) == (
        "POS",
        "S1",
        company.stores["S1"],
        18_000,
        20_000,
    )
    assert line.completed_at == line.paid_at and owed(line) == {"G00001": 900}
    day = PosDay.objects.get()
    assert (day.is_current, day.line_count, day.paid_fen, day.refunded_fen) == (True, 3, 23_000, 0)


def test_the_same_file_is_refused_and_another_order_of_its_rows_changes_nothing(company: Shops) -> None:
    take(company, *THREE, total("230.00"))
    with pytest.raises(pos_day.DayRefused):
        take(company, *THREE, total("230.00"), at=NOW + dt.timedelta(hours=1))
    before = standing()
    job = take(company, *THREE[::-1], total("230.00"), at=NOW + dt.timedelta(hours=2))
    assert (job.summary["in_force"], job.summary["voided"]) == (1, 0) and standing() == before
    assert PosDay.objects.filter(is_current=True).count() == 1


@pytest.mark.parametrize(
    "rows",
    [THREE, (*THREE[:2], total("230.00")), (*THREE, THREE[0].replace("000123", "000125"), total("230.00"))],
    ids=["no totals", "cut in the middle", "a receipt too many"],
)
def test_a_file_that_was_cut_or_changed_is_refused_as_a_whole(company: Shops, rows: tuple[str, ...]) -> None:
    with pytest.raises(FileRefused) as refused:
        take(company, *rows)
    assert refused.value.code == "pos_day_total"
    assert not OrderLine.objects.exists() and not PosDay.objects.filter(is_current=True).exists()


BROKEN = (
    (row("000200", store="S2"), "other_store_or_day"), (row("000201", day=NEXT), "other_store_or_day"), (row("000202", qty="two"), "bad_quantity"),
    (row("000203", kind="赠送"), "bad_doc_type"), (row(line=1), "repeated_row"), (row("", sku="W-01"), "missing_value"),
)  # fmt: skip


def test_broken_rows_are_declared_or_nothing_is_taken(company: Shops) -> None:
    rows = (*THREE, *(text for text, _code in BROKEN), total(f"{230 + 180 * len(BROKEN)}.00"))
    job = take(company, *rows)
    assert (job.summary["in_force"], job.summary["bad"]) == (0, len(BROKEN)) and not OrderLine.objects.exists()
    assert sorted(JobProblem.objects.values_list("code", flat=True)) == sorted(code for _text, code in BROKEN)
    day = PosDay.objects.get()
    with pytest.raises(pos_day.DayRefused):
        pos_day.accept_bad(actor=None, row=day, count=1, reason="一行乱码")
    again = jobs.run(pos_day.accept_bad(actor=None, row=day, count=len(BROKEN), reason="已核对小票").pk)
    assert (again.summary["in_force"], OrderLine.objects.count()) == (1, 3)


def test_a_return_finds_the_sale_that_its_receipt_names(company: Shops) -> None:
    take(company, *THREE, total("230.00"))
    back = row("000045", day=NEXT, kind="退货", orig="000123", qty=-1, paid="-90.00")
    strange = row("000046", day=NEXT, kind="退货", orig="999999", qty=-1, paid="-5.00")
    job = take(company, back, strange, total("-95.00"), day=NEXT)
    assert (job.summary["in_force"], job.summary["unmatched"]) == (1, 1), job.error
    assert JobProblem.objects.get(job=job).code == "unmatched_return"
    assert standing()["S1/02/20260601/000123-1"] == (18_000, 9_000, False)
    assert Refund.objects.get().refund_no == "S1/02/20260602/000045/1"
    assert owed(OrderLine.objects.get(paid_fen=18_000)) == {"G00001": 450}


def test_a_day_sent_again_takes_back_what_is_gone(company: Shops) -> None:
    take(company, *THREE, row("000045", kind="退货", orig="000123", qty=-1, paid="-90.00"), total("140.00"))
    assert standing()["S1/02/20260601/000123-1"] == (18_000, 9_000, False)
    job = take(company, row(), row("000124", paid="25.00", qty=1), total("205.00"), at=NOW + dt.timedelta(hours=1))
    assert (job.summary["in_force"], job.summary["voided"], job.summary["refunds_taken_back"]) == (1, 1, 1), job.error
    assert standing() == {
        "S1/02/20260601/000123-1": (18_000, 0, False), "S1/02/20260601/000123-2": (2_000, 0, True),
        "S1/02/20260601/000124-1": (2_500, 0, False),
    }  # fmt: skip
    proof = proving.run(now=timezone.now())
    assert proof.is_proven, proof.differences


def test_what_is_no_sale_or_anothers_is_left_out(company: Shops) -> None:
    rows = (row(), row("000130", kind="作废"), row("000131", kind="练习"), row("000132", online="W1001"))
    job = take(company, *rows, total("720.00"))
    assert (job.summary["in_force"], list(standing())) == (1, ["S1/02/20260601/000123-1"])


def test_the_command_says_what_it_took(company: Shops, tmp_path: Any) -> None:
    path = tmp_path / "S1.csv"
    path.write_text("\n".join([HEADER, *THREE, total("230.00")]))
    call_command("import_pos_day", "S1", "2026-06-01", str(path))
    assert OrderLine.objects.count() == 3
    with pytest.raises(CommandError):
        call_command("import_pos_day", "S1", "2026-06-01", str(path))
    with pytest.raises(CommandError, match="no store"):
        call_command("import_pos_day", "S9", "2026-06-01", str(path))


def test_a_sale_of_less_and_no_return_any_more_is_taken_as_it_is(company: Shops) -> None:
    take(company, row(), row("000045", kind="退货", orig="000123", qty=-1, paid="-90.00"), total("90.00"))
    job = take(company, row(paid="50.00"), total("50.00"), at=NOW + dt.timedelta(hours=1))
    assert (job.summary["in_force"], job.summary["parked"], job.summary["refunds_taken_back"]) == (1, 0, 1), job.error
    assert standing() == {"S1/02/20260601/000123-1": (5_000, 0, False)}


def test_a_return_is_not_booked_on_a_sale_that_is_gone(company: Shops) -> None:
    take(company, row(), row(line=2, sku="W-02"), total("360.00"))
    back = row("000045", kind="退货", orig="000123", qty=-1, paid="-90.00")
    job = take(company, row(line=2, sku="W-02"), back, total("90.00"), at=NOW + dt.timedelta(hours=1))
    assert (job.summary["voided"], job.summary["unmatched"]) == (1, 1) and not Refund.objects.exists()
    assert standing()["S1/02/20260601/000123-1"] == (18_000, 0, True)
    proof = proving.run(now=timezone.now())
    assert proof.is_proven, proof.differences


def test_a_file_does_not_overtake_one_that_was_sent_later(company: Shops) -> None:
    broken = (*THREE, row("000202", qty="two"), total("410.00"))
    job = take(company, *broken)
    late = PosDay.objects.get()
    upload = uploads.store(
        actor=None, purpose=pos_day.KIND, name="day.csv", now=timezone.now(),
        chunks=["\r\n".join([HEADER, row("000999"), total("180.00"), ""]).encode()],
    )  # fmt: skip
    slow = pos_day.take(actor=None, store=company.stores["S1"], day=DAY, upload=upload, now=NOW)
    take(company, *THREE, total("230.00"), at=NOW + dt.timedelta(hours=1))
    before = standing()
    assert job.summary["in_force"] == 0 and slow.job is not None
    with pytest.raises(pos_day.DayRefused, match="更晚"):
        jobs.run(slow.job.pk)
    with pytest.raises(pos_day.DayRefused, match="更晚"):
        pos_day.accept_bad(actor=None, row=late, count=1, reason="已核对小票")
    assert standing() == before and PosDay.objects.get(is_current=True).line_count == 3


def test_the_command_takes_a_file_once_its_broken_rows_are_declared(company: Shops, tmp_path: Any) -> None:
    path = tmp_path / "S1.csv"
    path.write_text("\n".join([HEADER, *THREE, row("000202", qty="two"), total("410.00")]))
    with pytest.raises(CommandError, match="1 broken rows"):
        call_command("import_pos_day", "S1", "2026-06-01", str(path))
    call_command("import_pos_day", "S1", "2026-06-01", str(path), "--accept-bad", "1")
    assert (OrderLine.objects.count(), PosDay.objects.get().is_current) == (3, True)
    with pytest.raises(CommandError):  # it counts by now
        call_command("import_pos_day", "S1", "2026-06-01", str(path))
