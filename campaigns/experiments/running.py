"""The life of an experiment: drafted, planned, frozen, looked at, ended."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns.experiments import draw, outcomes, reading
from campaigns.experiments.reading import Terms
from campaigns.models import Arm, Experiment, Look
from members.models import AudienceSnapshot
from scrm import audit, jobs
from scrm.errors import RuleViolation
from scrm.models import Brand
from scrm.money import BP

PLAN, FREEZE, LOOK = "experiment.plan", "experiment.freeze", "experiment.look"
CONTROL = 0

# Who may be in an experiment: members who can be reached at all.
WHOLE_BRAND = "SELECT m.id AS member_id FROM members_member m WHERE m.brand_id = %(brand)s AND m.status = 'ACTIVE'"

SNAPSHOT = "SELECT s.member_id FROM members_snapshotmember s WHERE s.snapshot_id = %(snapshot)s"

FREEZING = """
    WITH audience AS MATERIALIZED ({audience}), drawn AS (
        SELECT a.member_id, {arm} AS arm_number FROM audience a WHERE {held_out} >= %(holdout_bp)s
    ), written AS (
        INSERT INTO campaigns_assignment (experiment_id, member_id, arm_number)
        SELECT %(experiment)s, member_id, arm_number FROM drawn RETURNING arm_number
    )
    SELECT arm_number, count(*), (SELECT count(*) FROM audience) FROM written GROUP BY 1
"""


class WrongState(RuleViolation):
    code = "experiment_wrong_state"


class NotPlanned(RuleViolation):
    code = "experiment_not_planned"


class NobodyThere(RuleViolation):
    code = "experiment_nobody"


class WrongShares(RuleViolation):
    code = "experiment_shares"


# --- operations ---


@transaction.atomic
def draft(
    *, brand: Brand, name: str, window_days: int, actor: Any, holdout_bp: int = 1000, names: tuple[str, ...] = (),
    snapshot: AudienceSnapshot | None = None, cost_fen: int | None = None, margin_bp: int | None = None, relevant_bp: int = reading.RELEVANT_BP,
) -> Experiment:  # fmt: skip
    """A draft with a control group of ``holdout_bp`` and one treated arm per name, the rest shared evenly among them.

    What it could find is worked out by a job at once.
    """
    treated = names or (_("campaign group"),)
    rest, extra = divmod(BP - holdout_bp, len(treated))
    if holdout_bp < 1 or rest < 1:
        raise WrongShares(_("The control group needs between 0.01 % and 99.99 % of the audience."))
    experiment = Experiment.objects.create(
        brand=brand, name=name, salt=draw.new_salt(), window_days=window_days, cost_fen=cost_fen, margin_bp=margin_bp,
        relevant_bp=relevant_bp, snapshot=snapshot, created_by=actor,
    )  # fmt: skip
    Arm.objects.create(experiment=experiment, number=CONTROL, name=_("control group"), weight_bp=holdout_bp)
    for number, label in enumerate(treated, start=1):
        Arm.objects.create(experiment=experiment, number=number, name=label, weight_bp=rest + (number <= extra))
    audit.record(actor=actor, verb="experiment.draft", target=experiment)
    _work(experiment, PLAN, actor)
    return experiment


@transaction.atomic
def start(*, experiment: Experiment, actor: Any) -> None:
    """Have the audience frozen. Only with the smallest effect that it could find on the table."""
    row = _locked(experiment.pk)
    if row.status != Experiment.Status.DRAFT:
        raise WrongState(_("Only a draft can be started."))
    if not row.plan:
        raise NotPlanned(_("What this experiment could find is still being worked out. Start it when it stands here."))
    row.status = Experiment.Status.FREEZING
    audit.record(actor=actor, verb="experiment.start", target=row)
    _work(row, FREEZE, actor)


@transaction.atomic
def freeze(*, experiment_id: int, now: dt.datetime, starts_at: dt.datetime | None = None) -> Experiment:
    """Settle for ever who is in which arm; done already: nothing happens.

    The universal hold-out of the quarter is left out of every arm.
    """
    row = _locked(experiment_id)
    if row.frozen_at is not None:
        return row
    holdout = draw.holdout_of(brand_id=row.brand_id, at=now)
    arms = list(row.arms.order_by("number"))
    places: dict[str, Any] = {
        "experiment": row.pk, "brand": row.brand_id, "salt": row.salt, "holdout": holdout.salt, "holdout_bp": holdout.share_bp,
        "borders": draw.borders([arm.weight_bp for arm in arms]), "snapshot": row.snapshot_id,
    }  # fmt: skip
    statement = (
        FREEZING.replace("{audience}", audience_of(row))
        .replace("{arm}", draw.arm_sql("%(salt)s::text", "a.member_id", "%(borders)s"))
        .replace("{held_out}", draw.place_sql("%(holdout)s::text", "a.member_id"))
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, places)
        found = cursor.fetchall()
    counts = {number: count for number, count, _people in found}
    if not counts.get(CONTROL) or len(counts) < len(arms):
        raise NobodyThere(_("The audience is too small: an arm of the experiment would have nobody in it."))
    for arm in arms:
        arm.member_count = counts[arm.number]
    Arm.objects.bulk_update(arms, ["member_count"])
    row.status, row.frozen_at, row.starts_at = Experiment.Status.RUNNING, now, starts_at or now
    row.ends_at = row.starts_at + dt.timedelta(days=row.window_days)
    row.held_out_count = found[0][2] - sum(counts.values())
    row.save()
    audit.record(actor=None, verb="experiment.freeze", target=row, people=sum(counts.values()))
    return row


@transaction.atomic
def ask_for_look(*, experiment: Experiment, actor: Any) -> None:
    """Have the outcomes read; the look is kept whatever it shows."""
    row = _locked(experiment.pk)
    if row.frozen_at is None:
        raise WrongState(_("Nothing can be read before the audience is frozen."))
    _work(row, LOOK, actor)


@transaction.atomic
def look(*, experiment_id: int, actor: Any, now: dt.datetime) -> Look:
    """Read the outcomes so far and keep what was read."""
    row = _locked(experiment_id)
    if row.starts_at is None or row.ends_at is None or now <= row.starts_at:
        raise WrongState(_("Nothing can be read before outcomes count."))
    until = min(now, row.ends_at)
    arms = list(row.arms.order_by("number"))
    sums = outcomes.of_experiment(experiment=row, until=until)
    attributed = outcomes.attributed(experiment=row, until=until)
    report = reading.read(
        arms=[
            reading.Arm(
                arm.number,
                arm.name,
                arm.weight_bp,
                arm.member_count,
                sums.get(arm.number, {}),
                attributed.get(arm.number),
            )
            for arm in arms
        ],
        metrics=outcomes.METRICS,
        terms=terms_of(row),
        money_metric=outcomes.MONEY,
    )
    last = Look.objects.filter(experiment=row).order_by("-number").first()
    found = Look.objects.create(
        experiment=row, number=last.number + 1 if last else 1, taken_at=now, until=until, is_final=now >= row.ends_at,
        taken_by=actor, content=reading.as_json(report),
    )  # fmt: skip
    if found.is_final and row.status == Experiment.Status.RUNNING:
        Experiment.objects.filter(pk=row.pk).update(status=Experiment.Status.ENDED)
    audit.record(actor=actor, verb="experiment.look", target=row, number=found.number)
    return found


@transaction.atomic
def plan(*, experiment_id: int, now: dt.datetime) -> Experiment:
    """Work out from the days just gone what the experiment could find at all."""
    row = _locked(experiment_id)
    if row.status != Experiment.Status.DRAFT:
        return row
    people = f"SELECT a.member_id, 0 AS arm_number, a.member_id AS buyer_id FROM ({audience_of(row)}) a"
    start = now - dt.timedelta(days=row.window_days)
    sums = outcomes.added_up(
        people=people, values={"brand": row.brand_id, "snapshot": row.snapshot_id}, start=start, end=now
    )
    moments = sums.get(0, {})
    count = moments[outcomes.MONEY].count if moments else 0
    weights = list(row.arms.order_by("number").values_list("weight_bp", flat=True))
    in_arms = count * (BP - draw.holdout_of(brand_id=row.brand_id, at=now).share_bp) // BP
    found = {
        metric.name: reading.plan(
            moments=moments[metric.name], kind=metric.kind, weights=weights, people=in_arms, terms=terms_of(row),
            is_money=metric.name == outcomes.MONEY,
        )
        for metric in outcomes.METRICS
        if moments and not metric.is_guard
    }  # fmt: skip
    row.plan = {"people": count, "in_arms": in_arms, "planned_at": now.isoformat(), "metrics": found}
    row.save(update_fields=["plan"])
    return row


def due(*, now: dt.datetime) -> int:
    """Have those read whose window has ended; one job each, by its key."""
    ended = Experiment.objects.filter(status=Experiment.Status.RUNNING, ends_at__lte=now).order_by("pk")
    for row in ended:
        jobs.enqueue(LOOK, actor=None, params={"experiment": row.pk}, key=f"{LOOK}:{row.pk}:final")
    return len(ended)


def sizes(*, experiment_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Members and looks of each."""
    arms = Arm.objects.filter(experiment__in=experiment_ids).values_list("experiment").annotate(Sum("member_count"))
    looks = Counter(Look.objects.filter(experiment__in=experiment_ids).values_list("experiment", flat=True))
    return {pk: (count, looks[pk]) for pk, count in arms.order_by("experiment")}


