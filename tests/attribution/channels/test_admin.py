"""Shops and bills in the console: connected, tested, set up, paused, read again; a bill handed in; no secret comes out."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from attribution.channels import polling, shops
from attribution.models import ChannelBill, ChannelCursor, ChannelDifference, ChannelShop, StrangePush
from scrm import jobs
from scrm.models import Act, Store
from tests.attribution.channels.sandbox import TOKEN, Sales
from tests.attribution.channels.test_polling import connect, push, sales
from tests.factories.console import Console, console

__all__ = ["sales"]

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "aSecretThatNobodySees"


@pytest.fixture
def company() -> Console:
    return console()


def list_of(client: Client, model: str, **query: Any) -> str:
    answer = client.get(reverse(f"admin:attribution_{model}_changelist"), query)
    assert answer.status_code == 200
    return answer.content.decode()


def act(client: Any, row: Any, name: str, **data: Any) -> str:
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_act", args=(row.pk, name))
    assert client.get(url).status_code == 200
    answer = client.post(url, data, follow=True)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_a_shop_is_connected_tested_set_up_paused_and_read_again(company: Console, sales: Sales) -> None:
    client = company.client("hq")
    assert "还没有接入店铺" in list_of(client, "channelshop")
    form = {
        "channel": "TMALL", "shop_no": "9001", "name": "旗舰店", "app_key": "key", "secret": SECRET, "more": "", "token": TOKEN,
        "since": "2026-01-01", "store": "", "base_url": sales.url("TMALL"),
    }  # fmt: skip
    url = reverse("admin:attribution_channelshop_add")
    assert "旗舰店" not in list_of(client, "channelshop")
    answer = client.post(url, form, follow=True)
    shop = ChannelShop.objects.get()
    page = answer.content.decode()
    assert "还没有接入店铺" not in list_of(client, "channelshop")
    assert "旗舰店" in page and SECRET not in page and TOKEN not in page
    assert set(shop.cursors.values_list("stream", flat=True)) == {"orders", "refunds"}
    assert "已接入" in client.post(url, form).content.decode()  # connected already
    assert "平台已应答" in act(client, shop, "test_connection")
    sales.refusals = ["token"] * 9
    assert "令牌" in act(client, shop, "test_connection")
    sales.refusals = []
    fine = {
        "setting_sign_method": "hmac",
        "setting_discount_sponsor": "HQ",
        "guide_mark": "guide",
        "stores": "660001=S1",
    }
    act(client, shop, "configure", **fine)
    shop.refresh_from_db()
    assert (shop.settings["sign_method"], shop.guide_mark, shop.stores) == ("hmac", "guide", {"660001": "S1"})
    assert "没有编码为" in act(client, shop, "configure", **{**fine, "stores": "660001=nowhere"})
    act(client, shop, "read_again", first="2026-01-01", last="2026-01-31")
    assert ChannelCursor.objects.exclude(stops_at=None).count() == 2
    act(client, shop, "pause", reason="盘点")
    shop.refresh_from_db()
    assert not shop.is_enabled and "已暂停" in list_of(client, "channelshop")
    act(client, shop, "resume", reason="盘点结束")
    act(client, shop, "replace_keys", secret="", more="", token="another-token", reason="重新授权")
    shop.refresh_from_db()
    assert shops.keys_of(shop).token == "another-token" and shops.keys_of(shop).secret == SECRET
    verbs = set(Act.objects.values_list("verb", flat=True))
    assert {
        "channel.connect",
        "channel.configure",
        "channel.switch",
        "channel.read_again",
        "channel.replace_keys",
    } <= verbs
    assert SECRET not in str(list(Act.objects.values()))


def test_a_failing_shop_shows_why(company: Console, sales: Sales) -> None:
    connect(sales, "JD", since=timezone.now() - dt.timedelta(hours=2))
    sales.refusals = ["token"] * 9
    polling.run_due(now=timezone.now())
    assert "读取失败" in list_of(company.client("auditor"), "channelshop")
    assert "令牌" in list_of(company.client("auditor"), "channelcursor")


def test_a_push_for_nobody_is_seen_and_taken(company: Console, sales: Sales) -> None:
    push("DOUYIN", [{"tag": "101", "data": '{"p_id": "1"}'}], shop_no="77")
    client, strange = company.client("hq"), StrangePush.objects.get()
    assert "77" in list_of(client, "strangepush")
    assert "请先接入" in act(client, strange, "take")
    connect(sales, "DOUYIN", shop_no="77")
    act(client, strange, "take")
    assert StrangePush.objects.get().taken_at is not None and "1" in list_of(client, "channelnotice")


def test_a_bill_is_handed_in_and_its_differences_are_explained(company: Console, sales: Sales) -> None:
    connect(sales, "TMALL")
    client = company.client("hq")
    text = "订单编号,实收金额\nA1,10.00\nA2,5.50\n合计,15.50\n"
    url = reverse("admin:attribution_channelbill_add")
    form = {"shop": "TMALL|shop1", "day": "2025-05-01", "with_freight": "on", "total": ""}
    for _ in range(2):
        answer = client.post(url, {**form, "file": SimpleUploadedFile("bill.csv", text.encode("gbk"))}, follow=True)
        assert answer.status_code == 200
    assert "已收过" in answer.content.decode() and ChannelBill.objects.count() == 1
    bill = ChannelBill.objects.get()
    assert bill.job is not None
    jobs.run(bill.job.pk)
    assert "15.50" in list_of(client, "channelbill")
    row = ChannelDifference.objects.get(order_no="A1")
    assert "仅账单有" in list_of(client, "channeldifference")
    act(client, row, "explain", reason="订单接口尚未开通")
    act(client, row, "close", reason="已补录")
    row.refresh_from_db()
    assert (row.state, row.reason, row.decided_by) == ("CLOSED", "已补录", company.staff["hq"])
    act(client, bill, "compare")
    assert Store.objects.exists()


def test_only_hq_sees_shops_and_bills(company: Console, sales: Sales) -> None:
    shop = connect(sales, "TMALL")
    for name in ("region", "manager", "franchisee"):
        client = company.client(name)
        assert client.get(reverse("admin:attribution_channelshop_changelist")).status_code == 403
        url = reverse("admin:attribution_channelshop_act", args=(shop.pk, "pause"))
        assert client.post(url, {"reason": "x" * 5}).status_code in (403, 404)
    assert company.client("auditor").get(reverse("admin:attribution_channelbill_add")).status_code == 403
