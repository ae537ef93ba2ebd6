"""Simulations (试算): what real orders would have paid under another rule. Nothing here is money; nothing here is posted."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from attribution.models.rules import RuleVersion
from scrm.models import Job, Store
from scrm.money import FenField


class Simulation(models.Model):
    """One question: the lines paid from ``first_day`` to ``last_day`` (both inclusive) under ``rule`` in ``mode``.

    Anybody may see that it was asked; its rows are cut to the reader's stores.
    """

    rule = models.ForeignKey(
        RuleVersion, models.PROTECT, verbose_name=_("rule version"), null=True, related_name="simulations"
    )  # null: the published rules of the period
    mode = models.CharField(_("mode"), max_length=16, choices=RuleVersion.Mode, blank=True)  # empty: the rule's own
    rule_digest = models.CharField(_("digest"), max_length=64)  # of what the rule said when it was asked
    first_day = models.DateField(_("first day"))
    last_day = models.DateField(_("last day"))
    budget_fen = FenField(_("planned budget"), null=True)  # null: no plan; 0 is a plan
    job = models.OneToOneField(Job, models.PROTECT, verbose_name=_("job"), null=True, related_name="simulation")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("requested by"), null=True, related_name="+"
    )
    requested_at = models.DateTimeField(_("requested at"), db_default=models.functions.Now())
    finished_at = models.DateTimeField(_("finished at"), null=True)
    line_count = models.BigIntegerField(_("order lines"), default=0)
    undecided_count = models.BigIntegerField(_("lines not decided yet"), default=0)
    changed_count = models.BigIntegerField(_("lines that change"), default=0)
    budgets = models.JSONField(_("budgets"), default=dict)  # {budget: [fen now, fen then]}

    class Meta:
        verbose_name = _("simulation")
        verbose_name_plural = _("simulations")
        constraints = (
            models.CheckConstraint(name="simulation_period", condition=Q(last_day__gte=F("first_day"))),
            models.CheckConstraint(name="simulation_asks", condition=Q(rule__isnull=False) | ~Q(mode="")),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q()

    def __str__(self) -> str:
        return f"#{self.pk}"


class SimulationSlice(models.Model):
    """A range of lines that one process replays at once; ``outcome`` is what it found. Gone when the simulation is."""

    simulation = models.ForeignKey(Simulation, models.CASCADE, related_name="slices")
    after_id = models.BigIntegerField()
    until_id = models.BigIntegerField()
    first_booked_on = models.DateField()
    last_booked_on = models.DateField()
    line_count = models.IntegerField()
    outcome = models.BinaryField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(name="simulation_slice_once", fields=["simulation", "after_id"]),)

    def __str__(self) -> str:
        return f"{self.simulation_id} {self.after_id}-{self.until_id}"


class SimulationRow(models.Model):
    """One beneficiary in one store on one channel: credit (业绩) and commission now and then, net of refunds."""

    simulation = models.ForeignKey(Simulation, models.CASCADE, related_name="rows", db_index=False)
    beneficiary_code = models.CharField(_("beneficiary"), max_length=48)  # one may not be in the ledger yet
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), null=True, db_index=False)  # snapshot
    channel = models.CharField(_("channel"), max_length=24)
    credit_now_fen = FenField(_("credit now"))
    credit_then_fen = FenField(_("credit then"))
    commission_now_fen = FenField(_("commission now"))
    commission_then_fen = FenField(_("commission then"))
    line_now_count = models.IntegerField(_("lines now"))
    line_then_count = models.IntegerField(_("lines then"))

    class Meta:
        verbose_name = _("simulated beneficiary")
        verbose_name_plural = _("simulated beneficiaries")
        constraints = (
            models.UniqueConstraint(
                name="simulation_row_once",
                fields=["simulation", "beneficiary_code", "store", "channel"],
                nulls_distinct=False,
            ),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.beneficiary_code} {self.channel}"


class ChangedLine(models.Model):
    """One of the lines on which most money changes hands, with both decisions in words."""

    simulation = models.ForeignKey(Simulation, models.CASCADE, related_name="changed_lines", db_index=False)
    rank = models.PositiveSmallIntegerField("#")
    line_id = models.BigIntegerField(_("order line"))
    booked_on = models.DateField()
    moved_fen = FenField(_("commission that moves"))
    moved_credit_fen = FenField(_("credit that moves"))
    commission_now_fen = FenField(_("commission now"))
    commission_then_fen = FenField(_("commission then"))
    now_winner_code = models.CharField(_("winner now"), max_length=48, blank=True)
    then_winner_code = models.CharField(_("winner then"), max_length=48, blank=True)
    # sentences with everybody's names, and without any for who sees a part of the organisation only
    now_named = models.JSONField()
    now_plain = models.JSONField()
    then_named = models.JSONField()
    then_plain = models.JSONField()
    store_ids = ArrayField(models.BigIntegerField())  # of the line and of everybody who has a share, now or then

    class Meta:
        verbose_name = _("line that changes")
        verbose_name_plural = _("lines that change")
        constraints = (models.UniqueConstraint(name="changed_line_rank", fields=["simulation", "rank"]),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_ids__overlap=list(store_ids))

    def __str__(self) -> str:
        return f"{self.simulation_id} {self.rank}"
