"""The sweep of groups (客户群核对): the groups of every owner are listed, and what no event told is found."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils.translation import gettext as _

from campaigns.communities import groups
from campaigns.models import Group, GroupSweep
from guides.models import Follower
from scrm import audit, db, jobs
from scrm.errors import RuleViolation
from scrm.models import Corp, Job, WecomApp
from scrm.wecom import corps, errors
from scrm.wecom import groups as wecom

KIND = "group_sync"
ZONE = ZoneInfo("Asia/Shanghai")
NIGHT_HOURS = range(3, 24)  # behind the sweep of friends, which begins at two
PAGE = wecom.GROUPS_PER_PAGE


class Reading(RuleViolation):
    code = "group_sweep_under_way"


@transaction.atomic
def start_by_hand(*, corp: Corp, actor: Any) -> GroupSweep:
    """A sweep between the nights', to be seen at once. Raises Reading while another one of the corp has not ended."""
    db.lock(Corp.objects.filter(pk=corp.pk))
    waiting = Job.objects.filter(kind=KIND, status__in=(Job.Status.QUEUED, Job.Status.RUNNING), params__corp=corp.pk)
    if waiting.exists():
        raise Reading(_("The groups of this corp are being read already."))
    job = start_now(corp=corp, actor=actor)
    audit.record(actor=actor, verb="group.read_all", target=corp)
    return GroupSweep.objects.create(job=job, corp=corp, started_at=db.clock())


def start_now(*, corp: Corp, actor: Any, key: str | None = None) -> Job:
    return jobs.enqueue(KIND, actor=actor, params={"corp": corp.pk}, key=key)


def start_daily(*, now: dt.datetime) -> list[Job]:
    """The sweep of this business day of each corp that has an app, once; one that WeCom has cut short goes on each hour."""
    today = now.astimezone(ZONE)
    if today.hour not in NIGHT_HOURS:
        return []
    found = Corp.objects.filter(apps__kind=WecomApp.Kind.SELF_BUILT).distinct().order_by("pk")
    started = [start_now(corp=corp, actor=None, key=f"{KIND} {corp.pk} {today:%Y-%m-%d}") for corp in found]
    cut_short = GroupSweep.objects.filter(job__in=started, job__status=Job.Status.FAILED, ended_at=None)
    return started + [
        jobs.enqueue(
            KIND, actor=None, params={"sweep": sweep.pk, "corp": sweep.corp_id},
            key=f"{KIND} sweep {sweep.pk} {today:%H}",
        )
        for sweep in cut_short
    ]  # fmt: skip


def run(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``group_sync``. Raises AppMissing, and Retryable of WeCom: then it goes on an hour later."""
    sweep = _sweep_of(progress.job)
    app = corps.app_of(sweep.corp)
    owners = _owners(sweep.corp)
    progress.stage("group_lists", len(owners))
    left = [owner for owner in owners if owner > sweep.reached]
    while left:
        batch, left = left[: wecom.OWNERS_PER_CALL], left[wecom.OWNERS_PER_CALL :]
        _list(sweep, app, batch)
        progress.done(len(owners) - len(left))
    if sweep.ended_at is None:
        _finish(sweep)
    return {
        "listed_groups": sweep.listed_count, "new_groups": sweep.new_count, "missing_groups": sweep.missing_count,
        "unseen_owners": sweep.unseen_count,
    }  # fmt: skip


def _sweep_of(job: Job) -> GroupSweep:
    if "sweep" in job.params:
        return GroupSweep.objects.select_related("corp").get(pk=job.params["sweep"])
    sweep, _is_new = GroupSweep.objects.get_or_create(
        job=job, defaults={"corp_id": job.params["corp"], "started_at": db.clock()}
    )
    return sweep


def _owners(corp: Corp) -> list[str]:
    """Whoever may have customers, and whoever has a group that we know: one who has left is still asked for."""
    listed = Follower.objects.filter(corp=corp, is_listed=True).values_list("userid", flat=True)
    known = Group.objects.filter(corp=corp, dissolved_at=None).exclude(owner_userid="")
    return sorted({*listed, *known.values_list("owner_userid", flat=True)})


def _list(sweep: GroupSweep, app: WecomApp, batch: Sequence[str]) -> None:
    """One page after the other; the last of a batch moves the sweep on. Where WeCom will not let us ask for one of the
    owners the others are asked for one by one."""
    try:
        pages = list(_pages(wecom.of_owners(app, batch)))
    except errors.Retryable:
        raise
    except errors.WecomError:
        if len(batch) > 1:
            for owner in batch:
                _list(sweep, app, [owner])
            return
        pages, sweep.unseen_count = [[]], sweep.unseen_count + 1
    for place, page in enumerate(pages, start=1):
        with transaction.atomic():
            _keep(sweep, page)
            if place == len(pages):
                sweep.reached = batch[-1]
            sweep.save(update_fields=["reached", "listed_count", "new_count", "unseen_count"])


def _pages(rows: Iterator[wecom.Listed]) -> Iterator[list[wecom.Listed]]:
    """At least one, so that owners without groups are behind us too."""
    yield list(islice(rows, PAGE))
    while page := list(islice(rows, PAGE)):
        yield page


def _keep(sweep: GroupSweep, page: Sequence[wecom.Listed]) -> None:
    now, statuses = db.clock(), {row.chat_id: row.status for row in page}
    there = set(Group.objects.filter(corp=sweep.corp, chat_id__in=statuses).values_list("chat_id", flat=True))
    new = [Group(corp=sweep.corp, chat_id=chat_id, asked_at=now) for chat_id in statuses if chat_id not in there]
    Group.objects.bulk_create(new, ignore_conflicts=True)
    rows = db.lock(Group.objects.filter(corp=sweep.corp, chat_id__in=statuses))
    for row in rows:
        known = statuses[row.chat_id] in Group.Status.values
        row.status, row.listed_at = statuses[row.chat_id] if known else row.status, now
    Group.objects.bulk_update(rows, ["status", "listed_at"], batch_size=500)
    groups.ask([row.pk for row in rows])
    sweep.listed_count, sweep.new_count = sweep.listed_count + len(rows), sweep.new_count + len(new)


@transaction.atomic
def _finish(sweep: GroupSweep) -> None:
    """What is listed no more is read too: only WeCom's word on the group itself says that it is gone."""
    unlisted = Group.objects.filter(corp=sweep.corp, dissolved_at=None, asked_at__lt=sweep.started_at)
    missing = list(unlisted.order_by("pk").values_list("pk", flat=True))
    groups.ask(missing)
    sweep.missing_count, sweep.ended_at = len(missing), db.clock()
    sweep.save(update_fields=["missing_count", "ended_at"])
