"""Decisions in the console: the list, and the page that explains one line."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from attribution import explanations
from attribution.admin import override_pages
from attribution.models import Decision
from members.models import Member, OrderLine
from scrm import org
from scrm.admin import lists
from scrm.admin.bases import BigReadOnlyAdmin
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, QUIET, display, link, money, percent, state
from scrm.org import Right

STATE_COLOURS = {
    Decision.State.LIVE: GOOD,
    Decision.State.PROVISIONAL: BUSY,
    Decision.State.HELD: BAD,
    Decision.State.INELIGIBLE: QUIET,
    Decision.State.SUPERSEDED: QUIET,
}


@admin.register(Decision)
class DecisionAdmin(BigReadOnlyAdmin):
    list_display = ("number", "order_text", "as_of", "winner", "store", "base", "rate", "pot", "state_label")
    list_display_links = ("number", "order_text")
    list_select_related = ("store", "rule")
    list_filter = (
        ("store", lists.ScopedFilter),
        ("state", lists.ChoicesDropdownFilter),
        ("as_of", lists.DayFilter),
        ("rule", lists.ScopedDropdownFilter),
    )
    search_fields = ("winner_code__exact",)
    search_help_text = gettext_lazy("Complete order number, or guide code")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], term: str
    ) -> tuple[QuerySet[Any], bool]:
        """An order number leads over its lines; they stand in another app's table without a foreign key."""
        term = term.strip()
        if not term:
            return queryset, False
        lines = explanations.lines_of_order(order_no=term)
        return (queryset.filter(line_id__in=lines) if lines else queryset.filter(winner_code=term)), False

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        codes = [row.winner_code for row in rows]
        names = explanations.beneficiary_names(codes=codes, scope=org.scope_of(request.user))
        orders = explanations.order_numbers(keys={(row.line_id, row.booked_on) for row in rows})
        for row in rows:
            row.shown_winner = names.get(row.winner_code, row.winner_code)
            row.shown_order = orders.get(row.line_id, str(row.line_id))

    @display(description="#")
    def number(self, decision: Decision) -> str:
        return str(decision.pk)

    @display(description=gettext_lazy("order line"))
    def order_text(self, decision: Any) -> str:
        return decision.shown_order

    @display(description=gettext_lazy("winner"))
    def winner(self, decision: Any) -> str:
        return _("HQ pool") if decision.winner_code == "HQ_POOL" else decision.shown_winner or EMPTY

    @display(description=gettext_lazy("base"))
    def base(self, decision: Decision) -> SafeString:
        return money(decision.base_fen)

    @display(description=gettext_lazy("rate"))
    def rate(self, decision: Decision) -> str:
        return percent(decision.rate_bp)

    @display(description=gettext_lazy("commission"))
    def pot(self, decision: Decision) -> SafeString:
        return money(decision.pot_fen)

    @display(description=gettext_lazy("state"), label=STATE_COLOURS)
    def state_label(self, decision: Decision) -> Any:
        return state(decision.state, decision.get_state_display())

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(override_pages.ask)
        return [path("<int:pk>/override/", view, name="attribution_decision_override"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """One line in plain words: rule, winner, each loser and why, the money step by step."""
        decision = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, decision):
            raise PermissionDenied
        scope = org.scope_of(request.user)
        page = explanations.decision_page(decision=decision, scope=scope)
        members = lists.visible_names(request, Member, [page.line.member_id])
        lines = lists.visible_names(request, OrderLine, [page.line.pk])
        context = self.page_context(
            request,
            decision,
            title=_("Decision on %s") % page.line.order.order_no,
            page=page,
            decision=decision,
            member_text=members.get(page.line.member_id),
            line_link=link("members_orderline", page.line.pk, _("order line")) if lines else "",
            may_see_rule=scope.is_everything,
            may_override=org.may(request.user, Right.ACT) and decision.state != Decision.State.SUPERSEDED,
            overrides=override_pages.of_line(request, decision),
        )
        return TemplateResponse(request, "admin/attribution/decision/page.html", context)
