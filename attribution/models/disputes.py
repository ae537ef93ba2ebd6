"""Disputes (申诉): a guide says that a line is hers; two people who gain nothing by it decide."""

from __future__ import annotations

from typing import ClassVar

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from attribution.models.overrides import Override
from attribution.models.rules import RuleVersion
from guides.models import Guide
from scrm.db import AppendOnlyModel
from scrm.models import Store


class Dispute(models.Model):
    class Status(models.TextChoices):
        STORE = "STORE", _("with the store manager")
        HQ = "HQ", _("with the region or HQ")
        PROPOSED = "PROPOSED", _("waits for a second person")
        UPHELD = "UPHELD", _("upheld")
        REJECTED = "REJECTED", _("rejected")
        WITHDRAWN = "WITHDRAWN", _("withdrawn")

    class Ground(models.TextChoices):
        MY_SHARE = "MY_SHARE", _("she bought through my link or code")
        MY_CUSTOMER = "MY_CUSTOMER", _("she is my customer")
        MY_SALE = "MY_SALE", _("I served her at the till")
        MY_SERVICE = "MY_SERVICE", _("I advised her before she bought")
        OTHER = "OTHER", _("another reason")

    class Opinion(models.TextChoices):
        FOR = "FOR", _("for the claim")
        AGAINST = "AGAINST", _("against the claim")

    line_id = models.BigIntegerField(_("order line"))
    booked_on = models.DateField()
    decision_id = models.BigIntegerField(_("decision"))  # the live one when the dispute was opened
    rule = models.ForeignKey(RuleVersion, models.PROTECT, verbose_name=_("rule version"), related_name="+")
    claimant = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("claimant"), related_name="disputes")
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("her store"), related_name="+")
    against_code = models.CharField(_("credited so far"), max_length=48)
    against_store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store credited so far"), null=True, related_name="+"
    )
    ground = models.CharField(_("ground"), max_length=12, choices=Ground)
    statement = models.CharField(_("statement"), max_length=500)
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.STORE)
    opened_at = models.DateTimeField(_("opened at"))
    due_at = models.DateTimeField(_("due at"))  # of the present step
    opinion = models.CharField(_("opinion of the store"), max_length=8, choices=Opinion, blank=True)
    opinion_text = models.CharField(_("the store says"), max_length=500, blank=True)
    opinion_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("opinion given by"), null=True, related_name="+"
    )
    is_upheld_proposed = models.BooleanField(_("proposed: upheld"), null=True)
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("proposed by"), null=True, related_name="+"
    )
    proposed_at = models.DateTimeField(_("proposed at"), null=True)
    verdict_reason = models.CharField(_("reason of the verdict"), max_length=500, blank=True)
    override = models.OneToOneField(  # of a verdict for the claimant; approved with it
        Override, models.PROTECT, verbose_name=_("override"), null=True, related_name="+"
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("confirmed by"), null=True, related_name="+"
    )
    ended_at = models.DateTimeField(_("ended at"), null=True)
    moved_fen = models.BigIntegerField(_("moved to the claimant"), default=0)

    class Meta:
        verbose_name = _("dispute")
        verbose_name_plural = _("disputes")
        constraints = (
            models.UniqueConstraint(
                name="one_open_dispute", fields=["line_id", "booked_on"],
                condition=Q(status__in=["STORE", "HQ", "PROPOSED"]),
            ),
            # the same claim against the same decision is heard once
            models.UniqueConstraint(name="dispute_once", fields=["decision_id", "claimant"], condition=~Q(status="WITHDRAWN")),
            models.CheckConstraint(
                name="dispute_four_eyes", condition=Q(decided_by=None) | ~Q(decided_by=F("proposed_by"))
            ),
            models.CheckConstraint(
                name="dispute_verdict_whole",
                condition=~Q(status__in=["UPHELD", "REJECTED"])
                | Q(proposed_by__isnull=False, decided_by__isnull=False, ended_at__isnull=False) & ~Q(verdict_reason=""),
            ),
        )  # fmt: skip
        indexes = (
            models.Index(fields=["status", "due_at"], name="dispute_due", condition=Q(ended_at=None)),
            models.Index(fields=["claimant", "-id"], name="dispute_claimant"),
            models.Index(fields=["store", "-id"], name="dispute_store"),
            models.Index(fields=["rule", "status"], name="dispute_rule"),
        )
        triggers = (pgtrigger.Protect(name="dispute_stays", operation=pgtrigger.Delete),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids) | Q(against_store_id__in=store_ids)

    def __str__(self) -> str:
        return f"#{self.pk}"

    @property
    def is_open(self) -> bool:
        return self.ended_at is None


class DisputeEvidence(AppendOnlyModel):
    """What a party or an office puts to a dispute (证据): words, with a picture or a touch of ours."""

    dispute = models.ForeignKey(Dispute, models.PROTECT, verbose_name=_("dispute"), related_name="evidence")
    given_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("given by"), related_name="+")
    given_at = models.DateTimeField(_("given at"))
    text = models.CharField(_("text"), max_length=500)
    touch_id = models.BigIntegerField(_("touch"), null=True)
    picture_sealed = models.BinaryField(null=True)  # JPEG; a chat shows personal data

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("evidence")
        verbose_name_plural = _("evidence")
        indexes = (models.Index(fields=["dispute", "id"], name="evidence_of_dispute"),)
        triggers: ClassVar[list[pgtrigger.Trigger]] = [*AppendOnlyModel.Meta.triggers]

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(dispute__store_id__in=store_ids) | Q(dispute__against_store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.dispute_id}/{self.pk}"
