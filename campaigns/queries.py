"""Answers of campaigns to screens, reports and other apps."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.db.models import Sum

from campaigns.models import LinkDay, ShortLink, Sop
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
    SELECT v.id, s.status, (SELECT count(*) FROM (
        SELECT 1 FROM {runs} r WHERE r.version_id = v.id AND r.status = s.status LIMIT %(most)s
    ) r) FROM campaigns_sopversion v, unnest(ARRAY['ACTIVE', 'DONE', 'STOPPED']) s (status) WHERE v.sop_id = %(sop)s
"""


def run_counts(*, sop: Sop) -> dict[tuple[int, str], int]:
    """``{(version, state): customers or groups}`` of an SOP; ``COUNTED`` stands for that many or more. One query."""
    runs = "campaigns_grouprun" if sop.anchor in Sop.GROUP_ANCHORS else "campaigns_soprun"
    rows = db.fetch(RUNS.format(runs=runs), {"sop": sop.pk, "most": COUNTED})
    return {(version, status): count for version, status, count in rows}


def at_most(count: int) -> str:
    return f"{count:,}" if count < COUNTED else f"{COUNTED:,}+"
