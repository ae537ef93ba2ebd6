"""My code to show, and whom I got as friends today."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from guides import queries
from guides.api.base import SHANGHAI, GuideView, business_day, now
from guides.contact_ways import figures, pictures
from guides.models import BindingRequest, ContactWay
from scrm.api import pagination

LIST = "friends"
READY, WAITING, NONE = "READY", "WAITING", "NONE"
STATES = (READY, WAITING, NONE)
DAY = dt.timedelta(days=1)
FIRST_YEAR, LAST_YEAR = 2000, 2099


class Brought(serializers.Serializer[Any]):
    asked = serializers.IntegerField(help_text="scanned and asked")
    friends = serializers.IntegerField()
    members = serializers.IntegerField(help_text="members among the friends")
    bound = serializers.IntegerField(help_text="bound to me by it")

    class Meta:
        ref_name = "CodeFigures"


class OwnCode(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=STATES, help_text="WAITING: WeCom is making it; NONE: HQ has not made one")
    name = serializers.CharField(allow_blank=True)
    qr_code = serializers.CharField(allow_blank=True, help_text="the address of WeCom's picture")
    svg = serializers.CharField(allow_blank=True, help_text="the code to show full screen, with shop and name below")
    today = Brought()
    week = Brought(help_text="the last seven business days")
    ever = Brought()


EXAMPLE = {
    "state": READY, "name": "王芳", "qr_code": "https://wework.qpic.cn/…", "svg": "<svg …>…</svg>",
    "today": {"asked": 4, "friends": 3, "members": 2, "bound": 1},
    "week": {"asked": 21, "friends": 18, "members": 11, "bound": 7},
    "ever": {"asked": 310, "friends": 280, "members": 170, "bound": 120},
}  # fmt: skip


class CodeView(GuideView):
    Output = OwnCode

    @extend_schema(
        operation_id="code",
        tags=["friends"],
        summary="My WeCom code",
        description="The permanent code by which customers add me, and what it has brought.",
        responses={200: OwnCode},
        examples=[OpenApiExample("code", response_only=True, status_codes=["200"], value=EXAMPLE)],
    )
    def get(self, request: Request) -> Response:
        own = ContactWay.objects.filter(guide_id=self.caller.guide_id, purpose=ContactWay.Purpose.GUIDE)
        way = own.exclude(status=ContactWay.Status.RETIRED).select_related("guide", "store").order_by("pk").first()
        is_ready = way is not None and way.status == ContactWay.Status.LIVE and way.missing_at is None
        brought = figures.Figures()
        if way is not None:
            brought = figures.of_ways([way.pk], today=business_day(now())).get(way.pk, brought)
        state = READY if is_ready else WAITING if way is not None else NONE
        return Response(
            {
                "state": state,
                "name": way.name if way else "",
                "qr_code": way.qr_code if way and is_ready else "",
                "svg": pictures.svg(pictures.prints([way])[0]) if way and is_ready else "",
                "today": _shown(brought.today),
                "week": _shown(brought.week),
                "ever": _shown(brought.ever),
            }
        )


class NewFriend(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField(allow_blank=True, help_text="the nickname on WeChat")
    added_at = serializers.DateTimeField()
    is_confirmed = serializers.BooleanField(help_text="false: accept the request in WeCom")
    code_name = serializers.CharField(allow_null=True, help_text="the code she scanned; null: added otherwise")
    member_id = serializers.IntegerField(allow_null=True, help_text="null: no member yet; invite her to register")
    member_name = serializers.CharField(allow_null=True, allow_blank=True)
    answer = serializers.ChoiceField(
        choices=BindingRequest.Answer.choices, allow_null=True, help_text="whether the member became mine, and why not"
    )
    answer_text = serializers.CharField(allow_blank=True)
    protected_until = serializers.DateTimeField(
        allow_null=True, help_text="until when another guide's binding is protected"
    )


class NewFriendPage(serializers.Serializer[Any]):
    day = serializers.DateField()
    items = NewFriend(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class FriendsView(GuideView):
    class Input(pagination.PageInput):
        day = serializers.DateField(required=False, help_text="business day; today when left out")

        class Meta:
            ref_name = "FriendsQuery"

        def validate_day(self, day: dt.date) -> dt.date:
            if not FIRST_YEAR <= day.year <= LAST_YEAR:
                raise serializers.ValidationError(_("There were no friends on such a day."), "day_out_of_range")
            return day

    Output = NewFriendPage

    @extend_schema(
        operation_id="new_friends",
        tags=["friends"],
        summary="Friends I got on a day",
        description="The newest first: whether each is a member, whether she is bound to me, and why not.",
        parameters=[Input],
        responses={200: NewFriendPage},
    )
    def get(self, request: Request) -> Response:
        wanted = self.read(self.Input, request.query_params)
        day = wanted.get("day") or business_day(now())
        name = f"{LIST} {day}"
        key = pagination.read_cursor(wanted.get("cursor"), of=name)
        since = dt.datetime.combine(day, dt.time(), SHANGHAI)
        rows = queries.new_friends(
            guide_id=self.caller.guide_id, since=since, until=since + DAY, after=key[0] if key else None,
            limit=wanted["size"] + 1,
        )  # fmt: skip
        page = pagination.page(rows, size=wanted["size"], of=name, key=lambda row: [row["id"]])
        items = [{**row, "answer_text": _answer_text(row["answer"])} for row in page.items]
        return Response({"day": day, "items": items, "next_cursor": page.next_cursor})


def _shown(brought: figures.Brought) -> dict[str, int]:
    return {"asked": brought.asked, "friends": brought.friends, "members": brought.members, "bound": brought.bound}


def _answer_text(answer: str | None) -> str:
    return str(BindingRequest.Answer(answer).label) if answer else ""
