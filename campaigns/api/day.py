"""My day: one list, one entry per customer, in the order in which it is worth my time."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.scenarios import choosing, day
from guides import actions
from guides.api.actions import ActionItem
from guides.api.base import SHANGHAI, GuideView, business_day, now
from guides.models import Action
from scrm.money import yuan

ITEM = {
    "id": 31, "kind": "MESSAGE", "kind_text": "发消息", "asked_by": "SCENARIO", "title": "提醒回购", "reason": "老客，已经 25 天没买，比平时久了。",
    "text": "李敏，您常买的又到货了，要给您留一份吗？", "minutes": 3, "member_id": 7, "member_name": "李敏", "expected_fen": 460,
    "starts_at": "2026-06-10T08:00:00+08:00", "due_at": "2026-06-10T21:00:00+08:00",
}  # fmt: skip


class DayView(GuideView):
    class Output(serializers.Serializer[Any]):
        class Entry(serializers.Serializer[Any]):
            member_id = serializers.IntegerField(allow_null=True, help_text="null: not about one customer")
            member_name = serializers.CharField(allow_null=True, allow_blank=True)
            is_today = serializers.BooleanField(help_text="within the minutes of my day, or wanted by its end")
            because = serializers.ChoiceField(choices=[one.value for one in day.Because])
            because_text = serializers.CharField(help_text="why it stands at this place")
            expected_fen = serializers.IntegerField(allow_null=True, help_text="chance x worth; null: not measured")
            minutes = serializers.IntegerField()
            actions = ActionItem(many=True)

            class Meta:
                ref_name = "DayEntry"

        day = serializers.DateField()
        minutes = serializers.IntegerField(help_text="of my day, as the brand's rule says")
        planned_minutes = serializers.IntegerField(help_text="of the entries for today")
        entries = Entry(many=True)

        class Meta:
            ref_name = "Day"

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "day": "2026-06-10", "minutes": 60, "planned_minutes": 3, "entries": [{
            "member_id": 7, "member_name": "李敏", "is_today": True, "because": "WORTH", "because_text": "预计带来 ¥4.60", "expected_fen": 460,
            "minutes": 3, "actions": [ITEM],
        }],
    }  # fmt: skip

    @extend_schema(
        operation_id="day",
        tags=["today"],
        summary="My day",
        description=(
            "Everything open for me, one entry per customer. First what is wanted by the end of today, then by expected value: the chance "
            "that she buys because of it times what that is worth. What has no room in my minutes is for later and stays in the list."
        ),
        responses={200: Output},
        examples=[OpenApiExample("day", response_only=True, status_codes=["200"], value=EXAMPLE)],
    )
    def get(self, request: Request) -> Response:
        at = now()
        rule = choosing.rule_of_guide(self.caller.guide_id)
        end = dt.datetime.combine(business_day(at), dt.time.max, tzinfo=SHANGHAI)
        rows = actions.of_guide(guide_id=self.caller.guide_id, now=at)
        entries = day.arrange(rows, end_of_day=end, minutes=rule.minutes)
        planned = sum(entry.minutes for entry in entries if entry.is_today)
        shown = [_shown(entry) for entry in entries]
        return Response(
            {"day": business_day(at), "minutes": rule.minutes, "planned_minutes": planned, "entries": shown}
        )


def _shown(entry: day.Entry) -> dict[str, Any]:
    items = [{**row, "kind_text": str(Action.Kind(row["kind"]).label)} for row in entry.actions]
    return {
        "member_id": entry.member_id, "member_name": entry.member_name, "is_today": entry.is_today, "because": entry.because.value,
        "because_text": _because(entry), "expected_fen": entry.expected_fen, "minutes": entry.minutes, "actions": items,
    }  # fmt: skip


def _because(entry: day.Entry) -> str:
    if entry.because is day.Because.DUE:
        return _("To be done today")
    if entry.expected_fen is None:
        return _("By its time")
    return _("Expected to bring ¥%(yuan)s") % {"yuan": yuan(entry.expected_fen)}
