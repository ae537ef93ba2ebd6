"""Files of materials at WeCom (素材上传): up when first wanted, renewed while wanted.

1. WeCom keeps an upload three days. A file goes up when something asks for it, not before.
2. Whoever asks gets the id when it still lasts an hour; otherwise it goes up at once (``ready``), or a task sends it and the
   caller asks again (``wanted``).
3. What was asked for within the last week goes up again six hours before its end, so that nobody waits; what nobody asks for
   any more runs out.
4. The cover of a link stays under an address for ever and goes up once. WeCom counts those: 1,000 a day.
5. What WeCom says against a file stands beside it; it is tried again after an hour.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence

from django.db.models import F, Q

from campaigns.models import Content, ContentFile, ContentVersion, FileUpload
from scrm import celery, db
from scrm.errors import RuleViolation
from scrm.models import Corp
from scrm.wecom import attachments, corps, media

LASTS_STILL = dt.timedelta(hours=1)
RENEW_BEFORE = dt.timedelta(hours=6)
WANTED_FOR = dt.timedelta(days=7)
TRIED_AGAIN_AFTER = dt.timedelta(hours=1)
LOOK_SECONDS = 0.2
AT_ONCE = 50  # uploads of one round
Use = FileUpload.Use


def wanted(*, file: ContentFile, corp: Corp, use: str = Use.MESSAGE, now: dt.datetime) -> FileUpload:
    """Ask for a file at WeCom; ``is_ready`` says whether it is there. A task sends what is not."""
    row, _is_new = FileUpload.objects.update_or_create(file=file, corp=corp, use=use, defaults={"wanted_at": now})
    if not is_ready(row, now):
        from campaigns.tasks import upload_files

        celery.ring(upload_files)
    return row


def ready(*, file: ContentFile, corp: Corp, use: str = Use.MESSAGE, now: dt.datetime) -> FileUpload:
    """The file at WeCom, sent up now where it is not there. Not inside a transaction. Raises WecomError, AppMissing."""
    db.require_no_transaction()
    row, _is_new = FileUpload.objects.update_or_create(file=file, corp=corp, use=use, defaults={"wanted_at": now})
    while not is_ready(row, now):
        with db.advisory_lock(f"upload {row.pk}") as is_ours:
            row.refresh_from_db()  # somebody may just have sent it
            if is_ours and not is_ready(row, now):
                _send(row, now)
        if is_ours:
            break
        time.sleep(LOOK_SECONDS)  # it is on its way: WeCom counts every upload
        row.refresh_from_db()
    row.refresh_from_db()
    return row


def have_ready(*, versions: Sequence[tuple[ContentVersion, str]], corp: Corp, use: str, now: dt.datetime) -> bool:
    """Whether all files of ``(version, kind)`` are at WeCom, sent up now where they are not; one worker at a time. What WeCom
    says against one stands beside it. Not inside a transaction."""
    for version, kind in versions:
        if version.file is None:
            continue
        of = Use.ADDRESS if kind == Content.Kind.LINK and use == Use.MESSAGE else use
        row, _is_new = FileUpload.objects.update_or_create(
            file=version.file, corp=corp, use=of, defaults={"wanted_at": now}
        )
        if is_ready(row, now):
            continue
        with db.advisory_lock(f"upload {row.pk}") as is_ours:
            if not is_ours:
                return False
            row.refresh_from_db()  # somebody may just have sent it
            if is_ready(row, now):
                continue
            try:
                _send(row, now)
            except RuleViolation as error:
                FileUpload.objects.filter(pk=row.pk).update(error_text=error.message[:300], tried_at=now)
                return False
    return True


def is_ready(row: FileUpload, now: dt.datetime) -> bool:
    if row.use == Use.ADDRESS:
        return bool(row.url)
    return bool(row.media_id) and row.expires_at is not None and row.expires_at > now + LASTS_STILL


def sweep(*, now: dt.datetime) -> int:
    """Send up what is wanted and not there, or runs out soon; the number that WeCom took."""
    lacking = Q(use=Use.ADDRESS, url="") | ~Q(use=Use.ADDRESS) & (
        Q(expires_at=None) | Q(expires_at__lt=now + RENEW_BEFORE)
    )
    rested = Q(error_text="") | Q(tried_at=None) | Q(tried_at__lt=now - TRIED_AGAIN_AFTER)
    due = FileUpload.objects.filter(lacking, rested, wanted_at__gte=now - WANTED_FOR)
    count = 0
    for row in due.select_related("corp").order_by(F("expires_at").asc(nulls_first=True), "pk")[:AT_ONCE]:
        with db.advisory_lock(f"upload {row.pk}") as is_ours:
            row.refresh_from_db()  # somebody may have sent it while we waited for the one before
            if not is_ours or _lasts(row, now):
                continue
            try:
                _send(row, now)
                count += 1
            except RuleViolation as error:
                FileUpload.objects.filter(pk=row.pk).update(error_text=error.message[:300], tried_at=now)
    return count


def attachment(
    *, version: ContentVersion, kind: str, corp: Corp, now: dt.datetime, url: str = ""
) -> attachments.Attachment | None:
    """What a message of WeCom carries of a material; None for a text. ``url``: the tracked address instead of the plain one.

    Sends up what is not there: not inside a transaction. Raises WecomError, AppMissing.
    """
    file = version.file
    if kind == Content.Kind.LINK:
        cover = ready(file=file, corp=corp, use=Use.ADDRESS, now=now).url if file else ""
        return attachments.Link(version.title, url or version.url, version.description, cover)
    if file is None:
        return None
    media_id = ready(file=file, corp=corp, now=now).media_id
    if kind == Content.Kind.MINI_PROGRAM:
        return attachments.MiniProgram(version.title, version.app_id, version.page, media_id)
    kinds: dict[str, type[attachments.Image | attachments.Video | attachments.File]] = {
        Content.Kind.IMAGE: attachments.Image, Content.Kind.VIDEO: attachments.Video, Content.Kind.FILE: attachments.File,
    }  # fmt: skip
    return kinds[kind](media_id)


def _lasts(row: FileUpload, now: dt.datetime) -> bool:
    """Whether it needs no renewal yet."""
    return is_ready(row, now) and (row.expires_at is None or row.expires_at > now + RENEW_BEFORE)


def _send(row: FileUpload, now: dt.datetime) -> None:
    file, app = ContentFile.objects.get(pk=row.file_id), corps.app_of(row.corp)
    content = bytes(file.content)
    if row.use == Use.ADDRESS:
        url = media.upload_image(app, file.name, content)
        FileUpload.objects.filter(pk=row.pk).update(url=url, error_text="", tried_at=now)
        return
    if row.use == Use.MOMENT:
        taken = media.upload_attachment(app, file.kind, file.name, content, use=media.FOR_MOMENT)
    else:
        taken = media.upload(app, file.kind, file.name, content)
    FileUpload.objects.filter(pk=row.pk).update(
        media_id=taken.media_id, expires_at=taken.expires_at or now + media.LIFETIME, error_text="", tried_at=now
    )
