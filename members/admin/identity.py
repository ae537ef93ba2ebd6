"""Members and their identities in the console: the list, the search, the page of one member, the reveal."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from attribution import queries as attribution_queries
from guides import queries as guide_queries
from members import offers, queries, reveals
from members.admin.consent import record_consent
from members.admin.tags import put_tag, take_tag
from members.models import Identity, Member
from scrm import crypto, org
from scrm.admin import lists
from scrm.admin.bases import BigReadOnlyAdmin
from scrm.admin.shown import BAD, EMPTY, GOOD, QUIET, display, link, state
from scrm.models import Act
from scrm.org import Right

STATUS_COLOURS = {
    Member.Status.ACTIVE: GOOD,
    Member.Status.FROZEN: BAD,
    Member.Status.MERGED: QUIET,
    Member.Status.ERASED: QUIET,
}


class RevealForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Why do you need the number?"),
        min_length=reveals.SHORTEST_REASON,
        max_length=reveals.LONGEST_REASON,
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "placeholder": gettext_lazy("e.g. call back about order …")}
        ),
    )


@admin.register(Member)
class MemberAdmin(BigReadOnlyAdmin):
    list_display = ("name_text", "mobile", "card", "tier", "home_store", "guide", "status_label", "registered_on")
    list_display_links = ("name_text",)
    list_select_related = ("tier", "home_store")
    list_filter = (
        ("home_store", lists.ScopedFilter),
        ("tier", lists.ScopedDropdownFilter),
        ("status", lists.ChoicesDropdownFilter),
        ("registered_on", lists.RangeDateFilter),
    )
    search_fields = ("name__startswith",)  # a card or a mobile number is looked up by get_search_results
    search_help_text = gettext_lazy("11-digit mobile number, card number or the beginning of the name")
    change_list_template = "admin/members/member/list.html"
    acts = (put_tag, take_tag, record_consent)

    # --- list ---

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        keys = [row.pk for row in rows]
        identities = queries.masked_identities(member_ids=keys)
        guides = guide_queries.current_guides(member_ids=keys)
        for row in rows:
            row.shown_identities, row.shown_guide = identities.get(row.pk, {}), guides.get(row.pk)

    @display(description=gettext_lazy("Name"))
    def name_text(self, member: Member) -> str:
        return member.name or _("(no name)")

    @display(description=gettext_lazy("mobile number"))
    def mobile(self, member: Any) -> str:
        return member.shown_identities.get(Identity.Kind.MOBILE) or EMPTY

    @display(description=gettext_lazy("card number"))
    def card(self, member: Any) -> str:
        return member.shown_identities.get(Identity.Kind.CARD) or EMPTY

    @display(description=gettext_lazy("guide"))
    def guide(self, member: Any) -> str:
        return member.shown_guide or EMPTY

    @display(description=gettext_lazy("status"), label=STATUS_COLOURS)
    def status_label(self, member: Member) -> Any:
        return state(member.status, member.get_status_display())

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], term: str
    ) -> tuple[QuerySet[Any], bool]:
        """A card number or the beginning of a name; mobile numbers never stand in an address (see ``search_view``)."""
        term = term.strip()
        if not term:
            return queryset, False
        if crypto.normalise_mobile(term):
            return queryset.none(), False
        return queryset.filter(queries.search_q(term)), False

    # --- search by mobile number: posted, so that it stands in no address and no log ---

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("search/", wrap(require_POST(self.search_view)), name="members_member_search"),
            path("<path:object_id>/reveal/", wrap(self.reveal_view), name="members_member_reveal"),
            path("<path:object_id>/purchases/", wrap(self.purchases_view), name="members_member_purchases"),
            *super().get_urls(),
        ]

    def search_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        term = request.POST.get("q", "").strip()
        back = reverse("admin:members_member_changelist")
        mobile = crypto.normalise_mobile(term)
        if mobile is None:
            return HttpResponseRedirect(lists.with_query(back, q=term) if term else back)
        found = queries.member_by_mobile(mobile=mobile, scope=org.scope_of(request.user))
        if found is None:
            messages.warning(request, _("No member with this mobile number, or none that you may see."))
            return HttpResponseRedirect(back)
        return HttpResponseRedirect(self.url_of(found))

    # --- one member on one screen ---

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        member = self._member(request, object_id)
        scope = org.scope_of(request.user)
        page = queries.member_page(member=member, scope=scope)
        bindings = guide_queries.binding_history(member_id=member.pk, limit=50)
        for binding in bindings:
            binding["source_text"] = guide_queries.source_text(binding["source"])
        lines = queries.purchases(member_id=member.pk, scope=scope, limit=queries.PAGE_LINES)
        commission = attribution_queries.commission_of_lines(line_ids=[line.pk for line in lines], scope=scope)
        acts = Act.objects.filter(target_type=Member._meta.label, target_id=str(member.pk)).select_related("actor")
        context = self.page_context(
            request,
            member,
            title=str(member),
            member=member,
            page=page,
            profile=queries.member_profile(member=member, scope=scope),
            advice=offers.advise(bought=offers.bought_of(member_id=member.pk, scope=scope)),
            bindings=bindings,
            friends=guide_queries.friends_of(member_id=member.pk, limit=50),
            lines=lines,
            commission=commission,
            timeline=queries.timeline(page=page, bindings=bindings, lines=lines, acts=list(acts.order_by("-pk")[:20])),
            may_reveal=self.has_right(request, Right.REVEAL) and page.has_mobile,
            reveal_form=lists.styled(RevealForm()),
            actions_detail=self.acts_for(request, member),
        )
        return TemplateResponse(request, "admin/members/member/page.html", context)

    def purchases_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """All purchases of one member, page by page."""
        member = self._member(request, object_id)
        scope = org.scope_of(request.user)
        before = request.GET.get("before", "")
        lines = queries.purchases(member_id=member.pk, scope=scope, limit=51, before=before)
        rows, more = lines[:50], len(lines) > 50
        commission = attribution_queries.commission_of_lines(line_ids=[line.pk for line in rows], scope=scope)
        context = self.page_context(
            request, member, title=_("Purchases of %s") % member, member=member, lines=rows, commission=commission,
            next=queries.cursor_of(rows[-1]) if more else "",
        )  # fmt: skip
        return TemplateResponse(request, "admin/members/member/purchases.html", context)

    def reveal_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET asks for the reason and shows nothing; POST records it and then shows the numbers."""
        member = self._member(request, object_id)
        if not self.has_right(request, Right.REVEAL):
            raise PermissionDenied
        form = lists.styled(RevealForm(request.POST if request.method == "POST" else None))
        numbers, status, headers = None, 400 if request.method == "POST" else 200, {}
        if request.method == "POST" and form.is_valid():
            try:
                now = timezone.now()
                numbers = reveals.reveal(actor=request.user, member=member, reason=form.cleaned_data["reason"], now=now)
                status = 200
            except reveals.BudgetSpent as error:
                form.add_error(None, error.message)
                status, headers = 429, {"Retry-After": str(error.extra["retry_after_seconds"])}
            except reveals.NoReason as error:
                form.add_error("reason", error.message)
        context = self.page_context(
            request,
            member,
            title=_("Mobile number of %s") % member,
            form=form,
            numbers=numbers,
            back=self.url_of(member),
        )
        return TemplateResponse(request, "admin/members/member/reveal.html", context, status=status, headers=headers)

    def _member(self, request: HttpRequest, object_id: str) -> Member:
        member = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, member):
            raise PermissionDenied
        return member


