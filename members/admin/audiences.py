"""Audiences in the console: the list, the builder with its live count, one audience, why a member is in it, snapshots."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from members import audiences, queries
from members.admin.facts import value_page
from members.audiences import fields, wording
from members.models import Audience, AudienceSnapshot, Member
from scrm import crypto, org
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, QUIET, display, link, state
from scrm.admin.words import stage_text
from scrm.errors import RuleViolation
from scrm.models import Brand, Store

words.register(
    {
        "consent.give": gettext_lazy("gave consent"),
        "consent.withdraw": gettext_lazy("withdrew consent"),
        "audience.make": gettext_lazy("made an audience"),
        "audience.change": gettext_lazy("changed an audience"),
        "audience.archive": gettext_lazy("archived an audience"),
        "audience.freeze": gettext_lazy("froze an audience"),
        "tag.put": gettext_lazy("tagged members"),
        "tag.take": gettext_lazy("took a tag from members"),
        "tag.rule": gettext_lazy("let an audience keep a tag"),
        "tag.switch": gettext_lazy("switched an automatic tag"),
        "facts.rule": gettext_lazy("changed the rule of the stages"),
        "rebuild_facts": gettext_lazy("rebuilding the facts of members"),
        "nightly_facts": gettext_lazy("nightly facts of members"),
        "freeze_audience": gettext_lazy("freezing an audience"),
        "freeze the audience": gettext_lazy("freezing an audience"),
        "count facts": gettext_lazy("counting facts"),
        "keep tags": gettext_lazy("keeping tags"),
    }
)
MOST_BYTES = 200_000  # of a rule on its way here
SHOWN_STORES = 50
NEW_RULE = {"op": "AND", "of": []}
SNAPSHOT_COLOURS = {
    AudienceSnapshot.Status.BUILDING: BUSY,
    AudienceSnapshot.Status.READY: GOOD,
    AudienceSnapshot.Status.FAILED: BAD,
}


@object_act(
    gettext_lazy("Archive"), icon="archive", offered=lambda row: not row.is_archived,
    warning=gettext_lazy("It is offered no more; its versions and snapshots stay."),
)  # fmt: skip
def archive(self: Any, request: HttpRequest, row: Audience, data: dict[str, Any]) -> str:
    audiences.archive(audience=row, actor=request.user)
    return _("The audience is archived.")


@admin.register(Audience)
class AudienceAdmin(BigReadOnlyAdmin):
    list_display = ("name", "version_text", "reach", "state_label", "created_by", "created_at")
    list_select_related = ("created_by",)
    list_filter = (("is_archived", lists.BooleanRadioFilter),)
    search_fields = ("name__startswith",)
    search_help_text = gettext_lazy("Beginning of the name")
    change_list_template = "admin/members/audience/list.html"
    acts = (archive,)

    def get_urls(self) -> list[Any]:
        def page(route: str, view: Any, name: str) -> Any:
            return path(route, self.admin_site.admin_view(view), name=f"members_audience_{name}")

        return [
            page("new/", self.new_view, "new"),
            page("value/", partial(value_page, self), "value"),
            page("count/", require_POST(self.count_view), "count"),
            page("options/", require_GET(self.options_view), "options"),
            page("<int:pk>/edit/", self.edit_view, "edit"),
            page("<int:pk>/freeze/", require_POST(self.freeze_view), "freeze"),
            page("<int:pk>/why/", self.why_view, "why"),
            *super().get_urls(),
        ]

    # --- the list ---

    @display(description=gettext_lazy("version"))
    def version_text(self, row: Audience) -> str:
        return f"v{row.version_no}"

    @display(description=gettext_lazy("reaches"))
    def reach(self, row: Audience) -> str:
        return _("everybody") if row.store_ids is None else _("%(count)s stores") % {"count": len(row.store_ids)}

    @display(description=gettext_lazy("state"), label={"IN_USE": GOOD, "ARCHIVED": QUIET})
    def state_label(self, row: Audience) -> Any:
        return state("ARCHIVED", _("archived")) if row.is_archived else state("IN_USE", _("in use"))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "may_act": self.has_act_permission(request)})

    # --- the builder ---

    def new_view(self, request: HttpRequest) -> HttpResponse:
        return self._builder(request, None)

    def edit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._builder(request, self._seen(request, pk))

    def _builder(self, request: HttpRequest, row: Audience | None) -> HttpResponse:
        if not self.has_act_permission(request) or (row is not None and row.is_archived):
            raise PermissionDenied
        scope = audiences.scope_of(row) if row is not None else org.scope_of(request.user)
        said: dict[str, Any] = {"name": row.name, "note": row.note, "rule": row.rule} if row else {}
        problem: RuleViolation | None = None
        if request.method == "POST":
            said = {name: request.POST.get(name, "") for name in ("name", "note")}
            said["rule"] = _rule_in(request.POST.get("rule", ""))
            try:
                saved = audiences.save(
                    brand=row.brand if row else _brand(), audience=row, scope=scope, actor=request.user, now=timezone.now(), **said
                )  # fmt: skip
            except RuleViolation as error:
                problem = error
            else:
                messages.success(
                    request, _("The audience is saved as version %(number)s.") % {"number": saved.version_no}
                )
                return HttpResponseRedirect(self.url_of(saved))
        ask = self._ask(row, scope)
        rule = said.get("rule") or NEW_RULE
        data = {
            **wording.offered(ask), "rule": rule, "labels": wording.labels_in(rule, ask),
            "problems": problem.extra.get("problems", []) if problem else [],
            "urls": {name: reverse(f"admin:members_audience_{name}") for name in ("count", "options")},
            "audience": row.pk if row else None, "texts": _texts(),
        }  # fmt: skip
        title = _("Edit audience %s") % row.name if row else _("New audience")
        context = self.page_context(
            request, row, title=title, data=data, said=said, problem=problem,
            back=self.url_of(row) if row else reverse("admin:members_audience_changelist"),
        )  # fmt: skip
        status = 400 if problem else 200
        return TemplateResponse(request, "admin/members/audience/builder.html", context, status=status)

    def count_view(self, request: HttpRequest) -> HttpResponse:
        """JSON in, JSON out: how many members the rule means now, or what is wrong with it and where."""
        if not self.has_act_permission(request):
            raise PermissionDenied
        body = _json_of(request)
        row = self._seen(request, body["audience"]) if isinstance(body.get("audience"), int) else None
        scope = audiences.scope_of(row) if row is not None else org.scope_of(request.user)
        try:
            found = audiences.count(
                body.get("rule"), brand_id=(row.brand_id if row else _brand().pk), scope=scope, now=timezone.now()
            )
        except audiences.BadRule as error:
            return JsonResponse({"problems": error.extra["problems"]}, status=422)
        return JsonResponse({"members": found.members, "is_estimate": found.is_estimate})

    def options_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_act_permission(request):
            raise PermissionDenied
        field = fields.get(request.GET.get("field", ""))
        if field is None:
            raise Http404
        ask = self._ask(None, org.scope_of(request.user))
        return JsonResponse({"options": fields.options(field, ask, search=request.GET.get("q", "").strip()[:64])})

    # --- one audience ---

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row: Audience = self.get_object(request, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        context = self._page(request, row)
        return TemplateResponse(request, "admin/members/audience/page.html", context)

    def _page(self, request: HttpRequest, row: Audience, **more: Any) -> dict[str, Any]:
        scope, now = audiences.scope_of(row), timezone.now()
        ask, problem, found, stores, rule_lines = self._ask(row, scope), None, None, [], []
        try:
            node = audiences.read(row.rule, ask)
        except audiences.BadRule as error:
            problem = error
        else:
            rule_lines = wording.lines(node, ask)
            found = audiences.count(row.rule, brand_id=row.brand_id, scope=scope, now=now)
            if not found.is_estimate:
                stores = _by_store(audiences.by_store(row.rule, brand_id=row.brand_id, scope=scope, now=now), scope)
        snapshots = org.visible(AudienceSnapshot.objects.filter(version__audience=row), org.scope_of(request.user))
        return self.page_context(
            request, row, title=str(row), audience=row, lines=rule_lines, problem=problem, found=found,
            stores=stores[:SHOWN_STORES], store_count=len(stores), versions=row.versions.select_related("made_by").order_by("-version_no")[:20],
            snapshots=snapshots.select_related("version", "made_by").order_by("-pk")[:20], may_act=self.has_act_permission(request),
            actions_detail=self.acts_for(request, row), **more,
        )  # fmt: skip

    def freeze_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = self._seen(request, pk)
        if not self.has_act_permission(request):
            raise PermissionDenied
        try:
            snapshot = audiences.freeze(audience=row, actor=request.user, now=timezone.now())
        except RuleViolation as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(self.url_of(row))
        return HttpResponseRedirect(reverse("admin:members_audiencesnapshot_change", args=(snapshot.pk,)))

    def why_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A member by her card or mobile number, which is posted and stands in no address."""
        row = self._seen(request, pk)
        member, reasons = None, []
        if request.method == "POST":
            member = _find_member(request.POST.get("q", ""), org.scope_of(request.user))
            if member is None:
                messages.warning(request, _("No member with this number, or none that you may see."))
                return HttpResponseRedirect(self.url_of(row))
            scope = audiences.scope_of(row)
            try:
                found = audiences.why(row.rule, member=member, scope=scope, now=timezone.now())
            except audiences.BadRule as error:
                messages.error(request, error.message)
                return HttpResponseRedirect(self.url_of(row))
            reasons = wording.reasons(found, self._ask(row, scope))
        is_reached = bool(member and member.status == Member.Status.ACTIVE and _within(member, audiences.scope_of(row)))
        context = self.page_context(
            request, row, title=_("Why is she in it: %s") % row, audience=row, member=member, reasons=reasons,
            is_reached=is_reached, is_in=bool(reasons and reasons[0].holds and is_reached), back=self.url_of(row),
        )  # fmt: skip
        return TemplateResponse(request, "admin/members/audience/why.html", context)

    def _seen(self, request: HttpRequest, pk: int) -> Audience:
        row: Audience = self.get_object(request, str(pk))
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return row

    def _ask(self, row: Audience | None, scope: org.Scope) -> audiences.Ask:
        return audiences.business_ask(brand_id=row.brand_id if row else _brand().pk, scope=scope, now=timezone.now())


