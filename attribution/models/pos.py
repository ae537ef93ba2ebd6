"""Day files of tills (收银日结文件): one per store and business day; a later one takes the place of the one before."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from scrm.models import Job, Store
from scrm.money import FenField


class PosDay(models.Model):
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), related_name="+")
    day = models.DateField(_("business day"))
    name = models.CharField(_("file name"), max_length=255)
    sha256 = models.CharField(max_length=64)
    job = models.ForeignKey(Job, models.PROTECT, verbose_name=_("job"), null=True, related_name="+")
    is_current = models.BooleanField(_("in force"), default=False)
    bad_count = models.PositiveIntegerField(_("broken rows"), default=0)
    line_count = models.PositiveIntegerField(_("order lines"), default=0)
    paid_fen = FenField(_("paid"), default=0)
    refunded_fen = FenField(_("refunded"), default=0)
    voided_count = models.PositiveIntegerField(_("lines taken back"), default=0)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("uploaded by"), related_name="+"
    )
    uploaded_at = models.DateTimeField(_("uploaded at"))

    class Meta:
        verbose_name = _("day file of a till")
        verbose_name_plural = _("day files of tills")
        constraints = (
            models.UniqueConstraint(name="pos_file_once", fields=["store", "day", "sha256"]),
            models.UniqueConstraint(
                name="one_pos_file_per_day", fields=["store", "day"], condition=models.Q(is_current=True)
            ),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> models.Q:
        return models.Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.store_id} {self.day}"
