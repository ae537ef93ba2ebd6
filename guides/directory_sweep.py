"""The sweep of the directory (通讯录核对): everything read again, and what no event told is found.

1. The ids of members and departments come from the contact sync, names and states from the self-built app as far as it
   sees, who may have customers from its list of followers. A department that the app may not see stays without names.
2. Reading comes first, writing after it in one transaction. What was said about a row after the reading had begun stands.
3. Who is missing has left. When more are missing than MOST_MISSING_BP of those known, and more than FEW, nobody is marked: the
   reading may be at fault. A person looks and allows the number; the next sweep marks up to as many.
4. One sweep a day and corp, begun by the clock; more at any time by hand. A corp that was never swept is swept as soon as
   it has a contact sync.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from guides import directory
from guides.models import Department, DirectorySweep, WecomMember
from scrm import audit, db, jobs
from scrm.errors import RuleViolation
from scrm.models import Corp, Job, WecomApp
from scrm.wecom import corps, customers, errors
from scrm.wecom import directory as wecom

KIND = "sync_directory"
MOST_MISSING_BP = 500  # of the members known before
FEW = 3  # as many may always leave in a day
NAMES_LAST = dt.timedelta(days=7)  # until a department's name is read again
ZONE = ZoneInfo("Asia/Shanghai")


class NotHeld(RuleViolation):
    code = "sweep_not_held"


@dataclass
class Reading:
    """The directory of one corp. ``members``: userid to its departments; ``shown``: what the self-built app says of them."""

    departments: dict[int, wecom.Department] = field(default_factory=dict)
    members: dict[str, set[int]] = field(default_factory=dict)
    shown: dict[str, wecom.Member] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    followers: set[str] = field(default_factory=set)
    unseen: int = 0

    def member_rows(self) -> str:
        return json.dumps([
            {
                "userid": userid,
                "departments": sorted(numbers),
                "name": self.shown[userid].name if userid in self.shown else "",
                "status": (self.shown[userid].status or 0) if userid in self.shown else 0,
                "has_feature": userid in self.followers,
            }
            for userid, numbers in sorted(self.members.items())
        ])  # fmt: skip

    def department_rows(self) -> str:
        return json.dumps([
            {"number": one.id, "parent_number": one.parent_id, "name": self.names.get(one.id)}
            for one in sorted(self.departments.values(), key=lambda one: one.id)
        ])  # fmt: skip


# --- operations -------------------------------------------------------------------------------------------------------


def start(*, corp: Corp, actor: Any, key: str | None = None, allowed: int | None = None) -> Job:
    return jobs.enqueue(KIND, actor=actor, params={"corp": corp.pk, "allowed": allowed}, key=key)


def start_daily(*, now: dt.datetime) -> list[Job]:
    """One sweep of each corp with a contact sync for the business day of ``now``; asked again, the same jobs."""
    day = now.astimezone(ZONE).date()
    found = Corp.objects.filter(apps__kind=WecomApp.Kind.CONTACT_SYNC).order_by("pk")
    return [start(corp=corp, actor=None, key=f"{KIND} {corp.pk} {day}") for corp in found]


def start_first(*, now: dt.datetime) -> list[Job]:
    """Those of ``start_daily`` for corps that were never swept."""
    known = set(DirectorySweep.objects.values_list("corp_id", flat=True).distinct())
    is_new = Corp.objects.filter(apps__kind=WecomApp.Kind.CONTACT_SYNC).exclude(pk__in=known).exists()
    return start_daily(now=now) if is_new else []


@transaction.atomic
def allow(*, sweep: DirectorySweep, actor: Any) -> Job:
    """The missing ones of a held sweep have really left: sweep again and mark up to as many. Raises NotHeld."""
    (sweep,) = db.lock(DirectorySweep.objects.filter(pk=sweep.pk))
    is_last = not DirectorySweep.objects.filter(corp=sweep.corp_id, pk__gt=sweep.pk).exists()
    if sweep.status != DirectorySweep.Status.HELD or sweep.approved_by_id is not None or not is_last:
        raise NotHeld(_("Only the latest sweep can be allowed, and only while it waits for a person."))
    sweep.approved_by = actor
    sweep.save(update_fields=["approved_by"])
    audit.record(actor=actor, verb="directory.allow", target=sweep, missing=sweep.missing_count)
    return start(corp=sweep.corp, actor=actor, allowed=sweep.missing_count)


def run(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``sync_directory``. Raises AppMissing, WecomError."""
    corp = Corp.objects.get(pk=progress.job.params["corp"])
    sweep, _is_new = DirectorySweep.objects.update_or_create(
        job=progress.job,
        defaults={
            "corp": corp,
            "started_at": timezone.now(),
            "allowed_count": progress.job.params.get("allowed"),
        },
    )
    reading = read(corp, progress)
    progress.stage("write", len(reading.members))
    write(sweep, reading)
    progress.done(len(reading.members))
    names = ("seen_count", "joined_count", "moved_count", "missing_count", "unseen_count")
    return {"status": sweep.status, **{name.removesuffix("_count"): getattr(sweep, name) for name in names}}


