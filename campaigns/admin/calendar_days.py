"""What the calendar has become: a day of an entry with its send, coupons, SOP and execution; and adaptations."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns import calendar
from campaigns.admin.calendar import FOLDER, adaptation_text
from campaigns.admin.calendar_forms import AdaptationForm
from campaigns.calendar import reaching
from campaigns.models import CalendarAdaptation, CalendarDay, Send
from members.models import AudienceSnapshot
from scrm import org
from scrm.admin import lists
from scrm.admin.bases import ReadOnlyAdmin, ScopedAdmin, object_act
from scrm.admin.shown import display
from scrm.org import Right

LEVELS = ("region", "store")
COLUMNS = ("title", "day", "kind", "store_count", "done_text", "coupons")


def _warning(row: CalendarDay) -> str:
    found = reaching.preview_coupons(row)
    said = {"count": f"{found.coupons:,}", "left_out": f"{found.left_out:,}", "yuan": f"{found.fen / 100:,.2f}"}
    return (
        _(
            "%(count)s coupons are given out when the day begins, reserving ¥%(yuan)s; %(left_out)s members have as many as they may."
        )
        % said
    )


@object_act(
    gettext_lazy("Approve the coupons"), right=Right.CHANGE, icon="verified", warning=_warning,
    offered=lambda row: row.coupons == CalendarDay.Coupons.ASKED and not row.is_cancelled,
)  # fmt: skip
def approve(self: Any, request: HttpRequest, row: CalendarDay, data: dict[str, Any]) -> str:
    calendar.approve_coupons(day=row, actor=request.user, now=timezone.now())
    return _("Approved: the coupons are given out when the day begins.")


@admin.register(CalendarDay)
class CalendarDayAdmin(ReadOnlyAdmin):
    acts = (approve,)
    list_display = COLUMNS
    list_filter = (
        ("kind", lists.ChoicesDropdownFilter),
        ("coupons", lists.ChoicesDropdownFilter),
        ("is_cancelled", lists.BooleanRadioFilter),
    )
    ordering = ("-day", "-pk")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("entry", "send", "snapshot", "coupon_batch")

    def get_list_display(self, request: HttpRequest) -> Any:
        """Counts of all stores are HQ's."""
        return COLUMNS if org.scope_of(request.user).is_everything else COLUMNS[:3]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row: CalendarDay = self.get_object(request, object_id)
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, row):
            raise PermissionDenied
        scope = org.scope_of(request.user)
        level = request.GET.get("level", "region")
        level = level if level in LEVELS else "region"
        within = request.GET.get("within", "")
        asked: dict[str, Any] = {"entry_id": row.entry_id, "day": row.day, "scope": scope}
        context = self.page_context(
            request, row, title=f"{row.title} {row.day:%Y-%m-%d}", row=row, entry=row.entry, level=level, is_hq=scope.is_everything,
            total=calendar.totals(**asked), buttons=self.acts_for(request, row), send=_visible_send(row, scope),
            lines=calendar.execution(**asked, level=level, within=int(within) if within.isdecimal() else None),
            entry_url=reverse("admin:campaigns_calendarentry_change", args=(row.entry_id,)),
            calendar_url=f"{reverse('admin:campaigns_calendar')}?on={row.day}", now=timezone.now(),
            is_freezing=row.snapshot is not None and row.snapshot.status == AudienceSnapshot.Status.BUILDING,
        )  # fmt: skip
        return TemplateResponse(request, f"{FOLDER}day.html", context)

    @display(description=gettext_lazy("tasks done"))
    def done_text(self, row: CalendarDay) -> str:
        return f"{row.done_count:,} / {row.task_count:,}"


def _visible_send(row: CalendarDay, scope: org.Scope) -> Send | None:
    return org.visible(Send.objects.filter(pk=row.send_id), scope).first() if row.send_id else None


class ReasonForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("reason"), min_length=2, max_length=200)


@object_act(
    gettext_lazy("Withdraw"), right=Right.ACT, icon="undo", form=ReasonForm, offered=lambda row: row.is_active,
    warning=gettext_lazy("The entry takes place as HQ wrote it again. What has begun stays as it is."),
)  # fmt: skip
def withdraw(self: Any, request: HttpRequest, row: CalendarAdaptation, data: dict[str, Any]) -> str:
    calendar.withdraw(adaptation=row, scope=org.scope_of(request.user), actor=request.user, reason=data["reason"])
    return _("Withdrawn: the coming days are compiled anew within a minute.")


@admin.register(CalendarAdaptation)
class CalendarAdaptationAdmin(ScopedAdmin):
    add_right: ClassVar[Right | None] = Right.ACT
    acts = (withdraw,)
    form = AdaptationForm
    list_display = ("entry", "part", "starts_on", "ends_on", "what", "reason", "made_by", "is_active")
    list_select_related = ("entry", "region", "store", "made_by")
    list_filter = (("is_active", lists.BooleanRadioFilter),)
    ordering = ("-pk",)
    autocomplete_fields = ("store",)
    fields = (
        "entry", ("region", "store"), ("starts_on", "ends_on"), "is_dropped", ("from_time", "until_time"), "quota", "reason",
    )  # fmt: skip

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.scope = org.scope_of(request.user)
        return form

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        calendar.adapt(
            wish=obj, scope=org.scope_of(request.user), level="REGION", actor=request.user, now=timezone.now()
        )

    @display(description=gettext_lazy("part"))
    def part(self, row: CalendarAdaptation) -> str:
        return str(row.region or row.store)

    @display(description=gettext_lazy("what"))
    def what(self, row: CalendarAdaptation) -> str:
        return adaptation_text(row)
