"""The sweep over the pools that collect: who has come, her gift, the countdown, and who stands behind the codes.

Each pool under a lock of its own, each step in transactions of its own: a kill loses one gift at most, and the next sweep gives
it. The coupon's key names pool and member, so that it is given once.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from campaigns.communities.reservoir import planning
from campaigns.communities.reservoir.planning import SHANGHAI, Gift, Status, day_of
from campaigns.models import Reservoir, ReservoirEntry, ReservoirStaff, ReservoirStep
from guides import actions, contact_ways
from guides.models import Action, ContactWay
from members.coupons import issuing
from members.coupons.records import Where
from members.coupons.refusals import CouponRefused
from scrm import db

GIFTS_AT_ONCE = 2_000
FROM, UNTIL = dt.time(9), dt.time(21)
NOT_YET = {"coupon_not_yet"}

TAKE_IN = """
    INSERT INTO campaigns_reservoirentry (reservoir_id, contact_id, place_id, guide_id, member_id, joined_at, gift, gift_problem)
    SELECT DISTINCT ON (f.contact_id) r.id, f.contact_id, p.id, f.guide_id, c.member_id, f.added_at,
        CASE WHEN r.gift_id IS NULL THEN 'NONE' ELSE 'WAITS' END, ''
    FROM campaigns_reservoir r
    JOIN campaigns_reservoirplace p ON p.reservoir_id = r.id
    JOIN guides_contactway w ON w.id = p.way_id
    JOIN guides_friendship f ON f.state = w.state AND f.state <> '' AND f.corp_id = r.corp_id
    JOIN guides_contact c ON c.id = f.contact_id
    WHERE r.id = %(reservoir)s AND f.is_confirmed AND f.added_at <= %(now)s
      AND NOT EXISTS (SELECT FROM campaigns_reservoirentry e WHERE e.reservoir_id = r.id AND e.contact_id = f.contact_id)
    ORDER BY f.contact_id, f.added_at, f.id
    ON CONFLICT DO NOTHING
"""
RECOGNISE = """
    UPDATE campaigns_reservoirentry e SET member_id = c.member_id FROM guides_contact c
    WHERE e.reservoir_id = %(reservoir)s AND e.contact_id = c.id AND e.gift <> 'GIVEN' AND c.member_id IS NOT NULL
      AND e.member_id IS DISTINCT FROM c.member_id
