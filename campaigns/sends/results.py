"""What became of the tasks: asked for at a growing pace, written by set, ended once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from typing import Any

import structlog
from django.db import connection, transaction
from django.utils import timezone

from campaigns.models import Recipient, Send, SendBatch
from campaigns.sends import targets
from scrm import db
from scrm.errors import RuleViolation
from scrm.wecom import corps, mass_sends, outbox
from scrm.wecom.mass_sends import Result

FIRST_LOOK = dt.timedelta(minutes=1)
ASKED_AGAIN = dt.timedelta(minutes=10)  # after an error
EXPIRES_AFTER = dt.timedelta(days=3)  # a task nobody has confirmed by then is taken back
SETTLES_AFTER = dt.timedelta(hours=1)  # of a confirmed task: who has no result by then is not sent to
BATCHES_AT_ONCE = 500
CANCEL_TOPIC = "campaigns.send_cancel"

Status, State = SendBatch.Status, Recipient.State
STATES = {
    mass_sends.SENT: State.SENT,
    mass_sends.NOT_FRIENDS: State.NOT_FRIENDS,
    mass_sends.OVER_QUOTA: State.OVER_QUOTA,
}
log = structlog.get_logger(__name__)

# What was not sent counts against nobody's contact budget; what was, from the moment it was.
WRITE = """
    UPDATE {table} r
    SET state = n.state, sent_at = CASE n.state WHEN 'SENT' THEN n.at END, contacted_at = CASE n.state WHEN 'SENT' THEN n.at END
    FROM unnest(%(keys)s::bigint[], %(states)s::text[], %(times)s::timestamptz[]) AS n (key, state, at)
    WHERE r.batch_id = %(batch)s AND r.{key} = n.key AND r.state = 'PLANNED'
