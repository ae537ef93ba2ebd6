"""How values are shown in lists and pages: money, rates, states, days, links."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from django.urls import reverse
from django.utils.dateparse import parse_date
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from unfold.decorators import display

from scrm.money import yuan

SHANGHAI = ZoneInfo("Asia/Shanghai")
EMPTY = "—"

# colours of states, one vocabulary for the whole console
GOOD, BUSY, BAD, QUIET, NEW = "success", "warning", "danger", "info", "primary"

__all__ = [
    "BAD",
    "BUSY",
    "EMPTY",
    "GOOD",
    "NEW",
    "QUIET",
    "SHANGHAI",
    "day_range",
    "display",
    "link",
    "money",
    "number",
    "percent",
    "state",
    "until",
]


class State(tuple[Any, Any]):
    """A code with its label, as the theme's lists colour it; a detail page shows the label alone."""

    __slots__ = ()

    def __str__(self) -> str:
        return str(self[1])


def state(code: Any, text: Any) -> State:
    return State((code, text))


def number(value: Any) -> str:
    """A decimal without the zeros that storage adds: ``2.000`` → ``2``."""
    return EMPTY if value is None else f"{value.normalize():f}"


def money(fen: int | None) -> SafeString:
    """Right-aligned tabular yuan; negative amounts are marked."""
    css = "scrm-num scrm-neg" if fen is not None and fen < 0 else "scrm-num"
    return format_html('<span class="{}">{}</span>', css, yuan(fen))


def percent(bp: int | None) -> str:
    """``350`` → ``3.5 %``; null inherits, 0 is an explicit zero."""
    if bp is None:
        return EMPTY
    return f"{bp / 100:g}%"


def until(at: dt.datetime | None) -> str:
    """The open end of an interval in words."""
    return _("until now") if at is None else at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M")


def link(name: str, pk: Any, text: Any) -> SafeString:
    """A link to the detail page ``admin:<name>_change``; plain text without a key."""
    if pk is None:
        return format_html("{}", text or EMPTY)
    return format_html('<a href="{}" class="scrm-link">{}</a>', reverse(f"admin:{name}_change", args=(pk,)), text)


def day_range(field: str, first: str | None, last: str | None) -> dict[str, dt.datetime]:
    """Half-open bounds of business days (Asia/Shanghai) as look-ups; what is no date is left out."""
    bounds: dict[str, dt.datetime] = {}
    start, end = _day(first), _day(last)
    if start:
        bounds[f"{field}__gte"] = dt.datetime.combine(start, dt.time(), SHANGHAI)
    if end:
        bounds[f"{field}__lt"] = dt.datetime.combine(end + dt.timedelta(days=1), dt.time(), SHANGHAI)
    return bounds


def _day(text: str | None) -> dt.date | None:
    try:
        return parse_date((text or "").strip().replace("/", "-"))
    except ValueError:
        return None
