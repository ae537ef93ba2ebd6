"""``/jl/<token>``: a customer opens a chain order, joins it, and changes what she has not paid on a page of her own."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe
from rest_framework.throttling import BaseThrottle

from campaigns.communities import chain_orders
from campaigns.communities.chain_orders import pickup, public
from campaigns.models import ChainLine, ChainOrder, ChainPerson
from scrm.api.throttles import MINUTE, WindowThrottle
from scrm.errors import RuleViolation

# the address holds a token and goes to no other site; without any referrer the browser would send no origin with its form
HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "same-origin", "X-Robots-Tag": "noindex, nofollow"}
PAGE = "campaigns/chain.html"


class PageThrottle(WindowThrottle):
    """Many people of a group may share one address (a mobile network); a script that tries tokens asks faster."""

    scope = "chain_page"
    limit = 240
    seconds = MINUTE


@require_http_methods(["GET", "HEAD", "POST"])
def chain(request: HttpRequest, token: str) -> HttpResponse:
    """The offer with its live list; POST joins."""
    row = _chain(request, token)
    if isinstance(row, HttpResponse):
        return row
    external_userid = public.member_of(row, request.GET.get("u", ""))
    if external_userid:
        known = ChainPerson.objects.filter(chain=row, external_userid=external_userid).first()
        if known is not None:
            return _headed(redirect("chain-person", token=token, secret=known.secret))
    if request.method != "POST":
        return _show(request, row, token, None, {})
    who = chain_orders.Who(
        name=request.POST.get("name", "")[:64], mobile=request.POST.get("mobile", "")[:32], external_userid=external_userid,
        note=request.POST.get("note", ""),
    )  # fmt: skip
    wishes = [wish for wish in _wishes(request.POST) if wish.quantity]
    return _join(request, row, token, who, wishes, None)


@require_http_methods(["GET", "HEAD", "POST"])
def person(request: HttpRequest, token: str, secret: str) -> HttpResponse:
    """What she has, what she owes and her verification code; POST changes what is not paid."""
    row = _chain(request, token)
    if isinstance(row, HttpResponse):
        return row
    mine = ChainPerson.objects.filter(chain=row, secret=secret).first()
    if mine is None:
        return _gone(request, 404)
    if request.method != "POST":
        return _show(request, row, token, mine, {})
    changed = [wish for wish in _wishes(request.POST) if wish.quantity != wish.was]
    if not changed:
        return _headed(HttpResponseRedirect(request.path))
    return _join(request, row, token, chain_orders.Who(person_id=mine.pk), changed, mine)


@require_safe
def photo(request: HttpRequest, token: str, number: int) -> HttpResponse:
    row = _chain(request, token)
    if isinstance(row, HttpResponse):
        return row
    item = row.items.filter(number=number).select_related("photo").first()
    if item is None or item.photo is None:
        raise Http404
    answer = HttpResponse(bytes(item.photo.content), content_type=item.photo.content_type)
    answer.headers["Cache-Control"] = "private, max-age=600"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def _chain(request: HttpRequest, token: str) -> ChainOrder | HttpResponse:
    throttle = PageThrottle()
    if throttle.count(BaseThrottle().get_ident(request)) > throttle.limit:  # type: ignore[arg-type]
        answer = _gone(request, 429)
        answer.headers["Retry-After"] = str(max(1, round(throttle.wait())))
        return answer
    return public.chain_of(token) or _gone(request, 404)


def _wishes(asked: Any) -> list[chain_orders.Wish]:
    found = []
    for name, value in asked.items():
        if name.startswith("item_") and name[5:].isdecimal() and len(name) < 24:
            was = asked.get(f"was_{name[5:]}", "")
            quantity = int(value) if value.isdecimal() and len(value) < 6 else 0
            found.append(
                chain_orders.Wish(int(name[5:]), quantity, int(was) if was.isdecimal() and len(was) < 6 else None)
            )
    return found


def _join(
    request: HttpRequest,
    row: ChainOrder,
    token: str,
    who: chain_orders.Who,
    wishes: list[chain_orders.Wish],
    mine: ChainPerson | None,
) -> HttpResponse:
    try:
        made = chain_orders.join(
            chain_id=row.pk, who=who, wishes=wishes, source=ChainLine.Source.FORM, actor=None, now=timezone.now()
        )
    except RuleViolation as error:
        return _show(request, row, token, mine, error.extra.get("fields") or {"": error.message}, status=409)
    return _headed(redirect("chain-person", token=token, secret=made.secret))


def _show(
    request: HttpRequest,
    row: ChainOrder,
    token: str,
    mine: ChainPerson | None,
    faults: dict[str, str],
    status: int = 200,
) -> HttpResponse:
    people = pickup.standing(chain_id=row.pk)
    me = next((one for one in people if mine is not None and one.person.pk == mine.pk), None)
    has = {line.item_id: line.quantity for line in me.lines if line.status == ChainLine.Status.TAKEN} if me else {}
    now = timezone.now()
    wanted = {wish.item_id: wish.quantity for wish in _wishes(request.POST)} if faults else has
    offers = [
        (offer, has.get(offer.item.pk, 0), wanted.get(offer.item.pk, 0)) for offer in pickup.offers(chain_id=row.pk)
    ]
    context = {
        "chain": row, "offers": offers, "people": [one for one in people if one.live], "me": me, "token": token,
        "faults": faults, "fault_list": list(faults.items()), "said": request.POST if faults else {}, "is_early": now < row.opens_at,
        "is_on": row.status == ChainOrder.Status.OPEN and row.opens_at <= now < row.closes_at and not (me and me.person.picked_up_at),
        "title": row.title,
    }  # fmt: skip
    return _headed(TemplateResponse(request, PAGE, context, status=status).render())


def _gone(request: HttpRequest, status: int) -> HttpResponse:
    title = (
        _("Too many requests; please wait a moment.")
        if status == 429
        else _("There is no such chain order; ask your guide for the link.")
    )
    return _headed(TemplateResponse(request, PAGE, {"title": title, "chain": None}, status=status).render())


def _headed(answer: HttpResponse) -> HttpResponse:
    for name, value in HEADERS.items():
        answer.headers[name] = value
    return answer
