"""The rule version (规则版本) as the decision needs it, with everything inherited already resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """A resolved rule version; the defaults are the rule of a fresh database. The digest covers every other field."""

    code: str = "DEFAULT"
    version: int = 1
    mode: Mode = Mode.SERVICE_FIRST
    rates: Mapping[tuple[str | None, str | None], int | None] = field(default_factory=lambda: {(None, None): 500})
    seller_bp: int = 7_000
    service_bp: int = 3_000
    windows: touches.Windows = touches.DEFAULT_WINDOWS
    late_link: timedelta = timedelta(days=15)
    base: Base = Base.NET
    cap_fen: int | None = None  # per line; None: no cap
    home_pool_bp: int = 0  # 0: no home-store pool; the rest goes to HQ's
    gap_pool_bp: int = 0  # 0: no gap rule; the rest goes to the successor
    ip_bp: int = 4_000
    entity_share_bp: int = 0
    is_self_purchase_paid: bool = False
    digest: str = field(init=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "mode", Mode(self.mode))
        if self.rates.get((None, None)) is None:
            raise ValueError("a rule needs a rate for everything")
        if self.seller_bp + self.service_bp != BP:
            raise ValueError("the weights of seller and service must sum to 10,000 bp")
        parts = (self.seller_bp, self.service_bp, self.home_pool_bp, self.gap_pool_bp, self.ip_bp, self.entity_share_bp)
        if any(not 0 <= bp <= BP for bp in (*parts, *(rate for rate in self.rates.values() if rate is not None))):
            raise ValueError("rates and weights lie between 0 and 10,000 bp")
        content = [[f.name, _plain(getattr(self, f.name))] for f in fields(self) if f.name != "digest"]
        object.__setattr__(self, "digest", sha256(content))


def is_linked_too_late(paid_at: datetime, linked_at: datetime | None, rule: Rule) -> bool:
    """Whether an identity found after a first decision without a member comes after the late-link window."""
    return linked_at is not None and linked_at >= paid_at + rule.late_link


def rate_for(rule: Rule, channel: str, category: str | None) -> int:
    """The most specific rate that is not NULL."""
    rates = rule.rates
    for key in ((channel, category), (None, category), (channel, None)):
        rate = rates.get(key)
        if rate is not None:
            return rate
    return rates[None, None]  # type: ignore[return-value]  # checked when the rule was made


def resolve(layers: Sequence[Mapping[str, Any]]) -> Rule:
    """A rule from layers, the most specific first: None inherits from the next layer, 0 is an explicit zero."""
    names = {f.name for f in fields(Rule) if f.init}
    values: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            if name not in names:
                raise ValueError(f"a rule has no {name}")
            if value is not None:
                values.setdefault(name, value)
    return Rule(**values)


def _plain(value: Any) -> Any:
    """A rule's field as JSON values."""
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, touches.Windows):
        return [_plain(value.share), _plain(value.live)]
    if isinstance(value, Mapping):
        return sorted([[channel or "", category or "", rate] for (channel, category), rate in value.items()], key=str)
    return value
