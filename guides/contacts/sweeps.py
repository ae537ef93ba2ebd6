"""Sweeps of contacts (好友同步): every friend read from WeCom, batch by batch, and compared with the mirror.

1. A sweep covers all accounts of the corp that may have customers, a seventh of them (those compared longest ago), or
   chosen ones. Up to a hundred accounts are read together; a page is a transaction, the comparison of a batch another.
2. Killed at any point and run again it goes on behind the last page kept: WeCom keeps a cursor for hours. A cursor that
   WeCom has forgotten, or a staging table that a crash has emptied, begins the batch anew.
3. Several batches are read at a time, as far as the pace of calls allows. When WeCom refuses for longer than PATIENCE the
   sweep is held up and its job ends; it goes on by itself when the time has come. No account is left out silently: one
   that WeCom does not let us read is named with the reason, and tried by the next sweep.
4. One sweep of a corp at a time. The clock begins a sweep of a seventh each night and of everything on Sundays, one per
   business day however often it is asked. A corp that was never swept is swept as soon as it has an app.
5. An account that is no longer in WeCom's list keeps its friends here: it is marked, not emptied.
"""

from __future__ import annotations

import datetime as dt
import queue
import threading
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from django.db import connection, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from guides.contacts import compare
from guides.models import ContactSweep, Follower, SweepBatch
from scrm import db, jobs
from scrm.errors import RuleViolation
from scrm.models import Corp, Job, WecomApp
from scrm.wecom import corps, customers, errors

KIND = "contact_sync"
ZONE = ZoneInfo("Asia/Shanghai")
THREADS = 6
ROLLING_NIGHTS = 7
FULL_WEEKDAY = 6  # Sunday
NIGHT_HOURS = range(2, 24)  # the night's sweep begins at two, or as soon as the clock runs again that day
CURSOR_LIFE = dt.timedelta(hours=3, minutes=30)  # WeCom's is four hours
PATIENCE = dt.timedelta(seconds=90)  # waited in place; anything longer ends the job
TRIES, LONGEST_WAIT_SECONDS = 6, 30.0  # of a page that WeCom answers with "busy", or not at all
PAUSE, LONGEST_PAUSE = dt.timedelta(minutes=2), dt.timedelta(hours=6)
WAIT_FOR_OTHER = dt.timedelta(minutes=10)
RESTARTS = 5  # of one batch
LOOK_SECONDS = 0.2

Kind, Status, BatchStatus = ContactSweep.Kind, ContactSweep.Status, SweepBatch.Status
log = structlog.get_logger(__name__)


class NotACorp(RuleViolation):
    code = "wecom_corp_missing"


class HeldUp(Exception):
    """WeCom wants us to come back at ``until``."""

    def __init__(self, until: dt.datetime, code: str) -> None:
        super().__init__(code)
        self.until, self.code = until, code


# --- operations -------------------------------------------------------------------------------------------------------


def start(*, corp: Corp, kind: str, actor: Any, userids: Iterable[str] = (), key: str | None = None) -> Job:
    """Have a sweep done by a worker; the same ``key`` gives the job that exists."""
    params = {"corp": corp.pk, "kind": str(kind), "userids": sorted({userid.lower() for userid in userids})}
    return jobs.enqueue(KIND, actor=actor, params=params, key=key)


def start_or_resume(*, corp: Corp, kind: str, actor: Any, userids: Iterable[str] = ()) -> Job:
    """Like ``start``; a sweep of this kind that was killed or held up goes on instead of a new one."""
    open_sweeps = ContactSweep.objects.filter(corp=corp, kind=kind, status__in=[Status.RUNNING, Status.PAUSED])
    sweep = open_sweeps.select_related("job").order_by("-pk").first() if kind != Kind.CHOSEN else None
    if sweep is None:
        return start(corp=corp, kind=kind, actor=actor, userids=userids)
    if sweep.job is not None and sweep.job.status in (Job.Status.QUEUED, Job.Status.RUNNING):
        return sweep.job
    return jobs.enqueue(KIND, actor=actor, params={"sweep": sweep.pk})


