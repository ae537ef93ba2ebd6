"""Monthly steps (阶梯提成): what a guide's month earns above what her lines have paid.

1. The steps are those of the rule version that holds when the month ends. They are marginal and computed once on the month's
   base: the net base of every line of hers paid in the month, by her weight in it, refunds of any later day taken off.
2. What the steps give above the commission of those lines is accrued as an extra of the month (月度阶梯). A step never lowers
   what a line has paid.
3. A later refund moves the month's base: the month is computed again at the steps it came from, and the difference is taken
   back or added in the open period.
4. The extra vests as long after the month's end as a line does after its receipt.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from attribution import commissions, ledger, periods, postings, rulebook
from attribution.models import Hold, RuleVersion
from scrm import db

ROLE = "TIER"
VEST_DAYS = 15
MONTHS_BACK = 6  # refunds later than that are rare; the month is then computed by hand

# Her part of the base in ten-thousandths of a fen, so that nothing is rounded before the end.
MONTH = """
    WITH credited AS (
        SELECT r->>1 AS who, r->>2 AS store, d.store_id, l.id AS line_id, l.paid_at,
               greatest(0, l.paid_fen - CASE WHEN d.pots->0->>8 = 'PAID' THEN 0 ELSE l.points_fen END - l.refunded_fen)
                   * (r->>3)::bigint AS scaled
        FROM members_orderline l
        JOIN attribution_decision d ON d.line_id = l.id AND d.booked_on = l.booked_on AND d.state IN ('LIVE', 'PROVISIONAL')
        CROSS JOIN LATERAL jsonb_array_elements(d.shares) r
        WHERE l.paid_at >= %(first)s AND l.paid_at < %(end)s AND r->>0 IN ('SELLER', 'SERVICE', 'DELEGATE')
    ), bases AS (
        SELECT who, (sum(scaled) + 5000)::bigint / 10000 AS base_fen, (array_agg(store ORDER BY paid_at DESC, line_id DESC))[1] AS store
        FROM credited GROUP BY who
    )
    SELECT b.code, s.base_fen, s.store, coalesce(h.lines, 0)::bigint, coalesce(h.extra, 0)::bigint, coalesce(h.txns, 0)
    FROM bases s
    JOIN attribution_beneficiary b ON b.code = s.who AND b.kind = 'GUIDE'
    LEFT JOIN LATERAL (
        SELECT sum(h.amount_fen - h.reversed_fen - h.clawed_fen) FILTER (WHERE h.line_id IS NOT NULL AND h.role IN ('SELLER', 'SERVICE', 'DELEGATE')) AS lines,
               sum(h.amount_fen - h.reversed_fen - h.clawed_fen) FILTER (WHERE h.fact = %(fact)s) AS extra,
               (SELECT count(*) FROM attribution_txn t WHERE t.fact = %(fact)s AND t.kind IN ('ACCRUE', 'UNHOLD', 'CLAWBACK')
                                                        AND split_part(t.key, '|', 4) = b.code) AS txns
        FROM attribution_hold h WHERE h.beneficiary_id = b.id AND h.earned_on >= %(first_day)s AND h.earned_on < %(end_day)s
    ) h ON true
    ORDER BY b.code
"""


@dataclass(frozen=True, slots=True)
class Month:
    """One guide's month, in fen."""

    guide: str
    base_fen: int
    store: str | None
    lines_fen: int  # the commission of her lines as it stands
    extra_fen: int  # the extra as it stands
    postings: int  # how often the extra has been posted

    def change(self, steps: Sequence[tuple[int | None, int]]) -> int:
        """By how much the extra changes."""
        return max(0, commissions.tiered(self.base_fen, steps) - self.lines_fen) - self.extra_fen


def steps_of(period: str) -> tuple[tuple[int | None, int], ...]:
    """The steps that count for a month; none when its rule has none."""
    try:
        return rulebook.load().at(periods.ends_at(period) - dt.timedelta(microseconds=1)).tiers
    except rulebook.NoRule:
        return ()


def true_up_recent(*, now: dt.datetime) -> int:
    """The ended months that refunds may still move; the number of postings."""
    if not RuleVersion.objects.filter(status=RuleVersion.Status.PUBLISHED, tiers__isnull=False).exists():
        return 0
    period, total = periods.previous(periods.period_of(now)), 0
    for _month in range(MONTHS_BACK):
        total += true_up(period=period, now=now)
        period = periods.previous(period)
    return total


