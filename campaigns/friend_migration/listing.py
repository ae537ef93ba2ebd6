"""Lists of personal contacts (老客名单): from a file of HQ, or from a guide's mini-program.

1. A row is a guide, a name and a mobile number. The name is masked and the number sealed before anything is written; a number comes
   once per guide, again it changes nothing.
2. A number that another guide of the drive has listed makes both rows double. One of a member who is a WeCom friend of any guide of
   ours already was on WeCom before.
3. A guide lists at most 500 in one request and 5,000 altogether.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.friend_migration import drives
from campaigns.friend_migration.refusals import MigrationRefused
from campaigns.models import FriendMigrationGuide, MigratingFriend
from scrm import copyin, crypto, imports, jobs
from scrm.copyin import Column
from scrm.copyin.columns import Kind
from scrm.copyin.rules import Check

KIND = "import_personal_contacts"
AT_ONCE, MOST = 500, 5_000
CHUNK = 10_000  # rows of a file in one transaction

COLUMNS = (
    Column("guide_code", gettext_lazy("guide code"), ("guide_code", "导购编码", "导购编号", "工号", "员工编号"), True, Kind.CODE, max_length=32),
    Column("name", gettext_lazy("name"), ("name", "姓名", "顾客姓名", "备注", "昵称"), max_length=64),
    Column("mobile", gettext_lazy("mobile number"), ("mobile", "手机号", "手机", "手机号码", "联系电话"), True, Kind.MOBILE),
)  # fmt: skip
CHECKS = (
    Check("guide_code", "missing_value", "t.guide_code = ''"),
    Check("guide_code", "guide_not_in_migration", "e.id IS NULL"),
    Check("mobile", "missing_value", "t.mobile_index IS NULL AND t.mobile_verdict = ''"),
)
copyin.problems.register(
    {
        "guide_not_in_migration": gettext_lazy(
            "This guide is not in the migration that runs. Correct the code, or start a migration first."
        ),
    }
)

_WRITE = """
    INSERT INTO campaigns_migratingfriend (entry_id, name_masked, mobile_sealed, mobile_index, listed_at)
    SELECT DISTINCT ON (entry_id, mobile_index) entry_id, CASE WHEN name = '' THEN '' ELSE left(name, 1) || '**' END, mobile_sealed,
        mobile_index, %(now)s
    FROM ({rows}) t ORDER BY entry_id, mobile_index
    ON CONFLICT (entry_id, mobile_index) WHERE NOT mobile_index = '' DO NOTHING
    RETURNING id, mobile_index
"""
# rows with the same number on other lists of the drive, both sides; and who was a friend of ours before the drive began
_DOUBLE = """
    UPDATE campaigns_migratingfriend p SET is_double = true FROM campaigns_friendmigrationguide e
    WHERE e.id = p.entry_id AND e.migration_id = %(drive)s AND p.mobile_index = ANY(%(indexes)s::text[]) AND NOT p.is_double
        AND EXISTS (
            SELECT FROM campaigns_migratingfriend o JOIN campaigns_friendmigrationguide oe ON oe.id = o.entry_id
            WHERE o.mobile_index = p.mobile_index AND o.entry_id <> p.entry_id AND oe.migration_id = %(drive)s)
"""
_KNOWN = """
    UPDATE campaigns_migratingfriend p SET was_friend = true, member_id = f.member_id, added_at = f.added_at
    FROM (
        SELECT DISTINCT ON (p.id) p.id, i.member_id, coalesce(s.added_at, %(started)s) AS added_at
        FROM campaigns_migratingfriend p
        JOIN members_identity i ON i.kind = 'MOBILE' AND i.value = p.mobile_index
        JOIN guides_contact c ON c.member_id = i.member_id AND c.corp_id = %(corp)s
        JOIN guides_friendship s ON s.contact_id = c.id AND s.is_confirmed AND s.ended_at IS NULL AND s.customer_left_at IS NULL
        WHERE p.id = ANY(%(ids)s::bigint[]) AND coalesce(s.added_at, %(started)s) <= %(started)s
        ORDER BY p.id, s.added_at
    ) f WHERE f.id = p.id
