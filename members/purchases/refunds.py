"""Refunds: recorded by their own key, applied to lines as soon as both are there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import transaction

from members.purchases import batch

CONFLICT = "version_conflict"
MOVED = "refund_moved"  # a newer version names another line
EXCEEDS = "refund_exceeds_line"
AMBIGUOUS = "ambiguous_order"

BATCH: batch.Columns = (
    ("seq", "bigint"), ("channel", "text"), ("shop", "text"), ("refund_no", "text"), ("order_no", "text"),
    ("line_no", "bigint"), ("version_at", "timestamptz"), ("refunded_at", "timestamptz"), ("quantity", "numeric(12,3)"),
    ("amount_fen", "bigint"),
)  # fmt: skip
WORK: batch.Columns = (
    ("seq", "bigint"), ("shop", "text"), ("refund_id", "bigint"), ("line_id", "bigint"), ("booked_on", "date"),
    ("content_hash", "text"), ("verdict", "text"), ("is_applied", "boolean"), ("more_fen", "bigint"),
)  # fmt: skip
FIT: batch.Columns = (
    ("refund_id", "bigint"), ("shop", "text"), ("line_id", "bigint"), ("booked_on", "date"), ("amount_fen", "bigint"),
)  # fmt: skip
TABLES = {"refund_batch": BATCH, "order_batch": batch.ORDER_COLUMNS, "refund_work": WORK, "refund_fit": FIT}


@dataclass(frozen=True, slots=True)
class RefundVersion:
    """What one delivery says about one refund. ``shop`` "" where the source does not name it."""

    channel: str
    shop: str
    refund_no: str
    order_no: str
    line_no: int
    version_at: dt.datetime
    refunded_at: dt.datetime
    quantity: Decimal
    amount_fen: int


@dataclass
class RefundsRecorded:
    """What became of a delivery. ``refused``: (place in the delivery, code), parked ones among them."""

    inserted: int = 0
    updated: int = 0
    repeated: int = 0
    older: int = 0
    confirmed: int = 0  # a newer version that says the same
    applied: int = 0
    waiting: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)
    line_ids: list[int] = field(default_factory=list)

    def add(self, other: RefundsRecorded) -> None:
        """Add the counts of another delivery; places and ids mean nothing together."""
        for name, count in other.counts().items():
            if name != "refused":
                setattr(self, name, getattr(self, name) + count)
        self.refused += other.refused

    def counts(self) -> dict[str, int]:
        return {**{n: v for n, v in vars(self).items() if isinstance(v, int)}, "refused": len(self.refused)}


@dataclass
class Applied:
    applied: int = 0
    line_ids: list[int] = field(default_factory=list)


# --- the statements -----------------------------------------------------------------------------------------------------

CONTENT_HASH = (
    "md5(row({0}.order_no, {0}.line_no, extract(epoch FROM {0}.refunded_at), {0}.quantity, {0}.amount_fen)::text)"
)

LOCK_ORDERS = """
    SELECT o.id, o.channel, o.shop, o.order_no, o.booked_on, false
    FROM members_order o
    WHERE o.id IN (
        SELECT n.id FROM (SELECT DISTINCT channel, shop, order_no FROM refund_batch) b
        JOIN members_order n ON n.order_no = b.order_no AND n.channel = b.channel AND b.shop IN (n.shop, '')
    )
    ORDER BY o.id FOR NO KEY UPDATE OF o
