"""Sales to communities (秒杀、拼团): one product at a price, in a window, with stock by store."""

from __future__ import annotations

from typing import ClassVar

import pgtrigger
from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from campaigns.models.groups import Group
from campaigns.models.stock import MOST_BUCKETS, Reservation, StockItem
from members.models import Product
from scrm.models import Brand, Store
from scrm.money import FenField

MOST_HOLD = 120  # minutes
MOST_TEAM, MOST_TEAM_HOURS = 50, 72

# What was agreed to is what is sold; a published sale only stops.
AGREED_STAYS = """
    IF OLD.status IN ('PUBLISHED', 'STOPPED')
       AND (to_jsonb(NEW) - ARRAY['status','stopped_at','stopped_by_id','stop_reason'])
       IS DISTINCT FROM (to_jsonb(OLD) - ARRAY['status','stopped_at','stopped_by_id','stop_reason'])
       OR OLD.status = 'ASKED' AND NEW.status = 'PUBLISHED'
       AND (to_jsonb(NEW) - ARRAY['status','approver_id','published_at','stock_item_id'])
       IS DISTINCT FROM (to_jsonb(OLD) - ARRAY['status','approver_id','published_at','stock_item_id'])
       OR (OLD.status || '>' || NEW.status) NOT IN ('DRAFT>DRAFT', 'DRAFT>ASKED', 'ASKED>ASKED', 'ASKED>DRAFT', 'ASKED>PUBLISHED',
        'PUBLISHED>PUBLISHED', 'PUBLISHED>STOPPED', 'STOPPED>STOPPED') THEN
        RAISE EXCEPTION 'a published sale only stops' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""
PLAN_STAYS = """
    IF EXISTS (SELECT 1 FROM campaigns_sale s WHERE s.id = OLD.sale_id AND s.status <> 'DRAFT') THEN
        RAISE EXCEPTION 'what was asked for stays' USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
