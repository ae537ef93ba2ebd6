"""Cursors (分页游标): sealed places in a list, good for the query they came from only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from scrm.wecom.sandbox.refusals import Refusal

INVALID = 50100
_MAC_BYTES = 12
_FREE = frozenset({"cursor", "limit"})  # may differ from page to page


def seal(key: bytes, path: str, query: dict[str, Any], place: list[Any], at: int) -> str:
    """``place`` is where the next page begins."""
    plain = json.dumps([at, *place]).encode()
    mac = _mac(key, path, query, plain)
    return base64.urlsafe_b64encode(mac + _veiled(key, mac, plain)).decode().rstrip("=")


def unseal(key: bytes, path: str, query: dict[str, Any], cursor: str, *, not_before: float) -> list[Any]:
    """The place; Refusal 50100 for a cursor that is not ours, of another query, or older than ``not_before``."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise Refusal(INVALID) from None
    mac, plain = raw[:_MAC_BYTES], _veiled(key, raw[:_MAC_BYTES], raw[_MAC_BYTES:])
    if not hmac.compare_digest(mac, _mac(key, path, query, plain)):
        raise Refusal(INVALID)
    at, *place = json.loads(plain)
    if at < not_before:
        raise Refusal(INVALID)
    return place


def _mac(key: bytes, path: str, query: dict[str, Any], plain: bytes) -> bytes:
    bound = {name: value for name, value in query.items() if name not in _FREE}
    said = json.dumps([path, bound], sort_keys=True).encode()
    return hmac.digest(key, said + b"\0" + plain, "sha256")[:_MAC_BYTES]


def _veiled(key: bytes, mac: bytes, text: bytes) -> bytes:
    """Nobody should be tempted to read or make one."""
    stream = b"".join(
        hashlib.sha256(key + mac + bytes([block])).digest() for block in range(len(text) // 32 + 1)
    )  # a place is far shorter than 8 kB
    return bytes(one ^ other for one, other in zip(text, stream, strict=False))
