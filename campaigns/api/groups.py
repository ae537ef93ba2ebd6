"""My customer groups, how they live, the codes of my store, and whom I am to invite."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import Q
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.communities import entries, health, invitations
from campaigns.models import Group, GroupHealth, JoinWay
from guides.api.base import GuideView, business_day, now
from guides.contact_ways import pictures
from scrm.api import throttles
from scrm.api.idempotency import idempotent

MOST = 200
CHART_DAYS = 30
EXAMPLE = {
    "id": 12, "name": "S1福利群1", "owner_name": "王芳", "is_mine": True, "has_lost_owner": False, "customer_count": 182,
    "member_count": 184, "health": "HEALTHY", "health_text": "健康", "as_of": "2026-06-09", "matched_count": 120, "joined_count": 23,
    "left_count": 4, "leave_bp": 224, "buyer_count": 41, "spend_per_member_fen": 5830, "quiet_days": 0, "alive_days": 312,
    "tags": ["高活跃"],
}  # fmt: skip


class GroupItem(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    owner_name = serializers.CharField(allow_blank=True)
    is_mine = serializers.BooleanField()
    has_lost_owner = serializers.BooleanField(help_text="its owner has left the company: it waits to be handed over")
    customer_count = serializers.IntegerField()
    member_count = serializers.IntegerField(help_text="everybody in it, staff too")
    health = serializers.ChoiceField(
        choices=[*GroupHealth.State.choices, ("NONE", "-")], help_text="NONE: not counted yet"
    )
    health_text = serializers.CharField()
    as_of = serializers.DateField(allow_null=True, help_text="of the figures below; null: not counted yet")
    matched_count = serializers.IntegerField(allow_null=True, help_text="members among the customers")
    joined_count = serializers.IntegerField(allow_null=True, help_text="in 30 days, as all below")
    left_count = serializers.IntegerField(allow_null=True)
    leave_bp = serializers.IntegerField(allow_null=True)
    buyer_count = serializers.IntegerField(allow_null=True)
    spend_per_member_fen = serializers.IntegerField(allow_null=True)
    quiet_days = serializers.IntegerField(allow_null=True, help_text="nobody came in and no member bought")
    alive_days = serializers.IntegerField(allow_null=True)
    tags = serializers.ListField(child=serializers.CharField())


FIGURES = (
    "matched_count",
    "joined_count",
    "left_count",
    "leave_bp",
    "buyer_count",
    "spend_per_member_fen",
    "quiet_days",
    "alive_days",
)


def item(group: Group, guide_id: int) -> dict[str, Any]:
    found = getattr(group, "health", None)
    return {
        "id": group.pk, "name": str(group), "owner_name": group.owner.name if group.owner else "", "is_mine": group.owner_id == guide_id,
        "has_lost_owner": group.status == Group.Status.OWNER_LEFT, "customer_count": group.customer_count,
        "member_count": group.member_count, "health": found.state if found else "NONE",
        "health_text": str(found.get_state_display()) if found else _("not counted yet"), "as_of": found.day if found else None,
        **{name: getattr(found, name) if found else None for name in FIGURES},
        "tags": [row.tag.name for row in group.tagged.all()],
    }  # fmt: skip


class _GroupsView(GuideView):
    def mine(self) -> Any:
        """Her own groups, and those of the stores she manages."""
        rows = Group.objects.filter(
            Q(owner=self.caller.guide_id) | Q(store__in=self.caller.managed_store_ids), dissolved_at=None
        )
        return rows.select_related("owner", "health").prefetch_related("tagged__tag").order_by("name", "pk")


class GroupsView(_GroupsView):
    class Output(serializers.Serializer[Any]):
        items = GroupItem(many=True)

        class Meta:
            ref_name = "Groups"

    @extend_schema(
        operation_id="groups",
        tags=["groups"],
        summary="My customer groups",
        description="My own; a store manager also sees those of her store. The figures are counted once a night. At most 200.",
        responses={200: Output},
        examples=[OpenApiExample("groups", response_only=True, status_codes=["200"], value={"items": [EXAMPLE]})],
    )
    def get(self, request: Request) -> Response:
        return Response({"items": [item(group, self.caller.guide_id) for group in self.mine()[:MOST]]})


DAY_FIELDS = ("day", "customer_count", "joined_count", "left_count", "buyer_count", "spend_fen")


class DayItem(serializers.Serializer[Any]):
    day = serializers.DateField()
    customer_count = serializers.IntegerField()
    joined_count = serializers.IntegerField()
    left_count = serializers.IntegerField()
    buyer_count = serializers.IntegerField()
    spend_fen = serializers.IntegerField()

    class Meta:
        ref_name = "GroupDay"


class RouteItem(serializers.Serializer[Any]):
    text = serializers.CharField()
    way = serializers.CharField(allow_null=True, help_text="the name of the code")
    joined = serializers.IntegerField()
    there = serializers.IntegerField(help_text="still there")
    members = serializers.IntegerField()

    class Meta:
        ref_name = "GroupRoute"


class GroupView(_GroupsView):
    throttle_classes = (throttles.MissThrottle,)

    class Output(GroupItem):
        days = DayItem(many=True, help_text="the last 30 days")
        routes = RouteItem(many=True)

        class Meta:
            ref_name = "Group"

    @extend_schema(
        operation_id="group", tags=["groups"], summary="One of my customer groups",
        description="With its days and how people came in.", responses={200: Output},
    )  # fmt: skip
    def get(self, request: Request, group_id: int) -> Response:
        group = self.mine().filter(pk=group_id).first()
        if group is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        days = health.days_of(group, since=business_day(now()) - dt.timedelta(days=CHART_DAYS))
        shown = [{name: getattr(row, name) for name in DAY_FIELDS} for row in days]
        return Response({**item(group, self.caller.guide_id), "days": shown, "routes": entries.of_group(group)})


# --- codes ------------------------------------------------------------------------------------------------------------


class WayItem(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    groups = serializers.ListField(
        child=serializers.CharField(), help_text="names, in their turn; the first with room is filled"
    )
    joined_today = serializers.IntegerField()
    joined_ever = serializers.IntegerField()
    qr_code = serializers.CharField(help_text="the address of WeCom's picture")

    class Meta:
        ref_name = "JoinWay"


def _ways(store_ids: Any) -> Any:
    rows = JoinWay.objects.filter(store__in=store_ids, status=JoinWay.Status.LIVE, missing_at=None).exclude(qr_code="")
    return rows.select_related("store").order_by("name", "pk")


class WaysView(GuideView):
    class Output(serializers.Serializer[Any]):
        items = WayItem(many=True)

        class Meta:
            ref_name = "JoinWays"

    @extend_schema(
        operation_id="join_ways", tags=["groups"], summary="The codes of my store's groups",
        description="Whoever scans one comes into the first of its groups with room. The picture: GET …/join-ways/{id}/picture.",
        responses={200: Output},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        rows = list(_ways(self.caller.store_ids)[:MOST])
        at = now()
        midnight = at.astimezone(health.ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
        brought = entries.brought([row.pk for row in rows], midnight=midnight)
        names = entries.groups_behind([row.pk for row in rows])
        return Response(
            {
                "items": [
                    {
                        "id": row.pk, "name": row.name, "groups": names.get(row.pk, []), "qr_code": row.qr_code,
                        "joined_today": brought[row.pk]["today"], "joined_ever": brought[row.pk]["ever"],
                    }
                    for row in rows
                ]
            }
        )  # fmt: skip


class WayPictureView(GuideView):
    throttle_classes = (throttles.MissThrottle,)

    @extend_schema(
        operation_id="join_way_picture", tags=["groups"], summary="The picture of a code",
        description="A PNG with the store below it, ready to be sent.",
        responses={(200, "image/png"): OpenApiResponse(OpenApiTypes.BINARY)},
    )  # fmt: skip
    def get(self, request: Request, way_id: int) -> HttpResponse:
        row = _ways(self.caller.store_ids).filter(pk=way_id).first()
        if row is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        return HttpResponse(
            pictures.png(entries.printed(row)), content_type="image/png", headers={"Cache-Control": "private"}
        )


# --- invitations ------------------------------------------------------------------------------------------------------


class InviteeItem(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    invitation_id = serializers.IntegerField()
    invitation = serializers.CharField(help_text="what it is called at HQ")
    member_id = serializers.IntegerField()
    member_name = serializers.CharField(allow_blank=True)
    text = serializers.CharField(help_text="filled for this customer, ready to send")
    way_id = serializers.IntegerField(help_text="the code to send with it: GET …/join-ways/{way_id}/picture")
    way_name = serializers.CharField()
    sent_at = serializers.DateTimeField(allow_null=True)
    ends_at = serializers.DateTimeField()

    class Meta:
        ref_name = "Invitee"


class InvitationsView(GuideView):
    class Output(serializers.Serializer[Any]):
        items = InviteeItem(many=True)

        class Meta:
            ref_name = "Invitees"

    @extend_schema(
        operation_id="group_invitations", tags=["groups"], summary="Whom I am to invite into our groups",
        description="Those not invited yet first; at most 200. Whoever has joined, opted out or had her share of messages is not here.",
        responses={200: Output},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        return Response({"items": invitations.of_guide(guide_id=self.caller.guide_id, now=now())})


class InvitedView(GuideView):
    throttle_classes = (throttles.MissThrottle,)
    Output = InviteeItem

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """One of hers; another's does not exist."""
        super().initial(request, *args, **kwargs)
        if request.method == "POST" and not invitations.is_hers(
            invitee_id=kwargs["invitee_id"], guide_id=self.caller.guide_id, now=now()
        ):
            throttles.MissThrottle.missed(request)
            raise NotFound

    @extend_schema(
        operation_id="group_invited", tags=["groups"], summary="I have invited her",
        description="Said again: the first time stays. When she comes into a group of the store, that is noted by itself.",
        request=None, responses={200: InviteeItem},
    )  # fmt: skip
    @idempotent
    def post(self, request: Request, invitee_id: int) -> Response:
        return Response(invitations.sent(invitee_id=invitee_id, guide_id=self.caller.guide_id, now=now()))
