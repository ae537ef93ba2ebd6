"""Sweeps of contacts (好友同步): the whole list of friends read from WeCom and compared with the mirror."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from guides.models.contacts import Follower
from guides.models.staff import Guide
from scrm import org
from scrm.models import Corp, Job


class ContactSweep(models.Model):
    """One sweep. It may be done by several jobs: one that WeCom holds up ends, and another goes on."""

    class Kind(models.TextChoices):
        FULL = "FULL", _("all accounts")
        ROLLING = "ROLLING", _("a seventh of the accounts")
        GAP = "GAP", _("all accounts, after a gap in the events")
        CHOSEN = "CHOSEN", _("chosen accounts")

    class Status(models.TextChoices):
        RUNNING = "RUNNING", _("running")
        PAUSED = "PAUSED", _("held up by WeCom")
        DONE = "DONE", _("done")
        CANCELLED = "CANCELLED", _("cancelled")

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), related_name="+", db_index=False)
    job = models.ForeignKey(Job, models.SET_NULL, null=True, verbose_name=_("job"), related_name="+", db_index=False)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.RUNNING)
    started_at = models.DateTimeField(_("started at"))
    planned_at = models.DateTimeField(null=True)  # when the batches stood
    not_before = models.DateTimeField(_("goes on at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)
    pause_count = models.PositiveIntegerField(_("times held up"), default=0)
    error_code = models.CharField(_("problem"), max_length=64, blank=True, default="")
    account_count = models.IntegerField(_("accounts"), default=0)
    swept_count = models.IntegerField(_("accounts compared"), default=0)
    failed_count = models.IntegerField(_("accounts not readable"), default=0)
    call_count = models.IntegerField(_("calls"), default=0)
    pair_count = models.BigIntegerField(_("friends on WeCom"), default=0)
    added_count = models.BigIntegerField(_("friends added"), default=0)
    changed_count = models.BigIntegerField(_("friends changed"), default=0)
    ended_count = models.BigIntegerField(_("friends ended"), default=0)
    held_count = models.BigIntegerField(_("ends held back"), default=0)

    class Meta:
        verbose_name = _("sweep of contacts")
        verbose_name_plural = _("sweeps of contacts")
        indexes = (
            models.Index(
                fields=["corp", "id"], name="contact_sweep_open", condition=Q(status__in=["RUNNING", "PAUSED"])
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} #{self.pk}"


class SweepBatch(models.Model):
    """Up to a hundred accounts that are read together; page after page is staged, then compared as a set."""

    class Status(models.TextChoices):
        OPEN = "OPEN", _("open")
        DONE = "DONE", _("done")
        FAILED = "FAILED", _("not readable")

    sweep = models.ForeignKey(ContactSweep, models.CASCADE, related_name="batches", db_index=False)
    number = models.PositiveIntegerField()
    userids = ArrayField(models.CharField(max_length=64))
    status = models.CharField(max_length=8, choices=Status, default=Status.OPEN)
    read_from = models.DateTimeField(null=True)  # our clock before the first page was asked for
    cursor = models.CharField(max_length=1024, blank=True, default="")  # the next page; kept as long as WeCom keeps it
    staged_count = models.IntegerField(default=0)  # rows in the staging table; others there mean that it was lost
    page_count = models.IntegerField(default=0)  # over all beginnings
    is_read = models.BooleanField(default=False, db_default=False)  # to the last page: only the comparison is left
    restart_count = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name = _("batch of a sweep")
        verbose_name_plural = _("batches of a sweep")
        constraints = (models.UniqueConstraint(name="sweep_batch_once", fields=["sweep", "number"]),)

    def __str__(self) -> str:
        return f"{self.sweep_id}/{self.number}"


class HeldEnds(models.Model):
    """Friends of one account whom WeCom no longer shows, too many to believe it: a person looks first (待确认的流失)."""

    class Status(models.TextChoices):
        WAITING = "WAITING", _("waiting for a decision")
        CONFIRMED = "CONFIRMED", _("confirmed")
        DISMISSED = "DISMISSED", _("not believed")
        OVERTAKEN = "OVERTAKEN", _("overtaken by a newer sweep")

    sweep = models.ForeignKey(ContactSweep, models.CASCADE, verbose_name=_("sweep of contacts"), related_name="held")
    follower = models.ForeignKey(Follower, models.CASCADE, verbose_name=_("WeCom account"), related_name="held")
    read_from = models.DateTimeField(_("read at"))
    friendship_ids = ArrayField(models.BigIntegerField())
    missing_count = models.IntegerField(_("no longer on WeCom"))
    friend_count = models.IntegerField(_("friends here"))  # before, of this account
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.WAITING)
    ended_count = models.IntegerField(_("friends ended"), null=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("decided by"), related_name="+"
    )
    decided_at = models.DateTimeField(_("decided at"), null=True)

    class Meta:
        verbose_name = _("ends held back")
        verbose_name_plural = _("ends held back")
        constraints = (
            models.UniqueConstraint(name="one_waiting_per_account", fields=["follower"], condition=Q(status="WAITING")),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(
            models.Exists(
                Follower.objects.filter(org.through("guide", Guide, store_ids), pk=models.OuterRef("follower"))
            )
        )

    def __str__(self) -> str:
        return f"{self.follower_id}: {self.missing_count}"


class EventHour(models.Model):
    """How many events of friends came in an hour: an hour of nothing where there always was something is a gap."""

    corp = models.ForeignKey(Corp, models.CASCADE, related_name="+", db_index=False)
    hour = models.DateTimeField()
    event_count = models.IntegerField(default=0)

    class Meta:
        verbose_name = _("events in an hour")
        verbose_name_plural = _("events in an hour")
        constraints = (models.UniqueConstraint(name="event_hour_once", fields=["corp", "hour"]),)

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}"
