"""Payments of our own mini-program (小程序支付): an order counts when WeChat Pay says that it is paid.

1. The mini-program tells us an order with its lines before it is paid, and names the payment (``pay_no``) instead of a time.
   Such an event waits (parked as ``unpaid``) until the notice of that payment comes, in whichever order the two arrive, and is
   then taken by itself, paid at the time the notice gives. The two take turns by the number, so that neither misses the other.
2. What the notice says was paid has to be the order's goods less what points paid of them, and freight, to the fen; otherwise a
   person looks at it.
3. A refund is told by the mini-program with its line before the money goes back (``by_notice``); it waits (``unrefunded``) for
   the notice in the same way. One that was closed or became abnormal is no refund: it stays parked under that name; one of more
   than went back is looked at by a person.
4. A notice is verified on raw bytes and kept before it is answered; the same one told again is the same row. WeChat Pay tells it
   again for a day until it gets its answer.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from attribution.channels import order_event, wechat_pay
from attribution.channels.order_event import Paid
from attribution.models import ChannelEvent, PayMerchant, PayNotice
from members.models import Channel
from scrm import audit, copyin, crypto, db
from scrm.errors import RuleViolation

PURPOSE = "wechat pay key"
KEY_BYTES = 32

copyin.problems.register({
    order_event.UNPAID: gettext_lazy("The order waits for WeChat Pay's notice of its payment, and is taken by itself when it comes."),
    order_event.UNREFUNDED: gettext_lazy("The refund waits for WeChat Pay's notice, and is taken by itself when it comes."),
    order_event.NOT_REFUNDED: gettext_lazy("WeChat Pay closed this refund or could not make it: no money went back."),
    order_event.OTHER_AMOUNT: gettext_lazy(
        "WeChat Pay tells another amount: not what goods less points and freight of the order come to, or less than the refund."
    ),
})  # fmt: skip


class BadMerchant(RuleViolation):
    code = "bad_pay_merchant"


@transaction.atomic
def connect(*, actor: Any, channel: str, shop_no: str, mchid: str, secret: str, keys: Mapping[str, str]) -> PayMerchant:
    """Record a merchant, or give it new keys. ``keys``: PEM by serial. Raises BadMerchant."""
    if not Channel.objects.filter(code=channel).exists():
        raise BadMerchant(_("There is no channel with the code %(code)s.") % {"code": channel})
    if len(secret.encode()) != KEY_BYTES:
        raise BadMerchant(_("The APIv3 key has exactly 32 characters."))
    for serial, pem in keys.items():
        try:
            wechat_pay.public_key(pem)
        except ValueError:
            raise BadMerchant(
                _("The key %(serial)s is no RSA certificate or public key in PEM.") % {"serial": serial}
            ) from None
    if not keys:
        raise BadMerchant(_("Give at least one key of WeChat Pay."))
    values = {
        "channel": channel, "shop_no": shop_no, "secret_sealed": crypto.seal_text(PURPOSE, secret), "keys": dict(keys),
        "is_active": True,
    }  # fmt: skip
    merchant, is_new = PayMerchant.objects.update_or_create(mchid=mchid, defaults=values)
    audit.record(actor=actor, verb="pay.connect", target=merchant, is_first=is_new, serials=sorted(keys))
    return merchant


def receive(*, mchid: str, headers: Mapping[str, str], body: bytes, now: dt.datetime) -> bool:
    """Keep a notice and wake what waits for it; whether it is new. Raises wechat_pay.NotVerified, wechat_pay.NotReadable."""
    merchant = PayMerchant.objects.filter(mchid=mchid, is_active=True).first()
    if merchant is None:
        raise wechat_pay.NotVerified
    wechat_pay.verify(headers, body, merchant.keys, now)
    secret = crypto.open_text(PURPOSE, bytes(merchant.secret_sealed)).encode()
    return _keep(merchant, wechat_pay.opened(body, secret, mchid))


@transaction.atomic
def _keep(merchant: PayMerchant, notice: wechat_pay.Notice) -> bool:
    places = [order_event.place_of_payment(notice.trade_no), order_event.place_of_refund(notice.refund_no)]
    db.take_turns(_turn(merchant.channel, place) for place in places)
    _row, is_new = PayNotice.objects.get_or_create(
        merchant=merchant, kind=notice.kind, fact_id=notice.fact_id, state=notice.state, defaults=notice._asdict()
    )
    if is_new:
        ChannelEvent.objects.filter(
            status=ChannelEvent.Status.PARKED, channel=merchant.channel, error_place__in=places
        ).update(status=ChannelEvent.Status.RECEIVED, attempts=0, error_code="", error_place="", processed_at=None)
    return is_new


def _turn(channel: str, place: str) -> str:
    return f"pay {channel} {place}"


def await_turn(*, awaited: Iterable[tuple[str, str]]) -> None:
    """Before ``known`` is asked: a notice of these (channel, place) is kept before, or after this transaction, never meanwhile."""
    db.take_turns(_turn(channel, place) for channel, place in awaited)


def known(*, channel: str, trade_nos: Collection[str], refund_nos: Collection[str]) -> dict[str, Paid]:
    """What was told of these numbers of a channel, by the place where an event names them."""
    found: dict[str, Paid] = {}
    told = PayNotice.objects.filter(merchant__channel=channel).order_by("pk")
    for row in told.filter(kind=PayNotice.Kind.PAYMENT, trade_no__in=trade_nos):
        paid = Paid(row.state, row.total_fen, row.happened_at, row.openid)
        found[order_event.place_of_payment(row.trade_no)] = paid
    for row in told.filter(kind=PayNotice.Kind.REFUND, refund_no__in=refund_nos):
        place = order_event.place_of_refund(row.refund_no)
        if place not in found or found[place].state != "SUCCESS":
            found[place] = Paid(row.state, row.amount_fen, row.happened_at, "")
    return found
