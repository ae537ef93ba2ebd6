"""Experiments (实验): who is held out, who is in which arm, and every look that was taken."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from members.models import AudienceSnapshot, Member
from scrm import db
from scrm.models import Brand, Job
from scrm.money import FenField

# An arm and its people are settled when the audience is frozen; afterwards nobody comes and nobody changes sides.
NOT_AFTER_FREEZING = """
    IF EXISTS (SELECT 1 FROM (SELECT DISTINCT experiment_id FROM new_rows) r
               JOIN campaigns_experiment e ON e.id = r.experiment_id WHERE e.frozen_at IS NOT NULL) THEN
        RAISE EXCEPTION 'the audience of this experiment is frozen' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
"""


class Holdout(models.Model):
    """The universal hold-out (全局留白组) of a quarter: whose draw falls below ``share_bp`` gets no marketing in it."""

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), db_index=False)
    first_day = models.DateField(_("first day"))  # of the quarter
    salt = models.CharField(max_length=32, unique=True)
    share_bp = models.PositiveSmallIntegerField(_("share"))

    class Meta:
        verbose_name = _("universal hold-out")
        verbose_name_plural = _("universal hold-outs")
        constraints = (
            models.UniqueConstraint(name="one_holdout_a_quarter", fields=["brand", "first_day"]),
            models.CheckConstraint(name="holdout_share", condition=Q(share_bp__lte=5000)),
        )
        triggers = (pgtrigger.Protect(name="stays", operation=pgtrigger.Update | pgtrigger.Delete),)

    def __str__(self) -> str:
        return f"{self.first_day.year} Q{(self.first_day.month + 2) // 3}"


class Experiment(models.Model):
    """One comparison: an audience, its arms, the window in which outcomes count."""

    class Status(models.TextChoices):
        DRAFT = "DRAFT", _("draft")
        FREEZING = "FREEZING", _("freezing the audience")
        RUNNING = "RUNNING", _("running")
        ENDED = "ENDED", _("ended")

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), db_index=False)
    name = models.CharField(_("name"), max_length=64)
    status = models.CharField(_("state"), max_length=8, choices=Status, default=Status.DRAFT)
    snapshot = models.ForeignKey(  # null: every active member of the brand
        AudienceSnapshot, models.PROTECT, verbose_name=_("audience"), null=True, related_name="+", db_index=False
    )
    salt = models.CharField(max_length=32, unique=True)
    window_days = models.PositiveSmallIntegerField(_("days in which outcomes count"))
    cost_fen = FenField(_("cost per person contacted"), null=True)  # null: not known; 0 is free
    margin_bp = models.PositiveSmallIntegerField(_("margin"), null=True)
    relevant_bp = models.PositiveSmallIntegerField(_("smallest effect worth knowing"))
    plan = models.JSONField(_("plan"), default=dict)  # {metric: what reading.plan says}, with people and planned_at
    frozen_at = models.DateTimeField(_("audience frozen at"), null=True)
    starts_at = models.DateTimeField(_("outcomes count from"), null=True)
    ends_at = models.DateTimeField(_("outcomes count until"), null=True)
    held_out_count = models.BigIntegerField(_("universal hold-out"), default=0)  # left out of every arm
    job = models.ForeignKey(Job, models.SET_NULL, null=True, verbose_name=_("job"), related_name="+")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, verbose_name=_("created by"), related_name="+"
    )
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("experiment")
        verbose_name_plural = _("experiments")
        constraints = (
            models.CheckConstraint(name="experiment_window", condition=Q(window_days__gte=1, window_days__lte=365)),
            models.CheckConstraint(name="experiment_money", condition=Q(cost_fen=None) | Q(cost_fen__gte=0)),
            models.CheckConstraint(
                name="experiment_frozen_has_times",
                condition=Q(frozen_at=None, starts_at=None, ends_at=None)
                | Q(frozen_at__isnull=False, starts_at__gte=F("frozen_at"), ends_at__gt=F("starts_at")),
            ),
            models.CheckConstraint(
                name="experiment_runs_when_frozen",
                condition=Q(status__in=["DRAFT", "FREEZING"], frozen_at=None)
                | Q(status__in=["RUNNING", "ENDED"], frozen_at__isnull=False),
            ),
        )
        indexes = (models.Index(fields=["ends_at"], name="experiment_ends", condition=Q(status="RUNNING")),)
        triggers = (
            pgtrigger.Protect(
                name="frozen_stays",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "OLD.frozen_at IS NOT NULL AND (OLD.salt, OLD.frozen_at, OLD.starts_at, OLD.ends_at, OLD.held_out_count)"
                    " IS DISTINCT FROM (NEW.salt, NEW.frozen_at, NEW.starts_at, NEW.ends_at, NEW.held_out_count)"
                ),
            ),
        )

    def __str__(self) -> str:
        return self.name


class Arm(models.Model):
    """A side of the comparison; number 0 is the control group (对照组), which gets nothing."""

    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="arms", db_index=False)
    number = models.PositiveSmallIntegerField()
    name = models.CharField(_("name"), max_length=32)
    weight_bp = models.PositiveSmallIntegerField(_("share"))
    member_count = models.BigIntegerField(_("members"), default=0)

    class Meta:
        verbose_name = _("arm")
        verbose_name_plural = _("arms")
        constraints = (
            models.UniqueConstraint(name="arm_number_once", fields=["experiment", "number"]),
            models.CheckConstraint(name="arm_share", condition=Q(weight_bp__gte=1, weight_bp__lte=9999)),
        )

    def __str__(self) -> str:
        return self.name


class Assignment(models.Model):
    """A member's arm, settled by the draw when the audience was frozen. Rows never change."""

    experiment = models.ForeignKey(Experiment, models.PROTECT, db_index=False, db_constraint=False, related_name="+")
    member = models.ForeignKey(
        Member, models.PROTECT, verbose_name=_("member"), db_index=False, db_constraint=False, related_name="+"
    )
    arm_number = models.PositiveSmallIntegerField(_("arm"))

    class Meta:
        verbose_name = _("assignment")
        verbose_name_plural = _("assignments")
        constraints = (models.UniqueConstraint(name="assigned_once", fields=["experiment", "member"]),)
        triggers = (
            pgtrigger.Protect(name="stays", operation=pgtrigger.Update | pgtrigger.Delete),
            db.references_exist(experiment_id="campaigns_experiment", member_id="members_member"),
            pgtrigger.Trigger(
                name="not_after_freezing", level=pgtrigger.Statement, when=pgtrigger.After, operation=pgtrigger.Insert,
                referencing=pgtrigger.Referencing(new="new_rows"), func=NOT_AFTER_FREEZING,
            ),
        )  # fmt: skip

    def __str__(self) -> str:
        return f"{self.experiment_id} {self.member_id}"


class Look(db.AppendOnlyModel):
    """What was read of an experiment at one time. None is ever taken back: who looks often finds something by chance."""

    experiment = models.ForeignKey(Experiment, models.PROTECT, related_name="looks", db_index=False)
    number = models.PositiveSmallIntegerField(_("look"))
    taken_at = models.DateTimeField(_("taken at"))
    until = models.DateTimeField(_("outcomes until"))
    is_final = models.BooleanField(_("at the planned end"))
    taken_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, verbose_name=_("taken by"), related_name="+"
    )
    content = models.JSONField(_("content"))  # reading.as_json

    class Meta(db.AppendOnlyModel.Meta):
        abstract = False
        verbose_name = _("look at an experiment")
        verbose_name_plural = _("looks at experiments")
        constraints = (models.UniqueConstraint(name="look_number_once", fields=["experiment", "number"]),)

    def __str__(self) -> str:
        return f"{self.experiment_id} #{self.number}"
