"""Order lines: one set of statements for a delivery of one line and for a chunk of an import (see ``batch``)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from members import products
from members.models import OrderLine
from members.purchases import batch, buyers, refunds
from scrm import db

CONFLICT = "version_conflict"
BELOW_REFUNDS = "paid_below_refunds"

# what a source says about a line; named like the columns of OrderLine
CONTENT: batch.Columns = (
    ("created_at", "timestamptz"), ("paid_at", "timestamptz"), ("completed_at", "timestamptz"), ("store_id", "bigint"),
    ("cashier_code", "text"), ("buyer_mobile_index", "text"), ("buyer_card_no", "text"), ("buyer_account", "text"),
    ("buyer_unionid", "text"), ("quantity", "numeric(12,3)"), ("unit_price", "numeric(14,4)"), ("list_fen", "bigint"),
    ("discounts", "jsonb"), ("paid_fen", "bigint"), ("points_fen", "bigint"), ("freight_fen", "bigint"),
    ("is_test", "boolean"), ("is_gift_card", "boolean"), ("is_wholesale", "boolean"), ("is_staff_price", "boolean"),
    ("is_voided", "boolean"), ("risk_mark", "text"),
)  # fmt: skip
# what only some channels say: name, type, and the value of a source that does not say it
SAID_BY_SOME = (
    ("line_ref", "text", "''"), ("delivery_mode", "text", "''"), ("fulfil_store_id", "bigint", "NULL::bigint"),
    ("exchange_of", "text", "''"), ("group_state", "text", "''"), ("presale_state", "text", "''"), ("live_no", "text", "''"),
    ("group_no", "text", "''"), ("gift_card_fen", "bigint", "0"), ("details", "jsonb", "NULL::jsonb"),
)  # fmt: skip
FACTS: batch.Columns = tuple((name, f"{kind} DEFAULT {empty}") for name, kind, empty in SAID_BY_SOME)
BATCH: batch.Columns = (
    ("seq", "bigint"), ("channel", "text"), ("shop", "text"), ("order_no", "text"), ("line_no", "bigint"),
    ("version_at", "timestamptz"), ("sku", "text"), ("product_name", "text"), ("category", "text"), *CONTENT,
)  # fmt: skip
WORK: batch.Columns = (
    ("seq", "bigint"), ("order_id", "bigint"), ("booked_on", "date"), ("line_id", "bigint"), ("content_hash", "text"),
    ("verdict", "text"), ("member_id", "bigint"), ("is_two_members", "boolean"),
)  # fmt: skip
TABLES = {"order_batch": batch.ORDER_COLUMNS, "line_work": WORK, "refund_fit": refunds.FIT}


@dataclass(frozen=True, slots=True)
class LineVersion:
    """What one delivery says about one line. Amounts in fen; ``paid_fen`` includes ``points_fen`` and no freight."""

    channel: str
    shop: str
    order_no: str
    line_no: int
    version_at: dt.datetime
    created_at: dt.datetime
    paid_at: dt.datetime
    sku: str
    quantity: Decimal
    list_fen: int
    paid_fen: int
    completed_at: dt.datetime | None = None
    store_id: int | None = None
    cashier_code: str = ""
    buyer_mobile_index: str = ""
    buyer_card_no: str = ""
    buyer_account: str = ""
    buyer_unionid: str = ""
    product_name: str = ""
    category: str = ""
    unit_price: Decimal | None = None
    discounts: dict[str, int] = field(default_factory=dict)
    points_fen: int = 0
    freight_fen: int = 0
    is_test: bool = False
    is_gift_card: bool = False
    is_wholesale: bool = False
    is_staff_price: bool = False
    is_voided: bool = False
    risk_mark: str = ""
    line_ref: str = ""
    delivery_mode: str = ""
    fulfil_store_id: int | None = None
    exchange_of: str = ""
    group_state: str = ""
    presale_state: str = ""
    live_no: str = ""
    group_no: str = ""
    gift_card_fen: int = 0
    details: dict[str, Any] | None = None


@dataclass
class LinesRecorded:
    """What became of a delivery. ``parked``: (place in the delivery, code); ``line_ids``: lines to decide."""

    inserted: int = 0
    updated: int = 0
    repeated: int = 0
    older: int = 0
    confirmed: int = 0  # a newer version that says the same
    two_members: int = 0
    refunds_applied: int = 0
    parked: list[tuple[int, str]] = field(default_factory=list)
    line_ids: list[int] = field(default_factory=list)

    def add(self, other: LinesRecorded) -> None:
        """Add the counts of another delivery; places and ids mean nothing together."""
        for name, count in other.counts().items():
            if name != "parked":
                setattr(self, name, getattr(self, name) + count)
        self.parked += other.parked

    def counts(self) -> dict[str, int]:
        return {**{n: v for n, v in vars(self).items() if isinstance(v, int)}, "parked": len(self.parked)}


# --- the statements -----------------------------------------------------------------------------------------------------


def content_hash(alias: str) -> str:
    """SQL for the digest of a line's content: columns that OrderLine keeps, and the SKU.

    Times as seconds, since the text of a time depends on the session. A row's text is 2.5 times as fast as a JSON array's.
    What only some channels say counts when it is said, so that lines recorded before it could be said keep their digest.
    """
    parts = [f"{alias}.sku"]
    for name, kind in CONTENT:
        column = f"{alias}.{name}"
        parts.append(f"extract(epoch FROM {column})" if kind == "timestamptz" else column)
    said = ", ".join(f"{alias}.{name}" for name, _kind, _empty in SAID_BY_SOME)
    empty = ", ".join(empty for _name, _kind, empty in SAID_BY_SOME)
    some = f"CASE WHEN row({said}) IS NOT DISTINCT FROM row({empty}) THEN '' ELSE row({said})::text END"
    return f"md5(row({', '.join(parts)})::text || {some})"


_CONTENT_NAMES = [name for name, _kind in (*CONTENT, *FACTS)]

WANTED_ORDERS = """
    wanted AS (
        SELECT channel, shop, order_no, (min(paid_at) AT TIME ZONE 'Asia/Shanghai')::date AS booked_on
        FROM line_batch GROUP BY channel, shop, order_no
    ), added AS (
        INSERT INTO members_order (channel, shop, order_no, booked_on)
        SELECT channel, shop, order_no, booked_on FROM wanted w
        WHERE NOT EXISTS (
            SELECT 1 FROM members_order o WHERE (o.order_no, o.channel, o.shop) = (w.order_no, w.channel, w.shop)
        )
        ORDER BY order_no, channel, shop ON CONFLICT DO NOTHING
        RETURNING id, channel, shop, order_no, booked_on
    )
