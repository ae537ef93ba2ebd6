"""Closed periods (关账): months of posting in which nothing is posted any more."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from scrm.db import AppendOnlyModel
from scrm.money import FenField


class ClosedPeriod(AppendOnlyModel):
    """A calendar month (Asia/Shanghai) of ``posted_at`` whose entries are frozen under a digest."""

    period = models.CharField(_("period"), max_length=7, primary_key=True)  # 2026-05
    closed_at = models.DateTimeField(_("closed at"))
    entry_count = models.BigIntegerField(_("entries"))
    debit_fen = FenField(_("sum of the debits"))
    digest = models.CharField(_("digest"), max_length=64)  # of its ordered entries, see attribution/periods.py

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("closed period")
        verbose_name_plural = _("closed periods")
        constraints = (
            models.CheckConstraint(
                name="period_is_month", condition=models.Q(period__regex=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")
            ),
        )

    def __str__(self) -> str:
        return self.period
