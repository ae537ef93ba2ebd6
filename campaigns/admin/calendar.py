"""The marketing calendar in the console: month and week with last year's beside it, its entries, and what is compiled of it."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from attribution import queries
from campaigns import calendar
from campaigns.admin.calendar_forms import WEEKDAYS, EntryForm
from campaigns.calendar import rules, weeks
from campaigns.models import CalendarAdaptation, CalendarCompiled, CalendarEntry
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import ReadOnlyInline, ScopedAdmin
from scrm.admin.shown import EMPTY, display
from scrm.models import Brand, Job
from scrm.org import Right

words.register(
    {
        "calendar.adapt": gettext_lazy("adapted the calendar"),
        "calendar.withdraw": gettext_lazy("withdrew an adaptation of the calendar"),
        "calendar.coupons": gettext_lazy("approved coupons of the calendar"),
        "calendar.compile": gettext_lazy("compiling the calendar"),
        "calendar.preview": gettext_lazy("looking at what compiling the calendar would do"),
        "calendar.check": gettext_lazy("looking for conflicts in the calendar"),
        "summary.new": gettext_lazy("new"),
        "summary.changed": gettext_lazy("changed"),
        "summary.gone": gettext_lazy("withdrawn"),
        "summary.kept": gettext_lazy("as before"),
        "summary.begun": gettext_lazy("begun, stay as they are"),
        "summary.stores": gettext_lazy("stores"),
        "summary.conflicts": gettext_lazy("conflicts"),
    }
)
FOLDER = "admin/campaigns/calendar/"
COMING = 14  # days that an entry's page looks ahead
EARLIEST, LATEST = dt.date(2000, 1, 3), dt.date(2100, 1, 1)
OPEN = (Job.Status.QUEUED, Job.Status.RUNNING)


class AdaptationInline(ReadOnlyInline):
    model = CalendarAdaptation
    fields = ("part", "starts_on", "ends_on", "what", "reason", "made_by", "is_active")
    readonly_fields = fields
    ordering = ("-pk",)
    verbose_name_plural = gettext_lazy("adaptations of regions and stores")

    def get_queryset(self, request: HttpRequest) -> Any:
        return org.visible(super().get_queryset(request), org.scope_of(request.user)).select_related(
            "region", "store", "made_by"
        )

    @display(description=gettext_lazy("part"))
    def part(self, row: CalendarAdaptation) -> str:
        return str(row.region or row.store)

    @display(description=gettext_lazy("what"))
    def what(self, row: CalendarAdaptation) -> str:
        return adaptation_text(row)


def adaptation_text(row: CalendarAdaptation) -> str:
    if row.is_dropped:
        return _("does not take part")
    parts = []
    if row.from_time and row.until_time:
        parts.append(f"{row.from_time:%H:%M}—{row.until_time:%H:%M}")
    if row.quota is not None:
        parts.append(_("quota %(quota)s") % {"quota": row.quota})
    return "，".join(parts)


@admin.register(CalendarEntry)
class CalendarEntryAdmin(ScopedAdmin):
    add_right: ClassVar[Right | None] = Right.CHANGE
    change_right: ClassVar[Right | None] = Right.CHANGE
    form = EntryForm
    inlines = (AdaptationInline,)
    change_form_template = f"{FOLDER}form.html"
    list_display = ("title", "kind", "when", "for_text", "quota_text", "is_active", "changed_at")
    list_select_related = ("region", "entity", "store")
    list_filter = (
        ("kind", lists.ChoicesDropdownFilter), ("span", lists.ChoicesDropdownFilter), ("is_active", lists.BooleanRadioFilter),
    )  # fmt: skip
    search_fields = ("title__startswith",)
    ordering = ("-pk",)
    autocomplete_fields = ("region", "entity", "store", "audience", "content", "coupon_template")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("calendar/", view(self.calendar_view), name="campaigns_calendar"),
            path("calendar/compile/", view(self.compile_view), name="campaigns_calendar_compile"),
            *super().get_urls(),
        ]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Audience, coupon and SOP are HQ's; who sees a part sees what its stores do."""
        when = ("brand", ("span", "kind"), "title", "weekdays", ("starts_on", "ends_on"), ("from_time", "until_time"))
        found = [
            (_("What and when"), {"fields": (*when, ("note", "is_active"))}),
            (_("Which stores"), {"fields": (("region", "entity"), ("store", "ownership"))}),
            (
                _("What guides do"),
                {
                    "fields": (
                        ("task_kind", "minutes"),
                        "text",
                        "content",
                        ("quota_per", "direct_quota", "franchisee_quota"),
                    )
                },
            ),
        ]
        if org.scope_of(request.user).is_everything:
            bring = {"fields": ("audience", ("corp", "holdout_percent"), "coupon_template", "sop")}
            found.append((_("What customers get"), bring))
        limits = {"fields": ("adapted_by", ("may_drop", "may_move", "least_quota_percent"))}
        return (*found, (_("What regions and stores may change"), limits))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A day of the calendar that was clicked."""
        data: dict[str, Any] = super().get_changeform_initial_data(request)
        day = _day(request.GET.get("on")) or timezone.localdate()
        return {"brand": Brand.objects.order_by("pk").first(), "starts_on": day, "weekdays": [day.isoweekday()], **data}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        calendar.write(entry=obj, actor=request.user, now=timezone.now())

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponse:
        return HttpResponseRedirect(self.url_of(obj))

    def response_post_save_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """Back to the entry: its conflicts are being looked for."""
        return HttpResponseRedirect(self.url_of(obj))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        row = context.get("original")
        if row is not None:
            scope, today = org.scope_of(request.user), timezone.localdate()
            days = [today + dt.timedelta(days=ahead) for ahead in range(COMING)]
            found = calendar.found_on(brand_id=row.brand_id, days=days, scope=scope, entry_ids=[row.pk])
            cells = weeks.cells(brand_id=row.brand_id, days=days, scope=scope, today=today, found=found)
            context |= {
                "conflicts": found,
                "coming": [(cell.day, one) for cell in cells for one in cell.items if one.entry_id == row.pk],
                "checked_at": _checked_at(row.brand_id, days), "entry_changed_at": row.changed_at,
            }  # fmt: skip
        return super().render_change_form(request, context, *args, **kwargs)

    # --- the calendar itself ---

    def calendar_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        scope, today = org.scope_of(request.user), timezone.localdate()
        day = _day(request.GET.get("on")) or today
        brand, brands = _brand(request)
        view = "month" if request.GET.get("view") == "month" else "week"
        days = weeks.month_days(day) if view == "month" else rules.week_of(day)
        found = weeks.conflicts_of(brand_id=brand.pk, days=days, scope=scope, today=today)
        cells = weeks.cells(brand_id=brand.pk, days=days, scope=scope, today=today, found=found)
        context = self.page_context(
            request, None, title=_("Marketing calendar"), view=view, brand=brand, brands=brands, day=day, today=today, cells=cells,
            conflicts=found, weekdays=[label for _number, label in WEEKDAYS], may_add=self.has_add_permission(request),
            may_compile=self.may_compile(request), is_empty=not any(cell.items for cell in cells), kinds=CalendarEntry.Kind.choices,
            has_entries=org.visible(CalendarEntry.objects.filter(brand=brand, is_active=True), scope).exists(),
            may_adapt=org.may(request.user, Right.ACT), **_around(day, view),
            checked_at=_checked_at(brand.pk, [one for one in days if one >= today]),
        )  # fmt: skip
        if view == "month":
            context["rows"] = [cells[place : place + 7] for place in range(0, len(cells), 7)]
        else:
            context |= _last_year(brand.pk, days, scope, today)
        return TemplateResponse(request, f"{FOLDER}{view}.html", context)

    def may_compile(self, request: HttpRequest) -> bool:
        return org.scope_of(request.user).is_everything and self.has_right(request, Right.CHANGE)

    def compile_view(self, request: HttpRequest) -> HttpResponse:
        """Two jobs: what compiling a week would do, then compiling it. With thousands of stores neither is done on a page."""
        if not self.may_compile(request):
            raise PermissionDenied
        brand, _brands = _brand(request)
        today = timezone.localdate()
        day = _day(request.GET.get("on")) or today
        days = [one for one in rules.week_of(day) if one >= today]
        here = f"{reverse('admin:campaigns_calendar_compile')}?on={day}&brand={brand.pk}"
        if request.method == "POST" and days:
            ask = calendar.ask_to_compile if "compile" in request.POST else calendar.ask_to_preview
            return HttpResponseRedirect(f"{here}&job={ask(brand_id=brand.pk, days=days, actor=request.user).pk}")
        job = _job(request, brand, days)
        context = self.page_context(
            request, None, title=_("Compile the week"), days=days, job=job, is_busy=job is not None and job.status in OPEN,
            is_preview=job is not None and job.kind == calendar.PREVIEW, here=here,
            back=f"{reverse('admin:campaigns_calendar')}?on={day}&brand={brand.pk}",
            conflicts=weeks.conflicts_of(brand_id=brand.pk, days=days, scope=org.EVERYTHING, today=today) if days else [],
        )  # fmt: skip
        return TemplateResponse(request, f"{FOLDER}compile.html", context)

    # --- columns ---

    @display(description=gettext_lazy("when"))
    def when(self, row: CalendarEntry) -> str:
        names = dict(WEEKDAYS)
        days = "、".join(str(names[number]) for number in sorted(row.weekdays)) if row.weekdays else _("every day")
        if row.span == CalendarEntry.Span.CAMPAIGN:
            return f"{row.starts_on:%Y-%m-%d} — {row.ends_on:%Y-%m-%d} {days}"
        return f"{days} {row.from_time:%H:%M}—{row.until_time:%H:%M}"

    @display(description=gettext_lazy("for"))
    def for_text(self, row: CalendarEntry) -> str:
        kind = f" · {row.get_ownership_display()}" if row.ownership else ""
        return f"{row.part_text}{kind}"

    @display(description=gettext_lazy("quota"))
    def quota_text(self, row: CalendarEntry) -> str:
        if not (row.direct_quota or row.franchisee_quota):
            return EMPTY
        return f"{row.get_quota_per_display()} {row.direct_quota} / {row.franchisee_quota}"


def _day(text: str | None) -> dt.date | None:
    try:
        found = parse_date(text or "")
    except ValueError:
        return None
    return found if found is not None and EARLIEST <= found <= LATEST else None


def _brand(request: HttpRequest) -> tuple[Brand, list[Brand]]:
    brands = list(Brand.objects.order_by("pk"))
    wanted = request.GET.get("brand", "")
    found = next((row for row in brands if str(row.pk) == wanted), brands[0] if brands else None)
    if found is None:
        raise Http404
    return found, brands


def _job(request: HttpRequest, brand: Brand, days: list[dt.date]) -> Job | None:
    """The job that the address names, when it is one of these days."""
    asked = request.GET.get("job", "")
    kinds = (calendar.COMPILE, calendar.PREVIEW)
    found = Job.objects.filter(pk=int(asked), kind__in=kinds).first() if asked.isdecimal() else None
    params = {"brand": brand.pk, "days": [day.isoformat() for day in days]}
    return found if found is not None and found.params == params else None


def _around(day: dt.date, view: str) -> dict[str, Any]:
    if view == "month":
        first = day.replace(day=1)
        return {"before": first - dt.timedelta(days=1), "after": (first + dt.timedelta(days=32)).replace(day=1)}
    week = dt.timedelta(days=7)
    return {"before": day - week, "after": day + week}


def _last_year(brand_id: int, days: list[dt.date], scope: org.Scope, today: dt.date) -> dict[str, Any]:
    """The same ISO week a year before: what ran, and the GMV of the stores that one sees."""
    monday = rules.last_years(days[0])
    before = rules.week_of(monday)
    sales = queries.sales_by_day(scope=scope, first=days[0], last=days[-1])
    sales_before = queries.sales_by_day(scope=scope, first=before[0], last=before[-1])
    so_far = sum(fen for day, fen in sales.items() if day <= today)
    same_days = sum(sales_before.get(then, 0) for then, now in zip(before, days, strict=True) if now <= today)
    return {
        "last_cells": weeks.that_ran(brand_id=brand_id, days=before, scope=scope),
        "sales": [(day, sales.get(day) if day <= today else None) for day in days],
        "last_sales": [(day, sales_before.get(day)) for day in before],
        "so_far_fen": so_far, "same_days_fen": same_days, "last_week_fen": sum(sales_before.values()),
        "change_bp": (so_far - same_days) * 10_000 // same_days if same_days else None, "week_no": days[0].isocalendar().week,
        "has_begun": days[0] <= today,
    }  # fmt: skip


def _checked_at(brand_id: int, days: list[dt.date]) -> dt.datetime | None:
    """Up to when the conflicts of all the days were counted; None where some day was never looked at."""
    found = list(CalendarCompiled.objects.filter(brand=brand_id, day__in=days).values_list("checked_at", flat=True))
    times = [at for at in found if at is not None]
    return min(times) if times and len(times) == len(days) else None
