"""What people do to a send under way: reminding, cancelling, sending the rest; and the sweep that keeps sends going."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns.models import Recipient, Send, SendBatch
from campaigns.sends import handing, planning, results, stopping, targets
from campaigns.sends.planning import BadSend
from scrm import audit, db, jobs
from scrm.models import Job, OutboxMessage
from scrm.wecom import corps, errors, mass_sends, outbox
from scrm.wecom.outbox import Intent

REMIND, STOP = "send.remind", "send.stop"
REMIND_TOPIC = "campaigns.send_remind"
AT_ONCE = 200  # tasks of one transaction
REMINDERS_APART = dt.timedelta(hours=8)  # WeCom takes three a day

Status, State = SendBatch.Status, Recipient.State
OPEN = (Status.PLANNED, Status.QUEUED, Status.MADE)


def register() -> None:
    """Called from ``AppConfig.ready``. A reminder too many is refused by WeCom."""
    stopping.register()
    outbox.register(REMIND_TOPIC, send=_remind, settle=_nothing, is_repeatable=True)


@transaction.atomic
def remind(*, send: Send, actor: Any, now: dt.datetime) -> int:
    """Have every guide reminded who has not confirmed and was not reminded within REMINDERS_APART; how many. A job does it."""
    row = planning.locked(send.pk, Send.Status.SENDING)
    if row.job is not None and row.job.kind == REMIND and row.job.status in (Job.Status.QUEUED, Job.Status.RUNNING):
        raise BadSend(_("The guides are being reminded already."))
    count = _to_remind(row.pk, now).count()
    if count:
        row.job = jobs.enqueue(REMIND, actor=actor, params={"send": row.pk, "at": now.isoformat()})
        row.save(update_fields=["job"])
        audit.record(actor=actor, verb="send.remind", target=row, tasks=count)
    return count


def work_remind(progress: jobs.Progress) -> dict[str, Any]:
    """In parts, each its own transaction; who is reminded is not due again, so that a killed run goes on."""
    send_id, at = progress.job.params["send"], dt.datetime.fromisoformat(progress.job.params["at"])
    progress.stage(REMIND, _to_remind(send_id, at).count())
    count = 0
    while found := _remind_some(send_id, at):
        count += found
        progress.done(count)
    return {"tasks": count}


@transaction.atomic(durable=True)
def _remind_some(send_id: int, at: dt.datetime) -> int:
    # the tasks before their send, as whatever ends a task does
    ids = list(_to_remind(send_id, at).order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    waiting = db.lock(_to_remind(send_id, at).filter(pk__in=ids))
    send = Send.objects.select_related("corp").get(pk=send_id)
    if send.status != Send.Status.SENDING:
        return 0
    for batch in waiting:
        key = f"{batch.msgid} {at.isoformat(timespec='seconds')}"
        outbox.enqueue(topic=REMIND_TOPIC, corp=send.corp, key=key, payload={"msgid": batch.msgid}, now=at)
    SendBatch.objects.filter(pk__in=[batch.pk for batch in waiting]).update(reminded_at=at)
    return len(waiting)


def _to_remind(send_id: int, at: dt.datetime) -> Any:
    is_due = Q(reminded_at=None) | Q(reminded_at__lte=at - REMINDERS_APART)
    return SendBatch.objects.filter(is_due, send=send_id, status=Status.MADE, confirmed_at=None)


@transaction.atomic
def cancel(*, send: Send, actor: Any, now: dt.datetime) -> int:
    """Stop it: nothing more is handed over from now on, and a job takes unconfirmed tasks back. How many tasks are open."""
    row = planning.locked(send.pk, Send.Status.PLANNING, Send.Status.PLANNED, Send.Status.ASKED, Send.Status.SENDING)
    row.status, row.ended_at = Send.Status.CANCELLED, now
    if row.job is not None:
        jobs.cancel(job=row.job, actor=actor)
    count = SendBatch.objects.filter(send=row, status__in=OPEN).count()
    if count:
        row.job = jobs.enqueue(STOP, actor=actor, params={"send": row.pk})
    row.save(update_fields=["status", "ended_at", "job"])
    audit.record(actor=actor, verb="send.cancel", target=row)
    return count


def work_stop(progress: jobs.Progress) -> dict[str, Any]:
    send_id = progress.job.params["send"]
    progress.stage(STOP, SendBatch.objects.filter(send=send_id, status__in=OPEN).count())
    return {"tasks": _stop_open(send_id, timezone.now(), done=progress.done)}


def _stop_open(send_id: int, now: dt.datetime, done: Any = None) -> int:
    """Each task in a transaction of its own, in the order in which the outbox takes its locks; the sweep goes on where this
    was cut short."""
    ids = list(SendBatch.objects.filter(send=send_id, status__in=OPEN).order_by("pk").values_list("pk", flat=True))
    for count, pk in enumerate(ids, start=1):
        _stop_one(pk, now)
        if done is not None and count % AT_ONCE == 0:
            done(count)
    return len(ids)


@transaction.atomic
def _stop_one(batch_id: int, now: dt.datetime) -> None:
    batch = SendBatch.objects.get(pk=batch_id)
    if batch.status == Status.QUEUED:
        waiting = OutboxMessage.objects.filter(
            topic=handing.TOPIC, key=handing.key_of(batch), status=OutboxMessage.Status.WAITING
        )
        for message in waiting:
            with suppress(outbox.NotPossible):  # it has just left: what WeCom makes of it is taken back
                outbox.cancel(message=message, actor=None, now=now)
        return
    batch = SendBatch.objects.select_for_update(of=("self",)).get(pk=batch_id)
    if batch.status == Status.PLANNED:
        results.end(batch, now=now, status=Status.CANCELLED)
    elif batch.status == Status.MADE and batch.confirmed_at is None:
        results.take_back(batch, now=now)


@transaction.atomic
def send_rest(*, send: Send, actor: Any, now: dt.datetime) -> Send:
    """A send of its own to those whom this one did not reach although it was meant to: decided on anew, once."""
    row = planning.locked(send.pk, Send.Status.ENDED, Send.Status.CANCELLED)
    if SendBatch.objects.filter(send=row, status__in=OPEN).exists():
        raise BadSend(_("Tasks of this send are still being taken back. Try again in a few minutes."))
    if Send.objects.filter(rest_of=row).exclude(status=Send.Status.CANCELLED).exists():
        raise BadSend(_("The rest of this send has been sent again already."))
    if not targets.of(row).model.objects.filter(send=row, state__in=(State.LEFT, State.OVER_QUOTA)).exists():
        raise BadSend(_("This send has reached everybody it was meant to."))
    return planning.draft(
        corp=row.corp, name=_("%(name)s (rest)") % {"name": row.name[:58]}, text=row.text, link_title=row.link_title,
        link_url=row.link_url, due_at=now, rest_of=row, actor=actor,
    )  # fmt: skip


def sweep(*, now: dt.datetime) -> int:
    """What keeps sends going without a broker and after a kill: hand over what is due, ask about what is out."""
    for pk in list(
        Send.objects.filter(status=Send.Status.SENDING, due_at__lte=now).order_by("pk").values_list("pk", flat=True)
    ):
        handing.hand_over(send_id=pk, now=now)
    for pk in list(
        Send.objects.filter(status=Send.Status.CANCELLED, batches__status__in=OPEN)
        .distinct()
        .values_list("pk", flat=True)
    ):
        _stop_open(pk, now)
    stopping.obey(now=now)
    return results.poll_due(now=now)


def _remind(intent: Intent) -> dict[str, Any]:
    mass_sends.remind(corps.app_of(intent.corp), intent.payload["msgid"])
    return {}


def _nothing(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    """The outbox keeps what became of it."""
