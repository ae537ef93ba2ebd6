"""Xiaohongshu (小红书千帆): orders in fen with equal skus merged, after-sales in yuan and milliseconds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, ClassVar

from attribution.channels import facts, platform
from attribution.channels.platform import (
    ORDERS,
    PACE,
    PASSING,
    TOKEN,
    WRONG,
    Call,
    Found,
    Http,
    Json,
    Keys,
    Page,
    Platform,
    Refused,
    Setting,
    Stream,
    Token,
    Unreadable,
    at_once,
    compact,
    need,
    parts,
    stamp,
)

STATES = {
    1: facts.CREATED, 2: facts.PAID, 3: facts.PAID, 4: facts.PAID, 10: facts.PAID, 5: facts.PAID, 6: facts.SHIPPED, 7: facts.COMPLETED,
    8: facts.CLOSED, 9: facts.CLOSED,
}  # fmt: skip
REFUND_DONE = 2
SENT_AGAIN, GIFT = 5, 1
RENEWAL, TOKEN_SECONDS = "oauth.refreshToken", 7 * 86_400
PAGE = 50


class Xiaohongshu(Platform):
    code = "XIAOHONGSHU"
    base_url = "https://ark.xiaohongshu.com/ark/open_api/v3/common_controller"
    streams: ClassVar[Mapping[str, Stream]] = {
        "orders": Stream(window=dt.timedelta(minutes=30), page_size=PAGE),
        "refunds": Stream(window=dt.timedelta(minutes=30), page_size=PAGE),
    }
    settings = (
        Setting(
            "list_unit", ("seconds", "milliseconds"), "seconds", "订单列表时间窗的单位：示例为 10 位秒，正文未写明"
        ),
        Setting("refund_time_unit", ("milliseconds", "seconds"), "milliseconds", "售后 refundTime 的单位未写明"),
    )
    secrets = ("refresh_token",)
    is_detailed = is_refund_detailed = True

    def sign(self, call: Call, keys: Keys, now: dt.datetime) -> Http:
        at = str(stamp(now))
        signed = platform.md5(f"{call.method}?appId={keys.app_key}&timestamp={at}&version=2.0{keys.secret}")
        known = {"appId": keys.app_key, "method": call.method, "version": "2.0", "timestamp": at, "sign": signed}
        if call.method != RENEWAL:
            known["accessToken"] = keys.token
        body = compact({**known, **_in_unit(call.body, keys)}).encode()
        return Http("POST", "", headers={"Content-Type": "application/json"}, body=body)

    def token_call(self, keys: Keys) -> Call | None:
        refresh = platform.refresh_of(keys)
        return Call(RENEWAL, {"refreshToken": refresh}) if refresh else None

    def token_of(self, answer: Any) -> Token:
        data = self.opened(Call(RENEWAL), answer)
        until = facts.milliseconds(data.get("accessTokenExpiresAt") or 0, "/accessTokenExpiresAt")
        return Token(need(data, "accessToken"), TOKEN_SECONDS, facts.text(data.get("refreshToken")), until)

    def opened(self, call: Call, answer: Any) -> Any:
        if not isinstance(answer, dict):
            raise Refused(PASSING, "no JSON object")
        code = str(answer.get("error_code", ""))
        if answer.get("success") is not True or code not in ("0", ""):
            if code in ("-1", "500"):
                raise Refused(PASSING, code)
            raise Refused(
                TOKEN if code in ("-9006", "401", "-9008") else PACE if code in ("-9032", "429") else WRONG, code
            )
        data = answer.get("data") or {}
        if isinstance(data, dict) and "success" in data and "data" in data:  # after-sales wrap a second time
            if data["success"] is not True:
                raise Refused(WRONG, str(data.get("code", "")))
            data = data["data"] or {}
        return data

    def list_call(self, stream: str, since: dt.datetime, until: dt.datetime, place: Any) -> Call:
        page = {"pageNo": self.page_no(place), "pageSize": PAGE}
        if stream == ORDERS:
            return Call(
                "order.getOrderList", {"startTime": stamp(since), "endTime": stamp(until), "timeType": 2, **page}
            )
        window = {"startTime": stamp(since) * 1000, "endTime": stamp(until) * 1000, "timeType": 2}
        return Call("afterSale.listAfterSaleInfos", {**window, **page})

    def listed(self, stream: str, data: Any, place: Any) -> Page:
        if stream == ORDERS:
            found = tuple(Found(facts.text(row.get("orderId"))) for row in parts(data, "orderList"))
            last = facts.fen(data.get("maxPageNo"), "/maxPageNo") or 1
        else:
            rows = parts(data, "afterSaleBasicInfos")
            found = tuple(Found(facts.text(row.get("orderId")), facts.text(row.get("returnsId"))) for row in rows)
            last = platform.pages(data.get("totalCount", 0), PAGE, 1)
        return self.backwards(found, place, last)

    def order_call(self, order_no: str) -> Call:
        return Call("order.getOrderDetail", {"orderId": order_no})

    def order_of(self, data: Any) -> Any:
        return data if data.get("orderId") else None

    def refund_call(self, refund_no: str) -> Call:
        return Call("afterSale.getAfterSaleInfo", {"returnsId": refund_no})

    def refund_of(self, data: Any) -> Any:
        info = data.get("afterSaleInfo") or data
        return {**info, "logisticsInfo": None} if info.get("returnsId") else None

    def read(self, raw: Json, settings: Mapping[str, str]) -> facts.Said:
        order = _order(need(raw, "order"))
        is_ms = self.setting(settings, "refund_time_unit") == "milliseconds"
        refunds = tuple(_refund(order, each, is_ms=is_ms) for each in parts(raw, "refunds"))
        return facts.Said(order.shop, (order,), refunds)


def _in_unit(body: Json, keys: Keys) -> Json:
    """The window of the list of orders in the unit that the shop's setting names."""
    if "pageNo" not in body or keys.more.get("list_unit") != "milliseconds" or int(body["startTime"]) > 10**11:
        return body
    return {**body, "startTime": int(body["startTime"]) * 1000, "endTime": int(body["endTime"]) * 1000}


