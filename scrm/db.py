"""Locks, transaction guards, append-only tables and monthly partitions.

1. Rows are locked in primary-key order, so that two operations never wait for each other crosswise.
2. No network call happens inside a transaction.
3. An append-only table refuses UPDATE and DELETE by trigger, and the application role has no right to either.
4. A monthly partition exists before its first row: bulk intake asks for the months it brings, a daily task for the next ones.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, ClassVar, Self

import pgtrigger
import psycopg
from django.db import InterfaceError, OperationalError, connection, migrations, models, transaction
from django.db.backends.utils import CursorWrapper


class AppendOnlyModel(models.Model):
    """A table whose rows never change or vanish (流水)."""

    class Meta:
        abstract = True
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)
        ]


def references_exist(**tables: str) -> pgtrigger.Trigger:
    """A trigger that checks references once per statement, for tables written by the million.

    ``references_exist(store_id="scrm_store")``: a foreign key costs 4–12 µs a row, this one look-up per distinct value.
    It does not guard the other side: the referenced rows must be protected from deletion.
    """
    checks = "".join(
        f"""
    IF EXISTS (
        SELECT 1 FROM (SELECT DISTINCT {column} AS id FROM new_rows WHERE {column} IS NOT NULL) r
        WHERE NOT EXISTS (SELECT 1 FROM {table} t WHERE t.id = r.id)
    ) THEN
        RAISE EXCEPTION '{column} names no row of {table}' USING ERRCODE = 'foreign_key_violation';
    END IF;"""
        for column, table in tables.items()
    )
    return pgtrigger.Trigger(
        name="references_exist",
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=pgtrigger.Insert,
        referencing=pgtrigger.Referencing(new="new_rows"),
        func=checks + "\n    RETURN NULL;\n",
    )


def require_no_transaction() -> None:
    """Refuse to go on while a transaction is open: first line of every HTTP client."""
    if any(not block._from_testcase for block in connection.atomic_blocks):  # type: ignore[attr-defined]
        raise RuntimeError("network call inside a database transaction")


def lock(queryset: models.QuerySet[Any]) -> list[Any]:
    """The rows of ``queryset``, locked FOR UPDATE in pk order. Needs an open transaction."""
    return list(queryset.order_by("pk").select_for_update(of=("self",)))


@contextmanager
def advisory_lock(name: str) -> Iterator[bool]:
    """A session lock over all processes; yields False at once when somebody else holds it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name])
        row = cursor.fetchone()
        held = bool(row and row[0])
        try:
            yield held
        finally:
            if held:
                # a lost connection has taken the lock along, and must not hide why it was lost
                with suppress(OperationalError, InterfaceError):
                    cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])


def take_turns(names: Iterable[str]) -> None:
    """Wait until no other transaction has these names, and have them until ours ends. Needs an open transaction."""
    read(_TAKE_TURNS, [sorted(set(names))])  # in one order, so that two never wait for each other


_TAKE_TURNS = """
    SELECT count(pg_advisory_xact_lock(hashtextextended(name, 0))) FROM unnest(%s::text[]) name
"""


def clock() -> dt.datetime:
    """The database's clock now, not the transaction's start."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def copy_rows(table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """COPY ``rows`` of Python values into ``table``; triggers and constraints see one statement. JSON comes as bytes.

    In binary: a fifth of the cost of text here, half of it on the server. A connection that copies answers nothing else: rows
    that ask the database while they are made raise AskedWhileCopying (they would wait for themselves).
    """
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
    types = _column_types(str(connection.settings_dict["NAME"]), table)
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.adapters.register_dumper(None, _JsonBytes)
        with _watched(statement), connection.execute_wrapper(_copying), cursor.copy(statement) as copy:
            copy.set_types([types[column] for column in columns])
            for row in rows:
                copy.write_row(row)


class AskedWhileCopying(RuntimeError):
    """A fault of ours: the rows of a COPY were still being looked up."""


def _copying(_execute: Any, sql: str, *_others: Any) -> Any:
    raise AskedWhileCopying(sql)


def _free_connection(query: str) -> psycopg.Connection[Any]:
    """The driver's own, which is locked while it copies."""
    connection.ensure_connection()
    raw: psycopg.Connection[Any] = connection.connection
    if raw.lock.locked():
        raise AskedWhileCopying(query)
    return raw


