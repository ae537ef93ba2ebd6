"""Celery: the doorbell. PostgreSQL holds what is to be done; a lost message is made good by the sweep."""

from __future__ import annotations

import os
from typing import Any

import structlog
from celery import Celery, Task
from celery.signals import setup_logging
from django.db import transaction

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scrm.settings")

app = Celery("scrm")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

log = structlog.get_logger(__name__)


@setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """A receiver here keeps Celery from replacing the handlers that settings.LOGGING installed."""


def ring(task: Task, *args: Any) -> None:
    """Wake a worker after the commit. A broker that is away costs latency, never the work."""
    transaction.on_commit(lambda: _send(task, args))


def _send(task: Task, args: tuple[Any, ...]) -> None:
    try:
        task.apply_async(args)
    except app.connection_for_write().connection_errors + (task.OperationalError,) as error:
        log.warning("broker_unreachable", task=task.name, error=str(error))
