"""What a pool shows: how it grows, what is foretold, and the gifts by the hour of the opening day. Bounded by the pool."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from campaigns.communities.reservoir.planning import SHANGHAI, day_of
from campaigns.experiments import intervals
from campaigns.models import Reservoir
from scrm import db

ALPHA = 0.05
LEAST_DAYS, MOST_DAYS = 3, 14  # full days that a forecast rests on
DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Friends by the evening before the opening day, with 95 % of the outcomes between ``low`` and ``high``."""

    expected: int
    low: int
    high: int
    days: int  # that it rests on
    left: int  # full days still to come, today included


def forecast(daily: Sequence[int], so_far: int, left: int) -> Forecast | None:
    """``daily``: who came on each full day, the oldest first; None below LEAST_DAYS.

    The mean of the last days goes on. The interval is that of a sum of ``left`` further days: their own spread, and that of the
    mean (Student's t). Growth that changes its pace, as before an opening, lies outside of what it knows.
    """
    used = list(daily)[-MOST_DAYS:]
    count = len(used)
    if count < LEAST_DAYS:
        return None
    mean = sum(used) / count
    variance = sum((one - mean) ** 2 for one in used) / (count - 1)
    half = intervals.student_quantile(ALPHA, count - 1) * math.sqrt(variance * (left + left * left / count))
    expected = so_far + mean * left
    return Forecast(round(expected), max(so_far, math.floor(expected - half)), math.ceil(expected + half), count, left)


TOTALS = """
    SELECT count(*), count(*) FILTER (WHERE e.member_id IS NOT NULL), count(*) FILTER (WHERE e.gift = 'GIVEN'),
        count(*) FILTER (WHERE e.gift = 'WAITS'), count(*) FILTER (WHERE e.gift = 'REFUSED'),
        count(*) FILTER (WHERE c.status = 'REDEEMED'),
        count(*) FILTER (WHERE EXISTS (SELECT FROM guides_friendship f WHERE f.contact_id = e.contact_id
            AND f.guide_id = e.guide_id AND f.ended_at IS NULL AND f.customer_left_at IS NULL)),
        coalesce(sum(c.discount_fen) FILTER (WHERE c.status = 'REDEEMED'), 0)::bigint
    FROM campaigns_reservoirentry e LEFT JOIN members_coupon c ON c.id = e.coupon_id WHERE e.reservoir_id = %(reservoir)s
"""
DAYS = """
    SELECT (joined_at AT TIME ZONE 'Asia/Shanghai')::date AS day, count(*) FROM campaigns_reservoirentry
    WHERE reservoir_id = %(reservoir)s GROUP BY 1 ORDER BY 1
"""
GUIDES = """
    SELECT g.id, g.code, g.name, count(e.id), count(e.member_id), count(*) FILTER (WHERE e.gift = 'GIVEN')
    FROM campaigns_reservoirentry e JOIN guides_guide g ON g.id = e.guide_id
    WHERE e.reservoir_id = %(reservoir)s GROUP BY g.id ORDER BY 4 DESC, g.id
"""
PLACES = """
    SELECT p.id, count(e.id), count(e.member_id) FROM campaigns_reservoirplace p
    LEFT JOIN campaigns_reservoirentry e ON e.place_id = p.id WHERE p.reservoir_id = %(reservoir)s GROUP BY p.id ORDER BY p.id
"""
REASONS = """
    SELECT gift_problem, count(*) FROM campaigns_reservoirentry
    WHERE reservoir_id = %(reservoir)s AND gift = 'REFUSED' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10
"""
# of the gifts of the pool: given on the day and redeemed on it in the store, by the hour of Shanghai
BOARD = """
    WITH gifts AS (
        SELECT e.coupon_id, e.gifted_at FROM campaigns_reservoirentry e WHERE e.reservoir_id = %(reservoir)s AND e.gift = 'GIVEN'
    ), acts AS (
        SELECT gifted_at AS at, 1 AS claimed, 0 AS redeemed, 0::bigint AS fen FROM gifts
        UNION ALL
        SELECT r.redeemed_at, 0, 1, r.discount_fen FROM gifts g JOIN members_redemption r ON r.coupon_id = g.coupon_id
        WHERE r.status = 'REDEEMED' AND r.store_id = %(store)s
    )
    SELECT extract(hour FROM at AT TIME ZONE 'Asia/Shanghai')::int, sum(claimed)::int, sum(redeemed)::int, sum(fen)::bigint
    FROM acts WHERE at >= %(from)s AND at < %(until)s GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Customers of the pool; ``friends``: who still is one. ``days``: each day from the first on, also empty ones."""

    joined: int
    members: int
    given: int
    waiting: int
    refused: int
    redeemed: int
    friends: int
    discount_fen: int
    target: int
    days: tuple[tuple[dt.date, int], ...]
    guides: tuple[tuple[Any, ...], ...]
    places: dict[int, tuple[int, int]]
    reasons: tuple[tuple[str, int], ...]
    forecast: Forecast | None

    @property
    def percent(self) -> int:
        return min(100, self.joined * 100 // self.target)


@dataclass(frozen=True, slots=True)
class Hour:
    hour: int
    claimed: int
    redeemed: int
    discount_fen: int


def figures(*, reservoir: Reservoir, now: dt.datetime) -> Figures:
    """Five queries over the pool's own rows."""
    values = {"reservoir": reservoir.pk}
    ((joined, members, given, waiting, refused, redeemed, friends, discount_fen),) = db.fetch(TOTALS, values)
    days = _filled(dict(db.fetch(DAYS, values)), min(day_of(now), reservoir.opens_on))
    today = day_of(now)
    full = [count for day, count in days if day < today]
    left = (reservoir.opens_on - today).days
    return Figures(
        joined=joined, members=members, given=given, waiting=waiting, refused=refused, redeemed=redeemed, friends=friends,
        discount_fen=discount_fen, target=reservoir.target_count, days=tuple(days), guides=tuple(db.fetch(GUIDES, values)),
        places={pk: (came, registered) for pk, came, registered in db.fetch(PLACES, values)},
        reasons=tuple(db.fetch(REASONS, values)),
        # today's customers so far are part of what today brings
        forecast=forecast(full, sum(full), left) if left > 0 else None,
    )  # fmt: skip


def board(*, reservoir: Reservoir) -> list[Hour]:
    """The hours of the opening day in which something happened; one query."""
    start = dt.datetime.combine(reservoir.opens_on, dt.time(), SHANGHAI)
    values = {"reservoir": reservoir.pk, "store": reservoir.store_id, "from": start, "until": start + DAY}
    return [Hour(*row) for row in db.fetch(BOARD, values)]


def _filled(counts: dict[dt.date, int], last: dt.date) -> list[tuple[dt.date, int]]:
    if not counts:
        return []
    first = min(counts)
    return [(first + n * DAY, counts.get(first + n * DAY, 0)) for n in range((max(last, *counts) - first).days + 1)]
