"""Who stands where in a chain: the live list, the pick-up list by person, and the verification at the store."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from campaigns.communities.chain_orders.joining import left_by_item
from campaigns.communities.chain_orders.paying import Kind, facts
from campaigns.communities.chain_orders.refusals import ChainRefused
from campaigns.models import ChainItem, ChainLine, ChainOrder, ChainPayment, ChainPerson
from guides.touches import SHANGHAI
from members import purchases
from scrm import audit, crypto, db
from scrm.money import yuan

Status = ChainLine.Status
LIVE = (Status.TAKEN, Status.PAID)
UNPAID, PAID, PICKED_UP, REFUNDED, GONE = "UNPAID", "PAID", "PICKED_UP", "REFUNDED", "GONE"


@dataclass(slots=True)
class Standing:
    """A person with what she has. ``state``: UNPAID, PAID, PICKED_UP, REFUNDED, or GONE when all of hers is cancelled."""

    person: ChainPerson
    lines: list[ChainLine] = field(default_factory=list)

    @property
    def live(self) -> list[ChainLine]:
        return [line for line in self.lines if line.status in LIVE]

    @property
    def due_fen(self) -> int:
        return sum(line.amount_fen for line in self.lines if line.status == Status.TAKEN)

    @property
    def paid_fen(self) -> int:
        return sum(line.amount_fen for line in self.lines if line.status == Status.PAID)

    @property
    def state(self) -> str:
        if self.person.picked_up_at:
            return PICKED_UP
        if not self.live:
            return REFUNDED if any(line.status == Status.REFUNDED for line in self.lines) else GONE
        return UNPAID if self.due_fen else PAID

    @property
    def state_text(self) -> str:
        return {
            UNPAID: _("not paid"), PAID: _("paid"), PICKED_UP: _("picked up"), REFUNDED: _("refunded"), GONE: _("cancelled"),
        }[self.state]  # fmt: skip

    @property
    def goods(self) -> str:
        return "、".join(f"{line.item.label} ×{line.quantity}" for line in self.live)

    @property
    def paid_by(self) -> str:
        kinds = {line.payment.get_kind_display() for line in self.lines if line.payment and line.status == Status.PAID}
        return "、".join(sorted(map(str, kinds)))

    @property
    def mobile(self) -> str:
        sealed = self.person.mobile_sealed
        return crypto.mask(crypto.open_mobile(bytes(sealed))) if sealed else ""

    @property
    def masked_name(self) -> str:
        """As the others of the group see it."""
        return f"{self.person.name[:1]}{'*' * min(max(len(self.person.name) - 1, 1), 3)}"


@dataclass(frozen=True, slots=True)
class Offer:
    item: ChainItem
    left: int
    taken: int


# --- reads ------------------------------------------------------------------------------------------------------------


def standing(*, chain_id: int, person_id: int | None = None) -> list[Standing]:
    """Everybody in the order of joining; two queries."""
    people = ChainPerson.objects.filter(chain=chain_id).order_by("number")
    if person_id is not None:
        people = people.filter(pk=person_id)
    found = {person.pk: Standing(person) for person in people}
    lines = (
        ChainLine.objects.filter(person__in=list(found))
        .select_related("item", "payment")
        .order_by("item__number", "pk")
    )
    for line in lines:
        found[line.person_id].lines.append(line)
    return list(found.values())


def offers(*, chain_id: int) -> list[Offer]:
    left = left_by_item(chain_id)
    taken: dict[int, int] = defaultdict(int)
    rows = ChainLine.objects.filter(person__chain=chain_id, status__in=LIVE).values_list("item_id", "quantity")
    for item_id, quantity in rows:
        taken[item_id] += quantity
    items = (
        ChainItem.objects.filter(chain=chain_id)
        .select_related("stock", "photo")
        .defer("photo__content")
        .order_by("number")
    )
    return [Offer(item, left[item.pk], taken[item.pk]) for item in items]


# --- verification -----------------------------------------------------------------------------------------------------


@transaction.atomic
def redeem(*, code: str, store_ids: Collection[int] | None, actor: Any, now: dt.datetime) -> ChainPerson:
    """She gets her goods. ``store_ids``: where the goods are handed over, of whoever does it; None: anywhere. Raises ChainRefused.

    Nobody learns of a code of a store that she does not work in more than which store it is of.
    """
    code = "".join(char for char in code if char.isascii() and char.isdecimal())
    seen = (
        ChainPerson.objects.filter(pickup_code=code).select_related("chain__pickup_store").first()
        if len(code) == 8
        else None
    )
    if seen is None:
        text = _("There is no such verification code.")
        raise ChainRefused(text, code="chain_code_unknown", extra={"fields": {"code": text}})
    chain = seen.chain
    if store_ids is not None and chain.pickup_store_id not in store_ids:
        raise ChainRefused(
            _("This is picked up in %(store)s, not here.") % {"store": chain.pickup_store.name}, code="chain_wrong_store",
            extra={"store": chain.pickup_store.name},
        )  # fmt: skip
    db.lock(ChainOrder.objects.filter(pk=chain.pk))
    (person,) = db.lock(ChainPerson.objects.filter(pk=seen.pk))
    if person.picked_up_at is not None:
        at = person.picked_up_at.astimezone(SHANGHAI)
        raise ChainRefused(
            _("%(name)s has picked up already, at %(at)s.") % {"name": person.name, "at": f"{at:%m-%d %H:%M}"}, code="chain_picked_up"
        )  # fmt: skip
    (one,) = standing(chain_id=chain.pk, person_id=person.pk)
    if not one.live:
        raise ChainRefused(
            _("%(name)s has nothing to pick up.") % {"name": person.name}, code="chain_nothing_to_pick_up"
        )
    if one.due_fen:
        raise ChainRefused(
            _("%(name)s has still %(due)s to pay.") % {"name": person.name, "due": yuan(one.due_fen)}, code="chain_unpaid", extra={"due_fen": one.due_fen}
        )  # fmt: skip
    person.picked_up_at, person.picked_up_by = now, actor
    person.save(update_fields=["picked_up_at", "picked_up_by"])
    for payment in ChainPayment.objects.filter(person=person).exclude(kind=Kind.ORDER).order_by("pk"):
        lines = list(ChainLine.objects.filter(payment=payment).select_related("item__product").order_by("pk"))
        purchases.record_lines(lines=facts(payment, lines, version_at=now, completed_at=now))
    audit.record(actor=actor, verb="chain.redeem", target=person)
    return person
