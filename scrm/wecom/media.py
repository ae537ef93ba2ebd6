"""Media (素材): files that messages carry, up to WeCom and down again.

1. An uploaded file lives three days under its ``media_id``, for all apps of the corp.
2. Where it goes decides how it goes up: ``upload`` for messages, mass sends and welcomes, ``upload_image`` for a picture
   that is named by an address and stays, ``upload_attachment`` for moments and albums. The ids do not fit each other.
3. Uploading again does no harm, but ``upload_image`` counts: 1,000 a day, 3,000 a month.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from scrm.models import WecomApp
from scrm.wecom import answers, bounds, client
from scrm.wecom.transport import File

IMAGE, VOICE, VIDEO, FILE = "image", "voice", "video", "file"
MEGABYTE = 1 << 20
LEAST_BYTES = 6  # "more than 5"
MOST_BYTES = {IMAGE: 10 * MEGABYTE, VOICE: 2 * MEGABYTE, VIDEO: 10 * MEGABYTE, FILE: 20 * MEGABYTE}
ADDRESSED_IMAGE_BYTES = 2 * MEGABYTE
ATTACHMENT_BYTES = 10 * MEGABYTE
FOR_MOMENT, FOR_ALBUM = 1, 2
LIFETIME = dt.timedelta(days=3)

_UPLOAD = client.query("media/upload")
_UPLOAD_IMAGE = client.create("media/uploadimg")
_UPLOAD_ATTACHMENT = client.query("media/upload_attachment")
_GET = client.read("media/get")


@dataclass(frozen=True)
class Media:
    media_id: str
    kind: str
    created_at: dt.datetime | None

    @property
    def expires_at(self) -> dt.datetime | None:
        return self.created_at and self.created_at + LIFETIME


def upload(app: WecomApp, kind: str, filename: str, content: bytes) -> Media:
    """A file for messages. ``kind``: IMAGE (jpg, png; 10 MB), VOICE (amr; 2 MB), VIDEO (mp4; 10 MB), FILE (20 MB)."""
    path = _UPLOAD.path
    bounds.one_of(path, "type", kind, MOST_BYTES)
    return _media(
        client.call(app, _UPLOAD, {"type": kind}, file=_file(path, filename, content, MOST_BYTES[kind])), kind
    )


def upload_image(app: WecomApp, filename: str, content: bytes) -> str:
    """A picture up to 2 MB that stays; gives back its address, for messages only."""
    path = _UPLOAD_IMAGE.path
    return str(client.call(app, _UPLOAD_IMAGE, file=_file(path, filename, content, ADDRESSED_IMAGE_BYTES))["url"])


def upload_attachment(app: WecomApp, kind: str, filename: str, content: bytes, *, use: int) -> Media:
    """A file up to 10 MB: IMAGE or VIDEO (30 seconds) FOR_MOMENT, IMAGE FOR_ALBUM."""
    path = _UPLOAD_ATTACHMENT.path
    bounds.between(path, "attachment_type", use, FOR_MOMENT, FOR_ALBUM)
    bounds.one_of(path, "media_type", kind, (IMAGE, VIDEO) if use == FOR_MOMENT else (IMAGE,))
    values = {"media_type": kind, "attachment_type": use}
    return _media(
        client.call(app, _UPLOAD_ATTACHMENT, values, file=_file(path, filename, content, ATTACHMENT_BYTES)), kind
    )


def get(app: WecomApp, media_id: str) -> File:
    """The file behind an id. MediaExpired after three days."""
    bounds.present(_GET.path, "media_id", media_id)
    return client.download(app, _GET, {"media_id": media_id})


def _file(path: str, filename: str, content: bytes, most: int) -> File:
    bounds.present(path, "filename", filename)
    bounds.size(path, "media", len(content), LEAST_BYTES, most)
    return File(filename, content)


def _media(answer: dict[str, Any], kind: str) -> Media:
    return Media(answer["media_id"], answer.get("type", kind), answers.at(answer.get("created_at")))