"""
ADDED_ORDERS = "SELECT id, channel, shop, order_no, booked_on, true FROM added"
# Whoever writes to an order holds its row, in id order; what is read after this is what stands.
LOCK_ORDERS = """
    SELECT o.id, o.channel, o.shop, o.order_no, o.booked_on, false
    FROM members_order o
    JOIN (SELECT DISTINCT channel, shop, order_no FROM line_batch) b USING (channel, shop, order_no)
    WHERE NOT EXISTS (SELECT 1 FROM order_batch n WHERE n.order_id = o.id)
    ORDER BY o.id FOR NO KEY UPDATE OF o
"""
# The best row of the delivery per line is its newest one, the first of equals, among those that cover the refunds. The
# others are compared with what stands after it. LATERAL keeps every look-up an index probe into one partition.
JUDGE = f"""
    WITH keyed AS MATERIALIZED (  -- once: the digest would be computed again for every window
        SELECT b.seq, b.line_no, b.version_at, {content_hash("b")} AS content_hash, o.order_id, o.booked_on, x.id AS line_id,
               x.version_at AS old_version, x.content_hash AS old_hash,
               x.id IS NULL OR b.paid_fen >= x.refunded_fen AS fits
        FROM line_batch b JOIN order_batch o USING (channel, shop, order_no)
        LEFT JOIN LATERAL (
            SELECT l.id, l.version_at, l.content_hash, l.refunded_fen FROM members_orderline l
            WHERE NOT o.is_new AND l.order_id = o.order_id AND l.line_no = b.line_no AND l.booked_on = o.booked_on LIMIT 1
        ) x ON true
    ), ranked AS (
        SELECT *, row_number() OVER best AS place, first_value(version_at) OVER best AS top_version,
               first_value(content_hash) OVER best AS top_hash, first_value(fits) OVER best AS top_fits
        FROM keyed WINDOW best AS (PARTITION BY order_id, line_no ORDER BY fits DESC, version_at DESC, seq)
    ), after AS (
        SELECT *, top_fits AND (old_version IS NULL OR top_version > old_version) AS wins FROM ranked
    ), judged AS (
        SELECT seq, order_id, booked_on, line_id, content_hash, CASE
            WHEN wins AND place = 1 THEN CASE
                WHEN line_id IS NULL THEN 'NEW' WHEN content_hash = old_hash THEN 'SAME' ELSE 'NEWER' END
            WHEN version_at < CASE WHEN wins THEN top_version ELSE old_version END THEN 'OLDER'
            WHEN version_at > CASE WHEN wins THEN top_version ELSE old_version END THEN '{BELOW_REFUNDS}'
            WHEN content_hash = CASE WHEN wins THEN top_hash ELSE old_hash END THEN 'REPEAT'
            ELSE '{CONFLICT}' END AS verdict
        FROM after
    )
    SELECT j.*, CASE WHEN j.verdict IN ('NEW', 'NEWER') THEN coalesce(card.member_id, mobile.member_id,
            {buyers.found_by("UNIONID", "b.buyer_unionid")},
            {buyers.found_by("ACCOUNT", "b.buyer_account", "b.channel || '/' || b.shop")}
        ) END, card.member_id <> mobile.member_id
    FROM judged j JOIN line_batch b USING (seq)
    LEFT JOIN LATERAL (
        SELECT {buyers.found_by("CARD", "b.buyer_card_no")} AS member_id WHERE j.verdict IN ('NEW', 'NEWER')
    ) card ON true
    LEFT JOIN LATERAL (
        SELECT {buyers.found_by("MOBILE", "b.buyer_mobile_index")} AS member_id WHERE j.verdict IN ('NEW', 'NEWER')
    ) mobile ON true
