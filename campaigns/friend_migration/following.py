"""What becomes of a drive (迁移跟进): added, registered, bought; reminders; and the end of lists. Set-based, some guides at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from campaigns.models import FriendMigration, FriendMigrationGuide
from guides import actions
from guides.actions import NewAction
from guides.models import Action
from guides.touches import SHANGHAI
from scrm import db, jobs

KIND = "follow_migration"
CHUNK = 200  # guides in one transaction
ERASED_AT_ONCE = 20_000
FOLLOWED_DAYS = 90  # after its end

# A listed person is the friend whose proved number, or whose member's number, is the listed one; of whom nothing is listed is a row of her own.
_MATCH = """
    WITH came AS (
        SELECT e.id AS entry_id, c.id AS contact_id, c.member_id, c.mobile_index, min(f.added_at) AS added_at
        FROM campaigns_friendmigrationguide e JOIN guides_contactway w ON w.id = e.way_id
        JOIN guides_friendship f ON f.state = w.state AND f.corp_id = w.corp_id AND f.is_confirmed
        JOIN guides_contact c ON c.id = f.contact_id
        WHERE e.id = ANY(%(ids)s::bigint[]) AND f.added_at IS NOT NULL GROUP BY 1, 2, 3, 4
    ), named AS (
        SELECT DISTINCT ON (came.entry_id, came.contact_id) came.*, p.id AS person_id
        FROM came JOIN campaigns_migratingfriend p ON p.entry_id = came.entry_id AND p.mobile_index <> '' AND p.added_at IS NULL
            AND p.mobile_index IN (came.mobile_index, (
                SELECT i.value FROM members_identity i WHERE i.member_id = came.member_id AND i.kind = 'MOBILE'
                ORDER BY i.is_verified DESC, i.id LIMIT 1))
        ORDER BY came.entry_id, came.contact_id, p.id
    ), nameless AS (
        DELETE FROM campaigns_migratingfriend p USING named n
        WHERE p.entry_id = n.entry_id AND p.contact_id = n.contact_id AND p.listed_at IS NULL RETURNING p.id
    ), told AS (
        UPDATE campaigns_migratingfriend p SET contact_id = n.contact_id, member_id = n.member_id, added_at = n.added_at
        FROM named n WHERE p.id = n.person_id AND (SELECT count(*) FROM nameless) >= 0
    )
    INSERT INTO campaigns_migratingfriend (entry_id, name_masked, mobile_index, contact_id, member_id, added_at)
    SELECT came.entry_id, '', '', came.contact_id, came.member_id, came.added_at FROM came
    WHERE NOT EXISTS (SELECT FROM named n WHERE n.entry_id = came.entry_id AND n.contact_id = came.contact_id)
    ON CONFLICT (entry_id, contact_id) WHERE contact_id IS NOT NULL DO NOTHING
"""
_GREW = """
    UPDATE campaigns_migratingfriend p SET member_id = c.member_id, registered_at = coalesce(p.registered_at, c.linked_at),
        bought_at = coalesce(p.bought_at, (
            SELECT min(l.paid_at) FROM members_orderline l WHERE l.member_id = c.member_id AND l.paid_at >= p.added_at
                AND NOT l.is_voided AND NOT l.is_test AND l.paid_fen > l.refunded_fen))
    FROM guides_contact c
    WHERE p.entry_id = ANY(%(ids)s::bigint[]) AND c.id = p.contact_id AND c.member_id IS NOT NULL
        AND (p.registered_at IS NULL OR p.bought_at IS NULL AND EXISTS (
            SELECT FROM members_orderline l WHERE l.member_id = c.member_id AND l.paid_at >= p.added_at AND NOT l.is_voided
                AND NOT l.is_test AND l.paid_fen > l.refunded_fen))
