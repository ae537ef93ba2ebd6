"""Caps of a month (月度封顶): what a guide's month earns above the cap of its rule is taken back when the month is settled.

1. The cap is that of the rule version that holds when the month ends. It counts what stands of the guide's commission of lines
   paid in the month, in every role, with the month's steps; add-friend rewards do not count.
2. What is above is owed back (CLAWBACK), before the batch of the month takes its lines. It was never earned, so a batch nets
   it wholly and first; the netting cap protects her pay from other debts.
3. A refund of any later day lowers the month: what is above is computed again, and what was taken too much is given back as
   due money of the open period. A month without a batch yet is computed with its batch.
4. What was taken of whom, of how much and above which cap is kept, and the statement says it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction

from attribution import ledger, periods, postings, rulebook
from attribution.models import ClosedPeriod, Hold, MonthCap, RuleVersion
from scrm import db

REASON = "MONTH_CAP"
MONTHS_BACK = 6

# What stands of each guide's month; the accrual that is named as corrected is her last one of it.
STANDING = """
    SELECT h.beneficiary_id, b.code, (array_agg(h.store_id ORDER BY h.earned_on DESC, h.id DESC))[1],
           sum(h.amount_fen - h.reversed_fen - h.clawed_fen)::bigint, (array_agg(h.txn_id ORDER BY h.id DESC))[1]
    FROM attribution_hold h
    JOIN attribution_beneficiary b ON b.id = h.beneficiary_id AND b.kind = 'GUIDE'
    WHERE h.earned_on >= %(first)s AND h.earned_on < %(end)s AND (h.line_id IS NOT NULL OR h.fact = %(steps)s)
    GROUP BY h.beneficiary_id, b.code
    HAVING sum(h.amount_fen - h.reversed_fen - h.clawed_fen) > %(cap)s
        OR EXISTS (SELECT 1 FROM attribution_monthcap c WHERE c.beneficiary_id = h.beneficiary_id AND c.period = %(period)s)
    ORDER BY b.code
"""
# Taken back and not netted by a batch yet: netting takes these debts first.
OPEN = """
    SELECT a.beneficiary_id, (-sum(e.amount_fen) - coalesce((
               SELECT sum(s.capped_fen) FROM attribution_statement s JOIN attribution_batch p ON p.id = s.batch_id AND p.status <> 'CANCELLED'
               WHERE s.beneficiary_id = a.beneficiary_id), 0))::bigint
    FROM attribution_txn t
    JOIN attribution_entry e ON e.txn_id = t.id AND e.posted_on = t.posted_on
    JOIN attribution_account a ON a.id = e.account_id AND a.kind = 'RECV'
    WHERE t.fact LIKE 'MONTH_CAP %%' AND t.kind = 'CLAWBACK' GROUP BY a.beneficiary_id
"""


@dataclass(frozen=True, slots=True)
class Month:
    """One guide's month as it stands, in fen."""

    beneficiary_id: int
    guide: str
    store_id: int | None
    earned_fen: int
    last_accrual_id: int


def cap_of(period: str) -> int | None:
    """The cap that counts for a month; None: no cap."""
    try:
        return rulebook.load().at(periods.ends_at(period) - dt.timedelta(microseconds=1)).month_cap_fen
    except rulebook.NoRule:
        return None


@transaction.atomic(durable=True)
def take_back(*, period: str, now: dt.datetime) -> int:
    """Bring what was taken back of every guide's month to what is above the cap; the number of postings."""
    cap = cap_of(period)
    if cap is None or periods.ends_at(period) > now:
        return 0
    kept = {row.beneficiary_id: row for row in db.lock(MonthCap.objects.filter(period=period))}
    values = {
        "first": periods.first_day(period), "end": periods.first_day(periods.following(period)), "steps": f"TIER {period}",
        "cap": cap, "period": period,
    }  # fmt: skip
    changed: list[tuple[Month, MonthCap, int]] = []
    for month in (Month(*row) for row in db.fetch(STANDING, values)):
        row = kept.get(month.beneficiary_id) or MonthCap(
            period=period, beneficiary_id=month.beneficiary_id, cap_fen=cap, taken_fen=0
        )
        change = max(0, month.earned_fen - row.cap_fen) - row.taken_fen
        if change or row.pk is None or row.earned_fen != month.earned_fen:
            row.store_id, row.earned_fen, row.changed_at = month.store_id, month.earned_fen, now
            row.taken_fen += change
            changed.append((month, row, change))
    batch = _postings(period, changed, now)
    for _month, row, _change in changed:
        row.save()
    ledger.post(batch=batch)
    return len(batch)


def follow_refunds(*, now: dt.datetime) -> int:
    """The settled months that refunds may still move; the number of postings."""
    if not RuleVersion.objects.filter(status=RuleVersion.Status.PUBLISHED, month_cap_fen__isnull=False).exists():
        return 0
    recent = ClosedPeriod.objects.order_by("-pk").values_list("pk", flat=True)[:MONTHS_BACK]
    return sum(take_back(period=period, now=now) for period in recent)


def open_debts() -> Mapping[int, int]:
    """``{beneficiary: fen > 0}`` taken back above a cap and in no batch's netting yet."""
    return {who: fen for who, fen in db.fetch(OPEN, {}) if fen > 0}


def fact_of(period: str) -> str:
    return f"{REASON} {period}"


def _postings(period: str, changed: Sequence[tuple[Month, MonthCap, int]], now: dt.datetime) -> list[ledger.Posting]:
    moved = [(month, row, change) for month, row, change in changed if change]
    keys = dict(
        db.read(
            "SELECT id, key FROM attribution_txn WHERE id = ANY(%s)",
            [db.array(m.last_accrual_id for m, _r, _c in moved)],
        )
    )
    stores = dict(
        db.read(
            "SELECT id, code FROM scrm_store WHERE id = ANY(%s)",
            [db.array(m.store_id for m, _r, _c in moved if m.store_id)],
        )
    )
    ids = ledger.Ids(Hold, sum(change < 0 for _month, _row, change in moved))
    ends_at, batch = periods.ends_at(period), []
    for month, row, change in moved:
        row.posting_count += 1
        fact = (REASON, period, month.guide, row.posting_count)
        part = postings.Part(month.guide, stores.get(month.store_id or 0), abs(change))
        if change > 0:
            [txn] = postings.reverse(fact, [part], [0], ends_at)
            batch.append(
                ledger.Posting(txn, reverses_key=keys[month.last_accrual_id], reason=REASON, fact=fact_of(period))
            )
        else:
            txn = postings.accrue(postings.key(postings.Kind.ACCRUE, *fact), [part], ends_at)
            earned_on = (ends_at - dt.timedelta(days=1)).astimezone(ledger.SHANGHAI).date()
            hold = ledger.NewHold(ids.take(), "CAP", month.guide, month.store_id, -change, earned_on, now)
            batch.append(
                ledger.Posting(
                    txn, holds=(hold,), adjusts_key=keys[month.last_accrual_id], reason=REASON, fact=fact_of(period)
                )
            )
    return batch
