"""``POST /api/channels/<channel>/referrals``: the shop's mini-program says that somebody joined through a member's invitation.

``POST /api/channels/<channel>/referral-links``: a member wants to invite. Both are signed like an order event.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from attribution import intake
from attribution.api.channel_events import body_of, refusal
from attribution.api.openings import BUYER, NotReadable, read_text, read_time
from campaigns import referrals
from guides.visitors import Known, member_of
from scrm import crypto
from scrm.api.throttles import MINUTE, WindowThrottle
from scrm.errors import RuleViolation

STATUS = {"referral_unknown": 404, "referral_not_member": 404, "referral_duplicate": 409}


class PersonThrottle(WindowThrottle):
    scope = "referral"
    limit = 30
    seconds = MINUTE


@csrf_exempt
def join(request: HttpRequest, channel: str) -> HttpResponse:
    return _answer(request, channel, _join)


@csrf_exempt
def invite(request: HttpRequest, channel: str) -> HttpResponse:
    return _answer(request, channel, _invite)


def _join(said: dict[str, Any], who: Known) -> dict[str, Any]:
    token, at = read_text(said, "token", 64, ""), read_time(said.get("joined_at"), "/joined_at")
    joined = referrals.joining.join(token=token, who=who, at=at, now=timezone.now())
    row = joined.referral
    return {
        "result": "joined" if joined.is_new else "known", "state": row.status, "expires_at": row.expires_at.isoformat(),
        "min_fen": row.programme.min_fen, "cooling_days": row.programme.cooling_days,
    }  # fmt: skip


def _invite(said: dict[str, Any], who: Known) -> dict[str, Any]:
    member_id = member_of(who)
    if member_id is None:
        raise referrals.ReferralRefused(_("Only an active member invites others."), code="referral_not_member")
    found = referrals.linking.invite(member_id=member_id, now=timezone.now())
    return {"token": found.token, "address": found.address, "expires_at": found.link.expires_at.isoformat()}


def _answer(request: HttpRequest, channel: str, act: Callable[[dict[str, Any], Known], dict[str, Any]]) -> HttpResponse:
    if request.method != "POST":
        return refusal(405, "method_not_allowed", _("This address does not take such a request."))
    body = body_of(request)
    if body is None:
        return refusal(413, "too_large", _("An event is at most 1 MiB. Send fewer lines at a time."))
    try:
        intake.verify(
            channel=channel, timestamp=request.headers.get("X-Timestamp", ""),
            signed=request.headers.get("X-Signature", ""), body=body, now=timezone.now(),
        )  # fmt: skip
        said, who = _read(channel, body)
        throttle = PersonThrottle()
        if throttle.count(f"{channel} {who.unionid or who.mobile_index or who.account}") > throttle.limit:
            wait = max(1, round(throttle.wait()))
            answer = refusal(429, "throttled", _("Too many requests; please wait a moment."), retry_after_seconds=wait)
            answer.headers["Retry-After"] = str(wait)
            return answer
        return JsonResponse(act(said, who))
    except intake.NotVerified:
        return refusal(403, "not_verified", _("Channel, time or signature are not right."))
    except NotReadable as error:
        return refusal(400, "not_readable", _("The report cannot be read."), place=error.place)
    except RuleViolation as error:
        return refusal(STATUS.get(error.code, 422), error.code, error.message, **error.extra)


def _read(channel: str, body: bytes) -> tuple[dict[str, Any], Known]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise NotReadable("") from None
    if not isinstance(said, dict) or not isinstance(said.get("buyer"), dict):
        raise NotReadable("/buyer" if isinstance(said, dict) else "")
    texts = {name: read_text(said["buyer"], name, length, "/buyer") for name, length in BUYER.items()}
    number = crypto.normalise_mobile(texts["mobile"])
    if texts["mobile"] and number is None:
        raise NotReadable("/buyer/mobile")
    shop = read_text(said, "shop", 64, "")
    namespace = f"{channel}/{shop}" if texts["account"] else ""
    return said, Known(texts["unionid"], namespace, texts["account"], crypto.mobile_index(number) if number else "")
