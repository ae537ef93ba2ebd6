"""A no that comes while a task waits for its guide (S7): the task is taken back and made again without her.

1. Once a minute the tasks are found that nobody has confirmed and that hold a member who has meanwhile withdrawn.
2. Such a task is cancelled at WeCom first; then WeCom is asked whether the guide was faster. Only if she was not is the task
   made again, without whoever has withdrawn: nobody is sent to twice.
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

TOPIC = "campaigns.send_renew"

Status, State, Reason = SendBatch.Status, Recipient.State, Recipient.Reason

TOUCHED = """
    SELECT DISTINCT b.id FROM members_consent c
    JOIN campaigns_recipient r ON r.member_id = c.member_id AND r.contacted_at IS NOT NULL AND r.state = 'PLANNED'
    JOIN campaigns_sendbatch b ON b.id = r.batch_id AND b.status = 'MADE' AND b.confirmed_at IS NULL
    WHERE c.purpose = %(purpose)s AND NOT c.is_given AND c.withdrawn_at > %(since)s
    ORDER BY b.id
"""


def register() -> None:
    outbox.register(TOPIC, send=_stop, settle=_settle, is_repeatable=True)


def obey(*, now: dt.datetime) -> int:
    """Have every such task stopped; how many."""
    since = now - results.EXPIRES_AFTER - handing.LATEST
    with connection.cursor() as cursor:
        cursor.execute(TOUCHED, {"purpose": Purpose.WECOM_MARKETING.value, "since": since})
        found = [pk for (pk,) in cursor.fetchall()]
    for pk in found:
        _have_stopped(pk, now)
    return len(found)


@transaction.atomic
def _have_stopped(batch_id: int, now: dt.datetime) -> None:
    batch = SendBatch.objects.select_for_update(of=("self",)).select_related("send__corp").get(pk=batch_id)
    if batch.status != Status.MADE or batch.confirmed_at is not None:
        return
    payload = {"batch": batch.pk, "msgid": batch.msgid, "userid": batch.userid}
    outbox.enqueue(topic=TOPIC, corp=batch.send.corp, key=str(batch.msgid), payload=payload, now=now)


def _stop(intent: Intent) -> dict[str, Any]:
    app, wish = corps.app_of(intent.corp), intent.payload
    with suppress(errors.TooLate):  # cancelled already
        mass_sends.cancel(app, wish["msgid"])
    tasks = {task.userid.lower(): task.status for task in mass_sends.tasks(app, wish["msgid"])}
    return {"was_faster": tasks.get(wish["userid"]) == mass_sends.TASK_SENT}


def _settle(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    wish, now = intent.payload, timezone.now()
    batch = SendBatch.objects.select_for_update(of=("self",)).get(pk=wish["batch"])
    if batch.status != Status.MADE or batch.msgid != wish["msgid"] or answer is None:
        return
    if answer["was_faster"]:  # her results are read as ever
        SendBatch.objects.filter(pk=batch.pk).update(poll_at=now)
        return
    rows = Recipient.objects.filter(batch=batch, state=State.PLANNED)
    members = list(rows.values_list("member_id", flat=True))
    refusing = consent.refusing(member_ids=members, purpose=Purpose.WECOM_MARKETING)
    batch.excluded_count += rows.filter(member__in=refusing).update(
        state=State.EXCLUDED, reason=Reason.NO_CONSENT, contacted_at=None
    )
    if not rows.exists():
        results.end(batch, now=now)
        return
    batch.round_no += 1
    handing.ask(batch, Send.objects.select_related("corp").get(pk=batch.send_id), now=now)
