"""The lines themselves, each with the binding that covers its moment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from attribution import rulebook
from guides import service_acts
from scrm import db

LineKey = tuple[int, dt.date]  # id and booked_on: the primary key of a partitioned line


class Line(NamedTuple):
    """A line as it stands, and the binding that covers ``as_of``."""

    id: int
    booked_on: dt.date
    channel: str
    shop: str
    order_no: str
    line_no: int
    version_at: dt.datetime
    created_at: dt.datetime
    paid_at: dt.datetime
    completed_at: dt.datetime | None
    paid_fen: int
    points_fen: int
    refunded_fen: int
    is_test: bool
    is_gift_card: bool
    is_wholesale: bool
    is_staff_price: bool
    is_voided: bool
    risk_mark: str
    cashier_code: str
    buyer_mobile_index: str
    buyer_account: str
    buyer_unionid: str
    member_id: int | None
    store_id: int | None
    product_id: int
    fulfil_store_id: int | None
    exchange_of: str
    group_state: str
    live_no: str
    group_no: str
    campaign: str | None
    clerk_code: str | None
    home_store_id: int | None
    binding_id: int | None
    binding_guide_id: int | None
    binding_store_id: int | None
    binding_from: dt.datetime | None
    binding_until: dt.datetime | None
    last_paid_at: dt.datetime | None
    last_act_at: dt.datetime | None
    as_of: dt.datetime


# What renews a binding; read only when a rule limits its validity.
LAST_PURCHASE = """
    (SELECT max(e.paid_at) FROM members_orderline e WHERE e.member_id = l.member_id AND e.paid_at < {at})
"""
NEVER = "NULL::timestamptz"

# Only look-ups by key: tables that are small (stores, products, guides) are read beside it, so that no plan ever
# multiplies them with the lines.
LINES = """
    SELECT l.id, l.booked_on, l.channel, o.shop, o.order_no, l.line_no, l.version_at, l.created_at, l.paid_at,
           l.completed_at, l.paid_fen, l.points_fen, l.refunded_fen, l.is_test, l.is_gift_card, l.is_wholesale,
           l.is_staff_price, l.is_voided, l.risk_mark, l.cashier_code, l.buyer_mobile_index, l.buyer_account, l.buyer_unionid,
           l.member_id, l.store_id, l.product_id, l.fulfil_store_id, l.exchange_of, l.group_state, l.live_no, l.group_no,
           l.details->>'campaign', l.details->>'fulfil_clerk', m.home_store_id,
           b.id, b.guide_id, b.store_id, b.started_at, b.ended_at, {last_purchase}, {last_act}, {at}
    FROM unnest(%s::bigint[], %s::date[]{moments}
    JOIN members_orderline l ON l.id = k.id AND l.booked_on = k.booked_on AND l.booked_on BETWEEN %s AND %s
    JOIN members_order o ON o.id = l.order_id
    LEFT JOIN members_member m ON m.id = l.member_id
    LEFT JOIN LATERAL (
        SELECT b.id, b.guide_id, b.store_id, b.started_at, b.ended_at FROM guides_binding b
        WHERE b.member_id = m.id AND b.brand_id = m.brand_id
          AND b.started_at <= {at} AND (b.ended_at IS NULL OR b.ended_at > {at})
        ORDER BY b.started_at DESC LIMIT 1
    ) b ON true
    ORDER BY l.id
"""


def read(
    keys: Sequence[LineKey], book: rulebook.Book, *, of_nobody: bool = False
) -> tuple[list[Line], dict[int, Origin]]:
    """The lines in the order of their ids, and the first order of those that exchange one.

    ``of_nobody``: as they were before anybody knew the buyer.
    """
    lines, origins = _moved(keys, book)
    return ([line._replace(**NOBODY) for line in lines] if of_nobody else lines), origins


NOBODY: dict[str, Any] = dict.fromkeys(
    ("member_id", "home_store_id", "binding_id", "binding_guide_id", "binding_store_id", "binding_from", "binding_until",
     "last_paid_at", "last_act_at")
)  # fmt: skip


def _moved(keys: Sequence[LineKey], book: rulebook.Book) -> tuple[list[Line], dict[int, Origin]]:
    lines = _read(keys, book, None)
    exchanging = [line for line in lines if line.exchange_of]
    if not exchanging:
        return lines, {}
    origins = _origins(exchanging)
    again = _read([(line.id, line.booked_on) for line in exchanging if line.id in origins], book, origins)
    moved = {line.id: line for line in again}
    return [moved.get(line.id, line) for line in lines], origins


class Origin(NamedTuple):
    """The order that was exchanged first of all."""

    created_at: dt.datetime
    paid_at: dt.datetime


def _read(keys: Sequence[LineKey], book: rulebook.Book, origins: Mapping[int, Origin] | None) -> list[Line]:
    is_limited = any(version.binding_validity_days is not None for version in book.versions)
    at = "l.paid_at" if origins is None else "k.at"
    act = service_acts.LAST_BEFORE.format(member="l.member_id", guide="b.guide_id", at=at)
    query = LINES.format(
        last_purchase=LAST_PURCHASE.format(at=at) if is_limited else NEVER,
        last_act=act if is_limited else NEVER,
        moments=") k(id, booked_on)" if origins is None else ", %s::timestamptz[]) k(id, booked_on, at)",
        at=at,
    )
    values = [db.array(key[0] for key in keys), db.array(key[1] for key in keys)]
    if origins is not None:
        values.append(db.array(origins[key[0]].paid_at for key in keys))
    days = [day for _id, day in keys]
    return [Line._make(row) for row in db.read(query, [*values, min(days), max(days)])] if keys else []


# An exchange of an exchange leads back to the first order; more than this many in a row are not followed.
MOST_EXCHANGES = 8
ORIGINS = f"""
    WITH RECURSIVE back(line_id, channel, shop, order_no, steps) AS (
        SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::int[])
        UNION
        SELECT b.line_id, b.channel, b.shop, l.exchange_of, b.steps + 1
        FROM back b
        JOIN members_order o ON o.order_no = b.order_no AND o.channel = b.channel AND o.shop = b.shop
        JOIN members_orderline l ON l.order_id = o.id AND l.booked_on = o.booked_on
        WHERE l.exchange_of <> '' AND b.steps < {MOST_EXCHANGES}
    )
    SELECT DISTINCT ON (b.line_id) b.line_id, l.created_at, l.paid_at
    FROM back b
    JOIN members_order o ON o.order_no = b.order_no AND o.channel = b.channel AND o.shop = b.shop
    JOIN members_orderline l ON l.order_id = o.id AND l.booked_on = o.booked_on
    ORDER BY b.line_id, b.steps DESC, l.paid_at, l.id
"""


def _origins(lines: Sequence[Line]) -> dict[int, Origin]:
    """Of each line that exchanges an order we know."""
    columns = [
        [line.id for line in lines], [line.channel for line in lines], [line.shop for line in lines],
        [line.exchange_of for line in lines], [1] * len(lines),
    ]  # fmt: skip
    return {line_id: Origin(created_at, paid_at) for line_id, created_at, paid_at in db.read(ORIGINS, columns)}
