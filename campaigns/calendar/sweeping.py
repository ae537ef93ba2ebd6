"""What the clock does: compile the coming days where wishes have changed, look for conflicts, bring what is due."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Max

from campaigns.calendar import compiling, conflicts, reaching, rules
from campaigns.models import CalendarAdaptation, CalendarCompiled, CalendarEntry
from scrm import jobs
from scrm.models import Job

COMPILED_AHEAD = 4  # today and three more
CHECKED_AHEAD = 14


@transaction.atomic
def write(*, entry: CalendarEntry, actor: Any, now: dt.datetime) -> CalendarEntry:
    """Keep an entry that its form has looked at; the coming days are compiled and looked over soon."""
    entry.changed_by = actor
    entry.save()
    ask(entry.brand_id, max(now, entry.changed_at))
    return entry


def sweep(*, now: dt.datetime) -> None:
    for brand_id in list(CalendarEntry.objects.order_by("brand").values_list("brand", flat=True).distinct()):
        ask(brand_id, now)
    reaching.prepare(now=now)


@transaction.atomic
def ask(brand_id: int, now: dt.datetime) -> None:
    """Jobs for the days whose wishes have changed; the same wishes ask once."""
    today = now.astimezone(rules.SHANGHAI).date()
    wished_at = _wished_at(brand_id)
    days = [today + dt.timedelta(days=ahead) for ahead in range(CHECKED_AHEAD)]
    there = {row.day: row for row in CalendarCompiled.objects.filter(brand=brand_id, day__in=days)}

    def is_due(day: dt.date, name: str) -> bool:
        at: dt.datetime | None = getattr(there.get(day), name, None)
        return at is None or at < wished_at or at.astimezone(rules.SHANGHAI).date() < today

    compile_due = [day for day in days[:COMPILED_AHEAD] if is_due(day, "compiled_at")]
    check_due = [day for day in days if is_due(day, "checked_at")]
    stamp = f"{brand_id} {today} {wished_at.isoformat()}"
    if compile_due:
        ask_to_compile(brand_id=brand_id, days=compile_due, actor=None, key=f"calendar {stamp}")
    if check_due:
        params = {"brand": brand_id, "days": [day.isoformat() for day in check_due]}
        jobs.enqueue(conflicts.CHECK, actor=None, params=params, key=f"calendar check {stamp}")


def _wished_at(brand_id: int) -> dt.datetime:
    """When anybody last changed what is wished; some entry there is."""
    entries = CalendarEntry.objects.filter(brand=brand_id).aggregate(last=Max("changed_at"))["last"]
    adapted = CalendarAdaptation.objects.filter(entry__brand=brand_id).aggregate(last=Max("changed_at"))["last"]
    return max(at for at in (entries, adapted) if at is not None)


def ask_to_preview(*, brand_id: int, days: Sequence[dt.date], actor: Any) -> Job:
    """A job that says what compiling the days would do."""
    params = {"brand": brand_id, "days": [day.isoformat() for day in days]}
    return jobs.enqueue(compiling.PREVIEW, actor=actor, params=params)


@transaction.atomic
def ask_to_compile(*, brand_id: int, days: Sequence[dt.date], actor: Any, key: str | None = None) -> Job:
    """A job that compiles the days, and one that looks for their conflicts; with the same key the jobs that are there."""
    params = {"brand": brand_id, "days": [day.isoformat() for day in days]}
    job = jobs.enqueue(compiling.COMPILE, actor=actor, params=params, key=key)
    if key is None:  # of a week that somebody plans, which may lie behind the days that the clock looks at
        jobs.enqueue(conflicts.CHECK, actor=actor, params=params)
    rows = [CalendarCompiled(brand_id=brand_id, day=day, job=job) for day in days]
    CalendarCompiled.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["brand", "day"], update_fields=["job"]
    )
    return job
