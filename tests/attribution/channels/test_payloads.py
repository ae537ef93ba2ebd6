"""Saved payloads of every platform become the same order facts; what a platform leaves open is decided by a setting."""

from __future__ import annotations

import copy
import datetime as dt
import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.channels import facts, registry
from attribution.channels.order_event import Unreadable
from members.purchases import LineVersion, RefundVersion

ZONE = ZoneInfo("Asia/Shanghai")
NOW = dt.datetime(2026, 2, 1, tzinfo=ZONE)
FOLDER = Path(__file__).parent / "payloads"
PLATFORMS = registry.platforms()
CODES = {
    "YOUZAN": "youzan", "TMALL": "tmall", "JD": "jd", "DOUYIN": "douyin", "KUAISHOU": "kuaishou", "PINDUODUO": "pinduoduo",
    "XIAOHONGSHU": "xiaohongshu", "WECHAT_SHOP": "wechat_shop",
}  # fmt: skip


def payload(code: str) -> Any:
    """The order inside the saved answer of the platform's detail interface."""
    saved = json.loads((FOLDER / f"{CODES[code]}.json").read_text("utf-8"))
    inside = {
        "YOUZAN": lambda d: d, "TMALL": lambda d: d["trade_fullinfo_get_response"]["trade"],
        "JD": lambda d: d["jingdong_pop_order_get_responce"]["orderDetailInfo"]["orderInfo"],
        "DOUYIN": lambda d: d["data"]["shop_order_detail"], "KUAISHOU": lambda d: d["data"],
        "PINDUODUO": lambda d: d["order_info_get_response"]["order_info"], "XIAOHONGSHU": lambda d: d["data"],
        "WECHAT_SHOP": lambda d: d["order"],
    }  # fmt: skip
    return inside[code](saved)


def said(code: str, order: Any, *refunds: Any, **settings: str) -> facts.Said:
    return PLATFORMS[code].read({"order": order, "refunds": list(refunds)}, settings)


def shop(code: str, **values: Any) -> facts.Shop:
    return facts.Shop(code, "shop1", **values)


def lines(code: str, order: Any, *, our: facts.Shop | None = None, **settings: str) -> tuple[LineVersion, ...]:
    (found,) = said(code, order, **settings).orders
    return facts.line_versions(our or shop(code), found, NOW)


def refunds(code: str, order: Any, *raw: Any, **settings: str) -> tuple[RefundVersion, ...]:
    return facts.refund_versions(shop(code), said(code, order, *raw, **settings), NOW)


def test_every_platform_has_a_saved_payload() -> None:
    assert set(PLATFORMS) == set(CODES)


@pytest.mark.parametrize(
    ("code", "order_no", "line_ref", "paid", "freight", "listed", "discounts", "buyer"),
    [
        ("YOUZAN", "E20260102030405000000011", "2900000000000001", 17_000, 600, 20_000, {"HQ": 3_000}, "Abc123"),
        ("TMALL", "3100000000000000001", "3100000000000000002", 18_000, 600, 20_000, {"HQ": 2_000}, "AAHn-sample"),
        ("JD", "300000000001", "100001", 18_000, 600, 20_000, {"HQ": 1_000, "PLATFORM": 1_000}, "o-sample"),
        ("DOUYIN", "6900000000000000001", "6900000000000000001", 17_500, 600, 20_000,
         {"HQ": 1_000, "PLATFORM": 1_000, "PAYMENT": 500}, "1@#sample"),
        ("KUAISHOU", "2600000000000001", "2600000000000001", 18_000, 0, 20_000, {"HQ": 2_000}, "f1-sample"),
        ("PINDUODUO", "260102-000000000000001", "260102-000000000000001", 18_000, 0, 20_000, {"HQ": 1_000, "PLATFORM": 1_000}, ""),
        ("XIAOHONGSHU", "P700000000000000001", "65a1", 18_000, 600, 20_000, {"HQ": 1_000, "PLATFORM": 1_000}, "u-sample"),
        ("WECHAT_SHOP", "3700000000000000001", "1/2", 18_000, 600, 20_000, {"HQ": 1_000, "PLATFORM": 1_000}, "oShop"),
    ],
)  # fmt: skip
def test_a_saved_order_is_read(
    code: str, order_no: str, line_ref: str, paid: int, freight: int, listed: int, discounts: dict[str, int], buyer: str
) -> None:
    (line,) = lines(code, payload(code))
    assert (line.order_no, line.line_ref, line.sku, line.quantity) == (order_no, line_ref, "W-01", 2)
    assert (line.paid_fen, line.freight_fen, line.list_fen, line.discounts) == (paid, freight, listed, discounts)
    assert (line.channel, line.shop, line.buyer_account) == (code, "shop1", buyer)
    assert line.paid_at.astimezone(ZONE).date() == dt.date(2026, 1, 2)
    assert line.created_at == dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=ZONE)
    assert line.line_no == facts.line_no(line_ref) and not line.is_voided and not line.buyer_mobile_index


