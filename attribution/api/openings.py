"""``POST /api/channels/<channel>/openings``: the shop's mini-program says that somebody opened a guide's share.

Signed like an order event. The answer says whether the touch can count, so that the shop can leave the guide out.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from attribution import intake
from attribution.api.channel_events import body_of, refusal
from guides import shares
from guides.models import Touch
from guides.visitors import Known
from scrm import crypto
from scrm.api.throttles import MINUTE, WindowThrottle
from scrm.errors import RuleViolation

STATUS = {"unknown_share": 404, "opening_differs": 409}
TEXTS = {"opening_id": 64, "token": 64, "shop": 64}
BUYER = {"unionid": 64, "account": 128, "mobile": 32}


class PersonThrottle(WindowThrottle):
    """A person opens some shares in a minute; a script opens all of them."""

    scope = "opening"
    limit = 30
    seconds = MINUTE


class ChannelThrottle(WindowThrottle):
    scope = "openings"
    limit = 30_000
    seconds = MINUTE


class NotReadable(Exception):
    """``place`` is where in the body."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


@csrf_exempt
def receive(request: HttpRequest, channel: str) -> HttpResponse:
    if request.method != "POST":
        return refusal(405, "method_not_allowed", _("This address does not take such a request."))
    body = body_of(request)
    if body is None:
        return refusal(413, "too_large", _("An event is at most 1 MiB. Send fewer lines at a time."))
    now = timezone.now()
    try:
        intake.verify(
            channel=channel, timestamp=request.headers.get("X-Timestamp", ""),
            signed=request.headers.get("X-Signature", ""), body=body, now=now,
        )  # fmt: skip
        opening = _opening(channel, body)
    except intake.NotVerified:
        return refusal(403, "not_verified", _("Channel, time or signature are not right."))
    except NotReadable as error:
        return refusal(400, "not_readable", _("The report cannot be read."), place=error.place)
    wait = _wait(channel, opening)
    if wait:
        answer = refusal(429, "throttled", _("Too many requests; please wait a moment."), retry_after_seconds=wait)
        answer.headers["Retry-After"] = str(wait)
        return answer
    try:
        opened = shares.record_opening(opening=opening, now=now)
    except RuleViolation as error:
        return refusal(STATUS.get(error.code, 422), error.code, error.message, **error.extra)
    return JsonResponse(
        {
            "result": "recorded" if opened.is_new else "known",
            "counts": opened.fault is None,
            "reason": opened.fault,
            "kind": opened.share.kind,
            "object": {"kind": opened.share.object_kind, "code": opened.share.object_code},
        }
    )


def _opening(channel: str, body: bytes) -> shares.Opening:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise NotReadable("") from None
    if not isinstance(said, dict):
        raise NotReadable("")
    buyer, opened = said.get("buyer", {}), said.get("object", {})
    if not isinstance(buyer, dict) or not isinstance(opened, dict):
        raise NotReadable("/buyer" if isinstance(opened, dict) else "/object")
    texts = {name: read_text(said, name, length, "") for name, length in TEXTS.items()}
    for name in ("opening_id", "token"):
        if not texts[name]:
            raise NotReadable(f"/{name}")
    who = {name: read_text(buyer, name, length, "/buyer") for name, length in BUYER.items()}
    number = crypto.normalise_mobile(who["mobile"])
    if who["mobile"] and number is None:
        raise NotReadable("/buyer/mobile")
    kind = read_text(opened, "kind", 8, "/object")
    if kind and kind not in Touch.Covers.values:
        raise NotReadable("/object/kind")
    return shares.Opening(
        source=channel, opening_id=texts["opening_id"], token=texts["token"], at=read_time(said.get("opened_at"), "/opened_at"),
        who=Known(
            who["unionid"], f"{channel}/{texts['shop']}" if who["account"] else "", who["account"],
            crypto.mobile_index(number) if number else "",
        ),
        object_kind=kind, object_code=read_text(opened, "code", 64, "/object"),
    )  # fmt: skip


def read_text(part: dict[str, Any], name: str, length: int, place: str) -> str:
    value = part.get(name, "")
    if not isinstance(value, str) or len(value) > length or not value.isprintable():
        raise NotReadable(f"{place}/{name}")
    return value


def read_time(value: Any, place: str) -> dt.datetime:
    """With its offset, so that no zone is guessed."""
    try:
        at = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not 2000 <= at.year <= 9000:
        raise NotReadable(place)
    return at


def _wait(channel: str, opening: shares.Opening) -> int:
    """In how many seconds to come back; 0: now is fine."""
    who = opening.who
    person = f"{channel} {who.unionid or who.account or who.mobile_index}"
    for throttle, owner in ((PersonThrottle(), person), (ChannelThrottle(), channel)):
        if throttle.count(owner) > throttle.limit:
            return max(1, round(throttle.wait()))
    return 0
