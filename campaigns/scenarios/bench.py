"""The morning of a whole company, and a guide's list in it: so many members, 5,000 stores with four guides each, the starter set.

The floor of the morning, in the same run and on the same server: the same turns and actions written again from plain tables, with all
indexes, constraints and triggers in place; nobody is looked up and nothing is chosen there. The list is asked over HTTP from the
product's own web process, beside a view that returns a constant through the same middleware.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from campaigns import scenarios
from campaigns.calendar.bench import COMPANY, GUIDES_PER_STORE, LOCAL, STORES
from campaigns.experiments import draw
from campaigns.models import Scenario, ScenarioTurn
from guides.models import Action, Guide
from members.bench.audience import MEMBERS
from scrm import bench, db
from scrm.api import authentication
from scrm.models import Brand, Corp
from scrm.owner import as_owner

MEMBERS_PER_STORE = 200
DEVICES = 400
CONNECTIONS, SECONDS, REQUESTS = 8, 8.0, 12_000

Say = Callable[[str], None]

# each member has a guide of her home store; nine in ten are friends of hers, half have bought, at all distances in time
RELATIONS = """
    CREATE TEMPORARY TABLE bench_guide AS
    SELECT g.id, lower(g.code) AS userid, e.store_id, row_number() OVER (PARTITION BY e.store_id ORDER BY g.id) - 1 AS place
    FROM guides_guide g JOIN guides_employment e ON e.guide_id = g.id;

    INSERT INTO guides_binding (brand_id, member_id, guide_id, store_id, source, started_at)
    SELECT m.brand_id, m.id, g.id, g.store_id, 'IMPORT', '2024-01-01' FROM members_member m
    JOIN bench_guide g ON g.store_id = m.home_store_id AND g.place = m.id % {per_store};

    INSERT INTO guides_contact (corp_id, external_userid, kind, name, gender, unionid, mobile_index, member_id, linked_by, linked_at)
    SELECT {corp}, 'wmBENCH' || m.id, 1, m.name, 0, '', '', m.id, 'MOBILE', now() FROM members_member m WHERE m.id % 10 <> 0;

    INSERT INTO guides_friendship (contact_id, corp_id, userid, guide_id, is_confirmed, added_at, add_way, state, oper_userid, tag_ids, ended_by)
    SELECT c.id, {corp}, g.userid, g.id, true, now() - interval '30 days', 1, '', '', '{{}}', ''
    FROM guides_contact c JOIN members_member m ON m.id = c.member_id
    JOIN bench_guide g ON g.store_id = m.home_store_id AND g.place = m.id % {per_store};

    INSERT INTO members_memberfacts (
        member_id, first_on, last_on, orders_count, orders_30, orders_90, orders_365, spend_fen, spend_30_fen, spend_90_fen, spend_365_fen,
        average_fen, weekday, hour, category_id, channels, stage, as_of)
    SELECT m.id, d.last_on - (m.id % 300)::int, d.last_on, n.orders, 0, CASE WHEN d.ago < 90 THEN 1 + m.id % 4 ELSE 0 END, least(n.orders, 6),
           n.orders * f.fen, 0, 0, n.orders * f.fen, f.fen, 1 + m.id % 7, 9 + m.id % 11, NULL,
           CASE WHEN m.id % 5 = 0 THEN '{{TMALL}}' ELSE '{{POS}}' END::varchar[],
           CASE WHEN d.ago < 30 AND n.orders = 1 THEN 'NEW' WHEN d.ago < 90 AND n.orders = 1 THEN 'ACTIVE' WHEN d.ago < 90 THEN 'REPEAT'
                WHEN d.ago < 180 THEN 'SLEEPING' WHEN d.ago < 365 THEN 'LAPSING' ELSE 'LOST' END, current_date
    FROM members_member m
    CROSS JOIN LATERAL (SELECT (m.id * 7919 % 500)::int AS ago, current_date - (m.id * 7919 % 500)::int AS last_on) d
    CROSS JOIN LATERAL (SELECT 1 + (m.id * 31 % 9)::int AS orders) n
    CROSS JOIN LATERAL (SELECT 2000 + m.id * 104729 % 60000 AS fen) f
    WHERE m.id % 2 = 0;
"""
FLOOR = """
    CREATE TEMPORARY TABLE floor_turn AS SELECT * FROM campaigns_scenarioturn;
    CREATE TEMPORARY TABLE floor_action AS SELECT * FROM guides_action;
    UPDATE floor_turn SET id = id + 1000000000, scenario_id = (SELECT max(id) FROM campaigns_scenario), given_on = given_on - 1, given_at = given_at - interval '1 day';
    UPDATE floor_action SET key = 'floor ' || key, id = id + 1000000000