def start_now(*, accounts: dict[int, list[str]], is_all: bool, actor: Any) -> list[Job]:
    """A person wants these accounts compared now, by corp; ``is_all``: those of every corp that has an app."""
    if is_all:
        return [start_or_resume(corp=corp, kind=Kind.FULL, actor=actor) for corp in _with_app()]
    corps_by_pk = Corp.objects.in_bulk(list(accounts))
    return [
        start(corp=corps_by_pk[pk], kind=Kind.CHOSEN, actor=actor, userids=mine)
        for pk, mine in sorted(accounts.items())
    ]


def start_nightly(*, now: dt.datetime) -> list[Job]:
    """The sweep of this business day of each corp that has an app; once, however often it is asked (W10)."""
    today = now.astimezone(ZONE)
    if today.hour not in NIGHT_HOURS:
        return []
    kind = Kind.FULL if today.weekday() == FULL_WEEKDAY else Kind.ROLLING
    return [
        start(corp=corp, kind=kind, actor=None, key=f"{KIND} {corp.pk} {today.date().isoformat()}")
        for corp in _with_app()
    ]


def start_first() -> list[Job]:
    """The first sweep of corps that were never swept; asked again, the same jobs."""
    known = set(ContactSweep.objects.values_list("corp_id", flat=True).distinct())
    new = [corp for corp in _with_app() if corp.pk not in known]
    return [start(corp=corp, kind=Kind.FULL, actor=None, key=f"{KIND} {corp.pk} first") for corp in new]


def go_on(*, now: dt.datetime) -> list[Job]:
    """New jobs for sweeps that were held up until now."""
    due = ContactSweep.objects.filter(status=Status.PAUSED, not_before__lte=now).order_by("pk")
    return [
        jobs.enqueue(KIND, actor=None, params={"sweep": sweep.pk}, key=f"{KIND} sweep {sweep.pk}.{sweep.pause_count}")
        for sweep in due
    ]


