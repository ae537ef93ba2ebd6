"""The generic order event (订单事件): what ``docs/order-event.schema.json`` describes, read into lines and refunds. Pure.

1. An event speaks about one order of one shop. Its ``version`` is that of every line and, unless they say otherwise, refund
   in it. A line that a newer event leaves out stays as it is: a line is taken back by the flag ``voided``.
2. What a line was paid is its list amount less its own discounts and its part of the order's discounts, which are spread by
   ``commissions.allocate_discounts`` on what the lines still have to pay. So the parts add up to each coupon and the lines to
   the order's net. Points and freight of the order are spread by the same rule.
3. An amount that the source states is a check, never a second truth: where it differs the event cannot be read.
4. A line is ineligible by its own flags or by the order's. A risk mark of the order counts for lines without their own.
5. What cannot be read names a code and a place in the body (a JSON pointer), never the value.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast
from zoneinfo import ZoneInfo

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from attribution import commissions
from members.purchases import LineVersion, RefundVersion
from scrm import crypto

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "order-event.schema.json"
ZONE = ZoneInfo("Asia/Shanghai")
CLOCK_SKEW = dt.timedelta(days=1)
EARLIEST = dt.datetime(2000, 1, 1, tzinfo=ZONE)
FLAGS = ("test", "gift_card", "wholesale", "staff_price", "voided")

UNPAID, UNREFUNDED, NOT_REFUNDED, OTHER_AMOUNT = "unpaid", "unrefunded", "not_refunded", "pay_amount_differs"

Json = Mapping[str, Any]


class Unreadable(Exception):
    """The event cannot be taken; a person looks at it."""

    def __init__(self, code: str, place: str) -> None:
        super().__init__(code)
        self.code, self.place = code, place


@dataclass(frozen=True, slots=True)
class Delivery:
    """What an event says; the places in the body are ``/order/lines/<n>`` and ``/refunds/<n>``."""

    lines: tuple[LineVersion, ...]
    refunds: tuple[RefundVersion, ...]


class Paid(NamedTuple):
    """What a means of payment says about a number of ours."""

    state: str  # SUCCESS, or what became of it instead
    amount_fen: int
    at: dt.datetime
    account: str


def place_of_payment(pay_no: str) -> str:
    """Where an event names the payment it waits for; with the number, so that it is found when the payment is told."""
    return f"/order/pay_no {pay_no}"


def place_of_refund(refund_no: str) -> str:
    return f"/refunds/refund_no {refund_no}"


def awaited(body: Any) -> tuple[list[str], list[str]]:
    """The payments and refunds that a body names instead of times, whatever else is wrong with it."""
    order = body.get("order") if isinstance(body, dict) else None
    pay_no = order.get("pay_no") if isinstance(order, dict) and "paid_at" not in order else None
    refunds = body.get("refunds") if isinstance(body, dict) else None
    rows = (
        [row for row in refunds if isinstance(row, dict) and row.get("by_notice")] if isinstance(refunds, list) else []
    )
    numbers = [row["refund_no"] for row in rows if isinstance(row.get("refund_no"), str)]
    return ([pay_no] if isinstance(pay_no, str) else []), numbers


def read(
    channel: str,
    body: Any,
    *,
    stores: Mapping[str, int],
    now: dt.datetime,
    paid: Mapping[str, Paid] = MappingProxyType({}),
) -> Delivery:
    """The lines and refunds of an event. ``stores``: ids by code of the store it names; ``paid``: what was told of the
    payments and refunds that it awaits, by their place. Raises Unreadable."""
    _check_shape(body)
    body = {**body, "shop": _text(body["shop"], "/shop"), "order_no": _text(body["order_no"], "/order_no")}
    body = _with_notices(body, paid)
    version = _time(body["version"], "/version", now)
    lines = _lines(channel, body, version, stores, now) if "order" in body else ()
    refunds = tuple(
        _refund(channel, body, refund, version, f"/refunds/{place}", now)
        for place, refund in enumerate(body.get("refunds", ()))
    )
    return Delivery(lines, refunds)


def _with_notices(body: Json, paid: Mapping[str, Paid]) -> Json:
    """The body with the times that the means of payment gave. Raises Unreadable while they are missing."""
    order = body.get("order")
    if order is not None and "paid_at" not in order:
        place = place_of_payment(order["pay_no"])
        if place not in paid:
            raise Unreadable(UNPAID, place)
        told = paid[place]
        cash = sum(amounts["paid_fen"] - amounts["points_fen"] for amounts in _amounts(order, order["lines"]))
        if told.amount_fen != cash + order.get("freight_fen", 0):
            raise Unreadable(OTHER_AMOUNT, place)
        buyer = {"account": told.account, **{name: said for name, said in order.get("buyer", {}).items() if said}}
        body = {**body, "order": {**order, "paid_at": told.at.isoformat(), "buyer": buyer}}
    refunds = []
    for refund in body.get("refunds", ()):
        if "refunded_at" not in refund:
            place = place_of_refund(refund["refund_no"])
            if place not in paid:
                raise Unreadable(UNREFUNDED, place)
            if paid[place].state != "SUCCESS":
                raise Unreadable(NOT_REFUNDED, place)
            if refund["amount_fen"] > paid[place].amount_fen:  # less is right: freight goes back with the goods
                raise Unreadable(OTHER_AMOUNT, place)
            refund = {**refund, "refunded_at": paid[place].at.isoformat()}
        refunds.append(refund)
    return {**body, "refunds": refunds} if refunds else body


def store_of(body: Any) -> str | None:
    """The code of the store that a body names, whatever else is wrong with it."""
    order = body.get("order") if isinstance(body, dict) else None
    store = order.get("store") if isinstance(order, dict) else None
    return store if isinstance(store, str) else None


@cache
def validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))


def _check_shape(body: Any) -> None:
    error = best_match(validator().iter_errors(body))
    if error is None:
        return
    place = "/" + "/".join(str(part) for part in error.absolute_path)
    code = "unknown_schema" if place == "/schema" else "bad_event"
    raise Unreadable(code, place[:200])


# --- lines --------------------------------------------------------------------------------------------------------------


def _lines(
    channel: str, body: Json, version: dt.datetime, stores: Mapping[str, int], now: dt.datetime
) -> tuple[LineVersion, ...]:
    order, lines = body["order"], body["order"]["lines"]
    if len({line["line_no"] for line in lines}) != len(lines):
        raise Unreadable("repeated_line", "/order/lines")
    amounts = _amounts(order, lines)
    paid_at = _time(order["paid_at"], "/order/paid_at", now)
    whole: dict[str, Any] = {
        "channel": channel, "shop": body["shop"], "order_no": body["order_no"], "version_at": version,
        "created_at": _time(order["created_at"], "/order/created_at", now) if "created_at" in order else paid_at,
        "store_id": _store(order, stores), "cashier_code": _text(order.get("cashier") or "", "/order/cashier"),
        **_buyer(order.get("buyer", {})),
    }  # fmt: skip
    return tuple(
        _line(whole, order, line, amounts[place], paid_at, f"/order/lines/{place}", now)
        for place, line in enumerate(lines)
    )


def _line(
    whole: Json, order: Json, line: Json, amounts: Json, paid_at: dt.datetime, place: str, now: dt.datetime
) -> LineVersion:
    completed_at = line.get("completed_at", order.get("completed_at"))
    said = {
        name: _text(line.get(name) or order.get(name) or "", f"{place}/{name}") for name in ("campaign", "fulfil_clerk")
    }
    flags = {f"is_{flag}": any(said.get("flags", {}).get(flag) for said in (line, order)) for flag in FLAGS}
    return LineVersion(
        **whole,
        **amounts,
        **cast("dict[str, Any]", flags),
        line_no=line["line_no"],
        paid_at=_time(line["paid_at"], f"{place}/paid_at", now) if "paid_at" in line else paid_at,
        completed_at=_time(completed_at, f"{place}/completed_at", now) if completed_at else None,
        sku=_text(line["sku"], f"{place}/sku"),
        product_name=_text(line.get("name", ""), f"{place}/name"),
        category=_text(line.get("category", ""), f"{place}/category"),
        quantity=Decimal(line["quantity"]),
        unit_price=Decimal(line["unit_price"]) if "unit_price" in line else None,
        risk_mark=_text(line.get("risk_mark") or order.get("risk_mark", ""), f"{place}/risk_mark"),
        details={name: value for name, value in said.items() if value} or None,
    )


def _amounts(order: Json, lines: list[Json]) -> list[dict[str, Any]]:
    """The amounts of every line after all discounts; rule 2 and the checks of rule 3."""
    own = [sum(part["amount_fen"] for part in line.get("discounts", ())) for line in lines]
    for place, line in enumerate(lines):
        if own[place] > line["list_fen"]:
            raise Unreadable("discount_exceeds_line", f"/order/lines/{place}/discounts")
    coupons = order.get("discounts", [])
    due = [line["list_fen"] - discount for line, discount in zip(lines, own, strict=True)]
    spread = _spread(due, [coupon["amount_fen"] for coupon in coupons], "discount_exceeds_order", "/order/discounts")
    paid = [amount - sum(parts[place] for parts in spread) for place, amount in enumerate(due)]
    said = [line.get("points_fen", 0) for line in lines]
    left = [amount - points for amount, points in zip(paid, said, strict=True)]
    if min(left) < 0:
        raise Unreadable("points_exceed_paid", f"/order/lines/{left.index(min(left))}/points_fen")
    points = _spread(left, [order.get("points_fen", 0)], "points_exceed_paid", "/order/points_fen")[0]
    freight = _freight(order.get("freight_fen", 0), paid)
    _check_amounts(order, lines, paid)
    return [
        {
            "list_fen": line["list_fen"],
            "discounts": _by_sponsor(line.get("discounts", ()), coupons, [parts[place] for parts in spread]),
            "paid_fen": paid[place],
            "points_fen": said[place] + points[place],
            "freight_fen": freight[place],
        }
        for place, line in enumerate(lines)
    ]


def _spread(amounts: list[int], discounts: list[int], code: str, where: str) -> list[list[int]]:
    try:
        return commissions.allocate_discounts(amounts, discounts)
    except ValueError:
        raise Unreadable(code, where) from None


def _freight(freight_fen: int, paid: list[int]) -> list[int]:
    weights = paid if any(paid) else [1] * len(paid)
    return commissions.apportion(freight_fen, weights, [-amount for amount in paid])


def _by_sponsor(own: Any, coupons: Any, parts: list[int]) -> dict[str, int]:
    result: dict[str, int] = {}
    shares = [(discount["sponsor"], discount["amount_fen"]) for discount in own]
    shares += [(coupon["sponsor"], part) for coupon, part in zip(coupons, parts, strict=True)]
    for sponsor, amount in shares:
        if amount:
            result[sponsor] = result.get(sponsor, 0) + amount
    return result


def _check_amounts(order: Json, lines: list[Json], paid: list[int]) -> None:
    for place, line in enumerate(lines):
        if line.get("paid_fen", paid[place]) != paid[place]:
            raise Unreadable("amounts_disagree", f"/order/lines/{place}/paid_fen")
    if order.get("paid_fen", sum(paid)) != sum(paid):
        raise Unreadable("amounts_disagree", "/order/paid_fen")


def _store(order: Json, stores: Mapping[str, int]) -> int | None:
    code = order.get("store")
    if not code:
        return None
    if code not in stores:
        raise Unreadable("unknown_store", "/order/store")
    return stores[code]


def _buyer(buyer: Json) -> dict[str, str]:
    mobile = buyer.get("mobile") or ""
    number = crypto.normalise_mobile(mobile)
    if mobile.strip() and number is None:
        raise Unreadable("bad_mobile", "/order/buyer/mobile")
    return {
        "buyer_mobile_index": crypto.mobile_index(number) if number else "",
        "buyer_card_no": _text(buyer.get("card_no") or "", "/order/buyer/card_no"),
        "buyer_account": _text(buyer.get("account") or "", "/order/buyer/account"),
        "buyer_unionid": _text(buyer.get("unionid") or "", "/order/buyer/unionid"),
    }


# --- refunds ------------------------------------------------------------------------------------------------------------


def _refund(
    channel: str, body: Json, refund: Json, version: dt.datetime, place: str, now: dt.datetime
) -> RefundVersion:
    return RefundVersion(
        channel=channel,
        shop=body["shop"],
        order_no=body["order_no"],
        refund_no=_text(refund["refund_no"], f"{place}/refund_no"),
        line_no=refund["line_no"],
        version_at=_time(refund["version"], f"{place}/version", now) if "version" in refund else version,
        refunded_at=_time(refund["refunded_at"], f"{place}/refunded_at", now),
        quantity=Decimal(refund.get("quantity", 0)),
        amount_fen=refund["amount_fen"],
    )


# --- values -------------------------------------------------------------------------------------------------------------


def _time(text: str, place: str, now: dt.datetime) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise Unreadable("bad_time", place) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=ZONE)
    if not EARLIEST <= moment <= now + CLOCK_SKEW:
        raise Unreadable("time_out_of_range", place)
    return moment


def _text(text: str, place: str) -> str:
    """Blanks around it removed, as in a list; a character that PostgreSQL cannot hold is refused."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Unreadable("bad_character", place)
    return text.strip()
