"""My statements: what a month paid me, what it kept, and each line of it."""

from __future__ import annotations

import re
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from attribution import queries as attribution
from guides.api.base import GuideView
from scrm.api import pagination, throttles

MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])\Z")


class Figures(serializers.Serializer[Any]):
    period = serializers.CharField(help_text="`2026-05`")
    state = serializers.CharField(help_text="APPROVED, POSTED or SETTLED")
    state_title = serializers.CharField()
    line_count = serializers.IntegerField()
    late_fen = serializers.IntegerField(help_text="due from before")
    earned_fen = serializers.IntegerField(help_text="vested in the period")
    opening_debt_fen = serializers.IntegerField(help_text="owed from before")
    reversed_fen = serializers.IntegerField(help_text="clawed back since the statement before")
    written_off_fen = serializers.IntegerField()
    netted_fen = serializers.IntegerField(help_text="kept from this pay")
    paid_fen = serializers.IntegerField(help_text="late + earned - netted")
    carried_fen = serializers.IntegerField(help_text="opening debt + reversed - written off - netted")


class StatementsView(GuideView):
    class Output(serializers.Serializer[Any]):
        class Item(Figures):
            class Meta:
                ref_name = "StatementItem"

        items = Item(many=True, help_text="newest first; at most 24")

        class Meta:
            ref_name = "Statements"

    @extend_schema(
        operation_id="statements",
        tags=["commission"],
        summary="My statements",
        description="One per settled period. A period whose batch is not approved yet is not there.",
        responses={200: Output},
    )
    def get(self, request: Request) -> Response:
        return Response({"items": attribution.statements_of_guide(guide_id=self.caller.guide_id)})


class StatementView(GuideView):
    throttle_classes = (throttles.MissThrottle,)

    class Input(pagination.PageInput):
        class Meta:
            ref_name = "StatementQuery"

    class Output(Figures):
        class Line(serializers.Serializer[Any]):
            vested_on = serializers.DateField()
            title = serializers.CharField(help_text="order number and product, or the occasion")
            line_id = serializers.IntegerField(
                allow_null=True, help_text="for `/api/guide/commission/{line_id}/explain`; null: no order line"
            )
            order_no = serializers.CharField(allow_null=True)
            product_name = serializers.CharField(allow_null=True)
            amount_fen = serializers.IntegerField()

            class Meta:
                ref_name = "StatementLine"

        class Debt(serializers.Serializer[Any]):
            kind = serializers.CharField(help_text="CLAWBACK or WRITEOFF")
            posted_at = serializers.DateTimeField()
            title = serializers.CharField()
            line_id = serializers.IntegerField(allow_null=True)
            amount_fen = serializers.IntegerField(help_text="negative: written off")
            adjusts_period = serializers.CharField(allow_blank=True)

            class Meta:
                ref_name = "StatementDebt"

        class PaymentOutput(serializers.Serializer[Any]):
            number = serializers.CharField()
            company = serializers.CharField(source="company__name")
            amount_fen = serializers.IntegerField()
            status = serializers.CharField(help_text="PENDING, FILED, SETTLED or RETURNED")
            reason = serializers.CharField(allow_blank=True)

            class Meta:
                ref_name = "StatementPayment"

        lines = Line(many=True)
        debts = Debt(many=True)
        payments = PaymentOutput(many=True)
        next_cursor = serializers.CharField(allow_null=True)

        class Meta:
            ref_name = "Statement"

    @extend_schema(
        operation_id="statement",
        tags=["commission"],
        summary="One of my statements",
        description="With a page of its lines; claw-backs and payments come with every page.",
        parameters=[Input],
        responses={200: Output},
    )
    def get(self, request: Request, period: str) -> Response:
        wanted = self.read(self.Input, request.query_params)
        name, found = f"statement {period}", None
        after = pagination.read_cursor(wanted.get("cursor"), of=name)
        if MONTH.match(period):
            found = attribution.statement_of_guide(
                guide_id=self.caller.guide_id, period=period, after=after[0] if after else 0, limit=wanted["size"] + 1
            )
        if found is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        page = pagination.page(found["lines"], size=wanted["size"], of=name, key=lambda row: [row["entry_id"]])
        return Response(self.Output({**found, "lines": page.items, "next_cursor": page.next_cursor}).data)
