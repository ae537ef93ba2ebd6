"""``bench audience``: the live count of the rule builder, and the rebuild of everybody's facts.

``rows`` members with five order lines each. Measured are the counts of rules as HQ writes them, through the same function as
the builder's; beside each the query that somebody would write by hand for the same question, in turns on the same server; both
must count the same. ``ratio`` is the hand-written queries' time over ours, so 0.77 is "1.3 times as long". The rebuild is
compared with its floor: one plain GROUP BY over the same lines into a table. A count that ran out of time and became an
estimate is counted as such.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import connection, transaction

from members import audiences, facts, member_value
from members.audiences import compiling, counting
from members.models import Category, MemberToRefresh, OrderLine, Tag, Tier
from scrm import bench, db, org
from scrm.models import Brand, Region
from scrm.owner import as_owner

ROWS = 1_000_000
LINES_PER_MEMBER, LINES_PER_ORDER = 5, 2
STORES, PRODUCTS, CATEGORIES, DAYS = 400, 500, 10, 400
UNTIL = dt.date(2026, 6, 30)
NOW = dt.datetime(2026, 6, 30, 12, tzinfo=facts.SHANGHAI)
CHUNK_LINES = 500_000
TIMES = 5
REFRESHED = 2_000

Say = Callable[[str], None]

ORGANISATION = f"""
    INSERT INTO scrm_legalentity (code, name, kind, is_active) VALUES ('HQ', '总部', 'HQ', true);
    INSERT INTO scrm_region (code, name) SELECT 'R' || n, '大区' || n FROM generate_series(1, 6) n;
    INSERT INTO scrm_store (code, name, entity_id, region_id, ownership, city, address)
    SELECT 'S' || lpad(n::text, 4, '0'), '门店' || n, e.id, r.id, 'DIRECT', '', ''
    FROM generate_series(1, {STORES}) n, scrm_legalentity e JOIN scrm_region r ON true WHERE r.code = 'R' || (1 + n % 6);
    INSERT INTO members_category (code, name) SELECT 'C' || n, '品类' || n FROM generate_series(1, {CATEGORIES}) n;
    INSERT INTO members_product (sku, name, category_id)
    SELECT 'SKU' || n, '商品' || n, c.id FROM generate_series(1, {PRODUCTS}) n
    JOIN members_category c ON c.code = 'C' || (1 + n % {CATEGORIES});
    INSERT INTO members_tag (brand_id, name) SELECT b.id, '标签' || n FROM scrm_brand b, generate_series(1, 20) n WHERE b.code = 'MAIN';
"""
MEMBERS = """
    INSERT INTO members_member (id, brand_id, name, gender, birthday, tier_id, points_brought_in, home_store_id, registered_on, remark, status)
    SELECT n, b.id, '会员' || n, CASE n %% 3 WHEN 0 THEN 'F' WHEN 1 THEN 'M' ELSE '' END, date '1960-01-01' + (n %% 16000)::int,
           t.ids[1 + n %% array_length(t.ids, 1)], 0, s.ids[1 + n * 31 %% %(stores)s], %(until)s::date - (n * 17 %% 1500)::int, '',
           CASE WHEN n %% 50 = 0 THEN 'FROZEN' ELSE 'ACTIVE' END
    FROM generate_series(1::bigint, %(rows)s) n, (SELECT id FROM scrm_brand WHERE code = 'MAIN') b,
         (SELECT array_agg(id ORDER BY id) ids FROM members_tier) t, (SELECT array_agg(id ORDER BY code) ids FROM scrm_store) s
"""
TAGS = """
    INSERT INTO members_membertag (member_id, tag_id, source)
    SELECT m.id, t.id, 'IMPORT' FROM members_member m JOIN members_tag t ON (m.id * 7 + t.id) %% 13 = 0
