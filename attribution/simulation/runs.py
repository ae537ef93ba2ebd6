"""Asking for a simulation and doing it: a job over ranges of lines, shared by several processes."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from attribution import queries, rule_checks, rulebook, rules
from attribution.models import ChangedLine, Decision, RuleVersion, Simulation, SimulationRow, SimulationSlice
from attribution.simulation import replay
from attribution.simulation.forms import Forms
from attribution.simulation.replay import Sides, Tally
from guides.models import Guide
from scrm import audit, db, jobs
from scrm.errors import RuleViolation
from scrm.models import Job, Store

KIND = "simulate"
SHANGHAI = ZoneInfo("Asia/Shanghai")
MOST_DAYS = 400
MOST_WORKERS = 4  # the machine also serves
SLICE = 20_000  # lines: what a kill costs at most, a second or two
POLL_SECONDS = 0.2
OPEN = (Job.Status.QUEUED, Job.Status.RUNNING)


class CannotSimulate(RuleViolation):
    code = "cannot_simulate"


class RuleChanged(RuleViolation):
    code = "simulated_rule_changed"


# --- operations ---


@transaction.atomic
def start(
    *, actor: Any, first_day: dt.date, last_day: dt.date, rule_id: int | None = None, mode: str = "",
    budget_fen: int | None = None, workers: int | None = None,
) -> Simulation:  # fmt: skip
    """A simulation with the job that does it. ``workers`` None: a process a core. Raises CannotSimulate."""
    if last_day < first_day:
        raise CannotSimulate(_("The period ends before it begins."))
    if (last_day - first_day).days >= MOST_DAYS:
        raise CannotSimulate(_("A simulation covers at most %(days)s days.") % {"days": MOST_DAYS})
    if rule_id is None and not mode:
        raise CannotSimulate(_("Choose a rule version, another mode, or both."))
    if budget_fen is not None and budget_fen < 0:
        raise CannotSimulate(_("A budget is not negative."))
    if rule_id is not None:
        problems = rule_checks.problems(_rule(rule_id))
        if problems:
            raise CannotSimulate(problems[0])
    simulation = Simulation.objects.create(
        rule_id=rule_id, mode=mode, rule_digest=digest_now(rule_id), first_day=first_day, last_day=last_day,
        budget_fen=budget_fen, requested_by=actor,
    )  # fmt: skip
    params = {"simulation": simulation.pk, "workers": workers}
    simulation.job = jobs.enqueue(KIND, actor=actor, params=params)
    simulation.save(update_fields=["job"])
    audit.record(
        actor=actor, verb="simulation.start", target=simulation, rule=rule_id, mode=mode, digest=simulation.rule_digest,
        first_day=first_day.isoformat(), last_day=last_day.isoformat(),
    )  # fmt: skip
    return simulation


def cancel(*, simulation: Simulation, actor: Any) -> bool:
    """Stop it at the end of the ranges under way; False when it had already ended."""
    return simulation.job is not None and jobs.cancel(job=simulation.job, actor=actor)


def work(progress: jobs.Progress) -> dict[str, Any]:
    """What the job does; run again, it goes on where it was."""
    simulation = Simulation.objects.get(pk=progress.job.params["simulation"])
    if simulation.finished_at is None:
        progress.stage("simulate")
        _cut(simulation)
        total = simulation.slices.aggregate(total=Sum("line_count"))["total"] or 0
        progress.stage("simulate", total=total)
        _drain_together(simulation, progress, workers=_workers(simulation, progress.job))
        progress.stage("write")
        _finish(simulation.pk, now=timezone.now())
        simulation.refresh_from_db()
    return {
        "lines": simulation.line_count, "changed": simulation.changed_count, "undecided": simulation.undecided_count,
    }  # fmt: skip


def take_part(*, simulation_id: int) -> int:
    """Do ranges of a running simulation beside the process that runs it, until none is left; how many were done."""
    simulation = Simulation.objects.get(pk=simulation_id)
    question = _Question(simulation)
    done = 0
    while question.do_one():
        done += 1
    return done


def digest_now(rule_id: int | None) -> str:
    """What the rule says at this moment; of the published ones together when none is named."""
    if rule_id is not None:
        return rulebook.digest_of(_rule(rule_id))
    published = RuleVersion.objects.filter(brand__code="MAIN", status=RuleVersion.Status.PUBLISHED)
    digests = published.order_by("number").values_list("digest", flat=True)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


# --- the work ---


def _workers(simulation: Simulation, job: Job) -> int:
    """As many as were asked for, else one a core; a process more must be worth its start."""
    asked = job.params.get("workers") or min(len(os.sched_getaffinity(0)), MOST_WORKERS)
    return max(1, min(asked, simulation.slices.count() // 2))


def _rule(rule_id: int) -> RuleVersion:
    return RuleVersion.objects.select_related("brand").prefetch_related(*rulebook.PARTS).get(pk=rule_id)


class _Question:
    """What is asked, read once by each process that helps."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.forms = Forms()
        self.now = rulebook.load()
        if digest_now(simulation.rule_id) != simulation.rule_digest:
            raise RuleChanged(_("The rule was changed after this simulation was asked for; start another one."))
        self.then = self.now
        if simulation.rule_id is not None:
            version = rulebook.version_of(_rule(simulation.rule_id))
            self.then = rulebook.Book((replace(version, effective_from=None, effective_until=None),))
        if simulation.mode:
            self.then = self.then.with_mode(simulation.mode)

    def do_one(self) -> bool:
        """Replay one range that nobody holds; False when there is none or the job was stopped."""
        with transaction.atomic(durable=True):
            piece = self._claim()
            if piece is None:
                return False
            found = Tally()
            for keys in self._keys(piece):
                found.add(replay.tally(keys, **self.terms(), forms=self.forms))
            SimulationSlice.objects.filter(pk=piece.pk).update(outcome=found.dump())
        return True

    def terms(self) -> dict[str, Any]:
        return {"then": self.then, "now": self.now, "as_known_at": self.simulation.requested_at}

    def _claim(self) -> SimulationSlice | None:
        waiting = SimulationSlice.objects.filter(
            simulation=self.simulation, outcome=None, simulation__job__status__in=OPEN
        )
        return waiting.order_by("after_id").select_for_update(skip_locked=True, of=("self",)).first()

    def _keys(self, piece: SimulationSlice) -> Iterator[list[tuple[int, dt.date]]]:
        first, end = _bounds(self.simulation)
        rows = db.read(
            KEYS,
            [piece.after_id, piece.until_id, piece.first_booked_on, piece.last_booked_on, first, end],
        )
        for at in range(0, len(rows), replay.CHUNK):
            yield [(pk, day) for pk, day in rows[at : at + replay.CHUNK]]


