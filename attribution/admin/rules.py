"""Rule versions in the console: written as a draft by one person, published by another, then only read."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from import_export import fields
from import_export.widgets import ForeignKeyWidget
from unfold.admin import TabularInline
from unfold.enums import ActionVariant

from attribution import rulebook
from attribution.models import RuleRate, RuleVersion
from attribution.simulation import results
from members import queries as member_queries
from members.models import Category
from scrm import org
from scrm.admin import lists
from scrm.admin.bases import ScopedAdmin, object_act
from scrm.admin.exchange import ConfigAdmin, ConfigResource
from scrm.admin.shown import BUSY, GOOD, display, link, percent, state, until
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


class RateForm(forms.ModelForm):
    channel = forms.ChoiceField(label=gettext_lazy("channel"), required=False)

    class Meta:
        model = RuleRate
        fields = ("channel", "category", "rate_bp")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = member_queries.channel_names()
        self.fields["channel"].choices = [("", _("every channel")), *names.items()]  # type: ignore[attr-defined]
        lists.styled(self)  # type: ignore[arg-type]

    def clean_channel(self) -> str | None:
        return self.cleaned_data["channel"] or None


class RateInline(TabularInline):
    model = RuleRate
    form = RateForm
    extra = 0
    hide_title = True
    autocomplete_fields = ("category",)
    verbose_name_plural = gettext_lazy("commission rates")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and may_edit(request, obj)

    has_add_permission = has_change_permission
    has_delete_permission = has_change_permission


def ever(shown: str) -> str:
    """An empty validity is a kind of its own, not a missing value."""
    return shown if shown.strip().isdigit() else _("for ever")


def may_edit(request: HttpRequest, rule: Any) -> bool:
    """A draft, by its author: whoever publishes it must find what the author wrote."""
    is_own = rule.status == RuleVersion.Status.DRAFT and rule.author_id == request.user.pk
    return is_own and org.may(request.user, Right.CHANGE)


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


@admin.register(RuleVersion)
class RuleVersionAdmin(ScopedAdmin):
    change_right = Right.CHANGE
    acts = (publish, copy)
    inlines = (RateInline,)
    list_display = ("number", "name", "mode", "status_label", "from_text", "until_text", "author", "approver")
    list_display_links = ("number", "name")
    list_select_related = ("author", "approver", "brand")
    list_filter = (("status", lists.ChoicesDropdownFilter),)
    ordering = ("-number",)
    readonly_preprocess_fields: ClassVar[dict[str, Any]] = {"binding_validity_days": ever}
    fieldsets = (
        (None, {"fields": (("number", "status_label"), ("name", "mode"), ("author", "approver"))}),
        (gettext_lazy("In force"), {"fields": (("from_text", "until_text"), "published_at", "digest")}),
        (
            gettext_lazy("Who gets the credit"),
            {
                "fields": (
                    ("share_window_hours", "late_link_days", "binding_validity_days"),
                    ("snatch", "protected_days"),
                    ("seller_bp", "service_bp"),
                    ("gap_pool_bp", "home_pool_bp"),
                )
            },
        ),
        (gettext_lazy("What is paid"), {"fields": (("entity_share_bp", "fulfil_fee_bp"), "vest_days")}),
    )
    always_readonly = (
        "number", "status_label", "author", "approver", "from_text", "until_text", "published_at", "digest",
    )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (
            self.always_readonly
            if obj is not None and may_edit(request, obj)
            else (*self.always_readonly, *rulebook.CONTENT)
        )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or may_edit(request, obj))

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
