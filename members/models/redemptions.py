"""The life of a coupon (券的生命): requests, events, locks, gifts, redemptions and who hears of them."""

from __future__ import annotations

from typing import Any, ClassVar

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from members.models import coupon_triggers as sql
from members.models.coupons import Coupon, CouponTemplate
from members.models.identity import Member
from scrm import db
from scrm.db import AppendOnlyModel
from scrm.models import LegalEntity, Store
from scrm.money import FenField


def _moves(name: str, operation: Any, func: str, when: Any = pgtrigger.After) -> pgtrigger.Trigger:
    return pgtrigger.Trigger(name=name, when=when, operation=operation, func=func)


class CouponRequest(AppendOnlyModel):
    """A write somebody asked for, by the key she chose (幂等键); its coupon is the answer to the same key again."""

    key = models.CharField(max_length=160, unique=True)
    content_hash = models.CharField(max_length=64)
    coupon_id = models.BigIntegerField()
    answer_id = models.BigIntegerField(null=True)  # the redemption it made; null: the coupon is the answer
    created_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("coupon request")
        verbose_name_plural = _("coupon requests")

    def __str__(self) -> str:
        return self.key


class CouponEvent(AppendOnlyModel):
    """What happened to a coupon: who, where, when. Partitioned by month of ``happened_on``."""

    class Kind(models.TextChoices):
        ISSUED = "ISSUED", _("issued")
        CLAIMED = "CLAIMED", _("claimed")
        LOCKED = "LOCKED", _("held for an order")
        RELEASED = "RELEASED", _("released")
        LAPSED = "LAPSED", _("the hold has lapsed")
        REDEEMED = "REDEEMED", _("redeemed")
        REVERSED = "REVERSED", _("redemption taken back")
        OFFERED = "OFFERED", _("offered as a gift")
        TAKEN = "TAKEN", _("gift taken")
        TAKEN_BACK = "TAKEN_BACK", _("gift taken back")
        EXPIRED = "EXPIRED", _("expired")
        VOID = "VOID", _("made void")
        WITHDRAWN = "WITHDRAWN", _("never claimed")
        MERGED = "MERGED", _("went over with a merge of members")

    happened_on = models.DateField()
    coupon = models.ForeignKey(Coupon, models.PROTECT, related_name="+", db_index=False, db_constraint=False)
    kind = models.CharField(_("what"), max_length=10, choices=Kind)
    at = models.DateTimeField(_("at"))
    actor_id = models.BigIntegerField(null=True)  # a user; null: the customer, a till or the clock
    member_id = models.BigIntegerField(null=True)
    store_id = models.BigIntegerField(null=True)
    channel = models.CharField(_("channel"), max_length=24, blank=True)
    order_no = models.CharField(_("order no."), max_length=64, blank=True)
    note = models.CharField(_("note"), max_length=200, blank=True)
    recorded_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("coupon event")
        verbose_name_plural = _("coupon events")
        indexes = (models.Index(fields=["coupon", "id"], name="coupon_event_coupon"),)
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            *AppendOnlyModel.Meta.triggers,
            db.references_exist(coupon_id="members_coupon"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.coupon_id}"


class CouponLock(models.Model):
    """A coupon held for an order that is being paid (锁券); it ends once."""

    class End(models.TextChoices):
        OPEN = "", ""
        RELEASED = "RELEASED", _("released")
        LAPSED = "LAPSED", _("lapsed")
        REDEEMED = "REDEEMED", _("redeemed")

    coupon = models.ForeignKey(Coupon, models.PROTECT, related_name="locks")
    channel = models.CharField(max_length=24)
    shop = models.CharField(max_length=64, blank=True)
    order_no = models.CharField(max_length=64)
    is_stackable = models.BooleanField()
    locked_at = models.DateTimeField()
    until = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_as = models.CharField(max_length=8, choices=End, blank=True, default="")

    class Meta:
        verbose_name = _("coupon lock")
        verbose_name_plural = _("coupon locks")
        constraints = (
            models.UniqueConstraint(name="coupon_locked_once", fields=["coupon"], condition=Q(ended_at=None)),
            models.UniqueConstraint(
                name="coupon_lock_alone",
                fields=["order_no", "channel", "shop"],
                condition=Q(ended_at=None, is_stackable=False),
            ),
            models.CheckConstraint(
                name="coupon_lock_end",
                condition=Q(ended_at=None, ended_as="") | Q(ended_at__isnull=False) & ~Q(ended_as=""),
            ),
        )
        indexes = (models.Index(fields=["until"], name="coupon_lock_open", condition=Q(ended_at=None)),)
        triggers: ClassVar[tuple[pgtrigger.Trigger, ...]] = (
            pgtrigger.Protect(name="lock_stays", operation=pgtrigger.Delete),
            _moves("lock_coupon", pgtrigger.Insert, sql.LOCK_COUPON),
            _moves("ends_once", pgtrigger.Update, sql.ENDS_ONCE, pgtrigger.Before),
            _moves("unlock_coupon", pgtrigger.Update, sql.UNLOCK_COUPON),
        )

    def __str__(self) -> str:
        return f"{self.coupon_id} {self.order_no}"


