"""Files with many rows that somebody wants to take out (导出申请)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class ExportRequest(models.Model):
    """What is wanted, for what, who agreed to how many rows, and when it was taken: once."""

    class Status(models.TextChoices):
        ASKED = "ASKED", _("waiting for approval")
        AGREED = "AGREED", _("approved")
        REFUSED = "REFUSED", _("refused")
        TAKEN = "TAKEN", _("taken")

    kind = models.CharField(_("kind"), max_length=32)
    target_id = models.BigIntegerField()
    title = models.CharField(_("what"), max_length=120)
    reason = models.CharField(_("what for"), max_length=200)
    row_count = models.IntegerField(_("rows"))  # when it was last asked for
    status = models.CharField(_("state"), max_length=8, choices=Status, default=Status.ASKED)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("requested by"), related_name="+", db_index=False
    )
    asked_at = models.DateTimeField(_("requested at"))
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, verbose_name=_("answered by"), related_name="+", db_index=False
    )  # fmt: skip
    answered_at = models.DateTimeField(_("answered at"), null=True)
    agreed_count = models.IntegerField(_("rows agreed to"), null=True)
    taken_at = models.DateTimeField(_("taken at"), null=True)
    taken_count = models.IntegerField(_("rows taken"), null=True)

    class Meta:
        verbose_name = _("request for a file")
        verbose_name_plural = _("requests for files")
        constraints = (
            models.CheckConstraint(  # S4
                name="export_by_two_people", condition=Q(answered_by=None) | ~Q(answered_by=F("asked_by"))
            ),
            models.CheckConstraint(
                name="export_taken_as_agreed",
                condition=~Q(status="TAKEN")
                | Q(answered_by__isnull=False, taken_at__isnull=False, taken_count__lte=F("agreed_count")),
            ),
            models.UniqueConstraint(
                name="export_asked_once", fields=["kind", "target_id", "asked_by"], condition=Q(status__in=["ASKED", "AGREED"])
            ),
        )  # fmt: skip
        indexes = (models.Index(fields=["asked_at"], name="export_waits", condition=Q(status="ASKED")),)

    def __str__(self) -> str:
        return self.title
