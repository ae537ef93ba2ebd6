"""Shops read over real HTTP: windows, pages, orders that change meanwhile, refusals, tokens, a kill between two pages."""

from __future__ import annotations

import copy
import datetime as dt
import json
import threading
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from attribution import intake
from attribution.channels import client, platform, polling, shops
from attribution.models import ChannelCursor, ChannelEvent, ChannelNotice, ChannelShop, StrangePush
from members.models import OrderLine, ParkedVersion, Refund
from scrm.errors import RuleViolation
from tests.attribution.channels.sandbox import REFRESH, TOKEN, TOKEN_METHODS, Sales
from tests.attribution.channels.test_payloads import CODES, REFUNDS, payload

ZONE = ZoneInfo("Asia/Shanghai")
NOW = dt.datetime(2026, 1, 6, 12, tzinfo=ZONE)
UPDATED = dt.datetime(2026, 1, 6, 11, 30, tzinfo=ZONE)
SINCE = dt.datetime(2026, 1, 6, 11, tzinfo=ZONE)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sales(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sales]:
    monkeypatch.setattr(client, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(client, "CALLS_PER_SECOND", 10_000.0)
    with Sales() as made:
        yield made


def connect(sales: Sales, code: str, **values: Any) -> ChannelShop:
    known = {
        "actor": None, "channel": code, "shop_no": "shop1", "name": code, "app_key": "key", "secrets": {"secret": "sec", "sign_secret": "s"},
        "since": SINCE, "token": TOKEN, "base_url": sales.url(code),
    }  # fmt: skip
    return shops.connect(**{**known, **values})


NUMBERS = {
    "YOUZAN": ("full_order_info", "order_info", "tid"), "TMALL": ("tid",), "JD": ("orderId",), "DOUYIN": ("order_id",),
    "KUAISHOU": ("orderBaseInfo", "oid"), "PINDUODUO": ("order_sn",), "XIAOHONGSHU": ("orderId",), "WECHAT_SHOP": ("order_id",),
}  # fmt: skip


def number_of(code: str, raw: Any) -> str:
    for name in NUMBERS[code]:
        raw = raw[name]
    return str(raw)


def numbered(code: str, number: int) -> tuple[str, Any]:
    raw = copy.deepcopy(payload(code))
    inner = raw
    for name in NUMBERS[code][:-1]:
        inner = inner[name]
    no = f"3{number:012d}"
    inner[NUMBERS[code][-1]] = int(no) if code == "KUAISHOU" else no
    return no, raw


def read(now: dt.datetime = NOW) -> polling.Ran:
    ran = polling.run_due(now=now)
    intake.process(now=max(now, NOW))
    return ran


# --- every platform -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
def test_orders_and_refunds_of_a_shop_come_into_the_books(sales: Sales, code: str) -> None:
    connect(sales, code)
    raw, amount = REFUNDS[code]
    no = number_of(code, payload(code))
    sales.put(code, no, payload(code), UPDATED)
    sales.refund(code, "77", no, {**raw, **({"refundId": 77} if code == "KUAISHOU" else {})}, UPDATED)
    ran = read()
    assert ran.failed == 0, ChannelCursor.objects.values_list("stream", "error_code")
    line = OrderLine.objects.select_related("order").get()
    assert (line.channel, line.order.shop, line.order.order_no, line.quantity) == (code, "shop1", no, 2)
    refund = Refund.objects.get()
    assert (refund.amount_fen, refund.status, line.refunded_fen) == (amount, "APPLIED", amount)
    events = ChannelEvent.objects.order_by("pk")
    assert {event.status for event in events} == {"PROCESSED"} and len(events) == 2
    assert all(b"W-01" not in bytes(event.body_sealed) for event in events)  # sealed as it came
    for cursor in ChannelCursor.objects.all():
        assert (
            cursor.read_until == NOW - dt.timedelta(minutes=3)
            and cursor.error_code == ""
            and cursor.claimed_until is None
        )


@pytest.mark.parametrize("code", CODES)
def test_what_is_read_again_comes_to_nothing(sales: Sales, code: str) -> None:
    shop = connect(sales, code)
    sales.put(code, number_of(code, payload(code)), payload(code), UPDATED)
    assert read().stored == 1
    shops.read_again(actor=None, shop=shop, since=SINCE, until=NOW - dt.timedelta(minutes=10), now=NOW)
    assert read(NOW + dt.timedelta(minutes=1)).stored == 0
    assert ChannelEvent.objects.count() == OrderLine.objects.count() == 1 and not ParkedVersion.objects.exists()
    assert not ChannelCursor.objects.exclude(stops_at=None).exists()  # the period is read, its row is gone


@pytest.mark.parametrize("code", CODES)
def test_every_page_is_read(sales: Sales, code: str) -> None:
    connect(sales, code)
    size = shops.platform_of(ChannelShop.objects.get()).streams["orders"].page_size
    count = size * 2 + 3
    for number in range(count):
        sales.put(code, *numbered(code, number), UPDATED + dt.timedelta(seconds=number % 7))
    assert read().stored == count
    assert OrderLine.objects.values("order").distinct().count() == count


@pytest.mark.parametrize("code", ["TMALL", "PINDUODUO", "XIAOHONGSHU", "DOUYIN"])
def test_an_order_changed_while_its_page_is_turned_is_not_lost_nor_its_neighbour(sales: Sales, code: str) -> None:
    """A forward reader loses the order that moves over the edge of a page."""
    connect(sales, code)
    for number in range(120):
        sales.put(code, *numbered(code, number), UPDATED + dt.timedelta(seconds=number))
    moved: list[str] = []

    def change(method: str, page: Any) -> None:
        if ("rder" in method or "trades" in method) and len(moved) < 6:
            no = f"3{50 + len(moved) * 7:012d}"
            moved.append(no)
            sales.shelf(code).orders[no].updated = NOW  # beyond the window that is being read

    sales.on_list = change
    read()
    sales.on_list = lambda method, page: None
    assert moved
    read(NOW + dt.timedelta(minutes=10))
    found = set(OrderLine.objects.values_list("order__order_no", flat=True))
    assert len(found) == 120


def test_windows_overlap_so_that_what_changes_at_the_edge_is_read(sales: Sales) -> None:
    connect(sales, "TMALL")
    read()
    edge = ChannelCursor.objects.get(stream="orders").read_until
    sales.put("TMALL", *numbered("TMALL", 1), edge)  # written by the platform only after we had looked
    sales.put("TMALL", *numbered("TMALL", 2), edge - dt.timedelta(minutes=4))
    read(NOW + dt.timedelta(minutes=5))
    assert OrderLine.objects.count() == 2


# --- refusals ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
def test_asked_too_fast_it_waits_and_goes_on(sales: Sales, code: str) -> None:
    connect(sales, code)
    sales.put(code, number_of(code, payload(code)), payload(code), UPDATED)
    sales.refusals = ["pace", "html", 503]
    assert read().failed == 0
    assert OrderLine.objects.count() == 1


@pytest.mark.parametrize("code", [code for code in CODES if code != "TMALL"])  # TOP sells fixed terms to merchants
def test_an_expired_token_is_replaced_once(sales: Sales, code: str) -> None:
    refresh = "" if code in ("YOUZAN", "WECHAT_SHOP") else REFRESH
    shop = connect(sales, code, secrets={"secret": "sec", "sign_secret": "s", "refresh_token": refresh})
    sales.put(code, number_of(code, payload(code)), payload(code), UPDATED)
    sales.tokens[code] = "another"
    assert read().failed == 0
    assert sum(sales.counts[method] for method in TOKEN_METHODS) == 1 and OrderLine.objects.count() == 1
    shop.refresh_from_db()
    keys = shops.keys_of(shop)
    assert keys.more.get("refresh_token", "") == (sales.refreshes[code] if refresh else "")
    assert shop.token_until is not None
    # the next one is bought with what came with this one
    ChannelShop.objects.update(token_until=timezone.now())
    shop.refresh_from_db()
    client.test(shop)
    assert sum(sales.counts[method] for method in TOKEN_METHODS) == 2
    assert shops.keys_of(shop).token == sales.tokens[code] and sales.tokens[code].encode() not in bytes(
        shop.token_sealed or b""
    )


@pytest.mark.parametrize("code", CODES)
def test_a_token_that_stays_refused_ends_and_is_shown(sales: Sales, code: str) -> None:
    shop = connect(sales, code)
    sales.refusals = ["token"] * 1_000
    ran = read()
    assert ran.failed == 2  # one per stream
    assert sales.counts.total() <= 8
    cursor = ChannelCursor.objects.filter(stream="orders").get()
    assert cursor.error_code.startswith("TOKEN:") and cursor.failures == 1 and cursor.read_until == SINCE
    assert cursor.due_at == NOW + polling.FIRST_PAUSE
    assert read().pages == 0  # not before it is due
    sales.refusals = []
    shops.replace_keys(actor=None, shop=shop, secrets={}, token=TOKEN, reason="granted anew")
    ChannelCursor.objects.update(due_at=NOW)
    assert read().failed == 0
    assert not ChannelCursor.objects.exclude(error_code="").exists()


def test_a_shop_of_our_own_on_douyin_is_granted_by_its_number(sales: Sales) -> None:
    shop = connect(sales, "DOUYIN", token="")
    client.test(shop)
    assert sales.counts["token.create"] == 1 and sales.counts["token.refresh"] == 0
    shops.replace_keys(actor=None, shop=shop, secrets={"refresh_token": "spent"}, token=TOKEN, reason="granted anew")
    shop.refresh_from_db()
    sales.tokens["DOUYIN"] = "another"
    with pytest.raises(client.ChannelError):  # what was entered last is what counts, and it is not worth anything
        client.test(shop)
    assert sales.counts["token.refresh"] == 1


def test_every_scripted_answer_ends(sales: Sales, monkeypatch: pytest.MonkeyPatch) -> None:
    """W9: each call has a timeout and its tries end."""
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.2)
    shop = connect(sales, "TMALL")
    call = platform.Call("taobao.trade.fullinfo.get", {"tid": "1"})
    for script in ("hang", "html", 500, 302, 404, "pace", "token"):
        sales.refusals = [script] * 50
        before = sales.counts.total()
        with pytest.raises(client.ChannelError) as raised:
            client.ask(shop, call)
        assert sales.counts.total() - before <= client.TRIES, script
        assert "sec" not in str(raised.value) and TOKEN not in str(raised.value)


