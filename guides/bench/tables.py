"""Tables of a bench: rows taken out and copied back in, which is the floor of what writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connection

from scrm.owner import as_owner

BLOCK = 2**20


@contextmanager
def bulk_session() -> Iterator[Any]:
    """The session settings that a bulk job gives itself: the floor must not be slower for lack of them."""
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off; SET enable_seqscan = off")
        try:
            yield cursor
        finally:
            cursor.execute("RESET synchronous_commit; RESET enable_seqscan")


def copy_in(folder: Path, names: Sequence[str]) -> None:
    with bulk_session() as cursor:
        for table in names:
            columns = (folder / f"{table}.columns").read_text()
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy, (folder / table).open("rb") as stream:
                while block := stream.read(BLOCK):
                    copy.write(block)


def export(folder: Path, names: Sequence[str], after: dict[str, int]) -> None:
    """The rows of each table whose key is above ``after``."""
    folder.mkdir(exist_ok=True)
    with connection.cursor() as cursor:
        for table in names:
            cursor.execute(
                "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute"
                " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
                [table],
            )
            columns = cursor.fetchone()[0]
            (folder / f"{table}.columns").write_text(columns)
            select = f"SELECT {columns} FROM {table} WHERE {_key(table)} > {after.get(table, 0)} ORDER BY {_key(table)}"
            with (folder / table).open("wb") as stream, cursor.copy(f"COPY ({select}) TO STDOUT") as copy:
                for block in copy:
                    stream.write(block)


def highest_ids(names: Sequence[str]) -> dict[str, int]:
    with connection.cursor() as cursor:
        found = {}
        for table in names:
            cursor.execute(f"SELECT COALESCE(max({_key(table)}), 0) FROM {table}")
            found[table] = cursor.fetchone()[0]
    return found


def truncate(names: Sequence[str]) -> None:
    with as_owner(connection), connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(names)} CASCADE")


def vacuum(names: Sequence[str]) -> None:
    with as_owner(connection), connection.cursor() as cursor:
        for table in names:
            cursor.execute(f"VACUUM ANALYZE {table}")


def _key(table: str) -> str:
    return "member_id" if table == "members_listrow" else "id"
