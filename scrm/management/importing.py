"""What the import commands share: arguments, a progress bar, a summary, an exit code."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from scrm import imports, jobs
from scrm.errors import RuleViolation
from scrm.models import Job

BAR_WIDTH = 30


class Bar:
    """Progress on a terminal: one line that is drawn over; on a pipe one line per stage."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._live = stream, stream.isatty()
        self._stage, self._started = "", time.monotonic()

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        if stage != self._stage:
            self._end_stage()
            self._stage, self._started = stage, time.monotonic()
        if not self._live:
            return
        seconds = time.monotonic() - self._started
        if total:
            filled = min(BAR_WIDTH, BAR_WIDTH * done // total)
            shown = f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {min(100, 100 * done // total):3d}%"
        else:
            shown = f"{done:,}"
        self._stream.write(f"\r{stage:<8} {shown} {seconds:6.1f} s")
        self._stream.flush()

    def close(self) -> None:
        self._end_stage()

    def _end_stage(self) -> None:
        if self._stage:
            start = "\n" if self._live else f"{self._stage:<8} {time.monotonic() - self._started:6.1f} s\n"
            self._stream.write(start)
            self._stream.flush()
        self._stage = ""


class ImportCommand(BaseCommand):
    """Exit code 0: the file was taken (broken rows are in the summary and in --errors); 1: it was refused as a whole."""

    kind: str

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file")
        parser.add_argument("--dry-run", action="store_true", help="read and check, write nothing")
        parser.add_argument("--encoding", help="UTF-8, GB18030 …; found out by default")
        parser.add_argument("--mapping", help="JSON file {column: title in the file}")
        parser.add_argument("--json", action="store_true", help="print the summary as JSON")
        parser.add_argument(
            "--errors", help="write the broken rows with line, column, code and reason to this CSV file"
        )

    def options_of_job(self, options: dict[str, Any]) -> dict[str, Any]:
        mapping = json.loads(Path(options["mapping"]).read_text("utf-8")) if options["mapping"] else {}
        return {"dry_run": options["dry_run"], "encoding": options["encoding"], "mapping": mapping}

    def summary_of(self, job: Job) -> dict[str, Any]:
        """What --json prints."""
        return job.summary

    def handle(self, *args: Any, **options: Any) -> None:
        bar = Bar(sys.stderr)
        try:
            job = imports.start(kind=self.kind, path=options["file"], options=self.options_of_job(options))
            job = jobs.run(job.pk, show=bar)
        except RuleViolation as error:
            raise CommandError(error.message) from error
        finally:
            bar.close()
        if job.status != Job.Status.DONE:
            raise CommandError(_("The job %(job)s has ended as %(status)s.") % {"job": job.pk, "status": job.status})
        if options["errors"]:
            imports.write_errors(job, Path(options["errors"]))
        if options["json"]:
            self.stdout.write(json.dumps(self.summary_of(job), ensure_ascii=False, indent=1))
        else:
            self._tell(job)

    def _tell(self, job: Job) -> None:
        for name, value in job.summary.items():
            if value not in ([], {}, None):
                self.stdout.write(f"{name}: {json.dumps(value, ensure_ascii=False)}")
        for problem in imports.first_problems(job):
            text = _("line %(line)d, %(column)s: %(reason)s (%(code)s)")
            reason = imports.reason(problem.code)
            self.stdout.write(
                text % {"line": problem.line_no, "column": problem.column, "reason": reason, "code": problem.code}
            )
