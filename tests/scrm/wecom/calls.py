"""WeCom's side of a callback: bodies signed, encrypted and sent through the front door."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.test import Client
from django.utils import timezone

from scrm.wecom import crypto, inbox

TOKEN = "tokenOfTheTests"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
CORP_ID = "ww0123456789abcdef"
URL = "/wecom/callback/customers"
KEYS = crypto.Keys(TOKEN, crypto.decode_key(AES_KEY), CORP_ID)
AT = 1_767_225_600


def endpoint(name: str = "customers", corp_id: str = CORP_ID) -> Any:
    return inbox.save_endpoint(name=name, corp_id=corp_id, token=TOKEN, aes_key=AES_KEY, actor=None)


def event(at: int = AT, *, event: str = "change_external_contact", **tags: Any) -> bytes:
    """A decrypted body; a value in angle brackets goes in as it is."""
    if event == "change_external_contact":
        tags = {"ChangeType": "add_external_contact", "UserID": "guide_0001", "ExternalUserID": "wmA1", **tags}
    said = {"ToUserName": CORP_ID, "FromUserName": "sys", "MsgType": "event", "Event": event, **tags}
    inner = "".join(
        f"<{tag}>{value if str(value).startswith('<') else f'<![CDATA[{value}]]>'}</{tag}>"
        for tag, value in said.items()
    )
    return f"<xml><CreateTime>{at}</CreateTime>{inner}</xml>".encode()


def outer(encrypted: str) -> bytes:
    return f"<xml><ToUserName>{CORP_ID}</ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>".encode()


def query(encrypted: str, *, at: int | None = None, **replaced: str) -> dict[str, str]:
    timestamp = str(int(timezone.now().timestamp()) if at is None else at)
    signed = crypto.signature(TOKEN, timestamp, "n1", encrypted)
    return {"msg_signature": signed, "timestamp": timestamp, "nonce": "n1", **replaced}


def post(body: bytes, values: dict[str, str], *, url: str = URL) -> Any:
    return Client().post(f"{url}?{urlencode(values)}", body, content_type="text/xml")


def send(message: bytes, *, url: str = URL, at: int | None = None, keys: crypto.Keys = KEYS) -> Any:
    encrypted = crypto.encrypt(keys, message)
    return post(outer(encrypted), query(encrypted, at=at), url=url)
