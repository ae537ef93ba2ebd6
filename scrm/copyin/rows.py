"""From a file to batches of rows with the line each one starts on.

A block without double quotes is split at its delimiters; a block with them goes row by row through the csv module, because
one cell may then span lines. Both give the same rows (a test proves it). A quote that is never closed would swallow the rest of
the file: such a row is reported and reading goes on with the line after it.
"""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import io
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from python_calamine import CalamineError, CalamineWorkbook

from scrm.copyin import source as sources
from scrm.copyin.columns import Column, guess
from scrm.copyin.problems import (
    BAD_CHARACTER,
    BAD_ENCODING,
    BAD_QUOTE,
    WRONG_CELL_COUNT,
    FileRefused,
)

DELIMITERS = ",\t;|"
HEADER_SEARCH_LINES = 10  # exports like to put a title above the header
MAX_ROW_LINES = 200  # of one row with line breaks inside quotes
MAX_ROW_CHARS = 128 * 1024
MAX_LINE_CHARS = 4 * 2**20
XLSX_BATCH = 5_000
EXACT_FLOAT = 10**15  # beyond this a spreadsheet number has lost digits
LOST_DIGITS = "\ufdd0digits_lost"  # a character that no file contains (Unicode noncharacter)


@dataclass(slots=True)
class Batch:
    """Good rows with their lines, and the broken ones. ``plain``: no cell holds tab, line break, backslash or NUL.

    ``hashes``: equal for rows that stand in the file in the same words, within one process. ``digests``: for ever, in hex
    or empty; only where the import asks for them.
    """

    lines: Sequence[int] = ()
    rows: list[list[str]] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    broken: list[tuple[int, str]] = field(default_factory=list)
    plain: bool = False
    bytes_read: int = 0
    digests: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Table:
    """An opened file: its header and a way to read its rows, any number of times."""

    source: sources.Source  # unpacked
    size: int  # bytes of the source, unpacked ones only if it was not packed
    is_workbook: bool
    encoding: str
    delimiter: str
    header: tuple[str, ...]
    header_line: int
    sheet: Any = field(default=None, compare=False, repr=False)  # loaded once, rows are read from it many times

    def batches(self) -> Iterator[Batch]:
        """The rows below the header in file order. Blank rows are skipped."""
        rows = _workbook_batches(self.sheet) if self.is_workbook else _text_batches(self)
        for batch in rows:
            yield _checked(batch, self.header_line, len(self.header))


def open_table(
    source: sources.Source,
    columns: Sequence[Column] = (),
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    max_bytes: int | None = None,
) -> Table:
    """Recognise packing, type, encoding, delimiter and header. FileRefused says what is wrong and what helps."""
    whole_size = source.size
    source, is_workbook = sources.unpack(source, max_bytes=max_bytes)
    if is_workbook:
        sheet = _load_sheet(source)
        line, header = _header(_first_rows(_workbook_batches(sheet)), columns)
        return Table(source, whole_size, True, "", "", header, line, sheet)
    encoding = sources.check_encoding_name(encoding) if encoding else sources.detect_encoding(source)
    best: tuple[int, int, Table] | None = None
    for candidate in delimiter or DELIMITERS:
        table = Table(source, whole_size, False, encoding, candidate, (), 0)
        rows = _first_rows(_text_batches(table))
        if not rows and candidate != (delimiter or DELIMITERS)[0]:
            continue
        line, header = _header(rows, columns)
        score = (len(guess(header, columns).positions), len(header))
        if best is None or score > best[:2]:
            best = (
                *score,
                Table(source, whole_size, False, encoding, candidate, header, line),
            )
    assert best is not None
    return best[2]


# --- header -----------------------------------------------------------------------------------------------------------


def _first_rows(batches: Iterator[Batch]) -> list[tuple[int, list[str]]]:
    rows: list[tuple[int, list[str]]] = []
    for batch in batches:
        unreadable = min((line for line, code in batch.broken if code == BAD_ENCODING), default=None)
        for line, cells in zip(batch.lines, batch.rows, strict=True):
            if unreadable is not None and line > unreadable:
                break
            if any(cell.strip() for cell in cells):
                rows.append((line, cells))
                if len(rows) >= HEADER_SEARCH_LINES:
                    return rows
        if unreadable is not None and not rows:
            text = _("The header cannot be read. Save the file as CSV UTF-8, or name its encoding.")
            raise FileRefused(text, code="bad_encoding")
        if len(batch.broken) > HEADER_SEARCH_LINES:
            break  # quotes that fit no row: this is not the file's delimiter, do not read on to its end
    return rows


