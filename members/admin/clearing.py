"""Clearing of coupons in the console: who owes whom, by the month, with a chart and a file."""

from __future__ import annotations

import csv
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from members.coupons import clearing, terms
from members.models import ClearingEntry, ClearingMonth
from scrm import org
from scrm.admin.bases import ReadOnlyAdmin
from scrm.admin.exchange import neutral
from scrm.errors import RuleViolation
from scrm.org import Right


@admin.register(ClearingEntry)
class ClearingEntryAdmin(ReadOnlyAdmin):
    fields = ("period", "payee", "payer", "amount_fen", "adjusts_period", "redemption", "posted_at")

    def get_urls(self) -> list[Any]:
        def page(route: str, view: Any, name: str) -> Any:
            return path(route, self.admin_site.admin_view(view), name=f"members_clearingentry_{name}")

        return [
            page("file/", self.file_view, "file"), page("close/", require_POST(self.close_view), "close"), *super().get_urls(),
        ]  # fmt: skip

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The statement of a month, cut to the companies the user sees whole."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        scope, period = org.scope_of(request.user), _period(request)
        rows = clearing.statement(period=period, scope=scope)
        sums = clearing.balances(rows)
        month = ClearingMonth.objects.filter(period=period).first()
        context = self.page_context(
            request, None, title=_("Clearing of coupons"), period=period, rows=rows, balances=sums, month=month,
            periods=sorted({*clearing.periods(scope), period}, reverse=True), may_close=self._may_close(request) and month is None and period < terms.month(timezone.now()),
            charts=_charts(sums), is_same=month is None or month.digest == clearing.digest(period),
        )  # fmt: skip
        return TemplateResponse(request, "admin/members/clearingentry/list.html", context)

    def file_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        period = _period(request)
        rows = clearing.take_file(period=period, scope=org.scope_of(request.user), actor=request.user)
        answer = HttpResponse("\ufeff", content_type="text/csv; charset=utf-8")  # the mark by which Excel knows UTF-8
        csv.writer(answer).writerows([neutral(cell) for cell in row] for row in rows)
        answer["Content-Disposition"] = f'attachment; filename="coupons-{period}.csv"'
        return answer

    def close_view(self, request: HttpRequest) -> HttpResponse:
        if not self._may_close(request):
            raise PermissionDenied
        period = request.POST.get("period", "")
        try:
            clearing.close(period=period, actor=request.user, now=timezone.now())
            messages.success(request, _("%(period)s is closed.") % {"period": period})
        except RuleViolation as error:
            messages.error(request, error.message)
        return HttpResponseRedirect(f"{reverse('admin:members_clearingentry_changelist')}?period={period}")

    def _may_close(self, request: HttpRequest) -> bool:
        return org.scope_of(request.user).is_everything and self.has_right(request, Right.CHANGE)


def _period(request: HttpRequest) -> str:
    asked = request.GET.get("period", "")
    return asked if clearing.is_period(asked) else terms.month(timezone.now())


def _charts(sums: list[dict[str, Any]]) -> dict[str, Any]:
    shown = sums[:15]
    series = ((_("receives"), "receives"), (_("pays"), "pays"), (_("bears of its own"), "own"))
    return {
        "chart-clearing": {
            "names": [row["name"] for row in shown], "horizontal": True, "unit": "yuan",
            "series": [{"name": name, "type": "bar", "data": [round(row[key] / 100, 2) for row in shown]} for name, key in series],
        }
    }  # fmt: skip
