"""Answers of campaigns to screens, reports and other apps."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.db.models import Sum

from campaigns.models import LinkDay, ShortLink


def openings_of(*, link_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """``{link: (openings, robots)}`` of all its days; one query."""
    rows = LinkDay.objects.filter(link__in=link_ids).values("link_id").order_by("link_id")
    found = rows.annotate(opens=Sum("open_count"), robots=Sum("robot_count"))
    return {row["link_id"]: (row["opens"], row["robots"]) for row in found}


def address_of(link: ShortLink) -> str:
    """What a guide sends; without PUBLIC_URL only the path is known."""
    return f"{settings.PUBLIC_URL}/s/{link.code}"
