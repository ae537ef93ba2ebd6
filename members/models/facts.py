"""Facts (消费画像): what the purchases of a member say about her, one narrow row each."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from members.models.identity import Member
from members.models.products import Category
from scrm import org
from scrm.models import Brand
from scrm.money import FenField


class Stage(models.TextChoices):
    """Life-cycle stages (生命周期) of who has bought; who has not is a PROSPECT and has no row of facts."""

    PROSPECT = "PROSPECT", _("never bought")
    NEW = "NEW", _("new customer")
    ACTIVE = "ACTIVE", _("active, bought once")
    REPEAT = "REPEAT", _("active, buys again")
    SLEEPING = "SLEEPING", _("sleeping")
    LAPSING = "LAPSING", _("about to be lost")
    LOST = "LOST", _("lost")


class MemberFacts(models.Model):
    """Written by ``members.facts`` only; amounts are net of refunds. As of the business day ``as_of``, and the same on every
    later day before ``changes_on``."""

    member = models.OneToOneField(
        Member, models.PROTECT, primary_key=True, verbose_name=_("member"), related_name="facts", db_constraint=False
    )
    first_on = models.DateField(_("first purchase"))
    last_on = models.DateField(_("last purchase"))
    orders_count = models.IntegerField(_("orders"))
    orders_30 = models.IntegerField(_("orders in 30 days"))
    orders_90 = models.IntegerField(_("orders in 90 days"))
    orders_365 = models.IntegerField(_("orders in 365 days"))
    spend_fen = FenField(_("spend"))
    spend_30_fen = FenField(_("spend in 30 days"))
    spend_90_fen = FenField(_("spend in 90 days"))
    spend_365_fen = FenField(_("spend in 365 days"))
    average_fen = FenField(_("average order"))
    weekday = models.SmallIntegerField(_("favourite weekday"))  # 1 Monday … 7 Sunday
    hour = models.SmallIntegerField(_("favourite hour"))
    category = models.ForeignKey(
        Category, models.PROTECT, verbose_name=_("favourite category"), null=True, db_index=False, db_constraint=False,
        related_name="+",
    )  # fmt: skip
    channels = ArrayField(models.CharField(max_length=24), verbose_name=_("channels"))  # codes, sorted
    stage = models.CharField(_("stage"), max_length=8, choices=Stage)
    as_of = models.DateField(_("as of"))
    changes_on = models.DateField(_("changes on"), null=True)  # the first day on which something leaves a window

    class Meta:
        verbose_name = _("facts")
        verbose_name_plural = _("facts")
        indexes = (
            models.Index(fields=["changes_on"], name="facts_changes", condition=Q(changes_on__isnull=False)),
            models.Index(fields=["last_on"], name="facts_last_on"),  # whose last purchase was a number of days ago
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("member", Member, store_ids)

    def __str__(self) -> str:
        return f"#{self.member_id}"


class LifecycleRule(models.Model):
    """The days of the life-cycle stages, per brand (生命周期规则)."""

    brand = models.OneToOneField(Brand, models.PROTECT, verbose_name=_("brand"))
    new_days = models.PositiveSmallIntegerField(
        _("new for days"), default=30, help_text=_("A customer with one order is new for so many days from it")
    )
    repeat_orders = models.PositiveSmallIntegerField(
        _("buys again from orders"),
        default=2,
        help_text=_("From so many orders on an active customer counts as one who buys again"),
    )
    active_days = models.PositiveSmallIntegerField(
        _("active for days"), default=90, help_text=_("Without a purchase for so many days a customer is sleeping")
    )
    sleeping_days = models.PositiveSmallIntegerField(
        _("sleeping until days"),
        default=180,
        help_text=_("Without a purchase for so many days a customer is about to be lost"),
    )
    lapsing_days = models.PositiveSmallIntegerField(
        _("lost after days"), default=365, help_text=_("Without a purchase for so many days a customer is lost")
    )

    class Meta:
        verbose_name = _("life-cycle rule")
        verbose_name_plural = _("life-cycle rules")
        constraints = (
            models.CheckConstraint(
                name="lifecycle_days_ascend",
                condition=Q(
                    new_days__gte=1, new_days__lte=F("active_days"), active_days__lt=F("sleeping_days"),
                    sleeping_days__lt=F("lapsing_days"), repeat_orders__gte=2,
                ),
                violation_error_message=_("The days must grow from stage to stage: new ≤ active < sleeping < lost; at least two orders."),
            ),
        )  # fmt: skip

    def __str__(self) -> str:
        return str(self.brand)


class RfmCuts(models.Model):
    """Where the fifths of recency, frequency and money begin (RFM 分位), as they were on a day.

    ``recency``: days on which the scores 2 to 5 begin; ``frequency``: orders; ``money``: fen. A cut of null: nobody scores so.
    """

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), related_name="+")
    on_date = models.DateField(_("as of"))
    member_count = models.IntegerField(_("members who bought"))
    recency = ArrayField(models.DateField(null=True), size=4, verbose_name=_("recency"))
    frequency = ArrayField(models.IntegerField(null=True), size=4, verbose_name=_("frequency"))
    money = ArrayField(models.BigIntegerField(null=True), size=4, verbose_name=_("money"))

    class Meta:
        verbose_name = _("RFM cuts")
        verbose_name_plural = _("RFM cuts")
        constraints = (models.UniqueConstraint(name="rfm_cuts_once_a_day", fields=["brand", "on_date"]),)

    def __str__(self) -> str:
        return f"{self.on_date}"
