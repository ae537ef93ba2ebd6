"""The start page: tiles, charts and a ranking of the part of the organisation that was chosen."""

from __future__ import annotations

import hashlib
from typing import Any, cast

from django.core.cache import cache
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from attribution import overview
from attribution.overview import Part, change_bp, yuan_series
from scrm import approvals, org
from scrm.money import yuan
from scrm.org import Right

CACHE_SECONDS = 30  # the figures themselves change once a minute


def add(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """UNFOLD["DASHBOARD_CALLBACK"]: what the start page's template needs."""
    scope = org.scope_of(request.user)
    options = overview.choices(scope=scope)
    part = _part(request, options)
    found = _read(scope, part)
    return {
        **context,
        "title": _("Business overview"),
        "content_title": _("Business overview"),
        "overview": found,
        "tiles": _tiles(found),
        "waiting": [(queue.title, len(queue.rows), queue.has_more) for queue in approvals.waiting_for(request.user)],
        "charts": _charts(found),
        "options": options,
        "part": part,
        "may_import": scope.is_everything and org.may(request.user, Right.ACT),
        "today": timezone.localdate(),
    }


def _part(request: HttpRequest, options: dict[str, list[tuple[int, str]]]) -> Part:
    """What was chosen, if it is among the choices; anything else is everything."""
    chosen: dict[str, int | None] = {}
    for name, rows in options.items():
        value = request.GET.get(name, "")
        chosen[name] = int(value) if value.isdecimal() and int(value) in {pk for pk, _name in rows} else None
    return Part(region_id=chosen["region"], entity_id=chosen["entity"], store_id=chosen["store"])


def _read(scope: org.Scope, part: Part) -> overview.Overview:
    today = timezone.localdate()
    stores = "all" if scope.store_ids is None else hashlib.sha256(repr(sorted(scope.store_ids)).encode()).hexdigest()
    key = f"overview:{today}:{stores}:{part.region_id}:{part.entity_id}:{part.store_id}"
    found: Any = cache.get_or_set(key, lambda: overview.read(scope=scope, part=part, today=today), CACHE_SECONDS)
    return cast(overview.Overview, found)


def _tiles(found: overview.Overview) -> list[dict[str, Any]]:
    today, month = found.today, found.month
    day, last = _("yesterday"), _("same days of last month")
    return [
        _money(_("GMV today"), today.gmv_fen, found.yesterday.gmv_fen, day),
        _money(_("GMV this month"), month.gmv_fen, found.month_before.gmv_fen, last),
        _count(_("Orders today"), today.orders, found.yesterday.orders, day),
        _count(_("Orders this month"), month.orders, found.month_before.orders, last),
        _count(
            _("New members this month"),
            month.joined,
            found.month_before.joined,
            last,
            note=_("today %s") % f"{today.joined:,}",
        ),
        _share(_("Members with a guide"), found.bound_share_bp, f"{found.bound:,} / {found.members:,}"),
        _share(_("GMV of members"), month.member_share_bp, yuan(month.member_gmv_fen)),
        _share(_("Refunded"), month.refund_share_bp, yuan(month.refunded_fen)),
        _money(_("Commission accrued this month"), month.accrued_fen, found.month_before.accrued_fen, last),
        _money(_("of which due"), month.due_fen, found.month_before.due_fen, last),
    ]


def _money(title: str, now: int, before: int, period: str) -> dict[str, Any]:
    return {
        "title": title,
        "value": f"¥{yuan(now)}",
        "change": _change(now, before),
        "note": f"{period} ¥{yuan(before)}",
    }


def _count(title: str, now: int, before: int, period: str, *, note: str = "") -> dict[str, Any]:
    return {"title": title, "value": f"{now:,}", "change": _change(now, before), "note": note or f"{period} {before:,}"}


def _share(title: str, bp: int | None, note: str) -> dict[str, Any]:
    return {"title": title, "value": "—" if bp is None else f"{bp / 100:.1f}%", "change": None, "note": note}


def _change(now: int, before: int) -> dict[str, Any] | None:
    bp = change_bp(now, before)
    if bp is None or not now:  # a day that has not sold yet is no fall
        return None
    return {"text": f"{abs(bp) / 100:.1f}%", "is_up": bp >= 0}


def _charts(found: overview.Overview) -> dict[str, Any]:
    """Series for the script of the page; the words in them are translated here."""
    return {
        "trend": {
            "days": [f"{row['day']:%m-%d}" for row in found.days],
            "gmv": yuan_series([row["gmv_fen"] for row in found.days]),
            "orders": [row["orders"] for row in found.days],
            "names": [_("GMV (yuan)"), _("orders")],
        },
        "channels": [{"name": row["name"], "value": row["gmv"] / 100} for row in found.channels],
        "regions": {
            "names": [row["name"] for row in found.regions],
            "gmv": yuan_series([row["gmv"] for row in found.regions]),
            "accrued": yuan_series([row["accrued"] for row in found.regions]),
            "legend": [_("GMV (yuan)"), _("commission (yuan)")],
        },
    }
