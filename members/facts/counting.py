"""The statements that count facts: one set for some members and for everybody, so that both say the same."""

from __future__ import annotations

from typing import Any

from members.models import LifecycleRule, MemberFacts, Stage

WINDOWS = (30, 90, 365)  # days
ZONE = "Asia/Shanghai"

COLUMNS = (
    "member_id", "first_on", "last_on", "orders_count", "orders_30", "orders_90", "orders_365", "spend_fen", "spend_30_fen",
    "spend_90_fen", "spend_365_fen", "average_fen", "weekday", "hour", "category_id", "channels", "stage", "changes_on",
)  # fmt: skip
TABLE = MemberFacts._meta.db_table

# whoever was merged, and the member who remains at the end of the chain; a circle has no end and nobody in it
_HEIRS = """
    heir AS (
        SELECT id, merged_into_id AS root FROM members_member WHERE merged_into_id IS NOT NULL
        UNION
        SELECT h.id, m.merged_into_id FROM heir h JOIN members_member m ON m.id = h.root WHERE m.merged_into_id IS NOT NULL
    ), gone AS (
        SELECT h.id, h.root FROM heir h JOIN members_member m ON m.id = h.root AND m.merged_into_id IS NULL
    )"""
EVERYBODY = (
    f"WITH RECURSIVE {_HEIRS},",
    "members_orderline l LEFT JOIN gone g ON g.id = l.member_id",
    "coalesce(g.root, l.member_id)",
)
# ``facts_family`` (id, root): some members with everybody who was merged into them
SOME = ("WITH", "facts_family g JOIN members_orderline l ON l.member_id = g.id", "g.root")

# up from each asked member to who remains of her, and down again to everybody merged into that one
FAMILY = """
    INSERT INTO facts_family (id, root)
    WITH RECURSIVE up AS (
        SELECT m.id, m.merged_into_id FROM members_member m JOIN facts_asked a ON a.member_id = m.id
        UNION
        SELECT m.id, m.merged_into_id FROM up u JOIN members_member m ON m.id = u.merged_into_id
    ), down AS (
        SELECT id, id AS root FROM up WHERE merged_into_id IS NULL
        UNION
        SELECT m.id, d.root FROM down d JOIN members_member m ON m.merged_into_id = d.id
    )
    SELECT id, root FROM down
    UNION
    SELECT a.id, a.id FROM up a WHERE NOT EXISTS (SELECT 1 FROM down d WHERE d.id = a.id)
"""