"""


class Sale(models.Model):
    """A flash sale, or a group buy of teams of ``team_size``. Its price was agreed to by a second person."""

    class Kind(models.TextChoices):
        FLASH = "FLASH", _("flash sale")
        GROUP = "GROUP", _("group buy")

    class Status(models.TextChoices):
        DRAFT = "DRAFT", _("draft")
        ASKED = "ASKED", _("waiting for approval")
        PUBLISHED = "PUBLISHED", _("published")
        STOPPED = "STOPPED", _("stopped")

    kind = models.CharField(_("kind"), max_length=5, choices=Kind)
    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), db_index=False, related_name="+")
    name = models.CharField(_("name"), max_length=64)
    terms = models.CharField(_("terms for the customer"), max_length=500, blank=True)
    product = models.ForeignKey(Product, models.PROTECT, verbose_name=_("product"), db_index=False, related_name="+")
    list_fen = FenField(_("usual price"), validators=[MinValueValidator(1)])
    price_fen = FenField(_("sale price"), validators=[MinValueValidator(1)])
    starts_at = models.DateTimeField(_("on sale from"))
    ends_at = models.DateTimeField(_("on sale until"))
    member_cap = models.PositiveIntegerField(
        _("at most per member"), default=1, validators=[MinValueValidator(1), MaxValueValidator(1_000)]
    )
    hold_minutes = models.PositiveSmallIntegerField(
        _("minutes to pay"), default=15, validators=[MinValueValidator(1), MaxValueValidator(MOST_HOLD)]
    )
    bucket_count = models.PositiveSmallIntegerField(
        _("stock buckets"), default=1, validators=[MinValueValidator(1), MaxValueValidator(MOST_BUCKETS)],
        help_text=_("8 for a rush of many hundreds a second; otherwise 1"),
    )  # fmt: skip
    returns_stock = models.BooleanField(
        _("refunds go back on sale"), default=True, help_text=_("Off: what is refunded is not sold again")
    )
    team_size = models.PositiveSmallIntegerField(
        _("people of a team"), null=True, validators=[MinValueValidator(2), MaxValueValidator(MOST_TEAM)]
    )
    team_hours = models.PositiveSmallIntegerField(
        _("hours to fill a team"), null=True, validators=[MinValueValidator(1), MaxValueValidator(MOST_TEAM_HOURS)]
    )
    status = models.CharField(_("state"), max_length=9, choices=Status, default=Status.DRAFT)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("drafted by"), related_name="+", db_index=False
    )
    asked_at = models.DateTimeField(_("asked at"), null=True)
    approver = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        verbose_name=_("approved by"),
        null=True,
        related_name="+",
        db_index=False,
    )
    published_at = models.DateTimeField(_("published at"), null=True)
    stopped_at = models.DateTimeField(_("stopped at"), null=True)
    stopped_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        verbose_name=_("stopped by"),
        null=True,
        related_name="+",
        db_index=False,
    )
    stop_reason = models.CharField(_("reason of the stop"), max_length=200, blank=True)
    stock_item = models.OneToOneField(
        StockItem, models.PROTECT, verbose_name=_("stock item"), null=True, related_name="sale"
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now())

    class Meta:
        verbose_name = _("flash sale or group buy")
        verbose_name_plural = _("flash sales and group buys")
        constraints = (
            models.CheckConstraint(name="sale_window", condition=Q(ends_at__gt=F("starts_at"))),
            models.CheckConstraint(name="sale_price", condition=Q(price_fen__gte=1, price_fen__lte=F("list_fen"))),
            models.CheckConstraint(
                name="sale_team",
                condition=Q(kind="FLASH", team_size=None, team_hours=None)
                | Q(kind="GROUP", team_size__gte=2, team_size__lte=MOST_TEAM, team_hours__gte=1),
            ),
            models.CheckConstraint(
                name="sale_four_eyes",
                condition=Q(status__in=["DRAFT", "ASKED"], approver=None, stock_item=None)
                | Q(status__in=["PUBLISHED", "STOPPED"], approver__isnull=False, stock_item__isnull=False)
                & ~Q(author=F("approver")),
            ),
            models.CheckConstraint(
                name="sale_stopped",
                condition=Q(status="STOPPED", stopped_at__isnull=False) | ~Q(status="STOPPED") & Q(stopped_at=None),
            ),
        )
        indexes = (models.Index(fields=["ends_at"], name="sale_running", condition=Q(status="PUBLISHED")),)
        triggers: ClassVar[tuple[pgtrigger.Trigger, ...]] = (
            pgtrigger.Protect(name="sale_stays", operation=pgtrigger.Delete),
            pgtrigger.Trigger(name="agreed_stays", when=pgtrigger.Before, operation=pgtrigger.Update, func=AGREED_STAYS),
        )  # fmt: skip

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        """Whoever sees one of its stores sees the sale."""
        return Q(pk__in=SaleStock.objects.filter(store__in=store_ids).values("sale"))

    def __str__(self) -> str:
        return self.name


class SaleStock(models.Model):
    """How many a store is to have when the sale is published."""

    sale = models.ForeignKey(Sale, models.PROTECT, related_name="planned_stock", db_index=False)
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), related_name="+", db_index=False)
    planned_count = models.PositiveIntegerField(_("stock"), validators=[MinValueValidator(1)])

    class Meta:
        verbose_name = _("stock of a sale")
        verbose_name_plural = _("stock of sales")
        constraints = (
            models.UniqueConstraint(name="sale_stock_once", fields=["sale", "store"]),
            models.CheckConstraint(name="sale_stock_some", condition=Q(planned_count__gte=1)),
        )
        indexes = (models.Index(fields=["store", "-sale"], name="sale_stock_store"),)
        triggers: ClassVar[tuple[pgtrigger.Trigger, ...]] = (
            pgtrigger.Trigger(
                name="plan_stays", when=pgtrigger.Before, operation=pgtrigger.Update | pgtrigger.Delete, func=PLAN_STAYS
            ),
        )

    def __str__(self) -> str:
        return f"{self.sale_id}/{self.store_id}"


class SaleGroup(models.Model):
    """A customer group whose people alone may buy; a sale without any is for every member."""

    sale = models.ForeignKey(Sale, models.PROTECT, related_name="only_groups", db_index=False)
    group = models.ForeignKey(Group, models.PROTECT, verbose_name=_("customer group"), related_name="+")

    class Meta:
        verbose_name = _("group of a sale")
        verbose_name_plural = _("groups of sales")
        constraints = (models.UniqueConstraint(name="sale_group_once", fields=["sale", "group"]),)

    def __str__(self) -> str:
        return f"{self.sale_id}/{self.group_id}"


REFUND_MOVES = """
    IF (to_jsonb(NEW) - ARRAY['status','taken_until','taken_by','refund_no','done_at','done_by_id'])
       IS DISTINCT FROM (to_jsonb(OLD) - ARRAY['status','taken_until','taken_by','refund_no','done_at','done_by_id'])
       OR OLD.status = 'DONE'
       OR (OLD.status || '>' || NEW.status) NOT IN ('DUE>TAKEN', 'TAKEN>TAKEN', 'TAKEN>DUE', 'DUE>DONE', 'TAKEN>DONE') THEN
        RAISE EXCEPTION 'a refund is carried out once' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""


