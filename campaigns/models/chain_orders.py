"""Chain orders (接龙): what a leader offers to her group, who takes what of it, what is paid and what is picked up."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.content import ContentFile
from campaigns.models.groups import Group
from campaigns.models.stock import Reservation, StockItem
from guides.models import Guide, Share
from members.models import Member, Product
from scrm import org
from scrm.models import Store
from scrm.money import FenField


class ChainOrder(models.Model):
    """One chain. Its share is the leader's: whoever opens its link or stands in it is her touch until the chain closes."""

    class Status(models.TextChoices):
        OPEN = "OPEN", _("open")
        CLOSED = "CLOSED", _("closed")

    title = models.CharField(_("title"), max_length=64)
    note = models.TextField(_("note to the group"), max_length=1_000, blank=True)
    leader = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("leader"), db_index=False, related_name="+")
    group = models.ForeignKey(
        Group, models.PROTECT, verbose_name=_("customer group"), null=True, db_index=False, related_name="+"
    )
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), db_index=False, related_name="+")
    pickup_store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("picked up in"), db_index=False, related_name="+"
    )
    pickup_place = models.CharField(_("place of pick-up"), max_length=128, blank=True)
    pickup_from = models.DateTimeField(_("picked up from"))
    pickup_until = models.DateTimeField(_("picked up until"))
    opens_at = models.DateTimeField(_("open from"))
    closes_at = models.DateTimeField(_("open until"))
    status = models.CharField(_("state"), max_length=8, choices=Status, default=Status.OPEN)
    share = models.OneToOneField(Share, models.PROTECT, verbose_name=_("share"), null=True, related_name="+")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("published by"), null=True, db_index=False, related_name="+"
    )  # fmt: skip
    key = models.CharField(max_length=96, unique=True)  # of the request that published it
    created_at = models.DateTimeField(_("created at"))
    closed_at = models.DateTimeField(_("closed at"), null=True)

    class Meta:
        verbose_name = _("chain order")
        verbose_name_plural = _("chain orders")
        constraints = (
            models.CheckConstraint(name="chain_window", condition=Q(closes_at__gt=F("opens_at"))),
            models.CheckConstraint(name="chain_pickup", condition=Q(pickup_until__gt=F("pickup_from"))),
            models.CheckConstraint(
                name="chain_closed", condition=Q(status="OPEN", closed_at=None) | Q(status="CLOSED", closed_at__isnull=False)
            ),
        )  # fmt: skip
        indexes = (
            models.Index(fields=["leader", "-id"], name="chain_leader"),
            models.Index(fields=["store", "-id"], name="chain_store"),
            models.Index(fields=["pickup_store", "-id"], name="chain_pickup_store"),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids) | Q(pickup_store_id__in=store_ids)

    @property
    def code(self) -> str:
        """What touches and order lines name it by."""
        return f"JL{self.pk:06d}"

    def __str__(self) -> str:
        return self.title


