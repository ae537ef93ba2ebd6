"""Taobao and Tmall (天猫, TOP): orders in yuan, ``divide_order_fee`` per line, guide and store of 导购宝 and new retail."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
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
    clock,
    need,
    parts,
)

STATES = {
    **dict.fromkeys(("TRADE_NO_CREATE_PAY", "WAIT_BUYER_PAY", "PAY_PENDING", "WAIT_PRE_AUTH_CONFIRM"), facts.CREATED),
    **dict.fromkeys(("WAIT_SELLER_SEND_GOODS", "PAID_FORBID_CONSIGN", "SELLER_CONSIGNED_PART"), facts.PAID),
    **dict.fromkeys(("WAIT_BUYER_CONFIRM_GOODS", "TRADE_BUYER_SIGNED"), facts.SHIPPED),
    "TRADE_FINISHED": facts.COMPLETED, "TRADE_CLOSED": facts.CLOSED, "TRADE_CLOSED_BY_TAOBAO": facts.CLOSED,
}  # fmt: skip
FIELDS = (
    "tid,status,type,created,pay_time,consign_time,end_time,modified,payment,post_fee,received_payment,buyer_nick,buyer_open_uid,"
    "step_trade_status,step_paid_fee,o2o,o2o_guide_id,o2o_guide_name,o2o_shop_id,o2o_delivery,nr_shop_id,nr_shop_guide_id,"
    "nr_shop_guide_name,retail_store_code,rt_omni_send_type,rt_omni_outer_store_id,mark_desc,team_buy_hold,share_group_hold,"
    "platform_subsidy_fee,promotion_details,orders.oid,orders.num_iid,orders.sku_id,orders.outer_sku_id,orders.outer_iid,"
    "orders.title,orders.num,orders.price,orders.discount_fee,orders.adjust_fee,orders.total_fee,orders.part_mjz_discount,"
    "orders.divide_order_fee,orders.payment,orders.status,orders.refund_status,orders.end_time,orders.consign_time"
)
REFUND_FIELDS = (
    "refund_id,tid,oid,status,refund_fee,num,modified,created,end_time,dispute_type,has_good_return,special_refund_type"
)
MONEY = ("REFUND", "REFUND_AND_RETURN")
SENDS = {"pickUp": "PICKUP", "storeSend": "STORE_SHIP", "tmall": "EXPRESS"}
PAGE = 50


class Tmall(Platform):
    code = "TMALL"
    base_url = "https://eco.taobao.com/router/rest"
    streams: ClassVar[Mapping[str, Stream]] = {
        "orders": Stream(window=dt.timedelta(minutes=30), page_size=PAGE),
        "refunds": Stream(window=dt.timedelta(minutes=30), page_size=PAGE),
    }
    settings = (
        Setting("sign_method", ("md5", "hmac", "hmac-sha256"), "md5", "应用的签名方式"),
        Setting("discount_sponsor", ("HQ", "PLATFORM"), "HQ", "优惠由谁承担：promotion_details 不写明出资方，默认商家"),
    )
    is_detailed = True

    def sign(self, call: Call, keys: Keys, now: dt.datetime) -> Http:
        method = str(keys.more.get("sign_method") or "md5")
        params = {
            "method": call.method, "app_key": keys.app_key, "session": keys.token, "timestamp": clock(now), "format": "json",
            "v": "2.0", "sign_method": method, **call.body,
        }  # fmt: skip
        params = {key: str(value) for key, value in params.items() if value not in ("", None)}
        body = urlencode({**params, "sign": signature(keys.secret, params, method)}).encode()
        return Http("POST", "", headers=platform.FORM, body=body)

    def opened(self, call: Call, answer: Any) -> Any:
        if not isinstance(answer, dict):
            raise Refused(PASSING, "no JSON object")
        error = answer.get("error_response")
        if isinstance(error, dict):
            code = str(error.get("code", ""))
            sub = str(error.get("sub_code") or "")
            if code in ("26", "27", "53") or "invalid-session" in sub:
                raise Refused(TOKEN, sub or code)
            if code == "7" or "accesscontrol" in sub:
                raise Refused(PACE, sub or code)
            raise Refused(PASSING if sub.startswith(("isp.", "aop.")) else WRONG, sub or code)
        root = call.method.removeprefix("taobao.").replace(".", "_") + "_response"
        return need(answer, root)

    def list_call(self, stream: str, since: dt.datetime, until: dt.datetime, place: Any) -> Call:
        page = {"page_no": self.page_no(place), "page_size": PAGE}
        window = {"start_modified": clock(since), "end_modified": clock(until), **page}
        if stream == ORDERS:
            return Call("taobao.trades.sold.increment.get", {"fields": "tid,modified,status", **window})
        return Call("taobao.refunds.receive.get", {"fields": REFUND_FIELDS, **window})

    def listed(self, stream: str, data: Any, place: Any) -> Page:
        if stream == ORDERS:
            found = tuple(Found(facts.text(row.get("tid"))) for row in parts(data, "trades", "trade"))
        else:
            rows = parts(data, "refunds", "refund")
            found = tuple(
                Found(facts.text(row.get("tid")), facts.text(row.get("refund_id")), refund=row) for row in rows
            )
        return self.backwards(found, place, platform.pages(data.get("total_results", 0), PAGE, 1))

    def order_call(self, order_no: str) -> Call:
        return Call("taobao.trade.fullinfo.get", {"fields": FIELDS, "tid": order_no})

    def order_of(self, data: Any) -> Any:
        return data.get("trade")

    def read(self, raw: Json, settings: Mapping[str, str]) -> facts.Said:
        order = _order(need(raw, "order"), self.setting(settings, "discount_sponsor"))
        refunds = tuple(_refund(order, each) for each in parts(raw, "refunds") if _is_money(each))
        return facts.Said("", (order,), refunds)


def signature(secret: str, params: Mapping[str, Any], method: str) -> str:
    text = platform.joined(params)
    if method == "md5":
        return platform.md5(f"{secret}{text}{secret}").upper()
    digest = hashlib.md5 if method == "hmac" else hashlib.sha256
    return hmac.new(secret.encode(), text.encode(), digest).hexdigest().upper()


def _order(raw: Json, sponsor: str) -> facts.Order:
    status = str(raw.get("status", ""))
    if status not in STATES:
        raise Unreadable("unknown_status", "/status")
    ours = STATES[status]
    step = str(raw.get("step_trade_status") or "")
    campaigns = _campaigns(raw)
    lines = tuple(
        _line(each, place, sponsor, campaigns.get(facts.text(each.get("oid")), ""))
        for place, each in enumerate(parts(raw, "orders", "order"))
    )
    paid_at = facts.moment(raw.get("pay_time"), "/pay_time")
    is_unpaid = ours == facts.CREATED or status == "TRADE_CLOSED_BY_TAOBAO" or step.endswith("FINAL_NOPAID")
    sends = SENDS.get(str(raw.get("rt_omni_send_type") or ""), "")
    if raw.get("o2o_delivery") == "inshop":
        sends = "IN_STORE"
    shop = next(filter(None, (facts.text(raw.get(name)) for name in ("o2o_shop_id", "nr_shop_id"))), "")
    fulfil = facts.text(raw.get("rt_omni_outer_store_id")) or facts.text(raw.get("retail_store_code"))
    holds = [name for name in ("team_buy_hold", "share_group_hold") if raw.get(name) in (True, "true", "1", 1)]
    risks = ((facts.GROUP_FORMING,) if holds or status == "PAID_FORBID_CONSIGN" else ()) + (
        ("abnormal",) if raw.get("mark_desc") else ()
    )
    return facts.Order(
        shop="", order_no=facts.text(need(raw, "tid")), campaign=campaigns.get(facts.text(raw.get("tid")), ""), raw_status=status, status=ours, lines=lines,
        version_at=at_once(facts.moment(raw.get("modified"), "/modified"), "/modified"),
        created_at=at_once(facts.moment(raw.get("created"), "/created"), "/created"),
        paid_at=None if is_unpaid else paid_at, shipped_at=facts.moment(raw.get("consign_time"), "/consign_time"),
        completed_at=facts.moment(raw.get("end_time"), "/end_time") if ours == facts.COMPLETED else None,
        closed_at=facts.moment(raw.get("end_time"), "/end_time") if ours == facts.CLOSED else None,
        buyer=facts.Buyer(facts.text(raw.get("buyer_open_uid"))),  # oaid names an address, not a person
        freight_fen=facts.fen_of_yuan(raw.get("post_fee"), "/post_fee"), delivery_mode=sends or "EXPRESS", store_ref=shop,
        fulfil_store_ref=fulfil or (shop if sends == "IN_STORE" else ""), marks=_marks(raw), risk_marks=risks,
        group_state="FORMING" if facts.GROUP_FORMING in risks else "",
        presale_state="BALANCE" if step.endswith("FINAL_PAID") else "DEPOSIT" if step.startswith("FRONT_PAID") else "",
        phases=(("deposit", facts.fen_of_yuan(raw.get("step_paid_fee"), "/step_paid_fee"), None),) if step else (),
    )  # fmt: skip


def _campaigns(raw: Json) -> dict[str, str]:
    """``{line or order number: promotion}``; the first one named counts."""
    found: dict[str, str] = {}
    for each in parts(raw, "promotion_details", "promotion_detail"):
        if promotion := facts.text(each.get("promotion_id")):
            found.setdefault(facts.text(each.get("id")), promotion)
    return found


def _line(raw: Json, place: int, sponsor: str, campaign: str) -> facts.Line:
    where = f"/orders/{place}"
    count, unit = facts.quantity(raw.get("num", 1), where), facts.fen_of_yuan(raw.get("price"), where)
    if raw.get("divide_order_fee") not in (None, ""):
        paid = facts.fen_of_yuan(raw["divide_order_fee"], where)
    else:  # trimmed fields
        paid = facts.fen_of_yuan(need(raw, "total_fee"), where) - facts.fen_of_yuan(raw.get("part_mjz_discount"), where)
    listed = max(int(unit * count), paid)
    return facts.Line(
        ref=facts.text(need(raw, "oid")), quantity=count, list_fen=listed, paid_fen=paid, name=str(raw.get("title") or ""),
        sku=facts.text(raw.get("outer_sku_id")) or facts.text(raw.get("outer_iid")) or facts.text(raw.get("sku_id")),
        unit_price=facts.Decimal(unit) / 100, discounts=((sponsor, listed - paid),), is_gift=paid == 0, campaign=campaign,
        completed_at=facts.moment(raw.get("end_time"), where) if raw.get("status") == "TRADE_FINISHED" else None,
    )  # fmt: skip


def _marks(raw: Json) -> tuple[facts.Mark, ...]:
    pairs = (("o2o_guide_id", "o2o_guide_name"), ("nr_shop_guide_id", "nr_shop_guide_name"))
    return tuple(
        facts.Mark("guide", facts.text(raw.get(key)), str(raw.get(name) or ""))
        for key, name in pairs
        if facts.text(raw.get(key))
    )


def _is_money(raw: Json) -> bool:
    return raw.get("dispute_type") in (*MONEY, None, "")


def _refund(order: facts.Order, raw: Json) -> facts.Refund:
    status = str(raw.get("status", ""))
    state = {"SUCCESS": facts.DONE, "CLOSED": facts.REJECTED}.get(status, facts.OPEN)
    version = at_once(facts.moment(raw.get("modified"), "/refund/modified"), "/refund/modified")
    ref = facts.text(raw.get("oid"))
    if len(order.lines) == 1:  # a trade with one line calls the line like itself
        ref = order.lines[0].ref
    return facts.Refund(
        refund_no=facts.text(need(raw, "refund_id")), order_no=order.order_no, line_refs=(ref,), version_at=version, state=state,
        amount_fen=facts.fen_of_yuan(raw.get("refund_fee"), "/refund/refund_fee"), is_freight_inside=True,
        refunded_at=facts.moment(raw.get("end_time"), "/refund/end_time") or version,
        quantity=facts.quantity(raw.get("num") or 0, "/refund/num"),
    )  # fmt: skip


PLATFORM = Tmall()
