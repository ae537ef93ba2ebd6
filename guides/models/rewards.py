"""Add-friend rewards (加好友奖励): what a new friend is worth, and who has claimed it."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from guides.models.contacts import Contact, Friendship
from guides.models.integrity import IntegrityCase
from guides.models.staff import Guide
from scrm.db import AppendOnlyModel
from scrm.models import Brand, Store
from scrm.money import FenField

PUBLISHED_STAYS = """
    IF OLD.status <> 'DRAFT' AND (to_jsonb(NEW) - ARRAY['status','ends_at']) IS DISTINCT FROM
       (to_jsonb(OLD) - ARRAY['status','ends_at']) THEN
        RAISE EXCEPTION 'a published programme only ends' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""


class RewardProgramme(models.Model):
    """Who gets how much for which new friends. Published by a second person; from then on it only ends."""

    class Status(models.TextChoices):
        DRAFT = "DRAFT", _("draft")
        PUBLISHED = "PUBLISHED", _("published")

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), related_name="+")
    name = models.CharField(_("name"), max_length=64)
    status = models.CharField(_("state"), max_length=12, choices=Status, default=Status.DRAFT)
    amount_fen = FenField(_("reward per friend (fen)"))
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    kept_days = models.PositiveSmallIntegerField(_("friend kept for days"), default=7)
    expires_days = models.PositiveSmallIntegerField(_("claim expires after days"), default=60)
    by_registration = models.BooleanField(_("earned by registration with a verified number"), default=True)
    by_purchase = models.BooleanField(_("earned by a first purchase or coupon used"), default=True)
    by_message = models.BooleanField(_("earned by a message of the customer"), default=True)
    counts_members = models.BooleanField(
        _("members count as new"), default=False, help_text=_("Off: who was a member before is not new to the brand")
    )
    guide_day_cap = models.PositiveIntegerField(
        _("at most per guide and day"), null=True, blank=True, help_text=_("Empty: no cap; 0: none at all")
    )
    store_month_cap = models.PositiveIntegerField(
        _("at most per store and month"), null=True, blank=True, help_text=_("Empty: no cap; 0: none at all")
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("author"), null=True, related_name="+"
    )
    approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("approver"), null=True, related_name="+"
    )
    published_at = models.DateTimeField(_("published at"), null=True)

    class Meta:
        verbose_name = _("reward programme")
        verbose_name_plural = _("reward programmes")
        constraints = (
            models.CheckConstraint(name="programme_interval", condition=Q(ends_at__gt=F("starts_at"))),
            models.CheckConstraint(name="programme_amount", condition=Q(amount_fen__gt=0, kept_days__gt=0)),
            models.CheckConstraint(
                name="programme_is_earned", condition=Q(by_registration=True) | Q(by_purchase=True) | Q(by_message=True)
            ),
            models.CheckConstraint(name="programme_lasts_longer", condition=Q(expires_days__gt=F("kept_days"))),
            models.CheckConstraint(
                name="programme_four_eyes",
                condition=Q(status="DRAFT", approver=None)
                | Q(status="PUBLISHED", published_at__isnull=False) & (Q(author=None) | ~Q(author=F("approver"))),
            ),
        )
        triggers = (
            pgtrigger.Trigger(
                name="published_stays", when=pgtrigger.Before, operation=pgtrigger.Update, func=PUBLISHED_STAYS
            ),
            pgtrigger.Protect(name="programme_stays", operation=pgtrigger.Delete),
        )

    def __str__(self) -> str:
        return self.name


