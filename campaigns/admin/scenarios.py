"""Scenarios in the console: written with a preview, put in force, and what they have brought beside who was left alone."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from campaigns import scenarios
from campaigns.admin.planned import PlannedAdmin
from campaigns.models import DayRule, Scenario, ScenarioChance, ScenarioDay, ScenarioTurn
from campaigns.scenarios import reading
from members.models import Audience
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, ReadOnlyAdmin, ScopedAdmin, object_act
from scrm.admin.shown import BUSY, GOOD, QUIET, display, state
from scrm.models import Brand
from scrm.org import Right

words.register(
    {
        "scenario.make": gettext_lazy("made a scenario"),
        "scenario.change": gettext_lazy("changed a scenario"),
        "scenario.put_in_force": gettext_lazy("put a scenario in force"),
        "scenario.pause": gettext_lazy("paused a scenario"),
    }
)
Status = Scenario.Status
COLOURS = {Status.DRAFT: BUSY, Status.ACTIVE: GOOD, Status.PAUSED: QUIET}
WRITTEN = (
    "brand", "code", "name", "audience", "event", "kind", "title", "reason", "text", "script", "content", "coupon", "minutes", "due_days",
    "cooldown_days", "most_per_guide", "window_days", "value_fen", "first_guess_bp", "holdout_bp",
)  # fmt: skip
LOOKED_BACK = 90


class ScenarioForm(forms.ModelForm):
    class Meta:
        model = Scenario
        fields: ClassVar[Any] = WRITTEN

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["brand"].initial = Brand.objects.order_by("pk").first()
        fields["audience"].queryset = Audience.objects.filter(is_archived=False, store_ids=None).order_by("-pk")
        fields["text"].widget.attrs["rows"] = 4
        lists.styled(self)

    def _post_clean(self) -> None:
        """The operation judges the row; here only what was typed."""


class ReasonForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=2, max_length=200)


@object_act(
    gettext_lazy("Put in force"), right=Right.CHANGE, icon="play_arrow", offered=lambda row: row.status != Status.ACTIVE,
    warning=gettext_lazy("From the next morning on it becomes actions of the guides whose customers it concerns."),
)  # fmt: skip
def put_in_force(self: Any, request: HttpRequest, row: Scenario, data: dict[str, Any]) -> str:
    scenarios.put_in_force(scenario=row, actor=request.user, now=timezone.now())
    return _("It is in force from the next morning on.")


@object_act(
    gettext_lazy("Pause"), right=Right.CHANGE, icon="pause", form=ReasonForm, offered=lambda row: row.status == Status.ACTIVE,
    warning=gettext_lazy("Nothing new is given. What guides have on their lists stays theirs to do."),
)  # fmt: skip
def pause(self: Any, request: HttpRequest, row: Scenario, data: dict[str, Any]) -> str:
    scenarios.pause(scenario=row, actor=request.user, reason=data["reason"])
    return _("It is paused.")


@admin.register(Scenario)
class ScenarioAdmin(PlannedAdmin):
    acts = (put_in_force, pause)
    list_display = ("name", "status_label", "audience", "kind", "minutes", "cooldown_days", "chance_text", "changed_at")
    list_select_related = ("audience",)
    new_template = "admin/campaigns/scenario/form.html"
    change_list_template = "admin/campaigns/scenario/list.html"

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("new/", wrap(self.new_view), name="campaigns_scenario_new"),
            path("starter/", wrap(self.starter_view), name="campaigns_scenario_starter"),
            path("<int:pk>/edit/", wrap(self.edit_view), name="campaigns_scenario_edit"),
            *super().get_urls(),
        ]

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        known = ScenarioChance.objects.filter(scenario__in=rows, stage="").values_list("scenario_id", "chance_bp")
        chances = dict(known)
        for row in rows:
            row.measured_bp = chances.get(row.pk)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        more = {"is_empty": not Scenario.objects.exists(), "last_day": ScenarioDay.objects.order_by("-day").first()}
        return super().changelist_view(request, {**(extra_context or {}), **more})

    @display(description=gettext_lazy("state"), label=COLOURS)
    def status_label(self, row: Scenario) -> Any:
        return state(row.status, row.get_status_display())

    @display(description=gettext_lazy("more customers buy because of it"))
    def chance_text(self, row: Any) -> str:
        measured = getattr(row, "measured_bp", None)
        if measured is None:
            return _("%(share)s %% (guess)") % {"share": f"{row.first_guess_bp / 100:.1f}"}
        return f"{measured / 100:.1f} %"

    def new_view(self, request: HttpRequest) -> HttpResponse:
        form = ScenarioForm(request.POST or None)
        return self.plan_page(
            request, form, lambda: scenarios.create(actor=request.user, **form.cleaned_data), title=_("New scenario"),
            back=reverse("admin:campaigns_scenario_changelist"),
        )  # fmt: skip

    def edit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        row: Scenario = self.get_object(request, str(pk))
        form = ScenarioForm(request.POST or None, instance=Scenario.objects.get(pk=row.pk))
        return self.plan_page(
            request, form, lambda: scenarios.save(scenario=row, actor=request.user, **form.cleaned_data), title=row.name,
            back=self.url_of(row),
        )  # fmt: skip

    def starter_view(self, request: HttpRequest) -> HttpResponse:
        if request.method != "POST" or not self.may_plan(request):
            raise PermissionDenied
        made = sum(
            scenarios.install(brand=brand, actor=request.user, now=timezone.now())
            for brand in Brand.objects.order_by("pk")
        )
        text = ngettext(
            "%(count)s scenario is there now as a draft.", "%(count)s scenarios are there now as drafts.", made
        )
        messages.success(request, text % {"count": made})
        return HttpResponseRedirect(reverse("admin:campaigns_scenario_changelist"))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row: Scenario = self.get_object(request, object_id)
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, row):
            raise PermissionDenied
        now = timezone.now()
        brought = reading.brought(scenario=row, days=LOOKED_BACK, now=now)
        tenths = reading.calibration(days=LOOKED_BACK, now=now)
        context = self.page_context(
            request, row, title=row.name, scenario=row, buttons=self.acts_for(request, row), may_edit=self.may_plan(request),
            edit_url=reverse("admin:campaigns_scenario_edit", args=(row.pk,)), list_url=reverse("admin:campaigns_scenario_changelist"),
            preview=reading.preview(scenario=row, now=now), brought=brought, days=LOOKED_BACK, charts=_charts(tenths),
            chances=ScenarioChance.objects.filter(scenario=row).order_by("stage"), turns=reading.turns(scenario=row)[:20],
        )  # fmt: skip
        return TemplateResponse(request, "admin/campaigns/scenario/page.html", context)


def _charts(tenths: list[dict[str, Any]]) -> dict[str, Any]:
    """The chances in tenths beside what came; nothing before a window has closed."""
    if not tenths:
        return {}
    series = [
        {"name": str(name), "type": kind, "data": [None if row[key] is None else round(row[key] / 100, 2) for row in tenths]}
        for name, kind, key in (
            (_("given: bought"), "bar", "given_bp"), (_("left alone: bought"), "bar", "held_bp"), (_("expected more"), "line", "expected_bp"),
        )
    ]  # fmt: skip
    return {"chart-calibration": {"names": [str(row["tenth"]) for row in tenths], "series": series, "unit": "percent"}}


@admin.register(ScenarioTurn)
class ScenarioTurnAdmin(BigReadOnlyAdmin):
    list_display = (
        "scenario",
        "member",
        "guide",
        "store",
        "given_on",
        "is_held_out",
        "chance_bp",
        "value_fen",
        "bought_at",
        "bought_fen",
    )
    list_select_related = ("scenario", "member", "guide", "store")
    fields = (
        "scenario", "member", "guide", "store", "given_on", "given_at", "is_held_out", "stage", "chance_bp", "value_fen", "replied_at",
        "came_at", "bought_at", "bought_fen", "is_closed",
    )  # fmt: skip


@admin.register(ScenarioDay)
class ScenarioDayAdmin(ReadOnlyAdmin):
    list_display = ("day", "candidate_count", "given_count", "held_count", "later_count", "guide_count", "made_at")
    ordering = ("-day",)
    fields = (
        "brand",
        "day",
        "candidate_count",
        "given_count",
        "held_count",
        "later_count",
        "guide_count",
        "problems",
        "made_at",
    )


@admin.register(DayRule)
class DayRuleAdmin(ScopedAdmin):
    add_right: ClassVar[Right | None] = Right.CHANGE
    change_right: ClassVar[Right | None] = Right.CHANGE
    list_display = ("brand", "minutes", "most")
    fields = ("brand", "minutes", "most")
