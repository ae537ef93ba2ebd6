"""The fairness panel in the console, and the lines behind each of its figures."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from attribution import fairness, overview
from attribution.models import FairnessDay
from attribution.overview import Part
from attribution.rules.explanation import CANDIDATES, REASONS
from guides.models import BindingRequest
from scrm import org
from scrm.admin.bases import ReadOnlyAdmin
from scrm.admin.words import reason_text

PRESETS = (
    ("30", gettext_lazy("last 30 days")),
    ("month", gettext_lazy("this month")),
    ("before", gettext_lazy("last month")),
)
KEYS: dict[str, Any] = {
    "HELD": gettext_lazy("held for review"),
    "INELIGIBLE": gettext_lazy("not eligible"),
    "WAITING": gettext_lazy("waiting for its decision"),
    "NONE": gettext_lazy("nobody"),
    "UNKNOWN_BUYER": gettext_lazy("the buyer is unknown and nobody claims the line"),
    "NO_GUIDE": gettext_lazy("the member has no guide and nobody claims the line"),
    "NO_DECISION": gettext_lazy("no decision"),
    "NO_WINNER": gettext_lazy("a decision without a winner"),
    "NO_REASON": gettext_lazy("held back or not eligible without a reason"),
    "UNNAMED_MONEY": gettext_lazy("money for somebody whom the decision does not name"),
}
ORDER = ("C0", "C1", "C2", "C3", "C4", "C5", "HELD", "INELIGIBLE", "WAITING", "NONE")
Topic = FairnessDay.Topic


@admin.register(FairnessDay)
class FairnessDayAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        lines = path("lines/", self.admin_site.admin_view(self.lines_view), name="attribution_fairnessday_lines")
        return [lines, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The panel of a period and a part of the organisation."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        scope, (first, last), chosen = org.scope_of(request.user), period(request), part_of(request)
        panel = fairness.read(scope=scope, part=chosen, first=first, last=last)
        query = _query(chosen, panel.first, panel.last)
        context = self.page_context(
            request, None, title=_("Fairness"), panel=panel, part=chosen, options=overview.choices(scope=scope), query=query,
            presets=PRESETS, preset=request.GET.get("preset", ""), tables=_tables(panel, query), charts=_charts(panel),
            unexplained_query=fairness.UNEXPLAINED.strip(),
        )  # fmt: skip
        return TemplateResponse(request, "admin/attribution/fairnessday/panel.html", context)

    def lines_view(self, request: HttpRequest) -> HttpResponse:
        """The lines or binding requests of one day behind a figure, and the other days that have any."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        topic, key = request.GET.get("topic", ""), request.GET.get("key", "")
        if topic not in Topic.values or not key:
            raise Http404
        scope, (first, last), chosen = org.scope_of(request.user), period(request), part_of(request)
        days = fairness.days_with(scope=scope, part=chosen, first=first, last=last, topic=topic, key=key)
        day = _day(request.GET.get("day")) or (days[0][0] if days else last)
        terms: dict[str, Any] = {"scope": scope, "part": chosen, "key": key, "day": day}
        is_snatch = topic == Topic.SNATCH
        query = _query(chosen, first, last)
        context = self.page_context(
            request, None, title=f"{Topic(topic).label} · {text_of(topic, key)}", days=days, day=day, topic=topic, key=key,
            query=query, requests=fairness.requests(**terms) if is_snatch else [],
            lines=[] if is_snatch else fairness.lines(topic=topic, **terms), limit=fairness.LINES_SHOWN,
        )  # fmt: skip
        return TemplateResponse(request, "admin/attribution/fairnessday/lines.html", context)


