"""``POST /api/channels/<channel>/messages``: the chat archive says that a customer has written to a guide, never what."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from attribution import intake
from attribution.api.channel_events import body_of, refusal
from attribution.api.openings import NotReadable, read_text, read_time
from guides import rewards
from scrm.errors import RuleViolation

NAMES = ("corp_id", "userid", "external_userid")


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
        said = _said(body)
    except intake.NotVerified:
        return refusal(403, "not_verified", _("Channel, time or signature are not right."))
    except NotReadable as error:
        return refusal(400, "not_readable", _("The report cannot be read."), place=error.place)
    try:
        is_new = rewards.hear_message(**said, source=channel, now=now)
    except rewards.NoFriend as error:
        return refusal(404, error.code, error.message)
    except RuleViolation as error:
        return refusal(422, error.code, error.message)
    return JsonResponse({"result": "recorded" if is_new else "known"})


def _said(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise NotReadable("") from None
    if not isinstance(said, dict):
        raise NotReadable("")
    texts = {name: read_text(said, name, 64, "") for name in NAMES}
    for name, text in texts.items():
        if not text:
            raise NotReadable(f"/{name}")
    return {**texts, "at": read_time(said.get("at"), "/at")}
