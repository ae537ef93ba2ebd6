"""Purchases (消费): order lines of every channel and their refunds.

A line is known by (channel, shop, order_no, line_no). ``Order`` is the key's home and never moves; ``OrderLine`` is
partitioned by ``booked_on``, which the order fixed at its first arrival, so that the key stays unique over all
partitions although a later version may change ``paid_at``.
"""

from __future__ import annotations

import pgtrigger
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from members.models import refreshing
from members.models.identity import Member
from members.models.products import Product
from scrm.models import Store
from scrm.money import FenField

# what facts of members are counted from (``members.facts``)
COUNTED = (
    "member_id", "order_id", "channel", "paid_at", "product_id", "paid_fen", "refunded_fen", "is_test", "is_gift_card", "is_voided",
)  # fmt: skip


class Channel(models.Model):
    """Where orders come from (渠道); orders name it by ``code``."""

    code = models.CharField(_("code"), max_length=24, unique=True)
    name = models.CharField(_("name"), max_length=64)
    is_in_store = models.BooleanField(_("in store"), default=False)

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")

    def __str__(self) -> str:
        return self.name


class DeliveryMode(models.TextChoices):
    EXPRESS = "EXPRESS", _("by parcel service")
    STORE_SHIP = "STORE_SHIP", _("shipped by a store")
    CITY = "CITY", _("brought within the city")
    PICKUP = "PICKUP", _("picked up in a store")
    IN_STORE = "IN_STORE", _("taken in the store")
    VIRTUAL = "VIRTUAL", _("nothing to hand over")


class GroupState(models.TextChoices):
    FORMING = "FORMING", _("group is forming")
    FORMED = "FORMED", _("group is complete")
    FAILED = "FAILED", _("group has failed")


class PresaleState(models.TextChoices):
    DEPOSIT = "DEPOSIT", _("deposit paid")
    BALANCE = "BALANCE", _("balance paid")


class Order(models.Model):
    channel = models.CharField(_("channel"), max_length=24)
    shop = models.CharField(_("shop"), max_length=64)
    order_no = models.CharField(_("order no."), max_length=64)
    booked_on = models.DateField(_("booked on"))  # business date of the first line's paid_at when first seen; fixed

    class Meta:
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        constraints = (models.UniqueConstraint(name="order_once", fields=["order_no", "channel", "shop"]),)

    def __str__(self) -> str:
        return self.order_no


class OrderLine(models.Model):
    order = models.ForeignKey(Order, models.PROTECT, verbose_name=_("order"), related_name="lines", db_index=False)
    booked_on = models.DateField()
    line_no = models.PositiveIntegerField(_("line"))
    channel = models.CharField(_("channel"), max_length=24)
    # the snapshot: the newest version of what the source says
    version_at = models.DateTimeField(_("version"))
    content_hash = models.CharField(max_length=32)  # of the version's content; the same version may not say two things
    created_at = models.DateTimeField(_("ordered at"))
    paid_at = models.DateTimeField(_("paid at"))
    completed_at = models.DateTimeField(_("completed at"), null=True)
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, db_index=False, related_name="+"
    )
    cashier_code = models.CharField(_("cashier"), max_length=32, blank=True)  # as the source wrote it
    buyer_mobile_index = models.CharField(max_length=32, blank=True)
    buyer_card_no = models.CharField(_("buyer's card"), max_length=64, blank=True)
    buyer_account = models.CharField(_("buyer's account"), max_length=128, blank=True)  # in namespace channel/shop
    buyer_unionid = models.CharField(max_length=64, blank=True)
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"), null=True, db_index=False)
    product = models.ForeignKey(Product, models.PROTECT, verbose_name=_("product"), db_index=False)
    quantity = models.DecimalField(_("quantity"), max_digits=12, decimal_places=3)
    unit_price = models.DecimalField(_("unit price"), max_digits=14, decimal_places=4, null=True)  # informative
    list_fen = FenField(_("list amount"))
    discounts = models.JSONField(_("discounts by sponsor"), default=dict)  # {"HQ": fen, "STORE": fen, "PLATFORM": fen}
    paid_fen = FenField(_("paid amount"))
    points_fen = FenField(_("paid with points or gift card"), default=0)  # part of paid_fen
    freight_fen = FenField(_("freight"), default=0)  # not part of paid_fen
    refunded_fen = FenField(_("refunded amount"), default=0)  # sum of applied refunds
    is_test = models.BooleanField(_("test order"), default=False)
    is_gift_card = models.BooleanField(_("gift card sale"), default=False)
    is_wholesale = models.BooleanField(_("wholesale"), default=False)
    is_staff_price = models.BooleanField(_("staff price"), default=False)
    is_voided = models.BooleanField(_("voided"), default=False)
    risk_mark = models.CharField(_("risk mark"), max_length=32, blank=True)
    # what only some channels say; empty where the source does not
    line_ref = models.CharField(_("the channel's line id"), max_length=64, blank=True, db_default="")
    delivery_mode = models.CharField(_("delivery"), max_length=12, choices=DeliveryMode, blank=True, db_default="")
    fulfil_store = models.ForeignKey(  # hands over or ships; ``store`` took the order
        Store, models.PROTECT, verbose_name=_("store that hands over"), null=True, db_index=False, related_name="+",
        db_constraint=False,
    )  # fmt: skip
    exchange_of = models.CharField(_("order exchanged by it"), max_length=64, blank=True, db_default="")
    group_state = models.CharField(_("group buy"), max_length=8, choices=GroupState, blank=True, db_default="")
    presale_state = models.CharField(_("presale"), max_length=8, choices=PresaleState, blank=True, db_default="")
    live_no = models.CharField(_("live room"), max_length=64, blank=True, db_default="")
    group_no = models.CharField(_("group no."), max_length=64, blank=True, db_default="")
    gift_card_fen = FenField(_("paid by gift card"), db_default=0)  # part of points_fen
    details = models.JSONField(_("further facts"), null=True)  # see docs/channels.md: status, guide marks, phases

    class Meta:
        verbose_name = _("order line")
        verbose_name_plural = _("order lines")
        constraints = (
            models.UniqueConstraint(name="order_line_once", fields=["order", "line_no", "booked_on"]),
            models.CheckConstraint(
                name="line_amounts", condition=Q(paid_fen__gte=0, points_fen__gte=0, list_fen__gte=0)
            ),
            models.CheckConstraint(name="line_points_in_paid", condition=Q(points_fen__lte=models.F("paid_fen"))),
            models.CheckConstraint(
                name="line_refund_in_paid", condition=Q(refunded_fen__gte=0, refunded_fen__lte=models.F("paid_fen"))
            ),
        )
        indexes = (
            models.Index(fields=["member", "-paid_at"], name="line_member", condition=Q(member__isnull=False)),
            models.Index(fields=["store", "-paid_at"], name="line_store"),
            BrinIndex(fields=["paid_at"], name="line_paid", autosummarize=True),  # the figures of one day
            # a member who registers late finds her earlier, unmatched purchases
            models.Index(
                fields=["buyer_mobile_index"],
                name="line_unmatched_mobile",
                condition=Q(member=None) & ~Q(buyer_mobile_index=""),
            ),
            models.Index(
                fields=["buyer_card_no"], name="line_unmatched_card", condition=Q(member=None) & ~Q(buyer_card_no="")
            ),
        )

        triggers = (
            pgtrigger.Protect(name="line_stays", operation=pgtrigger.Delete),  # decisions refer to it
            refreshing.refresh_buyers_of_new_lines(),
            refreshing.refresh_when_changed("refresh_buyers", COUNTED, ("member_id",)),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.order_id}-{self.line_no}"


