"""Figures per store and day (门店日报): counted once, so that the dashboard never reads the big tables.

1. A day's sales are the lines paid on it (Asia/Shanghai), test and voided ones left out; what was given back on them later
   counts on the same day. Orders are counted per store and channel.
2. A day's commission is what was accrued, reversed and vested on the lines paid on it, by the store that the beneficiary
   had then. A fen of the HQ pool stands under no store.
3. New members count on the day of registration at their home store.
4. Whoever changes what a day's figures say marks the day in the same transaction; a count deletes the marks it sees before
   it reads, so that a change is counted at the latest by the next count.
5. A count replaces whole days; running it twice gives the same rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from attribution import fairness
from scrm import db

SHANGHAI = ZoneInfo("Asia/Shanghai")

DAYS_AT_ONCE = 31
MEMBER_JOBS = ("import_members",)

SALES = """
    INSERT INTO attribution_storeday (day, store_id, channel, gmv_fen, refunded_fen, order_count, line_count,
                                      member_gmv_fen, new_member_count, accrued_fen, reversed_fen, vested_fen)
    WITH lines AS MATERIALIZED (
        SELECT l.id, l.order_id, l.store_id, l.channel, l.paid_fen, l.refunded_fen, l.member_id,
               l.is_test OR l.is_voided AS is_void, (l.paid_at AT TIME ZONE 'Asia/Shanghai')::date AS day
        FROM members_orderline l
        WHERE l.paid_at >= %(first)s AND l.paid_at < %(end)s
          AND (l.paid_at AT TIME ZONE 'Asia/Shanghai')::date = ANY(%(days)s)
    ), figures AS (
        SELECT day, store_id, channel, sum(paid_fen) AS gmv, sum(refunded_fen) AS refunded, count(DISTINCT order_id) AS orders,
               count(*) AS lines, coalesce(sum(paid_fen) FILTER (WHERE member_id IS NOT NULL), 0) AS member_gmv,
               0 AS joined, 0 AS accrued, 0 AS reversed, 0 AS vested
        FROM lines WHERE NOT is_void GROUP BY day, store_id, channel
        UNION ALL
        SELECT l.day, h.store_id, l.channel, 0, 0, 0, 0, 0, 0, sum(h.amount_fen), sum(h.reversed_fen + h.clawed_fen),
               sum(h.vested_fen - h.clawed_fen)
        FROM lines l JOIN attribution_hold h ON h.line_id = l.id GROUP BY l.day, h.store_id, l.channel
        UNION ALL
        SELECT m.registered_on, m.home_store_id, '', 0, 0, 0, 0, 0, count(*), 0, 0, 0
        FROM members_member m WHERE m.registered_on = ANY(%(days)s) AND m.status <> 'MERGED'
        GROUP BY m.registered_on, m.home_store_id
    )
    SELECT day, store_id, channel, sum(gmv), sum(refunded), sum(orders), sum(lines), sum(member_gmv), sum(joined),
           sum(accrued), sum(reversed), sum(vested)
    FROM figures GROUP BY day, store_id, channel
"""

# Every registration of a long history at once: after a list of members came in, not by days.
JOINS = """
    WITH counted AS (
        SELECT registered_on AS day, home_store_id AS store_id, count(*) AS joined FROM members_member
        WHERE registered_on IS NOT NULL AND status <> 'MERGED' GROUP BY 1, 2
    ), gone AS (
        UPDATE attribution_storeday d SET new_member_count = 0
        WHERE d.channel = '' AND d.new_member_count <> 0 AND NOT EXISTS (
            SELECT 1 FROM counted c WHERE c.day = d.day AND c.store_id IS NOT DISTINCT FROM d.store_id)
    )
    INSERT INTO attribution_storeday (day, store_id, channel, gmv_fen, refunded_fen, order_count, line_count,
                                      member_gmv_fen, new_member_count, accrued_fen, reversed_fen, vested_fen)
    SELECT day, store_id, '', 0, 0, 0, 0, 0, joined, 0, 0, 0 FROM counted
    ON CONFLICT (day, store_id, channel) DO UPDATE SET new_member_count = EXCLUDED.new_member_count
    WHERE attribution_storeday.new_member_count <> EXCLUDED.new_member_count
