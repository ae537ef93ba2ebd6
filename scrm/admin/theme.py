"""The console's colours: one calm blue, the rest is the theme's grey."""

from __future__ import annotations

from django.http import HttpRequest

BLUE = {
    "50": "#eff6ff",
    "100": "#dbeafe",
    "200": "#bfdbfe",
    "300": "#93c5fd",
    "400": "#60a5fa",
    "500": "#3b82f6",
    "600": "#1d64d8",
    "700": "#1b54b8",
    "800": "#1c4694",
    "900": "#1c3a75",
    "950": "#142548",
}


def colours(request: HttpRequest) -> dict[str, str]:
    return dict(BLUE)
