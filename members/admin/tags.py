"""Tiers, tags and the audiences that keep them in the console; tagging one member by hand."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from import_export import fields
from import_export.widgets import ForeignKeyWidget

from members import tags
from members.models import Audience, Member, Tag, TagRule, Tier
from scrm.admin.bases import ReadOnlyAdmin, object_act
from scrm.admin.exchange import ConfigAdmin, ConfigResource
from scrm.admin.shown import BAD, GOOD, QUIET, display, state
from scrm.models import Brand
from scrm.org import Right


class TierResource(ConfigResource):
    brand = fields.Field("brand", column_name="品牌编码", widget=ForeignKeyWidget(Brand, "code"))
    name = fields.Field("name", column_name="等级名称")
    rank = fields.Field("rank", column_name="排序")

    class Meta(ConfigResource.Meta):
        model = Tier
        import_id_fields = ("brand", "name")
        fields = ("brand", "name", "rank")


@admin.register(Tier)
class TierAdmin(ConfigAdmin):
    resource_classes = (TierResource,)
    list_display = ("name", "rank", "brand")
    list_select_related = ("brand",)
    search_fields = ("name__startswith",)
    ordering = ("rank", "pk")
    fields = ("brand", "name", "rank")


class AudienceForm(forms.Form):
    audience = forms.ModelChoiceField(Audience.objects.none(), label=_("audience"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["audience"]
        field.queryset = Audience.objects.filter(is_archived=False, store_ids=None).order_by("name")


class TagForm(forms.Form):
    tag = forms.ModelChoiceField(Tag.objects.all(), label=_("tag"))


@object_act(
    _("Kept by an audience"), right=Right.CHANGE, form=AudienceForm, icon="autorenew", offered=lambda tag: not hasattr(tag, "rule"),
    warning=_("Every night who is in the audience gets the tag, and who left it loses it. What people or lists gave stays."),
)  # fmt: skip
def keep_by_audience(self: Any, request: HttpRequest, tag: Tag, data: dict[str, Any]) -> str:
    rule = tags.set_rule(tag=tag, audience=data["audience"], actor=request.user)
    added, _removed = tags.keep(rule=rule, now=timezone.now())
    return gettext("The tag is kept by the audience now; %(count)s members got it.") % {"count": f"{added:,}"}


@object_act(
    _("Tag"),
    right=Right.ACT,
    form=TagForm,
    icon="new_label",
    offered=lambda member: member.status == Member.Status.ACTIVE,
)
def put_tag(self: Any, request: HttpRequest, member: Member, data: dict[str, Any]) -> str:
    added = tags.put(tag=data["tag"], members=[member], actor=request.user)
    return gettext("The member is tagged.") if added else gettext("The member had this tag already.")


@object_act(
    _("Take a tag away"), right=Right.ACT, form=TagForm, icon="label_off", offered=lambda member: member.tags.exists()
)
def take_tag(self: Any, request: HttpRequest, member: Member, data: dict[str, Any]) -> str:
    taken = tags.take(tag=data["tag"], members=[member], actor=request.user)
    return gettext("The tag is taken away.") if taken else gettext("The member does not have this tag.")


@object_act(_("Keep it now"), right=Right.ACT, icon="sync", offered=lambda rule: rule.is_active)
def keep_now(self: Any, request: HttpRequest, rule: TagRule, data: dict[str, Any]) -> str:
    added, removed = tags.keep(rule=rule, now=timezone.now())
    return gettext("%(added)s members got the tag, %(removed)s lost it.") % {
        "added": f"{added:,}",
        "removed": f"{removed:,}",
    }


@object_act(
    _("Switch off"),
    right=Right.CHANGE,
    icon="pause",
    offered=lambda rule: rule.is_active,
    warning=_("The members keep the tag as it is."),
)
def switch_off(self: Any, request: HttpRequest, rule: TagRule, data: dict[str, Any]) -> str:
    tags.switch(rule=rule, is_active=False, actor=request.user)
    return gettext("The audience no longer keeps the tag.")


@object_act(_("Switch on"), right=Right.CHANGE, icon="play_arrow", offered=lambda rule: not rule.is_active)
def switch_on(self: Any, request: HttpRequest, rule: TagRule, data: dict[str, Any]) -> str:
    tags.switch(rule=rule, is_active=True, actor=request.user)
    return gettext("The audience keeps the tag from tonight on.")


@admin.register(TagRule)
class TagRuleAdmin(ReadOnlyAdmin):
    list_display = ("tag", "audience", "status_label", "kept_at", "added_count", "removed_count")
    list_select_related = ("tag", "audience")
    ordering = ("-pk",)
    fields = ("tag", "audience", "status_label", "kept_at", "added_count", "removed_count", "error_text")
    acts = (keep_now, switch_off, switch_on)

    @display(description=_("state"), label={"ON": GOOD, "OFF": QUIET, "FAULT": BAD})
    def status_label(self, rule: TagRule) -> Any:
        if rule.error_text:
            return state("FAULT", gettext("cannot be asked"))
        return state("ON", gettext("on")) if rule.is_active else state("OFF", gettext("off"))


@admin.register(Tag)
class TagAdmin(ConfigAdmin):
    acts = (keep_by_audience,)
    list_display = ("name", "brand")
    list_select_related = ("brand",)
    search_fields = ("name__startswith",)
    search_help_text = _("Beginning of the name")
    ordering = ("name",)
    fields = ("brand", "name")
