"""Group members against others (群成员对比): monthly spend before and after joining, beside matched members who joined no group.

1. The people are the members who came into their first group in one month; whoever left again stays among them. Others are active
   members who have been in no group by the end.
2. Before are the full months ahead of that month, after as many full months behind it: the month of joining belongs to neither.
3. Each of them is paired with another of the same home store, the same stage when the month began (never bought, bought once or
   several times in 90 days, sleeping) and the same step of spend before. Who in a cell is paired follows from a hash, so that the
   same question has the same answer. Whoever finds nobody is left out, and counted.
4. What is told is the difference of the changes per month with its interval (Welch), and the same with the spend before taken
   away (CUPED). Nobody was drawn: whoever joins a group may differ in what no row knows. It is no experiment, and the page says so.
5. Spend is net of refunds, without voided, test and gift-card lines. A look is a job and stays with it.
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.utils.translation import gettext as _

from campaigns.experiments import intervals
from campaigns.experiments.intervals import Estimate, Moments
from members.purchases.buyers import BRAND
from scrm import db, jobs
from scrm.errors import RuleViolation
from scrm.models import Brand, Job

KIND = "group_comparison"
ZONE = ZoneInfo("Asia/Shanghai")
ALPHA = 0.05
MONTHS = (1, 2, 3)
LEAST = 30  # pairs: fewer say nothing
STEPS = (0, 1, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000)  # fen a month before: where each step begins
YEAR = dt.timedelta(days=365)

_PEOPLE = """
    CREATE TEMPORARY TABLE comparison ON COMMIT DROP AS
    WITH firsts AS (
        SELECT member_id, min(joined_at) AS at FROM campaigns_groupstay
        WHERE member_id IS NOT NULL AND NOT is_staff AND joined_at < %(end)s GROUP BY 1
    ), people AS (
        SELECT m.id, m.home_store_id AS store, f.at IS NOT NULL AS is_in FROM members_member m LEFT JOIN firsts f ON f.member_id = m.id
        WHERE m.brand_id = %(brand)s AND m.status = 'ACTIVE' AND m.home_store_id IS NOT NULL
          AND (f.at IS NULL OR (f.at >= %(month)s AND f.at < %(after)s))
          AND coalesce(m.registered_on < %(month)s::date, m.created_at < %(month)s)
    ), bought AS (
        SELECT l.member_id, coalesce(sum(l.paid_fen - l.refunded_fen) FILTER (WHERE l.paid_at >= %(before)s AND l.paid_at < %(month)s), 0) AS before,
               coalesce(sum(l.paid_fen - l.refunded_fen) FILTER (WHERE l.paid_at >= %(after)s), 0) AS after,
               count(DISTINCT l.order_id) FILTER (WHERE l.paid_at >= %(month)s - interval '90 days' AND l.paid_at < %(month)s) AS recent,
               count(*) FILTER (WHERE l.paid_at < %(month)s) AS ever
        FROM members_orderline l
        WHERE l.member_id IS NOT NULL AND l.paid_at >= %(year)s AND l.paid_at < %(end)s
          AND NOT (l.is_voided OR l.is_test OR l.is_gift_card)
        GROUP BY 1
    )
    SELECT p.id, p.is_in, coalesce(b.before, 0)::bigint AS before, coalesce(b.after, 0)::bigint AS after,
           row_number() OVER (PARTITION BY p.is_in, p.store, CASE WHEN coalesce(b.ever, 0) = 0 THEN 0 WHEN b.recent = 0 THEN 1
                                  WHEN b.recent = 1 THEN 2 ELSE 3 END, width_bucket(coalesce(b.before, 0) / %(months)s, %(steps)s::bigint[])
                              ORDER BY md5(%(salt)s || p.id)) AS place,
           p.store, CASE WHEN coalesce(b.ever, 0) = 0 THEN 0 WHEN b.recent = 0 THEN 1 WHEN b.recent = 1 THEN 2 ELSE 3 END AS stage,
           width_bucket(coalesce(b.before, 0) / %(months)s, %(steps)s::bigint[]) AS step
    FROM people p LEFT JOIN bought b ON b.member_id = p.id
