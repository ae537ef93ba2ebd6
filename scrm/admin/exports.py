"""Files with many rows in the console: who asked for which, what it is for, who agreed; taken once by the one who asked."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from itertools import chain
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from scrm import exports
from scrm.admin import lists, words
from scrm.admin.bases import ReadOnlyAdmin, object_act
from scrm.admin.exchange import neutral
from scrm.admin.shown import BAD, GOOD, NEW, QUIET, display, state
from scrm.errors import RuleViolation
from scrm.models import ExportRequest
from scrm.org import Right

words.register(
    {
        "export.ask": gettext_lazy("asked for a file"),
        "export.agree": gettext_lazy("agreed to a file"),
        "export.refuse": gettext_lazy("refused a file"),
        "export.take": gettext_lazy("took a file"),
    }
)
Status = ExportRequest.Status
COLOURS = {Status.ASKED: NEW, Status.AGREED: GOOD, Status.REFUSED: BAD, Status.TAKEN: QUIET}


def csv_answer(rows: Iterable[list[str]], name: str) -> StreamingHttpResponse:
    writer = csv.writer(_Echo())
    lines = (writer.writerow([neutral(cell) for cell in row]) for row in rows)
    answer = StreamingHttpResponse(chain(["\ufeff"], lines), content_type="text/csv; charset=utf-8")  # Excel's mark
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


class _Echo:
    """A file that hands back what is written."""

    def write(self, text: str) -> str:
        return text


def _offered(row: ExportRequest) -> bool:
    return row.status == Status.ASKED


@object_act(
    gettext_lazy("Approve"), right=Right.EXPORT, icon="verified", offered=_offered, asker=lambda row: row.asked_by_id,
    warning=lambda row: _("%(who)s may take %(count)s rows, once, within a day: %(reason)s") % {
        "who": row.asked_by, "count": f"{row.row_count:,}", "reason": row.reason,
    },
)  # fmt: skip
def agree(self: Any, request: HttpRequest, row: ExportRequest, data: dict[str, Any]) -> str:
    exports.answer(request=row, is_agreed=True, actor=request.user, now=timezone.now())
    return _("Approved: the one who asked may take it once.")


@object_act(
    gettext_lazy("Refuse"), right=Right.EXPORT, icon="block", offered=_offered, asker=lambda row: row.asked_by_id,
)  # fmt: skip
def refuse(self: Any, request: HttpRequest, row: ExportRequest, data: dict[str, Any]) -> str:
    exports.answer(request=row, is_agreed=False, actor=request.user, now=timezone.now())
    return _("Refused.")


@admin.register(ExportRequest)
class ExportRequestAdmin(ReadOnlyAdmin):
    acts = (agree, refuse)
    view_right = Right.EXPORT
    list_display = ("title", "status_label", "row_count", "reason", "asked_by", "asked_at", "answered_by", "taken_at")
    list_select_related = ("asked_by", "answered_by")
    list_filter = (("status", lists.ChoicesDropdownFilter),)
    ordering = ("-pk",)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(require_POST(self.take_view))
        return [path("<path:object_id>/take/", view, name="scrm_exportrequest_take"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row: ExportRequest = self.get_object(request, unquote(object_id))
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, row):
            raise PermissionDenied
        is_hers = row.asked_by_id == request.user.pk
        context = self.page_context(
            request, row, title=row.title, row=row, buttons=self.acts_for(request, row), is_hers=is_hers,
            may_take=is_hers and row.status == Status.AGREED, list_url=reverse("admin:scrm_exportrequest_changelist"),
        )  # fmt: skip
        return TemplateResponse(request, "admin/scrm/exportrequest/page.html", context)

    def take_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        row = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        try:
            rows = exports.take(request=row, actor=request.user, now=timezone.now())
        except RuleViolation as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(self.url_of(row))
        return csv_answer(rows, f"{row.kind}-{row.target_id}-{row.pk}")

    @display(description=gettext_lazy("state"), label=COLOURS)
    def status_label(self, row: ExportRequest) -> Any:
        return state(row.status, row.get_status_display())