@pytest.mark.parametrize(
    ("code", "status", "guides"),
    [
        ("YOUZAN", "PAID", [{"kind": "guide", "id": "...", "name": ""}]),
        ("TMALL", "SHIPPED", [{"kind": "guide", "id": "880001", "name": "小王"}]),
        ("JD", "SHIPPED", None),
        ("DOUYIN", "SHIPPED", [{"kind": "talent", "id": "900", "name": "门店直播间"}]),
        ("KUAISHOU", "SHIPPED", [{"kind": "talent", "id": "9", "name": "主播A"}]),
        ("PINDUODUO", "SHIPPED", None),
        ("XIAOHONGSHU", "SHIPPED", None),
        ("WECHAT_SHOP", "PAID", [{"kind": "sharer", "id": "ww-sample", "name": ""}]),
    ],
)
def test_status_and_marks_are_kept(code: str, status: str, guides: Any) -> None:
    (line,) = lines(code, payload(code))
    assert line.details is not None
    assert (line.details["status"], line.details.get("guide_marks")) == (status, guides)


UNPAID = {
    "YOUZAN": ("full_order_info.order_info.status", "WAIT_BUYER_PAY"), "TMALL": ("status", "TRADE_CLOSED_BY_TAOBAO"),
    "JD": ("paymentConfirmTime", "0001-01-01 00:00:00"), "DOUYIN": ("order_status", 1), "KUAISHOU": ("orderBaseInfo.status", 10),
    "PINDUODUO": ("pay_time", ""), "XIAOHONGSHU": ("orderStatus", 1), "WECHAT_SHOP": ("status", 250),
}  # fmt: skip
UNKNOWN = {
    "YOUZAN": ("full_order_info.order_info.status", "NEW_STATE"), "TMALL": ("status", "NEW_STATE"), "JD": ("orderState", "NEW"),
    "DOUYIN": ("order_status", 77), "KUAISHOU": ("orderBaseInfo.status", 77), "PINDUODUO": ("confirm_status", 9),
    "XIAOHONGSHU": ("orderStatus", 77), "WECHAT_SHOP": ("status", 77),
}  # fmt: skip


def changed(raw: Any, path: str, value: Any) -> Any:
    raw = copy.deepcopy(raw)
    *way, last = path.split(".")
    inner = raw
    for name in way:
        inner = inner[int(name) if name.isdecimal() and isinstance(inner, list) else name]
    inner[int(last) if last.isdecimal() and isinstance(inner, list) else last] = value
    return raw


@pytest.mark.parametrize("code", CODES)
def test_what_is_not_paid_is_no_line_and_an_unknown_state_is_for_a_person(code: str) -> None:
    assert lines(code, changed(payload(code), *UNPAID[code])) == ()
    with pytest.raises(Unreadable) as raised:
        lines(code, changed(payload(code), *UNKNOWN[code]))
    assert raised.value.code == "unknown_status"


