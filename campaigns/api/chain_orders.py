"""Chain orders in the mini-program: publish mine, read the group's text, take payments, hand over."""

from __future__ import annotations

import base64
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import content_files
from campaigns.communities import chain_orders
from campaigns.communities.chain_orders import pasting, pickup, public
from campaigns.communities.chain_orders.reading import LONGEST
from campaigns.models import ChainLine, ChainOrder, ChainPayment, ContentFile, Group
from guides.api.base import GuideView, now
from guides.models import Guide
from scrm.api import throttles
from scrm.api.idempotency import HEADER, idempotent
from scrm.errors import RuleViolation
from scrm.models import Store

MOST = 50
PHOTO_CHARS = 1_500_000


class ChainHead(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    title = serializers.CharField()
    status = serializers.ChoiceField(choices=ChainOrder.Status.choices)
    opens_at = serializers.DateTimeField()
    closes_at = serializers.DateTimeField()
    pickup_store = serializers.CharField()
    pickup_place = serializers.CharField(allow_blank=True)
    pickup_from = serializers.DateTimeField()
    pickup_until = serializers.DateTimeField()
    address = serializers.CharField(help_text="for the group; it proves whose chain it is")


class ChainOffer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    number = serializers.IntegerField()
    label = serializers.CharField()  # type: ignore[assignment]
    unit = serializers.CharField()
    unit_fen = serializers.IntegerField()
    left = serializers.IntegerField()
    taken = serializers.IntegerField()


class ChainLineItem(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    item_id = serializers.IntegerField()
    label = serializers.CharField()  # type: ignore[assignment]
    quantity = serializers.IntegerField()
    amount_fen = serializers.IntegerField()
    status = serializers.ChoiceField(choices=ChainLine.Status.choices)


class ChainPersonItem(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    number = serializers.IntegerField()
    name = serializers.CharField()
    mobile = serializers.CharField(allow_blank=True, help_text="masked")
    note = serializers.CharField(allow_blank=True)
    state = serializers.CharField()
    state_text = serializers.CharField()
    due_fen = serializers.IntegerField()
    paid_fen = serializers.IntegerField()
    pickup_code = serializers.CharField()
    lines = ChainLineItem(many=True)


def head(chain: ChainOrder) -> dict[str, Any]:
    names = ("title", "status", "opens_at", "closes_at", "pickup_place", "pickup_from", "pickup_until")
    return {
        "id": chain.pk,
        **{name: getattr(chain, name) for name in names},
        "pickup_store": chain.pickup_store.name,
        "address": public.address_of(chain),
    }


def offer_item(offer: pickup.Offer) -> dict[str, Any]:
    item = offer.item
    return {
        "id": item.pk, "number": item.number, "label": item.label, "unit": item.unit, "unit_fen": item.unit_fen, "left": offer.left,
        "taken": offer.taken,
    }  # fmt: skip


def person_item(one: pickup.Standing) -> dict[str, Any]:
    person = one.person
    lines = [
        {"id": line.pk, "item_id": line.item_id, "label": line.item.label, "quantity": line.quantity, "amount_fen": line.amount_fen, "status": line.status}
        for line in one.lines
    ]  # fmt: skip
    return {
        "id": person.pk, "number": person.number, "name": person.name, "mobile": one.mobile, "note": person.note, "state": one.state,
        "state_text": one.state_text, "due_fen": one.due_fen, "paid_fen": one.paid_fen, "pickup_code": person.pickup_code, "lines": lines,
    }  # fmt: skip


HEAD = {
    "id": 7, "title": "周末榴莲团", "status": "OPEN", "opens_at": "2026-06-10T09:00:00+08:00", "closes_at": "2026-06-10T21:00:00+08:00",
    "pickup_store": "南山店", "pickup_place": "门口", "pickup_from": "2026-06-11T15:00:00+08:00", "pickup_until": "2026-06-11T21:00:00+08:00",
    "address": "https://scrm.example.com/jl/AQAAAAAAAAb2xw0Wm1H0tq5Yw3o1r0Qk",
}  # fmt: skip
PERSON = {
    "id": 3, "number": 1, "name": "王姐", "mobile": "138****0000", "note": "自提", "state": "UNPAID", "state_text": "未付款", "due_fen": 53_600,
    "paid_fen": 0, "pickup_code": "40318277",
    "lines": [{"id": 9, "item_id": 21, "label": "猫山王榴莲", "quantity": 2, "amount_fen": 53_600, "status": "TAKEN"}],
}  # fmt: skip
OFFER = {"id": 21, "number": 1, "label": "猫山王榴莲", "unit": "个", "unit_fen": 26_800, "left": 3, "taken": 2}


class ChainView(GuideView):
    """Hers; the manager sees those of her stores."""

    throttle_classes = (throttles.MissThrottle,)
    error_codes = frozenset({"409"})

    def mine(self) -> Any:
        rows = ChainOrder.objects.select_related("pickup_store", "share", "leader").order_by("-pk")
        own = rows.filter(leader=self.caller.guide_id)
        return own | rows.filter(store__in=self.caller.managed_store_ids) if self.caller.managed_store_ids else own

    def one(self, request: Request, chain_id: int) -> ChainOrder:
        row: ChainOrder | None = self.mine().filter(pk=chain_id).first()
        if row is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        return row


class ChainsView(ChainView):
    error_codes = frozenset()

    class Output(serializers.Serializer[Any]):
        items = ChainHead(many=True)

        class Meta:
            ref_name = "ChainOrders"

    @extend_schema(
        operation_id="chain_orders", tags=["groups"], summary="My chain orders", responses={200: Output},
        examples=[OpenApiExample("chains", response_only=True, status_codes=["200"], value={"items": [HEAD]})],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        return Response({"items": [head(row) for row in self.mine()[:MOST]]})


class ChainPublishItem(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=64)
    unit_fen = serializers.IntegerField(min_value=1, max_value=10**9)
    count = serializers.IntegerField(min_value=1, max_value=9_999, default=1)
    unit = serializers.CharField(max_length=8, default="个")
    aliases = serializers.ListField(child=serializers.CharField(max_length=32), max_length=10, default=list)
    piece_no = serializers.IntegerField(
        min_value=1, max_value=999, allow_null=True, default=None, help_text="a single piece; its stock is 1"
    )
    weight_grams = serializers.IntegerField(min_value=1, max_value=200_000, allow_null=True, default=None)
    photo_base64 = serializers.CharField(
        max_length=PHOTO_CHARS, allow_blank=True, default="", help_text="JPEG, PNG or WebP"
    )


class PublishView(ChainView):
    error_codes = frozenset({"409"})

    class Input(serializers.Serializer[Any]):
        title = serializers.CharField(max_length=64)
        note = serializers.CharField(max_length=1_000, allow_blank=True, default="")
        group_id = serializers.IntegerField(allow_null=True, default=None, min_value=1, max_value=2**63 - 1)
        pickup_place = serializers.CharField(max_length=128, allow_blank=True, default="")
        pickup_from = serializers.DateTimeField()
        pickup_until = serializers.DateTimeField()
        opens_at = serializers.DateTimeField()
        closes_at = serializers.DateTimeField()
        items = ChainPublishItem(many=True)

        class Meta:
            ref_name = "PublishChainOrder"

    @extend_schema(
        operation_id="publish_chain_order", tags=["groups"], summary="Publish a chain order of mine",
        description="Goods are picked up in my store. A refusal names each field in ``extra.fields``.",
        request=Input, responses={201: ChainHead},
        examples=[OpenApiExample("chain", response_only=True, status_codes=["201"], value=HEAD)],
    )  # fmt: skip
    @idempotent
    def post(self, request: Request) -> Response:
        said, caller = self.read(self.Input, request.data), self.caller
        group = Group.objects.filter(pk=said.pop("group_id"), store=caller.store_id).first()
        items = [self._item(one) for one in said.pop("items")]
        draft = chain_orders.Draft(
            **said,
            items=items,
            group=group,
            leader=Guide.objects.get(pk=caller.guide_id),
            pickup_store=Store.objects.get(pk=caller.store_id),
        )
        key = f"api {caller.guide_id} {request.headers.get(HEADER, '')[:64]}"
        return Response(head(chain_orders.publish(draft=draft, key=key, actor=request.user, now=now())), status=201)

    def _item(self, said: dict[str, Any]) -> chain_orders.DraftItem:
        photo = said.pop("photo_base64")
        aliases = tuple(said.pop("aliases"))
        if not photo:
            return chain_orders.DraftItem(**said, aliases=aliases)
        try:
            content = base64.b64decode(photo, validate=True)
            return chain_orders.DraftItem(
                **said,
                aliases=aliases,
                photo=content_files.checked(ContentFile.Kind.IMAGE, "photo.jpg", content, is_cover=True),
            )
        except ValueError as error:  # not base64, or not even ASCII
            raise serializers.ValidationError({"photo_base64": "Not base64."}) from error
        except RuleViolation as error:
            raise serializers.ValidationError({"photo_base64": error.message}) from error


class ChainPage(ChainHead):
    items = ChainOffer(many=True)
    people = ChainPersonItem(many=True)


def whole(chain: ChainOrder) -> dict[str, Any]:
    offers, people = pickup.offers(chain_id=chain.pk), pickup.standing(chain_id=chain.pk)
    return {**head(chain), "items": [offer_item(one) for one in offers], "people": [person_item(one) for one in people]}


class ChainOneView(ChainView):
    error_codes = frozenset()

    @extend_schema(
        operation_id="chain_order", tags=["groups"], summary="The live list of a chain order, with what is left and who owes what",
        responses={200: ChainPage},
        examples=[OpenApiExample("chain", response_only=True, status_codes=["200"], value={**HEAD, "items": [OFFER], "people": [PERSON]})],
    )  # fmt: skip
    def get(self, request: Request, chain_id: int) -> Response:
        return Response(whole(self.one(request, chain_id)))


class CloseView(ChainView):
    @extend_schema(
        operation_id="close_chain_order", tags=["groups"], summary="Nobody joins any more", request=None, responses={200: ChainHead},
        examples=[OpenApiExample("chain", response_only=True, status_codes=["200"], value={**HEAD, "status": "CLOSED"})],
    )  # fmt: skip
    @idempotent
    def post(self, request: Request, chain_id: int) -> Response:
        row = self.one(request, chain_id)
        chain_orders.close(chain_id=row.pk, actor=request.user, now=now())
        row.refresh_from_db()
        return Response(head(row))


class ChainWanted(serializers.Serializer[Any]):
    item_id = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    quantity = serializers.IntegerField(min_value=0, max_value=999, help_text="altogether, not one more; 0 cancels")
    was = serializers.IntegerField(min_value=0, max_value=999, help_text="what stood when it was shown")


class ChainRow(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=32, allow_blank=True)
    person_id = serializers.IntegerField(allow_null=True, default=None, min_value=1, max_value=2**63 - 1)
    mobile = serializers.CharField(max_length=20, allow_blank=True, default="")
    note = serializers.CharField(max_length=200, allow_blank=True, default="")
    wanted = ChainWanted(many=True)
    what = serializers.ChoiceField(
        choices=[pasting.NEW, pasting.CHANGES, pasting.CANCELS, pasting.SAME, pasting.FAULT], default=pasting.NEW
    )
    fault = serializers.CharField(allow_blank=True, default="")


ROW = {
    "name": "王姐", "person_id": None, "mobile": "", "note": "自提", "wanted": [{"item_id": 21, "quantity": 2, "was": 0}], "what": "NEW", "fault": "",
}  # fmt: skip


class ReadView(ChainView):
    class Input(serializers.Serializer[Any]):
        text = serializers.CharField(max_length=LONGEST, trim_whitespace=False)

        class Meta:
            ref_name = "ReadChainText"

    class Output(serializers.Serializer[Any]):
        rows = ChainRow(many=True)
        unread = serializers.ListField(
            child=serializers.CharField(), help_text="what could not be read: correct it or enter it by hand"
        )
        talk = serializers.ListField(child=serializers.CharField())
        missing = serializers.ListField(
            child=serializers.CharField(), help_text="who is in the chain and not in this text"
        )

        class Meta:
            ref_name = "ChainTextRead"

    @extend_schema(
        operation_id="read_chain_text", tags=["groups"], summary="What the group's text would do; nothing is saved", request=Input,
        responses={200: Output},
        examples=[OpenApiExample("read", response_only=True, status_codes=["200"], value={"rows": [ROW], "unread": ["5. 钱姐 西瓜1个"], "talk": [], "missing": []})],
    )  # fmt: skip
    @idempotent
    def post(self, request: Request, chain_id: int) -> Response:
        plan = pasting.plan(chain=self.one(request, chain_id), text=self.read(self.Input, request.data)["text"])
        rows = [
            {
                "name": row.name, "person_id": row.person_id, "mobile": row.mobile, "note": row.note, "what": row.what, "fault": row.fault,
                "wanted": [{"item_id": one.item_id, "quantity": one.quantity, "was": one.was} for one in row.wanted],
            }
            for row in plan.rows
        ]  # fmt: skip
        return Response({"rows": rows, "unread": plan.unread, "talk": plan.talk, "missing": plan.missing})


class LinesView(ChainView):
    class Input(serializers.Serializer[Any]):
        rows = ChainRow(many=True)

        class Meta:
            ref_name = "SaveChainLines"

    class Output(serializers.Serializer[Any]):
        saved = serializers.IntegerField()
        refused = serializers.ListField(child=serializers.DictField())
        chain = ChainPage()

        class Meta:
            ref_name = "ChainLinesSaved"

    @extend_schema(
        operation_id="save_chain_lines", tags=["groups"], summary="Save lines as they were shown and corrected",
        description="Each row by itself: one that cannot be had (``refused``: name and message) leaves the others saved.",
        request=Input, responses={200: Output},
        examples=[OpenApiExample("saved", response_only=True, status_codes=["200"], value={
            "saved": 1, "refused": [{"name": "老周", "message": "“猫山王榴莲”只剩 1，您要 2。"}], "chain": {**HEAD, "items": [OFFER], "people": [PERSON]}})],
    )  # fmt: skip
    @idempotent
    def post(self, request: Request, chain_id: int) -> Response:
        row = self.one(request, chain_id)
        rows = [
            pasting.Row(
                said["name"], tuple(pasting.Wanted(**one) for one in said["wanted"]), said["note"], said["mobile"], said["what"],
                person_id=said["person_id"],
            )
            for said in self.read(self.Input, request.data)["rows"][: pasting.MOST_ROWS]
        ]  # fmt: skip
        saved = pasting.save(chain_id=row.pk, rows=rows, actor=request.user, now=now())
        refused = [{"name": one.name, "message": why} for one, why in saved.refused]
        return Response({"saved": saved.saved, "refused": refused, "chain": whole(row)})


class PayView(ChainView):
    class Input(serializers.Serializer[Any]):
        kind = serializers.ChoiceField(choices=ChainPayment.Kind.choices)
        amount_fen = serializers.IntegerField(min_value=0, max_value=10**12, help_text="what she was asked for")
        order_no = serializers.CharField(max_length=64, allow_blank=True, default="")

        class Meta:
            ref_name = "PayChainOrder"

    @extend_schema(
        operation_id="pay_chain_order", tags=["groups"], summary="She has paid all that is not paid", request=Input, responses={200: ChainPersonItem},
        examples=[OpenApiExample("person", response_only=True, status_codes=["200"], value={**PERSON, "state": "PAID", "state_text": "已付款", "due_fen": 0, "paid_fen": 53_600})],
    )  # fmt: skip
    @idempotent
    def post(self, request: Request, chain_id: int, person_id: int) -> Response:
        row = self.one(request, chain_id)
        if not pickup.standing(chain_id=row.pk, person_id=person_id):
            raise NotFound
        chain_orders.pay(person_id=person_id, actor=request.user, now=now(), **self.read(self.Input, request.data))
        return Response(person_item(pickup.standing(chain_id=row.pk, person_id=person_id)[0]))


class RefundView(ChainView):
    class Input(serializers.Serializer[Any]):
        reason = serializers.CharField(max_length=200)

        class Meta:
            ref_name = "RefundChainLine"

    @extend_schema(
        operation_id="refund_chain_line", tags=["groups"], summary="A paid line goes back: its money, and its goods into stock, once",
        request=Input, responses={200: ChainPersonItem},
        examples=[OpenApiExample("person", response_only=True, status_codes=["200"], value={**PERSON, "state": "REFUNDED", "state_text": "已退款", "due_fen": 0})],
    )  # fmt: skip
    @idempotent
    def post(self, request: Request, chain_id: int, line_id: int) -> Response:
        row = self.one(request, chain_id)
        line = ChainLine.objects.filter(pk=line_id, person__chain=row).first()
        if line is None:
            raise NotFound
        chain_orders.refund(
            line_id=line.pk, actor=request.user, now=now(), reason=self.read(self.Input, request.data)["reason"]
        )
        return Response(person_item(pickup.standing(chain_id=row.pk, person_id=line.person_id)[0]))


class RedeemView(ChainView):
    class Input(serializers.Serializer[Any]):
        code = serializers.CharField(max_length=16)

        class Meta:
            ref_name = "RedeemChainCode"

    @extend_schema(
        operation_id="redeem_chain_code", tags=["groups"], summary="Hand over, by her verification code, what is picked up in my store",
        request=Input, responses={200: ChainPersonItem},
        examples=[OpenApiExample("person", response_only=True, status_codes=["200"], value={**PERSON, "state": "PICKED_UP", "state_text": "已提货", "due_fen": 0, "paid_fen": 53_600})],
    )  # fmt: skip
    @idempotent
    def post(self, request: Request) -> Response:
        code = self.read(self.Input, request.data)["code"]
        person = chain_orders.redeem(code=code, store_ids=self.caller.store_ids, actor=request.user, now=now())
        return Response(person_item(pickup.standing(chain_id=person.chain_id, person_id=person.pk)[0]))
