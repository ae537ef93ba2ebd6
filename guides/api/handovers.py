"""Customers handed to me: who they are, how far WeCom is, and how to begin."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from guides.api.base import GuideView
from guides.handover import figures
from guides.models import HandoverItem
from scrm.api import pagination

LIST = "handovers"


class HandedOver(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    member_id = serializers.IntegerField(allow_null=True, help_text="null: a WeCom friend who is no member yet")
    name = serializers.CharField(allow_blank=True)
    from_guide = serializers.CharField(help_text="who served the customer before")
    from_store = serializers.CharField(allow_null=True)
    state = serializers.ChoiceField(choices=HandoverItem.State.choices)
    state_text = serializers.CharField()
    handed_at = serializers.DateTimeField(help_text="since when the customer is mine")
    takeover_at = serializers.DateTimeField(allow_null=True, help_text="when WeCom makes us friends, or has done")
    first_words = serializers.CharField(help_text="a suggestion to begin with; empty while we are no friends on WeCom")


class HandedOverPage(serializers.Serializer[Any]):
    items = HandedOver(many=True)
    next_cursor = serializers.CharField(allow_null=True, help_text="null: this is the last page")


EXAMPLE = {
    "items": [{
        "id": 81, "member_id": 4711, "name": "李敏", "from_guide": "王芳", "from_store": "南山店", "state": "DONE",
        "state_text": "已继承", "handed_at": "2026-06-11T02:00:00Z", "takeover_at": "2026-06-12T02:00:00Z",
        "first_words": "李敏您好，我是林晓，之前由王芳为您服务，今后由我来照顾您。",
    }],
    "next_cursor": None,
}  # fmt: skip


class HandoversView(GuideView):
    class Input(pagination.PageInput):
        class Meta:
            ref_name = "HandoversQuery"

    Output = HandedOverPage

    @extend_schema(
        operation_id="handovers",
        tags=["members"],
        summary="Customers handed to me",
        description="The newest first. A refusal on WeCom leaves the customer with me; then a call or a visit begins it.",
        parameters=[Input],
        responses={200: HandedOverPage},
        examples=[OpenApiExample("page", response_only=True, status_codes=["200"], value=EXAMPLE)],
    )
    def get(self, request: Request) -> Response:
        wanted = self.read(self.Input, request.query_params)
        key = pagination.read_cursor(wanted.get("cursor"), of=LIST)
        size = wanted["size"]
        rows = figures.handed_over(guide_id=self.caller.guide_id, after=key[0] if key else None, limit=size + 1)
        page = pagination.page(rows, size=size, of=LIST, key=lambda row: [row["id"]])
        items = [self._item(row) for row in page.items]
        return Response({"items": items, "next_cursor": page.next_cursor})

    def _item(self, row: dict[str, Any]) -> dict[str, Any]:
        is_friend = row["state"] == HandoverItem.State.DONE
        words = _("Hello %(name)s, I am %(me)s. %(before)s served you until now; from today on I am there for you.") % {
            "name": row["name"],
            "me": self.caller.name,
            "before": row["from_guide"],
        }
        state = HandoverItem.State(row["state"])
        return {**row, "state_text": str(state.label), "first_words": words if is_friend else ""}
