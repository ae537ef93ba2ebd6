"""WeCom (企业微信): the corps we speak for, our apps in them, their tokens and how fast we may call."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Corp(models.Model):
    """A company on WeCom (企业)."""

    corp_id = models.CharField(_("corp id"), max_length=64, unique=True)
    name = models.CharField(_("name"), max_length=128)

    class Meta:
        verbose_name = _("WeCom corp")
        verbose_name_plural = _("WeCom corps")

    def __str__(self) -> str:
        return self.name


class WecomApp(models.Model):
    """One secret of a corp: what it may call follows from its kind (企业微信应用)."""

    class Kind(models.TextChoices):
        SELF_BUILT = "SELF_BUILT", _("self-built app")
        CONTACT_SYNC = "CONTACT_SYNC", _("contact sync")
        MINI_PROGRAM = "MINI_PROGRAM", _("mini-program")

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), related_name="apps")
    kind = models.CharField(_("kind"), max_length=16, choices=Kind)
    name = models.CharField(_("name"), max_length=64)
    agent_id = models.BigIntegerField(_("agent id"), null=True, blank=True, validators=[MinValueValidator(1)])
    secret_sealed = models.BinaryField()

    class Meta:
        verbose_name = _("WeCom app")
        verbose_name_plural = _("WeCom apps")
        constraints = (
            models.UniqueConstraint(name="wecom_agent_once", fields=["corp", "agent_id"]),
            models.UniqueConstraint(
                name="one_contact_sync_per_corp", fields=["corp"], condition=Q(kind="CONTACT_SYNC")
            ),
            models.CheckConstraint(  # the contact sync is a secret without an app
                name="wecom_app_names_its_agent",
                condition=Q(kind="CONTACT_SYNC", agent_id__isnull=True)
                | (~Q(kind="CONTACT_SYNC") & Q(agent_id__isnull=False)),
            ),
        )

    def __str__(self) -> str:
        return self.name


class WecomToken(models.Model):
    """The token of an app, or why there is none; one row for all workers."""

    app = models.OneToOneField(WecomApp, models.CASCADE, primary_key=True, related_name="token")
    token_sealed = models.BinaryField(null=True)
    fetched_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    refused_code = models.IntegerField(null=True)  # WeCom's code; -2 when it could not be reached
    paused_until = models.DateTimeField(null=True)  # no token is asked for before

    class Meta:
        verbose_name = _("WeCom token")
        verbose_name_plural = _("WeCom tokens")

    def __str__(self) -> str:
        return f"token of app {self.app_id}"


class WecomTicket(models.Model):
    """A ticket with which pages are signed, or why there is none; one row for all workers."""

    class Kind(models.TextChoices):
        CORP = "CORP", _("ticket of the corp")
        APP = "APP", _("ticket of the app")

    app = models.ForeignKey(WecomApp, models.CASCADE, verbose_name=_("WeCom app"), related_name="tickets")
    kind = models.CharField(_("kind"), max_length=4, choices=Kind)
    ticket_sealed = models.BinaryField(null=True)
    expires_at = models.DateTimeField(null=True)
    refused_code = models.IntegerField(null=True)  # WeCom's code; null when there was no answer
    paused_until = models.DateTimeField(null=True)  # no ticket is asked for before

    class Meta:
        verbose_name = _("WeCom ticket")
        verbose_name_plural = _("WeCom tickets")
        constraints = (models.UniqueConstraint(name="one_ticket_per_app_and_kind", fields=["app", "kind"]),)

    def __str__(self) -> str:
        return f"{self.kind} ticket of app {self.app_id}"


class WecomPace(models.Model):
    """How fast and how many at a time a corp's calls of one endpoint may go (调用节奏)."""

    corp = models.ForeignKey(Corp, models.CASCADE, verbose_name=_("WeCom corp"), related_name="paces")
    path = models.CharField(_("endpoint"), max_length=96)
    allowance = models.FloatField()  # calls that may go at once; below zero: calls already promised a later moment
    counted_at = models.DateTimeField()
    parallel_limit = models.PositiveSmallIntegerField(_("calls at a time"))
    parallel_set_at = models.DateTimeField()
    blocked_until = models.DateTimeField(_("blocked until"), null=True)
    block_count = models.PositiveSmallIntegerField(default=0)  # blocks in a row, each longer than the one before
    day = models.DateField(null=True)  # in Shanghai, of the last call
    day_calls = models.IntegerField(_("calls of the day"), db_default=0)

    class Meta:
        verbose_name = _("WeCom pace")
        verbose_name_plural = _("WeCom paces")
        constraints = (models.UniqueConstraint(name="one_pace_per_endpoint", fields=["corp", "path"]),)

    def __str__(self) -> str:
        return self.path


class WecomCheck(models.Model):
    """One run of the self-check of a corp (企微自检), with what it found; the newest ones are kept."""

    corp = models.ForeignKey(Corp, models.CASCADE, verbose_name=_("WeCom corp"), related_name="checks", db_index=False)
    ended_at = models.DateTimeField(_("checked at"))
    seconds = models.FloatField(_("duration"))
    error_count = models.PositiveSmallIntegerField(_("errors"))
    warning_count = models.PositiveSmallIntegerField(_("warnings"))
    findings = models.JSONField(default=list)  # of each: its code, whom it is about, the facts of its sentence
    is_news = models.BooleanField(default=False)  # an error that was not there before, and nobody has looked since

    class Meta:
        verbose_name = _("self-check of WeCom")
        verbose_name_plural = _("self-checks of WeCom")
        indexes = (models.Index(fields=["corp", "-id"], name="wecom_check_newest"),)

    def __str__(self) -> str:
        return f"check of corp {self.corp_id}"