"""
# a fifth of the orders has no known buyer, a fifth of the members never buys
ORDERS = """
    INSERT INTO members_order (id, channel, shop, order_no, booked_on)
    SELECT n, (ARRAY['POS', 'POS', 'MINI_PROGRAM', 'TMALL', 'JD'])[1 + n %% 5], 'main', 'O' || n,
           %(until)s::date - (n * 7919 %% %(days)s)::int
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
"""
LINES = """
    INSERT INTO members_orderline (
        id, order_id, booked_on, line_no, channel, version_at, content_hash, created_at, paid_at, completed_at, store_id,
        cashier_code, buyer_mobile_index, buyer_card_no, buyer_account, buyer_unionid, member_id, product_id, quantity,
        unit_price, list_fen, discounts, paid_fen, points_fen, freight_fen, refunded_fen, is_test, is_gift_card, is_wholesale,
        is_staff_price, is_voided, risk_mark)
    SELECT (o.id - 1) * %(per_order)s + k, o.id, o.booked_on, k, o.channel, now(), md5(o.id::text), p.at, p.at, p.at,
           s.ids[1 + o.id %% %(stores)s], '', '', '', '', '',
           CASE WHEN o.id %% 5 > 0 THEN 1 + (o.id * 104729 %% (%(rows)s * 4 / 5)) END, r.ids[1 + (o.id + k * 7) %% %(products)s], 1,
           NULL, f.fen, '{}', f.fen, 0, 0, CASE WHEN (o.id + k) %% 67 = 0 THEN f.fen / 2 WHEN (o.id + k) %% 97 = 0 THEN f.fen ELSE 0 END,
           false, false, false, false, o.id %% 211 = 0, ''
    FROM members_order o CROSS JOIN generate_series(1, %(per_order)s) k
    CROSS JOIN LATERAL (SELECT (o.booked_on + interval '8 hours' + o.id * 37 %% 43200 * interval '1 second') AT TIME ZONE 'Asia/Shanghai' AS at) p
    CROSS JOIN LATERAL (SELECT 500 + (o.id + k) * 7907 %% 20000 AS fen) f,
         (SELECT array_agg(id ORDER BY id) ids FROM members_product) r, (SELECT array_agg(id ORDER BY code) ids FROM scrm_store) s
    WHERE o.id BETWEEN %(first)s AND %(last)s
"""
FLOOR = """
    CREATE UNLOGGED TABLE staging.facts_floor AS
    SELECT member_id, min(paid_at), max(paid_at), count(*), sum(paid_fen - refunded_fen) FROM members_orderline
    WHERE member_id IS NOT NULL AND NOT is_voided GROUP BY member_id
