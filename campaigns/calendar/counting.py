"""How far the stores are: counted by the clock for yesterday and today, so that no page reads actions.

Towards a quota count the customers contacted (service acts of the store that day, by kind), and for posts and all else the
tasks done.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db import connection, transaction

from campaigns.calendar import rules

COUNT = """
    WITH items AS MATERIALIZED (
        SELECT s.id, s.store_id, s.day, s.starts_at, e.task_kind FROM campaigns_calendarstoreday s
        JOIN campaigns_calendarentry e ON e.id = s.entry_id
        WHERE s.day = ANY(%(days)s) AND s.status = 'PLANNED'
    ), acts AS MATERIALIZED (
        SELECT acted_on, store_id, kind, count(*) AS made FROM guides_serviceact
        WHERE acted_on = ANY(%(days)s) AND kind IN ('CHAT', 'CALL') GROUP BY 1, 2, 3
    ), tasks AS (
        SELECT a.source_id, count(*) FILTER (WHERE a.status = 'DONE') AS done,
               count(*) FILTER (WHERE a.status IN ('SKIPPED', 'UNSUITABLE')) AS skipped
        FROM items i JOIN guides_action a ON a.source = 'CALENDAR' AND a.source_id = i.id GROUP BY 1
    ), counted AS (
        SELECT i.id, COALESCE(t.done, 0) AS done, COALESCE(t.skipped, 0) AS skipped,
               CASE i.task_kind WHEN 'MESSAGE' THEN COALESCE(c.made, 0) WHEN 'CALL' THEN COALESCE(c.made, 0)
                    ELSE COALESCE(t.done, 0) END AS made
        FROM items i LEFT JOIN tasks t ON t.source_id = i.id
        LEFT JOIN acts c ON c.acted_on = i.day AND c.store_id = i.store_id
            AND c.kind = CASE i.task_kind WHEN 'MESSAGE' THEN 'CHAT' ELSE 'CALL' END
    )
    UPDATE campaigns_calendarstoreday s SET done_count = c.done, skipped_count = c.skipped, made_count = c.made, counted_at = %(now)s
    FROM counted c WHERE c.id = s.id
      AND (s.counted_at IS NULL OR (s.done_count, s.skipped_count, s.made_count) <> (c.done, c.skipped, c.made))
"""


# the same for all stores together, so that HQ's pages add nothing up
SUMS = """
    WITH summed AS (
        SELECT s.entry_id, s.day, count(*) FILTER (WHERE s.status = 'PLANNED') AS stores,
               count(*) FILTER (WHERE s.status = 'DROPPED') AS dropped,
               count(*) FILTER (WHERE s.status = 'PLANNED' AND s.quota_count > 0 AND s.made_count >= s.quota_count) AS reached,
               COALESCE(sum(s.task_count) FILTER (WHERE s.status = 'PLANNED'), 0) AS tasks,
               COALESCE(sum(s.done_count) FILTER (WHERE s.status = 'PLANNED'), 0) AS done,
               COALESCE(sum(s.quota_count) FILTER (WHERE s.status = 'PLANNED'), 0) AS quota,
               COALESCE(sum(s.made_count) FILTER (WHERE s.status = 'PLANNED'), 0) AS made
        FROM campaigns_calendarstoreday s WHERE s.day = ANY(%(days)s) GROUP BY 1, 2
    )
    UPDATE campaigns_calendarday d SET store_count = s.stores, dropped_count = s.dropped, reached_count = s.reached,
        task_count = s.tasks, done_count = s.done, quota_count = s.quota, made_count = s.made
    FROM summed s WHERE s.entry_id = d.entry_id AND s.day = d.day
      AND (d.store_count, d.dropped_count, d.reached_count, d.task_count, d.done_count, d.quota_count, d.made_count)
        <> (s.stores, s.dropped, s.reached, s.tasks, s.done, s.quota, s.made)
"""


def add_up(days: Sequence[dt.date]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(SUMS, {"days": list(days)})


@transaction.atomic
def count(*, now: dt.datetime) -> int:
    """How many rows have changed."""
    today = now.astimezone(rules.SHANGHAI).date()
    days = [today - dt.timedelta(days=1), today]
    with connection.cursor() as cursor:
        cursor.execute(COUNT, {"days": days, "now": now})
        changed = int(cursor.rowcount)
    add_up(days)
    return changed
