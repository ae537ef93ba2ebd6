"""Media: uploaded for three days, for messages or for moments and albums, never for both; pictures by address stay.

Of the contents the newest are kept, up to KEPT_FILES and KEPT_BYTES, also over a restart; an older id still serves in
messages, but nothing comes down.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from scrm.wecom.sandbox import activity
from scrm.wecom.sandbox.answers import Answer
from scrm.wecom.sandbox.calls import Call
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.registry import APP, CC, endpoint
from scrm.wecom.sandbox.world import World

FIELD = "media"
MEGABYTE = 2**20
SIZES = {"image": 10 * MEGABYTE, "voice": 2 * MEGABYTE, "video": 10 * MEGABYTE, "file": 20 * MEGABYTE}
IMAGE_BYTES, ATTACHMENT_BYTES, LEAST_BYTES = 2 * MEGABYTE, 10 * MEGABYTE, 6
TYPES = {"image": "image/png", "voice": "audio/amr", "video": "video/mp4", "file": "application/octet-stream"}
USES = {1: ("image", "video"), 2: ("image",)}  # moments, albums
KEPT_FILES, KEPT_BYTES = 200, 64 * MEGABYTE
BAD_KIND, NO_FILE, TOO_LARGE, BAD_ID, NO_ID, WRONG_SCENE = 40004, 44001, 45001, 40007, 41006, 41072


@endpoint("POST", "media/upload", APP)
def upload(call: Call) -> dict[str, Any]:
    kind = call.query.get("type", "")
    if kind not in SIZES:
        raise Refusal(BAD_KIND)
    media_id = _keep(call, kind, SIZES[kind], use=0)
    return {"type": kind, "media_id": media_id, "created_at": str(call.world.clock.epoch())}


@endpoint("POST", "media/upload_attachment", CC)
def upload_attachment(call: Call) -> dict[str, Any]:
    kind, use = call.query.get("media_type", ""), call.query.get("attachment_type", "")
    if not use.isdecimal() or kind not in USES.get(int(use), ()):
        raise Refusal(WRONG_SCENE)
    media_id = _keep(call, kind, ATTACHMENT_BYTES, use=int(use))
    return {"type": kind, "media_id": media_id, "created_at": call.world.clock.epoch()}


@endpoint("POST", "media/uploadimg", APP)
def upload_image(call: Call) -> dict[str, Any]:
    world = call.world
    name, _content = _file(call, IMAGE_BYTES)
    day = activity.today(world)
    counts = world.more.setdefault("images", {})
    month = sum(count for one, count in counts.items() if one[:7] == day[:7])
    if counts.get(day, 0) >= world.quotas.images_per_day or month >= world.quotas.images_per_month:
        raise Refusal(45009)
    counts[day] = counts.get(day, 0) + 1
    return {"url": f"https://wework.qpic.cn/wwpic/{world.new_id('pic')}/0?{quote(name)}"}


@endpoint("GET", "media/get", APP)
def get(call: Call) -> Any:
    media_id = call.text("media_id", missing=NO_ID)
    known, content = call.world.media.get(media_id), call.world.files.get(media_id)
    if known is None or content is None or known["use"] or known["until"] <= call.world.clock.now():
        raise Refusal(BAD_ID)
    name = f"attachment; filename*=UTF-8''{quote(known['name'])}"
    return Answer(content, TYPES[known["kind"]], headers={"Content-Disposition": name})


def _keep(call: Call, kind: str, most: int, *, use: int) -> str:
    world = call.world
    name, content = _file(call, most)
    media_id = world.new_id("MEDIA", 60)
    until = world.clock.now() + world.quotas.media_seconds
    world.media[media_id] = {"kind": kind, "until": until, "name": name, "use": use}
    world.files[media_id] = content
    forget_oldest(world)
    return media_id


def forget_oldest(world: World) -> None:
    while len(world.files) > KEPT_FILES or sum(map(len, world.files.values())) > KEPT_BYTES:
        del world.files[next(iter(world.files))]


def _file(call: Call, most: int) -> tuple[str, bytes]:
    name, content = call.files.get(FIELD, ("", b""))
    if len(content) < LEAST_BYTES:
        raise Refusal(NO_FILE)
    if len(content) > most:
        raise Refusal(TOO_LARGE)
    return name, content
