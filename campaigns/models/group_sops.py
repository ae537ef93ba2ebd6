"""SOPs of groups (群跟进) as rows: which group is on which step, and what became of each."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.groups import Group
from campaigns.models.sends import Send
from campaigns.models.sops import Sop, SopRun, SopStepDone, SopVersion
from scrm import org


class GroupRun(models.Model):
    """One group in one SOP, once. It stays with the version it entered."""

    Status = SopRun.Status

    class Why(models.TextChoices):
        NONE = "", _("under way")
        THROUGH = "THROUGH", _("all steps done")
        GONE = "GONE", _("the group is dissolved")
        HAND = "HAND", _("stopped by hand")

    sop = models.ForeignKey(Sop, models.PROTECT, verbose_name=_("SOP"), db_index=False, related_name="group_runs")
    version = models.ForeignKey(
        SopVersion, models.PROTECT, verbose_name=_("version"), db_index=False, related_name="group_runs"
    )
    group = models.ForeignKey(Group, models.PROTECT, verbose_name=_("customer group"), related_name="+")
    anchored_at = models.DateTimeField(_("event at"))
    entered_at = models.DateTimeField(_("entered at"))
    position = models.PositiveSmallIntegerField(_("step"))
    due_at = models.DateTimeField(_("due at"))
    status = models.CharField(_("state"), max_length=8, choices=SopRun.Status, default=SopRun.Status.ACTIVE)
    why = models.CharField(_("why"), max_length=8, choices=Why, blank=True, default="")
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("group in an SOP")
        verbose_name_plural = _("groups in SOPs")
        constraints = (
            models.UniqueConstraint(name="group_run_once", fields=["sop", "group"]),
            models.CheckConstraint(
                name="group_run_end_says_why",
                condition=Q(status="ACTIVE", why="", ended_at=None)
                | ~Q(status="ACTIVE") & ~Q(why="") & Q(ended_at__isnull=False),
            ),
        )
        indexes = (
            models.Index(fields=["due_at"], name="group_run_due", condition=Q(status="ACTIVE")),
            models.Index(fields=["version", "status"], name="group_run_version"),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("group", Group, store_ids)

    def __str__(self) -> str:
        return f"{self.sop_id} #{self.pk}"


class GroupStepDone(models.Model):
    """What became of one step of one group: each is taken once."""

    run = models.ForeignKey(GroupRun, models.CASCADE, related_name="steps_done", db_index=False)
    position = models.PositiveSmallIntegerField(_("step"))
    result = models.CharField(_("result"), max_length=8, choices=SopStepDone.Result)
    note = models.CharField(_("why"), max_length=200, blank=True, db_default="", default="")
    send = models.ForeignKey(  # of a step that is a mass send
        Send, models.PROTECT, verbose_name=_("mass send"), null=True, db_index=False, related_name="group_steps"
    )
    at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("step of a group")
        verbose_name_plural = _("steps of groups")
        constraints = (models.UniqueConstraint(name="group_step_taken_once", fields=["run", "position"]),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("run", GroupRun, store_ids)

    def __str__(self) -> str:
        return f"{self.run_id} {self.position}"
