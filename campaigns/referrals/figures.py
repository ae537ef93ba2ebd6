"""The funnel of a referral programme (老带新漏斗) by region, store and guide, and what a new member costs.

Read from counts that triggers keep: one row per store and guide, whatever the number of referrals. The cost per new member is what
was earned (coupon at most and the guide's reward) by the new customers who have bought and whose referral is earned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import F, QuerySet, Sum

from campaigns.models import ReferralCount, ReferralProgramme
from scrm import org

LEVELS = {
    "region": ("store__region_id", "store__region__name"),
    "store": ("store_id", "store__name"),
    "guide": ("guide_id", "guide__name"),
}
WITHIN = {"store": "store__region_id", "guide": "store_id"}
SHOWN = 500
COUNTED = (
    "link_count", "open_count", "joined_count", "registered_count", "bought_count", "vested_count", "void_count", "review_count",
    "held_fen", "spent_fen", "bought_fen",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    key: int | None
    name: str
    link_count: int = 0
    open_count: int = 0
    joined_count: int = 0
    registered_count: int = 0
    bought_count: int = 0
    vested_count: int = 0
    void_count: int = 0
    review_count: int = 0
    held_fen: int = 0
    spent_fen: int = 0
    bought_fen: int = 0

    @property
    def cost_fen(self) -> int | None:
        """For one new member who has earned it; rounded half up."""
        return (2 * self.spent_fen + self.vested_count) // (2 * self.vested_count) if self.vested_count else None


def lines(*, programme: ReferralProgramme, level: str, scope: org.Scope, within: int | None = None) -> list[Line]:
    """Who has brought most first."""
    key, name = LEVELS[level]
    rows = _visible(programme, scope)
    if within is not None and level in WITHIN:
        rows = rows.filter(**{WITHIN[level]: within})
    found = rows.values(shown_key=F(key), shown_name=F(name)).annotate(**{each: Sum(each) for each in COUNTED})
    return [
        _line(row["shown_key"], row["shown_name"], row) for row in found.order_by("-joined_count", "shown_key")[:SHOWN]
    ]


def total(*, programme: ReferralProgramme, scope: org.Scope) -> Line:
    row = _visible(programme, scope).aggregate(**{each: Sum(each) for each in COUNTED})
    return _line(None, "", row)


def of_guide(*, programme_id: int, guide_id: int) -> Line:
    rows = ReferralCount.objects.filter(programme=programme_id, guide=guide_id)
    row = rows.aggregate(**{each: Sum(each) for each in COUNTED})
    return _line(guide_id, "", row)


def _visible(programme: ReferralProgramme, scope: org.Scope) -> QuerySet[ReferralCount]:
    rows = ReferralCount.objects.filter(programme=programme).order_by()
    return rows if scope.is_everything else rows.filter(store__in=scope.store_ids or ())


def _line(key: int | None, name: str | None, row: Any) -> Line:
    return Line(key, name or "", **{each: int(row[each] or 0) for each in COUNTED})
