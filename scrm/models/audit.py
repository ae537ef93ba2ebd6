"""Acts (操作记录): who did what to whom, and why."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from scrm.db import AppendOnlyModel


class Act(AppendOnlyModel):
    at = models.DateTimeField(_("at"), db_default=models.functions.Now())
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, verbose_name=_("actor"), null=True, related_name="+"
    )  # null: the system itself
    verb = models.CharField(_("act"), max_length=48)
    target_type = models.CharField(_("kind of target"), max_length=48)
    target_id = models.CharField(_("target"), max_length=64)
    reason = models.CharField(_("reason"), max_length=256, blank=True)
    data = models.JSONField(_("details"), default=dict)

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("act")
        verbose_name_plural = _("acts")
        indexes = (models.Index(fields=["target_type", "target_id", "-id"], name="act_target"),)

    def __str__(self) -> str:
        return f"{self.verb} {self.target_type} {self.target_id}"
