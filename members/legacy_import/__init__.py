"""The import of a company's member list (会员导入).

1. A row names a person by card (会员卡号), by mobile number, or by both; without either it is broken. It is matched by its
   card first, then by its number. A card and a number that mean two members are a conflict: the row is rejected.
2. Several rows of one person are folded first: of each cell the last filled one counts, the earliest registration stays,
   points are not added up, tags add up. So the same list twice changes nothing and says so.
3. An empty cell never erases. Nothing unknown is guessed: an unknown store or tier breaks the row.
4. Points are an opening entry (积分期初) once per card; a later list never changes it. A row without a card opens points
   only for a member who has no opening yet.
5. A byte-identical repeat of a good row is counted apart and not reported as broken. It is folded like any other row.
6. Columns that belong to other topics (专属导购) come through ``add_column`` with their own check and writing.
7. Who becomes known by a list gets the purchases that were recorded without her (``purchases.recognise_buyers``).
8. A row that an earlier list has brought and that nobody has changed since is left out (``unchanged``).
9. The whole list is staged and checked before anything is written; then it is written in transactions of whole persons.
   Killed at any point and run again, it ends in the same rows.
"""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, OperationalError, connection

from members import purchases
from members.legacy_import import merge, persons, unchanged
from members.legacy_import.columns import (
    COLUMNS,
    KIND,
    Chunk,
    ExtraColumn,
    add_column,
    checks,
    columns,
    extras,
    register,
)
from members.legacy_import.merge import CHUNK_ROWS
from members.legacy_import.persons import PARTS, REPEAT, Tables
from scrm import imports, jobs
from scrm.models import Brand, JobProblem

__all__ = [
    "CHUNK_ROWS", "COLUMNS", "DIRTY_CODES", "KIND", "Chunk", "ExtraColumn", "add_column", "columns", "dirty_rows", "register", "run",
]  # fmt: skip

# always in the short summary, even when there are none
DIRTY_CODES = ("bad_mobile", "bad_birthday", "unknown_store", "missing_card_and_mobile", REPEAT, "bad_points")
ATTEMPTS = 3  # when members register or log in with the same numbers while the list is being written