class LineToDecide(models.Model):
    """A line whose decision or postings do not yet say what the line says (待判定).

    Written with the line, its new version or its refund; attribution claims it with SKIP LOCKED and deletes it. A
    queue beside the wide line costs a fifth of a status column on it.
    """

    line_id = models.BigIntegerField(primary_key=True)
    booked_on = models.DateField()

    class Meta:
        verbose_name = _("line to decide")
        verbose_name_plural = _("lines to decide")

    def __str__(self) -> str:
        return f"{self.line_id}"


class Refund(models.Model):
    """Money given back on one line (退款); one that comes before its order waits for it."""

    class Status(models.TextChoices):
        WAITING = "WAITING", _("waiting for its order")
        APPLIED = "APPLIED", _("applied")

    channel = models.CharField(_("channel"), max_length=24)
    shop = models.CharField(_("shop"), max_length=64)
    refund_no = models.CharField(_("refund no."), max_length=64)
    order_no = models.CharField(_("order no."), max_length=64)
    line_no = models.PositiveIntegerField(_("line"))
    line_id = models.BigIntegerField(null=True)  # OrderLine, partitioned: with booked_on
    booked_on = models.DateField(null=True)
    version_at = models.DateTimeField(_("version"))
    content_hash = models.CharField(max_length=32)
    refunded_at = models.DateTimeField(_("refunded at"))
    quantity = models.DecimalField(_("quantity"), max_digits=12, decimal_places=3)
    amount_fen = FenField(_("amount"))
    status = models.CharField(_("status"), max_length=8, choices=Status, default=Status.WAITING)
    is_posted = models.BooleanField(default=False)  # its reversal stands in the ledger

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        constraints = (
            models.UniqueConstraint(name="refund_once", fields=["refund_no", "channel", "shop"]),
            models.CheckConstraint(name="refund_amount", condition=Q(amount_fen__gte=0)),
            models.CheckConstraint(
                name="refund_applied_has_line", condition=~Q(status="APPLIED") | Q(line_id__isnull=False)
            ),
        )
        indexes = (
            models.Index(fields=["order_no", "line_no"], name="refund_waiting", condition=Q(status="WAITING")),
            models.Index(fields=["line_id", "refunded_at", "refund_no"], name="refund_of_line"),
        )

    def __str__(self) -> str:
        return self.refund_no


class ParkedVersion(models.Model):
    """A delivery that contradicts what stands: same version, other content. A person looks at it (待核对)."""

    kind = models.CharField(_("kind"), max_length=12, choices=[("LINE", _("order line")), ("REFUND", _("refund"))])
    key = models.CharField(_("key"), max_length=256)
    version_at = models.DateTimeField(_("version"))
    content_hash = models.CharField(max_length=32)
    content = models.JSONField(_("content"))  # without the buyer's number
    code = models.CharField(_("reason"), max_length=48)
    parked_at = models.DateTimeField(_("parked at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("parked version")
        verbose_name_plural = _("parked versions")
        constraints = (
            models.UniqueConstraint(name="parked_once", fields=["kind", "key", "version_at", "content_hash"]),
        )

    def __str__(self) -> str:
        return self.key
