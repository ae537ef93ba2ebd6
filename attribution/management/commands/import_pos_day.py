"""``import_pos_day STORE DAY FILE``: a till's day file; the whole truth of that store and day."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from attribution.channels import pos_day
from attribution.models import PosDay
from scrm import imports, jobs, uploads
from scrm.copyin import FileRefused
from scrm.errors import RuleViolation
from scrm.models import Job, Store

CHUNK_BYTES = 1 << 20


class Command(BaseCommand):
    help = "Take a till's day file: receipts of one store and business day with a line of totals; sent again it replaces the day."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", help="code of the store")
        parser.add_argument("day", type=dt.date.fromisoformat, help="business day, 2026-01-31")
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--accept-bad", type=int, default=0, metavar="COUNT", help="take it without exactly so many broken rows"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        store, now = Store.objects.filter(code=options["store"]).first(), timezone.now()
        if store is None:
            raise CommandError(f"no store {options['store']}")
        try:
            with options["file"].open("rb") as file:
                chunks = iter(lambda: file.read(CHUNK_BYTES), b"")
                upload = uploads.store(
                    actor=None, purpose=pos_day.KIND, name=options["file"].name, chunks=chunks, now=now
                )
            row = pos_day.take(actor=None, store=store, day=options["day"], upload=upload, now=now)
            job = self._run(row)
            if job.summary.get("bad") and job.summary["bad"] == options["accept_bad"]:
                row.refresh_from_db()
                pos_day.accept_bad(actor=None, row=row, count=options["accept_bad"], reason="--accept-bad")
                row.refresh_from_db()
                job = self._run(row)
        except (RuleViolation, FileRefused) as refusal:
            raise CommandError(str(getattr(refusal, "message", refusal))) from None
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror}") from None
        for name, value in job.summary.items():
            self.stdout.write(f"{name}: {value}")
        if not job.summary.get("in_force"):
            for problem in imports.first_problems(job, 20):
                self.stderr.write(str(problem))
            raise CommandError(f"{job.summary['bad']} broken rows: nothing was taken")

    def _run(self, row: PosDay) -> Job:
        assert row.job is not None
        job = jobs.run(row.job.pk)
        if job.status != Job.Status.DONE:
            raise CommandError(job.error)
        return job
