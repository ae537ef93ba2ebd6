"""Disputes in the mini-program: a guide opens one from a line, parties add evidence, the store manager gives an opinion."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from attribution.disputes import files, hearing, pictures
from attribution.models import Dispute
from guides.api.base import GuideView, now
from guides.models import Guide
from scrm.api import pagination, throttles
from scrm.api.idempotency import idempotent

LIST = "disputes"


class DisputeItem(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    line_id = serializers.IntegerField()
    order_no = serializers.CharField()
    product_name = serializers.CharField()
    paid_at = serializers.DateTimeField()
    paid_fen = serializers.IntegerField()
    claimant_code = serializers.CharField()
    claimant_name = serializers.CharField()
    ground = serializers.ChoiceField(choices=Dispute.Ground.choices)
    ground_text = serializers.CharField()
    status = serializers.ChoiceField(choices=Dispute.Status.choices)
    status_text = serializers.CharField()
    is_mine = serializers.BooleanField(help_text="I opened it")
    opened_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(
        allow_null=True, help_text="until when the present step is to be done; null: ended"
    )
    is_late = serializers.BooleanField()


class DisputePage(serializers.Serializer[Any]):
    items = DisputeItem(many=True)
    next_cursor = serializers.CharField(allow_null=True, help_text="null: this is the last page")


class DisputeDetail(DisputeItem):
    class Evidence(serializers.Serializer[Any]):
        id = serializers.IntegerField()
        given_by = serializers.CharField()
        given_at = serializers.DateTimeField()
        text = serializers.CharField()
        touch_id = serializers.IntegerField(allow_null=True)
        has_picture = serializers.BooleanField()

        class Meta:
            ref_name = "DisputeEvidence"

    class Touch(serializers.Serializer[Any]):
        id = serializers.IntegerField()
        kind = serializers.CharField()
        guide_code = serializers.CharField()
        at = serializers.DateTimeField()

        class Meta:
            ref_name = "DisputeTouch"

    statement = serializers.CharField()
    sentences = serializers.ListField(child=serializers.CharField(), help_text="why the line stands as it does")
    against = serializers.CharField(help_text="who is credited now")
    opinion = serializers.CharField(allow_blank=True, help_text="of the store manager: FOR, AGAINST or empty")
    opinion_text = serializers.CharField(allow_blank=True)
    verdict_reason = serializers.CharField(allow_blank=True)
    moved_fen = serializers.IntegerField(help_text="what the claimant holds of the line by the verdict")
    evidence = Evidence(many=True)
    touches = Touch(many=True, help_text="of the buyer in the month before the order")
    may_give_opinion = serializers.BooleanField()
    may_add_evidence = serializers.BooleanField()
    may_withdraw = serializers.BooleanField()


ITEM = {
    "id": 12, "line_id": 90210, "order_no": "P202611020017", "product_name": "麒麟西瓜", "paid_at": "2026-11-02T10:20:00Z",
    "paid_fen": 76500, "claimant_code": "G00001", "claimant_name": "王芳", "ground": "MY_SHARE",
    "ground_text": "顾客通过我的链接或码下单", "status": "STORE", "status_text": "待店长意见", "is_mine": True,
    "opened_at": "2026-11-05T02:00:00Z", "due_at": "2026-11-08T02:00:00Z", "is_late": False,
}  # fmt: skip


class DisputesView(GuideView):
    class Query(pagination.PageInput):
        is_open = serializers.BooleanField(required=False, allow_null=True, default=None)

        class Meta:
            ref_name = "DisputesQuery"

    @extend_schema(
        operation_id="disputes",
        tags=["disputes"],
        summary="Disputes that concern me",
        description="Mine, those against me, and those of the stores I manage; the newest first.",
        parameters=[Query],
        responses={200: DisputePage},
        examples=[
            OpenApiExample(
                "page", response_only=True, status_codes=["200"], value={"items": [ITEM], "next_cursor": None}
            )
        ],
    )
    def get(self, request: Request) -> Response:
        wanted = self.read(self.Query, request.query_params)
        name = f"{LIST} {wanted['is_open']}"
        key = pagination.read_cursor(wanted.get("cursor"), of=name)
        found = files.page(
            caller=self.caller, is_open=wanted["is_open"], after=key[0] if key else None, limit=wanted["size"] + 1
        )
        lines = files.lines_of(found)
        rows = [_item(dispute, lines[dispute.line_id], self.caller.guide_id) for dispute in found]
        page = pagination.page(rows, size=wanted["size"], of=name, key=lambda row: [row["id"]])
        return Response({"items": page.items, "next_cursor": page.next_cursor})


class OpenView(GuideView):
    throttle_classes = (throttles.MissThrottle,)

    class Input(serializers.Serializer[Any]):
        ground = serializers.ChoiceField(choices=Dispute.Ground.choices)
        statement = serializers.CharField(min_length=4, max_length=500)

        class Meta:
            ref_name = "OpenDispute"

    @extend_schema(
        operation_id="open_dispute",
        tags=["disputes"],
        summary="Say that a line is mine",
        description="What the line earned is held for both until two people have decided.",
        request=Input,
        responses={201: DisputeDetail},
        examples=[
            OpenApiExample(
                "claim",
                request_only=True,
                value={"ground": "MY_SHARE", "statement": "顾客点开我 11 月 1 日发的链接后下单"},
            )
        ],
    )
    @idempotent
    def post(self, request: Request, line_id: int) -> Response:
        said = self.read(self.Input, request.data)
        if not files.may_dispute(caller=self.caller, line_id=line_id):
            throttles.MissThrottle.missed(request)
            raise NotFound
        claimant = Guide.objects.get(pk=self.caller.guide_id)
        dispute = hearing.open_dispute(line_id=line_id, **said, guide=claimant, actor=self.caller.user, now=now())
        return Response(_detail(dispute, self), status=201)


class _OneDispute(GuideView):
    """A dispute that concerns the caller; another one is not there."""

    throttle_classes = (throttles.MissThrottle,)
    dispute: Dispute

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        found = files.seen_by(self.caller).select_related("claimant").filter(pk=kwargs["dispute_id"]).first()
        if found is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        self.dispute = found


class DisputeView(_OneDispute):
    @extend_schema(
        operation_id="dispute",
        tags=["disputes"],
        summary="One dispute with its evidence",
        responses={200: DisputeDetail},
    )
    def get(self, request: Request, dispute_id: int) -> Response:
        return Response(_detail(self.dispute, self))


class EvidenceView(_OneDispute):
    class Input(serializers.Serializer[Any]):
        text = serializers.CharField(min_length=2, max_length=500)
        touch_id = serializers.IntegerField(required=False, min_value=1)
        picture = serializers.CharField(
            required=False, max_length=2_000_000, help_text="JPEG, PNG or WebP in base64, at most 1.5 MB"
        )

        class Meta:
            ref_name = "AddEvidence"

    @extend_schema(
        operation_id="add_evidence",
        tags=["disputes"],
        summary="Add evidence",
        request=Input,
        responses={201: DisputeDetail},
    )
    @idempotent
    def post(self, request: Request, dispute_id: int) -> Response:
        said = self.read(self.Input, request.data)
        picture = _decoded(said["picture"]) if said.get("picture") else None
        hearing.add_evidence(
            dispute=self.dispute, actor=self.caller.user, text=said["text"], now=now(), touch_id=said.get("touch_id"),
            picture=picture,
        )  # fmt: skip
        return Response(_detail(self.dispute, self), status=201)


class PictureView(_OneDispute):
    @extend_schema(
        operation_id="evidence_picture",
        tags=["disputes"],
        summary="The picture of a piece of evidence",
        description="Looking at it leaves a record.",
        responses={(200, "image/jpeg"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, dispute_id: int, evidence_id: int) -> HttpResponse:
        evidence = self.dispute.evidence.filter(pk=evidence_id).exclude(picture_sealed=None).first()
        if evidence is None:
            raise NotFound
        jpeg = pictures.look_at(evidence=evidence, actor=self.caller.user)
        return HttpResponse(jpeg, content_type="image/jpeg", headers={"Cache-Control": "no-store"})


class OpinionView(_OneDispute):
    class Input(serializers.Serializer[Any]):
        opinion = serializers.ChoiceField(choices=Dispute.Opinion.choices)
        text = serializers.CharField(min_length=4, max_length=500)

        class Meta:
            ref_name = "DisputeOpinion"

    @extend_schema(
        operation_id="give_opinion",
        tags=["disputes"],
        summary="The store manager's opinion",
        description="Then the region or HQ decides.",
        request=Input,
        responses={200: DisputeDetail},
    )
    @idempotent
    def post(self, request: Request, dispute_id: int) -> Response:
        if self.dispute.store_id not in self.caller.managed_store_ids:
            raise NotFound
        said = self.read(self.Input, request.data)
        dispute = hearing.give_opinion(dispute=self.dispute, **said, actor=self.caller.user, now=now())
        return Response(_detail(dispute, self))


class WithdrawView(_OneDispute):
    @extend_schema(
        operation_id="withdraw_dispute",
        tags=["disputes"],
        summary="Let my claim go",
        request=None,
        responses={200: DisputeDetail},
    )
    @idempotent
    def post(self, request: Request, dispute_id: int) -> Response:
        if self.dispute.claimant_id != self.caller.guide_id:
            raise NotFound
        dispute = hearing.withdraw(dispute=self.dispute, actor=self.caller.user, now=now())
        return Response(_detail(dispute, self))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise pictures.unreadable() from None


def _item(dispute: Dispute, line: Any, guide_id: int) -> dict[str, Any]:
    return {
        "id": dispute.pk,
        "line_id": dispute.line_id,
        "order_no": line.order.order_no,
        "product_name": line.product.name,
        "paid_at": line.paid_at,
        "paid_fen": line.paid_fen,
        "claimant_code": dispute.claimant.code,
        "claimant_name": dispute.claimant.name,
        "ground": dispute.ground,
        "ground_text": dispute.get_ground_display(),
        "status": dispute.status,
        "status_text": dispute.get_status_display(),
        "is_mine": dispute.claimant_id == guide_id,
        "opened_at": dispute.opened_at,
        "due_at": dispute.due_at if dispute.is_open else None,
        "is_late": dispute.is_open and dispute.due_at < now(),
    }


def _detail(dispute: Dispute, view: GuideView) -> dict[str, Any]:
    caller, found = view.caller, files.file_of(dispute)
    takes_evidence = dispute.status in (Dispute.Status.STORE, Dispute.Status.HQ)
    return _item(dispute, found.line, caller.guide_id) | {
        "statement": dispute.statement,
        "sentences": found.sentences,
        "against": found.against,
        "opinion": dispute.opinion,
        "opinion_text": dispute.opinion_text,
        "verdict_reason": dispute.verdict_reason if not dispute.is_open else "",
        "moved_fen": dispute.moved_fen,
        "evidence": [
            {
                "id": row.pk,
                "given_by": row.given_by.name or row.given_by.username,
                "given_at": row.given_at,
                "text": row.text,
                "touch_id": row.touch_id,
                "has_picture": row.has_picture,
            }
            for row in found.evidence
        ],
        "touches": [
            {"id": touch.id, "kind": touch.kind, "guide_code": touch.guide, "at": touch.at} for touch in found.touches
        ],
        "may_give_opinion": dispute.status == Dispute.Status.STORE and dispute.store_id in caller.managed_store_ids,
        "may_add_evidence": takes_evidence,
        "may_withdraw": dispute.is_open and dispute.claimant_id == caller.guide_id,
    }
