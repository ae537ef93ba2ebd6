"""Jobs (任务): long work with progress that survives a kill.

1. A kind of job is a function registered under a name; it may be run again at any time and then ends in the same rows.
2. PostgreSQL is the truth: a job is a row; the broker only rings, and ``sweep`` starts what nobody rang for and what
   has lost its worker.
3. One process works on a job at a time: it holds an advisory lock, which ends with its connection, however it dies.
4. Progress is written at most twice a second and between the job's own transactions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from scrm import audit, db
from scrm.models import Job, Upload

HEARTBEAT_SECONDS = 0.5

Work = Callable[["Progress"], dict[str, Any]]
_kinds: dict[str, Work] = {}


class Cancelled(Exception):
    """Somebody cancelled the job; what is committed stays."""


def register(kind: str, work: Work) -> None:
    """Called from ``AppConfig.ready``; ``work(progress)`` returns the summary (JSON values)."""
    _kinds[kind] = work


@dataclass
class Progress:
    """Handed to the work: says how far it is, and learns of a cancellation."""

    job: Job
    show: Callable[[str, int, int | None], None] | None = None  # a progress bar on a terminal
    _written_at: float = field(default=0.0, init=False)

    def stage(self, name: str, total: int | None = None) -> None:
        self.job.stage, self.job.total_count, self.job.done_count = name, total, 0
        self._write()

    def done(self, count: int) -> None:
        """Absolute count within the stage; call between transactions."""
        self.job.done_count = count
        if self.show:
            self.show(self.job.stage, count, self.job.total_count)
        if time.monotonic() - self._written_at >= HEARTBEAT_SECONDS:
            self._write()

    def _write(self) -> None:
        self._written_at = time.monotonic()
        if self.show:
            self.show(self.job.stage, self.job.done_count, self.job.total_count)
        updated = Job.objects.filter(pk=self.job.pk, status=Job.Status.RUNNING).update(
            stage=self.job.stage,
            total_count=self.job.total_count,
            done_count=self.job.done_count,
            heartbeat_at=timezone.now(),
        )
        if not updated:
            raise Cancelled


def enqueue(
    kind: str, *, actor: Any, params: dict[str, Any] | None = None, upload: Upload | None = None, key: str | None = None
) -> Job:
    """A job to be run by a worker soon. The same ``key`` returns the job that exists."""
    if kind not in _kinds:
        raise LookupError(f"no job kind {kind!r}")
    with transaction.atomic():
        if key is None:
            job, is_new = Job.objects.create(kind=kind, params=params or {}, upload=upload, requested_by=actor), True
        else:
            job, is_new = Job.objects.get_or_create(
                key=key, defaults={"kind": kind, "params": params or {}, "upload": upload, "requested_by": actor}
            )
        if is_new:
            audit.record(actor=actor, verb="job.enqueue", target=job, kind=kind)
            transaction.on_commit(lambda: _ring(job.pk))
    return job


def run(job_id: int, *, show: Callable[[str, int, int | None], None] | None = None) -> Job:
    """Do the work of a job here and now, unless another process is on it; errors end up on the row and are raised."""
    with db.advisory_lock(f"job {job_id}") as is_ours:
        job = Job.objects.get(pk=job_id)
        if not is_ours or job.status not in (Job.Status.QUEUED, Job.Status.RUNNING):
            return job
        now = timezone.now()
        job.status, job.started_at, job.heartbeat_at = Job.Status.RUNNING, job.started_at or now, now
        job.save(update_fields=["status", "started_at", "heartbeat_at"])
        try:
            summary = _kinds[job.kind](Progress(job, show))
        except Cancelled:
            return Job.objects.get(pk=job_id)
        except BaseException as error:
            # the message of an exception may quote a row, and rows hold personal data: keep the kind of error only
            code = getattr(error, "code", None)
            text = getattr(error, "message", None) if code else type(error).__name__
            _end(job, Job.Status.FAILED, error=str(text))
            raise
        _end(job, Job.Status.DONE, summary=summary)
    return job


def cancel(*, job: Job, actor: Any) -> bool:
    """Stop a job at its next progress report; False when it had already ended."""
    with transaction.atomic():
        updated = Job.objects.filter(pk=job.pk, status__in=[Job.Status.QUEUED, Job.Status.RUNNING]).update(
            status=Job.Status.CANCELLED, ended_at=timezone.now()
        )
        if updated:
            audit.record(actor=actor, verb="job.cancel", target=job)
    return bool(updated)


def sweep(*, limit: int = 20) -> list[int]:
    """Ring again for every open job that no process holds; called each minute."""
    open_ids = Job.objects.filter(status__in=[Job.Status.QUEUED, Job.Status.RUNNING]).order_by("pk")
    ids = list(open_ids.values_list("pk", flat=True)[:limit])
    for job_id in ids:
        _ring(job_id)
    return ids


def _end(job: Job, status: str, *, summary: dict[str, Any] | None = None, error: str = "") -> None:
    if connection.errors_occurred and not connection.is_usable():
        connection.close()  # the work may have died of a lost connection; a healthy one holds the job's lock
    job.status, job.summary, job.error, job.ended_at = status, summary or {}, error, timezone.now()
    Job.objects.filter(pk=job.pk, status=Job.Status.RUNNING).update(
        status=status, summary=job.summary, error=error, ended_at=job.ended_at, done_count=job.done_count
    )


def _ring(job_id: int) -> None:
    from scrm import tasks  # tasks imports this module

    tasks.ring(tasks.run_job, job_id)
