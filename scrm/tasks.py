"""Celery tasks of the kernel: doorbells over rows that PostgreSQL already holds."""

from __future__ import annotations

from typing import Any

import structlog
from celery import shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from scrm import jobs, uploads
from scrm.api import authentication, idempotency

log = structlog.get_logger(__name__)


def ring(task: Any, *args: Any) -> None:
    """Ask a worker to look now. A broker that is away costs a minute, not the work: the sweep finds the row."""
    try:
        task.apply_async(args=args, retry=False)
    except (OperationalError, OSError) as error:
        log.warning("broker_away", task=task.name, error=type(error).__name__)


@shared_task
def run_job(job_id: int) -> None:
    jobs.run(job_id)


@shared_task
def sweep_jobs() -> None:
    jobs.sweep()


@shared_task
def delete_expired_uploads() -> None:
    uploads.delete_expired(now=timezone.now())


@shared_task
def forget_api_leftovers() -> None:
    """Answers that are no longer replayed, and tokens that have expired."""
    now = timezone.now()
    idempotency.forget_old(now)
    authentication.forget_expired(now)
