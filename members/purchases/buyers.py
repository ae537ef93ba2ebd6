"""Buyers (购买人): which member a line belongs to, at intake and when she becomes known later."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection, transaction

BRAND = "MAIN"  # the namespace of cards, mobile numbers and unionids
CHUNK_LINES = 10_000


def found_by(kind: str, value: str, namespace: str = f"'{BRAND}'") -> str:
    """SQL for the member who has this identity; NULL for nobody or an empty value."""
    return (
        f"(SELECT i.member_id FROM members_identity i WHERE {value} <> '' AND i.value = {value} AND i.kind = '{kind}'"
        f" AND i.namespace = {namespace})"
    )


# by card, else mobile number, else unionid, else the account in that shop; ``l`` is the line, ``o`` its order
MEMBER = f"""coalesce({found_by("CARD", "l.buyer_card_no")}, {found_by("MOBILE", "l.buyer_mobile_index")},
    {found_by("UNIONID", "l.buyer_unionid")}, {found_by("ACCOUNT", "l.buyer_account", "o.channel || '/' || o.shop")})"""

LATE = """
    CREATE TEMPORARY TABLE late_lines ON COMMIT PRESERVE ROWS AS
    SELECT DISTINCT l.id, l.booked_on FROM members_orderline l
    JOIN members_identity i ON i.value = l.buyer_mobile_index AND i.kind = 'MOBILE'
    WHERE l.member_id IS NULL AND l.buyer_mobile_index <> '' AND i.linked_at >= %(since)s
    UNION
    SELECT l.id, l.booked_on FROM members_orderline l
    JOIN members_identity i ON i.value = l.buyer_card_no AND i.kind = 'CARD'
    WHERE l.member_id IS NULL AND l.buyer_card_no <> '' AND i.linked_at >= %(since)s
"""
TAKE = """
    DELETE FROM late_lines WHERE id = ANY(ARRAY(SELECT id FROM late_lines ORDER BY id LIMIT %s)) RETURNING id, booked_on
"""
CHUNK = "(SELECT unnest(%(ids)s::bigint[]) AS id, unnest(%(days)s::date[]) AS booked_on) k"
LOCK_ORDERS = f"""
    SELECT o.id FROM members_order o
    WHERE o.id IN (SELECT l.order_id FROM {CHUNK} JOIN members_orderline l ON l.id = k.id AND l.booked_on = k.booked_on)
    ORDER BY o.id FOR NO KEY UPDATE
"""
QUEUE = f"""
    INSERT INTO members_linetodecide (line_id, booked_on) SELECT k.id, k.booked_on FROM {CHUNK} ORDER BY k.id
    ON CONFLICT (line_id) DO UPDATE SET booked_on = EXCLUDED.booked_on
"""
RECOGNISE = f"""
    UPDATE members_orderline l SET member_id = {MEMBER} FROM {CHUNK}, members_order o
    WHERE l.id = k.id AND l.booked_on = k.booked_on AND o.id = l.order_id AND l.member_id IS NULL
"""


def recognise_buyers(*, since: dt.datetime) -> int:
    """Give lines without a member to whom their card or number belongs by now, and queue them; the number of lines.

    Looks at identities that were linked at ``since`` or later. Each chunk is a transaction of its own; running it again
    finds what a kill has left.
    """
    count = 0
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.late_lines")
        cursor.execute(LATE, {"since": since})
        while taken := _recognise_chunk(cursor):
            count += taken
        cursor.execute("DROP TABLE pg_temp.late_lines")
    return count


@transaction.atomic
def _recognise_chunk(cursor: Any) -> int:
    cursor.execute(TAKE, [CHUNK_LINES])
    rows = cursor.fetchall()
    if rows:
        chunk = {"ids": [line_id for line_id, _day in rows], "days": [day for _line_id, day in rows]}
        for statement in (LOCK_ORDERS, QUEUE, RECOGNISE):
            cursor.execute(statement, chunk)
    return len(rows)
