"""What WeCom tells us: the addresses it calls, and its events, kept before they are understood (企微事件)."""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class CallbackEndpoint(models.Model):
    """An address that WeCom calls, and what it signs and encrypts with."""

    name = models.SlugField(_("name in the address"), max_length=40, unique=True, db_index=False)
    corp_id = models.CharField(_("corp id"), max_length=64)
    token_sealed = models.BinaryField()
    aes_key_sealed = models.BinaryField()
    is_active = models.BooleanField(_("active"), default=True)

    class Meta:
        verbose_name = _("callback endpoint")
        verbose_name_plural = _("callback endpoints")

    def __str__(self) -> str:
        return self.name


class InboxEvent(models.Model):
    class Status(models.TextChoices):
        RECEIVED = "RECEIVED", _("received")
        PROCESSED = "PROCESSED", _("processed")
        STALE = "STALE", _("overtaken by a newer one")
        UNKNOWN = "UNKNOWN", _("nobody understands it yet")
        PARKED = "PARKED", _("parked")

    class Lane(models.TextChoices):
        """In descending order of the alphabet, as the index of what is open has them."""

        WELCOME = "WELCOME", _("welcome")
        NORMAL = "NORMAL", _("normal")

    endpoint = models.ForeignKey(
        CallbackEndpoint, verbose_name=_("callback endpoint"), on_delete=models.PROTECT, db_index=False
    )
    body_hash = models.CharField(max_length=64)  # SHA-256 of the decrypted body: WeCom gives its events no id
    body_sealed = models.BinaryField()
    event = models.CharField(_("event"), max_length=64)
    change_type = models.CharField(_("kind of change"), max_length=64, blank=True)
    aggregate = models.CharField(_("what it is about"), max_length=255)
    event_at = models.DateTimeField(_("happened at"))
    lane = models.CharField(_("lane"), max_length=12, choices=Lane, default=Lane.NORMAL)
    status = models.CharField(_("status"), max_length=12, choices=Status, default=Status.RECEIVED)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    error_code = models.CharField(_("problem"), max_length=64, blank=True)
    error_place = models.CharField(_("place"), max_length=200, blank=True)
    received_at = models.DateTimeField(_("received at"), db_default=models.functions.Now())
    processed_at = models.DateTimeField(_("processed at"), null=True)

    class Meta:
        verbose_name = _("WeCom event")
        verbose_name_plural = _("WeCom events")
        constraints = (models.UniqueConstraint(name="inbox_event_once", fields=["endpoint", "body_hash"]),)
        indexes = (
            models.Index(fields=["-lane", "id"], name="inbox_event_open", condition=Q(status="RECEIVED")),
            models.Index(
                fields=["status", "id"], name="inbox_event_left", condition=Q(status__in=["UNKNOWN", "PARKED"])
            ),
            models.Index(fields=["aggregate", "endpoint", "event_at"], name="inbox_event_about"),
            BrinIndex(fields=["received_at"], name="inbox_event_age", autosummarize=True),
        )

    def __str__(self) -> str:
        return f"{self.event} {self.change_type}".strip()
