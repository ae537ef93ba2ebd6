"""Rule versions (规则版本): how an order finds its guide and what it pays. Immutable once published.

A version's own fields are its lowest layer, that of the brand. ``RuleLayer`` rows say something else for a campaign, product,
category, channel, store or company; what a layer leaves empty (NULL) it inherits, 0 is an explicit zero.
"""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import F, Func, Q
from django.utils.translation import gettext_lazy as _

from members.models import Category, Product
from scrm.models import Brand, LegalEntity, Store
from scrm.models.org import history
from scrm.money import FenField

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


OF_DRAFT_ONLY = pgtrigger.Trigger(
    name="of_draft_only",
    when=pgtrigger.Before,
    operation=pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete,
    func=RATE_OF_DRAFT_ONLY.replace("rates of", "parts of"),
)


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

    class Base(models.TextChoices):
        """Those of ``commissions.Base``."""

        NET = "NET", _("paid without points and gift cards")
        PAID = "PAID", _("paid with points and gift cards")

    class Budget(models.TextChoices):
        """The accounts of ``postings.budget_account``, whatever the case."""

        BRAND = "brand", _("brand budget")
        ECOM = "ecom", _("online shop budget")
        ENTITY = "entity", _("company's own budget")
        PROMO = "promo", _("promotion budget")

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
    live_window_hours = models.PositiveIntegerField(_("live room window (hours)"), default=24, db_default=24)
    base = models.CharField(_("base"), max_length=8, choices=Base, default=Base.NET, db_default=Base.NET)
    cap_fen = FenField(_("at most per line"), null=True, blank=True)  # null: no cap
    month_cap_fen = FenField(_("at most per guide and month"), null=True, blank=True)  # null: no cap
    budget = models.CharField(_("paid by"), max_length=8, choices=Budget, default=Budget.BRAND, db_default=Budget.BRAND)
    fulfil_budget = models.CharField(
        _("fulfilment fee paid by"), max_length=8, choices=Budget, default=Budget.ECOM, db_default=Budget.ECOM
    )
    fulfil_store_bp = models.PositiveSmallIntegerField(
        _("fulfilment fee: the store's part (bp)"), default=10000, db_default=10000
    )
    fulfil_keeps = models.BooleanField(_("fulfilment fee stays after a refund"), default=True, db_default=True)
    ip_bp = models.PositiveSmallIntegerField(_("brand account's part (bp)"), default=4000, db_default=4000)
    is_self_purchase_paid = models.BooleanField(_("a guide's own purchase pays her"), default=False, db_default=False)
    netting_cap_bp = models.PositiveSmallIntegerField(  # null: no cap
        _("at most kept from a period's pay (bp)"), null=True, blank=True, default=2000, db_default=2000
    )
    settle_day = models.PositiveSmallIntegerField(_("day of the monthly batch"), default=10, db_default=10)
    dispute_days = models.PositiveSmallIntegerField(_("disputes after the statement (days)"), default=30, db_default=30)
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


