"""Publishing a chain order with its items and stock, and closing it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from campaigns import content_files
from campaigns.communities import stock_levels
from campaigns.communities.chain_orders.refusals import ChainRefused
from campaigns.models import ChainItem, ChainOrder, ContentFile, Group, StockBucket, StockItem
from guides import bindings, shares
from guides.models import Guide, Share, Touch
from members.models import Product
from scrm import audit, db
from scrm.models import Store

MOST_ITEMS = 60
MOST_EACH = 9_999
MOST_FEN = 10**9
LONGEST = shares.LONGEST


@dataclass(frozen=True, slots=True)
class DraftItem:
    """``stock``: the stock item that another chain sells already, and of which store (None: of the company)."""

    name: str
    unit_fen: int
    count: int = 0
    unit: str = "个"
    aliases: tuple[str, ...] = ()
    piece_no: int | None = None
    weight_grams: int | None = None
    product: Product | None = None
    photo: ContentFile | None = None
    stock: StockItem | None = None
    stock_store: Store | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What a leader is about to publish."""

    title: str
    leader: Guide
    pickup_store: Store
    pickup_from: dt.datetime
    pickup_until: dt.datetime
    opens_at: dt.datetime
    closes_at: dt.datetime
    items: Sequence[DraftItem]
    group: Group | None = None
    note: str = ""
    pickup_place: str = ""


# --- pure rules -------------------------------------------------------------------------------------------------------


def faults(draft: Draft, now: dt.datetime) -> dict[str, str]:
    """What is wrong with it, by field; ``items`` speaks of the items together, ``items.2`` of the third one."""
    found: dict[str, str] = {}
    if not draft.title.strip():
        found["title"] = _("Give it a title.")
    if draft.closes_at <= max(draft.opens_at, now):
        found["closes_at"] = _("It closes after it opens, and in the future.")
    elif draft.closes_at > now + LONGEST:
        found["closes_at"] = _("What is shared closes in the future, within 90 days.")
    if draft.pickup_until <= draft.pickup_from:
        found["pickup_until"] = _("Pick-up ends after it begins.")
    if draft.pickup_until <= draft.opens_at:
        found["pickup_until"] = _("Pick-up ends after the chain opens.")
    if not draft.items:
        found["items"] = _("Offer at least one item.")
    elif len(draft.items) > MOST_ITEMS:
        found["items"] = _("At most %(most)s items.") % {"most": MOST_ITEMS}
    names: set[tuple[str, int | None]] = set()
    for place, item in enumerate(draft.items):
        wrong = _item_fault(item, names)
        if wrong:
            found[f"items.{place}"] = wrong
        names.add((item.name.strip(), item.piece_no))
    return found


def _item_fault(item: DraftItem, names: set[tuple[str, int | None]]) -> str:
    if not item.name.strip():
        return _("Give the item a name.")
    if (item.name.strip(), item.piece_no) in names or (
        item.piece_no is not None and (item.name.strip(), None) in names
    ):
        return _("Two items have this name; give each single piece a number of its own.")
    if not 1 <= item.unit_fen <= MOST_FEN:
        return _("Give it a price of at least 0.01.")
    if item.piece_no is not None and not item.weight_grams:
        return _("A single piece has its own weight.")
    if item.piece_no is not None and item.stock is None and item.count != 1:
        return _("A single piece has a stock of one.")
    if item.stock is None and not 1 <= item.count <= MOST_EACH:
        return _("Say how many there are, 1 to %(most)s.") % {"most": MOST_EACH}
    return ""


# --- operations -------------------------------------------------------------------------------------------------------


@transaction.atomic
def publish(*, draft: Draft, key: str, actor: Any, now: dt.datetime) -> ChainOrder:
    """Raises ChainRefused (``extra.fields``), shares.NotSharable. The same key again: the first chain."""
    db.take_turns([f"chain {key}"])
    found = ChainOrder.objects.filter(key=key).first()
    if found is not None:
        return found
    wrong = faults(draft, now)
    store_id = bindings.store_id_at(draft.leader.pk, now)
    if store_id is None:
        wrong["leader"] = _("The leader does not work in any store now.")
    if draft.group is not None and (draft.group.dissolved_at or draft.group.store_id != store_id):
        wrong["group"] = _("Choose a living group of the leader's store.")
    if wrong or store_id is None:
        raise ChainRefused(next(iter(wrong.values())), code="chain_draft", extra={"fields": wrong})
    chain = ChainOrder.objects.create(
        title=draft.title.strip(), note=draft.note.strip(), leader=draft.leader, group=draft.group, store_id=store_id,
        pickup_store=draft.pickup_store, pickup_place=draft.pickup_place.strip(), pickup_from=draft.pickup_from,
        pickup_until=draft.pickup_until, opens_at=draft.opens_at, closes_at=draft.closes_at, created_by=actor, created_at=now, key=key,
    )  # fmt: skip
    chain.share, _token = shares.share(
        guide_id=draft.leader.pk, kind=Share.Kind.GROUP, now=now, object_kind=Touch.Covers.GROUP, object_code=chain.code,
        closes_at=draft.closes_at,
    )  # fmt: skip
    chain.save(update_fields=["share"])
    for number, item in enumerate(draft.items, start=1):
        _offer(chain, number, item, actor)
    audit.record(actor=actor, verb="chain.publish", target=chain, items=len(draft.items))
    return chain


@transaction.atomic
def close(*, chain_id: int, actor: Any, now: dt.datetime) -> bool:
    """Nobody joins any more; False when it was closed before. Waits for those who are joining."""
    (chain,) = db.lock(ChainOrder.objects.filter(pk=chain_id))
    if chain.status == ChainOrder.Status.CLOSED:
        return False
    chain.status, chain.closed_at = ChainOrder.Status.CLOSED, now
    chain.save(update_fields=["status", "closed_at"])
    audit.record(actor=actor, verb="chain.close", target=chain)
    return True


def _offer(chain: ChainOrder, number: int, item: DraftItem, actor: Any) -> None:
    kept, store = item.stock, item.stock_store
    if kept is None:
        kept, store = StockItem.objects.create(name=item.name.strip(), product=item.product), chain.store
        stock_levels.change(
            item_id=kept.pk, store_id=store.pk, count=item.count, key=f"chain {chain.pk} {number}",
            reason=_("chain order “%(title)s”") % {"title": chain.title}, actor=actor,
        )  # fmt: skip
    elif not StockBucket.objects.filter(item=kept, store=store).exists():
        wrong = _("There is no such stock in this store.")
        raise ChainRefused(wrong, code="chain_draft", extra={"fields": {f"items.{number - 1}": wrong}})
    ChainItem.objects.create(
        chain=chain, number=number, name=item.name.strip(), aliases=list(item.aliases), unit=item.unit.strip() or "个",
        unit_fen=item.unit_fen, product=item.product or kept.product, piece_no=item.piece_no, weight_grams=item.weight_grams,
        photo=content_files.keep(item.photo) if item.photo else None, stock=kept, stock_store=store,
    )  # fmt: skip
