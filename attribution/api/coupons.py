"""``POST /api/channels/<channel>/coupons/<act>``: tills and the shop's mini-program use coupons.

Signed like an order event: the channel vouches for the member it names. Every write carries a ``request_id``; the same one
with the same content gets the same answer. What the rules refuse is 409 with ``code``, ``message`` and ``extra.field``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from attribution import intake
from attribution.api.channel_events import body_of, refusal
from attribution.api.openings import NotReadable, read_text
from members import coupons
from members.coupons import faces, figures
from members.coupons.quoting import Till
from members.coupons.records import Where
from members.coupons.terms import Basket, Goods
from members.models import Coupon, Identity, Redemption
from scrm import crypto
from scrm.api.throttles import HOUR, MINUTE, WindowThrottle
from scrm.errors import RuleViolation
from scrm.models import Store

MOST_FEN = 100_000_000
MOST_LINES = 200
MOST_ID = 2**63 - 1
FINEST, MOST_QUANTITY = Decimal("0.001"), Decimal(1_000_000)


class ClaimThrottle(WindowThrottle):
    """§8 row 20: five claims a second and member."""

    scope = "coupon_claim"
    limit = 5
    seconds = 1


class PassThrottle(WindowThrottle):
    """Codes shown, and numbers tried, for one number or member."""

    scope = "coupon_pass"
    limit = 30
    seconds = HOUR


class ChannelThrottle(WindowThrottle):
    scope = "coupon_channel"
    limit = 30_000
    seconds = MINUTE


class TooOften(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = max(1, round(seconds))


class Asked:
    """One request, read part by part; what cannot be read names its place."""

    def __init__(self, channel: str, said: dict[str, Any], now: dt.datetime) -> None:
        self.channel, self.said, self.now = channel, said, now

    def text(self, name: str, length: int = 64, *, is_needed: bool = True) -> str:
        value = read_text(self.said, name, length, "")
        if is_needed and not value:
            raise NotReadable(f"/{name}")
        return value

    def number(self, name: str, *, least: int = 1, most: int = MOST_ID) -> int:
        return whole(self.said.get(name), f"/{name}", least=least, most=most)

    @property
    def key(self) -> str:
        return f"{self.channel} {self.text('request_id')}"

    @property
    def member_id(self) -> int:
        """By card, unionid or mobile number, as the channel knows her."""
        who = self.said.get("member")
        if not isinstance(who, dict):
            raise NotReadable("/member")
        values = {
            Identity.Kind.CARD: read_text(who, "card_no", 64, "/member"),
            Identity.Kind.UNIONID: read_text(who, "unionid", 64, "/member"),
        }
        mobile = read_text(who, "mobile", 32, "/member")
        if mobile:
            number = crypto.normalise_mobile(mobile)
            if number is None:
                raise NotReadable("/member/mobile")
            values[Identity.Kind.MOBILE] = crypto.mobile_index(number)
        for kind, value in values.items():
            if value:
                found = coupons.owners.of_identity(kind=kind, value=value)
                if found is not None:
                    return found
        if not any(values.values()):
            raise NotReadable("/member")
        raise coupons.CouponRefused(
            _("This customer is no member yet; let her register first."), code="coupon_member_unknown", field="member"
        )

    @property
    def till(self) -> Till:
        code = self.text("store", 32)
        store = Store.objects.filter(code=code).first()
        if store is None:
            raise coupons.CouponRefused(
                _("There is no store with the code %(code)s.") % {"code": code},
                code="coupon_store_unknown",
                field="store",
            )
        return Till(
            store=store, channel=self.channel, shop=self.text("shop", is_needed=False), order_no=self.text("order_no"),
            cashier_code=self.text("cashier", 32, is_needed=False),
        )  # fmt: skip

    @property
    def basket(self) -> Basket:
        lines = self.said.get("lines", [])
        if not isinstance(lines, list) or len(lines) > MOST_LINES:
            raise NotReadable("/lines")
        return Basket(
            self.number("amount_fen", most=MOST_FEN), tuple(goods(line, f"/lines/{i}") for i, line in enumerate(lines))
        )

    @property
    def where(self) -> Where:
        return Where(channel=self.channel)

    def own_coupon(self) -> Coupon:
        """Of the member named; somebody else's is not there."""
        coupon = coupons.redeeming.of_code(self.text("code"))
        if coupon.member_id != self.member_id:
            raise coupons.issuing.unknown_code()
        return coupon


