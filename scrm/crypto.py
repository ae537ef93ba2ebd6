"""Sealed personal data: mobile numbers (手机号), channel secrets and files (加密).

1. A mobile number is known by its E.164 form, ``+8613912345678``. Anything that is not a Chinese mobile number is refused,
   never repaired by a guess.
2. It is stored twice: sealed (AES-256-GCM, a fresh random nonce each time) to be shown to somebody entitled, and as an
   index (HMAC-SHA-256 under a key of its own) to be found and matched. Two seals of one number differ, two indexes are equal.
3. The first byte of a sealed value names its key, so that keys rotate freely: the first key of the list seals, all of them open.
4. Keys come from the settings only and nothing derives from SECRET_KEY. A missing or malformed key is ImproperlyConfigured.
5. A changed or cut value or file never opens: SealBroken.

Random 96-bit nonces are safe for 2**32 values per key (NIST SP 800-38D, 8.3); a chain of 30 million members that
re-seals every number once a year stays two orders of magnitude below.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
INDEX_HEX = 32  # hex digits of the index: the first 16 bytes of the HMAC

BAD_MOBILE = "bad_mobile"

FILE_MAGIC = b"SCRMSF1\n"
FILE_SALT_BYTES = 16
FRAME_BYTES = 64 * 1024

_FULL_WIDTH = str.maketrans("０１２３４５６７８９＋（）", "0123456789+()")
_BLANKS = r"\s\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"
_BLANK = re.compile(f"[{_BLANKS}]*")
_SEPARATORS = re.compile(f"[{_BLANKS}()\\-‐‑‒–—―−－]+")
_MOBILE = re.compile(r"(?:\+86|0086|86)?(1[3-9][0-9]{9})", re.ASCII)


class SealBroken(Exception):
    """A sealed value or file was changed, cut or sealed under another purpose."""


@dataclass(frozen=True)
class KeyRing:
    """The keys of one settings variable; ``current`` seals, every one opens."""

    setting: str
    current: int
    ciphers: dict[int, AESGCM]
    raw: dict[int, bytes]

    def cipher(self, key_id: int) -> AESGCM:
        try:
            return self.ciphers[key_id]
        except KeyError:
            raise ImproperlyConfigured(
                f"{self.setting} holds no key {key_id}, but data sealed under it exists"
            ) from None


# --- pure -----------------------------------------------------------------------------------------------------------


def normalise_mobile(text: str | None) -> str | None:
    """E.164 form of a Chinese mobile number in any of its usual spellings, or None.

    Takes ``+86`` / ``0086`` / ``86`` in front, blanks, dashes, brackets, full-width digits, and the invisible direction
    marks that a number copied from a phone's address book brings along.
    """
    if not text:
        return None
    if len(text) == 11 and text.isascii() and text.isdecimal():
        return "+86" + text if "13" <= text < "2" else None
    compact = text.replace(" ", "").replace("-", "").removeprefix("+86")  # the usual spellings, at a fifth of the cost
    if len(compact) == 11 and compact.isascii() and compact.isdecimal():
        return "+86" + compact if "13" <= compact < "2" else None
    match = _MOBILE.fullmatch(_SEPARATORS.sub("", text.translate(_FULL_WIDTH)))
    return "+86" + match[1] if match else None


def mask(e164: str) -> str:
    """``+8613912341234`` → ``139****1234``: what a screen may show without a record."""
    number = e164.removeprefix("+86")
    return f"{number[:3]}****{number[-4:]}" if len(number) >= 8 else "****"


def row_digests(context: bytes) -> hashlib.blake2b:
    """Where to start a keyed digest of 16 bytes of a row that holds a number: copy it, update the copy with the row."""
    key = _key_bytes("MOBILE_INDEX_KEY", getattr(settings, "MOBILE_INDEX_KEY", ""))
    return hashlib.blake2b(context, digest_size=16, key=key, person=b"list row")


# --- mobile numbers ---------------------------------------------------------------------------------------------------


def seal_mobile(e164: str) -> bytes:
    """Key id, nonce, ciphertext and tag: 43 bytes for a Chinese number."""
    return _seal(_mobile_ring(), e164.encode(), None)


def open_mobile(sealed: bytes) -> str:
    """The E.164 form. SealBroken when a byte was changed."""
    return _open(_mobile_ring(), sealed, None).decode()


def mobile_index(e164: str) -> str:
    """32 hex digits that are equal for equal numbers and say nothing without the key."""
    inner, outer = _index_contexts()
    inner, outer = inner.copy(), outer.copy()
    inner.update(e164.encode())
    outer.update(inner.digest())
    return outer.hexdigest()[:INDEX_HEX]


def seal_for_copy(cells: Sequence[str]) -> list[str]:
    r"""Three fields of COPY text per cell: index, sealed value, verdict, joined by tabs.

    ``\N<tab>\N<tab>`` for an empty cell, ``\N<tab>\N<tab>bad_mobile`` for one that is not a mobile number. The loop is the
    hot path of every import (about 2 µs a number), hence the nonces in one block and the copied hash states.
    """
    ring = _mobile_ring()
    encrypt, prefix = ring.ciphers[ring.current].encrypt, f"\\\\x{ring.current:02x}"
    inner_copy, outer_copy = (context.copy for context in _index_contexts())
    nonces = os.urandom(NONCE_BYTES * len(cells))
    fields: list[str] = []
    at = 0
    add = fields.append
    for cell in cells:
        if len(cell) == 11 and cell.isascii() and cell.isdecimal() and "13" <= cell < "2":
            e164 = b"+86" + cell.encode()
        elif (normal := normalise_mobile(cell)) is not None:
            e164 = normal.encode()
        else:
            add(f"\\N\t\\N\t{BAD_MOBILE}" if _is_filled(cell) else "\\N\t\\N\t")
            continue
        inner, outer = inner_copy(), outer_copy()
        inner.update(e164)
        outer.update(inner.digest())
        nonce = nonces[at : at + NONCE_BYTES]
        at += NONCE_BYTES
        add(f"{outer.hexdigest()[:INDEX_HEX]}\t{prefix}{nonce.hex()}{encrypt(nonce, e164, None).hex()}\t")
    return fields


def index_for_copy(cells: Sequence[str], known: dict[str, str]) -> list[str]:
    r"""Two fields of COPY text per cell: index and verdict, for lists that repeat their numbers (orders).

    ``known`` carries the indexes over from one call to the next and stays below 65,536 entries.
    """
    fields = []
    for cell in cells:
        field = known.get(cell)
        if field is None:
            normal = normalise_mobile(cell)
            if normal is not None:
                field = mobile_index(normal) + "\t"
            else:
                field = f"\\N\t{BAD_MOBILE}" if _is_filled(cell) else "\\N\t"
            if len(known) >= 65_536:
                known.clear()
            known[cell] = field
        fields.append(field)
    return fields


# --- other secrets ------------------------------------------------------------------------------------------------------


def seal_text(purpose: str, text: str) -> bytes:
    """A channel secret, a token; ``purpose`` is bound into the seal, so it opens only under the same one."""
    return seal_bytes(purpose, text.encode())


def open_text(purpose: str, sealed: bytes) -> str:
    """The text. SealBroken when it was changed or sealed for another purpose."""
    return open_bytes(purpose, sealed).decode()


def seal_bytes(purpose: str, plain: bytes) -> bytes:
    """A small file, such as a picture; as ``seal_text``."""
    return _seal(_secret_ring(), plain, purpose.encode())


def open_bytes(purpose: str, sealed: bytes) -> bytes:
    """The bytes. SealBroken when they were changed or sealed for another purpose."""
    return _open(_secret_ring(), sealed, purpose.encode())


def require_keys() -> None:
    """Read every key once, so that a process refuses to start rather than fail at its first member."""
    _mobile_ring()
    _secret_ring()
    _index_contexts()


# --- short proofs -------------------------------------------------------------------------------------------------------


def proof(purpose: str, message: bytes, key_id: int | None = None) -> tuple[int, bytes]:
    """A key's number and 16 bytes that only its holder can make of ``message``: HMAC-SHA-256 under a key of the purpose's own.

    ``key_id`` None takes the current key. LookupError for a key we do not hold: whoever sent the number has made it up.
    """
    ring = _secret_ring()
    chosen = ring.current if key_id is None else key_id
    return chosen, hmac.digest(_proof_key(ring.raw[chosen], purpose), message, hashlib.sha256)[:16]


@lru_cache(maxsize=64)
def _proof_key(raw: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, None, b"scrm proof " + purpose.encode()).derive(raw)


# --- files --------------------------------------------------------------------------------------------------------------


@contextmanager
def sealed_writer(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary stream that lands sealed at ``path``, readable by its owner only, whole or not at all."""
    target = Path(path)
    partial = target.with_name(target.name + ".part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as raw:
            sealer = _SealingWriter(raw)
            with io.BufferedWriter(sealer, FRAME_BYTES) as stream:  # type: ignore[type-var]
                yield stream
                stream.flush()
                sealer.finish()
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sealed_reader(path: str | os.PathLike[str]) -> BinaryIO:
    """The plain content as a binary stream, to be closed by the caller. A cut file raises SealBroken at its end."""
    return io.BufferedReader(_SealedReader(open(path, "rb")), FRAME_BYTES)


class _SealingWriter(io.RawIOBase):
    """Frames of 64 KiB, each sealed under the file's own key; nonce = frame number and a mark on the last one.

    This is the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015): swapped, dropped or cut frames do not open.
    """

    def __init__(self, raw: BinaryIO) -> None:
        ring = _secret_ring()
        self._raw = raw
        self._header = FILE_MAGIC + bytes([ring.current]) + os.urandom(FILE_SALT_BYTES)
        self._cipher = _file_cipher(ring, self._header)
        self._pending = bytearray()
        self._frame = 0
        raw.write(self._header)

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._pending += data
        while len(self._pending) > FRAME_BYTES:  # a full frame waits: it may turn out to be the last one
            self._put(bytes(self._pending[:FRAME_BYTES]), last=False)
            del self._pending[:FRAME_BYTES]
        return len(data)

    def finish(self) -> None:
        self._put(bytes(self._pending), last=True)
        self._pending.clear()

    def _put(self, plain: bytes, *, last: bool) -> None:
        self._raw.write(self._cipher.encrypt(_frame_nonce(self._frame, last=last), plain, self._header))
        self._frame += 1


class _SealedReader(io.RawIOBase):
    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._header = raw.read(len(FILE_MAGIC) + 1 + FILE_SALT_BYTES)
        if len(self._header) < len(FILE_MAGIC) + 1 + FILE_SALT_BYTES or not self._header.startswith(FILE_MAGIC):
            raw.close()
            raise SealBroken("not a sealed file, or its beginning is missing")
        self._cipher = _file_cipher(_secret_ring(), self._header)
        self._ahead = raw.read(FRAME_BYTES + TAG_BYTES)
        self._plain = memoryview(b"")
        self._frame = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._plain and not self._ended:
            self._next_frame()
        count = min(len(buffer), len(self._plain))
        buffer[:count] = self._plain[:count]
        self._plain = self._plain[count:]
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()

    def _next_frame(self) -> None:
        frame, self._ahead = self._ahead, self._raw.read(FRAME_BYTES + TAG_BYTES)
        self._ended = not self._ahead
        try:
            plain = self._cipher.decrypt(_frame_nonce(self._frame, last=self._ended), frame, self._header)
        except InvalidTag:
            raise SealBroken(f"the sealed file was cut or changed near byte {self._frame * FRAME_BYTES}") from None
        self._plain = memoryview(plain)
        self._frame += 1


# --- keys ---------------------------------------------------------------------------------------------------------------


def _mobile_ring() -> KeyRing:
    return _ring("MOBILE_SEAL_KEYS", getattr(settings, "MOBILE_SEAL_KEYS", ""))


def _secret_ring() -> KeyRing:
    return _ring("SECRET_SEAL_KEYS", getattr(settings, "SECRET_SEAL_KEYS", ""))


@lru_cache(maxsize=16)
def _ring(setting: str, spec: str) -> KeyRing:
    """``1:<base64>,2:<base64>`` as a ring; the first entry is the current key."""
    keys: dict[int, bytes] = {}
    for entry in filter(None, (part.strip() for part in spec.split(","))):
        key_id, _, text = entry.partition(":")
        if not key_id.isascii() or not key_id.isdecimal() or not 1 <= int(key_id) <= 255 or int(key_id) in keys:
            raise ImproperlyConfigured(f"{setting}: each key is <id>:<base64>, ids are 1 to 255 and differ")
        keys[int(key_id)] = _key_bytes(setting, text)
    if not keys:
        raise ImproperlyConfigured(f"{setting} is empty: set it to 1:<base64 of 32 random bytes>")
    return KeyRing(
        setting,
        next(iter(keys)),
        {key_id: AESGCM(key) for key_id, key in keys.items()},
        keys,
    )


def _index_contexts() -> tuple[hashlib._Hash, hashlib._Hash]:
    return _hmac_contexts(getattr(settings, "MOBILE_INDEX_KEY", ""))


@lru_cache(maxsize=4)
def _hmac_contexts(spec: str) -> tuple[hashlib._Hash, hashlib._Hash]:
    """Both SHA-256 states of HMAC with the key already absorbed (RFC 2104): half the cost of ``hmac.digest`` per number."""
    if not spec:
        raise ImproperlyConfigured("MOBILE_INDEX_KEY is empty: set it to the base64 of 32 random bytes")
    block = _key_bytes("MOBILE_INDEX_KEY", spec).ljust(64, b"\0")
    return hashlib.sha256(bytes(b ^ 0x36 for b in block)), hashlib.sha256(bytes(b ^ 0x5C for b in block))


def _key_bytes(setting: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ImproperlyConfigured(f"{setting}: a key is the base64 of exactly {KEY_BYTES} bytes")
    return key


def _seal(ring: KeyRing, plain: bytes, purpose: bytes | None) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return bytes([ring.current]) + nonce + ring.ciphers[ring.current].encrypt(nonce, plain, purpose)


def _open(ring: KeyRing, sealed: bytes, purpose: bytes | None) -> bytes:
    sealed = bytes(sealed)  # the driver may hand over a memoryview
    if len(sealed) < 1 + NONCE_BYTES + TAG_BYTES:
        raise SealBroken("the sealed value is too short")
    cipher = ring.cipher(sealed[0])
    try:
        return cipher.decrypt(sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :], purpose)
    except InvalidTag:
        raise SealBroken("the sealed value was changed, or sealed for another purpose") from None


def _file_cipher(ring: KeyRing, header: bytes) -> AESGCM:
    key_id, salt = header[len(FILE_MAGIC)], header[len(FILE_MAGIC) + 1 :]
    ring.cipher(key_id)
    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt, b"scrm sealed file").derive(ring.raw[key_id]))


def _frame_nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(NONCE_BYTES - 1, "big") + bytes([last])


def _is_filled(cell: str) -> bool:
    return _BLANK.fullmatch(cell) is None
