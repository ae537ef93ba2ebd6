"""How fast we call (调用节奏), per corp and endpoint, shared by all workers.

1. WeCom allows 10,000 calls a minute and 150,000 an hour of one endpoint. One bucket keeps both: 40 a second refill it,
   2,000 may go at once (4,400 in any minute, 146,000 in any hour).
2. The number of calls at a time is not published. It starts at 4, halves on 45033 and grows by one a minute up to 16.
3. 45009 stops the endpoint for a minute; when it comes again within the hour after, for an hour, then for a day. 45036
   (abnormal traffic) stops it for an hour at once.
4. The calls of the day are counted with the bucket, for the self-check and the console.
5. A place among the calls at a time is an advisory lock, so that a killed worker gives it back.
"""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import InterfaceError, OperationalError, connection, transaction

from scrm import db
from scrm.models import WecomPace
from scrm.wecom import errors

CALLS_PER_SECOND = 40.0
BURST_CALLS = 2_000.0
FIRST_PARALLEL, MOST_PARALLEL = 4, 16
GROW_SECONDS = 60
HALVE_SECONDS = 1  # the calls refused together count once
BLOCKS = (dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1))
BLOCK_MEMORY = dt.timedelta(hours=1)
ABNORMAL_TRAFFIC = 45036
WAIT_SECONDS = 30.0
LOOK_SECONDS = 0.05

_FILLED = "LEAST(%(burst)s, allowance + %(rate)s * GREATEST(0, EXTRACT(EPOCH FROM clock_timestamp() - counted_at)))"
_GROWS = "parallel_limit < %(most)s AND parallel_set_at < clock_timestamp() - make_interval(secs => %(grow)s)"
_TODAY = "(clock_timestamp() AT TIME ZONE 'Asia/Shanghai')::date"
_TAKE = f"""
    UPDATE scrm_wecompace
    SET allowance = {_FILLED} - 1,
        counted_at = clock_timestamp(),
        parallel_limit = parallel_limit + CASE WHEN {_GROWS} THEN 1 ELSE 0 END,
        parallel_set_at = CASE WHEN {_GROWS} THEN clock_timestamp() ELSE parallel_set_at END,
        day_calls = CASE WHEN day = {_TODAY} THEN day_calls + 1 ELSE 1 END,
        day = {_TODAY}
    WHERE corp_id = %(corp)s AND path = %(path)s
        AND (blocked_until IS NULL OR blocked_until <= clock_timestamp())
        AND {_FILLED} - 1 >= -%(wait)s * %(rate)s
    RETURNING allowance"""
_FIRST = """
    INSERT INTO scrm_wecompace (corp_id, path, allowance, counted_at, parallel_limit, parallel_set_at, block_count)
    VALUES (%(corp)s, %(path)s, %(burst)s, clock_timestamp(), %(first)s, clock_timestamp() - interval '2 s', 0)
    ON CONFLICT (corp_id, path) DO NOTHING"""
# the limit is read again with every look: 45033 may have lowered it meanwhile. LIMIT 1 stops at the first lock taken.
_PLACE = """
    SELECT place FROM scrm_wecompace, generate_series(1, parallel_limit) AS place
    WHERE corp_id = %s AND path = %s AND pg_try_advisory_lock(hashtextextended(%s || place, 0)) LIMIT 1"""


@contextmanager
def turn(corp_id: int, path: str) -> Iterator[None]:
    """Wait for our turn, at most WAIT_SECONDS for the pace and as long for a place; RateLimited when it takes longer."""
    time.sleep(_take(corp_id, path))
    name = f"wecom call {corp_id} {path} "
    place = _wait_for_place(corp_id, path, name)
    try:
        yield
    finally:
        with suppress(OperationalError, InterfaceError), connection.cursor() as cursor:  # as in db.advisory_lock
            cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s || %s, 0))", [name, place])


def halve(corp_id: int, path: str) -> None:
    """WeCom answered 45033: fewer at a time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE scrm_wecompace SET parallel_limit = GREATEST(1, parallel_limit / 2), parallel_set_at = clock_timestamp()"
            " WHERE corp_id = %s AND path = %s AND parallel_set_at < clock_timestamp() - make_interval(secs => %s)",
            [corp_id, path, HALVE_SECONDS],
        )


@transaction.atomic
def block(corp_id: int, path: str, errcode: int) -> dt.datetime:
    """WeCom answered 45009 or 45036: nobody calls this endpoint before the time returned."""
    (pace,) = db.lock(WecomPace.objects.filter(corp_id=corp_id, path=path))
    now = db.clock()
    if pace.blocked_until is not None and pace.blocked_until > now:
        return pace.blocked_until  # sent before the block began
    is_repeated = pace.blocked_until is not None and pace.blocked_until > now - BLOCK_MEMORY
    count = min(pace.block_count + 1, len(BLOCKS)) if is_repeated else 1
    pace.block_count = max(count, 2) if errcode == ABNORMAL_TRAFFIC else count
    pace.blocked_until = now + BLOCKS[pace.block_count - 1]
    pace.save(update_fields=["block_count", "blocked_until"])
    return pace.blocked_until


def _take(corp_id: int, path: str) -> float:
    """Seconds until our turn. RateLimited when the endpoint is blocked or too many wait already."""
    values: dict[str, str | int | float] = {
        "corp": corp_id, "path": path, "rate": CALLS_PER_SECOND, "burst": BURST_CALLS, "wait": WAIT_SECONDS,
        "first": FIRST_PARALLEL, "most": MOST_PARALLEL, "grow": GROW_SECONDS,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, values)
        row = cursor.fetchone()
        if row is None:
            cursor.execute(_FIRST, values)
            cursor.execute(_TAKE, values)  # also when another worker was the first just now
            row = cursor.fetchone()
    if row is None:
        raise errors.RateLimited(path, retry_at=_retry_at(corp_id, path))
    return max(0.0, -row[0]) / CALLS_PER_SECOND


def _retry_at(corp_id: int, path: str) -> dt.datetime:
    now = db.clock()
    blocked_until = WecomPace.objects.values_list("blocked_until", flat=True).get(corp_id=corp_id, path=path)
    return max(blocked_until or now, now + dt.timedelta(seconds=1))


def _wait_for_place(corp_id: int, path: str, name: str) -> int:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(_PLACE, [corp_id, path, name])
            if row := cursor.fetchone():
                return row[0]
        time.sleep(LOOK_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  spreads the waiting ones
    raise errors.RateLimited(path)
