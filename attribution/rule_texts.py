"""A rule version in words (规则说明): what holds for an order and where it comes from, and what a draft changes.

1. What a layer leaves empty is shown as inherited with the layer it comes from; an explicit 0 is shown as such.
2. A draft is compared with the version in force when it would begin.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from django.db.models import Q, Sum, prefetch_related_objects
from django.utils.translation import gettext as _

from attribution import rule_checks, rulebook, rules
from attribution.models import Account, Entry, RuleLayer, RuleVersion
from attribution.rules.layers import BRAND
from scrm.money import yuan

SCOPE = ("campaign", "product", "category", "channel", "store", "entity")
LABELLED = frozenset(rules.FIELDS)
UNITS = ("（万分之）", " (bp)")


class Held(NamedTuple):
    """One field of the resolved rule, as a person reads it."""

    label: str
    text: str
    source: str


class Difference(NamedTuple):
    where: str
    label: str
    before: str
    after: str


class Spent(NamedTuple):
    budget: str
    month_fen: int
    spent_fen: int

    @property
    def percent(self) -> int:
        return 100 * self.spent_fen // self.month_fen if self.month_fen else 0

    @property
    def is_over(self) -> bool:
        return self.spent_fen > self.month_fen


def label_of(name: str) -> str:
    label = rule_checks.label_of(name)
    for unit in UNITS:
        label = label.replace(unit, "")
    return label


def shown(name: str, value: Any) -> str:
    """A value in words; 0 says that it is meant."""
    if value is None:
        return _("no cap") if name.endswith("cap_fen") else _("not given")
    if name == "cap_fen" and value == rules.NO_CAP:
        return _("no cap")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if value == 0:
        return _("0 (explicitly zero)")
    if name.endswith("_bp"):
        return f"{value // 100}.{value % 100:02d}".rstrip("0").rstrip(".") + " %"
    if name.endswith("_fen"):
        return f"{yuan(value)} 元"
    choices = dict(RuleVersion._meta.get_field(name).flatchoices)  # type: ignore[union-attr]
    return str(choices.get(value, value))


def shown_of_version(row: RuleVersion, name: str) -> str:
    value = getattr(row, name)
    if name == "binding_validity_days" and value is None:
        return _("for ever")
    if name == "netting_cap_bp" and value is None:
        return _("no cap")
    return shown(name, value)


def scope_words(scope: rules.Scope) -> str:
    parts = [
        f"{RuleLayer._meta.get_field(name).verbose_name} {value}"  # type: ignore[union-attr]
        for name, value in zip(SCOPE, scope, strict=True)
        if value is not None
    ]
    return " · ".join(parts) or _("brand")


def resolved(row: RuleVersion, line: rules.OrderFacts) -> list[Held]:
    """What holds for such an order, field by field."""
    prefetch_related_objects([row], *rulebook.PARTS)
    found = rulebook.version_of(row).layers.values_for(line)
    held = []
    for name in rules.FIELDS:
        value, scope = found[name]
        source = scope_words(scope) if scope is not None else _("default")
        text = shown(name, value)
        if scope == BRAND:
            text = _("inherited: %(value)s (%(source)s)") % {"value": text, "source": source}
        held.append(Held(label_of(name), text, source))
    return held


def inherited(layer: RuleLayer) -> dict[str, str]:
    """By field: what would hold for the orders of the layer if it left the field empty."""
    scope = rulebook.scope_of(layer)
    others = rules.Layers(
        [one for one in rulebook.layers_of(layer.rule) if one.scope != scope], code="", version=0, digest="-",
        late_link=dt.timedelta(0),
    )  # fmt: skip
    found = {}
    for name in rules.FIELDS:
        value = others.value_at(name, scope)
        source = scope_words(value.scope) if value.scope is not None else _("default")
        found[name] = _("inherited: %(value)s (%(source)s)") % {"value": shown(name, value.value), "source": source}
    return found


def in_force(row: RuleVersion, now: dt.datetime) -> RuleVersion | None:
    """The published version that a draft would take the place of."""
    at = max(row.effective_from or now, now)
    published = RuleVersion.objects.filter(brand=row.brand_id, status=RuleVersion.Status.PUBLISHED)
    covering = published.filter(
        Q(effective_from=None) | Q(effective_from__lte=at), Q(effective_until=None) | Q(effective_until__gt=at)
    )
    return covering.prefetch_related(*rulebook.PARTS).order_by("-number").first()


def comparison(before: RuleVersion, after: RuleVersion) -> list[Difference]:
    """Every field that is not the same in both, the brand's first, then layer by layer, steps and budgets."""
    found = []
    for name in rulebook.CONTENT:
        if name in ("name", *rules.FIELDS):
            continue
        if getattr(before, name) != getattr(after, name):
            words = [shown_of_version(row, name) for row in (before, after)]
            found.append(Difference(_("brand"), version_label(name), *words))
    was, now = _said(before), _said(after)
    for scope in sorted(was.keys() | now.keys(), key=str):
        for name in rules.FIELDS:
            one, other = was.get(scope, {}).get(name), now.get(scope, {}).get(name)
            found += _changed(scope_words(scope), label_of(name), name, one, other, is_layer=scope != BRAND)
    for title, one, other in (
        (_("monthly steps"), _steps(before), _steps(after)),
        (_("monthly budgets"), _budgets(before), _budgets(after)),
    ):
        if one != other:
            found.append(Difference(_("brand"), title, one or _("none"), other or _("none")))
    return found


