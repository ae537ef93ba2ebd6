"""The rule (规则) as the decision of one line needs it, with everything inherited already resolved.

``layers`` say how it comes about. The digest names the version it was resolved from; a rule made by hand has that of its
own content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from attribution.commissions import BP, Base
from attribution.rules.digests import sha256
from guides import touches


class Mode(StrEnum):
    SERVICE_FIRST = "SERVICE_FIRST"
    SHARE_FIRST = "SHARE_FIRST"
    POS_FIRST = "POS_FIRST"
    SPLIT = "SPLIT"


@dataclass(frozen=True, slots=True)
class Rule:
    """The defaults are the rule of a fresh database. ``entity_shares`` differ from ``entity_share_bp`` for the companies
    they name."""

    code: str = "DEFAULT"
    version: int = 1
    mode: Mode = Mode.SERVICE_FIRST
    rate_bp: int = 500
    seller_bp: int = 7_000
    service_bp: int = 3_000
    windows: touches.Windows = touches.DEFAULT_WINDOWS
    late_link: timedelta = timedelta(days=15)
    base: Base = Base.NET
    cap_fen: int | None = None  # per line; None: no cap
    vest_days: int = 15
    budget: str = "brand"  # whose money the commission is
    home_pool_bp: int = 0  # 0: no home-store pool; the rest goes to HQ's
    gap_pool_bp: int = 0  # 0: no gap rule; the rest goes to the successor
    ip_bp: int = 4_000
    entity_share_bp: int = 0
    entity_shares: Mapping[str, int] = field(default_factory=dict)
    is_self_purchase_paid: bool = False
    fulfil_fee_bp: int = 0  # of the store that hands over or ships for another one
    fulfil_store_bp: int = 10_000  # of the fee; the rest goes to the clerk
    fulfil_budget: str = "ecom"
    fulfil_keeps: bool = True  # the work is done: a refund leaves the fee
    digest: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "mode", Mode(self.mode))
        object.__setattr__(self, "base", Base(self.base))
        if self.seller_bp + self.service_bp != BP:
            raise ValueError("the weights of seller and service must sum to 10,000 bp")
        parts = (
            self.rate_bp, self.seller_bp, self.service_bp, self.home_pool_bp, self.gap_pool_bp, self.ip_bp,
            self.entity_share_bp, self.fulfil_fee_bp, self.fulfil_store_bp, *self.entity_shares.values(),
        )  # fmt: skip
        if any(not 0 <= bp <= BP for bp in parts):
            raise ValueError("rates and weights lie between 0 and 10,000 bp")
        if not self.digest:
            content = [[f.name, _plain(getattr(self, f.name))] for f in fields(self) if f.name != "digest"]
            object.__setattr__(self, "digest", sha256(content))

    def entity_share_of(self, entity: str) -> int:
        """In bp: what the winner's company has of an order that HQ's shop took."""
        return self.entity_shares.get(entity, self.entity_share_bp)


def is_linked_too_late(paid_at: datetime, linked_at: datetime | None, rule: Rule) -> bool:
    """Whether an identity found after a first decision without a member comes after the late-link window."""
    return linked_at is not None and linked_at >= paid_at + rule.late_link


def _plain(value: Any) -> Any:
    """A rule's field as JSON values."""
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, touches.Windows):
        return [_plain(value.share), _plain(value.live)]
    if isinstance(value, Mapping):
        return sorted([name, bp] for name, bp in value.items())
    return value
