"""Tiers, tags and the audiences that keep them in the console; tagging one member by hand."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from import_export import fields
from import_export.widgets import ForeignKeyWidget

from members import tag_import, tags
from members.models import Audience, Member, Tag, TagRule, Tier
from scrm import exports
from scrm.admin import words
from scrm.admin.bases import ReadOnlyAdmin, object_act
from scrm.admin.exchange import ConfigAdmin, ConfigResource
from scrm.admin.exports import csv_answer
from scrm.admin.shown import BAD, GOOD, QUIET, display, state
from scrm.models import Brand
from scrm.org import Right

words.register(
    {
        "import_tags": _("tags of members"),
        "keep_tag": _("a tag kept by an audience"),
        "keep a tag": _("bringing the tag in line"),
        "tag.import": _("imported tags of members"),
        "tag.file": _("took the list of a tag's members"),
        "summary.tagged": _("members got the tag"),
        "summary.untagged": _("members lost the tag"),
        "summary.tags_created": _("tags created"),
        "summary.tags_removed": _("tags taken away"),
    }
)


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
    kept = tags.keep_by(tag=tag, audience=data["audience"], actor=request.user, now=timezone.now())
    if kept.job is not None:
        return _job_text(kept)
    return gettext("The tag is kept by the audience now; %(count)s members got it.") % {"count": f"{kept.added:,}"}


def _job_text(kept: tags.Kept) -> str:
    assert kept.job is not None
    return gettext("These are many members: job %(job)s brings the tag in line; its progress stands under jobs.") % {
        "job": kept.job.pk
    }


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
    kept = tags.keep_soon(rule=rule, actor=request.user, now=timezone.now())
    if kept.job is not None:
        return _job_text(kept)
    return gettext("%(added)s members got the tag, %(removed)s lost it.") % {
        "added": f"{kept.added:,}",
        "removed": f"{kept.removed:,}",
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


class FileForm(forms.Form):
    reason = forms.CharField(label=_("What is the list for?"), min_length=4, max_length=200)


@object_act(
    _("Ask for the list of members"), right=Right.EXPORT, form=FileForm, icon="file_download",
    warning=_("From 500 rows on somebody else who may take files has to agree. You take it once, under “Requests for files”."),
)  # fmt: skip
def ask_for_file(self: Any, request: HttpRequest, tag: Tag, data: dict[str, Any]) -> str:
    exports.ask(kind=tag_import.FILE, target_id=tag.pk, reason=data["reason"], actor=request.user, now=timezone.now())
    return gettext("Asked for: you find it under “Requests for files” when somebody has agreed.")


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
    acts = (keep_by_audience, ask_for_file)
    list_display = ("name", "brand", "file_link")
    list_select_related = ("brand",)
    search_fields = ("name__startswith",)
    search_help_text = _("Beginning of the name")
    ordering = ("name",)
    fields = ("brand", "name")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.file_view)
        return [path("<path:object_id>/members/", view, name="members_tag_members"), *super().get_urls()]

    def get_list_display(self, request: HttpRequest) -> Any:
        names = super().get_list_display(request)
        return names if self.has_right(request, Right.EXPORT) else [name for name in names if name != "file_link"]

    def file_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Members' tags as rows, in the columns of the import; many are asked for first."""
        tag = self.get_object(request, unquote(object_id))
        if not self.has_right(request, Right.EXPORT):
            raise PermissionDenied
        try:
            rows = exports.take_small(kind=tag_import.FILE, target=tag, actor=request.user, verb="tag.file")
        except exports.NeedsSecond as error:
            messages.warning(request, error.message)
            return HttpResponseRedirect(reverse("admin:members_tag_act", args=(tag.pk, "ask_for_file")))
        return csv_answer(rows, f"tag-{tag.pk}")

    @display(description=_("members"))
    def file_link(self, tag: Tag) -> Any:
        return format_html(
            '<a href="{}">{}</a>', reverse("admin:members_tag_members", args=(tag.pk,)), gettext("Download CSV")
        )
