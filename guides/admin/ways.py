"""Codes in the console: what each has brought, who stands behind it, its picture, and codes that nobody owns."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from guides import contact_ways
from guides.admin import way_pages
from guides.contact_ways import duty, figures, ledger, pictures
from guides.models import ContactWay, Employment, Guide, StrayWay
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, NEW, QUIET, display, link, state
from scrm.org import Right

PRINTED_AT_ONCE = 180  # twenty pages
Status, Purpose = ContactWay.Status, ContactWay.Purpose
STATUS_COLOURS = {
    Status.DRAFT: QUIET, Status.CREATING: BUSY, Status.LIVE: GOOD, Status.FAILED: BAD, Status.RETIRED: QUIET, "MISSING": BAD,
}  # fmt: skip
STRAY_COLOURS = {
    StrayWay.Status.OPEN: BAD, StrayWay.Status.ADOPTED: GOOD, StrayWay.Status.DELETING: BUSY, StrayWay.Status.DELETED: QUIET,
    StrayWay.Status.GONE: QUIET,
}  # fmt: skip

words.register(
    {
        "way.draft": gettext_lazy("drafted a contact way"),
        "way.create": gettext_lazy("had a contact way made"),
        "way.change": gettext_lazy("changed a contact way"),
        "way.retire": gettext_lazy("retired a contact way"),
        "way.stand_in": gettext_lazy("had another stand in behind a leaver's code"),
        "way.return": gettext_lazy("gave a code back to the guide who returned"),
        "way.adopt": gettext_lazy("took a stray contact way over"),
        "way.delete_stray": gettext_lazy("had a stray contact way deleted"),
        "make_guide_ways": gettext_lazy("codes for guides"),
        "compare_ways": gettext_lazy("comparison of codes with WeCom"),
        "ways": gettext_lazy("writing the codes"),
        "list_ways": gettext_lazy("listing the codes at WeCom"),
        "group_ways": gettext_lazy("asking for the codes of groups"),
        "summary.ways": gettext_lazy("codes"),
        "summary.listed": gettext_lazy("codes at WeCom"),
        "summary.strays": gettext_lazy("stray codes"),
        "summary.returned": gettext_lazy("found again"),
        "summary.group_ways": gettext_lazy("codes of groups"),
        "summary.group_ways_gone": gettext_lazy("codes of groups no longer at WeCom"),
        "summary.group_ways_not_comparable": gettext_lazy("codes of groups whose answer was lost"),
        "contact_way.create": gettext_lazy("make a contact way"),
        "contact_way.update": gettext_lazy("change a contact way"),
        "contact_way.delete": gettext_lazy("delete a contact way"),
        "stray_way.delete": gettext_lazy("delete a stray contact way"),
    }
)


class ReasonForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=2, max_length=200)


@object_act(
    gettext_lazy("Have it made"), icon="qr_code_2",
    offered=lambda way: way.status in (Status.DRAFT, Status.FAILED),
    warning=gettext_lazy("WeCom makes the code within seconds. It counts against the corp's quota."),
)  # fmt: skip
def make(self: Any, request: HttpRequest, way: ContactWay, data: dict[str, Any]) -> str:
    contact_ways.create(way=way, actor=request.user, now=timezone.now())
    return _("WeCom is making the code; look at this page again in a moment.")


@object_act(
    gettext_lazy("Tell WeCom again"), icon="sync", offered=lambda way: way.status == Status.LIVE,
    warning=gettext_lazy("WeCom is told once more who is added through this code."),
)  # fmt: skip
def tell_again(self: Any, request: HttpRequest, way: ContactWay, data: dict[str, Any]) -> str:
    contact_ways.tell_again(way=way, actor=request.user, now=timezone.now())
    return _("WeCom is being told.")


@object_act(
    gettext_lazy("Retire"), icon="delete", form=ReasonForm, offered=lambda way: way.status != Status.RETIRED,
    warning=gettext_lazy("Whoever scans a printed picture of it reaches nobody. This cannot be undone."),
)  # fmt: skip
def retire(self: Any, request: HttpRequest, way: ContactWay, data: dict[str, Any]) -> str:
    contact_ways.retire(way=way, actor=request.user, now=timezone.now(), reason=data["reason"])
    return _("The code is retired.")


class WayStoreFilter(lists.ScopedFilter):
    """The codes of a store and those of the guides who work there."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.used_parameters.get(self.lookup_kwarg)
        key = value[0] if isinstance(value, list) else value
        if not str(key or "").isdecimal():
            return queryset
        there = Employment.objects.filter(guide=OuterRef("guide"), store=key, ended_at=None)
        return queryset.filter(Q(store=key) | Q(Exists(there)))


