"""Youzan (有赞): orders in yuan, detail by ``trade.get``, guide and cashier in ``order_extra``, phone as a cipher."""

from __future__ import annotations

import datetime as dt
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import unquote_plus

from attribution.channels import facts
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
    NotVerified,
    Page,
    Platform,
    Pushed,
    Refused,
    Setting,
    Stream,
    Token,
    Unreadable,
    at_once,
    clock,
    compact,
    md5,
    need,
    pages,
    parts,
    stamp,
)

STATES = {
    "WAIT_BUYER_PAY": facts.CREATED, "TRADE_PAID": facts.PAID, "WAIT_CONFIRM": facts.PAID,
    "WAIT_SELLER_SEND_GOODS": facts.PAID, "WAIT_BUYER_CONFIRM_GOODS": facts.SHIPPED, "TRADE_SUCCESS": facts.COMPLETED,
    "TRADE_CLOSED": facts.CLOSED,
}  # fmt: skip
DELIVERIES = {0: "EXPRESS", 1: "PICKUP", 2: "CITY", 9: "VIRTUAL"}
REFUND_STATES = {50: facts.REJECTED, 60: facts.DONE}
TOKEN_CODES = {"4201", "4202", "4203", "4205"}
PACE_CODES = {"4301", "4302", "106000429"}
PAGE = 100


