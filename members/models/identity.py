"""Members (会员) and the identities by which they are recognised."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Cast, ExtractDay, ExtractMonth
from django.utils.translation import gettext_lazy as _

from members.models import coupon_triggers, refreshing
from members.models.lists import forget_list_rows
from scrm import org
from scrm.models import Brand, Job, Store

# what a member list says of a member, and whether she is one still
LISTED = ("name", "gender", "birthday", "tier_id", "home_store_id", "registered_on", "remark", "status")


class Tier(models.Model):
    """A membership level (等级)."""

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"))
    name = models.CharField(_("name"), max_length=32)
    rank = models.PositiveSmallIntegerField(_("rank"), default=0)  # higher is better

    class Meta:
        verbose_name = _("tier")
        verbose_name_plural = _("tiers")
        constraints = (models.UniqueConstraint(name="tier_name_once", fields=["brand", "name"]),)

    def __str__(self) -> str:
        return self.name


class Member(models.Model):
    class Gender(models.TextChoices):
        FEMALE = "F", _("female")
        MALE = "M", _("male")
        UNKNOWN = "", _("unknown")

    class Status(models.TextChoices):
        ACTIVE = "ACTIVE", _("active")
        FROZEN = "FROZEN", _("frozen")
        MERGED = "MERGED", _("merged into another")
        ERASED = "ERASED", _("erased")

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), db_index=False)
    name = models.CharField(_("name"), max_length=64, blank=True)
    gender = models.CharField(_("gender"), max_length=1, choices=Gender, blank=True, default="")
    birthday = models.DateField(_("birthday"), null=True, blank=True)
    tier = models.ForeignKey(Tier, models.PROTECT, verbose_name=_("tier"), null=True, blank=True, db_index=False)
    points_brought_in = models.BigIntegerField(_("points brought in"), default=0)
    home_store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("home store"), null=True, blank=True, db_index=False, related_name="+"
    )
    registered_on = models.DateField(_("registered on"), null=True, blank=True)
    remark = models.CharField(_("remark"), max_length=500, blank=True)
    status = models.CharField(_("status"), max_length=8, choices=Status, default=Status.ACTIVE)
    merged_into = models.ForeignKey("self", models.PROTECT, null=True, blank=True, db_index=False)
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())
    updated_at = models.DateTimeField(_("updated at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        indexes = (
            # name prefix search; plain btree with pattern operators, a two-character Chinese name has no trigram
            models.Index(fields=["name"], name="member_name", opclasses=["text_pattern_ops"]),
            models.Index(fields=["home_store", "id"], name="member_home_store"),
            models.Index(fields=["registered_on"], name="member_registered"),
            # who has her birthday on a day of the year (``audiences.own_fields.MONTH_DAY``): one in 365 instead of everybody
            models.Index(
                Cast(ExtractMonth("birthday") * 100 + ExtractDay("birthday"), models.IntegerField()),
                name="member_month_day",
                condition=Q(birthday__isnull=False),
            ),
            models.Index(fields=["merged_into"], name="member_merged", condition=Q(merged_into__isnull=False)),
        )
        constraints = (
            models.CheckConstraint(
                name="member_merged_names_survivor",
                condition=Q(status="MERGED", merged_into__isnull=False) | ~Q(status="MERGED") & Q(merged_into=None),
            ),
        )
        triggers = (
            forget_list_rows("forget_list_row", pgtrigger.Update, member="id", changed=LISTED),
            refreshing.refresh_when_changed(
                "refresh_merged", ("status", "merged_into_id", "brand_id"), ("id", "merged_into_id")
            ),
            pgtrigger.Trigger(
                name="coupons_follow",
                when=pgtrigger.After,
                operation=pgtrigger.UpdateOf("merged_into_id"),
                condition=pgtrigger.Q(old__merged_into__df=pgtrigger.F("new__merged_into")),
                func=coupon_triggers.FOLLOW_SURVIVOR,
            ),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        """Her home store; ``guides`` adds the store of her active binding."""
        return Q(home_store_id__in=store_ids)

    def __str__(self) -> str:
        return self.name or f"#{self.pk}"


class Identity(models.Model):
    """One way in which a member is recognised (身份): the database refuses the same one for two members.

    ``value`` is what is looked up: for MOBILE the keyed index of the number (32 hex digits), the number itself
    stands only in ``sealed``; for the other kinds the plain identifier.
    """

    class Kind(models.TextChoices):
        MOBILE = "MOBILE", _("mobile number")
        CARD = "CARD", _("card number")
        UNIONID = "UNIONID", _("WeChat unionid")
        EXTERNAL_USERID = "EXTERNAL_USERID", _("WeCom contact")
        ACCOUNT = "ACCOUNT", _("channel account")

    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"), related_name="identities")
    kind = models.CharField(_("kind"), max_length=16, choices=Kind)
    # MOBILE, CARD, UNIONID: the brand's code; EXTERNAL_USERID: the corp; ACCOUNT: channel/shop
    namespace = models.CharField(_("namespace"), max_length=64)
    value = models.CharField(_("value"), max_length=128)
    sealed = models.BinaryField(null=True)
    is_verified = models.BooleanField(_("verified"), default=False)
    linked_at = models.DateTimeField(_("linked at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("identity")
        verbose_name_plural = _("identities")
        indexes = (
            # those by which a WeCom contact may be recognised: each minute somebody asks which are new
            models.Index(
                fields=["linked_at"],
                name="identity_recent",
                condition=Q(kind__in=["UNIONID", "EXTERNAL_USERID"]) | Q(kind="MOBILE", is_verified=True),
            ),
        )
        constraints = (
            models.UniqueConstraint(name="identity_once", fields=["value", "kind", "namespace"]),
            models.CheckConstraint(
                name="mobile_is_sealed",
                condition=Q(kind="MOBILE", sealed__isnull=False) | ~Q(kind="MOBILE") & Q(sealed=None),
            ),
        )
        triggers = (
            forget_list_rows("forget_moved", pgtrigger.Update, changed=("member_id", "kind", "namespace", "value")),
            forget_list_rows("forget_deleted", pgtrigger.Delete),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("member", Member, store_ids)

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"


class PointsOpening(models.Model):
    """The points balance a legacy list brought in, once per card (积分期初)."""

    identity = models.OneToOneField(Identity, models.PROTECT, related_name="points_opening")
    member = models.ForeignKey(Member, models.PROTECT, related_name="points_openings")
    points = models.BigIntegerField(_("points"))
    job = models.ForeignKey(Job, models.SET_NULL, null=True, db_index=False)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        verbose_name = _("points opening")
        verbose_name_plural = _("points openings")
        constraints = (models.CheckConstraint(name="points_opening_not_negative", condition=Q(points__gte=0)),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("member", Member, store_ids)

    def __str__(self) -> str:
        return str(self.points)
