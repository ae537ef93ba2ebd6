"""Signatures and pushes of every platform, against vectors with the secret ``sec``."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from attribution.channels import kuaishou, platform, registry, wechat_shop
from attribution.channels.platform import Call, Keys, NotVerified, Pushed

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=ZoneInfo("Asia/Shanghai"))
PLATFORMS = registry.platforms()


def keys(app_key: str, token: str = "", **more: Any) -> Keys:
    return Keys(app_key, "sec", token, "1", more)


def sign(code: str, call: Call, with_keys: Keys) -> str:
    http = PLATFORMS[code].sign(call, with_keys, NOW)
    sent = dict(http.query)
    if http.body.startswith(b"{"):
        sent |= json.loads(http.body)
    elif http.body:
        sent |= dict(parse_qsl(http.body.decode()))
    return str(sent["sign"])


@pytest.mark.parametrize(
    ("code", "call", "with_keys", "expected"),
    [
        ("TMALL", Call("taobao.trade.fullinfo.get", {"fields": "tid,status", "tid": "1001"}), keys("12345678", "sess"),
         "DF831EA055C0758BB886048496521200"),
        ("TMALL", Call("taobao.trade.fullinfo.get", {"fields": "tid,status", "tid": "1001"}),
         keys("12345678", "sess", sign_method="hmac"), "A6C9190610D475847E5FA9BF712260B1"),
        ("JD", Call("jingdong.pop.order.get", {"order_id": "1001"}), keys("KEY", "tok"), "26AFCD91C0E1F808099A8162B0D6E32D"),
        ("PINDUODUO", Call("pdd.order.information.get", {"order_sn": "260102-000000000000001"}), keys("cid", "tok"),
         "C8283F4B382D874EACC58920198B79E5"),
        ("DOUYIN", Call("order.orderDetail", {"shop_order_id": "1001"}), keys("KEY", "tok"),
         "e125450554919d7d3813e53094d16b092e5c5343a6d5963238e62128a06a082e"),
        ("KUAISHOU", Call("open.order.detail", {"oid": 1001}), keys("ks1", "tok", sign_secret="sec", sign_method="MD5"),
         "ce72f095f719e86f6c1213ef0bc422ab"),
        ("KUAISHOU", Call("open.order.detail", {"oid": 1001}), keys("ks1", "tok", sign_secret="sec"),
         "x5X9N8SkO7+uG7DnLcGKdWsm9/mOp37HO33zk9S9PGE="),
        ("XIAOHONGSHU", Call("order.getOrderDetail", {"orderId": "P1"}), keys("app", "tok"), "de1cbd2f598ffbdc244f1db2fdbf613d"),
    ],
)  # fmt: skip
def test_a_call_is_signed_as_the_platform_does(code: str, call: Call, with_keys: Keys, expected: str) -> None:
    assert sign(code, call, with_keys) == expected


def test_youzan_signs_its_pushes_over_the_raw_bytes() -> None:
    body = b'{"msg":"%7B%7D","type":"trade_TradeSuccess"}'
    signed = "753f8596a6a87eeff965d7f1ac4bd75d"
    youzan, mine = PLATFORMS["YOUZAN"], keys("cid")
    assert youzan.pushed({"event-sign": signed}, {}, body, mine) == ()  # it names no order
    for headers, other in (({}, body), ({"event-sign": signed}, body + b" "), ({"event-sign": "é"}, body)):
        with pytest.raises(NotVerified):
            youzan.pushed(headers, {}, other, mine)
    told = b'{"type":"trade_TradePaid","kdt_id":5001,"id":"E1","msg":"%7B%22tid%22%3A%22E1%22%7D"}'
    sign_of = hashlib.md5(b"cid" + told + b"sec").hexdigest()
    assert youzan.pushed({"event-sign": sign_of}, {}, told, mine) == (Pushed("E1", "", "5001", "trade_TradePaid"),)
    refund = b'{"type":"youzan_trade_RefundSuccess","kdt_id":5001,"msg":{"tid":"E1","refund_id":"R9"}}'
    sign_of = hashlib.md5(b"cid" + refund + b"sec").hexdigest()
    assert youzan.pushed({"event-sign": sign_of}, {}, refund, mine)[0].refund_no == "R9"


def test_doudian_signs_its_pushes_over_the_raw_bytes() -> None:
    doudian, mine = PLATFORMS["DOUYIN"], keys("KEY")
    body = b'[{"tag":"101","msg_id":"1","data":"{}"}]'
    assert doudian.pushed({"event-sign": "d268c13950606ae9029f1c15dd2345f5"}, {}, body, mine) == ()
    with pytest.raises(NotVerified):
        doudian.pushed({"event-sign": "d268c13950606ae9029f1c15dd2345f5"}, {}, b"[]", mine)
    told = json.dumps(
        [{"tag": "206", "data": json.dumps({"p_id": 6900000000000000001, "aftersale_id": 7, "shop_id": 1001})}]
    )
    signed = {"event-sign": platform.md5(f"KEY{told}sec")}
    assert doudian.pushed(signed, {}, told.encode(), mine) == (Pushed("6900000000000000001", "7", "1001", "206"),)


def test_kuaishou_proves_itself_by_its_cipher() -> None:
    secret = base64.b64encode(b"k" * 16).decode()
    mine = keys("ks1", message_secret=secret)
    told = {
        "appKey": "ks1",
        "event": "kwaishop_order_paySuccess",
        "info": json.dumps({"oid": 2600000000000001, "sellerId": 9}),
    }
    body = kuaishou.sealed(json.dumps(told).encode(), secret)
    found = PLATFORMS["KUAISHOU"].pushed({}, {}, body, mine)
    assert found == (Pushed("2600000000000001", "", "9", "kwaishop_order_paySuccess"),)
    for other in (body[:-8], b"plain", kuaishou.sealed(b'{"appKey": "another"}', secret)):
        with pytest.raises(NotVerified):
            PLATFORMS["KUAISHOU"].pushed({}, {}, other, mine)
    with pytest.raises(NotVerified):
        PLATFORMS["KUAISHOU"].pushed({}, {}, body, keys("ks1", message_secret=base64.b64encode(b"x" * 16).decode()))


def test_the_wechat_shop_signs_token_time_nonce_and_cipher() -> None:
    assert wechat_shop.signature("token", "1767294245", "nonce", "ENC") == "9dad4774de9e2eec20b8efac2454eeb1f936c8e2"
    aes_key = base64.b64encode(bytes(range(32))).decode().rstrip("=")
    event = json.dumps({"Event": "channels_ec_order_pay", "order_info": {"order_id": 3700000000000000001}}).encode()
    clear = b"r" * 16 + len(event).to_bytes(4, "big") + event + b"wxapp"
    pad = 32 - len(clear) % 32
    key = bytes(range(32))
    encryptor = Cipher(AES(key), CBC(key[:16])).encryptor()
    cipher = base64.b64encode(encryptor.update(clear + bytes([pad]) * pad) + encryptor.finalize()).decode()
    query = {
        "timestamp": "1767294245",
        "nonce": "n",
        "msg_signature": wechat_shop.signature("tok", "1767294245", "n", cipher),
    }
    mine = keys("wxapp", push_token="tok", push_aes_key=aes_key)
    body = json.dumps({"Encrypt": cipher}).encode()
    found = PLATFORMS["WECHAT_SHOP"].pushed({}, query, body, mine)
    assert found == (Pushed("3700000000000000001", topic="channels_ec_order_pay"),)
    for said, with_keys in (
        ({**query, "nonce": "m"}, mine),
        (query, keys("other", push_token="tok", push_aes_key=aes_key)),
    ):
        with pytest.raises(NotVerified):
            PLATFORMS["WECHAT_SHOP"].pushed({}, said, body, with_keys)
