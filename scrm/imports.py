"""File imports (导入): one frame for every list that a company hands in.

1. An import is a job of its own kind, started from a file on the server or from an upload; it may be killed at any point
   and run again, and then ends in the same rows.
2. It reads the file into staging, checks every row by SQL, and only then writes. A dry run stops after the check.
3. A broken row is kept with the job: line, column, code, never the cell. It does not stop the good ones.
4. The summary counts rows read, good and broken ones by code, and what each import adds to it.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext as _

from scrm import audit, copyin, jobs
from scrm.copyin import Column, FileRefused
from scrm.copyin.rules import Check
from scrm.models import Job, JobProblem

PROGRESS_PARTS = 10_000  # reading is shown as a share of the file
# signs that make a spreadsheet run a cell; a number with a sign stays as it is
_FORMULA = re.compile(r"\s*(?:[=@\t\r＝＠]|[+\-＋－](?![\d\s\-().,]*$))")
_columns: dict[str, tuple[Column, ...]] = {}


@dataclass(frozen=True)
class Checked:
    """The staged rows with typed values and a verdict: a table with ``line_no``, the columns and ``problem``."""

    table: str
    rows: int
    good: int
    problems: dict[str, int]


@dataclass
class Run:
    """One run of an import over one file."""

    progress: jobs.Progress
    layout: copyin.Layout
    staged: copyin.Staged

    @property
    def job(self) -> Job:
        return self.progress.job

    @property
    def is_dry(self) -> bool:
        return bool(self.job.params.get("dry_run"))

    def check(self, checks: Sequence[Check] = (), *, joins: str = "", values: str = "") -> Checked:
        """Judge every row: what the columns say about themselves, and ``checks`` of the import.

        ``t`` is the typed row in ``joins``, ``values`` (further columns, comma-separated) and conditions. The problems are
        kept with the job.
        """
        self.progress.stage("check", self.staged.row_count)
        name = _checked_name(self.job)
        table = copyin.table_name(name)
        verdict = copyin.rules.first_problem(self.layout, [*copyin.rules.checks(self.layout), *checks])
        copyin.drop(name)
        # The union keeps the planner from writing a value's expression wherever the value is used, so that each is worked
        # out once. OFFSET 0 would do the same, but bars everything above it from running in parallel.
        own = "s.line_no, s.broken, s.row_hash" + (", s.digest" if self.staged.has_digests else "")
        typed = f"""SELECT {own}, {copyin.rules.select_list(self.layout)}
                    FROM {self.staged.table} s"""
        with connection.cursor() as cursor:
            cursor.execute(f"""
                CREATE UNLOGGED TABLE {table} WITH (autovacuum_enabled = off) AS
                SELECT t.*, {values + "," if values else ""}
                       CASE WHEN t.broken IS NOT NULL THEN ':' || t.broken ELSE {verdict} END AS problem
                FROM ({typed} UNION ALL {typed} WHERE false) t {joins}
            """)
            cursor.execute(f"CREATE INDEX ON {table} (line_no)")
            cursor.execute(f"ANALYZE {table}")
            cursor.execute(f"""
                INSERT INTO scrm_jobproblem (job_id, line_no, "column", code)
                SELECT %s, line_no, split_part(problem, ':', 1), split_part(problem, ':', 2)
                FROM {table} WHERE problem IS NOT NULL ON CONFLICT DO NOTHING
            """, [self.job.pk])  # fmt: skip
        problems = count_problems(self.job)
        self.progress.done(self.staged.row_count)
        return Checked(table, self.staged.row_count, self.staged.row_count - sum(problems.values()), problems)

    def ranges(self, checked: Checked, size: int) -> Iterator[tuple[int, int]]:
        """Ranges (after, up to and including) of line numbers that hold ``size`` good rows each."""
        after = -1
        while True:
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT max(line_no) FROM (SELECT line_no FROM {checked.table}"
                    " WHERE problem IS NULL AND line_no > %s ORDER BY line_no LIMIT %s) c",
                    [after, size],
                )
                last = cursor.fetchone()[0]
            if last is None:
                return
            yield after, last
            after = last

    def report(self, problems: Iterable[tuple[int, str, str]]) -> None:
        """Rows that only writing could judge: (line, column, code). The first problem of a row stays."""
        JobProblem.objects.bulk_create(
            (JobProblem(job=self.job, line_no=line, column=column, code=code) for line, column, code in problems),
            batch_size=5_000,
            ignore_conflicts=True,
        )

    def summary(self, checked: Checked, **figures: Any) -> dict[str, Any]:
        """The job's summary, with the problems as they stand at the end."""
        problems = count_problems(self.job)
        bad = sum(problems.values())
        return {
            "dry_run": self.is_dry,
            "rows": checked.rows,
            "good": checked.rows - bad,
            "bad": bad,
            "problems": problems,
            "ignored_columns": self.layout.ignored,
            **figures,
        }


