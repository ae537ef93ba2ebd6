"""Facts (消费画像): what a member's purchases say about her, one narrow row each, kept up to date.

1. A purchase (一单) is an order as far as its buyer is known: its lines that are neither voided, nor a test, nor the sale of
   a gift card, and not wholly refunded. Sales without a known buyer never enter. An order with no such line is none.
2. It belongs to the business day (Asia/Shanghai) of its first payment. Its amount is what was paid on those lines less what
   was refunded (净额), whenever the refund came.
3. A window of N days holds the purchases of the last N days, today included; one that is dated later counts at once.
   Average order (客单价): spend ÷ orders, half a fen up.
4. Favourite category: where most money went, favourite weekday and hour: of most purchases. Equal ones: the smaller category
   number, the earlier day of the week, the earlier hour. Channels: all in which she bought.
5. Stages (生命周期), by days since the last purchase and the days of ``LifecycleRule``, the first that fits: LOST, LAPSING,
   SLEEPING; then REPEAT from so many orders on; NEW while her only order is younger than so many days; else ACTIVE. Who has
   no purchase has no row: PROSPECT.
6. The purchases of members who were merged belong to the member who remains. Erased members have no facts.
7. Whatever changes a purchase queues its member in the same transaction (``MemberToRefresh``, by trigger); ``refresh`` counts
   queued members again. Facts that move with time alone carry the day on which they do (``changes_on``): the pass of the night
   counts only those. A rule of stages that was changed, and products in other categories, ask for a rebuild.
8. A rebuild counts everybody in one pass and says how many rows differed; it ends in the same rows as the refreshing does.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from members import taste
from members.facts import counting
from members.models import LifecycleRule, MemberFacts, MemberToRefresh
from members.models.refreshing import EVERYBODY
from scrm import audit, db, jobs

SHANGHAI = ZoneInfo("Asia/Shanghai")
KIND, NIGHT_KIND = "rebuild_facts", "nightly_facts"
PIECE = 2_000  # members counted in one transaction
REBUILD_FROM = 200_000  # rows of the queue
LOCK = "facts of members"  # one counter at a time: an older reading must not be written over a newer one
_COUNTED = "staging.facts_counted"

__all__ = [
    "KIND", "NIGHT_KIND", "Rebuilt", "bring_up_to_date", "business_day", "change_rule", "differing", "night", "rebuild", "refresh", "refresh_all", "refresh_changed_by_time",
    "run_nightly", "run_rebuild", "start_nightly",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """``differing``: rows that did not say what the purchases say; 0 after nothing but refreshing."""

    members: int
    differing: int


def business_day(now: dt.datetime) -> dt.date:
    return now.astimezone(SHANGHAI).date()


# --- operations -------------------------------------------------------------------------------------------------------


@transaction.atomic
def refresh(*, now: dt.datetime, limit: int = PIECE) -> int:
    """Count queued members again; how many, 0 when none is queued or somebody else is at it."""
    with connection.cursor() as cursor:
        if not _take_lock(cursor):
            return 0
        _make_tables(cursor)
        cursor.execute(
            "WITH taken AS (DELETE FROM members_membertorefresh WHERE id = ANY(ARRAY("
            "SELECT id FROM members_membertorefresh WHERE member_id <> %s ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED"
            ")) RETURNING member_id) INSERT INTO facts_asked (member_id) SELECT DISTINCT member_id FROM taken",
            [EVERYBODY, limit],
        )
        if not cursor.rowcount:
            return 0
        taste.sum_asked(cursor)  # her taste follows the same queue
        return _count_asked(cursor, business_day(now))


def refresh_all(*, now: dt.datetime) -> int:
    """Refresh until nobody is queued; how many. After a large import one pass over everybody costs less."""
    if MemberToRefresh.objects.all()[: REBUILD_FROM + 1].count() > REBUILD_FROM:
        return rebuild(now=now).members
    count = 0
    while done := refresh(now=now):
        count += done
    return count


@transaction.atomic
def refresh_changed_by_time(*, now: dt.datetime, limit: int = PIECE) -> int:
    """Count those again out of whose windows something has fallen, or whose stage has ended; how many."""
    today = business_day(now)
    with connection.cursor() as cursor:
        if not _take_lock(cursor, wait=True):
            return 0
        _make_tables(cursor)
        cursor.execute(
            "INSERT INTO facts_asked (member_id) SELECT member_id FROM members_memberfacts WHERE changes_on <= %s"
            " ORDER BY changes_on, member_id LIMIT %s",
            [today, limit],
        )
        return _count_asked(cursor, today) if cursor.rowcount else 0


@transaction.atomic
def rebuild(*, now: dt.datetime) -> Rebuilt:
    """Count everybody in one pass and correct what differs."""
    today = business_day(now)
    with connection.cursor() as cursor:
        _take_lock(cursor, wait=True)
        cursor.execute("DELETE FROM members_membertorefresh")
        _count_everybody(cursor, today)
        cursor.execute(counting.differing(_COUNTED))
        differing = cursor.fetchone()[0]
        if differing:
            counting.execute(cursor, counting.write(_COUNTED), today)
            counting.execute(cursor, counting.forget("(SELECT member_id AS id FROM members_memberfacts)", _COUNTED))
        cursor.execute(f"SELECT count(*) FROM {_COUNTED}")
        members = cursor.fetchone()[0]
        cursor.execute(f"DROP TABLE {_COUNTED}")
        taste.sum_everybody(cursor)  # the queue is empty now, and it was theirs too
    return Rebuilt(members, differing)


@transaction.atomic
def change_rule(*, rule: LifecycleRule, actor: Any, now: dt.datetime) -> None:
    """The days of the stages have changed (``rule`` is saved): everybody is counted again soon."""
    audit.record(actor=actor, verb="facts.rule", target=rule)
    jobs.enqueue(KIND, actor=actor, params={"at": now.isoformat()})


def differing(*, now: dt.datetime) -> int:
    """How many rows a rebuild would correct; changes nothing."""
    with transaction.atomic(), connection.cursor() as cursor:
        _count_everybody(cursor, business_day(now))
        cursor.execute(counting.differing(_COUNTED))
        found = int(cursor.fetchone()[0])
        cursor.execute(f"DROP TABLE {_COUNTED}")
    return found


# --- by the clock -----------------------------------------------------------------------------------------------------


def start_nightly(*, now: dt.datetime) -> None:
    """The pass of the business day, once."""
    jobs.enqueue(NIGHT_KIND, actor=None, key=f"{NIGHT_KIND} {business_day(now)}")


def run_rebuild(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``rebuild_facts``."""
    progress.stage("count facts")
    now = db.clock()
    done = rebuild(now=now)
    _after(now)
    return {"members": done.members, "differing": done.differing}


