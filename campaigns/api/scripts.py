"""Scripts in the mini-program: what to say to one of my members, ready to send."""

from __future__ import annotations

import datetime as dt
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from attribution import queries as attribution
from campaigns import scripts
from campaigns.models import Level, Script
from guides import queries
from guides.api.base import GuideView, business_day, now
from guides.api.members import LINES_READ
from members.models import Member
from scrm.api import throttles
from scrm.api.idempotency import idempotent

MOST = 50


class ScriptItem(serializers.Serializer[Any]):
    class Skipped(serializers.Serializer[Any]):
        level = serializers.IntegerField()
        level_text = serializers.CharField()
        lacking = serializers.ListField(child=serializers.CharField(), help_text="slots that nothing fills")

        class Meta:
            ref_name = "ScriptSkipped"

    id = serializers.IntegerField()
    version = serializers.IntegerField()
    name = serializers.CharField()
    sku = serializers.CharField(allow_null=True)
    product_name = serializers.CharField(allow_null=True)
    level = serializers.IntegerField(help_text="1 generic … 6 most personal")
    level_text = serializers.CharField()
    text = serializers.CharField(help_text="ready to send")
    why = serializers.CharField(help_text="why this level was taken, and what the next deeper one lacks")
    skipped = Skipped(many=True)

    class Meta:
        ref_name = "ReadyScript"


ITEM = {
    "id": 7, "version": 2, "name": "榴莲到货", "sku": "F001", "product_name": "金枕榴莲", "level": 4, "level_text": "上次购买与到货",
    "text": "李女士，您上次买的金枕榴莲今天又到了一批，要给您留一个吗？", "why": "层级“上次购买与到货”：上次购买＝金枕榴莲；“购买节律”缺 常购日",
    "skipped": [{"level": 6, "level_text": "购买节律", "lacking": ["常购日"]}],
}  # fmt: skip


class OwnMember(GuideView):
    throttle_classes = (throttles.MissThrottle,)

    def found(self, request: Request, member_id: int) -> Member:
        member = queries.visible_members(self.caller).filter(pk=member_id).select_related("tier").first()
        if member is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        return member


class ScriptsView(OwnMember):
    class Query(serializers.Serializer[Any]):
        sku = serializers.CharField(required=False, max_length=64, help_text="only scripts about this product")

        class Meta:
            ref_name = "ScriptsQuery"

    class Output(serializers.Serializer[Any]):
        items = ScriptItem(many=True)

        class Meta:
            ref_name = "ReadyScripts"

    @extend_schema(
        operation_id="scripts",
        tags=["content"],
        summary="Scripts for a member",
        description=(
            "What can be said to her now, as personally as the facts allow, the most personal first. What she bought counts as "
            "far as I may see it. At most 50."
        ),
        parameters=[Query],
        responses={200: Output},
        examples=[OpenApiExample("scripts", response_only=True, status_codes=["200"], value={"items": [ITEM]})],
    )
    def get(self, request: Request, member_id: int) -> Response:
        wanted = self.read(self.Query, request.query_params)
        member, at, caller = self.found(request, member_id), now(), self.caller
        today = business_day(at)
        lines = attribution.purchases_of(
            member_id=member.pk, store_ids=caller.store_ids, since=today - dt.timedelta(days=queries.PURCHASE_DAYS),
            today=today, limit=LINES_READ,
        )  # fmt: skip
        said = scripts.said_to(
            member=member, scripts=scripts.for_guide(store_id=caller.store_id, now=at, sku=wanted.get("sku")),
            bought=scripts.kept_lines(lines), guide=caller.name, store=caller.store_name, today=today,
        )  # fmt: skip
        return Response({"items": [script_item(script, one) for script, one in said[:MOST]]})


class UseView(OwnMember):
    class Input(serializers.Serializer[Any]):
        level = serializers.ChoiceField(choices=[level.value for level in Level], help_text="of the text that was sent")

        class Meta:
            ref_name = "ScriptUse"

    class Output(serializers.Serializer[Any]):
        id = serializers.IntegerField()

        class Meta:
            ref_name = "ScriptUsed"

    @extend_schema(
        operation_id="use_script",
        tags=["content"],
        summary="I sent a script",
        request=Input,
        responses={200: Output},
        examples=[OpenApiExample("sent", request_only=True, value={"level": 4})],
    )
    @idempotent
    def post(self, request: Request, member_id: int, script_id: int) -> Response:
        said = self.read(self.Input, request.data)
        member, at = self.found(request, member_id), now()
        script = scripts.usable_in(self.caller.store_id, at).filter(pk=script_id).first()
        if script is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        row = scripts.record_use(
            script=script, level=said["level"], member=member, guide_id=self.caller.guide_id,
            store_id=self.caller.store_id, now=at,
        )  # fmt: skip
        return Response({"id": row.pk})


def script_item(script: Script, said: scripts.Said) -> dict[str, Any]:
    product = script.product
    return {
        "id": script.pk, "version": script.version_no, "name": script.name, "sku": product.sku if product else None,
        "product_name": product.name if product else None, "level": int(said.level), "level_text": str(said.level.label),
        "text": said.text, "why": said.why,
        "skipped": [
            {"level": int(one.level), "level_text": str(one.level.label), "lacking": list(one.lacking)} for one in said.skipped
        ],
    }  # fmt: skip
