"""Growth and payback of an opening with a pool against openings without one. No experiment: who had a pool was chosen.

1. Alike are stores of the same ownership that opened within NEAR days of this one and never had a pool, those of the same region
   first, then by the distance of the opening days; NEIGHBOURS at most, and LEAST at least, else nothing is said.
2. Compared are the sales of the first days after the opening, over the same number of full days for each, HORIZON at most. Test and
   voided lines are left out, refunds taken off.
3. The interval is that of one store against the spread of its neighbours (a prediction interval with Student's t).
4. Payback: costs and redeemed gifts over the daily difference times the margin; with the interval's ends beside it.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from campaigns.communities.reservoir.planning import day_of
from campaigns.experiments import intervals
from campaigns.models import Reservoir
from scrm import db
from scrm.models import Store

ALPHA = 0.05
NEAR, HORIZON, LEAST_DAYS = 365, 30, 3
NEIGHBOURS, LEAST = 10, 3
DAY = dt.timedelta(days=1)

SOLD = """
    SELECT s.id, coalesce(sum(l.paid_fen - l.refunded_fen), 0)::bigint, count(DISTINCT l.member_id)
    FROM unnest(%(stores)s::bigint[], %(first)s::date[]) s(id, first_on)
    LEFT JOIN members_orderline l ON l.store_id = s.id AND NOT l.is_test AND NOT l.is_voided
        AND l.booked_on BETWEEN %(from)s AND %(until)s
        AND l.booked_on >= s.first_on AND l.booked_on < s.first_on + %(days)s::int
    GROUP BY s.id ORDER BY s.id
"""


@dataclass(frozen=True, slots=True)
class Against:
    """One store against its neighbours, in whole fen: the difference of the sums, and its interval."""

    own: int
    mean: int
    difference: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """``payback_days``: expected, at best and at worst; None: not with this difference."""

    days: int
    neighbours: tuple[Store, ...]
    sales: Against
    buyers: Against
    cost_fen: int
    payback_days: tuple[int | None, int | None, int | None]


def against(own: int, others: Sequence[int]) -> Against:
    """``others``: at least two."""
    count = len(others)
    mean = Fraction(sum(others), count)
    variance = float(sum((Fraction(one) - mean) ** 2 for one in others) / (count - 1))
    half = round(intervals.student_quantile(ALPHA, count - 1) * math.sqrt(variance * (1 + 1 / count)))
    difference = round(own - mean)
    return Against(own, round(mean), difference, difference - half, difference + half)


def payback(cost_fen: int, difference_fen: int, days: int, margin_bp: int) -> int | None:
    """Days until the margin of what is sold more has brought the costs in; None if nothing is sold more."""
    if difference_fen <= 0:
        return None
    return math.ceil(Fraction(cost_fen * days * 10_000, difference_fen * margin_bp))


def compare(*, reservoir: Reservoir, discount_fen: int, now: dt.datetime) -> Comparison | None:
    """None while fewer than LEAST_DAYS are over or fewer than LEAST stores are alike."""
    days = min(HORIZON, (day_of(now) - reservoir.opens_on).days)
    if days < LEAST_DAYS:
        return None
    found = neighbours(reservoir.store, reservoir.opens_on, day_of(now) - days * DAY)
    if len(found) < LEAST:
        return None
    firsts = [reservoir.opens_on, *(store.opened_on or reservoir.opens_on for store in found)]
    rows = db.fetch(SOLD, {
        "stores": [reservoir.store_id, *(store.pk for store in found)], "first": firsts, "from": min(firsts),
        "until": max(firsts) + days * DAY, "days": days,
    })  # fmt: skip
    sold = {pk: (fen, buyers) for pk, fen, buyers in rows}
    sales, buyers = (
        against(sold[reservoir.store_id][place], [sold[store.pk][place] for store in found]) for place in (0, 1)
    )
    cost = reservoir.cost_fen + discount_fen
    expected, best, worst = (
        payback(cost, fen, days, reservoir.margin_bp) for fen in (sales.difference, sales.high, sales.low)
    )
    return Comparison(days, tuple(found), sales, buyers, cost, (expected, best, worst))


def neighbours(store: Store, opens_on: dt.date, opened_by: dt.date) -> list[Store]:
    """Rule 1; ``opened_by``: so that as many days are over for each."""
    rows = Store.objects.filter(
        ownership=store.ownership, opened_on__gte=opens_on - NEAR * DAY, opened_on__lte=min(opens_on + NEAR * DAY, opened_by),
        reservoirs=None,
    ).exclude(pk=store.pk)  # fmt: skip
    alike = list(rows.order_by("pk")[:2_000])
    alike.sort(
        key=lambda row: (row.region_id != store.region_id, abs(((row.opened_on or opens_on) - opens_on).days), row.pk)
    )
    return alike[:NEIGHBOURS]
