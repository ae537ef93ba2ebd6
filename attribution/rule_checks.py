"""What a version may not say (规则检查): each problem in one sentence that names the field and the layers that clash.

1. Weights of seller and service sum to 100 %, in the version and in every layer; parts and rates lie between 0 and 100 %.
2. There is a rate for everything, and of two layers of one scope only one says a field: the table of rates counts as layers.
3. Monthly steps rise and the last one is without end.
4. A product that has no category, or a store of another company, beside one in the same scope fits no order.
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from attribution.models import RuleLayer, RuleVersion

BP = 10_000
PARTS_OF_WHOLE = (
    "seller_bp", "service_bp", "gap_pool_bp", "home_pool_bp", "entity_share_bp", "fulfil_fee_bp", "fulfil_store_bp", "ip_bp",
    "netting_cap_bp", "rate_bp",
)  # fmt: skip


def problems(row: RuleVersion) -> list[str]:
    """Every problem, the gravest first; empty: it may be published."""
    found = _wrong_numbers(row, _("the brand's layer"))
    for layer in row.layers.all():
        found += _wrong_numbers(layer, scope_text(layer)) + _impossible_scope(layer)
    if not any(rate.channel is None and rate.category_id is None for rate in row.rates.all()):
        found.append(_("The version needs a rate for every channel and category together."))
    return found + _said_twice(row) + _wrong_steps(row)


def scope_text(layer: RuleLayer) -> str:
    """The scope in words: "渠道 TMALL · 品类 水果"."""
    parts = []
    for name in ("campaign", "product", "category", "channel", "store", "entity"):
        value = getattr(layer, name)
        if value:
            parts.append(f"{RuleLayer._meta.get_field(name).verbose_name} {value}")  # type: ignore[union-attr]
    return " · ".join(parts) or _("no scope")


def label_of(name: str) -> str:
    """A field's name as the form shows it."""
    return str(RuleLayer._meta.get_field(name).verbose_name)  # type: ignore[union-attr]


def _wrong_numbers(row: Any, where: str) -> list[str]:
    found = []
    if (row.seller_bp is None) != (row.service_bp is None):
        found.append(_("%(where)s: both weights are given, or none.") % {"where": where})
    elif row.seller_bp is not None and row.seller_bp + row.service_bp != BP:
        found.append(
            _("%(where)s: the weights of seller and service sum to %(sum)s %%, not to 100 %%.")
            % {"where": where, "sum": _percent(row.seller_bp + row.service_bp)}
        )
    for name in PARTS_OF_WHOLE:
        value = getattr(row, name, None)
        if value is not None and not 0 <= value <= BP:
            label = str(row._meta.get_field(name).verbose_name)
            found.append(_("%(where)s: %(field)s lies outside 0–100 %%.") % {"where": where, "field": label})
    return found


def _impossible_scope(layer: RuleLayer) -> list[str]:
    found = []
    product, category, store, entity = layer.product, layer.category, layer.store, layer.entity
    if product and category and product.category_id != category.pk:
        found.append(
            _("%(where)s: the product does not belong to the category, no order fits.") % {"where": scope_text(layer)}
        )
    if store and entity and store.entity_id != entity.pk:
        found.append(
            _("%(where)s: the store does not belong to the company, no order fits.") % {"where": scope_text(layer)}
        )
    return found


def _said_twice(row: RuleVersion) -> list[str]:
    """The same field for the same scope by the table of rates and by a layer."""
    rates = {(rate.category_id, rate.channel): rate.rate_bp for rate in row.rates.all()}
    found = []
    for layer in row.layers.all():
        is_plain = not (layer.campaign or layer.product_id or layer.store_id or layer.entity_id)
        other = rates.get((layer.category_id, layer.channel))
        if is_plain and layer.rate_bp is not None and other is not None:
            found.append(
                _("%(field)s is said twice for %(where)s: %(one)s %% by the layer, %(other)s %% by the table of rates.")
                % {
                    "field": label_of("rate_bp"), "where": scope_text(layer), "one": _percent(layer.rate_bp),
                    "other": _percent(other),
                }
            )  # fmt: skip
    return found


def _wrong_steps(row: RuleVersion) -> list[str]:
    bounds = [tier.upto_fen for tier in row.tiers.all()]
    if bounds and None not in bounds:
        return [_("The last monthly step has to be without end: leave its bound empty.")]
    return []


def _percent(bp: int) -> str:
    return f"{bp // 100}.{bp % 100:02d}".rstrip("0").rstrip(".")
