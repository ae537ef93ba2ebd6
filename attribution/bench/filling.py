"""A big company by set-based SQL: a million members and a million order lines in about a minute.

Every value follows from the row's number, so that two runs measure the same data. Mobile numbers are really sealed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction

from guides import touches
from guides.models import Touch
from members.models import OrderLine
from scrm import crypto, db
from scrm.owner import as_owner

STORES, GUIDES_PER_STORE, PRODUCTS, CATEGORIES = 400, 4, 500, 10
LINES_PER_ORDER = 2
DAYS = 365
UNTIL = dt.date(2026, 6, 30)  # the last business day of the orders
MOBILE_BLOCK = "154"  # given to no operator
COPY_ROWS = 20_000

ORGANISATION = f"""
    INSERT INTO scrm_legalentity (code, name, kind, is_active)
    SELECT 'HQ', '总部', 'HQ', true UNION ALL
    SELECT 'F' || n, '加盟商' || n, 'FRANCHISEE', true FROM generate_series(1, 20) n;

    INSERT INTO scrm_region (code, name) SELECT 'R' || n, '大区' || n FROM generate_series(1, 6) n;
    INSERT INTO scrm_region (code, name, parent_id)
    SELECT p.code || '-' || n, p.name || n || '片区', p.id FROM scrm_region p, generate_series(1, 4) n;

    INSERT INTO scrm_store (code, name, entity_id, region_id, ownership, city, address)
    SELECT 'S' || lpad(n::text, 4, '0'), '门店' || n, e.id, r.id,
           CASE WHEN e.kind = 'HQ' THEN 'DIRECT' ELSE 'FRANCHISEE' END, '', ''
    FROM generate_series(1, {STORES}) n
    JOIN scrm_legalentity e ON e.code = CASE WHEN n % 3 = 0 THEN 'F' || (1 + n % 20) ELSE 'HQ' END
    JOIN scrm_region r ON r.code = 'R' || (1 + n % 6) || '-' || (1 + n % 4);

    INSERT INTO scrm_user (username, name, password, first_name, last_name, email, is_superuser, is_staff, is_active, date_joined)
    SELECT 'guide' || n, '导购' || n, '!', '', '', '', false, false, true, now()
    FROM generate_series(1, {STORES * GUIDES_PER_STORE}) n;

    INSERT INTO guides_guide (user_id, code, name)
    SELECT id, 'G' || lpad(substr(username, 6), 5, '0'), name FROM scrm_user WHERE username LIKE 'guide%' ORDER BY id;

    INSERT INTO guides_employment (guide_id, store_id, role, started_at)
    SELECT g.id, s.id, CASE WHEN substr(g.code, 2)::int % {GUIDES_PER_STORE} = 1 THEN 'STORE_MANAGER' ELSE 'GUIDE' END, '2020-01-01'
    FROM guides_guide g
    JOIN scrm_store s ON s.code = 'S' || lpad((1 + (substr(g.code, 2)::int - 1) / {GUIDES_PER_STORE})::text, 4, '0');

    INSERT INTO members_tier (brand_id, name, rank)
    SELECT b.id, t.name, t.rank FROM scrm_brand b, (VALUES ('普通', 0), ('银卡', 1), ('金卡', 2)) t(name, rank) WHERE b.code = 'MAIN'
    ON CONFLICT DO NOTHING;
    INSERT INTO members_category (code, name) SELECT 'C' || n, '品类' || n FROM generate_series(1, {CATEGORIES}) n;
    INSERT INTO members_product (sku, name, category_id)
    SELECT 'SKU' || n, '商品' || n, c.id FROM generate_series(1, {PRODUCTS}) n
    JOIN members_category c ON c.code = 'C' || (1 + n % {CATEGORIES});
"""

MEMBERS = """
    INSERT INTO members_member (
        id, brand_id, name, gender, birthday, tier_id, points_brought_in, home_store_id, registered_on, remark, status)
    SELECT n, b.id, substr('王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗', 1 + n %% 20, 1)
               || substr('伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平', 1 + n / 20 %% 20, 1)
               || substr('子梓雨思佳嘉欣怡涵轩宇浩文博泽晨诗若安可', 1 + n / 400 %% 20, 1),
           CASE n %% 3 WHEN 0 THEN 'F' WHEN 1 THEN 'M' ELSE '' END, date '1960-01-01' + n %% 16000, t.ids[1 + n %% 3],
           n %% 5000, s.ids[1 + n %% %(stores)s], date '2022-01-01' + n %% 1200, '', 'ACTIVE'
    FROM generate_series(1, %(rows)s) n, (SELECT id FROM scrm_brand WHERE code = 'MAIN') b,
         (SELECT array_agg(id ORDER BY id) ids FROM members_tier) t, (SELECT array_agg(id ORDER BY code) ids FROM scrm_store) s
