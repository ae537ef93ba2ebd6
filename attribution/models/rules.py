"""Rule versions (规则版本): how an order finds its guide and what it pays. Immutable once published."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import F, Func, Q
from django.utils.translation import gettext_lazy as _

from members.models import Category
from scrm.models import Brand
from scrm.models.org import history

ONLY_ENDS_ONCE = """
    IF OLD.status = 'PUBLISHED' AND (to_jsonb(NEW) - 'effective_until') IS DISTINCT FROM (to_jsonb(OLD) - 'effective_until')
       OR OLD.status = 'PUBLISHED' AND OLD.effective_until IS NOT NULL
          AND NEW.effective_until IS DISTINCT FROM OLD.effective_until THEN
        RAISE EXCEPTION 'a published rule version is immutable' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""

RATE_OF_DRAFT_ONLY = """
    IF EXISTS (
        SELECT 1 FROM attribution_ruleversion v
        WHERE v.id = COALESCE(NEW.rule_id, OLD.rule_id) AND v.status = 'PUBLISHED'
    ) THEN
        RAISE EXCEPTION 'rates of a published rule version are immutable' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
"""


class _Period(Func):
    function = "TSTZRANGE"
    output_field = DateTimeRangeField()


@history
class RuleVersion(models.Model):
    class Mode(models.TextChoices):
        SERVICE_FIRST = "SERVICE_FIRST", _("service first")
        SHARE_FIRST = "SHARE_FIRST", _("share first")
        POS_FIRST = "POS_FIRST", _("cashier first")
        SPLIT = "SPLIT", _("split between seller and service")

    class Snatch(models.TextChoices):
        """Those of ``guides.snatching``."""

        ANY_TIME = "ANY_TIME", _("at any time")
        NEVER = "NEVER", _("never")
        AFTER_PROTECTION = "AFTER_PROTECTION", _("after the protection")

    class Status(models.TextChoices):
        DRAFT = "DRAFT", _("draft")
        PUBLISHED = "PUBLISHED", _("published")

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"))
    number = models.PositiveIntegerField(_("version"))
    name = models.CharField(_("name"), max_length=64)
    mode = models.CharField(_("mode"), max_length=16, choices=Mode)
    seller_bp = models.PositiveSmallIntegerField(_("seller's weight (bp)"), default=7000)  # SPLIT only
    service_bp = models.PositiveSmallIntegerField(_("service's weight (bp)"), default=3000)
    share_window_hours = models.PositiveIntegerField(_("share window (hours)"), default=168)
    late_link_days = models.PositiveIntegerField(_("late link (days)"), default=15)
    binding_validity_days = models.PositiveIntegerField(
        _("binding validity (days)"), null=True, blank=True
    )  # null: ever
    snatch = models.CharField(
        _("taking over a member"), max_length=16, choices=Snatch, default=Snatch.AFTER_PROTECTION,
        db_default=Snatch.AFTER_PROTECTION,
    )  # fmt: skip
    protected_days = models.PositiveSmallIntegerField(_("protection of a binding (days)"), default=30, db_default=30)
    gap_pool_bp = models.PositiveSmallIntegerField(_("gap: store pool (bp)"), default=0)  # 0: off
    home_pool_bp = models.PositiveSmallIntegerField(_("home store pool (bp)"), default=0)
    entity_share_bp = models.PositiveSmallIntegerField(_("entity share (bp)"), default=0)
    fulfil_fee_bp = models.PositiveSmallIntegerField(_("fulfilment fee (bp)"), default=0)
    vest_days = models.PositiveSmallIntegerField(_("vests after completion (days)"), default=15)
    status = models.CharField(_("status"), max_length=12, choices=Status, default=Status.DRAFT)
    effective_from = models.DateTimeField(_("effective from"), null=True, blank=True)  # null: since ever
    effective_until = models.DateTimeField(_("effective until"), null=True, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("author"), null=True, blank=True, related_name="+"
    )  # null: SYSTEM
    approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("approver"), null=True, blank=True, related_name="+"
    )
    published_at = models.DateTimeField(_("published at"), null=True, blank=True)
    digest = models.CharField(_("digest"), max_length=64, blank=True)

    class Meta:
        verbose_name = _("rule version")
        verbose_name_plural = _("rule versions")
        constraints = (
            models.UniqueConstraint(name="rule_number_once", fields=["brand", "number"]),
            models.CheckConstraint(name="rule_weights_sum", condition=Q(seller_bp=10000 - F("service_bp"))),
            models.CheckConstraint(
                name="rule_interval",
                condition=Q(effective_until=None) | Q(effective_from=None) | Q(effective_until__gt=F("effective_from")),
            ),
            models.CheckConstraint(name="rule_four_eyes", condition=Q(author=None) | ~Q(approver=F("author"))),
            models.CheckConstraint(name="rule_published_has_digest", condition=~Q(status="PUBLISHED") | ~Q(digest="")),
            ExclusionConstraint(
                name="one_rule_at_a_time",
                expressions=[
                    ("brand", RangeOperators.EQUAL),
                    (_Period("effective_from", "effective_until", RangeBoundary()), RangeOperators.OVERLAPS),
                ],
                condition=Q(status="PUBLISHED"),
            ),
        )
        triggers = (
            pgtrigger.Trigger(name="immutable", when=pgtrigger.Before, operation=pgtrigger.Update, func=ONLY_ENDS_ONCE),
            pgtrigger.Protect(
                name="published_stays",
                operation=pgtrigger.Delete,
                condition=pgtrigger.Q(old__status="PUBLISHED"),
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} v{self.number}"


@history
class RuleRate(models.Model):
    """A commission rate; a null channel or category means any, the most specific row wins, 0 is an explicit zero."""

    rule = models.ForeignKey(RuleVersion, models.CASCADE, verbose_name=_("rule version"), related_name="rates")
    channel = models.CharField(_("channel"), max_length=24, null=True, blank=True)
    category = models.ForeignKey(Category, models.PROTECT, verbose_name=_("category"), null=True, blank=True)
    rate_bp = models.PositiveIntegerField(_("rate (bp)"))

    class Meta:
        verbose_name = _("commission rate")
        verbose_name_plural = _("commission rates")
        constraints = (
            models.UniqueConstraint(name="rate_once", fields=["rule", "channel", "category"], nulls_distinct=False),
            models.CheckConstraint(name="rate_at_most_all", condition=Q(rate_bp__lte=10000)),
        )
        triggers = (
            pgtrigger.Trigger(
                name="rate_of_draft_only",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete,
                func=RATE_OF_DRAFT_ONLY,
            ),
        )

    def __str__(self) -> str:
        return f"{self.rate_bp} bp"
