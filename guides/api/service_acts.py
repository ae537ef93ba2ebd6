"""What I did for a member besides selling."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from guides import queries, service_acts
from guides.api.base import GuideView, now
from guides.models import ServiceAct
from members.models import Member
from scrm.api import pagination, throttles
from scrm.api.idempotency import HEADER, idempotent

LIST = "service acts"


class ActDone(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=ServiceAct.Kind.choices)
    kind_text = serializers.CharField()
    member_id = serializers.IntegerField()
    member_name = serializers.CharField(allow_blank=True)
    at = serializers.DateTimeField()
    note = serializers.CharField()
    proof = serializers.CharField(allow_blank=True)
    is_renewing = serializers.BooleanField(help_text="whether the binding's validity counts from this act")


class ActPage(serializers.Serializer[Any]):
    items = ActDone(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class ServiceActsView(GuideView):
    class Query(pagination.PageInput):
        class Meta:
            ref_name = "ServiceActsQuery"

    Output = ActPage

    @extend_schema(
        operation_id="service_acts",
        tags=["members"],
        summary="What I did for members",
        description="Calls, visits, fittings and chats, the newest first.",
        parameters=[Query],
        responses={200: ActPage},
    )
    def get(self, request: Request) -> Response:
        wanted = self.read(self.Query, request.query_params)
        key = pagination.read_cursor(wanted.get("cursor"), of=LIST)
        size = wanted["size"]
        rows = service_acts.of_guide(guide_id=self.caller.guide_id, after=key[0] if key else None, limit=size + 1)
        page = pagination.page(rows, size=size, of=LIST, key=lambda row: [row["id"]])
        items = [{**row, "kind_text": str(ServiceAct.Kind(row["kind"]).label)} for row in page.items]
        return Response({"items": items, "next_cursor": page.next_cursor})


class ServiceActView(GuideView):
    throttle_classes = (throttles.MissThrottle,)
    member: Member

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Her member, or one of a colleague's for whom she stands in now."""
        super().initial(request, *args, **kwargs)
        found = queries.visible_members(self.caller).filter(pk=kwargs["member_id"]).first()
        if found is None:
            found = service_acts.served_member(member_id=kwargs["member_id"], guide_id=self.caller.guide_id, at=now())
        if found is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        self.member = found

    class Input(serializers.Serializer[Any]):
        kind = serializers.ChoiceField(choices=ServiceAct.Kind.choices)
        at = serializers.DateTimeField(required=False, help_text="now when left out; today or yesterday")
        note = serializers.CharField(min_length=4, max_length=200, help_text="what was done")
        proof = serializers.CharField(max_length=96, required=False, default="", allow_blank=True)

        class Meta:
            ref_name = "ServiceActInput"

    Output = ActDone

    @extend_schema(
        operation_id="record_service_act",
        tags=["members"],
        summary="Record what I did for a member",
        description="It renews the binding's validity when the member is mine, or a colleague's for whom I stand in.",
        request=Input,
        responses={200: ActDone},
    )
    @idempotent
    def post(self, request: Request, member_id: int) -> Response:
        said = self.read(self.Input, request.data)
        moment = now()
        act = service_acts.tell(
            key=f"told {request.user.pk} {request.headers[HEADER]}"[:96], kind=said["kind"],
            guide_id=self.caller.guide_id, member_id=self.member.pk, at=said.get("at") or moment, note=said["note"],
            proof=said["proof"], now=moment,
        )  # fmt: skip
        shown = {
            "id": act.pk, "kind": act.kind, "kind_text": act.get_kind_display(), "member_id": act.member_id,
            "member_name": self.member.name, "at": act.at, "note": act.note, "proof": act.proof,
            "is_renewing": act.holder_id is not None,
        }  # fmt: skip
        return Response(shown)
