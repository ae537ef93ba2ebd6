"""Periods (账期): the calendar months of posting, and what a closed one means.

1. The period of a posting is the month of its ``posted_at`` in Asia/Shanghai.
2. A closed period takes no posting any more; the database refuses it. A later correction is posted in the open period
   and names the one it adjusts (``adjusts_period``).
3. Closing freezes the entries under a digest: SHA-256 over the digests of blocks of 65,536 consecutive entries, each over
   its entries in the order of their ids: transaction key, position, account, store, amount, time of posting.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple
from zoneinfo import ZoneInfo

from attribution.models import ClosedPeriod
from scrm import db

SHANGHAI = ZoneInfo("Asia/Shanghai")


class Frozen(NamedTuple):
    """What a period holds: entries, the sum of their debits (fen > 0), the digest."""

    entry_count: int
    debit_fen: int
    digest: str


def period_of(at: dt.datetime) -> str:
    """``2026-05``."""
    return period_of_day(at.astimezone(SHANGHAI).date())


def period_of_day(day: dt.date) -> str:
    return f"{day:%Y-%m}"


def first_day(period: str) -> dt.date:
    return dt.date.fromisoformat(f"{period}-01")


def following(period: str) -> str:
    return period_of_day(first_day(period) + dt.timedelta(days=31))


def previous(period: str) -> str:
    return period_of_day(first_day(period) - dt.timedelta(days=1))


def ends_at(period: str) -> dt.datetime:
    """The first moment after it."""
    return dt.datetime.combine(first_day(following(period)), dt.time(), SHANGHAI)


def is_closed(period: str) -> bool:
    return ClosedPeriod.objects.filter(pk=period).exists()


def closed() -> frozenset[str]:
    return frozenset(ClosedPeriod.objects.values_list("period", flat=True))


DIGEST = """
    SELECT coalesce(sum(n), 0)::bigint, coalesce(sum(debit), 0)::bigint,
           encode(sha256(coalesce(string_agg(block, ''::bytea ORDER BY id_block), ''::bytea)), 'hex')
    FROM (
        SELECT e.id / 65536 AS id_block, count(*) AS n, -sum(least(e.amount_fen, 0)) AS debit,
               sha256(convert_to(string_agg(
                   concat_ws('|', t.key, e.position, a.code, e.store_id, e.amount_fen,
                             to_char(t.posted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')), E'\\n' ORDER BY e.id), 'UTF8')) AS block
        FROM attribution_entry e
        JOIN attribution_txn t ON t.id = e.txn_id
        JOIN attribution_account a ON a.id = e.account_id
        WHERE e.posted_on >= %s AND e.posted_on < %s
        GROUP BY e.id / 65536
    ) blocks
"""


def frozen(period: str) -> Frozen:
    """Reads every entry of the period: seconds for millions."""
    rows = db.read(DIGEST, [first_day(period), first_day(following(period))])
    return Frozen(*rows[0])
