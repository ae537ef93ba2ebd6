"""From batches of rows into a staging table, through COPY.

The table holds raw text, one column per mapped column of the file; a mobile number is sealed on the way and never
arrives in plain. Everything else is judged later by SQL over the whole set (``scrm.copyin.rules``).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

from django.db import connection as default_connection
from psycopg import sql

from scrm import crypto
from scrm.copyin.columns import SECRET_KINDS, Column, Kind, Layout
from scrm.copyin.rows import Batch, Table

SCHEMA = "staging"
COPY_ROWS = 50_000  # per COPY statement; between two of them the progress becomes visible
SETTLE_ROWS = 20_000  # asked about at once
NULL = "\\N"
_ESCAPES = {ord("\\"): "\\\\", ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}

Progress = Callable[[int, float], None]
# Rows, and later: a digest for each (empty: look at it always) and the places of those that have to be looked at.
Settle = Callable[[list[list[str]]], Callable[[], tuple[list[str], Sequence[int]]]]


@dataclass(frozen=True)
class Staged:
    """A filled staging table: ``line_no``, ``broken`` (code of a row that could not be read, else null), ``row_hash``
    (equal for rows in the same words within this run), ``digest`` where the import settles rows, the columns of each
    secret, and raw text for the others. ``settled_count`` of the rows read are not in the table."""

    name: str
    layout: Layout
    row_count: int
    broken_count: int
    settled_count: int = 0
    has_digests: bool = False

    @property
    def table(self) -> str:
        """Quoted and qualified, for SQL."""
        return table_name(self.name)


def table_name(name: str) -> str:
    return sql.Identifier(SCHEMA, name).as_string(None)


def stage(
    table: Table,
    layout: Layout,
    *,
    name: str,
    connection: Any = None,
    progress: Progress | None = None,
    settle: Settle | None = None,
) -> Staged:
    """Read the whole file into the unlogged table ``staging.<name>``, replacing what an earlier, killed run left there.

    ``progress(rows so far, share of the file from 0 to 1)`` is called after every COPY. Memory stays flat whatever the
    size of the file. Raises FileRefused for what only shows on the way: a cut gzip file, an endless line.
    ``settle`` is asked about every batch of rows before it is written, and may leave some out.
    """
    layout.require()
    connection = connection or default_connection
    target = table_name(name)
    plan = _Plan.of(layout, has_digests=settle is not None)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {target}")
        cursor.execute(f"CREATE UNLOGGED TABLE {target} ({plan.ddl}) WITH (autovacuum_enabled = off)")
        with _no_collections():
            copy_rows = COPY_ROWS if settle is None else 0  # ``settle`` asks the database between two batches
            batches = _settled(table.batches(), settle)
            rows, broken, settled = _fill(cursor, batches, copy_rows, target, plan, _shown(table, progress))
        cursor.execute(f"ANALYZE {target}")
    return Staged(name, layout, rows, broken, settled, settle is not None)


def drop(name: str, *, connection: Any = None) -> None:
    with (connection or default_connection).cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {table_name(name)}")


def _shown(table: Table, progress: Progress | None) -> Callable[[int, int], None]:
    def show(rows: int, bytes_read: int) -> None:
        if progress is not None:
            progress(rows, min(1.0, bytes_read / table.size) if table.size and not table.is_workbook else 1.0)

    return show


def _settled(batches: Iterator[Batch], settle: Settle | None) -> Iterator[tuple[Batch, int]]:
    """Each batch and how many rows were left out of it. While one group is asked about, the next one is read."""
    if settle is None:
        yield from ((batch, 0) for batch in batches)
        return
    asked: tuple[Batch, Callable[[], tuple[list[str], Sequence[int]]]] | None = None
    for batch in _grouped(batches):
        answer = settle(batch.rows)
        if asked is not None:
            yield _only(asked[0], *asked[1]())
        asked = batch, answer
    if asked is not None:
        yield _only(asked[0], *asked[1]())


def _grouped(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Larger batches: a look-up of many is cheaper than many look-ups."""
    group: Batch | None = None
    for batch in batches:
        if group is None:
            group = replace(batch, lines=list(batch.lines))
        else:
            group.lines += batch.lines  # type: ignore[operator]
            group.rows += batch.rows
            group.hashes += batch.hashes
            group.broken += batch.broken
            group.plain, group.bytes_read = group.plain and batch.plain, batch.bytes_read
        if len(group.rows) >= SETTLE_ROWS:
            yield group
            group = None
    if group is not None:
        yield group


def _only(batch: Batch, digests: list[str], places: Sequence[int]) -> tuple[Batch, int]:
    batch.digests = digests
    left_out = len(batch.rows) - len(places)
    if left_out:
        for name in ("lines", "rows", "hashes", "digests"):
            values = getattr(batch, name)
            setattr(batch, name, [values[place] for place in places])
    return batch, left_out