def whole(value: Any, place: str, *, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise NotReadable(place)
    return value


def goods(line: Any, place: str) -> Goods:
    if not isinstance(line, dict):
        raise NotReadable(place)
    try:
        quantity = Decimal(str(line.get("quantity", 1)))
    except InvalidOperation:
        raise NotReadable(f"{place}/quantity") from None
    if not quantity.is_finite() or not FINEST <= quantity <= MOST_QUANTITY or quantity % FINEST:
        raise NotReadable(f"{place}/quantity")
    amount = whole(line.get("amount_fen"), f"{place}/amount_fen", least=0, most=MOST_FEN)
    return Goods(read_text(line, "sku", 64, place), amount, quantity)


def count(throttle: WindowThrottle, owner: str) -> None:
    if throttle.count(owner) > throttle.limit:
        raise TooOften(throttle.wait())


# --- acts -----------------------------------------------------------------------------------------------------------


def offers(asked: Asked) -> dict[str, Any]:
    rows = figures.claimable(now=asked.now)
    shown_as = faces.of_templates(rows)
    return {"items": [{"template_id": row.pk, **vars_of(face)} for row, face in zip(rows, shown_as, strict=True)]}


def own(asked: Asked) -> dict[str, Any]:
    rows = figures.of_member(member_id=asked.member_id, is_open=True, after=None, limit=50)
    return {"items": [shown(row, face) for row, face in zip(rows, faces.of_coupons(rows), strict=True)]}


def claim(asked: Asked) -> dict[str, Any]:
    member_id = asked.member_id
    count(ClaimThrottle(), str(member_id))
    given = coupons.issuing.give(
        template_id=asked.number("template_id"), member_id=member_id, source=Coupon.Source.CLAIM, key=asked.key,
        now=asked.now, where=asked.where,
    )  # fmt: skip
    return of_customer(given.coupon)


def claim_code(asked: Asked) -> dict[str, Any]:
    member_id = asked.member_id
    count(ClaimThrottle(), str(member_id))
    given = coupons.issuing.claim_code(
        code=asked.text("code"), member_id=member_id, key=asked.key, now=asked.now, where=asked.where
    )
    return of_customer(given.coupon)


def show_pass(asked: Asked) -> dict[str, Any]:
    member_id = asked.member_id
    count(PassThrottle(), str(member_id))
    digits, until = coupons.passes.show(member_id=member_id, now=asked.now)
    return {"pass": digits, "until": until.isoformat()}


def find(asked: Asked) -> dict[str, Any]:
    """By mobile number and the code on her screen: what she can use in this order, with what each would take off."""
    till, basket = asked.till, asked.basket
    member_id = owner(asked, uses=False)
    rows = figures.usable_by(member_id=member_id, today=coupons.terms.business_day(asked.now))
    found = coupons.quoting.quotes(coupons=rows, till=till, basket=basket, now=asked.now)
    return {"items": [quoted(each, face) for each, face in zip(found, faces.of_coupons(rows), strict=True)]}


def owner(asked: Asked, *, uses: bool) -> int:
    mobile = asked.text("mobile", 32)
    count(PassThrottle(), mobile)
    return coupons.passes.owner(mobile=mobile, digits=asked.text("pass", 6), now=asked.now, uses=uses)


def quote(asked: Asked) -> dict[str, Any]:
    coupon = coupons.redeeming.of_code(asked.text("code"))
    found = coupons.quoting.quote(coupon=coupon, till=asked.till, basket=asked.basket, now=asked.now)
    return quoted(found, faces.face(coupon.template, coupon))


def lock(asked: Asked) -> dict[str, Any]:
    coupon = coupons.redeeming.of_code(asked.text("code"))
    row = coupons.life.lock(coupon_id=coupon.pk, till=asked.till, basket=asked.basket, key=asked.key, now=asked.now)
    return {"until": row.until.isoformat(), "ended": row.ended_as}


def release(asked: Asked) -> dict[str, Any]:
    """The order is cancelled."""
    order_no, shop = asked.text("order_no"), asked.text("shop", is_needed=False)
    where = Where(channel=asked.channel, order_no=order_no)
    return {
        "released": coupons.life.release(
            channel=asked.channel, shop=shop, order_no=order_no, now=asked.now, where=where
        )
    }


def redeem(asked: Asked) -> dict[str, Any]:
    """By number, or by mobile number with the code on her screen and the coupon's id from ``find``."""
    till, basket, key, owner_id = asked.till, asked.basket, asked.key, None
    if "mobile" in asked.said:
        coupon_id = asked.number("coupon_id")
        if not coupons.redeeming.done_before(key=key, coupon_id=coupon_id):
            owner_id = owner(asked, uses=True)
    else:
        coupon_id = coupons.redeeming.id_of_code(asked.text("code"))
    done = coupons.redeeming.redeem(
        coupon_id=coupon_id, till=till, basket=basket, key=key, now=asked.now, owner_id=owner_id
    )
    return redeemed(done.redemption)


def reverse(asked: Asked) -> dict[str, Any]:
    """Of this channel's own redemptions."""
    number = asked.number("redemption_id")
    if not Redemption.objects.filter(pk=number, channel=asked.channel).exists():
        raise coupons.CouponRefused(_("There is no such redemption."), code="redemption_unknown", field="redemption")
    done = coupons.redeeming.reverse(
        redemption_id=number, reason=asked.text("reason", 200), key=asked.key, now=asked.now
    )
    return redeemed(done.redemption)


def offer_gift(asked: Asked) -> dict[str, Any]:
    coupon = asked.own_coupon()
    assert coupon.member_id is not None
    gift = coupons.life.offer(
        coupon_id=coupon.pk, giver_id=coupon.member_id, key=asked.key, now=asked.now, where=asked.where
    )
    return {"token": gift.token, "until": gift.until.isoformat()}


def take_gift(asked: Asked) -> dict[str, Any]:
    member_id = asked.member_id
    count(ClaimThrottle(), str(member_id))
    return of_customer(
        coupons.life.take(
            token=asked.text("token"), taker_id=member_id, key=asked.key, now=asked.now, where=asked.where
        )
    )


def take_back_gift(asked: Asked) -> dict[str, Any]:
    coupon = asked.own_coupon()
    assert coupon.member_id is not None
    done = coupons.life.take_back(coupon_id=coupon.pk, giver_id=coupon.member_id, now=asked.now, where=asked.where)
    return {"taken_back": done}


ACTS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "offers": offers, "own": own, "claim": claim, "claim-code": claim_code, "pass": show_pass, "find": find, "quote": quote,
    "lock": lock, "release": release, "redeem": redeem, "reverse": reverse, "gift": offer_gift, "gift-take": take_gift,
    "gift-back": take_back_gift,
}  # fmt: skip


