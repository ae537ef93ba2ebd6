"""Answers of campaigns to screens, reports and other apps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db.models import Sum

from campaigns.models import FriendMigrationGuide, LinkDay, ReferralProgramme, ShortLink, Sop
from members.purchases.buyers import BRAND
from scrm import crypto, db


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


REFERRALS = f"""
    SELECT r.id, m.name AS referrer, coalesce(n.name, '') AS newcomer, {db.iso("r.joined_at")} AS joined_at,
        {db.iso("r.registered_at")} AS registered_at, {db.iso("r.bought_at")} AS bought_at, r.guide_fen,
        r.status AS referral_state, r.reason, r.flags, r.review
    FROM campaigns_referral r JOIN members_member m ON m.id = r.referrer_id LEFT JOIN members_member n ON n.id = r.newcomer_id
    WHERE r.guide_id = %(guide_id)s AND r.id < COALESCE(%(after)s::bigint, 9223372036854775807)
    ORDER BY r.id DESC LIMIT %(limit)s
"""


def referrals_of(*, guide_id: int, after: int | None, limit: int) -> list[dict[str, Any]]:
    """New customers whom members of the guide have brought, the newest first below the id ``after``."""
    return db.fetch_dicts(REFERRALS, {"guide_id": guide_id, "after": after, "limit": limit})


def referral_programme(*, now: dt.datetime) -> ReferralProgramme | None:
    """The programme that runs."""
    running = ReferralProgramme.objects.filter(
        brand__code=BRAND, status="PUBLISHED", starts_at__lte=now, ends_at__gt=now
    )
    return running.select_related("coupon_template").order_by("-pk").first()


MIGRATING = f"""
    SELECT p.id, p.name_masked AS name, p.mobile_sealed, p.is_double, {db.iso("p.invited_at")} AS invited_at,
        {db.iso("p.added_at")} AS added_at, CASE WHEN p.was_friend THEN 'KNOWN' WHEN p.bought_at IS NOT NULL THEN 'BOUGHT'
            WHEN p.registered_at IS NOT NULL THEN 'REGISTERED' WHEN p.added_at IS NOT NULL THEN 'ADDED'
            WHEN p.invited_at IS NOT NULL THEN 'INVITED' ELSE 'LISTED' END AS person_state
    FROM campaigns_migratingfriend p
    WHERE p.entry_id = %(entry)s AND p.id < COALESCE(%(after)s::bigint, 9223372036854775807)
        AND (p.added_at IS NULL OR NOT %(waiting)s)
    ORDER BY p.id DESC LIMIT %(limit)s
"""


def migration_entry(*, guide_id: int) -> FriendMigrationGuide | None:
    """The guide in the migration that runs."""
    rows = FriendMigrationGuide.objects.filter(guide=guide_id, migration__status="RUNNING")
    return rows.select_related("migration", "way").first()


def migrating_of(*, entry_id: int, only_waiting: bool, after: int | None, limit: int) -> list[dict[str, Any]]:
    """People of a guide's list, the newest first below the id ``after``; numbers masked."""
    rows = db.fetch_dicts(MIGRATING, {"entry": entry_id, "waiting": only_waiting, "after": after, "limit": limit})
    for row in rows:
        sealed = row.pop("mobile_sealed")
        row["mobile"] = crypto.mask(crypto.open_mobile(bytes(sealed))) if sealed else ""
    return rows