def _header(rows: list[tuple[int, list[str]]], columns: Sequence[Column]) -> tuple[int, tuple[str, ...]]:
    """The row that names most columns, the first one in doubt; empty titles at its end are dropped."""
    if not rows:
        raise FileRefused(_("The file has no rows."), code="empty_file")
    best = max(rows, key=lambda row: (len(guess(row[1], columns).positions), -row[0]))
    titles = [cell.strip(" \t\u3000\ufeff") for cell in best[1]]
    while titles and not titles[-1]:
        titles.pop()
    return best[0], tuple(titles)


def _checked(batch: Batch, header_line: int, width: int) -> Batch:
    """The batch without the header, blank rows and rows of another width; empty cells too many at the end are cut off."""
    if batch.lines and batch.lines[0] > header_line and all(len(row) == width and any(row) for row in batch.rows):
        return batch
    lines, rows, hashes = [], [], []
    broken = [(line, code) for line, code in batch.broken if line > header_line]
    for line, row, digest in zip(batch.lines, batch.rows, batch.hashes, strict=True):
        if line <= header_line or not any(row):
            continue
        if len(row) > width and not any(row[width:]):
            row = row[:width]
        if len(row) != width:
            broken.append((line, WRONG_CELL_COUNT))
            continue
        lines.append(line)
        rows.append(row)
        hashes.append(digest)
    return Batch(lines, rows, hashes, broken, batch.plain, batch.bytes_read)


# --- text -------------------------------------------------------------------------------------------------------------


def _mark_bad_bytes(error: UnicodeError) -> tuple[str, int]:
    """As "surrogateescape", but for bytes below 0x80 too: GB18030 may stumble over an ASCII byte."""
    assert isinstance(error, UnicodeDecodeError)
    bad = error.object[error.start : error.end]
    return "".join(chr(0xDC00 | byte | 0x80) for byte in bad), error.end


codecs.register_error("scrm_mark", _mark_bad_bytes)


def _blocks(table: Table) -> Iterator[tuple[str, int]]:
    """Decoded text that ends with a line, line ends as ``\\n``, and the bytes read so far."""
    decode = codecs.getincrementaldecoder(table.encoding)("scrm_mark").decode
    carry, count, lone_cr = "", 0, None
    with table.source.opener() as stream:
        while data := stream.read(sources.BLOCK_BYTES):
            count += len(data)
            text = carry + decode(data)
            if lone_cr is None and ("\n" in text or "\r" in text[:-1]):
                lone_cr = "\n" not in text  # files of old Macs end their lines with CR
            if lone_cr:
                text = text.replace("\r", "\n")
            cut = text.rfind("\n") + 1
            text, carry = text[:cut], text[cut:]
            if len(carry) > MAX_LINE_CHARS:
                raise FileRefused(
                    _("A line of the file is longer than 4 million characters."),
                    code="line_too_long",
                )
            if text:
                yield (
                    (text.replace("\r\n", "\n") if "\r" in text else text),
                    sources.packed_position(stream, count),
                )
    rest = carry + decode(b"", final=True)
    if rest:
        rest = rest.replace("\r\n", "\n")
        yield (rest.replace("\r", "\n") if lone_cr else rest.rstrip("\r")) + "\n", count


def _text_batches(table: Table) -> Iterator[Batch]:
    feed, width = _Feed(_blocks(table)), len(table.header)
    while (text := feed.next_block()) is not None:
        first = feed.line
        if '"' not in text and "\r" not in text:
            lines, delimiter = text[:-1].split("\n"), table.delimiter
            feed.skip_block(len(lines))
            batch = Batch(
                lines=range(first, first + len(lines)),
                rows=[line.split(delimiter) for line in lines],
                hashes=list(map(hash, lines)),
                plain=not _needs_escape(text, delimiter),
            )
        else:
            batch = _quoted_batch(feed, table.delimiter, width)
        batch.bytes_read = feed.bytes_read
        if not batch.plain:
            _set_aside_unstorable(batch)
        yield batch