"""
_WAITING = """
    SELECT e.id, e.guide_id, e.store_id, count(*) FROM campaigns_friendmigrationguide e
    JOIN campaigns_migratingfriend p ON p.entry_id = e.id AND p.invited_at < %(before)s AND p.added_at IS NULL AND p.erased_at IS NULL
    WHERE e.id = ANY(%(ids)s::bigint[]) GROUP BY 1, 2, 3 ORDER BY 1
"""
_ERASE = """
    UPDATE campaigns_migratingfriend SET name_masked = '', mobile_sealed = NULL, mobile_index = '', erased_at = %(now)s
    WHERE id IN (
        SELECT p.id FROM campaigns_migratingfriend p JOIN campaigns_friendmigrationguide e ON e.id = p.entry_id
        JOIN campaigns_friendmigration m ON m.id = e.migration_id
        WHERE p.erased_at IS NULL AND p.listed_at IS NOT NULL AND p.listed_at < %(now)s - make_interval(days => m.kept_days)
        LIMIT %(limit)s FOR UPDATE OF p SKIP LOCKED)
"""


def start_daily(*, now: dt.datetime) -> None:
    """The pass of the hour, where a drive runs or has ended lately."""
    since = now - dt.timedelta(days=FOLLOWED_DAYS)
    drives = FriendMigration.objects.exclude(status="DRAFT").exclude(ended_at__lt=since)
    if drives.exists():
        jobs.enqueue(KIND, actor=None, key=f"{KIND} {now.astimezone(SHANGHAI):%Y-%m-%d %H}")
    erase(now=now)


def run(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``follow_migration``."""
    return follow(now=db.clock(), progress=progress)


def follow(*, now: dt.datetime, progress: jobs.Progress | None = None) -> dict[str, Any]:
    """Each chunk of guides is a transaction of its own; again it says the same."""
    since = now - dt.timedelta(days=FOLLOWED_DAYS)
    rows = FriendMigrationGuide.objects.exclude(migration__status="DRAFT").exclude(migration__ended_at__lt=since)
    if progress:
        progress.stage("follow migration", rows.count())
    after, count, given = 0, 0, 0
    while True:
        entries = list(rows.filter(pk__gt=after).select_related("migration").order_by("pk")[:CHUNK])
        if not entries:
            return {"guides": count, "actions": given}
        with transaction.atomic():
            ids = [entry.pk for entry in entries]
            with connection.cursor() as cursor:
                cursor.execute(_MATCH, {"ids": ids})
                cursor.execute(_GREW, {"ids": ids})
            given += _remind(entries, now)
        after, count = entries[-1].pk, count + len(entries)
        if progress:
            progress.done(count)


def _remind(entries: Sequence[FriendMigrationGuide], now: dt.datetime) -> int:
    """One action a guide and day, with the number of people who still wait; none at night."""
    local = now.astimezone(SHANGHAI)
    if not 9 <= local.hour < 20:
        return 0
    given = 0
    for drive in {entry.migration for entry in entries if entry.migration.status == "RUNNING"}:
        ids = [entry.pk for entry in entries if entry.migration_id == drive.pk]
        waiting = db.fetch(_WAITING, {"ids": ids, "before": now - dt.timedelta(days=drive.remind_days)})
        until = local.replace(hour=22, minute=0, second=0, microsecond=0)
        given += actions.give(
            NewAction(
                key=f"migration {entry_id} {local.date()}", guide_id=guide_id, store_id=store_id, member_id=None,
                kind=Action.Kind.INVITE, source=Action.Source.HQ, source_id=drive.pk,
                title=_("Move old customers to WeCom"),
                reason=_("%(count)s people you invited have not added you yet; ask them once more.") % {"count": count},
                text=drive.invite_text, starts_at=now, due_at=until, minutes=10,
            )
            for entry_id, guide_id, store_id, count in waiting
        )  # fmt: skip
    return given


def erase(*, now: dt.datetime) -> int:
    """Names and numbers whose days are over; how many."""
    total = 0
    while count := db.write(_ERASE, {"now": now, "limit": ERASED_AT_ONCE}):
        total += count
    return total