class CouponGift(models.Model):
    """A coupon offered to another member (转赠); taken once, or it comes back."""

    class End(models.TextChoices):
        OPEN = "", ""
        TAKEN = "TAKEN", _("taken")
        TAKEN_BACK = "TAKEN_BACK", _("taken back")
        LAPSED = "LAPSED", _("lapsed")

    coupon = models.ForeignKey(Coupon, models.PROTECT, related_name="gifts")
    giver = models.ForeignKey(Member, models.PROTECT, related_name="+", db_index=False)
    taker = models.ForeignKey(Member, models.PROTECT, null=True, related_name="+", db_index=False)
    token = models.CharField(max_length=32, unique=True)
    offered_at = models.DateTimeField()
    until = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_as = models.CharField(max_length=10, choices=End, blank=True, default="")

    class Meta:
        verbose_name = _("coupon gift")
        verbose_name_plural = _("coupon gifts")
        constraints = (
            models.UniqueConstraint(name="coupon_offered_once", fields=["coupon"], condition=Q(ended_at=None)),
            models.UniqueConstraint(name="coupon_gifted_once", fields=["coupon"], condition=Q(ended_as="TAKEN")),
            models.CheckConstraint(
                name="coupon_gift_end",
                condition=Q(ended_at=None, ended_as="", taker=None)
                | Q(ended_at__isnull=False, ended_as="TAKEN", taker__isnull=False) & ~Q(taker=F("giver"))
                | Q(ended_at__isnull=False, ended_as__in=["TAKEN_BACK", "LAPSED"], taker=None),
            ),
        )
        indexes = (models.Index(fields=["until"], name="coupon_gift_open", condition=Q(ended_at=None)),)
        triggers: ClassVar[tuple[pgtrigger.Trigger, ...]] = (
            pgtrigger.Protect(name="gift_stays", operation=pgtrigger.Delete),
            _moves("offer_coupon", pgtrigger.Insert, sql.OFFER_COUPON),
            _moves("ends_once", pgtrigger.Update, sql.ENDS_ONCE, pgtrigger.Before),
            _moves("end_offer", pgtrigger.Update, sql.END_OFFER),
        )

    def __str__(self) -> str:
        return f"{self.coupon_id}"


