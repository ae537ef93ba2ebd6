"""Taking tasks back from guides who have not confirmed: the send is cancelled, the time is over, somebody has withdrawn (S7).

1. A task is cancelled at WeCom first; then WeCom is asked whether the guide was faster. If she was, her results are read as
   ever; only if she was not, the task ends here: nobody counts as not sent to who was.
2. If WeCom refuses, the guide still has the task: it stays open and its results are read as ever, until WeCom takes it back
   or she confirms. Only a task that WeCom does not know ends without an answer.
3. Once a minute the tasks are found that nobody has confirmed and that hold a member who has meanwhile said no. Such a task
   is taken back in the same way and made again without her: nobody is sent to twice.
"""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from campaigns.models import Recipient, Send, SendBatch
from campaigns.sends import handing, results
from members import consent
from members.models import Purpose
from scrm.wecom import corps, errors, mass_sends, outbox
from scrm.wecom.outbox import Intent

RENEW_TOPIC = "campaigns.send_renew"

Status, State, Reason = SendBatch.Status, Recipient.State, Recipient.Reason

TOUCHED = """
    SELECT DISTINCT b.id FROM members_consent c
    JOIN campaigns_recipient r ON r.member_id = c.member_id AND r.contacted_at IS NOT NULL AND r.state = 'PLANNED'
    JOIN campaigns_sendbatch b ON b.id = r.batch_id AND b.status = 'MADE' AND b.confirmed_at IS NULL
    WHERE c.purpose = %(purpose)s AND NOT c.is_given AND c.withdrawn_at > %(since)s
    ORDER BY b.id
"""


def register() -> None:
    """Called from ``AppConfig.ready``. Cancelling twice is cancelling."""
    outbox.register(results.CANCEL_TOPIC, send=_stop, settle=_end, is_repeatable=True)
    outbox.register(RENEW_TOPIC, send=_stop, settle=_renew, is_repeatable=True)


def obey(*, now: dt.datetime) -> int:
    """Have every task taken back that holds somebody who has withdrawn; how many."""
    since = now - results.EXPIRES_AFTER - handing.LATEST
    with connection.cursor() as cursor:
        cursor.execute(TOUCHED, {"purpose": Purpose.WECOM_MARKETING.value, "since": since})
        found = [pk for (pk,) in cursor.fetchall()]
    for pk in found:
        _have_renewed(pk, now)
    return len(found)


@transaction.atomic
def _have_renewed(batch_id: int, now: dt.datetime) -> None:
    batch = SendBatch.objects.select_for_update(of=("self",)).select_related("send__corp").get(pk=batch_id)
    if batch.status == Status.MADE and batch.confirmed_at is None:
        outbox.enqueue(
            topic=RENEW_TOPIC, corp=batch.send.corp, key=str(batch.msgid), payload=results.named(batch), now=now
        )


def _stop(intent: Intent) -> dict[str, Any]:
    app, wish = corps.app_of(intent.corp), intent.payload
    with suppress(errors.TooLate):  # cancelled already
        mass_sends.cancel(app, wish["msgid"])
    tasks = {task.userid.lower(): task.status for task in mass_sends.tasks(app, wish["msgid"])}
    return {"was_faster": tasks.get(wish["userid"]) == mass_sends.TASK_SENT}


def _taken_back(intent: Intent, answer: dict[str, Any] | None) -> SendBatch | None:
    """The batch, ours to end; None when it has ended, or when its guide was faster."""
    batch = SendBatch.objects.select_for_update(of=("self",)).get(pk=intent.payload["batch"])
    if batch.status != Status.MADE or batch.msgid != intent.payload["msgid"]:
        return None
    if answer is not None and answer["was_faster"]:
        SendBatch.objects.filter(pk=batch.pk).update(poll_at=timezone.now())
        return None
    return batch


def _end(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    batch, now = _taken_back(intent, answer), timezone.now()
    if batch is None:
        return
    code = error.code if error else ""
    if answer is None and not isinstance(error, errors.NotFound):
        SendBatch.objects.filter(pk=batch.pk).update(error_code=code, poll_at=now + results.ASKED_AGAIN)
        return
    batch.error_code = code
    is_cancelled = Send.objects.filter(pk=batch.send_id, status=Send.Status.CANCELLED).exists()
    results.end(batch, now=now, status=Status.CANCELLED if is_cancelled else Status.ENDED)


def _renew(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    batch, now = _taken_back(intent, answer), timezone.now()
    if batch is None or answer is None:
        return
    rows = Recipient.objects.filter(batch=batch, state=State.PLANNED)
    members = list(rows.values_list("member_id", flat=True))
    refusing = consent.refusing(member_ids=members, purpose=Purpose.WECOM_MARKETING)
    batch.excluded_count += rows.filter(member__in=refusing).update(
        state=State.EXCLUDED, reason=Reason.NO_CONSENT, contacted_at=None
    )
    send = Send.objects.select_related("corp").get(pk=batch.send_id)
    if send.status == Send.Status.CANCELLED or not rows.exists():
        results.end(batch, now=now)
        return
    batch.round_no += 1
    handing.ask(batch, send, now=now)
