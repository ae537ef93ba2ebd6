"""Handing a moment over: files up, guides looked at again, one message to WeCom, asked for once; and taking it back."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from campaigns import content_media
from campaigns.models import FileUpload, Moment, MomentPost
from campaigns.moments import planning, reading
from campaigns.moments.planning import CANCEL_TOPIC, TOPIC
from scrm.wecom import corps, errors, outbox
from scrm.wecom import moments as wecom
from scrm.wecom.outbox import Intent, Verdict

LATEST = dt.timedelta(days=1)  # a moment that could not be made by then is made no more
SKEW = dt.timedelta(minutes=5)
JOB_LASTS = dt.timedelta(minutes=15)  # so long WeCom may be making one that its records do not show yet

Status, State, Reason = Moment.Status, MomentPost.State, MomentPost.Reason


def register() -> None:
    """Called from ``AppConfig.ready``. Making a moment twice would show everybody two; cancelling twice is cancelling."""
    outbox.register(TOPIC, send=_send, settle=_settle, is_repeatable=False, reconcile=_reconcile)
    outbox.register(CANCEL_TOPIC, send=_stop, settle=_stopped, is_repeatable=True)


def sweep(*, now: dt.datetime) -> None:
    """What keeps moments going without a broker and after a kill."""
    hand_over_due(now=now)
    reading.poll_due(now=now)
    reading.react_due(now=now)
    reading.read_own(now=now)


def hand_over_due(*, now: dt.datetime) -> int:
    """Ask WeCom for the moments whose time has come; how many."""
    due = Moment.objects.filter(status=Status.MAKING, handed_at=None, due_at__lte=now).select_related("corp")
    count = 0
    for moment in due.order_by("due_at", "pk"):
        versions = planning.versions_of(moment)
        if content_media.have_ready(versions=versions, corp=moment.corp, use=FileUpload.Use.MOMENT, now=now):
            count += _hand_over(moment.pk, now)
    return count


@transaction.atomic(durable=True)
def _hand_over(moment_id: int, now: dt.datetime) -> bool:
    row = planning.locked(moment_id)
    if row.status != Status.MAKING or row.handed_at is not None:
        return False
    with connection.cursor() as cursor:  # two moments never count the same month at once
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('moments of a month ' || %s, 0))", [row.corp_id])
    row.handed_at = now
    if not planning.look_again(row, now=now):
        row.status, row.ended_at = Status.ENDED, now
        row.save()
        return False
    row.save(update_fields=["handed_at"])
    outbox.enqueue(
        topic=TOPIC, corp=row.corp, key=str(row.pk), payload={"moment": row.pk}, now=now, expires_at=now + LATEST
    )
    return True


# --- the messages to WeCom --------------------------------------------------------------------------------------------


def _send(intent: Intent) -> dict[str, Any]:
    moment = Moment.objects.get(pk=intent.payload["moment"])
    if moment.status != Status.MAKING:
        return {"job": "", "moment_id": ""}
    shown: dict[str, Any] = {}
    for version, _kind in planning.versions_of(moment):
        assert version.file is not None
        row = content_media.ready(file=version.file, corp=intent.corp, use=FileUpload.Use.MOMENT, now=timezone.now())
        if moment.kind == "image":
            shown.setdefault("image_ids", []).append(row.media_id)
        elif moment.kind == "video":
            shown["video_id"] = row.media_id
        else:
            shown["link"] = wecom.Link(version.title, version.url, row.media_id)
    job = wecom.create(corps.app_of(intent.corp), text=moment.text, userids=_userids(moment), **shown)
    return {"job": job, "moment_id": ""}


def _userids(moment: Moment) -> list[str]:
    rows = MomentPost.objects.filter(moment=moment, state=State.PLANNED)
    return list(rows.order_by("pk").values_list("userid", flat=True))


def _settle(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    """In the transaction that ends the message."""
    moment, now = planning.locked(intent.payload["moment"]), timezone.now()
    if answer is not None and answer["moment_id"]:  # found in WeCom's records
        reading.made(moment, answer["moment_id"], now=now)
    elif answer is not None and answer["job"]:
        moment.wecom_job, moment.poll_at, moment.error_code = answer["job"], now + reading.JOB_LOOK, ""
        moment.save()
    else:
        reading.fail(moment, error.code if error else "", now=now)


def _reconcile(intent: Intent) -> Verdict:
    """Whether the moment was made although no answer came. The records show it only when WeCom's job has ended."""
    moment = Moment.objects.get(pk=intent.payload["moment"])
    try:
        found = find(moment, corps.app_of(intent.corp), since=intent.created_at - SKEW, now=timezone.now())
    except errors.NotYet:
        return Verdict.CANNOT_TELL
    if found:
        return Verdict.done({"job": "", "moment_id": found})
    return Verdict.NOT_DONE if timezone.now() - intent.created_at >= JOB_LASTS else Verdict.CANNOT_TELL


def find(moment: Moment, app: Any, *, since: dt.datetime, now: dt.datetime) -> str:
    """WeCom's id of the moment among its records: the same words, given to guides of ours, and nobody else's here."""
    ours = set(MomentPost.objects.filter(moment=moment).exclude(userid="").values_list("userid", flat=True))
    until = min(now + SKEW, since + wecom.LONGEST_PERIOD)
    for record in wecom.recent(app, since=since, until=until, made_by=wecom.CORP):
        if record.text != moment.text or record.media != moment.kind:
            continue
        if Moment.objects.filter(moment_id=record.moment_id).exists():
            continue
        theirs = {task.userid.lower() for task in wecom.tasks(app, record.moment_id)}
        if theirs and theirs <= ours:
            return record.moment_id
    return ""


def _stop(intent: Intent) -> dict[str, Any]:
    """Stopped first, then asked who was faster."""
    app, moment_id = corps.app_of(intent.corp), intent.payload["moment_id"]
    with suppress(errors.TooLate):  # stopped already
        wecom.cancel(app, moment_id)
    return {"published": sorted(task.userid.lower() for task in wecom.tasks(app, moment_id) if task.is_published)}


def _stopped(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    moment, now = planning.locked(intent.payload["moment"]), timezone.now()
    if answer is None and not isinstance(error, errors.NotFound):  # the guides still have it: read on, asked again
        Moment.objects.filter(pk=moment.pk).update(
            error_code=error.code if error else "", poll_at=now + reading.ASKED_AGAIN
        )
        return
    reading.mark(moment, answer["published"] if answer else (), now=now)
    reading.end(moment, now=now)
