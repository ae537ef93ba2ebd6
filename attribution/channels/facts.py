"""Order facts (订单事实): what a platform says about one order, in our words, and the versions of lines that follow. Pure.

1. Money is integer fen; a time without an offset is the clock of Shanghai; a number that names something is text, since it
   may exceed what JSON numbers hold.
2. A line is known by the channel's own id of it; our line number is that id where it is a small number, else a digest of it.
   So a refund that comes before its order finds the same line. Two ids of one order with one digest are refused.
3. An order is in our books from its payment on: before it nothing was sold. A deposit alone is no payment.
4. What holds an order back (a group that is forming, a gift nobody took, a review of risks) is its risk mark; what is no sale
   at all (a lottery, an exchange sent again, a group that failed) makes its lines void.
5. A refund counts when its money is done. One that names several lines, or none, is spread over them by what they paid. Where
   a platform does not tell freight apart, what exceeds the goods is freight.
6. The lines and the freight must add up to what the buyer paid, to one fen per line; otherwise a person looks at it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from attribution import commissions
from attribution.channels.order_event import CLOCK_SKEW, EARLIEST, Unreadable
from members.purchases import LineVersion, RefundVersion, line_numbers
from scrm import crypto

ZONE = ZoneInfo("Asia/Shanghai")
LONGEST = 64  # of a number in our books
MOST_FEN = 10**12
CLERK = "clerk"  # a mark of who hands the goods over

CREATED, PAID, SHIPPED, COMPLETED, CLOSED = "CREATED", "PAID", "SHIPPED", "COMPLETED", "CLOSED"
# who bears a discount: the company, the platform, the talent who sells, the means of payment
HQ, PLATFORM, TALENT, PAYMENT = "HQ", "PLATFORM", "TALENT", "PAYMENT"
DONE, OPEN, REJECTED = "DONE", "OPEN", "REJECTED"
GROUP_FORMING, GIFT_OPEN, RISK_REVIEW = "group_forming", "gift_not_accepted", "risk_review"


@dataclass(frozen=True, slots=True)
class Mark:
    """Somebody the platform names beside a sale: guide, cashier, sharer, anchor or talent."""

    kind: str
    id: str
    name: str = ""

    def shown(self) -> dict[str, str]:
        return {"kind": self.kind, "id": self.id, "name": self.name}


@dataclass(frozen=True, slots=True)
class Buyer:
    """As the platform gives the buyer: an account of that shop, a unionid, seldom a number or a card."""

    account: str = ""
    unionid: str = ""
    mobile: str = ""
    card_no: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    ref: str
    sku: str
    quantity: Decimal
    list_fen: int
    paid_fen: int
    name: str = ""
    unit_price: Decimal | None = None
    discounts: tuple[tuple[str, int], ...] = ()
    points_fen: int = 0
    marks: tuple[Mark, ...] = ()
    live_no: str = ""
    completed_at: dt.datetime | None = None
    fulfil_store_ref: str = ""
    is_gift: bool = False
    campaign: str = ""  # the platform's id of the promotion that sold it


@dataclass(frozen=True, slots=True)
class Order:
    shop: str
    order_no: str
    version_at: dt.datetime
    status: str
    raw_status: str
    created_at: dt.datetime
    lines: tuple[Line, ...]
    paid_at: dt.datetime | None = None
    shipped_at: dt.datetime | None = None
    completed_at: dt.datetime | None = None
    closed_at: dt.datetime | None = None
    buyer: Buyer = Buyer()
    freight_fen: int = 0
    order_paid_fen: int | None = None  # as the platform states it, with freight: a check
    discounts: tuple[tuple[str, int], ...] = ()  # of the whole order, when the lines do not carry them
    points_fen: int = 0  # settled in points, part of what the lines paid
    gift_card_fen: int = 0  # settled by gift or stored-value card, part of what the lines paid
    delivery_mode: str = ""
    store_ref: str = ""  # took the order
    fulfil_store_ref: str = ""  # hands over or ships
    marks: tuple[Mark, ...] = ()
    risk_marks: tuple[str, ...] = ()
    group_state: str = ""
    group_no: str = ""
    presale_state: str = ""
    phases: tuple[tuple[str, int, dt.datetime | None], ...] = ()
    exchange_of: str = ""
    live_no: str = ""
    campaign: str = ""
    no_sale: str = ""  # why it is none
    parent_no: str = ""  # of an order that was split


@dataclass(frozen=True, slots=True)
class Refund:
    refund_no: str
    order_no: str
    line_refs: tuple[str, ...]  # none: the whole order
    version_at: dt.datetime
    state: str
    amount_fen: int
    refunded_at: dt.datetime | None = None
    freight_fen: int = 0  # part of the amount
    is_freight_inside: bool = False  # the platform does not tell how much of it is freight
    quantity: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Said:
    """All that one delivery says."""

    shop: str
    orders: tuple[Order, ...] = ()
    refunds: tuple[Refund, ...] = ()


@dataclass(frozen=True, slots=True)
class Shop:
    """How a shop's facts are read into our books."""

    channel: str
    shop_no: str
    store_id: int | None = None  # the store of ours that the shop belongs to
    guide_mark: str = ""  # the kind of mark whose id is our guide code
    stores: Mapping[str, int] = field(default_factory=dict)  # our stores by the platform's reference
    is_store_known: bool = False  # references are codes of our stores: one we do not have is an error