def _fill(
    cursor: Any,
    batches: Iterator[tuple[Batch, int]],
    copy_rows: int,
    target: str,
    plan: _Plan,
    show: Callable[[int, int], None],
) -> tuple[int, int, int]:
    """Rows read, rows broken, rows left out. While a COPY runs nothing else can be asked of the connection."""
    rows = broken = settled = 0
    item = next(batches, None)
    while item is not None:
        in_copy, read = 0, 0
        with cursor.copy(f"COPY {target} FROM STDIN") as copy:
            while item is not None:
                batch, left_out = item
                for data in plan.encode(batch):
                    copy.write(data)
                in_copy += len(batch.rows) + len(batch.broken)
                broken += len(batch.broken)
                settled += left_out
                read = batch.bytes_read
                if in_copy >= copy_rows:
                    break
                item = next(batches, None)
        rows += in_copy
        show(rows + settled, read)
        if item is not None:
            item = next(batches, None)
    return rows + settled, broken, settled


@contextmanager
def _no_collections() -> Iterator[None]:
    """Rows hold no cycles: looking for them among a million fresh lists costs 8 % of the reading."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@dataclass(frozen=True)
class _Plan:
    """How a row becomes a line of COPY text: line, code, hash, the secrets' fields, then the raw cells."""

    ddl: str
    secrets: tuple[tuple[int, bool], ...]  # place in the row, sealed as well
    pick: Callable[[list[str]], Any]  # the raw cells of a row
    picks_one: bool
    picks: int
    has_digests: bool
    null_tail: str
    known: tuple[dict[str, str], ...]

    @classmethod
    def of(cls, layout: Layout, *, has_digests: bool) -> _Plan:
        secret = [c for c in layout.present if c.kind in SECRET_KINDS]
        raw = [c for c in layout.present if c.kind not in SECRET_KINDS]
        places = [layout.positions[c.name] for c in raw]
        ddl = ["line_no bigint NOT NULL", "broken text", "row_hash bigint"]
        if has_digests:
            ddl.append("digest uuid")
        for column in secret:
            ddl += [f"{name} {kind}" for name, kind in _secret_columns(column)]
        ddl += [f"{column.name} text" for column in raw]
        return cls(
            ddl=", ".join(ddl),
            secrets=tuple((layout.positions[c.name], c.kind == Kind.MOBILE) for c in secret),
            pick=itemgetter(*places) if places else lambda row: (),
            picks_one=len(places) == 1,
            picks=len(places),
            has_digests=has_digests,
            null_tail="\t\\N" * (len(ddl) - 2) + "\n",
            known=tuple({} for _ in secret),
        )

    def encode(self, batch: Batch) -> Iterator[bytes]:
        if batch.rows:
            yield "".join(self._lines(batch)).encode()
        if batch.broken:
            yield "".join(f"{line}\t{code}{self.null_tail}" for line, code in batch.broken).encode()

    def _lines(self, batch: Batch) -> list[str]:
        rows = batch.rows
        hashes: Sequence[int | str] = batch.hashes
        if self.has_digests:
            hashes = [f"{h}\t{d or NULL}" for h, d in zip(batch.hashes, batch.digests, strict=True)]
        texts = self._raw_texts(rows, batch.plain)
        if not self.secrets:
            return [f"{n}\t\\N\t{h}\t{t}\n" for n, h, t in zip(batch.lines, hashes, texts, strict=True)]
        fields = [self._secret_fields(rows, number) for number in range(len(self.secrets))]
        joined = fields[0] if len(fields) == 1 else ["\t".join(parts) for parts in zip(*fields, strict=True)]
        if not self.picks:
            return [f"{n}\t\\N\t{h}\t{f}\n" for n, h, f in zip(batch.lines, hashes, joined, strict=True)]
        return [f"{n}\t\\N\t{h}\t{f}\t{t}\n" for n, h, f, t in zip(batch.lines, hashes, joined, texts, strict=True)]

    def _raw_texts(self, rows: list[list[str]], plain: bool) -> list[str]:
        pick = self.pick
        if self.picks_one:
            texts = [pick(row) for row in rows]
            return texts if plain else [text.translate(_ESCAPES) for text in texts]
        if plain:
            return ["\t".join(pick(row)) for row in rows]
        tabs, texts = self.picks - 1, []
        for row in rows:
            cells = pick(row)
            text = "\t".join(cells)
            if "\\" in text or "\n" in text or "\r" in text or text.count("\t") != tabs:
                text = "\t".join([cell.translate(_ESCAPES) for cell in cells])
            texts.append(text)
        return texts

    def _secret_fields(self, rows: list[list[str]], number: int) -> list[str]:
        place, sealed = self.secrets[number]
        cells = [row[place] for row in rows]
        return crypto.seal_for_copy(cells) if sealed else crypto.index_for_copy(cells, self.known[number])


def _secret_columns(column: Column) -> list[tuple[str, str]]:
    names = [(f"{column.name}_index", "text")]
    if column.kind == Kind.MOBILE:
        names.append((f"{column.name}_sealed", "bytea"))
    return [*names, (f"{column.name}_verdict", "text")]
