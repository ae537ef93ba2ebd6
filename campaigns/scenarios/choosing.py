"""Who gets which scenario today: one statement per scenario for its candidates, then one for the choice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.db import connection, transaction

from campaigns.experiments import draw
from campaigns.models import DayRule, Scenario, ScenarioDay, ScenarioTurn
from campaigns.sops import anchors
from guides.models import Action, Binding
from members import audiences, consent
from members.models import Purpose
from scrm import db, org
from scrm.errors import RuleViolation

BEGINS = dt.time(8)  # of the day; a morning is made from then on
ENDS = dt.time(21)
EVENT_LOOKS_BACK = dt.timedelta(hours=2)
DEFAULT_WORTH_FEN = 10_000  # of a brand that has sold nothing yet


class BadScenario(RuleViolation):
    code = "scenario_not_possible"


PICKS = """
    CREATE TEMPORARY TABLE scenario_pick (
        scenario_id bigint, member_id bigint, guide_id bigint, store_id bigint, stage text, chance_bp int, value_fen bigint,
        minutes int, most int, held boolean
    ) ON COMMIT DROP
"""
# written down first: how many they are is what the planner cannot guess, and what it would go wrong by
PEOPLE = "INSERT INTO scenario_people {audience}"
# whoever works now, in the store where she works now
WORKING = """
    CREATE TEMPORARY TABLE scenario_guide ON COMMIT DROP AS
    SELECT e.guide_id, e.store_id, greatest(%(minutes)s - coalesce(o.minutes, 0), 0)::int AS minutes,
           greatest(%(most)s - coalesce(o.customers, 0), 0)::int AS most
    FROM guides_employment e
    LEFT JOIN (
        SELECT a.guide_id, sum(a.minutes) AS minutes, count(DISTINCT a.member_id) AS customers FROM guides_action a
        WHERE a.status = 'OPEN' AND a.due_at > %(now)s GROUP BY 1
    ) o ON o.guide_id = e.guide_id
    WHERE e.started_at <= %(now)s AND (e.ended_at IS NULL OR e.ended_at > %(now)s)
"""
CANDIDATES = """
    INSERT INTO scenario_pick
    SELECT %s, a.id, g.guide_id, g.store_id, coalesce(f.stage, 'PROSPECT'),
           coalesce(c.chance_bp, w.chance_bp, %s), coalesce(%s, nullif(f.average_fen, 0), %s), %s, %s, {held}
    FROM scenario_people a
    JOIN guides_binding b ON b.member_id = a.id AND b.brand_id = %s AND b.ended_at IS NULL
    JOIN scenario_guide g ON g.guide_id = b.guide_id AND g.minutes >= %s AND g.most > 0
    LEFT JOIN members_memberfacts f ON f.member_id = a.id
    LEFT JOIN campaigns_scenariochance c ON c.scenario_id = %s AND c.stage = coalesce(f.stage, 'PROSPECT')
    LEFT JOIN campaigns_scenariochance w ON w.scenario_id = %s AND w.stage = ''
    WHERE {consent}
      AND NOT EXISTS (SELECT 1 FROM campaigns_scenarioturn t WHERE t.member_id = a.id AND t.scenario_id = %s
                      AND t.given_on > %s AND t.given_on <= %s)
      AND NOT EXISTS (SELECT 1 FROM campaigns_scenarioturn t WHERE t.member_id = a.id AND t.given_on = %s)
      AND NOT EXISTS (SELECT 1 FROM guides_action o WHERE o.member_id = a.id AND o.status = 'OPEN' AND o.source = 'SCENARIO')
"""
# the best of a customer, in its place among the best ones of the same guide and scenario
NUMBERED = """
    WITH best AS (
        SELECT DISTINCT ON (member_id) *, chance_bp * value_fen AS worth FROM scenario_pick
        ORDER BY member_id, chance_bp * value_fen DESC, scenario_id
    ), numbered AS (
        SELECT *, row_number() OVER (PARTITION BY guide_id, scenario_id ORDER BY worth DESC, member_id) AS place FROM best
    )
"""
# where a guide has enough of a scenario, the customer is looked at for her next best one
OVERFLOW = f"""
    {NUMBERED}
    DELETE FROM scenario_pick p USING numbered n WHERE n.place > n.most AND p.member_id = n.member_id AND p.scenario_id = n.scenario_id
"""
ROUNDS = 8  # more are not worth their time: what is over then is left for tomorrow
# of a guide the best of hers by value, within each scenario's number, her customers and her minutes
CHOSEN = f"""
    CREATE TEMPORARY TABLE scenario_chosen ON COMMIT DROP AS
    {NUMBERED}, queued AS (
        SELECT n.*, sum(n.minutes) OVER w AS until_minute, row_number() OVER w AS until_customer
        FROM numbered n WHERE n.place <= n.most
        WINDOW w AS (PARTITION BY n.guide_id ORDER BY n.worth DESC, n.member_id)
    )
    SELECT q.* FROM queued q JOIN scenario_guide g ON g.guide_id = q.guide_id
    WHERE q.until_minute <= g.minutes AND q.until_customer <= g.most
