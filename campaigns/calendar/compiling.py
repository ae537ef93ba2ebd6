"""Compiling (编排): the week as rows per entry, store and day, and as actions of guides.

A piece of stores is one transaction: killed and run again, the same rows come out. Pieces of one brand take turns.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction

from campaigns.calendar import counting, reading, rules
from campaigns.models import CalendarCompiled, CalendarDay, CalendarEntry, CalendarStoreDay
from guides import actions
from guides.actions import NewAction
from guides.models import Action
from scrm import db, jobs
from scrm.models import Store

COMPILE, PREVIEW = "calendar.compile", "calendar.preview"
CHUNK = 200  # stores: with 5 entries, 7 days and 8 guides some 50,000 actions in a transaction at most
Status = CalendarStoreDay.Status


@dataclass(slots=True)
class Counts:
    """Rows of stores and days. ``begun`` differ from what is wished and stay."""

    new: int = 0
    changed: int = 0
    gone: int = 0
    kept: int = 0
    begun: int = 0
    tasks: int = 0  # given anew
    stores: int = 0

    def add(self, found: rules.Changes) -> None:
        self.new, self.changed, self.gone = (
            self.new + len(found.new), self.changed + len(found.changed), self.gone + len(found.gone)
        )  # fmt: skip
        self.kept, self.begun = self.kept + found.kept, self.begun + found.begun
        self.tasks += sum(len(one.tasks) for one in found.new) + sum(len(one.tasks) for one, _row in found.changed)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be compiled, read once for all stores."""

    brand_id: int
    days: tuple[dt.date, ...]
    parents: dict[int, int | None]
    entries: tuple[rules.Entry, ...]
    adaptations: dict[int, list[rules.Adaptation]]


def wishes(brand_id: int, days: Sequence[dt.date]) -> Wishes:
    parents = reading.region_parents()
    entries = tuple(reading.entries(brand_id, days, parents))
    return Wishes(brand_id, tuple(days), parents, entries, reading.adaptations([one.pk for one in entries], days))


def preview(
    *, brand_id: int, days: Sequence[dt.date], now: dt.datetime, done: Callable[[int], None] | None = None
) -> Counts:
    """What compiling would do now; nothing is written. ``done`` hears how many stores were looked at."""
    wished, counts = wishes(brand_id, days), Counts()
    for store_ids in _pieces():
        counts.add(_changes(wished, store_ids, now))
        counts.stores += len(store_ids)
        if done is not None:
            done(counts.stores)
    return counts


def compile_days(
    *, brand_id: int, days: Sequence[dt.date], now: dt.datetime, done: Callable[[int], None] | None = None
) -> Counts:
    """Write the days for every store; ``done`` hears how many stores are finished."""
    wished, counts = wishes(brand_id, days), Counts()
    _write_days(wished, now)
    for store_ids in _pieces():
        counts.add(_compile_piece(wished, store_ids, now))
        counts.stores += len(store_ids)
        if done is not None:
            done(counts.stores)
    counting.add_up(days)
    rows = [CalendarCompiled(brand_id=brand_id, day=day, compiled_at=now) for day in days]
    CalendarCompiled.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["brand", "day"], update_fields=["compiled_at"]
    )
    return counts


