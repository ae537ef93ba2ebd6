"""Runs: who claims waiting lines, and in which transactions they are decided."""

from __future__ import annotations

import datetime as dt
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from attribution import evidence, rulebook
from attribution.decisions.work import Outcome, Work
from scrm import db

CHUNK = 10_000  # lines in one transaction: about a second
FEW = 500  # lines whose statements need no plan of their own


def decide_open(
    *, progress: Callable[[int], None] | None = None, workers: int = 1, chunk: int = CHUNK
) -> dict[str, Any]:
    """Decide and post every waiting line; returns when none is left that nobody else holds.

    ``progress(done)`` is called after each transaction. More ``workers`` are processes of their own that claim beside
    this one; they end with the queue.
    """
    others = [_spawn(chunk) for _ in range(workers - 1)]
    try:
        total = _drain(chunk, progress)
    finally:
        failed = [process.wait() for process in others if process.wait() != 0]
    if failed:
        total.add(_drain(chunk, progress))  # what a dead worker had claimed waits again
    return total.summary()


def decide_lines(*, line_ids: Iterable[int]) -> dict[str, Any]:
    """Decide and post these lines if they wait; the path of a webhook."""
    wanted = sorted(set(line_ids))
    outcome = Outcome()
    with db.plans_kept() if len(wanted) <= FEW else transaction.atomic():
        keys = _claim_these(wanted)
        if keys:
            outcome.add(_settle(keys, rulebook.load()))
    return outcome.summary()


@transaction.atomic(durable=True)
def finalise(*, now: dt.datetime) -> int:
    """Provisional decisions whose late-link window has closed become final; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE attribution_decision d SET state = 'LIVE' FROM attribution_ruleversion r"
            " WHERE r.id = d.rule_id AND d.state = 'PROVISIONAL' AND d.as_of <= %s - make_interval(days => r.late_link_days)",
            [now],
        )
        return cursor.rowcount


def _drain(chunk: int, progress: Callable[[int], None] | None) -> Outcome:
    book = rulebook.load()
    total = Outcome()
    while True:
        with transaction.atomic(durable=True), _no_collector():
            keys = _claim(chunk)
            total.add(_settle(keys, book))
        if not keys:
            return total
        if progress:
            progress(total.lines)


@contextmanager
def _no_collector() -> Iterator[None]:
    """A batch makes a million objects and no cycles: the cycle collector would cost a quarter of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _spawn(chunk: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "attribute", "--quiet", "--chunk", str(chunk)]
    return subprocess.Popen(command, env=os.environ.copy(), stdout=subprocess.DEVNULL)


CLAIM = """
    DELETE FROM members_linetodecide WHERE line_id = ANY(ARRAY(
        SELECT line_id FROM members_linetodecide {where} ORDER BY line_id {limit} FOR UPDATE SKIP LOCKED
    )) RETURNING line_id, booked_on
"""


def _claim(count: int) -> list[evidence.LineKey]:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM.format(where="", limit="LIMIT %s"), [count])
        return sorted(cursor.fetchall())


def _claim_these(line_ids: Sequence[int]) -> list[evidence.LineKey]:
    return sorted(db.read(CLAIM.format(where="WHERE line_id = ANY(%s::bigint[])", limit=""), [db.array(line_ids)]))


def _settle(keys: Sequence[evidence.LineKey], book: rulebook.Book) -> Outcome:
    """Decide and post the claimed lines, in the caller's transaction."""
    outcome = Outcome(lines=len(keys))
    if not keys:
        return outcome
    cases = evidence.load(keys, book)
    work = Work(cases, book, outcome)
    for case in cases:
        work.settle(case)
    work.write(cases)
    return outcome