def test_nothing_is_asked_inside_a_transaction(sales: Sales) -> None:
    shop = connect(sales, "TMALL")
    with transaction.atomic(), pytest.raises(Exception, match="transaction"):
        client.ask(shop, platform.Call("taobao.trade.fullinfo.get", {"tid": "1"}))
    assert not sales.calls


# --- workers ----------------------------------------------------------------------------------------------------------------


def test_killed_between_two_pages_it_goes_on_from_the_last_one(sales: Sales) -> None:
    connect(sales, "TMALL")
    for number in range(120):
        sales.put("TMALL", *numbered("TMALL", number), UPDATED)
    lists = []

    def die(method: str, page: Any) -> None:
        lists.append(page)
        if method == "taobao.trades.sold.increment.get" and len(lists) == 3:
            raise ConnectionAbortedError

    sales.on_list = die  # the connection breaks; the tries go on and the third page comes later
    read()
    sales.on_list = lambda method, page: None
    ChannelCursor.objects.update(due_at=NOW, claimed_until=None)
    read()
    assert OrderLine.objects.values("order").distinct().count() == 120


def test_one_reading_is_claimed_by_one_worker_and_the_late_one_writes_nothing(sales: Sales) -> None:
    connect(sales, "KUAISHOU")
    first = polling._claim(NOW)
    second = polling._claim(NOW)
    assert first != second and polling._claim(NOW) is None
    assert first is not None
    late = ChannelCursor.objects.select_related("shop").get(pk=first)
    ChannelCursor.objects.filter(pk=first).update(claimed_until=NOW + dt.timedelta(hours=1))  # taken over
    sales.put("KUAISHOU", *numbered("KUAISHOU", 1), UPDATED)
    with pytest.raises(polling._Lost):
        polling._page(late, NOW, polling.Ran())
    assert not ChannelEvent.objects.exists()  # in one transaction with the place


