"""The envelope against known answers and against wechatpy; whatever does not hold looks alike; XML that can do no harm."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st
from wechatpy.work.crypto import PrpCrypto, WeChatCrypto

from scrm.wecom import crypto
from tests.scrm.wecom.calls import AES_KEY, CORP_ID, KEYS, TOKEN

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))["callback"]
SIGNED = [vector for vector in VECTORS if "msg_signature" in vector]
OPENED = [vector for vector in VECTORS if vector["kind"] in ("echostr", "post", "signature") and "plaintext" in vector]


def name(vector: dict[str, Any]) -> str:
    return vector["id"]


def keys_of(vector: dict[str, Any], **replaced: Any) -> crypto.Keys:
    key = crypto.decode_key(vector["encoding_aes_key"])
    values = {"token": vector["token"], "aes_key": key, "receive_id": vector["receive_id"]}
    return crypto.Keys(**{**values, **replaced})


def opened(vector: dict[str, Any], keys: crypto.Keys, **replaced: str) -> bytes:
    call = {part: vector[part] for part in ("timestamp", "nonce")}
    call = {**call, "encrypted": vector["encrypt"], "signed": vector["msg_signature"], **replaced}
    return crypto.open_envelope(keys, **call)


def test_the_vectors_are_all_here() -> None:
    assert {vector["kind"] for vector in VECTORS} == {"echostr", "post", "encrypt", "signature"}
    assert len(VECTORS) >= 10


@pytest.mark.parametrize("vector", SIGNED, ids=name)
def test_known_signatures(vector: dict[str, Any]) -> None:
    signed = crypto.signature(vector["token"], vector["timestamp"], vector["nonce"], vector["encrypt"])
    assert signed == vector["msg_signature"]


@pytest.mark.parametrize("vector", OPENED, ids=name)
def test_known_messages_open(vector: dict[str, Any]) -> None:
    assert opened(vector, keys_of(vector)).decode() == vector["plaintext"]


@pytest.mark.parametrize("vector", [vector for vector in VECTORS if "random16" in vector], ids=name)
def test_known_messages_are_encrypted_byte_for_byte(vector: dict[str, Any]) -> None:
    sealed = crypto.encrypt(keys_of(vector), vector["plaintext"].encode(), random=vector["random16"].encode())
    assert sealed == vector["encrypt"]


@pytest.mark.parametrize("vector", OPENED, ids=name)
def test_a_known_message_opens_in_no_other_way(vector: dict[str, Any]) -> None:
    keys = keys_of(vector)
    wrong: list[tuple[crypto.Keys, dict[str, str]]] = [
        (keys, {"signed": "0" * 40}),
        (keys, {"signed": ""}),
        (keys, {"signed": "签名"}),
        (keys, {"signed": vector["msg_signature"].upper()}),
        (keys, {"nonce": vector["nonce"] + "1"}),
        (keys, {"timestamp": "1"}),
        (keys, {"encrypted": vector["encrypt"][:-4]}),
        (keys_of(vector, token="another"), {}),
        (keys_of(vector, receive_id="ww_another"), {}),
        (keys_of(vector, receive_id=""), {}),
        (keys_of(vector, aes_key=bytes(32)), {}),
    ]
    for other, replaced in wrong:
        with pytest.raises(crypto.NotVerified) as raised:
            opened(vector, other, **replaced)
        assert raised.value.args == ()  # nothing to tell them apart by


def sealed(plain: bytes) -> str:
    """Any plaintext under our key, whatever its padding."""
    encryptor = Cipher(algorithms.AES256(KEYS.aes_key), modes.CBC(KEYS.aes_key[:16])).encryptor()
    return base64.b64encode(encryptor.update(plain) + encryptor.finalize()).decode()


def framed(message: bytes, *, length: int | None = None, tail: bytes = CORP_ID.encode(), padding: bytes = b"") -> str:
    plain = bytes(16) + (len(message) if length is None else length).to_bytes(4, "big") + message + tail
    pad = 32 - len(plain) % 32
    return sealed(plain + (padding or bytes([pad]) * pad))


@pytest.mark.parametrize(
    "encrypted",
    [
        "", "=", "not base64!", "QUJD", "签", base64.b64encode(bytes(16)).decode(), base64.b64encode(bytes(33)).decode(),
        sealed(bytes(32)),  # padding of none
        sealed(b"\xff" * 32),  # padding longer than a block
        sealed(bytes(31) + b"\x21"),
        sealed(b" " * 32),  # all padding, and nothing before it
        framed(b"hello", padding=bytes(15) + bytes([7]) * 6),  # of 7 bytes six are right
        framed(b"hello", padding=bytes([53]) * 53),  # whole, yet longer than a block
        framed(b"hello", length=2**32 - 1),
        framed(b"hello", length=4),
        framed(b"hello", length=6),
        framed(b"hello", tail=b""),
        framed(b"hello", tail=CORP_ID.encode() + b"x"),
        framed(b"hello", tail=CORP_ID[:-1].encode()),
        framed(b"hello", tail=b"\xff\xfe"),
    ],
)  # fmt: skip
def test_signed_garbage_does_not_open(encrypted: str) -> None:
    signed = crypto.signature(TOKEN, "1", "n", encrypted)
    with pytest.raises(crypto.NotVerified):
        crypto.open_envelope(KEYS, signed=signed, timestamp="1", nonce="n", encrypted=encrypted)


def test_the_frame_of_that_garbage_is_right_otherwise() -> None:
    assert crypto.decrypt(KEYS, framed(b"hello")) == b"hello"


@given(message=st.binary(max_size=200))
def test_what_is_encrypted_opens(message: bytes) -> None:
    encrypted = crypto.encrypt(KEYS, message)
    assert crypto.decrypt(KEYS, encrypted) == message
    assert encrypted != crypto.encrypt(KEYS, message)


@given(message=st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_wechatpy_says_the_same(message: str) -> None:
    theirs = PrpCrypto(KEYS.aes_key)
    assert crypto.decrypt(KEYS, theirs.encrypt(message, CORP_ID).decode()).decode() == message
    encrypted = crypto.encrypt(KEYS, message.encode())
    assert theirs.decrypt(encrypted, CORP_ID) == message
    signed = crypto.signature(TOKEN, "1", "n", encrypted)
    assert WeChatCrypto(TOKEN, AES_KEY, CORP_ID).check_signature(signed, "1", "n", encrypted) == message


@pytest.mark.parametrize(
    "encoded", ["", "short", AES_KEY + "=", AES_KEY + "H", AES_KEY[:-1] + "+", AES_KEY[:-1] + "键"]
)
def test_a_key_is_43_letters_and_digits(encoded: str) -> None:
    with pytest.raises(ValueError, match="EncodingAESKey"):
        crypto.decode_key(encoded)


# --- XML --------------------------------------------------------------------------------------------------------------


def test_one_item_and_several_look_alike() -> None:
    for items in (["wmA"], ["wmA", "wmB"]):
        text = "".join(f"<Item>{item}</Item>" for item in items)
        read = crypto.read_xml(f"<xml><ChatId><![CDATA[wr1]]></ChatId><List>\n{text}\n</List><State/></xml>".encode())
        assert read == {"ChatId": "wr1", "List": {"Item": items}, "State": ""}


BOMB = b"""<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>
<xml><Encrypt>&c;&c;&c;</Encrypt></xml>"""
HARMFUL = {
    "bomb": BOMB,
    "file": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><xml><Encrypt>&a;</Encrypt></xml>',
    "parameter": b'<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1/x.dtd"> %a;]><xml><Encrypt>x</Encrypt></xml>',
    "doctype": b'<!DOCTYPE xml SYSTEM "http://127.0.0.1/x.dtd"><xml><Encrypt>x</Encrypt></xml>',
    "undefined": b"<xml><Encrypt>&a;</Encrypt></xml>",
    "deep": b"<a>" * 100_000 + b"</a>" * 100_000,
    "cut": b"<xml><Encrypt>x</Encr",
    "two roots": b"<xml></xml><xml></xml>",
    "empty": b"",
    "json": b'{"Encrypt": "x"}',
    "not utf-8": b"<xml><Encrypt>\xff\xfe</Encrypt></xml>",
    "zero": b"<xml><Encrypt>\x00</Encrypt></xml>",
    "encoding": b'<?xml version="1.0" encoding="no-such"?><xml><Encrypt>x</Encrypt></xml>',
    "many bytes": b'<?xml version="1.0" encoding="shift_jis"?><xml><Encrypt>x</Encrypt></xml>',
}


@pytest.mark.parametrize("body", HARMFUL.values(), ids=HARMFUL.keys())
def test_xml_that_could_do_harm_is_not_read(body: bytes) -> None:
    with pytest.raises(crypto.NotReadable):
        crypto.read_xml(body)
