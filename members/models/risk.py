"""Risk marks that people set (风险标记): HQ's word on an order line stands beside the channel's and outweighs it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from scrm.db import AppendOnlyModel


class RiskMark(AppendOnlyModel):
    """One word of one person; the last one on a line holds. An empty ``mark`` clears whatever the channel says."""

    line_id = models.BigIntegerField(_("order line"))
    booked_on = models.DateField()
    mark = models.CharField(_("risk mark"), max_length=32, blank=True)
    reason = models.CharField(_("reason"), max_length=200)
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("set by"), null=True, db_index=False, related_name="+"
    )
    set_at = models.DateTimeField(_("set at"), db_default=models.functions.Now())

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("risk mark")
        verbose_name_plural = _("risk marks")
        indexes = (models.Index(fields=["line_id", "-id"], name="risk_mark_line"),)

    def __str__(self) -> str:
        return f"{self.line_id} {self.mark}"