"""
WRITES = (
    "INSERT INTO campaigns_scenarioturn SELECT * FROM floor_turn",
    "INSERT INTO guides_action SELECT * FROM floor_action",
)


def today(*, rows: int, say: Say) -> dict[str, Any]:
    brand, now = Brand.objects.get(code="MAIN"), _nine(timezone.now())
    stores = max(1, min(STORES, rows // MEMBERS_PER_STORE))
    say(f"{stores:,} stores, {stores * GUIDES_PER_STORE:,} guides, {rows:,} members")
    _fill(brand, rows, stores)
    scenarios.install(brand=brand, actor=None, now=now)
    for row in Scenario.objects.select_related("audience"):
        scenarios.put_in_force(scenario=row, actor=None, now=now)
    say("the morning")
    with bench.Memory() as memory:
        seconds, made = bench.timed(lambda: scenarios.morning(brand_id=brand.pk, now=now))
    assert made is not None
    _analyse()
    followed, _nothing = bench.timed(lambda: scenarios.follow(now=now + dt.timedelta(hours=1)))
    say("the floor: the same rows from plain tables")
    floor = _floor(now)
    say("a guide's list")
    return {
        "morning_seconds": round(seconds, 2), "floor_seconds": round(floor, 2), "ratio": round(floor / seconds, 3), "peak_mb": memory.peak_mb,
        "follow_seconds": round(followed, 2), "candidates": made.candidate_count, "given": made.given_count, "left_alone": made.held_count,
        "guides": made.guide_count, "problems": made.problems, **_list(say),
    }  # fmt: skip


def _nine(now: dt.datetime) -> dt.datetime:
    return now.astimezone(draw.SHANGHAI).replace(hour=9, minute=0)


def _fill(brand: Brand, rows: int, stores: int) -> None:
    corp = Corp.objects.create(corp_id="wwBENCH0000001", name="性能测试")
    company = COMPANY.format(stores=stores, guides=stores * GUIDES_PER_STORE, per_store=GUIDES_PER_STORE)
    with connection.cursor() as cursor:
        cursor.execute(company)
        cursor.execute(MEMBERS, {"rows": rows, "stores": stores, "until": timezone.localdate()})
        cursor.execute(RELATIONS.format(corp=corp.pk, per_store=GUIDES_PER_STORE))
    _analyse()


def _analyse() -> None:
    with as_owner(connection), connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")


def _floor(now: dt.datetime) -> float:
    before = Action.objects.count(), ScenarioTurn.objects.count()
    day = now.date() - dt.timedelta(days=1)
    db.ensure_partitions(ScenarioTurn, day, day)
    with connection.cursor() as cursor:
        cursor.execute(FLOOR)
        with transaction.atomic():
            seconds, _none = bench.timed(lambda: [cursor.execute(statement) for statement in WRITES])
            assert (Action.objects.count(), ScenarioTurn.objects.count()) == (before[0] * 2, before[1] * 2)
            transaction.set_rollback(True)
    return seconds


def _list(say: Say) -> dict[str, Any]:
    people = _devices()
    with override_settings(CACHES=LOCAL):
        client = Client(headers={"Authorization": f"Bearer {people[0]}"})
        client.get("/api/guide/day")
        with CaptureQueriesContext(connection) as queries:
            entries = len(client.get("/api/guide/day").json()["entries"])
    asked = [
        bench.Request.of("GET", "/api/guide/day", headers={"Authorization": f"Bearer {people[n % len(people)]}"})
        for n in range(REQUESTS)
    ]
    with bench.web() as address:
        constant = bench.throughput(
            address.port, [bench.Request.of("GET", "/bench/constant")], connections=CONNECTIONS, seconds=SECONDS
        ).require(200)
        bench.throughput(address.port, asked, connections=CONNECTIONS, seconds=SECONDS).require(
            200
        )  # plans and pages are cold at first
        top = bench.throughput(address.port, asked, connections=CONNECTIONS, seconds=SECONDS).require(200)
        say("at half of the constant's capacity, then at half of its own")
        half = bench.pace(address.port, asked, per_second=constant.per_second / 2, seconds=SECONDS).require(200)
        calm = bench.pace(address.port, asked, per_second=top.per_second / 2, seconds=SECONDS).require(200)
    return {
        "list_queries": len(queries), "list_entries": entries, "list_per_second": top.per_second, "constant_per_second": constant.per_second,
        "list_ratio": round(top.per_second / constant.per_second, 3), **bench.percentiles(calm.times),
        "at_half_constant": {"per_second": half.per_second, **bench.percentiles(half.times)},
    }  # fmt: skip


def _devices() -> list[str]:
    tokens = []
    for guide in (
        Guide.objects.select_related("user").filter(pk__in=Action.objects.values("guide_id")).order_by("pk")[:DEVICES]
    ):
        with transaction.atomic():
            _token, text = authentication.issue(user=guide.user, device="bench-device", now=timezone.now())
        tokens.append(text)
    return tokens