def _order(raw: Json) -> facts.Order:
    status = raw.get("orderStatus")
    if status not in STATES:
        raise Unreadable("unknown_status", "/orderStatus")
    ours = STATES[status]
    again = raw.get("orderType") == SENT_AGAIN
    tags = [str(tag) for tag in parts(raw, "orderTagList")]
    return facts.Order(
        shop=facts.text(raw.get("shopId")), order_no=facts.text(need(raw, "orderId")), status=ours, raw_status=str(status),
        version_at=at_once(facts.milliseconds(raw.get("updateTime"), "/updateTime"), "/updateTime"),
        created_at=at_once(facts.milliseconds(raw.get("createdTime"), "/createdTime"), "/createdTime"),
        lines=tuple(_line(each, place) for place, each in enumerate(parts(raw, "skuList"))),
        paid_at=None if ours == facts.CREATED else facts.milliseconds(raw.get("paidTime"), "/paidTime"),
        shipped_at=facts.milliseconds(raw.get("deliveryTime"), "/deliveryTime"),
        completed_at=facts.milliseconds(raw.get("finishTime"), "/finishTime") if ours == facts.COMPLETED else None,
        closed_at=facts.milliseconds(raw.get("cancelTime"), "/cancelTime"), buyer=facts.Buyer(facts.text(raw.get("userId"))),
        freight_fen=facts.fen(raw.get("totalShippingFree"), "/totalShippingFree"),
        order_paid_fen=facts.fen(raw.get("totalPayAmount"), "/totalPayAmount"), delivery_mode="EXPRESS",
        fulfil_store_ref=facts.text(raw.get("whcode")), exchange_of=facts.text(raw.get("originalOrderId")),
        no_sale="sent_again" if again else "sample" if "SAMPLE" in tags else "",
        presale_state="BALANCE" if facts.fen(raw.get("totalDepositAmount"), "/deposit") and ours != facts.CREATED else "",
    )  # fmt: skip


def _line(raw: Json, place: int) -> facts.Line:
    where = f"/skuList/{place}"
    paid, count = facts.fen(need(raw, "totalPaidAmount"), where), facts.quantity(raw.get("skuQuantity", 0), where)
    hq, red = facts.fen(raw.get("totalMerchantDiscount"), where), facts.fen(raw.get("totalRedDiscount"), where)
    talent = facts.text(raw.get("kolId"))
    return facts.Line(
        ref=facts.text(need(raw, "skuId")), sku=facts.text(raw.get("erpcode")) or facts.text(raw.get("skuId")), quantity=count,
        list_fen=paid + hq + red, paid_fen=paid, name=str(raw.get("skuName") or ""), is_gift=raw.get("skuTag") == GIFT,
        discounts=((facts.HQ, hq), (facts.PLATFORM, red)),
        marks=(facts.Mark("talent", talent, str(raw.get("kolName") or "")),) if talent else (),
    )  # fmt: skip


def _refund(order: facts.Order, raw: Json, *, is_ms: bool) -> facts.Refund:
    said = raw.get("refundTime")
    at = facts.milliseconds(said, "/refundTime") if is_ms else facts.seconds(said, "/refundTime")
    version = facts.milliseconds(raw.get("updateTime"), "/updateTime") or at
    refs = tuple(dict.fromkeys(facts.text(each.get("skuId")) for each in parts(raw, "skus")))
    return facts.Refund(
        refund_no=facts.text(need(raw, "returnsId")), order_no=order.order_no, line_refs=refs,
        version_at=at_once(version, "/updateTime"), state=facts.DONE if raw.get("refundStatus") == REFUND_DONE else facts.OPEN,
        amount_fen=facts.fen_of_yuan(raw.get("refundAmountYuan"), "/refundAmountYuan"), refunded_at=at, is_freight_inside=True,
    )  # fmt: skip


PLATFORM = Xiaohongshu()
