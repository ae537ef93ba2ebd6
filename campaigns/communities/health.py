"""Health of groups (群健康): once a day all groups are counted, set-based, into one row a group and one row a group and day.

1. A business day is counted after it has ended; the windows are the 30 days up to it. Counted again, the same day gives the same
   rows.
2. Growth is who joined less who left; the leave rate is who left, of those who were there at the beginning or joined since.
3. Buyers and spend are of members who are in the group at the end of the day, net of refunds, wherever they bought: what a person
   in two groups buys is seen in both, so groups are compared and never added up. A month is the window of 30 days.
4. WeCom tells nothing of what is written in a group. A group is silent when for SILENT days nobody came in and no member bought.
5. One state a group, the gravest first: its owner has left, new, losing people, silent, too small, full, healthy. The limits are
   settings of the brand; a state does nothing by itself.
6. Also in another group of the store: by person, whether she is a member or not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import Count, Max, Sum

from campaigns.models import Group, GroupDay, GroupHealth, GroupSettings
from members.purchases.buyers import BRAND
from scrm import db, jobs
from scrm.models import Brand, Job

KIND = "group_health"
ZONE = ZoneInfo("Asia/Shanghai")
WINDOW = 30
KEPT = dt.timedelta(days=400)
COUNTED_HOURS = range(4, 24)  # behind the list of groups, which begins at three

# purchases of the window by member and day, once; then whoever is in a group is looked up there
_BOUGHT = """
    CREATE TEMPORARY TABLE group_bought ON COMMIT DROP AS
    SELECT l.member_id, sum(l.paid_fen - l.refunded_fen)::bigint AS fen,
           coalesce(sum(l.paid_fen - l.refunded_fen) FILTER (WHERE l.paid_at >= %(start)s), 0)::bigint AS day_fen,
           bool_or(l.paid_at >= %(start)s) AS in_day, max(l.paid_at) AS last_at
    FROM members_orderline l
    WHERE l.member_id IS NOT NULL AND l.paid_at >= %(first)s AND l.paid_at < %(end)s
      AND NOT (l.is_voided OR l.is_test OR l.is_gift_card)
    GROUP BY 1 HAVING sum(l.paid_fen - l.refunded_fen) > 0
"""
# whoever was in a group at the end of the day, one row a person
_INSIDE = """
    CREATE TEMPORARY TABLE group_inside ON COMMIT DROP AS
    SELECT s.group_id, g.store_id, s.userid, s.member_id FROM campaigns_groupstay s JOIN campaigns_group g ON g.id = s.group_id
    WHERE NOT s.is_staff AND s.joined_at < %(end)s AND (s.left_at IS NULL OR s.left_at >= %(end)s)
"""
_TWICE = """
    CREATE TEMPORARY TABLE group_twice ON COMMIT DROP AS
    SELECT unnest(array_agg(group_id)) AS group_id FROM group_inside WHERE store_id IS NOT NULL
    GROUP BY store_id, userid HAVING count(*) > 1