@history
class RuleLayer(models.Model):
    """What a version says for some orders only. Of several layers that fit the one with the narrower scope holds, field by
    field: campaign, then product, category, channel, store, company."""

    rule = models.ForeignKey(RuleVersion, models.CASCADE, verbose_name=_("rule version"), related_name="layers")
    campaign = models.CharField(_("campaign"), max_length=64, null=True, blank=True)
    product = models.ForeignKey(Product, models.PROTECT, verbose_name=_("product"), null=True, blank=True)
    category = models.ForeignKey(Category, models.PROTECT, verbose_name=_("category"), null=True, blank=True)
    channel = models.CharField(_("channel"), max_length=24, null=True, blank=True)
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), null=True, blank=True)
    entity = models.ForeignKey(LegalEntity, models.PROTECT, verbose_name=_("company"), null=True, blank=True)
    mode = models.CharField(_("mode"), max_length=16, choices=RuleVersion.Mode, null=True, blank=True)
    rate_bp = models.PositiveIntegerField(_("rate (bp)"), null=True, blank=True)
    seller_bp = models.PositiveSmallIntegerField(_("seller's weight (bp)"), null=True, blank=True)
    service_bp = models.PositiveSmallIntegerField(_("service's weight (bp)"), null=True, blank=True)
    share_window_hours = models.PositiveIntegerField(_("share window (hours)"), null=True, blank=True)
    live_window_hours = models.PositiveIntegerField(_("live room window (hours)"), null=True, blank=True)
    base = models.CharField(_("base"), max_length=8, choices=RuleVersion.Base, null=True, blank=True)
    cap_fen = FenField(_("at most per line"), null=True, blank=True)
    is_uncapped = models.BooleanField(_("no cap"), default=False)  # an empty cap inherits; this lifts one
    vest_days = models.PositiveSmallIntegerField(_("vests after completion (days)"), null=True, blank=True)
    budget = models.CharField(_("paid by"), max_length=8, choices=RuleVersion.Budget, null=True, blank=True)
    home_pool_bp = models.PositiveSmallIntegerField(_("home store pool (bp)"), null=True, blank=True)
    gap_pool_bp = models.PositiveSmallIntegerField(_("gap: store pool (bp)"), null=True, blank=True)
    ip_bp = models.PositiveSmallIntegerField(_("brand account's part (bp)"), null=True, blank=True)
    entity_share_bp = models.PositiveSmallIntegerField(_("entity share (bp)"), null=True, blank=True)
    fulfil_fee_bp = models.PositiveSmallIntegerField(_("fulfilment fee (bp)"), null=True, blank=True)
    fulfil_store_bp = models.PositiveSmallIntegerField(
        _("fulfilment fee: the store's part (bp)"), null=True, blank=True
    )
    fulfil_budget = models.CharField(
        _("fulfilment fee paid by"), max_length=8, choices=RuleVersion.Budget, null=True, blank=True
    )
    fulfil_keeps = models.BooleanField(_("fulfilment fee stays after a refund"), null=True, blank=True)
    is_self_purchase_paid = models.BooleanField(_("a guide's own purchase pays her"), null=True, blank=True)

    class Meta:
        verbose_name = _("rule layer")
        verbose_name_plural = _("rule layers")
        constraints = (
            models.UniqueConstraint(
                name="layer_once", nulls_distinct=False,
                fields=["rule", "campaign", "product", "category", "channel", "store", "entity"],
            ),
            models.CheckConstraint(
                name="layer_has_scope",
                condition=Q(campaign__isnull=False) | Q(product__isnull=False) | Q(category__isnull=False)
                | Q(channel__isnull=False) | Q(store__isnull=False) | Q(entity__isnull=False),
            ),
            models.CheckConstraint(
                name="layer_weights_sum",
                condition=Q(seller_bp=None, service_bp=None) | Q(seller_bp=10000 - F("service_bp")),
            ),
            models.CheckConstraint(name="layer_cap_or_none", condition=Q(cap_fen=None) | Q(is_uncapped=False)),
        )  # fmt: skip
        triggers = (OF_DRAFT_ONLY,)

    def __str__(self) -> str:
        return f"{self.rule_id}/{self.pk}"


@history
class RuleTier(models.Model):
    """A marginal step of a guide's month (阶梯): ``rate_bp`` holds for what lies below ``upto_fen`` and above the step before."""

    rule = models.ForeignKey(RuleVersion, models.CASCADE, verbose_name=_("rule version"), related_name="tiers")
    upto_fen = FenField(_("month's base up to"), null=True, blank=True)  # null: without end
    rate_bp = models.PositiveIntegerField(_("rate (bp)"))

    class Meta:
        verbose_name = _("monthly step")
        verbose_name_plural = _("monthly steps")
        constraints = (
            models.UniqueConstraint(name="tier_once", fields=["rule", "upto_fen"], nulls_distinct=False),
            models.CheckConstraint(name="tier_rate", condition=Q(rate_bp__lte=10000)),
            models.CheckConstraint(name="tier_bound", condition=Q(upto_fen=None) | Q(upto_fen__gt=0)),
        )
        triggers = (OF_DRAFT_ONLY,)

    def __str__(self) -> str:
        return f"{self.rate_bp} bp"


@history
class RuleBudget(models.Model):
    """What a month may cost one budget (预算). It is shown and warned about; it never changes a decision."""

    rule = models.ForeignKey(RuleVersion, models.CASCADE, verbose_name=_("rule version"), related_name="budgets")
    budget = models.CharField(_("budget"), max_length=8, choices=RuleVersion.Budget)
    month_fen = FenField(_("per month"))

    class Meta:
        verbose_name = _("monthly budget")
        verbose_name_plural = _("monthly budgets")
        constraints = (
            models.UniqueConstraint(name="rule_budget_once", fields=["rule", "budget"]),
            models.CheckConstraint(name="rule_budget_amount", condition=Q(month_fen__gte=0)),
        )
        triggers = (OF_DRAFT_ONLY,)

    def __str__(self) -> str:
        return self.budget
