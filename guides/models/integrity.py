"""Integrity (灌水核查): what looks like fraud, the person who decides about it, and the limits that order a review."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from guides.models.staff import Guide
from scrm.db import AppendOnlyModel
from scrm.models import Brand, Store
from scrm.money import FenField

HOLDING = ("OPEN", "PROPOSED", "CONFIRMED")  # states of a case in which its money waits


class IntegritySettings(models.Model):
    """The limits of a brand. Reaching one orders a review; it convicts nobody."""

    brand = models.OneToOneField(Brand, models.PROTECT, verbose_name=_("brand"), related_name="+")
    lookback_days = models.PositiveSmallIntegerField(_("days looked at"), default=14)
    least_adds = models.PositiveIntegerField(
        _("least new friends to be judged"), default=20, help_text=_("Shares of fewer friends say nothing")
    )
    adds_per_minute = models.PositiveIntegerField(_("new friends in one minute"), default=8)
    same_second = models.PositiveIntegerField(_("new friends in one second"), default=4)
    night_share_bp = models.PositiveIntegerField(_("share added at night (bp)"), default=4_000)
    night_from_hour = models.PositiveSmallIntegerField(_("night begins at"), default=0)
    night_until_hour = models.PositiveSmallIntegerField(_("night ends at"), default=6)
    sigma_tenths = models.PositiveSmallIntegerField(_("standard deviations above the peers (tenths)"), default=30)
    guides_per_person = models.PositiveIntegerField(_("guides who added the same person"), default=4)
    no_avatar_share_bp = models.PositiveIntegerField(_("share without a picture (bp)"), default=8_000)
    silent_share_bp = models.PositiveIntegerField(_("share that never wrote (bp)"), default=9_500)
    device_hours = models.PositiveSmallIntegerField(_("hours between a new device and a burst"), default=48)
    self_deal_fen = FenField(_("own purchases through own credit (fen)"), default=50_000)
    loop_fen = FenField(_("purchases of two guides from each other (fen)"), default=100_000)
    review_days = models.PositiveSmallIntegerField(_("days to decide a case"), default=7)
    appeal_days = models.PositiveSmallIntegerField(_("days to appeal"), default=7)
    four_eyes_fen = FenField(_("confirmed by two people from (fen)"), default=10_000)
    updated_at = models.DateTimeField(_("changed at"), auto_now=True)

    class Meta:
        verbose_name = _("limits of integrity")
        verbose_name_plural = _("limits of integrity")
        constraints = (
            models.CheckConstraint(
                name="integrity_limits",
                condition=Q(
                    lookback_days__range=(1, 90), least_adds__gte=1, adds_per_minute__gte=2, same_second__gte=2,
                    night_share_bp__lte=10_000, no_avatar_share_bp__lte=10_000, silent_share_bp__lte=10_000,
                    night_from_hour__lte=23, night_until_hour__lte=24, guides_per_person__gte=2, review_days__gte=1,
                    appeal_days__gte=1, four_eyes_fen__gte=0, self_deal_fen__gt=0, loop_fen__gt=0,
                ),
            ),
        )  # fmt: skip

    def __str__(self) -> str:
        return str(self.brand)


class IntegrityCase(models.Model):
    """What was found about one guide, and what a person made of it. Until it has ended it holds the money."""

    class Subject(models.TextChoices):
        FRIENDS = "FRIENDS", _("new friends")
        ORDERS = "ORDERS", _("orders")

    class Status(models.TextChoices):
        OPEN = "OPEN", _("to be decided")
        PROPOSED = "PROPOSED", _("fraud proposed, second person to confirm")
        CONFIRMED = "CONFIRMED", _("fraud confirmed, appeal possible")
        FINAL = "FINAL", _("fraud, final")
        RELEASED = "RELEASED", _("nothing wrong")

    brand = models.ForeignKey(Brand, models.PROTECT, related_name="+", db_index=False)
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), related_name="+", db_index=False)
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), related_name="+", null=True)
    subject = models.CharField(_("about"), max_length=8, choices=Subject)
    status = models.CharField(_("state"), max_length=12, choices=Status, default=Status.OPEN)
    opened_at = models.DateTimeField(_("opened at"))
    since = models.DateTimeField(_("looked at from"))
    until = models.DateTimeField(_("looked at until"))
    due_at = models.DateTimeField(_("to be decided by"))
    held_fen = FenField(_("held amount"), default=0)
    line_ids = ArrayField(models.BigIntegerField(), default=list, blank=True)  # order lines whose commission it holds
    money_state = models.CharField(max_length=8, blank=True, default="")  # how far the ledger has followed
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("proposed by"), null=True, related_name="+"
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("decided by"), null=True, related_name="+"
    )
    decided_at = models.DateTimeField(_("decided at"), null=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    appeal = models.CharField(_("appeal"), max_length=1_000, blank=True)
    appealed_at = models.DateTimeField(_("appealed at"), null=True)
    appealed_against = models.ForeignKey(  # who had decided before the appeal: somebody else decides about it
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    appeal_until = models.DateTimeField(_("appeal possible until"), null=True)

    class Meta:
        verbose_name = _("integrity case")
        verbose_name_plural = _("integrity cases")
        constraints = (
            models.UniqueConstraint(name="one_open_case", fields=["guide", "subject"], condition=Q(status__in=HOLDING)),
            models.CheckConstraint(
                name="case_end_says_why",
                condition=Q(status__in=["OPEN", "PROPOSED"])
                | Q(decided_at__isnull=False, decided_by__isnull=False) & ~Q(reason=""),
            ),
            models.CheckConstraint(
                name="case_four_eyes",
                condition=Q(proposed_by=None)
                | Q(decided_by=None)
                | ~Q(proposed_by=F("decided_by"))
                | ~Q(status__in=["CONFIRMED", "FINAL"]),
            ),
            models.CheckConstraint(
                name="case_appeal_other_eyes",
                condition=Q(appealed_against=None) | Q(decided_by=None) | ~Q(appealed_against=F("decided_by")),
            ),
        )
        indexes = (
            models.Index(fields=["due_at"], name="case_due", condition=Q(status__in=["OPEN", "PROPOSED"])),
            models.Index(fields=["guide", "-id"], name="case_guide"),
        )
        triggers = (pgtrigger.Protect(name="case_stays", operation=pgtrigger.Delete),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    @property
    def is_holding(self) -> bool:
        """Whether its money waits."""
        return self.status in HOLDING

    @property
    def is_undecided(self) -> bool:
        return self.status in (self.Status.OPEN, self.Status.PROPOSED)

    def __str__(self) -> str:
        return f"#{self.pk}"


class IntegrityFlag(AppendOnlyModel):
    """One thing that was found: the value, the limit it reached, and the rows that show it."""

    class Kind(models.TextChoices):
        ADDS_PER_MINUTE = "ADDS_PER_MINUTE", _("many friends within a minute")
        SAME_SECOND = "SAME_SECOND", _("many friends in the same second")
        NIGHT_SHARE = "NIGHT_SHARE", _("friends added at night")
        DELETE_RATE = "DELETE_RATE", _("friendships that end soon, far above the peers")
        SHARED_PERSON = "SHARED_PERSON", _("one person added by many guides")
        NO_AVATAR = "NO_AVATAR", _("friends without a picture")
        SILENT = "SILENT", _("friends who never wrote")
        NEW_DEVICE = "NEW_DEVICE", _("new device or account beside a burst")
        SELF_DEAL = "SELF_DEAL", _("own purchases through own credit")
        LOOP = "LOOP", _("two guides buy from each other")

    case = models.ForeignKey(IntegrityCase, models.PROTECT, verbose_name=_("case"), related_name="flags")
    kind = models.CharField(_("kind"), max_length=16, choices=Kind)
    value = models.BigIntegerField(_("value"))
    threshold = models.BigIntegerField(_("limit"))
    evidence = models.JSONField(_("evidence"))
    found_at = models.DateTimeField(_("found at"))

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("flag")
        verbose_name_plural = _("flags")
        constraints = (models.UniqueConstraint(name="flag_once", fields=["case", "kind"]),)

    def __str__(self) -> str:
        return f"{self.kind} #{self.case_id}"
