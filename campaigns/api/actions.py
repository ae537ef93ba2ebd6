"""One thing I am to do, opened: what to say filled for this customer, and the material to send with it."""

from __future__ import annotations

import datetime as dt
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from attribution import queries as attribution
from campaigns import content, scripts
from campaigns.api.content import MaterialItem, material_item
from campaigns.api.scripts import ScriptItem, script_item
from campaigns.models import Scenario, SopStep
from campaigns.scenarios import reading
from campaigns.sops import handed
from guides import actions, queries
from guides.api.actions import ActionItem
from guides.api.base import GuideView, business_day, now
from guides.api.members import LINES_READ
from guides.models import Action
from scrm.api import throttles

ITEM = {
    "id": 31, "kind": "MESSAGE", "kind_text": "发消息", "asked_by": "SOP", "title": "到货提醒", "reason": "到了该跟进的时候（榴莲回访）",
    "text": "李女士，您上次买的金枕榴莲今天又到了一批，要给您留一个吗？", "minutes": 2, "expected_fen": None, "member_id": 7, "member_name": "李敏",
    "starts_at": "2026-06-10T09:00:00+08:00", "due_at": "2026-06-11T09:00:00+08:00", "script": None, "material": None,
    "coupon": None,
}  # fmt: skip


class ActionCoupon(serializers.Serializer[Any]):
    template_id = serializers.IntegerField()
    name = serializers.CharField()


class ActionView(GuideView):
    throttle_classes = (throttles.MissThrottle,)

    class Output(ActionItem):
        script = ScriptItem(allow_null=True, help_text="the script that ``text`` was filled from")
        material = MaterialItem(allow_null=True, help_text="to send with it; take it by POST …/materials/{id}/use")
        coupon = ActionCoupon(allow_null=True, help_text="to give with it, by POST …/members/{id}/coupons/give")

        class Meta:
            ref_name = "OpenAction"

    @extend_schema(
        operation_id="action",
        tags=["today"],
        summary="One thing I am to do, ready to send",
        description=(
            "``text`` is filled for this customer where the step has a script, as personally as what I may see allows; else it is "
            "what the step says."
        ),
        responses={200: Output},
        examples=[OpenApiExample("action", response_only=True, status_codes=["200"], value=ITEM)],
    )
    def get(self, request: Request, action_id: int) -> Response:
        at = now()
        row = actions.open_one(guide_id=self.caller.guide_id, action_id=action_id, now=at)
        if row is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        source_id, key = row.pop("source_id"), row.pop("key")
        step: SopStep | Scenario | None = handed.step_of_action(source=row["asked_by"], source_id=source_id, key=key)
        if row["asked_by"] == Action.Source.SCENARIO:
            step = reading.scenario_of(source_id)
        shown = {
            **row,
            "kind_text": str(Action.Kind(row["kind"]).label),
            "script": None,
            "material": None,
            "coupon": None,
        }
        if step is not None:
            shown |= self._said(step, row["member_id"], at) | self._material(step, at)
        if isinstance(step, Scenario) and step.coupon is not None:
            shown["coupon"] = {"template_id": handed.in_force_of(step.coupon).pk, "name": step.coupon.name}
        return Response(shown)

    def _said(self, step: SopStep | Scenario, member_id: int | None, at: dt.datetime) -> dict[str, Any]:
        """The step's script for this customer; nothing where it cannot be said, or she is not mine to see any more."""
        caller, today = self.caller, business_day(at)
        script = step.script
        if (
            script is None
            or member_id is None
            or not scripts.usable_in(caller.store_id, at).filter(pk=script.pk).exists()
        ):
            return {}
        member = queries.visible_members(caller).filter(pk=member_id).select_related("tier").first()
        if member is None:
            return {}
        lines = attribution.purchases_of(
            member_id=member.pk, store_ids=caller.store_ids, since=today - dt.timedelta(days=queries.PURCHASE_DAYS),
            today=today, limit=LINES_READ,
        )  # fmt: skip
        said = scripts.said_to(
            member=member, scripts=[script], bought=scripts.kept_lines(lines), guide=caller.name, store=caller.store_name,
            today=today,
        )  # fmt: skip
        return {"text": said[0][1].text, "script": script_item(*said[0])} if said else {}

    def _material(self, step: SopStep | Scenario, at: dt.datetime) -> dict[str, Any]:
        row = step.content
        if row is None or not content.usable_in(self.caller.store_id, at).filter(pk=row.pk).exists():
            return {}
        version = content.current(row)
        return {"material": material_item(row, version)} if version else {}
