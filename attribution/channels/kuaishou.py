"""Kuaishou shop (快手小店): one item per order, amounts in fen, times in milliseconds, pushes as ciphers."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlencode

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

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
    Token,
    Unreadable,
    at_once,
    compact,
    need,
    parts,
    stamp,
)

STATES = {
    10: facts.CREATED, 30: facts.PAID, 40: facts.SHIPPED, 50: facts.SHIPPED, 70: facts.COMPLETED, 80: facts.CLOSED,
}  # fmt: skip
REFUND_STATES = {60: facts.DONE, 70: facts.REJECTED}
MONEY = (1, 10)  # returned and refunded, refunded; 3 is an exchange
NO_MORE = "nomore"
FORMING, REVIEW = 1, 2  # reasons why an order may not be shipped
BLACK_MARKET = 10001
RENEWAL = "oauth2/refresh_token"
PAGE = 50


class Kuaishou(Platform):
    code = "KUAISHOU"
    base_url = "https://openapi.kwaixiaodian.com/"
    streams: ClassVar[Mapping[str, Stream]] = {
        "orders": Stream(window=dt.timedelta(hours=6), page_size=PAGE),
        "refunds": Stream(window=dt.timedelta(hours=6), page_size=PAGE),
    }
    settings = (
        Setting("sign_method", ("HMAC_SHA256", "MD5"), "HMAC_SHA256", "签名方式"),
        Setting(
            "freight_in_total", ("no", "yes"), "no", "orderBaseInfo.totalFee 是否含运费：文档未写明，与账单对照后选定"
        ),
    )
    secrets = ("sign_secret", "message_secret", "refresh_token")
    has_push = True
    push_answer = ("application/json", '{"result":1}')

    def sign(self, call: Call, keys: Keys, now: dt.datetime) -> Http:
        if call.method == RENEWAL:
            return Http("POST", RENEWAL, headers=platform.FORM, body=urlencode(call.body).encode())
        params = {
            "access_token": keys.token, "appkey": keys.app_key, "method": call.method, "param": compact(call.body),
            "signMethod": str(keys.more.get("sign_method") or "HMAC_SHA256"), "timestamp": str(int(now.timestamp() * 1000)),
            "version": "1",
        }  # fmt: skip
        query = {**params, "sign": signature(str(keys.more.get("sign_secret", "")), params)}
        return Http("GET", call.method.replace(".", "/"), query)

    def token_call(self, keys: Keys) -> Call | None:
        refresh = platform.refresh_of(keys)
        said = {
            "grant_type": "refresh_token",
            "refresh_token": refresh,
            "app_id": keys.app_key,
            "app_secret": keys.secret,
        }
        return Call(RENEWAL, said) if refresh else None

    def token_of(self, answer: Any) -> Token:
        self.opened(Call(RENEWAL), answer)
        return platform.granted(answer)  # beside ``result``, not under ``data``

    def opened(self, call: Call, answer: Any) -> Any:
        if not isinstance(answer, dict):
            raise Refused(PASSING, "no JSON object")
        code = str(answer.get("result", ""))
        if code == "1":
            return answer.get("data") or {}
        if code in ("24", "28", "100200100"):
            raise Refused(TOKEN, code)
        raise Refused(PACE if code in ("15", "16", "802000") else PASSING if code in ("10", "11") else WRONG, code)

    def list_call(self, stream: str, since: dt.datetime, until: dt.datetime, place: Any) -> Call:
        window = {"beginTime": stamp(since) * 1000, "endTime": stamp(until) * 1000, "pageSize": PAGE}
        if stream == ORDERS:
            said = {"orderViewStatus": 1, "queryType": 2, "sort": 1, "cpsType": 0, "cursor": place or ""}
            return Call("open.order.cursor.list", {**window, **said})
        said = {"type": 9, "queryType": 2, "currentPage": 1, "sort": 1, "pcursor": place or ""}
        return Call("open.seller.order.refund.pcursor.list", {**window, **said})

    def listed(self, stream: str, data: Any, place: Any) -> Page:
        if stream == ORDERS:
            rows, following = parts(data, "orderList"), data.get("cursor")
            found = tuple(Found(facts.text((row.get("orderBaseInfo") or {}).get("oid")), order=row) for row in rows)
        else:
            rows, following = parts(data, "refundOrderInfoList"), data.get("pcursor")
            found = tuple(
                Found(facts.text(row.get("oid")), facts.text(row.get("refundId")), refund=row) for row in rows
            )
        return Page(found, None if following in (None, "", NO_MORE) else str(following))

    def order_call(self, order_no: str) -> Call:
        return Call("open.order.detail", {"oid": int(order_no)})

    def order_of(self, data: Any) -> Any:
        return data if data.get("orderBaseInfo") else None

    def refund_call(self, refund_no: str) -> Call:
        return Call("open.seller.order.refund.detail", {"refundId": int(refund_no)})

    def refund_of(self, data: Any) -> Any:
        return data if data.get("refundId") else None

    def pushed(
        self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, keys: Keys
    ) -> tuple[Pushed, ...]:
        """The cipher is the proof: who has no message secret cannot write one that opens."""
        try:
            event = json.loads(_opened(body, str(keys.more.get("message_secret", ""))))
            info = event.get("info") or "{}"
            info = json.loads(info) if isinstance(info, str) else info
        except (ValueError, AttributeError, TypeError, RecursionError):
            raise NotVerified from None
        if event.get("appKey") != keys.app_key:
            raise NotVerified
        oid = facts.text(info.get("oid"))
        if not oid or event.get("test"):
            return ()
        return (
            Pushed(
                oid,
                facts.text(info.get("refundId")),
                facts.text(info.get("sellerId")),
                str(event.get("event", ""))[:64],
            ),
        )

    def read(self, raw: Json, settings: Mapping[str, str]) -> facts.Said:
        order = _order(need(raw, "order"), is_freight_inside=self.setting(settings, "freight_in_total") == "yes")
        refunds = tuple(_refund(order, each) for each in parts(raw, "refunds") if each.get("handlingWay") in MONEY)
        return facts.Said("", (order,), refunds)


def signature(secret: str, params: Mapping[str, str]) -> str:
    text = "&".join(f"{key}={params[key]}" for key in sorted(params)) + f"&signSecret={secret}"
    if params["signMethod"] == "MD5":
        return platform.md5(text)
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()


def _opened(body: bytes, secret: str) -> bytes:
    decryptor = Cipher(AES(base64.b64decode(secret)), CBC(bytes(16))).decryptor()
    padded = decryptor.update(base64.b64decode(body, validate=True)) + decryptor.finalize()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(padded) + unpadder.finalize()


def sealed(clear: bytes, secret: str) -> bytes:
    """What the platform sends for ``clear``."""
    padder = PKCS7(128).padder()
    encryptor = Cipher(AES(base64.b64decode(secret)), CBC(bytes(16))).encryptor()
    return base64.b64encode(encryptor.update(padder.update(clear) + padder.finalize()) + encryptor.finalize())


def _order(raw: Json, *, is_freight_inside: bool) -> facts.Order:
    base, item = need(raw, "orderBaseInfo"), need(raw, "orderItemInfo")
    status = base.get("status")
    if status not in STATES:
        raise Unreadable("unknown_status", "/orderBaseInfo/status")
    ours, oid = STATES[status], facts.text(need(base, "oid"))
    freight = facts.fen(base.get("expressFee"), "/expressFee")
    paid = facts.fen(need(base, "totalFee"), "/totalFee") - (freight if is_freight_inside else 0)
    count, unit = facts.quantity(item.get("num", 0), "/num"), facts.fen(item.get("price"), "/price")
    listed = max(int(unit * count), paid)
    reason, cps = base.get("disableDeliveryReasonCode"), raw.get("orderCpsInfo") or {}
    talent = facts.text(cps.get("distributorId"))
    risks = tuple(
        name
        for name, holds in (
            (facts.GROUP_FORMING, reason == FORMING), (facts.RISK_REVIEW, reason == REVIEW),
            ("black_market", base.get("riskCode") == BLACK_MARKET),
        )
        if holds
    )  # fmt: skip
    line = facts.Line(
        ref=oid, sku=facts.text(item.get("skuNick")) or facts.text(item.get("skuId")), quantity=count, list_fen=listed, paid_fen=paid,
        name=str(item.get("itemTitle") or ""), unit_price=facts.Decimal(unit) / 100, discounts=((facts.HQ, listed - paid),),
        marks=(facts.Mark("talent", talent, str(cps.get("distributorName") or "")),) if talent else (),
    )  # fmt: skip
    return facts.Order(
        shop="", order_no=oid, status=ours, raw_status=str(status), lines=(line,), freight_fen=freight,
        version_at=at_once(facts.milliseconds(base.get("updateTime"), "/updateTime"), "/updateTime"),
        created_at=at_once(facts.milliseconds(base.get("createTime"), "/createTime"), "/createTime"),
        paid_at=None if ours == facts.CREATED else facts.milliseconds(base.get("payTime"), "/payTime"),
        shipped_at=facts.milliseconds(base.get("sendTime"), "/sendTime"),
        completed_at=facts.milliseconds(base.get("recvTime") or base.get("updateTime"), "/recvTime") if ours == facts.COMPLETED else None,
        buyer=facts.Buyer(facts.text(base.get("buyerOpenId"))), delivery_mode="EXPRESS", risk_marks=risks,
        group_state="FORMING" if facts.GROUP_FORMING in risks else "",
    )  # fmt: skip


def _refund(order: facts.Order, raw: Json) -> facts.Refund:
    at = facts.milliseconds(raw.get("endTime"), "/endTime")
    version = facts.milliseconds(raw.get("updateTime"), "/updateTime") or at
    return facts.Refund(
        refund_no=facts.text(need(raw, "refundId")), order_no=order.order_no, line_refs=(order.order_no,),
        version_at=at_once(version, "/updateTime"), state=REFUND_STATES.get(raw.get("status", 0), facts.OPEN), refunded_at=at,
        amount_fen=facts.fen(raw.get("refundFee"), "/refundFee"), is_freight_inside=True,
    )  # fmt: skip


PLATFORM = Kuaishou()
