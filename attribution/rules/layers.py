"""Layers (规则层): what a version says for some orders only, and which of its values hold for one line.

1. A layer names a scope: any of campaign, product, category, channel, store and company. It fits a line when everything it
   names is the line's. The brand's layer names nothing and fits every line.
2. Of the layers that fit, the narrower scope holds, field by field: a campaign beats everything else, then the product, the
   category, the channel, the store, the company. None inherits from the next one, 0 is an explicit zero.
3. Store and company are those whose shop took the order. For the fulfilment fee they are the ones that hand over or ship,
   for the entity share the company is the winner's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

from attribution.rules.version import Mode, Rule
from guides import touches


class Placed(Protocol):
    """What layers look at of a line."""

    @property
    def campaign(self) -> str | None: ...
    @property
    def sku(self) -> str: ...
    @property
    def category(self) -> str | None: ...
    @property
    def channel(self) -> str: ...
    @property
    def store(self) -> str | None: ...
    @property
    def shop_entity(self) -> str: ...
    @property
    def fulfil_store(self) -> str | None: ...
    @property
    def fulfil_entity(self) -> str | None: ...


class Place(NamedTuple):
    """Just that, and what touches look at; as ``OrderFacts`` has them."""

    campaign: str | None
    sku: str
    category: str | None
    channel: str
    store: str | None
    shop_entity: str
    fulfil_store: str | None
    fulfil_entity: str | None
    live_no: str | None
    group_no: str | None


class Scope(NamedTuple):
    """From the strongest to the weakest; None: any."""

    campaign: str | None = None
    sku: str | None = None
    category: str | None = None
    channel: str | None = None
    store: str | None = None
    entity: str | None = None

    @property
    def rank(self) -> tuple[bool, ...]:
        return tuple(part is not None for part in self)

    def covers(self, other: Scope) -> bool:
        return all(mine is None or mine == its for mine, its in zip(self, other, strict=True))


class Layer(NamedTuple):
    scope: Scope
    values: Mapping[str, Any]  # by the names of FIELDS


class Value(NamedTuple):
    """A resolved field: ``scope`` is that of the layer that says it; None: nobody says it, the product's default."""

    value: Any
    scope: Scope | None


BRAND = Scope()
FULFIL = frozenset({"fulfil_fee_bp", "fulfil_store_bp", "fulfil_budget", "fulfil_keeps"})
NO_CAP = -1  # a layer that lifts the cap of a wider one
FIELDS = (
    "mode", "rate_bp", "seller_bp", "service_bp", "share_window_hours", "live_window_hours", "base", "cap_fen", "vest_days",
    "budget", "home_pool_bp", "gap_pool_bp", "ip_bp", "entity_share_bp", "is_self_purchase_paid", *sorted(FULFIL),
)  # fmt: skip


class Layers:
    """The layers of one version, and the rules they make: one per combination that they really tell apart."""

    def __init__(self, layers: Iterable[Layer], *, code: str, version: int, digest: str, late_link: timedelta) -> None:
        found = tuple(sorted(layers, key=lambda layer: layer.scope.rank, reverse=True))
        for layer in found:
            strange = set(layer.values) - set(FIELDS)
            if strange:
                raise ValueError(f"a rule has no {min(strange)}")
        self.layers = found
        self._named: dict[str, Any] = {"code": code, "version": version, "digest": digest, "late_link": late_link}
        self._told_apart = tuple(
            frozenset(layer.scope[index] for layer in found if layer.scope[index] is not None) for index in range(6)
        )
        self._is_flat = not any(self._told_apart)
        self.brand_mode = Mode(self.value_at("mode", BRAND).value or Mode.SERVICE_FIRST)
        modes = {layer.values["mode"] for layer in found if layer.values.get("mode")} | {self.brand_mode}
        self.uses_touches = modes != {Mode.POS_FIRST}
        self.has_gap_rule = any(layer.values.get("gap_pool_bp") for layer in found)
        hours = [layer.values.get(name) or 0 for layer in found for name in ("share_window_hours", "live_window_hours")]
        self.longest_window = timedelta(hours=max(hours, default=0))
        self._rules: dict[tuple[str | None, ...], Rule] = {}

    def with_mode(self, mode: Mode) -> Layers:
        """The same layers, the brand's mode being this one and no other layer saying another."""
        layers = [
            Layer(layer.scope, {name: value for name, value in layer.values.items() if name != "mode"})
            for layer in self.layers
        ]
        return Layers([*layers, Layer(BRAND, {"mode": mode})], **self._named)

    def rule_for(self, line: Placed) -> Rule:
        key = _NOTHING if self._is_flat else self._key(line)
        rule = self._rules.get(key)
        if rule is None:
            rule = self._rules[key] = self._make(key)
        return rule

    def values_for(self, line: Placed) -> dict[str, Value]:
        """Every field with the layer it comes from; the entity share is that of the line's own company."""
        return self._values(self._key(line))

    def _key(self, line: Placed) -> tuple[str | None, ...]:
        campaigns, skus, categories, channels, stores, entities = self._told_apart
        return (
            line.campaign if line.campaign in campaigns else None,
            line.sku if line.sku in skus else None,
            line.category if line.category in categories else None,
            line.channel if line.channel in channels else None,
            line.store if line.store in stores else None,
            line.shop_entity if line.shop_entity in entities else None,
            line.fulfil_store if line.fulfil_store in stores else None,
            line.fulfil_entity if line.fulfil_entity in entities else None,
        )

    def _values(self, key: tuple[str | None, ...]) -> dict[str, Value]:
        taken = Scope(*key[:6])
        handed = taken._replace(store=key[6], entity=key[7])
        return {name: self.value_at(name, handed if name in FULFIL else taken) for name in FIELDS}

    def value_at(self, name: str, where: Scope) -> Value:
        """What the layers that fit ``where`` say of a field."""
        for layer in self.layers:
            value = layer.values.get(name)
            if value is not None and layer.scope.covers(where):
                return Value(value, layer.scope)
        return Value(None, None)

    def _make(self, key: tuple[str | None, ...]) -> Rule:
        values = {name: found.value for name, found in self._values(key).items() if found.value is not None}
        windows = touches.DEFAULT_WINDOWS
        share, live = values.pop("share_window_hours", None), values.pop("live_window_hours", None)
        values["windows"] = touches.Windows(
            windows.share if share is None else timedelta(hours=share),
            windows.live if live is None else timedelta(hours=live),
        )
        if values.get("cap_fen") == NO_CAP:
            values["cap_fen"] = None
        values["entity_shares"] = self._entity_shares(Scope(*key[:6]))
        return Rule(**self._named, **values)

    def _entity_shares(self, taken: Scope) -> dict[str, int]:
        """The entity share of each company that a layer names, for whichever of them the winner belongs to."""
        shares = {}
        for entity in self._told_apart[5]:
            assert entity is not None
            found = self.value_at("entity_share_bp", taken._replace(entity=entity))
            if found.value is not None:
                shares[entity] = int(found.value)
        return shares


_NOTHING: tuple[str | None, ...] = (None,) * 8


def conflicts(layers: Sequence[Layer]) -> list[tuple[str, Scope]]:
    """Fields that two layers of the same scope both say, each with that scope: only one of them can hold."""
    seen: set[tuple[str, Scope]] = set()
    found = []
    for layer in layers:
        for name, value in layer.values.items():
            if value is None:
                continue
            if (name, layer.scope) in seen:
                found.append((name, layer.scope))
            seen.add((name, layer.scope))
    return found
