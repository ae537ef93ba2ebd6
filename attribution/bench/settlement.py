"""Settling and proving a month of a million entries, beside the least that reading or writing the same rows costs.

``rows`` is about the number of ledger entries: a quarter as many order lines are decided, posted and vested, not measured. The
floor of a proof is one aggregate over all entries by one sequential scan; that of a batch the same batch lines written by one
INSERT … SELECT into a table with the same indexes and constraints.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from attribution import decisions, ledger, periods, proving, settlement
from attribution.bench import filling
from attribution.models import Batch, BatchLine, Entry
from scrm import bench, jobs
from scrm.models import Job, User
from scrm.owner import as_owner

ENTRIES_PER_LINE = 4
WORKERS = 2  # one a core
AGGREGATE = "SELECT account_id, count(*), sum(amount_fen) FROM attribution_entry GROUP BY account_id"


def prove_books(*, rows: int, say: Callable[[str], None]) -> dict[str, Any]:
    """All checks over a settled-up ledger; seconds of each that takes more than a tenth of the whole."""
    _books(rows, say)
    making, _batch = _make(say)
    say("proving")
    took: dict[str, float] = {}
    last = time.perf_counter()

    def note(finding: proving.Finding) -> None:
        nonlocal last
        now = time.perf_counter()
        took[finding.check], last = now - last, now

    with bench.Memory() as memory:
        seconds, proof = bench.timed(lambda: proving.run(now=timezone.now(), show=note))
    if not proof.is_proven:
        raise RuntimeError(proof.differences)
    floor = _aggregate()
    entries = Entry.objects.count()
    return {
        "rows_per_second": round(entries / seconds), "entries": entries, "seconds": round(seconds, 1),
        "checked_rows": sum(proof.proven.values()), "floor_seconds": round(floor, 2), "ratio": round(floor / seconds, 3),
        "peak_mb": memory.peak_mb, "making_seconds": round(making, 1),
        "slow": {name: round(took[name], 1) for name in sorted(took, key=lambda name: -took[name])[:8]},
    }  # fmt: skip


def settle(*, rows: int, say: Callable[[str], None]) -> dict[str, Any]:
    """The making of a batch: lines taken, netted, statements and payments written, digests noted."""
    _books(rows, say)
    with bench.Memory() as memory:
        seconds, batch = _make(say)
    say("the floor: the same lines by INSERT … SELECT, and one aggregate of the entries")
    floor, aggregate = _insert(batch), _aggregate()
    entries = Entry.objects.count()
    return {
        "rows_per_second": round(entries / seconds), "entries": entries, "lines": batch.line_count, "payees": batch.payee_count,
        "seconds": round(seconds, 1), "floor_seconds": round(floor + aggregate, 2), "aggregate_seconds": round(aggregate, 2),
        "ratio": round((floor + aggregate) / seconds, 3), "peak_mb": memory.peak_mb,
    }  # fmt: skip


def _books(rows: int, say: Callable[[str], None]) -> None:
    filling.fill(rows=max(1_000, rows // ENTRIES_PER_LINE), say=say)
    say("deciding, posting and vesting, not measured")
    decisions.decide_open(workers=WORKERS)
    while ledger.vest(now=timezone.now()):
        pass
    with as_owner(connection), connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")


def _make(say: Callable[[str], None]) -> tuple[float, Batch]:
    """Everything was posted today, so the batch is that of this month, made as on the tenth of the next."""
    period = periods.period_of(timezone.now())
    now = periods.ends_at(period) + dt.timedelta(days=9)
    maker = User.objects.create_user("bench maker")
    say("making the batch")

    def make() -> Job:
        asked = settlement.request(period=period, actor=maker, now=now)
        return jobs.run(asked.job_id or 0)

    seconds, job = bench.timed(make)
    batch = Batch.objects.get()
    if job.status != Job.Status.DONE or batch.status != Batch.Status.READY:
        raise RuntimeError(f"{job.status}, {batch.status}")
    return seconds, batch


def _aggregate() -> float:
    def read() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_indexonlyscan = off"
            )
            cursor.execute(AGGREGATE)
            cursor.fetchall()

    return bench.timed(read)[0]


def _insert(batch: Batch) -> float:
    table = BatchLine._meta.db_table
    with as_owner(connection), connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE bench_lines (LIKE {table} INCLUDING ALL)")
        seconds = bench.timed(
            lambda: cursor.execute(f"INSERT INTO bench_lines SELECT * FROM {table} WHERE batch_id = %s", [batch.pk])
        )[0]
        cursor.execute("DROP TABLE bench_lines")
    return seconds
