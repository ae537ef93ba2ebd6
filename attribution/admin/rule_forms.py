"""The form of a rule version: rates in percent and amounts in yuan, a sentence beside every field, layers and steps below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import StackedInline, TabularInline

from attribution import rule_checks, rule_texts, rulebook, rules
from attribution.models import RuleBudget, RuleLayer, RuleRate, RuleTier, RuleVersion
from members import queries as member_queries
from scrm import org
from scrm.admin import inputs, lists
from scrm.org import Right

HELP = {
    "mode": gettext_lazy("Who comes first when several guides have a claim."),
    "seller_bp": gettext_lazy("Only where seller and service share; both together make 100 %."),
    "service_bp": gettext_lazy("Only where seller and service share; both together make 100 %."),
    "share_window_hours": gettext_lazy(
        "For so long after it was opened a shared link counts; 168 hours are seven days."
    ),
    "live_window_hours": gettext_lazy("For so long a visit to a live room counts."),
    "late_link_days": gettext_lazy("A buyer who is recognised later than this changes nothing any more."),
    "binding_validity_days": gettext_lazy("Counted from the last purchase or service; empty: for ever."),
    "snatch": gettext_lazy("Whether another guide may take a bound member over."),
    "protected_days": gettext_lazy("For so long nobody may; counted from the start of the binding."),
    "home_pool_bp": gettext_lazy(
        "When no guide has a claim, the home store's pool has this part and HQ the rest; 0: HQ has it all."
    ),
    "gap_pool_bp": gettext_lazy(
        "Between a guide's exit and the handover the store's pool has this part, the planned successor the rest; 0: HQ has it."
    ),
    "ip_bp": gettext_lazy("Of a member bound to a brand account; the rest is her home store's."),
    "is_self_purchase_paid": gettext_lazy("If not, a guide's own purchase falls to the next claim."),
    "rate_bp": gettext_lazy("Of the base."),
    "base": gettext_lazy("What the rate is taken of; freight never counts."),
    "cap_fen": gettext_lazy("No line pays more than this."),
    "month_cap_fen": gettext_lazy("What is above is taken back when the month is settled; empty: no cap."),
    "budget": gettext_lazy("It is shown against what was spent and never changes who gets what."),
    "entity_share_bp": gettext_lazy(
        "When a franchisee's member buys in HQ's shop; the company pays its guide out of it."
    ),
    "fulfil_fee_bp": gettext_lazy("For the store that hands over or ships for another; 0: none."),
    "fulfil_store_bp": gettext_lazy("The rest is the clerk's who handed over or packed."),
    "fulfil_budget": gettext_lazy("Usually the online shop's."),
    "fulfil_keeps": gettext_lazy("The work was done: the fee stays when the goods come back."),
    "vest_days": gettext_lazy("Return window and buffer after the receipt, before the commission is due."),
    "netting_cap_bp": gettext_lazy("What a guide owes is kept from her pay up to this part; empty: no limit."),
    "settle_day": gettext_lazy("Of the following month."),
    "dispute_days": gettext_lazy("After it a statement is final."),
}
NO_PERCENT = ("（万分之）", " (bp)")


class TypedForm(forms.ModelForm):
    """Basis points are typed in percent, fen in yuan; every field has its sentence."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in list(self.fields.items()):
            label = str(field.label or "")
            for unit in NO_PERCENT:
                label = label.replace(unit, "")
            text = HELP.get(name, field.help_text)
            if name.endswith("_bp"):
                self.fields[name] = inputs.percent_field(f"{label}（%）", required=field.required, help_text=text)
            elif name.endswith("_fen"):
                self.fields[name] = inputs.yuan_field(f"{label}（元）", required=field.required, help_text=text)
            else:
                field.help_text = text


class VersionForm(TypedForm):
    class Meta:
        model = RuleVersion
        fields = rulebook.CONTENT

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        _check_weights(self, data)
        return data


class LayerForm(TypedForm):
    channel = forms.ChoiceField(label=gettext_lazy("channel"), required=False)
    is_self_purchase_paid = forms.NullBooleanField(
        label=gettext_lazy("a guide's own purchase pays her"), required=False
    )
    fulfil_keeps = forms.NullBooleanField(label=gettext_lazy("fulfilment fee stays after a refund"), required=False)

    class Meta:
        model = RuleLayer
        fields = (*rule_texts.SCOPE, *rules.FIELDS, "is_uncapped")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["channel"].choices = [("", _("every channel")), *member_queries.channel_names().items()]  # type: ignore[attr-defined]
        inherited = _inherited(self.instance)
        for name, field in self.fields.items():
            if name in rule_texts.LABELLED:
                field.required = False
                field.widget.attrs["placeholder"] = inherited.get(name, _("inherits"))
        lists.styled(self)

    def clean_channel(self) -> str | None:
        return self.cleaned_data["channel"] or None

    def clean_campaign(self) -> str | None:
        return self.cleaned_data["campaign"] or None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for name in ("mode", "base", "budget", "fulfil_budget"):
            data[name] = data.get(name) or None
        if not any(data.get(name) for name in rule_texts.SCOPE):
            said = _("Say for what the layer holds: a campaign, product, category, channel, store or company.")
            self.add_error("campaign", said)
        if data.get("is_uncapped") and data.get("cap_fen") is not None:
            self.add_error("cap_fen", _("Either a cap or no cap, not both."))
        _check_weights(self, data)
        return data


