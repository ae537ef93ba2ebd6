"""Joining a chain, changing and cancelling: what somebody wants becomes her lines, and her part of the stock."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Max, Sum
from django.utils.translation import gettext as _

from campaigns.communities import stock
from campaigns.communities.chain_orders.refusals import ChainRefused
from campaigns.models import ChainItem, ChainLine, ChainOrder, ChainPerson, GroupStay, StockBucket
from guides import touches, visitors
from guides.models import Guide, Touch
from scrm import audit, crypto, db

CHANNEL, SHOP = "CHAIN_ORDER", "chain"  # of the orders that chains make
NAMESPACE = f"{CHANNEL}/{SHOP}"
MOST_PEOPLE = 2_000
CODE_TRIES = 20
NAME_LENGTH, NOTE_LENGTH = 32, 200
Source, Status = ChainLine.Source, ChainLine.Status
Person = ChainPerson

__all__ = ["ChainRefused", "Person", "Who", "Wish", "cancel_unpaid", "join"]


@dataclass(frozen=True, slots=True)
class Wish:
    """So many altogether of what is not paid; 0 cancels. ``was``: what it was when she was shown it; None: whatever it was."""

    item_id: int
    quantity: int
    was: int | None = None


@dataclass(frozen=True, slots=True)
class Who:
    """``person_id``: somebody who is in the chain already, as the caller has proved. ``external_userid``: her WeCom identity, as the
    caller has proved. ``is_leader``: the leader herself. ``is_trusted``: the leader or the store says so, who know their people:
    a name alone is then enough to be the same person."""

    name: str = ""
    mobile: str = ""
    external_userid: str = ""
    person_id: int | None = None
    note: str = ""
    is_leader: bool = False
    is_trusted: bool = False


# --- operations -------------------------------------------------------------------------------------------------------


@transaction.atomic
def join(*, chain_id: int, who: Who, wishes: Sequence[Wish], source: str, actor: Any, now: dt.datetime) -> ChainPerson:
    """She has, of each item named, as many unpaid as she wishes. All of it or nothing. Raises ChainRefused, stock.StockBusy."""
    (chain,) = db.lock(ChainOrder.objects.filter(pk=chain_id))
    _require_on(chain, now)
    _require_wishes(wishes)
    items = {item.pk: item for item in ChainItem.objects.filter(chain=chain).select_related("stock")}
    if any(wish.item_id not in items for wish in wishes):
        raise ChainRefused(_("This chain order does not offer that."), code="chain_item_unknown")
    person = _person(chain, who, now, may_be_new=any(wish.quantity for wish in wishes))
    if person.picked_up_at is not None:
        raise ChainRefused(_("%(name)s has picked up already; join as a new person.") % {"name": person.name}, code="chain_picked_up")  # fmt: skip
    open_lines = {line.item_id: line for line in ChainLine.objects.filter(person=person, status=Status.TAKEN)}
    _require_unchanged(wishes, open_lines, items)
    for wish in sorted(wishes, key=lambda one: (items[one.item_id].stock_id, one.item_id)):
        _fulfil(chain, person, items, open_lines.get(wish.item_id), wish, source, now)
    if actor is not None:
        audit.record(actor=actor, verb="chain.lines", target=person, source=source, items=len(wishes))
    return person


@transaction.atomic
def cancel_unpaid(*, chain_id: int, actor: Any, now: dt.datetime, person_id: int | None = None) -> int:
    """What nobody has paid goes back into stock: of one person, or of all; how many lines. Also when the chain is closed."""
    (chain,) = db.lock(ChainOrder.objects.filter(pk=chain_id))
    lines = ChainLine.objects.filter(person__chain=chain, status=Status.TAKEN)
    if person_id is not None:
        lines = lines.filter(person=person_id)
    found = list(lines.select_related("item").order_by("item__stock_id", "pk"))
    for line in found:
        _cancel(line, now)
    if found:
        audit.record(actor=actor, verb="chain.cancel_unpaid", target=chain, lines=len(found))
    return len(found)


def left_by_item(chain_id: int) -> dict[int, int]:
    """What is left of the stock of each item."""
    items = ChainItem.objects.filter(chain=chain_id).values_list("pk", "stock_id", "stock_store_id")
    rows = list(items)
    sums = StockBucket.objects.filter(item__in={row[1] for row in rows}).values_list("item", "store")
    left = {(item, store): count for item, store, count in sums.annotate(left=Sum("left_count"))}
    return {pk: left.get((item, store), 0) for pk, item, store in rows}


# --- who --------------------------------------------------------------------------------------------------------------


def _require_on(chain: ChainOrder, now: dt.datetime) -> None:
    if chain.status == ChainOrder.Status.CLOSED or now >= chain.closes_at:
        raise ChainRefused(_("This chain order is closed; ask the leader."), code="chain_closed")
    if now < chain.opens_at:
        at = chain.opens_at.astimezone(touches.SHANGHAI)
        raise ChainRefused(_("This chain order opens at %(at)s.") % {"at": f"{at:%m-%d %H:%M}"}, code="chain_not_yet")


def _require_wishes(wishes: Sequence[Wish]) -> None:
    if not wishes:
        raise ChainRefused(_("Choose at least one item."), code="chain_nothing", extra={"fields": {"items": _("Choose at least one item.")}})  # fmt: skip
    if len({wish.item_id for wish in wishes}) != len(wishes) or any(not 0 <= wish.quantity <= 999 for wish in wishes):
        raise ChainRefused(_("Name each item once, with 0 to 999 of it."), code="chain_wishes")


def _require_unchanged(wishes: Sequence[Wish], lines: Mapping[int, ChainLine], items: Mapping[int, ChainItem]) -> None:
    for wish in wishes:
        stands = lines[wish.item_id].quantity if wish.item_id in lines else 0
        if wish.was is not None and wish.was != stands:
            raise ChainRefused(
                _("“%(item)s” was changed to %(count)s in the meantime; look at it again.") % {"item": items[wish.item_id].label, "count": stands},
                code="chain_changed_since", extra={"item": wish.item_id, "stands": stands},
            )  # fmt: skip


def _person(chain: ChainOrder, who: Who, now: dt.datetime, *, may_be_new: bool) -> ChainPerson:
    people = ChainPerson.objects.filter(chain=chain)
    if who.person_id is not None:
        found = people.filter(pk=who.person_id).first()
        if found is None:
            raise ChainRefused(_("Nobody of this chain order is meant."), code="chain_person_unknown")
        return found
    name = who.name.strip()[:NAME_LENGTH]
    number = crypto.normalise_mobile(who.mobile) if who.mobile.strip() else None
    fields = {}
    if not name:
        fields["name"] = _("Say who it is.")
    if who.mobile.strip() and number is None:
        fields["mobile"] = _("This is no mobile number.")
    if not (who.is_trusted or who.external_userid or number) and "mobile" not in fields:
        fields["mobile"] = _("Give a mobile number, so that your goods are kept for you.")
    if fields:
        raise ChainRefused(next(iter(fields.values())), code="chain_person", extra={"fields": fields})
    index = crypto.mobile_index(number) if number else ""
    found = _known(people, who, name, index)
    if found is not None:
        return found
    if not may_be_new:
        raise ChainRefused(_("%(name)s is not in this chain order.") % {"name": name}, code="chain_person_unknown")
    return _new_person(chain, who, name, number, index, now)


def _known(people: Any, who: Who, name: str, index: str) -> ChainPerson | None:
    if who.external_userid:
        found = people.filter(external_userid=who.external_userid).first()
        if found is not None:
            return found
    if index:
        found = people.filter(mobile_index=index).first()
        if found is not None:
            if not who.is_trusted:
                raise ChainRefused(
                    _("This number is in the chain order already. Open your own page, or ask the leader to change it."), code="chain_joined_before"
                )  # fmt: skip
            return found
    if not who.is_trusted or who.external_userid or index:
        return None
    same = list(people.filter(name=name, picked_up_at=None)[:2])
    if len(same) > 1:
        raise ChainRefused(
            _("Two people here are called %(name)s; say which one, by number.") % {"name": name}, code="chain_two_of_a_name"
        )  # fmt: skip
    return same[0] if same else None


def _new_person(chain: ChainOrder, who: Who, name: str, number: str | None, index: str, now: dt.datetime) -> ChainPerson:  # fmt: skip
    last = ChainPerson.objects.filter(chain=chain).aggregate(last=Max("number"))["last"] or 0
    if last >= MOST_PEOPLE:
        raise ChainRefused(_("This chain order is full."), code="chain_full")
    leader: Guide = chain.leader
    is_leader = (
        who.is_leader or (who.is_trusted and name == leader.name) or (bool(index) and index == leader.mobile_index)
    )
    stay = None
    if who.external_userid and chain.group_id:
        stays = GroupStay.objects.filter(group=chain.group_id, userid=who.external_userid, left_at=None)
        stay = stays.first()
    unionid = (leader.unionid or "") if is_leader else (stay.unionid if stay else "")
    if is_leader and not index:
        taken = ChainPerson.objects.filter(chain=chain, mobile_index=leader.mobile_index or "").exists()
        index = "" if taken else (leader.mobile_index or "")
    person = ChainPerson.objects.create(
        chain=chain, number=last + 1, name=name, external_userid=who.external_userid, unionid=unionid, mobile_index=index,
        mobile_sealed=crypto.seal_mobile(number) if number else None, is_leader=is_leader, note=who.note.strip()[:NOTE_LENGTH],
        secret=secrets.token_urlsafe(16), pickup_code=_free_code(), joined_at=now,
    )  # fmt: skip
    _touch(chain, person, now)
    return person


def _free_code() -> str:
    """Eight digits that nobody else shows at a till; the unique constraint has the last word."""
    for _try in range(CODE_TRIES):
        code = f"{secrets.randbelow(10**8):08d}"
        if not ChainPerson.objects.filter(pickup_code=code).exists():
            return code
    raise RuntimeError("no verification code is free")


def _touch(chain: ChainOrder, person: ChainPerson, now: dt.datetime) -> None:
    """Her joining is the leader's touch; the leader's own is none (A7)."""
    known = visitors.Known(
        unionid=person.unionid, namespace=NAMESPACE, account=account_of(person), mobile_index=person.mobile_index
    )
    found = visitors.find_or_add(known)
    if found.member_id is not None:
        person.member_id = found.member_id
        person.save(update_fields=["member"])
    if person.is_leader:
        return
    touches.record(
        key=f"chain {chain.pk} {person.pk}", kind=touches.TouchKind.GROUP, guide_id=chain.leader_id, store_id=chain.store_id,
        member_id=found.member_id, contact_id=found.contact_id, visitor_id=found.visitor_id, share_id=chain.share_id,
        object_kind=Touch.Covers.GROUP, object_code=chain.code, at=now, expires_at=chain.closes_at,
    )  # fmt: skip


def account_of(person: ChainPerson) -> str:
    return f"p{person.pk}"


# --- lines and their stock --------------------------------------------------------------------------------------------


def _fulfil(
    chain: ChainOrder, person: ChainPerson, items: Mapping[int, ChainItem], line: ChainLine | None, wish: Wish, source: str,
    now: dt.datetime,
) -> None:  # fmt: skip
    item = items[wish.item_id]
    try:
        if line is None and wish.quantity:
            _take(person, item, wish.quantity, chain, source, now)
        elif line is not None and not wish.quantity:
            _cancel(line, now)
        elif line is not None and line.quantity != wish.quantity:
            stock.resize(reservation_id=line.reservation_id, quantity=wish.quantity)
            line.quantity, line.changed_at = wish.quantity, now
            line.save(update_fields=["quantity", "changed_at"])
    except stock.StockRefused as error:
        raise _refused(chain, item, items, wish.quantity, line.quantity if line else 0, error) from error


def _take(person: ChainPerson, item: ChainItem, quantity: int, chain: ChainOrder, source: str, now: dt.datetime) -> None:  # fmt: skip
    before = ChainLine.objects.filter(person=person, item=item).count()
    wanted = stock.Wanted(
        item.stock_id, item.stock_store_id, f"chain person {person.pk}", quantity, member_id=person.member_id, unit_fen=item.unit_fen,
        guide_id=chain.leader_id, share_id=chain.share_id,
    )  # fmt: skip
    claimed = stock.claim(wanted=wanted, key=f"chain line {person.pk} {item.pk} {before}")
    ChainLine.objects.create(
        person=person, item=item, quantity=quantity, source=source, reservation=claimed.reservation, created_at=now
    )


def _cancel(line: ChainLine, now: dt.datetime) -> None:
    stock.release(reservation_id=line.reservation_id, now=now)
    line.status, line.ended_at = Status.CANCELLED, now
    line.save(update_fields=["status", "ended_at"])


def _refused(
    chain: ChainOrder, item: ChainItem, items: Mapping[int, ChainItem], wanted: int, has: int, error: stock.StockRefused
) -> ChainRefused:
    """What is left of it, and what else there is."""
    left = left_by_item(chain.pk)
    others = [f"{one.label} {left[pk]}{one.unit}" for pk, one in items.items() if pk != item.pk and left.get(pk, 0) > 0]
    rest = _("Still there: %(others)s.") % {"others": "、".join(others[:8])} if others else _("Nothing else is left.")
    here = left.get(item.pk, 0)
    if isinstance(error, stock.StockShort):
        text = (
            _("Of “%(item)s” only %(left)s are left, and %(wanted)s were asked for.") % {"item": item.label, "left": here + has, "wanted": wanted}
            if here + has
            else _("“%(item)s” is sold out.") % {"item": item.label}
        )  # fmt: skip
        message = f"{text}{rest}"
    else:
        message = f"{item.label}：{error.message}"
    return ChainRefused(message, code=error.code, extra={"item": item.pk, "left": left, "fields": {"items": message}})
