"""Corp tags in the console: WeCom's catalogue, which of our tags stand there, and what is still to be marked."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from guides import corp_tags
from guides.models import Contact, CorpTag, TagMapping, TagPush, TagSweep
from members.models import Tag
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, ReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, NEW, QUIET, display, state
from scrm.errors import RuleViolation
from scrm.models import Corp
from scrm.org import Right

words.register(
    {
        "tags.map": gettext_lazy("mapped a tag to WeCom"),
        "tags.switch": gettext_lazy("switched a tag mapping"),
        "corp_tag.add": gettext_lazy("make a corp tag"),
        "corp_tag.edit": gettext_lazy("rename a corp tag"),
        "corp_tag.mark": gettext_lazy("mark a customer with corp tags"),
    }
)


class MappingForm(forms.Form):
    corp = forms.ModelChoiceField(label=gettext_lazy("WeCom corp"), queryset=Corp.objects.none())
    tag = forms.CharField(label=gettext_lazy("our tag"), max_length=64, help_text=gettext_lazy("Its whole name"))
    lead = forms.ChoiceField(label=gettext_lazy("who leads"), choices=TagMapping.Lead.choices)
    corp_tag = forms.ModelChoiceField(
        label=gettext_lazy("corp tag"), queryset=CorpTag.objects.none(), required=False,
        empty_label=gettext_lazy("make a new one"),
    )  # fmt: skip
    group_name = forms.CharField(
        label=gettext_lazy("corp tag group"), required=False, max_length=30,
        help_text=gettext_lazy("In which group of WeCom a new corp tag is made"),
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        corps: Any = self.fields["corp"]
        tags: Any = self.fields["corp_tag"]
        corps.queryset = Corp.objects.order_by("pk")
        corps.initial = corps.queryset.first()
        mapped = TagMapping.objects.filter(corp_tag__isnull=False).values("corp_tag")
        free = CorpTag.objects.filter(deleted_at=None).exclude(pk__in=mapped).select_related("group")
        tags.queryset = free.order_by("group", "-order", "pk")
        tags.label_from_instance = lambda tag: f"{tag.group.name} / {tag.name}"


@object_act(
    gettext_lazy("Switch off"), icon="toggle_off", right=Right.CHANGE, offered=lambda mapping: mapping.is_active,
    warning=gettext_lazy("Both sides keep the tags they have now and no longer follow each other."),
)  # fmt: skip
def switch_off(self: Any, request: HttpRequest, mapping: TagMapping, data: dict[str, Any]) -> str:
    corp_tags.switch(mapping=mapping, is_active=False, actor=request.user, now=timezone.now())
    return _("The mapping is off.")


@object_act(
    gettext_lazy("Switch on"), icon="toggle_on", right=Right.CHANGE, offered=lambda mapping: not mapping.is_active,
    warning=gettext_lazy("The side that leads is compared with the other one from now on."),
)  # fmt: skip
def switch_on(self: Any, request: HttpRequest, mapping: TagMapping, data: dict[str, Any]) -> str:
    corp_tags.switch(mapping=mapping, is_active=True, actor=request.user, now=timezone.now())
    return _("The mapping is on.")


@object_act(
    gettext_lazy("Try again"), icon="replay", right=Right.CHANGE,
    offered=lambda mapping: mapping.is_active and mapping.corp_tag_id is None and bool(mapping.error_text),
)  # fmt: skip
def try_again(self: Any, request: HttpRequest, mapping: TagMapping, data: dict[str, Any]) -> str:
    corp_tags.switch(mapping=mapping, is_active=True, actor=request.user, now=timezone.now())
    return _("WeCom is asked for the corp tag again.")


@admin.register(TagMapping)
class TagMappingAdmin(ReadOnlyAdmin):
    acts = (switch_off, switch_on, try_again)
    change_list_template = "admin/guides/tagmapping/list.html"
    list_display = ("tag", "lead_label", "group_name", "corp_tag", "state_label", "error_text")
    list_select_related = ("tag", "corp_tag")
    list_filter = (("lead", lists.ChoicesDropdownFilter), ("is_active", lists.BooleanRadioFilter))
    ordering = ("-pk",)
    fields = ("corp", "tag", "lead_label", "group_name", "corp_tag", "state_label", "error_text")

    def get_urls(self) -> list[Any]:
        new = path("new/", self.admin_site.admin_view(self.new_view), name="guides_tagmapping_new")
        return [new, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        more = {"sweeps": list(TagSweep.objects.select_related("corp").order_by("pk")[:10])}
        more["may_map"] = self.has_right(request, Right.CHANGE)  # type: ignore[assignment]
        more["pending"] = TagPush.objects.filter(is_pending=True)[: lists.COUNT_CAP].count()  # type: ignore[assignment]
        return super().changelist_view(request, {**(extra_context or {}), **more})

    def new_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_right(request, Right.CHANGE):
            raise PermissionDenied
        posted = request.POST if request.method == "POST" else None
        form = lists.styled(MappingForm(posted))
        if posted is not None and form.is_valid():
            try:
                mapping = self._map(request, form.cleaned_data)
                messages.success(request, _("The tag is mapped."))
                return HttpResponseRedirect(self.url_of(mapping))
            except RuleViolation as error:
                form.add_error(None, error.message)
        context = self.page_context(
            request, None, title=_("Map a tag"), form=form, back=reverse("admin:guides_tagmapping_changelist")
        )
        return TemplateResponse(
            request, "admin/guides/contactway/edit.html", context, status=400 if form.errors else 200
        )

    def _map(self, request: HttpRequest, data: dict[str, Any]) -> TagMapping:
        tag = Tag.objects.filter(name=data["tag"].strip()).order_by("pk").first()
        if tag is None:
            raise corp_tags.BadMapping(_("There is no tag “%(name)s”.") % {"name": data["tag"]})
        return corp_tags.map_tag(
            corp=data["corp"], tag=tag, lead=data["lead"], group_name=data["group_name"], corp_tag=data["corp_tag"],
            actor=request.user, now=timezone.now(),
        )  # fmt: skip

    @display(description=gettext_lazy("who leads"), label={TagMapping.Lead.OURS: NEW, TagMapping.Lead.WECOM: QUIET})
    def lead_label(self, mapping: TagMapping) -> Any:
        return state(mapping.lead, mapping.get_lead_display())

    @display(description=gettext_lazy("state"), label={"on": GOOD, "off": QUIET, "making": BUSY, "failed": BAD})
    def state_label(self, mapping: TagMapping) -> Any:
        if not mapping.is_active:
            return state("off", _("off"))
        if mapping.corp_tag_id is not None:
            return state("on", _("on"))
        return state("failed", _("failed")) if mapping.error_text else state("making", _("being made"))


@admin.register(CorpTag)
class CorpTagAdmin(BigReadOnlyAdmin):
    list_display = ("name", "group", "tag_id", "is_ours", "order", "state_label")
    list_select_related = ("group",)
    list_filter = (("is_ours", lists.BooleanRadioFilter),)
    search_fields = ("name__startswith", "tag_id__exact")
    search_help_text = gettext_lazy("Beginning of the name, or WeCom's id")
    fields = ("corp", "name", "group", "tag_id", "is_ours", "order", "state_label", "deleted_at")

    @display(description=gettext_lazy("state"), label={True: GOOD, False: QUIET})
    def state_label(self, tag: CorpTag) -> Any:
        return state(tag.deleted_at is None, _("at WeCom") if tag.deleted_at is None else _("deleted"))


@admin.register(TagPush)
class TagPushAdmin(BigReadOnlyAdmin):
    list_display = ("customer", "userid", "add_text", "remove_text", "state_label", "changed_at", "error_text")
    list_display_links = ("state_label",)
    list_select_related = ("friendship",)
    list_filter = (("is_pending", lists.BooleanRadioFilter),)
    fields = ("customer", "userid", "add_text", "remove_text", "state_label", "changed_at", "error_text")

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        ids = {tag for row in rows for tag in (*row.add_ids, *row.remove_ids)}
        tags = dict(CorpTag.objects.filter(tag_id__in=ids).values_list("tag_id", "name"))
        names = lists.visible_names(request, Contact, (row.friendship.contact_id for row in rows))
        for row in rows:
            row.shown_tags, row.shown_contact = tags, names.get(row.friendship.contact_id)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        self.decorate(request, [found])
        return found

    @display(description=gettext_lazy("customer"))
    def customer(self, push: Any) -> str:
        return push.shown_contact or EMPTY

    @display(description=gettext_lazy("WeCom account"))
    def userid(self, push: TagPush) -> str:
        return push.friendship.userid

    @display(description=gettext_lazy("to add"))
    def add_text(self, push: Any) -> str:
        return "、".join(push.shown_tags.get(one, one) for one in push.add_ids) or EMPTY

    @display(description=gettext_lazy("to remove"))
    def remove_text(self, push: Any) -> str:
        return "、".join(push.shown_tags.get(one, one) for one in push.remove_ids) or EMPTY

    @display(description=gettext_lazy("state"), label={"busy": BUSY, "bad": BAD, "good": GOOD})
    def state_label(self, push: TagPush) -> Any:
        if push.is_pending:
            return state("busy", _("under way"))
        return state("bad", _("refused")) if push.error_text else state("good", _("done"))
