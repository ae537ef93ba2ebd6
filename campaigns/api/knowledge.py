"""The knowledge base in the mini-program."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import knowledge
from campaigns.models import Answer
from guides.api.base import GuideView, now
from scrm.api import throttles
from scrm.api.idempotency import idempotent


class AnswerItem(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    question = serializers.CharField()
    answer = serializers.CharField()
    expert = serializers.CharField(allow_blank=True)
    skus = serializers.ListField(child=serializers.CharField())
    tags = serializers.ListField(child=serializers.CharField())
    useful_count = serializers.IntegerField()
    useless_count = serializers.IntegerField()

    class Meta:
        ref_name = "ExpertAnswer"


ITEM = {
    "id": 3, "question": "榴莲怎么判断熟没熟", "answer": "闻到香味、刺尖有弹性就是熟了。", "expert": "采购部 老周", "skus": ["F001"],
    "tags": ["榴莲", "挑选"], "useful_count": 12, "useless_count": 1,
}  # fmt: skip


class KnowledgeView(GuideView):
    class Query(serializers.Serializer[Any]):
        q = serializers.CharField(
            required=False, max_length=200, help_text="as the customer asks; without it the most useful answers"
        )
        sku = serializers.CharField(required=False, max_length=64)

        class Meta:
            ref_name = "KnowledgeQuery"

    class Output(serializers.Serializer[Any]):
        items = AnswerItem(many=True, help_text="at most 20, the best first")

        class Meta:
            ref_name = "KnowledgeFound"

    @extend_schema(
        operation_id="knowledge",
        tags=["content"],
        summary="Search expert answers",
        parameters=[Query],
        responses={200: Output},
        examples=[OpenApiExample("found", response_only=True, status_codes=["200"], value={"items": [ITEM]})],
    )
    def get(self, request: Request) -> Response:
        wanted = self.read(self.Query, request.query_params)
        rows = knowledge.usable_in(self.caller.store_id)
        found = knowledge.search(rows=rows, question=wanted.get("q", ""), sku=wanted.get("sku", ""))
        return Response({"items": [_item(answer) for answer in found]})


class VoteView(GuideView):
    throttle_classes = (throttles.MissThrottle,)

    class Input(serializers.Serializer[Any]):
        is_useful = serializers.BooleanField()

        class Meta:
            ref_name = "KnowledgeVote"

    class Output(serializers.Serializer[Any]):
        useful_count = serializers.IntegerField()
        useless_count = serializers.IntegerField()

        class Meta:
            ref_name = "KnowledgeVotes"

    @extend_schema(
        operation_id="vote_on_answer",
        tags=["content"],
        summary="Say whether an answer was useful",
        description="My last word counts.",
        request=Input,
        responses={200: Output},
        examples=[OpenApiExample("useful", request_only=True, value={"is_useful": True})],
    )
    @idempotent
    def post(self, request: Request, answer_id: int) -> Response:
        said = self.read(self.Input, request.data)
        try:
            row = knowledge.vote(
                answer_id=answer_id, guide_id=self.caller.guide_id, store_id=self.caller.store_id,
                is_useful=said["is_useful"], now=now(),
            )  # fmt: skip
        except knowledge.UnknownAnswer:
            throttles.MissThrottle.missed(request)
            raise NotFound from None
        return Response({"useful_count": row.useful_count, "useless_count": row.useless_count})


def _item(answer: Answer) -> dict[str, Any]:
    return {
        "id": answer.pk, "question": answer.question, "answer": answer.answer, "expert": answer.expert,
        "skus": sorted(product.sku for product in answer.products.all()), "tags": answer.tags,
        "useful_count": answer.useful_count, "useless_count": answer.useless_count,
    }  # fmt: skip
