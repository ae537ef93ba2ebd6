"""WeChat shop (微信小店): orders in fen, unionid of the buyer, shares from WeCom named in ``source_infos``."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

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
    compact,
    need,
    parts,
    stamp,
)

STATES = {
    10: facts.CREATED, 12: facts.PAID, 13: facts.PAID, 20: facts.PAID, 21: facts.PAID, 30: facts.SHIPPED, 100: facts.COMPLETED,
    200: facts.CLOSED, 250: facts.CLOSED,
}  # fmt: skip
GIFT_OPEN, GROUP, CLOSED_UNPAID = 12, 13, 250
LOTTERY, POINTS = 3, 4  # ways of paying that are no sale
WECOM_ACCOUNT = 4
REFUND_STATES = {
    "MERCHANT_REFUND_SUCCESS": facts.DONE,
    "MERCHANT_RETURN_SUCCESS": facts.DONE,
    "USER_CANCELD": facts.REJECTED,
}
TOKEN_CODES = (40001, 40014, 42001)
PAGE = 50
MERCHANT = ("merchant_discounted_price", "vip_discounted_price", "bulkbuy_discounted_price")
FROM_PLATFORM = ("national_subsidy_discounted_price", "cash_coupon_discounted_price")


class WechatShop(Platform):
    code = "WECHAT_SHOP"
    base_url = "https://api.weixin.qq.com/"
    streams: ClassVar[Mapping[str, Stream]] = {
        "orders": Stream(window=dt.timedelta(days=1), page_size=PAGE),
        "refunds": Stream(window=dt.timedelta(hours=24), page_size=PAGE),
    }
    settings = (
        Setting("gift_buyer", ("giver", "receiver"), "giver", "送礼订单的购买人：付款人（present_giver）或收礼人"),
    )
    secrets = ("push_token", "push_aes_key")
    is_detailed = is_refund_detailed = True
    has_push = True
    push_answer = ("text/plain", "success")

    def sign(self, call: Call, keys: Keys, now: dt.datetime) -> Http:
        headers, body = {"Content-Type": "application/json"}, compact(call.body).encode()
        if call.method == "cgi-bin/stable_token":
            return Http("POST", call.method, headers=headers, body=body)
        return Http("POST", f"channels/ec/{call.method}", {"access_token": keys.token}, headers, body)

    def opened(self, call: Call, answer: Any) -> Any:
        if not isinstance(answer, dict):
            raise Refused(PASSING, "no JSON object")
        code = answer.get("errcode", 0)
        if code == 0:
            return answer
        kind = (
            TOKEN
            if code in TOKEN_CODES
            else PACE
            if code in (45009, 45011, 45035)
            else PASSING
            if code == -1
            else WRONG
        )
        raise Refused(kind, str(code))

    def list_call(self, stream: str, since: dt.datetime, until: dt.datetime, place: Any) -> Call:
        page = {"page_size": PAGE, "next_key": place or ""}
        if stream == ORDERS:
            window = {"start_time": stamp(since), "end_time": stamp(until)}
            return Call("order/list/get", {"update_time_range": window, **page})
        window = {"begin_update_time": stamp(since), "end_update_time": stamp(until)}
        return Call("aftersale/getaftersalelist", {**window, "next_key": place or ""})

    def listed(self, stream: str, data: Any, place: Any) -> Page:
        if stream == ORDERS:
            found = tuple(Found(facts.text(each)) for each in parts(data, "order_id_list"))
        else:
            found = tuple(Found("", facts.text(each)) for each in parts(data, "after_sale_order_id_list"))
        return Page(found, str(data["next_key"]) if data.get("has_more") and data.get("next_key") else None)

    def order_call(self, order_no: str) -> Call:
        return Call("order/get", {"order_id": order_no})

    def order_of(self, data: Any) -> Any:
        return data.get("order")

    def refund_call(self, refund_no: str) -> Call:
        return Call("aftersale/getaftersaleorder", {"after_sale_order_id": refund_no})

    def refund_of(self, data: Any) -> Any:
        return data.get("after_sale_order")

    def token_call(self, keys: Keys) -> Call:
        said = {"grant_type": "client_credential", "appid": keys.app_key, "secret": keys.secret}
        return Call("cgi-bin/stable_token", said)

    def token_of(self, answer: Any) -> Token:
        data = self.opened(Call("cgi-bin/stable_token"), answer)
        return Token(need(data, "access_token"), int(need(data, "expires_in")))

    def pushed(
        self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, keys: Keys
    ) -> tuple[Pushed, ...]:
        try:
            cipher = json.loads(body)["Encrypt"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise NotVerified from None
        said = query.get("msg_signature", "")
        expected = signature(
            str(keys.more.get("push_token", "")), query.get("timestamp", ""), query.get("nonce", ""), str(cipher)
        )
        if not hmac.compare_digest(expected, said if said.isascii() else ""):
            raise NotVerified
        event = _opened(str(cipher), str(keys.more.get("push_aes_key", "")), keys.app_key)
        info = event.get("order_info") or event.get("finder_shop_aftersale_status_update") or {}
        order_no = facts.text(info.get("order_id"))
        refund_no = facts.text(info.get("after_sale_order_id"))
        return (Pushed(order_no, refund_no, topic=str(event.get("Event", ""))[:64]),) if order_no else ()

    def checked(self, query: Mapping[str, str], keys: Keys) -> str | None:
        token = str(keys.more.get("push_token", ""))
        expected = hashlib.sha1(
            "".join(sorted((token, query.get("timestamp", ""), query.get("nonce", "")))).encode(), usedforsecurity=False
        ).hexdigest()
        said = query.get("signature", "")
        is_theirs = bool(token) and hmac.compare_digest(expected, said if said.isascii() else "")
        return query.get("echostr", "") if is_theirs else None

    def read(self, raw: Json, settings: Mapping[str, str]) -> facts.Said:
        order = _order(need(raw, "order"), self.setting(settings, "gift_buyer"))
        refunds = tuple(_refund(order, each) for each in parts(raw, "refunds") if each.get("type") != "EXCHANGE")
        return facts.Said("", (order,), refunds)


def signature(token: str, timestamp: str, nonce: str, cipher: str) -> str:
    return hashlib.sha1("".join(sorted((token, timestamp, nonce, cipher))).encode(), usedforsecurity=False).hexdigest()


def _opened(cipher: str, aes_key: str, app_key: str) -> dict[str, Any]:
    """16 random bytes, the length, the message, the app id; padded to 32."""
    try:
        key = base64.b64decode(aes_key + "=")
        decryptor = Cipher(AES(key), CBC(key[:16])).decryptor()
        clear = decryptor.update(base64.b64decode(cipher)) + decryptor.finalize()
        clear = clear[: -clear[-1]]
        length = int.from_bytes(clear[16:20], "big")
        if clear[20 + length :].decode() != app_key:
            raise NotVerified
        found = json.loads(clear[20 : 20 + length])
    except (ValueError, IndexError, RecursionError):
        raise NotVerified from None
    return found if isinstance(found, dict) else {}


def _order(raw: Json, gift_buyer: str) -> facts.Order:
    status, detail = raw.get("status"), need(raw, "order_detail")
    if status not in STATES:
        raise Unreadable("unknown_status", "/status")
    ours, pay, price = STATES[status], detail.get("pay_info") or {}, detail.get("price_info") or {}
    lines = tuple(_line(each, place, detail) for place, each in enumerate(parts(detail, "product_infos")))
    is_given = bool(raw.get("present_giver_openid")) and gift_buyer == "giver"
    prefix = "present_giver_" if is_given else ""
    is_closed_unpaid = status == CLOSED_UNPAID or ours == facts.CREATED
    risks = ((facts.GIFT_OPEN,) if status == GIFT_OPEN else ()) + ((facts.GROUP_FORMING,) if status == GROUP else ())
    if raw.get("risk_info"):
        risks = (*risks, facts.RISK_REVIEW)
    delivery, extra = detail.get("delivery_info") or {}, detail.get("ext_info") or {}
    method = pay.get("payment_method")
    return facts.Order(
        shop="", order_no=facts.text(need(raw, "order_id")), status=ours, raw_status=str(status), lines=lines,
        version_at=at_once(facts.seconds(raw.get("update_time"), "/update_time"), "/update_time"),
        created_at=at_once(facts.seconds(raw.get("create_time"), "/create_time"), "/create_time"),
        paid_at=None if is_closed_unpaid else facts.seconds(pay.get("pay_time"), "/pay_time"),
        shipped_at=facts.seconds(delivery.get("ship_done_time"), "/ship_done_time"),
        completed_at=facts.seconds(extra.get("confirm_receipt_time"), "/confirm_receipt_time"),
        buyer=facts.Buyer(facts.text(raw.get(prefix + "openid")), facts.text(raw.get(prefix + "unionid"))),
        freight_fen=facts.fen(price.get("freight"), "/freight"), order_paid_fen=facts.fen(need(price, "order_price"), "/order_price"),
        delivery_mode="VIRTUAL" if delivery.get("deliver_method") == 1 else "EXPRESS", risk_marks=risks,
        group_state="FORMING" if status == GROUP else "", marks=_sharers(detail),
        no_sale="lottery" if method == LOTTERY else "points" if method == POINTS else "",
    )  # fmt: skip


def _ref(raw: Json) -> str:
    """After-sales name product and sku only, so that is what a line is known by."""
    return f"{facts.text(raw.get('product_id'))}/{facts.text(raw.get('sku_id'))}"


def _line(raw: Json, place: int, detail: Json) -> facts.Line:
    where = f"/product_infos/{place}"
    twins = [each for each in parts(detail, "product_infos") if _ref(each) == _ref(raw)]
    ref = (
        _ref(raw) if len(twins) == 1 else facts.text(raw.get("product_unique_id")) or f"{_ref(raw)}/{twins.index(raw)}"
    )
    count, unit = facts.quantity(raw.get("sku_cnt", 0), where), facts.fen(raw.get("sale_price"), where)
    paid = facts.fen(need(raw, "real_price"), where)
    hq = sum(facts.fen(raw.get(name), where) for name in MERCHANT)
    subsidy = sum(facts.fen(raw.get(name), where) for name in FROM_PLATFORM)
    return facts.Line(
        ref=ref, sku=facts.text(raw.get("sku_code")) or facts.text(raw.get("out_sku_id")) or facts.text(raw.get("sku_id")),
        quantity=count, list_fen=max(int(unit * count), paid), paid_fen=paid, name=str(raw.get("title") or ""),
        unit_price=facts.Decimal(unit) / 100, is_gift=bool(raw.get("is_free_gift")),
        discounts=(
            (facts.HQ, hq), (facts.PLATFORM, subsidy), (facts.TALENT, facts.fen(raw.get("finder_discounted_price"), where)),
        ),
    )  # fmt: skip


def _sharers(detail: Json) -> tuple[facts.Mark, ...]:
    """Content that a WeCom member shared is the best trace of a guide; guide_info is not published inside."""
    found = [
        facts.Mark("sharer", facts.text(each.get("account_id")), facts.text(each.get("content_id")))
        for each in parts(detail, "source_infos")
        if each.get("account_type") == WECOM_ACCOUNT and facts.text(each.get("account_id"))
    ]
    talents = [
        facts.Mark("talent", facts.text(each.get("finder_id")), str(each.get("nickname") or ""))
        for each in parts(detail, "commission_infos")
        if facts.text(each.get("finder_id"))
    ]
    return tuple(dict.fromkeys([*found, *talents]))


def _refund(order: facts.Order, raw: Json) -> facts.Refund:
    at = facts.seconds(raw.get("complete_time"), "/complete_time")
    version = facts.seconds(raw.get("update_time"), "/update_time") or at
    product, money = raw.get("product_info") or {}, raw.get("refund_info") or {}
    refs = [line.ref for line in order.lines if line.ref == _ref(product)]
    if not refs:  # the same sku stands on several lines
        refs = [line.ref for line in order.lines if line.ref.startswith(_ref(product) + "/")] or [
            line.ref for line in order.lines
        ]
    return facts.Refund(
        refund_no=facts.text(need(raw, "after_sale_order_id")), order_no=order.order_no, line_refs=tuple(refs),
        version_at=at_once(version, "/update_time"), state=REFUND_STATES.get(str(raw.get("status")), facts.OPEN), refunded_at=at,
        amount_fen=facts.fen(money.get("amount"), "/refund_info/amount"), is_freight_inside=True,
        quantity=facts.quantity(product.get("count") or 0, "/count"),
    )  # fmt: skip


PLATFORM = WechatShop()
