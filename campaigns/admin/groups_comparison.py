"""Group members against others, in the console: asked for, read by a job, told with its interval and what it is not."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.communities import comparison
from scrm import org
from scrm.admin import lists, words
from scrm.errors import RuleViolation
from scrm.models import Job
from scrm.org import Right

words.register({comparison.KIND: gettext_lazy("comparing group members with others")})
LOOKS = 20
MONTHS_BACK = 18
OPEN = (Job.Status.QUEUED, Job.Status.RUNNING)


class ComparisonForm(forms.Form):
    month = forms.ChoiceField(label=gettext_lazy("joined their first group in"))
    months = forms.TypedChoiceField(
        label=gettext_lazy("months before and after"),
        coerce=int,
        choices=[(n, n) for n in comparison.MONTHS],
        initial=1,
    )

    def __init__(self, *args: Any, today: dt.date, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        firsts = [comparison.first_of(today, -back) for back in range(2, MONTHS_BACK)]
        month: Any = self.fields["month"]
        month.choices = [(day.isoformat(), f"{day:%Y-%m}") for day in firsts]
        lists.styled(self)


def page(self: Any, request: HttpRequest) -> HttpResponse:
    """Of all stores, for who sees all; ``self`` is the admin of groups."""
    if not (org.scope_of(request.user).is_everything and self.has_view_permission(request)):
        raise PermissionDenied
    may_ask, today = self.has_right(request, Right.ACT), comparison.clock_day()
    form = ComparisonForm(request.POST or None, today=today)
    if request.method == "POST":
        if not may_ask:
            raise PermissionDenied
        if form.is_valid():
            try:
                month = dt.date.fromisoformat(form.cleaned_data["month"])
                comparison.ask(month=month, months=form.cleaned_data["months"], actor=request.user, today=today)
                messages.success(request, _("It is being compared; this page reads itself again."))
                return HttpResponseRedirect(reverse("admin:campaigns_group_comparison"))
            except RuleViolation as error:
                form.add_error("months", error.message)
    looks = comparison.looks(LOOKS)
    done = [job for job in looks if job.status == Job.Status.DONE]
    chosen = next((job for job in done if str(job.pk) == request.GET.get("look")), done[0] if done else None)
    context = self.page_context(
        request, None, title=_("Group members against others"), form=form, may_ask=may_ask, looks=looks, look=chosen,
        found=chosen.summary if chosen else None, is_busy=any(job.status in OPEN for job in looks), least=comparison.LEAST,
        list_url=reverse("admin:campaigns_group_changelist"),
    )  # fmt: skip
    return TemplateResponse(
        request, "admin/campaigns/group/comparison.html", context, status=400 if form.errors else 200
    )
