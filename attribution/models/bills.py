"""A channel's own bills (渠道账单), and where they and our books disagree."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from scrm.models import Job
from scrm.money import FenField


class ChannelBill(models.Model):
    """One file of one shop and day. A later file of that day takes its place; the same file is refused."""

    channel = models.CharField(_("channel"), max_length=24)
    shop_no = models.CharField(_("shop no."), max_length=64)
    day = models.DateField(_("business day"))
    name = models.CharField(_("file name"), max_length=255)
    sha256 = models.CharField(max_length=64)
    job = models.ForeignKey(Job, models.PROTECT, verbose_name=_("job"), null=True, related_name="+")
    with_freight = models.BooleanField(_("amounts hold freight"), default=True)
    is_current = models.BooleanField(_("in force"), default=False)  # read to its end, and none came after it
    order_count = models.PositiveIntegerField(_("orders"), default=0)
    bad_count = models.PositiveIntegerField(_("broken rows"), default=0)
    paid_fen = FenField(_("paid by the bill"), default=0)
    refunded_fen = FenField(_("refunded by the bill"), default=0)
    our_paid_fen = FenField(_("paid in our books"), default=0)
    our_refunded_fen = FenField(_("refunded in our books"), default=0)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("uploaded by"), related_name="+"
    )
    uploaded_at = models.DateTimeField(_("uploaded at"), db_default=models.functions.Now())
    compared_at = models.DateTimeField(_("compared at"), null=True)

    class Meta:
        verbose_name = _("channel bill")
        verbose_name_plural = _("channel bills")
        constraints = (
            models.UniqueConstraint(name="bill_file_once", fields=["channel", "shop_no", "day", "sha256"]),
            models.UniqueConstraint(
                name="one_bill_per_day", fields=["channel", "shop_no", "day"], condition=models.Q(is_current=True)
            ),
        )

    def __str__(self) -> str:
        return f"{self.channel} {self.shop_no} {self.day}"


class ChannelBillLine(models.Model):
    """What a bill says about one order on its day."""

    bill = models.ForeignKey(ChannelBill, models.CASCADE, related_name="lines")
    order_no = models.CharField(_("order no."), max_length=64)
    paid_fen = FenField(_("paid"), default=0)
    refunded_fen = FenField(_("refunded"), default=0)

    class Meta:
        verbose_name = _("line of a bill")
        verbose_name_plural = _("lines of a bill")
        constraints = (models.UniqueConstraint(name="bill_order_once", fields=["bill", "order_no"]),)

    def __str__(self) -> str:
        return self.order_no


class ChannelDifference(models.Model):
    """An order on which bill and books disagree (差异); it ages until it is gone, explained or closed."""

    class Kind(models.TextChoices):
        ONLY_OURS = "ONLY_OURS", _("only in our books")
        ONLY_THEIRS = "ONLY_THEIRS", _("only in the bill")
        AMOUNT = "AMOUNT", _("amounts differ")

    class Measure(models.TextChoices):
        PAID = "PAID", _("paid")
        REFUNDED = "REFUNDED", _("refunded")

    class State(models.TextChoices):
        OPEN = "OPEN", _("open")
        EXPLAINED = "EXPLAINED", _("explained")
        CLOSED = "CLOSED", _("closed")
        GONE = "GONE", _("no longer there")

    channel = models.CharField(_("channel"), max_length=24)
    shop_no = models.CharField(_("shop no."), max_length=64)
    day = models.DateField(_("business day"))
    order_no = models.CharField(_("order no."), max_length=64)
    measure = models.CharField(_("about"), max_length=8, choices=Measure)
    kind = models.CharField(_("difference"), max_length=12, choices=Kind)
    ours_fen = FenField(_("in our books"))
    theirs_fen = FenField(_("in the bill"))
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.OPEN)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("by"), related_name="+"
    )
    found_at = models.DateTimeField(_("found at"))
    seen_at = models.DateTimeField(_("last seen at"))
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("difference to a bill")
        verbose_name_plural = _("differences to bills")
        constraints = (
            models.UniqueConstraint(
                name="difference_once", fields=["channel", "shop_no", "day", "order_no", "measure"]
            ),
        )
        indexes = (models.Index(fields=["state", "day"], name="difference_open"),)

    def __str__(self) -> str:
        return self.order_no
