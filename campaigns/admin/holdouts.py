"""The universal hold-out in the console: which quarter left whom alone, and what all marketing brought against it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.admin.experiments import told
from campaigns.experiments import reading, telling, universal
from campaigns.models import Holdout
from scrm.admin import lists, words
from scrm.admin.bases import ReadOnlyAdmin, object_act
from scrm.admin.shown import display, percent
from scrm.models import Job
from scrm.org import Right

words.register({universal.KIND: gettext_lazy("reading the universal hold-out")})
LOOKS_SHOWN = 50
OPEN = (Job.Status.QUEUED, Job.Status.RUNNING)


class ReadForm(forms.Form):
    cost = forms.DecimalField(
        label=gettext_lazy("cost of all marketing so far in the quarter (yuan)"), required=False, min_value=0, max_digits=12, decimal_places=2,
    )  # fmt: skip
    margin = forms.DecimalField(
        label=gettext_lazy("margin (%)"), required=False, min_value=0, max_value=100, max_digits=5, decimal_places=2,
        help_text=gettext_lazy("With cost and margin the page says whether it pays for itself."),
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        lists.styled(self)


@object_act(
    gettext_lazy("Read the outcomes"), right=Right.ACT, icon="visibility", form=ReadForm,
    warning=gettext_lazy("Every look is kept. Before the end of the quarter it shows more differences by chance than it seems: do not decide on it."),
)  # fmt: skip
def read(self: Any, request: HttpRequest, row: Holdout, data: dict[str, Any]) -> str:
    cost, margin = data["cost"], data["margin"]
    universal.ask(
        holdout=row, actor=request.user, cost_fen=None if cost is None else int(cost * 100),
        margin_bp=None if margin is None else int(margin * 100),
    )  # fmt: skip
    return _("The outcomes are being read.")


@admin.register(Holdout)
class HoldoutAdmin(ReadOnlyAdmin):
    acts = (read,)
    change_list_template = "admin/campaigns/holdout/list.html"
    list_display = ("quarter", "share", "brand")
    list_select_related = ("brand",)
    ordering = ("-first_day", "-pk")

    @display(description=gettext_lazy("quarter"), ordering="first_day")
    def quarter(self, row: Holdout) -> str:
        return str(row)

    @display(description=gettext_lazy("left alone"))
    def share(self, row: Holdout) -> str:
        return percent(row.share_bp)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row: Holdout = self.get_object(request, object_id)
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, row):
            raise PermissionDenied
        looks = universal.looks(row, LOOKS_SHOWN)
        done = [job for job in looks if job.status == Job.Status.DONE]
        chosen = next((job for job in done if str(job.pk) == request.GET.get("look")), done[0] if done else None)
        context = self.page_context(
            request, row, title=str(row), holdout=row, looks=looks, look=chosen, buttons=self.acts_for(request, row),
            is_busy=any(job.status in OPEN for job in looks), period=[day.date() for day in universal.period_of(row)],
            list_url=reverse("admin:campaigns_holdout_changelist"), **(shown(chosen) if chosen else {}),
        )  # fmt: skip
        return TemplateResponse(request, "admin/campaigns/holdout/page.html", context)


def shown(job: Job) -> dict[str, Any]:
    """What a look says, in words and as a picture."""
    report = reading.from_json(job.summary["report"])
    names = {arm["number"]: arm["name"] for arm in report.arms}
    trust = (
        _("Read after the end of the quarter.")
        if job.summary["is_final"]
        else _("Read before the end of the quarter: whoever looks often finds something by chance. Decide at the end.")
    )
    return {
        **told(report), "until": parse_datetime(job.summary["until"]), "trust": trust,
        "money": [{"row": one, "text": telling.money_sentence(report, one, str(names[one.arm]))} for one in report.money],
    }  # fmt: skip
