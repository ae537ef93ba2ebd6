"""SOPs of groups (群跟进), each minute: which group enters, and what its owner is to post in it now.

1. A group enters once, when it was made; which earlier ones enter too is said by the back-fill.
2. A step is a post or a notice for the owner of the group as she is now, in her list of the day, with the step's material;
   or a mass send, one for all groups that are on the step in that minute (``group_steps``). While the group has no owner who
   works with us, nobody posts. A dissolved group leaves.
3. Who answers or buys in the group changes nothing: the posts are for all of it.
"""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from campaigns.models import Group, GroupRun, GroupStepDone, SopRun, SopStepDone, SopVersion
from campaigns.sops import group_steps, handed, rules, texts
from campaigns.sops.editing import steps_of
from guides import actions
from guides.actions import NewAction
from guides.models import Action
from scrm import db

Result, Status, Why = SopStepDone.Result, SopRun.Status, GroupRun.Why

ENTERING = """
    SELECT g.id, g.founded_at FROM campaigns_group g
    WHERE g.dissolved_at IS NULL AND g.founded_at >= %(floor)s AND g.founded_at <= %(now)s
      AND NOT EXISTS (SELECT 1 FROM campaigns_grouprun r WHERE r.sop_id = %(sop)s AND r.group_id = g.id)
    ORDER BY g.founded_at, g.id
"""


def enrol(version: SopVersion, *, floor: dt.datetime, now: dt.datetime) -> int:
    """Take in the groups made since ``floor``; how many. One statement over some ten thousand groups."""
    first = rules.first(steps_of([version.pk])[version.pk])
    published_at = version.published_at
    assert published_at is not None
    runs = []
    for group_id, at in db.fetch(ENTERING, {"floor": floor, "now": now, "sop": version.sop_id}):
        is_anew = version.back_fill == SopVersion.BackFill.FROM_START and at < published_at
        runs.append(
            GroupRun(
                sop_id=version.sop_id, version=version, group_id=group_id, anchored_at=at, entered_at=now,
                position=first.position, due_at=rules.planned(now if is_anew else at, first),
            )
        )  # fmt: skip
    GroupRun.objects.bulk_create(runs, ignore_conflicts=True, batch_size=1_000)
    return len(runs)


@transaction.atomic
def advance(*, now: dt.datetime, limit: int) -> int:
    """Take the steps of up to ``limit`` groups that are due; how many groups."""
    due = GroupRun.objects.filter(status=Status.ACTIVE, due_at__lte=now).order_by("due_at", "pk")
    claimed = due.select_for_update(skip_locked=True, of=("self",)).select_related("version__sop")
    runs = list(claimed[:limit])
    if not runs:
        return 0
    steps = steps_of({run.version_id for run in runs})
    owners = {row[0]: row[1:] for row in db.fetch(OWNERS, {"groups": [run.group_id for run in runs], "now": now})}
    groups = Group.objects.in_bulk([run.group_id for run in runs])
    taken: list[GroupStepDone] = []
    given: list[NewAction] = []
    sending: group_steps.Sending = {}
    gone = [run.pk for run in runs if groups[run.group_id].dissolved_at is not None]
    for run in runs:
        if run.pk in gone:
            run.status, run.why, run.ended_at = Status.STOPPED, Why.GONE, now
        else:
            _go_on(
                run, steps[run.version_id], groups[run.group_id], owners.get(run.group_id), now, taken, given, sending
            )
    group_steps.send(sending, now=now)
    GroupStepDone.objects.bulk_create(taken)
    actions.give(given)
    actions.withdraw(source=Action.Source.GROUP_SOP, source_ids=gone, now=now)
    GroupRun.objects.bulk_update(runs, ["position", "due_at", "status", "why", "ended_at"])
    return len(runs)


# the owner's guide if she works somewhere now, and where
OWNERS = """
    SELECT k.id, g.id, s.id, g.name, s.name FROM campaigns_group k
    JOIN guides_guide g ON g.id = k.owner_id
    JOIN LATERAL (
        SELECT e.store_id FROM guides_employment e WHERE e.guide_id = g.id AND e.started_at <= %(now)s
        AND (e.ended_at IS NULL OR e.ended_at > %(now)s) ORDER BY e.started_at DESC LIMIT 1
    ) e ON true
    JOIN scrm_store s ON s.id = e.store_id
    WHERE k.id = ANY(%(groups)s)
"""
Owner = tuple[int, int, str, str]


def _go_on(
    run: GroupRun,
    steps: dict[int, rules.Step],
    group: Group,
    owner: Owner | None,
    now: dt.datetime,
    taken: list[GroupStepDone],
    given: list[NewAction],
    sending: group_steps.Sending,
) -> None:
    while run.due_at <= now:
        step = steps[run.position]
        done = GroupStepDone(run=run, position=step.position, result=Result.NOBODY, at=now)
        if now - run.due_at >= rules.LATE:
            done.result = Result.PASSED
        elif owner is not None and step.kind == "GROUP_SEND":
            done.result = Result.SENT
            sending.setdefault((group.corp_id, run.version_id, step), []).append((group.pk, done))
        elif owner is not None:
            done.result = Result.GIVEN
            given.append(_post(run, step, group, owner, now))
        taken.append(done)
        following = rules.follower(steps, step, None)
        if following == rules.END:
            run.status, run.why, run.ended_at = Status.DONE, Why.THROUGH, now
            return
        run.position, run.due_at = following, rules.planned(run.due_at, steps[following])


def _post(run: GroupRun, step: rules.Step, group: Group, owner: Owner, now: dt.datetime) -> NewAction:
    guide_id, store_id, guide, store = owner
    name, is_notice = group.name or "客户群", step.kind == "GROUP_NOTICE"
    text = texts.render(step.text, customer="", guide=guide, store=store, group=name)
    return NewAction(
        key=handed.key_of(run.pk, step.position, of_group=True), guide_id=guide_id, store_id=store_id, member_id=None,
        kind=Action.Kind.GROUP_NOTICE if is_notice else Action.Kind.GROUP_POST, source=Action.Source.GROUP_SOP, source_id=run.pk, title=step.title,
        reason=(f"请把“{name}”的群公告改成以下内容" if is_notice else f"请发到“{name}”")[:150] + f"（{run.version.sop.name[:40]}）", text=text, starts_at=now,
        due_at=now + dt.timedelta(hours=step.valid_hours), minutes=step.minutes,
    )  # fmt: skip