# --- reading ----------------------------------------------------------------------------------------------------------


def read(corp: Corp, progress: jobs.Progress) -> Reading:
    sync, own = corps.app_of(corp, WecomApp.Kind.CONTACT_SYNC), corps.app_of(corp)
    progress.stage("read")
    found = Reading({one.id: one for one in wecom.department_tree(sync)})
    for place in wecom.places(sync):
        found.members.setdefault(place.userid.lower(), set()).add(place.department_id)
        progress.done(len(found.members))
    found.followers = {userid.lower() for userid in customers.followers(own)}
    named_after = timezone.now() - NAMES_LAST
    named = Department.objects.filter(corp=corp, named_at__gte=named_after).exclude(name="")
    fresh = set(named.values_list("number", flat=True))
    progress.stage("names", len(found.departments))
    for count, number in enumerate(sorted(found.departments), 1):
        _read_department(own, number, found, is_name_known=number in fresh)
        progress.done(count)
    return found


def _read_department(app: WecomApp, number: int, found: Reading, *, is_name_known: bool) -> None:
    try:
        if not is_name_known:
            found.names[number] = wecom.department(app, number).name
        for member in wecom.detailed(app, number):
            found.shown[member.userid.lower()] = member
    except (errors.NoPermission, errors.NotFound):
        found.unseen += 1


# --- writing ----------------------------------------------------------------------------------------------------------