"""

STOCK = """
    INSERT INTO attribution_storestock (store_id, member_count, bound_count, counted_at)
    SELECT m.home_store_id, count(*), count(b.member_id), %(now)s
    FROM members_member m
    LEFT JOIN guides_binding b ON b.member_id = m.id AND b.brand_id = m.brand_id AND b.ended_at IS NULL
    WHERE m.status IN ('ACTIVE', 'FROZEN') GROUP BY m.home_store_id
"""


def mark(days: Iterable[dt.date]) -> None:
    """Have these business days counted again; in the transaction of the change."""
    marked = sorted(set(days))
    db.write("INSERT INTO attribution_figuremark (day) SELECT unnest(%s::date[])", [db.array(marked)])
    fairness.mark(marked)


def mark_lines(*, paid_at: Iterable[dt.datetime], decided_before: Collection[int] = ()) -> None:
    """Mark the days of lines by their payment, and those on which lines decided earlier used to count."""
    days = {at.astimezone(SHANGHAI).date() for at in paid_at}
    if decided_before:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT (as_of AT TIME ZONE 'Asia/Shanghai')::date FROM attribution_decision"
                " WHERE line_id = ANY(%s)",
                [list(decided_before)],
            )
            days |= {row[0] for row in cursor.fetchall()}
    mark(days)


def recount(*, now: dt.datetime, limit: int = 400) -> int:
    """Count the marked days, at most ``limit`` of them; the number counted. Somebody else counting: 0."""
    done = 0
    while done < limit:
        with transaction.atomic(durable=True):
            days = _take_marks() if _is_alone() else []
            if days:
                count_days(days=days)
        if not days:
            break
        done += len(days)
    return done


@transaction.atomic
def count_days(*, days: list[dt.date]) -> None:
    """Replace the figures of these days."""
    first = dt.datetime.combine(min(days), dt.time(), SHANGHAI)
    end = dt.datetime.combine(max(days) + dt.timedelta(days=1), dt.time(), SHANGHAI)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM attribution_storeday WHERE day = ANY(%s)", [days])
        cursor.execute(SALES, {"days": days, "first": first, "end": end})


@transaction.atomic
def count_members(*, now: dt.datetime) -> bool:
    """Members and bindings per store, and every registration; reads the whole tables. False: somebody else counts."""
    if not _is_alone():
        return False
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM attribution_storestock")
        cursor.execute(STOCK, {"now": now})
        cursor.execute(JOINS)
    return True


def members_are_stale(*, now: dt.datetime, older_than: dt.timedelta = dt.timedelta(hours=1)) -> bool:
    """Whether a list of members has come in since the last count, or the count is old."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT max(counted_at) FROM attribution_storestock),"
            " (SELECT max(ended_at) FROM scrm_job WHERE kind = ANY(%s) AND status = 'DONE')",
            [list(MEMBER_JOBS)],
        )
        counted_at, imported_at = cursor.fetchone()
    return (
        counted_at is None or now - counted_at >= older_than or (imported_at is not None and imported_at > counted_at)
    )


def refresh(*, now: dt.datetime) -> dict[str, Any]:
    """What the task does each minute and an import at its end."""
    counted = count_members(now=now) if members_are_stale(now=now) else False
    return {"days": recount(now=now), "members": counted}


def _is_alone() -> bool:
    """One count at a time; the lock ends with the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended('attribution figures', 0))")
        return bool(cursor.fetchone()[0])


def _take_marks() -> list[dt.date]:
    """Some marked days, their marks deleted: what is committed later leaves a mark of its own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH wanted AS (SELECT DISTINCT day FROM attribution_figuremark ORDER BY day DESC LIMIT %s),"
            " gone AS (DELETE FROM attribution_figuremark m USING wanted w WHERE m.day = w.day)"
            " SELECT day FROM wanted ORDER BY day",
            [DAYS_AT_ONCE],
        )
        return [row[0] for row in cursor.fetchall()]
