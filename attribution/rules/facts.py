"""What a decision is taken on: the snapshot of a line and the facts as of payment. Shapes only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from guides import touches

HQ_ENTITY = "HQ"
NO_KEYS: frozenset[str] = frozenset()


class OrderFacts(NamedTuple):
    """The snapshot of one line. Times are aware; money is fen; `paid_fen` includes `points_fen` and no freight."""

    channel: str
    shop: str
    order_no: str
    line_no: str
    version: datetime
    paid_at: datetime
    paid_fen: int
    created_at: datetime | None = None  # None: when it was paid
    completed_at: datetime | None = None
    sku: str = ""
    category: str | None = None
    quantity: int | Decimal = 1
    list_fen: int | None = None
    discounts: tuple[tuple[str, int], ...] = ()  # (sponsor, fen)
    points_fen: int = 0  # settled in points or gift cards
    store: str | None = None
    shop_entity: str = HQ_ENTITY  # the company whose shop took the money
    fulfil_store: str | None = None  # hands over or ships, where that is another store than the one that took the order
    fulfil_entity: str | None = None
    campaign: str | None = None
    cashier: str | None = None  # guide code on the ticket, as written
    live_no: str | None = None
    group_no: str | None = None
    buyer_keys: frozenset[str] = NO_KEYS
    risk_mark: str = ""
    is_test: bool = False
    is_gift_card: bool = False
    is_wholesale: bool = False
    is_staff_price: bool = False
    is_voided: bool = False
    is_group_failed: bool = False  # a group buy (拼团) that did not come about


@dataclass(frozen=True, slots=True)
class GuideFact:
    """A guide as she was at payment. `keys` are her person's identities (mobile index, unionid, staff id)."""

    code: str
    store: str | None
    is_employed: bool = True
    entity: str = HQ_ENTITY
    keys: frozenset[str] = NO_KEYS


@dataclass(frozen=True, slots=True)
class OverrideFact:
    id: int
    guide: GuideFact
    requested_by: str
    approved_by: str | None = None


class BindingFact(NamedTuple):
    """The binding whose interval covers payment: to a guide or to a brand IP, with the store it names."""

    id: int
    store: str | None
    started_at: datetime
    ended_at: datetime | None = None
    guide: GuideFact | None = None
    ip: str | None = None
    valid_until: datetime | None = None  # None: for ever
    delegate: GuideFact | None = None  # only while the guide is on leave
    delegate_bp: int = 5_000
    is_transfer_pending: bool = False
    successor: GuideFact | None = None


class Evidence(NamedTuple):
    """The facts as of payment. `linked_at` is set only when the line was first decided without a member."""

    member: int | str | None = None
    linked_at: datetime | None = None
    buyer_keys: frozenset[str] = NO_KEYS
    override: OverrideFact | None = None
    cashier: GuideFact | None = None
    touches: tuple[tuple[touches.Touch, GuideFact], ...] = ()
    binding: BindingFact | None = None
    home_store: str | None = None
    clerk: GuideFact | None = None  # who handed over or packed


def binding_as_of(bindings: Sequence[BindingFact], paid_at: datetime) -> BindingFact | None:
    """The binding whose half-open interval covers payment; whatever began or ended later does not count."""
    for binding in bindings:
        if binding.started_at <= paid_at and (binding.ended_at is None or paid_at < binding.ended_at):
            return binding
    return None
