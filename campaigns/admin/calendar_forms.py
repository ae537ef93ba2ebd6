"""Forms of the calendar: each fault stands at its field."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from campaigns.calendar import adapting, rules
from campaigns.models import CalendarAdaptation, CalendarEntry, SopVersion
from campaigns.sends.planning import TEXT_BYTES
from members.models import CouponTemplate
from scrm import org
from scrm.models import Region, Store

WEEKDAYS = (
    (1, gettext_lazy("Monday")), (2, gettext_lazy("Tuesday")), (3, gettext_lazy("Wednesday")), (4, gettext_lazy("Thursday")),
    (5, gettext_lazy("Friday")), (6, gettext_lazy("Saturday")), (7, gettext_lazy("Sunday")),
)  # fmt: skip
Span = CalendarEntry.Span


class EntryForm(forms.ModelForm):
    weekdays: Any = forms.TypedMultipleChoiceField(
        label=gettext_lazy("on weekdays"), choices=WEEKDAYS, coerce=int, empty_value=[], required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget, help_text=gettext_lazy("A campaign without weekdays takes place every day."),
    )  # fmt: skip

    class Meta:
        model = CalendarEntry
        exclude = ("changed_at",)  # noqa: DJ006  all that HQ says

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for check in (self._days, self._place, self._task, self._reach, self._limits):
            check(data)
        return data

    def _wrong(self, field: str, text: str) -> None:
        if field in self.fields and field not in self.errors:
            self.add_error(field, text)

    def _days(self, data: dict[str, Any]) -> None:
        starts_on, ends_on, weekdays = data.get("starts_on"), data.get("ends_on"), data.get("weekdays") or []
        if data.get("span") == Span.WEEKLY and not weekdays and "weekdays" not in self.errors:
            self._wrong("weekdays", _("Choose the weekdays of the rhythm."))
        if data.get("span") == Span.CAMPAIGN and not ends_on:
            self._wrong("ends_on", _("A campaign needs its last day."))
        if starts_on and ends_on and ends_on < starts_on:
            self._wrong("ends_on", _("The last day is not before the first."))
        elif starts_on and ends_on and weekdays:
            days = (starts_on + dt.timedelta(days=place) for place in range(min((ends_on - starts_on).days, 6) + 1))
            if not any(day.isoweekday() in weekdays for day in days):
                self._wrong("weekdays", _("None of these weekdays lies within the days."))
        from_time, until_time = data.get("from_time"), data.get("until_time")
        if from_time and until_time and until_time <= from_time:
            self._wrong("until_time", _("It ends after it begins, on the same day."))

    def _place(self, data: dict[str, Any]) -> None:
        store = data.get("store")
        if store and (data.get("region") or data.get("entity")):
            self._wrong("store", _("Choose one store, or a region and a legal entity; not both."))
        if store and data.get("ownership") and store.ownership != data["ownership"]:
            self._wrong("ownership", _("The store is of the other kind."))

    def _task(self, data: dict[str, Any]) -> None:
        kind, quotas = (
            data.get("task_kind"),
            {name: data.get(name) or 0 for name in ("direct_quota", "franchisee_quota")},
        )
        if any(quotas.values()) and not kind:
            self._wrong("task_kind", _("A quota needs a task that it counts."))
        if kind == "MESSAGE" and not (data.get("text") or data.get("content")):
            self._wrong("text", _("Say what the guides are to write, or choose a material."))
        if kind and kind not in rules.CONTACTS and data.get("quota_per") == CalendarEntry.QuotaPer.GUIDE:
            for name, quota in quotas.items():
                if quota > rules.MOST_POSTS:
                    self._wrong(
                        name, _("A guide has at most %(most)s such tasks in a day.") % {"most": rules.MOST_POSTS}
                    )
        size = len((data.get("text") or "").encode())
        if data.get("corp") and size > TEXT_BYTES:
            self._wrong(
                "text",
                _("The text has %(size)s bytes; WeCom takes at most 4,000 (about 1,333 Chinese characters).")
                % {"size": size},
            )

    def _reach(self, data: dict[str, Any]) -> None:
        audience, template, sop = data.get("audience"), data.get("coupon_template"), data.get("sop")
        for name, text in (
            ("corp", _("A mass send needs an audience.")), ("coupon_template", _("Coupons need an audience.")),
            ("sop", _("An SOP needs an audience.")),
        ):  # fmt: skip
            if data.get(name) and not audience and "audience" not in self.errors:
                self._wrong("audience", text)
        if data.get("corp") and not ((data.get("text") or "").strip() or data.get("content")):
            self._wrong("text", _("A mass send needs a text or a material."))
        if data.get("holdout_percent") and not data.get("corp"):
            self._wrong("holdout_percent", _("Only a mass send has a control group."))
        brand = data.get("brand")
        for name, row in (("audience", audience), ("coupon_template", template), ("sop", sop)):
            if row is not None and brand is not None and row.brand_id != brand.pk:
                self._wrong(name, _("It belongs to another brand."))
        if audience is not None and audience.is_archived:
            self._wrong("audience", _("This audience is archived. Choose another one."))
        if template is not None and template.status == CouponTemplate.Status.ENDED:
            self._wrong("coupon_template", _("This coupon has ended. Choose its newer version, or another one."))
        if sop is not None and not (sop.is_active and sop.versions.filter(status=SopVersion.Status.PUBLISHED).exists()):
            self._wrong("sop", _("This SOP takes nobody in. Publish a version of it, or choose another one."))

    def _limits(self, data: dict[str, Any]) -> None:
        allows = data.get("may_drop") or data.get("may_move") or (data.get("least_quota_percent") or 0) < 100
        nobody = CalendarEntry.AdaptedBy.NOBODY
        if "least_quota_percent" in self.errors:
            return
        if data.get("adapted_by") == nobody and allows:
            self._wrong("adapted_by", _("Say who may adapt it, or allow nothing."))
        if data.get("adapted_by") not in (nobody, None) and not allows:
            self._wrong("adapted_by", _("Say what they may change: leave it out, the hours, or the quota."))


class AdaptationForm(forms.ModelForm):
    """``scope`` is set by the admin for the person who asks."""

    scope: org.Scope = org.NOTHING

    class Meta:
        model = CalendarAdaptation
        fields = (
            "entry",
            "region",
            "store",
            "starts_on",
            "ends_on",
            "is_dropped",
            "from_time",
            "until_time",
            "quota",
            "reason",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        entries: Any = self.fields.get("entry")
        regions: Any = self.fields.get("region")
        if entries is None or regions is None:
            return  # one that is only shown
        offered = entries.queryset.filter(is_active=True).exclude(adapted_by=CalendarEntry.AdaptedBy.NOBODY)
        entries.queryset = offered.order_by("title", "pk")
        regions.queryset = regions_within(self.scope)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.errors:
            return data
        wish = CalendarAdaptation(**{name: data[name] for name in self.Meta.fields})
        for field, text in adapting.problems(wish, scope=self.scope, level="REGION").items():
            self.add_error(field, text)
        return data


def regions_within(scope: org.Scope) -> Any:
    """Regions all of whose stores the person sees; a region without stores is nobody's part."""
    regions = Region.objects.all()
    if scope.is_everything:
        return regions.order_by("code")
    parents = dict(regions.values_list("pk", "parent_id"))
    beyond: set[int] = set()
    here: set[int] = set()
    for pk, region_id in Store.objects.values_list("pk", "region_id"):
        at: int | None = region_id
        while at is not None:
            (here if pk in (scope.store_ids or ()) else beyond).add(at)
            at = parents.get(at)
    return regions.filter(pk__in=here - beyond).order_by("code")
