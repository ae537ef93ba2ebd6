"""Plans over many groups (群管理计划): what is to be done with each, and what has become of it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.groups import Group
from campaigns.models.groups_entry import JoinWay
from guides.models import Guide
from scrm import org
from scrm.models import Job


class GroupPlan(models.Model):
    class Kind(models.TextChoices):
        HAND_OVER = "HAND_OVER", _("hand over to another owner")
        ROTATE = "ROTATE", _("take out of join ways")
        MERGE = "MERGE", _("merge into another group")
        CLOSE = "CLOSE", _("close")

    class Status(models.TextChoices):
        DRAFT = "DRAFT", _("preview")
        RUNNING = "RUNNING", _("under way")
        ENDED = "ENDED", _("ended")
        CANCELLED = "CANCELLED", _("cancelled")

    kind = models.CharField(_("what is done"), max_length=9, choices=Kind)
    new_owner = models.ForeignKey(
        Guide, models.PROTECT, verbose_name=_("new owner"), null=True, db_index=False, related_name="+"
    )
    target = models.ForeignKey(
        Group, models.PROTECT, verbose_name=_("merged into"), null=True, db_index=False, related_name="+"
    )
    way = models.ForeignKey(
        JoinWay, models.PROTECT, verbose_name=_("join way of the target"), null=True, db_index=False, related_name="+"
    )
    status = models.CharField(_("state"), max_length=9, choices=Status, default=Status.DRAFT)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    job = models.ForeignKey(Job, models.SET_NULL, null=True, verbose_name=_("job"), related_name="+")
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("made by"), null=True, related_name="+", db_index=False
    )
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())
    applied_at = models.DateTimeField(_("applied at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("plan for groups")
        verbose_name_plural = _("plans for groups")

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        """Seen where one of its groups is."""
        return Q(models.Exists(GroupPlanItem.objects.filter(plan=models.OuterRef("pk"), group__store__in=store_ids)))

    def __str__(self) -> str:
        return f"{self.get_kind_display()} #{self.pk}"


class GroupPlanItem(models.Model):
    class State(models.TextChoices):
        PLANNED = "PLANNED", _("planned")
        LEFT_OUT = "LEFT_OUT", _("left out")
        ASKED = "ASKED", _("asked of WeCom")
        TO_DO = "TO_DO", _("with its owner")
        DONE = "DONE", _("done")
        FAILED = "FAILED", _("not done")

    plan = models.ForeignKey(GroupPlan, models.PROTECT, db_index=False, related_name="items")
    group = models.ForeignKey(Group, models.PROTECT, verbose_name=_("customer group"), related_name="plan_items")
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.PLANNED)
    reason = models.CharField(_("why"), max_length=200, blank=True)
    code = models.CharField(max_length=64, blank=True)  # WeCom's number
    asked_count = models.PositiveSmallIntegerField(default=0)
    was_resigned = models.BooleanField(default=False)  # handed over by the call for owners who have left
    old_owner = models.CharField(max_length=64, blank=True)
    asked_at = models.DateTimeField(null=True)
    state_at = models.DateTimeField(_("since"), null=True)

    class Meta:
        verbose_name = _("group of a plan")
        verbose_name_plural = _("groups of plans")
        constraints = (models.UniqueConstraint(name="group_plan_item_once", fields=["plan", "group"]),)
        indexes = (
            models.Index(fields=["state"], name="group_plan_open", condition=Q(state__in=["ASKED", "TO_DO"])),
            models.Index(
                fields=["old_owner", "asked_at"], name="group_plan_given", condition=Q(asked_at__isnull=False)
            ),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("group", Group, store_ids)

    def __str__(self) -> str:
        return f"{self.plan_id} {self.group_id}"
