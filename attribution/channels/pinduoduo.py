"""Pinduoduo (拼多多): one sku per order, amounts in yuan, groups that form, no buyer at all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlencode

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
    Unreadable,
    at_once,
    compact,
    need,
    parts,
    stamp,
)

STATES = {1: facts.PAID, 2: facts.SHIPPED, 3: facts.COMPLETED}
FORMING, FORMED, CANCELLED = 0, 1, 2  # confirm_status
REFUND_DONE, REFUNDED = 10, 4
MONEY = (2, 3)  # 4 exchange, 5 sent again
LOTTERY = 2
RENEWAL = "pdd.pop.auth.token.refresh"
PAGE = 50


class Pinduoduo(Platform):
    code = "PINDUODUO"
    base_url = "https://gw-api.pinduoduo.com/api/router"
    streams: ClassVar[Mapping[str, Stream]] = {
        "orders": Stream(window=dt.timedelta(minutes=30), page_size=PAGE),
        "refunds": Stream(window=dt.timedelta(minutes=30), page_size=PAGE),
    }
    settings = (
        Setting("refund_done", ("10", "10,16"), "10", "after_sales_status 完整列表未公开：默认只有 10 为退款成功"),
    )

    def sign(self, call: Call, keys: Keys, now: dt.datetime) -> Http:
        params = {
            "type": call.method, "client_id": keys.app_key, "access_token": keys.token, "timestamp": str(stamp(now)),
            "data_type": "JSON", **{key: _plain(value) for key, value in call.body.items()},
        }  # fmt: skip
        if call.method == RENEWAL:
            del params["access_token"]
        signed = platform.md5(f"{keys.secret}{platform.joined(params)}{keys.secret}").upper()
        return Http("POST", "", headers=platform.FORM, body=urlencode({**params, "sign": signed}).encode())

    def token_call(self, keys: Keys) -> Call | None:
        refresh = platform.refresh_of(keys)
        return Call(RENEWAL, {"grant_type": "refresh_token", "refresh_token": refresh}) if refresh else None

    def opened(self, call: Call, answer: Any) -> Any:
        if not isinstance(answer, dict):
            raise Refused(PASSING, "no JSON object")
        error = answer.get("error_response")
        if isinstance(error, dict):
            code = str(error.get("sub_code") or error.get("error_code", ""))
            if str(error.get("error_code")) in ("10019", "10018"):
                raise Refused(TOKEN, code)
            is_pace = str(error.get("error_code")) in ("70031", "70032", "70033")
            raise Refused(PACE if is_pace else PASSING if str(error.get("error_code")) == "50000" else WRONG, code)
        return next((each for name, each in answer.items() if name.endswith("_response")), {})

    def list_call(self, stream: str, since: dt.datetime, until: dt.datetime, place: Any) -> Call:
        page = {"page": self.page_no(place), "page_size": PAGE}
        window = {"start_updated_at": stamp(since), "end_updated_at": stamp(until), **page}
        if stream == ORDERS:
            wanted = {"is_lucky_flag": 0, "order_status": 5, "refund_status": 5, "use_has_next": False}
            return Call("pdd.order.number.list.increment.get", {**window, **wanted})
        return Call("pdd.refund.list.increment.get", {**window, "after_sales_status": 1, "after_sales_type": 1})

    def listed(self, stream: str, data: Any, place: Any) -> Page:
        if stream == ORDERS:
            found = tuple(Found(facts.text(row.get("order_sn")), order=row) for row in parts(data, "order_sn_list"))
        else:
            rows = parts(data, "refund_list")
            found = tuple(Found(facts.text(row.get("order_sn")), facts.text(row.get("id")), refund=row) for row in rows)
        return self.backwards(found, place, platform.pages(data.get("total_count", 0), PAGE, 1))

    def order_call(self, order_no: str) -> Call:
        return Call("pdd.order.information.get", {"order_sn": order_no})

    def order_of(self, data: Any) -> Any:
        return data.get("order_info")

    def read(self, raw: Json, settings: Mapping[str, str]) -> facts.Said:
        order = _order(need(raw, "order"))
        done = {int(code) for code in self.setting(settings, "refund_done").split(",")}
        money = [each for each in parts(raw, "refunds") if each.get("after_sales_type") in MONEY]
        return facts.Said("", (order,), tuple(_refund(order, each, done) for each in money))


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else compact(value)


def _order(raw: Json) -> facts.Order:
    confirm, status = raw.get("confirm_status"), raw.get("order_status")
    if confirm not in (FORMING, FORMED, CANCELLED) or (confirm == FORMED and status not in STATES):
        raise Unreadable("unknown_status", "/confirm_status")
    ours = (
        facts.CREATED
        if confirm == FORMING
        else facts.CLOSED
        if confirm == CANCELLED
        else STATES[need(raw, "order_status")]
    )
    if raw.get("refund_status") == REFUNDED:
        ours = facts.CLOSED
    order_sn, place = facts.text(need(raw, "order_sn")), "/item_list/0"
    postage = facts.fen_of_yuan(raw.get("postage"), "/postage")
    services = sum(
        facts.fen_of_yuan(each.get("service_fee"), "/service_fee_detail") for each in parts(raw, "service_fee_detail")
    )
    total = facts.fen_of_yuan(need(raw, "pay_amount"), "/pay_amount")
    item: Json = next(iter(parts(raw, "item_list")), {})
    count, unit = facts.quantity(item.get("goods_count", 0), place), facts.fen_of_yuan(item.get("goods_price"), place)
    paid = total - postage - services
    platform_fen = facts.fen_of_yuan(raw.get("platform_discount"), "/platform_discount")
    own = ("seller_discount", "capital_free_discount")
    seller_fen = sum(facts.fen_of_yuan(raw.get(name), "/" + name) for name in own)
    line = facts.Line(
        ref=order_sn, sku=facts.text(item.get("outer_id")) or facts.text(item.get("sku_id")), quantity=count, paid_fen=paid,
        list_fen=max(int(unit * count), paid), name=str(item.get("goods_name") or ""), unit_price=facts.Decimal(unit) / 100,
        discounts=((facts.PLATFORM, platform_fen), (facts.HQ, seller_fen)),
    )  # fmt: skip
    risks = ((facts.GROUP_FORMING,) if confirm == FORMING else ()) + (
        (facts.RISK_REVIEW,) if raw.get("risk_control_status") == 1 else ()
    )
    group = {FORMING: "FORMING", FORMED: "FORMED", CANCELLED: "FAILED"}[confirm]
    return facts.Order(
        shop=facts.text(raw.get("mall_id")), order_no=order_sn, status=ours, raw_status=f"{confirm}/{status}/{raw.get('refund_status')}",
        version_at=at_once(facts.moment(raw.get("updated_at"), "/updated_at"), "/updated_at"), lines=(line,), freight_fen=postage,
        created_at=at_once(facts.moment(raw.get("created_time"), "/created_time"), "/created_time"),
        paid_at=facts.moment(raw.get("pay_time"), "/pay_time"), shipped_at=facts.moment(raw.get("shipping_time"), "/shipping_time"),
        completed_at=facts.moment(raw.get("receive_time"), "/receive_time") if ours == facts.COMPLETED else None,
        order_paid_fen=total - services, delivery_mode="PICKUP" if raw.get("self_contained") == 1 else "EXPRESS", risk_marks=risks,
        fulfil_store_ref=facts.text((raw.get("order_depot_info") or {}).get("depot_code")), group_state=group,
        no_sale="group_failed" if confirm == CANCELLED else "lottery" if raw.get("is_lucky_flag") == LOTTERY else "",
    )  # fmt: skip


def _refund(order: facts.Order, raw: Json, done: set[int]) -> facts.Refund:
    version = at_once(facts.moment(raw.get("updated_time"), "/updated_time"), "/updated_time")
    return facts.Refund(
        refund_no=facts.text(need(raw, "id")), order_no=order.order_no, line_refs=(order.order_no,), version_at=version,
        state=facts.DONE if raw.get("after_sales_status") in done else facts.OPEN, is_freight_inside=True, refunded_at=version,
        amount_fen=facts.fen_of_yuan(raw.get("refund_amount"), "/refund_amount"),
        quantity=facts.quantity(raw.get("goods_number") or 0, "/goods_number"),
    )  # fmt: skip


PLATFORM = Pinduoduo()
