"""Sealing: what opens, what does not, and that numbers are recognised or refused, never guessed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

import phonenumbers
import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from scrm import crypto

KEY_1 = base64.b64encode(b"\1" * 32).decode()
KEY_2 = base64.b64encode(b"\2" * 32).decode()
NUMBER = "+8613912341234"


@pytest.fixture(autouse=True)
def keys(settings):
    settings.MOBILE_SEAL_KEYS = f"1:{KEY_1}"
    settings.SECRET_SEAL_KEYS = f"1:{KEY_1}"
    settings.MOBILE_INDEX_KEY = KEY_2


SPELLINGS = [
    "13912341234",
    " 13912341234 ",
    "139 1234 1234",
    "139-1234-1234",
    "1391-2341234",
    "+8613912341234",
    "+86 139 1234 1234",
    "+86-139-1234-1234",
    "(+86)13912341234",
    "（+86）139 1234 1234",
    "008613912341234",
    "0086 139-1234-1234",
    "8613912341234",
    "１３９１２３４１２３４",
    "＋８６１３９１２３４１２３４",
    "139\u30001234\u30001234",
    "139\u00a01234\u00a01234",
    "\u202a13912341234\u202c",
    "\ufeff13912341234",
    "139—1234—1234",
]

REFUSED = [
    None, "", " ", "\u3000", "-", "1380013800", "138001380001", "23800138000", "12800138000", "0571-88888888", "abc",
    "1391234123a", "+1 3912341234", "+85213912341234", "1391234 1234 ext 5", "13912341234.0", "1.39123E+10",
    "13912341234,13912341235", "86", "+86", "1³912341234", "१३९१२३४१२३४", "+86+8613912341234", "013912341234",
]  # fmt: skip


@pytest.mark.parametrize("text", SPELLINGS)
def test_spellings_of_one_number(text):
    assert crypto.normalise_mobile(text) == NUMBER


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text):
    assert crypto.normalise_mobile(text) is None


@given(
    # the number ranges that both sides know; the numbering plan in phonenumbers lags behind newly issued ones
    st.sampled_from(
        [
            "130",
            "135",
            "139",
            "147",
            "150",
            "159",
            "166",
            "173",
            "177",
            "180",
            "188",
            "189",
            "199",
        ]
    ),
    st.text("0123456789", min_size=8, max_size=8),
    st.sampled_from(["", "+86", "+86 ", "0086", "0086 ", "86"]),
    st.sampled_from(["", " ", "-"]),
)
def test_agrees_with_phonenumbers(head, tail, country, gap):
    national = f"{head}{gap}{tail[:4]}{gap}{tail[4:]}"
    text = f"{country}{national}"
    # phonenumbers takes neither a bare 86 nor, read in China, a leading 0086 for the country
    parsed = phonenumbers.parse(f"{country.replace('0086', '+86').removeprefix('86')}{national}", "CN")
    assert phonenumbers.number_type(parsed) == phonenumbers.PhoneNumberType.MOBILE
    assert crypto.normalise_mobile(text) == phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


@given(st.text("0123456789+- ０１３８", max_size=16))
def test_what_is_taken_is_a_chinese_mobile_number(text):
    normal = crypto.normalise_mobile(text)
    if normal is not None:
        assert normal.startswith("+861") and len(normal) == 14 and normal[1:].isdecimal() and normal.isascii()
        assert crypto.normalise_mobile(normal) == normal


def test_mask():
    assert crypto.mask(NUMBER) == "139****1234"
    assert crypto.mask("13912341234") == "139****1234"
    assert crypto.mask("123") == "****"


def test_two_seals_differ_and_both_open():
    first, second = crypto.seal_mobile(NUMBER), crypto.seal_mobile(NUMBER)
    assert first != second
    assert crypto.open_mobile(first) == crypto.open_mobile(memoryview(second)) == NUMBER
    assert NUMBER.encode() not in first and b"13912341234" not in first


def test_index_is_hmac_sha256_cut_to_16_bytes():
    expected = hmac.new(b"\2" * 32, NUMBER.encode(), hashlib.sha256).hexdigest()[:32]
    assert crypto.mobile_index(NUMBER) == expected == crypto.mobile_index(NUMBER)
    assert crypto.mobile_index("+8613912341235") != expected


@pytest.mark.parametrize("place", range(43))
def test_flipped_byte_is_refused(place):
    sealed = bytearray(crypto.seal_mobile(NUMBER))
    assert len(sealed) == 43
    sealed[place] ^= 1
    # byte 0 is the key's id: another id means another key
    with pytest.raises(ImproperlyConfigured if place == 0 else crypto.SealBroken):
        crypto.open_mobile(bytes(sealed))


def test_cut_value_is_refused():
    with pytest.raises(crypto.SealBroken):
        crypto.open_mobile(crypto.seal_mobile(NUMBER)[:20])
    with pytest.raises(crypto.SealBroken):
        crypto.open_mobile(b"")


def test_rotation_first_key_seals_all_open(settings):
    old = crypto.seal_mobile(NUMBER)
    settings.MOBILE_SEAL_KEYS = f"2:{KEY_2},1:{KEY_1}"
    new = crypto.seal_mobile(NUMBER)
    assert (old[0], new[0]) == (1, 2)
    assert crypto.open_mobile(old) == crypto.open_mobile(new) == NUMBER
    settings.MOBILE_SEAL_KEYS = f"2:{KEY_2}"
    assert crypto.open_mobile(new) == NUMBER
    with pytest.raises(ImproperlyConfigured, match="no key 1"):
        crypto.open_mobile(old)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "1",
        "1:",
        "1:abc",
        f"0:{KEY_1}",
        f"256:{KEY_1}",
        f"1:{KEY_1},1:{KEY_2}",
        f"x:{KEY_1}",
        f"1:{KEY_1}x",
    ],
)
def test_missing_or_malformed_key(settings, spec):
    settings.MOBILE_SEAL_KEYS = spec
    with pytest.raises(ImproperlyConfigured, match="MOBILE_SEAL_KEYS"):
        crypto.seal_mobile(NUMBER)


def test_every_key_is_required(settings):
    crypto.require_keys()
    for name in ("MOBILE_SEAL_KEYS", "SECRET_SEAL_KEYS", "MOBILE_INDEX_KEY"):
        kept = getattr(settings, name)
        setattr(settings, name, "")
        with pytest.raises(ImproperlyConfigured, match=name):
            crypto.require_keys()
        setattr(settings, name, kept)


def test_bulk_equals_single():
    cells = [*SPELLINGS, *(text or "" for text in REFUSED)]
    for cell, field in zip(cells, crypto.seal_for_copy(cells), strict=True):
        index, sealed, verdict = field.split("\t")
        normal = crypto.normalise_mobile(cell)
        if normal is None:
            assert (index, sealed) == ("\\N", "\\N")
            assert verdict == ("" if not cell.strip(" \u3000") else "bad_mobile")
        else:
            assert verdict == "" and index == crypto.mobile_index(normal)
            assert crypto.open_mobile(bytes.fromhex(sealed.removeprefix("\\\\x"))) == normal
    known: dict[str, str] = {}
    for _ in range(2):  # the second time from the carried-over indexes
        for cell, field in zip(cells, crypto.index_for_copy(cells, known), strict=True):
            normal = crypto.normalise_mobile(cell)
            verdict = "" if normal or not cell.strip(" \u3000") else "bad_mobile"
            assert field == f"{crypto.mobile_index(normal) if normal else chr(92) + 'N'}\t{verdict}"


def test_bulk_nonces_never_repeat():
    sealed = [field.split("\t")[1] for field in crypto.seal_for_copy(["13912341234"] * 5_000)]
    assert len({value[5:29] for value in sealed}) == 5_000


def test_text_opens_only_under_its_purpose():
    sealed = crypto.seal_text("channel:tmall", "密钥 s3cret")
    assert crypto.open_text("channel:tmall", sealed) == "密钥 s3cret"
    with pytest.raises(crypto.SealBroken):
        crypto.open_text("channel:jd", sealed)


SIZES = [
    0,
    1,
    crypto.FRAME_BYTES - 1,
    crypto.FRAME_BYTES,
    crypto.FRAME_BYTES + 1,
    3 * crypto.FRAME_BYTES,
]


@pytest.mark.parametrize("size", SIZES)
def test_file_round_trip(tmp_path, size):
    plain, path = os.urandom(size), tmp_path / "upload"
    with crypto.sealed_writer(path) as stream:
        for at in range(0, size, 50_000):
            stream.write(plain[at : at + 50_000])
    assert path.stat().st_mode & 0o777 == 0o600
    with crypto.sealed_reader(path) as stream:
        assert stream.read(10) + stream.read() == plain
    if size > 100:
        assert plain[:100] not in path.read_bytes()


@pytest.mark.parametrize("keep", [0, 10, 25, 30, crypto.FRAME_BYTES + 41, crypto.FRAME_BYTES + 60, -1])
def test_cut_file_is_noticed(tmp_path, keep):
    path = tmp_path / "upload"
    with crypto.sealed_writer(path) as stream:
        stream.write(b"x" * (2 * crypto.FRAME_BYTES))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(crypto.SealBroken), crypto.sealed_reader(path) as stream:
        stream.read()


def test_flipped_and_lengthened_file_is_noticed(tmp_path):
    path = tmp_path / "upload"
    with crypto.sealed_writer(path) as stream:
        stream.write(b"x" * 100_000)
    whole = path.read_bytes()
    for changed in (
        whole[:70_000] + bytes([whole[70_000] ^ 1]) + whole[70_001:],
        whole + b"more",
    ):
        path.write_bytes(changed)
        with pytest.raises(crypto.SealBroken), crypto.sealed_reader(path) as stream:
            stream.read()


def test_failed_write_leaves_nothing(tmp_path):
    with (
        pytest.raises(RuntimeError),
        crypto.sealed_writer(tmp_path / "upload") as stream,
    ):
        stream.write(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_file_of_an_old_key(tmp_path, settings):
    path = tmp_path / "upload"
    with crypto.sealed_writer(path) as stream:
        stream.write(b"old")
    settings.SECRET_SEAL_KEYS = f"2:{KEY_2},1:{KEY_1}"
    with crypto.sealed_reader(path) as stream:
        assert stream.read() == b"old"
