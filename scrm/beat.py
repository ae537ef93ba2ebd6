"""One beat at a time: a second one waits behind an advisory lock until the first is gone."""

from __future__ import annotations

import time
from typing import Any

import structlog
from django.db import connection
from django_celery_beat.schedulers import DatabaseScheduler

from scrm import schedule

LOCK = "SELECT pg_try_advisory_lock(hashtextextended('beat', 0))"
RETRY_SECONDS = 5

log = structlog.get_logger(__name__)


class SingleScheduler(DatabaseScheduler):
    """Entries come from schedule.py; a changed time is copied into the table, a switched-off entry stays off."""

    def setup_schedule(self) -> None:
        wait_for_turn()
        super().setup_schedule()
        self.update_from_dict(schedule.ENTRIES)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        if not holds_turn():
            wait_for_turn()
        return super().tick(*args, **kwargs)


def wait_for_turn() -> None:
    told = False
    while not _take_turn():
        if not told:
            log.info("beat_waits_for_another_beat")
            told = True
        time.sleep(RETRY_SECONDS)


def holds_turn() -> bool:
    """The lock lives with the session, which a broken connection ends."""
    return getattr(connection.connection, "beat_turn", False) and not connection.connection.closed


def _take_turn() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(LOCK)
        if cursor.fetchone()[0]:
            connection.connection.beat_turn = True  # marks this very session
            return True
    return False
