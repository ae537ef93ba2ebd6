"""Experiments in the console: drafting one, seeing what it could find, starting it, reading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns import experiments
from campaigns.experiments import reading, telling
from campaigns.models import Experiment, Look
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import ReadOnlyAdmin, object_act
from scrm.admin.shown import BUSY, EMPTY, GOOD, QUIET, display, state
from scrm.errors import RuleViolation
from scrm.models import Brand, Job

words.register(
    {
        "experiment.draft": gettext_lazy("drafted an experiment"),
        "experiment.start": gettext_lazy("started an experiment"),
        "experiment.freeze": gettext_lazy("froze the audience of an experiment"),
        "experiment.plan": gettext_lazy("planning an experiment"),
        "experiment.look": gettext_lazy("looked at an experiment"),
        "summary.members": gettext_lazy("members"),
        "summary.look": gettext_lazy("look"),
    }
)
STATUS_COLOURS = {
    Experiment.Status.DRAFT: QUIET,
    Experiment.Status.FREEZING: BUSY,
    Experiment.Status.RUNNING: BUSY,
    Experiment.Status.ENDED: GOOD,
}
OPEN = (Job.Status.QUEUED, Job.Status.RUNNING)
LOOKS_SHOWN = 50
MOST_ARMS = 6
CHART_WIDTH, CHART_ROW, CHART_MARGIN = 560, 34, 20


class ExperimentForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("name"), max_length=64)
    arms = forms.CharField(
        label=gettext_lazy("groups that are contacted"), required=False, max_length=200,
        help_text=gettext_lazy("One name each, separated by commas; empty: one group. Each is compared with the control group."),
    )  # fmt: skip
    holdout = forms.DecimalField(
        label=gettext_lazy("control group (%)"), min_value=1, max_value=90, max_digits=5, decimal_places=2, initial=10,
        help_text=gettext_lazy("Drawn from the audience and left alone. The universal hold-out of the quarter is left out besides."),
    )  # fmt: skip
    window_days = forms.IntegerField(
        label=gettext_lazy("days in which outcomes count"), min_value=1, max_value=365, initial=14
    )
    cost = forms.DecimalField(
        label=gettext_lazy("cost per person contacted (yuan)"),
        required=False,
        min_value=0,
        max_digits=8,
        decimal_places=2,
    )
    margin = forms.DecimalField(
        label=gettext_lazy("margin (%)"), required=False, min_value=0, max_value=100, max_digits=5, decimal_places=2,
        help_text=gettext_lazy("With cost and margin the page says whether it pays for itself."),
    )  # fmt: skip
    relevant = forms.DecimalField(
        label=gettext_lazy("smallest effect worth knowing (% of the control group's mean)"), min_value=1, max_value=100,
        max_digits=5, decimal_places=2, initial=10,
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        lists.styled(self)

    def clean_arms(self) -> tuple[str, ...]:
        names = [name.strip() for name in self.cleaned_data["arms"].replace("，", ",").split(",") if name.strip()]
        if len(names) > MOST_ARMS or any(len(name) > 32 for name in names):
            raise forms.ValidationError(_("At most %(count)s names of at most 32 characters.") % {"count": MOST_ARMS})
        if len(set(names)) < len(names):
            raise forms.ValidationError(_("Every group needs a name of its own."))
        return tuple(names)

    @property
    def asked(self) -> dict[str, Any]:
        data = self.cleaned_data
        return {
            "name": data["name"], "names": data["arms"], "holdout_bp": int(data["holdout"] * 100), "window_days": data["window_days"],
            "cost_fen": None if data["cost"] is None else int(data["cost"] * 100),
            "margin_bp": None if data["margin"] is None else int(data["margin"] * 100), "relevant_bp": int(data["relevant"] * 100),
        }  # fmt: skip


@object_act(
    gettext_lazy("Freeze the audience and start"), icon="play_arrow",
    offered=lambda row: row.status == Experiment.Status.DRAFT and bool(row.plan),
    warning=gettext_lazy("From now on it is settled who is in the control group. Members who come later stay outside. This cannot be undone."),
)  # fmt: skip
def start(self: Any, request: HttpRequest, row: Experiment, data: dict[str, Any]) -> str:
    experiments.start(experiment=row, actor=request.user)
    return _("The audience is being frozen.")


@object_act(
    gettext_lazy("Read the outcomes"), icon="visibility", offered=lambda row: row.frozen_at is not None,
    warning=gettext_lazy("Every look is kept. Before the planned end it shows more differences by chance than it seems: do not decide on it."),
)  # fmt: skip
def look(self: Any, request: HttpRequest, row: Experiment, data: dict[str, Any]) -> str:
    experiments.ask_for_look(experiment=row, actor=request.user)
    return _("The outcomes are being read.")


@admin.register(Experiment)
class ExperimentAdmin(ReadOnlyAdmin):
    acts = (start, look)
    list_display = ("name", "status_label", "window", "member_count", "look_count", "created_by", "created_at")
    list_select_related = ("created_by",)
    list_filter = (("status", lists.ChoicesDropdownFilter),)
    ordering = ("-pk",)
    change_list_template = "admin/campaigns/experiment/list.html"

    def get_urls(self) -> list[Any]:
        new = path("new/", self.admin_site.admin_view(self.new_view), name="campaigns_experiment_new")
        return [new, *super().get_urls()]

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        numbers = experiments.sizes(experiment_ids=[row.pk for row in rows])
        for row in rows:
            row.member_total, row.look_total = numbers.get(row.pk, (0, 0))

    @display(description=gettext_lazy("state"), label=STATUS_COLOURS)
    def status_label(self, row: Experiment) -> Any:
        return state(row.status, row.get_status_display())

    @display(description=gettext_lazy("outcomes count"))
    def window(self, row: Experiment) -> str:
        if row.starts_at is None or row.ends_at is None:
            return _("%(days)s days from the start") % {"days": row.window_days}
        return period_text(row)

    @display(description=gettext_lazy("members"))
    def member_count(self, row: Any) -> str:
        return f"{row.member_total:,}" if row.frozen_at else EMPTY

    @display(description=gettext_lazy("looks"))
    def look_count(self, row: Any) -> str:
        return str(row.look_total)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "may_act": self.has_act_permission(request)})

    def new_view(self, request: HttpRequest) -> HttpResponse:
        if not (org.scope_of(request.user).is_everything and self.has_act_permission(request)):
            raise PermissionDenied
        form = ExperimentForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                brand = Brand.objects.order_by("pk")[:1].get()
                return HttpResponseRedirect(
                    self.url_of(experiments.draft(brand=brand, actor=request.user, **form.asked))
                )
            except RuleViolation as error:
                form.add_error(None, error.message)
        back = reverse("admin:campaigns_experiment_changelist")
        context = self.page_context(request, None, title=_("New experiment"), form=form, back=back)
        status = 400 if form.errors else 200
        return TemplateResponse(request, "admin/campaigns/experiment/new.html", context, status=status)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row: Experiment = self.get_object(request, object_id)
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, row):
            raise PermissionDenied
        looks = list(row.looks.select_related("taken_by").order_by("-number")[:LOOKS_SHOWN])
        chosen = next((one for one in looks if str(one.number) == request.GET.get("look")), looks[0] if looks else None)
        context = self.page_context(
            request, row, title=row.name, experiment=row, arms=list(row.arms.order_by("number")), looks=looks, look=chosen,
            buttons=self.acts_for(request, row), list_url=reverse("admin:campaigns_experiment_changelist"),
            is_busy=row.job is not None and row.job.status in OPEN, job=row.job, period=period_text(row) if row.starts_at else "",
            plan=[(telling.name_of(name), telling.plan_sentence(name, found)) for name, found in row.plan.get("metrics", {}).items()],
            **(shown(row, chosen) if chosen else {}),
        )  # fmt: skip
        return TemplateResponse(request, "admin/campaigns/experiment/page.html", context)


def period_text(row: Experiment) -> str:
    from scrm.admin.shown import SHANGHAI

    assert row.starts_at is not None and row.ends_at is not None
    return f"{row.starts_at.astimezone(SHANGHAI):%Y-%m-%d %H:%M} – {row.ends_at.astimezone(SHANGHAI):%Y-%m-%d %H:%M}"


def shown(row: Experiment, chosen: Look) -> dict[str, Any]:
    """What a look says, in words and as a picture."""
    report = reading.from_json(chosen.content)
    names = {arm["number"]: arm["name"] for arm in report.arms}
    return {
        **told(report),
        "money": [
            {"row": one, "arm": names[one.arm], "text": telling.money_sentence(report, one, str(names[one.arm]), row.window_days)}
            for one in report.money
        ],
        "trust": telling.look_sentence(chosen.number, is_final=chosen.is_final),
    }  # fmt: skip


def told(report: reading.Report) -> dict[str, Any]:
    """What report.html shows of every report."""
    lines = telling.lines(report, report.findings)
    return {
        "report": report, "sizes": sizes(report), "ratio": telling.ratio_sentence(report), "lines": lines,
        "guards": telling.lines(report, report.guards), "level": telling.level(report), "chart": chart(lines),
    }  # fmt: skip


def sizes(report: reading.Report) -> list[dict[str, Any]]:
    """The arms with their planned and found shares."""
    whole = sum(arm["weight"] for arm in report.arms)
    people = sum(arm["count"] for arm in report.arms) or 1
    return [
        {**arm, "planned": f"{100 * arm['weight'] / whole:.2f}%", "found": f"{100 * arm['count'] / people:.2f}%"}
        for arm in report.arms
    ]


@dataclass(frozen=True, slots=True)
class Bar:
    """One interval of the picture, in its own scale: each line is drawn relative to the control group's mean."""

    text: str
    y: int
    low: float
    high: float
    point: float
    verdict: str
    label: str


