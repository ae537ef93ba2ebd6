"""Simulating a month of a million decided lines, beside only reading what it reads.

The floor runs the statements of the simulation for the same ranges of lines in as many processes, and takes their rows into
this machine's memory without looking at them: nobody can replay these lines faster here.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from django.db import connection

from attribution import decisions, simulation
from attribution.bench import filling
from attribution.evidence import lines, touched
from attribution.models import Simulation
from attribution.simulation import replay, runs, standing
from scrm import bench, db, jobs
from scrm.models import Job
from scrm.owner import as_owner

WORKERS = 2  # one a core
DAYS = 30
MODE = "SPLIT"  # the one that divides pots

Keys = list[tuple[int, Any]]


def simulate(*, rows: int, say: Callable[[str], None], is_filled: bool = False) -> dict[str, Any]:
    if not is_filled:
        filling.fill(rows=rows, say=say, days=DAYS)
        say("deciding and posting, not measured")
        decisions.decide_open(workers=WORKERS)
        with as_owner(connection), connection.cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE)")
    say(f"simulating {DAYS} days")
    first = filling.UNTIL.replace(day=1)
    asked = simulation.start(actor=None, mode=MODE, first_day=first, last_day=filling.UNTIL, workers=WORKERS)
    seen: list[int] = []

    def show(_stage: str, done: int, total: int | None) -> None:
        if total and (not seen or seen[-1] != done):
            seen.append(done)
            say(f"  {100 * done // total} %")

    assert asked.job_id is not None
    key = asked.job_id
    with bench.Memory() as memory, bench.Cpu() as cpu:
        seconds, job = bench.timed(lambda: jobs.run(key, show=show))
    found = Simulation.objects.get(pk=asked.pk)
    if job.status != Job.Status.DONE or found.line_count != rows:
        raise RuntimeError(f"{found.line_count} of {rows} lines, {job.status}")
    say("the floor: the same rows, only read")
    floor = _floor(_pieces(rows))
    return {
        "rows_per_second": round(rows / seconds),
        "seconds": round(seconds, 1),
        "cpu_seconds": {"python": cpu.python, "server": cpu.server},
        "cpu_us_per_line": round((cpu.python + cpu.server) / rows * 1e6, 1),
        "peak_mb": memory.peak_mb,
        "floor_seconds": round(floor, 1),
        "ratio": round(floor / seconds, 3),
        "changed": found.changed_count,
        "result_rows": found.rows.count(),
        "progress_steps": len(seen),
        "workers": WORKERS,
    }


def _pieces(rows: int) -> list[tuple[int, int]]:
    return [(start, min(start + runs.SLICE, rows)) for start in range(0, rows, runs.SLICE)]


def _floor(pieces: Sequence[tuple[int, int]]) -> float:
    """Seconds in which ``WORKERS`` processes read the rows of all ranges."""
    connection.close()  # a forked process may not touch it
    context = multiprocessing.get_context("fork")
    shares = [pieces[number::WORKERS] for number in range(WORKERS)]

    def work() -> None:
        processes = [context.Process(target=_read_all, args=(share,)) for share in shares]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            raise RuntimeError("a process of the floor has failed")

    return bench.timed(work)[0]


def _read_all(pieces: Sequence[tuple[int, int]]) -> None:
    never = {"last_purchase": lines.NEVER, "last_act": lines.NEVER}
    of_lines = lines.LINES.format(**never, moments=") k(id, booked_on)", at="l.paid_at")
    for after_id, until_id in pieces:
        keys: Keys = db.read(
            "SELECT id, booked_on FROM members_orderline WHERE id > %s AND id <= %s ORDER BY id", [after_id, until_id]
        )
        for at in range(0, len(keys), replay.CHUNK):
            chunk = keys[at : at + replay.CHUNK]
            booked = [day for _key, day in chunk]
            ids, days, span = db.array(key for key, _day in chunk), db.array(booked), [min(booked), max(booked)]
            window = db.array([int(touched.HORIZON.total_seconds())] * len(chunk))
            seen = [span[0] - 2 * touched.HORIZON, span[1] + touched.HORIZON] * 3  # no touch is left out
            with psycopg.Cursor(connection.connection) as cursor:
                cursor.execute(of_lines, [ids, days, *span], binary=True)
                cursor.execute(standing.STANDING, [ids, days], binary=True)
                cursor.execute(touched.OF_LINES, [ids, days, window, None, *span, *seen], binary=True)
                cursor.execute(standing.POSTED_HOLDS, [ids], binary=True)
    connection.close()