"""


# --- pure ---


def pace(age: dt.timedelta, *, is_confirmed: bool) -> dt.timedelta:
    """How long until a task of this age is asked about again: guides confirm in the first hours or the next morning."""
    if is_confirmed:
        return dt.timedelta(minutes=2)
    if age < dt.timedelta(hours=2):
        return dt.timedelta(minutes=5)
    return dt.timedelta(minutes=30) if age < dt.timedelta(days=1) else dt.timedelta(hours=3)


# --- operations ---


def poll_due(*, now: dt.datetime, limit: int = BATCHES_AT_ONCE) -> int:
    """Ask WeCom about the tasks whose time has come; how many were asked about. An error leaves its task for later."""
    due = SendBatch.objects.filter(poll_at__lte=now).order_by("poll_at", "pk").values_list("pk", flat=True)[:limit]
    count = 0
    for pk in list(due):
        with db.advisory_lock(f"send batch {pk}") as is_ours:
            if not is_ours:
                continue
            try:
                count += poll(batch_id=pk, now=now)
            except RuleViolation as error:
                log.warning("send_poll_failed", batch_id=pk, code=error.code)
                SendBatch.objects.filter(pk=pk).update(poll_at=now + ASKED_AGAIN, error_code=error.code)
    return count


def poll(*, batch_id: int, now: dt.datetime) -> bool:
    """Read one task and what it has sent; the reading is no part of any transaction."""
    batch = SendBatch.objects.select_related("send__corp").get(pk=batch_id)
    if batch.status != Status.MADE or batch.msgid is None:
        return False
    app = corps.app_of(batch.send.corp)
    task = next((one for one in mass_sends.tasks(app, batch.msgid) if one.userid.lower() == batch.userid), None)
    is_confirmed = task is not None and task.status == mass_sends.TASK_SENT
    rows = list(mass_sends.results(app, msgid=batch.msgid, userid=batch.userid)) if is_confirmed else []
    take(batch_id=batch_id, confirmed_at=(task.sent_at or now) if task and is_confirmed else None, rows=rows, now=now)
    return True


@transaction.atomic(durable=True)
def take(*, batch_id: int, confirmed_at: dt.datetime | None, rows: Iterable[Result], now: dt.datetime) -> None:
    """Write what was read. Ended: everybody has her result, or the time is over."""
    batch = SendBatch.objects.select_for_update(of=("self",)).get(pk=batch_id)
    if batch.status != Status.MADE or batch.made_at is None:
        return
    _write(batch, rows, now)
    batch.confirmed_at = batch.confirmed_at or confirmed_at
    batch.error_code = ""
    is_open = targets.of(batch.send).planned(batch).exists()
    if batch.confirmed_at is not None and (not is_open or now - batch.confirmed_at >= SETTLES_AFTER):
        end(batch, now=now)
    else:
        if batch.confirmed_at is None and now - batch.made_at >= EXPIRES_AFTER:
            take_back(batch, now=now)
        batch.poll_at = now + pace(now - batch.made_at, is_confirmed=batch.confirmed_at is not None)
        _count(batch)
        batch.save()


def take_back(batch: SendBatch, *, now: dt.datetime) -> None:
    """Have WeCom take an unconfirmed task away from its guide, which ends it (``stopping``); in the caller's transaction.
    Asked once a day, for WeCom may have refused."""
    corp = Send.objects.select_related("corp").get(pk=batch.send_id).corp
    key = f"{batch.msgid} {timezone.localdate(now)}"
    outbox.enqueue(topic=CANCEL_TOPIC, corp=corp, key=key, payload=named(batch), now=now)


def named(batch: SendBatch) -> dict[str, Any]:
    return {"batch": batch.pk, "msgid": batch.msgid, "userid": batch.userid}


def end(batch: SendBatch, *, now: dt.datetime, status: str = Status.ENDED) -> None:
    """Nothing more happens to a batch; who is still planned was not sent to. In the caller's transaction."""
    targets.of(batch.send).planned(batch).update(state=State.LEFT, contacted_at=None)
    batch.status, batch.poll_at = status, None
    _count(batch)
    batch.save()
    # one at a time: of two last batches that end at once the second sees that the first has ended
    Send.objects.select_for_update(of=("self",)).get(pk=batch.send_id)
    others = SendBatch.objects.filter(send=batch.send_id).exclude(status__in=(Status.ENDED, Status.CANCELLED))
    if not others.exists():
        Send.objects.filter(pk=batch.send_id, status=Send.Status.SENDING).update(status=Send.Status.ENDED, ended_at=now)


def fail(batch: SendBatch, ids: Collection[str] | None) -> None:
    """WeCom would not send to these customers or groups, None: to any of the batch."""
    kind = targets.of(batch.send)
    rows = kind.planned(batch)
    if ids is not None:
        rows = rows.filter(**{f"{kind.key}__in": list(kind.known(batch.send.corp_id, ids).values())})
    rows.update(state=State.NOT_FRIENDS, contacted_at=None)


def _write(batch: SendBatch, rows: Iterable[Result], now: dt.datetime) -> None:
    kind = targets.of(batch.send)
    found = {kind.told(row): row for row in rows if row.status in STATES}
    known = list(kind.known(batch.send.corp_id, found).items())
    with connection.cursor() as cursor:
        cursor.execute(
            WRITE.format(table=kind.model._meta.db_table, key=kind.key),
            {
                "batch": batch.pk,
                "keys": [key for _id, key in known],
                "states": [str(STATES[found[one].status].value) for one, _key in known],
                "times": [found[one].sent_at or now for one, _key in known],
            },
        )


def _count(batch: SendBatch) -> None:
    states = list(targets.of(batch.send).rows(batch).values_list("state", flat=True))
    batch.sent_count = states.count(State.SENT)
    batch.failed_count = states.count(State.NOT_FRIENDS) + states.count(State.OVER_QUOTA)
    batch.left_count = states.count(State.LEFT)
    batch.excluded_count = states.count(State.EXCLUDED)
