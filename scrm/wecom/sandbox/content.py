"""What may be sent: the text and the attachments of welcomes and mass sends, checked as documented."""

from __future__ import annotations

from typing import Any

from scrm.wecom.sandbox.calls import Call
from scrm.wecom.sandbox.refusals import Refusal

KINDS = ("image", "link", "miniprogram", "video", "file")
TOO_MANY, BAD_KIND, BAD_MEDIA, NO_TITLE, LONG_URL = 41064, 41065, 40007, 41016, 40039
TITLE_BYTES, DESCRIPTION_BYTES, URL_BYTES, MINI_TITLE_BYTES = 128, 512, 2048, 64


def of(call: Call) -> dict[str, Any]:
    """``text`` and ``attachments`` of the call, of which one is needed."""
    text = call.text("content", of=call.object("text"), size=call.world.quotas.text_bytes)
    attachments = call.objects("attachments", most=call.world.quotas.attachments, code=TOO_MANY)
    for one in attachments:
        check(call, one)
    if not text and not attachments:
        raise Refusal(40058, "text or attachments")
    return {"text": text, "attachments": attachments}


def media(call: Call, media_id: str, *kinds: str) -> None:
    """Refusal 40007 unless it was uploaded, is of one of ``kinds`` and has not expired."""
    known = call.world.media.get(media_id)
    if known is None or known["until"] <= call.world.clock.now() or (kinds and known["kind"] not in kinds):
        raise Refusal(BAD_MEDIA)


def check(call: Call, one: dict[str, Any]) -> None:
    """One attachment; Refusal 41065 for a kind that is none."""
    kind = call.text("msgtype", of=one)
    if kind not in KINDS or not isinstance(one.get(kind), dict):
        raise Refusal(BAD_KIND)
    part = one[kind]
    if kind == "link":
        call.text("title", of=part, missing=NO_TITLE, size=TITLE_BYTES)
        call.text("desc", of=part, size=DESCRIPTION_BYTES)
        call.text("picurl", of=part, size=URL_BYTES, code=LONG_URL)
        call.text("url", of=part, missing=40058, size=URL_BYTES, code=LONG_URL)
    elif kind == "miniprogram":
        call.text("title", of=part, missing=NO_TITLE, size=MINI_TITLE_BYTES)
        call.text("appid", of=part, missing=40058)
        call.text("page", of=part, missing=40058)
        media(call, call.text("pic_media_id", of=part, missing=40058), "image")
    elif kind == "image" and not part.get("media_id"):
        call.text("pic_url", of=part, missing=40058, size=URL_BYTES, code=LONG_URL)
    else:
        media(call, call.text("media_id", of=part, missing=40058), kind)
