"""Customer groups in the mini-program: what is due and done in mine, or in those of the stores I manage."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.communities import board
from guides.api.base import GuideView, now
from scrm import org


class GroupBoardTotal(serializers.Serializer[Any]):
    group_count = serializers.IntegerField()
    customer_count = serializers.IntegerField()
    due_count = serializers.IntegerField(help_text="groups with something to do today")
    done_count = serializers.IntegerField(help_text="groups with something done today")
    sent_count = serializers.IntegerField(help_text="messages of the last 7 days")
    joined_count = serializers.IntegerField(help_text="in the last 7 days")
    left_count = serializers.IntegerField(help_text="in the last 7 days")


class GroupBoardItem(serializers.Serializer[Any]):
    group_id = serializers.IntegerField()
    name = serializers.CharField()
    customer_count = serializers.IntegerField()
    is_due_today = serializers.BooleanField(help_text="what exactly stands among the owner's actions")
    is_done_today = serializers.BooleanField()
    sent_count = serializers.IntegerField(help_text="messages of the last 7 days")
    joined_count = serializers.IntegerField(help_text="in the last 7 days")
    left_count = serializers.IntegerField(help_text="in the last 7 days")


ITEM = {
    "group_id": 12, "name": "南山店福利群", "customer_count": 186, "is_due_today": True, "is_done_today": False, "sent_count": 3,
    "joined_count": 9, "left_count": 2,
}  # fmt: skip
TOTAL = {
    "group_count": 1, "customer_count": 186, "due_count": 1, "done_count": 0, "sent_count": 3, "joined_count": 9, "left_count": 2,
}  # fmt: skip


class GroupBoardView(GuideView):
    class Output(serializers.Serializer[Any]):
        total = GroupBoardTotal()
        items = GroupBoardItem(many=True)

        class Meta:
            ref_name = "GroupBoard"

    @extend_schema(
        operation_id="group_board",
        tags=["today"],
        summary="My customer groups",
        description=(
            "The groups I own; a store manager sees all groups of her stores. Those with something due today first; at most 200."
        ),
        responses={200: Output},
        examples=[
            OpenApiExample("groups", response_only=True, status_codes=["200"], value={"total": TOTAL, "items": [ITEM]})
        ],
    )
    def get(self, request: Request) -> Response:
        caller = self.caller
        managed = frozenset(caller.managed_store_ids)
        found = board.lines(
            level="group", scope=org.Scope(managed) if managed else org.EVERYTHING, now=now(),
            owner_id=None if managed else caller.guide_id,
        )  # fmt: skip
        total = board.total(found)
        return Response(
            {"total": {name: getattr(total, name) for name in TOTAL}, "items": [_item(one) for one in found]}
        )


def _item(line: board.Line) -> dict[str, Any]:
    return {
        "group_id": line.key, "name": line.name, "customer_count": line.customer_count, "is_due_today": bool(line.due_count),
        "is_done_today": bool(line.done_count), "sent_count": line.sent_count, "joined_count": line.joined_count,
        "left_count": line.left_count,
    }  # fmt: skip
