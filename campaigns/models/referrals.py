"""Referral (老带新): a programme, the links of members, and who came through which."""

from __future__ import annotations

import datetime as dt

import pgtrigger
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from campaigns.models import referral_triggers as sql
from guides.models import Guide
from members.models import Coupon, CouponTemplate, Member
from scrm.models import Brand, Store
from scrm.money import FenField

MOST_FEN = 100_000  # 1,000 yuan for one new member: more is a typing error


class ReferralProgramme(models.Model):
    """What a member and her guide get for a new customer. Published by a second person; from then on it only ends."""

    class Status(models.TextChoices):
        DRAFT = "DRAFT", _("draft")
        PUBLISHED = "PUBLISHED", _("published")

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), related_name="+")
    name = models.CharField(_("name"), max_length=64)
    status = models.CharField(_("state"), max_length=12, choices=Status, default=Status.DRAFT)
    coupon_template = models.ForeignKey(
        CouponTemplate, models.PROTECT, verbose_name=_("coupon for the referrer"), related_name="+",
        help_text=_("Given when the reward is earned"),
    )  # fmt: skip
    guide_fen = FenField(
        _("reward for the guide"), default=0, validators=[MinValueValidator(0), MaxValueValidator(MOST_FEN)],
        help_text=_("For the guide who serves the referrer; 0: none"),
    )  # fmt: skip
    target = models.CharField(
        _("page the link leads to"),
        max_length=512,
        blank=True,
        help_text=_("Empty: only the mini-program's code is used"),
    )
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    link_days = models.PositiveSmallIntegerField(
        _("a link lasts (days)"), default=30, validators=[MinValueValidator(1), MaxValueValidator(365)]
    )
    min_fen = FenField(
        _("the new customer buys for at least"),
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(10_000_000)],
    )
    cooling_days = models.PositiveSmallIntegerField(
        _("earned after days"), default=7, validators=[MaxValueValidator(90)],
        help_text=_("Days after the first purchase; what is returned until then does not count"),
    )  # fmt: skip
    expires_days = models.PositiveSmallIntegerField(
        _("expires after days"), default=60, validators=[MaxValueValidator(365)]
    )
    member_month_cap = models.PositiveIntegerField(
        _("at most per referrer and month"),
        default=10,
        null=True,
        blank=True,
        help_text=_("Empty: no cap; 0: none at all"),
    )
    guide_day_cap = models.PositiveIntegerField(
        _("at most per guide and day"), null=True, blank=True, help_text=_("Empty: no cap; 0: none at all")
    )
    store_month_cap = models.PositiveIntegerField(
        _("at most per store and month"), null=True, blank=True, help_text=_("Empty: no cap; 0: none at all")
    )
    budget_fen = FenField(
        _("budget"),
        validators=[MinValueValidator(1)],
        help_text=_("Each referral reserves coupon and reward until it ends"),
    )
    reserved_fen = FenField(_("of it reserved and spent"), default=0)
    burst_count = models.PositiveSmallIntegerField(
        _("review from new customers per hour"), default=10, validators=[MinValueValidator(2)],
        help_text=_("So many through one link within an hour order a review"),
    )  # fmt: skip
    chain_days = models.PositiveSmallIntegerField(
        _("review of chains within days"),
        default=30,
        help_text=_("Who refers so soon after she was referred herself; 0: never"),
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("author"), null=True, related_name="+"
    )
    approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("approver"), null=True, related_name="+"
    )
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())
    published_at = models.DateTimeField(_("published at"), null=True)

    class Meta:
        verbose_name = _("referral programme")
        verbose_name_plural = _("referral programmes")
        constraints = (
            models.CheckConstraint(name="referral_interval", condition=Q(ends_at__gt=F("starts_at"))),
            models.CheckConstraint(
                name="referral_amounts", condition=Q(guide_fen__gte=0, min_fen__gt=0, budget_fen__gt=0)
            ),
            models.CheckConstraint(
                name="referral_budget", condition=Q(reserved_fen__gte=0, reserved_fen__lte=F("budget_fen"))
            ),
            models.CheckConstraint(name="referral_lasts_longer", condition=Q(expires_days__gt=F("cooling_days"))),
            models.CheckConstraint(
                name="referral_four_eyes",
                condition=Q(status="DRAFT", approver=None)
                | Q(status="PUBLISHED", published_at__isnull=False) & (Q(author=None) | ~Q(author=F("approver"))),
            ),
        )
        triggers = (
            pgtrigger.Trigger(
                name="published_stays", when=pgtrigger.Before, operation=pgtrigger.Update, func=sql.PUBLISHED_STAYS
            ),
            pgtrigger.Protect(name="programme_stays", operation=pgtrigger.Delete),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        """What is in force is in force for every store; its funnel is cut."""
        return Q(status="PUBLISHED")

    def __str__(self) -> str:
        return self.name


class ReferralLink(models.Model):
    """The link of a member (邀请链接); its token is made from this row and proves it."""

    programme = models.ForeignKey(
        ReferralProgramme, models.PROTECT, verbose_name=_("referral programme"), related_name="+"
    )
    referrer = models.ForeignKey(Member, models.PROTECT, verbose_name=_("referrer"), related_name="+", db_index=False)
    guide = models.ForeignKey(  # who serves the referrer
        Guide, models.PROTECT, verbose_name=_("guide"), null=True, related_name="+", db_index=False
    )
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), related_name="+", db_index=False)
    open_count = models.PositiveIntegerField(_("openings"), default=0)
    created_at = models.DateTimeField(_("created at"))
    expires_at = models.DateTimeField(_("may be opened until"))

    class Meta:
        verbose_name = _("referral link")
        verbose_name_plural = _("referral links")
        constraints = (models.CheckConstraint(name="referral_link_lasts", condition=Q(expires_at__gt=F("created_at"))),)
        indexes = (models.Index(fields=["referrer", "programme", "-id"], name="referral_link_of"),)
        triggers = (
            pgtrigger.Protect(name="link_stays", operation=pgtrigger.Delete),
            sql.counting("count_links", "link_count"),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"#{self.pk}"


class Referral(models.Model):
    """One new customer and the member who brought her. There is no column for whoever brought the referrer: one level."""

    class Status(models.TextChoices):
        CLAIMED = "CLAIMED", _("held")
        VESTED = "VESTED", _("vested")
        VOID = "VOID", _("void")
        CLAWED_BACK = "CLAWED_BACK", _("clawed back")

    class Reason(models.TextChoices):
        NONE = "", ""
        SELF = "SELF", _("referrer and new customer are one person")
        STAFF = "STAFF", _("the new customer works here")
        NOT_NEW = "NOT_NEW", _("the customer was known to the brand before")
        LOOP = "LOOP", _("the new customer has referred the referrer")
        DUPLICATE = "DUPLICATE", _("another member has referred this customer")
        OVER_MEMBER_CAP = "OVER_MEMBER_CAP", _("more than the referrer's cap of that month")
        OVER_DAY_CAP = "OVER_DAY_CAP", _("more than the guide's cap of that day")
        OVER_MONTH_CAP = "OVER_MONTH_CAP", _("more than the store's cap of that month")
        EXPIRED = "EXPIRED", _("nothing followed in time")
        FRAUD = "FRAUD", _("proven fake by a review")

    class Flag(models.TextChoices):
        BURST = "BURST", _("many new customers through one link within an hour")
        CHAIN = "CHAIN", _("the referrer was referred herself shortly before")

    class Review(models.TextChoices):
        NONE = "", _("none")
        OPEN = "OPEN", _("to be decided")
        CLEARED = "CLEARED", _("cleared")
        CONFIRMED = "CONFIRMED", _("confirmed as fake")

    brand = models.ForeignKey(Brand, models.PROTECT, related_name="+", db_index=False)
    programme = models.ForeignKey(
        ReferralProgramme, models.PROTECT, verbose_name=_("referral programme"), related_name="+", db_index=False
    )
    link = models.ForeignKey(ReferralLink, models.PROTECT, related_name="+", db_index=False)
    referrer = models.ForeignKey(Member, models.PROTECT, verbose_name=_("referrer"), related_name="+", db_index=False)
    newcomer = models.ForeignKey(
        Member, models.PROTECT, verbose_name=_("new customer"), null=True, related_name="+", db_index=False
    )
    unionid = models.CharField(max_length=64, blank=True, default="")
    mobile_index = models.CharField(max_length=32, blank=True, default="")
    guide = models.ForeignKey(
        Guide, models.PROTECT, verbose_name=_("guide"), null=True, related_name="+", db_index=False
    )
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), related_name="+", db_index=False)
    joined_at = models.DateTimeField(_("joined at"))
    registered_at = models.DateTimeField(_("registered at"), null=True)
    bought_at = models.DateTimeField(_("first bought at"), null=True)
    bought_fen = FenField(_("bought for"), default=0)
    coupon_fen = FenField(_("coupon worth at most"))
    guide_fen = FenField(_("reward for the guide"))
    coupon = models.ForeignKey(
        Coupon, models.PROTECT, verbose_name=_("coupon"), null=True, related_name="+", db_index=False
    )
    coupon_problem = models.CharField(_("why there is no coupon yet"), max_length=200, blank=True, default="")
    status = models.CharField(_("state"), max_length=12, choices=Status, default=Status.CLAIMED)
    reason = models.CharField(_("reason"), max_length=16, choices=Reason, blank=True, default="")
    flags = ArrayField(models.CharField(max_length=8, choices=Flag), verbose_name=_("flags"), default=list, blank=True)
    review = models.CharField(_("review"), max_length=10, choices=Review, blank=True, default="")
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        verbose_name=_("decided by"),
        null=True,
        related_name="+",
        db_index=False,
    )
    review_note = models.CharField(_("reason of the decision"), max_length=200, blank=True, default="")
    decided_at = models.DateTimeField(_("decided at"), null=True)
    vested_at = models.DateTimeField(_("vested at"), null=True)
    expires_at = models.DateTimeField(_("expires at"))
    posted_as = models.CharField(max_length=12, blank=True, default="")

    class Meta:
        verbose_name = _("referral")
        verbose_name_plural = _("referrals")
        constraints = (
            models.UniqueConstraint(
                name="one_referral_per_unionid", fields=["unionid", "brand"], condition=~Q(status="VOID") & ~Q(unionid="")
            ),
            models.UniqueConstraint(
                name="one_referral_per_mobile", fields=["mobile_index", "brand"],
                condition=~Q(status="VOID") & ~Q(mobile_index=""),
            ),
            models.UniqueConstraint(
                name="one_referral_per_newcomer", fields=["newcomer"],
                condition=~Q(status="VOID") & Q(newcomer__isnull=False),
            ),
            models.CheckConstraint(
                name="referral_of_another", condition=Q(status="VOID") | Q(newcomer=None) | ~Q(newcomer=F("referrer"))  # A7
            ),
            models.CheckConstraint(name="referral_names_somebody", condition=~Q(unionid="", mobile_index="")),
            models.CheckConstraint(
                name="referral_end_says_why",
                condition=Q(status__in=["CLAIMED", "VESTED"], reason="")
                | Q(status__in=["VOID", "CLAWED_BACK"]) & ~Q(reason=""),
            ),
            models.CheckConstraint(
                name="referral_coupon_is_earned", condition=Q(coupon=None) | Q(status__in=["VESTED", "CLAWED_BACK"])
            ),
            models.CheckConstraint(
                name="referral_review_holds",
                condition=~Q(review="OPEN") | Q(status="CLAIMED"),
            ),
        )  # fmt: skip
        indexes = (
            models.Index(fields=["id"], name="referral_open", condition=Q(status="CLAIMED")),
            models.Index(fields=["id"], name="referral_no_coupon", condition=Q(status="VESTED", coupon=None)),
            models.Index(fields=["id"], name="referral_to_post", condition=~Q(posted_as=F("status"))),
            models.Index(fields=["link", "-joined_at"], name="referral_link_at"),
            models.Index(fields=["referrer", "-joined_at"], name="referral_referrer"),
            models.Index(fields=["guide", "-id"], name="referral_guide"),
            models.Index(fields=["store", "-id"], name="referral_store"),
            models.Index(fields=["programme", "-id"], name="referral_programme"),
        )
        triggers = (
            pgtrigger.Protect(name="referral_stays", operation=pgtrigger.Delete),
            pgtrigger.Trigger(
                name="one_level",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                func=sql.ONE_LEVEL,
            ),
            *sql.counting_referrals(),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    @property
    def amount_fen(self) -> int:
        """What the guide gets, as the books ask for it."""
        return self.guide_fen

    @property
    def added_at(self) -> dt.datetime:
        return self.joined_at

    def __str__(self) -> str:
        return f"#{self.pk}"


class ReferralCount(models.Model):
    """The funnel of a programme in one store and guide; triggers count along, so that a page never counts referrals."""

    programme = models.ForeignKey(ReferralProgramme, models.PROTECT, related_name="+", db_index=False)
    store = models.ForeignKey(Store, models.PROTECT, related_name="+", db_index=False)
    guide = models.ForeignKey(Guide, models.PROTECT, null=True, related_name="+")
    link_count = models.IntegerField(default=0, db_default=0)
    open_count = models.IntegerField(default=0, db_default=0)
    joined_count = models.IntegerField(default=0, db_default=0)
    registered_count = models.IntegerField(default=0, db_default=0)
    bought_count = models.IntegerField(default=0, db_default=0)
    vested_count = models.IntegerField(default=0, db_default=0)
    void_count = models.IntegerField(default=0, db_default=0)
    review_count = models.IntegerField(default=0, db_default=0)
    held_fen = FenField(default=0, db_default=0)
    spent_fen = FenField(default=0, db_default=0)
    bought_fen = FenField(default=0, db_default=0)

    class Meta:
        verbose_name = _("funnel of a referral programme")
        verbose_name_plural = _("funnels of referral programmes")
        constraints = (
            models.UniqueConstraint(
                name="referral_count_once", fields=["programme", "store", "guide"], nulls_distinct=False
            ),
        )

    def __str__(self) -> str:
        return f"{self.programme_id}/{self.store_id}"
