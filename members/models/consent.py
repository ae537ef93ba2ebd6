"""Consent (同意): whether a member lets us reach her, purpose by purpose."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from members.models.identity import Member
from scrm import org
from scrm.db import AppendOnlyModel


class Purpose(models.TextChoices):
    WECOM_MARKETING = "WECOM_MARKETING", _("marketing through WeCom")
    SMS_MARKETING = "SMS_MARKETING", _("marketing by text message")


class ConsentSource(models.TextChoices):
    MINI_PROGRAM = "MINI_PROGRAM", _("mini-program")
    IN_STORE = "IN_STORE", _("said in the store")
    WECOM = "WECOM", _("said in WeCom")
    REPLY = "REPLY", _("reply to a text message")
    IMPORT = "IMPORT", _("import")
    CONSOLE = "CONSOLE", _("entered in the console")


class Consent(models.Model):
    """What stands now for one member and purpose. The row is what a send locks and what a withdrawal changes."""

    member = models.ForeignKey(
        Member, models.PROTECT, verbose_name=_("member"), related_name="consents", db_index=False
    )
    purpose = models.CharField(_("purpose"), max_length=24, choices=Purpose)
    is_given = models.BooleanField(_("given"))
    source = models.CharField(_("source"), max_length=16, choices=ConsentSource)
    given_at = models.DateTimeField(_("given at"), null=True)  # the last time she said yes
    withdrawn_at = models.DateTimeField(_("withdrawn at"), null=True)  # set while it does not stand
    said_at = models.DateTimeField(
        _("said at")
    )  # of the word that stands; an older one that comes late changes nothing

    class Meta:
        verbose_name = _("consent")
        verbose_name_plural = _("consents")
        constraints = (
            models.UniqueConstraint(name="consent_once", fields=["member", "purpose"]),
            models.CheckConstraint(
                name="consent_has_its_time",
                condition=Q(is_given=True, given_at__isnull=False, withdrawn_at=None)
                | Q(is_given=False, withdrawn_at__isnull=False),
            ),
        )
        indexes = (models.Index(fields=["purpose", "member"], name="consent_withdrawn", condition=Q(is_given=False)),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("member", Member, store_ids)

    def __str__(self) -> str:
        return f"{self.member_id} {self.purpose}"


class ConsentWord(AppendOnlyModel):
    """Every yes and no as it was said (同意记录): the proof the law asks for."""

    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"), related_name="+", db_index=False)
    purpose = models.CharField(_("purpose"), max_length=24, choices=Purpose)
    is_given = models.BooleanField(_("given"))
    source = models.CharField(_("source"), max_length=16, choices=ConsentSource)
    wording = models.CharField(_("version of the wording"), max_length=64, blank=True)  # what she was shown
    said_at = models.DateTimeField(_("said at"))
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        verbose_name=_("recorded by"),
        null=True,
        db_index=False,
        related_name="+",
    )
    recorded_at = models.DateTimeField(_("recorded at"), db_default=models.functions.Now())

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("word of consent")
        verbose_name_plural = _("words of consent")
        indexes = (models.Index(fields=["member", "-id"], name="consent_word_member"),)

    def __str__(self) -> str:
        return f"{self.member_id} {self.purpose} {self.is_given}"