def layers_in_words(row: RuleVersion) -> list[tuple[str, str]]:
    """Each layer with what it says: "渠道 TMALL", "佣金率 3 %；……"."""
    found = _said(row)
    layers = [(scope, found[scope]) for scope in sorted(found, key=str) if scope != BRAND and found[scope]]
    return [
        (scope_words(scope), "；".join(f"{label_of(n)} {shown(n, v)}" for n, v in said.items()))
        for scope, said in layers
    ]


def spending(row: RuleVersion, today: dt.date) -> list[Spent]:
    """What this month has cost each budget that the version limits: posted so far, whatever version it was posted under."""
    first = today.replace(day=1)
    spent = []
    for budget in row.budgets.all():
        account = Account.objects.filter(code=f"X:budget:{budget.budget}")
        entries = Entry.objects.filter(account__in=account, posted_on__gte=first, posted_on__lte=today)
        total = entries.aggregate(fen=Sum("amount_fen"))["fen"] or 0
        spent.append(Spent(str(budget.get_budget_display()), budget.month_fen, -int(total)))
    return spent


def _said(row: RuleVersion) -> dict[rules.Scope, dict[str, Any]]:
    found: dict[rules.Scope, dict[str, Any]] = {}
    for layer in rulebook.layers_of(row):
        values = {name: value for name, value in layer.values.items() if value is not None}
        found.setdefault(layer.scope, {}).update(values)
    return found


def _changed(where: str, label: str, name: str, before: Any, after: Any, *, is_layer: bool = False) -> list[Difference]:
    if before == after:
        return []
    words = [_("inherits") if is_layer and value is None else shown(name, value) for value in (before, after)]
    return [Difference(where, label, *words)]


def version_label(name: str) -> str:
    label = str(RuleVersion._meta.get_field(name).verbose_name)  # type: ignore[union-attr]
    for unit in UNITS:
        label = label.replace(unit, "")
    return label


def _steps(row: RuleVersion) -> str:
    steps = rulebook.version_of(row).tiers
    return "；".join(
        _("up to %(upto)s: %(rate)s") % {"upto": yuan(upto) if upto is not None else "∞", "rate": shown("rate_bp", bp)}
        for upto, bp in steps
    )


def _budgets(row: RuleVersion) -> str:
    return "；".join(f"{b.get_budget_display()} {yuan(b.month_fen)}" for b in row.budgets.order_by("budget"))
