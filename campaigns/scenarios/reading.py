"""For screens: what a scenario would mean today, what it has brought, and how good the chances were."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from campaigns.experiments import intervals
from campaigns.models import Scenario, ScenarioTurn
from members import audiences
from scrm import db, org

PREVIEWED = 10
ALPHA = 0.05
ENOUGH = 30  # customers on a side; below that nothing is said about effect


def scenario_of(scenario_id: int) -> Scenario | None:
    rows = Scenario.objects.select_related("script__product__category", "script__category", "content__folder", "coupon")
    return rows.filter(pk=scenario_id).first()


@dataclass(frozen=True, slots=True)
class Preview:
    """``people``: customers for whom it is so now; ``stores``: where most of them are, with their guides."""

    people: int
    is_estimate: bool
    stores: list[dict[str, Any]]
    problem: str = ""


STORES = """
    SELECT s.name AS store, c.people, g.guides FROM (SELECT unnest(%(stores)s::bigint[]) AS id, unnest(%(counts)s::int[]) AS people) c
    JOIN scrm_store s ON s.id = c.id
    LEFT JOIN (
        SELECT e.store_id, count(*) AS guides FROM guides_employment e WHERE e.ended_at IS NULL AND e.store_id = ANY(%(stores)s) GROUP BY 1
    ) g ON g.store_id = c.id
    ORDER BY c.people DESC, s.name LIMIT %(limit)s
"""


def preview(*, scenario: Scenario, now: dt.datetime) -> Preview:
    """For how many it is so now, and in which stores most; nothing is written."""
    try:
        count = audiences.count(scenario.audience.rule, brand_id=scenario.brand_id, scope=org.EVERYTHING, now=now)
        by_store = audiences.by_store(scenario.audience.rule, brand_id=scenario.brand_id, scope=org.EVERYTHING, now=now)
    except audiences.BadRule as error:
        return Preview(0, False, [], error.message)
    known = sorted(((people, store) for store, people in by_store.items() if store), reverse=True)[:PREVIEWED]
    values = {"stores": [s for _p, s in known], "counts": [p for p, _s in known], "limit": PREVIEWED}
    return Preview(count.members, count.is_estimate, db.fetch_dicts(STORES, values))


TOTALS = """
    SELECT count(*) FILTER (WHERE NOT is_held_out) AS given, count(*) FILTER (WHERE is_held_out) AS held,
           count(replied_at) AS replied, count(came_at) FILTER (WHERE NOT is_held_out) AS came,
           count(bought_at) FILTER (WHERE NOT is_held_out) AS given_bought, count(bought_at) FILTER (WHERE is_held_out) AS held_bought,
           coalesce(sum(bought_fen) FILTER (WHERE NOT is_held_out), 0)::bigint AS given_fen,
           coalesce(sum(bought_fen) FILTER (WHERE is_held_out), 0)::bigint AS held_fen
    FROM campaigns_scenarioturn WHERE scenario_id = %(scenario)s AND given_on > %(since)s AND is_closed
"""
ENDED = """
    SELECT a.status, count(*) FROM guides_action a WHERE a.source = 'SCENARIO' AND a.source_id = %(scenario)s AND a.created_at > %(at)s
    GROUP BY 1
"""
CALIBRATION = """
    SELECT ntile AS tenth, count(*) AS people, avg(chance_bp)::float AS expected_bp,
           (10000.0 * count(bought_at) FILTER (WHERE NOT is_held_out) / nullif(count(*) FILTER (WHERE NOT is_held_out), 0))::float AS given_bp,
           (10000.0 * count(bought_at) FILTER (WHERE is_held_out) / nullif(count(*) FILTER (WHERE is_held_out), 0))::float AS held_bp
    FROM (
        SELECT t.*, ntile(10) OVER (ORDER BY t.chance_bp, t.id) FROM campaigns_scenarioturn t
        WHERE t.is_closed AND t.given_on > %(since)s
    ) t GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Brought:
    """Closed windows of the last ``days``. ``effect``: in percentage points with its interval; None: too few to say."""

    totals: dict[str, Any]
    ended: dict[str, int]
    effect: tuple[float, float, float] | None
    enough: int = ENOUGH


def brought(*, scenario: Scenario, days: int, now: dt.datetime) -> Brought:
    since = now - dt.timedelta(days=days)
    values = {"scenario": scenario.pk, "since": since.date(), "at": since}
    (totals,) = db.fetch_dicts(TOTALS, values)
    ended = dict(db.fetch(ENDED, values))
    effect = None
    if min(totals["given"], totals["held"]) >= ENOUGH:
        effect = effect_of(totals["given_bought"], totals["given"], totals["held_bought"], totals["held"])
    return Brought(totals, ended, effect)


def effect_of(given_bought: int, given: int, held_bought: int, held: int) -> tuple[float, float, float]:
    """(difference, low, high) in percentage points, at 95 %."""
    treated, control = (
        intervals.Moments(count, yes, yes) for yes, count in ((given_bought, given), (held_bought, held))
    )
    found = intervals.shares(treated, control, ALPHA)
    return found.difference * 100, found.low * 100, found.high * 100


def calibration(*, days: int, now: dt.datetime) -> list[dict[str, Any]]:
    """The turns in tenths by their chance: what was expected beside what came, over all scenarios."""
    return db.fetch_dicts(CALIBRATION, {"since": (now - dt.timedelta(days=days)).date()})


def turns(*, scenario: Scenario) -> Any:
    return (
        ScenarioTurn.objects.filter(scenario=scenario)
        .select_related("member", "guide", "store")
        .order_by("-given_on", "-pk")
    )