@admin.register(Identity)
class IdentityAdmin(BigReadOnlyAdmin):
    list_display = ("kind_label", "shown", "member_link", "namespace", "is_verified", "linked_at")
    list_filter = (("kind", lists.ChoicesDropdownFilter),)
    search_fields = ("value__exact",)
    search_help_text = gettext_lazy("Card number, unionid, WeCom contact or channel account, complete")
    fields = ("kind_label", "shown", "member_link", "namespace", "is_verified", "linked_at")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Complete values only; the index of a mobile number is not something to search by."""
        found, distinct = super().get_search_results(request, queryset, term)
        return (found.exclude(kind=Identity.Kind.MOBILE) if term else found), distinct

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        names = lists.visible_names(request, Member, (row.member_id for row in rows))
        for row in rows:
            row.shown_member = names.get(row.member_id)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        self.decorate(request, [found])
        return found

    @display(description=gettext_lazy("kind"), label=dict.fromkeys(Identity.Kind, QUIET))
    def kind_label(self, identity: Identity) -> Any:
        return state(identity.kind, identity.get_kind_display())

    @display(description=gettext_lazy("value"))
    def shown(self, identity: Identity) -> str:
        return reveals.masked(identity.kind, identity.value, cast("bytes | None", identity.sealed))

    @display(description=gettext_lazy("member"))
    def member_link(self, identity: Any) -> SafeString | str:
        if identity.shown_member is None:
            return EMPTY
        return link("members_member", quote(identity.member_id), identity.shown_member)