"""
TURNS = """
    INSERT INTO campaigns_scenarioturn
        (scenario_id, member_id, guide_id, store_id, given_on, given_at, is_held_out, stage, chance_bp, value_fen, bought_fen, is_closed)
    SELECT scenario_id, member_id, guide_id, store_id, %(day)s, %(now)s, held, stage, chance_bp, value_fen, 0, false FROM scenario_chosen
"""
ACTIONS = """
    INSERT INTO guides_action
        (key, guide_id, store_id, member_id, kind, source, source_id, title, reason, text, minutes, starts_at, due_at, status, outcome,
         note, expected_fen)
    SELECT 'scenario ' || s.id || ' ' || p.member_id || ' ' || %(day)s, p.guide_id, p.store_id, p.member_id, s.kind, 'SCENARIO', s.id,
           s.title,
           left(replace(replace(replace(s.reason,
               '{未购天数}', coalesce((%(day)s::date - f.last_on)::text, '—')),
               '{会员等级}', coalesce(t.name, '普通会员')),
               '{生日}', coalesce(extract(month FROM m.birthday)::int || '月' || extract(day FROM m.birthday)::int || '日', '—')), 200),
           replace(replace(replace(s.text, '{客户称呼}', coalesce(nullif(m.name, ''), '您')), '{导购姓名}', g.name), '{门店名称}', r.name),
           s.minutes, %(now)s, (%(day)s::date + s.due_days - 1 + %(ends)s::time) AT TIME ZONE 'Asia/Shanghai', 'OPEN', '', '',
           p.chance_bp * p.value_fen / 10000
    FROM scenario_chosen p
    JOIN campaigns_scenario s ON s.id = p.scenario_id
    JOIN members_member m ON m.id = p.member_id
    JOIN guides_guide g ON g.id = p.guide_id
    JOIN scrm_store r ON r.id = p.store_id
    LEFT JOIN members_memberfacts f ON f.member_id = p.member_id
    LEFT JOIN members_tier t ON t.id = m.tier_id
    WHERE NOT p.held
    ON CONFLICT (key) DO NOTHING
"""
COUNTS = """
    SELECT count(*) FILTER (WHERE NOT held), count(*) FILTER (WHERE held), count(DISTINCT guide_id) FROM scenario_chosen
"""


def mornings(*, now: dt.datetime) -> int:
    """Make the morning of every brand that has none today; how many were made."""
    local = now.astimezone(draw.SHANGHAI)
    if not BEGINS <= local.time() < ENDS:
        return 0
    made = ScenarioDay.objects.filter(day=local.date()).values("brand_id")
    brands = (
        Scenario.objects.filter(status=Scenario.Status.ACTIVE)
        .exclude(brand_id__in=made)
        .values_list("brand_id", flat=True)
    )
    return sum(morning(brand_id=brand_id, now=now) is not None for brand_id in sorted(set(brands)))


@transaction.atomic
def morning(*, brand_id: int, now: dt.datetime) -> ScenarioDay | None:
    """The actions of a brand's day, all or none of them; None: they were made already."""
    day = now.astimezone(draw.SHANGHAI).date()
    row, is_new = ScenarioDay.objects.get_or_create(brand_id=brand_id, day=day)
    if not is_new:
        return None
    counts, row.problems = _give(brand_id=brand_id, scenarios=_in_force(brand_id), now=now)
    row.candidate_count, row.given_count, row.held_count, row.guide_count = counts
    row.later_count = row.candidate_count - row.given_count - row.held_count
    row.save()
    return row


@transaction.atomic
def fall_due(*, now: dt.datetime) -> int:
    """Scenarios that begin with an event: for whom it has happened since they were last looked at. How many got an action."""
    local, given = now.astimezone(draw.SHANGHAI), 0
    if not BEGINS <= local.time() < ENDS:
        return 0
    for scenario in db.lock(Scenario.objects.filter(status=Scenario.Status.ACTIVE).exclude(event="").order_by("pk")):
        since = max(scenario.looked_at or now, now - EVENT_LOOKS_BACK)
        counts, _problems = _give(brand_id=scenario.brand_id, scenarios=[scenario], now=now, since=since)
        Scenario.objects.filter(pk=scenario.pk).update(looked_at=now)
        given += counts[1]
    return given


def _in_force(brand_id: int) -> list[Scenario]:
    return list(
        Scenario.objects.filter(brand_id=brand_id, status=Scenario.Status.ACTIVE)
        .select_related("audience")
        .order_by("pk")
    )