def test_ten_workers_read_a_shop_once(sales: Sales) -> None:
    connect(sales, "PINDUODUO")
    for number in range(70):
        sales.put("PINDUODUO", *numbered("PINDUODUO", number), UPDATED)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            polling.run_due(now=NOW)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(10)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors
    assert ChannelEvent.objects.count() == 70
    assert (
        sales.counts["pdd.order.number.list.increment.get"] <= 8
    )  # two windows, up to three answers each, and none twice


def test_a_paused_shop_is_not_read(sales: Sales) -> None:
    shop = connect(sales, "JD")
    shops.switch(actor=None, shop=shop, is_enabled=False, reason="盘点")
    assert read().pages == 0 and not sales.calls
    shops.switch(actor=None, shop=shop, is_enabled=True, reason="盘点结束")
    assert read().pages > 0


# --- what is read -------------------------------------------------------------------------------------------------------------


def test_a_lower_version_after_a_higher_one_changes_nothing(sales: Sales) -> None:
    """W4, and 11.4: a list that lags shows an order as it was."""
    connect(sales, "TMALL")
    no, raw = numbered("TMALL", 1)
    sales.put(
        "TMALL",
        no,
        {**raw, "status": "TRADE_FINISHED", "modified": "2026-01-06 11:40:00", "end_time": "2026-01-06 11:40:00"},
        UPDATED,
    )
    read()
    sales.put("TMALL", no, raw, NOW + dt.timedelta(minutes=1))
    read(NOW + dt.timedelta(minutes=10))
    line = OrderLine.objects.get()
    assert line.completed_at is not None and line.details is not None and line.details["status"] == "COMPLETED"


