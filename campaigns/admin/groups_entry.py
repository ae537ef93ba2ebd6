"""Join ways, welcomes and tags of groups in the console."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.communities import entries, group_welcomes, join_ways
from campaigns.models import Group, GroupTag, GroupWelcome, JoinWay
from guides.admin.way_pages import quota
from guides.contact_ways import pictures
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import ReadOnlyAdmin, ScopedAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, QUIET, SHANGHAI, display, state
from scrm.errors import RuleViolation
from scrm.models import Corp, Store
from scrm.org import Right

words.register(
    {
        "join_way.draft": gettext_lazy("drafted a join way"),
        "join_way.create": gettext_lazy("had a join way made"),
        "join_way.change": gettext_lazy("changed a join way"),
        "join_way.retire": gettext_lazy("retired a join way"),
        "join_way.update": gettext_lazy("change a join way"),
        "join_way.delete": gettext_lazy("delete a join way"),
        "group_welcome.write": gettext_lazy("wrote a welcome of groups"),
        "group_welcome.delete": gettext_lazy("deleted a welcome of groups"),
        "group_welcome.ask": gettext_lazy("asked owners to use a welcome"),
        "group_welcome.add": gettext_lazy("make a welcome of groups"),
        "group_welcome.edit": gettext_lazy("change a welcome of groups"),
        "group_tag.give": gettext_lazy("tagged groups"),
        "group_tag.take": gettext_lazy("took a tag from groups"),
    }
)
Status = JoinWay.Status
STATUS_COLOURS = {
    Status.DRAFT: QUIET, Status.CREATING: BUSY, Status.LIVE: GOOD, Status.FAILED: BAD, Status.RETIRED: QUIET, "MISSING": BAD, "PROBLEM": BAD,
}  # fmt: skip
WELCOME_COLOURS = {
    GroupWelcome.Status.DRAFT: QUIET, GroupWelcome.Status.CREATING: BUSY, GroupWelcome.Status.LIVE: GOOD,
    GroupWelcome.Status.FAILED: BAD, GroupWelcome.Status.LOST: BAD, GroupWelcome.Status.DELETED: QUIET,
}  # fmt: skip
TEMPLATES = "admin/campaigns/joinway/"


def problem_text(code: str, text: str) -> str:
    """What is wrong with a code, and what to do, in a sentence."""
    known = {
        join_ways.NO_ROOM: _("All groups behind this code are full and WeCom may not make a new one: name another group."),
        join_ways.NO_GROUP: _("No group behind this code stands any more: whoever scans it comes in nowhere. Name another group."),
        join_ways.OWNER_LEFT: _("The owner of the group has left, so WeCom cannot make the next one: hand the group over first."),
        "wecom_quota": _("WeCom's quota of codes is used up. The code waits and is made by itself once another one is deleted."),
    }  # fmt: skip
    return known.get(code, text)


class WayForm(forms.Form):
    store = forms.CharField(label=gettext_lazy("store code"), max_length=32)
    name = forms.CharField(label=gettext_lazy("name"), max_length=30)
    groups = forms.CharField(
        label=gettext_lazy("groups in their turn"), widget=forms.Textarea(attrs={"rows": 5}), required=False,
        help_text=gettext_lazy("One a line: its whole name or its id at WeCom. Empty: all groups of the store, the smallest number first."),
    )  # fmt: skip
    full_at = forms.IntegerField(
        label=gettext_lazy("a group counts as full from"), min_value=2, max_value=2000, initial=190,
        help_text=gettext_lazy("From then on the code leads into the next group."),
    )  # fmt: skip
    makes_groups = forms.BooleanField(
        label=gettext_lazy("WeCom makes the next group when all are full"), required=False, initial=True
    )
    base_name = forms.CharField(label=gettext_lazy("name of new groups"), max_length=40, required=False)
    next_number = forms.IntegerField(label=gettext_lazy("number of the next group"), min_value=1, initial=1)


@object_act(
    gettext_lazy("Have it made"), icon="qr_code_2", offered=lambda way: way.status in (Status.DRAFT, Status.FAILED),
    warning=gettext_lazy("WeCom makes the code within seconds. It counts against the corp's quota."),
)  # fmt: skip
def make(self: Any, request: HttpRequest, way: JoinWay, data: dict[str, Any]) -> str:
    join_ways.create(way=way, actor=request.user, now=timezone.now())
    return _("WeCom is making the code; look at this page again in a moment.")


class ReasonForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=2, max_length=200)


@object_act(
    gettext_lazy("Retire"), icon="delete", form=ReasonForm, offered=lambda way: way.status != Status.RETIRED,
    warning=gettext_lazy("Whoever scans a printed picture of it comes in nowhere. This cannot be undone."),
)  # fmt: skip
def retire(self: Any, request: HttpRequest, way: JoinWay, data: dict[str, Any]) -> str:
    join_ways.retire(way=way, actor=request.user, now=timezone.now(), reason=data["reason"])
    return _("The code is retired.")


@admin.register(JoinWay)
class JoinWayAdmin(ReadOnlyAdmin):
    acts = (make, retire)
    change_list_template = "admin/campaigns/joinway/list.html"
    list_display = ("name", "store", "status_label", "groups_text", "today_text", "week_text", "ever_text")
    list_select_related = ("store",)
    list_filter = (("status", lists.ChoicesDropdownFilter), ("store", lists.ScopedFilter))
    search_fields = ("=state", "name__startswith")
    search_help_text = gettext_lazy("State of the code, or beginning of the name")
    ordering = ("-pk",)
    fields = ("name",)

    def get_urls(self) -> list[Any]:
        def page(route: str, view: Any, name: str) -> Any:
            return path(route, self.admin_site.admin_view(view), name=f"campaigns_joinway_{name}")

        return [
            page("new/", self.new_view, "new"),
            page("<path:object_id>/edit/", self.edit_view, "edit"),
            page("<path:object_id>/picture.<slug:kind>", self.picture_view, "picture"),
            *super().get_urls(),
        ]

    def may_make(self, request: HttpRequest) -> bool:
        return org.scope_of(request.user).is_everything and self.has_right(request, Right.ACT)

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        keys = [row.pk for row in rows]
        found = entries.brought(keys, midnight=midnight())
        slots = join_ways.slots_of(keys)
        for row in rows:
            row.shown_brought, row.shown_slots = found.get(row.pk, entries.NOTHING), slots[row.pk]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        more = {"may_make": self.may_make(request), "quota": quota() if self.may_make(request) else None}
        return super().changelist_view(request, {**(extra_context or {}), **more})

    @display(description=gettext_lazy("state"), label=STATUS_COLOURS)
    def status_label(self, way: JoinWay) -> Any:
        if way.status == Status.LIVE and way.missing_at is not None:
            return state("MISSING", _("missing at WeCom"))
        if way.error_code and way.status in (Status.LIVE, Status.CREATING):
            return state("PROBLEM", _("needs somebody"))
        return state(way.status, way.get_status_display())

    @display(description=gettext_lazy("groups with room"))
    def groups_text(self, way: Any) -> str:
        standing = [slot for slot in way.shown_slots if not slot.is_gone and not slot.is_out]
        return f"{sum(slot.people < way.full_at for slot in standing)} / {len(standing)}"

    @display(description=gettext_lazy("joined today"))
    def today_text(self, way: Any) -> str:
        return str(way.shown_brought["today"] or EMPTY)

    @display(description=gettext_lazy("joined in 7 days"))
    def week_text(self, way: Any) -> str:
        return str(way.shown_brought["week"] or EMPTY)

    @display(description=gettext_lazy("joined ever (members / still there)"))
    def ever_text(self, way: Any) -> str:
        found = way.shown_brought
        return f"{found['ever']} ({found['members']} / {found['there']})"

    # --- one code ---

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        way = self._way(request, object_id)
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        self.decorate(request, [way])
        buttons = self.acts_for(request, way)
        if self.may_make(request) and way.status != Status.RETIRED:
            edit = {"title": _("Change"), "path": reverse("admin:campaigns_joinway_edit", args=(way.pk,))}
            buttons.insert(0, edit)
        slots = list(way.slots.select_related("group", "group__owner").order_by("position", "pk"))
        context = self.page_context(
            request, way, title=str(way), way=way, status=self.status_label(way), buttons=buttons, slots=slots,
            brought=way.shown_brought, live=set(way.live_chats), problem=problem_text(way.error_code, way.error_text),
            picture=mark_safe(pictures.svg(entries.printed(way))) if way.qr_code else "",  # noqa: S308  drawn by us, its texts escaped
            list_url=reverse("admin:campaigns_joinway_changelist"),
        )  # fmt: skip
        return TemplateResponse(request, f"{TEMPLATES}page.html", context)

    def picture_view(self, request: HttpRequest, object_id: str, kind: str) -> HttpResponse:
        way = self._way(request, object_id)
        if not way.qr_code or kind not in ("png", "svg"):
            raise Http404
        one = entries.printed(way)
        content: bytes | str = pictures.png(one) if kind == "png" else pictures.svg(one)
        content_type = "image/png" if kind == "png" else "image/svg+xml"
        headers = {"Content-Disposition": f'attachment; filename="{way.state}.{kind}"', "Cache-Control": "private"}
        return HttpResponse(content, content_type=content_type, headers=headers)

    def new_view(self, request: HttpRequest) -> HttpResponse:
        return self._form(request, None)

    def edit_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._form(request, self._way(request, object_id))

    def _form(self, request: HttpRequest, way: JoinWay | None) -> HttpResponse:
        if not self.may_make(request):
            raise PermissionDenied
        posted = request.POST if request.method == "POST" else None
        form = WayForm(posted, initial=_initial(way))
        if way is not None:
            del form.fields["store"]
        lists.styled(form)
        if posted is not None and form.is_valid():
            try:
                saved = _save(request, way, form.cleaned_data)
                messages.success(request, _("The code is saved."))
                return HttpResponseRedirect(self.url_of(saved))
            except RuleViolation as error:
                for name, sentence in error.extra.get("fields", {None: error.message}).items():
                    form.add_error(name if name in form.fields else None, sentence)
        context = self.page_context(
            request, way, form=form, title=_("Change “%(way)s”") % {"way": way} if way else _("New join way"),
            back=self.url_of(way) if way else reverse("admin:campaigns_joinway_changelist"),
        )  # fmt: skip
        return TemplateResponse(request, f"{TEMPLATES}edit.html", context, status=400 if form.errors else 200)

    def _way(self, request: HttpRequest, object_id: str) -> Any:
        way = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, way):
            raise PermissionDenied
        return way


def _initial(way: JoinWay | None) -> dict[str, Any]:
    if way is None:
        return {}
    standing = way.slots.filter(is_out=False).select_related("group").order_by("position", "pk")
    shown = {"groups": "\n".join(slot.group.chat_id for slot in standing)}
    return shown | {
        name: getattr(way, name) for name in ("name", "full_at", "makes_groups", "base_name", "next_number")
    }


def _save(request: HttpRequest, way: JoinWay | None, data: dict[str, Any]) -> JoinWay:
    now = timezone.now()
    wanted = {name: data[name] for name in ("name", "full_at", "makes_groups", "base_name", "next_number")}
    if way is not None:
        named = entries.named_groups(text=data["groups"], store=way.store)
        join_ways.change(way=way, of=named, actor=request.user, now=now, **wanted)
        return way
    store = Store.objects.filter(code=data["store"].strip()).first()
    if store is None:
        sentence = _("There is no store %(code)s.") % {"code": data["store"]}
        raise join_ways.BadJoinWay(sentence, extra={"fields": {"store": sentence}})
    named = entries.named_groups(text=data["groups"], store=store)
    corp = named[0].corp if named else Corp.objects.order_by("pk").first()
    if corp is None:
        raise join_ways.BadJoinWay(_("No WeCom corp is entered here yet."))
    return join_ways.draft(corp=corp, store=store, of=named, actor=request.user, **wanted)


# --- welcomes ---------------------------------------------------------------------------------------------------------


class WelcomeForm(forms.Form):
    corp = forms.ModelChoiceField(label=gettext_lazy("WeCom corp"), queryset=Corp.objects.none())
    name = forms.CharField(label=gettext_lazy("name"), max_length=32)
    text = forms.CharField(
        label=gettext_lazy("text"), widget=forms.Textarea(attrs={"rows": 6}), max_length=1000,
        help_text=gettext_lazy("%NICKNAME% becomes the name of who joins; at most 3,000 bytes."),
    )  # fmt: skip
    link_title = forms.CharField(label=gettext_lazy("title of the link"), max_length=42, required=False)
    link_url = forms.CharField(label=gettext_lazy("address of the link"), max_length=512, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        corps: Any = self.fields["corp"]
        corps.queryset = Corp.objects.order_by("pk")
        corps.initial = corps.queryset.first()
        lists.styled(self)


@object_act(
    gettext_lazy("Have it made again"), icon="refresh", right=Right.CHANGE,
    offered=lambda row: row.status in (GroupWelcome.Status.FAILED, GroupWelcome.Status.LOST),
    warning=gettext_lazy("Where the answer was lost, look in WeCom's console first: made twice it counts twice against the 100."),
)  # fmt: skip
def again(self: Any, request: HttpRequest, row: GroupWelcome, data: dict[str, Any]) -> str:
    group_welcomes.again(welcome=row, actor=request.user, now=timezone.now())
    return _("WeCom is making the welcome; look at this page again in a moment.")


class StoresForm(forms.Form):
    stores = forms.CharField(
        label=gettext_lazy("store codes"), widget=forms.Textarea(attrs={"rows": 4}), required=False,
        help_text=gettext_lazy("One a line; empty: the groups of all stores."),
    )  # fmt: skip


@object_act(
    gettext_lazy("Ask the owners"), icon="campaign", form=StoresForm, offered=lambda row: row.status == GroupWelcome.Status.LIVE,
    warning=gettext_lazy("WeCom lets only the owner put a welcome to use. Each gets it into her list of the day, with the words how."),
)  # fmt: skip
def ask_owners(self: Any, request: HttpRequest, row: GroupWelcome, data: dict[str, Any]) -> str:
    codes = data["stores"].split()
    rows = org.visible(Group.objects.filter(corp=row.corp_id, dissolved_at=None), org.scope_of(request.user))
    chosen = list(rows.filter(store__code__in=codes) if codes else rows)
    count = group_welcomes.ask_owners(welcome=row, groups=chosen, actor=request.user, now=timezone.now())
    return _("%(count)s owners have it in their list now.") % {"count": count}


@object_act(
    gettext_lazy("Delete"), icon="delete", right=Right.CHANGE, offered=lambda row: row.status != GroupWelcome.Status.DELETED,
    warning=gettext_lazy("Groups that use it greet nobody any more. This cannot be undone."),
)  # fmt: skip
def delete(self: Any, request: HttpRequest, row: GroupWelcome, data: dict[str, Any]) -> str:
    group_welcomes.delete(welcome=row, actor=request.user, now=timezone.now())
    return _("WeCom is deleting the welcome.")


@admin.register(GroupWelcome)
class GroupWelcomeAdmin(ReadOnlyAdmin):
    acts = (again, ask_owners, delete)
    change_list_template = "admin/campaigns/groupwelcome/list.html"
    list_display = ("name", "corp", "status_label", "problem_column", "created_at")
    list_select_related = ("corp",)
    list_filter = (("status", lists.ChoicesDropdownFilter),)
    ordering = ("-pk",)
    fields = ("name", "corp", "text", "link_title", "link_url", "status_label", "problem_column", "created_at")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("new/", view(self.new_view), name="campaigns_groupwelcome_new"),
            path("<path:object_id>/edit/", view(self.edit_view), name="campaigns_groupwelcome_edit"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        may = self.has_right(request, Right.CHANGE)
        return super().changelist_view(request, {**(extra_context or {}), "may_make": may})

    def acts_for(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        buttons = super().acts_for(request, obj)
        if self.has_right(request, Right.CHANGE) and obj.status != GroupWelcome.Status.DELETED:
            address = reverse("admin:campaigns_groupwelcome_edit", args=(obj.pk,))
            buttons.insert(
                0, {**(buttons[0] if buttons else {}), "title": _("Change"), "icon": "edit", "path": address}
            )
        return buttons

    @display(description=gettext_lazy("state"), label=WELCOME_COLOURS)
    def status_label(self, row: GroupWelcome) -> Any:
        return state(row.status, row.get_status_display())

    @display(description=gettext_lazy("problem"))
    def problem_column(self, row: GroupWelcome) -> str:
        if row.error_code == "wecom_quota":
            return _("WeCom keeps at most 100 welcomes of a corp: delete one, then have this one made again.")
        return row.error_text or (words.problem_text(row.error_code) if row.error_code else EMPTY)

    def new_view(self, request: HttpRequest) -> HttpResponse:
        return self._form(request, None)

    def edit_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._form(request, self.get_object(request, unquote(object_id)))

    def _form(self, request: HttpRequest, row: GroupWelcome | None) -> HttpResponse:
        if not self.has_right(request, Right.CHANGE):
            raise PermissionDenied
        names = ("corp", "name", "text", "link_title", "link_url")
        form = WelcomeForm(request.POST or None, initial={name: getattr(row, name) for name in names} if row else None)
        if row is not None:
            del form.fields["corp"]
        if request.method == "POST" and form.is_valid():
            said = {"corp": row.corp if row else None, **form.cleaned_data}
            try:
                saved = group_welcomes.write(welcome=row, actor=request.user, now=timezone.now(), **said)
                return HttpResponseRedirect(self.url_of(saved))
            except RuleViolation as error:
                for name, sentence in error.extra.get("fields", {None: error.message}).items():
                    form.add_error(name, sentence)
        context = self.page_context(
            request, row, form=form, title=_("Change “%(way)s”") % {"way": row} if row else _("New welcome of groups"),
            back=self.url_of(row) if row else reverse("admin:campaigns_groupwelcome_changelist"),
        )  # fmt: skip
        return TemplateResponse(request, f"{TEMPLATES}edit.html", context, status=400 if form.errors else 200)


@admin.register(GroupTag)
class GroupTagAdmin(ScopedAdmin):
    add_right: ClassVar[Right | None] = Right.CHANGE
    change_right: ClassVar[Right | None] = Right.CHANGE
    list_display = ("name", "brand")
    list_select_related = ("brand",)
    search_fields = ("name__startswith",)
    ordering = ("name", "pk")
    fields = ("brand", "name")


def midnight() -> dt.datetime:
    return dt.datetime.combine(timezone.now().astimezone(SHANGHAI).date(), dt.time(), SHANGHAI)
