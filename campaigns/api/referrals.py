"""My referrals: the link of a member of mine, and what came of them. ``/r/<token>`` leads a new customer on."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from campaigns import links, queries, referrals
from campaigns.api.links import HEADERS, AddressThrottle
from campaigns.models import Referral
from guides import queries as guides
from guides.api.base import GuideView, business_day, now
from scrm.api import pagination, throttles
from scrm.api.idempotency import idempotent

REFERRALS = "referrals"
FUNNEL = (
    "link_count", "open_count", "joined_count", "registered_count", "bought_count", "vested_count", "void_count", "review_count",
)  # fmt: skip
INVITATION = {
    "token": "AQAAAAAAAAMsq1v4mY0cXf7uJ2kWZ6aB", "address": "https://s.example.com/r/AQAAAAAAAAMsq1v4mY0cXf7uJ2kWZ6aB",
    "expires_at": "2026-07-30T02:00:00Z", "coupon_name": "满100减20", "guide_fen": 500,
}  # fmt: skip


class Invitation(serializers.Serializer[Any]):
    token = serializers.CharField(help_text="32 characters for the scene of a mini-program code; in a link `r=…`")
    address = serializers.CharField(allow_blank=True, help_text="empty: the programme has no page, use the code")
    expires_at = serializers.DateTimeField()
    coupon_name = serializers.CharField(help_text="what the member gets for each new customer")
    guide_fen = serializers.IntegerField(help_text="what I get")


class InviteView(GuideView):
    throttle_classes = (throttles.MissThrottle,)

    Output = Invitation

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        found = guides.member_profile(caller=self.caller, member_id=kwargs["member_id"], today=business_day(now()))
        if found is None:
            throttles.MissThrottle.missed(request)
            raise NotFound

    @extend_schema(
        operation_id="invite_by_member",
        tags=["referrals"],
        summary="The referral link of a member",
        description="For her to pass on, while a programme runs; asked again it is the same link while it lasts three days more.",
        request=None,
        responses={200: Invitation},
        examples=[OpenApiExample("invitation", response_only=True, status_codes=["200"], value=INVITATION)],
    )
    @idempotent
    def post(self, request: Request, member_id: int) -> Response:
        found = referrals.linking.invite(member_id=member_id, now=now())
        programme = found.link.programme
        return Response(
            {
                "token": found.token, "address": found.address, "expires_at": found.link.expires_at,
                "coupon_name": programme.coupon_template.name,
                "guide_fen": programme.guide_fen if found.link.guide_id == self.caller.guide_id else 0,
            }
        )  # fmt: skip


class ReferralItem(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    referrer = serializers.CharField(allow_blank=True)
    newcomer = serializers.CharField(allow_blank=True, help_text="empty until she has registered")
    joined_at = serializers.DateTimeField()
    registered_at = serializers.DateTimeField(allow_null=True)
    bought_at = serializers.DateTimeField(allow_null=True)
    guide_fen = serializers.IntegerField()
    referral_state = serializers.ChoiceField(choices=Referral.Status.choices)
    state_text = serializers.CharField()
    reason_text = serializers.CharField(allow_blank=True, help_text="why it is void or was taken back")
    flag_texts = serializers.ListField(
        child=serializers.CharField(), help_text="what holds it until somebody has looked at it"
    )


class Programme(serializers.Serializer[Any]):
    name = serializers.CharField()
    ends_at = serializers.DateTimeField()
    coupon_name = serializers.CharField()
    guide_fen = serializers.IntegerField()
    min_fen = serializers.IntegerField(help_text="the new customer buys for at least so much")
    cooling_days = serializers.IntegerField(help_text="days after the first purchase until it is earned")

    class Meta:
        ref_name = "ReferralProgramme"


class Funnel(serializers.Serializer[Any]):
    link_count = serializers.IntegerField()
    open_count = serializers.IntegerField()
    joined_count = serializers.IntegerField()
    registered_count = serializers.IntegerField()
    bought_count = serializers.IntegerField()
    vested_count = serializers.IntegerField()
    void_count = serializers.IntegerField()
    review_count = serializers.IntegerField()

    class Meta:
        ref_name = "ReferralFunnel"


class ReferralPage(serializers.Serializer[Any]):
    programme = Programme(allow_null=True, help_text="null: none runs now")
    funnel = Funnel(allow_null=True, help_text="mine, of the programme that runs")
    items = ReferralItem(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class ReferralsView(GuideView):
    class Input(pagination.PageInput):
        class Meta:
            ref_name = "ReferralsQuery"

    Output = ReferralPage

    @extend_schema(
        operation_id="referrals",
        tags=["referrals"],
        summary="My referrals",
        description="New customers whom my members have brought, the newest first, and the funnel of the programme that runs.",
        parameters=[Input],
        responses={200: ReferralPage},
    )
    def get(self, request: Request) -> Response:
        wanted = self.read(self.Input, request.query_params)
        key = pagination.read_cursor(wanted.get("cursor"), of=REFERRALS)
        guide_id, size = self.caller.guide_id, wanted["size"]
        rows = queries.referrals_of(guide_id=guide_id, after=key[0] if key else None, limit=size + 1)
        page = pagination.page(rows, size=size, of=REFERRALS, key=lambda row: [row["id"]])
        programme = queries.referral_programme(now=now())
        funnel = referrals.figures.of_guide(programme_id=programme.pk, guide_id=guide_id) if programme else None
        shown = {
            "name": programme.name, "ends_at": programme.ends_at, "coupon_name": programme.coupon_template.name,
            "guide_fen": programme.guide_fen, "min_fen": programme.min_fen, "cooling_days": programme.cooling_days,
        } if programme else None  # fmt: skip
        counts = {name: getattr(funnel, name) for name in FUNNEL} if funnel else None
        return Response(
            {
                "programme": shown,
                "funnel": counts,
                "items": [_item(row) for row in page.items],
                "next_cursor": page.next_cursor,
            }
        )


def _item(row: dict[str, Any]) -> dict[str, Any]:
    reason, flags, review = row.pop("reason"), row.pop("flags"), row.pop("review")
    return {
        **row,
        "state_text": str(Referral.Status(row["referral_state"]).label),
        "reason_text": str(Referral.Reason(reason).label) if reason else "",
        "flag_texts": [str(Referral.Flag(flag).label) for flag in flags] if review == Referral.Review.OPEN else [],
    }


@require_safe
def open_invitation(request: HttpRequest, token: str) -> HttpResponse:
    throttle = AddressThrottle()
    if throttle.count(BaseThrottle().get_ident(request)) > throttle.limit:  # type: ignore[arg-type]
        answer: HttpResponse = _page(request, 429)
        answer.headers["Retry-After"] = str(max(1, round(throttle.wait())))
        return answer
    link = referrals.linking.of_token(token)
    if link is None or not link.programme.target:
        return _page(request, 404)
    told = " ".join(request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"))
    seen = links.Request(request.method or "", request.headers.get("User-Agent", "")[:400], told[:100], "")
    if referrals.linking.is_over(link, timezone.now()):
        answer = _page(request, 410)
    else:
        answer = HttpResponseRedirect(referrals.linking.lead_on(link=link, token=token, request=seen))
    for name, value in HEADERS.items():
        answer.headers[name] = value
    return answer


def _page(request: HttpRequest, status: int) -> HttpResponse:
    return TemplateResponse(request, "campaigns/link_over.html", {"status": status}, status=status).render()
