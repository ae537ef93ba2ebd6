"""Stock that community sales share (社群库存): what is there, who holds a part of it, and each change of it."""

from __future__ import annotations

from typing import ClassVar

import pgtrigger
from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from campaigns.models import stock_triggers as sql
from guides.models import Guide, Share
from members.models import Member, Product
from scrm.db import AppendOnlyModel
from scrm.models import Store
from scrm.money import FenField

MOST_BUCKETS = 64


class StockItem(models.Model):
    """One thing that is sold until it is gone; several sales may name it. Without a window it sells while its sales say so."""

    name = models.CharField(_("name"), max_length=64)
    product = models.ForeignKey(
        Product, models.PROTECT, verbose_name=_("product"), null=True, db_index=False, related_name="+"
    )
    opens_at = models.DateTimeField(_("on sale from"), null=True)
    closes_at = models.DateTimeField(_("on sale until"), null=True)
    stopped_at = models.DateTimeField(_("stopped at"), null=True)
    member_cap = models.PositiveIntegerField(
        _("at most per person"), null=True, validators=[MinValueValidator(1)], help_text=_("Empty: no cap")
    )
    hold_minutes = models.PositiveSmallIntegerField(
        _("minutes to pay"), null=True, validators=[MinValueValidator(1)], help_text=_("Empty: held until somebody ends it")
    )  # fmt: skip
    bucket_count = models.PositiveSmallIntegerField(
        _("stock buckets"), default=1, validators=[MinValueValidator(1), MaxValueValidator(MOST_BUCKETS)]
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now())

    class Meta:
        verbose_name = _("stock item")
        verbose_name_plural = _("stock items")
        constraints = (
            models.CheckConstraint(
                name="stock_window",
                condition=Q(opens_at=None) | Q(closes_at=None) | Q(closes_at__gt=F("opens_at")),
            ),
            models.CheckConstraint(name="stock_caps", condition=Q(member_cap=None) | Q(member_cap__gte=1)),
            models.CheckConstraint(
                name="stock_buckets", condition=Q(bucket_count__gte=1, bucket_count__lte=MOST_BUCKETS)
            ),
        )
        triggers: ClassVar[tuple[pgtrigger.Trigger, ...]] = (
            pgtrigger.Protect(name="item_stays", operation=pgtrigger.Delete),
            pgtrigger.Trigger(name="item_keeps_cap", when=pgtrigger.Before, operation=pgtrigger.Update, func=sql.ITEM_STAYS),
        )  # fmt: skip

    def __str__(self) -> str:
        return self.name


class StockBucket(models.Model):
    """A part of an item's stock in one store (null: of the company). Triggers move it with each reservation."""

    item = models.ForeignKey(
        StockItem, models.PROTECT, verbose_name=_("stock item"), related_name="buckets", db_index=False
    )
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, related_name="+", db_index=False
    )
    number = models.PositiveSmallIntegerField(default=0)
    is_open = models.BooleanField(default=True)  # here, not at the item: whoever waits for the row sees the stop
    total_count = models.IntegerField(_("stock"), default=0)
    left_count = models.IntegerField(_("left"), default=0)
    reserved_count = models.IntegerField(_("reserved"), default=0)
    sold_count = models.IntegerField(_("sold"), default=0)

    class Meta:
        verbose_name = _("stock")
        verbose_name_plural = _("stock")
        constraints = (
            models.UniqueConstraint(
                name="stock_bucket_once", fields=["item", "store", "number"], nulls_distinct=False
            ),
            models.CheckConstraint(name="stock_left", condition=Q(left_count__gte=0)),  # K6
            models.CheckConstraint(
                name="stock_balance",  # K6
                condition=Q(
                    total_count=F("left_count") + F("reserved_count") + F("sold_count"),
                    reserved_count__gte=0,
                    sold_count__gte=0,
                ),
            ),
        )  # fmt: skip
        triggers: ClassVar[tuple[pgtrigger.Trigger, ...]] = (
            pgtrigger.Protect(name="bucket_stays", operation=pgtrigger.Delete),
        )

    def __str__(self) -> str:
        return f"{self.item_id}/{self.store_id}/{self.number}"


class StockChange(AppendOnlyModel):
    """Stock put in (positive) or taken out (补货、撤货)."""

    item = models.ForeignKey(
        StockItem, models.PROTECT, verbose_name=_("stock item"), related_name="changes", db_index=False
    )
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, related_name="+", db_index=False
    )
    key = models.CharField(max_length=96, unique=True)
    change_count = models.IntegerField(_("change"))
    reason = models.CharField(_("reason"), max_length=200)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("by"), null=True, related_name="+", db_index=False
    )
    at = models.DateTimeField(_("at"), db_default=Now())

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("change of stock")
        verbose_name_plural = _("changes of stock")
        constraints = (models.CheckConstraint(name="stock_change_some", condition=~Q(change_count=0)),)
        indexes = (models.Index(fields=["item", "-id"], name="stock_change_item"),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.item_id} {self.change_count:+d}"


