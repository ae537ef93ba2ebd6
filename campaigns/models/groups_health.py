"""How groups live (群健康): one row a group and day, one row a group as of the last day, and the limits HQ has set."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.groups import Group
from scrm import org
from scrm.models import Brand
from scrm.money import FenField


class GroupSettings(models.Model):
    """The limits of a brand: reaching one marks a group, it does nothing to it."""

    brand = models.OneToOneField(Brand, models.PROTECT, verbose_name=_("brand"), related_name="+")
    capacity = models.PositiveSmallIntegerField(
        _("most people in a group"), default=200, help_text=_("WeCom: 200, up to 500 where the corp has more.")
    )
    full_bp = models.PositiveSmallIntegerField(_("full from (bp of the most)"), default=9_500)
    least_count = models.PositiveSmallIntegerField(_("too small below (people)"), default=30)
    grace_days = models.PositiveSmallIntegerField(_("a group is new for (days)"), default=14)
    leave_rate_bp = models.PositiveSmallIntegerField(_("losing people from a leave rate of (bp)"), default=1_500)
    silent_days = models.PositiveSmallIntegerField(
        _("silent after (days)"), default=14, help_text=_("Nobody has come in and no member has bought for so long.")
    )
    updated_at = models.DateTimeField(_("changed at"), auto_now=True)

    class Meta:
        verbose_name = _("limits of group health")
        verbose_name_plural = _("limits of group health")
        constraints = (
            models.CheckConstraint(
                name="group_limits",
                condition=Q(
                    capacity__range=(10, 2000), full_bp__range=(5_000, 10_000), least_count__gte=2, grace_days__gte=1,
                    leave_rate_bp__range=(1, 10_000), silent_days__range=(1, 90),
                ),
            ),
        )  # fmt: skip

    def __str__(self) -> str:
        return str(self.brand)


class GroupDay(models.Model):
    """What happened in a group on one business day."""

    group = models.ForeignKey(Group, models.PROTECT, db_index=False, related_name="days")
    day = models.DateField(_("day"))
    customer_count = models.IntegerField(_("customers at its end"))
    joined_count = models.IntegerField(_("joined"))
    left_count = models.IntegerField(_("left"))
    buyer_count = models.IntegerField(_("buyers"))
    spend_fen = FenField(_("spend of members"))

    class Meta:
        verbose_name = _("day of a group")
        verbose_name_plural = _("days of groups")
        constraints = (models.UniqueConstraint(name="group_day_once", fields=["group", "day"]),)
        indexes = (models.Index(fields=["day"], name="group_day_day"),)

    def __str__(self) -> str:
        return f"{self.group_id} {self.day}"


class GroupHealth(models.Model):
    """A group as of the end of ``day``; the windows are the 30 days up to it. Written by ``communities.health`` only."""

    class State(models.TextChoices):
        HEALTHY = "HEALTHY", _("healthy")
        NEW = "NEW", _("new")
        FULL = "FULL", _("full")
        LEAVING = "LEAVING", _("losing people")
        SILENT = "SILENT", _("silent")
        SMALL = "SMALL", _("too small")
        NO_OWNER = "NO_OWNER", _("its owner has left")

    group = models.OneToOneField(Group, models.PROTECT, primary_key=True, related_name="health")
    day = models.DateField(_("as of"))
    state = models.CharField(_("health"), max_length=8, choices=State)
    customer_count = models.IntegerField(_("customers"))
    matched_count = models.IntegerField(_("of them members"))
    duplicate_count = models.IntegerField(_("also in another group of the store"))
    joined_count = models.IntegerField(_("joined in 30 days"))
    left_count = models.IntegerField(_("left in 30 days"))
    growth_count = models.IntegerField(_("growth in 30 days"))
    leave_bp = models.IntegerField(_("leave rate"))
    buyer_count = models.IntegerField(_("buyers in 30 days"))
    spend_fen = FenField(_("spend of members in 30 days"))
    spend_per_member_fen = FenField(_("spend per member and month"))
    alive_days = models.IntegerField(_("days alive"))
    quiet_days = models.IntegerField(_("days without anything"))

    class Meta:
        verbose_name = _("health of a group")
        verbose_name_plural = _("health of groups")
        indexes = (models.Index(fields=["state"], name="group_health_state"),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("group", Group, store_ids)

    def __str__(self) -> str:
        return str(self.group_id)
