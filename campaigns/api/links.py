"""``/s/<code>``: a customer opens a guide's link."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from rest_framework.throttling import BaseThrottle

from campaigns import links
from campaigns.models import ShortLink
from scrm.api.throttles import MINUTE, WindowThrottle

HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow"}
COOKIE, COOKIE_SECONDS = "scrm_link", 365 * 24 * 3600


class AddressThrottle(WindowThrottle):
    """Many people may share one address (a mobile network); a script that tries codes asks faster."""

    scope = "short_link"
    limit = 120
    seconds = MINUTE


@require_safe
def open_link(request: HttpRequest, code: str) -> HttpResponse:
    throttle = AddressThrottle()
    if throttle.count(BaseThrottle().get_ident(request)) > throttle.limit:  # type: ignore[arg-type]
        answer = _page(request, 429)
        answer.headers["Retry-After"] = str(max(1, round(throttle.wait())))
        return answer
    link = ShortLink.objects.select_related("share").filter(code=code).first()
    if link is None:
        return _page(request, 404)
    now = timezone.now()
    browser = links.browser_of(request.COOKIES.get(COOKIE, ""))
    told = " ".join(request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"))
    seen = links.Request(request.method or "", request.headers.get("User-Agent", "")[:400], told[:100], browser)
    target = links.open_link(link=link, request=seen, now=now)
    answer = _page(request, 410) if links.is_over(link, now) else HttpResponseRedirect(target)
    for name, value in HEADERS.items():
        answer.headers[name] = value
    if not links.is_robot(seen):
        answer.set_cookie(
            COOKIE, browser, max_age=COOKIE_SECONDS, path="/s/", httponly=True, samesite="Lax", secure=settings.SESSION_COOKIE_SECURE
        )  # fmt: skip
    return answer


def _page(request: HttpRequest, status: int) -> HttpResponse:
    return TemplateResponse(request, "campaigns/link_over.html", {"status": status}, status=status).render()