class Youzan(Platform):
    code = "YOUZAN"
    base_url = "https://open.youzanyun.com/"
    streams: ClassVar[Mapping[str, Stream]] = {  # the list index lags by up to a minute
        "orders": Stream(window=dt.timedelta(days=1), page_size=PAGE),
        "refunds": Stream(window=dt.timedelta(hours=12), page_size=PAGE),
    }
    settings = (
        Setting(
            "freight_in_payment", ("no", "yes"), "no", "pay_info.payment 是否含运费：逐行之和与实付对不上时改为 yes"
        ),
        Setting("gap_is_card", ("yes", "no"), "yes", "实付小于各行之和时，差额视为储值卡、礼品卡支付；no：转人工核对"),
    )
    is_detailed = is_refund_detailed = True
    has_push = True
    push_delay = dt.timedelta(seconds=30)
    late_topics = ("youzan_guide_OrderAttributeResult",)

    def sign(self, call: Call, keys: Keys, now: dt.datetime) -> Http:
        body = compact(call.body).encode()
        headers = {"Content-Type": "application/json"}
        if call.method == "auth/token":
            return Http("POST", call.method, headers=headers, body=body)
        return Http("POST", f"api/{call.method}", {"access_token": keys.token}, headers, body)

    def opened(self, call: Call, answer: Any) -> Any:
        error = answer.get("gw_err_resp") if isinstance(answer, dict) else None
        if isinstance(error, dict):
            code = str(error.get("err_code", ""))
            kind = TOKEN if code in TOKEN_CODES else PACE if code in PACE_CODES else WRONG
            raise Refused(kind, code)
        if not isinstance(answer, dict):
            raise Refused(PASSING, "no JSON object")
        code = str(answer.get("code", ""))
        if answer.get("success") is not True or code != "200":
            kind = TOKEN if code in TOKEN_CODES else PACE if code in PACE_CODES else WRONG
            raise Refused(kind, code)
        return answer.get("data") or {}

    def list_call(self, stream: str, since: dt.datetime, until: dt.datetime, place: Any) -> Call:
        page = {"page_no": self.page_no(place), "page_size": PAGE}
        if stream == ORDERS:
            return Call(
                "youzan.trades.sold.get/4.0.4", {"start_update": clock(since), "end_update": clock(until), **page}
            )
        times = {"update_time_start": stamp(since), "update_time_end": stamp(until)}
        return Call("youzan.trade.refund.search/3.0.1", {**times, **page})

    def listed(self, stream: str, data: Any, place: Any) -> Page:
        if stream == ORDERS:
            rows = [need(each, "full_order_info", "order_info") for each in parts(data, "full_order_info_list")]
            total = data.get("total_results", 0)
        else:
            rows, total = parts(data, "refunds"), data.get("total", 0)
        found = tuple(Found(facts.text(row.get("tid")), facts.text(row.get("refund_id"))) for row in rows)
        return self.backwards(found, place, pages(total, PAGE, 1))

    def order_call(self, order_no: str) -> Call:
        return Call("youzan.trade.get/4.0.2", {"tid": order_no})

    def order_of(self, data: Any) -> Any:
        return data if isinstance(data, dict) and data.get("full_order_info") else None

    def refund_call(self, refund_no: str) -> Call:
        return Call("youzan.trade.refund.get/3.0.1", {"refund_id": refund_no})

    def refund_of(self, data: Any) -> Any:
        return data if isinstance(data, dict) and data.get("refund_id") else None

    def token_call(self, keys: Keys) -> Call:
        said = {
            "client_id": keys.app_key,
            "client_secret": keys.secret,
            "authorize_type": "silent",
            "grant_id": keys.shop_no,
        }
        return Call("auth/token", said)

    def token_of(self, answer: Any) -> Token:
        data = self.opened(Call("auth/token"), answer)
        lifetime = data.get("expires_in") or 7 * 86_400
        return Token(need(data, "access_token"), int(lifetime))

    def pushed(
        self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, keys: Keys
    ) -> tuple[Pushed, ...]:
        expected = md5(keys.app_key.encode() + body + keys.secret.encode())
        said = headers.get("event-sign", "")
        if not hmac.compare_digest(expected, said.lower() if said.isascii() else ""):
            raise NotVerified
        try:
            event = json.loads(body)
            message = event.get("msg")
            if isinstance(message, str):
                message = json.loads(unquote_plus(message) or "{}")
        except (ValueError, AttributeError, RecursionError):
            raise Unreadable("bad_push", "/msg") from None
        tid = _tid(message) or (
            facts.text(event.get("id")) if str(event.get("type", "")).startswith(("trade_", "youzan_guide_")) else ""
        )
        if not tid or event.get("test"):
            return ()
        refund_no = facts.text(message.get("refund_id")) if isinstance(message, dict) else ""
        return (Pushed(tid, refund_no, shop_no=facts.text(event.get("kdt_id")), topic=str(event.get("type", ""))[:64]),)

    def read(self, raw: Json, settings: Mapping[str, str]) -> facts.Said:
        order = self._order(need(raw, "order"), settings)
        if raw.get("read_at"):  # the guide was found later, and the order's own time did not move
            order = replace(order, version_at=max(order.version_at, dt.datetime.fromisoformat(raw["read_at"])))
        named = {facts.text(each.get("refund_id")): each for each in parts(raw, "order", "refund_order")}
        refunds = tuple(_refund(order, each, named) for each in parts(raw, "refunds"))
        return facts.Said(order.shop, (order,), refunds)

    def _order(self, raw: Json, settings: Mapping[str, str]) -> facts.Order:
        full = need(raw, "full_order_info")
        info, pay = need(full, "order_info"), full.get("pay_info") or {}
        status = str(info.get("status", ""))
        if status not in STATES:
            raise Unreadable("unknown_status", "/order_info/status")
        lines = tuple(_line(each, raw, place) for place, each in enumerate(parts(full, "orders")))
        freight = facts.fen_of_yuan(pay.get("post_fee"), "/pay_info/post_fee")
        if self.setting(settings, "freight_in_payment") == "yes":
            freight = 0
        goods = sum(line.paid_fen for line in lines)
        real = pay.get("real_payment")
        gap = goods + freight - facts.fen_of_yuan(real, "/pay_info/real_payment") if real not in (None, "") else 0
        is_card = gap > len(lines) and self.setting(settings, "gap_is_card") == "yes"
        buyer = full.get("buyer_info") or {}
        is_offline = bool((info.get("order_tags") or {}).get("is_offline_order"))
        outlet = facts.text(info.get("offline_id"))
        delivery = "IN_STORE" if is_offline else DELIVERIES.get(info.get("express_type"), "")
        is_forming = status == "WAIT_CONFIRM"
        return facts.Order(
            shop=facts.text(info.get("node_kdt_id")), order_no=facts.text(need(info, "tid")),
            version_at=at_once(facts.moment(info.get("update_time"), "/update_time"), "/update_time"),
            status=STATES[status], raw_status=status, lines=lines,
            created_at=at_once(facts.moment(info.get("created"), "/created"), "/created"),
            paid_at=facts.moment(info.get("pay_time"), "/pay_time") if STATES[status] != facts.CREATED else None,
            shipped_at=facts.moment(info.get("consign_time"), "/consign_time"),
            completed_at=facts.moment(info.get("success_time"), "/success_time"),
            buyer=facts.Buyer(facts.text(buyer.get("yz_open_id")), mobile=str(buyer.get("buyer_phone") or "")),
            freight_fen=freight, gift_card_fen=gap if is_card else 0,
            order_paid_fen=None if real in (None, "") else goods + freight - (0 if is_card else gap),
            delivery_mode=delivery, store_ref=outlet, fulfil_store_ref=outlet if delivery in ("PICKUP", "IN_STORE") else "",
            marks=_marks(info), risk_marks=(facts.GROUP_FORMING,) if is_forming else (),
            group_state="FORMING" if is_forming else "FORMED" if info.get("confirm_time") else "",
        )  # fmt: skip


