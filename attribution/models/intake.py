"""What channels send us: signed deliveries, kept before they are understood (渠道事件)."""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from attribution.models.channels import ChannelShop


class ChannelEndpoint(models.Model):
    """A channel that may deliver by webhook, and the secret it signs with."""

    channel = models.CharField(_("channel"), max_length=24, unique=True)
    secret_sealed = models.BinaryField()
    is_active = models.BooleanField(_("active"), default=True)

    class Meta:
        verbose_name = _("channel endpoint")
        verbose_name_plural = _("channel endpoints")

    def __str__(self) -> str:
        return self.channel


class ChannelEvent(models.Model):
    class Status(models.TextChoices):
        RECEIVED = "RECEIVED", _("received")
        PROCESSED = "PROCESSED", _("processed")
        PARKED = "PARKED", _("parked")

    channel = models.CharField(_("channel"), max_length=24)
    shop = models.ForeignKey(  # read from a platform, in its own words; None: an order event
        ChannelShop, models.PROTECT, verbose_name=_("shop on a platform"), null=True, db_index=False, db_constraint=False,
        related_name="+",
    )  # fmt: skip
    event_id = models.CharField(_("event"), max_length=128)
    body_hash = models.CharField(max_length=64)
    body_sealed = models.BinaryField()
    status = models.CharField(_("status"), max_length=12, choices=Status, default=Status.RECEIVED)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    error_code = models.CharField(_("problem"), max_length=64, blank=True)
    error_place = models.CharField(_("place"), max_length=200, blank=True)
    received_at = models.DateTimeField(_("received at"), db_default=models.functions.Now())
    processed_at = models.DateTimeField(_("processed at"), null=True)

    class Meta:
        verbose_name = _("channel event")
        verbose_name_plural = _("channel events")
        constraints = (models.UniqueConstraint(name="event_once", fields=["channel", "event_id", "body_hash"]),)
        indexes = (
            models.Index(fields=["id"], name="event_open", condition=Q(status="RECEIVED")),
            models.Index(fields=["error_place"], name="event_awaits", condition=Q(status="PARKED")),
            BrinIndex(fields=["received_at"], name="event_received", autosummarize=True),  # what is old enough to go
        )

    def __str__(self) -> str:
        return f"{self.channel} {self.event_id}"
