"""A sale before and while it runs: drafted, asked for, approved by somebody else, stocked, stopped."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from campaigns.communities import stock, stock_levels
from campaigns.communities.flash_sales.refusals import SaleRefused
from campaigns.models import Group, Sale, SaleGroup, SaleStock, StockItem
from members.models import Product
from scrm import audit, db
from scrm.models import Brand, Store

LONGEST = dt.timedelta(days=60)  # a share of it is opened within 90 days
MOST_STORES = 20_000
Status, Kind = Sale.Status, Sale.Kind


@dataclass(frozen=True, slots=True)
class Draft:
    """What an author writes. ``stock``: how many each store is to have."""

    kind: str
    brand: Brand
    name: str
    product: Product
    list_fen: int
    price_fen: int
    starts_at: dt.datetime
    ends_at: dt.datetime
    stock: dict[int, int]
    member_cap: int = 1
    hold_minutes: int = 15
    bucket_count: int = 1
    returns_stock: bool = True
    terms: str = ""
    team_size: int | None = None
    team_hours: int | None = None
    groups: Sequence[Group] = ()


FIELDS = (
    "kind", "brand", "name", "product", "list_fen", "price_fen", "starts_at", "ends_at", "member_cap", "hold_minutes", "bucket_count",
    "returns_stock", "terms", "team_size", "team_hours",
)  # fmt: skip


def faults(said: Draft, now: dt.datetime) -> dict[str, str]:
    """``{field: what is wrong and what to do}``"""
    found: dict[str, str] = {}
    if said.price_fen < 1 or said.price_fen > said.list_fen:
        found["price_fen"] = _("The sale price is above zero and not above the usual price.")
    if said.ends_at <= said.starts_at:
        found["ends_at"] = _("It ends before it begins; choose a later end.")
    elif said.ends_at <= now:
        found["ends_at"] = _("Its end is over; choose a later one.")
    elif said.ends_at - said.starts_at > LONGEST:
        found["ends_at"] = _("A sale runs for 60 days at most.")
    if not said.stock:
        found["stock"] = _("Say how many at least one store has.")
    elif len(said.stock) > MOST_STORES or any(not 1 <= count <= stock.MOST_STOCK for count in said.stock.values()):
        found["stock"] = _("Each store has at least one.")
    elif min(said.stock.values()) < said.bucket_count and said.bucket_count > 1:
        found["bucket_count"] = _("A store has fewer pieces than buckets; take fewer buckets.")
    is_group = said.kind == Kind.GROUP
    if is_group != bool(said.team_size):
        found["team_size"] = _("A group buy has a size of its teams, and only a group buy has.")
    if is_group != bool(said.team_hours):
        found["team_hours"] = _("A group buy has hours to fill a team, and only a group buy has.")
    return found


@transaction.atomic
def draft(*, said: Draft, actor: Any, now: dt.datetime) -> Sale:
    """A new draft of ``actor``. Raises SaleRefused with ``extra.fields``."""
    _require(said, now)
    row = Sale.objects.create(author=actor, **{name: getattr(said, name) for name in FIELDS})
    _write_parts(row, said)
    audit.record(actor=actor, verb="sale.draft", target=row)
    return row


@transaction.atomic
def edit(*, sale: Sale, said: Draft, actor: Any, now: dt.datetime) -> Sale:
    """The draft as it reads now; by its author. Raises SaleRefused."""
    row = _locked(sale, Status.DRAFT)
    if row.author_id != actor.pk:
        raise SaleRefused(_("Only its author changes a draft."), code="sale_not_yours", field="author")
    _require(said, now)
    for name in FIELDS:
        setattr(row, name, getattr(said, name))
    row.save()
    row.planned_stock.all().delete()
    row.only_groups.all().delete()
    _write_parts(row, said)
    audit.record(actor=actor, verb="sale.edit", target=row)
    return row


@transaction.atomic
def ask(*, sale: Sale, actor: Any, now: dt.datetime) -> Sale:
    """The author asks for approval; from here on nothing of it changes unless it is sent back."""
    row = _locked(sale, Status.DRAFT)
    if row.author_id != actor.pk:
        raise SaleRefused(_("Only its author changes a draft."), code="sale_not_yours", field="author")
    _require_time(row, now)
    row.status, row.asked_at = Status.ASKED, now
    row.save(update_fields=["status", "asked_at"])
    audit.record(actor=actor, verb="sale.ask", target=row)
    return row


@transaction.atomic
def send_back(*, sale: Sale, reason: str, actor: Any) -> Sale:
    """It is a draft again, with the reason in its history."""
    row = _locked(sale, Status.ASKED)
    row.status, row.asked_at = Status.DRAFT, None
    row.save(update_fields=["status", "asked_at"])
    audit.record(actor=actor, verb="sale.send_back", target=row, reason=reason)
    return row


@transaction.atomic
def approve(*, sale: Sale, actor: Any, now: dt.datetime) -> Sale:
    """Somebody else than the author agrees to price and stock: the stock is there, and it sells in its window."""
    row = _locked(sale, Status.ASKED)
    if row.author_id == actor.pk:
        raise SaleRefused(
            _("Whoever drafted it cannot approve it; ask a colleague."), code="sale_own_approval", field="author"
        )
    _require_time(row, now)
    row.stock_item = StockItem.objects.create(
        name=row.name, product=row.product, opens_at=row.starts_at, closes_at=row.ends_at, member_cap=row.member_cap,
        hold_minutes=row.hold_minutes, bucket_count=row.bucket_count,
    )  # fmt: skip
    row.status, row.approver, row.published_at = Status.PUBLISHED, actor, now
    row.save(update_fields=["status", "approver", "published_at", "stock_item"])
    for store_id, count in row.planned_stock.order_by("store").values_list("store", "planned_count"):
        stock_levels.change(
            item_id=row.stock_item.pk, store_id=store_id, count=count, key=f"sale {row.pk} {store_id}",
            reason=_("as approved"), actor=actor,
        )  # fmt: skip
    total = sum(row.planned_stock.values_list("planned_count", flat=True))
    audit.record(actor=actor, verb="sale.approve", target=row, price_fen=row.price_fen, stock_count=total)
    return row


@transaction.atomic
def change_stock(*, sale: Sale, store: Store, count: int, reason: str, key: str, actor: Any) -> None:
    """Put into or take out of the stock of a store. Raises StockShort, StockRefused, SaleRefused."""
    row = _locked(sale, Status.PUBLISHED)
    assert row.stock_item_id is not None
    if not row.planned_stock.filter(store=store).exists():
        raise SaleRefused(_("This store does not take part in the sale."), code="sale_store_unknown", field="store")
    stock_levels.change(item_id=row.stock_item_id, store_id=store.pk, count=count, key=key, reason=reason, actor=actor)
    audit.record(actor=actor, verb="sale.stock", target=row, reason=reason, store_id=store.pk, count=count)


@transaction.atomic
def stop(*, sale: Sale, reason: str, actor: Any, now: dt.datetime) -> Sale:
    """At once: nothing more is claimed. Unpaid reservations keep their minutes; teams that form fail, and are refunded."""
    reason = reason.strip()
    if not reason:
        raise SaleRefused(_("Say why the sale is stopped."), code="sale_needs_reason", field="reason")
    row = _locked(sale, Status.PUBLISHED)
    row.status, row.stopped_at, row.stopped_by, row.stop_reason = Status.STOPPED, now, actor, reason[:200]
    row.save(update_fields=["status", "stopped_at", "stopped_by", "stop_reason"])
    assert row.stock_item_id is not None
    stock_levels.stop(item_ids=[row.stock_item_id], now=now)
    audit.record(actor=actor, verb="sale.stop", target=row, reason=reason)
    return row


def _write_parts(row: Sale, said: Draft) -> None:
    SaleStock.objects.bulk_create(
        SaleStock(sale=row, store_id=store_id, planned_count=count) for store_id, count in sorted(said.stock.items())
    )
    SaleGroup.objects.bulk_create(SaleGroup(sale=row, group=group) for group in said.groups)


def _require(said: Draft, now: dt.datetime) -> None:
    wrong = faults(said, now)
    if wrong:
        raise SaleRefused(next(iter(wrong.values())), code="sale_not_complete", field=next(iter(wrong)), fields=wrong)


def _require_time(row: Sale, now: dt.datetime) -> None:
    if row.ends_at <= now:
        raise SaleRefused(
            _("Its end is over; choose a later one."), code="sale_over", field="ends_at",
        )  # fmt: skip


def _locked(sale: Sale, status: str) -> Sale:
    (row,) = db.lock(Sale.objects.filter(pk=sale.pk))
    found: Sale = row
    if found.status != status:
        raise SaleRefused(_("This is not possible in the present state."), code="sale_state", field="status")
    return found