def chart(found: list[telling.Line]) -> dict[str, Any]:
    """Intervals as parts of the control group's mean, side by side on one axis through nought."""
    drawn = [line for line in found if line.finding.control]
    if not drawn:
        return {}
    scales = [abs(line.finding.control) for line in drawn]
    farthest = [max(abs(line.finding.low), abs(line.finding.high)) for line in drawn]
    reach = max(0.02, *(size / scale for size, scale in zip(farthest, scales, strict=True)))

    def across(value: float) -> float:
        return round(CHART_WIDTH * (0.5 + value / reach * 0.45), 1)

    bars = [
        Bar(
            f"{line.name} · {line.arm}", CHART_MARGIN + number * CHART_ROW, across(line.finding.low / scale),
            across(line.finding.high / scale), across(line.finding.difference / scale), line.verdict, line.relative,
        )
        for number, (line, scale) in enumerate(zip(drawn, scales, strict=True))
    ]  # fmt: skip
    height = CHART_MARGIN + len(bars) * CHART_ROW + 24
    ticks = [
        (across(share * reach), f"{100 * share * reach:+.1f}%" if share else "0") for share in (-1, -0.5, 0, 0.5, 1)
    ]
    return {
        "bars": bars,
        "width": CHART_WIDTH,
        "height": height,
        "zero": across(0),
        "ticks": ticks,
        "foot": height - 6,
        "axis": height - 22,
    }