def run(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``contact_sync``."""
    sweep = _sweep_of(progress.job)
    with db.advisory_lock(f"contact sweep {sweep.corp_id}") as is_ours:
        if not is_ours:  # another sweep of this corp is at work
            return _pause(sweep, HeldUp(db.clock() + WAIT_FOR_OTHER, "another_sweep"))
        try:
            app = corps.app_of(sweep.corp)
            if sweep.planned_at is None:
                progress.stage("plan")
                _plan(sweep, app, progress.job.params)
            _Run(sweep, app, progress).go()
        except HeldUp as held:
            return _pause(sweep, held)
        except jobs.Cancelled:
            _give_up(sweep)
            raise
        except Exception as error:  # no app, a wrong secret: somebody has to do something first
            _pause(sweep, HeldUp(db.clock() + LONGEST_PAUSE, getattr(error, "code", type(error).__name__)))
            raise
        return _finish(sweep)


def _with_app() -> list[Corp]:
    return list(Corp.objects.filter(apps__kind=WecomApp.Kind.SELF_BUILT).distinct().order_by("pk"))


# --- planning ---------------------------------------------------------------------------------------------------------


def _sweep_of(job: Job) -> ContactSweep:
    if "sweep" in job.params:
        sweep = ContactSweep.objects.select_related("corp").get(pk=job.params["sweep"])
        ContactSweep.objects.filter(pk=sweep.pk).update(status=Status.RUNNING, job=job, not_before=None)
        return sweep
    corp = Corp.objects.filter(pk=job.params["corp"]).first()
    if corp is None:
        raise NotACorp(_("This WeCom corp is not entered here."))
    with transaction.atomic():
        db.lock(Job.objects.filter(pk=job.pk))
        return ContactSweep.objects.filter(job=job).select_related("corp").first() or ContactSweep.objects.create(
            corp=corp, job=job, kind=job.params["kind"], started_at=db.clock()
        )


def _plan(sweep: ContactSweep, app: WecomApp, params: dict[str, Any]) -> None:
    """The accounts of the sweep in batches, those compared longest ago first."""
    chosen = params.get("userids") or []
    calls = 0
    if sweep.kind != Kind.CHOSEN:
        listed = _patiently(lambda: customers.followers(app), threading.Event())
        calls = 1
        _record_listed(sweep.corp, [userid.lower() for userid in listed])
        accounts = Follower.objects.filter(corp=sweep.corp, is_listed=True)
        oldest_first = accounts.order_by(F("swept_at").asc(nulls_first=True), "pk").values_list("userid", flat=True)
        count = len(listed) if sweep.kind != Kind.ROLLING else -(-len(listed) // ROLLING_NIGHTS)
        chosen = list(oldest_first[:count])
    size = customers.MEMBERS_PER_CALL
    parts = [chosen[place : place + size] for place in range(0, len(chosen), size)]
    with transaction.atomic():
        SweepBatch.objects.bulk_create(
            SweepBatch(sweep=sweep, number=number, userids=part) for number, part in enumerate(parts)
        )
        sweep.planned_at, sweep.account_count, sweep.call_count = db.clock(), len(chosen), calls
        sweep.save(update_fields=["planned_at", "account_count", "call_count"])


def _record_listed(corp: Corp, userids: list[str]) -> None:
    """Who may have customers, as WeCom lists it; the others are marked and keep their friends."""
    with transaction.atomic(), connection.cursor() as cursor:
        db.lock(Follower.objects.filter(corp=corp))
        cursor.execute(
            "INSERT INTO guides_follower (corp_id, userid, guide_id, is_listed)"
            " SELECT %(corp)s, u, (SELECT g.id FROM guides_guide g WHERE lower(g.wecom_userid) = u LIMIT 1), true"
            " FROM unnest(%(userids)s::text[]) u GROUP BY u ORDER BY u"
            " ON CONFLICT (corp_id, userid) DO UPDATE SET is_listed = true WHERE guides_follower.is_listed IS NOT TRUE",
            {"corp": corp.pk, "userids": userids},
        )
        cursor.execute(
            "UPDATE guides_follower SET is_listed = false WHERE corp_id = %(corp)s AND is_listed IS DISTINCT FROM false"
            " AND NOT userid = ANY(%(userids)s)",
            {"corp": corp.pk, "userids": userids},
        )


# --- ends -------------------------------------------------------------------------------------------------------------


def _pause(sweep: ContactSweep, held: HeldUp) -> dict[str, Any]:
    ContactSweep.objects.filter(pk=sweep.pk).update(
        status=Status.PAUSED, not_before=held.until, error_code=held.code[:64], pause_count=F("pause_count") + 1
    )
    log.warning("contact_sweep_held_up", sweep=sweep.pk, code=held.code, until=held.until.isoformat())
    return {"sweep": sweep.pk, "held_up": held.code, "until": held.until.isoformat(), **_counts(sweep)}


def _give_up(sweep: ContactSweep) -> None:
    """Somebody cancelled it: what is compared stays."""
    for batch in SweepBatch.objects.filter(sweep=sweep, status=BatchStatus.OPEN):
        compare.drop_table(batch)
    ContactSweep.objects.filter(pk=sweep.pk).update(status=Status.CANCELLED, ended_at=db.clock())


def _finish(sweep: ContactSweep) -> dict[str, Any]:
    ContactSweep.objects.filter(pk=sweep.pk).update(status=Status.DONE, ended_at=db.clock(), error_code="")
    return {"sweep": sweep.pk, **_counts(sweep)}


def _counts(sweep: ContactSweep) -> dict[str, Any]:
    sweep.refresh_from_db()
    names = ("account", "swept", "failed", "call", "pair", "added", "changed", "ended", "held")
    return {f"{name}_count": getattr(sweep, f"{name}_count") for name in names}


# --- reading ----------------------------------------------------------------------------------------------------------


class _Run:
    """The open batches of a sweep, read by several threads; the caller's thread shows how far they are."""

    def __init__(self, sweep: ContactSweep, app: WecomApp, progress: jobs.Progress) -> None:
        self.sweep, self.app, self.progress = sweep, app, progress
        self.batches: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.open_count = 0
        self.stopped = threading.Event()
        self.errors: list[BaseException] = []
        self.lock = threading.Lock()

    def go(self) -> None:
        ids = list(SweepBatch.objects.filter(sweep=self.sweep, status=BatchStatus.OPEN).order_by("number").values_list("pk", flat=True))  # fmt: skip
        for pk in ids:
            self.batches.put(pk)
        self.open_count = len(ids)
        self.progress.stage("read", self.sweep.account_count)
        threads = [threading.Thread(target=self._work, daemon=True) for _n in range(min(THREADS, max(1, len(ids))))]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                self._show()
                self.stopped.wait(LOOK_SECONDS)
                if self.stopped.is_set():
                    break
        finally:  # cancelled, or one of them failed: the others end after their page
            self.stopped.set()
            for thread in threads:
                thread.join()
        if self.errors:
            raise next((e for e in self.errors if not isinstance(e, HeldUp)), self.errors[0])
        self._show()

    def _show(self) -> None:
        swept = ContactSweep.objects.values_list("swept_count", "failed_count").get(pk=self.sweep.pk)
        self.progress.done(sum(swept))

    def _work(self) -> None:
        try:
            while not self.stopped.is_set():
                try:
                    pk = self.batches.get(timeout=LOOK_SECONDS)
                except queue.Empty:
                    if self.open_count == 0:
                        return
                    continue  # another thread may still split its batch
                _Batch(self, SweepBatch.objects.get(pk=pk)).read()
                with self.lock:
                    self.open_count -= 1
        except BaseException as error:  # noqa: BLE001  raised again by the caller's thread
            self.errors.append(error)
            self.stopped.set()
        finally:
            connection.close()

    def split(self, batch: SweepBatch) -> None:
        """WeCom refuses the batch for one of its accounts: each half is tried alone."""
        half = len(batch.userids) // 2
        with self.lock, transaction.atomic():
            last = SweepBatch.objects.filter(sweep=self.sweep).order_by("-number").values_list("number", flat=True)[0]
            parts = [
                SweepBatch.objects.create(sweep=self.sweep, number=last + number, userids=part)
                for number, part in ((1, batch.userids[:half]), (2, batch.userids[half:]))
            ]
            batch.delete()
        for part in parts:
            self.batches.put(part.pk)
        with self.lock:
            self.open_count += len(parts)


class _Batch:
    """One batch on its way: from the page where it stands to its comparison."""

    def __init__(self, run: _Run, batch: SweepBatch) -> None:
        self.run, self.batch, self.cursor_kept = run, batch, ""

    def read(self) -> None:
        if self.batch.is_read and self._is_fresh():
            self._compare()
            return
        asked_at = self._go_on() or self._begin()
        try:
            while True:
                page = self._page()
                asked_at = self._keep(page, asked_at)
                if not page.next_cursor:
                    break
                if self.run.stopped.is_set():
                    raise HeldUp(db.clock(), "stopped")
        except _Anew:
            self.read()
            return
        except _Refused as refused:
            self._refuse(refused.error)
            return
        self._compare()

    def _page(self) -> customers.Page:
        batch = self.batch
        try:
            return _patiently(
                lambda: customers.page_by_members(self.run.app, batch.userids, batch.cursor), self.run.stopped
            )
        except errors.Stale:
            if batch.restart_count >= RESTARTS:
                raise HeldUp(db.clock() + PAUSE, "wecom_stale") from None
            SweepBatch.objects.filter(pk=batch.pk).update(read_from=None, restart_count=F("restart_count") + 1)
            batch.refresh_from_db()
            raise _Anew from None
        except errors.NotFriends as error:
            if len(batch.userids) == 1:  # seen as the answer for a member without customers
                return customers.Page([], "")
            raise _Refused(error) from None
        except (errors.NotFound, errors.NoPermission, errors.NotActivated, errors.BadParameter) as error:
            raise _Refused(error) from None

    def _begin(self) -> dt.datetime:
        compare.make_table(self.batch)
        asked_at = db.clock()
        self.batch.read_from, self.batch.cursor, self.batch.staged_count, self.batch.is_read = asked_at, "", 0, False
        self.batch.save(update_fields=["read_from", "cursor", "staged_count", "is_read"])
        return asked_at

    def _go_on(self) -> dt.datetime | None:
        """Behind the last page kept; None when the batch has to begin anew."""
        return db.clock() if self.batch.cursor and self._is_fresh() else None

    def _is_fresh(self) -> bool:
        """Whether what was staged is all there and WeCom still keeps the place."""
        batch = self.batch
        if batch.read_from is None or batch.read_from < db.clock() - CURSOR_LIFE:
            return False
        return compare.staged_count(batch) == batch.staged_count

    def _keep(self, page: customers.Page, asked_at: dt.datetime) -> dt.datetime:
        """The page and the way to the next one, in one transaction; the moment before the next one is asked for."""
        batch = self.batch
        if page.next_cursor and page.next_cursor == batch.cursor:
            raise errors.Malformed("externalcontact/batch/get_by_user")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit = off")  # a page that a crash takes back is read again
            compare.stage(batch, page.pairs, asked_at)
            cursor.execute(
                "UPDATE guides_sweepbatch SET cursor = %s, is_read = %s, staged_count = staged_count + %s,"
                " page_count = page_count + 1 WHERE id = %s RETURNING staged_count, page_count, clock_timestamp()",
                [page.next_cursor, not page.next_cursor, len(page.pairs), batch.pk],
            )
            batch.staged_count, batch.page_count, now = cursor.fetchone()
        batch.cursor = page.next_cursor
        return now

    def _compare(self) -> None:
        """One batch at a time: two would wait for each other's rows."""
        sweep, batch = self.run.sweep, self.batch
        with self.run.lock, transaction.atomic():
            found = compare.compare(corp=sweep.corp, batch=batch, now=db.clock())
            self._count(
                BatchStatus.DONE, swept_count=len(batch.userids), call_count=batch.page_count, pair_count=found.pairs,
                added_count=found.added, changed_count=found.changed, ended_count=found.ended, held_count=found.held,
            )  # fmt: skip

    def _refuse(self, error: errors.WecomError) -> None:
        batch = self.batch
        compare.drop_table(batch)
        if len(batch.userids) > 1:
            self.run.split(batch)
            return
        log.warning("account_not_read", userid=batch.userids[0], code=error.code, errcode=error.errcode)
        with transaction.atomic():
            accounts = Follower.objects.filter(corp=self.run.sweep.corp, userid=batch.userids[0])
            accounts.update(error_code=error.code)
            self._count(BatchStatus.FAILED, failed_count=1)

    def _count(self, status: str, **counts: int) -> None:
        SweepBatch.objects.filter(pk=self.batch.pk).update(status=status)
        ContactSweep.objects.filter(pk=self.run.sweep.pk).update(
            **{name: F(name) + count for name, count in counts.items()}
        )


class _Anew(Exception):
    """The traversal of this batch begins again."""


class _Refused(Exception):
    """WeCom does not let us read one of the accounts."""

    def __init__(self, error: errors.WecomError) -> None:
        super().__init__()
        self.error = error


def _patiently(ask: Any, stopped: threading.Event) -> Any:
    """What ``ask`` gives. It waits while WeCom says "later"; HeldUp when that takes longer than PATIENCE or TRIES."""
    for attempt in range(TRIES):
        try:
            return ask()
        except errors.RateLimited as error:
            now = db.clock()
            until = error.retry_at or now + dt.timedelta(seconds=LOOK_SECONDS)
            if until - now > PATIENCE:
                raise HeldUp(until, error.code) from None
            seconds, code = (until - now).total_seconds(), error.code
        except errors.Retryable as error:
            seconds, code = min(2.0**attempt, LONGEST_WAIT_SECONDS), error.code
        if stopped.wait(max(0.0, seconds)):
            raise HeldUp(db.clock(), "stopped")
    raise HeldUp(db.clock() + PAUSE, code)