"""


def sweep(*, now: dt.datetime) -> int:
    """Look after every pool that collects; how many there are."""
    rows = list(Reservoir.objects.filter(status=Status.OPEN).select_related("store", "corp", "gift").order_by("pk"))
    for row in rows:
        with db.advisory_lock(f"reservoir {row.pk}") as is_ours:
            if is_ours:
                take_in(reservoir=row, now=now)
                give_gifts(reservoir=row, now=now)
                count_down(reservoir=row, now=now)
                staff_codes(reservoir=row, now=now)
    return len(rows)


@transaction.atomic
def take_in(*, reservoir: Reservoir, now: dt.datetime) -> int:
    """Who came through the codes since the last time; how many."""
    values: dict[str, Any] = {"reservoir": reservoir.pk, "now": now}
    with connection.cursor() as cursor:
        cursor.execute(TAKE_IN, values)
        came = cursor.rowcount
        cursor.execute(RECOGNISE, values)
    return int(came)


def give_gifts(*, reservoir: Reservoir, now: dt.datetime) -> int:
    """Gifts of members who wait for one; how many were given."""
    waiting = reservoir.entries.filter(gift=Gift.WAITS, member__isnull=False).order_by("joined_at", "pk")
    return sum(_give_one(pk, now) for pk in list(waiting.values_list("pk", flat=True)[:GIFTS_AT_ONCE]))


@transaction.atomic
def _give_one(entry_id: int, now: dt.datetime) -> bool:
    rows = db.lock(ReservoirEntry.objects.filter(pk=entry_id, gift=Gift.WAITS).select_related("reservoir__store"))
    if not rows:
        return False
    entry: ReservoirEntry = rows[0]
    pool = entry.reservoir
    if entry.member_id is None or pool.gift_id is None:
        return False
    if pool.entries.filter(member=entry.member_id, gift=Gift.GIVEN).exists():
        return _refuse(entry, _("She has her gift already, under another WeCom account."))
    try:
        given = issuing.give(
            template_id=pool.gift_id, member_id=entry.member_id, key=f"reservoir {pool.pk} {pool.gift_id} {entry.member_id}",
            now=now, where=Where(store_id=pool.store_id, note=pool.name),
        )  # fmt: skip
    except CouponRefused as refused:
        return False if refused.code in NOT_YET else _refuse(entry, str(refused.message))
    entry.gift, entry.coupon, entry.gifted_at, entry.gift_problem = Gift.GIVEN, given.coupon, now, ""
    entry.save(update_fields=["gift", "coupon", "gifted_at", "gift_problem"])
    return True


def _refuse(entry: ReservoirEntry, why: str) -> bool:
    entry.gift, entry.gift_problem = Gift.REFUSED, why[:200]
    entry.save(update_fields=["gift", "gift_problem"])
    return False


@transaction.atomic
def count_down(*, reservoir: Reservoir, now: dt.datetime) -> int:
    """The step whose day is today becomes an action of each guide; what lies behind is passed over. How many actions."""
    today, given = day_of(now), 0
    (pool,) = db.lock(Reservoir.objects.filter(pk=reservoir.pk))
    for step in pool.steps.filter(given_at=None).order_by("-days_before"):
        day = pool.opens_on - dt.timedelta(days=step.days_before)
        if day > today or (day == today and now.astimezone(SHANGHAI).time() < dt.time(6)):
            continue
        starts, due = (dt.datetime.combine(day, at, SHANGHAI) for at in (FROM, UNTIL))
        count = actions.give(_actions(pool, step, starts, due, now)) if now < due else 0
        ReservoirStep.objects.filter(pk=step.pk).update(given_at=now, given_count=count)
        given += count
    return given


def _actions(
    pool: Reservoir, step: ReservoirStep, starts: dt.datetime, due: dt.datetime, now: dt.datetime
) -> list[actions.NewAction]:
    reason = _("Opening of %(store)s on %(day)s") % {"store": pool.store.name, "day": pool.opens_on}
    return [
        actions.NewAction(
            key=f"reservoir step {step.pk} {guide.pk}", guide_id=guide.pk, store_id=pool.store_id, member_id=None,
            kind=Action.Kind.MESSAGE, source=Action.Source.RESERVOIR, source_id=step.pk, title=step.title, reason=reason,
            text=step.text, starts_at=starts, due_at=due, minutes=15,
        )
        for guide in planning.wanted_guides(pool, now)
    ]  # fmt: skip


@transaction.atomic
def staff_codes(*, reservoir: Reservoir, now: dt.datetime) -> int:
    """Whose last day is over leaves the codes, whoever is hired stands behind them; how many codes have changed.

    With nobody left the last ones stay, since a printed code must bring somebody; the page says so.
    """
    wanted = planning.wanted_guides(reservoir, now)
    if not wanted:
        return 0
    changed, keys = 0, {guide.pk for guide in wanted}
    able = (ContactWay.Status.DRAFT, ContactWay.Status.CREATING, ContactWay.Status.LIVE, ContactWay.Status.FAILED)
    for place in reservoir.places.filter(way__status__in=able).select_related("way").order_by("pk"):
        way = place.way
        assert way is not None
        standing = {row.guide_id: row for row in way.staff.all()}
        if set(standing) == keys:
            continue
        contact_ways.change(
            way=way, name=way.name, staff=[contact_ways.Staff(guide) for guide in wanted], skip_verify=way.skip_verify,
            daily_cap=way.daily_cap, expires_at=way.expires_at, actor=None, now=now,
        )  # fmt: skip
        changed += 1
    over = ReservoirStaff.objects.filter(reservoir=reservoir, removed_at=None, ends_on__lt=day_of(now))
    over.exclude(guide__in=keys).update(removed_at=now)
    return changed
