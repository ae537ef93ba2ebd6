"""Doudian (抖店, 抖音电商): orders in fen, one child per line, anchors as talents, money of refunds in its own axis."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, ClassVar

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
    NotVerified,
    Page,
    Platform,
    Pushed,
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

STATES = {
    1: facts.CREATED, 103: facts.CREATED, 105: facts.PAID, 2: facts.PAID, 101: facts.PAID, 3: facts.SHIPPED, 5: facts.COMPLETED,
    4: facts.CLOSED, 21: facts.CLOSED, 22: facts.CLOSED, 39: facts.CLOSED,
}  # fmt: skip
REFUND_DONE, REFUND_FAILED = 3, 4
MONEY = (0, 1, 2, 6)  # kinds of after-sales that give money back; 3 exchange, 7 sent again, 8 repair
PAGE = 50


class Doudian(Platform):
    code = "DOUYIN"
    base_url = "https://openapi-fxg.jinritemai.com/"
    streams: ClassVar[Mapping[str, Stream]] = {
        "orders": Stream(window=dt.timedelta(hours=1), page_size=PAGE),
        "refunds": Stream(window=dt.timedelta(hours=1), page_size=PAGE, look_back=dt.timedelta(days=180)),
    }
    settings = (
        Setting(
            "freight_in_child",
            ("auto", "yes", "no"),
            "auto",
            "子单 pay_amount 是否含运费：auto 按父单金额逐单核对，核对不上转人工",
        ),
    )
    is_refund_detailed = True
    has_push = True
    first_page = 0

    def sign(self, call: Call, keys: Keys, now: dt.datetime) -> Http:
        body = compact(call.body)
        at = str(stamp(now))
        text = f"app_key{keys.app_key}method{call.method}param_json{body}timestamp{at}v2"
        signed = hmac.new(
            keys.secret.encode(), f"{keys.secret}{text}{keys.secret}".encode(), hashlib.sha256
        ).hexdigest()
        query = {
            "app_key": keys.app_key, "method": call.method, "access_token": keys.token, "timestamp": at, "v": "2",
            "sign_method": "hmac-sha256", "sign": signed,
        }  # fmt: skip
        if call.method.startswith("token."):
            del query["access_token"]
        return Http("POST", call.method.replace(".", "/"), query, {"Content-Type": "application/json"}, body.encode())

    def token_call(self, keys: Keys) -> Call:
        """An application of the merchant's own is granted by the shop's number alone."""
        if refresh := platform.refresh_of(keys):
            return Call("token.refresh", {"grant_type": "refresh_token", "refresh_token": refresh})
        return Call("token.create", {"code": "", "grant_type": "authorization_self", "shop_id": keys.shop_no})

    def opened(self, call: Call, answer: Any) -> Any:
        if not isinstance(answer, dict):
            raise Refused(PASSING, "no JSON object")
        code = str(answer.get("code", ""))
        if code == "10000":
            return answer.get("data") or {}
        sub = str(answer.get("sub_code") or "")
        if code == "30001" or "access-token" in sub or "token-expired" in sub:
            raise Refused(TOKEN, sub or code)
        if code == "60000" or "limit" in sub:
            raise Refused(PACE, sub or code)
        raise Refused(PASSING if code.startswith(("2", "8")) else WRONG, sub or code)

    def list_call(self, stream: str, since: dt.datetime, until: dt.datetime, place: Any) -> Call:
        page = {"page": self.page_no(place), "size": PAGE}
        if stream == ORDERS:
            window = {
                "update_time_start": stamp(since),
                "update_time_end": stamp(until),
                "order_by": "update_time",
                "order_asc": True,
            }
            return Call("order.searchList", {**window, **page})
        window = {"update_start_time": stamp(since), "update_end_time": stamp(until), "order_by": ["update_time asc"]}
        return Call("afterSale.List", {**window, **page})

    def listed(self, stream: str, data: Any, place: Any) -> Page:
        if stream == ORDERS:
            rows = parts(data, "shop_order_list")
            found = tuple(Found(facts.text(row.get("order_id")), order=row) for row in rows)
        else:
            found = tuple(
                Found(
                    facts.text((row.get("order_info") or {}).get("shop_order_id")),
                    facts.text((row.get("aftersale_info") or {}).get("aftersale_id")),
                )
                for row in parts(data, "items")
            )
        return self.backwards(found, place, platform.pages(data.get("total", 0), PAGE, 0))

    def order_call(self, order_no: str) -> Call:
        return Call("order.orderDetail", {"shop_order_id": order_no})

    def order_of(self, data: Any) -> Any:
        return data.get("shop_order_detail")

    def refund_call(self, refund_no: str) -> Call:
        return Call("afterSale.Detail", {"after_sale_id": refund_no})

    def refund_of(self, data: Any) -> Any:
        return data if data.get("process_info") else None

    def pushed(
        self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, keys: Keys
    ) -> tuple[Pushed, ...]:
        expected = platform.md5(keys.app_key.encode() + body + keys.secret.encode())
        said = headers.get("event-sign", "")
        if not hmac.compare_digest(expected, said.lower() if said.isascii() else ""):
            raise NotVerified
        found = []
        try:
            for message in json.loads(body):
                if str(message.get("tag")) == "0":  # a check of the address
                    continue
                data = message.get("data") or "{}"
                data = json.loads(data) if isinstance(data, str) else data
                if order_no := facts.text(data.get("p_id")):
                    shop, tag = facts.text(data.get("shop_id")), str(message.get("tag", ""))[:64]
                    found.append(Pushed(order_no, facts.text(data.get("aftersale_id")), shop, tag))
        except (ValueError, AttributeError, TypeError, RecursionError):
            raise Unreadable("bad_push", "/") from None
        return tuple(found)

    def read(self, raw: Json, settings: Mapping[str, str]) -> facts.Said:
        order = _order(need(raw, "order"), self.setting(settings, "freight_in_child"))
        found = (_refund(order, each) for each in parts(raw, "refunds"))
        return facts.Said(order.shop, (order,), tuple(each for each in found if each is not None))


def _order(raw: Json, freight_in_child: str) -> facts.Order:
    status = raw.get("order_status")
    if status not in STATES:
        raise Unreadable("unknown_status", "/order_status")
    ours, children = STATES[status], parts(raw, "sku_order_list")
    freight = facts.fen(raw.get("post_amount"), "/post_amount")
    paid = facts.fen(raw.get("pay_amount"), "/pay_amount")
    shares = _freight_shares(children, paid, freight, freight_in_child)
    lines = tuple(_line(each, place, shares[place]) for place, each in enumerate(children))
    paid_at = facts.seconds(raw.get("pay_time"), "/pay_time")
    phases = parts(raw, "order_phase_list")
    if phases and all(each.get("phase_pay_time") for each in phases):
        paid_at = facts.seconds(max(int(each["phase_pay_time"]) for each in phases), "/order_phase_list")
    channel_fen = facts.fen(raw.get("promotion_pay_amount"), "/promotion_pay_amount")
    stores = {ref for each in children if (ref := facts.text((each.get("store_info") or {}).get("store_id")))}
    delivery = "PICKUP" if any(each.get("receive_type") == 2 for each in children) else "EXPRESS"
    if delivery == "EXPRESS" and raw.get("trade_type") == 18:
        delivery = "CITY"
    return facts.Order(
        shop=facts.text(raw.get("shop_id")), order_no=facts.text(need(raw, "order_id")), status=ours, raw_status=str(status),
        version_at=at_once(facts.seconds(raw.get("update_time"), "/update_time"), "/update_time"), lines=lines,
        created_at=at_once(facts.seconds(raw.get("create_time"), "/create_time"), "/create_time"),
        paid_at=None if ours == facts.CREATED else paid_at, shipped_at=facts.seconds(raw.get("ship_time"), "/ship_time"),
        completed_at=facts.seconds(raw.get("finish_time"), "/finish_time") if ours == facts.COMPLETED else None,
        closed_at=facts.seconds(raw.get("finish_time"), "/finish_time") if ours == facts.CLOSED else None,
        buyer=facts.Buyer(facts.text(raw.get("doudian_open_id"))), freight_fen=freight, order_paid_fen=paid - channel_fen,
        delivery_mode="VIRTUAL" if raw.get("order_type") == 4 else delivery, fulfil_store_ref=stores.pop() if len(stores) == 1 else "",
        risk_marks=(facts.RISK_REVIEW,) if raw.get("abnormal_order") == 2 else (),
        presale_state=("BALANCE" if paid_at and status != 103 else "DEPOSIT") if phases else "",
        phases=tuple(_phase(place, each) for place, each in enumerate(phases, 1)),
    )  # fmt: skip


def _freight_shares(children: list[Any], paid: int, freight: int, setting: str) -> list[int]:
    """How much freight each child's amount holds. Which of two sums is the parent's says whether it holds any."""
    together = sum(facts.fen(each.get("pay_amount"), "/sku_order_list") for each in children)
    is_inside = setting == "yes" or (setting == "auto" and freight > 0 and together == paid)
    if setting == "auto" and together not in (paid, paid - freight):
        raise Unreadable("amounts_disagree", "/pay_amount")
    if not is_inside:
        return [0] * len(children)
    own = [facts.fen(each.get("post_amount"), "/sku_order_list") for each in children]
    if sum(own) == freight:
        return own
    weights = [facts.fen(each.get("pay_amount"), "/sku_order_list") for each in children]
    return (
        commissions.apportion(freight, weights, [-weight for weight in weights])
        if any(weights)
        else [0] * len(children)
    )


def _line(raw: Json, place: int, freight: int) -> facts.Line:
    where = f"/sku_order_list/{place}"
    names = {
        "promotion_shop_amount": facts.HQ,
        "promotion_platform_amount": facts.PLATFORM,
        "promotion_talent_amount": facts.TALENT,
    }
    discounts = [(sponsor, facts.fen(raw.get(name), where)) for name, sponsor in names.items()]
    channel = facts.fen(raw.get("promotion_pay_amount"), where)
    paid = facts.fen(need(raw, "pay_amount"), where) - channel - freight
    author = facts.text(raw.get("author_id"))
    return facts.Line(
        ref=facts.text(need(raw, "order_id")), quantity=facts.quantity(raw.get("item_num", 0), where), paid_fen=paid,
        sku=facts.text(raw.get("code")) or facts.text(raw.get("out_sku_id")) or facts.text(raw.get("sku_id")),
        list_fen=max(facts.fen(raw.get("sum_amount"), where), paid), name=str(raw.get("product_name") or ""),
        unit_price=facts.Decimal(facts.fen(raw.get("origin_amount"), where)) / 100,
        discounts=(*discounts, (facts.PAYMENT, channel)), live_no=facts.text(raw.get("room_id_str")) or facts.text(raw.get("room_id")),
        marks=(facts.Mark("talent", author, str(raw.get("author_name") or "")),) if author else (),
        fulfil_store_ref=facts.text((raw.get("store_info") or {}).get("store_id")),
        is_gift=raw.get("given_product_type") == "FREE",
    )  # fmt: skip


def _phase(place: int, raw: Json) -> tuple[str, int, dt.datetime | None]:
    return (
        str(place),
        facts.fen(raw.get("phase_pay_amount"), "/phase"),
        facts.seconds(raw.get("phase_pay_time"), "/phase"),
    )


def _refund(order: facts.Order, raw: Json) -> facts.Refund | None:
    info = need(raw, "process_info", "after_sale_info")
    if info.get("after_sale_type", info.get("aftersale_type")) not in (*MONEY, None):
        return None
    status = info.get("refund_status")
    state = facts.DONE if status == REFUND_DONE else facts.REJECTED if status == REFUND_FAILED else facts.OPEN
    at = facts.seconds(info.get("refund_time"), "/refund_time")
    version = facts.seconds(info.get("update_time"), "/update_time") or at
    lines = parts(raw, "order_info", "sku_order_infos") or parts(raw, "order_info", "related_order_info")
    refs = tuple(facts.text(each.get("sku_order_id")) for each in lines)
    return facts.Refund(
        refund_no=facts.text(need(info, "after_sale_id") if "after_sale_id" in info else need(info, "aftersale_id")),
        order_no=order.order_no, line_refs=refs, version_at=at_once(version, "/update_time"), state=state,
        amount_fen=facts.fen(info.get("real_refund_amount"), "/real_refund_amount"), refunded_at=at,
        freight_fen=facts.fen(info.get("refund_post_amount"), "/refund_post_amount"), is_freight_inside=True,
        quantity=facts.quantity(lines[0].get("aftersale_item_num") or 0, "/item_num") if len(lines) == 1 else facts.Decimal(0),
    )  # fmt: skip


PLATFORM = Doudian()
