"""Payment and refunds of community sales (付款与退款): what order facts say of reservations, and money that goes back once.

1. A reservation is paid when the order that it names comes in, with the product and the quantity; the order facts say so, nobody
   else. It is looked for every minute, and when the shop asks. Paid after its time it gets what is left, else the money goes back.
2. Money that goes back is one row per reservation. The shop takes such rows for some minutes, refunds them and names the
   refund's number; or the refund comes in as a fact; or HQ enters it. It is done once.
3. What is refunded of a paid order is back in stock once, where the sale says so and still runs.
4. Who has paid is seen before anybody is too late: each sweep looks for payments first, then ends what is over.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from campaigns.communities import group_buys, stock
from campaigns.communities.flash_sales import SaleRefused
from campaigns.models import Reservation, SaleRefund, TeamSeat
from scrm import audit, db

LOOKED_FOR = dt.timedelta(days=7)  # how long after a reservation its order may come in
LEASE = dt.timedelta(minutes=15)  # how long a shop that took a refund has for it
MOST = 100
AT_ONCE = 500
Status = SaleRefund.Status


class Payment(NamedTuple):
    reservation_id: int
    paid_at: dt.datetime
    paid_fen: int


# The order that a reservation names, with its product in full quantity, not voided and no test.
_PAID = """
    SELECT r.id, min(l.paid_at), sum(l.paid_fen)::bigint
    FROM campaigns_reservation r
    JOIN campaigns_stockitem i ON i.id = r.item_id
    JOIN members_order o ON o.order_no = r.order_no AND o.channel = r.channel AND o.shop = r.shop
    JOIN members_orderline l ON l.order_id = o.id AND l.booked_on = o.booked_on
    WHERE r.order_no <> '' AND r.status IN ('HELD', 'RELEASED', 'EXPIRED')
        AND (i.product_id IS NULL OR l.product_id = i.product_id) AND NOT l.is_voided AND NOT l.is_test
        AND NOT EXISTS (SELECT 1 FROM campaigns_salerefund f WHERE f.reservation_id = r.id)
        AND {which}
    GROUP BY r.id HAVING sum(l.quantity) >= r.quantity ORDER BY r.id LIMIT {limit}
"""


def settle(*, now: dt.datetime, reservation_ids: Sequence[int] | None = None) -> int:
    """Reservations whose order has come in are paid, or their money goes back; how many. Each is a transaction of its own."""
    if reservation_ids is not None:
        return _settle(_paid("r.id = ANY(%s)", [list(reservation_ids)]), now)
    return _settle(_paid("r.held_at > %s", [now - LOOKED_FOR]), now)


def _paid(which: str, values: list[Any]) -> list[Payment]:
    return [Payment(*row) for row in db.read(_PAID.format(which=which, limit=AT_ONCE), values)]


def _settle(payments: list[Payment], now: dt.datetime) -> int:
    done = 0
    for payment in payments:
        try:
            _take(payment, now)
        except stock.StockBusy:  # the next sweep finds it again
            continue
        done += 1
    return done


@transaction.atomic
def _take(payment: Payment, now: dt.datetime) -> None:
    seat = TeamSeat.objects.filter(reservation=payment.reservation_id).first()
    try:
        with transaction.atomic():
            if seat is not None:
                group_buys.pay(seat_id=seat.pk, paid_at=payment.paid_at, paid_fen=payment.paid_fen)
            else:
                stock.confirm(reservation_id=payment.reservation_id, paid_at=payment.paid_at)
    except (stock.StockShort, group_buys.TeamOver):
        refund_late(payment)


def refund_late(payment: Payment) -> SaleRefund:
    """Paid, and nothing for it: the money goes back. Once."""
    row = Reservation.objects.get(pk=payment.reservation_id)
    made, _is_new = SaleRefund.objects.get_or_create(
        reservation=row,
        defaults={
            "store_id": row.store_id, "channel": row.channel, "shop": row.shop, "order_no": row.order_no,
            "amount_fen": payment.paid_fen, "reason": SaleRefund.Reason.PAID_LATE,
        },
    )  # fmt: skip
    return made


# --- refunds ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def take_refunds(*, channel: str, key: str, now: dt.datetime, limit: int = MOST) -> list[SaleRefund]:
    """What the channel is to refund now: taken for some minutes, so that two workers of the shop never refund one twice. The same
    key again gets the same rows, as long as they are not done."""
    mine = SaleRefund.objects.filter(channel=channel, status=Status.TAKEN, taken_by=key, taken_until__gt=now)
    found = list(mine.order_by("pk"))
    if found:
        return found
    free = SaleRefund.objects.filter(
        Q(status=Status.DUE) | Q(status=Status.TAKEN, taken_until__lte=now), channel=channel
    ).order_by("pk")
    rows = list(free.select_for_update(skip_locked=True)[:limit])
    for row in rows:
        row.status, row.taken_by, row.taken_until = Status.TAKEN, key, now + LEASE
    SaleRefund.objects.bulk_update(rows, ["status", "taken_by", "taken_until"])
    return rows


@transaction.atomic
def refund_done(
    *, refund_id: int, refund_no: str, now: dt.datetime, channel: str | None = None, actor: Any = None
) -> SaleRefund:
    """The money has gone back under this number. Said again: the same; another number is an error. Raises SaleRefused."""
    rows = SaleRefund.objects.filter(pk=refund_id)
    if channel is not None:
        rows = rows.filter(channel=channel)
    found = db.lock(rows)
    if not found:
        raise SaleRefused(_("There is no such refund."), code="sale_refund_unknown", field="refund")
    row: SaleRefund = found[0]
    refund_no = refund_no.strip()
    if not refund_no:
        raise SaleRefused(_("Enter the number of the refund."), code="sale_refund_no", field="refund_no")
    if row.status == Status.DONE:
        if row.refund_no != refund_no:
            raise SaleRefused(
                _("It was refunded before, under the number %(number)s.") % {"number": row.refund_no},
                code="sale_refund_done", field="refund_no",
            )  # fmt: skip
        return row
    _done(row, refund_no, now, actor)
    if actor is not None:
        audit.record(actor=actor, verb="sale.refund", target=row, amount_fen=row.amount_fen)
    return row


def _done(row: SaleRefund, refund_no: str, now: dt.datetime, actor: Any = None) -> None:
    row.status, row.refund_no, row.done_at, row.done_by = Status.DONE, refund_no, now, actor
    row.save(update_fields=["status", "refund_no", "done_at", "done_by"])


# A refund that came in as a fact: the whole of what the order's lines of the product were paid is given back.
_SEEN = """
    SELECT f.id, max(b.refund_no)
    FROM campaigns_salerefund f
    JOIN campaigns_reservation r ON r.id = f.reservation_id
    JOIN campaigns_stockitem i ON i.id = r.item_id
    JOIN members_order o ON o.order_no = f.order_no AND o.channel = f.channel AND o.shop = f.shop
    JOIN members_orderline l ON l.order_id = o.id AND l.booked_on = o.booked_on
        AND (i.product_id IS NULL OR l.product_id = i.product_id)
    JOIN members_refund b ON b.line_id = l.id AND b.status = 'APPLIED'
    WHERE f.status <> 'DONE'
    GROUP BY f.id, f.amount_fen HAVING sum(b.amount_fen) >= f.amount_fen ORDER BY f.id LIMIT %s
