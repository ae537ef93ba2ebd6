"""Rule versions in the console: written as a draft by one person, published by another, then only read."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from import_export import fields
from import_export.widgets import ForeignKeyWidget
from unfold.enums import ActionVariant

from attribution import rule_checks, rule_texts, rulebook, rules
from attribution.admin.rule_forms import BudgetInline, LayerInline, RateInline, TierInline, VersionForm, may_edit
from attribution.models import RuleRate, RuleVersion
from attribution.simulation import results
from members import queries as member_queries
from members.models import Category, Product
from scrm.admin import lists
from scrm.admin.bases import ScopedAdmin, object_act
from scrm.admin.exchange import ConfigAdmin, ConfigResource
from scrm.admin.shown import BUSY, GOOD, display, link, percent, state, until
from scrm.models import Store
from scrm.org import Right


class PublishForm(forms.Form):
    effective_from = forms.SplitDateTimeField(
        label=gettext_lazy("effective from"),
        required=False,
        widget=forms.SplitDateTimeWidget(),
        help_text=gettext_lazy("Empty: from now on. The version in force ends at that moment."),
    )


class DraftForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name of the new version"), max_length=64)


class WhatHoldsForm(forms.Form):
    """An order to ask about; what is left empty is none."""

    product = forms.CharField(label=gettext_lazy("SKU"), required=False)
    channel = forms.ChoiceField(label=gettext_lazy("channel"))
    store = forms.CharField(label=gettext_lazy("store that took the order"), required=False)
    fulfil_store = forms.CharField(label=gettext_lazy("store that hands over"), required=False)
    campaign = forms.CharField(label=gettext_lazy("campaign"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["channel"].choices = list(member_queries.channel_names().items())  # type: ignore[attr-defined]

    def clean_product(self) -> Product | None:
        return self._named(Product, "sku", "product")

    def clean_store(self) -> Store | None:
        return self._named(Store, "code", "store")

    def clean_fulfil_store(self) -> Store | None:
        return self._named(Store, "code", "fulfil_store")

    def _named(self, model: type[Any], column: str, name: str) -> Any:
        value = self.cleaned_data[name].strip()
        if not value:
            return None
        found = model.objects.filter(**{column: value}).first()
        if found is None:
            raise forms.ValidationError(_("There is no such code."))
        return found


def publish_warning(rule: RuleVersion) -> SafeString:
    """What a publisher should know: that it is final, and what the last simulation has shown of what the draft says now."""
    final = _("A published version is never changed again; orders paid from then on follow it.")
    checked = results.last_of(rule)
    row = checked.simulation
    if row is None:
        return format_html(
            '{}<br><b class="scrm-neg">{}</b>',
            final,
            _("This version was never simulated: nobody has seen yet who gains and who loses by it."),
        )
    said = _("Simulated on %(at)s over %(first)s – %(last)s.") % {
        "at": until(row.finished_at), "first": row.first_day, "last": row.last_day,
    }  # fmt: skip
    since = _("The draft still says the same.") if checked.is_current else _("It was changed since: simulate it again.")
    css = "scrm-yes" if checked.is_current else "scrm-neg"
    return format_html('{}<br>{} <b class="{}">{}</b>', final, link("attribution_simulation", row.pk, said), css, since)


@object_act(
    gettext_lazy("Publish"), right=Right.CHANGE, form=PublishForm, icon="publish",
    offered=lambda rule: rule.status == RuleVersion.Status.DRAFT,
    warning=publish_warning,
)  # fmt: skip
def publish(self: Any, request: HttpRequest, rule: RuleVersion, data: dict[str, Any]) -> str:
    row = rulebook.publish(
        version_id=rule.pk, actor=request.user, now=timezone.now(), effective_from=data["effective_from"]
    )
    return _("Version %(number)s is published.") % {"number": row.number}


@object_act(gettext_lazy("Copy as a draft"), right=Right.CHANGE, form=DraftForm, icon="content_copy")
def copy(self: Any, request: HttpRequest, rule: RuleVersion, data: dict[str, Any]) -> str:
    row = rulebook.draft_from(version_id=rule.pk, name=data["name"], actor=request.user)
    return _("Draft %(number)s is ready to be edited.") % {"number": row.number}


class RateResource(ConfigResource):
    """The rates of drafts as a table; a published version refuses."""

    rule = fields.Field("rule", column_name="规则版本号", widget=ForeignKeyWidget(RuleVersion, "number"))
    channel = fields.Field("channel", column_name="渠道编码")
    category = fields.Field("category", column_name="品类编码", widget=ForeignKeyWidget(Category, "code"))
    rate_bp = fields.Field("rate_bp", column_name="佣金率（万分之）")

    class Meta(ConfigResource.Meta):
        model = RuleRate
        import_id_fields = ("rule", "channel", "category")
        fields = ("rule", "channel", "category", "rate_bp")

    def before_save_instance(self, instance: Any, row: Any, **kwargs: Any) -> None:
        instance.channel = instance.channel or None
        user = kwargs.get("user")
        if instance.rule.status != RuleVersion.Status.DRAFT or (user and instance.rule.author_id != user.pk):
            raise ValueError(_("Rates can only be imported into your own draft."))


@admin.register(RuleRate)
class RateAdmin(ConfigAdmin):
    add_right: ClassVar[Right | None] = None
    change_right: ClassVar[Right | None] = None
    resource_classes = (RateResource,)
    list_display = ("rule", "channel_text", "category_text", "rate")
    list_select_related = ("rule", "category")
    list_filter = (("rule", lists.ScopedDropdownFilter),)
    ordering = ("-rule", "channel", "category", "pk")
    fields = ("rule", "channel_text", "category_text", "rate")
    readonly_fields = fields

    @display(description=gettext_lazy("channel"))
    def channel_text(self, rate: RuleRate) -> str:
        return rate.channel or _("every channel")

    @display(description=gettext_lazy("category"))
    def category_text(self, rate: RuleRate) -> str:
        return str(rate.category) if rate.category else _("every category")

    @display(description=gettext_lazy("rate"))
    def rate(self, rate: RuleRate) -> str:
        return percent(rate.rate_bp)


def _shown_field(name: str) -> Any:
    """A field of a version nobody may edit, in words: a percentage, an explicit zero, "for ever"."""

    @display(description=rule_texts.version_label(name))
    def text(rule: RuleVersion) -> str:
        return rule_texts.shown_of_version(rule, name)

    return text


@admin.register(RuleVersion)
class RuleVersionAdmin(ScopedAdmin):
    change_right = Right.CHANGE
    form = VersionForm
    acts = (publish, copy)
    inlines = (RateInline, LayerInline, TierInline, BudgetInline)
    list_display = ("number", "name", "mode", "status_label", "from_text", "until_text", "author", "approver")
    list_display_links = ("number", "name")
    list_select_related = ("author", "approver", "brand")
    list_filter = (("status", lists.ChoicesDropdownFilter),)
    ordering = ("-number",)
    change_form_before_template = "admin/attribution/ruleversion/before.html"
    fieldsets = (
        (None, {"fields": (("number", "status_label"), ("name", "mode"), ("author", "approver"))}),
        (gettext_lazy("In force"), {"fields": (("from_text", "until_text"), "published_at", "digest")}),
        (
            gettext_lazy("Who gets the credit"),
            {
                "fields": (
                    ("share_window_hours", "live_window_hours", "late_link_days"),
                    ("binding_validity_days", "snatch", "protected_days"),
                    ("seller_bp", "service_bp"),
                    ("home_pool_bp", "gap_pool_bp", "ip_bp"),
                    "is_self_purchase_paid",
                )
            },
        ),
        (
            gettext_lazy("What is paid"),
            {"fields": (("base", "budget"), ("cap_fen", "month_cap_fen"), ("entity_share_bp", "vest_days"))},
        ),
        (
            gettext_lazy("Fulfilment: the store that hands over or ships for another"),
            {"fields": (("fulfil_fee_bp", "fulfil_store_bp"), ("fulfil_budget", "fulfil_keeps"))},
        ),
        (gettext_lazy("Settlement"), {"fields": (("settle_day", "netting_cap_bp", "dispute_days"),)}),
    )  # fmt: skip
    always_readonly = (
        "number", "status_label", "author", "approver", "from_text", "until_text", "published_at", "digest",
    )  # fmt: skip

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.what_holds)
        return [path("<path:object_id>/what/", view, name="attribution_ruleversion_what"), *super().get_urls()]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Nobody's to edit: every field in words, so that "inherits", "for ever" and an explicit 0 can be told apart."""
        if obj is None or may_edit(request, obj):
            return self.fieldsets
        return [(title, {"fields": _in_words(spec["fields"])}) for title, spec in self.fieldsets]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None and may_edit(request, obj):
            return self.always_readonly
        return (*self.always_readonly, *WORDS.values())

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or may_edit(request, obj))

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        row = self.get_object(request, unquote(object_id))
        more = dict(extra_context or {})
        if row is not None and self.has_view_permission(request, row):
            now = timezone.now()
            standing = rule_texts.in_force(row, now) if row.status == RuleVersion.Status.DRAFT else None
            more |= {
                "standing": standing,
                "differences": rule_texts.comparison(standing, row) if standing else [],
                "problems": rule_checks.problems(row) if row.status == RuleVersion.Status.DRAFT else [],
                "layers": rule_texts.layers_in_words(row),
                "spending": rule_texts.spending(row, timezone.localdate(now)),
            }
        return super().change_view(request, object_id, form_url, more)

    def what_holds(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """For this product in this store and channel: what holds, and which layer says so."""
        row = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        form = lists.styled(WhatHoldsForm(request.GET or None))
        held = rule_texts.resolved(row, _asked(form.cleaned_data)) if form.is_valid() else []
        context = self.page_context(
            request, row, title=_("What holds for an order"), form=form, held=held, back=self.url_of(row)
        )
        return TemplateResponse(request, "admin/attribution/ruleversion/what.html", context)

    def acts_for(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        """Simulating is a page of its own."""
        ask = {
            "title": gettext_lazy("Simulate"), "icon": "science", "variant": ActionVariant.DEFAULT, "attrs": {}, "dialog": None,
            "path": lists.with_query(reverse("admin:attribution_simulation_new"), rule=str(obj.pk)),
        }  # fmt: skip
        return [*([ask] if self.has_act_permission(request) else []), *super().acts_for(request, obj)]

    @display(
        description=gettext_lazy("state"), label={RuleVersion.Status.DRAFT: BUSY, RuleVersion.Status.PUBLISHED: GOOD}
    )
    def status_label(self, rule: RuleVersion) -> Any:
        return state(rule.status, rule.get_status_display())

    @display(description=gettext_lazy("effective from"))
    def from_text(self, rule: RuleVersion) -> str:
        if rule.status == RuleVersion.Status.DRAFT:
            return _("not published")
        return until(rule.effective_from) if rule.effective_from else _("since ever")

    @display(description=gettext_lazy("effective until"))
    def until_text(self, rule: RuleVersion) -> str:
        return until(rule.effective_until) if rule.effective_until else _("open")


WORDS = {name: _shown_field(name) for name in rulebook.CONTENT if name != "name"}


def _in_words(names: Any) -> Any:
    return tuple(_in_words(name) if isinstance(name, tuple) else WORDS.get(name, name) for name in names)


def _asked(data: dict[str, Any]) -> rules.OrderFacts:
    product, store, fulfil = data["product"], data["store"], data["fulfil_store"]
    now = timezone.now()
    return rules.OrderFacts(
        channel=data["channel"], shop="", order_no="", line_no="", version=now, paid_at=now, paid_fen=0,
        sku=product.sku if product else "", category=product.category.code if product and product.category else None,
        store=store.code if store else None, shop_entity=rulebook.company_of(store) if store else rules.HQ_ENTITY,
        fulfil_store=fulfil.code if fulfil else None, fulfil_entity=rulebook.company_of(fulfil) if fulfil else None,
        campaign=data["campaign"].strip() or None,
    )  # fmt: skip