# --- values -------------------------------------------------------------------------------------------------------------


def fen_of_yuan(value: Any, place: str) -> int:
    """``"186.00"`` → 18600, exactly. None and "" are nothing."""
    if value is None or value == "":
        return 0
    try:
        amount = Decimal(str(value)) * 100
        whole = int(amount) if abs(amount) <= MOST_FEN else MOST_FEN + 1
    except (InvalidOperation, ValueError, OverflowError):
        raise Unreadable("bad_amount", place) from None
    if whole != amount or isinstance(value, bool):
        raise Unreadable("bad_amount", place)
    return whole


def fen(value: Any, place: str) -> int:
    """An integer of fen, also as text."""
    if value is None or value == "":
        return 0
    if not _is_said(value) or not str(value).lstrip("-").isdecimal() or len(str(value)) > 15:
        raise Unreadable("bad_amount", place)
    return int(value)


def moment(text: Any, place: str) -> dt.datetime | None:
    """``2026-01-02 03:04:05`` by the clock of Shanghai, or with an offset. Nothing, and the years that stand for it, are None."""
    if not text or str(text).startswith(("0001-", "0000-", "1970-01-01")):
        return None
    try:
        found = dt.datetime.fromisoformat(str(text))
    except ValueError:
        raise Unreadable("bad_time", place) from None
    return found if found.tzinfo else found.replace(tzinfo=ZONE)


def seconds(value: Any, place: str) -> dt.datetime | None:
    """Unix seconds; 0 is nothing."""
    number = fen(value, place)
    return dt.datetime.fromtimestamp(number, ZONE) if number > 0 else None