class ChainItem(models.Model):
    """What is offered. A single piece (按个卖) has its weight and photo and a stock of one."""

    chain = models.ForeignKey(ChainOrder, models.PROTECT, verbose_name=_("chain order"), db_index=False, related_name="items")  # fmt: skip
    number = models.PositiveSmallIntegerField(_("number"))
    name = models.CharField(_("name"), max_length=64)
    aliases = models.JSONField(_("also called"), default=list, blank=True)  # as people write it in the chat
    unit = models.CharField(_("unit"), max_length=8, default="个", db_default="个")
    unit_fen = FenField(_("price"), validators=[MinValueValidator(1), MaxValueValidator(10**9)])
    product = models.ForeignKey(
        Product, models.PROTECT, verbose_name=_("product"), null=True, db_index=False, related_name="+"
    )
    piece_no = models.PositiveSmallIntegerField(_("number of the single piece"), null=True)
    weight_grams = models.PositiveIntegerField(_("weight in grams"), null=True)
    photo = models.ForeignKey(ContentFile, models.PROTECT, verbose_name=_("photo"), null=True, db_index=False, related_name="+")  # fmt: skip
    stock = models.ForeignKey(StockItem, models.PROTECT, verbose_name=_("stock item"), related_name="+")
    stock_store = models.ForeignKey(Store, models.PROTECT, null=True, db_index=False, related_name="+")

    class Meta:
        verbose_name = _("item of a chain order")
        verbose_name_plural = _("items of chain orders")
        constraints = (
            models.UniqueConstraint(name="chain_item_once", fields=["chain", "number"]),
            models.CheckConstraint(name="chain_item_price", condition=Q(unit_fen__gt=0)),
            models.CheckConstraint(
                name="chain_piece_weighs", condition=Q(piece_no=None) | Q(weight_grams__isnull=False)
            ),
            models.UniqueConstraint(
                name="chain_piece_once", fields=["chain", "name", "piece_no"], nulls_distinct=False
            ),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("chain", ChainOrder, store_ids)

    @property
    def sku(self) -> str:
        return self.product.sku if self.product else f"JL-{self.chain_id}-{self.number}"

    @property
    def label(self) -> str:
        """``D24榴莲 3号 1.56kg``"""
        if self.piece_no is None:
            return self.name
        grams = self.weight_grams or 0
        return f"{self.name} {self.piece_no}号 {grams // 1000}.{grams % 1000:03d}kg"

    def __str__(self) -> str:
        return self.label


class ChainPerson(models.Model):
    """Somebody in a chain: by her WeCom identity where that is given, else by name, with or without a number."""

    chain = models.ForeignKey(ChainOrder, models.PROTECT, verbose_name=_("chain order"), db_index=False, related_name="people")  # fmt: skip
    number = models.PositiveIntegerField(_("number in the chain"))
    name = models.CharField(_("name"), max_length=32)
    external_userid = models.CharField(max_length=64, blank=True)
    unionid = models.CharField(max_length=64, blank=True)
    mobile_sealed = models.BinaryField(null=True)
    mobile_index = models.CharField(max_length=32, blank=True)
    member = models.ForeignKey(
        Member, models.PROTECT, verbose_name=_("member"), null=True, db_index=False, related_name="+"
    )
    is_leader = models.BooleanField(_("the leader herself"), default=False)
    note = models.CharField(_("note"), max_length=200, blank=True)
    secret = models.CharField(max_length=32, unique=True)  # of her own page
    pickup_code = models.CharField(_("verification code"), max_length=8, unique=True)
    joined_at = models.DateTimeField(_("joined at"))
    picked_up_at = models.DateTimeField(_("picked up at"), null=True)
    picked_up_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("handed over by"), null=True, db_index=False, related_name="+"
    )  # fmt: skip

    class Meta:
        verbose_name = _("person in a chain order")
        verbose_name_plural = _("people in chain orders")
        constraints = (
            models.UniqueConstraint(name="chain_person_number", fields=["chain", "number"]),
            models.UniqueConstraint(
                name="chain_person_wecom", fields=["chain", "external_userid"], condition=~Q(external_userid="")
            ),
            models.UniqueConstraint(
                name="chain_person_mobile", fields=["chain", "mobile_index"], condition=~Q(mobile_index="")
            ),
        )
        indexes = (
            models.Index(fields=["member", "-id"], name="chain_person_member", condition=Q(member__isnull=False)),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("chain", ChainOrder, store_ids)

    def __str__(self) -> str:
        return self.name


class ChainPayment(models.Model):
    """What a person has paid at once: an order of her own, or the number of the order that the mini-program took."""

    class Kind(models.TextChoices):
        CASH = "CASH", _("in cash")
        TRANSFER = "TRANSFER", _("by transfer")
        ORDER = "ORDER", _("by a mini-program order")

    person = models.ForeignKey(ChainPerson, models.PROTECT, verbose_name=_("person"), related_name="payments")
    kind = models.CharField(_("paid"), max_length=8, choices=Kind)
    amount_fen = FenField(_("amount"))
    order_no = models.CharField(_("order no."), max_length=64, blank=True)
    paid_at = models.DateTimeField(_("paid at"))
    taken_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("taken by"), null=True, db_index=False, related_name="+"
    )  # fmt: skip

    class Meta:
        verbose_name = _("payment of a chain order")
        verbose_name_plural = _("payments of chain orders")
        constraints = (
            models.UniqueConstraint(name="chain_payment_order", fields=["order_no"], condition=~Q(order_no="")),
            models.CheckConstraint(
                name="chain_payment_named", condition=Q(kind="ORDER") & ~Q(order_no="") | ~Q(kind="ORDER") & Q(order_no="")
            ),
        )  # fmt: skip

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("person", ChainPerson, store_ids)

    def __str__(self) -> str:
        return f"#{self.pk}"


class ChainLine(models.Model):
    """So many of an item for a person, with the part of the stock that is hers."""

    class Status(models.TextChoices):
        TAKEN = "TAKEN", _("not paid")
        PAID = "PAID", _("paid")
        CANCELLED = "CANCELLED", _("cancelled")
        REFUNDED = "REFUNDED", _("refunded")

    class Source(models.TextChoices):
        FORM = "FORM", _("by form")
        CHAT = "CHAT", _("from the chat")
        LEADER = "LEADER", _("by the leader")

    person = models.ForeignKey(ChainPerson, models.PROTECT, verbose_name=_("person"), related_name="lines")
    item = models.ForeignKey(ChainItem, models.PROTECT, verbose_name=_("item"), related_name="lines")
    quantity = models.PositiveIntegerField(_("quantity"))
    status = models.CharField(_("state"), max_length=10, choices=Status, default=Status.TAKEN)
    source = models.CharField(_("how it came"), max_length=8, choices=Source)
    reservation = models.OneToOneField(Reservation, models.PROTECT, related_name="+")
    payment = models.ForeignKey(ChainPayment, models.PROTECT, verbose_name=_("payment"), null=True, related_name="lines")  # fmt: skip
    created_at = models.DateTimeField(_("joined at"))
    changed_at = models.DateTimeField(_("changed at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("line of a chain order")
        verbose_name_plural = _("lines of chain orders")
        constraints = (
            models.UniqueConstraint(  # who wants more of what she has not paid yet has more of the same line
                name="chain_line_open", fields=["person", "item"], condition=Q(status="TAKEN")
            ),
            models.CheckConstraint(name="chain_line_some", condition=Q(quantity__gte=1)),
            models.CheckConstraint(
                name="chain_line_paid",
                condition=Q(status__in=["TAKEN", "CANCELLED"], payment=None)
                | Q(status__in=["PAID", "REFUNDED"], payment__isnull=False),
            ),
            models.CheckConstraint(
                name="chain_line_ended",
                condition=Q(status__in=["TAKEN", "PAID"], ended_at=None)
                | Q(status__in=["CANCELLED", "REFUNDED"], ended_at__isnull=False),
            ),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("person", ChainPerson, store_ids)

    @property
    def amount_fen(self) -> int:
        return int(self.quantity * self.item.unit_fen)

    def __str__(self) -> str:
        return f"{self.item_id} x {self.quantity}"
