"""``POST /api/channels/<channel>/sales/<act>``: the shop's mini-program sells in flash sales and group buys.

Signed like an order event: the channel vouches for the member it names. Every claim carries a ``request_id``; the same one with the
same content gets the same answer. What the rules refuse is 409 with ``code``, ``message`` and ``extra.field``; ``stock_busy`` has
Retry-After, and nothing was taken. A link's ``share`` token is carried to the order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from attribution.api.coupons import Asked, ClaimThrottle, answer_to, count
from campaigns.communities import boards, flash_sales, group_buys, payments, stock
from campaigns.communities.flash_sales import Claim, SaleRefused, claiming
from campaigns.models import Reservation, Sale, SaleRefund, Team
from scrm.api.throttles import WindowThrottle
from scrm.models import Store

TOKEN_LENGTH = 64


class SaleThrottle(WindowThrottle):
    """A thumb on a button; a script asks faster."""

    scope = "sale_claim"
    limit = 5
    seconds = 1


def store_of(asked: Asked) -> Store:
    code = asked.text("store", 32)
    store = Store.objects.filter(code=code).first()
    if store is None:
        raise SaleRefused(
            _("There is no store with the code %(code)s.") % {"code": code}, code="sale_store_unknown", field="store"
        )
    return store


def said(asked: Asked, member_id: int, *, sale_id: int, store_id: int, quantity: int = 1) -> Claim:
    count(SaleThrottle(), str(member_id))
    return Claim(
        sale_id=sale_id, store_id=store_id, member_id=member_id, key=asked.key, quantity=quantity,
        share_token=asked.text("share", TOKEN_LENGTH, is_needed=False),
    )  # fmt: skip


# --- acts -----------------------------------------------------------------------------------------------------------


def on_sale(asked: Asked) -> dict[str, Any]:
    """What a store sells now or soon. The seconds to start and end are the server's."""
    store = store_of(asked)
    rows = list(boards.on_sale(store_ids=frozenset({store.pk}), now=asked.now)[: boards.MOST])
    counts = boards.counts_of(sales=rows, store_id=store.pk)
    return {"items": [sale(row, counts.get(row.pk, boards.Counts()), asked) for row in rows]}


def claim(asked: Asked) -> dict[str, Any]:
    member_id = asked.member_id
    quantity = asked.number("quantity", most=stock.MOST_STOCK) if "quantity" in asked.said else 1
    wanted = said(asked, member_id, sale_id=asked.number("sale_id"), store_id=store_of(asked).pk, quantity=quantity)
    return reserved(flash_sales.claim(said=wanted, now=asked.now).reservation)


def open_team(asked: Asked) -> dict[str, Any]:
    member_id = asked.member_id
    wanted = said(asked, member_id, sale_id=asked.number("sale_id"), store_id=store_of(asked).pk)
    return seated(group_buys.open_team(said=wanted, now=asked.now))


def join_team(asked: Asked) -> dict[str, Any]:
    wanted = said(asked, asked.member_id, sale_id=0, store_id=0)  # the team's
    return seated(group_buys.join(code=asked.text("team", 12), said=wanted, now=asked.now))


def look_at_team(asked: Asked) -> dict[str, Any]:
    row = boards.team_of(code=asked.text("team", 12))
    if row is None:
        raise group_buys.TeamOver(_("There is no such team; look at the number."), code="team_unknown", field="team")
    return team(row)


def name_order(asked: Asked) -> dict[str, Any]:
    """Which order pays for the reservation: said before the customer pays, so that her payment is waited for."""
    row = flash_sales.name_order(
        reservation_id=asked.number("reservation_id"), member_id=asked.member_id, channel=asked.channel,
        shop=asked.text("shop", is_needed=False), order_no=asked.text("order_no"),
    )  # fmt: skip
    return reserved(row)


def cancel(asked: Asked) -> dict[str, Any]:
    done = flash_sales.cancel(reservation_id=asked.number("reservation_id"), member_id=asked.member_id, now=asked.now)
    return {"cancelled": done}


def own(asked: Asked) -> dict[str, Any]:
    """What the member has, with what its orders say by now."""
    member_id = asked.member_id
    count(ClaimThrottle(), f"sales {member_id}")
    waiting = [row.pk for row in boards.reservations_of(member_id=member_id) if row.status == Reservation.Status.HELD]
    payments.settle(now=asked.now, reservation_ids=waiting)
    return {"items": [reserved(row) for row in boards.reservations_of(member_id=member_id)]}


def refunds_due(asked: Asked) -> dict[str, Any]:
    """What the shop is to refund now; taken for some minutes. The same ``request_id`` again: the same ones."""
    rows = payments.take_refunds(channel=asked.channel, key=asked.text("request_id"), now=asked.now)
    return {"items": [refund(row) for row in rows]}


def refund_done(asked: Asked) -> dict[str, Any]:
    row = payments.refund_done(
        refund_id=asked.number("refund_id"), refund_no=asked.text("refund_no"), channel=asked.channel, now=asked.now
    )
    return refund(row)


ACTS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "list": on_sale, "claim": claim, "order": name_order, "cancel": cancel, "own": own, "open-team": open_team,
    "join-team": join_team, "team": look_at_team, "refunds-due": refunds_due, "refund-done": refund_done,
}  # fmt: skip


@csrf_exempt
def receive(request: HttpRequest, channel: str, act: str) -> HttpResponse:
    return answer_to(request, channel, act, ACTS)


# --- answers --------------------------------------------------------------------------------------------------------


def sale(row: Sale, counts: boards.Counts, asked: Asked) -> dict[str, Any]:
    return {**boards.shown(row, counts, asked.now), "group_no": claiming.group_no(row) if row.team_size else ""}


def reserved(row: Reservation) -> dict[str, Any]:
    return {
        "reservation_id": row.pk, "state": row.status, "quantity": row.quantity, "unit_fen": row.unit_fen,
        "until": row.until.isoformat() if row.until else None, "order_no": row.order_no,
    }  # fmt: skip


def seated(found: group_buys.Opened) -> dict[str, Any]:
    return {**reserved(found.seat.reservation), "team": team(found.team)}


def team(row: Team) -> dict[str, Any]:
    return {
        "team": row.code, "state": row.status, "size": row.size, "joined": row.seat_count, "paid": row.paid_count,
        "until": row.until.isoformat(), "group_no": claiming.group_no(row.sale), "sale_id": row.sale_id,
    }  # fmt: skip


def refund(row: SaleRefund) -> dict[str, Any]:
    return {
        "refund_id": row.pk, "shop": row.shop, "order_no": row.order_no, "amount_fen": row.amount_fen, "reason": row.reason,
        "state": row.status, "refund_no": row.refund_no,
    }  # fmt: skip