def milliseconds(value: Any, place: str) -> dt.datetime | None:
    number = fen(value, place)
    return (
        dt.datetime.fromtimestamp(number // 1000, ZONE).replace(microsecond=number % 1000 * 1000)
        if number > 0
        else None
    )


def quantity(value: Any, place: str) -> Decimal:
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        raise Unreadable("bad_quantity", place) from None
    if not 0 <= found <= 999_999_999:
        raise Unreadable("bad_quantity", place)
    return found


def _is_said(value: Any) -> bool:
    """Whether it is written out exactly: a text or a whole or decimal number, which a number with a binary point is not."""
    return isinstance(value, (str, int, Decimal)) and not isinstance(value, bool)


def text(value: Any) -> str:
    """An id as text, whatever JSON made of it; nothing, 0 and "0" are no id."""
    said = str(value).strip() if _is_said(value) else ""
    return "" if said == "0" or "\0" in said else said


line_no = line_numbers.of  # rule 2


# --- lines --------------------------------------------------------------------------------------------------------------


def line_versions(shop: Shop, order: Order, now: dt.datetime) -> tuple[LineVersion, ...]:
    """The lines of a paid order as our books take them. Raises Unreadable."""
    if order.paid_at is None:
        return ()
    _check_times(order, now)
    _check_sums(order)
    if len({line_no(line.ref) for line in order.lines}) != len(order.lines):
        raise Unreadable("repeated_line", "/order/lines")
    paid = [line.paid_fen for line in order.lines]
    freight = _spread(order.freight_fen, paid if any(paid) else [1] * len(paid))
    cards = _spread(min(order.gift_card_fen, sum(paid)), paid)
    points = _spread(min(order.points_fen, sum(paid) - sum(cards)), paid)
    coupons = [
        (sponsor, _spread(amount, [line.list_fen for line in order.lines])) for sponsor, amount in order.discounts
    ]
    whole = _whole(shop, order)
    return tuple(
        LineVersion(
            **{**whole, **_own(shop, order, line, whole["details"])},
            discounts=_by_sponsor(line, [(sponsor, parts[place]) for sponsor, parts in coupons]),
            points_fen=min(line.paid_fen, line.points_fen + points[place] + cards[place]),
            gift_card_fen=cards[place],
            freight_fen=freight[place],
        )
        for place, line in enumerate(order.lines)
    )


def _whole(shop: Shop, order: Order) -> dict[str, Any]:
    risk = order.risk_marks[0] if order.risk_marks else ""
    return {
        "channel": shop.channel, "shop": shop.shop_no, "order_no": _number(order.order_no, "/order_no"),
        "version_at": order.version_at, "created_at": order.created_at, "paid_at": order.paid_at,
        "store_id": _store(shop, order.store_ref) or shop.store_id, **_buyer(order.buyer), "risk_mark": risk[:32],
        "is_voided": bool(order.no_sale), "delivery_mode": order.delivery_mode, "exchange_of": order.exchange_of[:LONGEST],
        "group_state": order.group_state, "presale_state": order.presale_state, "group_no": order.group_no[:LONGEST],
        "details": _details(order),
    }  # fmt: skip


def _own(shop: Shop, order: Order, line: Line, details: dict[str, Any]) -> dict[str, Any]:
    marks = (*line.marks, *order.marks)
    guide = next((mark.id for mark in marks if mark.kind == shop.guide_mark), "")
    own: dict[str, Any] = {
        "line_no": line_no(line.ref), "line_ref": _number(line.ref, "/order/lines"), "sku": (line.sku or line.ref)[:LONGEST],
        "product_name": line.name[:200], "quantity": line.quantity, "unit_price": line.unit_price, "list_fen": line.list_fen,
        "paid_fen": line.paid_fen, "completed_at": line.completed_at or order.completed_at, "cashier_code": guide[:32],
        "live_no": (line.live_no or order.live_no)[:LONGEST],
        "fulfil_store_id": _store(shop, line.fulfil_store_ref or order.fulfil_store_ref),
    }  # fmt: skip
    clerk = next((mark.id for mark in marks if mark.kind == CLERK), "")
    campaign = line.campaign or order.campaign
    if marks or line.is_gift or line.fulfil_store_ref or campaign:
        own_details: dict[str, Any] = {
            "guide_marks": [mark.shown() for mark in marks], "is_gift": line.is_gift or None, "campaign": campaign[:LONGEST],
            "fulfil_clerk": clerk[:32],
        }  # fmt: skip
        if line.fulfil_store_ref:
            own_details["fulfil_store_ref"] = line.fulfil_store_ref
        own["details"] = {**details, **{name: value for name, value in own_details.items() if value}}
    return own


def _details(order: Order) -> dict[str, Any]:
    said = {
        "status": order.status, "raw_status": order.raw_status, "store_ref": order.store_ref,
        "fulfil_store_ref": order.fulfil_store_ref, "risk_marks": list(order.risk_marks), "no_sale": order.no_sale,
        "parent_no": order.parent_no, "shipped_at": _iso(order.shipped_at), "closed_at": _iso(order.closed_at),
        "phases": [{"name": name, "amount_fen": amount, "paid_at": _iso(at)} for name, amount, at in order.phases],
    }  # fmt: skip
    return {name: value for name, value in said.items() if value}


def _iso(at: dt.datetime | None) -> str:
    return at.astimezone(ZONE).isoformat() if at else ""


def _by_sponsor(line: Line, shared: Iterable[tuple[str, int]]) -> dict[str, int]:
    result: dict[str, int] = {}
    for sponsor, amount in (*line.discounts, *shared):
        if amount:
            result[sponsor] = result.get(sponsor, 0) + amount
    return result


def _spread(amount: int, weights: Sequence[int]) -> list[int]:
    if amount < 0:
        raise Unreadable("negative_amount", "/order")
    if not any(weights):
        return [amount, *[0] * (len(weights) - 1)] if weights else []
    return commissions.apportion(amount, weights, [-weight for weight in weights])


def _store(shop: Shop, ref: str) -> int | None:
    if not ref:
        return None
    if ref not in shop.stores and shop.is_store_known:
        raise Unreadable("unknown_store", "/order/store")
    return shop.stores.get(ref)


def _buyer(buyer: Buyer) -> dict[str, str]:
    number = crypto.normalise_mobile(buyer.mobile)  # what is masked or a cipher is no number
    return {
        "buyer_mobile_index": crypto.mobile_index(number) if number else "", "buyer_card_no": buyer.card_no[:64],
        "buyer_account": buyer.account[:128], "buyer_unionid": buyer.unionid[:64],
    }  # fmt: skip


def _number(said: str, place: str) -> str:
    if not 1 <= len(said) <= LONGEST:
        raise Unreadable("bad_number", place)
    return said


def _check_times(order: Order, now: dt.datetime) -> None:
    times = [line.completed_at for line in order.lines]
    for at in (order.version_at, order.created_at, order.paid_at, order.completed_at, *times):
        if at is not None and not EARLIEST <= at <= now + CLOCK_SKEW:
            raise Unreadable("time_out_of_range", "/order")


def _check_sums(order: Order) -> None:
    if not order.lines:
        raise Unreadable("no_lines", "/order/lines")
    for place, line in enumerate(order.lines):
        if line.paid_fen < 0 or line.list_fen < 0:
            raise Unreadable("negative_amount", f"/order/lines/{place}")
    said = order.order_paid_fen
    if said is not None and not order.no_sale:
        found = sum(line.paid_fen for line in order.lines) + order.freight_fen
        if abs(found - said) > len(order.lines):
            raise Unreadable("amounts_disagree", "/order/paid")


# --- refunds ------------------------------------------------------------------------------------------------------------


def refund_versions(shop: Shop, said: Said, now: dt.datetime) -> tuple[RefundVersion, ...]:
    """The refunds whose money is done, one per line. Raises Unreadable."""
    orders = {order.order_no: order for order in said.orders}
    versions: list[RefundVersion] = []
    for refund in said.refunds:
        if refund.state == DONE:
            versions += _refund_versions(shop, refund, orders.get(refund.order_no), now)
    return tuple(versions)


def _refund_versions(shop: Shop, refund: Refund, order: Order | None, now: dt.datetime) -> list[RefundVersion]:
    at = refund.refunded_at or refund.version_at
    if not EARLIEST <= at <= now + CLOCK_SKEW:
        raise Unreadable("time_out_of_range", "/refunds")
    goods_fen = refund.amount_fen - refund.freight_fen
    if goods_fen < 0:
        raise Unreadable("negative_amount", "/refunds")
    refs, parts = _refund_parts(refund, order, goods_fen)
    return [
        RefundVersion(
            channel=shop.channel,
            shop=shop.shop_no,
            refund_no=_refund_no(refund.refund_no, ref, is_alone=len(refs) == 1),
            order_no=_number(refund.order_no, "/refunds/order_no"),
            line_no=line_no(ref),
            version_at=refund.version_at,
            refunded_at=at,
            quantity=refund.quantity if len(refs) == 1 else Decimal(0),
            amount_fen=part,
        )
        for ref, part in zip(refs, parts, strict=True)
        if part
    ]


def _refund_parts(refund: Refund, order: Order | None, goods_fen: int) -> tuple[list[str], list[int]]:
    paid = {line.ref: line.paid_fen for line in order.lines} if order else {}
    refs = list(refund.line_refs or paid)
    if not refs:
        raise Unreadable("refund_without_line", "/refunds")
    if order is None:
        if len(refs) > 1:
            raise Unreadable("refund_without_order", "/refunds")
        return refs, [goods_fen]
    if missing := [ref for ref in refs if ref not in paid]:
        raise Unreadable("refund_of_unknown_line", f"/refunds/{missing[0]}"[:200])
    room = [paid[ref] for ref in refs]
    if refund.is_freight_inside:
        goods_fen = min(goods_fen, sum(room))
    if len(refs) == 1 or not sum(room):
        return refs[:1], [goods_fen]
    return refs, commissions.apportion(goods_fen, room, [-amount for amount in room])


def _refund_no(refund_no: str, ref: str, *, is_alone: bool) -> str:
    return _number(refund_no if is_alone else f"{refund_no}:{line_no(ref)}", "/refunds/refund_no")
