"""How WeCom wraps what it sends (回调加密): its side of the envelope, from the documentation alone.

Signature: lower-case hex SHA-1 of token, timestamp, nonce and ciphertext, sorted and joined. Ciphertext: AES-256-CBC under
the key, whose first 16 bytes are the IV, of 16 random bytes, the length in four bytes, the message, the receive id, and
PKCS#7 padding to 32 bytes. Source: https://developer.work.weixin.qq.com/document/path/90968.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

BLOCK = 32


def sign(token: str, timestamp: str, nonce: str, encrypted: str) -> str:
    joined = "".join(sorted([token, timestamp, nonce, encrypted]))
    return hashlib.sha1(joined.encode(), usedforsecurity=False).hexdigest()  # the protocol's, not ours


def encrypt(encoded_key: str, receive_id: str, message: bytes, random: bytes | None = None) -> str:
    """Base64. ``encoded_key`` is the EncodingAESKey of 43 characters; ``random`` is 16 bytes, named by tests only."""
    key = base64.b64decode(encoded_key + "=")
    text = (random or os.urandom(16)) + struct.pack(">I", len(message)) + message + receive_id.encode()
    pad = BLOCK - len(text) % BLOCK
    wrap = Cipher(AES(key), CBC(key[:16])).encryptor()
    return base64.b64encode(wrap.update(text + bytes([pad] * pad)) + wrap.finalize()).decode()


def outer(corp_id: str, agent_id: int | None, encrypted: str) -> bytes:
    """The body of the POST; the contact sync has no agent."""
    agent = "" if agent_id is None else f"<AgentID><![CDATA[{agent_id}]]></AgentID>"
    return (
        f"<xml><ToUserName><![CDATA[{corp_id}]]></ToUserName>{agent}<Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
    ).encode()
