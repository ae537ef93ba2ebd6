"""How moments stand: one moment by region, store and guide, and all of them as an assessment (考核) of each guide."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Max, Min, Q, Sum
from django.utils.translation import gettext as _

from campaigns.models import Moment, MomentPost
from guides.models import Employment
from scrm import org

LEVELS = {
    "region": ("store__region_id", "store__region__name"),
    "store": ("store_id", "store__name"),
    "guide": ("guide_id", "guide__name"),
}
WITHIN = {"store": "store__region_id", "guide": "store_id"}
SHOWN = 200
State = MomentPost.State
ASKED = (State.PLANNED, State.PUBLISHED, State.LEFT)
KINDS = ("image", "video", "link", "")


@dataclass
class Line:
    """A region, a store or a guide. ``asked_count``: HQ's moments there to be published, ``published_count`` of them are;
    ``own_count`` beside them. ``kinds`` counts what was published."""

    key: int | None
    name: str
    guide_count: int = 0
    active_count: int = 0  # guides who have published anything
    asked_count: int = 0
    published_count: int = 0
    own_count: int = 0
    audience_count: int = 0
    like_count: int = 0
    comment_count: int = 0
    last_at: dt.datetime | None = None
    kinds: dict[str, int] = field(default_factory=dict)

    @property
    def published_bp(self) -> int:
        return self.published_count * 10_000 // self.asked_count if self.asked_count else 0

    @property
    def active_bp(self) -> int:
        return self.active_count * 10_000 // self.guide_count if self.guide_count else 0

    @property
    def kinds_text(self) -> str:
        names = {"image": _("pictures"), "video": _("video"), "link": _("link"), "": _("text")}
        return "、".join(f"{names[kind]} {self.kinds[kind]}" for kind in KINDS if self.kinds.get(kind))


def execution(*, moment: Moment, level: str, scope: org.Scope, within: int | None = None) -> list[Line]:
    """One moment by region, by store of a region, or by guide of a store; who has published least first."""
    posts = _visible(MomentPost.objects.filter(moment=moment), scope).exclude(state=State.EXCLUDED)
    lines = _lines(posts, level, within)
    return sorted(lines.values(), key=lambda line: (line.published_bp, line.name))[:SHOWN]


def totals(*, moment: Moment, scope: org.Scope) -> Line:
    posts = _visible(MomentPost.objects.filter(moment=moment), scope).exclude(state=State.EXCLUDED)
    row = posts.order_by().aggregate(**_sums())
    return _line(None, "", row)


def left_out(*, moment: Moment, scope: org.Scope) -> list[tuple[str, int]]:
    """Reasons with the guides they leave out, in the order in which they are asked."""
    rows = _visible(MomentPost.objects.filter(moment=moment, state=State.EXCLUDED), scope).values_list("reason")
    counts = dict(rows.annotate(count=Count("pk")).order_by("reason"))
    return [(str(reason.label), counts[reason.value]) for reason in MomentPost.Reason if reason.value in counts]


def assess(
    *, since: dt.datetime, until: dt.datetime, level: str, scope: org.Scope, within: int | None = None
) -> list[Line]:
    """Everybody who works, with what was published between the two times; who has done least first, also who did nothing."""
    posts = _visible(MomentPost.objects.filter(at__gte=since, at__lt=until), scope).exclude(state=State.EXCLUDED)
    lines = _lines(posts, level, within)
    works = Employment.objects.filter(Q(ended_at=None) | Q(ended_at__gt=until), started_at__lte=until)
    for key, name, count in _grouped(_visible(works, scope), level, within).annotate(n=Count("guide", distinct=True)):
        lines.setdefault(key, Line(key, name or "")).guide_count = count
    if level == "guide":
        last = dict(
            MomentPost.objects.filter(guide__in=list(lines), state=State.PUBLISHED)
            .values_list("guide")
            .annotate(last=Max("posted_at"))
            .order_by("guide")
        )
        for key, line in lines.items():
            line.last_at = last.get(key or 0)  # ever, not of these days alone
    return sorted(lines.values(), key=lambda line: (line.active_bp, line.published_bp, line.own_count, line.name))[
        :SHOWN
    ]


def _lines(posts: Any, level: str, within: int | None) -> dict[int | None, Line]:
    key, name = LEVELS[level]
    if within is not None and level in WITHIN:
        posts = posts.filter(**{WITHIN[level]: within})
    # the name is of the row of the key: one of them is as good as another
    found = posts.values(key).annotate(shown=Min(name), **_sums()).order_by(key)
    return {row[key]: _line(row[key], row["shown"] or "", row) for row in found}


def _grouped(rows: Any, level: str, within: int | None) -> Any:
    key, name = LEVELS[level]
    if within is not None and level in WITHIN:
        rows = rows.filter(**{WITHIN[level]: within})
    return rows.order_by(key).values_list(key, name)


def _sums() -> dict[str, Any]:
    is_published = Q(state=State.PUBLISHED)
    return {
        "active": Count("guide", filter=is_published, distinct=True),
        "asked": Count("pk", filter=Q(moment__isnull=False, state__in=ASKED)),
        "published": Count("pk", filter=is_published & Q(moment__isnull=False)),
        "own": Count("pk", filter=Q(moment=None)),
        "audience": Sum("audience_count"),
        "likes": Sum("like_count"),
        "comments": Sum("comment_count"),
        "last": Max("posted_at"),
        **{f"kind_{kind}": Count("pk", filter=is_published & Q(kind=kind)) for kind in KINDS},
    }


def _line(key: int | None, name: str, row: dict[str, Any]) -> Line:
    return Line(
        key=key, name=name, active_count=row["active"], asked_count=row["asked"], published_count=row["published"], own_count=row["own"],
        audience_count=row["audience"] or 0, like_count=row["likes"] or 0, comment_count=row["comments"] or 0, last_at=row["last"],
        kinds={kind: row[f"kind_{kind}"] for kind in KINDS},
    )  # fmt: skip


def _visible(rows: Any, scope: org.Scope) -> Any:
    return rows if scope.is_everything else rows.filter(store__in=scope.store_ids or ())
