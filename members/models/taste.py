"""Taste (口味): attributes of products from 0 to 10, and what members like by what they bought."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from members.models.identity import Member
from members.models.products import Product
from scrm import org

HIGHEST = 10


class TasteAttribute(models.Model):
    """What products differ in (口味属性): sweet, crisp, sour. ``words`` say a product that has much of it."""

    name = models.CharField(_("name"), max_length=16, unique=True)
    words = models.CharField(
        _("said when high"), max_length=16, help_text=_("How a product with 7 to 10 is described, for example 很甜")
    )
    low_words = models.CharField(
        _("said when low"), max_length=16, blank=True,
        help_text=_("How a product with 0 to 3 is described, for example 不酸; empty: a low value is not worth a word"),
    )  # fmt: skip
    position = models.PositiveSmallIntegerField(_("position"), default=1)
    is_active = models.BooleanField(_("active"), default=True)

    class Meta:
        verbose_name = _("taste attribute")
        verbose_name_plural = _("taste attributes")

    def __str__(self) -> str:
        return self.name


class ProductAttribute(models.Model):
    """How much of an attribute a product has."""

    product = models.ForeignKey(
        Product, models.CASCADE, verbose_name=_("product"), related_name="attributes", db_index=False
    )
    attribute = models.ForeignKey(TasteAttribute, models.CASCADE, verbose_name=_("taste attribute"))
    value = models.PositiveSmallIntegerField(_("value, 0 to 10"))

    class Meta:
        verbose_name = _("attribute of a product")
        verbose_name_plural = _("attributes of products")
        constraints = (
            models.UniqueConstraint(name="product_attribute_once", fields=["product", "attribute"]),
            models.CheckConstraint(
                name="product_attribute_range", condition=Q(value__gte=0, value__lte=HIGHEST),
                violation_error_message=_("A value lies between 0 and 10."),
            ),
        )  # fmt: skip

    def __str__(self) -> str:
        return f"{self.product_id} {self.attribute_id} {self.value}"


class MemberTaste(models.Model):
    """What a member bought, summed by attribute: ``total`` of the values of ``weight`` purchases. Written by ``members.taste``."""

    member = models.ForeignKey(
        Member, models.CASCADE, verbose_name=_("member"), db_index=False, db_constraint=False, related_name="+"
    )
    attribute = models.ForeignKey(
        TasteAttribute, models.CASCADE, verbose_name=_("taste attribute"), db_index=False, db_constraint=False, related_name="+",
    )  # fmt: skip
    weight = models.IntegerField(_("purchases"))
    total = models.IntegerField(_("sum of values"))

    class Meta:
        verbose_name = _("taste of a member")
        verbose_name_plural = _("tastes of members")
        constraints = (models.UniqueConstraint(name="member_taste_once", fields=["member", "attribute"]),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("member", Member, store_ids)

    def __str__(self) -> str:
        return f"{self.member_id} {self.attribute_id}"


class ProductPopularity(models.Model):
    """How many members bought a product in the last year, and how many of them again (商品热度)."""

    product = models.OneToOneField(
        Product,
        models.CASCADE,
        primary_key=True,
        verbose_name=_("product"),
        related_name="popularity",
        db_constraint=False,
    )
    buyer_count = models.IntegerField(_("buyers"))
    repeat_count = models.IntegerField(_("bought it again"))

    class Meta:
        verbose_name = _("popularity of a product")
        verbose_name_plural = _("popularity of products")

    def __str__(self) -> str:
        return f"{self.product_id} {self.buyer_count}"


class TasteScale(models.Model):
    """Mean and spread of an attribute over all purchases (口味标尺): what "more than others" is measured against."""

    attribute = models.OneToOneField(
        TasteAttribute, models.CASCADE, primary_key=True, verbose_name=_("taste attribute"), related_name="scale"
    )
    mean = models.FloatField(_("mean"))
    spread = models.FloatField(_("standard deviation"))
    attributes_digest = models.CharField(max_length=32)  # of all attributes of products when tastes were last summed
    counted_at = models.DateTimeField(_("counted at"))

    class Meta:
        verbose_name = _("scale of an attribute")
        verbose_name_plural = _("scales of attributes")

    def __str__(self) -> str:
        return f"{self.attribute_id} {self.mean:.2f}"
