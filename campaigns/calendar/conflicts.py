"""What does not fit together (冲突), while planning.

1. What follows from the entries themselves is found when somebody looks: a material or coupon that is over by then, a store
   that is closed.
2. What takes members or stores to be counted is counted by a job, when an entry changes and once a day, and kept per day:
   members whom two entries address on one day, members who would get more messages than a contact budget allows, stores
   whose guides would have more work than their day holds.
3. Messages in the sense of the budget are mass sends: those of the calendar that are still to come, those that are planned
   apart from it, and those that were handed over.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from campaigns.calendar import compiling, reading, rules
from campaigns.models import CalendarCompiled, CalendarConflict, CalendarEntry, ContactBudget
from members import audiences
from members.audiences import BadRule
from members.models import CouponStock, CouponTemplate
from scrm import db, jobs, org
from scrm.models import Store

CHECK = "calendar.check"
DAY_MINUTES = 120  # of a guide's day for the calendar; the rest is for customers who come
LOOKED_BACK = 92  # days: the longest contact budget
Kind = CalendarConflict.Kind


@dataclass(frozen=True, slots=True)
class Conflict:
    """``text`` names the place and what to do. ``is_grave``: it will not work as it is."""

    entry_id: int
    day: dt.date
    text: str
    is_grave: bool


# --- found when somebody looks ------------------------------------------------------------------------------------------


def found_on(
    *, brand_id: int, days: Sequence[dt.date], scope: org.Scope, entry_ids: Sequence[int] | None = None
) -> list[Conflict]:
    """Those of the days, by day; of the entries that the scope sees. Numbers of all stores together are HQ's."""
    rows = org.visible(reading.rows_between(brand_id, min(days), max(days)), scope)
    if entry_ids is not None:
        rows = rows.filter(pk__in=entry_ids)
    entries = list(rows.select_related("content", "coupon_template", "store", "region", "entity"))
    found = [*_of_entries(entries, days), *_of_stores(entries, days, scope)]
    counted = CalendarConflict.objects.filter(entry__in=entries, day__in=list(days)).select_related("entry", "other")
    found += [_told(row, scope) for row in counted.order_by("day", "pk")]
    return sorted(found, key=lambda one: (one.day, not one.is_grave, one.entry_id))


def _of_entries(entries: Sequence[CalendarEntry], days: Sequence[dt.date]) -> Iterator[Conflict]:
    empty = _templates_without_stock([row.coupon_template_id for row in entries if row.coupon_template_id])
    for row, day in _occurrences(entries, days):
        begins, ends = rules.at(day, row.from_time), rules.at(day, row.until_time)
        for text in (*_of_material(row, begins, ends), *_of_coupon(row, begins, empty)):
            yield Conflict(row.pk, day, _at(row, day) + text, True)


def _occurrences(entries: Sequence[CalendarEntry], days: Sequence[dt.date]) -> Iterator[tuple[CalendarEntry, dt.date]]:
    for row in entries:
        entry = rules.Entry(
            row.pk, row.title, frozenset(row.weekdays), row.starts_on, row.ends_on, row.from_time, row.until_time
        )
        for day in days:
            if rules.occurs(entry, day):
                yield row, day


def _at(row: CalendarEntry, day: dt.date) -> str:
    return _("%(day)s “%(title)s”: ") % {"day": date_format(day, "n月j日"), "title": row.title}


def _of_material(row: CalendarEntry, begins: dt.datetime, ends: dt.datetime) -> Iterator[str]:
    material = row.content
    if material is None:
        return
    said = {"name": material.name}
    if not material.is_active:
        yield _("the material “%(name)s” is out of use. Choose another one, or put it into use again.") % said
    elif material.ends_at is not None and material.ends_at < ends:
        yield _("the material “%(name)s” is over by then. Choose another one, or let it last longer.") % said
    elif material.starts_at is not None and material.starts_at > begins:
        yield _("the material “%(name)s” may not be used yet. Let it begin earlier, or move the entry.") % said