def test_an_unknown_status_is_parked_with_its_payload_and_read_again_by_hand(sales: Sales) -> None:
    connect(sales, "DOUYIN")
    no, raw = numbered("DOUYIN", 1)
    sales.put("DOUYIN", no, {**raw, "order_status": 77}, UPDATED)
    read()
    parked = ChannelEvent.objects.get()
    assert (parked.status, parked.error_code) == ("PARKED", "unknown_status") and not OrderLine.objects.exists()


def test_a_mobile_number_of_a_buyer_lies_nowhere_in_plain(sales: Sales) -> None:
    """S2: Youzan may hand out a number; the books hold its index only."""
    connect(sales, "YOUZAN")
    raw = payload("YOUZAN")
    raw["full_order_info"]["buyer_info"]["buyer_phone"] = "15400008888"
    sales.put("YOUZAN", number_of("YOUZAN", raw), raw, UPDATED)
    read()
    assert OrderLine.objects.get().buyer_mobile_index
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_jsonb(e)::text || (SELECT string_agg(to_jsonb(l)::text, '') FROM members_orderline l) FROM attribution_channelevent e"
        )
        assert "15400008888" not in cursor.fetchone()[0]
        cursor.execute("SELECT body_sealed FROM attribution_channelevent")
        assert b"15400008888" not in bytes(cursor.fetchone()[0])


# --- pushes -------------------------------------------------------------------------------------------------------------------


def push(code: str, told: Any, *, secret: str = "sec", shop_no: str = "shop1") -> Any:
    body = json.dumps(told).encode()
    signed = platform.md5(b"key" + body + secret.encode())
    return Client(headers={"event-sign": signed}).post(
        f"/api/channels/{code}/{shop_no}/push", body, content_type="application/json"
    )


def test_a_push_is_answered_as_expected_and_its_order_read(sales: Sales) -> None:
    connect(sales, "DOUYIN", since=NOW)
    no, raw = numbered("DOUYIN", 1)
    sales.put("DOUYIN", no, raw, UPDATED)
    told = [{"tag": "101", "msg_id": "1", "data": json.dumps({"p_id": no, "shop_id": 1001})}]
    for _ in range(3):
        answer = push("DOUYIN", told)
        assert (answer.status_code, answer.json()) == (200, {"code": 0, "msg": "success"})
    assert ChannelNotice.objects.get().told_count == 3
    later = timezone.now() + dt.timedelta(minutes=1)
    polling.read_notices(now=later, ran=polling.Ran())
    intake.process(now=later)
    assert OrderLine.objects.get().order.order_no == no and not ChannelNotice.objects.exists()
    assert sales.counts["order.orderDetail"] == 1