"""
# The shop of a refund that does not name one is the shop of the only such order; '' while there is none.
JUDGE = f"""
    WITH placed AS (
        SELECT b.seq, b.channel, b.refund_no, b.order_no, b.line_no, b.version_at, b.amount_fen,
               {CONTENT_HASH.format("b")} AS content_hash,
               coalesce(nullif(b.shop, ''), a.shop, '') AS shop, coalesce(a.orders, 0) > 1 AS is_ambiguous,
               coalesce(o.order_id, a.order_id) AS order_id, coalesce(o.booked_on, a.booked_on) AS booked_on
        FROM refund_batch b
        LEFT JOIN order_batch o ON (o.order_no, o.channel, o.shop) = (b.order_no, b.channel, b.shop)
        LEFT JOIN (
            SELECT channel, order_no, min(shop) AS shop, count(*) AS orders, min(order_id) AS order_id,
                   min(booked_on) AS booked_on
            FROM order_batch GROUP BY channel, order_no
        ) a ON b.shop = '' AND (a.order_no, a.channel) = (b.order_no, b.channel)
    ), keyed AS (
        SELECT p.*, l.id AS line_id, l.paid_fen - l.refunded_fen AS room, r.id AS refund_id, r.version_at AS old_version,
               r.content_hash AS old_hash, coalesce(r.status = 'APPLIED', false) AS is_applied, r.amount_fen AS old_fen,
               (r.order_no, r.line_no) <> (p.order_no, p.line_no) AS is_moved
        FROM placed p
        LEFT JOIN LATERAL (
            SELECT x.* FROM members_refund x
            WHERE x.refund_no = p.refund_no AND x.channel = p.channel AND x.shop IN (p.shop, '')
            ORDER BY (x.shop = p.shop) DESC LIMIT 1
        ) r ON true
        LEFT JOIN LATERAL (
            SELECT x.id, x.paid_fen, x.refunded_fen FROM members_orderline x
            WHERE NOT p.is_ambiguous AND x.order_id = p.order_id AND x.line_no = p.line_no AND x.booked_on = p.booked_on LIMIT 1
        ) l ON true
    ), ranked AS (
        SELECT *, row_number() OVER best AS place, first_value(version_at) OVER best AS top_version,
               first_value(content_hash) OVER best AS top_hash
        FROM keyed WINDOW best AS (PARTITION BY channel, shop, refund_no ORDER BY version_at DESC, seq)
    ), after AS (
        SELECT *, old_version IS NULL OR top_version > old_version AS wins,
               place = 1 AND (old_version IS NULL OR top_version > old_version) AS is_best FROM ranked
    ), together AS (
        SELECT *, sum(amount_fen - old_fen) FILTER (WHERE is_best AND is_applied) OVER (PARTITION BY line_id ORDER BY seq)
                  AS more_together
        FROM after
    )
    SELECT seq, shop, refund_id, line_id, booked_on, content_hash, CASE
        WHEN is_ambiguous THEN '{AMBIGUOUS}'
        WHEN is_best AND is_applied AND is_moved THEN '{MOVED}'
        WHEN is_best AND is_applied AND more_together > room THEN '{EXCEEDS}'
        WHEN is_best THEN CASE
            WHEN refund_id IS NULL THEN 'NEW' WHEN content_hash = old_hash THEN 'SAME' ELSE 'NEWER' END
        WHEN version_at < CASE WHEN wins THEN top_version ELSE old_version END THEN 'OLDER'
        WHEN content_hash = CASE WHEN wins THEN top_hash ELSE old_hash END THEN 'REPEAT'
        ELSE '{CONFLICT}' END, is_applied, amount_fen - old_fen
    FROM together
"""
PARK = f"""
    INSERT INTO members_parkedversion (kind, key, version_at, content_hash, content, code)
    SELECT 'REFUND', concat_ws('/', b.channel, w.shop, b.refund_no), b.version_at, w.content_hash, to_jsonb(b) - 'seq', w.verdict
    FROM refund_work w JOIN refund_batch b USING (seq) WHERE w.verdict IN ('{CONFLICT}', '{MOVED}')
    ORDER BY 2, 3, 4 ON CONFLICT DO NOTHING
"""
INSERT_NEW = """
    INSERT INTO members_refund (channel, shop, refund_no, order_no, line_no, version_at, content_hash, refunded_at, quantity,
                                amount_fen, status, is_posted)
    SELECT b.channel, w.shop, b.refund_no, b.order_no, b.line_no, b.version_at, w.content_hash, b.refunded_at, b.quantity,
           b.amount_fen, 'WAITING', false
    FROM refund_work w JOIN refund_batch b USING (seq) WHERE w.verdict = 'NEW'
    ORDER BY b.refund_no, b.channel, w.shop ON CONFLICT DO NOTHING
"""
QUEUE = """
    INSERT INTO members_linetodecide (line_id, booked_on)
    SELECT DISTINCT line_id, booked_on FROM {source} ORDER BY line_id
    ON CONFLICT (line_id) DO UPDATE SET booked_on = EXCLUDED.booked_on
"""
CHANGED = "refund_work WHERE verdict = 'NEWER' AND is_applied"
UPDATE_LINES_OF_CHANGED = f"""
    UPDATE members_orderline l SET refunded_fen = l.refunded_fen + w.more_fen
    FROM (SELECT line_id, booked_on, sum(more_fen) AS more_fen FROM {CHANGED} GROUP BY 1, 2) w
    WHERE l.id = w.line_id AND l.booked_on = w.booked_on
