"""Lists of orders and refunds: what a row means, what is wrong with one, and what a kill leaves behind."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import connection
from django.db.models import Count, Sum

from attribution.models import Decision
from members import purchase_import, purchases
from members.models import Channel, Identity, LineToDecide, Member, Order, OrderLine, ParkedVersion, Refund
from members.purchases import line_numbers
from scrm import crypto, imports, jobs
from scrm.models import Brand, Job, LegalEntity, Region, Store
from tests.factories import lists

HEADER = (
    "channel,shop,order_no,line_no,paid_at,buyer_mobile,buyer_card_no,store_code,cashier_guide_code,sku,product_name,"
    "quantity,unit_price,paid_amount"
)
REFUNDS = "channel,order_no,line_no,refund_no,refunded_at,quantity,amount"
MOBILE = "15400000001"
SHANGHAI = dt.timezone(dt.timedelta(hours=8))


@pytest.fixture
def store(db: None) -> Store:
    entity = LegalEntity.objects.create(code="HQ", name="HQ", kind="HQ")
    return Store.objects.create(
        code="S1", name="S1", entity=entity, region=Region.objects.create(code="R1", name="R1"), ownership="DIRECT"
    )


def row(**values: Any) -> str:
    known: dict[str, Any] = {
        "channel": "POS", "shop": "S1", "order_no": "E1", "line_no": 1, "paid_at": "2025-05-01 09:30:00", "buyer_mobile": "",
        "buyer_card_no": "", "store_code": "S1", "cashier_guide_code": "G1", "sku": "K1", "product_name": "苹果", "quantity": 2,
        "unit_price": 6.95, "paid_amount": "13.90",
    }  # fmt: skip
    return ",".join(str(value) for value in {**known, **values}.values())


def take(
    path: Path, *rows: str, header: str = HEADER, args: tuple[str, ...] = ("--no-attribute",), **options: Any
) -> dict[str, Any]:
    return lists.take("import_orders", lists.write(path, header, *rows, **options), *args)


def take_refunds(path: Path, *rows: str, header: str = REFUNDS) -> dict[str, Any]:
    return lists.take("import_refunds", lists.write(path, header, *rows), "--no-attribute")


# --- what a row means -------------------------------------------------------------------------------------------------


def test_a_shop_without_an_interface_says_what_its_platform_would(store: Store, tmp_path: Path) -> None:
    header = HEADER + ",配送方式,交付门店,换货原订单号,直播间,团号,积分抵扣,礼品卡支付"
    good, bad = row() + ",自提,S1,E0,70,g7,3.00,2.00", ("外星人,,,,,,", ",S9,,,,,", ",,,,,1.00,2.00")
    summary = take(
        tmp_path / "more.csv", good, *(row(line_no=n) + "," + more for n, more in enumerate(bad, 2)), header=header
    )
    assert summary["problems"] == {"bad_delivery": 1, "unknown_store": 1, "gift_card_exceeds": 1}
    line = OrderLine.objects.get()
    assert (line.delivery_mode, line.fulfil_store, line.exchange_of, line.live_no) == ("PICKUP", store, "E0", "70")
    assert (line.group_no, line.points_fen, line.gift_card_fen) == ("g7", 300, 200)
    again = take(tmp_path / "more.csv", good, header=header)
    assert again["repeated"] == 1


def test_long_line_numbers_of_a_platform_are_taken_and_found_by_their_refunds(store: Store, tmp_path: Path) -> None:
    """Nineteen digits and letters: the number of the line is the one a platform's reply gives it, the original stands beside."""
    refs = ("2900000000000000001", "2900000000000000002", "SUB-7", "9007199254740993")
    rows = [row(line_no=ref) for ref in refs]
    summary = take(tmp_path / "long.csv", *rows, row(line_no="007"), row(line_no="12.0"), row(line_no="2000000000"))
    assert (summary["inserted"], summary["bad"]) == (7, 0)
    lines = {line.line_ref or str(line.line_no): line for line in OrderLine.objects.all()}
    assert set(lines) == {*refs, "7", "12", "2000000000"}
    assert all(lines[ref].line_no == line_numbers.of(ref) >= line_numbers.DIGEST_BIT for ref in refs)
    assert take(tmp_path / "long.csv", *rows[::-1])["repeated"] == 4
    back = [f"POS,E1,{ref},R{place},2025-05-02 10:00:00,1,1.00" for place, ref in enumerate(refs)]
    assert take_refunds(tmp_path / "back.csv", *back)["applied"] == 4
    assert set(OrderLine.objects.exclude(line_ref="").values_list("refunded_fen", flat=True)) == {100}