def test_a_push_is_verified_on_its_raw_bytes(sales: Sales) -> None:
    connect(sales, "DOUYIN")
    told = [{"tag": "101", "data": json.dumps({"p_id": "1"})}]
    assert push("DOUYIN", told, secret="other").status_code == 403
    assert push("TMALL", told).status_code == 404  # not connected
    assert not ChannelNotice.objects.exists()


def test_a_push_for_a_shop_that_is_not_ours_is_kept_until_it_is_connected(sales: Sales) -> None:
    told = [{"tag": "101", "data": json.dumps({"p_id": "3000000000001"})}]
    for _ in range(2):
        assert push("DOUYIN", told, shop_no="shop9").status_code == 404
    strange = StrangePush.objects.get()
    assert strange.told_count == 2 and b"3000000000001" not in bytes(strange.request_sealed)
    with pytest.raises(RuleViolation):
        polling.take_strange(actor=None, push=strange, now=NOW)
    connect(sales, "DOUYIN", shop_no="shop9")
    polling.take_strange(actor=None, push=strange, now=NOW)
    assert ChannelNotice.objects.get().order_no == "3000000000001" and StrangePush.objects.get().taken_at == NOW


def test_an_order_whose_detail_is_not_there_yet_is_read_a_little_later(sales: Sales) -> None:
    """A list that knows an order before its detail does must not lose it."""
    connect(sales, "YOUZAN")
    no, raw = numbered("YOUZAN", 1)
    sales.put("YOUZAN", no, {}, UPDATED)
    assert read().failed == 0 and not OrderLine.objects.exists()
    assert ChannelNotice.objects.get().order_no == no
    sales.put("YOUZAN", no, raw, UPDATED)
    read(NOW + dt.timedelta(minutes=2))
    assert OrderLine.objects.get().order.order_no == no and not ChannelNotice.objects.exists()


def test_strangers_cannot_fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "MOST_STRANGE", 3)
    for number in range(6):
        push("DOUYIN", [number], shop_no="x")
    assert StrangePush.objects.count() == 3


def test_a_notice_whose_order_cannot_be_read_is_parked_after_some_tries(sales: Sales) -> None:
    shop = connect(sales, "WECHAT_SHOP", since=NOW)
    ChannelNotice.objects.create(shop=shop, order_no="nobody", due_at=NOW)
    now = NOW
    for _ in range(polling.NOTICE_TRIES):
        polling.read_notices(now=now, ran=polling.Ran())
        now += dt.timedelta(hours=3)
    notice = ChannelNotice.objects.get()
    assert (notice.status, notice.error_code) == ("PARKED", "WRONG:no such order")


# --- shops --------------------------------------------------------------------------------------------------------------------


def test_secrets_lie_sealed_and_addresses_are_safe(sales: Sales) -> None:
    shop = connect(sales, "TMALL", secrets={"secret": "verySecretWord"})
    assert b"verySecretWord" not in bytes(shop.secrets_sealed) and "verySecretWord" not in repr(shops.keys_of(shop))
    for bad in ("http://example.com", "ftp://127.0.0.1", "https://", "file:///etc"):
        with pytest.raises(RuleViolation):
            connect(sales, "JD", base_url=bad)
    with pytest.raises(RuleViolation):
        connect(sales, "TMALL")  # connected already
    with pytest.raises(RuleViolation):
        connect(sales, "NOWHERE")


def test_settings_and_stores_are_checked(sales: Sales) -> None:
    shop = connect(sales, "KUAISHOU")
    fine: dict[str, Any] = {"guide_mark": "", "is_store_code": False, "stores": {}}
    shops.configure(actor=None, shop=shop, settings={"freight_in_total": "yes"}, **fine)
    for settings, stores in (({"freight_in_total": "maybe"}, {}), ({"other": "yes"}, {}), ({}, {"1": "nowhere"})):
        with pytest.raises(RuleViolation):
            shops.configure(actor=None, shop=shop, settings=settings, **{**fine, "stores": stores})