def count(who: tuple[str, str, str]) -> str:
    """The query for the facts of the members of ``who``; its one parameter is ``today``, the business day."""
    start, source, member = who
    default = {name: getattr(LifecycleRule._meta.get_field(name), "default", None) for name in _RULE}
    rule = {name: f"coalesce(r.{name}, {default[name]})" for name in _RULE}
    days, hours = range(1, 8), range(24)
    return f"""
    {start} line AS MATERIALIZED (
        SELECT {member} AS member_id, l.order_id, l.paid_at AT TIME ZONE '{ZONE}' AS at, l.channel, p.category_id,
               l.paid_fen - l.refunded_fen AS fen
        FROM {source} JOIN members_product p ON p.id = l.product_id
        WHERE l.member_id IS NOT NULL AND NOT (l.is_voided OR l.is_test OR l.is_gift_card)
          AND (l.paid_fen = 0 OR l.refunded_fen < l.paid_fen)
    ), placed AS (
        SELECT member_id, min(at) AS at, min(channel) AS channel, sum(fen) AS fen FROM line GROUP BY member_id, order_id
    ), counted AS (
        SELECT member_id, min(at)::date AS first_on, max(at)::date AS last_on, count(*) AS orders_count, sum(fen) AS spend_fen,
               {", ".join(_window(days) for days in WINDOWS)},
               ARRAY[{", ".join(f"count(*) FILTER (WHERE weekday = {day})" for day in days)}] AS weekdays,
               ARRAY[{", ".join(f"count(*) FILTER (WHERE hour = {hour})" for hour in hours)}] AS hours
        -- sorted: hashed, the thirty counts of a member would take three kilobytes each
        FROM (
            SELECT *, extract(isodow FROM at)::int AS weekday, extract(hour FROM at)::int AS hour FROM placed ORDER BY member_id
        ) p GROUP BY member_id
    ), liked AS (
        SELECT DISTINCT ON (member_id) member_id, category_id FROM (
            SELECT member_id, category_id, sum(fen) AS fen FROM line WHERE category_id IS NOT NULL GROUP BY 1, 2
        ) s ORDER BY member_id, fen DESC, category_id
    ), bought_at AS (
        SELECT member_id, array_agg(channel ORDER BY channel COLLATE "C") AS channels
        FROM (SELECT DISTINCT member_id, channel FROM placed) s GROUP BY member_id
    ), staged AS (
        SELECT c.*, CASE
            WHEN %(today)s::date - c.last_on >= {rule["lapsing_days"]} THEN '{Stage.LOST}'
            WHEN %(today)s::date - c.last_on >= {rule["sleeping_days"]} THEN '{Stage.LAPSING}'
            WHEN %(today)s::date - c.last_on >= {rule["active_days"]} THEN '{Stage.SLEEPING}'
            WHEN c.orders_count >= {rule["repeat_orders"]} THEN '{Stage.REPEAT}'
            WHEN c.orders_count = 1 AND %(today)s::date - c.first_on < {rule["new_days"]} THEN '{Stage.NEW}'
            ELSE '{Stage.ACTIVE}' END AS stage,
            {rule["new_days"]} AS new_days, {rule["active_days"]} AS active_days, {rule["sleeping_days"]} AS sleeping_days,
            {rule["lapsing_days"]} AS lapsing_days
        FROM counted c JOIN members_member m ON m.id = c.member_id AND m.status IN ('ACTIVE', 'FROZEN')
        LEFT JOIN members_lifecyclerule r ON r.brand_id = m.brand_id
    )
    SELECT s.member_id, s.first_on, s.last_on, s.orders_count::int, s.orders_30::int, s.orders_90::int, s.orders_365::int,
           s.spend_fen::bigint, s.spend_30_fen::bigint, s.spend_90_fen::bigint, s.spend_365_fen::bigint,
           ((2 * s.spend_fen + s.orders_count)::bigint / (2 * s.orders_count)) AS average_fen,
           array_position(s.weekdays, (SELECT max(n) FROM unnest(s.weekdays) n))::smallint AS weekday,
           (array_position(s.hours, (SELECT max(n) FROM unnest(s.hours) n)) - 1)::smallint AS hour,
           liked.category_id, bought_at.channels, s.stage,
           LEAST({", ".join(f"s.leaves_{days}" for days in WINDOWS)}, CASE s.stage
               WHEN '{Stage.NEW}' THEN LEAST(s.first_on + s.new_days, s.last_on + s.active_days)
               WHEN '{Stage.ACTIVE}' THEN s.last_on + s.active_days
               WHEN '{Stage.REPEAT}' THEN s.last_on + s.active_days
               WHEN '{Stage.SLEEPING}' THEN s.last_on + s.sleeping_days
               WHEN '{Stage.LAPSING}' THEN s.last_on + s.lapsing_days END) AS changes_on
    FROM staged s JOIN bought_at USING (member_id) LEFT JOIN liked USING (member_id)"""


_RULE = ("new_days", "repeat_orders", "active_days", "sleeping_days", "lapsing_days")


def _window(days: int) -> str:
    inside = f"FILTER (WHERE at >= %(today)s::date - {days - 1})"
    return (
        f"count(*) {inside} AS orders_{days}, coalesce(sum(fen) {inside}, 0) AS spend_{days}_fen,"
        f" min(at) {inside}::date + {days} AS leaves_{days}"
    )


def write(counted: str) -> str:
    """Bring the facts in line with the table ``counted``; touches no row that says the same already."""
    names = ", ".join(COLUMNS)
    values = COLUMNS[1:]
    return f"""
    INSERT INTO {TABLE} ({names}, as_of) SELECT {names}, %(today)s FROM {counted} ORDER BY member_id
    ON CONFLICT (member_id) DO UPDATE SET {", ".join(f"{name} = EXCLUDED.{name}" for name in (*values, "as_of"))}
    WHERE ({", ".join(f"{TABLE}.{name}" for name in values)}) IS DISTINCT FROM ({", ".join(f"EXCLUDED.{name}" for name in values)})"""


def forget(asked: str, counted: str) -> str:
    """Take away the facts of members of ``asked`` (column id) who have none any more."""
    return f"""
    DELETE FROM {TABLE} f USING {asked} a WHERE a.id = f.member_id
       AND NOT EXISTS (SELECT 1 FROM {counted} c WHERE c.member_id = f.member_id)"""


def differing(counted: str) -> str:
    """How many members' facts do not say what ``counted`` says, in either direction."""
    names = ", ".join(COLUMNS)
    return f"""
    SELECT count(*) FROM (
        (SELECT {names} FROM {counted} EXCEPT ALL SELECT {names} FROM {TABLE})
        UNION ALL (SELECT {names} FROM {TABLE} EXCEPT ALL SELECT {names} FROM {counted})
    ) d"""


def execute(cursor: Any, statement: str, today: Any = None) -> int:
    cursor.execute(statement, {"today": today})
    return int(cursor.rowcount)
