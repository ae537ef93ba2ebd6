"""Handing tasks over to WeCom: batch by batch into the outbox, looked at once more, asked for once."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from campaigns import content_media, links, queries
from campaigns.models import Content, ContentVersion, FileUpload, Recipient, Send, SendBatch
from campaigns.sends import choosing, planning, results, targets
from guides import shares
from guides.models import Share
from members import consent
from members.models import Purpose
from scrm import jobs
from scrm.errors import RuleViolation
from scrm.models import Corp
from scrm.wecom import corps, errors, mass_sends, outbox
from scrm.wecom.attachments import Attachment, Link, MiniProgram
from scrm.wecom.outbox import Intent, Verdict

HAND_OVER = "send.hand_over"
TOPIC = "campaigns.send"
LATEST = dt.timedelta(days=1)  # a task that could not be made by then is made no more
SKEW = dt.timedelta(minutes=5)

Status, State = SendBatch.Status, Recipient.State

# Who may not be sent to after all; the friendship is that of the batch's own guide.
LOOKED_AT_AGAIN = """
    UPDATE campaigns_recipient r SET state = 'EXCLUDED', reason = j.reason
    FROM (
        SELECT r.member_id, CASE WHEN m.status <> 'ACTIVE' THEN 'NOT_ACTIVE'
                    WHEN NOT {consent} THEN 'NO_CONSENT'
                    WHEN NOT EXISTS (
                        SELECT 1 FROM guides_friendship f
                        WHERE f.contact_id = r.contact_id AND f.userid = b.userid AND f.ended_at IS NULL AND f.customer_left_at IS NULL)
                    THEN 'NO_FRIEND'
                    WHEN r.member_id IN ({spent}) THEN 'BUDGET' ELSE '' END AS reason
        FROM campaigns_recipient r
        JOIN campaigns_sendbatch b ON b.id = r.batch_id
        JOIN members_member m ON m.id = r.member_id
        WHERE r.batch_id = %(batch)s AND r.state = 'PLANNED'
    ) j
    WHERE r.send_id = %(send)s AND r.member_id = j.member_id AND j.reason <> ''
"""
OF_BATCH = "AND r.member_id IN (SELECT o.member_id FROM campaigns_recipient o WHERE o.batch_id = %(batch)s)"


def register() -> None:
    """Called from ``AppConfig.ready``. Making a task twice would contact everybody twice."""
    outbox.register(TOPIC, send=_send, settle=_settle, is_repeatable=False, reconcile=_reconcile)


def work_hand_over(progress: jobs.Progress) -> dict[str, Any]:
    send = Send.objects.get(pk=progress.job.params["send"])
    progress.stage(HAND_OVER, SendBatch.objects.filter(send=send).count())
    return {"tasks": hand_over(send_id=send.pk, now=timezone.now(), done=progress.done)}


def hand_over(*, send_id: int, now: dt.datetime, done: Any = None) -> int:
    """Put every batch that is due and not yet handed over into the outbox, each in a transaction of its own; how many. The files
    go up first: while WeCom does not take one, nothing is handed over."""
    send = Send.objects.select_related("corp").get(pk=send_id)
    if send.status != Send.Status.SENDING or send.due_at > now or not _files_are_up(send, now):
        return 0
    count = 0
    while _hand_over_next(send_id, now):
        count += 1
        if done is not None:
            done(count)
    return count


@transaction.atomic(durable=True)
def _hand_over_next(send_id: int, now: dt.datetime) -> bool:
    send = Send.objects.select_related("corp").get(pk=send_id)
    if send.status != Send.Status.SENDING or send.due_at > now:
        return False
    batch = _to_hand_over(send).select_for_update(skip_locked=True, of=("self",)).first()
    if batch is None:
        return False
    with connection.cursor() as cursor:
        # two sends never count the same budget at once
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('contact budget ' || %s, 0))", [send.brand_id])
        if not _to_hand_over(send).filter(pk=batch.pk).exists():  # another task of hers was given out meanwhile
            return False
        values: dict[str, Any] = {"send": send.pk, "batch": batch.pk, "brand": send.brand_id, "due": now, "now": now}
        cursor.execute(_looking_again(send), values | choosing.limit(now))
        batch.excluded_count += cursor.rowcount
    if not targets.of(send).planned(batch).update(contacted_at=now):
        results.end(batch, now=now)
        return True
    ask(batch, send, now=now)
    return True


def _to_hand_over(send: Send) -> QuerySet[SendBatch]:
    """Of groups one task of an owner after the other: until she confirms, WeCom's record does not say which groups it is for,
    and a lost answer could not be told from another one's (``_reconcile``)."""
    open_ones = SendBatch.objects.filter(send=send, status=Status.PLANNED).order_by("pk")
    if send.goes_to != Send.GoesTo.GROUPS:
        return open_ones
    on_its_way = SendBatch.objects.filter(
        status=Status.QUEUED, userid=OuterRef("userid"), send__corp=send.corp_id, send__goes_to=Send.GoesTo.GROUPS
    )
    return open_ones.exclude(Exists(on_its_way))