def period(request: HttpRequest) -> tuple[dt.date, dt.date]:
    """The days that were asked for, inclusive; without sense or too long: cut, without any: the last thirty."""
    today = timezone.localdate()
    preset = request.GET.get("preset")
    if preset == "month":
        return today.replace(day=1), today
    if preset == "before":
        end = today.replace(day=1) - dt.timedelta(days=1)
        return end.replace(day=1), end
    first, last = _day(request.GET.get("first")), _day(request.GET.get("last"))
    if preset == "30" or first is None or last is None or last < first:
        return today - dt.timedelta(days=29), today
    return max(first, last - dt.timedelta(days=fairness.LONGEST - 1)), last


def part_of(request: HttpRequest) -> Part:
    """Ids outside the scope name no store, so that they show nothing."""
    chosen = {name: request.GET.get(name, "") for name in ("region", "entity", "store")}
    ids = {f"{name}_id": int(value) if value.isdecimal() else None for name, value in chosen.items()}
    return Part(**ids)


def text_of(topic: str, key: str) -> str:
    """A key of the panel in words."""
    if key in KEYS:
        return str(KEYS[key])
    if topic == Topic.SNATCH:
        return str(dict(BindingRequest.Answer.choices).get(key, key))
    if topic == Topic.OVERTURNED:
        return reason_text(key)
    kind, _space, why = key.partition(" ")
    candidate = f"{kind} {CANDIDATES[kind]}" if kind in CANDIDATES else kind
    return f"{candidate}：{REASONS.get(why, why)}" if why else candidate


def _day(text: str | None) -> dt.date | None:
    try:
        return parse_date(text or "")
    except ValueError:
        return None


def _query(part: Part, first: dt.date, last: dt.date) -> str:
    chosen = {"region": part.region_id, "entity": part.entity_id, "store": part.store_id}
    return urlencode({"first": first, "last": last} | {name: pk for name, pk in chosen.items() if pk})


def _tables(panel: fairness.Panel, query: str) -> dict[str, list[dict[str, Any]]]:
    """Counts with words and the way to what lies behind them."""

    def rows(topic: str, counts: list[fairness.Count]) -> list[dict[str, Any]]:
        return [
            {
                "text": text_of(topic, row.key),
                "row": row,
                "url": f"lines/?{query}&{urlencode({'topic': topic, 'key': row.key})}",
            }
            for row in counts
        ]

    ranked = sorted(panel.winners, key=lambda row: ORDER.index(row.key) if row.key in ORDER else len(ORDER))
    replaced = [
        {
            "text": f"{row['rule__name']} v{row['rule__number']} · {text_of(Topic.OVERTURNED, row['key'])}",
            "row": fairness.Count(row["key"], row["count"], row["net"], 0),
            "url": f"lines/?{query}&{urlencode({'topic': Topic.OVERTURNED, 'key': row['key']})}",
            "is_people": row["key"] in fairness.BY_PEOPLE,
        }
        for row in panel.overturned
    ]
    return {
        "winners": rows(Topic.WINNER, ranked),
        "pool": rows(Topic.POOL, panel.pool),
        "snatch": rows(Topic.SNATCH, panel.snatch),
        "unexplained": rows(Topic.UNEXPLAINED, panel.unexplained),
        "overturned": replaced,
    }


def _charts(panel: fairness.Panel) -> dict[str, Any]:
    keys = [key for key in ORDER if any(row.key == key for row in panel.winners)]
    totals = [sum(day["counts"].values()) for day in panel.days]
    return {
        "chart-winners": {
            "names": [f"{day['day']:%m-%d}" for day in panel.days],
            "unit": "percent",
            "stack": True,
            "series": [
                {
                    "name": text_of(Topic.WINNER, key),
                    "type": "bar",
                    "data": [
                        round(100 * day["counts"].get(key, 0) / total, 1) if total else 0
                        for day, total in zip(panel.days, totals, strict=True)
                    ],
                }
                for key in keys
            ],
        },
        "chart-pool": {
            "names": [text_of(Topic.POOL, row.key) for row in panel.pool[:8]],
            "horizontal": True,
            "series": [{"name": _("order lines"), "type": "bar", "data": [row.count for row in panel.pool[:8]]}],
        },
    }
