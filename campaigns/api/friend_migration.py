"""My old customers on their way to WeCom: the list, the text and code to send, whom I have invited."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import friend_migration, queries
from campaigns.models import FriendMigrationGuide
from guides.api.base import GuideView, business_day, now
from guides.models import ContactWay
from scrm import crypto
from scrm.api import pagination
from scrm.api.idempotency import idempotent

PEOPLE = "migrating"
STATES = ("LISTED", "KNOWN", "INVITED", "ADDED", "REGISTERED", "BOUGHT")
COUNTS = (
    "said_count", "listed_count", "known_count", "double_count", "invited_count", "added_count", "registered_count", "bought_count",
)  # fmt: skip


class Person(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField(allow_blank=True, help_text="masked; empty once the list is erased")
    mobile = serializers.CharField(allow_blank=True, help_text="masked; empty once the list is erased")
    person_state = serializers.ChoiceField(choices=STATES, help_text="KNOWN: on WeCom before")
    is_double = serializers.BooleanField(help_text="on a colleague's list too: whoever is added first serves her")
    invited_at = serializers.DateTimeField(allow_null=True)
    added_at = serializers.DateTimeField(allow_null=True)

    class Meta:
        ref_name = "MigratingPerson"


class MigrationCounts(serializers.Serializer[Any]):
    said_count = serializers.IntegerField(help_text="counted by myself, without a list")
    listed_count = serializers.IntegerField()
    known_count = serializers.IntegerField()
    double_count = serializers.IntegerField()
    invited_count = serializers.IntegerField()
    added_count = serializers.IntegerField()
    registered_count = serializers.IntegerField()
    bought_count = serializers.IntegerField()


class Drive(serializers.Serializer[Any]):
    name = serializers.CharField()
    ends_on = serializers.DateField()
    invite_text = serializers.CharField()
    qr_code = serializers.CharField(allow_blank=True, help_text="my code of this drive; empty: WeCom is making it")
    target_bp = serializers.IntegerField(allow_null=True, help_text="of my list, due by today")
    counts = MigrationCounts()


class MigrationPage(serializers.Serializer[Any]):
    drive = Drive(allow_null=True, help_text="null: none runs for me")
    items = Person(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class MigrationView(GuideView):
    class Input(pagination.PageInput):
        only_waiting = serializers.BooleanField(required=False, default=False, help_text="who is not on WeCom yet")

        class Meta:
            ref_name = "MigrationQuery"

    Output = MigrationPage

    @extend_schema(
        operation_id="friend_migration",
        tags=["friends"],
        summary="My old customers on their way to WeCom",
        parameters=[Input],
        responses={200: MigrationPage},
    )
    def get(self, request: Request) -> Response:
        wanted = self.read(self.Input, request.query_params)
        name = f"{PEOPLE} {wanted['only_waiting']}"
        key, size = pagination.read_cursor(wanted.get("cursor"), of=name), wanted["size"]
        entry = queries.migration_entry(guide_id=self.caller.guide_id)
        rows = (
            queries.migrating_of(
                entry_id=entry.pk, only_waiting=wanted["only_waiting"], after=key[0] if key else None, limit=size + 1
            )
            if entry
            else []
        )
        page = pagination.page(rows, size=size, of=name, key=lambda row: [row["id"]])
        return Response({"drive": _drive(entry), "items": page.items, "next_cursor": page.next_cursor})


class NewPerson(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=64, allow_blank=True, default="")
    mobile = serializers.CharField(max_length=32)

    def validate_mobile(self, value: str) -> str:
        number = crypto.normalise_mobile(value)
        if number is None:
            raise serializers.ValidationError(_("This is no Chinese mobile number."), "not_a_mobile")
        return number


class Listed(serializers.Serializer[Any]):
    listed_count = serializers.IntegerField(help_text="newly listed; who was listed already changes nothing")


class MigrationListView(GuideView):
    class Input(serializers.Serializer[Any]):
        people = serializers.ListField(child=NewPerson(), required=False, max_length=friend_migration.listing.AT_ONCE)
        said_count = serializers.IntegerField(
            required=False, min_value=0, max_value=100_000, help_text="instead of a list"
        )

        class Meta:
            ref_name = "MigrationList"

    Output = Listed

    @extend_schema(
        operation_id="list_old_customers",
        tags=["friends"],
        summary="List my personal contacts",
        description="Names are masked and numbers sealed at once; the list is erased some days later. Nobody is written to.",
        request=Input,
        responses={200: Listed},
        examples=[
            OpenApiExample(
                "list", request_only=True, value={"people": [{"name": "王女士", "mobile": "154 0000 0042"}]}
            ),
            OpenApiExample("count", request_only=True, value={"said_count": 320}),
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        said, guide_id = self.read(self.Input, request.data), self.caller.guide_id
        if "said_count" in said:
            friend_migration.listing.say_count(guide_id=guide_id, count=said["said_count"])
        people = [(one["name"], one["mobile"]) for one in said.get("people", [])]
        count = friend_migration.listing.add(guide_id=guide_id, people=people, now=now()) if people else 0
        return Response({"listed_count": count})


class Invited(serializers.Serializer[Any]):
    invited_count = serializers.IntegerField(help_text="newly marked")


class MigrationInvitedView(GuideView):
    class Input(serializers.Serializer[Any]):
        ids = serializers.ListField(child=serializers.IntegerField(min_value=1, max_value=2**63 - 1), max_length=200)

        class Meta:
            ref_name = "MigrationInvited"

    Output = Invited

    @extend_schema(
        operation_id="invited_old_customers",
        tags=["friends"],
        summary="I have sent them the text and my code",
        description="People of my own list; others and whoever is on WeCom already are left as they are.",
        request=Input,
        responses={200: Invited},
        examples=[OpenApiExample("invited", request_only=True, value={"ids": [101, 102]})],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        ids = self.read(self.Input, request.data)["ids"]
        count = friend_migration.listing.mark_invited(guide_id=self.caller.guide_id, ids=ids, now=now())
        return Response({"invited_count": count})


def _drive(entry: FriendMigrationGuide | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    way, drive = entry.way, entry.migration
    is_live = way is not None and way.status == ContactWay.Status.LIVE
    return {
        "name": drive.name, "ends_on": drive.ends_on, "invite_text": drive.invite_text,
        "qr_code": way.qr_code if way is not None and is_live else "",
        "target_bp": friend_migration.figures.target_bp(drive, business_day(now())),
        "counts": {name: getattr(entry, name) for name in COUNTS},
    }  # fmt: skip