@csrf_exempt
def receive(request: HttpRequest, channel: str, act: str) -> HttpResponse:
    return answer_to(request, channel, act, ACTS)


def answer_to(
    request: HttpRequest, channel: str, act: str, acts: dict[str, Callable[[Asked], dict[str, Any]]]
) -> HttpResponse:
    """One of the acts of a channel, by its signature."""
    if request.method != "POST":
        return refusal(405, "method_not_allowed", _("This address does not take such a request."))
    if act not in acts:
        return refusal(404, "not_found", _("There is nothing here, or it is not yours to see."))
    body = body_of(request)
    if body is None:
        return refusal(413, "too_large", _("An event is at most 1 MiB. Send fewer lines at a time."))
    now = timezone.now()
    try:
        intake.verify(
            channel=channel, timestamp=request.headers.get("X-Timestamp", ""),
            signed=request.headers.get("X-Signature", ""), body=body, now=now,
        )  # fmt: skip
        count(ChannelThrottle(), channel)
        return JsonResponse(acts[act](Asked(channel, _read(body), now)))
    except intake.NotVerified:
        return refusal(403, "not_verified", _("Channel, time or signature are not right."))
    except NotReadable as error:
        return refusal(400, "not_readable", _("The request cannot be read."), place=error.place)
    except TooOften as error:
        answer = refusal(
            429, "throttled", _("Too many requests; please wait a moment."), retry_after_seconds=error.seconds
        )
        answer.headers["Retry-After"] = str(error.seconds)
        return answer
    except RuleViolation as error:
        answer = refusal(409, error.code, error.message, **error.extra)
        if "retry_after_seconds" in error.extra:
            answer.headers["Retry-After"] = str(error.extra["retry_after_seconds"])
        return answer


def _read(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise NotReadable("") from None
    if not isinstance(said, dict):
        raise NotReadable("")
    return said


# --- answers --------------------------------------------------------------------------------------------------------


def vars_of(face: faces.Face) -> dict[str, Any]:
    return {"headline": face.headline, "name": face.name, "validity": face.validity, "rules": list(face.rules)}


def of_customer(coupon: Coupon) -> dict[str, Any]:
    return shown(coupon, faces.face(coupon.template, coupon))


def shown(coupon: Coupon, face: faces.Face) -> dict[str, Any]:
    """For the customer's own screen, with the whole number."""
    return {
        "coupon_id": coupon.pk, "code": coupon.code, "state": coupon.status, "starts_on": str(coupon.starts_on),
        "expires_on": str(coupon.expires_on), **vars_of(face),
    }  # fmt: skip


def quoted(found: coupons.quoting.Quote, face: faces.Face) -> dict[str, Any]:
    """For a till: without the number."""
    refused = found.refusal
    return {
        "coupon_id": found.coupon.pk, "number": str(found.coupon), "can_redeem": refused is None,
        "discount_fen": found.discount_fen, "code": refused.code if refused else "",
        "message": refused.message if refused else "", "field": refused.extra["field"] if refused else "",
        **vars_of(face),
    }  # fmt: skip


def redeemed(row: Redemption) -> dict[str, Any]:
    return {
        "redemption_id": row.pk, "coupon_id": row.coupon_id, "discount_fen": row.discount_fen, "order_no": row.order_no,
        "state": row.status, "redeemed_at": row.redeemed_at.isoformat(),
    }  # fmt: skip