"""
COUNT = """
    SELECT count(*) FILTER (WHERE verdict = 'NEW'), count(*) FILTER (WHERE verdict = 'NEWER'),
           count(*) FILTER (WHERE verdict = 'REPEAT'), count(*) FILTER (WHERE verdict = 'OLDER'),
           count(*) FILTER (WHERE verdict = 'SAME'), count(*) FILTER (WHERE is_two_members), count(*)
    FROM line_work
"""
PARKED = f"SELECT seq, verdict FROM line_work WHERE verdict IN ('{CONFLICT}', '{BELOW_REFUNDS}') ORDER BY seq"
PARK = f"""
    INSERT INTO members_parkedversion (kind, key, version_at, content_hash, content, code)
    SELECT 'LINE', concat_ws('/', b.channel, b.shop, b.order_no, b.line_no), b.version_at, w.content_hash,
           to_jsonb(b) - 'buyer_mobile_index' - 'seq', w.verdict
    FROM line_work w JOIN line_batch b USING (seq) WHERE w.verdict IN ('{CONFLICT}', '{BELOW_REFUNDS}')
    ORDER BY 2, 3, 4 ON CONFLICT DO NOTHING
"""
# A queue row that a decider holds is waited for, before the line is touched: it then decides what we have written.
QUEUE_CHANGED = """
    INSERT INTO members_linetodecide (line_id, booked_on)
    SELECT line_id, booked_on FROM line_work WHERE verdict = 'NEWER' ORDER BY line_id
    ON CONFLICT (line_id) DO UPDATE SET booked_on = EXCLUDED.booked_on
"""
# what HQ has said of the risk by hand outweighs every version of the channel
_HQ_RISK = (
    "coalesce((SELECT r.mark FROM members_riskmark r WHERE r.line_id = l.id ORDER BY r.id DESC LIMIT 1), b.risk_mark)"
)
_NEWER = ", ".join(f"{name} = {_HQ_RISK if name == 'risk_mark' else f'b.{name}'}" for name in _CONTENT_NAMES)
UPDATE_CHANGED = f"""
    UPDATE members_orderline l
    SET channel = b.channel, version_at = b.version_at, content_hash = w.content_hash, member_id = w.member_id,
        product_id = p.id, {_NEWER}
    FROM line_work w JOIN line_batch b USING (seq) JOIN members_product p ON p.sku = b.sku
    WHERE w.verdict = 'NEWER' AND l.id = w.line_id AND l.booked_on = w.booked_on