def ask(batch: SendBatch, send: Send, *, now: dt.datetime) -> None:
    """Have WeCom give the task to its guide; in the caller's transaction."""
    batch.status, batch.msgid, batch.poll_at, batch.reminded_at = Status.QUEUED, None, None, None
    batch.save()
    payload = {"batch": batch.pk, "at": now.isoformat()}
    outbox.enqueue(topic=TOPIC, corp=send.corp, key=key_of(batch), payload=payload, now=now, expires_at=now + LATEST)


def key_of(batch: SendBatch) -> str:
    return f"{batch.pk}/{batch.round_no}"


def _looking_again(send: Send) -> str:
    if send.goes_to == Send.GoesTo.GROUPS:
        return choosing.LOOKED_AT_AGAIN.replace("{working}", planning.WORKING)
    asked = consent.allowed_sql(Purpose.WECOM_MARKETING, "r.member_id")
    return LOOKED_AT_AGAIN.replace("{consent}", asked).replace("{spent}", planning.spent_sql(OF_BATCH))


# --- the message to WeCom ---------------------------------------------------------------------------------------------


def _send(intent: Intent) -> dict[str, Any]:
    batch = SendBatch.objects.select_related("send").get(pk=intent.payload["batch"])
    wanted = _still_willing(batch)
    if not wanted:
        return {"msgid": "", "failed": []}
    made = targets.of(batch.send).create(
        corps.app_of(intent.corp), wanted, text=batch.send.text, sender=batch.userid,
        attachments=_attachments(batch, intent.corp, timezone.now()),
    )  # fmt: skip
    return {"msgid": made.msgid, "failed": list(made.failed)}


@transaction.atomic(durable=True)
def _still_willing(batch: SendBatch) -> list[str]:
    """Those of a batch right before WeCom is asked, by their ids there: a no that was committed by now is obeyed (S7), and a
    group that was dissolved by now is left out."""
    SendBatch.objects.select_for_update(of=("self",)).get(pk=batch.pk)
    kind = targets.of(batch.send)
    rows = dict(kind.planned(batch).values_list(kind.who, kind.key))
    unwilling = kind.unwilling(list(rows))
    if unwilling:
        those = kind.planned(batch).filter(**{f"{kind.who}__in": unwilling})
        gone = those.update(state=State.EXCLUDED, reason=kind.no, contacted_at=None)
        SendBatch.objects.filter(pk=batch.pk).update(excluded_count=batch.excluded_count + gone)
    return kind.at_wecom([key for who, key in rows.items() if who not in unwilling and key is not None])