def _of_coupon(row: CalendarEntry, begins: dt.datetime, empty: set[int]) -> Iterator[str]:
    template = row.coupon_template
    if template is None:
        return
    said = {"name": template.name}
    if template.status != CouponTemplate.Status.PUBLISHED:
        yield _("the coupon “%(name)s” is not published. Have it published, or choose another one.") % said
    elif not template.claim_from <= begins < template.claim_until:
        yield (
            _("the coupon “%(name)s” is not given out at that time. Publish a version that is, or move the entry.")
            % said
        )
    elif template.pk in empty:
        yield (
            _("the coupon “%(name)s” has no number or budget left. Publish a version with more, or choose another one.")
            % said
        )


def _templates_without_stock(ids: Sequence[int]) -> set[int]:
    """Templates of which not one coupon can be given any more."""
    can_give = (Q(left_count=None) | Q(left_count__gt=0)) & (
        Q(left_fen=None) | Q(left_fen__gte=F("template__value_fen"))
    )
    able = set(CouponStock.objects.filter(can_give, template__in=ids).values_list("template_id", flat=True))
    return set(ids) - able


def _of_stores(entries: Sequence[CalendarEntry], days: Sequence[dt.date], scope: org.Scope) -> Iterator[Conflict]:
    """A store that an entry names and that is closed, and stores that open or close within the days shown."""
    first, last = min(days), max(days)
    named = {row.store_id for row in entries if row.store_id}
    changing = Q(opened_on__gt=first, opened_on__lte=last) | Q(closed_on__gte=first, closed_on__lt=last)
    stores = list(org.visible(Store.objects.filter(changing | Q(pk__in=named)), scope).order_by("pk")[:500])
    if not stores:
        return
    parents = reading.region_parents()
    names = {store.pk: store.name for store in stores}
    places = reading.places(Store.objects.filter(pk__in=names), parents)
    for row, day in _occurrences(entries, days):
        entry = reading.entry_of(row, parents)
        closed = [names[one.pk] for one in places if rules.is_meant(entry, one) and not rules.is_open(one, day)]
        if closed:
            said = {"stores": "、".join(closed[:3]), "count": len(closed)}
            text = _(
                "%(stores)s (%(count)s stores) are not open that day and get nothing. Choose another day or other stores."
            )
            yield Conflict(row.pk, day, _at(row, day) + text % said, row.store_id is not None)


def _told(row: CalendarConflict, scope: org.Scope) -> Conflict:
    said: dict[str, Any] = {
        "count": f"{row.count:,}", "other": row.other.title if row.other else "", "limit": DAY_MINUTES, **row.numbers
    }  # fmt: skip
    is_hq = scope.is_everything
    if row.kind == Kind.OVERLAP:
        text = (
            _(
                "%(count)s members are addressed by “%(other)s” on the same day as well. Move one of them, or narrow an audience."
            )
            if is_hq
            else _("members are addressed by “%(other)s” on the same day as well.")
        )
    elif row.kind == Kind.BUDGET:
        text = (
            _("%(count)s members would get more than %(most)s mass sends within %(days)s days; they will be left out. Send less, or narrow the audience.")
            if is_hq
            else _("some members would get more than %(most)s mass sends within %(days)s days; they will be left out.")
        )  # fmt: skip
    elif row.kind == Kind.AUDIENCE:
        text = _("its audience can no longer be asked. Open the audience and correct its rule.")
    else:
        text = (
            _("all entries of the day together take a guide up to %(minutes)s minutes in %(count)s stores (for example %(store)s); a day holds %(limit)s. Lower a quota, or move an entry.")
            if is_hq
            else _("all entries of the day together may take a guide more than %(limit)s minutes. Lower a quota, or move an entry.")
        )  # fmt: skip
    return Conflict(row.entry_id, row.day, _at(row.entry, row.day) + text % said, row.kind != Kind.OVERLAP)


# --- counted by a job -----------------------------------------------------------------------------------------------------

