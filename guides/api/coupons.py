"""Coupons of my members: what they have, what I may give, what I redeem at the till."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from guides import queries
from guides.api.base import GuideView, now
from members import coupons
from members.coupons import faces, figures
from members.coupons.quoting import Till
from members.coupons.records import Where
from members.coupons.terms import Basket, Goods
from members.models import Coupon, Redemption
from scrm.api import pagination, throttles
from scrm.api.idempotency import HEADER, idempotent
from scrm.models import Store

COUPONS, REDEMPTIONS = "coupons", "redemptions"
IN_STORE = "POS"  # the channel of what she redeems
MOST_FEN = 100_000_000
MOST_LINES = 200
MOST_ID = 2**63 - 1


class TillThrottle(throttles.WindowThrottle):
    """A hand scans a coupon every other second; a script tries numbers."""

    scope = "coupon_till"
    limit = 40
    seconds = throttles.MINUTE


class GivingThrottle(throttles.WindowThrottle):
    scope = "coupon_giving"
    limit = 60
    seconds = throttles.MINUTE


class CouponFace(serializers.Serializer[Any]):
    headline = serializers.CharField(help_text="what it takes off, in words")
    name = serializers.CharField()
    validity = serializers.CharField()
    rules = serializers.ListField(child=serializers.CharField(), help_text="the small print, line by line")


class GivableTemplate(CouponFace):
    id = serializers.IntegerField()
    quota_left = serializers.IntegerField(help_text="how many I may still give in this month")


class GivableTemplates(serializers.Serializer[Any]):
    items = GivableTemplate(many=True)


class MemberCoupon(CouponFace):
    id = serializers.IntegerField()
    number = serializers.CharField(help_text="its last four signs; the customer's screen shows all of it")
    coupon_state = serializers.ChoiceField(choices=Coupon.Status.choices)
    state_text = serializers.CharField()
    starts_on = serializers.DateField()
    expires_on = serializers.DateField(help_text="the last day on which it is valid")


class MemberCoupons(serializers.Serializer[Any]):
    items = MemberCoupon(many=True)
    next_cursor = serializers.CharField(allow_null=True)


FACE = {
    "headline": "满¥100减¥20", "name": "夏日满减", "validity": "2026-06-30 – 2026-07-29",
    "rules": ["每人最多 1 张。", "不与其他券同用。"],
}  # fmt: skip
COUPON = {
    **FACE, "id": 4711, "number": "****7KQ2", "coupon_state": "HELD", "state_text": "可用", "starts_on": "2026-06-30",
    "expires_on": "2026-07-29",
}  # fmt: skip


class OfMember(GuideView):
    """Screens below a member the caller sees; any other member is not there."""

    member_id: int

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not queries.visible_members(self.caller).filter(pk=kwargs["member_id"]).exists():
            throttles.MissThrottle.missed(request)
            raise NotFound


class CouponTemplatesView(GuideView):
    Output = GivableTemplates

    @extend_schema(
        operation_id="coupon_templates",
        tags=["coupons"],
        summary="Coupons I may give",
        description="Templates in force that guides give out, with what is left of my quota of the month.",
        responses={200: GivableTemplates},
        examples=[
            OpenApiExample("templates", response_only=True, value={"items": [{**FACE, "id": 12, "quota_left": 8}]}),
        ],
    )
    def get(self, request: Request) -> Response:
        at = now()
        rows = figures.for_guides(now=at)
        left = coupons.issuing.quota_left(user=request.user, templates=rows, now=at)
        shown = zip(rows, faces.of_templates(rows), strict=True)
        return Response({"items": [{**_face(face), "id": row.pk, "quota_left": left[row.pk]} for row, face in shown]})


class MemberCouponsView(OfMember):
    throttle_classes = (throttles.MissThrottle,)

    class Input(pagination.PageInput):
        is_open = serializers.BooleanField(required=False, default=True, help_text="only those she can still use")

        class Meta:
            ref_name = "MemberCouponsQuery"

    Output = MemberCoupons

    @extend_schema(
        operation_id="member_coupons",
        tags=["coupons"],
        summary="A member's coupons",
        description="The newest first.",
        parameters=[Input],
        responses={200: MemberCoupons},
    )
    def get(self, request: Request, member_id: int) -> Response:
        wanted = self.read(self.Input, request.query_params)
        key = pagination.read_cursor(wanted.get("cursor"), of=COUPONS)
        rows = figures.of_member(
            member_id=member_id, is_open=wanted["is_open"], after=key[0] if key else None, limit=wanted["size"] + 1
        )
        page = pagination.page(
            [_coupon(row, face) for row, face in zip(rows, faces.of_coupons(rows), strict=True)],
            size=wanted["size"], of=COUPONS, key=lambda row: [row["id"]],
        )  # fmt: skip
        return Response({"items": page.items, "next_cursor": page.next_cursor})


class GiveCouponView(OfMember):
    throttle_classes = (throttles.MissThrottle, GivingThrottle)

    class Input(serializers.Serializer[Any]):
        template_id = serializers.IntegerField(min_value=1, max_value=MOST_ID)

        class Meta:
            ref_name = "GiveCoupon"

    Output = MemberCoupon

    @extend_schema(
        operation_id="give_coupon",
        tags=["coupons"],
        summary="Give a coupon to a member",
        description="Within my quota of the month, the member's cap, and the coupon's number and budget.",
        request=Input,
        responses={200: MemberCoupon},
        examples=[OpenApiExample("given", response_only=True, status_codes=["200"], value=COUPON)],
    )
    @idempotent
    def post(self, request: Request, member_id: int) -> Response:
        template_id = self.read(self.Input, request.data)["template_id"]
        given = coupons.issuing.give(
            template_id=template_id, member_id=member_id, source=Coupon.Source.GUIDE, key=_key(request), now=now(),
            where=Where(actor=request.user, store_id=self.caller.store_id),
        )  # fmt: skip
        return Response(_coupon(given.coupon, faces.face(given.coupon.template, given.coupon)))


class OrderGoods(serializers.Serializer[Any]):
    sku = serializers.CharField(max_length=64)
    amount_fen = serializers.IntegerField(min_value=0, max_value=MOST_FEN, help_text="of the whole quantity")
    quantity = serializers.DecimalField(
        max_digits=9, decimal_places=3, min_value=Decimal("0.001"), required=False, default=Decimal(1)
    )


class OrderInput(serializers.Serializer[Any]):
    code = serializers.CharField(min_length=4, max_length=40, help_text="the coupon's number, scanned or typed")
    order_no = serializers.CharField(max_length=64, help_text="number of the till's ticket")
    amount_fen = serializers.IntegerField(min_value=1, max_value=MOST_FEN, help_text="of the order before coupons")
    lines = serializers.ListField(child=OrderGoods(), required=False, default=list, max_length=MOST_LINES)

    class Meta:
        ref_name = "CouponOrder"


class QuoteOutput(CouponFace):
    can_redeem = serializers.BooleanField()
    discount_fen = serializers.IntegerField()
    reason = serializers.CharField(allow_blank=True, help_text="why not, and what to do")
    field = serializers.CharField(allow_blank=True, help_text="what the reason is about")


class RedemptionOutput(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    number = serializers.CharField(help_text="last four signs of the coupon")
    name = serializers.CharField()
    order_no = serializers.CharField()
    store_name = serializers.CharField()
    discount_fen = serializers.IntegerField()
    redeemed_at = serializers.DateTimeField()
    redemption_state = serializers.ChoiceField(choices=Redemption.Status.choices)
    state_text = serializers.CharField()
    can_reverse = serializers.BooleanField(help_text="by its template's hours; after them it is final")


REDEMPTION = {
    "id": 90, "number": "****7KQ2", "name": "夏日满减", "order_no": "P202606300017", "store_name": "人民路店",
    "discount_fen": 2_000, "redeemed_at": "2026-06-30T04:00:00Z", "redemption_state": "REDEEMED", "state_text": "已核销",
    "can_reverse": True,
}  # fmt: skip


class TillView(GuideView):
    """At the till of the caller's store. A number that is none counts as a try."""

    throttle_classes = (throttles.MissThrottle, TillThrottle)

    def till(self, said: dict[str, Any]) -> tuple[Till, Basket]:
        store = Store.objects.get(pk=self.caller.store_id)
        lines = tuple(Goods(line["sku"], line["amount_fen"], line["quantity"]) for line in said["lines"])
        till = Till(
            store=store, channel=IN_STORE, shop=store.code, order_no=said["order_no"], actor=self.request.user,
            cashier_code=self.caller.code,
        )  # fmt: skip
        return till, Basket(said["amount_fen"], lines)

    def coupon(self, request: Request, code: str) -> Coupon:
        try:
            return coupons.redeeming.of_code(code)
        except coupons.CouponRefused:
            throttles.MissThrottle.missed(request)
            raise


