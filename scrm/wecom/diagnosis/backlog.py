"""What waits on our own side: events, messages, the clock that starts all of it, and how much of WeCom's pace is used."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import Min
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from scrm.models import Corp, InboxEvent, OutboxMessage, WecomPace
from scrm.wecom.diagnosis.findings import Finding

LATE = dt.timedelta(minutes=10)  # the sweeps come each minute
BEAT_ENTRY = "WeCom events"
BEAT_SECONDS = 600  # beat writes what it ran every three minutes
COUNTED = 10_000
CALLS_PER_HOUR = 150_000
NEAR = 0.9
# per corp and day, where WeCom documents one; anything else is limited by minute and hour, which the pace keeps
CALLS_PER_DAY = {"media/uploadimg": 1_000}
CLOCK_SECONDS = 60  # WeCom's events cannot happen after they come
CLOCK_EVENTS = 20
SHOWN_ENDPOINTS = 3


def findings(corp: Corp, now: dt.datetime) -> list[Finding]:
    return [*_inbox(corp, now), *_outbox(corp, now), *_clock(corp), beat(*_last_sweep(), now), *_pace(corp, now)]


def _count(rows: Any) -> int:
    return int(rows.values("pk")[:COUNTED].count())


def _inbox(corp: Corp, now: dt.datetime) -> list[Finding]:
    events = InboxEvent.objects.filter(endpoint__corp_id=corp.corp_id)
    waiting = events.filter(status=InboxEvent.Status.RECEIVED)
    oldest = waiting.aggregate(oldest=Min("received_at"))["oldest"]
    found = [queue("inbox", _count(waiting), oldest, now)]
    for status, code in ((InboxEvent.Status.PARKED, "inbox.parked"), (InboxEvent.Status.UNKNOWN, "inbox.unknown")):
        if count := _count(events.filter(status=status)):
            found.append(Finding(code, "", {"count": count}))
    return found


def _outbox(corp: Corp, now: dt.datetime) -> list[Finding]:
    messages = OutboxMessage.objects.filter(corp=corp)
    due = messages.filter(status=OutboxMessage.Status.WAITING, not_before__lte=now)
    found = [queue("outbox", _count(due), due.aggregate(oldest=Min("not_before"))["oldest"], now)]
    for status, code in (
        (OutboxMessage.Status.UNKNOWN, "outbox.unknown"),
        (OutboxMessage.Status.REFUSED, "outbox.refused"),
    ):
        if count := _count(messages.filter(status=status)):
            found.append(Finding(code, "", {"count": count}))
    return found


def queue(name: str, count: int, oldest: dt.datetime | None, now: dt.datetime) -> Finding:
    """Late when the first in the queue has been passed over by several sweeps."""
    if oldest is None or now - oldest <= LATE:
        return Finding(f"{name}.ok", "", {"count": count})
    return Finding(f"{name}.late", "", {"count": count, "seconds": int((now - oldest).total_seconds())})


def _last_sweep() -> tuple[dt.datetime | None, dt.datetime | None]:
    """When beat last ran it, and when the entry was set up or changed."""
    entries = PeriodicTask.objects.filter(name=BEAT_ENTRY, enabled=True)
    return entries.values_list("last_run_at", "date_changed").first() or (None, None)


def beat(last_at: dt.datetime | None, set_up_at: dt.datetime | None, now: dt.datetime) -> Finding:
    if last_at is None:
        age = int((now - set_up_at).total_seconds()) if set_up_at else BEAT_SECONDS
        return Finding("beat.new", "", {"seconds": max(0, age)}) if age < BEAT_SECONDS else Finding("beat.never")
    seconds = max(0, int((now - last_at).total_seconds()))
    return Finding("beat.stopped" if seconds > BEAT_SECONDS else "beat.ok", "", {"seconds": seconds})


def _clock(corp: Corp) -> list[Finding]:
    newest = InboxEvent.objects.filter(endpoint__corp_id=corp.corp_id).order_by("-pk")
    pairs = newest.values_list("event_at", "received_at")[:CLOCK_EVENTS]
    return [found] if (found := clock([(at - came).total_seconds() for at, came in pairs])) else []


def clock(ahead: list[float]) -> Finding | None:
    """By how many seconds each of the newest events happened after it came, by our clock."""
    if not ahead or max(ahead) <= CLOCK_SECONDS:
        return None
    return Finding("clock.behind", "", {"seconds": int(max(ahead))})


def _pace(corp: Corp, now: dt.datetime) -> list[Finding]:
    paces = WecomPace.objects.filter(corp=corp)
    today = timezone.localdate(now)
    busiest = list(paces.filter(day=today).order_by("-day_calls").values_list("path", "day_calls"))
    shut = paces.filter(blocked_until__gt=now).order_by("path")
    found = [
        Finding("quota.shut", path, {"until": timezone.localtime(until).strftime("%H:%M")})
        for path, until in shut.values_list("path", "blocked_until")
        if until is not None
    ]
    found += [
        Finding("quota.day_near", path, {"used": used, "most": CALLS_PER_DAY[path]})
        for path, used in busiest
        if path in CALLS_PER_DAY and used >= NEAR * CALLS_PER_DAY[path]
    ]
    if busiest:
        top = [f"{path} {used:,}" for path, used in busiest[:SHOWN_ENDPOINTS]]
        total = sum(used for _path, used in busiest)
        found.append(Finding("quota.calls", "", {"count": f"{total:,}", "top": top, "most": f"{CALLS_PER_HOUR:,}"}))
    return found