OVERLAPS = """
    SELECT a.day, a.entry_id, b.entry_id, count(*) FROM calendar_reach a
    JOIN calendar_reach b ON b.day = a.day AND b.member_id = a.member_id AND b.entry_id > a.entry_id
    GROUP BY 1, 2, 3
"""
# on each day of a send: who would have had more than ``most`` within ``days`` days with it
OVER_BUDGET = """
    WITH wanted AS (SELECT DISTINCT member_id FROM calendar_reach WHERE is_send AND day = %(day)s),
    messages AS (
        SELECT r.member_id FROM calendar_reach r JOIN wanted USING (member_id)
        WHERE r.is_send AND r.day <= %(day)s AND r.day > %(day)s::date - %(days)s
        UNION ALL
        SELECT r.member_id FROM campaigns_recipient r JOIN wanted USING (member_id)
        JOIN campaigns_send s ON s.id = r.send_id AND s.brand_id = %(brand)s
        WHERE r.contacted_at > %(at)s - %(days)s * interval '1 day' AND r.contacted_at <= %(now)s
        UNION ALL
        SELECT r.member_id FROM campaigns_send s JOIN campaigns_recipient r ON r.send_id = s.id
        JOIN wanted USING (member_id)
        WHERE s.brand_id = %(brand)s AND s.status IN ('PLANNED', 'ASKED', 'SENDING') AND r.state = 'PLANNED'
          AND r.contacted_at IS NULL AND s.due_at <= %(at)s AND s.due_at > %(at)s - %(days)s * interval '1 day'
          AND NOT EXISTS (SELECT 1 FROM campaigns_calendarday d WHERE d.send_id = s.id)
    )
    SELECT count(*) FROM (SELECT member_id FROM messages GROUP BY 1 HAVING count(*) > %(most)s) m
"""


