"""The sweep of contacts on a million friendships, against a WeCom on this machine, beside a COPY of the same final rows.

Cases, each a job in a process of its own, while WeCom is another:

- ``paced``: into empty tables, no faster than WeCom allows (40 calls a second).
- ``raised``: the same with the pace raised, to see what our side can do. Its floor is the COPY of exactly the rows that it
  has written, with all indexes, constraints and triggers in place; nothing is asked, parsed, compared or linked there.
- ``unchanged``: once more; nothing is written.
- ``killed``: into empty tables, killed with SIGKILL half-way and run again; the rows must be those of ``raised``.

The least number of calls is the list of accounts and a call for each hundred friends. Half of the contacts are members.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Sum

from guides.bench import tables, wecom
from guides.contacts import sweeps
from guides.models import ContactSweep, SweepBatch
from members.purchases.buyers import BRAND
from scrm import bench
from scrm.models import Brand, Corp, Job, WecomPace
from scrm.owner import as_owner
from scrm.wecom import corps, customers

FRIENDS_EACH = 350
RAISED = 1_000_000.0  # calls a second: no pace at all
TABLES = ("guides_contact", "guides_friendship", "guides_friendnews", "members_identity")
COUNTED = ("externalcontact/get_follow_user_list", "externalcontact/batch/get_by_user")
LOOK_SECONDS = 0.05

Say = Callable[[str], None]


def contact_sync(*, rows: int, say: Say) -> dict[str, Any]:
    _make_members(rows, say)
    kept = tables.highest_ids(TABLES)
    with _wecom(rows, say) as box, tempfile.TemporaryDirectory() as name:
        corp = box.corp()
        cases: dict[str, Any] = {"paced": _case("paced", box, corp, rows, 0, say)}
        _empty(kept)
        cases["raised"] = _case("raised", box, corp, rows, RAISED, say)
        written = _digest()
        tables.vacuum(TABLES)
        cases["unchanged"] = _case("unchanged", box, corp, rows, RAISED, say)
        assert _digest() == written
        tables.export(Path(name), TABLES, kept)
        _empty(kept)
        cases["killed"] = _case("killed", box, corp, rows, RAISED, say, kill=True)
        cases["killed"]["same_rows"] = _digest() == written
        _empty(kept)
        say("the floor: COPY of the same rows")
        seconds, _ = bench.timed(lambda: tables.copy_in(Path(name), TABLES))
    return {
        "rows_per_second": cases["raised"]["rows_per_second"],
        "rows_per_second_paced": cases["paced"]["rows_per_second"],
        "calls_of_least": max(case["calls_of_least"] for case in cases.values()),
        "peak_mb": max(case["peak_mb"] for case in cases.values()),
        "floor_seconds": round(seconds, 2),
        "ratio": round(seconds / cases["raised"]["seconds"], 3),
        "killed_and_resumed_same_rows": cases["killed"]["same_rows"],
        "cases": cases,
    }


# --- measuring --------------------------------------------------------------------------------------------------------


def _case(name: str, box: _Box, corp: Corp, rows: int, pace: float, say: Say, *, kill: bool = False) -> dict[str, Any]:
    say(f"sweeping: {name}")
    WecomPace.objects.all().delete()
    before, least = box.calls(), 1 + -(-rows // customers.PAIRS_PER_PAGE)
    job = sweeps.start(corp=corp, kind=ContactSweep.Kind.FULL, actor=None)
    peaks = []
    if kill:
        peaks.append(_run(job, pace, kill_after=least // 2))
    peaks.append(_run(job, pace))
    job.refresh_from_db()
    sweep = ContactSweep.objects.get(job=job)
    if job.status != Job.Status.DONE or sweep.status != ContactSweep.Status.DONE or sweep.pair_count != rows:
        raise RuntimeError(f"the sweep ended {job.status} {sweep.status} {sweep.error_code} {job.error} {job.summary}")
    assert job.started_at and job.ended_at
    seconds, calls = (job.ended_at - job.started_at).total_seconds(), box.calls() - before
    return {
        "seconds": round(seconds, 2),
        "rows_per_second": round(rows / seconds),
        "calls": calls,
        "calls_of_least": round(calls / least, 4),
        "calls_per_second": round(calls / seconds, 1),
        "peak_mb": max(peaks),
        "counts": {name: getattr(sweep, f"{name}_count") for name in ("pair", "added", "changed", "ended", "held")},
    }


def _run(job: Job, pace: float, *, kill_after: int = 0) -> float:
    """The job in a process of its own; its peak memory in MB. Killed when so many pages are kept."""
    process = subprocess.Popen(
        [sys.executable, "-m", "guides.bench.job", str(job.pk), str(pace)], cwd=settings.BASE_DIR
    )
    with bench.Memory(process.pid) as memory:
        while process.poll() is None:
            if kill_after and _pages(job) >= kill_after:
                process.send_signal(signal.SIGKILL)
                process.wait()
                break
            time.sleep(LOOK_SECONDS)
    if kill_after and process.returncode != -signal.SIGKILL:
        raise RuntimeError("the job ended before it could be killed")
    return memory.peak_mb


def _pages(job: Job) -> int:
    return SweepBatch.objects.filter(sweep__job=job).aggregate(pages=Sum("page_count"))["pages"] or 0


def _digest() -> tuple[Any, ...]:
    """Equal for equal contents, whatever the keys and times of reading."""
    with connection.cursor() as cursor:
        cursor.execute("""
            SELECT count(*), count(DISTINCT c.id), sum(hashtextextended(concat_ws('|', c.external_userid, c.name, c.unionid,
                   c.member_id, c.linked_by, f.userid, f.guide_id, extract(epoch FROM f.added_at), f.add_way, f.state,
                   f.tag_ids, f.is_confirmed, f.ended_at, f.customer_left_at), 0)::numeric),
                   (SELECT sum(friend_count) FROM guides_follower), (SELECT count(*) FROM guides_friendnews),
                   (SELECT count(*) FROM members_identity)
            FROM guides_friendship f JOIN guides_contact c ON c.id = f.contact_id
        """)
        return cursor.fetchone()


def _empty(kept: dict[str, int]) -> None:
    tables.truncate(
        ("guides_contact", "guides_friendship", "guides_friendnews", "guides_follower", "guides_contactsweep")
    )
    with as_owner(connection), connection.cursor() as cursor:
        cursor.execute("DELETE FROM members_identity WHERE id > %s", [kept["members_identity"]])
        cursor.execute("VACUUM ANALYZE members_identity")


# --- what is swept ----------------------------------------------------------------------------------------------------


class _Box:
    """The other process, in which WeCom is."""

    def __init__(self, process: subprocess.Popen[str], where: dict[str, Any]) -> None:
        self._process, self._where = process, where

    def corp(self) -> Corp:
        corp = Corp.objects.create(corp_id=self._where["corp_id"], name="WeCom")
        secret, agent_id = self._where["secret"], self._where["agent_id"]
        corps.add_app(actor=None, corp=corp, kind="SELF_BUILT", name="app", secret=secret, agent_id=agent_id)
        return corp

    def calls(self) -> int:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        counts = json.loads(self._process.stdout.readline())
        return sum(counts.get(path, 0) for path in COUNTED)


@contextmanager
def _wecom(rows: int, say: Say) -> Iterator[_Box]:
    say(f"a WeCom with {rows:,} friendships")
    process = subprocess.Popen(
        [sys.executable, "-m", "guides.bench.wecom", str(rows), str(FRIENDS_EACH)],
        cwd=settings.BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    before = os.environ.get("WECOM_API_BASE")
    try:
        assert process.stdout
        where = json.loads(process.stdout.readline())
        os.environ["WECOM_API_BASE"] = where["api_base"]  # for the jobs
        yield _Box(process, where)
    finally:
        os.environ.pop("WECOM_API_BASE", None)
        os.environ.update({"WECOM_API_BASE": before} if before is not None else {})
        process.kill()
        process.wait()


def _make_members(rows: int, say: Say) -> None:
    """A member with a unionid for every second contact."""
    say(f"{rows // 2:,} members")
    brand = Brand.objects.earliest("pk")
    count = wecom.contacts_of(rows)
    with tables.bulk_session() as cursor:
        cursor.execute(f"""
            INSERT INTO members_member (id, brand_id, name, gender, points_brought_in, remark, status)
            SELECT n + 1, %s, '', 'F', 0, '', 'ACTIVE' FROM generate_series(0, {count - 1}, 2) n
        """, [brand.pk])  # fmt: skip
        cursor.execute(f"""
            INSERT INTO members_identity (member_id, kind, namespace, value, is_verified)
            SELECT n + 1, 'UNIONID', '{BRAND}', 'oBench' || lpad(n::text, 22, '0'), true
            FROM generate_series(0, {count - 1}, 2) n ORDER BY 4
        """)
    tables.vacuum(("members_member", "members_identity"))