def audience_of(experiment: Experiment) -> str:
    """A query of member_id: the members of its snapshot, else every active member of the brand."""
    return SNAPSHOT if experiment.snapshot_id else WHOLE_BRAND


def terms_of(experiment: Experiment) -> Terms:
    return Terms(experiment.cost_fen, experiment.margin_bp, experiment.relevant_bp)


# --- the work of the jobs ---


def work_plan(progress: jobs.Progress) -> dict[str, Any]:
    row = plan(experiment_id=progress.job.params["experiment"], now=timezone.now())
    return {"members": row.plan.get("people", 0)}


def work_freeze(progress: jobs.Progress) -> dict[str, Any]:
    """An audience that is too small leaves a draft, which may be changed."""
    pk = progress.job.params["experiment"]
    try:
        row = freeze(experiment_id=pk, now=timezone.now())
    except NobodyThere:
        Experiment.objects.filter(pk=pk, status=Experiment.Status.FREEZING).update(status=Experiment.Status.DRAFT)
        raise
    return {"members": sum(row.arms.values_list("member_count", flat=True))}


def work_look(progress: jobs.Progress) -> dict[str, Any]:
    actor = progress.job.requested_by
    found = look(experiment_id=progress.job.params["experiment"], actor=actor, now=timezone.now())
    return {"look": found.number}


def _locked(experiment_id: int) -> Experiment:
    return Experiment.objects.select_for_update(of=("self",)).get(pk=experiment_id)


def _work(row: Experiment, kind: str, actor: Any) -> None:
    row.job = jobs.enqueue(kind, actor=actor, params={"experiment": row.pk})
    row.save()
