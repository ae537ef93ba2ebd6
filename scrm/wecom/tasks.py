"""Celery tasks of the inbox and the outbox: doorbells over rows that PostgreSQL already holds.

What welcomes take goes through a queue of its own (settings.CELERY_TASK_ROUTES), whose worker does nothing else.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from scrm import celery
from scrm.wecom import diagnosis, inbox, outbox

SOON = dt.timedelta(minutes=1)  # later than this the sweep is in time


@shared_task
def process_welcomes() -> None:
    """The fast lane: however long the other one is, a welcome code lives for 20 seconds."""
    inbox.process(now=timezone.now(), lane=inbox.Lane.WELCOME)


@shared_task
def process_events() -> None:
    inbox.process(now=timezone.now())


@shared_task
def sweep_inbox() -> None:
    inbox.sweep(now=timezone.now())


@shared_task
def send_welcomes() -> None:
    _send(outbox.Lane.WELCOME)


@shared_task
def send_messages() -> None:
    _send(outbox.Lane.NORMAL)


@shared_task
def sweep_outbox() -> None:
    outbox.sweep(now=timezone.now())


@shared_task
def forget_wecom() -> None:
    """Events that were understood and messages that were answered long ago."""
    now = timezone.now()
    inbox.forget(now=now, days=settings.WECOM_KEPT_DAYS)
    outbox.forget(now=now, days=settings.WECOM_KEPT_DAYS)


@shared_task
def check_corps() -> None:
    """The self-check of each corp, once a day."""
    diagnosis.start_daily(now=timezone.now())


_bells = {
    outbox.Lane.WELCOME: celery.Doorbell(send_welcomes),
    outbox.Lane.NORMAL: celery.Doorbell(send_messages),
}
_asked: dict[str, dt.datetime] = {}  # when this process asked to be rung again


def ring_outbox(lane: str) -> None:
    """Called when a message is committed."""
    _bells[outbox.Lane(lane)].ring()


def ring_outbox_sweep() -> None:
    celery.ring(sweep_outbox)


def _send(lane: str) -> None:
    sent = outbox.send_due(now=timezone.now(), lane=lane)
    now, due_at = timezone.now(), sent.next_at
    if due_at is None or due_at > now + SOON:
        return
    asked = _asked.get(lane)
    if asked is None or not now < asked <= due_at + dt.timedelta(seconds=1):
        _asked[lane] = due_at
        bell: Any = send_welcomes if lane == outbox.Lane.WELCOME else send_messages
        celery.ring_after(bell, max(0.0, (due_at - now).total_seconds()))