REFUNDS: dict[str, tuple[Any, int]] = {
    "TMALL": ({"refund_id": "R1", "oid": "3100000000000000002", "status": "SUCCESS", "refund_fee": "90.00", "num": 1,
               "modified": "2026-01-05 10:00:00", "dispute_type": "REFUND"}, 9_000),
    "JD": ({"afsRefundId": "R1", "skuId": "100001", "status": 13, "completeTime": "2026-01-05 10:00:00",
            "refoundAmount": "90.00"}, 9_000),
    "DOUYIN": ({"process_info": {"after_sale_info": {"after_sale_id": "R1", "after_sale_type": 0, "refund_status": 3,
                "real_refund_amount": 9_000, "refund_time": 1767578400, "update_time": 1767578401}},
                "order_info": {"related_order_info": [{"sku_order_id": 6900000000000000001, "aftersale_item_num": 1}]}}, 9_000),
    "KUAISHOU": ({"refundId": "R1", "handlingWay": 10, "status": 60, "refundFee": 9_000, "endTime": 1767578400000}, 9_000),
    "PINDUODUO": ({"id": "R1", "after_sales_type": 2, "after_sales_status": 10, "refund_amount": "90.00", "goods_number": 1,
                   "updated_time": "2026-01-05 10:00:00"}, 9_000),
    "XIAOHONGSHU": ({"returnsId": "R1", "refundStatus": 2, "refundAmountYuan": "90.00", "refundTime": 1767578400000,
                     "skus": [{"skuId": "65a1"}]}, 9_000),
    "WECHAT_SHOP": ({"after_sale_order_id": "R1", "type": "REFUND", "status": "MERCHANT_REFUND_SUCCESS",
                     "product_info": {"product_id": "1", "sku_id": "2", "count": 1}, "refund_info": {"amount": 9_000},
                     "complete_time": 1767578400, "order_id": 3700000000000000001}, 9_000),
    "YOUZAN": ({"refund_id": "R1", "oid": "2900000000000001", "refund_fee": "90.00", "item_num": 1,
                "refund_account_time": "2026-01-05 10:00:00", "refund_fund_list": [{"status": 2}]}, 9_000),
}  # fmt: skip
NOT_MONEY: dict[str, tuple[str, Any]] = {  # an exchange, or money that is not done
    "TMALL": ("dispute_type", "EXCHANGE"), "JD": ("status", 14), "DOUYIN": ("process_info.after_sale_info.after_sale_type", 3),
    "KUAISHOU": ("handlingWay", 3), "PINDUODUO": ("after_sales_type", 4), "XIAOHONGSHU": ("refundStatus", 1),
    "WECHAT_SHOP": ("type", "EXCHANGE"), "YOUZAN": ("refund_fund_list", [{"status": 2}, {"status": 1}]),
}  # fmt: skip


@pytest.mark.parametrize("code", CODES)
def test_a_refund_is_read_when_its_money_is_done(code: str) -> None:
    raw, amount = REFUNDS[code]
    (line,) = lines(code, payload(code))
    (found,) = refunds(code, payload(code), raw)
    assert (found.refund_no, found.order_no, found.line_no, found.amount_fen) == (
        "R1",
        line.order_no,
        line.line_no,
        amount,
    )
    assert found.refunded_at.astimezone(ZONE).date() == dt.date(2026, 1, 5)
    assert refunds(code, payload(code), changed(raw, *NOT_MONEY[code])) == ()


@pytest.mark.parametrize("code", ["YOUZAN", "TMALL", "XIAOHONGSHU", "WECHAT_SHOP"])
def test_a_refund_above_the_goods_holds_the_freight(code: str) -> None:
    raw, _amount = REFUNDS[code]
    where = {
        "YOUZAN": "refund_fee",
        "TMALL": "refund_fee",
        "XIAOHONGSHU": "refundAmountYuan",
        "WECHAT_SHOP": "refund_info.amount",
    }
    (line,) = lines(code, payload(code))
    much = 18_600 if code == "WECHAT_SHOP" else "186.00"
    (found,) = refunds(code, payload(code), changed(raw, where[code], much))
    assert found.amount_fen == line.paid_fen