"""


@transaction.atomic
def add(*, guide_id: int, people: Iterable[tuple[str, str]], now: dt.datetime) -> int:
    """``(name, number in E.164)`` of a guide's own contacts; how many are new on her list. Raises MigrationRefused."""
    entry = entry_of(guide_id)
    rows = list({crypto.mobile_index(number): (name, number) for name, number in people}.items())
    if len(rows) > AT_ONCE or entry.listed_count + len(rows) > MOST:
        raise MigrationRefused(
            _("At most %(once)s at a time and %(most)s altogether.") % {"once": AT_ONCE, "most": MOST},
            code="migration_too_many",
        )
    values = {
        "entry": entry.pk, "now": now, "names": [name.strip()[:1] for _i, (name, _n) in rows],
        "seals": [crypto.seal_mobile(number) for _i, (_name, number) in rows], "keys": [index for index, _p in rows],
    }  # fmt: skip
    source = """SELECT %(entry)s::bigint AS entry_id, * FROM unnest(%(names)s::text[], %(seals)s::bytea[], %(keys)s::text[])
        AS u(name, mobile_sealed, mobile_index)"""
    return _write(entry.migration, source, values)


@transaction.atomic
def say_count(*, guide_id: int, count: int) -> None:
    """How many there are, of a guide who hands in no list."""
    FriendMigrationGuide.objects.filter(pk=entry_of(guide_id).pk).update(said_count=count)


@transaction.atomic
def mark_invited(*, guide_id: int, ids: list[int], now: dt.datetime) -> int:
    """She has sent them text and code; how many are newly so. Whoever is on WeCom already is not invited."""
    entry = entry_of(guide_id)
    people = MigratingFriend.objects.filter(entry=entry, pk__in=ids, invited_at=None, added_at=None, erased_at=None)
    return people.update(invited_at=now)


def entry_of(guide_id: int) -> FriendMigrationGuide:
    found = (
        FriendMigrationGuide.objects.filter(guide=guide_id, migration__status="RUNNING")
        .select_related("migration")
        .first()
    )
    if found is None:
        raise MigrationRefused(_("No migration of customers runs for you now."), code="migration_none_runs")
    return found


def run(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``import_personal_contacts``; into the drive that runs."""
    drive = drives.running()
    with imports.opened(progress, COLUMNS) as found:
        join = (
            "LEFT JOIN guides_guide g ON g.code = t.guide_code LEFT JOIN campaigns_friendmigrationguide e"
            f" ON e.guide_id = g.id AND e.migration_id = {drive.pk if drive else 0}"
        )
        checked = found.check(CHECKS, joins=join, values="e.id AS entry_id")
        listed = 0
        if not found.is_dry and drive is not None:
            progress.stage("write", checked.good)
            for after, until in found.ranges(checked, CHUNK):
                source = (
                    f"SELECT entry_id, name, mobile_sealed, mobile_index FROM {checked.table}"
                    " WHERE problem IS NULL AND line_no > %(after)s AND line_no <= %(until)s"
                )
                with transaction.atomic():
                    listed += _write(drive, source, {"now": timezone.now(), "after": after, "until": until})
                progress.done(min(checked.good, progress.job.done_count + CHUNK))
        return found.summary(checked, listed=listed)


def _write(drive: Any, source: str, values: dict[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_WRITE.format(rows=source), values)
        rows = cursor.fetchall()
        of = {
            "drive": drive.pk, "corp": drive.corp_id, "started": drive.started_at, "ids": [pk for pk, _index in rows],
            "indexes": [index for _pk, index in rows],
        }  # fmt: skip
        cursor.execute(_DOUBLE, of)
        cursor.execute(_KNOWN, of)
    return len(rows)