def _settle(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    """In the transaction that ends the message."""
    batch = SendBatch.objects.select_for_update(of=("self",)).get(pk=intent.payload["batch"])
    now = timezone.now()
    is_cancelled = Send.objects.filter(pk=batch.send_id, status=Send.Status.CANCELLED).exists()
    if answer is None or not answer["msgid"]:
        if isinstance(error, errors.NoRecipient):
            results.fail(batch, None)
        batch.error_code = error.code if error else ""
        results.end(batch, now=now, status=Status.CANCELLED if is_cancelled else Status.ENDED)
        return
    results.fail(batch, answer["failed"])
    batch.status, batch.msgid, batch.made_at, batch.error_code = Status.MADE, answer["msgid"], now, ""
    batch.poll_at = now + results.FIRST_LOOK
    batch.save()
    if is_cancelled:  # it was on its way when somebody cancelled
        results.take_back(batch, now=now)


def _reconcile(intent: Intent) -> Verdict:
    """Whether the task was made although no answer came: among WeCom's records of the time one of this guide and these
    customers that is nobody else's here. Of groups WeCom tells only those that were sent to, none before she has confirmed."""
    batch = SendBatch.objects.select_related("send").get(pk=intent.payload["batch"])
    app, since = corps.app_of(intent.corp), dt.datetime.fromisoformat(intent.payload["at"]) - SKEW
    kind = targets.of(batch.send)
    wanted = set(kind.at_wecom(list(kind.planned(batch).values_list(kind.key, flat=True))))
    is_told = kind is targets.CUSTOMERS
    until = min(timezone.now() + SKEW, since + mass_sends.LONGEST_PERIOD)
    for record in mass_sends.recent(app, chat_type=kind.chat_type, since=since, until=until):
        if record.text != batch.send.text or SendBatch.objects.filter(msgid=record.msgid).exists():
            continue
        if batch.userid not in {task.userid.lower() for task in mass_sends.tasks(app, record.msgid)}:
            continue
        theirs = {kind.told(row) for row in mass_sends.results(app, msgid=record.msgid, userid=batch.userid)}
        if theirs <= wanted and (theirs or (not is_told and not record.creator)):
            return Verdict.done({"msgid": record.msgid, "failed": sorted(wanted - theirs) if is_told else []})
    return Verdict.NOT_DONE


def _files_are_up(send: Send, now: dt.datetime) -> bool:
    if not SendBatch.objects.filter(send=send, status=Status.PLANNED).exists():
        return True
    return content_media.have_ready(versions=versions_of(send), corp=send.corp, use=FileUpload.Use.MESSAGE, now=now)


def versions_of(send: Send) -> list[tuple[ContentVersion, str]]:
    """``(version, kind)`` of the materials, in their order, without the bytes of their files."""
    rows = send.materials.select_related("version__content", "version__file").defer("version__file__content")
    return [(row.version, row.version.content.kind) for row in rows.order_by("position")]


def _attachments(batch: SendBatch, corp: Corp, now: dt.datetime) -> list[Attachment]:
    """What the task carries: the send's link, then its materials, of which a link is the guide's own and a card has her token."""
    send = batch.send
    found: list[Attachment] = [Link(title=send.link_title, url=send.link_url)] if send.link_url else []
    for version, kind in versions_of(send):
        one = content_media.attachment(
            version=version, kind=kind, corp=corp, now=now, url=_own_link(batch, version, now)
        )
        if isinstance(one, MiniProgram):
            one = replace(one, page=_own_page(batch, version.page, now))
        if one is not None:
            found.append(one)
    return found


def _own_link(batch: SendBatch, version: ContentVersion, now: dt.datetime) -> str:
    """The guide's short link, so that an opening is a touch of hers; the plain address where she may not share."""
    if version.content.kind != Content.Kind.LINK or not settings.PUBLIC_URL:
        return ""
    try:
        link = links.make(guide_id=batch.guide_id, target=version.url, content=version.content, now=now)
    except RuleViolation:
        return version.url
    return queries.address_of(link)


def _own_page(batch: SendBatch, page: str, now: dt.datetime) -> str:
    try:
        _share, token = shares.share(guide_id=batch.guide_id, kind=Share.Kind.SHARE, now=now)
    except RuleViolation:
        return page
    return links.page_with_token(page, token)
