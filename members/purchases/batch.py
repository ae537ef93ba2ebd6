"""The tables in which a delivery is worked on: temporary, one per session and use, emptied by every commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from psycopg.types.json import Jsonb

ANALYZE_FROM = 500  # rows; below this the planner's guess about a fresh temporary table is good enough

Columns = Sequence[tuple[str, str]]

ORDER_COLUMNS: Columns = (
    ("order_id", "bigint"), ("channel", "text"), ("shop", "text"), ("order_no", "text"), ("booked_on", "date"),
    ("is_new", "boolean"),
)  # fmt: skip


def create(cursor: Any, name: str, columns: Columns) -> None:
    """The empty temporary table ``name``. An outer transaction (of a test) may have used it before."""
    cursor.execute("SELECT to_regclass(%s)", [f"pg_temp.{name}"])
    if cursor.fetchone()[0] is None:
        ddl = ", ".join(f"{column} {kind}" for column, kind in columns)
        cursor.execute(f"CREATE TEMPORARY TABLE {name} ({ddl}) ON COMMIT DELETE ROWS")
    else:
        cursor.execute(f"DELETE FROM pg_temp.{name}")


def analyze(cursor: Any, name: str, rows: int, columns: str = "") -> None:
    """Statistics for a large batch, of the ``columns`` that are joined on."""
    if rows >= ANALYZE_FROM:
        cursor.execute(f"ANALYZE pg_temp.{name} ({columns})" if columns else f"ANALYZE pg_temp.{name}")


def fill(cursor: Any, name: str, columns: Columns, rows: Iterable[Any]) -> None:
    """COPY dataclasses into the table; ``seq`` is their place, and fields are named like the columns."""
    names = [column for column, _kind in columns]
    with cursor.copy(f"COPY pg_temp.{name} ({', '.join(names)}) FROM STDIN") as copy:
        for seq, row in enumerate(rows):
            values = {field.name: getattr(row, field.name) for field in fields(row)}
            copy.write_row([seq if column == "seq" else _value(values[column]) for column in names])


def _value(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, dict) else value
