"""What I share."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from guides import share_tokens, shares
from guides.api.base import GuideView, now
from guides.models import Share, Touch
from scrm.api.idempotency import idempotent


class Shared(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=Share.Kind.choices)
    scene = serializers.CharField(help_text="32 characters for the scene of a mini-program code")
    parameter = serializers.CharField(help_text="the same for a link: append it to the page's address")
    expires_at = serializers.DateTimeField(help_text="an opening counts before this moment")
    closes_at = serializers.DateTimeField(allow_null=True, help_text="null: a touch counts for the window of the rule")


SHARED = {
    "id": 812, "kind": "SHARE", "scene": "AQAAAAAAAAMsq1v4mY0cXf7uJ2kWZ6aB",
    "parameter": "s=AQAAAAAAAAMsq1v4mY0cXf7uJ2kWZ6aB", "expires_at": "2026-07-18T02:00:00Z", "closes_at": None,
}  # fmt: skip


class SharesView(GuideView):
    class Input(serializers.Serializer[Any]):
        kind = serializers.ChoiceField(choices=Share.Kind.choices)
        object_kind = serializers.ChoiceField(choices=Touch.Covers.choices, default=Touch.Covers.ALL)
        object_code = serializers.CharField(
            max_length=64, required=False, default="", allow_blank=True,
            help_text="SKU, category code, live room no. or group no.; empty for everything",
        )  # fmt: skip
        coupon_no = serializers.CharField(max_length=64, required=False, default="", allow_blank=True)
        closes_at = serializers.DateTimeField(
            required=False,
            allow_null=True,
            default=None,
            help_text="when the coupon or group closes; at most 90 days ahead",
        )

        class Meta:
            ref_name = "ShareInput"

    Output = Shared

    @extend_schema(
        operation_id="share",
        tags=["shares"],
        summary="Share something",
        description="A link, poster, coupon, live room or group under my name. The token proves who shared what, and expires.",
        request=Input,
        responses={200: Shared},
        examples=[OpenApiExample("shared", response_only=True, status_codes=["200"], value=SHARED)],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        said = self.read(self.Input, request.data)
        row, token = shares.share(
            guide_id=self.caller.guide_id, kind=said["kind"], object_kind=said["object_kind"],
            object_code=said["object_code"], reference=said["coupon_no"], closes_at=said["closes_at"], now=now(),
        )  # fmt: skip
        shown = {
            "id": row.pk, "kind": row.kind, "scene": token, "parameter": f"{share_tokens.PARAMETER}={token}",
            "expires_at": row.expires_at, "closes_at": row.closes_at,
        }  # fmt: skip
        return Response(shown)
