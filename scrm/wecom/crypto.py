"""The envelope of WeCom's callbacks (回调加解密): who signed it, what it says, and XML that can do no harm.

1. A message is signed with the lower-case hex SHA-1 of token, timestamp, nonce and ciphertext, sorted and joined.
2. It is AES-256-CBC under the endpoint's key, whose first 16 bytes are the IV too: 16 random bytes, the length of the
   message in four bytes, the message, the receive id (the corp id), and padding to a multiple of 32 bytes.
3. Nothing is decrypted before the signature holds. Whatever does not hold is NotVerified, which says no more than that.
4. XML with a document type, and so with entities, is NotReadable.

Source: https://developer.work.weixin.qq.com/document/path/90968. wechatpy's own implementation compares signatures with
``!=``, lets any padding pass and draws its random bytes from a generator that can be predicted; the tests hold ours against it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from dataclasses import dataclass
from typing import Any
from xml.parsers import expat

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KEY_BYTES = 32
RANDOM_BYTES = 16
LENGTH_BYTES = 4
PAD_BYTES = 32  # the block that the message is padded to, twice that of AES
XML_DEPTH = 16  # four levels are the most that WeCom documents

_ENCODED_KEY = re.compile(r"[A-Za-z0-9]{43}", re.ASCII)


class NotVerified(Exception):
    """Wrong signature, key, corp id or padding, or cut off: the sender learns no more than that."""


class NotReadable(Exception):
    """Not the XML of a message: malformed, nested too deep, or with a document type."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What an endpoint shares with WeCom. ``aes_key`` is 32 bytes, see ``decode_key``; ``receive_id`` is the corp id."""

    token: str
    aes_key: bytes
    receive_id: str


def decode_key(encoded: str) -> bytes:
    """The 32 bytes of an EncodingAESKey; ValueError unless it is 43 letters and digits.

    The bits of its last character that stand for nothing need not be zero, as in WeCom's own examples.
    """
    if not _ENCODED_KEY.fullmatch(encoded):
        raise ValueError("an EncodingAESKey is 43 letters and digits")
    return base64.b64decode(encoded + "=")


# --- envelope ---------------------------------------------------------------------------------------------------------


def signature(token: str, timestamp: str, nonce: str, encrypted: str) -> str:
    """40 lower-case hex digits."""
    signed = "".join(sorted((token, timestamp, nonce, encrypted)))
    return hashlib.sha1(signed.encode(errors="replace"), usedforsecurity=False).hexdigest()  # the protocol's, not ours


def is_signed(keys: Keys, *, signed: str, timestamp: str, nonce: str, encrypted: str) -> bool:
    """Whether ``signed`` is the signature of the rest under the endpoint's token."""
    expected = signature(keys.token, timestamp, nonce, encrypted)
    return hmac.compare_digest(expected.encode(), signed.encode(errors="replace"))


def open_envelope(keys: Keys, *, signed: str, timestamp: str, nonce: str, encrypted: str) -> bytes:
    """The message in ``encrypted`` (base64), when ``signed`` is its signature and it is for us. Raises NotVerified."""
    if not is_signed(keys, signed=signed, timestamp=timestamp, nonce=nonce, encrypted=encrypted):
        raise NotVerified
    return decrypt(keys, encrypted)


def decrypt(keys: Keys, encrypted: str) -> bytes:
    """The message in ``encrypted`` (base64) without its signature's warrant. Raises NotVerified."""
    plain = _without_padding(_plain(keys.aes_key, encrypted))
    start = RANDOM_BYTES + LENGTH_BYTES
    end = start + int.from_bytes(plain[RANDOM_BYTES:start], "big")
    is_whole = start <= end <= len(plain)  # a length that lies leaves the wrong receive id, or none
    if not (is_whole and hmac.compare_digest(plain[end:], keys.receive_id.encode())):
        raise NotVerified
    return plain[start:end]


def encrypt(keys: Keys, message: bytes, *, random: bytes | None = None) -> str:
    """The base64 that ``decrypt`` opens. ``random`` is 16 bytes; only a test names them."""
    plain = (random or os.urandom(RANDOM_BYTES)) + len(message).to_bytes(LENGTH_BYTES, "big")
    plain += message + keys.receive_id.encode()
    pad = PAD_BYTES - len(plain) % PAD_BYTES
    encryptor = _cipher(keys.aes_key).encryptor()
    return base64.b64encode(encryptor.update(plain + bytes([pad]) * pad) + encryptor.finalize()).decode()


def _plain(key: bytes, encrypted: str) -> bytes:
    try:
        ciphertext = base64.b64decode(encrypted, validate=True)
    except (binascii.Error, ValueError):
        raise NotVerified from None
    if not ciphertext or len(ciphertext) % PAD_BYTES:
        raise NotVerified
    decryptor = _cipher(key).decryptor()
    return decryptor.update(ciphertext) + decryptor.finalize()


def _without_padding(plain: bytes) -> bytes:
    pad = plain[-1]
    if not 1 <= pad <= PAD_BYTES or not hmac.compare_digest(plain[-pad:], bytes([pad]) * pad):
        raise NotVerified
    return plain[:-pad]


def _cipher(key: bytes) -> Cipher[modes.CBC]:
    return Cipher(algorithms.AES256(key), modes.CBC(key[:16]))


# --- XML --------------------------------------------------------------------------------------------------------------


def read_xml(body: bytes) -> dict[str, Any]:
    """The children of the root by their tags. Raises NotReadable.

    A child without children is its text; one with children is, one level down, a list of such values for every tag, so
    that one item and several look alike: ``{"ChatId": "wr1", "MemChangeList": {"Item": ["wm1"]}}``. Of a tag that
    stands twice below the root the last one counts.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.refuse  # no document type, no entities: neither bombs nor files
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError):  # the last two for an encoding that Python does not know
        raise NotReadable from None
    return {tag: values[-1] for tag, values in reader.root.items()}


class _Reader:
    def __init__(self) -> None:
        self.root: dict[str, list[Any]] = {}
        self._open: list[tuple[dict[str, list[Any]], list[str]]] = []

    def refuse(self, *_declaration: Any) -> None:
        raise NotReadable

    def start(self, _tag: str, _attributes: Any) -> None:
        if len(self._open) >= XML_DEPTH:
            raise NotReadable
        self._open.append(({} if self._open else self.root, []))

    def text(self, text: str) -> None:
        self._open[-1][1].append(text)

    def end(self, tag: str) -> None:
        children, text = self._open.pop()
        if self._open:
            self._open[-1][0].setdefault(tag, []).append(children or "".join(text))