"""
UPDATE_CHANGED = """
    UPDATE members_refund r
    SET shop = w.shop, order_no = b.order_no, line_no = b.line_no, version_at = b.version_at,
        content_hash = w.content_hash, refunded_at = b.refunded_at, quantity = b.quantity, amount_fen = b.amount_fen, is_posted = false
    FROM refund_work w JOIN refund_batch b USING (seq) WHERE w.verdict = 'NEWER' AND r.id = w.refund_id
"""
CONFIRM_SAME = """
    UPDATE members_refund r SET version_at = b.version_at FROM refund_work w JOIN refund_batch b USING (seq)
    WHERE w.verdict = 'SAME' AND r.id = w.refund_id
"""
# Refunds of the batch's orders that wait although their line is there, in order, as far as the line still has money.
FITTING = """
    SELECT refund_id, shop, line_id, booked_on, amount_fen FROM (
        SELECT r.id AS refund_id, o.shop, l.id AS line_id, l.booked_on, r.amount_fen, l.paid_fen - l.refunded_fen AS room,
               sum(r.amount_fen) OVER (PARTITION BY l.id ORDER BY r.refunded_at, r.refund_no, r.id) AS together
        FROM order_batch o
        JOIN members_refund r ON r.status = 'WAITING' AND r.order_no = o.order_no AND r.channel = o.channel
             AND r.shop IN (o.shop, '')
        JOIN LATERAL (
            SELECT x.id, x.booked_on, x.paid_fen, x.refunded_fen FROM members_orderline x
            WHERE x.order_id = o.order_id AND x.line_no = r.line_no AND x.booked_on = o.booked_on LIMIT 1
        ) l ON true
        WHERE r.amount_fen <= l.paid_fen - l.refunded_fen
          AND (r.shop = o.shop OR NOT EXISTS (
              SELECT 1 FROM members_order n WHERE n.order_no = o.order_no AND n.channel = o.channel AND n.id <> o.order_id
          ) AND NOT EXISTS (
              SELECT 1 FROM members_refund n WHERE n.refund_no = r.refund_no AND n.channel = r.channel AND n.shop = o.shop
          ))
    ) f WHERE together <= room
"""
APPLY_TO_LINES = """
    UPDATE members_orderline l SET refunded_fen = l.refunded_fen + f.amount_fen
    FROM (SELECT line_id, booked_on, sum(amount_fen) AS amount_fen FROM refund_fit GROUP BY 1, 2) f
    WHERE l.id = f.line_id AND l.booked_on = f.booked_on
"""
APPLY = """
    UPDATE members_refund r SET status = 'APPLIED', shop = f.shop, line_id = f.line_id, booked_on = f.booked_on
    FROM refund_fit f WHERE r.id = f.refund_id
"""
# What could not be applied although its line is there does not stay.
DROP_EXCEEDING = """
    WITH gone AS (
        DELETE FROM members_refund r USING refund_work w, refund_batch b
        WHERE w.verdict = 'NEW' AND w.line_id IS NOT NULL AND b.seq = w.seq AND r.status = 'WAITING'
          AND r.refund_no = b.refund_no AND r.channel = b.channel AND r.shop = w.shop
        RETURNING w.seq
    )
    SELECT seq FROM gone
"""
COUNT = """
    SELECT count(*) FILTER (WHERE verdict = 'NEW'), count(*) FILTER (WHERE verdict = 'NEWER'),
           count(*) FILTER (WHERE verdict = 'REPEAT'), count(*) FILTER (WHERE verdict = 'OLDER'),
           count(*) FILTER (WHERE verdict = 'SAME')
    FROM refund_work
"""
REFUSED = f"""
    SELECT seq, verdict FROM refund_work WHERE verdict IN ('{CONFLICT}', '{MOVED}', '{EXCEEDS}', '{AMBIGUOUS}') ORDER BY seq
"""
STILL_WAITING = """
    SELECT count(*) FROM refund_work w JOIN refund_batch b USING (seq)
    JOIN members_refund r ON r.refund_no = b.refund_no AND r.channel = b.channel AND r.shop = w.shop
    WHERE w.verdict IN ('NEW', 'NEWER') AND r.status = 'WAITING'
"""
WAITING_ORDERS = """
    SELECT o.id, o.channel, o.shop, o.order_no, o.booked_on, false FROM members_order o
    WHERE o.id IN (
        SELECT n.id FROM members_refund r
        JOIN members_order n ON n.order_no = r.order_no AND n.channel = r.channel AND r.shop IN (n.shop, '')
        WHERE r.status = 'WAITING' ORDER BY r.id LIMIT %s
    )
    ORDER BY o.id FOR NO KEY UPDATE OF o
