"""Flash sales and group buys of my store: what is on, claiming for a customer, and a link of my own."""

from __future__ import annotations

import datetime as dt
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.communities import boards, flash_sales, group_buys
from campaigns.communities.flash_sales import Claim, claiming
from campaigns.models import Reservation, Sale, Team
from guides import queries, shares
from guides.api.base import GuideView, now
from guides.models import Touch
from scrm.api import throttles
from scrm.api.idempotency import HEADER, idempotent

MOST_ID = 2**63 - 1
SHOWN = (
    "kind", "name", "terms", "product", "list_fen", "price_fen", "starts_at", "ends_at", "seconds_to_start", "seconds_to_end", "left",
    "reserved", "sold", "member_cap", "team_size",
)  # fmt: skip


class ClaimingThrottle(throttles.WindowThrottle):
    scope = "sale_claiming"
    limit = 60
    seconds = throttles.MINUTE


class SaleItem(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=Sale.Kind.choices)
    name = serializers.CharField()
    terms = serializers.CharField(allow_blank=True)
    product = serializers.CharField()
    list_fen = serializers.IntegerField()
    price_fen = serializers.IntegerField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    seconds_to_start = serializers.IntegerField(help_text="by the server's clock; 0 once it runs")
    seconds_to_end = serializers.IntegerField()
    left = serializers.IntegerField(help_text="in my store")
    reserved = serializers.IntegerField(help_text="in my store, waiting for payment")
    sold = serializers.IntegerField(help_text="in my store")
    member_cap = serializers.IntegerField()
    team_size = serializers.IntegerField(allow_null=True, help_text="of a group buy")

    class Meta:
        ref_name = "Sale"


class TeamItem(serializers.Serializer[Any]):
    team = serializers.CharField(help_text="what others join by")
    captain = serializers.CharField(help_text="masked")
    size = serializers.IntegerField()
    paid = serializers.IntegerField()
    joined = serializers.IntegerField()
    until = serializers.DateTimeField()

    class Meta:
        ref_name = "SaleTeam"


class SaleDetail(SaleItem):
    teams = TeamItem(many=True)

    class Meta:
        ref_name = "SaleDetail"


class ClaimOutput(serializers.Serializer[Any]):
    reservation_id = serializers.IntegerField()
    reservation_state = serializers.ChoiceField(choices=Reservation.Status.choices)
    state_text = serializers.CharField()
    quantity = serializers.IntegerField()
    unit_fen = serializers.IntegerField()
    until = serializers.DateTimeField(allow_null=True, help_text="to be paid by the customer until then")
    team = serializers.CharField(allow_blank=True, help_text="of a group buy: what others join by")

    class Meta:
        ref_name = "SaleClaimed"


SALE = {
    "id": 12, "kind": "GROUP", "name": "周五榴莲团", "terms": "到店自提", "product": "猫山王", "list_fen": 19_900, "price_fen": 9_900,
    "starts_at": "2026-06-30T02:00:00Z", "ends_at": "2026-07-01T02:00:00Z", "seconds_to_start": 0, "seconds_to_end": 79_200, "left": 8,
    "reserved": 2, "sold": 10, "member_cap": 1, "team_size": 3,
}  # fmt: skip
TEAM = {"team": "7KQ2M4XW9P", "captain": "安*", "size": 3, "paid": 1, "joined": 2, "until": "2026-07-01T02:00:00Z"}
CLAIMED = {
    "reservation_id": 4711, "reservation_state": "HELD", "state_text": "待付款", "quantity": 1, "unit_fen": 9_900,
    "until": "2026-06-30T04:15:00Z", "team": "7KQ2M4XW9P",
}  # fmt: skip


class SalesView(GuideView):
    class Output(serializers.Serializer[Any]):
        items = SaleItem(many=True)

        class Meta:
            ref_name = "Sales"

    @extend_schema(
        operation_id="sales",
        tags=["sales"],
        summary="Flash sales and group buys of my store",
        description="Those that run or begin within three days; what ends first comes first.",
        responses={200: Output},
        examples=[OpenApiExample("sales", response_only=True, status_codes=["200"], value={"items": [SALE]})],
    )
    def get(self, request: Request) -> Response:
        at = now()
        rows = list(boards.on_sale(store_ids=frozenset({self.caller.store_id}), now=at)[: boards.MOST])
        counts = boards.counts_of(sales=rows, store_id=self.caller.store_id)
        return Response({"items": [_sale(row, counts.get(row.pk, boards.Counts()), at) for row in rows]})


class OfSale(GuideView):
    """Screens of a sale of the caller's store; any other is not there."""

    throttle_classes: Any = (throttles.MissThrottle,)

    def sale(self, request: Request, sale_id: int, at: dt.datetime) -> Sale:
        row = boards.on_sale(store_ids=frozenset({self.caller.store_id}), now=at).filter(pk=sale_id).first()
        if row is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        return row