class RewardClaim(models.Model):
    """One friend of one guide, and what became of her reward. The ledger follows ``status``: ``posted_as`` says how far."""

    class Status(models.TextChoices):
        CLAIMED = "CLAIMED", _("held")
        VESTED = "VESTED", _("vested")
        VOID = "VOID", _("void")
        CLAWED_BACK = "CLAWED_BACK", _("clawed back")

    class Reason(models.TextChoices):
        """Why it is not, or no more, earned."""

        NONE = "", ""
        DUPLICATE = "DUPLICATE", _("another guide has claimed this customer")
        NOT_NEW = "NOT_NEW", _("the customer was known to the brand before")
        SELF = "SELF", _("the friend is a guide")
        DELETED_EARLY = "DELETED_EARLY", _("the friendship ended too early")
        OVER_DAY_CAP = "OVER_DAY_CAP", _("more than the guide's cap of that day")
        OVER_MONTH_CAP = "OVER_MONTH_CAP", _("more than the store's cap of that month")
        EXPIRED = "EXPIRED", _("nothing followed in time")
        FRAUD = "FRAUD", _("proven fake by a review")

    class Earned(models.TextChoices):
        NOT_YET = "", _("not yet")
        REGISTRATION = "REGISTRATION", _("registered with a verified number")
        PURCHASE = "PURCHASE", _("bought")
        REDEMPTION = "REDEMPTION", _("used a coupon")
        MESSAGE = "MESSAGE", _("wrote to the guide")

    brand = models.ForeignKey(Brand, models.PROTECT, related_name="+", db_index=False)
    programme = models.ForeignKey(
        RewardProgramme, models.PROTECT, verbose_name=_("reward programme"), related_name="claims"
    )
    friendship = models.OneToOneField(Friendship, models.PROTECT, verbose_name=_("WeCom friend"), related_name="+")
    contact = models.ForeignKey(
        Contact, models.PROTECT, verbose_name=_("WeCom contact"), related_name="+", db_index=False
    )
    unionid = models.CharField(max_length=64, blank=True, default="")  # empty until WeCom has told it
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), related_name="+", db_index=False)
    store = models.ForeignKey(  # where the guide worked then
        Store, models.PROTECT, verbose_name=_("store"), related_name="+", db_index=False
    )
    added_at = models.DateTimeField(_("added at"))
    amount_fen = FenField(_("amount"))
    status = models.CharField(_("state"), max_length=12, choices=Status, default=Status.CLAIMED)
    reason = models.CharField(_("reason"), max_length=16, choices=Reason, blank=True, default="")
    earned_by = models.CharField(_("earned by"), max_length=12, choices=Earned, blank=True, default="")
    decided_at = models.DateTimeField(_("decided at"), null=True)
    vested_at = models.DateTimeField(_("vested at"), null=True)
    expires_at = models.DateTimeField(_("expires at"))
    case = models.ForeignKey(  # the last review that looked at it
        IntegrityCase, models.PROTECT, verbose_name=_("case"), null=True, related_name="claims"
    )
    posted_as = models.CharField(max_length=12, blank=True, default="")
    created_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        verbose_name = _("reward claim")
        verbose_name_plural = _("reward claims")
        constraints = (
            models.UniqueConstraint(
                name="one_reward_per_person", fields=["unionid", "brand"], condition=~Q(status="VOID") & ~Q(unionid="")
            ),
            models.CheckConstraint(
                name="claim_end_says_why",
                condition=Q(status__in=["CLAIMED", "VESTED"], reason="")
                | Q(status__in=["VOID", "CLAWED_BACK"]) & ~Q(reason=""),
            ),
            models.CheckConstraint(
                name="claim_vested_says_by_what",
                condition=~Q(status__in=["VESTED", "CLAWED_BACK"]) | Q(vested_at__isnull=False) & ~Q(earned_by=""),
            ),
        )
        indexes = (
            models.Index(fields=["id"], name="claim_open", condition=Q(status="CLAIMED")),
            models.Index(fields=["id"], name="claim_to_post", condition=~Q(posted_as=F("status"))),
            models.Index(fields=["contact"], name="claim_contact"),
            models.Index(fields=["guide", "-added_at"], name="claim_guide"),
            models.Index(fields=["store", "-added_at"], name="claim_store"),
        )
        triggers = (pgtrigger.Protect(name="claim_stays", operation=pgtrigger.Delete),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"#{self.pk}"


class FirstMessage(AppendOnlyModel):
    """The first word a customer wrote to a guide (客户首次来信), as the chat archive reports it; never what she wrote."""

    friendship = models.OneToOneField(Friendship, models.PROTECT, verbose_name=_("WeCom friend"), related_name="+")
    at = models.DateTimeField(_("at"))
    source = models.CharField(_("source"), max_length=24)
    recorded_at = models.DateTimeField(_("recorded at"), db_default=models.functions.Now())

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("first message of a customer")
        verbose_name_plural = _("first messages of customers")

    def __str__(self) -> str:
        return f"{self.friendship_id}"
