"""Celery: the doorbell. PostgreSQL holds what is to be done; a lost message is made good by the sweep."""

from __future__ import annotations

import os
import threading
import time
import warnings
from typing import Any

import structlog
from celery import Celery, Task
from celery.platforms import SecurityWarning
from celery.signals import beat_init, setup_logging, worker_init
from django.db import transaction
from django_structlog.celery.steps import DjangoStructLogInitStep
from kombu.exceptions import OperationalError
from kombu.transport import redis

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scrm.settings")

app = Celery("scrm")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(["scrm.wecom"])  # a package below an app
app.steps["worker"].add(DjangoStructLogInitStep)


class Acknowledging(redis.QoS):
    """A task that ends when the connection its message came by is closed already: the worker would die of saying so."""

    def ack(self, delivery_tag: str) -> None:
        if self.channel.connection is not None:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        if self.channel.connection is not None:
            super().reject(delivery_tag, requeue=requeue)


# A worker that has lost its broker would give its messages back over the connection that is gone, and die of it. None has to
# go back, and none has to be acknowledged: what a message stands for waits in PostgreSQL, and the sweep rings again.
redis.Channel.do_restore = False
redis.Channel.QoS = Acknowledging

# root tries the product out in a container; the production image has a user of its own
warnings.filterwarnings("ignore", category=SecurityWarning)

log = structlog.get_logger(__name__)


SILENCE_SECONDS = (
    10  # after a failed ring: connecting takes seconds, and a busy web process must not pay them each time
)
_silent_until = 0.0


def ring(task: Task, *args: Any) -> None:
    """Wake a worker after the commit. A broker that is away costs latency, never the work."""
    transaction.on_commit(lambda: _send(task, args))


def ring_after(task: Task, seconds: float) -> None:
    """Wake a worker in ``seconds``, which are few: what is due later is a row that a sweep looks for."""
    _send(task, (), seconds)


class Doorbell:
    """For a task that takes everything that waits: however many rows come, it is rung at most twice in ``quiet_seconds``.

    The first row rings at once, the next one asks for a ring when the quiet time is over, which then finds the others too.
    A ring costs a busy web process more than storing the row does.
    """

    def __init__(self, task: Task, quiet_seconds: float = 0.2) -> None:
        self._task, self._seconds = task, quiet_seconds
        self._quiet_until, self._is_asked = 0.0, False
        self._lock = threading.Lock()

    def ring(self) -> None:
        """Called when the row is committed."""
        now = time.monotonic()
        with self._lock:
            is_first = now >= self._quiet_until
            if not is_first and self._is_asked:
                return
            if is_first:
                self._quiet_until = now + self._seconds
            self._is_asked = not is_first
        _send(self._task, (), 0 if is_first else self._seconds)


def _send(task: Task, args: tuple[Any, ...], after_seconds: float = 0) -> None:
    global _silent_until
    if time.monotonic() < _silent_until:
        return
    try:
        if after_seconds:
            task.apply_async(args, countdown=after_seconds)
        else:
            task.apply_async(args)
    except OperationalError as error:
        _silent_until = time.monotonic() + SILENCE_SECONDS
        log.warning("broker_unreachable", task=task.name, error=str(error))


@setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """A receiver here keeps Celery from replacing the handlers that settings.LOGGING installed."""


@worker_init.connect
@beat_init.connect
def _refuse_without_keys(**_: Any) -> None:
    from scrm.checks import require_keys_of_data

    require_keys_of_data()