def _give(
    *, brand_id: int, scenarios: Iterable[Scenario], now: dt.datetime, since: dt.datetime | None = None
) -> tuple[tuple[int, int, int, int], list[dict[str, Any]]]:
    """Counts of candidates, given, left alone and guides; and the scenarios that could not be asked."""
    day, rule = now.astimezone(draw.SHANGHAI).date(), _rule(brand_id)
    problems: list[dict[str, Any]] = []
    db.ensure_partitions(ScenarioTurn, day, day)
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS scenario_pick, scenario_guide, scenario_chosen, scenario_people")
        cursor.execute("CREATE TEMPORARY TABLE scenario_people (id bigint) ON COMMIT DROP")
        cursor.execute(PICKS)
        cursor.execute(WORKING, {"now": now, "minutes": rule.minutes, "most": rule.most})
        cursor.execute("ANALYZE scenario_guide")
        worth = _average(cursor, brand_id)
        for scenario in scenarios:
            try:
                query = audiences.compile(scenario.audience.rule, brand_id=brand_id, scope=org.EVERYTHING, now=now)
            except audiences.BadRule as error:
                problems.append({"scenario": scenario.name, "problem": error.message})
                continue
            cursor.execute("TRUNCATE scenario_people")
            cursor.execute(*_people(scenario, query, since=since, now=now))
            cursor.execute("ANALYZE scenario_people")
            cursor.execute(*_candidates(scenario, day=day, worth=worth))
        cursor.execute("ANALYZE scenario_pick")
        cursor.execute("SELECT count(DISTINCT member_id) FROM scenario_pick")
        ((people,),) = cursor.fetchall()
        for _round in range(ROUNDS):
            cursor.execute(OVERFLOW)
            if not cursor.rowcount:
                break
        cursor.execute(CHOSEN)
        values: dict[str, Any] = {"day": day, "now": now, "ends": ENDS}
        cursor.execute(TURNS, values)
        cursor.execute(ACTIONS, values)
        cursor.execute(COUNTS)
        ((given, held, guides),) = cursor.fetchall()
    return (people, given, held, guides), problems


def _people(
    scenario: Scenario, query: audiences.Query, *, since: dt.datetime | None, now: dt.datetime
) -> tuple[str, list[Any]]:
    audience, params = query.ids(), list(query.params)
    if since is not None:
        events, more = _events(scenario, since, now)
        audience = f"SELECT q.id FROM ({audience}) q JOIN ({events}) e ON e.member_id = q.id GROUP BY 1"
        params += more
    return PEOPLE.format(audience=audience), params


def _candidates(scenario: Scenario, *, day: dt.date, worth: int) -> tuple[str, list[Any]]:
    allowed = consent.allowed_sql(Purpose.WECOM_MARKETING, "a.id") if scenario.kind != Action.Kind.OTHER else "true"
    statement = CANDIDATES.format(consent=allowed, held=f"{draw.place_sql('%s::text', 'a.id')} < %s")
    pk, cooldown = scenario.pk, day - dt.timedelta(days=scenario.cooldown_days)
    values = [
        pk, scenario.first_guess_bp, scenario.value_fen, worth, scenario.minutes, scenario.most_per_guide, scenario.salt,
        scenario.holdout_bp, scenario.brand_id, scenario.minutes, pk, pk, pk, cooldown, day, day,
    ]  # fmt: skip
    return statement, values


def _events(scenario: Scenario, since: dt.datetime, now: dt.datetime) -> tuple[str, list[Any]]:
    """The statement of the anchor with its named values put in their places."""
    named = {
        "since": since, "until": now, "since_day": since.astimezone(draw.SHANGHAI).date(),
        "until_day": now.astimezone(draw.SHANGHAI).date(), "days": 0,
    }  # fmt: skip
    statement, values = anchors.STATEMENTS[scenario.event], []
    parts = statement.split("%(")
    written = parts[0]
    for part in parts[1:]:
        name, rest = part.split(")s", 1)
        values.append(named[name])
        written += "%s" + rest
    return written, values


def rule_of_guide(guide_id: int) -> DayRule:
    """Of the brand whose customers she serves; with several brands the first one's."""
    row = DayRule.objects.filter(
        brand_id__in=Binding.objects.filter(guide_id=guide_id, ended_at=None).values("brand_id")[:1]
    ).first()
    return row or DayRule()


def _rule(brand_id: int) -> DayRule:
    return DayRule.objects.filter(brand_id=brand_id).first() or DayRule(brand_id=brand_id)


def _average(cursor: Any, brand_id: int) -> int:
    """What a customer of the brand spends at a time, in the middle of a sample."""
    cursor.execute(
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY f.average_fen) FROM (SELECT average_fen, member_id FROM members_memberfacts"
        " LIMIT 10000) f JOIN members_member m ON m.id = f.member_id WHERE m.brand_id = %s",
        [brand_id],
    )
    ((found,),) = cursor.fetchall()
    return int(found or DEFAULT_WORTH_FEN)