class SaleRefund(models.Model):
    """Money that goes back to somebody who paid and gets nothing (应退款). One reservation has one at most, and it is done once."""

    class Reason(models.TextChoices):
        TEAM_FAILED = "TEAM_FAILED", _("the team was not complete in time")
        PAID_LATE = "PAID_LATE", _("paid after its time, nothing left")

    class Status(models.TextChoices):
        DUE = "DUE", _("to be refunded")
        TAKEN = "TAKEN", _("being refunded by the shop")
        DONE = "DONE", _("refunded")

    reservation = models.OneToOneField(Reservation, models.PROTECT, related_name="refund")
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, related_name="+", db_index=False
    )
    channel = models.CharField(_("channel"), max_length=24)
    shop = models.CharField(_("shop"), max_length=64, blank=True)
    order_no = models.CharField(_("order no."), max_length=64)
    amount_fen = FenField(_("amount"))
    reason = models.CharField(_("reason"), max_length=12, choices=Reason)
    status = models.CharField(_("state"), max_length=5, choices=Status, default=Status.DUE, db_default=Status.DUE)
    due_at = models.DateTimeField(_("due since"), db_default=Now())
    taken_by = models.CharField(max_length=64, blank=True, db_default="")
    taken_until = models.DateTimeField(null=True)
    refund_no = models.CharField(_("refund no."), max_length=64, blank=True, db_default="")
    done_at = models.DateTimeField(_("refunded at"), null=True)
    done_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("by"), null=True, related_name="+", db_index=False
    )

    class Meta:
        verbose_name = _("refund of a sale")
        verbose_name_plural = _("refunds of sales")
        constraints = (
            models.CheckConstraint(
                name="sale_refund_done",
                condition=Q(status="DONE", done_at__isnull=False) & ~Q(refund_no="")
                | ~Q(status="DONE") & Q(done_at=None, refund_no=""),
            ),
            models.CheckConstraint(name="sale_refund_amount", condition=Q(amount_fen__gte=0)),
        )
        indexes = (models.Index(fields=["channel", "id"], name="sale_refund_open", condition=~Q(status="DONE")),)
        triggers: ClassVar[tuple[pgtrigger.Trigger, ...]] = (
            pgtrigger.Protect(name="refund_stays", operation=pgtrigger.Delete),
            pgtrigger.Trigger(name="refund_moves", when=pgtrigger.Before, operation=pgtrigger.Update, func=REFUND_MOVES),
        )  # fmt: skip

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"#{self.pk}"
