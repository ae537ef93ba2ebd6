"""Answers of campaigns to screens, reports and other apps."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.db.models import Sum

from campaigns.models import LinkDay, ShortLink
from scrm import db


def openings_of(*, link_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """``{link: (openings, robots)}`` of all its days; one query."""
    rows = LinkDay.objects.filter(link__in=link_ids).values("link_id").order_by("link_id")
    found = rows.annotate(opens=Sum("open_count"), robots=Sum("robot_count"))
    return {row["link_id"]: (row["opens"], row["robots"]) for row in found}


def address_of(link: ShortLink) -> str:
    """What a guide sends; without PUBLIC_URL only the path is known."""
    return f"{settings.PUBLIC_URL}/s/{link.code}"


COUNTED = 10_000  # runs of a version are counted exactly up to here

RUNS = """
    SELECT s.status, (SELECT count(*) FROM (
        SELECT 1 FROM campaigns_soprun r WHERE r.version_id = %(version)s AND r.status = s.status LIMIT %(most)s
    ) r) FROM unnest(ARRAY['ACTIVE', 'DONE', 'STOPPED']) s (status)
"""


def run_counts(*, version_id: int) -> dict[str, int]:
    """Customers per state in one version of an SOP; ``COUNTED`` stands for that many or more."""
    return dict(db.fetch(RUNS, {"version": version_id, "most": COUNTED}))


def at_most(count: int) -> str:
    return f"{count:,}" if count < COUNTED else f"{COUNTED:,}+"
