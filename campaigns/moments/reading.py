"""What became of moments: WeCom's job, who has published, who saw and liked it, and what guides post themselves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Q

from campaigns.models import Moment, MomentPost, OwnMomentReading
from campaigns.moments import planning
from guides.models import Employment, Guide
from scrm import db
from scrm.errors import RuleViolation
from scrm.models import Corp
from scrm.wecom import corps, errors
from scrm.wecom import moments as wecom

JOB_LOOK = dt.timedelta(seconds=20)
ASKED_AGAIN = dt.timedelta(minutes=10)  # after an error
EXPIRES_AFTER = dt.timedelta(days=7)
COUNTED_FOR = dt.timedelta(days=30)
OWN_EVERY, OVERLAP = dt.timedelta(hours=1), dt.timedelta(hours=2)
POSTS_AT_ONCE = 300

Status, State, Reason = Moment.Status, MomentPost.State, MomentPost.Reason
log = structlog.get_logger(__name__)


# --- pure ---


def pace(age: dt.timedelta) -> dt.timedelta:
    """How long until it is asked again who has published a moment of this age."""
    if age < dt.timedelta(hours=2):
        return dt.timedelta(minutes=10)
    return dt.timedelta(minutes=30) if age < dt.timedelta(days=1) else dt.timedelta(hours=3)


def likes_pace(age: dt.timedelta) -> dt.timedelta | None:
    """How long until likes and comments are counted again; None: not any more."""
    if age >= COUNTED_FOR:
        return None
    if age < dt.timedelta(days=1):
        return dt.timedelta(hours=1)
    return dt.timedelta(hours=6) if age < dt.timedelta(days=3) else dt.timedelta(days=1)


# --- HQ's moments ---


def poll_due(*, now: dt.datetime) -> int:
    """Ask about the moments whose time has come; an error leaves its moment for later."""
    due = list(Moment.objects.filter(poll_at__lte=now).order_by("poll_at", "pk").values_list("pk", flat=True))
    for pk in due:
        with db.advisory_lock(f"moment {pk}") as is_ours:
            if not is_ours:
                continue
            try:
                poll(moment_id=pk, now=now)
            except RuleViolation as error:
                log.warning("moment_poll_failed", moment_id=pk, code=error.code)
                Moment.objects.filter(pk=pk).update(poll_at=now + ASKED_AGAIN, error_code=error.code)
    return len(due)


def poll(*, moment_id: int, now: dt.datetime) -> None:
    """The job first, then who has published; the reading is no part of any transaction."""
    moment = Moment.objects.select_related("corp").get(pk=moment_id)
    app = corps.app_of(moment.corp)
    if moment.moment_id is None:
        _take_job(moment, _job_of(moment, app, now), now)
        return
    published = [task.userid.lower() for task in wecom.tasks(app, moment.moment_id) if task.is_published]
    _take_tasks(moment.pk, published, now)


def _job_of(moment: Moment, app: Any, now: dt.datetime) -> wecom.Job:
    from campaigns.moments import handing

    try:
        return wecom.job(app, moment.wecom_job)
    except errors.NotFound:  # forgotten after a day: its records last
        assert moment.handed_at is not None
        found = handing.find(moment, app, since=moment.handed_at - handing.SKEW, now=now)
        return wecom.Job(wecom.JOB_DONE, found, errcode=0 if found else -1)


@transaction.atomic(durable=True)
def _take_job(moment: Moment, job: wecom.Job, now: dt.datetime) -> None:
    row = planning.locked(moment.pk)
    if row.moment_id is not None:
        return
    if job.status != wecom.JOB_DONE:
        Moment.objects.filter(pk=row.pk).update(poll_at=now + JOB_LOOK)
    elif job.errcode or not job.moment_id:
        fail(row, f"wecom_{job.errcode}", now=now)
    else:
        refused = [userid.lower() for userid in job.invalid_userids]
        posts = MomentPost.objects.filter(moment=row, state=State.PLANNED, userid__in=refused)
        posts.update(state=State.EXCLUDED, reason=Reason.REFUSED)
        made(row, job.moment_id, now=now)


@transaction.atomic(durable=True)
def _take_tasks(moment_id: int, published: list[str], now: dt.datetime) -> None:
    row = planning.locked(moment_id)
    if row.poll_at is None or row.made_at is None:
        return
    mark(row, published, now=now)
    if not MomentPost.objects.filter(moment=row, state=State.PLANNED).exists():
        end(row, now=now)
        return
    if row.status == Status.CANCELLED or now - row.made_at >= EXPIRES_AFTER:
        planning.take_back(row, now=now)
    Moment.objects.filter(pk=row.pk).update(poll_at=now + pace(now - row.made_at), error_code="")


def made(moment: Moment, moment_id: str, *, now: dt.datetime) -> None:
    """WeCom has it, the guides may publish; cancelled meanwhile: taken back. In the caller's transaction."""
    moment.moment_id, moment.made_at, moment.error_code = moment_id, now, ""
    moment.poll_at = now + JOB_LOOK
    if moment.status == Status.MAKING:
        moment.status = Status.OUT
    moment.save()
    if moment.status == Status.CANCELLED:
        planning.take_back(moment, now=now)