"""
_COUNTED = """
    CREATE TEMPORARY TABLE group_counted ON COMMIT DROP AS
    WITH moves AS (
        SELECT group_id, count(*) FILTER (WHERE joined_at >= %(first)s AND joined_at < %(end)s) AS joined,
               count(*) FILTER (WHERE left_at >= %(first)s AND left_at < %(end)s) AS gone,
               count(*) FILTER (WHERE joined_at >= %(start)s AND joined_at < %(end)s) AS day_joined,
               count(*) FILTER (WHERE left_at >= %(start)s AND left_at < %(end)s) AS day_gone,
               count(*) FILTER (WHERE joined_at < %(first)s AND (left_at IS NULL OR left_at >= %(first)s)) AS before,
               max(joined_at) FILTER (WHERE joined_at < %(end)s) AS last_at
        FROM campaigns_groupstay WHERE NOT is_staff GROUP BY 1
    ), there AS (
        SELECT i.group_id, count(*) AS people, count(i.member_id) AS members, count(b.member_id) AS buyers,
               coalesce(sum(b.fen), 0) AS fen, count(*) FILTER (WHERE b.in_day) AS day_buyers,
               coalesce(sum(b.day_fen), 0) AS day_fen, max(b.last_at) AS last_at
        FROM group_inside i LEFT JOIN group_bought b ON b.member_id = i.member_id GROUP BY 1
    ), twice AS (SELECT group_id, count(*) AS people FROM group_twice GROUP BY 1)
    SELECT g.id AS group_id, g.status, coalesce(t.people, 0) AS people, coalesce(t.members, 0) AS members,
           coalesce(w.people, 0) AS twice, coalesce(m.joined, 0) AS joined, coalesce(m.gone, 0) AS gone,
           coalesce(m.before, 0) AS before, coalesce(t.buyers, 0) AS buyers, coalesce(t.fen, 0) AS fen,
           coalesce(m.day_joined, 0) AS day_joined, coalesce(m.day_gone, 0) AS day_gone,
           coalesce(t.day_buyers, 0) AS day_buyers, coalesce(t.day_fen, 0) AS day_fen,
           greatest(0, %(day)s::date - (coalesce(g.founded_at, g.asked_at) AT TIME ZONE 'Asia/Shanghai')::date) AS alive,
           greatest(0, %(day)s::date - (greatest(m.last_at, t.last_at, coalesce(g.founded_at, g.asked_at))
                                        AT TIME ZONE 'Asia/Shanghai')::date) AS quiet
    FROM campaigns_group g
    LEFT JOIN moves m ON m.group_id = g.id LEFT JOIN there t ON t.group_id = g.id LEFT JOIN twice w ON w.group_id = g.id
    WHERE (g.dissolved_at IS NULL OR g.dissolved_at >= %(start)s) AND coalesce(g.founded_at, g.asked_at) < %(end)s
"""
_DAYS = """
    INSERT INTO campaigns_groupday (group_id, day, customer_count, joined_count, left_count, buyer_count, spend_fen)
    SELECT group_id, %(day)s, people, day_joined, day_gone, day_buyers, day_fen FROM group_counted
    ON CONFLICT (group_id, day) DO UPDATE SET customer_count = EXCLUDED.customer_count, joined_count = EXCLUDED.joined_count,
        left_count = EXCLUDED.left_count, buyer_count = EXCLUDED.buyer_count, spend_fen = EXCLUDED.spend_fen
"""
_HEALTH = """
    INSERT INTO campaigns_grouphealth (group_id, day, state, customer_count, matched_count, duplicate_count, joined_count, left_count,
        growth_count, leave_bp, buyer_count, spend_fen, spend_per_member_fen, alive_days, quiet_days)
    SELECT group_id, %(day)s, CASE
            WHEN status = 1 THEN 'NO_OWNER' WHEN alive < %(grace)s THEN 'NEW'
            WHEN gone > 0 AND gone * 10000 >= %(leave_bp)s * (before + joined) THEN 'LEAVING'
            WHEN quiet >= %(silent)s THEN 'SILENT' WHEN people < %(least)s THEN 'SMALL'
            WHEN people * 10000 >= %(full_bp)s * %(capacity)s THEN 'FULL' ELSE 'HEALTHY' END,
        people, members, twice, joined, gone, joined - gone, gone * 10000 / greatest(1, before + joined), buyers, fen,
        CASE WHEN members > 0 THEN round(fen::numeric / members)::bigint ELSE 0 END, alive, quiet
    FROM group_counted
    ON CONFLICT (group_id) DO UPDATE SET day = EXCLUDED.day, state = EXCLUDED.state, customer_count = EXCLUDED.customer_count,
        matched_count = EXCLUDED.matched_count, duplicate_count = EXCLUDED.duplicate_count, joined_count = EXCLUDED.joined_count,
        left_count = EXCLUDED.left_count, growth_count = EXCLUDED.growth_count, leave_bp = EXCLUDED.leave_bp,
        buyer_count = EXCLUDED.buyer_count, spend_fen = EXCLUDED.spend_fen, spend_per_member_fen = EXCLUDED.spend_per_member_fen,
        alive_days = EXCLUDED.alive_days, quiet_days = EXCLUDED.quiet_days
    WHERE campaigns_grouphealth.day <= EXCLUDED.day