class _JsonBytes(psycopg.adapt.Dumper):
    """Bytes that are JSON already, for a jsonb column."""

    format = psycopg.pq.Format.BINARY
    oid = psycopg.postgres.types["jsonb"].oid

    def dump(self, obj: bytes) -> bytes:
        return b"\x01" + obj  # the version of jsonb's binary form


@cache
def _column_types(_database: str, table: str) -> dict[str, int]:
    rows = read(
        "SELECT attname, atttypid FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
        [table],
    )
    return dict(rows)


def read(query: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """The rows of a bulk read: bound by the server and loaded in binary, a third of the usual cursor's cost.

    Times come back aware, in the connection's zone. The driver's own exceptions are raised.
    """
    with _watched(query), psycopg.Cursor(_free_connection(query)) as cursor:
        cursor.execute(query, params, binary=True)
        return cursor.fetchall()


def read_together(*asked: tuple[str, Sequence[Any]]) -> list[list[tuple[Any, ...]]]:
    """The rows of several reads that do not depend on each other, sent at once: one answer is waited for, not each."""
    statements = "; ".join(query for query, _params in asked)
    raw = _free_connection(statements)
    with _watched(statements), raw.pipeline():
        cursors = [psycopg.Cursor(raw) for _ in asked]
        for cursor, (query, params) in zip(cursors, asked, strict=True):
            cursor.execute(query, params, binary=True)
        return [cursor.fetchall() for cursor in cursors]


def write(query: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> int:
    """How many rows a statement has written; the other half of ``read``."""
    raw = _free_connection(query)
    with connection.wrap_database_errors, _watched(query), psycopg.Cursor(raw) as cursor:
        cursor.execute(query, params)
        return cursor.rowcount


Watcher = Callable[[str, float], None]
_watchers: list[Watcher] = []


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Inside, ``watcher(statement, seconds)`` is told of everything that is asked here, and through Django's cursors."""

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        with _watched(sql):
            return execute(sql, params, many, context)

    _watchers.append(watcher)
    try:
        with connection.execute_wrapper(wrapper):
            yield
    finally:
        _watchers.remove(watcher)


@contextmanager
def _watched(statement: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    for watcher in _watchers:
        watcher(statement, time.perf_counter() - started)


@contextmanager
def plans_kept() -> Iterator[None]:
    """A transaction in which ``read`` and ``write`` plan a statement once per connection, for whatever values it is given.

    For a few rows: planning a statement over a year of partitions takes ten times as long as running it. Not for many: their
    plan has to know how many there are. Statements are constants, their values parameters; arrays are cast to their type.
    One inside another is the same transaction, without a savepoint.
    """
    raw = connection.connection
    if raw is not None and raw.prepare_threshold == 0:
        yield
        return
    with transaction.atomic():
        raw = connection.connection
        with raw.pipeline():  # together with the BEGIN
            write("SET LOCAL plan_cache_mode = force_generic_plan")
        raw.prepare_threshold = 0  # Django switches preparing off for a connection as a whole
        try:
            with connection.wrap_database_errors:
                yield
        finally:
            raw.prepare_threshold = None


def array(values: Iterable[int | dt.date]) -> str:
    """Numbers or days as the text of an array, for ``%s::bigint[]``: the driver writes a long list at ten times the cost."""
    return "{" + ",".join(map(str, values)) + "}"


# the look-up of the sequence's name in a subquery of its own: once, not with every key
NEXT_IDS = """
    SELECT nextval(s.name) FROM (SELECT pg_get_serial_sequence(%s, 'id')::regclass AS name OFFSET 0) s,
           generate_series(1, %s::bigint)
"""


def next_ids(model: type[models.Model], count: int) -> list[int]:
    """``count`` fresh primary keys of ``model``, for rows that reference each other before they are written."""
    return [key for (key,) in read(NEXT_IDS, [model._meta.db_table, count])]


def iso(column: str) -> str:
    """SQL for a time as JSON writes it; made by the server at a tenth of what Python needs to read it and write it again."""
    return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"


class _Preparing(psycopg.Cursor[Any]):
    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        return super().execute(query, params, **{**options, "prepare": True})


def fetch(statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement that requests ask all day: prepared once per connection, planned once.

    Planning a query over a year of partitions takes ten times as long as running it. ``statement`` is a constant: its
    values are parameters.
    """
    with _preparing() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def fetch_dicts(statement: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Like ``fetch``, by the names of the columns."""
    with _preparing() as cursor:
        cursor.execute(statement, values)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@contextmanager
def _preparing() -> Iterator[CursorWrapper]:
    """Django binds values on the client, which leaves nothing to prepare; here the server binds them."""
    connection.ensure_connection()
    raw = connection.connection
    before = raw.prepare_threshold
    raw.prepare_threshold = 0  # Django switches preparing off for a connection as a whole
    try:
        with connection._prepare_cursor(_Preparing(raw)) as cursor:  # type: ignore[attr-defined]
            yield cursor
    finally:
        raw.prepare_threshold = before


_ready_months: set[tuple[str, str, int]] = set()


def ensure_partitions(model: type[models.Model], first: dt.date, last: dt.date) -> None:
    """Monthly partitions of ``model`` for every month from ``first`` to ``last``; cheap when they exist."""
    table, database = model._meta.db_table, str(connection.settings_dict["NAME"])
    months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    missing = [m for m in months if (database, table, m) not in _ready_months]
    if not missing:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT scrm_ensure_partitions(%s::regclass, %s, %s)", [table, first, last])
    if not connection.in_atomic_block:  # a rolled-back partition must be asked for again
        _ready_months.update((database, table, m) for m in missing)
    else:
        transaction.on_commit(lambda: _ready_months.update((database, table, m) for m in missing))


class PartitionByMonth(migrations.operations.base.Operation):
    """Turn a table just created by CreateModel (still empty) into one partitioned by month of a date column.

    Comes right after CreateModel: the primary key becomes (id, column), as PostgreSQL demands, and every unique
    constraint of the model has to name the column. Checks and unique constraints are carried over; what Django
    leaves to the end of the migration (indexes, references) finds the new table.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(self, model_name: str, column: str) -> None:
        self.model_name, self.column = model_name, column

    def state_forwards(self, app_label: str, state: Any) -> None:
        return None

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        table = to_state.apps.get_model(app_label, self.model_name)._meta.db_table
        schema_editor.execute(
            f"""
            ALTER TABLE {table} RENAME TO {table}_plain;
            CREATE TABLE {table} (LIKE {table}_plain INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING IDENTITY)
                PARTITION BY RANGE ({self.column});
            DO $$
            DECLARE
                uniques text := (
                    SELECT string_agg(format('ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)), ', ')
                    FROM pg_constraint WHERE conrelid = '{table}_plain'::regclass AND contype = 'u'
                );
            BEGIN
                DROP TABLE {table}_plain;
                ALTER TABLE {table} ADD PRIMARY KEY (id, {self.column});
                IF uniques IS NOT NULL THEN
                    EXECUTE 'ALTER TABLE {table} ' || uniques;
                END IF;
            END $$;
        """,
            None,
        )

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        return None

    def describe(self) -> str:
        return f"Partition {self.model_name} by month of {self.column}"


class Together(migrations.operations.base.Operation):
    """Many operations as one step of the state of the models.

    Django renders every related model again after each operation, which for a schema of hundreds of tables takes
    a minute in all; here once. Each of ``operations`` sees the state after the last of them.
    """

    reduces_to_sql = True
    reversible = True
    serialization_expand_args = ("operations",)  # type: ignore[assignment]

    def __init__(self, operations: list[migrations.operations.base.Operation]) -> None:
        self.operations = operations

    def state_forwards(self, app_label: str, state: Any) -> None:
        state.__dict__.pop("apps", None)  # rendered anew by whoever asks for it next
        for operation in self.operations:
            operation.state_forwards(app_label, state)

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        for operation in self.operations:
            operation.database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        for operation in reversed(self.operations):
            operation.database_backwards(app_label, schema_editor, from_state, to_state)

    def describe(self) -> str:
        return f"{len(self.operations)} operations together"