@admin.register(ContactWay)
class ContactWayAdmin(BigReadOnlyAdmin):
    acts = (make, tell_again, retire)
    actions = ("print_chosen",)
    change_list_template = "admin/guides/contactway/list.html"
    list_display = (
        "name", "purpose_label", "store", "guide_text", "status_label", "now_text", "today_text", "week_text", "ever_text",
    )  # fmt: skip
    list_select_related = ("store", "guide", "stand_in")
    list_filter = (
        ("purpose", lists.ChoicesDropdownFilter), ("status", lists.ChoicesDropdownFilter), ("store", WayStoreFilter),
        ("guide", lists.ScopedFilter), ("stand_in_by", lists.ChoicesDropdownFilter),
    )  # fmt: skip
    search_fields = ("state__exact", "guide__code__exact", "name__startswith")
    search_help_text = gettext_lazy("State of the code, guide code, or beginning of the name")
    fields = ("name",)

    def get_urls(self) -> list[Any]:
        def page(route: str, view: Any, name: str) -> Any:
            return path(route, self.admin_site.admin_view(view), name=f"guides_contactway_{name}")

        return [
            page("new/", self.new_view, "new"),
            page("bulk/", self.bulk_view, "bulk"),
            page("<path:object_id>/edit/", self.edit_view, "edit"),
            page("<path:object_id>/picture.<slug:kind>", self.picture_view, "picture"),
            *super().get_urls(),
        ]

    # --- the list ---

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        brought = figures.of_ways([row.pk for row in rows], today=timezone.now().astimezone(duty.SHANGHAI).date())
        names = lists.visible_names(request, Guide, (row.guide_id for row in rows))
        for row in rows:
            row.shown_figures, row.shown_guide = brought.get(row.pk, figures.Figures()), names.get(row.guide_id)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        more = {"may_make": self.may_make(request), "quota": way_pages.quota() if self.may_make(request) else None}
        return super().changelist_view(request, {**(extra_context or {}), **more})

    def may_make(self, request: HttpRequest) -> bool:
        """New codes may name any store and guide, so they are HQ's."""
        return org.scope_of(request.user).is_everything and self.has_right(request, Right.ACT)

    @admin.action(description=gettext_lazy("Print the chosen codes"), permissions=["view"])
    def print_chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        live = queryset.filter(status=Status.LIVE).select_related("store", "guide").order_by("store", "pk")
        found = list(live[: PRINTED_AT_ONCE + 1])
        if not found:
            messages.warning(request, _("None of the chosen codes is in use."))
            return None
        if len(found) > PRINTED_AT_ONCE:
            messages.warning(request, _("At most %(most)s codes at a time.") % {"most": PRINTED_AT_ONCE})
            return None
        return way_pages.sheet(request, found)

    @display(description=gettext_lazy("purpose"), label=dict.fromkeys(Purpose, QUIET) | {Purpose.CAMPAIGN: NEW})
    def purpose_label(self, way: ContactWay) -> Any:
        return state(way.purpose, way.get_purpose_display())

    @display(description=gettext_lazy("guide"))
    def guide_text(self, way: Any) -> str:
        if way.guide is None:
            return EMPTY
        return str(link("guides_guide", way.guide_id, way.shown_guide)) if way.shown_guide else way.guide.code

    @display(description=gettext_lazy("state"), label=STATUS_COLOURS)
    def status_label(self, way: ContactWay) -> Any:
        if way.status == Status.LIVE and way.missing_at is not None:
            return state("MISSING", _("missing at WeCom"))
        return state(way.status, way.get_status_display())

    @display(description=gettext_lazy("who is added now"))
    def now_text(self, way: ContactWay) -> str:
        if way.stand_in_by:
            return _("%(who)s, for the guide who is gone") % {"who": way.stand_in or way.get_stand_in_by_display()}
        people = list(way.live_userids)
        return "、".join(people[:3]) + (f" +{len(people) - 3}" if len(people) > 3 else "") or EMPTY

    @display(description=gettext_lazy("friends today"))
    def today_text(self, way: Any) -> str:
        return _brought(way.shown_figures.today)

    @display(description=gettext_lazy("friends in 7 days"))
    def week_text(self, way: Any) -> str:
        return _brought(way.shown_figures.week)

    @display(description=gettext_lazy("friends ever (members / bound)"))
    def ever_text(self, way: Any) -> str:
        ever = way.shown_figures.ever
        return f"{ever.friends} ({ever.members} / {ever.bound})"

    # --- one code ---

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        way = self._way(request, object_id)
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        self.decorate(request, [way])
        (one,) = pictures.prints([way])
        staff = list(way.staff.select_related("guide").order_by("is_backup", "guide__code"))
        names = lists.visible_names(request, Guide, (row.guide_id for row in staff))
        context = self.page_context(
            request, way, title=str(way), way=way, status=self.status_label(way), buttons=self._buttons(request, way),
            picture=mark_safe(pictures.svg(one)) if way.qr_code else "",  # noqa: S308  drawn by us, its texts escaped
            periods=[
                (_("today"), way.shown_figures.today), (_("the last 7 days"), way.shown_figures.week),
                (_("ever"), way.shown_figures.ever),
            ],
            staff=[(row, names.get(row.guide_id, row.guide.code), way_pages.hours_of(row)) for row in staff],
            by_guide=[
                {**row, "name": names.get(row["guide_id"], row["guide__code"])} for row in figures.by_guide(way.pk)
            ],
        )  # fmt: skip
        return TemplateResponse(request, "admin/guides/contactway/page.html", context)

    def _buttons(self, request: HttpRequest, way: ContactWay) -> list[dict[str, Any]]:
        buttons = self.acts_for(request, way)
        if self.may_make(request) and way.status != Status.RETIRED:
            edit = {"title": _("Change"), "path": reverse("admin:guides_contactway_edit", args=(way.pk,))}
            buttons.insert(0, edit)
        return buttons

    def picture_view(self, request: HttpRequest, object_id: str, kind: str) -> HttpResponse:
        return way_pages.picture(self._way(request, object_id), kind)

    # --- new codes ---

    def new_view(self, request: HttpRequest) -> HttpResponse:
        self._require_making(request)
        return way_pages.edit(self, request, None)

    def edit_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        self._require_making(request)
        return way_pages.edit(self, request, self._way(request, object_id))

    def bulk_view(self, request: HttpRequest) -> HttpResponse:
        self._require_making(request)
        return way_pages.bulk(self, request)

    def _require_making(self, request: HttpRequest) -> None:
        if not self.may_make(request):
            raise PermissionDenied

    def _way(self, request: HttpRequest, object_id: str) -> Any:
        way = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, way):
            raise PermissionDenied
        return way


