"""JD (京东 POP, JOS): orders in yuan without amounts per line, which are worked out here; no guide, the buyer an open id."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlencode

from attribution import commissions
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
    clock,
    compact,
    need,
    parts,
)

PAID_STATES = (
    "WAIT_SELLER_STOCK_OUT", "POP_ORDER_PAUSE", "PAUSE", "WAIT_SELLER_DELIVERY", "WAIT_SEND_CODE", "LOCKED",
)  # fmt: skip
STATES = {
    **dict.fromkeys(PAID_STATES, facts.PAID), "WAIT_GOODS_RECEIVE_CONFIRM": facts.SHIPPED, "FINISHED_L": facts.COMPLETED,
    "TRADE_CANCELED": facts.CLOSED,
}  # fmt: skip
OPTIONAL = (
    "orderId,venderId,orderType,orderState,orderStartTime,paymentConfirmTime,orderEndTime,modified,actualPay,orderPayment,"
    "freightPrice,orderTotalPrice,orderSellerPrice,sellerDiscount,balanceUsed,itemInfoList,couponDetailList,open_id_buyer,xid_buyer,"
    "parentOrderId,directParentOrderId,returnOrder,storeId,idSopShipmenttype"
)
GIFT_CARD, ONE_ITEM, JD_COUPON = "52", "30", "41"
MERCHANT = ("20", "28", "29", "30", "35", "100")
RENEWAL_URL, RENEWAL = "https://open-oauth.jd.com", "oauth2/refresh_token"
PAGE = 50


class Jd(Platform):
    code = "JD"
    base_url = "https://api.jd.com/routerjson"
    streams: ClassVar[Mapping[str, Stream]] = {
        "orders": Stream(window=dt.timedelta(hours=1), page_size=PAGE),
        "refunds": Stream(window=dt.timedelta(days=1), overlap=dt.timedelta(hours=1), page_size=PAGE),
    }
    settings = (
        Setting(
            "jd_coupon_sponsor", ("PLATFORM", "HQ"), "PLATFORM", "京东券（类型 41）由谁承担：多为平台，也可能是店铺"
        ),
        Setting("refund_unit", ("yuan", "fen"), "yuan", "售后接口 refoundAmount 的单位未写明：与账单对照后选定"),
        Setting("parent_orders", ("skip", "take"), "skip", "拆单后父单不再发货：有子单时只计子单"),
    )
    needs_order = True

    def sign(self, call: Call, keys: Keys, now: dt.datetime) -> Http:
        if call.method == RENEWAL:
            return Http("GET", RENEWAL, call.body, base=RENEWAL_URL)
        params = {
            "method": call.method, "access_token": keys.token, "app_key": keys.app_key, "timestamp": clock(now), "v": "2.0",
            "360buy_param_json": compact(call.body),
        }  # fmt: skip
        signed = platform.md5(f"{keys.secret}{platform.joined(params)}{keys.secret}").upper()
        body = urlencode({**params, "sign": signed}).encode()
        return Http("POST", "", headers=platform.FORM, body=body)

    def token_call(self, keys: Keys) -> Call | None:
        refresh = platform.refresh_of(keys)
        said = {
            "app_key": keys.app_key,
            "app_secret": keys.secret,
            "grant_type": "refresh_token",
            "refresh_token": refresh,
        }
        return Call(RENEWAL, said) if refresh else None

    def token_of(self, answer: Any) -> Token:
        if not isinstance(answer, dict) or not answer.get("access_token"):
            raise Refused(TOKEN, str(answer.get("code", "")) if isinstance(answer, dict) else "no JSON object")
        return platform.granted(answer)

    def opened(self, call: Call, answer: Any) -> Any:
        if not isinstance(answer, dict):
            raise Refused(PASSING, "no JSON object")
        error = answer.get("error_response")
        if isinstance(error, dict):
            code = str(error.get("code", ""))
            raise Refused(TOKEN if code in ("19", "18", "20") else PACE if code in ("7", "43") else WRONG, code)
        data = need(answer, call.method.replace(".", "_") + "_responce")
        inner = next((each for each in data.values() if isinstance(each, dict)), {})
        result = inner.get("apiResult") or {}
        if str(result.get("success", True)).lower() != "true":
            raise Refused(WRONG, str(result.get("errorCode") or "refused"))
        return inner

    def list_call(self, stream: str, since: dt.datetime, until: dt.datetime, place: Any) -> Call:
        page = {"page": str(self.page_no(place)), "page_size": str(PAGE)}
        if stream == ORDERS:
            window = {"start_date": clock(since), "end_date": clock(until), "dateType": 0, "sortType": 0}
            states = ",".join(state for state in STATES if state != "PAUSE")
            said = {"order_state": states, "optional_fields": OPTIONAL, "source_id": "JOS", **window, **page}
            return Call("jingdong.pop.order.search", said)
        window = {"approve_time_begin": clock(since), "approve_time_end": clock(until)}
        return Call(
            "jingdong.asc.serviceAndRefund.view",
            {**window, "page_number": page["page"], "page_size": page["page_size"]},
        )

    def listed(self, stream: str, data: Any, place: Any) -> Page:
        if stream == ORDERS:
            rows = parts(data, "orderInfoList")
            found = tuple(Found(facts.text(row.get("orderId")), order=row) for row in rows)
            return self.backwards(found, place, platform.pages(data.get("orderTotal", 0), PAGE, 1))
        rows = parts(data, "data")
        found = tuple(
            Found(
                facts.text((row.get("sameOrderServiceBill") or {}).get("orderId")),
                facts.text(row.get("afsRefundId")),
                refund=row,
            )
            for row in rows
        )
        return self.backwards(found, place, platform.pages(data.get("totalCount", 0), PAGE, 1))

    def order_call(self, order_no: str) -> Call:
        return Call("jingdong.pop.order.get", {"order_id": order_no, "optional_fields": OPTIONAL})

    def order_of(self, data: Any) -> Any:
        return data.get("orderInfo")

    def read(self, raw: Json, settings: Mapping[str, str]) -> facts.Said:
        order, is_split = self._order(need(raw, "order"), settings)
        refunds = [self._refund(order, each, settings) for each in parts(raw, "refunds")]
        if order.status == facts.CLOSED and order.paid_at and not order.no_sale:
            refunds.append(_cancelled(order))
        if is_split and self.setting(settings, "parent_orders") == "skip":
            return facts.Said(order.shop)
        return facts.Said(order.shop, (order,), tuple(refunds))

    def _order(self, raw: Json, settings: Mapping[str, str]) -> tuple[facts.Order, bool]:
        status = str(raw.get("orderState", ""))
        if status not in STATES:
            raise Unreadable("unknown_status", "/orderState")
        sponsor = self.setting(settings, "jd_coupon_sponsor")
        freight, paid = facts.fen_of_yuan(raw.get("freightPrice"), "/freightPrice"), _paid(raw)
        cards = _coupons(raw, (GIFT_CARD,))
        lines = _lines(raw, paid - freight, sponsor)
        paid_at = facts.moment(raw.get("paymentConfirmTime"), "/paymentConfirmTime")
        has_paid = paid_at is not None and paid > 0  # cash on delivery and pay-later wait in the same state
        created = at_once(facts.moment(raw.get("orderStartTime"), "/orderStartTime"), "/orderStartTime")
        ended = facts.moment(raw.get("orderEndTime"), "/orderEndTime")
        ours = STATES[status]
        return facts.Order(
            shop=facts.text(raw.get("venderId")), order_no=facts.text(need(raw, "orderId")), status=ours, raw_status=status,
            version_at=at_once(facts.moment(raw.get("modified"), "/modified"), "/modified"), created_at=created, lines=lines,
            paid_at=paid_at if has_paid else None, completed_at=ended if ours == facts.COMPLETED else None,
            closed_at=ended if ours == facts.CLOSED else None, freight_fen=freight, order_paid_fen=paid,
            buyer=facts.Buyer(facts.text(raw.get("open_id_buyer")) or facts.text(raw.get("xid_buyer"))),
            gift_card_fen=min(cards, paid - freight), delivery_mode=_delivery(raw), fulfil_store_ref=facts.text(raw.get("storeId")),
            risk_marks=("locked",) if status == "LOCKED" else (), parent_no=facts.text(raw.get("parentOrderId")),
            no_sale="exchange" if str(raw.get("returnOrder") or "0") in ("1", "2") else "",
        ), bool(parts(raw, "childOrderIds"))  # fmt: skip

    def _refund(self, order: facts.Order, raw: Json, settings: Mapping[str, str]) -> facts.Refund:
        status = str(raw.get("status", ""))
        at = at_once(
            facts.moment(raw.get("completeTime") or raw.get("approveTime"), "/refund/completeTime"),
            "/refund/completeTime",
        )
        amount = raw.get("refoundAmount")
        is_fen = self.setting(settings, "refund_unit") == "fen"
        sku = facts.text(raw.get("skuId")) or facts.text((raw.get("sameOrderServiceBill") or {}).get("skuId"))
        return facts.Refund(
            refund_no=facts.text(need(raw, "afsRefundId")), order_no=order.order_no, line_refs=(sku,) if sku else (), version_at=at,
            state={"13": facts.DONE, "14": facts.REJECTED}.get(status, facts.OPEN), is_freight_inside=True, refunded_at=at,
            amount_fen=facts.fen(amount, "/refund") if is_fen else facts.fen_of_yuan(amount, "/refund"),
        )  # fmt: skip


def _paid(raw: Json) -> int:
    """What the buyer paid: the new field, or the old ones together with the means that they leave out."""
    if raw.get("actualPay") not in (None, ""):
        return facts.fen_of_yuan(raw["actualPay"], "/actualPay")
    base = facts.fen_of_yuan(need(raw, "orderPayment"), "/orderPayment")
    return base + facts.fen_of_yuan(raw.get("balanceUsed"), "/balanceUsed") + _coupons(raw, (GIFT_CARD,))


def _coupons(raw: Json, kinds: tuple[str, ...], sku: str | None = None) -> int:
    found = [each for each in parts(raw, "couponDetailList") if str(each.get("couponType")) in kinds]
    if sku is not None:
        found = [each for each in found if facts.text(each.get("skuId")) == sku]
    return sum(facts.fen_of_yuan(each.get("couponPrice"), "/couponDetailList") for each in found)


def _lines(raw: Json, goods_fen: int, sponsor: str) -> tuple[facts.Line, ...]:
    """Item coupons come off their item; what else is missing to the sum paid is spread by what is left."""
    items = _merged(parts(raw, "itemInfoList"))
    bases = [unit * int(count) if count == int(count) else int(unit * count) for _item, unit, count in items]
    own = [
        min(base, _coupons(raw, (ONE_ITEM,), facts.text(item.get("skuId"))))
        for base, (item, _u, _c) in zip(bases, items, strict=True)
    ]
    left = [base - discount for base, discount in zip(bases, own, strict=True)]
    if not items or goods_fen < 0:
        raise Unreadable("amounts_disagree", "/actualPay")
    if not sum(left):
        paid = [0] * len(left)
    else:
        paid = commissions.apportion(min(goods_fen, sum(left)), left, [-amount for amount in left])
    merchant = facts.fen_of_yuan(raw.get("sellerDiscount"), "/sellerDiscount") or _coupons(raw, MERCHANT)
    if sponsor == facts.HQ:
        merchant += _coupons(raw, (JD_COUPON,))
    lines = []
    whole = sum(bases) - sum(paid)
    for (item, unit, count), base, amount in zip(items, bases, paid, strict=True):
        hq = min(base - amount, (base - amount) * min(merchant, whole) // whole) if whole else 0
        lines.append(facts.Line(
            ref=facts.text(need(item, "skuId")), sku=facts.text(item.get("outerSkuId")) or facts.text(item.get("skuId")),
            quantity=count, list_fen=base, paid_fen=amount, name=str(item.get("skuName") or ""),
            unit_price=facts.Decimal(unit) / 100, discounts=((facts.HQ, hq), (facts.PLATFORM, base - amount - hq)),
        ))  # fmt: skip
    return tuple(lines)


def _merged(items: list[Any]) -> list[tuple[Json, int, facts.Decimal]]:
    """The same sku twice is one line."""
    found: dict[str, tuple[Json, int, facts.Decimal]] = {}
    for place, item in enumerate(items):
        sku, where = facts.text(item.get("skuId")), f"/itemInfoList/{place}"
        unit, count = facts.fen_of_yuan(item.get("jdPrice"), where), facts.quantity(item.get("itemTotal", 0), where)
        if sku in found:
            first, price, before = found[sku]
            together = before + count
            unit, item = int((price * before + unit * count) / together) if together else 0, first
            count = together
        found[sku] = (item, unit, count)
    return list(found.values())


def _delivery(raw: Json) -> str:
    if str(raw.get("orderType")) == "75":
        return "VIRTUAL"
    return "PICKUP" if str(raw.get("idSopShipmenttype")) == "69" else "EXPRESS"


def _cancelled(order: facts.Order) -> facts.Refund:
    """Cancelled after it was paid: all of it goes back, and no after-sale says so."""
    paid = sum(line.paid_fen for line in order.lines)
    at = order.closed_at or order.version_at
    return facts.Refund(f"cancel:{order.order_no}"[:48], order.order_no, (), at, facts.DONE, paid, at)


PLATFORM = Jd()