def test_a_jd_order_cancelled_after_payment_is_refunded_whole() -> None:
    order = changed(payload("JD"), "orderState", "TRADE_CANCELED")
    (found,) = refunds("JD", order)
    assert (found.refund_no, found.amount_fen) == ("cancel:300000000001", 18_000)
    assert refunds("JD", changed(order, "paymentConfirmTime", "")) == ()


def test_jd_spreads_what_an_order_paid_over_its_skus() -> None:
    items = [
        {"skuId": "1", "itemTotal": "1", "jdPrice": "100.00"}, {"skuId": "2", "itemTotal": "1", "jdPrice": "50.00"},
        {"skuId": "2", "itemTotal": "1", "jdPrice": "50.00"},
    ]  # fmt: skip
    order = {
        **payload("JD"),
        "itemInfoList": items,
        "couponDetailList": [{"skuId": "1", "couponType": "30", "couponPrice": "20.00"}],
    }
    first, second = lines("JD", {**order, "actualPay": "126.00", "sellerDiscount": "0.00"})
    assert (first.paid_fen, second.paid_fen, second.quantity) == (5_333, 6_667, 2)
    assert first.paid_fen + second.paid_fen == 12_000


def test_a_split_jd_parent_is_left_to_its_children() -> None:
    order = {**payload("JD"), "childOrderIds": ["1", "2"]}
    assert said("JD", order).orders == () and len(said("JD", order, parent_orders="take").orders) == 1


def test_settings_decide_what_documents_leave_open() -> None:
    order = changed(payload("KUAISHOU"), "orderBaseInfo.expressFee", 600)
    assert lines("KUAISHOU", order)[0].paid_fen == 18_000
    assert lines("KUAISHOU", order, freight_in_total="yes")[0].paid_fen == 17_400
    assert lines("JD", payload("JD"), jd_coupon_sponsor="HQ")[0].discounts == {"HQ": 2_000}
    raw = changed(REFUNDS["XIAOHONGSHU"][0], "refundTime", 1767578400)
    assert refunds("XIAOHONGSHU", payload("XIAOHONGSHU"), raw, refund_time_unit="seconds")[0].amount_fen == 9_000
    with pytest.raises(Unreadable):
        refunds("XIAOHONGSHU", payload("XIAOHONGSHU"), raw)  # 1970


def test_a_doudian_order_whose_sums_say_nothing_is_for_a_person() -> None:
    order = changed(payload("DOUYIN"), "sku_order_list.0.pay_amount", 17_000)
    with pytest.raises(Unreadable) as raised:
        lines("DOUYIN", order)
    assert raised.value.code == "amounts_disagree"
    without = changed(payload("DOUYIN"), "sku_order_list.0.pay_amount", 18_000)  # the child holds no freight
    assert lines("DOUYIN", without)[0].paid_fen == 17_500


def test_a_stored_value_card_is_part_of_what_was_paid() -> None:
    order = changed(payload("YOUZAN"), "full_order_info.pay_info.real_payment", "76.00")
    (line,) = lines("YOUZAN", order)
    assert (line.paid_fen, line.gift_card_fen, line.points_fen) == (17_000, 10_000, 10_000)
    with pytest.raises(Unreadable):
        lines("YOUZAN", order, gap_is_card="no")


def test_groups_gifts_and_reviews_hold_an_order_back() -> None:
    holds = {
        "YOUZAN": ("full_order_info.order_info.status", "WAIT_CONFIRM"), "PINDUODUO": ("confirm_status", 0), "WECHAT_SHOP": ("status", 13),
        "KUAISHOU": ("orderBaseInfo.disableDeliveryReasonCode", 1), "TMALL": ("team_buy_hold", True),
    }  # fmt: skip
    for code, change in holds.items():
        (line,) = lines(code, changed(payload(code), *change))
        assert (line.risk_mark, line.group_state) == ("group_forming", "FORMING"), code
    (gift,) = lines("WECHAT_SHOP", changed(payload("WECHAT_SHOP"), "status", 12))
    assert gift.risk_mark == "gift_not_accepted"
    (failed,) = lines("PINDUODUO", changed(payload("PINDUODUO"), "confirm_status", 2))
    assert failed.is_voided and failed.group_state == "FAILED"