class QuoteView(TillView):
    has_rules = True  # a number that is none is refused
    Output = QuoteOutput

    @extend_schema(
        operation_id="quote_coupon",
        tags=["coupons"],
        summary="What a coupon would take off",
        description="Looks only. When it cannot be used the reason says what to change.",
        request=OrderInput,
        responses={200: QuoteOutput},
    )
    def post(self, request: Request) -> Response:
        said = self.read(OrderInput, request.data)
        till, basket = self.till(said)
        coupon = self.coupon(request, said["code"])
        found = coupons.quoting.quote(coupon=coupon, till=till, basket=basket, now=now())
        refusal = found.refusal
        return Response(
            {
                **_face(faces.face(coupon.template, coupon)), "can_redeem": refusal is None, "discount_fen": found.discount_fen,
                "reason": refusal.message if refusal else "", "field": refusal.extra["field"] if refusal else "",
            }
        )  # fmt: skip


class RedeemView(TillView):
    Output = RedemptionOutput

    @extend_schema(
        operation_id="redeem_coupon",
        tags=["coupons"],
        summary="Redeem a coupon",
        description="By its number, in my store. Once: whoever comes second hears where and when it was used.",
        request=OrderInput,
        responses={200: RedemptionOutput},
        examples=[OpenApiExample("redeemed", response_only=True, status_codes=["200"], value=REDEMPTION)],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        said = self.read(OrderInput, request.data)
        till, basket = self.till(said)
        at = now()
        coupon = self.coupon(request, said["code"])
        done = coupons.redeeming.redeem(coupon_id=coupon.pk, till=till, basket=basket, key=_key(request), now=at)
        return Response(_redemption(done.redemption, at))


class RedemptionPage(serializers.Serializer[Any]):
    items = RedemptionOutput(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class RedemptionsView(GuideView):
    class Input(pagination.PageInput):
        class Meta:
            ref_name = "RedemptionsQuery"

    Output = RedemptionPage

    @extend_schema(
        operation_id="redemptions",
        tags=["coupons"],
        summary="What I have redeemed",
        description="In the stores I see, the newest first.",
        parameters=[Input],
        responses={200: RedemptionPage},
    )
    def get(self, request: Request) -> Response:
        wanted = self.read(self.Input, request.query_params)
        key = pagination.read_cursor(wanted.get("cursor"), of=REDEMPTIONS)
        rows = figures.redemptions_by(
            store_ids=self.caller.store_ids, clerk=request.user, after=key[0] if key else None, limit=wanted["size"] + 1
        )
        at = now()
        page = pagination.page(
            [_redemption(row, at) for row in rows], size=wanted["size"], of=REDEMPTIONS, key=lambda row: [row["id"]]
        )
        return Response({"items": page.items, "next_cursor": page.next_cursor})


class ReverseView(GuideView):
    throttle_classes = (throttles.MissThrottle,)

    class Input(serializers.Serializer[Any]):
        reason = serializers.CharField(min_length=2, max_length=200)

        class Meta:
            ref_name = "ReverseRedemption"

    Output = RedemptionOutput

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Her own; a store manager's also everybody's in her stores."""
        super().initial(request, *args, **kwargs)
        rows = Redemption.objects.filter(pk=kwargs["redemption_id"])
        own = rows.filter(clerk_id=request.user.pk, store__in=self.caller.store_ids)
        if not own.exists() and not rows.filter(store__in=self.caller.managed_store_ids).exists():
            throttles.MissThrottle.missed(request)
            raise NotFound

    @extend_schema(
        operation_id="reverse_redemption",
        tags=["coupons"],
        summary="Take a redemption back",
        description="Within the hours of its template. The coupon is the customer's again.",
        request=Input,
        responses={200: RedemptionOutput},
    )
    @idempotent
    def post(self, request: Request, redemption_id: int) -> Response:
        reason = self.read(self.Input, request.data)["reason"]
        at = now()
        done = coupons.redeeming.reverse(
            redemption_id=redemption_id, reason=reason, key=_key(request), actor=request.user, now=at
        )
        return Response(_redemption(done.redemption, at))


def _key(request: Request) -> str:
    return f"guide {request.user.pk} {request.headers[HEADER]}"


def _face(face: faces.Face) -> dict[str, Any]:
    return {"headline": face.headline, "name": face.name, "validity": face.validity, "rules": list(face.rules)}


def _coupon(row: Coupon, face: faces.Face) -> dict[str, Any]:
    return {
        **_face(face), "id": row.pk, "number": str(row), "coupon_state": row.status,
        "state_text": row.get_status_display(), "starts_on": row.starts_on, "expires_on": row.expires_on,
    }  # fmt: skip


def _redemption(row: Redemption, at: Any) -> dict[str, Any]:
    return {
        "id": row.pk, "number": str(row.coupon), "name": row.template.name, "order_no": row.order_no,
        "store_name": row.store.name, "discount_fen": row.discount_fen, "redeemed_at": row.redeemed_at,
        "redemption_state": row.status, "state_text": row.get_status_display(),
        "can_reverse": coupons.redeeming.can_reverse(row, at),
    }  # fmt: skip
