"""Attachments (附件) of mass sends, welcome messages and the welcome templates of groups.

1. A medium is named by its ``media_id``, which lasts three days; a picture also by an address from
   ``media.upload_image``. With both, WeCom takes the id.
2. Titles, descriptions and addresses are limited in bytes of UTF-8: a Chinese character counts three.
3. The mini-program must be linked to the corp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scrm.wecom import bounds

MOST = 9
TEXT_BYTES = 4000


@dataclass(frozen=True)
class Image:
    """By ``media_id`` or ``pic_url``."""

    media_id: str = ""
    pic_url: str = ""


@dataclass(frozen=True)
class Link:
    title: str
    url: str
    desc: str = ""
    picurl: str = ""


@dataclass(frozen=True)
class MiniProgram:
    """``pic_media_id`` does not come back when a message is read again."""

    title: str
    appid: str
    page: str
    pic_media_id: str = ""


@dataclass(frozen=True)
class Video:
    media_id: str


@dataclass(frozen=True)
class File:
    media_id: str


Attachment = Image | Link | MiniProgram | Video | File
_KINDS: dict[str, type[Attachment]] = {
    "image": Image, "link": Link, "miniprogram": MiniProgram, "video": Video, "file": File,
}  # fmt: skip
_KIND_OF = {kind: name for name, kind in _KINDS.items()}
_MOST_BYTES = {
    "image": {},
    "link": {"title": 128, "picurl": 2048, "desc": 512, "url": 2048},
    "miniprogram": {"title": 64},
    "video": {},
    "file": {},
}
_REQUIRED = {
    "image": (),
    "link": ("title", "url"),
    "miniprogram": ("title", "pic_media_id", "appid", "page"),
    "video": ("media_id",),
    "file": ("media_id",),
}


def message(path: str, text: str, attachments: Sequence[Attachment], *, text_bytes: int = TEXT_BYTES) -> dict[str, Any]:
    """The ``text`` and ``attachments`` of a message; one of them must be there. BadParameter beyond a limit."""
    bounds.present(path, "text", text or attachments)
    bounds.utf8_bytes(path, "text.content", text, text_bytes)
    bounds.items(path, "attachments", attachments, MOST)
    parts: dict[str, Any] = {"text": {"content": text}} if text else {}
    if attachments:
        parts["attachments"] = [
            {"msgtype": (kind := _KIND_OF[type(one)]), kind: body(path, one)} for one in attachments
        ]
    return parts


def named(path: str, attachment: Attachment) -> dict[str, Any]:
    """The attachment under the name of its kind, as a welcome template of groups wants it."""
    return {_KIND_OF[type(attachment)]: body(path, attachment)}


def body(path: str, attachment: Attachment) -> dict[str, str]:
    """The fields of one attachment, empty ones left out. BadParameter beyond a limit."""
    kind = _KIND_OF[type(attachment)]
    values = {field: value for field, value in asdict(attachment).items() if value}
    bounds.present(path, kind, values)
    for field in _REQUIRED[kind]:
        bounds.present(path, f"{kind}.{field}", values.get(field))
    for field, most in _MOST_BYTES[kind].items():
        bounds.utf8_bytes(path, f"{kind}.{field}", values.get(field), most)
    return values


def read(row: dict[str, Any]) -> Attachment | None:
    """One attachment as WeCom or ``message`` writes it; None for a kind not known here."""
    kind = _KINDS.get(row.get("msgtype", ""))
    values = row.get(row.get("msgtype", "")) or {}
    if kind is None:
        return None
    return kind(**{name: values.get(name, "") for name in kind.__dataclass_fields__})


def read_named(answer: dict[str, Any]) -> Attachment | None:
    """The attachment of a welcome template of groups, None without one."""
    for kind in _KINDS:
        if answer.get(kind):
            return read({"msgtype": kind, kind: answer[kind]})
    return None
