"""WeChat Pay's notices (微信支付通知, APIv3): verified on raw bytes, opened, read. Pure.

1. What is signed is timestamp, nonce and body, a line each; RSA with SHA-256 under the key that the serial names: a platform
   certificate, or WeChat Pay's public key. A clock five minutes off, an unknown serial and the signatures that WeChat Pay sends
   to try us out (WECHATPAY/SIGNTEST/) are refused.
2. The content is AES-256-GCM under the merchant's APIv3 key with the nonce and the associated data given beside it.
3. A payment counts when it succeeded; a refund when its money is back. A refund that was closed or is abnormal is told too.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

WINDOW_SECONDS = 300
TRIAL = "WECHATPAY/SIGNTEST/"
PAYMENT, REFUND = "PAYMENT", "REFUND"
EVENTS = {"TRANSACTION.SUCCESS": PAYMENT, "REFUND.SUCCESS": REFUND, "REFUND.CLOSED": REFUND, "REFUND.ABNORMAL": REFUND}


class NotVerified(Exception):
    """Another time, an unknown key or a wrong signature: the sender learns no more."""


class NotReadable(Exception):
    """A verified body that cannot be opened or is no notice."""


class Notice(NamedTuple):
    kind: str
    fact_id: str
    trade_no: str
    refund_no: str
    state: str
    total_fen: int
    amount_fen: int
    openid: str
    happened_at: dt.datetime


def public_key(pem: str) -> rsa.RSAPublicKey:
    """Of a certificate or of a bare key, in PEM. Raises ValueError."""
    data = pem.encode()
    key = (
        x509.load_pem_x509_certificate(data).public_key()
        if b"BEGIN CERTIFICATE" in data
        else serialization.load_pem_public_key(data)
    )
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("not an RSA key")  # noqa: TRY004  told like every other key that does not serve
    return key


def verify(headers: Mapping[str, str], body: bytes, keys: Mapping[str, str], now: dt.datetime) -> None:
    """Raises NotVerified."""
    timestamp, signature = headers.get("wechatpay-timestamp", ""), headers.get("wechatpay-signature", "")
    pem = keys.get(headers.get("wechatpay-serial", ""))
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        raise NotVerified
    if pem is None or signature.startswith(TRIAL) or abs(now.timestamp() - int(timestamp)) > WINDOW_SECONDS:
        raise NotVerified
    signed = b"%s\n%s\n%s\n" % (timestamp.encode(), headers.get("wechatpay-nonce", "").encode(), body)
    try:
        public_key(pem).verify(base64.b64decode(signature, validate=True), signed, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        raise NotVerified from None


def opened(body: bytes, secret: bytes, mchid: str) -> Notice:
    """What a verified notice says. Raises NotReadable."""
    try:
        said = json.loads(body)
        kind, resource = EVENTS[said["event_type"]], said["resource"]
        sealed = base64.b64decode(resource["ciphertext"], validate=True)
        beside = (resource.get("associated_data") or "").encode()
        plain = json.loads(AESGCM(secret).decrypt(resource["nonce"].encode(), sealed, beside))
        if plain["mchid"] != mchid:
            raise NotReadable
        return _payment(plain) if kind == PAYMENT else _refund(plain)
    except (KeyError, TypeError, ValueError, AttributeError, InvalidTag):
        raise NotReadable from None


def _payment(said: Any) -> Notice:
    amount = said["amount"]
    if said["trade_state"] != "SUCCESS" or amount.get("currency", "CNY") != "CNY":
        raise NotReadable
    openid = said.get("payer", {}).get("openid")
    return Notice(
        PAYMENT, _text(said["transaction_id"]), _text(said["out_trade_no"]), "", "SUCCESS", _fen(amount["total"]),
        _fen(amount.get("payer_total", amount["total"])), _text(openid) if openid else "",
        _time(said["success_time"]),
    )  # fmt: skip


def _refund(said: Any) -> Notice:
    amount = said["amount"]
    state = said["refund_status"]
    if state not in ("SUCCESS", "CLOSED", "ABNORMAL"):
        raise NotReadable
    at = said["success_time"] if state == "SUCCESS" else said.get("success_time") or said["create_time"]
    return Notice(
        REFUND, _text(said["refund_id"]), _text(said["out_trade_no"]), _text(said["out_refund_no"]), state,
        _fen(amount["total"]), _fen(amount["refund"]), "", _time(at),
    )  # fmt: skip


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 64 or "\0" in value:
        raise NotReadable
    return value


def _fen(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 10**12:
        raise NotReadable
    return value


def _time(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise NotReadable
    return moment
