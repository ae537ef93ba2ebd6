"""What came of the turns (回溯): purchases, visits and replies beside them, windows closed, chances counted anew.

1. A purchase is a standing line of the member that was paid from the turn on and within the scenario's window; the earliest gives
   the moment, all of them the amount, net of refunds. One purchase may follow turns of several scenarios: each is compared with its
   own left-alone customers, and no figure adds them up.
2. A visit is a purchase or a redemption in a store. A reply is what the guide says when she ends the action.
3. When the window has passed, the turn is closed and counts for the scenario's chance.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection, transaction

from campaigns.experiments import draw
from campaigns.models import Scenario, ScenarioChance, ScenarioTurn
from campaigns.scenarios.chances import Counts, chance_bp
from scrm import db

LONGEST = dt.timedelta(days=32)  # the longest window, and the day it ends on

BOUGHT = """
    UPDATE campaigns_scenarioturn t SET bought_at = o.first_at, bought_fen = o.fen, came_at = coalesce(t.came_at, o.came_at)
    FROM (
        SELECT t.id, t.given_on, min(l.paid_at) AS first_at, sum(l.paid_fen - l.refunded_fen)::bigint AS fen,
               min(l.paid_at) FILTER (WHERE h.is_in_store) AS came_at
        FROM campaigns_scenarioturn t
        JOIN campaigns_scenario s ON s.id = t.scenario_id
        JOIN members_orderline l ON l.member_id = t.member_id AND l.paid_at >= t.given_at
         AND l.paid_at < t.given_at + s.window_days * interval '1 day' AND l.paid_at <= %(now)s
         AND l.booked_on >= %(since)s AND NOT l.is_voided AND NOT l.is_test AND NOT l.is_wholesale AND l.paid_fen > l.refunded_fen
        JOIN members_channel h ON h.code = l.channel
        WHERE t.given_on >= %(since)s AND NOT t.is_closed
        GROUP BY 1, 2
    ) o
    WHERE t.id = o.id AND t.given_on = o.given_on AND NOT t.is_closed
      AND (t.bought_at, t.bought_fen) IS DISTINCT FROM (o.first_at, o.fen)
"""
# what was bought and has been given back since
TAKEN_BACK = """
    UPDATE campaigns_scenarioturn t SET bought_at = NULL, bought_fen = 0
    FROM campaigns_scenario s
    WHERE t.given_on >= %(since)s AND NOT t.is_closed AND t.bought_at IS NOT NULL AND s.id = t.scenario_id AND NOT EXISTS (
        SELECT 1 FROM members_orderline l WHERE l.member_id = t.member_id AND l.paid_at >= t.given_at
         AND l.paid_at < t.given_at + s.window_days * interval '1 day' AND l.paid_at <= %(now)s
         AND l.booked_on >= %(since)s AND NOT l.is_voided AND NOT l.is_test AND NOT l.is_wholesale AND l.paid_fen > l.refunded_fen
    )
"""
CAME = """
    UPDATE campaigns_scenarioturn t SET came_at = r.at
    FROM (
        SELECT t.id, t.given_on, min(r.redeemed_at) AS at FROM campaigns_scenarioturn t
        JOIN campaigns_scenario s ON s.id = t.scenario_id
        JOIN members_coupon c ON c.member_id = t.member_id
        JOIN members_redemption r ON r.coupon_id = c.id AND r.store_id IS NOT NULL AND r.redeemed_at >= t.given_at
         AND r.redeemed_at < t.given_at + s.window_days * interval '1 day' AND r.redeemed_at <= %(now)s
        WHERE t.given_on >= %(since)s AND NOT t.is_closed AND t.came_at IS NULL
        GROUP BY 1, 2
    ) r
    WHERE t.id = r.id AND t.given_on = r.given_on
"""
REPLIED = """
    UPDATE campaigns_scenarioturn t SET replied_at = a.ended_at
    FROM guides_action a
    WHERE a.source = 'SCENARIO' AND a.source_id = t.scenario_id AND a.member_id = t.member_id
      AND a.key = 'scenario ' || t.scenario_id || ' ' || t.member_id || ' ' || t.given_on
      AND a.outcome IN ('REPLIED', 'COMES', 'BOUGHT') AND t.replied_at IS NULL AND t.given_on >= %(since)s AND NOT t.is_closed
"""
CLOSED = """
    UPDATE campaigns_scenarioturn t SET is_closed = true
    FROM campaigns_scenario s
    WHERE s.id = t.scenario_id AND NOT t.is_closed AND t.given_on >= %(since)s
      AND t.given_at + s.window_days * interval '1 day' + interval '1 day' <= %(now)s
"""
# of the last year, so that a chance follows what customers do now
COUNTED = """
    SELECT t.scenario_id, t.stage, count(*) FILTER (WHERE NOT t.is_held_out), count(t.bought_at) FILTER (WHERE NOT t.is_held_out),
           count(*) FILTER (WHERE t.is_held_out), count(t.bought_at) FILTER (WHERE t.is_held_out)
    FROM campaigns_scenarioturn t WHERE t.is_closed AND t.given_on > %(year_ago)s GROUP BY 1, 2
"""


@transaction.atomic
def follow(*, now: dt.datetime) -> None:
    """Write what came of the open turns; each hour. The day of late orders is waited for before a window closes."""
    day = now.astimezone(draw.SHANGHAI).date()
    values: dict[str, Any] = {"now": now, "since": day - LONGEST, "year_ago": day - dt.timedelta(days=365)}
    db.ensure_partitions(ScenarioTurn, day, day)
    with connection.cursor() as cursor:
        for statement in (BOUGHT, TAKEN_BACK, CAME, REPLIED):
            cursor.execute(statement, values)
        cursor.execute(CLOSED, values)
        if cursor.rowcount:
            cursor.execute(COUNTED, values)
            _write_chances(cursor.fetchall(), day)


def _write_chances(rows: list[tuple[Any, ...]], day: dt.date) -> None:
    guesses = dict(Scenario.objects.values_list("pk", "first_guess_bp"))
    whole: dict[int, Counts] = {}
    for scenario_id, _stage, *counts in rows:
        before = whole.get(scenario_id, Counts())
        whole[scenario_id] = Counts(
            before.given + counts[0],
            before.given_bought + counts[1],
            before.held + counts[2],
            before.held_bought + counts[3],
        )
    written = [_chance(pk, "", counts, chance_bp(counts, guesses[pk]), day) for pk, counts in whole.items()]
    for scenario_id, stage, *counts in rows:
        found = Counts(*counts)
        elsewhere = chance_bp(whole[scenario_id].without(found), guesses[scenario_id])
        written.append(_chance(scenario_id, stage, found, chance_bp(found, elsewhere), day))
    ScenarioChance.objects.bulk_create(
        written, update_conflicts=True, unique_fields=["scenario", "stage"],
        update_fields=["given_count", "given_bought", "held_count", "held_bought", "chance_bp", "counted_on"],
    )  # fmt: skip


def _chance(scenario_id: int, stage: str, counts: Counts, chance: int, day: dt.date) -> ScenarioChance:
    return ScenarioChance(
        scenario_id=scenario_id, stage=stage, given_count=counts.given, given_bought=counts.given_bought, held_count=counts.held,
        held_bought=counts.held_bought, chance_bp=chance, counted_on=day,
    )  # fmt: skip
