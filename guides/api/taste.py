"""What one of my members likes and what to offer her next; what is like a product."""

from __future__ import annotations

import datetime as dt
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from attribution import queries as attribution
from guides import queries
from guides.api.base import GuideView, business_day, now
from guides.api.members import LINES_READ
from members import offers, taste
from members.models import Product
from scrm.api import throttles


class ShareOutput(serializers.Serializer[Any]):
    name = serializers.CharField()
    value = serializers.IntegerField(help_text="of the product that was asked about, or that she bought")
    other = serializers.IntegerField(help_text="of the other product")

    class Meta:
        ref_name = "SharedAttribute"


class OffersView(GuideView):
    throttle_classes = (throttles.MissThrottle,)

    class Output(serializers.Serializer[Any]):
        class LikeOutput(serializers.Serializer[Any]):
            name = serializers.CharField()
            word = serializers.CharField()
            hers = serializers.FloatField(help_text="0 to 10")
            everybodys = serializers.FloatField(help_text="0 to 10")

            class Meta:
                ref_name = "TasteLean"

        class OfferOutput(serializers.Serializer[Any]):
            sku = serializers.CharField()
            name = serializers.CharField()
            words = serializers.ListField(child=serializers.CharField(), help_text="what she likes and the product has")
            sentence = serializers.CharField(allow_blank=True, help_text="may be sent to her; empty without such words")
            like = serializers.CharField(allow_blank=True, help_text="the product she bought that it is like")
            like_shares = ShareOutput(many=True)
            buyer_count = serializers.IntegerField(help_text="members who bought it in a year")
            bought_count = serializers.IntegerField(help_text="days on which she bought it")
            last_on = serializers.DateField(allow_null=True)

            class Meta:
                ref_name = "Offer"

        is_known = serializers.BooleanField(help_text="false: too few purchases, best-sellers are offered")
        purchase_count = serializers.IntegerField(
            help_text="of products with taste attributes, as far as I may see them"
        )
        needed_count = serializers.IntegerField()
        likes = LikeOutput(many=True, help_text="the clearest first; empty: no attribute stands out")
        offers = OfferOutput(many=True)

        class Meta:
            ref_name = "Offers"

    @extend_schema(
        operation_id="offers",
        tags=["members"],
        summary="What she likes and what to offer her",
        description=(
            "From what she bought as far as I may see it, by the taste attributes of the products. Below three such purchases "
            "nothing is said of her taste. Whether my store has a product today is not known here."
        ),
        responses={200: Output},
        examples=[
            OpenApiExample("known", response_only=True, status_codes=["200"], value={
                "is_known": True, "purchase_count": 6, "needed_count": 3,
                "likes": [{"name": "香气", "word": "香气浓", "hers": 7.4, "everybodys": 5.9}],
                "offers": [{
                    "sku": "F0003", "name": "猫山王榴莲", "words": ["香气浓"], "sentence": "您常买的多是香气浓的，这款也是", "like": "金枕榴莲",
                    "like_shares": [{"name": "甜度", "value": 9, "other": 10}], "buyer_count": 1204, "bought_count": 0, "last_on": None,
                }],
            }),
            OpenApiExample("too little", response_only=True, status_codes=["200"], value={
                "is_known": False, "purchase_count": 1, "needed_count": 3, "likes": [],
                "offers": [{
                    "sku": "F0012", "name": "麒麟西瓜", "words": [], "sentence": "", "like": "", "like_shares": [], "buyer_count": 5210,
                    "bought_count": 1, "last_on": "2026-11-02",
                }],
            }),
        ],
    )  # fmt: skip
    def get(self, request: Request, member_id: int) -> Response:
        caller, today = self.caller, business_day(now())
        if not queries.visible_members(caller).filter(pk=member_id).exists():
            throttles.MissThrottle.missed(request)
            raise NotFound
        lines = attribution.purchases_of(
            member_id=member_id, store_ids=caller.store_ids, since=today - dt.timedelta(days=queries.PURCHASE_DAYS), today=today,
            limit=LINES_READ,
        )  # fmt: skip
        advice = offers.advise(bought=[_bought(line) for line in lines if _is_kept(line)])
        return Response(
            {
                "is_known": advice.is_known, "purchase_count": advice.purchase_count, "needed_count": advice.needed_count,
                "likes": [_lean(one) for one in advice.leans], "offers": [_offer(one) for one in advice.offers],
            }
        )  # fmt: skip


class AlikeView(GuideView):
    throttle_classes = (throttles.MissThrottle,)

    class Output(serializers.Serializer[Any]):
        class NeighbourOutput(serializers.Serializer[Any]):
            sku = serializers.CharField()
            name = serializers.CharField()
            words = serializers.CharField(allow_blank=True)
            shared = ShareOutput(many=True)
            points_apart = serializers.FloatField()
            buyer_count = serializers.IntegerField(help_text="members who bought it in a year")

            class Meta:
                ref_name = "AlikeProduct"

        is_known = serializers.BooleanField(help_text="false: the product has too few taste attributes")
        attribute_count = serializers.IntegerField()
        needed_count = serializers.IntegerField()
        items = NeighbourOutput(many=True, help_text="the nearest first, at most 10")

        class Meta:
            ref_name = "AlikeProducts"

    @extend_schema(
        operation_id="alike_products",
        tags=["members"],
        summary="People who like this also like",
        description="By taste attributes: at least three in common, at most 2.5 points apart on the average.",
        responses={200: Output},
        examples=[
            OpenApiExample("alike", response_only=True, status_codes=["200"], value={
                "is_known": True, "attribute_count": 5, "needed_count": 3,
                "items": [{
                    "sku": "F0003", "name": "猫山王榴莲", "words": "很甜、香气浓、不酸", "points_apart": 0.6, "buyer_count": 1204,
                    "shared": [{"name": "甜度", "value": 9, "other": 10}],
                }],
            }),
        ],
    )  # fmt: skip
    def get(self, request: Request, sku: str) -> Response:
        product = Product.objects.filter(sku=sku).first()
        if product is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        near = offers.near_to(product_id=product.pk)
        items = [
            {
                "sku": one.sku, "name": one.name, "words": one.words, "points_apart": round(one.apart, 2), "buyer_count": one.buyer_count,
                "shared": [_share(share) for share in one.shared],
            }
            for one in near.found
        ]  # fmt: skip
        return Response(
            {
                "is_known": near.is_known, "attribute_count": near.attribute_count, "needed_count": taste.ALIKE_ATTRIBUTES, "items": items,
            }
        )  # fmt: skip


def _is_kept(line: dict[str, Any]) -> bool:
    return bool(line["refunded_fen"] < line["paid_fen"] or line["paid_fen"] == 0)


def _bought(line: dict[str, Any]) -> tuple[str, dt.date]:
    at = line["paid_at"]
    return line["sku"], business_day(at if isinstance(at, dt.datetime) else dt.datetime.fromisoformat(at))


def _lean(one: offers.Lean) -> dict[str, Any]:
    return {"name": one.name, "word": one.word, "hers": round(one.hers, 2), "everybodys": round(one.everybodys, 2)}


def _share(one: offers.Share) -> dict[str, Any]:
    return {"name": one.name, "value": one.value, "other": one.other}


def _offer(one: offers.Offer) -> dict[str, Any]:
    return {
        "sku": one.sku, "name": one.name, "words": list(one.words), "sentence": one.sentence, "like": one.like,
        "like_shares": [_share(share) for share in one.like_shares], "buyer_count": one.buyer_count,
        "bought_count": one.bought_count, "last_on": one.last_on,
    }  # fmt: skip
