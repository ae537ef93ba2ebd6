"""WeCom's directory in the console: accounts to be linked, departments and their stores, the sweeps."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from guides import directory, directory_sweep
from guides.models import Department, DirectorySweep, WecomMember
from scrm.admin import lists, words
from scrm.admin.bases import ReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, NEW, QUIET, display, link, state
from scrm.errors import RuleViolation
from scrm.models import Store
from scrm.org import Right

words.register(
    {
        "directory.link": gettext_lazy("linked a WeCom account with a guide"),
        "directory.ignore": gettext_lazy("ignored a WeCom account"),
        "directory.map": gettext_lazy("said which store a WeCom department is"),
        "directory.allow": gettext_lazy("allowed missing WeCom members to be marked as having left"),
        "guides.end_employment": gettext_lazy("ended an employment"),
        "sync_directory": gettext_lazy("WeCom directory"),
        "names": gettext_lazy("reading names"),
        "summary.seen": gettext_lazy("members on WeCom"),
        "summary.joined": gettext_lazy("joined"),
        "summary.missing": gettext_lazy("missing"),
        "summary.unseen": gettext_lazy("departments without names"),
    }
)


class GuideCodeForm(forms.Form):
    code = forms.CharField(label=gettext_lazy("guide code"), max_length=32)


class StoreCodeForm(forms.Form):
    code = forms.CharField(
        label=gettext_lazy("store code"), max_length=32, required=False, help_text=gettext_lazy("Empty: no store")
    )


class LinkFilter(lists.DropdownFilter):
    title = gettext_lazy("guide")
    parameter_name = "link"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("open", gettext_lazy("to be linked")),
            ("linked", gettext_lazy("linked")),
            ("ignored", gettext_lazy("ignored")),
            ("left", gettext_lazy("has left WeCom")),
            ("contradiction", gettext_lazy("WeCom and the list of guides disagree")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        there = Q(left_at=None)
        wanted = {
            "open": there & Q(guide=None, ignored_at=None),
            "linked": there & Q(guide__isnull=False),
            "ignored": there & Q(guide=None, ignored_at__isnull=False),
            "left": ~there,
            "contradiction": Q(guide__isnull=False)
            & (there & Q(guide__user__is_active=False) | ~there & Q(guide__user__is_active=True)),
        }
        return queryset.filter(wanted[self.value()]) if self.value() in wanted else queryset


@object_act(
    gettext_lazy("Link with a guide"), icon="link", form=GuideCodeForm,
    offered=lambda member: member.guide_id is None and member.left_at is None,
)  # fmt: skip
def link_guide(self: Any, request: HttpRequest, member: WecomMember, data: dict[str, Any]) -> str:
    linked = directory.link_by_code(member=member, code=data["code"], actor=request.user)
    return _("%(userid)s now belongs to %(guide)s.") % {"userid": linked.userid, "guide": linked.guide}


@admin.register(WecomMember)
class WecomMemberAdmin(ReadOnlyAdmin):
    acts = (link_guide,)
    actions = ("link_suggested", "ignore")
    list_display = ("userid", "name", "store_text", "status_label", "feature_label", "guide_text", "contradiction")
    list_display_links = ("userid",)
    list_select_related = ("guide__user",)
    list_filter = (LinkFilter, ("has_feature", lists.BooleanRadioFilter), ("status", lists.ChoicesDropdownFilter))
    search_fields = ("userid__exact", "name__startswith")
    search_help_text = gettext_lazy("WeCom account, or the beginning of the name")
    ordering = ("-pk",)
    fields = (
        "corp", "userid", "former_userid", "name", "store_text", "status_label", "feature_label", "guide_text", "contradiction",
        "created_at", "left_at", "ignored_at",
    )  # fmt: skip

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        stores = directory.stores_of(rows)
        names = dict(Store.objects.filter(pk__in=set(stores.values())).values_list("pk", "name"))
        suggested = directory.suggested_guides(rows)
        for row in rows:
            row.shown_store, row.shown_suggestion = names.get(stores.get(row.pk, 0)), suggested.get(row.pk)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        self.decorate(request, [found])
        return found

    @admin.action(description=gettext_lazy("Link with the suggested guides"), permissions=["act"])
    def link_suggested(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        try:
            count = directory.link_suggested(members=list(queryset.order_by("pk")), actor=request.user)
            messages.success(request, _("%(count)s accounts are linked.") % {"count": count})
        except RuleViolation as error:
            messages.error(request, error.message)

    @admin.action(description=gettext_lazy("Ignore: these are no guides"), permissions=["act"])
    def ignore(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        count = directory.ignore(members=queryset, actor=request.user, now=timezone.now())
        messages.success(request, _("%(count)s accounts are no longer asked about.") % {"count": count})

    @display(description=gettext_lazy("store of the department"))
    def store_text(self, member: Any) -> str:
        return member.shown_store or EMPTY

    @display(
        description=gettext_lazy("status"),
        label={
            **dict.fromkeys(WecomMember.Status, QUIET),
            WecomMember.Status.ACTIVE: GOOD,
            WecomMember.Status.LEFT: BAD,
        },
    )
    def status_label(self, member: WecomMember) -> Any:
        if member.left_at is not None:
            return state(WecomMember.Status.LEFT, _("has left WeCom"))
        return state(member.status, member.get_status_display())

    @display(description=gettext_lazy("may have customers"), label={True: GOOD, False: QUIET})
    def feature_label(self, member: WecomMember) -> Any:
        return state(member.has_feature, _("yes") if member.has_feature else _("no"))

    @display(description=gettext_lazy("guide"))
    def guide_text(self, member: Any) -> SafeString | str:
        if member.guide_id is not None:
            return link("guides_guide", member.guide_id, member.guide)
        if member.ignored_at is not None:
            return _("ignored")
        if member.shown_suggestion is not None:
            return _("to be linked; perhaps %(guide)s") % {"guide": member.shown_suggestion}
        return _("to be linked") if member.left_at is None else EMPTY

    @display(description=gettext_lazy("contradiction"), label={True: BAD, False: ""})
    def contradiction(self, member: WecomMember) -> Any:
        if member.guide is None or member.guide.user.is_active == (member.left_at is None):
            return state(False, EMPTY)
        if member.left_at is not None:
            return state(True, _("left WeCom, still employed by the list of guides"))
        return state(True, _("has left by the list of guides, still on WeCom"))


class StoreFilter(lists.DropdownFilter):
    title = gettext_lazy("store")
    parameter_name = "mapped"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        return [("0", gettext_lazy("no store yet")), ("1", gettext_lazy("with a store"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(store__isnull=self.value() == "0") if self.value() in ("0", "1") else queryset


@object_act(gettext_lazy("Say which store it is"), icon="storefront", form=StoreCodeForm)
def map_store(self: Any, request: HttpRequest, department: Department, data: dict[str, Any]) -> str:
    mapped = directory.map_store(department=department, code=data["code"], actor=request.user)
    return _("%(department)s is %(store)s.") % {"department": mapped, "store": mapped.store or _("no store")}


@admin.register(Department)
class DepartmentAdmin(ReadOnlyAdmin):
    acts = (map_store,)
    actions = ("map_suggested",)
    list_display = ("name_text", "number", "parent_text", "store_text", "gone_label")
    list_display_links = ("name_text",)
    list_select_related = ("store",)
    list_filter = (StoreFilter,)
    search_fields = ("name__startswith", "number__exact")
    search_help_text = gettext_lazy("Beginning of the name, or the number on WeCom")
    ordering = (F("gone_at").asc(nulls_first=True), "pk")
    fields = ("corp", "name_text", "number", "parent_text", "store_text", "gone_label")

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        suggested = directory.suggested_stores(rows)
        names = {store.pk: str(store) for store in Store.objects.filter(pk__in=set(suggested.values()))}
        parents = Department.objects.filter(number__in={row.parent_number for row in rows})
        by_key = {(parent.corp_id, parent.number): str(parent) for parent in parents}
        for row in rows:
            row.shown_suggestion = names.get(suggested.get(row.pk, 0))
            row.shown_parent = by_key.get((row.corp_id, row.parent_number))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        self.decorate(request, [found])
        return found

    @admin.action(description=gettext_lazy("Take the suggested stores"), permissions=["act"])
    def map_suggested(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        chosen = directory.suggested_stores(queryset.filter(gone_at=None))
        count = directory.map_stores(chosen=dict(chosen), actor=request.user)
        messages.success(request, _("%(count)s departments have a store now.") % {"count": count})

    @display(description=gettext_lazy("name"))
    def name_text(self, department: Department) -> str:
        return str(department)

    @display(description=gettext_lazy("belongs to"))
    def parent_text(self, department: Any) -> str:
        return department.shown_parent or EMPTY

    @display(description=gettext_lazy("store"))
    def store_text(self, department: Any) -> str:
        if department.store is not None:
            return str(department.store)
        if department.shown_suggestion:
            return _("no store yet; perhaps %(store)s") % {"store": department.shown_suggestion}
        return EMPTY

    @display(description=gettext_lazy("state"), label={True: GOOD, False: QUIET})
    def gone_label(self, department: Department) -> Any:
        is_there = department.gone_at is None
        return state(is_there, _("exists") if is_there else _("deleted on WeCom"))


@object_act(
    gettext_lazy("They have really left"), right=Right.ACT, icon="how_to_reg",
    offered=lambda sweep: sweep.status == DirectorySweep.Status.HELD and sweep.approved_by_id is None,
    warning=gettext_lazy(
        "The directory is read again, and up to as many members as were missing are marked as having left. Each guide among them gets a handover. Check on WeCom first that the contact sync still sees the whole company."
    ),
)  # fmt: skip
def allow(self: Any, request: HttpRequest, sweep: DirectorySweep, data: dict[str, Any]) -> str:
    directory_sweep.allow(sweep=sweep, actor=request.user)
    return _("The directory is read again.")


@admin.register(DirectorySweep)
class DirectorySweepAdmin(ReadOnlyAdmin):
    acts = (allow,)
    list_display = (
        "started_at", "corp", "status_label", "known_count", "seen_count", "joined_count", "moved_count", "missing_count",
        "unseen_count", "approved_by",
    )  # fmt: skip
    list_select_related = ("corp", "approved_by")
    list_filter = (("status", lists.ChoicesDropdownFilter),)
    ordering = ("-pk",)
    fields = (
        "corp", "started_at", "ended_at", "status_label", "known_count", "seen_count", "joined_count", "moved_count",
        "missing_count", "unseen_count", "allowed_count", "approved_by",
    )  # fmt: skip

    @display(
        description=gettext_lazy("status"),
        label={DirectorySweep.Status.RUNNING: BUSY, DirectorySweep.Status.DONE: GOOD, DirectorySweep.Status.HELD: NEW},
    )
    def status_label(self, sweep: DirectorySweep) -> Any:
        return state(sweep.status, sweep.get_status_display())
