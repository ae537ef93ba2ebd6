"""What members are worth, and the rule of the life-cycle stages, in the console."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from members import facts, member_value
from members.models import LifecycleRule, Stage
from scrm import org
from scrm.admin.bases import ScopedAdmin
from scrm.models import Brand
from scrm.money import yuan
from scrm.org import Right

MEASURES = {
    "recency": gettext_lazy("Recency (R): last purchase from"),
    "frequency": gettext_lazy("Frequency (F): orders from"),
    "money": gettext_lazy("Money (M): spend from"),
}


@admin.register(LifecycleRule)
class LifecycleRuleAdmin(ScopedAdmin):
    change_right = Right.CHANGE
    list_display = ("brand", "new_days", "repeat_orders", "active_days", "sleeping_days", "lapsing_days")
    list_select_related = ("brand",)
    ordering = ("pk",)
    fields = ("brand", "new_days", "repeat_orders", "active_days", "sleeping_days", "lapsing_days")
    readonly_fields = ("brand",)

    def save_model(self, request: HttpRequest, obj: LifecycleRule, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        facts.change_rule(rule=obj, actor=request.user, now=timezone.now())


def value_page(self: ScopedAdmin, request: HttpRequest) -> HttpResponse:
    """RFM by fifths, repeat rate, the top tenth and the stages. They count purchases in all stores: for who sees all (S1)."""
    if not (org.scope_of(request.user).is_everything and org.may(request.user, Right.VIEW)):
        raise PermissionDenied
    figures = member_value.figures(brand=Brand.objects.earliest("pk"))
    context: dict[str, Any] = {"figures": figures, "title": _("Member value")}
    if figures is not None and figures.members:
        context |= {
            "fifths": [(MEASURES[name], [_shown(name, one) for one in rows]) for name, rows in figures.fifths.items()],
            "grid": _grid(figures),
            "stages": _stages(figures),
            "charts": _charts(figures),
        }
    return TemplateResponse(request, "admin/members/audience/value.html", self.page_context(request, None, **context))


def _shown(name: str, one: member_value.Fifth) -> dict[str, Any]:
    lowest = (
        "—" if one.lowest is None or not one.members else f"¥{yuan(one.lowest)}" if name == "money" else str(one.lowest)
    )
    return {"score": one.score, "lowest": lowest, "members": one.members, "spend_fen": one.spend_fen}


def _grid(figures: member_value.Figures) -> list[dict[str, Any]]:
    """Rows by recency, the best first; shade by the share of members."""
    most = max(max(row) for row in figures.grid) or 1
    return [
        {
            "score": r + 1,
            "cells": [
                {"members": n, "fen": figures.grid_fen[r][f], "shade": f"{n / most * 0.55:.2f}"}
                for f, n in enumerate(figures.grid[r])
            ],
        }
        for r in reversed(range(member_value.FIFTHS))
    ]


def _stages(figures: member_value.Figures) -> list[dict[str, Any]]:
    found = []
    for stage in Stage:
        members, fen = figures.stages.get(stage.value, (0, 0))
        if stage is not Stage.PROSPECT:
            share = member_value.share_bp(members, figures.members)
            found.append({"label": stage.label, "members": members, "spend_fen": fen, "share_bp": share})
    return found


def _charts(figures: member_value.Figures) -> dict[str, Any]:
    stages = _stages(figures)
    scores = [str(n) for n in range(1, member_value.FIFTHS + 1)]
    return {
        "chart-stages": {
            "names": [str(row["label"]) for row in stages],
            "horizontal": True,
            "series": [{"name": _("members"), "type": "bar", "data": [row["members"] for row in stages]}],
        },
        "chart-money": {
            "names": [_("score %(number)s") % {"number": n} for n in scores],
            "unit": "percent",
            "series": [
                {"name": label, "type": "bar", "data": [share(one) for one in figures.fifths["money"]]}
                for label, share in (
                    (_("share of members"), lambda one: member_value.share_bp(one.members, figures.members) / 100),
                    (_("share of spend"), lambda one: member_value.share_bp(one.spend_fen, figures.spend_fen) / 100),
                )
            ],
        },
    }