"""
KEPT = "NOT (l.is_voided OR l.is_test OR l.is_gift_card) AND (l.paid_fen = 0 OR l.refunded_fen < l.paid_fen)"
ACTIVE = "SELECT count(*) FROM members_member m {join} WHERE m.brand_id = %(brand)s AND m.status = 'ACTIVE' AND {where}"
FACTS = "JOIN members_memberfacts f ON f.member_id = m.id"


@dataclass(frozen=True, slots=True)
class Case:
    """A question as a rule, and as somebody would write it by hand."""

    name: str
    rule: dict[str, Any]
    join: str
    where: str


def audience(*, rows: int, say: Say) -> dict[str, Any]:
    _fill(rows, say)
    with bench.Memory() as memory:
        say("counting everybody's facts")
        rebuild_s, done = bench.timed(lambda: facts.rebuild(now=NOW))
        again_s, again = bench.timed(lambda: facts.rebuild(now=NOW))
        if again.differing:
            raise RuntimeError("a second rebuild found other facts")
        floor_s = _floor()
        with as_owner(connection), connection.cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE) members_memberfacts")
        refresh_s = _refresh(rows)
        member_value.cut(now=NOW)
        say(f"counting {TIMES} times each rule and the query written by hand")
        counts = _counts()
    return {
        **counts,
        "members": rows,
        "purchase_lines": rows * LINES_PER_MEMBER,
        "members_with_facts": done.members,
        "rebuild_seconds": round(rebuild_s, 2),
        "rebuild_again_seconds": round(again_s, 2),
        "rebuild_floor_seconds": round(floor_s, 2),
        "rebuild_floor_ratio": round(floor_s / again_s, 3),
        "refreshed_members_per_second": round(REFRESHED / refresh_s),
        "peak_mb": memory.peak_mb,
    }


def _fill(rows: int, say: Say) -> None:
    orders = -(-rows * LINES_PER_MEMBER // LINES_PER_ORDER)
    values: dict[str, Any] = {
        "rows": rows, "stores": STORES, "products": PRODUCTS, "days": DAYS, "until": UNTIL, "per_order": LINES_PER_ORDER,
    }  # fmt: skip
    db.ensure_partitions(OrderLine, UNTIL - dt.timedelta(days=DAYS), UNTIL)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(ORGANISATION)
        for name, statement in (("members", MEMBERS), ("tags", TAGS)):
            say(f"filling: {name}")
            cursor.execute(statement, values)
    step = CHUNK_LINES // LINES_PER_ORDER
    for first in range(1, orders + 1, step):
        say(f"filling: order lines, {(first - 1) * 100 // orders} %")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit = off")
            for statement in (ORDERS, LINES):
                cursor.execute(statement, {**values, "first": first, "last": min(orders, first + step - 1)})
    with as_owner(connection), connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")


def _floor() -> float:
    def group() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL work_mem = '256MB'")
            cursor.execute(FLOOR)
            cursor.execute("DROP TABLE staging.facts_floor")

    return bench.timed(group)[0]


def _refresh(rows: int) -> float:
    """Queued members, as after an hour of purchases."""
    step = max(1, rows // REFRESHED)
    MemberToRefresh.objects.bulk_create([MemberToRefresh(member_id=1 + n * step) for n in range(REFRESHED)])
    return bench.timed(lambda: facts.refresh_all(now=NOW))[0]


def _counts() -> dict[str, Any]:
    brand = Brand.objects.get(code="MAIN")
    ask = audiences.business_ask(brand_id=brand.pk, scope=org.EVERYTHING, now=NOW)
    live, ours, by_hand, estimates, slowest = [], 0.0, 0.0, 0, ("", 0.0)
    for case in _cases():
        node = audiences.read(case.rule, ask)
        query = compiling.query(node, ask)
        statement = ACTIVE.format(join=case.join, where=case.where)
        values = {"brand": brand.pk, "today": ask.today, **_values()}
        found = {_timed_count(query.count(), query.params)[1], _timed_count(statement, values)[1]}
        if len(found) != 1:
            raise RuntimeError(f"{case.name}: the rule and the query by hand count {found}")
        took, hand = [], []
        for _turn in range(TIMES):
            seconds, count = bench.timed(partial(counting.count, node, ask))
            live.append(seconds)
            estimates += count.is_estimate
            took.append(_timed_count(query.count(), query.params)[0])
            hand.append(_timed_count(statement, values)[0])
        ours += sorted(took)[TIMES // 2]
        by_hand += sorted(hand)[TIMES // 2]
        slowest = max(slowest, (case.name, sorted(took)[TIMES // 2]), key=lambda one: one[1])
    return {
        **bench.percentiles(live), "ratio": round(by_hand / ours, 3), "times_as_long": round(ours / by_hand, 3), "counts": len(live),
        "estimates": estimates, "slowest": slowest[0], "slowest_ms": round(slowest[1] * 1000, 1),
    }  # fmt: skip


def _timed_count(statement: str, values: Any) -> tuple[float, int]:
    def run() -> int:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL work_mem = '{counting.WORK_MEM}'")
            cursor.execute(statement, values)
            return int(cursor.fetchone()[0])

    return bench.timed(run)


def _values() -> dict[str, Any]:
    return {
        "tags": list(Tag.objects.order_by("pk").values_list("pk", flat=True)[:3]),
        "tier": Tier.objects.order_by("-rank", "pk").values_list("pk", flat=True)[0],
        "category": Category.objects.order_by("pk").values_list("pk", flat=True)[0],
        "region": Region.objects.order_by("pk").values_list("pk", flat=True)[0],
        "money": member_value.latest_cuts(Brand.objects.get(code="MAIN").pk).money[2],  # type: ignore[union-attr]
    }


def _cases() -> list[Case]:
    known = _values()

    def one(field: str, op: str, value: Any = None, **more: Any) -> dict[str, Any]:
        return {"field": field, "is": op, "value": value, **more}

    def group(op: str, *of: dict[str, Any]) -> dict[str, Any]:
        return {"op": op, "of": list(of)}

    since = "(%(today)s::date - {0})::timestamp AT TIME ZONE 'Asia/Shanghai'"
    bought = f"EXISTS (SELECT 1 FROM members_orderline l WHERE l.member_id = m.id AND l.paid_at >= {since} AND {KEPT}"
    return [
        Case(
            "spent much, away for long", group("AND", one("spend_365_fen", "gte", 50_000), one("last_on", "before_days", 60)),
            FACTS, "f.spend_365_fen >= 50000 AND f.last_on < %(today)s::date - 59",
        ),
        Case(
            "sleeping of the best tier", group("AND", one("stage", "any_of", ["SLEEPING", "LAPSING"]), one("tier", "any_of", [known["tier"]])),
            FACTS, "f.stage IN ('SLEEPING', 'LAPSING') AND m.tier_id = %(tier)s",
        ),
        Case(
            "tagged and buying", group("AND", one("tags", "any_of", known["tags"]), one("orders_90", "gte", 2)),
            FACTS, "f.orders_90 >= 2 AND EXISTS (SELECT 1 FROM members_membertag t WHERE t.member_id = m.id AND t.tag_id = ANY(%(tags)s))",
        ),
        Case(
            "twice this year, not this month", group("AND", one("orders_365", "gte", 2), group("NOT", one("purchases", "gte", 1, days=30))),
            FACTS, f"f.orders_365 >= 2 AND NOT {bought.format(29)})",
        ),
        Case(
            "spent 200 yuan in stores in 90 days", one("purchases", "gte", 20_000, days=90, measure="fen", channels=["POS"]),
            f"JOIN (SELECT l.member_id FROM members_orderline l WHERE l.member_id IS NOT NULL AND l.paid_at >= {since.format(89)}"
            f" AND l.channel = 'POS' AND {KEPT} GROUP BY 1 HAVING sum(l.paid_fen - l.refunded_fen) >= 20000) p ON p.member_id = m.id",
            "true",
        ),
        Case(
            "bought the category this month", one("purchases", "gte", 1, days=30, categories=[known["category"]]), "",
            f"EXISTS (SELECT 1 FROM members_orderline l JOIN members_product p ON p.id = l.product_id WHERE l.member_id = m.id"
            f" AND l.paid_at >= {since.format(29)} AND {KEPT} AND p.category_id = %(category)s)",
        ),
        Case(
            "birthdays of the week", group("AND", one("birthday", "coming_days", 7), one("stage", "any_of", ["REPEAT"])),
            FACTS, "f.stage = 'REPEAT' AND to_char(m.birthday, 'MMDD') IN (SELECT to_char(%(today)s::date + n, 'MMDD') FROM generate_series(0, 7) n)",
        ),
        Case(
            "new and never bought", group("AND", one("registered_on", "within_days", 180), one("orders_count", "lte", 0)), "",
            "m.registered_on >= %(today)s::date - 179 AND NOT EXISTS (SELECT 1 FROM members_memberfacts f WHERE f.member_id = m.id)",
        ),
        Case(
            "a region's good customers", group("AND", one("region", "any_of", [known["region"]]), one("average_fen", "gte", 15_000)),
            FACTS, "f.average_fen >= 15000 AND m.home_store_id IN (SELECT id FROM scrm_store WHERE region_id = %(region)s)",
        ),
        Case(
            "best by money or tagged, reachable",
            group("AND", group("OR", one("rfm_m", "gte", 4), one("tags", "any_of", known["tags"])), one("may_wecom", "yes")),
            "LEFT " + FACTS,
            "(f.spend_fen >= %(money)s OR EXISTS (SELECT 1 FROM members_membertag t WHERE t.member_id = m.id AND t.tag_id = ANY(%(tags)s)))"
            " AND NOT EXISTS (SELECT 1 FROM members_consent c WHERE c.member_id = m.id AND c.purpose = 'WECOM_MARKETING' AND NOT c.is_given)",
        ),
    ]  # fmt: skip