"""
CONFIRM_SAME = """
    UPDATE members_orderline l SET version_at = b.version_at FROM line_work w JOIN line_batch b USING (seq)
    WHERE w.verdict = 'SAME' AND l.id = w.line_id AND l.booked_on = w.booked_on
"""
INSERT_NEW = f"""
    WITH added AS (
        INSERT INTO members_orderline (order_id, booked_on, line_no, channel, version_at, content_hash, member_id, product_id,
                                       refunded_fen, {", ".join(_CONTENT_NAMES)})
        SELECT w.order_id, w.booked_on, b.line_no, b.channel, b.version_at, w.content_hash, w.member_id, p.id,
               0, {", ".join(f"b.{name}" for name in _CONTENT_NAMES)}
        FROM line_work w JOIN line_batch b USING (seq) JOIN members_product p ON p.sku = b.sku
        WHERE w.verdict = 'NEW' ORDER BY w.order_id, b.line_no
        RETURNING id, booked_on
    )
    INSERT INTO members_linetodecide (line_id, booked_on) SELECT id, booked_on FROM added RETURNING line_id
"""


# --- operations -------------------------------------------------------------------------------------------------------


def record_lines(*, lines: Sequence[LineVersion]) -> LinesRecorded:
    """Record what a delivery says about some lines; ``parked`` and ``line_ids`` are filled."""
    if not lines:
        return LinesRecorded()
    columns = (*BATCH, *FACTS)
    if len(lines) <= batch.PASSED_UP_TO:
        with batch.passed("line_batch", lines, line_batch=columns, **TABLES) as work:
            return _record(work)
    with batch.in_tables(line_batch=columns, **TABLES) as work:
        batch.fill(work, "line_batch", columns, lines)
        return _record(work)


def record_lines_of(*, select: str, params: Sequence[Any] = (), more: Sequence[str] = ()) -> LinesRecorded:
    """The same for the rows of a query that yields the columns of ``BATCH`` in their order, ``seq`` telling them apart.

    ``more``: those of ``FACTS`` that the query yields after them.
    """
    names = ", ".join([*(name for name, _kind in BATCH), *more])
    with batch.in_tables(line_batch=(*BATCH, *FACTS), **TABLES) as work:
        work.hold(f"line_batch ({names})", select, params)
        return _record(work)


def _record(work: batch.Batch) -> LinesRecorded:
    rows, orders = _open_months(work)
    work.analyze("line_batch", rows, "channel, shop, order_no, line_no, sku")
    products.ensure(work, "line_batch")
    if work.hold("order_batch", ADDED_ORDERS, first=WANTED_ORDERS) < orders:
        work.hold("order_batch", LOCK_ORDERS)
    work.analyze("order_batch", rows)
    work.hold("line_work", JUDGE)
    work.analyze("line_work", rows)
    [(*counts, judged)] = work.rows(COUNT)
    result = LinesRecorded(*counts)
    if judged > sum(counts[:5]):
        result.parked = work.rows(PARKED)
        work.run(PARK)
    result.line_ids = _write(work, result)
    touched = refunds.apply_to_batch(work)
    result.refunds_applied = touched.applied
    result.line_ids += touched.line_ids
    return result


MONTHS = """
    SELECT date_trunc('month', paid_at AT TIME ZONE 'Asia/Shanghai')::date, count(*), (
        SELECT count(*) FROM (SELECT DISTINCT channel, shop, order_no FROM line_batch) o
    ) FROM line_batch GROUP BY 1
"""


def _open_months(work: batch.Batch) -> tuple[int, int]:
    """The partitions of the batch exist; its rows and its orders. Month by month: one odd date must not open a century."""
    months = work.rows(MONTHS)
    for month, _count, _orders in months:
        db.ensure_partitions(OrderLine, month, month)
    return sum(count for _month, count, _orders in months), max((orders for *_rest, orders in months), default=0)


def _write(work: batch.Batch, found: LinesRecorded) -> list[int]:
    line_ids: list[int] = []
    if found.confirmed:
        work.run(CONFIRM_SAME)
    if found.updated:
        work.run(QUEUE_CHANGED)
        work.run(UPDATE_CHANGED)
        line_ids += [line_id for (line_id,) in work.rows("SELECT line_id FROM line_work WHERE verdict = 'NEWER'")]
    if found.inserted:
        line_ids += [line_id for (line_id,) in work.rows(INSERT_NEW)]
    return line_ids