"""

CARDS = """
    INSERT INTO members_identity (member_id, kind, namespace, value, is_verified)
    SELECT n, 'CARD', 'MAIN', 'VIP' || lpad(n::text, 9, '0'), false FROM generate_series(1, %(rows)s) n
"""

# four members of five have a guide of their home store
BINDINGS = """
    INSERT INTO guides_binding (brand_id, member_id, guide_id, store_id, source, started_at)
    SELECT m.brand_id, m.id, g.ids[1 + m.id %% %(stores)s * %(per_store)s + m.id / 7 %% %(per_store)s], m.home_store_id, 'IMPORT',
           m.registered_on::timestamp AT TIME ZONE 'Asia/Shanghai'
    FROM members_member m, (SELECT array_agg(id ORDER BY code) ids FROM guides_guide) g
    WHERE m.id %% 5 <> 0
"""

# more than half POS; a fifth of the lines has no known buyer, a tenth belongs to the first thousand members
ORDERS = """
    INSERT INTO members_order (id, channel, shop, order_no, booked_on)
    SELECT n, CASE WHEN n %% 9 < 5 THEN 'POS' WHEN n %% 9 < 7 THEN 'MINI_PROGRAM' WHEN n %% 9 = 7 THEN 'TMALL' ELSE 'JD' END,
           CASE WHEN n %% 9 < 5 THEN 'S' || lpad((1 + n %% %(stores)s)::text, 4, '0') ELSE 'main' END, 'O' || n,
           %(first)s::date + (n %% %(days)s)::int
    FROM generate_series(1, %(orders)s) n
"""

LINES = """
    INSERT INTO members_orderline (
        id, order_id, booked_on, line_no, channel, version_at, content_hash, created_at, paid_at, completed_at, store_id,
        cashier_code, buyer_mobile_index, buyer_card_no, buyer_account, buyer_unionid, member_id, product_id, quantity,
        unit_price, list_fen, discounts, paid_fen, points_fen, freight_fen, refunded_fen, is_test, is_gift_card, is_wholesale,
        is_staff_price, is_voided, risk_mark)
    SELECT l.n, o.id, o.booked_on, 1 + (l.n - 1) %% %(per_order)s, o.channel, now(), md5(l.n::text), p.at, p.at,
           CASE WHEN o.id %% 4 > 0 THEN p.at + interval '1 day' END, CASE WHEN o.channel = 'POS' THEN s.ids[1 + o.id %% %(stores)s] END,
           CASE WHEN o.channel = 'POS' THEN 'G' || lpad((1 + o.id %% %(stores)s * %(per_store)s + l.n %% %(per_store)s)::text, 5, '0')
                ELSE '' END,
           '', '', '', '', CASE WHEN o.id %% 10 = 1 THEN 1 + o.id / 10 %% least(%(rows)s, 1000) WHEN o.id %% 5 > 0 THEN 1 + o.id * 7919 %% %(rows)s END, r.ids[1 + l.n %% %(products)s], 1,
           f.fen / 100.0, f.fen, '{}', f.fen, 0, 0, CASE WHEN l.n %% 67 = 0 THEN f.fen / 2 ELSE 0 END,
           false, false, false, false, false, ''
    FROM generate_series(1::bigint, %(rows)s) l(n)
    JOIN members_order o ON o.id = 1 + (l.n - 1) / %(per_order)s
    CROSS JOIN LATERAL (
        SELECT (o.booked_on + interval '8 hours' + o.id * 37 %% 43200 * interval '1 second') AT TIME ZONE 'Asia/Shanghai' AS at) p
    CROSS JOIN LATERAL (SELECT 500 + l.n * 7907 %% 20000 AS fen) f,
         (SELECT array_agg(id ORDER BY id) ids FROM members_product) r, (SELECT array_agg(id ORDER BY code) ids FROM scrm_store) s
"""

# every third member has opened a guide's link, half of them a week before one of her orders and half long ago; a fifth of
# the touches names a visitor who turned out to be the member
VISITORS = """
    INSERT INTO guides_visitor (unionid, namespace, account, mobile_index, member_id, linked_at)
    SELECT 'u' || m.id, '', '', '', m.id, now() FROM members_member m WHERE m.id %% 15 = 0
"""

TOUCHES = """
    INSERT INTO guides_touch (touched_on, key, kind, guide_id, store_id, visitor_id, member_id, object_kind, object_code, at, is_signed)
    SELECT (t.at AT TIME ZONE 'Asia/Shanghai')::date, 'bench:' || l.id, CASE WHEN l.id %% 4 = 0 THEN 'LIVE' ELSE 'SHARE' END, t.guide,
           s.ids[1 + p.place / %(per_store)s], v.id,
           CASE WHEN v.id IS NULL THEN l.member_id END, 'ALL', '', t.at, true
    FROM members_orderline l
    LEFT JOIN guides_visitor v ON v.member_id = l.member_id,
         (SELECT array_agg(id ORDER BY code) ids FROM guides_guide) g, (SELECT array_agg(id ORDER BY code) ids FROM scrm_store) s
    CROSS JOIN LATERAL (
        SELECT (l.member_id * 31 + l.id) %% (%(stores)s * %(per_store)s) AS place) p
    CROSS JOIN LATERAL (
        SELECT g.ids[1 + p.place] AS guide,
               l.created_at - (1 + l.id %% 14) * interval '1 day' - interval '5 minutes' AS at) t
    WHERE l.member_id %% 3 = 0 AND l.line_no = 1
