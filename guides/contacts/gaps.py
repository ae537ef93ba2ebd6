"""Gaps in the events of friends (事件断档): an hour of nothing where there always is something.

1. Each whole hour's events are counted once, from the inbox.
2. An hour is silent when nothing came in it, and in the same hour of the seven days before EXPECTED or more came on average.
3. A silence that is over begins one sweep of everything: what happened meanwhile was told to nobody. While it lasts, a sweep
   begins each day.
4. A sweep of a part that finds more than the events explain begins one of everything too: DRIFT_BP of the friends it read,
   and more than FEW.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection, transaction

from guides.contacts import sweeps
from guides.contacts.events import EVENT
from guides.models import ContactSweep, EventHour
from scrm.models import Corp, Job, WecomApp

EXPECTED = 10.0  # events of an hour; that none comes by chance then happens once in twenty thousand hours
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
DAYS = 7
LOOKED_BACK = dt.timedelta(days=2)
DRIFT_BP, FEW = 100, 20
RECENT_EVENTS = 2_000_000  # ids looked back in the inbox: two days of one of the largest corps

_COUNT = """
    INSERT INTO guides_eventhour (corp_id, hour, event_count)
    SELECT k.id, h.hour, count(v.id) FROM scrm_corp k
    CROSS JOIN generate_series(%(first)s::timestamptz, %(last)s::timestamptz, interval '1 hour') AS h (hour)
    LEFT JOIN (
        SELECT v.id, p.corp_id, date_trunc('hour', v.received_at) AS hour FROM scrm_inboxevent v
        JOIN scrm_callbackendpoint p ON p.id = v.endpoint_id
        WHERE v.event = %(event)s AND v.id > (SELECT max(id) - %(recent)s FROM scrm_inboxevent)
            AND v.received_at >= %(first)s AND v.received_at < %(last)s::timestamptz + interval '1 hour'
    ) v ON v.corp_id = k.corp_id AND v.hour = h.hour
    WHERE NOT EXISTS (SELECT 1 FROM guides_eventhour e WHERE e.corp_id = k.id AND e.hour = h.hour)
    GROUP BY k.id, h.hour ORDER BY k.id, h.hour ON CONFLICT DO NOTHING"""


def is_silent(count: int, same_hours: list[int]) -> bool:
    """``same_hours``: the counts of this hour on the days before, as far as they are known."""
    return count == 0 and len(same_hours) == DAYS and sum(same_hours) / DAYS >= EXPECTED


def look(*, now: dt.datetime) -> list[Job]:
    """Count the hours that are over and begin the sweeps that a gap or a drift calls for; once each."""
    last = _hour(now) - HOUR
    _count_hours(last)
    begun = []
    for corp in Corp.objects.filter(apps__kind=WecomApp.Kind.SELF_BUILT).distinct().order_by("pk"):
        key = _reason(corp, last)
        if key:
            begun.append(sweeps.start(corp=corp, kind=ContactSweep.Kind.GAP, actor=None, key=f"{sweeps.KIND} {key}"))
    return begun


def _reason(corp: Corp, last: dt.datetime) -> str:
    """The key of the sweep that is called for, "" for none."""
    silent = _silent_hours(corp, last)
    if silent and silent[-1] == last:  # it lasts
        return f"{corp.pk} silent {last.astimezone(sweeps.ZONE).date().isoformat()}"
    if silent:
        return f"{corp.pk} silence ended {silent[-1].isoformat()}"
    drifted = _drifted(corp, last)
    return f"{corp.pk} drift {drifted}" if drifted else ""


def _silent_hours(corp: Corp, last: dt.datetime) -> list[dt.datetime]:
    """Of the last two days, in order; a silence of the day before yesterday was answered then."""
    since = last - LOOKED_BACK - DAYS * DAY
    counts = dict(EventHour.objects.filter(corp=corp, hour__gte=since).values_list("hour", "event_count"))
    hours = [last - number * HOUR for number in range(int(LOOKED_BACK / HOUR))]
    return sorted(
        hour
        for hour in hours
        if hour in counts
        and is_silent(
            counts[hour], [counts[before] for n in range(1, DAYS + 1) if (before := hour - n * DAY) in counts]
        )
    )


def _drifted(corp: Corp, last: dt.datetime) -> int | None:
    """A sweep of a part, of the last two days, that found more than events explain and had no sweep of everything after."""
    done = ContactSweep.objects.filter(corp=corp, status=ContactSweep.Status.DONE, ended_at__gte=last - LOOKED_BACK)
    for sweep in done.exclude(kind=ContactSweep.Kind.CHOSEN).order_by("-pk")[:1]:
        drift = sweep.added_count + sweep.ended_count + sweep.held_count
        is_part = sweep.kind == ContactSweep.Kind.ROLLING
        if is_part and drift > FEW and drift * 10_000 > sweep.pair_count * DRIFT_BP:
            return sweep.pk
    return None


@transaction.atomic
def _count_hours(last: dt.datetime) -> None:
    values: dict[str, Any] = {"first": last - DAY, "last": last, "event": EVENT, "recent": RECENT_EVENTS}
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, values)
    EventHour.objects.filter(hour__lt=last - 60 * DAY).delete()


def _hour(at: dt.datetime) -> dt.datetime:
    return at.replace(minute=0, second=0, microsecond=0)
