"""Clearing of coupons between companies (券结算): who owes whom for which redemption."""

from __future__ import annotations

from typing import ClassVar

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from members.models import coupon_triggers as sql
from members.models.redemptions import Redemption
from scrm.db import AppendOnlyModel
from scrm.models import LegalEntity, Store
from scrm.money import FenField


class ClearingMonth(AppendOnlyModel):
    """A month that is closed: its entries stay as they are, with their digest."""

    period = models.CharField(_("month"), max_length=7, unique=True)  # 2026-06
    digest = models.CharField(_("digest"), max_length=64)
    entry_count = models.PositiveIntegerField(_("entries"))
    amount_fen = FenField(_("amount"))
    closed_at = models.DateTimeField(_("closed at"))
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("closed by"), related_name="+"
    )

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("closed month of coupons")
        verbose_name_plural = _("closed months of coupons")

    def __str__(self) -> str:
        return self.period


class ClearingEntry(AppendOnlyModel):
    """What one company bears of one redemption; taken back, the same amount again, negative."""

    redemption = models.ForeignKey(Redemption, models.PROTECT, verbose_name=_("redemption"), related_name="entries")
    is_reversal = models.BooleanField(_("taken back"), default=False)
    payer = models.ForeignKey(LegalEntity, models.PROTECT, verbose_name=_("borne by"), related_name="+", db_index=False)
    payee = models.ForeignKey(  # whose store took the customer's coupon; itself: it bears its own
        LegalEntity, models.PROTECT, verbose_name=_("redeemed by"), related_name="+", db_index=False
    )
    amount_fen = FenField(_("amount"))
    period = models.CharField(_("month"), max_length=7)
    adjusts_period = models.CharField(_("corrects month"), max_length=7, blank=True)
    posted_at = models.DateTimeField(_("posted at"))

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("clearing entry")
        verbose_name_plural = _("clearing entries")
        constraints = (
            models.UniqueConstraint(name="clearing_entry_once", fields=["redemption", "is_reversal", "payer"]),
            models.CheckConstraint(
                name="clearing_entry_sign",
                condition=Q(is_reversal=False, amount_fen__gt=0) | Q(is_reversal=True, amount_fen__lt=0),
            ),
        )
        indexes = (models.Index(fields=["period", "payee", "payer"], name="clearing_entry_period"),)
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            *AppendOnlyModel.Meta.triggers,
            pgtrigger.Trigger(
                name="month_open", when=pgtrigger.Before, operation=pgtrigger.Insert, func=sql.MONTH_OPEN
            ),
        ]

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        """A company's entries are seen by whoever sees all of its stores; HQ's own by HQ only."""
        stores = Store.objects.filter(entity=OuterRef("pk"))
        whole = LegalEntity.objects.exclude(kind=LegalEntity.Kind.HQ).filter(
            Exists(stores.filter(pk__in=store_ids)), ~Exists(stores.exclude(pk__in=store_ids))
        )
        return Q(payer__in=whole) | Q(payee__in=whole)

    def __str__(self) -> str:
        return f"#{self.pk}"
