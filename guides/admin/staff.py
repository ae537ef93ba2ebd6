"""Guides, where they are employed and who stands in for them."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from import_export import fields

from guides import queries
from guides.handover import cases
from guides.models import Delegation, Employment, Guide
from members import reveals
from scrm import org
from scrm.admin import lists
from scrm.admin.bases import ReadOnlyAdmin, ReadOnlyInline, object_act
from scrm.admin.exchange import ConfigAdmin, ConfigResource
from scrm.admin.shown import EMPTY, GOOD, NEW, QUIET, display, link, percent, state, until
from scrm.org import Right


class GuideResource(ConfigResource):
    """Names and WeCom accounts of guides that exist; people come and go by the list of guides (导入导购)."""

    code = fields.Field("code", column_name="导购编码")
    name = fields.Field("name", column_name="姓名")
    wecom_userid = fields.Field("wecom_userid", column_name="企业微信账号")

    class Meta(ConfigResource.Meta):
        model = Guide
        import_id_fields = ("code",)
        fields = ("code", "name", "wecom_userid")

    def before_save_instance(self, instance: Any, row: Any, **kwargs: Any) -> None:
        if instance.pk is None:
            raise ValueError(
                _("There is no guide %(code)s; new guides come with the list of guides.") % {"code": instance.code}
            )
        instance.wecom_userid = (instance.wecom_userid or "").lower() or None


class EmploymentInline(ReadOnlyInline):
    model = Employment
    fields = ("store", "role", "started_at", "ended_at")
    readonly_fields = fields
    ordering = ("-started_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return org.visible(super().get_queryset(request).select_related("store"), org.scope_of(request.user))


class DelegationInline(ReadOnlyInline):
    model = Delegation
    fk_name = "guide"
    fields = ("delegate", "started_at", "ended_at", "share")
    readonly_fields = fields
    ordering = ("-started_at",)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A delegate may work anywhere, so these are HQ's to see, as their own list is."""
        return org.scope_of(request.user).is_everything

    @display(description=gettext_lazy("delegate's share (bp)"))
    def share(self, delegation: Delegation) -> str:
        return percent(delegation.delegate_bp)


class HandoverForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=2, max_length=200)


@object_act(
    gettext_lazy("Hand over the customers"), icon="move_up", form=HandoverForm,
    warning=gettext_lazy("Opens a handover, to be planned and confirmed under Handovers. Nothing moves yet."),
)  # fmt: skip
def hand_over(self: Any, request: HttpRequest, guide: Guide, data: dict[str, Any]) -> str:
    case = cases.open_by_hand(guide=guide, reason=data["reason"], actor=request.user, now=timezone.now())
    return _("Handover #%(number)s is open; plan it under Handovers.") % {"number": case.pk}


@admin.register(Guide)
class GuideAdmin(ConfigAdmin):
    acts = (hand_over,)
    add_right: ClassVar[Right | None] = None
    change_right: ClassVar[Right | None] = None
    import_right = Right.CHANGE
    resource_classes = (GuideResource,)
    inlines = (EmploymentInline, DelegationInline)
    list_display = ("code", "name", "store_text", "role_label", "mobile", "wecom_userid", "active_label")
    list_display_links = ("code", "name")
    list_select_related = ("user",)
    list_filter = (("user__is_active", lists.BooleanRadioFilter),)
    search_fields = ("code__exact", "name__startswith", "wecom_userid__exact")
    search_help_text = gettext_lazy("Guide code, beginning of the name, or WeCom account")
    ordering = ("code",)
    fields = ("code", "name", "store_text", "role_label", "mobile", "wecom_userid", "active_label", "member_count")
    readonly_fields = fields

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        jobs = queries.current_employments(guide_ids=[row.pk for row in rows])
        for row in rows:
            row.shown_job = jobs.get(row.pk)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        self.decorate(request, [found])
        return found

    @display(description=gettext_lazy("store"))
    def store_text(self, guide: Any) -> str:
        return str(guide.shown_job.store) if guide.shown_job else EMPTY

    @display(description=gettext_lazy("role"), label={Guide.Role.GUIDE: QUIET, Guide.Role.STORE_MANAGER: NEW})
    def role_label(self, guide: Any) -> Any:
        return state(guide.shown_job.role, guide.shown_job.get_role_display()) if guide.shown_job else EMPTY

    @display(description=gettext_lazy("mobile number"))
    def mobile(self, guide: Guide) -> str:
        return reveals.masked_mobile(cast("bytes | None", guide.mobile_sealed)) or EMPTY

    @display(description=gettext_lazy("state"), label={True: GOOD, False: QUIET})
    def active_label(self, guide: Guide) -> Any:
        return state(guide.user.is_active, _("employed") if guide.user.is_active else _("has left"))

    @display(description=gettext_lazy("members with this guide"))
    def member_count(self, guide: Guide) -> str:
        count = queries.member_count(guide_id=guide.pk)
        return f"{count:,}" if count <= lists.COUNT_CAP else f"{lists.COUNT_CAP:,}+"


class GuideNames(ReadOnlyAdmin):
    """Lists that name guides: whoever is outside the scope is named by her code only."""

    guide_fields: tuple[str, ...] = ("guide",)

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        keys = {getattr(row, f"{name}_id") for row in rows for name in self.guide_fields}
        names = lists.visible_names(request, Guide, keys)
        for row in rows:
            row.shown_guides = names

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        self.decorate(request, [found])
        return found

    @display(description=gettext_lazy("guide"))
    def guide_link(self, row: Any) -> SafeString | str:
        return guide_link(row, "guide")


def guide_link(row: Any, field: str) -> SafeString | str:
    key = getattr(row, f"{field}_id")
    name = row.shown_guides.get(key)
    return link("guides_guide", key, name) if name else getattr(row, field).code


@admin.register(Employment)
class EmploymentAdmin(GuideNames):
    list_display = ("guide_link", "store", "role_label", "started_at", "end_text")
    list_select_related = ("guide", "store")
    list_filter = (("store", lists.ScopedFilter), ("role", lists.ChoicesDropdownFilter))
    search_fields = ("guide__code__exact", "guide__name__startswith")
    search_help_text = gettext_lazy("Guide code or the beginning of the name")
    ordering = ("-pk",)
    fields = ("guide_link", "store", "role_label", "started_at", "end_text")

    @display(description=gettext_lazy("role"), label={Guide.Role.GUIDE: QUIET, Guide.Role.STORE_MANAGER: NEW})
    def role_label(self, employment: Employment) -> Any:
        return state(employment.role, employment.get_role_display())

    @display(description=gettext_lazy("until"))
    def end_text(self, employment: Employment) -> str:
        return until(employment.ended_at)


@admin.register(Delegation)
class DelegationAdmin(GuideNames):
    guide_fields = ("guide", "delegate")
    list_display = ("guide_link", "delegate_link", "started_at", "end_text", "share")
    list_select_related = ("guide", "delegate")
    search_fields = ("guide__code__exact", "guide__name__startswith")
    ordering = ("-pk",)
    fields = ("guide_link", "delegate_link", "started_at", "end_text", "share")

    @display(description=gettext_lazy("delegate"))
    def delegate_link(self, delegation: Any) -> SafeString | str:
        return guide_link(delegation, "delegate")

    @display(description=gettext_lazy("until"))
    def end_text(self, delegation: Delegation) -> str:
        return until(delegation.ended_at)

    @display(description=gettext_lazy("delegate's share (bp)"))
    def share(self, delegation: Delegation) -> str:
        return percent(delegation.delegate_bp)
