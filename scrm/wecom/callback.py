"""``/wecom/callback/<name>``: the address that WeCom calls. Verify, store, answer; WeCom waits five seconds, once one.

Whatever does not verify gets the same empty 403; what WeCom has signed and we cannot read gets an empty 400. A plain view:
WeCom sends no cookie and reads no page.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from scrm import celery
from scrm.wecom import inbox, tasks

_doorbells = {
    inbox.Lane.WELCOME: celery.Doorbell(tasks.process_welcomes),
    inbox.Lane.NORMAL: celery.Doorbell(tasks.process_events),
}


@csrf_exempt
def receive(request: HttpRequest, name: str) -> HttpResponse:
    if request.method not in ("GET", "POST"):
        return HttpResponseNotAllowed(["GET", "POST"])
    body = _body(request)
    if body is None:
        return HttpResponse(status=413)
    try:
        return _echo(request, name) if request.method == "GET" else _store(request, name, body)
    except inbox.NotVerified:
        return HttpResponse(status=403)
    except inbox.NotReadable:
        return HttpResponse(status=400)


def _echo(request: HttpRequest, name: str) -> HttpResponse:
    plain = inbox.echo(name=name, encrypted=request.GET.get("echostr", ""), now=timezone.now(), **_signed(request))
    return HttpResponse(plain, content_type="text/plain")  # the bytes alone: a quote or a line's end fails the check


def _store(request: HttpRequest, name: str, body: bytes) -> HttpResponse:
    lane = inbox.receive(name=name, body=body, now=timezone.now(), **_signed(request))
    if lane is not None:
        _doorbells[inbox.Lane(lane)].ring()
    return HttpResponse(b"success", content_type="text/plain")


def _signed(request: HttpRequest) -> dict[str, Any]:
    query = request.GET
    return {
        "signed": query.get("msg_signature", ""),
        "timestamp": query.get("timestamp", ""),
        "nonce": query.get("nonce", ""),
    }


def _body(request: HttpRequest) -> bytes | None:
    """The raw bytes, or None for too many; a length that lies does not help."""
    try:
        if int(request.headers.get("Content-Length") or 0) > inbox.MAX_BODY_BYTES:
            return None
    except ValueError:
        return None
    body = request.read(inbox.MAX_BODY_BYTES + 1)
    return body if len(body) <= inbox.MAX_BODY_BYTES else None
