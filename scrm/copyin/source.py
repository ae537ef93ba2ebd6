"""Opening a file that somebody sent: what it is, how it is encoded, and whether it is safe to read."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import os
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from django.utils.translation import gettext as _

from scrm import crypto
from scrm.copyin.problems import FileRefused

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".tab")
XLSX_SUFFIX = ".xlsx"
XLSX_MAX_ROWS = 300_000  # the reader holds the whole sheet: 283 MB at 250,000 rows of 12 cells
XLSX_MAX_COLUMNS = 256
XLSX_MAX_BYTES = 100 * 2**20  # packed
XLSX_MAX_UNPACKED = 1536 * 2**20  # 300,000 rows of 12 cells unpack to about 250 MB of XML
GZIP_MAX_RATIO = 200  # member and order lists pack 3 to 20 times
GZIP_FREE_BYTES = 64 * 2**20  # below this a ratio proves nothing
BLOCK_BYTES = 256 * 1024
DETECT_BYTES = 2**20  # of text that is not plain ASCII, before UTF-8 is taken for granted

ENCODINGS = {
    "utf-8": "utf-8", "utf8": "utf-8", "utf-8-sig": "utf-8-sig", "utf8-sig": "utf-8-sig", "utf-16": "utf-16",
    "gb18030": "gb18030", "gbk": "gb18030", "gb2312": "gb18030", "cp936": "gb18030", "ansi": "gb18030", "big5": "big5",
}  # fmt: skip
_MAGIC_ZIP, _MAGIC_GZIP, _MAGIC_OLE = b"PK\x03\x04", b"\x1f\x8b", b"\xd0\xcf\x11\xe0"
# <row r="12"> and the column letters of <c r="AB12">: two letters are enough to be suspicious
_ROW_REF = re.compile(rb"<(?:\w+:)?row\b[^>]{0,200}?\br=\"(\d{1,12})\"")
_ROW = re.compile(rb"<(?:\w+:)?row\b")
_WIDE_REF = re.compile(rb"\br=\"([A-Z]{2,4})\d")


@dataclass(frozen=True)
class Source:
    """A file and how to open it from its beginning, any number of times. ``size`` counts packed bytes."""

    name: str
    opener: Callable[[], BinaryIO]
    size: int

    @property
    def suffix(self) -> str:
        return Path(self.name.lower()).suffix

    def sha256(self) -> str:
        """The digest of the plain bytes as sent."""
        with self.opener() as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def from_path(path: str | os.PathLike[str]) -> Source:
    """A plain file of the person at the command line."""
    path = Path(path)
    return Source(path.name, lambda: open(path, "rb"), path.stat().st_size)


def from_sealed(path: str | os.PathLike[str], name: str, size: int) -> Source:
    """An upload, sealed on disk; ``name`` and ``size`` are those of the plain file."""
    return Source(name, lambda: crypto.sealed_reader(path), size)


def unpack(source: Source, *, max_bytes: int | None = None) -> tuple[Source, bool]:
    """The source without gzip around it, and whether it is a workbook. FileRefused for everything that is not a table."""
    _check_size(source, max_bytes)
    head = _head(source)
    if head.startswith(_MAGIC_GZIP):
        if source.suffix != ".gz":
            raise _wrong_extension(source, ".gz")
        packed = source.opener
        source = replace(source, name=source.name[: -len(".gz")], opener=lambda: _gunzip(packed()))
        head = _head(source)
    elif source.suffix == ".gz":
        raise FileRefused(
            _("The file is named .gz but is not a gzip file. Send it unpacked."),
            code="wrong_extension",
        )
    return source, _is_workbook(source, head)


def detect_encoding(source: Source) -> str:
    """utf-8, utf-8-sig, utf-16 or gb18030: whichever reads further without an error, in one streaming pass.

    UTF-8 is taken once a megabyte of text has proved it; GB18030 as soon as it gets past the byte at which UTF-8 stops.
    A single bad byte therefore does not change the verdict; it breaks its own row later.
    """
    head = _head(source)
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    utf8_stop = _first_error(source, "utf-8", None)
    if utf8_stop is None:
        return "utf-8"
    gb_stop = _first_error(source, "gb18030", utf8_stop + 4)
    return "gb18030" if gb_stop is None or gb_stop > utf8_stop else "utf-8"


def check_encoding_name(name: str) -> str:
    try:
        return ENCODINGS[name.strip().lower().replace("_", "-")]
    except KeyError:
        choices = "UTF-8, UTF-8-SIG, UTF-16, GB18030, GBK, BIG5"
        text = _("Unknown encoding %(name)s. Choose one of: %(choices)s.") % {
            "name": name,
            "choices": choices,
        }
        raise FileRefused(text, code="unknown_encoding") from None


def check_workbook(source: Source) -> bytes:
    """The bytes of a workbook that is safe to hand to the reader: measured by unpacking it once as a stream.

    The reader allocates last row × last column cells, so both are found here, and a packed size that lies does not help.
    """
    if source.size > XLSX_MAX_BYTES:
        raise FileRefused(
            _("The workbook is too large. Save it as CSV and send that."),
            code="too_large",
        )
    with source.opener() as stream:
        data = stream.read(XLSX_MAX_BYTES + 1)
    if len(data) > XLSX_MAX_BYTES:
        raise FileRefused(
            _("The workbook is too large. Save it as CSV and send that."),
            code="too_large",
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if "xl/workbook.xml" not in archive.namelist():
                raise FileRefused(
                    _("The file is not an Excel workbook. Save it as XLSX or CSV."),
                    code="not_a_table",
                )
            budget = XLSX_MAX_UNPACKED
            for info in archive.infolist():
                budget -= _measure_part(archive, info, budget)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        text = _("The workbook is damaged or protected by a password. Save it again as XLSX or CSV.")
        raise FileRefused(text, code="damaged_file") from error
    return data


def _measure_part(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: int) -> int:
    """Unpacked size of one part; refuses bombs, too many rows and cells far to the right."""
    info.file_size = 2**62  # the archive's own figure may lie: read until the packed data ends
    is_sheet = info.filename.startswith("xl/worksheets/") and info.filename.endswith(".xml")
    size, rows, tail = 0, 0, b""
    with archive.open(info) as part:
        while block := part.read(BLOCK_BYTES):
            size += len(block)
            if size > budget:
                text = _("The workbook unpacks to more than %(limit)d MB. Save it as CSV and send that.")
                raise FileRefused(text % {"limit": XLSX_MAX_UNPACKED // 2**20}, code="zip_bomb")
            if is_sheet:
                window = tail + block
                rows = _check_rows(window, rows, len(tail))
                tail = window[-256:]
    return size


def _check_rows(window: bytes, rows: int, seen: int) -> int:
    rows += sum(1 for match in _ROW.finditer(window) if match.end() > seen)
    last = max((int(match[1]) for match in _ROW_REF.finditer(window)), default=0)
    if max(rows, last) > XLSX_MAX_ROWS + 1:  # and the header
        text = _("The workbook has more than %(limit)s rows. Save it as CSV (UTF-8) and send that: CSV has no limit.")
        raise FileRefused(text % {"limit": f"{XLSX_MAX_ROWS:,}"}, code="xlsx_too_long")
    for match in _WIDE_REF.finditer(window):
        if _column_number(match[1]) > XLSX_MAX_COLUMNS:
            text = _("The workbook has cells beyond column %(limit)d. Delete them, or save the sheet as CSV.")
            raise FileRefused(text % {"limit": XLSX_MAX_COLUMNS}, code="too_wide")
    return rows


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _is_workbook(source: Source, head: bytes) -> bool:
    if not head:
        raise FileRefused(_("The file is empty."), code="empty_file")
    if head.startswith(_MAGIC_OLE):
        text = _("This is an old or a password-protected Excel file. Save it as XLSX without a password, or as CSV.")
        raise FileRefused(text, code="old_excel")
    if head.startswith(_MAGIC_ZIP):
        if source.suffix != XLSX_SUFFIX:
            raise _wrong_extension(source, XLSX_SUFFIX)
        return True
    if source.suffix == XLSX_SUFFIX:
        raise FileRefused(
            _("The file is named .xlsx but is not a workbook. Save it again."),
            code="wrong_extension",
        )
    if source.suffix not in TEXT_SUFFIXES:
        text = _("Files of this kind cannot be read. Send CSV, TSV, TXT or XLSX, or one of them packed with gzip.")
        raise FileRefused(text, code="unknown_type")
    if head.lstrip()[:1] == b"<" or head.startswith((b"%PDF", b"{\\rtf")):
        raise FileRefused(
            _("This is a web page or a document, not a table. Save it as XLSX or CSV."),
            code="not_a_table",
        )
    if b"\0" in head and not head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FileRefused(
            _("The file is not text. Save it as CSV (UTF-8) or XLSX."),
            code="not_a_table",
        )
    return False


def _check_size(source: Source, max_bytes: int | None) -> None:
    if max_bytes is not None and source.size > max_bytes:
        text = _(
            "The file is larger than %(limit)d MB. Pack it with gzip, split it, or let IT import it on the server."
        )
        raise FileRefused(text % {"limit": max_bytes // 2**20}, code="too_large")


def _wrong_extension(source: Source, suffix: str) -> FileRefused:
    text = _("The content of %(name)s does not fit its name. Rename it to %(suffix)s if that is what it is.")
    return FileRefused(text % {"name": source.name, "suffix": suffix}, code="wrong_extension")


def _head(source: Source) -> bytes:
    with source.opener() as stream:
        return stream.read(4096)


def _first_error(source: Source, encoding: str, until: int | None) -> int | None:
    """The place of the first byte that ``encoding`` cannot read; None if there is none (up to ``until``)."""
    decoder = codecs.getincrementaldecoder(encoding)()
    place, proved = 0, 0
    with source.opener() as stream:
        while True:
            block = stream.read(BLOCK_BYTES)
            waiting = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                return place - waiting + error.start
            if not block or (until is not None and place > until):
                return None
            place += len(block)
            proved += 0 if block.isascii() else len(block)
            if until is None and proved >= DETECT_BYTES:
                return None


def packed_position(stream: BinaryIO, plain_count: int) -> int:
    """How far the file as sent has been read, for a progress bar: ``plain_count`` unless it is packed."""
    raw = getattr(stream, "raw", None)
    return raw.packed_count if isinstance(raw, _Gunzip) else plain_count


class _Counting(io.RawIOBase):
    """Counts what is read through it, for the ratio of a gzip file."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Gunzip(io.RawIOBase):
    """The unpacked stream; a bomb or a cut file is refused with a sentence instead of a traceback."""

    def __init__(self, packed: _Counting) -> None:
        self._packed = packed
        self._plain = gzip.GzipFile(fileobj=io.BufferedReader(packed, BLOCK_BYTES))
        self._count = 0

    @property
    def packed_count(self) -> int:
        return self._packed.count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._plain.read(len(buffer))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            text = _("The gzip file is cut or damaged. Pack it again.")
            raise FileRefused(text, code="damaged_file") from error
        buffer[: len(data)] = data
        self._count += len(data)
        if self._count > GZIP_FREE_BYTES and self._count > GZIP_MAX_RATIO * self._packed.count:
            text = _("The gzip file unpacks to far more than a list can. Send it unpacked.")
            raise FileRefused(text, code="zip_bomb")
        return len(data)

    def close(self) -> None:
        self._plain.close()
        self._packed.close()
        super().close()


def _gunzip(stream: BinaryIO) -> BinaryIO:
    return io.BufferedReader(_Gunzip(_Counting(stream)), BLOCK_BYTES)