def test_a_list_names_the_campaign_and_who_hands_over(store: Store, tmp_path: Path) -> None:
    header = HEADER + ",活动编码,交付导购"
    take(tmp_path / "c.csv", row() + ",C11,G9", row(line_no=2) + ",,", row(line_no=3) + ",C11,", header=header)
    said = list(OrderLine.objects.order_by("line_no").values_list("details", flat=True))
    assert said == [{"campaign": "C11", "fulfil_clerk": "G9"}, None, {"campaign": "C11"}]
    assert take(tmp_path / "d.csv", row(line_no=2))["repeated"] == 1  # a list that does not speak of them is the same


def test_a_row_becomes_a_line(store: Store, tmp_path: Path) -> None:
    member = Member.objects.create(brand=Brand.objects.get(code="MAIN"))
    number = f"+86{MOBILE}"
    Identity.objects.create(
        member=member,
        kind="MOBILE",
        namespace="MAIN",
        value=crypto.mobile_index(number),
        sealed=crypto.seal_mobile(number),
    )
    summary = take(
        tmp_path / "orders.csv", row(buyer_mobile="+86 154-0000-0001"), row(line_no=2, paid_amount="0", shop="")
    )
    assert (summary["inserted"], summary["bad"], summary["orders"], summary["gmv_fen"]) == (2, 0, 1, 1390)
    line, free = OrderLine.objects.select_related("order", "product").order_by("line_no")
    paid_at = dt.datetime(2025, 5, 1, 9, 30, tzinfo=SHANGHAI)
    assert (line.order.channel, line.order.shop, line.order.order_no) == ("POS", "S1", "E1")
    assert line.paid_at == line.created_at == line.version_at == paid_at and line.completed_at is None
    assert (line.paid_fen, line.list_fen, line.discounts, line.points_fen, line.freight_fen) == (1390, 1390, {}, 0, 0)
    assert (line.quantity, line.unit_price, line.store, line.cashier_code) == (2, Decimal("6.95"), store, "G1")
    assert (line.member, line.product.name, line.order.booked_on) == (member, "苹果", dt.date(2025, 5, 1))
    assert (free.paid_fen, free.order_id) == (0, line.order_id)  # a blank shop is the store
    assert LineToDecide.objects.count() == 2 and not Decision.objects.exists()


def test_the_optional_columns(store: Store, tmp_path: Path) -> None:
    header = HEADER + (
        ",created_at,completed_at,updated_at,list_amount,points_amount,freight,category,buyer_account,buyer_unionid,test,gift_card,"
        "wholesale,staff_price,voided,risk_mark,discount_hq,discount_store,discount_platform"
    )
    full = (
        row()
        + ",2025-04-30 08:00,2025/5/2 10:00:00,2025-05-03T00:00:00Z,20,1.5,6,FRUIT,nick,u1,0,否,是,1,true,watch,5.10,1,0"
    )
    blank = row(line_no=2, store_code="", shop="") + ",,,,,,,,,,,,,,,,5,,"
    take(tmp_path / "orders.csv", full, blank, header=header)
    line = OrderLine.objects.select_related("product__category").get(line_no=1)
    assert (line.created_at, line.completed_at, line.version_at) == (
        dt.datetime(2025, 4, 30, 8, tzinfo=SHANGHAI), dt.datetime(2025, 5, 2, 10, tzinfo=SHANGHAI),
        dt.datetime(2025, 5, 3, tzinfo=dt.UTC),
    )  # fmt: skip
    assert (line.list_fen, line.points_fen, line.freight_fen, line.discounts) == (
        2000,
        150,
        600,
        {"HQ": 510, "STORE": 100},
    )
    assert (line.buyer_account, line.buyer_unionid, line.risk_mark) == ("nick", "u1", "watch")
    assert line.product.category and line.product.category.code == "FRUIT"
    flags = (line.is_test, line.is_gift_card, line.is_wholesale, line.is_staff_price, line.is_voided)
    assert flags == (False, False, True, True, True)
    other = OrderLine.objects.select_related("order").get(line_no=2)
    assert (other.order.shop, other.list_fen, other.discounts, other.is_voided) == ("main", 1890, {"HQ": 500}, False)


