"""My day: figures, each with what moves it."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from attribution import queries as attribution
from guides import queries
from guides.api.base import GuideView, business_day, now

LAPSED_DAYS = 60
BIRTHDAY_DAYS = 7
FEN, COUNT = "fen", "count"


class TodayView(GuideView):
    class Output(serializers.Serializer[Any]):
        class Figure(serializers.Serializer[Any]):
            class Compare(serializers.Serializer[Any]):
                text = serializers.CharField(help_text="what it is compared with")
                value = serializers.IntegerField()

                class Meta:
                    ref_name = "FigureComparison"

            class Action(serializers.Serializer[Any]):
                text = serializers.CharField()
                list_url = serializers.CharField(help_text="the list to work through, an address of this API")

                class Meta:
                    ref_name = "FigureAction"

            name = serializers.CharField(help_text="stable; money ends in `_fen`")
            title = serializers.CharField()
            value = serializers.IntegerField()
            unit = serializers.ChoiceField(choices=[FEN, COUNT])
            is_at_least = serializers.BooleanField(help_text="there are more than were counted")
            compare = Compare(allow_null=True)
            action = Action()

            class Meta:
                ref_name = "Figure"

        day = serializers.DateField()
        figures = Figure(many=True)

        class Meta:
            ref_name = "Today"

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "day": "2026-11-22",
        "figures": [
            {
                "name": "lapsed_members",
                "title": "60 天未购会员",
                "value": 12,
                "unit": COUNT,
                "is_at_least": False,
                "compare": None,
                "action": {"text": "逐个问候", "list_url": "/api/guide/members?not_bought_for_days=60"},
            }
        ],
    }

    @extend_schema(
        operation_id="today",
        tags=["screens"],
        summary="My day",
        description="What is credited to me, and what I can do about it. GMV is net of refunds.",
        responses={200: Output},
        examples=[OpenApiExample("today", response_only=True, status_codes=["200"], value=EXAMPLE)],
    )
    def get(self, request: Request) -> Response:
        day = business_day(now())
        guide_id = self.caller.guide_id
        money = attribution.guide_figures(guide_id=guide_id, today=day)
        people = queries.member_figures(
            guide_id=guide_id, today=day, lapsed_days=LAPSED_DAYS, birthday_days=BIRTHDAY_DAYS
        )
        return Response({"day": day, "figures": [*_money_figures(money, day), *_people_figures(people)]})


def _money_figures(money: attribution.GuideFigures, day: dt.date) -> list[dict[str, Any]]:
    month = day.strftime("%Y-%m")
    yesterday, last_month = _("yesterday"), _("last month up to the same day")
    orders = _action(_("See today's orders"), "commission-lines", month=month, day=day.isoformat())
    greet = _action(_("Greet who has not bought for long"), "members", not_bought_for_days=LAPSED_DAYS)
    waiting = _action(_("See what still waits"), "commission-lines", month=month, state="HELD")
    due = _action(_("See what will be paid"), "commission-lines", month=month, state="DUE")
    return [
        _figure("today_gmv_fen", _("My sales today"), money.today_gmv_fen, FEN, greet, (yesterday, money.yesterday_gmv_fen)),
        _figure("month_gmv_fen", _("My sales this month"), money.month_gmv_fen, FEN, greet, (last_month, money.last_month_gmv_fen)),
        _figure("today_orders", _("Orders credited today"), money.today_orders, COUNT, orders, (yesterday, money.yesterday_orders)),
        _figure("held_fen", _("Commission held this month"), money.held_fen, FEN, waiting, (last_month, money.last_held_fen)),
        _figure("due_fen", _("Commission due this month"), money.due_fen, FEN, due, (last_month, money.last_due_fen)),
    ]  # fmt: skip


def _people_figures(people: queries.MemberFigures) -> list[dict[str, Any]]:
    everybody = _action(_("See my members"), "members")
    greet = _action(_("Greet who has not bought for long"), "members", not_bought_for_days=LAPSED_DAYS)
    wish = _action(_("Send birthday wishes"), "members", birthday_within_days=BIRTHDAY_DAYS)
    lapsed_title = _("Have not bought for %(days)s days") % {"days": LAPSED_DAYS}
    birthday_title = _("Birthdays in the next %(days)s days") % {"days": BIRTHDAY_DAYS}
    cap = queries.MEMBERS_COUNTED
    is_partial = people.members > cap
    return [
        _figure("members", _("My members"), min(people.members, cap), COUNT, everybody, is_at_least=is_partial),
        _figure(
            "lapsed_members", lapsed_title, min(people.lapsed, queries.LAPSED_COUNTED), COUNT, greet,
            is_at_least=is_partial or people.lapsed > queries.LAPSED_COUNTED,
        ),
        _figure("birthdays", birthday_title, people.birthdays, COUNT, wish, is_at_least=is_partial),
    ]  # fmt: skip


def _figure(
    name: str,
    title: str,
    value: int,
    unit: str,
    action: dict[str, str],
    compare: tuple[str, int] | None = None,
    *,
    is_at_least: bool = False,
) -> dict[str, Any]:
    return {
        "name": name,
        "title": title,
        "value": value,
        "unit": unit,
        "is_at_least": is_at_least,
        "compare": None if compare is None else {"text": compare[0], "value": compare[1]},
        "action": action,
    }


@cache
def _address(url_name: str) -> str:
    return reverse(f"guide-api:{url_name}")


def _action(text: str, url_name: str, **filters: Any) -> dict[str, str]:
    address = _address(url_name)
    return {"text": text, "list_url": f"{address}?{urlencode(filters)}" if filters else address}