class StockBuyer(models.Model):
    """How many of an item with a cap somebody has taken and not given back; triggers count it."""

    item = models.ForeignKey(StockItem, models.PROTECT, related_name="+", db_index=False, db_constraint=False)
    buyer = models.CharField(max_length=96)
    cap_count = models.PositiveIntegerField()
    taken_count = models.IntegerField()

    class Meta:
        verbose_name = _("buyer of a stock item")
        verbose_name_plural = _("buyers of stock items")
        constraints = (
            models.UniqueConstraint(name="stock_buyer_once", fields=["item", "buyer"]),
            models.CheckConstraint(
                name="stock_member_cap", condition=Q(taken_count__gte=0, taken_count__lte=F("cap_count"))
            ),
        )
        triggers: ClassVar[tuple[pgtrigger.Trigger, ...]] = (
            pgtrigger.Protect(name="buyer_stays", operation=pgtrigger.Delete),
        )

    def __str__(self) -> str:
        return f"{self.item_id}/{self.buyer}"


class Reservation(models.Model):
    """A part of a stock that somebody holds, has bought or gave back. Its key names the fact that asked for it."""

    class Status(models.TextChoices):
        HELD = "HELD", _("waiting for payment")
        SOLD = "SOLD", _("paid")
        RELEASED = "RELEASED", _("cancelled")
        EXPIRED = "EXPIRED", _("not paid in time")
        RETURNED = "RETURNED", _("refunded, back in stock")

    key = models.CharField(max_length=96)
    content_hash = models.CharField(max_length=64)
    # no foreign keys in the database where the trigger proves the same: a check would lock the hot row once more
    item = models.ForeignKey(
        StockItem, models.PROTECT, verbose_name=_("stock item"), related_name="reservations", db_index=False, db_constraint=False
    )  # fmt: skip
    bucket = models.ForeignKey(StockBucket, models.PROTECT, related_name="+", db_index=False, db_constraint=False)
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, related_name="+", db_index=False, db_constraint=False
    )
    buyer = models.CharField(_("buyer"), max_length=96)  # as caps count: "member 12", or who else it is
    member = models.ForeignKey(
        Member,
        models.PROTECT,
        verbose_name=_("member"),
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    quantity = models.PositiveIntegerField(_("quantity"))
    returned_count = models.PositiveIntegerField(_("given back"), default=0)
    unit_fen = FenField(_("price"), null=True)
    status = models.CharField(_("state"), max_length=8, choices=Status)
    guide = models.ForeignKey(  # who brought the buyer
        Guide, models.PROTECT, verbose_name=_("guide"), null=True, related_name="+", db_index=False
    )
    share = models.ForeignKey(Share, models.PROTECT, null=True, related_name="+", db_index=False)
    channel = models.CharField(_("channel"), max_length=24, blank=True, db_default="")
    shop = models.CharField(_("shop"), max_length=64, blank=True, db_default="")
    order_no = models.CharField(_("order no."), max_length=64, blank=True, db_default="")
    held_at = models.DateTimeField(_("reserved at"))
    until = models.DateTimeField(_("held until"), null=True)
    paid_at = models.DateTimeField(_("paid at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("reservation")
        verbose_name_plural = _("reservations")
        constraints = (
            models.UniqueConstraint(
                name="reservation_once", fields=["key"]
            ),  # without the second index of a unique text
            models.UniqueConstraint(  # an order pays for one reservation of an item
                name="reservation_order_once",
                fields=["order_no", "channel", "shop", "item"],
                condition=~Q(order_no=""),
            ),
            models.CheckConstraint(
                name="reservation_counts",
                condition=Q(quantity__gte=1, returned_count__lte=F("quantity"))
                & (
                    Q(status="RETURNED", returned_count=F("quantity"))
                    | Q(status="SOLD", returned_count__lt=F("quantity"))
                    | Q(status__in=["HELD", "RELEASED", "EXPIRED"], returned_count=0)
                ),
            ),
            models.CheckConstraint(
                name="reservation_times",
                condition=Q(status="HELD", paid_at=None, ended_at=None)
                | Q(status="SOLD", paid_at__isnull=False, ended_at=None)
                | Q(status__in=["RELEASED", "EXPIRED"], paid_at=None, ended_at__isnull=False)
                | Q(status="RETURNED", paid_at__isnull=False, ended_at__isnull=False),
            ),
        )
        indexes = (
            models.Index(fields=["until"], name="reservation_due", condition=Q(status="HELD", until__isnull=False)),
            models.Index(fields=["item", "-id"], name="reservation_item"),
            models.Index(fields=["member", "-id"], name="reservation_member", condition=Q(member__isnull=False)),
            models.Index(  # those whose order is to be looked for
                fields=["held_at"],
                name="reservation_awaits",
                condition=~Q(order_no="") & Q(status__in=["HELD", "RELEASED", "EXPIRED"]),
            ),
        )
        triggers: ClassVar[tuple[pgtrigger.Trigger, ...]] = (
            pgtrigger.Protect(name="reservation_stays", operation=pgtrigger.Delete),
            pgtrigger.Trigger(name="moves", when=pgtrigger.Before, operation=pgtrigger.Update, func=sql.MOVES),
            pgtrigger.Trigger(name="take_stock", when=pgtrigger.After, operation=pgtrigger.Insert, func=sql.TAKE_STOCK),
            pgtrigger.Trigger(
                name="follow_moves", level=pgtrigger.Statement, when=pgtrigger.After, operation=pgtrigger.Update,
                referencing=pgtrigger.Referencing(old="old_rows", new="new_rows"), func=sql.FOLLOW_MOVES,
            ),
        )  # fmt: skip

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"#{self.pk}"