def test_the_version_of_a_row(store: Store, tmp_path: Path) -> None:
    """updated_at, else --exported-at, else the line's own paid_at."""
    path, header = tmp_path / "orders.csv", HEADER + ",updated_at"
    exported = ("--no-attribute", "--exported-at", "2025-06-01 12:00:00")
    take(path, row() + ",2025-05-05 00:00:00", row(line_no=2) + ",", header=header, args=exported)
    take(path, row(line_no=3))
    assert list(OrderLine.objects.order_by("line_no").values_list("version_at", flat=True)) == [
        dt.datetime(2025, 5, 5, tzinfo=SHANGHAI), dt.datetime(2025, 6, 1, 12, tzinfo=SHANGHAI),
        dt.datetime(2025, 5, 1, 9, 30, tzinfo=SHANGHAI),
    ]  # fmt: skip
    with pytest.raises(CommandError):
        take(path, row(), args=("--exported-at", "soon"))


def test_the_same_list_again_changes_nothing_and_says_so(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    take(path, row(), row(line_no=2), row(line_no=2))
    before = list(OrderLine.objects.order_by("pk").values())
    summary = take(path, row(), row(line_no=2), row(line_no=2))
    assert (summary["repeated"], summary["inserted"], summary["updated"], summary["bad"]) == (3, 0, 0, 0)
    assert list(OrderLine.objects.order_by("pk").values()) == before


def test_a_changed_list_without_a_version_contradicts_and_is_parked_with_its_line(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    take(path, row(), row(line_no=2))
    errors = tmp_path / "errors.csv"
    summary = take(path, row(), row(line_no=2, paid_amount="1.00"), args=("--no-attribute", "--errors", str(errors)))
    assert (summary["parked"], summary["problems"], summary["repeated"]) == (1, {"version_conflict": 1}, 1)
    assert errors.read_text("utf-8-sig").splitlines()[1].startswith("3,line_no,version_conflict,")
    assert ParkedVersion.objects.get().key == "POS/S1/E1/2"
    assert OrderLine.objects.get(line_no=2).paid_fen == 1390
    newer = take(path, row(line_no=2, paid_amount="1.00"), args=("--no-attribute", "--exported-at", "2025-06-01"))
    assert (newer["updated"], OrderLine.objects.get(line_no=2).paid_fen) == (1, 100)


def test_broken_rows_are_reported_and_do_not_stop_the_good_ones(store: Store, tmp_path: Path) -> None:
    header = HEADER + ",points_amount,test"
    bad = [
        (row(channel="") + ",,", "channel", "missing_value"),
        (row(channel="WEIBO") + ",,", "channel", "unknown_channel"),
        (row(order_no="") + ",,", "order_no", "missing_value"),
        (row(order_no="1.23E+15") + ",,", "order_no", "digits_lost"),
        (row(line_no="行1") + ",,", "line_no", "bad_line_no"),
        (row(line_no=-1) + ",,", "line_no", "bad_line_no"),
        (row(line_no="1.5") + ",,", "line_no", "bad_line_no"),
        (row(paid_at="2025-02-30 10:00") + ",,", "paid_at", "bad_time"),
        (row(paid_at="2035-01-01 10:00") + ",,", "paid_at", "time_out_of_range"),
        (row(paid_at="1999-01-01 10:00") + ",,", "paid_at", "time_out_of_range"),
        (row(paid_at="") + ",,", "paid_at", "missing_value"),
        (row(buyer_mobile="139****0000") + ",,", "buyer_mobile", "bad_mobile"),
        (row(store_code="S9") + ",,", "store_code", "unknown_store"),
        (row(sku="") + ",,", "sku", "missing_value"),
        (row(quantity="-1") + ",,", "quantity", "bad_quantity"),
        (row(quantity="1.2345") + ",,", "quantity", "bad_quantity"),
        (row(unit_price="abc") + ",,", "unit_price", "bad_unit_price"),
        (row(paid_amount="13.905") + ",,", "paid_amount", "bad_amount"),
        (row(paid_amount="-1") + ",,", "paid_amount", "negative_amount"),
        (row(paid_amount="") + ",,", "paid_amount", "missing_value"),
        (row() + ",13.91,", "points_amount", "points_exceed_paid"),
        (row() + ",,perhaps", "test", "bad_flag"),
        (row(), "", "wrong_cell_count"),
        (row(channel="", paid_amount="-1") + ",,", "channel", "missing_value"),  # the first problem, by column
    ]
    errors = tmp_path / "errors.csv"
    rows = [row(order_no="GOOD") + ",,", *(text for text, _column, _code in bad)]
    summary = take(tmp_path / "orders.csv", *rows, header=header, args=("--no-attribute", "--errors", str(errors)))
    assert (summary["rows"], summary["good"], summary["inserted"]) == (len(rows), 1, 1)
    found = [tuple(line.split(",")[:3]) for line in errors.read_text("utf-8-sig").splitlines()[1:]]
    assert found == [(str(number), column, code) for number, (_text, column, code) in enumerate(bad, start=3)]
    assert OrderLine.objects.get().order.order_no == "GOOD"


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8-sig"])
def test_chinese_titles_and_a_packed_file(store: Store, tmp_path: Path, encoding: str) -> None:
    header = "渠道,店铺,订单号,明细号,付款时间,手机号,会员卡号,门店编码,收银导购,商品编码,商品名称,数量,单价,实付金额"
    path = tmp_path / "订单.csv.gz"
    said = row(product_name='"苹果,""大"""', paid_amount="¥1390.00元")
    path.write_bytes(gzip.compress(f"{header}\n{said}\n".encode(encoding)))
    summary = lists.take("import_orders", path, "--no-attribute")
    assert (summary["inserted"], summary["ignored_columns"]) == (1, [])
    line = OrderLine.objects.select_related("product").get()
    assert (line.product.name, line.paid_fen) == ('苹果,"大"', 139_000)


def test_a_dry_run_writes_nothing(store: Store, tmp_path: Path) -> None:
    summary = take(tmp_path / "orders.csv", row(), row(line_no="1.5"), args=("--dry-run",))
    assert (summary["dry_run"], summary["good"], summary["bad"], summary["lines"], summary["gmv_fen"]) == (
        True,
        1,
        1,
        1,
        1390,
    )
    assert not Order.objects.exists() and not LineToDecide.objects.exists()


def test_no_plain_number_reaches_the_database(store: Store, tmp_path: Path) -> None:
    """S2."""
    take(tmp_path / "orders.csv", row(buyer_mobile=MOBILE), row(line_no=2, paid_amount="x", buyer_mobile=MOBILE))
    take(tmp_path / "orders.csv", row(buyer_mobile=MOBILE, paid_amount="1"))  # parked
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_jsonb(l)::text FROM members_orderline l UNION ALL SELECT to_jsonb(p)::text FROM members_parkedversion p"
        )
        text = " ".join(value for (value,) in cursor.fetchall())
        cursor.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'staging'::regnamespace")
        assert cursor.fetchone()[0] == 0  # nothing stays behind
    assert MOBILE not in text


def test_members_who_come_after_their_orders_get_them(store: Store, tmp_path: Path) -> None:
    take(
        tmp_path / "orders.csv", row(buyer_mobile=MOBILE), row(line_no=2, buyer_card_no="VIP1"), row(line_no=3), args=()
    )
    members = lists.write(tmp_path / "members.csv", "会员卡号,姓名,手机号", f"VIP1,王芳,{MOBILE}")
    job = imports.start(kind="import_members", path=str(members), options={})
    assert jobs.run(job.pk).summary["lines_recognised"] == 2
    known = Member.objects.get()
    assert list(OrderLine.objects.order_by("line_no").values_list("member", flat=True)) == [known.pk, known.pk, None]
    assert LineToDecide.objects.count() == 2  # decided again by the sweep


# --- refunds ----------------------------------------------------------------------------------------------------------


def test_refunds_find_their_line_without_a_shop(store: Store, tmp_path: Path) -> None:
    take(tmp_path / "orders.csv", row(), row(order_no="E2", shop="S2"), row(order_no="E2", shop="S3"))
    summary = take_refunds(
        tmp_path / "refunds.csv",
        "POS,E1,1,R1,2025-05-02 10:00:00,1,6.95",
        "POS,E1,1,R2,2025-05-02 10:00:00,,6.96",
        "POS,E2,1,R3,2025-05-02 10:00:00,1,1.00",
        "POS,E1,2,R4,2025-05-02 10:00:00,1,1.00",
        "POS,E9,1,R5,2025-05-02 10:00:00,1,1.00",
        "POS,E1,1,R6,2025-05-02 10:00:00,1,",
        "POS,E1,1,R1,2025-05-02 10:00:00,1,6.95",
        "POS,E1,1,R1,2025-05-02 10:00:00,1,6.94",
    )
    assert (summary["applied"], summary["waiting"], summary["repeated"], summary["refused"]) == (1, 2, 1, 3)
    assert summary["problems"] == {
        "refund_exceeds_line": 1,
        "ambiguous_order": 1,
        "missing_value": 1,
        "version_conflict": 1,
    }
    assert OrderLine.objects.get(order__order_no="E1").refunded_fen == 695
    take(tmp_path / "orders.csv", row(line_no=2), row(order_no="E9"))
    kept = Refund.objects.order_by("refund_no").values_list("refund_no", "shop", "status")
    assert list(kept) == [("R1", "S1", "APPLIED"), ("R4", "S1", "APPLIED"), ("R5", "S1", "APPLIED")]


def test_orders_and_refunds_in_either_order_end_in_the_same_rows(store: Store, tmp_path: Path) -> None:
    refunds = ["POS,E1,1,R1,2025-05-02 10:00:00,1,6.95", "POS,E1,2,R2,2025-05-02 10:00:00,1,1.00"]
    take_refunds(tmp_path / "refunds.csv", *refunds)
    summary = take(tmp_path / "orders.csv", row(), row(line_no=2))
    assert summary["refunds_applied"] == 2
    again = take_refunds(tmp_path / "refunds.csv", *refunds)
    assert (again["repeated"], again["inserted"]) == (2, 0)
    assert list(OrderLine.objects.order_by("line_no").values_list("refunded_fen", flat=True)) == [695, 100]


def test_an_import_ends_decided_and_posted(store: Store, tmp_path: Path) -> None:
    summary = take(tmp_path / "orders.csv", row(), row(line_no=2), args=())
    assert summary["decided"]["decided"] == 2 and Decision.objects.count() == 2
    assert not LineToDecide.objects.exists()
    refunded = lists.take(
        "import_refunds", lists.write(tmp_path / "refunds.csv", REFUNDS, "POS,E1,1,R1,2025-05-02 10:00:00,1,13.90")
    )
    assert refunded["decided"]["lines"] == 1
    assert Refund.objects.get().is_posted


# --- kills ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "moment", ["before the second chunk", "inside the second chunk", "while reading", "after the last chunk"]
)
def test_a_killed_import_is_run_again_and_ends_in_the_same_rows(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F1: SIGKILL at a named point, then the same job again."""
    monkeypatch.setattr(purchase_import, "CHUNK_ROWS", 10)
    entity = LegalEntity.objects.create(code="HQ", name="HQ", kind="HQ")
    region = Region.objects.create(code="R1", name="R1")
    Store.objects.create(code="S1", name="S1", entity=entity, region=region, ownership="DIRECT")
    Channel.objects.get_or_create(code="POS", defaults={"name": "POS", "is_in_store": True})
    rows = [row(order_no=f"E{number // 7}", line_no=number) for number in range(45)]
    path = lists.write(
        tmp_path / "orders.csv", HEADER, *rows, row(line_no="1.5"), row(order_no="E0", line_no=0, paid_amount="1")
    )
    job = imports.start(kind="import_orders", path=str(path), options={"attribute": False})
    connection.close()
    child = os.fork()
    if child == 0:
        try:
            _arm(moment)
            jobs.run(job.pk)
        finally:
            os._exit(3)  # not reached
    _pid, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert Job.objects.get(pk=job.pk).status == Job.Status.RUNNING
    done = jobs.run(job.pk)
    assert done.status == Job.Status.DONE
    assert OrderLine.objects.count() == 45 == LineToDecide.objects.count()
    assert done.summary["inserted"] + done.summary["repeated"] == 45
    assert done.summary["problems"] == {"bad_line_no": 1, "version_conflict": 1}
    assert ParkedVersion.objects.count() == 1 and Order.objects.count() == 7


def _arm(moment: str) -> None:
    """Make this process kill itself at the moment."""

    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    calls = 0
    record = purchases.record_lines_of

    def counted(**values: Any) -> Any:
        nonlocal calls
        calls += 1
        if moment == "before the second chunk" and calls == 2:
            die()
        if moment == "inside the second chunk" and calls == 2:
            purchases.lines.refunds.apply_to_batch = die  # type: ignore[assignment]
        return record(**values)

    purchases.record_lines_of = counted
    if moment == "while reading":
        imports.Run.check = die  # type: ignore[method-assign,assignment]
    if moment == "after the last chunk":
        imports.Run.summary = die  # type: ignore[method-assign,assignment]


# --- a company's own files --------------------------------------------------------------------------------------------


def test_company_orders_and_refunds(db: None, company_data: Path) -> None:
    expected = json.loads((company_data / "expected.json").read_text())
    lists.take("import_stores", company_data / "stores.csv")
    lists.take("import_guides", company_data / "guides.csv")
    lists.take("import_members", company_data / "members_legacy.gb18030.csv")
    orders = lists.take("import_orders", company_data / "orders.csv.gz", "--no-attribute")
    assert (orders["inserted"], orders["orders"], orders["problems"]) == (
        expected["order_lines"],
        expected["orders"],
        {},
    )
    refunds = lists.take("import_refunds", company_data / "refunds.csv", "--no-attribute")
    assert (refunds["applied"], refunds["refunded_fen"]) == (expected["refunds"], expected["refunded_fen"])

    lines = OrderLine.objects.all()
    totals = lines.aggregate(gmv=Sum("paid_fen"), refunded=Sum("refunded_fen"), lines=Count("pk"))
    assert totals == {
        "gmv": expected["gmv_fen"],
        "refunded": expected["refunded_fen"],
        "lines": expected["order_lines"],
    }
    assert Order.objects.count() == expected["orders"]
    assert lines.filter(member=None).count() == expected["lines_without_member"]
    assert lines.exclude(member=None).aggregate(n=Count("member", distinct=True))["n"] == expected["members_who_bought"]
    assert lines.exclude(member=None).aggregate(gmv=Sum("paid_fen"))["gmv"] == expected["gmv_of_members_fen"]
    by_channel = dict(lines.values_list("channel").annotate(gmv=Sum("paid_fen")).order_by("channel"))
    assert by_channel == expected["gmv_by_channel_fen"]
    assert LineToDecide.objects.count() == expected["order_lines"]
    assert (
        lists.take("import_refunds", company_data / "refunds.csv", "--no-attribute")["repeated"] == expected["refunds"]
    )
