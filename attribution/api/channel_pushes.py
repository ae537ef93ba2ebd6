"""``POST /api/channels/<channel>/<shop>/push``: a platform's push in its own form. Verify, note, answer as it expects."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from attribution import tasks
from attribution.api import channel_events
from attribution.channels import order_event, platform, polling
from scrm import celery

HEADERS = ("event-sign", "event-type", "client-id", "content-type")  # kept with a push for nobody

_doorbell = celery.Doorbell(tasks.read_channels)


@csrf_exempt
def receive(request: HttpRequest, channel: str, shop_no: str) -> HttpResponse:
    query = {name: request.GET[name] for name in request.GET}
    if request.method == "GET":
        echo = polling.check_address(channel=channel, shop_no=shop_no, query=query)
        return HttpResponse(echo, content_type="text/plain") if echo is not None else _refused()
    if request.method != "POST":
        return channel_events.refusal(405, "method_not_allowed", _("This address does not take such a request."))
    body = channel_events.body_of(request)
    if body is None:
        return channel_events.refusal(413, "too_large", _("An event is at most 1 MiB. Send fewer lines at a time."))
    headers = {name: request.headers.get(name, "") for name in HEADERS}
    try:
        found = polling.receive_push(
            channel=channel, shop_no=shop_no, headers=headers, query=query, body=body, now=timezone.now()
        )
    except platform.NotVerified:
        return _refused()
    except order_event.Unreadable:
        return channel_events.refusal(400, "not_readable", _("The body is not a push of this platform."))
    if found is None:
        return channel_events.refusal(
            404, "unknown_shop", _("No shop is connected under this address. The push is kept until it is.")
        )
    _doorbell.ring()
    content_type, answer = found.push_answer
    return HttpResponse(answer, content_type=content_type)


def _refused() -> JsonResponse:
    return channel_events.refusal(403, "not_verified", _("Channel, time or signature are not right."))