def _check_weights(form: forms.ModelForm, data: Mapping[str, Any]) -> None:
    seller, service = data.get("seller_bp"), data.get("service_bp")
    if (seller is None) != (service is None):
        form.add_error("service_bp", _("Both weights are given, or none."))
    elif seller is not None and service is not None and seller + service != rule_checks.BP:
        said = _("Seller and service together make %(sum)s %%, not 100 %%.") % {"sum": (seller + service) / 100}
        form.add_error("seller_bp", said)


def _inherited(layer: RuleLayer) -> dict[str, str]:
    """What each field of a layer that stands would be if it were left empty."""
    return rule_texts.inherited(layer) if layer.pk else {}


class LayerFormSet(forms.BaseInlineFormSet):
    def clean(self) -> None:
        """Two layers for the same orders contradict each other."""
        super().clean()
        seen: dict[tuple[Any, ...], int] = {}
        for place, form in enumerate(self.forms, 1):
            data = getattr(form, "cleaned_data", None)
            if not data or data.get("DELETE") or not form.is_valid():
                continue
            scope = tuple(data.get(name) or None for name in rule_texts.SCOPE)
            if scope in seen:
                raise ValidationError(
                    _("Layer %(place)s holds for the same orders as layer %(other)s (%(scope)s): join them.")
                    % {"place": place, "other": seen[scope], "scope": rule_checks.scope_text(form.instance)}
                )
            seen[scope] = place


class RateForm(TypedForm):
    channel = forms.ChoiceField(label=gettext_lazy("channel"), required=False)

    class Meta:
        model = RuleRate
        fields = ("channel", "category", "rate_bp")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["channel"].choices = [("", _("every channel")), *member_queries.channel_names().items()]  # type: ignore[attr-defined]
        lists.styled(self)

    def clean_channel(self) -> str | None:
        return self.cleaned_data["channel"] or None


def may_edit(request: HttpRequest, rule: Any) -> bool:
    """A draft, by its author: whoever publishes it must find what the author wrote."""
    is_own = rule.status == RuleVersion.Status.DRAFT and rule.author_id == request.user.pk
    return is_own and org.may(request.user, Right.CHANGE)


class OfDraft:
    """Seen by everybody, changed in a draft by its author."""

    extra = 0
    hide_title = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and may_edit(request, obj)

    has_add_permission = has_change_permission
    has_delete_permission = has_change_permission


class RateInline(OfDraft, TabularInline):
    model = RuleRate
    form = RateForm
    autocomplete_fields = ("category",)
    verbose_name_plural = gettext_lazy("commission rates")


class LayerInline(OfDraft, StackedInline):
    """What it leaves empty it inherits. A published version shows its layers in words instead."""

    model = RuleLayer
    form = LayerForm
    formset = LayerFormSet
    autocomplete_fields = ("product", "category", "store", "entity")
    verbose_name_plural = gettext_lazy("layers: what holds for some orders only")
    fieldsets: ClassVar[Any] = (
        (gettext_lazy("For which orders"), {"fields": (("campaign", "product", "category"), ("channel", "store", "entity"))}),
        (
            gettext_lazy("Who gets the credit"),
            {
                "fields": (
                    ("mode", "share_window_hours", "live_window_hours"), ("seller_bp", "service_bp", "is_self_purchase_paid"),
                    ("home_pool_bp", "gap_pool_bp", "ip_bp"),
                )
            },
        ),
        (
            gettext_lazy("What is paid"),
            {
                "fields": (
                    ("rate_bp", "base", "vest_days"), ("cap_fen", "is_uncapped", "budget"),
                    ("entity_share_bp", "fulfil_fee_bp", "fulfil_store_bp"), ("fulfil_budget", "fulfil_keeps"),
                )
            },
        ),
    )  # fmt: skip

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj)


class TierInline(OfDraft, TabularInline):
    model = RuleTier
    form = TypedForm
    fields = ("upto_fen", "rate_bp")
    verbose_name_plural = gettext_lazy("monthly steps of a guide (each rate for its own slice)")


class BudgetInline(OfDraft, TabularInline):
    model = RuleBudget
    form = TypedForm
    fields = ("budget", "month_fen")
    verbose_name_plural = gettext_lazy("monthly budgets")