@admin.register(AudienceSnapshot)
class AudienceSnapshotAdmin(BigReadOnlyAdmin):
    list_display = (
        "number",
        "audience_link",
        "version_text",
        "status_label",
        "member_count",
        "as_of",
        "made_by",
        "made_at",
    )
    list_select_related = ("version__audience", "made_by")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.state_view)
        return [path("<int:pk>/state/", view, name="members_audiencesnapshot_state"), *super().get_urls()]

    @display(description="#")
    def number(self, row: AudienceSnapshot) -> str:
        return str(row.pk)

    @display(description=gettext_lazy("audience"))
    def audience_link(self, row: AudienceSnapshot) -> str:
        return link("members_audience", row.version.audience_id, row.version.audience)

    @display(description=gettext_lazy("version"))
    def version_text(self, row: AudienceSnapshot) -> str:
        return f"v{row.version.version_no}"

    @display(description=gettext_lazy("state"), label=SNAPSHOT_COLOURS)
    def status_label(self, row: AudienceSnapshot) -> Any:
        return state(row.status, row.get_status_display())

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row: AudienceSnapshot = self.get_object(request, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        audience = row.version.audience
        ask = audiences.business_ask(brand_id=audience.brand_id, scope=audiences.scope_of(row), now=timezone.now())
        try:
            rule_lines = wording.lines(audiences.read(row.version.rule, ask), ask)
        except audiences.BadRule:
            rule_lines = []  # it names what no longer exists; the members stand all the same
        stores = []
        if row.status == "READY":
            stores = _by_store(queries.snapshot_by_store(snapshot_id=row.pk), org.scope_of(request.user))
        context = self.page_context(
            request, row, title=_("Snapshot %(number)s of %(audience)s") % {"number": row.pk, "audience": audience}, snapshot=row,
            audience=audience, lines=rule_lines, stores=stores[:SHOWN_STORES], store_count=len(stores), progress=_progress(row),
        )  # fmt: skip
        return TemplateResponse(request, "admin/members/audience/snapshot.html", context)

    def state_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        row: AudienceSnapshot = self.get_object(request, str(pk))
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return JsonResponse(_progress(row))


# --- small things -----------------------------------------------------------------------------------------------------


def _brand() -> Brand:
    return Brand.objects.earliest("pk")


def _rule_in(text: str) -> Any:
    try:
        return json.loads(text) if len(text) <= MOST_BYTES else None
    except ValueError:
        return None


def _json_of(request: HttpRequest) -> dict[str, Any]:
    body = _rule_in(request.body.decode(errors="replace"))
    return body if isinstance(body, dict) else {}


def _find_member(term: str, scope: org.Scope) -> Member | None:
    term = term.strip()
    mobile = crypto.normalise_mobile(term)
    if mobile is not None:
        return queries.member_by_mobile(mobile=mobile, scope=scope)
    cards = Member.objects.filter(identities__kind="CARD", identities__value=term) if term else Member.objects.none()
    return org.visible(cards, scope).order_by("pk").first()


def _within(member: Member, scope: org.Scope) -> bool:
    return org.visible(Member.objects.filter(pk=member.pk), scope).exists()


def _by_store(counts: dict[int | None, int], scope: org.Scope) -> list[tuple[str, int]]:
    """Stores of the scope by name; who is served there and has her home elsewhere, or nowhere, is counted without a store."""
    stores = org.visible(Store.objects.filter(pk__in=[key for key in counts if key]), scope)
    names: dict[int | None, str] = dict(stores.values_list("pk", "name"))
    found: dict[str, int] = {}
    for key, count in counts.items():
        name = names.get(key) or (_("no home store") if scope.is_everything else _("home store elsewhere"))
        found[name] = found.get(name, 0) + count
    return sorted(found.items(), key=lambda row: (-row[1], row[0]))


def _progress(row: AudienceSnapshot) -> dict[str, Any]:
    job, is_open = row.job, row.status == AudienceSnapshot.Status.BUILDING
    total = (job.total_count if job else 0) or 0
    share = 100 if row.status == "READY" else min(99, 100 * job.done_count // total) if job and total else 0
    return {
        "is_open": is_open and job is not None and job.status in ("QUEUED", "RUNNING"), "share": share,
        "stage": stage_text(job.stage) if job and job.stage else _("waiting for a worker"),
        "status_text": str(row.get_status_display()), "error": job.error if job else "", "empty": EMPTY,
    }  # fmt: skip


def _texts() -> dict[str, str]:
    return {
        "add_condition": _("Add condition"), "add_group": _("Add group"), "remove": _("Remove"), "remove_group": _("Remove group"),
        "choose": _("Choose…"), "search": _("Type to look up…"), "days": _("days"), "months": _("month"), "yuan": _("yuan"), "to": _("to"),
        "counting": _("counting…"), "members": _("members are meant"), "estimate": _("estimated"), "add_one": _("Add the first condition."),
        "failed": _("The count failed; try again."), "window": _("Window"), "last_days": _("last days"), "fixed": _("fixed days"),
        "more": _("Only certain channels, categories, products or stores"), "field": _("field"), "comparison": _("comparison"),
        "value": _("value"), "measure": _("measure"), "all": _("all"), "of_group": _("group"), "pieces": _("pieces"), "orders": _("order(s)"),
    }  # fmt: skip
