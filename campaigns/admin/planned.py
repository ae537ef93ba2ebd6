"""What HQ plans, a second person agrees to and guides carry out: the part of the console that mass sends and moments share."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone

from scrm import org
from scrm.admin import lists
from scrm.admin.bases import ReadOnlyAdmin
from scrm.errors import RuleViolation
from scrm.models import Job
from scrm.org import Right

LEVELS = ("region", "store", "guide")
UNDER = {"region": "store", "store": "guide"}
OPEN = (Job.Status.QUEUED, Job.Status.RUNNING)


class PlannedAdmin(ReadOnlyAdmin):
    """Planned by whom sees all stores; everybody else sees her part, without the columns of all stores together."""

    wide_columns: ClassVar[tuple[str, ...]] = ()
    new_template: ClassVar[str] = ""
    list_select_related = ("requested_by",)
    list_filter: Any = (("status", lists.ChoicesDropdownFilter),)
    ordering = ("-pk",)

    def get_list_display(self, request: HttpRequest) -> Any:
        columns = super().get_list_display(request)
        if org.scope_of(request.user).is_everything:
            return columns
        return [name for name in columns if name not in self.wide_columns]

    def may_plan(self, request: HttpRequest) -> bool:
        return org.scope_of(request.user).is_everything and self.has_right(request, Right.CHANGE)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "may_plan": self.may_plan(request)})

    def plan_page(self, request: HttpRequest, form: BaseForm, draft: Callable[[], Any], **context: Any) -> HttpResponse:
        """The form of a new one; refused, every sentence stands at its field and what was typed stays."""
        if not self.may_plan(request):
            raise PermissionDenied
        if request.method == "POST" and form.is_valid():
            try:
                return HttpResponseRedirect(self.url_of(draft()))
            except RuleViolation as error:
                for name, sentence in error.extra.get("fields", {None: error.message}).items():
                    form.add_error(name, sentence)
        shown = self.page_context(request, None, form=form, **context)
        return TemplateResponse(request, self.new_template, shown, status=400 if form.errors else 200)


def this_minute() -> dt.datetime:
    return timezone.localtime().replace(second=0, microsecond=0)


def level_of(request: HttpRequest, levels: Sequence[str] = LEVELS) -> tuple[str, int | None]:
    level, within = request.GET.get("level", levels[0]), request.GET.get("within", "")
    return level if level in levels else levels[0], int(within) if within.isdecimal() else None
