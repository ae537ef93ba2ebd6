"""Coupons (优惠券): templates, their stock, and each coupon that somebody has."""

from __future__ import annotations

from typing import Any, ClassVar

import pgtrigger
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from members.models import coupon_triggers as sql
from members.models.identity import Member
from scrm import org
from scrm.db import AppendOnlyModel
from scrm.models import Brand, Job, LegalEntity
from scrm.money import BP, FenField

MOST_FEN = 10_000_000  # 100,000 yuan: a typing error, not a coupon
MOST_BUCKETS = 64


def _ids(label: Any) -> ArrayField:
    return ArrayField(models.BigIntegerField(), verbose_name=label, default=list, blank=True)


class CouponTemplate(models.Model):
    """What a coupon is worth, where and when, and how many there are. A version never changes once it is published."""

    class Kind(models.TextChoices):
        FULL_CUT = "FULL_CUT", _("money off from an amount")
        CASH = "CASH", _("money off")
        DISCOUNT = "DISCOUNT", _("percentage off")
        EXCHANGE = "EXCHANGE", _("exchange for a product")

    class Status(models.TextChoices):
        DRAFT = "DRAFT", _("draft")
        PUBLISHED = "PUBLISHED", _("published")
        ENDED = "ENDED", _("ended")

    class Bearer(models.TextChoices):
        """Who bears what HQ does not."""

        REDEEMER = "REDEEMER", _("the company whose store redeems it")
        ISSUER = "ISSUER", _("the company whose store gave it out")

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), related_name="+")
    code = models.CharField(_("code"), max_length=32)
    number = models.PositiveIntegerField(_("version"), default=1)
    name = models.CharField(_("name"), max_length=40)
    terms = models.CharField(_("terms for the customer"), max_length=500, blank=True)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    value_fen = FenField(
        _("worth at most"), validators=[MinValueValidator(1), MaxValueValidator(MOST_FEN)],
        help_text=_("Money off; of a percentage the most it takes off; of an exchange the most the product costs"),
    )  # fmt: skip
    off_bp = models.PositiveIntegerField(
        _("percent off"), default=0, validators=[MaxValueValidator(BP)], help_text=_("20 is 8折; only for a percentage")
    )
    threshold_fen = FenField(
        _("from an amount of"), default=0, validators=[MinValueValidator(0), MaxValueValidator(10 * MOST_FEN)],
        help_text=_("Of the goods it is valid for; 0: from the first fen"),
    )  # fmt: skip
    claim_from = models.DateTimeField(_("given out from"))
    claim_until = models.DateTimeField(_("given out until"))
    valid_from = models.DateField(_("valid from"), null=True, blank=True)
    valid_until = models.DateField(
        _("valid until"), null=True, blank=True, help_text=_("The last day included; empty: days after the claim")
    )
    valid_days = models.PositiveSmallIntegerField(
        _("valid for days"), null=True, blank=True, help_text=_("Days from the claim, that day included")
    )
    store_ids = _ids(_("stores"))
    region_ids = _ids(_("regions"))
    entity_ids = _ids(_("legal entities"))
    channels = ArrayField(models.CharField(max_length=24), verbose_name=_("channels"), default=list, blank=True)
    category_ids = _ids(_("categories"))
    product_ids = _ids(_("products"))
    weekdays = ArrayField(models.PositiveSmallIntegerField(), verbose_name=_("weekdays"), default=list, blank=True)
    hour_from = models.TimeField(_("time of day from"), null=True, blank=True)
    hour_until = models.TimeField(_("time of day until"), null=True, blank=True)
    is_stackable = models.BooleanField(
        _("together with others"), default=False, help_text=_("Off: an order takes this coupon alone")
    )
    is_claimable = models.BooleanField(
        _("customers may take it"), default=False, help_text=_("Off: only the company and its guides give it out")
    )
    is_giftable = models.BooleanField(_("may be given away once"), default=False)
    member_cap = models.PositiveSmallIntegerField(
        _("at most per member"), null=True, blank=True, default=1, validators=[MinValueValidator(1), MaxValueValidator(50)],
        help_text=_("Empty: no cap"),
    )  # fmt: skip
    total_cap = models.PositiveIntegerField(
        _("at most altogether"), null=True, blank=True, validators=[MinValueValidator(1)], help_text=_("Empty: no cap")
    )
    budget_fen = FenField(
        _("budget"), null=True, blank=True, validators=[MinValueValidator(1)],
        help_text=_("Each coupon reserves what it is worth at most; empty: no budget"),
    )  # fmt: skip
    bucket_count = models.PositiveSmallIntegerField(
        _("stock buckets"), default=1, validators=[MinValueValidator(1), MaxValueValidator(MOST_BUCKETS)],
        help_text=_("More than 1 for a rush: claims queue less"),
    )  # fmt: skip
    guide_month_quota = models.PositiveIntegerField(
        _("at most per guide and month"), null=True, blank=True, help_text=_("Empty: guides do not give it out")
    )
    hq_share_bp = models.PositiveIntegerField(
        _("share of HQ"), default=BP, validators=[MaxValueValidator(BP)], help_text=_("100: HQ bears all of it")
    )
    bearer = models.CharField(_("the rest is borne by"), max_length=8, choices=Bearer, default=Bearer.REDEEMER)
    lock_minutes = models.PositiveSmallIntegerField(
        _("held for an order (minutes)"), default=30, validators=[MinValueValidator(1), MaxValueValidator(1_440)]
    )
    gift_hours = models.PositiveSmallIntegerField(
        _("a gift waits (hours)"), default=24, validators=[MinValueValidator(1), MaxValueValidator(720)]
    )
    reversal_hours = models.PositiveSmallIntegerField(
        _("taken back within (hours)"), default=24, validators=[MaxValueValidator(720)], help_text=_("0: never")
    )
    status = models.CharField(_("state"), max_length=10, choices=Status, default=Status.DRAFT)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("author"), related_name="+")
    approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("approver"), null=True, related_name="+"
    )
    published_at = models.DateTimeField(_("published at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        verbose_name = _("coupon template")
        verbose_name_plural = _("coupon templates")
        constraints = (
            models.UniqueConstraint(name="coupon_version_once", fields=["brand", "code", "number"]),
            models.UniqueConstraint(
                name="coupon_one_published", fields=["brand", "code"], condition=Q(status="PUBLISHED")
            ),
            models.CheckConstraint(name="coupon_claim_interval", condition=Q(claim_until__gt=F("claim_from"))),
            models.CheckConstraint(
                name="coupon_validity",
                condition=Q(valid_from__isnull=False, valid_until__gte=F("valid_from"), valid_days=None)
                | Q(valid_from=None, valid_until=None, valid_days__gte=1),
            ),
            models.CheckConstraint(
                name="coupon_worth",
                condition=Q(value_fen__gt=0, threshold_fen__gte=0)
                & (Q(kind="DISCOUNT", off_bp__gt=0, off_bp__lte=BP) | ~Q(kind="DISCOUNT") & Q(off_bp=0)),
            ),
            models.CheckConstraint(
                name="coupon_full_cut",
                condition=~Q(kind="FULL_CUT") | Q(threshold_fen__gte=F("value_fen")),
            ),
            models.CheckConstraint(name="coupon_share", condition=Q(hq_share_bp__lte=BP)),
            models.CheckConstraint(
                name="coupon_hours",
                condition=Q(hour_from=None, hour_until=None)
                | Q(hour_from__isnull=False, hour_until__isnull=False) & ~Q(hour_from=F("hour_until")),
            ),
            models.CheckConstraint(
                name="coupon_four_eyes",
                condition=Q(status="DRAFT", approver=None)
                | Q(status__in=["PUBLISHED", "ENDED"], approver__isnull=False, published_at__isnull=False)
                & ~Q(author=F("approver")),
            ),
        )
        triggers: ClassVar[tuple[pgtrigger.Trigger, ...]] = (
            pgtrigger.Trigger(
                name="published_stays", when=pgtrigger.Before, operation=pgtrigger.Update, func=sql.PUBLISHED_STAYS
            ),
            pgtrigger.Protect(
                name="published_is_kept", operation=pgtrigger.Delete, condition=pgtrigger.Q(old__status__in=["PUBLISHED", "ENDED"])
            ),
        )  # fmt: skip

    def __str__(self) -> str:
        return f"{self.name} v{self.number}"


class CouponStock(models.Model):
    """A bucket of a template's stock and budget; triggers move it with each coupon. Null: without a cap."""

    template = models.ForeignKey(CouponTemplate, models.PROTECT, related_name="stock", db_index=False)
    bucket = models.PositiveSmallIntegerField(default=0)
    cap_count = models.PositiveIntegerField(null=True)
    left_count = models.IntegerField(null=True)
    budget_fen = FenField(null=True)
    left_fen = FenField(null=True)
    reserved_fen = FenField(default=0)
    spent_fen = FenField(default=0)
    issued_count = models.IntegerField(default=0)
    unclaimed_count = models.IntegerField(default=0)
    held_count = models.IntegerField(default=0)
    redeemed_count = models.IntegerField(default=0)
    expired_count = models.IntegerField(default=0)
    void_count = models.IntegerField(default=0)

    class Meta:
        verbose_name = _("coupon stock")
        verbose_name_plural = _("coupon stock")
        constraints = (
            models.UniqueConstraint(name="coupon_bucket_once", fields=["template", "bucket"]),
            models.CheckConstraint(
                name="coupon_total_cap",  # K3
                condition=Q(cap_count=None, left_count=None)
                | Q(left_count__gte=0, cap_count=F("left_count") + F("issued_count")),
            ),
            models.CheckConstraint(
                name="coupon_budget",  # K5
                condition=Q(reserved_fen__gte=0, spent_fen__gte=0)
                & (
                    Q(budget_fen=None, left_fen=None)
                    | Q(left_fen__gte=0, budget_fen=F("left_fen") + F("reserved_fen") + F("spent_fen"))
                ),
            ),
            models.CheckConstraint(
                name="coupon_counts",  # K1
                condition=Q(
                    issued_count=F("unclaimed_count")
                    + F("held_count")
                    + F("redeemed_count")
                    + F("expired_count")
                    + F("void_count"),
                    unclaimed_count__gte=0,
                    held_count__gte=0,
                    redeemed_count__gte=0,
                ),
            ),
        )
        triggers: ClassVar[tuple[pgtrigger.Trigger, ...]] = (
            pgtrigger.Protect(name="stock_stays", operation=pgtrigger.Delete),
        )

    def __str__(self) -> str:
        return f"{self.template_id}/{self.bucket}"


class CouponBatch(models.Model):
    """Coupons given out together: to many members, or printed as codes (发券批次)."""

    class Kind(models.TextChoices):
        MEMBERS = "MEMBERS", _("to members")
        CODES = "CODES", _("printed codes")

    template = models.ForeignKey(
        CouponTemplate, models.PROTECT, verbose_name=_("coupon template"), related_name="batches"
    )
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    key = models.CharField(max_length=96, unique=True)
    source = models.CharField(_("recipients"), max_length=32, blank=True)
    params = models.JSONField(default=dict)
    planned_count = models.PositiveIntegerField(_("planned"), default=0)
    given_count = models.PositiveIntegerField(_("given"), default=0)
    left_out_count = models.PositiveIntegerField(
        _("left out"), default=0
    )  # had as many as they may, or are members no more
    short_count = models.PositiveIntegerField(_("not enough left"), default=0)
    reached_id = models.BigIntegerField(default=0)  # every member up to here has been looked at
    job = models.ForeignKey(Job, models.PROTECT, verbose_name=_("job"), null=True, related_name="+")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("by"), related_name="+")
    created_at = models.DateTimeField(_("started at"))
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("coupon batch")
        verbose_name_plural = _("coupon batches")

    def __str__(self) -> str:
        return f"#{self.pk}"


class Coupon(models.Model):
    """One coupon. ``status`` is moved by the rows that say why; its bucket counts along."""

    class Status(models.TextChoices):
        UNCLAIMED = "UNCLAIMED", _("printed, not claimed")
        HELD = "HELD", _("usable")
        LOCKED = "LOCKED", _("held for an order")
        GIVEN = "GIVEN", _("being given away")
        REDEEMED = "REDEEMED", _("redeemed")
        EXPIRED = "EXPIRED", _("expired")
        VOID = "VOID", _("void")
        WITHDRAWN = "WITHDRAWN", _("never claimed")

    class Source(models.TextChoices):
        STAFF = "STAFF", _("given by the company")
        GUIDE = "GUIDE", _("given by a guide")
        BATCH = "BATCH", _("given to many")
        CLAIM = "CLAIM", _("taken by the customer")
        CODE = "CODE", _("printed code")

    template = models.ForeignKey(
        CouponTemplate, models.PROTECT, verbose_name=_("coupon template"), related_name="coupons", db_index=False
    )
    bucket = models.PositiveSmallIntegerField()
    code = models.CharField(_("coupon no."), max_length=16, unique=True)
    status = models.CharField(_("state"), max_length=10, choices=Status)
    source = models.CharField(_("came by"), max_length=8, choices=Source)
    member = models.ForeignKey(
        Member, models.PROTECT, verbose_name=_("member"), null=True, related_name="+", db_index=False
    )
    member_cap = models.PositiveSmallIntegerField(null=True)
    value_fen = FenField(_("worth at most"))
    discount_fen = FenField(_("taken off"), null=True)
    issuer = models.ForeignKey(  # whose store gave it out; null: HQ
        LegalEntity, models.PROTECT, verbose_name=_("given out by"), null=True, related_name="+", db_index=False
    )
    giver = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        verbose_name=_("given by"),
        null=True,
        related_name="+",
        db_index=False,
    )
    batch = models.ForeignKey(CouponBatch, models.PROTECT, null=True, related_name="coupons", db_index=False)
    issued_at = models.DateTimeField(_("issued at"))
    claimed_at = models.DateTimeField(_("claimed at"), null=True)
    starts_on = models.DateField(_("valid from"), null=True)
    expires_on = models.DateField(_("valid until"), null=True)  # the last day on which it is valid
    is_gifted = models.BooleanField(_("was given away"), default=False)

    class Meta:
        verbose_name = _("coupon")
        verbose_name_plural = _("coupons")
        constraints = (
            models.CheckConstraint(
                name="coupon_claimed_has_member",
                condition=Q(status__in=["UNCLAIMED", "WITHDRAWN"], member=None, claimed_at=None)
                | ~Q(status__in=["UNCLAIMED", "WITHDRAWN"])
                & Q(member__isnull=False, claimed_at__isnull=False, starts_on__isnull=False, expires_on__gte=F("starts_on")),
            ),
            models.CheckConstraint(
                name="coupon_discount",
                condition=Q(status="REDEEMED", discount_fen__gte=0, discount_fen__lte=F("value_fen"))
                | ~Q(status="REDEEMED") & Q(discount_fen=None),
            ),
            models.UniqueConstraint(
                name="coupon_batch_member_once", fields=["batch", "member"], condition=Q(source="BATCH", is_gifted=False)
            ),
        )  # fmt: skip
        indexes = (
            models.Index(fields=["member", "-id"], name="coupon_member", condition=Q(member__isnull=False)),
            models.Index(fields=["template", "-id"], name="coupon_template"),
            models.Index(fields=["expires_on", "id"], name="coupon_to_expire", condition=Q(status="HELD")),
            models.Index(fields=["template", "id"], name="coupon_unclaimed", condition=Q(status="UNCLAIMED")),
        )
        triggers: ClassVar[tuple[pgtrigger.Trigger, ...]] = (
            pgtrigger.Protect(name="coupon_stays", operation=pgtrigger.Delete),
            pgtrigger.Trigger(name="moves", when=pgtrigger.Before, operation=pgtrigger.Update, func=sql.MOVES),
            pgtrigger.Trigger(
                name="take_place", when=pgtrigger.After, operation=pgtrigger.Insert | pgtrigger.UpdateOf("member_id"),
                func=sql.TAKE_PLACE,
            ),
            pgtrigger.Trigger(
                name="take_stock", level=pgtrigger.Statement, when=pgtrigger.After, operation=pgtrigger.Insert,
                referencing=pgtrigger.Referencing(new="new_rows"), func=sql.TAKE_STOCK,
            ),
            pgtrigger.Trigger(
                name="follow_moves", level=pgtrigger.Statement, when=pgtrigger.After, operation=pgtrigger.Update,
                referencing=pgtrigger.Referencing(old="old_rows", new="new_rows"), func=sql.FOLLOW_MOVES,
            ),
        )  # fmt: skip

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        """With its member; a printed code nobody has claimed is HQ's."""
        return org.through("member", Member, store_ids)

    def __str__(self) -> str:
        return f"****{self.code[-4:]}"


class CouponClaim(AppendOnlyModel):
    """One of the places a member has in a template with a cap; taken by a trigger, never given back."""

    template = models.ForeignKey(CouponTemplate, models.PROTECT, related_name="+", db_index=False, db_constraint=False)
    member = models.ForeignKey(Member, models.PROTECT, related_name="+", db_index=False, db_constraint=False)
    place = models.PositiveSmallIntegerField()
    member_cap = models.PositiveSmallIntegerField()
    coupon = models.ForeignKey(Coupon, models.PROTECT, related_name="+", db_index=False, db_constraint=False)

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("coupon claim")
        verbose_name_plural = _("coupon claims")
        constraints = (
            models.UniqueConstraint(name="coupon_claim_place", fields=["template", "member", "place"]),
            models.CheckConstraint(name="coupon_claim_cap", condition=Q(place__gte=1, place__lte=F("member_cap"))),
        )

    def __str__(self) -> str:
        return f"{self.template_id}/{self.member_id}/{self.place}"