"""
TEMPORARY = ("group_bought", "group_inside", "group_twice", "group_counted")


def settings_of_brand() -> GroupSettings:
    """The limits of the brand, made with their defaults when they are first asked for."""
    return GroupSettings.objects.get_or_create(brand=Brand.objects.get(code=BRAND))[0]


def start_now(*, day: dt.date, actor: Any, key: str | None = None) -> Job:
    return jobs.enqueue(KIND, actor=actor, params={"day": day.isoformat()}, key=key)


def start_daily(*, now: dt.datetime) -> list[Job]:
    """Yesterday, once, and days before it that were missed, up to a week: the day's rows are of the day."""
    today = now.astimezone(ZONE)
    if today.hour not in COUNTED_HOURS or not Group.objects.exists():
        return []
    yesterday = today.date() - dt.timedelta(days=1)
    last = GroupHealth.objects.order_by("-day").values_list("day", flat=True).first()
    first = max(yesterday - dt.timedelta(days=6), min(yesterday, (last or yesterday) + dt.timedelta(days=1)))
    days = [first + dt.timedelta(days=ahead) for ahead in range((yesterday - first).days + 1)]
    return [start_now(day=day, actor=None, key=f"{KIND} {day}") for day in days]


def work(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``group_health``."""
    progress.stage(KIND)
    return {"groups": count(day=dt.date.fromisoformat(progress.job.params["day"]))}


@transaction.atomic
def count(*, day: dt.date) -> int:
    """Count all groups as of the end of ``day``; how many. One transaction: cut short, nothing has changed."""
    limits = settings_of_brand()
    start = dt.datetime.combine(day, dt.time(), ZONE)
    values: dict[str, Any] = {
        "day": day, "start": start, "end": start + dt.timedelta(days=1), "first": start - dt.timedelta(days=WINDOW - 1),
        "grace": limits.grace_days, "leave_bp": limits.leave_rate_bp, "silent": limits.silent_days, "least": limits.least_count,
        "full_bp": limits.full_bp, "capacity": limits.capacity,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        for statement in (_BOUGHT, _INSIDE, _TWICE, _COUNTED):
            cursor.execute(statement, values)
            if statement in (_BOUGHT, _INSIDE):
                cursor.execute(f"ANALYZE {'group_bought' if statement == _BOUGHT else 'group_inside'}")
        cursor.execute(_DAYS, values)
        cursor.execute(_HEALTH, values)
        counted = cursor.rowcount
        for table in TEMPORARY:
            cursor.execute(f"DROP TABLE {table}")
    GroupDay.objects.filter(day__lt=day - KEPT).delete()
    return int(counted)


# --- reading ----------------------------------------------------------------------------------------------------------


def days_of(group: Group, *, since: dt.date) -> list[GroupDay]:
    return list(GroupDay.objects.filter(group=group, day__gte=since).order_by("day"))


def summary(*, store_ids: Sequence[int] | None) -> dict[str, Any]:
    """All groups of these stores (None: of all) together: how many, people, share matched to members, by state."""
    rows = GroupHealth.objects.filter(group__dissolved_at=None)
    if store_ids is not None:
        rows = rows.filter(group__store__in=list(store_ids))
    sums = rows.aggregate(
        groups=Count("pk"), customers=Sum("customer_count", default=0), members=Sum("matched_count", default=0),
        duplicates=Sum("duplicate_count", default=0), growth=Sum("growth_count", default=0), day=Max("day"),
    )  # fmt: skip
    states = dict(rows.order_by("state").values_list("state").annotate(Count("pk")))
    matched = sums["members"] * 10_000 // sums["customers"] if sums["customers"] else None
    return {**sums, "states": states, "matched_bp": matched}


_DUPLICATES = """
    SELECT s.userid, max(s.member_id) AS member_id, count(*) AS count, min(s.joined_at) AS first_at,
           string_agg(coalesce(nullif(g.name, ''), g.chat_id), '、' ORDER BY s.joined_at) AS names
    FROM campaigns_groupstay s JOIN campaigns_group g ON g.id = s.group_id AND g.dissolved_at IS NULL
    WHERE g.store_id = %(store)s AND s.left_at IS NULL AND NOT s.is_staff
    GROUP BY s.userid HAVING count(*) > 1 ORDER BY count(*) DESC, s.userid LIMIT %(limit)s
"""


def duplicates(*, store_id: int, limit: int) -> list[dict[str, Any]]:
    """Who is in several groups of a store now: ``userid, member_id, count, first_at, names``, the most first."""
    return db.fetch_dicts(_DUPLICATES, {"store": store_id, "limit": limit})
