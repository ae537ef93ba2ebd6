"""Overrides in the console: those that wait, what each would move, and the answer of a second person."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from attribution import explanations, overrides
from attribution.admin import override_pages
from attribution.models import Decision, Override
from members.models import OrderLine
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, BUSY, GOOD, display, state

STATUS_COLOURS = {Override.Status.REQUESTED: BUSY, Override.Status.APPROVED: GOOD, Override.Status.REFUSED: BAD}

words.register(
    {
        "override.request": gettext_lazy("asked that a guide have a line"),
        "override.approved": gettext_lazy("named a guide for a line, as the second person"),
        "override.refused": gettext_lazy("refused to name a guide for a line"),
    }
)


def _is_open(row: Override) -> bool:
    return row.status == Override.Status.REQUESTED and not overrides.is_held(override=row)


class RefuseForm(forms.Form):
    answer = forms.CharField(label=gettext_lazy("why not"), min_length=4, max_length=200)


@object_act(
    gettext_lazy("Approve"), icon="verified", offered=_is_open,
    warning=gettext_lazy("The line is decided anew at once: what stands is reversed and the named guide gets it, in the open period."),
)  # fmt: skip
def approve(self: Any, request: HttpRequest, row: Override, data: dict[str, Any]) -> str:
    overrides.approve(override=row, actor=request.user)
    return _("The line is the named guide's now.")


@object_act(gettext_lazy("Refuse"), form=RefuseForm, icon="block", offered=_is_open)
def refuse(self: Any, request: HttpRequest, row: Override, data: dict[str, Any]) -> str:
    overrides.refuse(override=row, actor=request.user, answer=data["answer"])
    return _("Refused; the line stays as it is.")


@admin.register(Override)
class OverrideAdmin(BigReadOnlyAdmin):
    acts = (approve, refuse)
    list_display = ("number", "order_text", "guide", "store", "reason", "status_label", "requested_by", "asked")
    list_display_links = ("number", "order_text")
    list_select_related = ("guide", "store", "requested_by")
    list_filter = (
        ("status", lists.ChoicesDropdownFilter),
        ("store", lists.ScopedFilter),
        ("requested_at", lists.DayFilter),
    )
    search_fields = ("guide__code__exact",)
    search_help_text = gettext_lazy("Code of the guide who is named")

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        orders = explanations.order_numbers(keys={(row.line_id, row.booked_on) for row in rows})
        for row in rows:
            row.shown_order = orders.get(row.line_id, str(row.line_id))

    @display(description="#")
    def number(self, row: Override) -> str:
        return str(row.pk)

    @display(description=gettext_lazy("order line"))
    def order_text(self, row: Any) -> str:
        return row.shown_order

    @display(description=gettext_lazy("status"), label=STATUS_COLOURS)
    def status_label(self, row: Override) -> Any:
        return state(row.status, row.get_status_display())

    @display(description=gettext_lazy("requested at"))
    def asked(self, row: Override) -> str:
        return timezone.localtime(row.requested_at).strftime("%Y-%m-%d %H:%M")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        line = OrderLine.objects.select_related("product").get(pk=row.line_id, booked_on=row.booked_on)
        is_open = row.status == Override.Status.REQUESTED
        moves, refusal = override_pages.moves_of(row, line, request) if is_open else (None, "")
        live = Decision.objects.filter(line_id=line.pk, booked_on=line.booked_on).exclude(state="SUPERSEDED").first()
        context = self.page_context(
            request,
            row,
            title=_("Manual attribution of %s")
            % explanations.order_numbers(keys={(line.pk, line.booked_on)}).get(line.pk, line.pk),
            override=row,
            line=line,
            live=live,
            moves=moves,
            refusal=refusal,
            buttons=self.acts_for(request, row),
            is_held=is_open and overrides.is_held(override=row),
            is_own=is_open and row.requested_by_id == request.user.pk,
            is_party=is_open and overrides.is_party(override=row, user=request.user),
        )
        return TemplateResponse(request, "admin/attribution/override/page.html", context)
