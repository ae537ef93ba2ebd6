"""The proof of the friend count (好友数对账): ours, WeCom's, the difference, and how old the comparison is.

1. Our number is kept with every change; WeCom's is that of the last sweep, and beside it stands what ours was then.
2. So the difference is one moment's: ends that are held back, accounts that WeCom does not show us, nothing else. What has
   changed since then came by events.
3. An account belongs to the store where its guide works now. Accounts of nobody are HQ's to see.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from guides.models import ContactSweep
from scrm import db
from scrm.copyin import problems
from scrm.org import Scope

LEVELS = ("region", "store", "account")

_FROM = """
    FROM guides_follower f LEFT JOIN guides_employment e ON e.guide_id = f.guide_id AND e.ended_at IS NULL
    LEFT JOIN scrm_store s ON s.id = e.store_id LEFT JOIN scrm_region r ON r.id = s.region_id
    LEFT JOIN guides_guide g ON g.id = f.guide_id
    LEFT JOIN guides_heldends h ON h.follower_id = f.id AND h.status = 'WAITING'
    WHERE (f.is_listed IS NOT FALSE OR f.friend_count > 0) AND (%(is_everything)s OR e.store_id = ANY(%(stores)s))
        AND (%(region)s::bigint IS NULL OR COALESCE(s.region_id, 0) = %(region)s)
        AND (%(store)s::bigint IS NULL OR COALESCE(e.store_id, 0) = %(store)s)"""
_KEY = {"region": "COALESCE(r.id, 0)", "store": "COALESCE(s.id, 0)", "account": "f.id"}
_NAME = {
    "region": "COALESCE(r.name, '')",
    "store": "COALESCE(s.name || ' ' || s.code, '')",
    "account": "COALESCE(g.name || ' ' || g.code || ' · ', '') || f.userid",
}
_SUMS = """
    count(*)::int AS account_count, sum(f.friend_count)::int AS friend_count, sum(f.left_count)::int AS left_count,
    COALESCE(sum(f.wecom_count), 0)::int AS wecom_count, COALESCE(sum(f.counted_here), 0)::int AS counted_here,
    COALESCE(sum(f.friend_count) FILTER (WHERE f.swept_at IS NOT NULL), 0)::int AS swept_friends,
    COALESCE(sum(h.missing_count), 0)::int AS held_count, min(f.swept_at) AS swept_at,
    (count(*) FILTER (WHERE f.swept_at IS NULL))::int AS unswept_count,
    (count(*) FILTER (WHERE f.is_listed IS FALSE))::int AS unlisted_count,
    (count(*) FILTER (WHERE f.error_code <> ''))::int AS failed_count, COALESCE(max(f.error_code), '') AS error_code"""


@dataclass(frozen=True)
class Row:
    """One region, store or account; ``key`` 0 for what belongs to none."""

    key: int
    name: str
    account_count: int
    friend_count: int
    left_count: int
    wecom_count: int
    counted_here: int
    swept_friends: int
    held_count: int
    swept_at: dt.datetime | None
    unswept_count: int
    unlisted_count: int
    failed_count: int
    error_code: str

    @property
    def difference(self) -> int:
        """Ours less WeCom's, when they were compared."""
        return self.counted_here - self.wecom_count

    @property
    def since_then(self) -> int:
        return self.swept_friends - self.counted_here

    @property
    def problem(self) -> str:
        return problems.message(self.error_code) if self.error_code else ""


def rows(*, scope: Scope, level: str, region: int | None = None, store: int | None = None) -> list[Row]:
    """The biggest first; one statement over the accounts, not over their friends."""
    key = _KEY[level]
    statement = f"""SELECT {key} AS key, {_NAME[level]} AS name, {_SUMS} {_FROM}
        GROUP BY 1, 2 ORDER BY sum(f.friend_count) DESC, 1"""
    return [Row(**row) for row in db.fetch_dicts(statement, _values(scope, region, store))]


def total(found: Sequence[Row]) -> dict[str, int]:
    names = ("friend_count", "left_count", "wecom_count", "counted_here", "held_count", "difference")
    return {name: sum(getattr(row, name) for row in found) for name in names}


def accounts(*, scope: Scope, region: int | None = None, store: int | None = None) -> dict[int, list[str]]:
    """The accounts behind a page, by corp."""
    found: dict[int, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT f.corp_id, f.userid {_FROM} ORDER BY f.id", _values(scope, region, store))
        for corp_id, userid in cursor.fetchall():
            found.setdefault(corp_id, []).append(userid)
    return found


def open_sweeps(*, limit: int = 5) -> list[ContactSweep]:
    """Sweeps under way or held up, the newest first."""
    rows = ContactSweep.objects.filter(status__in=[ContactSweep.Status.RUNNING, ContactSweep.Status.PAUSED])
    return list(rows.select_related("corp").order_by("-pk")[:limit])


def _values(scope: Scope, region: int | None, store: int | None) -> dict[str, Any]:
    return {
        "is_everything": scope.is_everything, "stores": sorted(scope.store_ids or ()), "region": region, "store": store,
    }  # fmt: skip