def _tid(message: Any) -> str:
    if not isinstance(message, dict):
        return ""
    info = message.get("full_order_info") or {}
    return facts.text(message.get("tid")) or facts.text((info.get("order_info") or {}).get("tid"))


def _line(raw: Json, whole: Json, place: int) -> facts.Line:
    where = f"/orders/{place}"
    count = facts.quantity(need(raw, "num"), where)
    unit = facts.fen_of_yuan(raw.get("price"), where)
    paid = facts.fen_of_yuan(need(raw, "payment"), where)
    listed = max(int(unit * count), paid)
    return facts.Line(
        ref=facts.text(need(raw, "oid")), sku=facts.text(raw.get("outer_sku_id")) or facts.text(raw.get("sku_id")), quantity=count,
        list_fen=listed, paid_fen=paid, name=str(raw.get("title") or ""), unit_price=facts.Decimal(unit) / 100,
        discounts=((facts.HQ, listed - paid),), is_gift=raw.get("is_present") is True,
    )  # fmt: skip


def _marks(info: Json) -> tuple[facts.Mark, ...]:
    extra = info.get("order_extra") or {}
    cashier = facts.text(extra.get("cashier_id"))
    found = [facts.Mark("cashier", cashier, str(extra.get("cashier_name") or ""))] if cashier else []
    if guide := str(extra.get("daogou") or "").strip():  # its inner form is not published: kept as it came
        found.append(facts.Mark("guide", guide[:64]))
    return tuple(found)


def _refund(order: facts.Order, raw: Json, named: Mapping[str, Json]) -> facts.Refund:
    """The money is done when every part of it is; the order names the lines, the refund itself the first one only."""
    refund_no = facts.text(need(raw, "refund_id"))
    funds, beside = parts(raw, "refund_fund_list"), named.get(refund_no, {})
    if funds:
        state = facts.DONE if all(each.get("status") == 2 for each in funds) else facts.OPEN
    else:
        state = REFUND_STATES.get(beside.get("refund_state", 0), facts.OPEN)
    refs = tuple(facts.text(each.get("oid")) for each in parts(beside, "oids"))
    at = facts.moment(raw.get("refund_account_time"), "/refund_account_time")
    at = at or facts.moment(raw.get("refund_success_time"), "/refund_success_time")
    if state == facts.DONE and at is None:
        raise Unreadable("missing_time", "/refund_account_time")
    return facts.Refund(
        refund_no=refund_no, order_no=order.order_no, line_refs=refs or tuple(filter(None, [facts.text(raw.get("oid"))])),
        version_at=at or order.version_at, state=state, amount_fen=facts.fen_of_yuan(raw.get("refund_fee"), "/refund_fee"),
        refunded_at=at, is_freight_inside=True, quantity=facts.quantity(raw.get("item_num") or 0, "/item_num"),
    )  # fmt: skip


PLATFORM = Youzan()