def test_the_giver_of_a_gift_is_the_buyer() -> None:
    order = {**payload("WECHAT_SHOP"), "present_giver_openid": "oGiver", "present_giver_unionid": "uni-giver"}
    (line,) = lines("WECHAT_SHOP", order)
    assert (line.buyer_account, line.buyer_unionid) == ("oGiver", "uni-giver")
    assert lines("WECHAT_SHOP", order, gift_buyer="receiver")[0].buyer_unionid == "uni-sample"


def test_what_is_no_sale_is_void() -> None:
    for code, change in {
        "WECHAT_SHOP": ("order_detail.pay_info.payment_method", 3), "XIAOHONGSHU": ("orderType", 5), "JD": ("returnOrder", "1"),
        "PINDUODUO": ("is_lucky_flag", 2),
    }.items():  # fmt: skip
        (line,) = lines(code, changed(payload(code), *change))
        assert line.is_voided, code


def test_a_deposit_is_no_payment() -> None:
    waiting = {**payload("TMALL"), "step_trade_status": "FRONT_PAID_FINAL_NOPAID", "step_paid_fee": "20.00"}
    assert lines("TMALL", waiting) == ()
    (line,) = lines("TMALL", {**waiting, "step_trade_status": "FRONT_PAID_FINAL_PAID"})
    assert line.presale_state == "BALANCE" and line.details is not None
    assert line.details["phases"] == [{"name": "deposit", "amount_fen": 2_000, "paid_at": ""}]
    phases = [
        {"phase_pay_amount": 100, "phase_pay_time": 1767294300},
        {"phase_pay_amount": 200, "phase_pay_time": 1767380700},
    ]
    (line,) = lines("DOUYIN", {**payload("DOUYIN"), "order_phase_list": phases})
    assert line.paid_at == dt.datetime.fromtimestamp(1767380700, ZONE)


def test_stores_and_guides_of_ours_are_found_by_the_shops_settings() -> None:
    our = shop("TMALL", store_id=1, guide_mark="guide", stores={"660001": 7, "S9": 9})
    order = {**payload("TMALL"), "rt_omni_outer_store_id": "S9"}
    (line,) = lines("TMALL", order, our=our)
    assert (line.store_id, line.fulfil_store_id, line.cashier_code, line.delivery_mode) == (
        7,
        9,
        "880001",
        "STORE_SHIP",
    )
    with pytest.raises(Unreadable) as raised:
        lines("TMALL", order, our=shop("TMALL", stores={"S9": 9}, is_store_known=True))
    assert raised.value.code == "unknown_store"


def test_a_single_line_trade_with_freight_in_its_payment_pays_for_goods_only() -> None:
    raw = payload("TMALL")
    assert raw["orders"]["order"][0]["payment"] == "186.00"
    assert lines("TMALL", raw)[0].paid_fen == 18_000
    del raw["orders"]["order"][0]["divide_order_fee"]
    assert lines("TMALL", raw)[0].paid_fen == 18_000


def test_ids_beyond_json_numbers_stay_whole() -> None:
    raw = json.loads('{"order_id": 3700000000000000001, "zero": 0, "none": null}')
    assert [facts.text(raw[name]) for name in raw] == ["3700000000000000001", "", ""]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=64))
def test_a_line_number_is_the_same_for_ever_and_fits(ref: str) -> None:
    number = facts.line_no(ref)
    assert 0 <= number <= 2**31 - 1 and number == facts.line_no(ref)
    if ref.isascii() and ref.isdecimal() and len(ref) <= 9 and str(int(ref)) == ref:
        assert number == int(ref)
    else:
        assert number >= 2**30


@given(st.integers(0, 10**12))
def test_yuan_become_fen_exactly(amount: int) -> None:
    assert facts.fen_of_yuan(f"{amount // 100}.{amount % 100:02d}", "/") == amount
    for wrong in ("1.005", "1e400", "nan", "x", True):
        with pytest.raises(Unreadable):
            facts.fen_of_yuan(wrong, "/")
