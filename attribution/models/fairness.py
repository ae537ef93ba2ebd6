"""What the fairness panel (公平看板) adds up: counted by a job per day, so that no request reads the big tables."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from attribution.models.rules import RuleVersion
from scrm.models import Store
from scrm.money import FenField


class FairnessMark(models.Model):
    """A business day to be counted again. Rows are only added; whoever counts deletes the ones it has seen first."""

    day = models.DateField()

    def __str__(self) -> str:
        return self.day.isoformat()


class FairnessDay(models.Model):
    """Lines paid on a day by what became of them; binding requests of the day by their answer."""

    class Topic(models.TextChoices):
        WINNER = "WINNER", _("winning candidate")
        POOL = "POOL", _("why the HQ pool")
        OVERTURNED = "OVERTURNED", _("decisions replaced")
        SNATCH = "SNATCH", _("binding requests")
        UNEXPLAINED = "UNEXPLAINED", _("unexplained")

    day = models.DateField(_("day"))
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), null=True, db_index=False)  # null: HQ
    rule = models.ForeignKey(
        RuleVersion, models.PROTECT, verbose_name=_("rule version"), null=True, db_index=False, db_constraint=False
    )
    topic = models.CharField(max_length=12, choices=Topic)
    key = models.CharField(max_length=48)
    row_count = models.IntegerField(_("count"))
    net_fen = FenField(_("net sales"), default=0)

    class Meta:
        verbose_name = _("fairness")
        verbose_name_plural = _("fairness")
        constraints = (
            models.UniqueConstraint(
                name="fairness_day_once", fields=["day", "store", "rule", "topic", "key"], nulls_distinct=False
            ),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.day} {self.topic} {self.key}"


class GuideDay(models.Model):
    """What a guide earned on the lines paid on a day, net of what was taken back, by the store she had then."""

    day = models.DateField(_("day"))
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), null=True, db_index=False)
    guide_code = models.CharField(_("guide"), max_length=48)
    line_count = models.IntegerField(_("order lines"))
    commission_fen = FenField(_("commission"))

    class Meta:
        constraints = (
            models.UniqueConstraint(name="guide_day_once", fields=["day", "store", "guide_code"], nulls_distinct=False),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.day} {self.guide_code}"
