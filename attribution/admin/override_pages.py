"""Asking that a guide have a line (人工指定): who and why, with what would move before anybody asks."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from attribution import explanations, overrides
from attribution.models import Decision, Override
from guides.models import Guide
from members.models import OrderLine
from scrm import org
from scrm.admin import lists
from scrm.errors import RuleViolation
from scrm.org import Right


class AskForm(forms.Form):
    guide = forms.CharField(label=gettext_lazy("code of the guide"), max_length=32, strip=True)
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=4, max_length=200, widget=forms.Textarea)

    def clean_guide(self) -> Guide:
        found = Guide.objects.filter(code=self.cleaned_data["guide"]).first()
        if found is None:
            raise forms.ValidationError(_("There is no guide with this code."))
        return found


def of_line(request: HttpRequest, decision: Decision) -> QuerySet[Override]:
    rows = Override.objects.filter(line_id=decision.line_id, booked_on=decision.booked_on)
    return org.visible(rows, org.scope_of(request.user)).select_related("guide").order_by("-pk")


def ask(request: HttpRequest, pk: int) -> HttpResponse:
    """The first click shows what would move, the second asks."""
    decision = org.visible(Decision.objects.all(), org.scope_of(request.user)).filter(pk=pk).first()
    if decision is None:
        raise Http404
    if not org.may(request.user, Right.ACT):
        raise PermissionDenied
    line = OrderLine.objects.get(pk=decision.line_id, booked_on=decision.booked_on)
    form, moves = lists.styled(AskForm(request.POST or None)), None
    back = reverse("admin:attribution_decision_change", args=(decision.pk,))
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        try:
            moves = shown(overrides.preview(line=line, guide=said["guide"]), request)
            if "ask" in request.POST:
                overrides.request(line=line, guide=said["guide"], reason=said["reason"], actor=request.user)
                messages.success(request, _("Asked. Somebody else answers it; nothing has moved yet."))
                return HttpResponseRedirect(back)
        except RuleViolation as refusal:
            form.add_error(None, refusal.message)
            moves = None
    context = {
        **admin.site.each_context(request), "title": _("Name another guide"), "form": form, "moves": moves, "line": line,
        "decision": decision, "back": back, "order_no": explanations.order_numbers(keys={(line.pk, line.booked_on)}).get(line.pk, ""),
    }  # fmt: skip
    return TemplateResponse(request, "admin/attribution/override/ask.html", context)


def moves_of(override: Override, line: OrderLine, request: HttpRequest) -> tuple[list[dict[str, Any]] | None, str]:
    """What an approval would move, or why it would be refused by now."""
    try:
        return shown(overrides.preview(line=line, guide=override.guide), request), ""
    except RuleViolation as refusal:
        return None, str(refusal.message)


def shown(moves: list[overrides.Move], request: HttpRequest) -> list[dict[str, Any]]:
    codes = [move.beneficiary for move in moves]
    names = explanations.beneficiary_names(codes=codes, scope=org.scope_of(request.user))
    return [
        {"code": move.beneficiary, "name": _("HQ pool") if move.beneficiary == "HQ_POOL" else names.get(move.beneficiary, ""), "now_fen": move.now_fen,
         "then_fen": move.then_fen, "change_fen": move.change_fen}
        for move in moves
    ]  # fmt: skip
