"""Caps of a month (月度封顶): what a guide earned above what her rule lets her, and what of it was taken back."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from attribution.models.ledger import Beneficiary
from scrm.models import Store
from scrm.money import FenField


class MonthCap(models.Model):
    """A guide's month that went above the cap once; ``earned_fen`` is what stood when it was last looked at."""

    period = models.CharField(_("period"), max_length=7)
    beneficiary = models.ForeignKey(Beneficiary, models.PROTECT, verbose_name=_("beneficiary"), db_index=False)
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), null=True, related_name="+")
    cap_fen = FenField(_("at most per guide and month"))
    earned_fen = FenField(_("earned in the month"))
    taken_fen = FenField(_("taken back above the cap"))
    posting_count = models.PositiveSmallIntegerField(default=0)
    changed_at = models.DateTimeField(_("changed at"))

    class Meta:
        verbose_name = _("month above the cap")
        verbose_name_plural = _("months above the cap")
        constraints = (
            models.UniqueConstraint(name="month_cap_once", fields=["beneficiary", "period"]),
            models.CheckConstraint(name="month_cap_takes_back_what_is_above", condition=Q(taken_fen=models.functions.Greatest(0, F("earned_fen") - F("cap_fen")))),
        )  # fmt: skip

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.period} {self.beneficiary_id}"
