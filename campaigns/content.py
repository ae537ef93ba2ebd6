"""Materials (素材): texts, pictures, links, mini-program pages, videos and files that guides and mass sends use.

1. A material is of one kind for ever. Changing what it says makes a new version; messages that were sent keep theirs.
2. What WeCom would refuse is refused when it is written, at its field: bytes of titles and texts, kinds and sizes of files.
3. A link leads to a host on HQ's list (``links``), so that no material sends customers anywhere else.
4. A material is for everybody or for a part of the company, and for a time. A guide sees what is for her store and usable now.
5. Each time a guide takes one to send it is counted, with its version.
6. Files go up to WeCom when they are first wanted (``content_media``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils.translation import gettext as _

from campaigns import content_files, links
from campaigns.models import Content, ContentFile, ContentUse, ContentVersion
from campaigns.models.content import usable
from campaigns.models.reach import part_q
from scrm import audit, db
from scrm.errors import RuleViolation
from scrm.wecom import attachments

TITLE_BYTES = {Content.Kind.LINK: 128, Content.Kind.MINI_PROGRAM: 64}
DESCRIPTION_BYTES = 512
URL_BYTES = 2_048
TAG_CHARS, MOST_TAGS = 32, 20
Kind = Content.Kind
FILE_KINDS = {Kind.IMAGE: ContentFile.Kind.IMAGE, Kind.VIDEO: ContentFile.Kind.VIDEO, Kind.FILE: ContentFile.Kind.FILE}
WITH_COVER = frozenset({Kind.LINK, Kind.MINI_PROGRAM})
FIELDS = {  # what each kind says; the others stay empty
    Kind.TEXT: ("text",),
    Kind.IMAGE: ("text",),
    Kind.LINK: ("text", "title", "description", "url"),
    Kind.MINI_PROGRAM: ("text", "title", "app_id", "page"),
    Kind.VIDEO: ("text",),
    Kind.FILE: ("text",),
}


class BadContent(RuleViolation):
    """``extra["fields"]`` names each field with its sentence."""

    code = "bad_content"


class NotUsable(RuleViolation):
    code = "content_not_usable"


@dataclass(frozen=True, slots=True)
class Said:
    """What a version says; ``file`` is the file or the cover."""

    text: str = ""
    title: str = ""
    description: str = ""
    url: str = ""
    app_id: str = ""
    page: str = ""
    file: ContentFile | None = None


# --- pure rules -------------------------------------------------------------------------------------------------------


def problems(kind: str, said: Said, *, hosts: frozenset[str]) -> dict[str, str]:
    """``{field: sentence}`` of everything that WeCom or the company would refuse; empty when all is well."""
    found: dict[str, str] = {}
    if kind == Kind.TEXT and not said.text.strip():
        found["text"] = _("Write the text.")
    _limit(found, "text", said.text, attachments.TEXT_BYTES)
    if kind in TITLE_BYTES:
        if not said.title.strip():
            found["title"] = _("Give it a title.")
        _limit(found, "title", said.title, TITLE_BYTES[Kind(kind)])
    if kind == Kind.LINK:
        _limit(found, "description", said.description, DESCRIPTION_BYTES)
        _limit(found, "url", said.url, URL_BYTES)
        refusal = links.refusal(said.url, hosts)
        if refusal:
            found["url"] = refusal
    if kind == Kind.MINI_PROGRAM:
        if not said.app_id.startswith("wx") or not said.app_id.isalnum():
            found["app_id"] = _("The app id of a mini-program begins with wx.")
        if not said.page.strip() or "://" in said.page or said.page.strip() != said.page:
            found["page"] = _("The page is a path of the mini-program, for example pages/goods/detail.html?id=1.")
    if said.file is None and kind in FILE_KINDS:
        found["file"] = _("Choose the file.")
    if said.file is None and kind == Kind.MINI_PROGRAM:
        found["file"] = _("A mini-program card needs a cover picture.")
    wanted = FILE_KINDS.get(Kind(kind), ContentFile.Kind.IMAGE)
    if said.file is not None and said.file.kind != wanted:
        found["file"] = _("The file is of another kind than the material.")
    return found


def clean_tags(text: str) -> list[str]:
    """Keywords out of what somebody typed, separated by commas, blanks or 、. Raises BadContent."""
    for sign in "，、;；\n\t ":
        text = text.replace(sign, ",")
    tags = list(dict.fromkeys(tag for tag in (part.strip() for part in text.split(",")) if tag))
    if len(tags) > MOST_TAGS or any(len(tag) > TAG_CHARS for tag in tags):
        raise BadContent(
            _("At most %(most)s keywords of %(chars)s characters each.") % {"most": MOST_TAGS, "chars": TAG_CHARS}
        )
    return tags


def _limit(found: dict[str, str], name: str, text: str, most: int) -> None:
    size = len(text.encode())
    if size > most:
        found[name] = _("%(size)s bytes; WeCom takes %(most)s (a Chinese character counts three).") % {
            "size": f"{size:,}", "most": f"{most:,}",
        }  # fmt: skip


# --- operations -------------------------------------------------------------------------------------------------------


@transaction.atomic
def write(*, content: Content, said: Said, actor: Any, now: dt.datetime) -> Content:
    """Save the material and, where it says something new, its next version. Raises BadContent."""
    found = problems(content.kind, said, hosts=links.hosts())
    if found:
        raise BadContent(next(iter(found.values())), extra={"fields": found})
    if content.pk:
        (locked,) = db.lock(Content.objects.filter(pk=content.pk))
        if locked.kind != content.kind:
            raise BadContent(_("A material stays of its kind. Make another one."))
        content.version_no, content.use_count = locked.version_no, locked.use_count
    is_new = content.pk is None
    kept: dict[str, Any] = {name: getattr(said, name) for name in FIELDS[Kind(content.kind)]}
    kept["file_id"] = content_files.keep(said.file).pk if said.file else None
    before = None if is_new else current(content)
    if before is None or any(getattr(before, name) != value for name, value in kept.items()):
        content.version_no += 1
        content.save()
        ContentVersion.objects.create(content=content, number=content.version_no, made_by=actor, made_at=now, **kept)
        audit.record(actor=actor, verb="content.version", target=content, number=content.version_no)
    else:
        content.save()
    return content


@transaction.atomic
def record_use(*, content: Content, guide_id: int, store_id: int, now: dt.datetime) -> ContentVersion:
    """A guide takes it to send. Raises NotUsable."""
    version = current(content)
    if version is None or not usable_in(store_id, now).filter(pk=content.pk).exists():
        raise NotUsable(_("This material is not in use any more."))
    Content.objects.filter(pk=content.pk).update(use_count=F("use_count") + 1)
    ContentUse.objects.create(
        content=content, version_no=version.number, guide_id=guide_id, store_id=store_id, used_at=now
    )
    return version


# --- reads ------------------------------------------------------------------------------------------------------------


def current(content: Content) -> ContentVersion | None:
    return (
        ContentVersion.objects.filter(content=content, number=content.version_no)
        .select_related("file")
        .defer("file__content")
        .first()
    )


def current_of(contents: Mapping[int, Content]) -> dict[int, ContentVersion]:
    """``{material: its newest version}`` without the bytes of the files; one query."""
    versions = ContentVersion.objects.filter(content__in=contents, number=F("content__version_no"))
    return {row.content_id: row for row in versions.select_related("file").defer("file__content")}


def is_usable(content: Content, at: dt.datetime) -> bool:
    """Whether it is in use at that time, somewhere."""
    starts, ends = content.starts_at, content.ends_at
    return content.is_active and (starts is None or starts <= at) and (ends is None or ends > at)


def usable_in(store_id: int, now: dt.datetime) -> QuerySet[Content]:
    """What a guide of the store may use now."""
    return Content.objects.filter(usable(now), part_q([store_id]))


def page(
    *,
    store_id: int,
    now: dt.datetime,
    after: int | None,
    limit: int,
    kind: str = "",
    folder: str = "",
    tag: str = "",
    name: str = "",
) -> list[Content]:
    """What a guide of the store may use, the newest first below the id ``after``."""
    rows = usable_in(store_id, now).filter(version_no__gt=0).select_related("folder")
    wanted = {"kind": kind, "folder__name": folder, "name__startswith": name}
    rows = rows.filter(**{look_up: value for look_up, value in wanted.items() if value})
    if tag:
        rows = rows.filter(tags__contains=[tag])
    if after is not None:
        rows = rows.filter(pk__lt=after)
    return list(rows.order_by("-pk")[:limit])