def work_compile(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``calendar.compile``."""
    return asdict(compile_days(**_asked(progress, COMPILE)))


def work_preview(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``calendar.preview``: every store is looked at, which is too much for a page."""
    return asdict(preview(**_asked(progress, PREVIEW)))


def _asked(progress: jobs.Progress, stage: str) -> dict[str, Any]:
    params = progress.job.params
    progress.stage(stage, Store.objects.count())
    days = [dt.date.fromisoformat(day) for day in params["days"]]
    return {"brand_id": params["brand"], "days": days, "now": db.clock(), "done": progress.done}


def _pieces() -> Iterator[list[int]]:
    ids = list(Store.objects.order_by("pk").values_list("pk", flat=True))
    for place in range(0, len(ids), CHUNK):
        yield ids[place : place + CHUNK]


def _changes(wished: Wishes, store_ids: Sequence[int], now: dt.datetime) -> rules.Changes:
    guides = reading.guides(store_ids, wished.days)
    wanted: dict[rules.Key, rules.Item] = {}
    for place in reading.places(Store.objects.filter(pk__in=store_ids), wished.parents):
        for day in wished.days:
            for entry in wished.entries:
                found = rules.item(
                    entry, place, day, wished.adaptations.get(entry.pk, ()), guides.get((day, place.pk), ())
                )
                if found is not None:
                    wanted[entry.pk, place.pk, day] = found
    return rules.changes(wanted, reading.standing(wished.brand_id, store_ids, wished.days), now)


@transaction.atomic
def _compile_piece(wished: Wishes, store_ids: Sequence[int], now: dt.datetime) -> rules.Changes:
    db.take_turns([f"calendar {wished.brand_id}"])
    found = _changes(wished, store_ids, now)
    replaced = [row.pk for _one, row in found.changed] + [row.pk for row in found.gone]
    actions.withdraw(source=Action.Source.CALENDAR, source_ids=replaced, now=now)
    CalendarStoreDay.objects.filter(pk__in=[row.pk for row in found.gone]).update(status=Status.CANCELLED)
    written = [_row(one) for one in found.new] + [_row(one) for one, _standing in found.changed]
    if written:
        _save(written)
        given = [*found.new, *(one for one, _standing in found.changed)]
        actions.give(_actions(given, written))
    return found


def _row(one: rules.Item) -> CalendarStoreDay:
    return CalendarStoreDay(
        entry_id=one.entry_id, store_id=one.store_id, day=one.day, digest=one.digest, starts_at=one.starts_at,
        ends_at=one.ends_at, status=Status.DROPPED if one.is_dropped else Status.PLANNED, adaptation_id=one.adaptation_id,
        quota_count=one.quota, task_count=len(one.tasks),
    )  # fmt: skip


# one statement for new and changed rows; a changed one has a number more, so that its tasks are new facts
SAVE = """
    INSERT INTO campaigns_calendarstoreday AS s (entry_id, store_id, day, status, revision, digest, starts_at, ends_at, adaptation_id,
        quota_count, task_count, done_count, skipped_count, made_count)
    SELECT w.*, 0, 0, 0 FROM unnest(%(entries)s::bigint[], %(stores)s::bigint[], %(days)s::date[], %(states)s::text[],
        %(revisions)s::smallint[], %(digests)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[], %(adapted)s::bigint[],
        %(quotas)s::int[], %(tasks)s::int[]) w
    ON CONFLICT (day, entry_id, store_id) DO UPDATE SET status = excluded.status, revision = s.revision + 1,
        digest = excluded.digest, starts_at = excluded.starts_at, ends_at = excluded.ends_at,
        adaptation_id = excluded.adaptation_id, quota_count = excluded.quota_count, task_count = excluded.task_count
    RETURNING id, revision, entry_id, store_id, day
"""


def _save(rows: list[CalendarStoreDay]) -> None:
    """Gives each row its ``pk`` and ``revision``."""
    values = {
        "entries": [row.entry_id for row in rows], "stores": [row.store_id for row in rows], "days": [row.day for row in rows],
        "states": [row.status for row in rows], "revisions": [1] * len(rows), "digests": [row.digest for row in rows],
        "starts": [row.starts_at for row in rows], "ends": [row.ends_at for row in rows],
        "adapted": [row.adaptation_id for row in rows], "quotas": [row.quota_count for row in rows],
        "tasks": [row.task_count for row in rows],
    }  # fmt: skip
    saved = {tuple(key): (pk, revision) for pk, revision, *key in db.fetch(SAVE, values)}
    for row in rows:
        row.pk, row.revision = saved[row.entry_id, row.store_id, row.day]


def _actions(items: Sequence[rules.Item], rows: Sequence[CalendarStoreDay]) -> Iterator[NewAction]:
    for one, row in zip(items, rows, strict=True):
        for task in one.tasks:
            yield NewAction(
                key=f"calendar {row.pk} {row.revision} {task.guide_id} {task.number}", guide_id=task.guide_id,
                store_id=one.store_id, member_id=None, kind=task.kind, source=Action.Source.CALENDAR, source_id=row.pk,
                title=task.title, reason=task.reason, text=task.text, starts_at=one.starts_at, due_at=one.ends_at,
                minutes=task.minutes,
            )  # fmt: skip


@transaction.atomic
def _write_days(wished: Wishes, now: dt.datetime) -> None:
    """A row per entry and day that takes place; what no longer does and has not begun is cancelled."""
    rows = {row.pk: row for row in CalendarEntry.objects.filter(pk__in=[one.pk for one in wished.entries])}
    days = [
        CalendarDay(
            entry_id=one.pk, day=day, kind=rows[one.pk].kind, title=one.title, starts_at=rules.at(day, one.from_time)
        )
        for one in wished.entries for day in wished.days if rules.occurs(one, day)
    ]  # fmt: skip
    past = {(row.entry_id, row.day) for row in CalendarDay.objects.filter(day__in=wished.days, starts_at__lte=now)}
    CalendarDay.objects.bulk_create(
        [row for row in days if (row.entry_id, row.day) not in past], update_conflicts=True, unique_fields=["day", "entry"],
        update_fields=["kind", "title", "starts_at", "is_cancelled"],
    )  # fmt: skip
    wanted = {(row.entry_id, row.day) for row in days}
    standing = CalendarDay.objects.filter(
        day__in=wished.days, entry__brand=wished.brand_id, is_cancelled=False, starts_at__gt=now
    )
    over = [row.pk for row in standing if (row.entry_id, row.day) not in wanted]
    CalendarDay.objects.filter(pk__in=over).update(is_cancelled=True)
