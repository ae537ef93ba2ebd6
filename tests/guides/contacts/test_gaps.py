"""An hour without events where there always were some is a gap, and begins one sweep of everything."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from guides.contacts import gaps, sweeps
from guides.models import ContactSweep, EventHour
from scrm.models import CallbackEndpoint, Corp, InboxEvent, Job

pytestmark = pytest.mark.django_db
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
NOW = dt.datetime(2026, 1, 20, 7, 30, tzinfo=dt.UTC)  # half past three in Shanghai
LAST = NOW.replace(minute=0) - HOUR  # the last whole hour


def counted(corp: Corp, hours: dict[int, int], usual: int = 50) -> None:
    """Ten days of ``usual`` events an hour; ``hours`` says otherwise for some, by their distance from the last one."""
    EventHour.objects.bulk_create(
        EventHour(corp=corp, hour=LAST - n * HOUR, event_count=hours.get(n, usual)) for n in range(10 * 24)
    )


def begun() -> list[str]:
    gaps.look(now=NOW)
    return [job.params["kind"] for job in Job.objects.filter(kind=sweeps.KIND)]


@pytest.mark.parametrize(
    ("count", "before", "silent"),
    [(0, [10] * 7, True), (1, [50] * 7, False), (0, [9] * 7, False), (0, [50] * 6, False), (0, [], False)],
)
def test_a_silent_hour(count: int, before: list[int], silent: bool) -> None:
    assert gaps.is_silent(count, before) is silent


def test_nothing_is_begun_without_a_gap(corp: Corp) -> None:
    counted(corp, {})
    assert begun() == []


def test_a_quiet_shop_has_no_gaps(corp: Corp) -> None:
    counted(corp, {0: 0, 5: 0}, usual=3)
    assert begun() == []


def test_a_silence_that_is_over_begins_one_sweep(corp: Corp) -> None:
    counted(corp, {2: 0, 3: 0})
    assert begun() == ["GAP"]
    assert begun() == ["GAP"]
    assert gaps.look(now=NOW + dt.timedelta(minutes=20))[0].pk == Job.objects.get().pk


def test_a_silence_that_lasts_begins_one_each_day_and_one_at_its_end(corp: Corp) -> None:
    counted(corp, {0: 0, 1: 0})
    assert begun() == ["GAP"] == begun()
    EventHour.objects.create(corp=corp, hour=LAST + HOUR, event_count=40)
    gaps.look(now=NOW + HOUR)
    assert Job.objects.count() == 2


def test_drift_that_no_event_explains_begins_one(corp: Corp) -> None:
    counted(corp, {})
    night = ContactSweep.objects.create(
        corp=corp, kind="ROLLING", status="DONE", started_at=LAST, ended_at=LAST, pair_count=1_000, added_count=20
    )
    assert begun() == []
    ContactSweep.objects.filter(pk=night.pk).update(ended_count=1)
    assert begun() == ["GAP"] == begun()
    ContactSweep.objects.create(corp=corp, kind="GAP", status="DONE", started_at=LAST, ended_at=LAST)
    Job.objects.all().delete()
    assert begun() == []  # everything has been compared since


def test_hours_are_counted_once_from_the_inbox(corp: Corp) -> None:
    endpoint = CallbackEndpoint.objects.create(name="c", corp_id=corp.corp_id, token_sealed=b"", aes_key_sealed=b"")
    now = timezone.now()
    hour = now.replace(minute=0, second=0, microsecond=0) - HOUR
    for n, (event, at) in enumerate(
        [
            ("change_external_contact", hour),
            ("change_external_contact", hour),
            ("other", hour),
            ("change_external_contact", now),
        ]
    ):
        row = InboxEvent.objects.create(
            endpoint=endpoint, body_hash=f"{n}", body_sealed=b"", event=event, aggregate="a", event_at=at
        )
        InboxEvent.objects.filter(pk=row.pk).update(received_at=at)
    gaps.look(now=now)
    gaps.look(now=now)
    assert EventHour.objects.get(hour=hour).event_count == 2
    assert EventHour.objects.count() == 25
