"""Posters in the mini-program: those I may use, and mine with my own code."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import posters
from campaigns.models import Poster
from guides.api.base import GuideView, now
from guides.models import Guide
from scrm.api import throttles
from scrm.models import Store

MOST = 100


class PosterItem(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    code = serializers.ChoiceField(choices=Poster.Code.choices)
    ends_at = serializers.DateTimeField(allow_null=True)

    class Meta:
        ref_name = "Poster"


class PostersView(GuideView):
    class Output(serializers.Serializer[Any]):
        items = PosterItem(many=True)

        class Meta:
            ref_name = "Posters"

    @extend_schema(
        operation_id="posters",
        tags=["content"],
        summary="Posters I may use",
        responses={200: Output},
        examples=[
            OpenApiExample(
                "posters", response_only=True, status_codes=["200"],
                value={"items": [{"id": 4, "name": "端午榴莲节", "code": "LINK", "ends_at": None}]},
            )
        ],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        rows = posters.usable_in(self.caller.store_id, now()).order_by("-pk")[:MOST]
        items = [{"id": row.pk, "name": row.name, "code": row.code, "ends_at": row.ends_at} for row in rows]
        return Response({"items": items})


class PosterPictureView(GuideView):
    throttle_classes = (throttles.MissThrottle,)
    error_codes = frozenset({"409"})  # she has no code yet

    @extend_schema(
        operation_id="poster_picture",
        tags=["content"],
        summary="A poster with my own code",
        description="Drawn once and kept; who scans it and opens is a touch of mine.",
        responses={(200, "image/jpeg"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, poster_id: int) -> HttpResponse:
        at = now()
        poster = posters.usable_in(self.caller.store_id, at).filter(pk=poster_id).first()
        if poster is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        drawn = posters.drawn_for(
            poster=poster, guide=Guide.objects.get(pk=self.caller.guide_id), store=Store.objects.get(pk=self.caller.store_id),
            now=at,
        )  # fmt: skip
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=600"}
        return HttpResponse(bytes(drawn.content), content_type="image/jpeg", headers=headers)