def run_nightly(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``nightly_facts``."""
    return night(now=db.clock(), progress=progress)


def night(*, now: dt.datetime, progress: jobs.Progress | None = None) -> dict[str, Any]:
    """What time alone changes, the cuts of RFM, and the tags that audiences keep."""
    from members import tags

    summary = bring_up_to_date(now=now, progress=progress)
    _after(now)
    if progress is not None:
        progress.stage("keep tags")
    return summary | tags.keep_all(now=now)


def bring_up_to_date(*, now: dt.datetime, progress: jobs.Progress | None = None) -> dict[str, Any]:
    """Everything that waits: a rebuild somebody asked for, what time alone changes, queued members."""
    summary: dict[str, Any] = {}
    if MemberToRefresh.objects.filter(member_id=EVERYBODY).exists():
        summary["rebuilt"] = rebuild(now=now).differing
    if progress is not None:
        progress.stage("count facts", MemberFacts.objects.filter(changes_on__lte=business_day(now)).count())
    done = 0
    while piece := refresh_changed_by_time(now=now):
        done += piece
        if progress is not None:
            progress.done(done)
    return summary | {"moved": done, "refreshed": refresh_all(now=now)}


def _after(now: dt.datetime) -> None:
    from members import member_value

    member_value.cut(now=now)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _take_lock(cursor: Any, *, wait: bool = False) -> bool:
    function = "pg_advisory_xact_lock" if wait else "pg_try_advisory_xact_lock"
    cursor.execute(f"SELECT {function}(hashtextextended(%s, 0))", [LOCK])
    return wait or bool(cursor.fetchone()[0])


def _make_tables(cursor: Any) -> None:
    for name, columns in (("facts_asked", "member_id bigint"), ("facts_family", "id bigint, root bigint")):
        cursor.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({columns}) ON COMMIT DELETE ROWS")
        cursor.execute(f"DELETE FROM pg_temp.{name}")  # an outer transaction (of a test) may have used it before


def _count_asked(cursor: Any, today: dt.date) -> int:
    cursor.execute("SELECT count(*) FROM facts_asked")
    asked = int(cursor.fetchone()[0])
    cursor.execute("ANALYZE facts_asked")
    cursor.execute(counting.FAMILY)
    cursor.execute("ANALYZE facts_family")
    cursor.execute("DROP TABLE IF EXISTS pg_temp.facts_counted")
    counting.execute(
        cursor, f"CREATE TEMPORARY TABLE facts_counted ON COMMIT DROP AS {counting.count(counting.SOME)}", today
    )
    counting.execute(cursor, counting.write("facts_counted"), today)
    counting.execute(cursor, counting.forget("facts_family", "facts_counted"))
    return asked


def _count_everybody(cursor: Any, today: dt.date) -> None:
    """``staging.facts_counted``, as one query that may use several processes."""
    cursor.execute("SET LOCAL work_mem = '256MB'")
    cursor.execute(f"DROP TABLE IF EXISTS {_COUNTED}")
    counting.execute(cursor, f"CREATE UNLOGGED TABLE {_COUNTED} AS {counting.count(counting.EVERYBODY)}", today)
    cursor.execute(f"ANALYZE {_COUNTED}")
