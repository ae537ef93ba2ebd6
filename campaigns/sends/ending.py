"""What people do to a send under way: reminding, cancelling, sending the rest; and the sweep that keeps sends going."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from campaigns.models import Recipient, Send, SendBatch
from campaigns.sends import handing, planning, results, stopping
from campaigns.sends.planning import BadSend
from scrm import audit, db, jobs
from scrm.models import OutboxMessage
from scrm.wecom import corps, errors, mass_sends, outbox
from scrm.wecom.outbox import Intent

REMIND_TOPIC = "campaigns.send_remind"
REMINDERS_APART = dt.timedelta(hours=8)  # WeCom takes three a day

Status, State = SendBatch.Status, Recipient.State
OPEN = (Status.PLANNED, Status.QUEUED, Status.MADE)


def register() -> None:
    """Called from ``AppConfig.ready``. A reminder too many is refused by WeCom."""
    stopping.register()
    outbox.register(REMIND_TOPIC, send=_remind, settle=_nothing, is_repeatable=True)


@transaction.atomic
def remind(*, send: Send, actor: Any, now: dt.datetime) -> int:
    """Remind every guide who has not confirmed and was not reminded within REMINDERS_APART; how many."""
    is_due = Q(reminded_at=None) | Q(reminded_at__lte=now - REMINDERS_APART)
    # the tasks before their send, as whatever ends a task does
    waiting = db.lock(SendBatch.objects.filter(is_due, send=send.pk, status=Status.MADE, confirmed_at=None))
    row = planning.locked(send.pk, Send.Status.SENDING)
    for batch in waiting:
        key = f"{batch.msgid} {now.isoformat(timespec='seconds')}"
        outbox.enqueue(topic=REMIND_TOPIC, corp=row.corp, key=key, payload={"msgid": batch.msgid}, now=now)
    SendBatch.objects.filter(pk__in=[batch.pk for batch in waiting]).update(reminded_at=now)
    audit.record(actor=actor, verb="send.remind", target=row, tasks=len(waiting))
    return len(waiting)


def cancel(*, send: Send, actor: Any, now: dt.datetime) -> int:
    """Stop it: nothing more is handed over, unconfirmed tasks are taken back. How many tasks were open."""
    _mark_cancelled(send.pk, actor, now)
    return _stop_open(send.pk, now)


@transaction.atomic
def _mark_cancelled(send_id: int, actor: Any, now: dt.datetime) -> None:
    row = planning.locked(send_id, Send.Status.PLANNING, Send.Status.PLANNED, Send.Status.ASKED, Send.Status.SENDING)
    row.status, row.ended_at = Send.Status.CANCELLED, now
    row.save(update_fields=["status", "ended_at"])
    if row.job is not None:
        jobs.cancel(job=row.job, actor=actor)
    audit.record(actor=actor, verb="send.cancel", target=row)


def _stop_open(send_id: int, now: dt.datetime) -> int:
    """Each task in a transaction of its own, in the order in which the outbox takes its locks; the sweep goes on where this
    was cut short."""
    ids = list(SendBatch.objects.filter(send=send_id, status__in=OPEN).order_by("pk").values_list("pk", flat=True))
    for pk in ids:
        _stop_one(pk, now)
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
    if not Recipient.objects.filter(send=row, state__in=(State.LEFT, State.OVER_QUOTA)).exists():
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
