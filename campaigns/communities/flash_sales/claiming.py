"""Claims (抢购): by the member in the mini-program, or by her guide for her; and what she does before she has paid."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from campaigns.communities import stock
from campaigns.communities.flash_sales.refusals import SaleRefused
from campaigns.models import GroupStay, Reservation, Sale
from guides import bindings, shares, touches
from guides.models import Share, Touch
from members.models import Member


@dataclass(frozen=True, slots=True)
class Claim:
    """Who wants what. ``share_token``: of the link she came by; ``guide_id``: who claims for her."""

    sale_id: int
    store_id: int
    member_id: int
    key: str
    quantity: int = 1
    share_token: str = ""
    guide_id: int | None = None


@dataclass(frozen=True, slots=True)
class Brought:
    """Who brought the buyer. A guide who works nowhere any more brings nobody, though her link still sells."""

    guide_id: int | None = None
    share: Share | None = None


def claim(*, said: Claim, now: dt.datetime) -> stock.Claimed:
    """Reserve. Raises SaleRefused, stock.StockRefused, StockShort, StockBusy, KeyDiffers."""
    sale = require_sale(said.sale_id, Sale.Kind.FLASH)
    require_buyer(sale, said.member_id)
    brought = brought_by(said, now)
    made = stock.claim(wanted=wanted(sale, said, brought), key=said.key)
    touch(sale, made.reservation, said, brought)
    return made


def wanted(sale: Sale, said: Claim, brought: Brought) -> stock.Wanted:
    assert sale.stock_item_id is not None
    return stock.Wanted(
        item_id=sale.stock_item_id, store_id=said.store_id, buyer=stock.buyer_of(said.member_id), quantity=said.quantity,
        member_id=said.member_id, unit_fen=sale.price_fen, guide_id=brought.guide_id,
        share_id=brought.share.pk if brought.share else None,
    )  # fmt: skip


def require_sale(sale_id: int, kind: str) -> Sale:
    """A sale that is or was on; its window and its stop are the stock's to judge."""
    row = Sale.objects.filter(pk=sale_id, kind=kind).first()
    if row is None or row.stock_item_id is None:
        raise SaleRefused(_("There is no such sale."), code="sale_unknown", field="sale")
    return row


def require_buyer(sale: Sale, member_id: int) -> None:
    """An active member of the brand, who is in one of the sale's groups where it has any."""
    if not Member.objects.filter(pk=member_id, brand=sale.brand_id, status=Member.Status.ACTIVE).exists():
        raise SaleRefused(
            _("Only an active member buys in this sale; register her first."), code="sale_member_not_active", field="member"
        )  # fmt: skip
    groups = list(sale.only_groups.values_list("group_id", "group__dissolved_at"))
    if not groups:
        return
    stays = GroupStay.objects.filter(member=member_id, group__in=[group for group, _gone in groups])
    if stays.filter(left_at=None, group__dissolved_at=None).exists():
        return
    if stays.filter(group__dissolved_at__isnull=False).exists():
        raise SaleRefused(
            _("The customer group of this sale has been dissolved; ask the guide for another one. What you have reserved can be paid."),
            code="sale_group_dissolved", field="member",
        )  # fmt: skip
    raise SaleRefused(
        _("This sale is for the people in certain customer groups; join one first."), code="sale_not_in_group", field="member"
    )  # fmt: skip


def brought_by(said: Claim, now: dt.datetime) -> Brought:
    share = shares.of_token(said.share_token) if said.share_token else None
    guide_id = said.guide_id or (share.guide_id if share else None)
    if guide_id is not None and bindings.store_id_at(guide_id, now) is None:
        guide_id = None
    return Brought(guide_id, share)


def touch(sale: Sale, made: Reservation, said: Claim, brought: Brought) -> None:
    """The order's evidence: she came by the link, or the guide served her, when the reservation was made. Again: nothing new."""
    if brought.share is not None:
        shares.used(row=brought.share, member_id=said.member_id, key=f"share {_short(said.key)}", at=made.held_at)
    if said.guide_id is not None and brought.guide_id is not None:
        covers: dict[str, Any] = (
            {"kind": Touch.Kind.GROUP, "object_kind": Touch.Covers.GROUP, "object_code": group_no(sale)}
            if sale.kind == Sale.Kind.GROUP
            else {"kind": Touch.Kind.SHARE, "object_kind": Touch.Covers.SKU, "object_code": sale.product.sku}
        )
        touches.record(
            key=f"claim {_short(said.key)}", guide_id=brought.guide_id, at=made.held_at, member_id=said.member_id,
            store_id=bindings.store_id_at(brought.guide_id, made.held_at), expires_at=touch_end(sale, made.held_at), **covers,
        )  # fmt: skip


def group_no(sale: Sale) -> str:
    """What the shop writes on the orders of a group buy, so that a share of it covers them."""
    return f"GB{sale.pk}"


def touch_end(sale: Sale, at: dt.datetime) -> dt.datetime:
    return max(sale.ends_at + dt.timedelta(hours=sale.team_hours or 0), at + dt.timedelta(minutes=sale.hold_minutes))


def cancel(*, reservation_id: int, member_id: int, now: dt.datetime) -> bool:
    """Before it is paid; False when it had ended. Raises stock.StockRefused."""
    own(reservation_id, member_id)
    return stock.release(reservation_id=reservation_id, now=now)


def name_order(*, reservation_id: int, member_id: int, channel: str, shop: str, order_no: str) -> Reservation:
    """Which order pays for it. Raises stock.StockRefused."""
    own(reservation_id, member_id)
    return stock.name_order(reservation_id=reservation_id, channel=channel, shop=shop, order_no=order_no)


def own(reservation_id: int, member_id: int) -> Reservation:
    """Somebody else's is not there."""
    row = Reservation.objects.filter(pk=reservation_id, member=member_id).first()
    if row is None:
        raise stock.StockRefused(_("There is no such reservation."), code="stock_no_reservation", field="reservation")
    return row


def _short(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:60]
