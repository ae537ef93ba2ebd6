"""The events from which customers enter an SOP (锚点), each read in one statement.

Every statement gives (member_id, key, anchored_at): the member, the event's key (64 characters) and its moment, for events
in [since, until]. A window is read again and again and each event taken once, so a fact that is booked late is not lost.
"""

from __future__ import annotations

# what was bought and not taken back, by a member who is one still
BOUGHT = """
    SELECT l.member_id, 'order ' || l.order_id AS key, min(l.paid_at) AS anchored_at
    FROM members_orderline l
    WHERE l.member_id IS NOT NULL AND l.paid_at >= %(since)s AND l.paid_at <= %(until)s
      AND l.booked_on >= %(since_day)s AND NOT l.is_voided AND NOT l.is_test AND NOT l.is_wholesale
      AND l.paid_fen > l.refunded_fen
    GROUP BY l.member_id, l.order_id
"""
# the touch says when; who she is may have become known since
FRIEND_ADDED = """
    SELECT COALESCE(t.member_id, c.member_id) AS member_id, 'friend ' || t.id AS key, t.at AS anchored_at
    FROM guides_touch t JOIN guides_contact c ON c.id = t.contact_id
    WHERE t.kind IN ('QR', 'FRIEND') AND t.at >= %(since)s AND t.at <= %(until)s
      AND t.touched_on >= %(since_day)s AND t.touched_on <= %(until_day)s
      AND COALESCE(t.member_id, c.member_id) IS NOT NULL
"""
# opens the day that lies ``days`` before it; who was born on 29 February has it on the 28th of other years
BIRTHDAY = """
    SELECT m.id AS member_id, 'birthday ' || extract(year FROM d.birthday)::int AS key,
           (d.day::timestamp AT TIME ZONE 'Asia/Shanghai') AS anchored_at
    FROM (
        SELECT day::date AS day, (day + make_interval(days => %(days)s))::date AS birthday
        FROM generate_series(%(since_day)s::date, %(until_day)s::date, interval '1 day') day
    ) d
    JOIN members_member m ON (extract(month FROM m.birthday) * 100 + extract(day FROM m.birthday))::int = ANY(
        CASE WHEN to_char(d.birthday, 'MMDD') = '0228' AND to_char(d.birthday + 1, 'MMDD') = '0301' THEN ARRAY[228, 229]
        ELSE ARRAY[extract(month FROM d.birthday)::int * 100 + extract(day FROM d.birthday)::int] END
    )
    WHERE m.birthday IS NOT NULL
"""
# ``days`` after the last purchase, which nothing has followed
LAPSED = """
    SELECT b.member_id, 'lapse ' || b.last_on AS key,
           ((b.last_on + make_interval(days => %(days)s)) AT TIME ZONE 'Asia/Shanghai') AS anchored_at
    FROM (
        SELECT f.member_id, f.last_on FROM members_memberfacts f
        WHERE f.last_on >= %(since_day)s::date - %(days)s AND f.last_on <= %(until_day)s::date - %(days)s
    ) b
"""
# each stay is an event of its own: who leaves and joins again begins again
GROUP_JOINED = """
    SELECT s.member_id, 'group ' || s.id AS key, s.joined_at AS anchored_at FROM campaigns_groupstay s
    WHERE NOT s.is_staff AND s.member_id IS NOT NULL AND s.joined_at >= %(since)s AND s.joined_at <= %(until)s
      AND s.left_at IS NULL
"""
STATEMENTS = {
    "BOUGHT": BOUGHT,
    "FRIEND_ADDED": FRIEND_ADDED,
    "BIRTHDAY": BIRTHDAY,
    "LAPSED": LAPSED,
    "GROUP_JOINED": GROUP_JOINED,
}
DATED = frozenset({"BIRTHDAY", "LAPSED"})  # begin with a day: looked for when it begins and each hour, not each minute
