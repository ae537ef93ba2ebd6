"""The activity board of groups (群运营看板): by region, store and group, what is due and done today and how the week went.

1. A group has something due today when a step of its SOP comes today, or an action or a mass send for it waits for its owner;
   it has something done today when she has ended one today, or her mass send has gone out today.
2. Messages of the week: mass sends that reached the group, and posts that its owner says she has made. Who joined and who
   left counts by the moment of it; staff do not count.
3. A group stands with the store of its owner; a dissolved one does not stand here.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from scrm import db, org

ZONE = ZoneInfo("Asia/Shanghai")
WEEK = dt.timedelta(days=7)
LONGEST = dt.timedelta(days=31)  # how long an action or a task may wait
SHOWN = 200
LEVELS = {
    "region": ("s.region_id", "r.name"),
    "store": ("g.store_id", "s.name"),
    "group": ("g.id", "COALESCE(NULLIF(g.name, ''), g.chat_id)"),
}

BOARD = """
    WITH g AS MATERIALIZED (
        SELECT g.id, g.store_id, g.name, g.chat_id, g.customer_count FROM campaigns_group g
        LEFT JOIN scrm_store s ON s.id = g.store_id
        WHERE g.dissolved_at IS NULL AND (%(stores)s::bigint[] IS NULL OR g.store_id = ANY(%(stores)s))
          AND (%(region)s::bigint IS NULL OR s.region_id = %(region)s) AND (%(store)s::bigint IS NULL OR g.store_id = %(store)s)
          AND (%(owner)s::bigint IS NULL OR g.owner_id = %(owner)s)
    ), said AS (
        SELECT r.group_id, a.kind, a.status, a.ended_at FROM g
        JOIN campaigns_grouprun r ON r.group_id = g.id AND (r.status = 'ACTIVE' OR r.ended_at >= %(long)s)
        JOIN guides_action a ON a.source = 'GROUP_SOP' AND a.source_id = r.id AND (a.status = 'OPEN' OR a.ended_at >= %(week)s)
        UNION ALL
        SELECT p.group_id, a.kind, a.status, a.ended_at FROM campaigns_groupnotice n
        JOIN campaigns_groupnoticepost p ON p.notice_id = n.id AND p.reason = ''
        JOIN guides_action a ON a.key = 'notice ' || n.id || ' ' || p.group_id AND (a.status = 'OPEN' OR a.ended_at >= %(week)s)
        WHERE n.given_at >= %(long)s
    ), things AS (
        SELECT group_id, bool_or(due) AS due, bool_or(done) AS done, sum(sent) AS sent FROM (
            SELECT group_id, status = 'OPEN' AS due, status = 'DONE' AND ended_at >= %(today)s AS done,
                   (status = 'DONE' AND kind = 'GROUP_POST')::int AS sent
            FROM said
            UNION ALL
            SELECT r.group_id, true, false, 0 FROM campaigns_grouprun r WHERE r.status = 'ACTIVE' AND r.due_at < %(tomorrow)s
            UNION ALL
            SELECT o.group_id, o.state = 'PLANNED', o.state = 'SENT' AND o.sent_at >= %(today)s,
                   (o.state = 'SENT' AND o.sent_at >= %(week)s)::int
            FROM g JOIN campaigns_grouprecipient o ON o.group_id = g.id AND o.contacted_at >= %(week)s
        ) t GROUP BY 1
    ), came AS (
        SELECT group_id, count(*) AS n FROM campaigns_groupstay WHERE NOT is_staff AND joined_at >= %(week)s AND joined_at <= %(now)s
        GROUP BY 1
    ), went AS (
        SELECT group_id, count(*) AS n FROM campaigns_groupstay
        WHERE NOT is_staff AND left_at IS NOT NULL AND left_at >= %(week)s AND left_at <= %(now)s GROUP BY 1
    )
    SELECT {key}, {name}, count(*), sum(g.customer_count)::bigint, count(*) FILTER (WHERE t.due), count(*) FILTER (WHERE t.done),
           COALESCE(sum(t.sent), 0)::bigint, COALESCE(sum(c.n), 0)::bigint, COALESCE(sum(w.n), 0)::bigint
    FROM g
    LEFT JOIN scrm_store s ON s.id = g.store_id LEFT JOIN scrm_region r ON r.id = s.region_id
    LEFT JOIN things t ON t.group_id = g.id LEFT JOIN came c ON c.group_id = g.id LEFT JOIN went w ON w.group_id = g.id
    GROUP BY 1, 2 ORDER BY 5 DESC, 2, 1 LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A region, a store or a group. ``due_count`` and ``done_count``: groups with something due or done today."""

    key: int | None
    name: str
    group_count: int
    customer_count: int
    due_count: int
    done_count: int
    sent_count: int
    joined_count: int
    left_count: int

    @property
    def growth(self) -> int:
        return self.joined_count - self.left_count


def lines(
    *, level: str, scope: org.Scope, now: dt.datetime, within: int | None = None, owner_id: int | None = None
) -> list[Line]:
    """By region, by store of a region, or by group of a store: who has most still due first. ``owner_id``: only her groups."""
    key, name = LEVELS[level]
    midnight = now.astimezone(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    values = {
        "stores": None if scope.is_everything else sorted(scope.store_ids or ()), "owner": owner_id, "now": now,
        "region": within if level == "store" else None, "store": within if level == "group" else None, "today": midnight,
        "tomorrow": midnight + dt.timedelta(days=1), "week": now - WEEK, "long": now - LONGEST, "limit": SHOWN,
    }  # fmt: skip
    return [Line(row[0], row[1] or "", *row[2:]) for row in db.fetch(BOARD.format(key=key, name=name), values)]


def total(found: list[Line]) -> Line:
    """Of the lines shown."""
    sums = [sum(getattr(line, name) for line in found) for name in Line.__slots__[2:]]
    return Line(None, "", *sums)
