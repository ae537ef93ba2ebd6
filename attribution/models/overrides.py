"""Overrides (人工指定): a guide named for a line by one person and approved by another."""

from __future__ import annotations

from typing import ClassVar

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from guides.models import Guide
from scrm.models import Store

ONLY_ANSWERED_ONCE = """
    IF OLD.status <> 'REQUESTED'
       OR (to_jsonb(NEW) - ARRAY['status', 'answered_by_id', 'answered_at', 'answer'])
          IS DISTINCT FROM (to_jsonb(OLD) - ARRAY['status', 'answered_by_id', 'answered_at', 'answer']) THEN
        RAISE EXCEPTION 'an override is answered once' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""


class Override(models.Model):
    """Of the approved ones of a line the latest counts. ``store``: where the guide worked when the line was paid."""

    class Status(models.TextChoices):
        REQUESTED = "REQUESTED", _("waits for a second person")
        APPROVED = "APPROVED", _("approved")
        REFUSED = "REFUSED", _("refused")

    line_id = models.BigIntegerField(_("order line"))
    booked_on = models.DateField()
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"))
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), null=True, related_name="+")
    reason = models.CharField(_("reason"), max_length=200)
    status = models.CharField(_("status"), max_length=12, choices=Status, default=Status.REQUESTED)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("requested by"), related_name="+"
    )
    requested_at = models.DateTimeField(_("requested at"), db_default=models.functions.Now())
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("answered by"), null=True, related_name="+"
    )
    answered_at = models.DateTimeField(_("answered at"), null=True)
    answer = models.CharField(_("answer"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("manual attribution")
        verbose_name_plural = _("manual attributions")
        constraints = (
            models.UniqueConstraint(name="one_open_override", fields=["line_id"], condition=Q(status="REQUESTED")),
            models.CheckConstraint(
                name="override_four_eyes", condition=Q(answered_by=None) | ~Q(answered_by=F("requested_by"))
            ),
            models.CheckConstraint(
                name="override_answered",
                condition=Q(status="REQUESTED", answered_by=None)
                | Q(answered_by__isnull=False, answered_at__isnull=False),
            ),
            models.CheckConstraint(name="override_has_reason", condition=~Q(reason="")),
        )
        indexes = (models.Index(fields=["line_id"], name="override_approved", condition=Q(status="APPROVED")),)
        triggers: ClassVar[tuple[pgtrigger.Trigger, ...]] = (
            pgtrigger.Trigger(
                name="answered_once", when=pgtrigger.Before, operation=pgtrigger.Update, func=ONLY_ANSWERED_ONCE
            ),
            pgtrigger.Protect(name="override_stays", operation=pgtrigger.Delete),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.line_id} → {self.guide_id}"
