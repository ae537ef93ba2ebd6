"""What we want WeCom to do, kept with the change that wants it until WeCom has answered (发件箱)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from scrm.models.wecom import Corp


class OutboxMessage(models.Model):
    class Status(models.TextChoices):
        WAITING = "WAITING", _("waiting to be sent")
        SENDING = "SENDING", _("being sent")
        DONE = "DONE", _("done")
        REFUSED = "REFUSED", _("refused")
        UNKNOWN = "UNKNOWN", _("unknown whether done")
        CANCELLED = "CANCELLED", _("cancelled")
        EXPIRED = "EXPIRED", _("too late")

    class Lane(models.TextChoices):
        WELCOME = "WELCOME", _("welcome")
        NORMAL = "NORMAL", _("normal")

    topic = models.CharField(_("kind"), max_length=48)
    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), related_name="+", db_index=False)
    key = models.CharField(_("key"), max_length=200)  # the business fact: the same one is sent once
    payload_sealed = models.BinaryField()
    payload_hash = models.CharField(max_length=64)
    record = models.CharField(_("what it is about"), max_length=200, blank=True)  # those of one go one after the other
    lane = models.CharField(_("lane"), max_length=12, choices=Lane, default=Lane.NORMAL)
    status = models.CharField(_("status"), max_length=12, choices=Status, default=Status.WAITING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    checks = models.PositiveSmallIntegerField(
        _("looked after"), default=0
    )  # how often WeCom was asked whether it is done
    not_before = models.DateTimeField(_("next try"), null=True)  # null: nothing more happens by itself
    expires_at = models.DateTimeField(_("too late after"), null=True)
    lease_until = models.DateTimeField(null=True)  # of the attempt under way, and its name
    answer_sealed = models.BinaryField(null=True)
    error_code = models.CharField(_("problem"), max_length=64, blank=True)
    error_detail = models.CharField(
        _("WeCom's code"), max_length=64, blank=True
    )  # a number or a kind of error, no text
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("requested by"), related_name="+",
        db_index=False,
    )  # fmt: skip
    created_at = models.DateTimeField(_("created at"))
    queued_at = models.DateTimeField()  # when it was written, or sent again by a person: its age counts from here
    settled_at = models.DateTimeField(_("settled at"), null=True)

    class Meta:
        verbose_name = _("message to WeCom")
        verbose_name_plural = _("messages to WeCom")
        constraints = (models.UniqueConstraint(name="outbox_message_once", fields=["topic", "corp", "key"]),)
        indexes = (
            models.Index(
                fields=["topic", "corp", "not_before", "id"], name="outbox_waiting", condition=Q(status="WAITING")
            ),
            models.Index(
                fields=["corp", "record", "id"],
                name="outbox_open_of_record",
                condition=Q(status__in=["WAITING", "SENDING", "UNKNOWN"]) & ~Q(record=""),
            ),
            models.Index(fields=["lease_until"], name="outbox_sending", condition=Q(status="SENDING")),
            models.Index(
                fields=["status", "id"], name="outbox_left", condition=Q(status__in=["REFUSED", "UNKNOWN"])
            ),  # for people, and to be looked after
            models.Index(
                fields=["settled_at"], name="outbox_ended", condition=Q(status__in=["DONE", "CANCELLED", "EXPIRED"])
            ),
        )

    def __str__(self) -> str:
        return f"{self.topic} {self.key}"
