"""Deciding and posting a million lines, beside one INSERT … SELECT of the same ledger rows.

The floor writes copies of exactly the rows that the run has posted (transactions, entries, holds) into the same tables,
emptied before, with their indexes, constraints and triggers, in one transaction and set-based: nobody can post faster here.
The run does more: it reads the evidence (bindings, touches), decides by two rules, one of which splits, and writes the
decisions. After it single orders are taken from their signed delivery on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction

from attribution import decisions
from attribution.bench import filling, per_order
from scrm import bench
from scrm.owner import as_owner

LEDGER = ("attribution_txn", "attribution_entry", "attribution_hold")  # in the order of their references
WORKERS = 2  # one a core


def attribute(*, rows: int, say: Callable[[str], None]) -> dict[str, Any]:
    filling.fill(rows=rows, say=say)
    say("deciding and posting")
    chunks: list[float] = []
    last = time.perf_counter()

    def note(done: int) -> None:
        nonlocal last
        now = time.perf_counter()
        chunks.append(now - last)
        last = now
        if len(chunks) % 10 == 0:
            say(f"  {done:,} lines by this process")

    with bench.Memory() as memory:
        seconds, summary = bench.timed(lambda: decisions.decide_open(progress=note, workers=WORKERS))
    written = _counts()
    if written["attribution_decision"] != rows:
        raise RuntimeError(f"{written['attribution_decision']} decisions for {rows} lines")
    say("one order after the other, from the signed delivery on")
    single = per_order.per_order()
    say("the floor: the same ledger rows by INSERT … SELECT")
    floor = _floor()
    return {
        "rows_per_second": round(rows / seconds),
        "seconds": round(seconds, 1),
        **bench.percentiles(chunks),  # of a chunk's transaction
        "peak_mb": memory.peak_mb,
        "floor_seconds": round(floor, 1),
        "ratio": round(floor / seconds, 3),
        "per_order": single,
        "written": written,
        "summary": summary,
        "workers": WORKERS,
    }


def _counts() -> dict[str, int]:
    with connection.cursor() as cursor:
        counts = {}
        for table in ("attribution_decision", *LEDGER):
            cursor.execute(f"SELECT count(*) FROM {table}")
            counts[table] = cursor.fetchone()[0]
    return counts


def _floor() -> float:
    """Seconds to write the ledger's rows once more. The copies are made and the tables emptied by the owner."""
    with as_owner(connection), connection.cursor() as cursor:
        for table in LEDGER:
            cursor.execute(f"CREATE UNLOGGED TABLE bench_{table} AS SELECT * FROM {table} ORDER BY id")
            cursor.execute(f"GRANT SELECT ON bench_{table} TO PUBLIC")
        cursor.execute(f"TRUNCATE {', '.join(LEDGER)} CASCADE")  # blocks of money too
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("CHECKPOINT") if _may_checkpoint(cursor) else None
    return bench.timed(_insert)[0]


def _may_checkpoint(cursor: Any) -> bool:
    cursor.execute("SELECT pg_has_role(current_user, 'pg_checkpoint', 'USAGE')")
    return bool(cursor.fetchone()[0])


def _insert() -> None:
    """Posted now, as the ledger demands; everything else as it was."""
    now = {
        "posted_at": "transaction_timestamp()",
        "posted_on": "(transaction_timestamp() AT TIME ZONE 'Asia/Shanghai')::date",
    }
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        for table in LEDGER:
            columns = _columns(cursor, table)
            values = ", ".join(now.get(column, column) for column in columns)
            cursor.execute(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM bench_{table} ORDER BY id")


def _columns(cursor: Any, table: str) -> list[str]:
    cursor.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped", [table]
    )
    return [name for (name,) in cursor.fetchall()]