class SaleView(OfSale):
    @extend_schema(
        operation_id="sale",
        tags=["sales"],
        summary="A sale of my store, with its teams",
        description="Of a group buy the teams that form in my store, those that lack fewest first.",
        responses={200: SaleDetail},
        examples=[OpenApiExample("sale", response_only=True, status_codes=["200"], value={**SALE, "teams": [TEAM]})],
    )
    def get(self, request: Request, sale_id: int) -> Response:
        at = now()
        row = self.sale(request, sale_id, at)
        counts = boards.counts_of(sales=[row], store_id=self.caller.store_id)
        teams = boards.teams_of(sales=[row], store_ids=frozenset({self.caller.store_id}))
        return Response(
            {**_sale(row, counts.get(row.pk, boards.Counts()), at), "teams": [_team(team) for team in teams]}
        )


class ClaimView(OfSale):
    throttle_classes = (throttles.MissThrottle, ClaimingThrottle)

    class Input(serializers.Serializer[Any]):
        member_id = serializers.IntegerField(min_value=1, max_value=MOST_ID, help_text="a customer I see")
        quantity = serializers.IntegerField(min_value=1, max_value=1_000, required=False, default=1)
        team = serializers.CharField(
            max_length=12, required=False, default="", allow_blank=True, help_text="join this team; empty: open one"
        )

        class Meta:
            ref_name = "ClaimSale"

    Output = ClaimOutput

    @extend_schema(
        operation_id="claim_sale",
        tags=["sales"],
        summary="Claim for a customer",
        description="Reserved in my store until the time given; she pays in the mini-program. My touch goes with it.",
        request=Input,
        responses={200: ClaimOutput},
        examples=[OpenApiExample("claimed", response_only=True, status_codes=["200"], value=CLAIMED)],
    )
    @idempotent
    def post(self, request: Request, sale_id: int) -> Response:
        at = now()
        row = self.sale(request, sale_id, at)
        asked = self.read(self.Input, request.data)
        if not queries.visible_members(self.caller).filter(pk=asked["member_id"]).exists():
            throttles.MissThrottle.missed(request)
            raise NotFound
        said = Claim(
            sale_id=row.pk, store_id=self.caller.store_id, member_id=asked["member_id"], quantity=asked["quantity"],
            guide_id=self.caller.guide_id, key=f"guide {request.user.pk} {request.headers[HEADER]}",
        )  # fmt: skip
        if row.kind == Sale.Kind.FLASH:
            return Response(_claimed(flash_sales.claim(said=said, now=at).reservation, ""))
        opened = (
            group_buys.join(code=asked["team"], said=said, now=at)
            if asked["team"]
            else group_buys.open_team(said=said, now=at)
        )
        return Response(_claimed(opened.seat.reservation, opened.team.code))


class ShareSaleView(OfSale):
    class Input(serializers.Serializer[Any]):
        class Meta:
            ref_name = "ShareSale"

    class Output(serializers.Serializer[Any]):
        token = serializers.CharField(help_text="into the address of the mini-program page")
        counts_until = serializers.DateTimeField()

        class Meta:
            ref_name = "SaleShared"

    @extend_schema(
        operation_id="share_sale",
        tags=["sales"],
        summary="My own link to a sale",
        description="Who buys by it is my touch, also whom she brings into her team. It counts until the sale is over.",
        request=Input,
        responses={200: Output},
        examples=[
            OpenApiExample(
                "shared", response_only=True, status_codes=["200"],
                value={"token": "MTIzNDU2Nzg5MGFiY2RlZg", "counts_until": "2026-07-02T02:00:00Z"},
            )
        ],
    )  # fmt: skip
    @idempotent
    def post(self, request: Request, sale_id: int) -> Response:
        at = now()
        row = self.sale(request, sale_id, at)
        self.read(self.Input, request.data)
        closes_at = claiming.touch_end(row, at)
        what: dict[str, Any] = (
            {"kind": Touch.Kind.GROUP, "object_kind": Touch.Covers.GROUP, "object_code": claiming.group_no(row)}
            if row.kind == Sale.Kind.GROUP
            else {"kind": Touch.Kind.SHARE, "object_kind": Touch.Covers.SKU, "object_code": row.product.sku}
        )
        _share, token = shares.share(guide_id=self.caller.guide_id, now=at, closes_at=closes_at, **what)
        return Response({"token": token, "counts_until": closes_at})


def _sale(row: Sale, counts: boards.Counts, at: dt.datetime) -> dict[str, Any]:
    said = boards.shown(row, counts, at)
    return {"id": row.pk, **{name: said[name] for name in SHOWN}}


def _team(row: Team) -> dict[str, Any]:
    name = row.captain.name
    return {
        "team": row.code, "captain": name[:1] + "*" * max(1, len(name) - 1), "size": row.size, "paid": row.paid_count,
        "joined": row.seat_count, "until": row.until,
    }  # fmt: skip


def _claimed(row: Reservation, team: str) -> dict[str, Any]:
    return {
        "reservation_id": row.pk, "reservation_state": row.status, "state_text": row.get_status_display(),
        "quantity": row.quantity, "unit_fen": row.unit_fen, "until": row.until, "team": team,
    }  # fmt: skip