@transaction.atomic(durable=True)
def true_up(*, period: str, now: dt.datetime) -> int:
    """Bring the extra of every guide's month to what the steps say; the number of postings. Repeating it posts nothing."""
    steps = steps_of(period)
    if not steps or periods.ends_at(period) > now:
        return 0
    months = months_of(period)
    batch: list[ledger.Posting] = []
    changes = [(month, change) for month in months if (change := month.change(steps))]
    holds = _holds(period, [month.guide for month, change in changes if change < 0])
    ids = ledger.Ids(Hold, sum(change > 0 for _month, change in changes))
    stores = _store_ids([month.store for month, _change in changes])
    for month, change in changes:
        if change > 0:
            batch.append(_accrual(period, month, change, ids.take(), stores))
        else:
            batch += _reversal(period, month, -change, holds.get(month.guide, []))
    ledger.post(batch=batch)
    return len(batch)


def months_of(period: str) -> list[Month]:
    first, end = periods.first_day(period), periods.first_day(periods.following(period))
    values = {
        "first": periods.ends_at(periods.previous(period)), "end": periods.ends_at(period), "first_day": first, "end_day": end,
        "fact": fact_of(period),
    }  # fmt: skip
    return [Month(*row) for row in db.fetch(MONTH, values)]


def fact_of(period: str) -> str:
    return f"{ROLE} {period}"


def _accrual(period: str, month: Month, fen: int, hold_id: int, stores: dict[str, int]) -> ledger.Posting:
    at = periods.ends_at(period)
    key = postings.key(postings.Kind.ACCRUE, ROLE, period, month.guide, month.postings + 1)
    txn = postings.accrue(key, [postings.Part(month.guide, month.store, fen)], at)
    earned_on = (at - dt.timedelta(days=1)).astimezone(ledger.SHANGHAI).date()
    store_id = stores[month.store] if month.store else None
    hold = ledger.NewHold(hold_id, ROLE, month.guide, store_id, fen, earned_on, at + dt.timedelta(days=VEST_DAYS))
    adjusts = postings.key(postings.Kind.ACCRUE, ROLE, period, month.guide, 1) if month.postings else None
    return ledger.Posting(txn, holds=(hold,), fact=fact_of(period), reason=ROLE, adjusts_key=adjusts)


def _reversal(period: str, month: Month, fen: int, holds: Sequence[Hold]) -> list[ledger.Posting]:
    """Of what has not vested first, the oldest hold first; the rest is owed back."""
    unhold: list[ledger.HoldMove] = []
    claw: list[ledger.HoldMove] = []
    for hold in holds:
        part = min(fen, hold.amount_fen - hold.vested_fen - hold.reversed_fen)
        if part:
            unhold.append(ledger.HoldMove(hold.pk, reversed_fen=part))
            fen -= part
    held_fen = sum(move.reversed_fen for move in unhold)
    for hold in holds:
        part = min(fen, hold.vested_fen - hold.clawed_fen)
        if part:
            claw.append(ledger.HoldMove(hold.pk, clawed_fen=part))
            fen -= part
    whole = postings.Part(month.guide, month.store, held_fen + sum(move.clawed_fen for move in claw))
    fact = (ROLE, period, month.guide, month.postings + 1)
    moves = {postings.Kind.UNHOLD: tuple(unhold), postings.Kind.CLAWBACK: tuple(claw)}
    first = postings.key(postings.Kind.ACCRUE, ROLE, period, month.guide, 1)
    return [
        ledger.Posting(txn, reverses_key=first, reason=ROLE, moves=moves[txn.kind], fact=fact_of(period))
        for txn in postings.reverse(fact, [whole], [held_fen], periods.ends_at(period))
    ]


def _holds(period: str, guides: Sequence[str]) -> dict[str, list[Hold]]:
    found: dict[str, list[Hold]] = {}
    rows = Hold.objects.filter(fact=fact_of(period), beneficiary__code__in=guides).select_related("beneficiary")
    for hold in rows.order_by("pk").select_for_update(of=("self",)):
        found.setdefault(hold.beneficiary.code, []).append(hold)
    return found


def _store_ids(codes: Sequence[str | None]) -> dict[str, int]:
    from scrm.models import Store

    known: dict[str, Any] = dict(
        Store.objects.filter(code__in={code for code in codes if code}).values_list("code", "id")
    )
    return known