class Redemption(models.Model):
    """A coupon used in an order (核销). Upper apps hear of each change by ``RedemptionNews``."""

    class Status(models.TextChoices):
        REDEEMED = "REDEEMED", _("redeemed")
        REVERSED = "REVERSED", _("taken back")

    coupon = models.ForeignKey(Coupon, models.PROTECT, verbose_name=_("coupon"), related_name="redemptions")
    template = models.ForeignKey(
        CouponTemplate, models.PROTECT, verbose_name=_("coupon template"), related_name="+", db_index=False
    )
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"), related_name="+", db_index=False)
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), related_name="+", db_index=False)
    entity = models.ForeignKey(  # whose store it was then
        LegalEntity, models.PROTECT, verbose_name=_("legal entity"), related_name="+", db_index=False
    )
    bearer = models.ForeignKey(  # who bears what HQ does not
        LegalEntity, models.PROTECT, verbose_name=_("the rest is borne by"), related_name="+", db_index=False
    )
    channel = models.CharField(_("channel"), max_length=24)
    shop = models.CharField(_("shop"), max_length=64, blank=True)
    order_no = models.CharField(_("order no."), max_length=64)
    is_stackable = models.BooleanField()
    basket_fen = FenField(_("order amount"))
    eligible_fen = FenField(_("amount it counts for"))
    discount_fen = FenField(_("taken off"))
    hq_fen = FenField(_("borne by HQ"))
    rest_fen = FenField(_("borne by others"))
    redeemed_at = models.DateTimeField(_("redeemed at"))
    clerk = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("by"), null=True, related_name="+", db_index=False
    )
    cashier_code = models.CharField(_("cashier"), max_length=32, blank=True)
    status = models.CharField(_("state"), max_length=8, choices=Status, default=Status.REDEEMED)
    reversed_at = models.DateTimeField(_("taken back at"), null=True)
    reversed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        verbose_name=_("taken back by"),
        null=True,
        related_name="+",
        db_index=False,
    )
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    final_at = models.DateTimeField(_("final since"), null=True)

    class Meta:
        verbose_name = _("redemption")
        verbose_name_plural = _("redemptions")
        constraints = (
            models.UniqueConstraint(name="coupon_redeemed_once", fields=["coupon"], condition=Q(status="REDEEMED")),  # K2
            models.UniqueConstraint(
                name="coupon_order_alone",
                fields=["order_no", "channel", "shop"],
                condition=Q(status="REDEEMED", is_stackable=False),
            ),
            models.CheckConstraint(
                name="redemption_amounts",
                condition=Q(
                    discount_fen__gt=0, discount_fen__lte=F("eligible_fen"), eligible_fen__lte=F("basket_fen"), hq_fen__gte=0,
                    rest_fen__gte=0, discount_fen=F("hq_fen") + F("rest_fen"),
                ),
            ),
            models.CheckConstraint(
                name="redemption_reversal_says_why",
                condition=Q(status="REDEEMED", reversed_at=None, reason="")
                | Q(status="REVERSED", reversed_at__isnull=False, final_at=None) & ~Q(reason=""),
            ),
        )  # fmt: skip
        indexes = (
            models.Index(fields=["store", "-id"], name="redemption_store"),
            models.Index(fields=["order_no"], name="redemption_order"),
            models.Index(fields=["template", "-id"], name="redemption_template"),
            models.Index(fields=["member", "-id"], name="redemption_member"),
            models.Index(fields=["clerk", "-id"], name="redemption_clerk", condition=Q(clerk__isnull=False)),
            models.Index(fields=["redeemed_at"], name="redemption_not_final", condition=Q(status="REDEEMED", final_at=None)),
        )  # fmt: skip
        triggers: ClassVar[tuple[pgtrigger.Trigger, ...]] = (
            pgtrigger.Protect(name="redemption_stays", operation=pgtrigger.Delete),
            _moves("in_scope", pgtrigger.Insert, sql.IN_SCOPE, pgtrigger.Before),
            _moves("redeem_coupon", pgtrigger.Insert, sql.REDEEM_COUPON),
            _moves("reverses_once", pgtrigger.Update, sql.REVERSES_ONCE, pgtrigger.Before),
            _moves("give_back", pgtrigger.Update, sql.GIVE_BACK),
            pgtrigger.Trigger(
                name="release_rest", level=pgtrigger.Statement, when=pgtrigger.After, operation=pgtrigger.Update,
                referencing=pgtrigger.Referencing(old="old_rows", new="new_rows"), func=sql.RELEASE_REST,
            ),
        )  # fmt: skip

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"#{self.pk}"


class RedemptionNews(models.Model):
    """A redemption, or its end, that one follower has still to hear of (待通知); the follower takes the row away."""

    follower = models.CharField(max_length=32)
    redemption = models.ForeignKey(Redemption, models.PROTECT, related_name="+", db_index=False)
    status = models.CharField(max_length=8, choices=Redemption.Status)

    class Meta:
        verbose_name = _("news of a redemption")
        verbose_name_plural = _("news of redemptions")
        indexes = (models.Index(fields=["follower", "id"], name="redemption_news_follower"),)

    def __str__(self) -> str:
        return f"{self.follower} {self.redemption_id}"


class CouponQuota(models.Model):
    """How many of a template one guide has given out in a month (发券额度)."""

    template = models.ForeignKey(CouponTemplate, models.PROTECT, related_name="+", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False)
    month = models.DateField()
    cap_count = models.PositiveIntegerField()
    given_count = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("coupon quota")
        verbose_name_plural = _("coupon quotas")
        constraints = (
            models.UniqueConstraint(name="coupon_quota_once", fields=["user", "template", "month"]),
            models.CheckConstraint(name="coupon_quota_kept", condition=Q(given_count__lte=F("cap_count"))),
        )

    def __str__(self) -> str:
        return f"{self.user_id}/{self.template_id}"


class CouponPass(models.Model):
    """A one-time code on the customer's screen that proves to a till that she is there (核销验证码)."""

    member = models.OneToOneField(Member, models.PROTECT, related_name="+", primary_key=True)
    digest = models.CharField(max_length=64)
    expires_at = models.DateTimeField()
    tries_left = models.SmallIntegerField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("coupon pass")
        verbose_name_plural = _("coupon passes")
        constraints = (models.CheckConstraint(name="coupon_pass_tries", condition=Q(tries_left__gte=0)),)

    def __str__(self) -> str:
        return f"{self.member_id}"