def _brought(brought: figures.Brought) -> str:
    return f"{brought.friends}" if brought.friends else EMPTY


# --- codes that nobody owns -------------------------------------------------------------------------------------------


@object_act(
    gettext_lazy("Take over"), icon="move_to_inbox",
    offered=lambda stray: stray.status == StrayWay.Status.OPEN and stray.way_id is not None,
    warning=gettext_lazy("The contact way whose state it carries uses this code from now on."),
)  # fmt: skip
def adopt(self: Any, request: HttpRequest, stray: StrayWay, data: dict[str, Any]) -> str:
    way = ledger.adopt(stray=stray, actor=request.user, now=timezone.now())
    return _("“%(way)s” has its code.") % {"way": way}


@object_act(
    gettext_lazy("Delete at WeCom"), icon="delete", form=ReasonForm,
    offered=lambda stray: stray.status == StrayWay.Status.OPEN,
    warning=gettext_lazy(
        "Another system of the company may still use this code: whoever scans it afterwards reaches nobody. This cannot be undone."
    ),
)  # fmt: skip
def delete_stray(self: Any, request: HttpRequest, stray: StrayWay, data: dict[str, Any]) -> str:
    ledger.delete(stray=stray, actor=request.user, now=timezone.now(), reason=data["reason"])
    return _("WeCom is deleting the code.")


@admin.register(StrayWay)
class StrayWayAdmin(BigReadOnlyAdmin):
    acts = (adopt, delete_stray)
    change_list_template = "admin/guides/strayway/list.html"
    list_display = ("config_id", "remark", "state", "people", "way", "status_label", "found_at", "error_text")
    list_select_related = ("way",)
    list_filter = (("status", lists.ChoicesDropdownFilter),)
    search_fields = ("config_id__exact",)
    search_help_text = gettext_lazy("WeCom's id")
    fields = (
        "corp", "config_id", "remark", "state", "people", "qr_code", "way", "status_label", "found_at", "error_text",
    )  # fmt: skip

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        more = {"beyond": ledger.not_comparable(now=timezone.now()), "listed_since": ledger.FIRST.date()}
        return super().changelist_view(request, {**(extra_context or {}), **more})

    @display(description=gettext_lazy("who is added"))
    def people(self, stray: StrayWay) -> str:
        return "、".join(stray.userids[:5]) or EMPTY

    @display(description=gettext_lazy("state"), label=STRAY_COLOURS)
    def status_label(self, stray: StrayWay) -> Any:
        return state(stray.status, stray.get_status_display())