def work_check(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``calendar.check``."""
    days = [dt.date.fromisoformat(day) for day in progress.job.params["days"]]
    progress.stage(CHECK, len(days))
    count = check(brand_id=progress.job.params["brand"], days=days, now=db.clock())
    progress.done(len(days))
    return {"conflicts": count}


@transaction.atomic
def check(*, brand_id: int, days: Sequence[dt.date], now: dt.datetime) -> int:
    """Count the conflicts of the days anew; how many there are."""
    db.take_turns([f"calendar conflicts {brand_id}"])
    today = now.astimezone(rules.SHANGHAI).date()
    earlier = [today + dt.timedelta(days=ahead) for ahead in range((min(days) - today).days)][-LOOKED_BACK:]
    rows = list(reading.rows_between(brand_id, min([*days, *earlier]), max(days)).select_related("audience", "content"))
    found = [*_of_members(brand_id, rows, days, earlier, now), *_of_minutes(brand_id, days)]
    CalendarConflict.objects.filter(entry__brand=brand_id, day__in=list(days)).delete()
    CalendarConflict.objects.bulk_create(found, batch_size=1000)
    checked = [CalendarCompiled(brand_id=brand_id, day=day, checked_at=now) for day in days]
    CalendarCompiled.objects.bulk_create(
        checked, update_conflicts=True, unique_fields=["brand", "day"], update_fields=["checked_at"]
    )
    return len(found)


def _of_members(
    brand_id: int, rows: Sequence[CalendarEntry], days: Sequence[dt.date], earlier: Sequence[dt.date], now: dt.datetime
) -> list[CalendarConflict]:
    found: list[CalendarConflict] = []
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE calendar_reach (entry_id bigint, day date, member_id bigint, is_send boolean) ON COMMIT DROP"
        )
        broken = _reach(cursor, brand_id, rows, days, earlier, now)
        found += [CalendarConflict(entry_id=pk, day=day, kind=Kind.AUDIENCE) for pk, day in broken if day in days]
        cursor.execute("ANALYZE calendar_reach")
        cursor.execute(OVERLAPS)
        for day, entry_id, other_id, count in cursor.fetchall():
            if day in days:
                found += [
                    CalendarConflict(entry_id=one, other_id=two, day=day, kind=Kind.OVERLAP, count=count)
                    for one, two in ((entry_id, other_id), (other_id, entry_id))
                ]
        found += _over_budget(cursor, brand_id, rows, days, now)
        cursor.execute("DROP TABLE calendar_reach")
    return found


def _reach(
    cursor: Any, brand_id: int, rows: Sequence[CalendarEntry], days: Sequence[dt.date], earlier: Sequence[dt.date],
    now: dt.datetime,
) -> list[tuple[int, dt.date]]:  # fmt: skip
    """Whom each entry addresses, asked once per entry as of now; entries and days whose audience cannot be asked."""
    parents, broken = reading.region_parents(), []
    on: dict[int, list[dt.date]] = defaultdict(list)
    for row, day in _occurrences(rows, [*earlier, *days]):
        on[row.pk].append(day)
    for row in rows:
        if row.audience is None or not on[row.pk] or not (row.corp_id or row.coupon_template_id or row.sop_id):
            continue
        scope = audiences.scope_of(row.audience)
        if row.region_id or row.entity_id or row.store_id or row.ownership:
            entry = reading.entry_of(row, parents)
            places = reading.places(Store.objects.all(), parents)
            meant = frozenset(one.pk for one in places if rules.is_meant(entry, one))
            scope = org.Scope(meant if scope.store_ids is None else meant & scope.store_ids)
        try:
            query = audiences.compile(
                row.audience.rule, brand_id=brand_id, scope=scope, now=now, right=audiences.scope_of(row.audience)
            )
        except BadRule:
            broken += [(row.pk, day) for day in on[row.pk]]
            continue
        cursor.execute(
            f"INSERT INTO calendar_reach SELECT %s, d.day, w.id, %s FROM ({query.ids()}) w CROSS JOIN unnest(%s::date[]) d(day)",
            [row.pk, row.corp_id is not None, *query.params, on[row.pk]],
        )
    return broken


def _over_budget(
    cursor: Any, brand_id: int, rows: Sequence[CalendarEntry], days: Sequence[dt.date], now: dt.datetime
) -> Iterator[CalendarConflict]:
    sending = [(row, day) for row, day in _occurrences(rows, days) if row.corp_id]
    for day in sorted({day for _row, day in sending}):
        worst: tuple[int, ContactBudget] | None = None
        for budget in ContactBudget.objects.filter(brand=brand_id).order_by("days"):
            values = {
                "day": day, "days": budget.days, "brand": brand_id, "most": budget.most_count, "now": now,
                "at": rules.at(day, dt.time(23, 59)),
            }  # fmt: skip
            cursor.execute(OVER_BUDGET, values)
            count = cursor.fetchone()[0]
            if count and (worst is None or count > worst[0]):
                worst = (count, budget)
        if worst is None:
            continue
        numbers = {"most": worst[1].most_count, "days": worst[1].days}
        for row, on in sending:
            if on == day:
                yield CalendarConflict(entry=row, day=day, kind=Kind.BUDGET, count=worst[0], numbers=numbers)


def _of_minutes(brand_id: int, days: Sequence[dt.date]) -> Iterator[CalendarConflict]:
    """Stores in which the entries of a day ask for more minutes of a guide than DAY_MINUTES."""
    wished = compiling.wishes(brand_id, days)
    stores = list(Store.objects.order_by("pk").values_list("pk", "name"))
    names = dict(stores)
    guides = reading.guides([pk for pk, _name in stores], days)
    places = reading.places(Store.objects.all(), wished.parents)
    for day in days:
        entries = [one for one in wished.entries if rules.occurs(one, day) and one.task_kind]
        over: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for place in places:
            heads = len(guides.get((day, place.pk), ()))
            here = [one for one in entries if rules.is_meant(one, place) and rules.is_open(place, day)]
            minutes = sum(rules.minutes_of(one, place.ownership, heads) for one in here)
            if minutes > DAY_MINUTES:
                for one in here:
                    over[one.pk].append((minutes, place.pk))
        for entry_id, found in over.items():
            worst, store_id = max(found)
            numbers = {"minutes": worst, "store": names[store_id]}
            yield CalendarConflict(entry_id=entry_id, day=day, kind=Kind.MINUTES, count=len(found), numbers=numbers)
