"""Tokens of shares (分享令牌): 32 characters that prove who shared what, and until when.

1. A token is the number of a key, the share's id and a proof over everything the share says: guide, kind, object, coupon,
   the moments of sharing, of expiry and of closing. Whoever changes one of them, here or there, has no token any more.
2. It is as long as the scene of a mini-program code may be (32 characters), and made of letters, digits, ``-`` and ``_``,
   which a scene and a link take alike.
3. Its key is derived for this purpose alone. After a rotation old keys go on proving what they signed.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hmac
import json
from dataclasses import dataclass
from typing import NamedTuple

from scrm import crypto

LENGTH = 32
PARAMETER = "s"  # of a link
PURPOSE = "share token"
ID_BYTES = 7


@dataclass(frozen=True, slots=True)
class Terms:
    """What a share says."""

    share_id: int
    guide_id: int
    kind: str
    object_kind: str
    object_code: str
    reference: str
    created_at: dt.datetime
    expires_at: dt.datetime
    closes_at: dt.datetime | None


class Token(NamedTuple):
    key_id: int
    share_id: int
    proof: bytes


def mint(terms: Terms) -> str:
    key_id, proof = crypto.proof(PURPOSE, _message(terms))
    raw = bytes([key_id]) + terms.share_id.to_bytes(ID_BYTES, "big") + proof
    return base64.urlsafe_b64encode(raw).decode()


def read(text: str) -> Token | None:
    """The parts of a token, unproved; None for what is no token at all."""
    if len(text) != LENGTH or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    return Token(raw[0], int.from_bytes(raw[1 : 1 + ID_BYTES], "big"), raw[1 + ID_BYTES :])


def is_genuine(token: Token, terms: Terms) -> bool:
    """Whether we made this token for exactly these terms."""
    try:
        _key_id, expected = crypto.proof(PURPOSE, _message(terms), token.key_id)
    except LookupError:
        return False
    return token.share_id == terms.share_id and hmac.compare_digest(expected, token.proof)


def _message(terms: Terms) -> bytes:
    times = [_micros(terms.created_at), _micros(terms.expires_at), _micros(terms.closes_at)]
    names = [terms.kind, terms.object_kind, terms.object_code, terms.reference]
    return json.dumps([terms.share_id, terms.guide_id, *names, *times], ensure_ascii=False).encode()


def _micros(at: dt.datetime | None) -> int | None:
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return None if at is None else (at - epoch) // dt.timedelta(microseconds=1)