"""
# Of a running or recent sale whose refunds go back on sale: how many of a paid reservation have been refunded in full.
_GIVEN_BACK = """
    SELECT r.id, LEAST(r.quantity, floor(CASE WHEN sum(l.refunded_fen) >= sum(l.paid_fen) THEN r.quantity
            ELSE sum(l.refunded_fen)::numeric * r.quantity / NULLIF(sum(l.paid_fen), 0) END))::int AS units
    FROM campaigns_sale s
    JOIN campaigns_reservation r ON r.item_id = s.stock_item_id AND r.status = 'SOLD' AND r.order_no <> ''
    JOIN members_order o ON o.order_no = r.order_no AND o.channel = r.channel AND o.shop = r.shop
    JOIN members_orderline l ON l.order_id = o.id AND l.booked_on = o.booked_on AND l.product_id = s.product_id
    WHERE s.returns_stock AND s.status = 'PUBLISHED' AND s.ends_at > %s
    GROUP BY r.id HAVING sum(l.refunded_fen) > 0 AND LEAST(r.quantity, floor(CASE WHEN sum(l.refunded_fen) >= sum(l.paid_fen)
        THEN r.quantity ELSE sum(l.refunded_fen)::numeric * r.quantity / NULLIF(sum(l.paid_fen), 0) END)) > r.returned_count
    ORDER BY r.id LIMIT %s
"""


def follow_refunds(*, now: dt.datetime) -> int:
    """Refunds that came in as facts end what was due, and bring stock back; how many."""
    done = 0
    for refund_id, refund_no in db.read(_SEEN, [AT_ONCE]):
        done += _seen(refund_id, refund_no, now)
    for reservation_id, units in db.read(_GIVEN_BACK, [now, AT_ONCE]):
        done += bool(stock.give_back(reservation_id=reservation_id, quantity=units, now=now))
    return done


@transaction.atomic
def _seen(refund_id: int, refund_no: str, now: dt.datetime) -> bool:
    (row,) = db.lock(SaleRefund.objects.filter(pk=refund_id))
    if row.status == Status.DONE:
        return False
    _done(row, refund_no, now)
    return True


def sweep(*, now: dt.datetime) -> None:
    """What every minute does, in this order: who has paid is seen before anybody is too late."""
    settle(now=now)
    stock.expire()
    group_buys.sweep(now=now)
    follow_refunds(now=now)
