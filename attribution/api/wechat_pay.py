"""``POST /api/pay/wechat/<merchant>``: WeChat Pay's notice. Verify, keep, answer with nothing; else it is told again."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from attribution import payments, tasks
from attribution.api import channel_events
from attribution.channels import wechat_pay
from scrm import celery

HEADERS = ("wechatpay-timestamp", "wechatpay-nonce", "wechatpay-signature", "wechatpay-serial")

_doorbell = celery.Doorbell(tasks.process_events)


@csrf_exempt
def receive(request: HttpRequest, mchid: str) -> HttpResponse:
    if request.method != "POST":
        return _failed(405, "method not allowed")
    body = channel_events.body_of(request)
    if body is None:
        return _failed(413, "too large")
    headers = {name: request.headers.get(name, "") for name in HEADERS}
    try:
        is_new = payments.receive(mchid=mchid, headers=headers, body=body, now=timezone.now())
    except wechat_pay.NotVerified:
        return _failed(401, "not verified")
    except wechat_pay.NotReadable:
        return _failed(400, "not readable")
    if is_new:
        _doorbell.ring()
    return HttpResponse(status=204)


def _failed(status: int, message: str) -> JsonResponse:
    """The form that WeChat Pay documents."""
    return JsonResponse({"code": "FAIL", "message": message}, status=status)