def run(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``import_members``: parameters ``dry_run``, ``create_tiers``, ``mapping``, ``encoding``."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with merge.bulk_session():
                return _run_once(progress)
        except (IntegrityError, OperationalError):
            # another transaction linked one of these identities, or locked crosswise: match anew, written rows are known
            if attempt == ATTEMPTS or connection.in_atomic_block:
                raise
    raise AssertionError


def dirty_rows(summary: dict[str, Any]) -> dict[str, int]:
    """The short summary: broken rows by code, and the exact repeats."""
    return dict.fromkeys(DIRTY_CODES, 0) | summary["problems"] | {REPEAT: summary[REPEAT]}


def _run_once(progress: jobs.Progress) -> dict[str, Any]:
    summary = _read_and_merge(progress, look=True) or _read_and_merge(progress, look=False)
    assert summary is not None  # nothing was left out the second time
    return summary


def _read_and_merge(progress: jobs.Progress, *, look: bool) -> dict[str, Any] | None:
    """The summary; None when rows were left out that must be looked at after all. ``look``: whether any may be."""
    brand = Brand.objects.earliest("pk")
    job = progress.job
    JobProblem.objects.filter(job=job).delete()  # of a run that was killed
    settled = unchanged.prepare(Tables(job.pk, ""))
    with imports.opened(
        progress, columns(), settling=lambda layout: unchanged.Unchanged(layout, brand, settled, look=look)
    ) as run:
        may_create_tiers = bool(job.params.get("create_tiers"))
        checked = run.check(
            checks(run.layout, create_tiers=may_create_tiers), joins=persons.joins(brand), values=persons.values()
        )
        tables = Tables(job.pk, checked.table)
        try:
            if run.staged.settled_count and unchanged.is_touched(tables):
                return None
            return _merge(run, checked, tables, brand)
        finally:
            if not connection.needs_rollback:
                tables.drop(*PARTS)


def _merge(run: imports.Run, checked: imports.Checked, tables: Tables, brand: Brand) -> dict[str, Any]:
    run.progress.stage("match", checked.rows)
    persons.resolve(tables)
    repeats = _report_conflicts(run, tables)
    persons.fold(tables, brand)
    persons.split_tags(tables)
    total = persons.collect(tables, chunk_rows=merge.CHUNK_ROWS, is_settled=unchanged.is_settled())
    counts = _planned(tables, is_dry=run.is_dry)
    left_out, repeated = unchanged.count(tables)
    counts["unchanged"] += left_out
    repeats += repeated
    if run.is_dry:
        return run.summary(checked, **{REPEAT: repeats}, **counts)
    if run.job.params.get("create_tiers"):
        counts["tiers_created"] = merge.create_tiers(tables, brand)
    merge.create_tags(tables, brand)
    missing_tags = merge.find_missing_tags(tables, brand)
    run.progress.stage("write", total + missing_tags)
    written = merge.write_persons(tables, brand=brand, total=total, progress=run.progress.done)
    written["tags_added"] = written.get("tags_added", 0) + merge.write_missing_tags(
        tables, total=missing_tags, progress=lambda done: run.progress.done(total + done)
    )
    for name, count in written.items():
        counts[name] = counts.get(name, 0) + count if name in _kept_names() else count
    unchanged.remember_known(tables, brand)
    run.progress.stage("recognise")
    counts["lines_recognised"] = purchases.recognise_buyers(since=run.job.started_at or run.job.created_at)
    counts["is_unchanged"] = not (total or missing_tags)
    return run.summary(checked, **{REPEAT: repeats}, **counts)


def _report_conflicts(run: imports.Run, tables: Tables) -> int:
    """Rows that only the order of the file could judge become problems; returns the number of exact repeats."""
    with connection.cursor() as cursor:
        cursor.execute(
            'INSERT INTO scrm_jobproblem (job_id, line_no, "column", code)'
            f" SELECT %s, line_no, 'mobile', verdict FROM {tables.of('resolved')} WHERE verdict = %s ON CONFLICT DO NOTHING",
            [run.job.pk, persons.CONFLICT],
        )
        cursor.execute(f"SELECT count(*) FROM {tables.of('resolved')} WHERE verdict = %s", [REPEAT])
        return int(cursor.fetchone()[0])


def _planned(tables: Tables, *, is_dry: bool) -> dict[str, Any]:
    """Who would be created and who changed, for the preview; and what the extra columns count without writing."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE known_id IS NULL), count(*) FILTER (WHERE known_id IS NOT NULL)"
            f" FROM {tables.of('persons')}"
        )
        created, updated = cursor.fetchone()
        cursor.execute(f"""
            SELECT (SELECT count(*) FROM {tables.checked} t WHERE problem IS NULL AND NOT EXISTS
                    (SELECT 1 FROM {tables.of("entangled")} e WHERE e.line_no = t.line_no))
                 + (SELECT count(*) FROM {tables.of("folded")})
        """)  # fmt: skip
        everybody = cursor.fetchone()[0]
        counts = {"created": created, "updated": updated, "unchanged": everybody - created - updated}
        for extra in extras():
            for name, condition in extra.counts.items():
                # those who also bring news are counted when they are written
                without = condition if is_dry else f"{condition} AND NOT COALESCE(has_news, false)"
                cursor.execute(f"""
                    SELECT (SELECT count(*) FROM {tables.checked} t WHERE problem IS NULL AND {without} AND NOT EXISTS
                            (SELECT 1 FROM {tables.of("entangled")} e WHERE e.line_no = t.line_no))
                         + (SELECT count(*) FROM {tables.of("folded")} WHERE {without})
                """)  # fmt: skip
                counts[name] = cursor.fetchone()[0]
    return counts


def _kept_names() -> set[str]:
    return {name for extra in extras() for name in extra.counts}
