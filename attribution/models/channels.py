"""Shops on sales platforms (渠道店铺): how we reach them, how far they have been read, what they told us."""

from __future__ import annotations

import datetime as dt

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from scrm.models import Store


class ChannelShop(models.Model):
    """A shop of ours on a platform; ``channel`` is the platform's code and the channel of its orders in our books."""

    channel = models.CharField(_("channel"), max_length=24)
    shop_no = models.CharField(_("shop no."), max_length=64)
    name = models.CharField(_("name"), max_length=64)
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), null=True, blank=True, related_name="+")
    app_key = models.CharField(_("app key"), max_length=128)
    secrets_sealed = models.BinaryField()
    token_sealed = models.BinaryField(null=True)
    token_until = models.DateTimeField(_("token valid until"), null=True)
    base_url = models.CharField(_("address of the interface"), max_length=200, blank=True)  # empty: the platform's own
    settings = models.JSONField(_("settings"), default=dict)
    guide_mark = models.CharField(_("mark that is our guide code"), max_length=16, blank=True)
    stores = models.JSONField(_("stores by the platform's number"), default=dict)  # {their number: our code}
    is_store_code = models.BooleanField(_("store numbers are our codes"), default=False)
    is_enabled = models.BooleanField(_("reading"), default=True)
    created_at = models.DateTimeField(_("connected at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("shop on a platform")
        verbose_name_plural = _("shops on platforms")
        constraints = (models.UniqueConstraint(name="channel_shop_once", fields=["channel", "shop_no"]),)

    def __str__(self) -> str:
        return self.name


class ChannelCursor(models.Model):
    """How far one stream of a shop has been read. With ``stops_at`` it is a period read once more, and ends there."""

    class Stream(models.TextChoices):
        ORDERS = "orders", _("orders")
        REFUNDS = "refunds", _("refunds")

    shop = models.ForeignKey(ChannelShop, models.CASCADE, verbose_name=_("shop on a platform"), related_name="cursors")
    stream = models.CharField(_("what is read"), max_length=8, choices=Stream)
    read_until = models.DateTimeField(_("read until"))
    stops_at = models.DateTimeField(_("stops at"), null=True)
    window_until = models.DateTimeField(null=True)  # of the window being read
    place = models.JSONField(null=True)  # of the next page in it
    due_at = models.DateTimeField(_("next reading"))
    claimed_until = models.DateTimeField(null=True)  # by the worker who reads it
    ran_at = models.DateTimeField(_("last reading"), null=True)
    succeeded_at = models.DateTimeField(_("last success"), null=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    error_code = models.CharField(_("problem"), max_length=80, blank=True)
    read_count = models.BigIntegerField(_("deliveries read"), default=0)

    class Meta:
        verbose_name = _("reading of a shop")
        verbose_name_plural = _("readings of shops")
        constraints = (
            models.UniqueConstraint(
                name="one_cursor_per_stream", fields=["shop", "stream"], condition=Q(stops_at=None)
            ),
        )
        indexes = (models.Index(fields=["due_at"], name="cursor_due"),)

    def __str__(self) -> str:
        return f"{self.shop_id} {self.stream}"

    def lag(self, now: dt.datetime) -> dt.timedelta:
        return now - self.read_until


class ChannelNotice(models.Model):
    """A platform's push: something about this order has changed (渠道通知). The detail is read soon; then the row goes."""

    class Status(models.TextChoices):
        WAITING = "WAITING", _("waiting")
        PARKED = "PARKED", _("parked")

    shop = models.ForeignKey(ChannelShop, models.CASCADE, verbose_name=_("shop on a platform"), related_name="notices")
    order_no = models.CharField(_("order no."), max_length=64)
    refund_no = models.CharField(_("refund no."), max_length=64, blank=True)
    topic = models.CharField(_("about"), max_length=64, blank=True)
    is_late = models.BooleanField(default=False)  # a fact that does not move the order's own version
    status = models.CharField(_("status"), max_length=8, choices=Status, default=Status.WAITING)
    told_count = models.PositiveIntegerField(_("times told"), default=1)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    error_code = models.CharField(_("problem"), max_length=80, blank=True)
    due_at = models.DateTimeField(_("due at"))
    told_at = models.DateTimeField(_("told at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("notice of a platform")
        verbose_name_plural = _("notices of platforms")
        constraints = (models.UniqueConstraint(name="notice_once", fields=["shop", "order_no", "refund_no"]),)
        indexes = (models.Index(fields=["due_at"], name="notice_due", condition=Q(status="WAITING")),)

    def __str__(self) -> str:
        return self.order_no


class StrangePush(models.Model):
    """A push to an address that is no shop of ours, kept sealed until the shop is connected (未知渠道)."""

    channel = models.CharField(_("channel"), max_length=64)
    shop_no = models.CharField(_("shop no."), max_length=64)
    body_hash = models.CharField(max_length=64)
    request_sealed = models.BinaryField()  # headers, query and body
    told_count = models.PositiveIntegerField(_("times told"), default=1)
    told_at = models.DateTimeField(_("told at"), db_default=models.functions.Now())
    taken_at = models.DateTimeField(_("taken at"), null=True)  # its content is gone then

    class Meta:
        verbose_name = _("push for an unknown shop")
        verbose_name_plural = _("pushes for unknown shops")
        constraints = (models.UniqueConstraint(name="strange_push_once", fields=["channel", "shop_no", "body_hash"]),)

    def __str__(self) -> str:
        return f"{self.channel} {self.shop_no}"
