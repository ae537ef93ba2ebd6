"""``POST /api/channels/<channel>/events``: verify, store, answer. A plain view: a shop's busiest minute is ours too."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from attribution import intake, tasks
from scrm import celery

_doorbell = celery.Doorbell(tasks.process_events)


@csrf_exempt
def receive(request: HttpRequest, channel: str) -> JsonResponse:
    if request.method != "POST":
        return refusal(405, "method_not_allowed", _("This address does not take such a request."))
    body = body_of(request)
    if body is None:
        return refusal(413, "too_large", _("An event is at most 1 MiB. Send fewer lines at a time."))
    try:
        is_new = intake.receive(
            channel=channel,
            timestamp=request.headers.get("X-Timestamp", ""),
            signed=request.headers.get("X-Signature", ""),
            body=body,
            now=timezone.now(),
        )
    except intake.NotVerified:
        return refusal(403, "not_verified", _("Channel, time or signature are not right."))
    except intake.NotReadable:
        return refusal(400, "not_readable", _("The body is not a JSON object with an event_id."))
    if is_new:
        _doorbell.ring()
    return JsonResponse({"result": "stored" if is_new else "known"})


def body_of(request: HttpRequest) -> bytes | None:
    """The raw bytes, or None for too many; a length that lies does not help."""
    try:
        if int(request.headers.get("Content-Length") or 0) > intake.MAX_BODY_BYTES:
            return None
    except ValueError:
        return None
    body = request.read(intake.MAX_BODY_BYTES + 1)
    return body if len(body) <= intake.MAX_BODY_BYTES else None


def refusal(status: int, code: str, message: str, **extra: Any) -> JsonResponse:
    return JsonResponse({"code": code, "message": message, "extra": extra}, status=status)
