"""The doorbell rings after the commit and never fails; only one beat runs; lost messages come back."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from celery import Task, shared_task
from django.db import connection, transaction
from kombu import Connection
from kombu.exceptions import OperationalError
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from scrm import beat
from scrm import celery as doorbell
from scrm.embedded.valkey import Valkey

rung: list[int] = []


@shared_task
def note(number: int) -> None:
    rung.append(number)


@pytest.fixture(autouse=True)
def run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rung.clear()
    monkeypatch.setattr(doorbell, "_silent_until", 0.0)
    monkeypatch.setattr(Task, "apply_async", lambda self, args: self.run(*args))


@pytest.mark.django_db
def test_it_rings_after_the_commit_only(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        doorbell.ring(note, 7)
        assert rung == []
    assert rung == [7]


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_ring_is_silent() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        doorbell.ring(note, 7)
        raise ZeroDivisionError
    assert rung == []


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_away_is_asked_once_and_then_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fail(self: Task, *_: Any, **__: Any) -> None:
        asked.append(self.name)
        raise OperationalError("away")

    monkeypatch.setattr(Task, "apply_async", fail)
    doorbell.ring(note, 1)
    doorbell.ring(note, 2)
    assert len(asked) == 1


def test_messages_survive_a_lost_worker(settings: Settings) -> None:
    conf = doorbell.app.conf
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1
    assert conf.broker_transport_options["unacked_restore_interval"] == 2
    assert conf.broker_transport_options["unacked_restore_throttle"] == 1


@pytest.mark.django_db(transaction=True)
def test_a_second_beat_waits_until_the_first_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    first = connection.copy()
    with first.cursor() as cursor:
        cursor.execute(beat.LOCK)
        assert cursor.fetchone() == (True,)
    waited: list[float] = []

    def leave(seconds: float) -> None:
        waited.append(seconds)
        first.close()

    monkeypatch.setattr(beat.time, "sleep", leave)
    beat.wait_for_turn()
    assert set(waited) == {beat.RETRY_SECONDS}  # the server may take a moment to see that the first has gone
    assert beat.holds_turn()
    connection.close()
    connection.ensure_connection()
    assert not beat.holds_turn()
    connection.close()


def test_a_doorbell_rings_for_the_first_row_and_once_for_all_that_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    rings: list[float] = []
    clock = [100.0]
    monkeypatch.setattr(Task, "apply_async", lambda self, args, countdown=0.0: rings.append(clock[0] + countdown))
    monkeypatch.setattr(doorbell.time, "monotonic", lambda: clock[0])
    bell = doorbell.Doorbell(note, quiet_seconds=0.2)
    rows = [100.0, 100.01, 100.05, 100.19, 100.3, 100.31, 105.0]
    for moment in rows:
        clock[0] = moment
        bell.ring()
    assert rings == pytest.approx([100.0, 100.21, 100.3, 100.51, 105.0])
    assert all(any(moment <= ring <= moment + 0.2 for ring in rings) for moment in rows)  # nobody waits for the sweep


def test_a_message_whose_connection_is_closed_is_let_go() -> None:
    """What a worker does whose task ends after the broker has gone: no error, and the next message is taken as ever."""
    home = Path(tempfile.mkdtemp(prefix="ack-"))  # a socket's path is short
    server = Valkey(home)
    server.attach()
    try:
        with Connection(server.url) as sender:
            sender.SimpleQueue("ack").put({"number": 1})
            sender.SimpleQueue("ack").put({"number": 2})
        lost = Connection(server.url)
        message = lost.SimpleQueue("ack").get(timeout=10)
        message.channel.close()
        message.ack()
        with Connection(server.url) as again:
            other = again.SimpleQueue("ack").get(timeout=10)
            assert other.payload == {"number": 2}
            other.ack()
    finally:
        server.release()
        shutil.rmtree(home)