def _needs_escape(text: str, delimiter: str) -> bool:
    r"""Whether a cell may hold what COPY text must escape or cannot store. A lone surrogate marks an undecodable byte."""
    if "\\" in text or "\0" in text or (delimiter != "\t" and "\t" in text):
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _quoted_batch(feed: _Feed, delimiter: str, width: int) -> Batch:
    """The rows of the feed's current block; the last one may pull further blocks. ``width`` is 0 before it is known."""
    lines: list[int] = []
    rows: list[list[str]] = []
    hashes: list[int] = []
    broken: list[tuple[int, str]] = []
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while feed.pending:
        start = feed.begin_row()
        try:
            row = next(reader)
        except (csv.Error, _RowTooLong):
            code = BAD_CHARACTER if "\r" in feed.taken[0].rstrip("\r\n") else BAD_QUOTE
            feed.keep_first_line()
            broken.append((start, code))
            continue
        if width and len(feed.taken) > 1 and (len(row) < width or any(row[width:])):
            feed.keep_first_line()  # a stray quote has glued lines together
            broken.append((start, BAD_QUOTE))
            continue
        lines.append(start)
        rows.append(row)
        hashes.append(hash("".join(feed.taken).removesuffix("\n")))
    return Batch(lines, rows, hashes, broken)


def _set_aside_unstorable(batch: Batch) -> None:
    lines, rows, hashes = [], [], []
    for line, row, digest in zip(batch.lines, batch.rows, batch.hashes, strict=True):
        joined = "".join(row)
        if "\0" in joined:
            batch.broken.append((line, BAD_CHARACTER))
        elif not joined.isascii() and _has_surrogate(joined):
            batch.broken.append((line, BAD_ENCODING))
        else:
            lines.append(line)
            rows.append(row)
            hashes.append(digest)
    batch.lines, batch.rows, batch.hashes = lines, rows, hashes


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


class _RowTooLong(Exception):
    pass


class _Feed:
    """Lines for the csv reader that can be taken back when a row turns out to be broken."""

    def __init__(self, blocks: Iterator[tuple[str, int]]) -> None:
        self._blocks = blocks
        self.pending: deque[str] = deque()
        self.taken: list[str] = []
        self._chars = 0
        self.line = 1  # of the next pending line
        self.bytes_read = 0

    def next_block(self) -> str | None:
        """The text to parse next; its lines stand in ``pending`` only when a quote makes that necessary."""
        text, self.bytes_read = next(self._blocks, (None, self.bytes_read))
        if text is not None and ('"' in text or "\r" in text):
            self._push(text)
        return text

    def skip_block(self, lines: int) -> None:
        self.line += lines

    def begin_row(self) -> int:
        self.taken.clear()
        self._chars = 0
        return self.line

    def keep_first_line(self) -> None:
        self.pending.extendleft(reversed(self.taken[1:]))
        self.line -= len(self.taken) - 1

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        if not self.pending:
            text, self.bytes_read = next(self._blocks, (None, self.bytes_read))
            if text is None:
                raise StopIteration
            self._push(text)
        if len(self.taken) >= MAX_ROW_LINES or self._chars > MAX_ROW_CHARS:
            raise _RowTooLong
        line = self.pending.popleft()
        self.taken.append(line)
        self._chars += len(line)
        self.line += 1
        return line

    def _push(self, text: str) -> None:
        self.pending.extend(io.StringIO(text, newline="\n"))


# --- workbooks ----------------------------------------------------------------------------------------------------------


def _load_sheet(source: sources.Source) -> Any:
    """The first visible sheet."""
    data = sources.check_workbook(source)
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(data))
        visible = [meta.name for meta in workbook.sheets_metadata if str(meta.visible).endswith("Visible")]
        return workbook.get_sheet_by_name(visible[0] if visible else workbook.sheet_names[0])
    except (CalamineError, IndexError, ValueError) as error:
        raise FileRefused(
            _("The workbook is damaged. Save it again as XLSX or CSV."),
            code="damaged_file",
        ) from error


def _workbook_batches(sheet: Any) -> Iterator[Batch]:
    batch = Batch()
    lines: list[int] = []
    for line, values in enumerate(sheet.iter_rows(), start=1):
        row = [value if type(value) is str else _text(value) for value in values]
        if LOST_DIGITS in row:
            batch.broken.append((line, "digits_lost"))
        else:
            lines.append(line)
            batch.rows.append(row)
            batch.hashes.append(hash(tuple(row)))
        if len(lines) >= XLSX_BATCH:
            batch.lines = lines
            _set_aside_unstorable(batch)
            yield batch
            batch, lines = Batch(), []
    batch.lines = lines
    _set_aside_unstorable(batch)
    yield batch


def _text(value: Any) -> str:
    """A spreadsheet value as a person sees it; whole numbers without ``.0``."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float | int):
        if abs(value) >= EXACT_FLOAT:
            return LOST_DIGITS
        return str(int(value)) if value == int(value) else repr(value)
    if isinstance(value, dt.datetime):
        if value.time() == dt.time():
            return value.date().isoformat()
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return "" if value is None else str(value)
