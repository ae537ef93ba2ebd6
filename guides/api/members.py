"""My members: the list, the search by number, one member, her number in full."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from attribution import queries as attribution
from guides import queries
from guides.api.base import GuideView, business_day, now
from guides.models import Binding
from members import queries as members
from members import reveals
from members.models import Identity, Member
from scrm import crypto
from scrm.api import pagination, throttles
from scrm.api.idempotency import idempotent

LINES_READ = 100  # favourites are drawn from these
LINES_SHOWN = 20

ITEM = {
    "id": 4711, "name": "李敏", "gender": "F", "tier": "金卡", "mobile": "139****1234", "birthday": "1990-05-02",
    "registered_on": "2024-03-18", "last_bought_on": "2026-11-02",
    "binding": {"guide_id": 12, "guide_name": "王芳", "since": "2024-03-18T00:00:00+08:00", "is_mine": True},
}  # fmt: skip


class CurrentBinding(serializers.Serializer[Any]):
    guide_id = serializers.IntegerField()
    guide_name = serializers.CharField()
    since = serializers.DateTimeField()
    is_mine = serializers.BooleanField()


class MemberItem(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField(allow_blank=True)
    gender = serializers.ChoiceField(choices=Member.Gender.choices, allow_blank=True)
    tier = serializers.CharField(allow_null=True)
    mobile = serializers.CharField(allow_blank=True, help_text="masked")
    birthday = serializers.DateField(allow_null=True)
    registered_on = serializers.DateField(allow_null=True)
    last_bought_on = serializers.DateField(allow_null=True, help_text="within the last 190 days")
    binding = CurrentBinding(allow_null=True)


class MemberPage(serializers.Serializer[Any]):
    items = MemberItem(many=True)
    next_cursor = serializers.CharField(allow_null=True, help_text="null: this is the last page")


class MembersView(GuideView):
    class Input(pagination.PageInput):
        name = serializers.CharField(required=False, max_length=64, help_text="how the name begins")
        bought_within_days = serializers.IntegerField(required=False, min_value=1, max_value=365)
        not_bought_for_days = serializers.IntegerField(required=False, min_value=1, max_value=365)
        birthday_within_days = serializers.IntegerField(required=False, min_value=1, max_value=31)

        class Meta:
            ref_name = "MemberListQuery"

        def validate_name(self, value: str) -> str:
            if crypto.normalise_mobile(value):
                raise serializers.ValidationError(
                    _("Look numbers up by POST: they must not stand in an address."), "number_in_url"
                )
            return value

    @extend_schema(
        operation_id="members",
        tags=["members"],
        summary="My members",
        description=(
            "Who is bound to me now; a store manager also sees who belongs to her store. The newest member first. All "
            "filters hold together. Pages go on with `next_cursor`, with the same filters."
        ),
        parameters=[Input],
        responses={200: MemberPage},
        examples=[
            OpenApiExample(
                "page", response_only=True, status_codes=["200"], value={"items": [ITEM], "next_cursor": None}
            )
        ],
    )
    def get(self, request: Request) -> Response:
        wanted = self.read(self.Input, request.query_params)
        cursor, size = wanted.pop("cursor", None), wanted.pop("size")
        name = f"members {sorted(wanted.items())}"
        after = pagination.read_cursor(cursor, of=name)
        rows = queries.member_page(
            caller=self.caller,
            wanted=queries.MemberFilter(**wanted),
            after=after[0] if after else None,
            limit=size + 1,
            today=business_day(now()),
        )
        page = pagination.page(rows, size=size, of=name, key=lambda row: [row["id"]])
        return Response({"items": [_item(row, self.caller) for row in page.items], "next_cursor": page.next_cursor})


class SearchThrottle(throttles.WindowThrottle):
    scope = "member_search"
    limit = 30
    seconds = throttles.HOUR


class MemberSearchView(GuideView):
    throttle_classes = (SearchThrottle,)

    class Input(serializers.Serializer[Any]):
        mobile = serializers.CharField(required=False, max_length=32, help_text="in any usual spelling")
        card_no = serializers.CharField(required=False, max_length=64)

        class Meta:
            ref_name = "MemberSearch"

        def validate_mobile(self, value: str) -> str:
            number = crypto.normalise_mobile(value)
            if number is None:
                raise serializers.ValidationError(_("This is no Chinese mobile number."), "not_a_mobile")
            return number

        def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
            if len(attrs) != 1:
                raise serializers.ValidationError(_("Give either a mobile number or a card number."), "one_of")
            return attrs

    class Output(serializers.Serializer[Any]):
        items = MemberItem(many=True, help_text="one or none")

        class Meta:
            ref_name = "MemberSearchAnswer"

    @extend_schema(
        operation_id="search_members",
        tags=["members"],
        summary="Find a member by her whole number",
        description=(
            "Exact mobile or card number. By POST, so that no number stands in an address. A member of somebody else is "
            "not found, just like nobody. On the record; at most 30 an hour."
        ),
        request=Input,
        responses={200: Output},
        examples=[
            OpenApiExample("mobile", request_only=True, value={"mobile": "154 0000 0042"}),
            OpenApiExample("found", response_only=True, status_codes=["200"], value={"items": [ITEM]}),
        ],
    )
    def post(self, request: Request) -> Response:
        wanted = self.read(self.Input, request.data)
        number = wanted.get("mobile")
        rows = queries.member_page(
            caller=self.caller,
            wanted=queries.MemberFilter(
                mobile_index=crypto.mobile_index(number) if number else None, card_no=wanted.get("card_no")
            ),
            after=None,
            limit=1,
            today=business_day(now()),
        )
        reveals.record_lookup(actor=request.user, member_id=rows[0]["id"] if rows else None)
        return Response({"items": [_item(row, self.caller) for row in rows]})


class MemberDetail(MemberItem):
    class IdentityOutput(serializers.Serializer[Any]):
        kind = serializers.ChoiceField(choices=Identity.Kind.choices)
        title = serializers.CharField()
        shown = serializers.CharField(help_text="masked")
        is_verified = serializers.BooleanField()

        class Meta:
            ref_name = "MaskedIdentity"

    class BindingOutput(serializers.Serializer[Any]):
        guide_code = serializers.CharField()
        guide_name = serializers.CharField()
        store_name = serializers.CharField()
        source = serializers.ChoiceField(choices=Binding.Source.choices)  # type: ignore[assignment]  # a field like any other
        source_title = serializers.CharField()
        started_at = serializers.DateTimeField()
        ended_at = serializers.DateTimeField(allow_null=True, help_text="null: until now")

        class Meta:
            ref_name = "BindingInterval"

    class PurchaseOutput(serializers.Serializer[Any]):
        line_id = serializers.IntegerField()
        order_no = serializers.CharField()
        channel = serializers.CharField()
        store_name = serializers.CharField(allow_null=True)
        paid_at = serializers.DateTimeField()
        sku = serializers.CharField()
        product_name = serializers.CharField()
        quantity = serializers.DecimalField(max_digits=12, decimal_places=3)
        paid_fen = serializers.IntegerField()
        refunded_fen = serializers.IntegerField()

        class Meta:
            ref_name = "MemberPurchase"

    class FavouriteOutput(serializers.Serializer[Any]):
        sku = serializers.CharField()
        name = serializers.CharField()
        line_count = serializers.IntegerField()

        class Meta:
            ref_name = "FavouriteProduct"

    home_store_name = serializers.CharField(allow_null=True)
    points_brought_in = serializers.IntegerField()
    remark = serializers.CharField(allow_blank=True)
    tags = serializers.ListField(child=serializers.CharField())
    identities = IdentityOutput(many=True)
    bindings = BindingOutput(many=True, help_text="newest first")
    purchases = PurchaseOutput(many=True, help_text="at my store or credited to it, newest first, at most 20")
    favourites = FavouriteOutput(many=True)


DETAIL = {
    **ITEM, "home_store_name": "人民路店", "points_brought_in": 320, "remark": "", "tags": ["爱吃榴莲"],
    "identities": [{"kind": "MOBILE", "title": "手机号", "shown": "139****1234", "is_verified": True}],
    "bindings": [{
        "guide_code": "G00001", "guide_name": "王芳", "store_name": "人民路店", "source": "IMPORT", "source_title": "导入",
        "started_at": "2024-03-18T00:00:00+08:00", "ended_at": None,
    }],
    "purchases": [{
        "line_id": 90210, "order_no": "P202611020017", "channel": "POS", "store_name": "人民路店",
        "paid_at": "2026-11-02T18:20:00+08:00", "sku": "F0012", "product_name": "麒麟西瓜", "quantity": "1.000", "paid_fen": 2990,
        "refunded_fen": 0,
    }],
    "favourites": [{"sku": "F0012", "name": "麒麟西瓜", "line_count": 6}],
}  # fmt: skip


class MemberView(GuideView):
    throttle_classes = (throttles.MissThrottle,)

    @extend_schema(
        operation_id="member",
        tags=["members"],
        summary="One member",
        description="Profile, masked identities, who served her, what she bought and likes.",
        responses={200: MemberDetail},
        examples=[OpenApiExample("member", response_only=True, status_codes=["200"], value=DETAIL)],
    )
    def get(self, request: Request, member_id: int) -> Response:
        caller, today = self.caller, business_day(now())
        found = queries.member_profile(caller=caller, member_id=member_id, today=today)
        if found is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        since = today - dt.timedelta(days=queries.PURCHASE_DAYS)
        lines = attribution.purchases_of(
            member_id=member_id, store_ids=caller.store_ids, since=since, today=today, limit=LINES_READ
        )
        body = _item(found, caller)
        body |= {name: found[name] for name in ("home_store_name", "points_brought_in", "remark", "tags")}
        body |= {
            "identities": [{**row, "title": str(Identity.Kind(row["kind"]).label)} for row in found["identities"]],
            "bindings": [
                {**row, "source_title": str(Binding.Source(row["source"]).label)}
                for row in queries.bindings_of(member_id=member_id)
            ],
            "purchases": lines[:LINES_SHOWN],
            "favourites": members.favourites(lines),
        }
        return Response(body)


class RevealView(GuideView):
    throttle_classes = (throttles.MissThrottle,)
    member: Member

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """An answer that is given again needs the right to see the member just like the first one."""
        super().initial(request, *args, **kwargs)
        found = queries.visible_members(self.caller).filter(pk=kwargs["member_id"]).first()
        if found is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        self.member = found

    class Input(serializers.Serializer[Any]):
        reason = serializers.CharField(min_length=reveals.SHORTEST_REASON, max_length=reveals.LONGEST_REASON)

        class Meta:
            ref_name = "Reveal"

    class Output(serializers.Serializer[Any]):
        mobiles = serializers.ListField(
            child=serializers.CharField(), help_text="in full; show them, keep them nowhere"
        )

        class Meta:
            ref_name = "RevealAnswer"

    @extend_schema(
        operation_id="reveal_member",
        tags=["members"],
        summary="A member's mobile number in full",
        description="Needs a reason and leaves a record. At most 30 a day.",
        request=Input,
        responses={200: Output},
        examples=[
            OpenApiExample("reason", request_only=True, value={"reason": "顾客预订的水果到货,电话通知"}),
            OpenApiExample("number", response_only=True, status_codes=["200"], value={"mobiles": ["15400000042"]}),
        ],
    )
    @idempotent
    def post(self, request: Request, member_id: int) -> Response:
        reason = self.read(self.Input, request.data)["reason"]
        return Response({"mobiles": reveals.reveal(actor=request.user, member=self.member, reason=reason, now=now())})


def _item(row: dict[str, Any], caller: queries.Caller) -> dict[str, Any]:
    binding = None
    if row["guide_id"] is not None:
        is_mine = row["guide_id"] == caller.guide_id
        binding = {
            "guide_id": row["guide_id"], "guide_name": row["guide_name"], "since": row["bound_at"], "is_mine": is_mine,
        }  # fmt: skip
    return {
        "id": row["id"],
        "name": row["name"],
        "gender": row["gender"],
        "tier": row["tier"],
        "mobile": reveals.masked_mobile(row["sealed"]),
        "birthday": row["birthday"],
        "registered_on": row["registered_on"],
        "last_bought_on": row["last_bought_on"],
        "binding": binding,
    }