KEYS = """
    SELECT id, booked_on FROM members_orderline
    WHERE id > %s AND id <= %s AND booked_on BETWEEN %s AND %s AND paid_at >= %s AND paid_at < %s ORDER BY id
"""

# the days on which lines are booked hardly differ from those of payment; kept exactly, so that only their months are read
CUTS = """
    INSERT INTO attribution_simulationslice (simulation_id, after_id, until_id, first_booked_on, last_booked_on, line_count)
    SELECT %(simulation)s, min(id) - 1, max(id), min(booked_on), max(booked_on), count(*)
    FROM (
        SELECT id, booked_on, (row_number() OVER (ORDER BY id) - 1) / %(slice)s AS piece
        FROM members_orderline WHERE paid_at >= %(first)s AND paid_at < %(end)s
    ) lines GROUP BY piece
    ON CONFLICT (simulation_id, after_id) DO NOTHING
"""


def _bounds(simulation: Simulation) -> tuple[dt.datetime, dt.datetime]:
    first = dt.datetime.combine(simulation.first_day, dt.time(), SHANGHAI)
    return first, dt.datetime.combine(simulation.last_day + dt.timedelta(days=1), dt.time(), SHANGHAI)


@transaction.atomic(durable=True)
def _cut(simulation: Simulation) -> None:
    """The ranges, once: lines that come in later do not count."""
    if simulation.slices.exists():
        return
    first, end = _bounds(simulation)
    with connection.cursor() as cursor:
        cursor.execute(CUTS, {"simulation": simulation.pk, "slice": SLICE, "first": first, "end": end})


def _drain_together(simulation: Simulation, progress: jobs.Progress, *, workers: int) -> None:
    question = _Question(simulation)
    others = [_spawn(simulation.pk) for _ in range(workers - 1)]
    try:
        while question.do_one():
            progress.done(_done_count(simulation))
        while any(process.poll() is None for process in others):
            time.sleep(POLL_SECONDS)
            progress.done(_done_count(simulation))
        while question.do_one():  # what a dead process had held
            progress.done(_done_count(simulation))
        progress.done(_done_count(simulation))
    except jobs.Cancelled:
        for process in others:
            process.wait()  # they stop at the end of their range
        raise


