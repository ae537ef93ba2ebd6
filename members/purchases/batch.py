"""Where a delivery is worked on: a large one in temporary tables, a small one in rows that go along with each statement.

1. The statements are the same. They read ``line_batch``, ``order_batch`` and so on by these names.
2. Temporary tables are one per session and use, emptied by every commit. What is in them can be analysed.
3. A small delivery makes none of them: its rows are parameters, and the statements are planned once per connection
   (``db.plans_kept``). Filling tables and planning took most of the time of an order that comes alone.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from typing import Any

from django.db import connection, transaction
from psycopg.types.json import Jsonb

from scrm import db

ANALYZE_FROM = 500  # rows; below this the planner's guess about a fresh temporary table is good enough
PASSED_UP_TO = 500  # rows that go along with each statement

Columns = Sequence[tuple[str, str]]

ORDER_COLUMNS: Columns = (
    ("order_id", "bigint"), ("channel", "text"), ("shop", "text"), ("order_no", "text"), ("booked_on", "date"),
    ("is_new", "boolean"),
)  # fmt: skip


class Batch(ABC):
    """Tables of one delivery, known to its statements by their names."""

    @abstractmethod
    def hold(self, name: str, select: str, params: Sequence[Any] | Mapping[str, Any] = (), *, first: str = "") -> int:
        """Add the rows of a query to the table ``name``; how many. ``first``: what it does before, as parts of a WITH."""

    @abstractmethod
    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What a statement returns."""

    @abstractmethod
    def run(self, statement: str) -> int:
        """How many rows a statement has written."""

    @abstractmethod
    def clear(self, name: str) -> None:
        """Empty the table."""

    @abstractmethod
    def analyze(self, name: str, rows: int, columns: str = "") -> None:
        """Statistics for a large table, of the ``columns`` that are joined on."""


@contextmanager
def in_tables(**tables: Columns) -> Iterator[Batch]:
    """A batch of any size, in a transaction."""
    with transaction.atomic(), connection.cursor() as cursor:
        for name, columns in tables.items():
            _create(cursor, name, columns)
        yield _Tables(cursor)


@contextmanager
def passed(filled: str, given: Sequence[Any], **tables: Columns) -> Iterator[Batch]:
    """A batch of a few rows, in a transaction: the dataclasses ``given`` are the table ``filled``, numbered by ``seq``."""
    names = [column for column, _kind in tables[filled]]
    with db.plans_kept():
        yield _Passed(tables, {filled: [_by_name(names, seq, row) for seq, row in enumerate(given)]})


def fill(work: Batch, name: str, columns: Columns, given: Iterable[Any]) -> None:
    """COPY dataclasses into a temporary table; ``seq`` is their place, and fields are named like the columns."""
    assert isinstance(work, _Tables)
    names = [column for column, _kind in columns]
    with work.cursor.copy(f"COPY pg_temp.{name} ({', '.join(names)}) FROM STDIN") as copy:
        for seq, row in enumerate(given):
            copy.write_row([_value(value) for value in _by_name(names, seq, row).values()])


def _by_name(names: Sequence[str], seq: int, row: Any) -> dict[str, Any]:
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    return {name: seq if name == "seq" else values[name] for name in names}


def _value(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, dict) else value


# --- temporary tables ---------------------------------------------------------------------------------------------------


class _Tables(Batch):
    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor

    def hold(self, name: str, select: str, params: Sequence[Any] | Mapping[str, Any] = (), *, first: str = "") -> int:
        before = f"WITH {first} " if first else ""
        self.cursor.execute(f"{before}INSERT INTO {name} {select}", params)
        return int(self.cursor.rowcount)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        self.cursor.execute(statement)
        return list(self.cursor.fetchall())

    def run(self, statement: str) -> int:
        self.cursor.execute(statement)
        return int(self.cursor.rowcount)

    def clear(self, name: str) -> None:
        self.cursor.execute(f"DELETE FROM pg_temp.{name}")

    def analyze(self, name: str, rows: int, columns: str = "") -> None:
        if rows >= ANALYZE_FROM:
            self.cursor.execute(f"ANALYZE pg_temp.{name} ({columns})" if columns else f"ANALYZE pg_temp.{name}")


def _create(cursor: Any, name: str, columns: Columns) -> None:
    """The empty temporary table ``name``. An outer transaction (of a test) may have used it before."""
    cursor.execute("SELECT to_regclass(%s)", [f"pg_temp.{name}"])
    if cursor.fetchone()[0] is None:
        ddl = ", ".join(f"{column} {kind}" for column, kind in columns)
        cursor.execute(f"CREATE TEMPORARY TABLE {name} ({ddl}) ON COMMIT DELETE ROWS")
    else:
        cursor.execute(f"DELETE FROM pg_temp.{name}")


# --- rows that go along -------------------------------------------------------------------------------------------------


class _Passed(Batch):
    def __init__(self, tables: Mapping[str, Columns], given: Mapping[str, list[dict[str, Any]]]) -> None:
        self._columns = {name: tuple(columns) for name, columns in tables.items()}
        self._rows: dict[str, list[dict[str, Any]]] = {name: [] for name in tables} | dict(given)
        self._json: dict[str, str] = {}

    def hold(self, name: str, select: str, params: Sequence[Any] | Mapping[str, Any] = (), *, first: str = "") -> int:
        assert not params  # what a passed batch asks needs no more than its own rows
        found = self.rows(f"WITH {first} {select}" if first else select)
        names = [column for column, _kind in self._columns[name]]
        self._rows[name] += [dict(zip(names, row, strict=True)) for row in found]
        self._json.pop(name, None)
        return len(found)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return db.read(*self._with_rows(statement))

    def run(self, statement: str) -> int:
        return db.write(*self._with_rows(statement))

    def clear(self, name: str) -> None:
        self._rows[name] = []
        self._json.pop(name, None)

    def analyze(self, name: str, rows: int, columns: str = "") -> None:
        """Nothing: the planner knows no statistics of rows that go along."""

    def _with_rows(self, statement: str) -> tuple[str, list[str]]:
        query, names = _with_parameters(statement, tuple(self._columns.items()))
        return query, [self._text(name) for name in names]

    def _text(self, name: str) -> str:
        text = self._json.get(name)
        if text is None:
            text = self._json[name] = json.dumps(self._rows[name], default=_plain, ensure_ascii=False)
        return text


@cache
def _with_parameters(statement: str, tables: tuple[tuple[str, Columns], ...]) -> tuple[str, list[str]]:
    """The statement with the tables it names as parts of its WITH, and their names in the order of the parameters."""
    named = [(name, columns) for name, columns in tables if re.search(rf"\b{name}\b", statement)]
    parts = [
        f"{name} AS (SELECT * FROM jsonb_to_recordset(%s::jsonb) r({', '.join(_typed(columns))}))"
        for name, columns in named
    ]
    own = statement.strip()
    rest = f", {own.removeprefix('WITH')}" if own.startswith("WITH ") else f" {own}"
    return (f"WITH {', '.join(parts)}{rest}" if parts else own), [name for name, _columns in named]


def _typed(columns: Columns) -> Iterator[str]:
    for column, kind in columns:
        yield f"{column} {kind.split(' DEFAULT ')[0]}"


def _plain(value: Any) -> str:
    """Days and times as JSON has none; a decimal keeps its places in its text."""
    return value.isoformat() if isinstance(value, dt.date) else str(value)
