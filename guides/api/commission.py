"""My commission: by day and state, line by line, and why."""

from __future__ import annotations

import datetime as dt
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from attribution import queries as attribution
from guides.api.base import GuideView, business_day, now
from scrm.api import pagination, throttles

MONTH = r"^20[0-9]{2}-(0[1-9]|1[0-2])\Z"
STATES = ("HELD", "DUE", "REVERSED", "CLAWED")
AMOUNTS = ("accrued_fen", "held_fen", "due_fen", "reversed_fen", "clawed_fen")


class Amounts(serializers.Serializer[Any]):
    accrued_fen = serializers.IntegerField(help_text="promised; the other four say what became of it")
    held_fen = serializers.IntegerField(help_text="waits for completion and its term")
    due_fen = serializers.IntegerField(help_text="vested and not clawed back")
    reversed_fen = serializers.IntegerField(help_text="taken back before it vested")
    clawed_fen = serializers.IntegerField(help_text="taken back after it had vested")


class CommissionView(GuideView):
    class Input(serializers.Serializer[Any]):
        month = serializers.RegexField(MONTH, required=False, help_text="`2026-11`; this month when left out")

        class Meta:
            ref_name = "CommissionQuery"

    class Output(Amounts):
        class Day(Amounts):
            day = serializers.DateField(help_text="business day of the payment")
            line_count = serializers.IntegerField()

            class Meta:
                ref_name = "CommissionDay"

        month = serializers.CharField()
        previous_month = serializers.CharField()
        next_month = serializers.CharField(allow_null=True, help_text="null: not begun yet")
        days = Day(many=True, help_text="newest first; days without commission are left out")

        class Meta:
            ref_name = "Commission"

    @extend_schema(
        operation_id="commission",
        tags=["commission"],
        summary="My commission of a month",
        description="By the business day of the payment. accrued = held + due + reversed + clawed.",
        parameters=[Input],
        responses={200: Output},
        examples=[
            OpenApiExample(
                "month",
                response_only=True,
                status_codes=["200"],
                value={
                    "accrued_fen": 5450, "held_fen": 3200, "due_fen": 2100, "reversed_fen": 150, "clawed_fen": 0,
                    "month": "2026-11", "previous_month": "2026-10", "next_month": None,
                    "days": [{
                        "day": "2026-11-02", "line_count": 3, "accrued_fen": 450, "held_fen": 300, "due_fen": 0,
                        "reversed_fen": 150, "clawed_fen": 0,
                    }],
                },
            )
        ],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        wanted = self.read(self.Input, request.query_params)
        today = business_day(now())
        month = _month(wanted.get("month"), today)
        days = attribution.commission_days(guide_id=self.caller.guide_id, month=month)
        following = _shifted(month, 1)
        return Response(
            {name: sum(day[name] for day in days) for name in AMOUNTS}
            | {
                "month": f"{month:%Y-%m}",
                "previous_month": f"{_shifted(month, -1):%Y-%m}",
                "next_month": f"{following:%Y-%m}" if following <= today else None,
                "days": days,
            }
        )


class CommissionLinesView(GuideView):
    class Input(pagination.PageInput):
        month = serializers.RegexField(MONTH, required=False, help_text="this month when left out")
        day = serializers.DateField(required=False, help_text="only this day; wins over `month`")
        state = serializers.ChoiceField(choices=STATES, required=False)

        class Meta:
            ref_name = "CommissionLinesQuery"

    class Output(serializers.Serializer[Any]):
        class Line(serializers.Serializer[Any]):
            id = serializers.IntegerField()
            line_id = serializers.IntegerField(
                allow_null=True,
                help_text="for `/api/guide/commission/{line_id}/explain`; null: no order line, `order_no` names the occasion",
            )
            day = serializers.DateField()
            role = serializers.CharField()
            order_no = serializers.CharField()
            channel = serializers.CharField()
            store_name = serializers.CharField(allow_null=True)
            member_name = serializers.CharField(allow_null=True)
            product_name = serializers.CharField()
            quantity = serializers.DecimalField(max_digits=12, decimal_places=3)
            paid_fen = serializers.IntegerField()
            refunded_fen = serializers.IntegerField()
            amount_fen = serializers.IntegerField(help_text="promised")
            held_fen = serializers.IntegerField()
            due_fen = serializers.IntegerField()
            reversed_fen = serializers.IntegerField()
            clawed_fen = serializers.IntegerField()
            vests_at = serializers.DateTimeField(allow_null=True, help_text="null: the order is not completed yet")

            class Meta:
                ref_name = "CommissionLine"

        items = Line(many=True)
        next_cursor = serializers.CharField(allow_null=True)

        class Meta:
            ref_name = "CommissionLines"

    @extend_schema(
        operation_id="commission_lines",
        tags=["commission"],
        summary="My commission line by line",
        description="The newest day first. A state keeps the lines on which some of the money is in that state.",
        parameters=[Input],
        responses={200: Output},
    )
    def get(self, request: Request) -> Response:
        wanted = self.read(self.Input, request.query_params)
        day, month = wanted.get("day"), _month(wanted.get("month"), business_day(now()))
        first, until = (day, day + dt.timedelta(days=1)) if day else (month, _shifted(month, 1))
        name = f"commission {first} {until} {wanted.get('state')}"
        after = pagination.read_cursor(wanted.get("cursor"), of=name)
        rows = attribution.commission_lines(
            guide_id=self.caller.guide_id,
            first=first,
            until=until,
            state=wanted.get("state"),
            after=(dt.date.fromisoformat(after[0]), after[1]) if after else None,
            limit=wanted["size"] + 1,
        )
        page = pagination.page(rows, size=wanted["size"], of=name, key=lambda row: [row["day"], row["id"]])
        return Response({"items": page.items, "next_cursor": page.next_cursor})


class ExplainView(GuideView):
    throttle_classes = (throttles.MissThrottle,)

    class Output(serializers.Serializer[Any]):
        class Candidate(serializers.Serializer[Any]):
            type = serializers.CharField(help_text="C0 to C5")
            title = serializers.CharField()
            beneficiary = serializers.CharField()
            name = serializers.CharField(allow_blank=True)
            passed = serializers.BooleanField(help_text="valid by itself, whoever won")
            reason = serializers.CharField()
            reason_text = serializers.CharField()

            class Meta:
                ref_name = "DecisionCandidate"

        class Step(serializers.Serializer[Any]):
            kind = serializers.CharField()
            title = serializers.CharField()
            beneficiary = serializers.CharField()
            effective_at = serializers.DateTimeField()
            posted_at = serializers.DateTimeField()
            reason = serializers.CharField(allow_blank=True)
            held_fen = serializers.IntegerField(help_text="change of what is held")
            due_fen = serializers.IntegerField(help_text="change of what is due")
            owed_fen = serializers.IntegerField(help_text="negative: change of what she owes back")

            class Meta:
                ref_name = "CommissionStep"

        class RefundOutput(serializers.Serializer[Any]):
            refund_no = serializers.CharField()
            refunded_at = serializers.DateTimeField()
            amount_fen = serializers.IntegerField()

            class Meta:
                ref_name = "LineRefund"

        line_id = serializers.IntegerField()
        order_no = serializers.CharField()
        channel = serializers.CharField()
        product_name = serializers.CharField()
        paid_at = serializers.DateTimeField()
        paid_fen = serializers.IntegerField()
        refunded_fen = serializers.IntegerField()
        state = serializers.CharField(help_text="PROVISIONAL, LIVE, HELD or INELIGIBLE")
        state_title = serializers.CharField()
        summary = serializers.CharField(help_text="one sentence: why I have the line, or why not, and how much")
        sentences = serializers.ListField(
            child=serializers.CharField(), help_text="rule, winner, each loser, the money"
        )
        candidates = Candidate(many=True, help_text="in the order of the rule")
        steps = Step(many=True, help_text="what was posted for me, oldest first")
        refunds = RefundOutput(many=True, help_text="oldest first")

        class Meta:
            ref_name = "Explanation"

    @extend_schema(
        operation_id="explain_commission",
        tags=["commission"],
        summary="Why this line's commission is as it is",
        description="For lines on which I was considered; a store manager sees those of her store.",
        responses={200: Output},
    )
    def get(self, request: Request, line_id: int) -> Response:
        caller = self.caller
        found = attribution.explanation(
            line_id=line_id, guide_code=caller.code, managed_store_ids=caller.managed_store_ids
        )
        if found is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        return Response(_explained(found))


def _month(text: str | None, today: dt.date) -> dt.date:
    return today.replace(day=1) if text is None else dt.date.fromisoformat(f"{text}-01")


def _shifted(month: dt.date, by: int) -> dt.date:
    number = month.year * 12 + month.month - 1 + by
    return dt.date(number // 12, number % 12 + 1, 1)


def _explained(found: attribution.Explanation) -> dict[str, Any]:
    line, decision = found.line, found.decision
    return {
        "line_id": line["id"],
        "order_no": line["order__order_no"],
        "channel": line["channel"],
        "product_name": line["product__name"],
        "paid_at": line["paid_at"],
        "paid_fen": line["paid_fen"],
        "refunded_fen": line["refunded_fen"],
        "state": decision.state,
        "state_title": decision.get_state_display(),
        "summary": found.summary,
        "sentences": found.sentences,
        "candidates": [
            {
                "type": candidate["type"],
                "title": candidate["title"],
                "beneficiary": candidate["beneficiary"],
                "name": candidate["name"],
                "passed": candidate["ok"],
                "reason": candidate["reason"],
                "reason_text": candidate["reason_text"],
            }
            for candidate in found.candidates
        ],
        "steps": found.postings,
        "refunds": found.refunds,
    }
