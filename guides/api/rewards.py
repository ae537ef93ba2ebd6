"""My add-friend rewards, the reviews about me, and my side of them."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from guides import integrity, queries
from guides.api.base import GuideView, now
from guides.integrity import figures
from guides.models import IntegrityCase, IntegrityFlag, RewardClaim
from scrm.api import pagination, throttles
from scrm.api.idempotency import idempotent

REWARDS, REVIEWS = "rewards", "reviews"
MISSING = {
    "REVIEW": gettext_lazy("under review"),
    "UNIONID": gettext_lazy("waiting for WeCom to tell who the customer is"),
    "DAYS": gettext_lazy("the friend has to stay some days more"),
    "BEHAVIOUR": gettext_lazy("the customer has not yet registered, bought or written"),
}


class RewardSum(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    amount_fen = serializers.IntegerField()


class Reward(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    friend = serializers.CharField(allow_blank=True, help_text="the nickname on WeChat")
    added_at = serializers.DateTimeField()
    amount_fen = serializers.IntegerField()
    reward_state = serializers.ChoiceField(choices=RewardClaim.Status.choices)
    state_text = serializers.CharField()
    reason_text = serializers.CharField(allow_blank=True, help_text="why it is void or was taken back")
    earned_text = serializers.CharField(allow_blank=True, help_text="what has earned it")
    missing_text = serializers.CharField(allow_blank=True, help_text="while it is held: what it still waits for")
    earliest_at = serializers.DateTimeField(help_text="not earned before: the friend has to stay so long")
    expires_at = serializers.DateTimeField()
    review_id = serializers.IntegerField(allow_null=True, help_text="the review that holds it")


class RewardPage(serializers.Serializer[Any]):
    held = RewardSum()
    vested = RewardSum()
    void = RewardSum(help_text="void and taken back")
    paid_then_fake_bp = serializers.IntegerField(
        help_text="of all rewards the brand has ever paid, the share proven fake since (published)"
    )
    items = Reward(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class RewardsView(GuideView):
    class Input(pagination.PageInput):
        class Meta:
            ref_name = "RewardsQuery"

    Output = RewardPage

    @extend_schema(
        operation_id="rewards",
        tags=["commission"],
        summary="My add-friend rewards",
        description="Each friend won while a programme ran, the newest first, with what it waits for or why it is void.",
        parameters=[Input],
        responses={200: RewardPage},
    )
    def get(self, request: Request) -> Response:
        wanted = self.read(self.Input, request.query_params)
        key = pagination.read_cursor(wanted.get("cursor"), of=REWARDS)
        guide_id, size = self.caller.guide_id, wanted["size"]
        rows = queries.rewards_of(guide_id=guide_id, after=key[0] if key else None, limit=size + 1)
        page = pagination.page(rows, size=size, of=REWARDS, key=lambda row: [row["id"]])
        sums = queries.reward_sums(guide_id=guide_id)
        fake = figures.paid_then_fake()
        return Response(
            {
                **sums,
                "paid_then_fake_bp": fake.share_bp,
                "items": [_reward(row) for row in page.items],
                "next_cursor": page.next_cursor,
            }
        )


class Flag(serializers.Serializer[Any]):
    flag = serializers.ChoiceField(choices=IntegrityFlag.Kind.choices)
    flag_text = serializers.CharField()
    value = serializers.IntegerField()
    threshold = serializers.IntegerField()
    evidence = serializers.DictField(help_text="counts and the rows that show it")


class Review(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    subject = serializers.ChoiceField(choices=IntegrityCase.Subject.choices)
    review_state = serializers.ChoiceField(choices=IntegrityCase.Status.choices)
    state_text = serializers.CharField()
    opened_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(help_text="until when HQ decides")
    held_fen = serializers.IntegerField(help_text="of rewards; commission of order lines is held beside it")
    reason = serializers.CharField(allow_blank=True, help_text="of the decision")
    appeal = serializers.CharField(allow_blank=True)
    can_appeal = serializers.BooleanField()
    appeal_until = serializers.DateTimeField(allow_null=True)
    flags = Flag(many=True)


class ReviewPage(serializers.Serializer[Any]):
    items = Review(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class ReviewsView(GuideView):
    class Input(pagination.PageInput):
        class Meta:
            ref_name = "ReviewsQuery"

    Output = ReviewPage

    @extend_schema(
        operation_id="reviews",
        tags=["commission"],
        summary="Reviews about me",
        description="What was found, what it holds, what was decided and until when I may appeal. The newest first.",
        parameters=[Input],
        responses={200: ReviewPage},
    )
    def get(self, request: Request) -> Response:
        wanted = self.read(self.Input, request.query_params)
        key = pagination.read_cursor(wanted.get("cursor"), of=REVIEWS)
        size = wanted["size"]
        rows = queries.reviews_of(guide_id=self.caller.guide_id, after=key[0] if key else None, limit=size + 1)
        page = pagination.page([_review(row) for row in rows], size=size, of=REVIEWS, key=lambda row: [row["id"]])
        return Response({"items": page.items, "next_cursor": page.next_cursor})


class AppealView(GuideView):
    throttle_classes = (throttles.MissThrottle,)

    class Input(serializers.Serializer[Any]):
        text = serializers.CharField(min_length=4, max_length=1_000)

        class Meta:
            ref_name = "Appeal"

    Output = Review

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if queries.review_of(guide_id=self.caller.guide_id, case_id=kwargs["review_id"]) is None:
            throttles.MissThrottle.missed(request)
            raise NotFound

    @extend_schema(
        operation_id="appeal",
        tags=["commission"],
        summary="My side of a review",
        description="Once, while it runs or until `appeal_until` after the decision; then somebody else decides.",
        request=Input,
        responses={200: Review},
        examples=[OpenApiExample("appeal", request_only=True, value={"text": "当天店庆，顾客排队扫码，有现场照片。"})],
    )
    @idempotent
    def post(self, request: Request, review_id: int) -> Response:
        text = self.read(self.Input, request.data)["text"]
        case = integrity.appeal(case_id=review_id, guide_id=self.caller.guide_id, text=text, now=now())
        return Response(_review(case))


def _reward(row: dict[str, Any]) -> dict[str, Any]:
    reason, earned, missing = row.pop("reason"), row.pop("earned_by"), row.pop("missing")
    return {
        **row,
        "state_text": str(RewardClaim.Status(row["reward_state"]).label),
        "reason_text": str(RewardClaim.Reason(reason).label) if reason else "",
        "earned_text": str(RewardClaim.Earned(earned).label) if earned else "",
        "missing_text": str(MISSING[missing]) if missing else "",
    }


def _review(case: IntegrityCase) -> dict[str, Any]:
    is_in_time = case.status != case.Status.CONFIRMED or case.appeal_until is None or now() < case.appeal_until
    return {
        "id": case.pk,
        "subject": case.subject,
        "review_state": case.status,
        "state_text": case.get_status_display(),
        "opened_at": case.opened_at,
        "due_at": case.due_at,
        "held_fen": case.held_fen,
        "reason": case.reason if not case.is_undecided else "",
        "appeal": case.appeal,
        "can_appeal": case.is_holding and case.appealed_at is None and is_in_time,
        "appeal_until": case.appeal_until,
        "flags": [
            {
                "flag": flag.kind, "flag_text": flag.get_kind_display(), "value": flag.value, "threshold": flag.threshold,
                "evidence": flag.evidence,
            }
            for flag in case.flags.all()
        ],
    }  # fmt: skip
