"""What I am to do: the list, and how each entry ends."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from guides import actions
from guides.api.base import GuideView, now
from guides.models import Action
from scrm.api import throttles
from scrm.api.idempotency import idempotent


class ActionItem(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=Action.Kind.choices)
    kind_text = serializers.CharField()
    asked_by = serializers.ChoiceField(choices=Action.Source.choices)
    title = serializers.CharField()
    reason = serializers.CharField(help_text="why, in one sentence")
    text = serializers.CharField(allow_blank=True, help_text="what to say, ready to send")
    minutes = serializers.IntegerField()
    expected_fen = serializers.IntegerField(
        allow_null=True, help_text="what it is expected to bring; null: not measured"
    )
    member_id = serializers.IntegerField(allow_null=True)
    member_name = serializers.CharField(allow_null=True, allow_blank=True)
    starts_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField()


class ActionList(serializers.Serializer[Any]):
    minutes = serializers.IntegerField(help_text="of all entries together")
    items = ActionItem(many=True)


class ActionEnded(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    action_state = serializers.ChoiceField(choices=Action.Status.choices)
    ended_at = serializers.DateTimeField()


class ActionsView(GuideView):
    Output = ActionList

    @extend_schema(
        operation_id="actions",
        tags=["today"],
        summary="What I am to do",
        description=(
            "Open now, the most urgent first; at most 200. Open one (``…/actions/{id}``) for its text filled for the customer and "
            "its material."
        ),
        responses={200: ActionList},
    )
    def get(self, request: Request) -> Response:
        rows = actions.of_guide(guide_id=self.caller.guide_id, now=now())
        items = [{**row, "kind_text": str(Action.Kind(row["kind"]).label)} for row in rows]
        return Response({"minutes": sum(row["minutes"] for row in rows), "items": items})


class _EndingView(GuideView):
    throttle_classes = (throttles.MissThrottle,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """One of hers; another's does not exist."""
        super().initial(request, *args, **kwargs)
        if not Action.objects.filter(pk=kwargs["action_id"], guide_id=self.caller.guide_id).exists():
            throttles.MissThrottle.missed(request)
            raise NotFound


class ActionDoneView(_EndingView):
    class Input(serializers.Serializer[Any]):
        outcome = serializers.ChoiceField(choices=Action.Outcome.choices, required=False, default="", allow_blank=True)
        note = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)

        class Meta:
            ref_name = "ActionDoneInput"

    Output = ActionEnded

    @extend_schema(
        operation_id="action_done",
        tags=["today"],
        summary="An action is done",
        description="A message or a call to a member counts as a service act. A reply pauses the SOP that asked for it.",
        request=Input,
        responses={200: ActionEnded},
    )
    @idempotent
    def post(self, request: Request, action_id: int) -> Response:
        said = self.read(self.Input, request.data)
        action = actions.done(
            action_id=action_id, guide_id=self.caller.guide_id, user=self.caller.user, outcome=said["outcome"],
            note=said["note"], now=now(),
        )  # fmt: skip
        return Response({"id": action.pk, "action_state": action.status, "ended_at": action.ended_at})


class ActionSkipView(_EndingView):
    class Input(serializers.Serializer[Any]):
        reason = serializers.CharField(min_length=2, max_length=200)
        is_unsuitable = serializers.BooleanField(
            required=False, default=False, help_text="not for this customer at all, instead of not this time"
        )

        class Meta:
            ref_name = "ActionSkipInput"

    Output = ActionEnded

    @extend_schema(
        operation_id="action_skip",
        tags=["today"],
        summary="Skip an action",
        description="With a reason; HQ sees it.",
        request=Input,
        responses={200: ActionEnded},
    )
    @idempotent
    def post(self, request: Request, action_id: int) -> Response:
        said = self.read(self.Input, request.data)
        action = actions.leave(
            action_id=action_id, guide_id=self.caller.guide_id, user=self.caller.user, reason=said["reason"],
            is_unsuitable=said["is_unsuitable"], now=now(),
        )  # fmt: skip
        return Response({"id": action.pk, "action_state": action.status, "ended_at": action.ended_at})
