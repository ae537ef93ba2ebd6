"""The marketing calendar in the mini-program: what takes place in my store, and what its manager does otherwise."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import calendar
from campaigns.models import CalendarAdaptation, CalendarEntry
from guides.api.base import GuideView, business_day, now
from scrm import org
from scrm.api import throttles
from scrm.api.idempotency import idempotent

DAYS = 7
NEAR = [MinValueValidator(dt.date(2000, 1, 1)), MaxValueValidator(dt.date(2100, 1, 1))]


class CalendarItem(serializers.Serializer[Any]):
    entry_id = serializers.IntegerField()
    day = serializers.DateField()
    kind = serializers.ChoiceField(choices=CalendarEntry.Kind.choices)
    kind_text = serializers.CharField()
    title = serializers.CharField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    is_left_out = serializers.BooleanField(help_text="the region or the store does not take part that day")
    is_compiled = serializers.BooleanField(help_text="false: tasks and quota are not given yet")
    text = serializers.CharField(allow_blank=True, help_text="what to say")
    material_id = serializers.IntegerField(allow_null=True)
    quota_count = serializers.IntegerField(help_text="of the store; 0: none")
    reached_count = serializers.IntegerField()
    task_count = serializers.IntegerField()
    done_count = serializers.IntegerField()


ITEM = {
    "entry_id": 3, "day": "2026-03-03", "kind": "MEMBER_DAY", "kind_text": "会员日", "title": "周二会员日",
    "starts_at": "2026-03-03T09:00:00+08:00", "ends_at": "2026-03-03T21:00:00+08:00", "is_left_out": False, "is_compiled": True,
    "text": "今天会员日，全场八折", "material_id": 12, "quota_count": 20, "reached_count": 8, "task_count": 2, "done_count": 1,
}  # fmt: skip


class CalendarView(GuideView):
    class Query(serializers.Serializer[Any]):
        first = serializers.DateField(
            required=False, validators=NEAR, help_text="seven days from then on; without it from today"
        )

        class Meta:
            ref_name = "CalendarQuery"

    class Output(serializers.Serializer[Any]):
        items = CalendarItem(many=True)

        class Meta:
            ref_name = "Calendar"

    @extend_schema(
        operation_id="calendar",
        tags=["today"],
        summary="The marketing calendar of my store",
        description="Seven days, by day and hour. My own part of it stands among my actions.",
        parameters=[Query],
        responses={200: Output},
        examples=[OpenApiExample("week", response_only=True, status_codes=["200"], value={"items": [ITEM]})],
    )
    def get(self, request: Request) -> Response:
        first = self.read(self.Query, request.query_params).get("first") or business_day(now())
        days = [first + dt.timedelta(days=ahead) for ahead in range(DAYS)]
        return Response({"items": calendar.of_store(store_id=self.caller.store_id, days=days)})


class AdaptView(GuideView):
    throttle_classes = (throttles.MissThrottle,)

    class Input(serializers.Serializer[Any]):
        starts_on = serializers.DateField(validators=NEAR)
        ends_on = serializers.DateField(validators=NEAR)
        is_left_out = serializers.BooleanField(required=False, default=False)
        from_time = serializers.TimeField(required=False, allow_null=True, default=None)
        until_time = serializers.TimeField(required=False, allow_null=True, default=None)
        quota = serializers.IntegerField(required=False, allow_null=True, default=None, min_value=0, max_value=500)
        reason = serializers.CharField(min_length=2, max_length=200)

        class Meta:
            ref_name = "CalendarAdaptInput"

    class Output(serializers.Serializer[Any]):
        adaptation_id = serializers.IntegerField()

        class Meta:
            ref_name = "CalendarAdapted"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """For the manager of the store she works in, of an entry for that store; for anybody else it does not exist."""
        super().initial(request, *args, **kwargs)
        if request.method != "POST":
            return  # refused as such, whoever asks
        scope = org.Scope(frozenset({self.caller.store_id}))
        rows = org.visible(CalendarEntry.objects.filter(pk=kwargs["entry_id"], is_active=True), scope)
        is_hers = self.caller.store_id in self.caller.managed_store_ids
        if not is_hers or not rows.exists():
            throttles.MissThrottle.missed(request)
            raise NotFound

    @extend_schema(
        operation_id="adapt_calendar",
        tags=["today"],
        summary="My store does it otherwise",
        description=(
            "For a store manager, inside what HQ allows: leave it out, other hours, or a lower quota. Days to come are compiled "
            "anew within a minute. 409 bad_adaptation names each field with its sentence in `extra.fields`."
        ),
        request=Input,
        responses={200: Output},
    )
    @idempotent
    def post(self, request: Request, entry_id: int) -> Response:
        said = self.read(self.Input, request.data)
        is_left_out = said.pop("is_left_out")
        store_id = self.caller.store_id
        wish = CalendarAdaptation(entry_id=entry_id, store_id=store_id, is_dropped=is_left_out, **said)
        found = calendar.adapt(
            wish=wish, scope=org.Scope(frozenset({store_id})), level="STORE", actor=self.caller.user, now=now()
        )
        return Response({"adaptation_id": found.pk})
