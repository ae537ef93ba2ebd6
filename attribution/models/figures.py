"""Figures per store and day (门店日报): what the dashboard adds up, so that no request reads the big tables."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from scrm.models import Store
from scrm.money import FenField


class FigureMark(models.Model):
    """A business day whose figures must be counted again.

    Writers only add rows, one per day and transaction, so that they never wait for each other or for the count; whoever
    counts deletes the marks it has seen first.
    """

    day = models.DateField()

    def __str__(self) -> str:
        return self.day.isoformat()


class StoreDay(models.Model):
    """Sales by the line's store and channel; commission by the beneficiary's snapshot store; joins under channel ''."""

    day = models.DateField(_("day"))
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), null=True, db_index=False)  # null: HQ
    channel = models.CharField(_("channel"), max_length=24, blank=True)
    gmv_fen = FenField(_("GMV"), default=0)
    refunded_fen = FenField(_("refunded"), default=0)
    order_count = models.IntegerField(_("orders"), default=0)
    line_count = models.IntegerField(_("order lines"), default=0)
    member_gmv_fen = FenField(_("GMV of members"), default=0)
    new_member_count = models.IntegerField(_("new members"), default=0)
    accrued_fen = FenField(_("commission accrued"), default=0)
    reversed_fen = FenField(_("commission reversed"), default=0)
    vested_fen = FenField(_("commission vested"), default=0)

    class Meta:
        verbose_name = _("store day")
        verbose_name_plural = _("store days")
        constraints = (
            models.UniqueConstraint(name="store_day_once", fields=["day", "store", "channel"], nulls_distinct=False),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.day} {self.store_id} {self.channel}"


class StoreStock(models.Model):
    """How many members a store has and how many of them have a guide, counted by a job."""

    store = models.OneToOneField(Store, models.PROTECT, verbose_name=_("store"), null=True)
    member_count = models.IntegerField(_("members"), default=0)
    bound_count = models.IntegerField(_("members with a guide"), default=0)
    counted_at = models.DateTimeField()

    class Meta:
        verbose_name = _("store stock")
        verbose_name_plural = _("store stocks")

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.store_id}"