SEEN = """
    WITH seen AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(%(members)s::jsonb)
            AS t(userid text, departments bigint[], name text, status smallint, has_feature boolean)
    )
"""
# A row that was spoken of after the reading had begun is not compared with it. Events know whole seconds only: one of the
# very second in which we began may have happened after that, and stands.
COMPARE = f"""
    {SEEN}
    SELECT (SELECT count(*) FROM guides_wecommember m WHERE m.corp_id = %(corp)s AND m.left_at IS NULL),
           (SELECT count(*) FROM seen),
           (SELECT count(*) FROM seen s WHERE NOT EXISTS (
                SELECT 1 FROM guides_wecommember m WHERE m.corp_id = %(corp)s AND m.left_at IS NULL AND m.userid = s.userid)),
           (SELECT count(*) FROM seen s JOIN guides_wecommember m ON m.corp_id = %(corp)s AND m.userid = s.userid
            WHERE m.left_at IS NULL AND m.departments <> s.departments),
           (SELECT count(*) FROM guides_wecommember m WHERE m.corp_id = %(corp)s AND m.left_at IS NULL
                AND m.state_at < %(at)s AND m.state_at <> %(second)s AND NOT EXISTS (SELECT 1 FROM seen s WHERE s.userid = m.userid))
"""
PUT_MEMBERS = f"""
    {SEEN}
    INSERT INTO guides_wecommember AS m (corp_id, userid, former_userid, name, departments, status, has_feature,
                                         placed_at, state_at)
    SELECT %(corp)s, s.userid, '', s.name, s.departments, s.status, s.has_feature, %(at)s, %(at)s FROM seen s
    WHERE NOT EXISTS (  -- renamed while we read
        SELECT 1 FROM guides_wecommember r
        WHERE r.corp_id = %(corp)s AND r.former_userid = s.userid AND r.renamed_at >= %(second)s
    )
    ORDER BY s.userid
    ON CONFLICT (userid, corp_id) DO UPDATE SET
        name = CASE WHEN excluded.name = '' THEN m.name ELSE excluded.name END,
        departments = CASE WHEN m.placed_at > %(at)s OR m.placed_at = %(second)s THEN m.departments ELSE excluded.departments END,
        placed_at = greatest(m.placed_at, %(at)s),
        status = CASE WHEN excluded.status = 0 THEN m.status ELSE excluded.status END,
        has_feature = excluded.has_feature,
        left_at = CASE WHEN m.state_at > %(at)s OR m.state_at = %(second)s THEN m.left_at END,
        state_at = greatest(m.state_at, %(at)s)
"""
MARK_MISSING = f"""
    {SEEN}
    UPDATE guides_wecommember m SET left_at = %(at)s, state_at = %(at)s, has_feature = false
    WHERE m.corp_id = %(corp)s AND m.left_at IS NULL AND m.state_at < %(at)s AND m.state_at <> %(second)s
      AND NOT EXISTS (SELECT 1 FROM seen s WHERE s.userid = m.userid)
"""
PUT_DEPARTMENTS = """
    INSERT INTO guides_department AS d (corp_id, number, parent_number, name, named_at, parent_at, state_at)
    SELECT %(corp)s, s.number, s.parent_number, coalesce(s.name, ''), CASE WHEN s.name IS NOT NULL THEN %(at)s END, %(at)s,
           %(at)s
    FROM jsonb_to_recordset(%(departments)s::jsonb) AS s(number bigint, parent_number bigint, name text) ORDER BY s.number
    ON CONFLICT (number, corp_id) DO UPDATE SET
        parent_number = CASE WHEN d.parent_at > %(at)s OR d.parent_at = %(second)s THEN d.parent_number ELSE excluded.parent_number END,
        parent_at = greatest(d.parent_at, %(at)s),
        name = CASE WHEN excluded.named_at IS NULL THEN d.name ELSE excluded.name END,
        named_at = coalesce(excluded.named_at, d.named_at),
        gone_at = CASE WHEN d.state_at > %(at)s OR d.state_at = %(second)s THEN d.gone_at END,
        state_at = greatest(d.state_at, %(at)s)
"""
MARK_DEPARTMENTS = """
    UPDATE guides_department d SET gone_at = %(at)s, state_at = %(at)s
    WHERE d.corp_id = %(corp)s AND d.gone_at IS NULL AND d.state_at < %(at)s AND d.state_at <> %(second)s AND NOT d.number = ANY(%(numbers)s)
"""


@transaction.atomic
def write(sweep: DirectorySweep, reading: Reading) -> None:
    """Set-based; 50,000 members are seven statements."""
    db.lock(DirectorySweep.objects.filter(pk=sweep.pk))
    values = {
        "corp": sweep.corp_id,
        "at": sweep.started_at,
        "second": sweep.started_at.replace(microsecond=0),
        "members": reading.member_rows(),
        "departments": reading.department_rows(),
        "numbers": list(reading.departments),
    }
    counts = _execute(COMPARE, values)[0]
    sweep.known_count, sweep.seen_count, sweep.joined_count, sweep.moved_count, sweep.missing_count = counts
    sweep.unseen_count = reading.unseen
    is_held = is_too_many(missing=sweep.missing_count, known=sweep.known_count, allowed=sweep.allowed_count)
    _execute(PUT_DEPARTMENTS, values)
    _execute(PUT_MEMBERS, values)
    if not is_held:
        _execute(MARK_DEPARTMENTS, values)
        _execute(MARK_MISSING, values)
    directory.match_guides()
    _follow_leavers(sweep)
    sweep.status = DirectorySweep.Status.HELD if is_held else DirectorySweep.Status.DONE
    sweep.ended_at = timezone.now()
    sweep.save()


def is_too_many(*, missing: int, known: int, allowed: int | None) -> bool:
    """Whether a person must look before as many are marked as having left."""
    return missing > max(FEW, known * MOST_MISSING_BP // 10_000, allowed or 0)


def _follow_leavers(sweep: DirectorySweep) -> None:
    """Handovers of those found missing now, and withdrawn ones of those found again."""
    left = WecomMember.objects.filter(corp=sweep.corp_id, left_at=sweep.started_at, guide__isnull=False)
    for member in left.select_related("guide", "corp").order_by("pk"):
        directory.leave(member)
    directory.withdraw_returned(corp=sweep.corp, at=sweep.started_at)


def _execute(statement: str, values: dict[str, Any]) -> Sequence[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []
