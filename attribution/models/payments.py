"""Payments of our own mini-program (小程序支付): the merchant's accounts with WeChat Pay and what it told us."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from scrm.db import AppendOnlyModel
from scrm.money import FenField


class PayMerchant(models.Model):
    """A merchant number of ours with WeChat Pay; the orders of ``channel`` and ``shop_no`` are paid through it."""

    channel = models.CharField(_("channel"), max_length=24)
    shop_no = models.CharField(_("shop no."), max_length=64)
    mchid = models.CharField(_("merchant number"), max_length=32, unique=True)
    secret_sealed = models.BinaryField()  # the APIv3 key
    keys = models.JSONField(_("keys of WeChat Pay"), default=dict)  # {serial or PUB_KEY_ID_…: PEM}; public
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("WeChat Pay merchant")
        verbose_name_plural = _("WeChat Pay merchants")

    def __str__(self) -> str:
        return self.mchid


class PayNotice(AppendOnlyModel):
    """One fact that WeChat Pay told us: a payment, or what became of a refund. Told again it is the same row."""

    class Kind(models.TextChoices):
        PAYMENT = "PAYMENT", _("payment")
        REFUND = "REFUND", _("refund")

    merchant = models.ForeignKey(PayMerchant, models.PROTECT, verbose_name=_("merchant number"), related_name="notices")
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    fact_id = models.CharField(_("number of WeChat Pay"), max_length=64)  # of the transaction, or of the refund
    trade_no = models.CharField(_("our payment number"), max_length=64)
    refund_no = models.CharField(_("refund no."), max_length=64, blank=True)
    state = models.CharField(_("state"), max_length=16)  # SUCCESS, CLOSED, ABNORMAL
    total_fen = FenField(_("amount of the order"))
    amount_fen = FenField(_("paid by the buyer, or refunded"))
    openid = models.CharField(max_length=64, blank=True)
    happened_at = models.DateTimeField(_("happened at"))
    received_at = models.DateTimeField(_("received at"), db_default=models.functions.Now())

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("notice of WeChat Pay")
        verbose_name_plural = _("notices of WeChat Pay")
        constraints = (
            models.UniqueConstraint(name="pay_notice_once", fields=["merchant", "kind", "fact_id", "state"]),
        )
        indexes: ClassVar[tuple[models.Index, ...]] = (
            models.Index(fields=["trade_no"], name="pay_notice_trade"),
            models.Index(fields=["refund_no"], name="pay_notice_refund", condition=~models.Q(refund_no="")),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.refund_no or self.trade_no}"