def fail(moment: Moment, code: str, *, now: dt.datetime) -> None:
    """It is not made. In the caller's transaction."""
    if moment.status == Status.MAKING:
        moment.status = Status.FAILED
    moment.error_code, moment.poll_at, moment.ended_at = code, None, moment.ended_at or now
    moment.save()
    planning.leave(moment)


def mark(moment: Moment, userids: Iterable[str], *, now: dt.datetime) -> None:
    """These have published it. WeCom does not say when: the time is that of our first look."""
    rows = MomentPost.objects.filter(moment=moment, state=State.PLANNED, userid__in=list(userids))
    rows.update(state=State.PUBLISHED, posted_at=now, poll_at=now)


def end(moment: Moment, *, now: dt.datetime) -> None:
    """Nobody publishes it any more; likes are counted on. In the caller's transaction."""
    planning.leave(moment)
    if moment.status == Status.OUT:
        moment.status, moment.ended_at = Status.ENDED, now
    moment.poll_at = None
    moment.save()


# --- likes and comments ---


def react_due(*, now: dt.datetime, limit: int = POSTS_AT_ONCE) -> int:
    """Count who sees, likes and comments, guide by guide; how many were counted. A limit of WeCom's ends the round."""
    due = MomentPost.objects.filter(poll_at__lte=now).select_related("moment", "corp").order_by("poll_at", "pk")
    count = 0
    for post in list(due[:limit]):
        with db.advisory_lock(f"moment post {post.pk}") as is_ours:
            if not is_ours:
                continue
            try:
                _count(post, now)
                count += 1
            except errors.RateLimited:
                break
            except RuleViolation as error:
                log.warning("moment_post_not_counted", post_id=post.pk, code=error.code)
                MomentPost.objects.filter(pk=post.pk).update(poll_at=now + OWN_EVERY if _is_young(post, now) else None)
    return count


def _is_young(post: MomentPost, now: dt.datetime) -> bool:
    return post.posted_at is not None and now - post.posted_at < COUNTED_FOR


def _count(post: MomentPost, now: dt.datetime) -> None:
    """One guide's; only customers count, not colleagues."""
    assert post.posted_at is not None
    app, moment_id = corps.app_of(post.corp), post.moment.moment_id if post.moment else post.own_id
    assert moment_id is not None
    said = wecom.reactions(app, moment_id=moment_id, userid=post.userid)
    seen = sum(1 for _one in wecom.audience(app, moment_id=moment_id, userid=post.userid))
    later = likes_pace(now - post.posted_at)
    MomentPost.objects.filter(pk=post.pk).update(
        like_count=sum(bool(one.external_userid) for one in said.likes),
        comment_count=sum(bool(one.external_userid) for one in said.comments),
        audience_count=seen,
        poll_at=now + later if later else None,
    )


# --- the guides' own moments ---


def read_own(*, now: dt.datetime) -> int:
    """What guides have posted themselves since the last reading, a month back at the first; how many are new."""
    count = 0
    for corp in Corp.objects.order_by("pk"):
        with db.advisory_lock(f"own moments {corp.pk}") as is_ours:
            last = OwnMomentReading.objects.filter(corp=corp).first()
            if not is_ours or (last is not None and now - last.read_until < OWN_EVERY):
                continue
            since = max(last.read_until - OVERLAP if last else now - wecom.LONGEST_PERIOD, now - wecom.LONGEST_PERIOD)
            try:
                found = list(wecom.recent(corps.app_of(corp), since=since, until=now, made_by=wecom.PERSONAL))
            except RuleViolation as error:
                log.warning("own_moments_not_read", corp_id=corp.pk, code=error.code)
                continue
            count += _keep_own(corp, found, now)
    return count


@transaction.atomic(durable=True)
def _keep_own(corp: Corp, found: list[wecom.Moment], now: dt.datetime) -> int:
    guides = {
        (userid or "").lower(): pk
        for pk, userid in Guide.objects.exclude(wecom_userid="").exclude(wecom_userid=None).filter(
            wecom_userid__in={one.creator for one in found} | {one.creator.lower() for one in found}
        ).values_list("pk", "wecom_userid")
    }  # fmt: skip
    stores = stores_now(guides.values(), now)
    known = set(
        MomentPost.objects.filter(corp=corp, own_id__in=[one.moment_id for one in found]).values_list(
            "own_id", flat=True
        )
    )
    rows = [
        MomentPost(
            corp=corp, own_id=one.moment_id, guide_id=guides[one.creator.lower()], userid=one.creator.lower(),
            store_id=stores.get(guides[one.creator.lower()]), state=State.PUBLISHED, kind=one.media, text=one.text[:2000],
            at=one.created_at or now, posted_at=one.created_at or now, poll_at=now,
        )
        for one in found
        if one.creator.lower() in guides and one.moment_id not in known
    ]  # fmt: skip
    MomentPost.objects.bulk_create(rows, batch_size=1000)
    OwnMomentReading.objects.update_or_create(corp=corp, defaults={"read_until": now})
    return len(rows)


def stores_now(guide_ids: Iterable[int], now: dt.datetime) -> dict[int, int]:
    """The store in which each of these guides works."""
    works = Employment.objects.filter(
        Q(ended_at=None) | Q(ended_at__gt=now), guide__in=list(guide_ids), started_at__lte=now
    )
    return dict(works.order_by("guide", "started_at", "pk").values_list("guide_id", "store_id"))