"""
_SUMS = """
    WITH pairs AS (
        SELECT a.before AS before_in, a.after AS after_in, o.before AS before_out, o.after AS after_out
        FROM comparison a JOIN comparison o ON NOT o.is_in AND a.is_in AND o.store = a.store AND o.stage = a.stage AND o.step = a.step
             AND o.place = a.place
    ), arms AS (
        SELECT 1 AS arm, before_in::numeric AS before, after_in::numeric AS after FROM pairs
        UNION ALL SELECT 0, before_out, after_out FROM pairs
    )
    SELECT arm, count(*), sum(before), sum(before * before), sum(after), sum(after * after), sum(after * before),
           sum(after - before), sum((after - before) * (after - before)), sum((after - before) * before)
    FROM arms GROUP BY arm ORDER BY arm
"""


class NotYet(RuleViolation):
    code = "group_comparison_not_yet"


def first_of(day: dt.date, ahead: int = 0) -> dt.date:
    """The first day of the month ``ahead`` months after that of ``day``."""
    number = day.year * 12 + day.month - 1 + ahead
    return dt.date(number // 12, number % 12 + 1, 1)


@transaction.atomic
def ask(*, month: dt.date, months: int, actor: Any, today: dt.date) -> Job:
    """Have it compared by a job. Raises NotYet while the months after have not ended."""
    if months not in MONTHS:
        raise NotYet(_("Compare one, two or three months."))
    if first_of(month, months + 1) > today:
        raise NotYet(_("The months after have not ended yet; choose an earlier month or fewer months."))
    return jobs.enqueue(KIND, actor=actor, params={"month": first_of(month).isoformat(), "months": months})


def work(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``group_comparison``."""
    progress.stage(KIND)
    params = progress.job.params
    return compare(month=dt.date.fromisoformat(params["month"]), months=params["months"])


@transaction.atomic
def compare(*, month: dt.date, months: int) -> dict[str, Any]:
    """Amounts are fen per member and month. ``change`` and ``adjusted`` are missing below LEAST pairs."""
    values: dict[str, Any] = {
        "brand": Brand.objects.get(code=BRAND).pk, "before": _at(first_of(month, -months)), "month": _at(first_of(month)),
        "after": _at(first_of(month, 1)), "end": _at(first_of(month, months + 1)), "year": _at(first_of(month)) - YEAR,
        "months": months, "steps": list(STEPS[1:]), "salt": f"groups {month:%Y-%m}|",
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(_PEOPLE, values)
        cursor.execute("ANALYZE comparison")
        cursor.execute("SELECT count(*) FILTER (WHERE is_in), count(*) FILTER (WHERE NOT is_in) FROM comparison")
        joined, others = cursor.fetchone()
        cursor.execute(_SUMS)
        rows = {row[0]: row[1:] for row in cursor.fetchall()}
        cursor.execute("DROP TABLE comparison")
    pairs = rows[1][0] if rows else 0
    found: dict[str, Any] = {"joined": joined, "others": others, "pairs": pairs, "unmatched": joined - pairs}
    if pairs:
        found["means"] = [
            {
                "arm": arm,
                "before_fen": round(rows[arm][1] / pairs / months),
                "after_fen": round(rows[arm][3] / pairs / months),
            }
            for arm in (1, 0)
        ]
    if pairs >= LEAST:
        arms = {arm: _change(rows[arm]) for arm in (1, 0)}
        found["change"] = _shown(intervals.means(arms[1], arms[0], ALPHA), months)
        adjusted, reduction = intervals.adjusted(_after(rows[1]), _after(rows[0]), ALPHA)
        found["adjusted"] = {**_shown(adjusted, months), "reduction_bp": round(reduction * 10_000)}
    return found


def looks(limit: int) -> list[Job]:
    """The newest first."""
    return list(Job.objects.filter(kind=KIND).select_related("requested_by").order_by("-pk")[:limit])


def _change(row: tuple[Any, ...]) -> Moments:
    return Moments(int(row[0]), int(row[6]), int(row[7]))


def _after(row: tuple[Any, ...]) -> Moments:
    return Moments(int(row[0]), int(row[3]), int(row[4]), int(row[1]), int(row[2]), int(row[5]))


def _shown(found: Estimate, months: int) -> dict[str, Any]:
    fen = {name: round(getattr(found, name) / months) for name in ("difference", "low", "high")}
    return {**{f"{name}_fen": value for name, value in fen.items()}, "p": round(found.p, 4)}


def _at(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), ZONE)


def clock_day() -> dt.date:
    return db.clock().astimezone(ZONE).date()
