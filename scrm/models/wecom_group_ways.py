"""The codes by which customers join a group (入群码): WeCom lists them nowhere, so our rows are all there is to count by."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from scrm.models.wecom import Corp


class GroupWay(models.Model):
    """One code that WeCom was asked for and has not refused; the row is older than the question."""

    class Status(models.TextChoices):
        MAKING = "MAKING", _("being made")
        LIVE = "LIVE", _("in use")
        LOST = "LOST", _("answer lost")  # it may exist: WeCom lists it nowhere, and without its id nobody can delete it
        GONE = "GONE", _("no longer at WeCom")
        UNMADE = "UNMADE", _("not made")  # refused when asked again, or a person is certain

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    config_id = models.CharField(_("WeCom's id"), max_length=64, null=True, unique=True)
    state = models.CharField(_("state of the code"), max_length=30, blank=True)
    remark = models.CharField(_("remark"), max_length=30, blank=True)
    status = models.CharField(_("state"), max_length=8, choices=Status, default=Status.MAKING)
    asked_at = models.DateTimeField(_("asked for at"), auto_now_add=True)
    compared_at = models.DateTimeField(_("compared at"), null=True)
    error_code = models.CharField(_("error code"), max_length=64, blank=True)
    wish = models.JSONField(null=True)  # what WeCom was asked for, so that it can be asked again
    attempt = models.PositiveSmallIntegerField(_("times asked for"), default=1, db_default=1)
    claimed_id = models.CharField(_("id named by a person"), max_length=64, blank=True, db_default="")
    look_count = models.PositiveIntegerField(default=0, db_default=0)
    looked_at = models.DateTimeField(_("looked for at"), null=True)
    report = models.JSONField(null=True)  # what the last look found; null while one is under way

    class Meta:
        verbose_name = _("group code")
        verbose_name_plural = _("group codes")
        constraints = (
            models.CheckConstraint(
                name="group_way_live_has_its_id", condition=~Q(status="LIVE") | Q(config_id__isnull=False)
            ),
        )
        indexes = (
            models.Index(fields=["corp", "status"], name="group_way_counted", condition=~Q(status="GONE")),
        )  # fmt: skip

    def __str__(self) -> str:
        return self.remark or self.config_id or self.state
