"""Simulations in the console: asking for one, watching it, reading what it found, taking it out as a table."""

from __future__ import annotations

import csv
import datetime as dt
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from attribution import simulation as simulations
from attribution.models import RuleVersion, Simulation
from attribution.simulation import results
from scrm import org
from scrm.admin import lists
from scrm.admin.bases import BigReadOnlyAdmin
from scrm.admin.exchange import neutral
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, QUIET, display, state
from scrm.admin.words import stage_text
from scrm.errors import RuleViolation
from scrm.models import Job
from scrm.money import yuan
from scrm.org import Right

STATUS_COLOURS = {
    Job.Status.QUEUED: QUIET,
    Job.Status.RUNNING: BUSY,
    Job.Status.DONE: GOOD,
    Job.Status.FAILED: BAD,
    Job.Status.CANCELLED: QUIET,
}
OPEN = (Job.Status.QUEUED, Job.Status.RUNNING)


class SimulationForm(forms.Form):
    rule = forms.ModelChoiceField(
        RuleVersion.objects.none(),
        label=gettext_lazy("rule version"),
        required=False,
        empty_label=gettext_lazy("the published rules"),
    )
    mode = forms.ChoiceField(label=gettext_lazy("mode"), required=False)
    first_day = forms.DateField(label=gettext_lazy("first day"))
    last_day = forms.DateField(label=gettext_lazy("last day"))
    budget = forms.DecimalField(
        label=gettext_lazy("planned budget (yuan)"), required=False, min_value=0, decimal_places=2, max_digits=14,
        help_text=gettext_lazy("Empty: the monthly budgets of the rule."),
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rule: Any = self.fields["rule"]
        rule.queryset = RuleVersion.objects.order_by("-number")
        mode: Any = self.fields["mode"]
        mode.choices = [("", _("the rule's own")), *RuleVersion.Mode.choices]
        lists.styled(self)

    @property
    def budget_fen(self) -> int | None:
        budget = self.cleaned_data["budget"]
        return None if budget is None else int(budget * 100)


@admin.register(Simulation)
class SimulationAdmin(BigReadOnlyAdmin):
    list_display = ("number", "rule_text", "mode_text", "period", "status_label", "requested_by", "requested_at")
    list_select_related = ("rule", "job", "requested_by")
    change_list_template = "admin/attribution/simulation/list.html"

    def get_urls(self) -> list[Any]:
        def page(route: str, view: Any, name: str) -> Any:
            return path(route, self.admin_site.admin_view(view), name=f"attribution_simulation_{name}")

        return [
            page("new/", self.new_view, "new"),
            page("<int:pk>/state/", self.state_view, "state"),
            page("<int:pk>/cancel/", require_POST(self.cancel_view), "cancel"),
            page("<int:pk>/export/<slug:by>/", require_POST(self.export_view), "export"),
            *super().get_urls(),
        ]

    def may_ask(self, request: HttpRequest) -> bool:
        return org.scope_of(request.user).is_everything and self.has_act_permission(request)

    # --- the list ---

    @display(description="#")
    def number(self, row: Simulation) -> str:
        return str(row.pk)

    @display(description=gettext_lazy("rule version"))
    def rule_text(self, row: Simulation) -> str:
        return str(row.rule) if row.rule else _("the published rules")

    @display(description=gettext_lazy("mode"))
    def mode_text(self, row: Simulation) -> str:
        return str(row.get_mode_display()) if row.mode else _("the rule's own")

    @display(description=gettext_lazy("days of payment"))
    def period(self, row: Simulation) -> str:
        return f"{row.first_day} – {row.last_day}"

    @display(description=gettext_lazy("state"), label=STATUS_COLOURS)
    def status_label(self, row: Simulation) -> Any:
        return state(row.job.status, row.job.get_status_display()) if row.job else EMPTY

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "may_ask": self.may_ask(request)})

    # --- asking ---

    def new_view(self, request: HttpRequest) -> HttpResponse:
        if not self.may_ask(request):
            raise PermissionDenied
        first, last = last_month(timezone.localdate())
        initial = {"first_day": first, "last_day": last, "rule": request.GET.get("rule", "")}
        form = SimulationForm(request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid():
            asked = form.cleaned_data
            try:
                row = simulations.start(
                    actor=request.user, rule_id=asked["rule"].pk if asked["rule"] else None, mode=asked["mode"],
                    first_day=asked["first_day"], last_day=asked["last_day"], budget_fen=form.budget_fen,
                )  # fmt: skip
                return HttpResponseRedirect(self.url_of(row))
            except RuleViolation as error:
                form.add_error(None, error.message)
        title = _("New simulation")
        context = self.page_context(request, None, title=title, form=form, back=self._list_url())
        status = 400 if form.errors else 200
        return TemplateResponse(request, "admin/attribution/simulation/new.html", context, status=status)

    # --- one simulation ---

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        scope = org.scope_of(request.user)
        by = request.GET.get("by", "guide")
        by = by if by in results.DIMENSIONS else "guide"
        context = self.page_context(
            request, row, title=_("Simulation %s") % row, simulation=row, progress=progress_of(row), by=by,
            dimensions=results.DIMENSIONS, is_everything=scope.is_everything, may_ask=self.may_ask(request),
            may_export=self.has_right(request, Right.EXPORT), is_current=results.is_current(row), list_url=self._list_url(),
        )  # fmt: skip
        if row.finished_at:
            context |= _findings(row, by, scope)
        return TemplateResponse(request, "admin/attribution/simulation/page.html", context)

    def state_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return JsonResponse(progress_of(self._seen(request, pk)))

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = self._seen(request, pk)
        if not self.may_ask(request):
            raise PermissionDenied
        stopped = simulations.cancel(simulation=row, actor=request.user)
        messages.success(request, _("The job stops.") if stopped else _("The job had already ended."))
        return HttpResponseRedirect(self.url_of(row))

    def export_view(self, request: HttpRequest, pk: int, by: str) -> HttpResponse:
        row = self._seen(request, pk)
        if not self.has_right(request, Right.EXPORT):
            raise PermissionDenied
        try:
            rows = results.export(simulation=row, by=by, scope=org.scope_of(request.user), actor=request.user)
        except RuleViolation as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(self.url_of(row))
        answer = HttpResponse("\ufeff", content_type="text/csv; charset=utf-8")  # the mark by which Excel knows UTF-8
        csv.writer(answer).writerows([neutral(cell) for cell in table_row] for table_row in rows)
        answer["Content-Disposition"] = f'attachment; filename="simulation-{row.pk}-{by}.csv"'
        return answer

    def _seen(self, request: HttpRequest, pk: int) -> Simulation:
        row: Simulation = self.get_object(request, str(pk))
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return row

    def _list_url(self) -> str:
        return reverse("admin:attribution_simulation_changelist")


def last_month(today: dt.date) -> tuple[dt.date, dt.date]:
    """Its first and last day."""
    last = today.replace(day=1) - dt.timedelta(days=1)
    return last.replace(day=1), last


def progress_of(row: Simulation) -> dict[str, Any]:
    """What the bar shows; a simulation without a job never ran."""
    job = row.job
    if job is None:
        return {"status": "", "status_text": EMPTY, "is_open": False, "stage": "", "share": 0}
    total = job.total_count or 0
    share = 100 if job.status == Job.Status.DONE else min(99, 100 * job.done_count // total) if total else 0
    return {
        "status": job.status,
        "status_text": str(job.get_status_display()),
        "is_open": job.status in OPEN,
        "stage": stage_text(job.stage) if job.stage else _("waiting for a worker"),
        "share": share,
        "error": job.error,
    }


def _findings(row: Simulation, by: str, scope: org.Scope) -> dict[str, Any]:
    total = results.total(simulation=row, scope=scope)
    guides = results.groups(simulation=row, by="guide", scope=scope)
    people = results.people(guides)
    groups = guides if by == "guide" else results.groups(simulation=row, by=by, scope=scope)
    channels = results.groups(simulation=row, by="channel", scope=scope)
    return {
        "total": total,
        "groups": groups[: results.SHOWN],
        "group_count": len(groups),
        "winners": results.winners(people),
        "losers": results.losers(people),
        "gaining_count": sum(person.commission_fen > 0 for person in people),
        "losing_count": sum(person.commission_fen < 0 for person in people),
        "people_count": len(people),
        "moved_credit_fen": sum(max(0, group.credit_fen) for group in guides),
        "budgets": results.budgets(simulation=row) if scope.is_everything else [],
        "lines": results.lines(simulation=row, scope=scope),
        "charts": _charts(people, channels),
    }


def _charts(people: list[results.Group], channels: list[results.Group]) -> dict[str, Any]:
    bars = results.distribution([person.commission_fen for person in people])
    return {
        "chart-distribution": {
            "names": [_range(bar) for bar in bars],
            "series": [{"name": _("guides"), "type": "bar", "data": [_bar(bar) for bar in bars]}],
        },
        "chart-channels": {
            "names": [group.name for group in channels],
            "unit": "yuan",
            "series": [
                {"name": _("commission now"), "type": "bar", "data": [_yuan(g.commission_now_fen) for g in channels]},
                {"name": _("commission then"), "type": "bar", "data": [_yuan(g.commission_then_fen) for g in channels]},
            ],
        },
    }


def _range(bar: results.Bar) -> str:
    if (bar.least_fen, bar.below_fen) == (0, 1):
        return _("unchanged")
    return f"{_short(bar.least_fen)} ~ {_short(bar.below_fen)}"


def _short(fen: int) -> str:
    return yuan(fen).removesuffix(".00")


def _bar(bar: results.Bar) -> dict[str, Any]:
    colour = "#7a8aa0" if (bar.least_fen, bar.below_fen) == (0, 1) else "#e2605b" if bar.least_fen < 0 else "#2aa876"
    return {"value": bar.count, "itemStyle": {"color": colour}}


def _yuan(fen: int) -> float:
    """For a chart: a picture, not a sum."""
    return round(fen / 100, 2)