"""


# --- operations -------------------------------------------------------------------------------------------------------


def record_refunds(*, refunds: Sequence[RefundVersion]) -> RefundsRecorded:
    """Record what a delivery says about some refunds, and apply those whose lines are there."""
    if not refunds:
        return RefundsRecorded()
    return _until_alone(lambda: _record_few(refunds) if len(refunds) <= batch.PASSED_UP_TO else _record_many(refunds))


def record_refunds_of(*, select: str, params: Sequence[Any] = ()) -> RefundsRecorded:
    """The same for the rows of a query that yields the columns of ``BATCH`` in their order."""
    return _until_alone(lambda: _record_of(select, params))


@transaction.atomic
def apply_waiting(*, limit: int = 1_000) -> Applied:
    """Apply refunds whose line came while they were being recorded: two transactions cannot see each other's rows."""
    with batch.in_tables(order_batch=batch.ORDER_COLUMNS, refund_fit=FIT) as work:
        return apply_to_batch(work) if work.hold("order_batch", WAITING_ORDERS, [limit]) else Applied()


def apply_to_batch(work: batch.Batch) -> Applied:
    """Apply what waits for lines of the locked orders in ``order_batch``; part of the caller's transaction.

    A refund that is too large for what is left on its line does not stop a smaller one behind it, hence the rounds.
    """
    result = Applied()
    lines: set[int] = set()
    while fitting := work.hold("refund_fit", FITTING):
        result.applied += fitting
        work.analyze("refund_fit", fitting)
        work.run(QUEUE.format(source="refund_fit"))
        work.run(APPLY_TO_LINES)
        work.run(APPLY)
        lines.update(line_id for (line_id,) in work.rows("SELECT line_id FROM refund_fit"))
        work.clear("refund_fit")
    result.line_ids = sorted(lines)
    return result


class _Raced(Exception):
    """Another transaction recorded one of our refunds in the meantime."""


def _until_alone(record: Callable[[], RefundsRecorded]) -> RefundsRecorded:
    while True:
        try:
            return record()
        except _Raced:
            continue


def _record_few(refunds: Sequence[RefundVersion]) -> RefundsRecorded:
    with transaction.atomic(), batch.passed("refund_batch", refunds, **TABLES) as work:  # which may be tried again
        return _record(work, len(refunds))


def _record_many(refunds: Sequence[RefundVersion]) -> RefundsRecorded:
    with batch.in_tables(**TABLES) as work:
        batch.fill(work, "refund_batch", BATCH, refunds)
        return _record(work, len(refunds))


def _record_of(select: str, params: Sequence[Any]) -> RefundsRecorded:
    names = ", ".join(name for name, _kind in BATCH)
    with batch.in_tables(**TABLES) as work:
        return _record(work, work.hold(f"refund_batch ({names})", select, params))


def _record(work: batch.Batch, rows: int) -> RefundsRecorded:
    work.analyze("refund_batch", rows, "channel, shop, order_no, line_no, refund_no")
    work.hold("order_batch", LOCK_ORDERS)
    work.analyze("order_batch", rows)
    work.hold("refund_work", JUDGE)
    line_ids = _write(work)
    applied = apply_to_batch(work)
    exceeding = [(seq, EXCEEDS) for (seq,) in work.rows(DROP_EXCEEDING)]
    result = RefundsRecorded(*work.rows(COUNT)[0])
    result.inserted -= len(exceeding)
    result.applied = applied.applied
    result.waiting = work.rows(STILL_WAITING)[0][0]
    result.line_ids = sorted({*line_ids, *applied.line_ids})
    result.refused = sorted([*work.rows(REFUSED), *exceeding])
    return result


def _write(work: batch.Batch) -> list[int]:
    work.run(PARK)
    line_ids = [line_id for (line_id,) in work.rows(f"SELECT DISTINCT line_id FROM {CHANGED}")]
    if line_ids:
        work.run(QUEUE.format(source=CHANGED))
        work.run(UPDATE_LINES_OF_CHANGED)
    work.run(UPDATE_CHANGED)
    work.run(CONFIRM_SAME)
    expected = work.rows("SELECT count(*) FROM refund_work WHERE verdict = 'NEW'")[0][0]
    if work.run(INSERT_NEW) != expected:
        raise _Raced
    return line_ids
