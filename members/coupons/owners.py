"""Whose coupons (持券人): the member with an identity; of a merged member the one she is now."""

from __future__ import annotations

from members.models.coupon_triggers import HEIR
from scrm import db

_OWNER = HEIR.format(
    first="(SELECT member_id FROM members_identity WHERE kind = %(kind)s AND value = %(value)s ORDER BY id LIMIT 1)"
)


def of_identity(*, kind: str, value: str) -> int | None:
    rows = db.fetch(_OWNER, {"kind": kind, "value": value})
    return int(rows[0][0]) if rows else None