"""

# from the middle of the year on seller and service share
SPLIT_FROM = """
    UPDATE attribution_ruleversion SET effective_until = %(split_from)s WHERE number = 1;
    INSERT INTO attribution_ruleversion (
        brand_id, number, name, mode, seller_bp, service_bp, share_window_hours, late_link_days, gap_pool_bp, home_pool_bp,
        entity_share_bp, fulfil_fee_bp, vest_days, status, effective_from, digest)
    SELECT brand_id, 2, '销售与服务分摊', 'SPLIT', 7000, 3000, share_window_hours, late_link_days, gap_pool_bp, home_pool_bp,
           entity_share_bp, fulfil_fee_bp, vest_days, 'DRAFT', %(split_from)s, ''
    FROM attribution_ruleversion WHERE number = 1;
    INSERT INTO attribution_rulerate (rule_id, channel, category_id, rate_bp)
    SELECT v.id, NULL, NULL, 500 FROM attribution_ruleversion v WHERE v.number = 2;
    INSERT INTO attribution_rulelayer (rule_id, channel, is_uncapped, rate_bp, vest_days)
    SELECT v.id, 'TMALL', false, 300, 20 FROM attribution_ruleversion v WHERE v.number = 2;
    UPDATE attribution_ruleversion SET status = 'PUBLISHED', digest = md5('split') || md5('rule') WHERE number = 2
"""

REFUNDS = """
    INSERT INTO members_refund (
        channel, shop, refund_no, order_no, line_no, line_id, booked_on, version_at, content_hash, refunded_at, quantity,
        amount_fen, status, is_posted)
    SELECT o.channel, o.shop, 'R' || l.id, o.order_no, l.line_no, l.id, l.booked_on, now(), md5(l.id::text),
           l.paid_at + interval '2 days', 1, l.refunded_fen, 'APPLIED', false
    FROM members_orderline l JOIN members_order o ON o.id = l.order_id WHERE l.refunded_fen > 0
"""

TO_DECIDE = "INSERT INTO members_linetodecide (line_id, booked_on) SELECT id, booked_on FROM members_orderline"

STEPS = (("members", MEMBERS), ("cards", CARDS), ("bindings", BINDINGS), ("orders", ORDERS), ("order lines", LINES),
         ("refunds", REFUNDS), ("visitors", VISITORS), ("touches", TOUCHES), ("a rule that splits", SPLIT_FROM),
         ("lines to decide", TO_DECIDE))  # fmt: skip


def fill(*, rows: int, say: Callable[[str], None], days: int = DAYS) -> None:
    """``rows`` members with identities and bindings, ``rows`` order lines of the last ``days`` waiting for their decision."""
    values: dict[str, Any] = {
        "rows": rows, "orders": -(-rows // LINES_PER_ORDER), "per_order": LINES_PER_ORDER, "stores": STORES,
        "per_store": GUIDES_PER_STORE, "products": PRODUCTS, "days": days, "first": UNTIL - dt.timedelta(days=days - 1),
        "split_from": dt.datetime.combine(UNTIL - dt.timedelta(days=days // 2), dt.time(), touches.SHANGHAI),
    }  # fmt: skip
    db.ensure_partitions(OrderLine, values["first"], UNTIL)
    db.ensure_partitions(Touch, values["first"] - dt.timedelta(days=31), UNTIL)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(ORGANISATION)
        for name, statement in STEPS:
            say(f"filling: {name}")
            cursor.execute(statement, values)
            if name == "members":
                _copy_mobiles(cursor, rows)
    with as_owner(connection), connection.cursor() as cursor:
        for table in ("members_member", "members_order", "members_orderline"):
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")
        cursor.execute("VACUUM (ANALYZE)")


def _copy_mobiles(cursor: Any, rows: int) -> None:
    columns = "member_id, kind, namespace, value, sealed, is_verified"
    with cursor.copy(f"COPY members_identity ({columns}) FROM STDIN") as copy:
        for start in range(1, rows + 1, COPY_ROWS):
            numbers = range(start, min(start + COPY_ROWS, rows + 1))
            fields = crypto.seal_for_copy([f"{MOBILE_BLOCK}{number:08d}" for number in numbers])
            lines = [f"{number}\tMOBILE\tMAIN\t{field}f\n" for number, field in zip(numbers, fields, strict=True)]
            copy.write("".join(lines).encode())
