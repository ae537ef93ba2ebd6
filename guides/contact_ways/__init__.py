"""Contact ways (渠道活码): codes by which customers add a guide, kept in step with WeCom.

1. A code is a guide's own (permanent, one each), a store's or a campaign's. WeCom gives its ``state`` back with whoever
   scanned it: a short key of ours, never reused.
2. Our row comes first; WeCom makes, changes and deletes through the outbox. Making one twice would leave a code that
   nobody can find, so a lost answer is looked for by the state and never repeated blindly.
3. Behind a code stand main guides and backups, each with days and hours. Over the daily cap of a guide, or out of hours,
   the others take over: every few minutes WeCom is told who is to be added, only where that differs.
   Through the own code of a guide who is gone another is added (``leavers``): printed pictures go on working.
4. WeCom's quota (500,000 codes, group codes included) is shared. When it is used up the codes that wait go on waiting and
   say so; a deleted one lets them on.
5. Each day what WeCom lists is compared with our rows. A code there that no row names is a stray one: taken over by the
   row that carries its state, or deleted by a person. A code of ours that is gone there is broken, and says so.
6. What a code brings is counted while it happens: friends, members among them, bound ones, by guide and business day.
"""

from __future__ import annotations

import datetime as dt

from django.db import connection

from guides.contact_ways import bulk, duty, figures, leavers, ledger, pictures, staffing, topics
from guides.contact_ways.making import (
    BadWay,
    Staff,
    WayExists,
    WrongState,
    change,
    create,
    draft,
    enqueue_update,
    refresh,
    retire,
    tell_again,
    wanted_userids,
)
from guides.models import ContactWay
from scrm import jobs

__all__ = [
    "BadWay", "Staff", "WayExists", "WrongState", "bulk", "change", "count", "create", "draft", "duty", "enqueue_update",
    "figures", "find", "leavers", "ledger", "pictures", "refresh", "register", "retire", "staffing", "tell_again", "topics", "wanted_userids",
]  # fmt: skip

COUNT = """
    INSERT INTO guides_wayday (way_id, guide_id, day, asked_count, friend_count, member_count, bound_count)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (way_id, day, guide_id) DO UPDATE SET
        asked_count = guides_wayday.asked_count + EXCLUDED.asked_count,
        friend_count = guides_wayday.friend_count + EXCLUDED.friend_count,
        member_count = guides_wayday.member_count + EXCLUDED.member_count,
        bound_count = guides_wayday.bound_count + EXCLUDED.bound_count
"""


def register() -> None:
    """Called from ``AppConfig.ready``."""
    topics.register()
    jobs.register(bulk.KIND, bulk.work)
    jobs.register(ledger.KIND, ledger.work)


def find(corp_id: int, state: str) -> ContactWay | None:
    """The code whose state came back; also a retired one: its printed picture may still hang somewhere."""
    return ContactWay.objects.filter(corp=corp_id, state=state).first() if state else None


def count(
    *, way_id: int, guide_id: int, at: dt.datetime, asked: int = 0, friends: int = 0, members: int = 0, bound: int = 0
) -> None:
    """Add to what a code brought a guide on the business day of ``at``."""
    day = at.astimezone(duty.SHANGHAI).date()
    with connection.cursor() as cursor:
        cursor.execute(COUNT, [way_id, guide_id, day, asked, friends, members, bound])