def _done_count(simulation: Simulation) -> int:
    return simulation.slices.exclude(outcome=None).aggregate(done=Sum("line_count"))["done"] or 0


def _spawn(simulation_id: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "simulate", "--help-with", str(simulation_id)]
    return subprocess.Popen(command, env=os.environ.copy(), stdout=subprocess.DEVNULL)


@transaction.atomic(durable=True)
def _finish(simulation_id: int, *, now: dt.datetime) -> None:
    """The ranges added up to rows; the ranges themselves are gone with it."""
    (simulation,) = db.lock(Simulation.objects.filter(pk=simulation_id))
    if simulation.finished_at is not None:
        return
    total = Tally()
    for outcome in simulation.slices.order_by("after_id").values_list("outcome", flat=True).iterator(chunk_size=8):
        total.add(Tally.load(outcome))
    store_ids: dict[str | None, int] = dict(Store.objects.values_list("code", "pk"))
    SimulationRow.objects.bulk_create(
        (
            SimulationRow(
                simulation=simulation, beneficiary_code=who, store_id=store_ids.get(store), channel=channel,
                credit_now_fen=row[0], credit_then_fen=row[1], commission_now_fen=row[2], commission_then_fen=row[3],
                line_now_count=row[4], line_then_count=row[5],
            )
            for (who, store, channel), row in sorted(total.rows.items(), key=lambda item: tuple(map(str, item[0])))
        ),
        batch_size=2_000,
    )  # fmt: skip
    _explain(simulation, total, store_ids)
    simulation.line_count, simulation.changed_count = total.line_count, total.changed_count
    simulation.undecided_count, simulation.finished_at = total.undecided_count, now
    simulation.budgets = dict(sorted(total.budgets.items()))
    simulation.save()
    simulation.slices.all().delete()


def _explain(simulation: Simulation, total: Tally, store_ids: dict[str | None, int]) -> None:
    """The lines that change most, once more and in words."""
    keys = sorted((move.line_id, move.booked_on) for move in total.most)
    if not keys:
        return
    question = _Question(simulation)
    found = {one.case.line.id: one for one in replay.sides(keys, **question.terms())}
    posted = Decision.objects.select_related("rule").in_bulk(
        [one.standing.id for one in found.values() if one.standing]
    )
    names = dict(Guide.objects.filter(code__in=_codes(found.values(), posted)).values_list("code", "name"))
    then_name = str(simulation.rule) if simulation.rule else ""
    rows = []
    for rank, move in enumerate(total.most, start=1):
        one = found[move.line_id]
        standing = posted.get(one.standing.id) if one.standing else None
        now = queries.decision_of(standing) if standing else one.undecided
        now_name = str(standing.rule) if standing else str(question.now.at(one.case.line.as_of).name)
        stores = {store for _who, store in (*one.now.parts, *one.then.parts)}
        seen = {store_ids[store] for store in stores if store} | {one.case.line.store_id}
        rows.append(
            ChangedLine(
                simulation=simulation, rank=rank, line_id=move.line_id, booked_on=move.booked_on, moved_fen=move.fen,
                moved_credit_fen=move.credit_fen, commission_now_fen=_paid(one.now.parts),
                commission_then_fen=_paid(one.then.parts), now_winner_code=_winner(now), then_winner_code=_winner(one.found),
                now_named=_words(now, now_name, one, names), now_plain=_words(now, now_name, one, {}),
                then_named=_words(one.found, then_name or one.case.version.name, one, names),
                then_plain=_words(one.found, then_name or one.case.version.name, one, {}),
                store_ids=sorted(store_id for store_id in seen if store_id),
            )
        )  # fmt: skip
    ChangedLine.objects.bulk_create(rows)


def _words(found: rules.Decision | None, name: str, one: Sides, names: dict[str, str]) -> list[str]:
    """Sentences of one side; none where no rule covered the line."""
    return rules.explain(found, rule_name=name, line=one.case.facts, names=names) if found else []


def _winner(found: rules.Decision | None) -> str:
    return found.shares[0].beneficiary if found and found.shares else ""


def _paid(parts: replay.Part) -> int:
    return sum(fen for _credit, fen in parts.values())


def _codes(found: Any, posted: dict[int, Decision]) -> set[str]:
    decisions = [one.found for one in found] + [one.undecided for one in found if one.undecided]
    codes = {candidate.beneficiary for one in decisions for candidate in one.candidates}
    codes |= {share.beneficiary for one in decisions for share in one.shares}
    for row in posted.values():
        codes |= {candidate[2] for candidate in row.candidates} | {share[1] for share in row.shares}
    return codes
