"""Paying and refunding: the stock, the order and its payment in one transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from campaigns.communities import stock
from campaigns.communities.chain_orders.joining import CHANNEL, SHOP, account_of
from campaigns.communities.chain_orders.refusals import ChainRefused
from campaigns.models import ChainLine, ChainOrder, ChainPayment, ChainPerson
from members import purchases
from scrm import audit, db
from scrm.money import yuan

ORDER_CHANNEL = "MINI_PROGRAM"  # whose order numbers pay for a chain
ORDER_NO_LENGTH = 64
Kind, Status = ChainPayment.Kind, ChainLine.Status


@transaction.atomic
def pay(
    *, person_id: int, kind: str, amount_fen: int, actor: Any, now: dt.datetime, order_no: str = ""
) -> ChainPayment:
    """All she has not paid is paid. ``amount_fen`` is what she was asked for. Raises ChainRefused, stock.StockBusy."""
    person = _locked(person_id)
    lines = list(
        ChainLine.objects.filter(person=person, status=Status.TAKEN)
        .select_related("item__product")
        .order_by("item__stock_id", "pk")
    )
    order_no = order_no.strip()
    if not lines:
        raise ChainRefused(_("%(name)s has nothing left to pay.") % {"name": person.name}, code="chain_nothing_to_pay")
    due = sum(line.amount_fen for line in lines)
    if amount_fen != due:
        raise ChainRefused(
            _("%(name)s has %(due)s to pay now, not %(said)s; look at it again.") % {"name": person.name, "due": yuan(due), "said": yuan(amount_fen)},
            code="chain_amount_changed", extra={"due_fen": due},
        )  # fmt: skip
    if (kind == Kind.ORDER) != bool(order_no) or len(order_no) > ORDER_NO_LENGTH:
        text = _("Give the number of the mini-program order, and only for that way of paying.")
        raise ChainRefused(text, code="chain_order_no", extra={"fields": {"order_no": text}})
    payment = _payment(person, kind, due, order_no, actor, now)
    shop_order = (ORDER_CHANNEL, "", order_no) if order_no else (CHANNEL, SHOP, number_of(payment))
    for line in lines:
        stock.confirm(
            reservation_id=line.reservation_id,
            paid_at=now,
            channel=shop_order[0],
            shop=shop_order[1],
            order_no=shop_order[2],
        )
        line.status, line.payment = Status.PAID, payment
        line.save(update_fields=["status", "payment"])
    if not order_no:
        purchases.record_lines(lines=facts(payment, lines, version_at=now))
    audit.record(actor=actor, verb="chain.pay", target=payment, kind=kind, fen=due)
    return payment


@transaction.atomic
def refund(*, line_id: int, actor: Any, now: dt.datetime, reason: str) -> bool:
    """A paid line goes back: its stock and its money, once; False when it went back before. Raises ChainRefused, stock.StockBusy."""
    found = ChainLine.objects.filter(pk=line_id).select_related("person").first()
    if found is None:
        raise ChainRefused(_("There is no such line."), code="chain_line_unknown")
    _locked(found.person_id)
    line = ChainLine.objects.select_related("payment", "item").get(pk=line_id)
    if line.status == Status.REFUNDED:
        return False
    if line.status != Status.PAID or line.payment is None:
        raise ChainRefused(_("It is not paid; cancel it instead."), code="chain_not_paid")
    if not reason.strip():
        text = _("Say why it is refunded.")
        raise ChainRefused(text, code="chain_reason", extra={"fields": {"reason": text}})
    stock.give_back(reservation_id=line.reservation_id, quantity=line.quantity, now=now)
    line.status, line.ended_at = Status.REFUNDED, now
    line.save(update_fields=["status", "ended_at"])
    if line.payment.kind != Kind.ORDER:  # of a mini-program order the shop tells the refund itself
        purchases.record_refunds(refunds=[purchases.RefundVersion(
            channel=CHANNEL, shop=SHOP, refund_no=f"JLR{line.pk}", order_no=number_of(line.payment), line_no=line.pk, version_at=now,
            refunded_at=now, quantity=Decimal(line.quantity), amount_fen=line.amount_fen,
        )])  # fmt: skip
    audit.record(actor=actor, verb="chain.refund", target=line, reason=reason.strip(), fen=line.amount_fen)
    return True


def number_of(payment: ChainPayment) -> str:
    """Of the order that a payment in cash or by transfer makes."""
    return f"JLP{payment.pk:08d}"


def facts(payment: ChainPayment, lines: Sequence[ChainLine], *, version_at: dt.datetime, completed_at: dt.datetime | None = None) -> list[purchases.LineVersion]:  # fmt: skip
    """The order facts of a payment; ``lines`` with their items and products."""
    person = ChainPerson.objects.select_related("chain").get(pk=payment.person_id)
    chain: ChainOrder = person.chain
    return [
        purchases.LineVersion(
            channel=CHANNEL, shop=SHOP, order_no=number_of(payment), line_no=line.pk, version_at=version_at, created_at=line.created_at,
            paid_at=payment.paid_at, completed_at=completed_at, sku=line.item.sku, product_name=line.item.name,
            quantity=Decimal(line.quantity), unit_price=Decimal(line.item.unit_fen) / 100, list_fen=line.amount_fen,
            paid_fen=line.amount_fen, store_id=chain.store_id, buyer_mobile_index=person.mobile_index, buyer_unionid=person.unionid,
            buyer_account=account_of(person), delivery_mode="PICKUP", fulfil_store_id=chain.pickup_store_id, group_no=chain.code,
        )
        for line in lines
    ]  # fmt: skip


def _locked(person_id: int) -> ChainPerson:
    """The chain first, as those who join it do."""
    chain_id = ChainPerson.objects.filter(pk=person_id).values_list("chain_id", flat=True).first()
    if chain_id is None:
        raise ChainRefused(_("Nobody of this chain order is meant."), code="chain_person_unknown")
    db.lock(ChainOrder.objects.filter(pk=chain_id))
    (person,) = db.lock(ChainPerson.objects.filter(pk=person_id))
    return person


def _payment(person: ChainPerson, kind: str, due: int, order_no: str, actor: Any, now: dt.datetime) -> ChainPayment:
    try:
        with transaction.atomic():
            return ChainPayment.objects.create(
                person=person, kind=kind, amount_fen=due, order_no=order_no, paid_at=now, taken_by=actor
            )
    except IntegrityError as error:
        if stock.constraint_of(error) != "chain_payment_order":
            raise
    text = _("This order number pays for somebody else already.")
    raise ChainRefused(text, code="chain_order_used", extra={"fields": {"order_no": text}})