@contextmanager
def opened(
    progress: jobs.Progress,
    columns: Sequence[Column],
    *,
    settling: Callable[[copyin.Layout], AbstractContextManager[copyin.Settle]] | None = None,
) -> Iterator[Run]:
    """The job's file in staging. FileRefused says what is wrong with the file as a whole and what helps.

    ``settling`` makes what leaves out rows that need not be looked at again.
    """
    job, params = progress.job, progress.job.params
    table = copyin.open_table(_source(job), columns, encoding=params.get("encoding"))
    layout = copyin.apply_mapping(table.header, columns, params.get("mapping") or {})
    name = f"job_{job.pk}"
    JobProblem.objects.filter(job=job).delete()  # of a run that was killed
    try:
        progress.stage("read", PROGRESS_PARTS)
        show = lambda _rows, share: progress.done(round(share * PROGRESS_PARTS))  # noqa: E731
        with settling(layout) if settling else nullcontext() as settle:
            staged = copyin.stage(table, layout, name=name, progress=show, settle=settle)
        yield Run(progress, layout, staged)
    finally:
        if not connection.needs_rollback:
            copyin.drop(name)
            copyin.drop(_checked_name(job))


def register(kind: str, columns: Sequence[Column], work: jobs.Work) -> None:
    """A kind of import: its job, and its columns for previews and error files. Called from ``AppConfig.ready``."""
    _columns[kind] = tuple(columns)
    jobs.register(kind, work)


def kinds() -> list[str]:
    """The kinds of import that are installed."""
    return list(_columns)


def columns_of(kind: str) -> tuple[Column, ...]:
    return _columns[kind]


def start(*, kind: str, path: str, options: dict[str, Any], actor: Any = None) -> Job:
    """The job of a file at the command line; the caller runs it at once, the sweep resumes it if the caller is killed."""
    with transaction.atomic():
        params = {"path": str(Path(path).resolve()), **options}
        job = Job.objects.create(kind=kind, params=params, requested_by=actor, status=Job.Status.RUNNING)
        audit.record(actor=actor, verb="job.start", target=job, kind=kind, file=Path(path).name)
    return job


def count_problems(job: Job) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT code, count(*) FROM scrm_jobproblem WHERE job_id = %s GROUP BY 1 ORDER BY 1", [job.pk])
        return dict(cursor.fetchall())


def first_problems(job: Job, limit: int = 20) -> list[JobProblem]:
    return list(JobProblem.objects.filter(job=job).order_by("line_no", "pk")[:limit])


def reason(code: str) -> str:
    """What a person should do about a broken row."""
    return copyin.problems.message(code)


def write_errors(job: Job, path: Path) -> int:
    """The broken rows as a CSV that can be corrected and imported again: line, column, code, reason, then the cells.

    It holds personal data in plain, so only its owner may read it. A cell that a spreadsheet would run as a formula gets
    an apostrophe in front.
    """
    columns = _columns[job.kind]
    table = copyin.open_table(_source(job), columns, encoding=job.params.get("encoding"))
    titles = copyin.apply_mapping(table.header, columns, job.params.get("mapping") or {}).mapping
    problems = JobProblem.objects.filter(job=job).order_by("line_no").iterator(chunk_size=5_000)
    waiting = next(problems, None)
    count = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*copyin.REPORT_HEADERS, *table.header])
        for batch in table.batches():
            cells = dict(zip(batch.lines, batch.rows, strict=True))
            last = max([*batch.lines[-1:], *(line for line, _code in batch.broken)], default=-1)
            while waiting is not None and waiting.line_no <= last:
                title = titles.get(waiting.column, waiting.column)
                row = [_harmless(cell) for cell in cells.get(waiting.line_no, [])]
                writer.writerow([waiting.line_no, title, waiting.code, reason(waiting.code), *row])
                count += 1
                waiting = next(problems, None)
    return count


def _harmless(cell: str) -> str:
    return "'" + cell if _FORMULA.match(cell) else cell


def _source(job: Job) -> copyin.Source:
    if job.upload is not None:
        path = Path(settings.SCRM_VAR) / "uploads" / job.upload.path
        return copyin.from_sealed(path, job.upload.name, job.upload.size)
    path = Path(job.params["path"])
    if not path.is_file():
        raise FileRefused(_("There is no file %(path)s.") % {"path": path}, code="no_file")
    return copyin.from_path(path)


def _checked_name(job: Job) -> str:
    return f"job_{job.pk}_checked"
