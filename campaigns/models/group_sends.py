"""Mass sends to customer groups (群群发): one row per group, whatever becomes of it."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.groups import Group
from campaigns.models.sends import Send, SendBatch
from scrm import db, org


class GroupRecipient(models.Model):
    """One group of a send, and what became of it: exactly one row (M1)."""

    class State(models.TextChoices):
        """The values are those of ``Recipient``."""

        EXCLUDED = "EXCLUDED", _("left out")
        PLANNED = "PLANNED", _("planned")
        SENT = "SENT", _("sent")
        NOT_FRIENDS = "GONE", _("WeCom does not send to it")
        OVER_QUOTA = "OVER", _("had its share of mass messages")
        LEFT = "LEFT", _("not executed")

    class Reason(models.TextChoices):
        NONE = "", _("none")
        DISSOLVED = "DISSOLVED", _("the group is dissolved")
        UNREAD = "UNREAD", _("not read from WeCom yet")
        OWNER_LEFT = "OWNER_LEFT", _("its owner has left")
        MOVING = "MOVING", _("being handed over to another owner")
        NO_GUIDE = "NO_GUIDE", _("its owner is no guide of ours")
        UNSEEN = "UNSEEN", _("its owner is outside the app's range")
        LIMIT = "LIMIT", _("WeCom lets it have no more mass messages this month")
        CHANGED = "CHANGED", _("it has another owner since the planning")

    pk = models.CompositePrimaryKey("send_id", "group_id")
    send = models.ForeignKey(Send, models.PROTECT, related_name="group_recipients", db_index=False, db_constraint=False)
    group = models.ForeignKey(
        Group, models.PROTECT, verbose_name=_("customer group"), related_name="+", db_index=False, db_constraint=False
    )
    batch = models.ForeignKey(
        SendBatch, models.PROTECT, null=True, related_name="group_recipients", db_index=False, db_constraint=False
    )
    people_count = models.PositiveIntegerField(_("customers in it"))  # when it was planned
    state = models.CharField(_("state"), max_length=8, choices=State)
    reason = models.CharField(_("reason"), max_length=10, choices=Reason, blank=True, default="")
    contacted_at = models.DateTimeField(null=True)  # counts against WeCom's limit from then on
    sent_at = models.DateTimeField(_("sent at"), null=True)

    class Meta:
        verbose_name = _("group of a send")
        verbose_name_plural = _("groups of sends")
        constraints = (
            models.CheckConstraint(
                name="group_recipient_says_why",
                condition=Q(state="EXCLUDED") & ~Q(reason="") | ~Q(state="EXCLUDED") & Q(reason=""),
            ),
            models.CheckConstraint(
                name="group_recipient_has_batch", condition=Q(state="EXCLUDED") | Q(batch__isnull=False)
            ),
            models.CheckConstraint(
                name="group_recipient_has_time", condition=Q(state="SENT", sent_at__isnull=False) | ~Q(state="SENT")
            ),
        )
        indexes = (
            models.Index(fields=["batch"], name="group_recipient_batch", condition=Q(batch__isnull=False)),
            models.Index(
                fields=["group", "contacted_at"],
                name="group_recipient_contacted",
                condition=Q(contacted_at__isnull=False),
            ),
        )
        triggers = (
            pgtrigger.Protect(name="group_stays", operation=pgtrigger.Delete),
            pgtrigger.Protect(
                name="group_ends_once", operation=pgtrigger.Update,
                condition=pgtrigger.Condition("OLD.state NOT IN ('PLANNED') AND NEW.state IS DISTINCT FROM OLD.state"),
            ),
            db.references_exist(send_id="campaigns_send", group_id="campaigns_group"),
        )  # fmt: skip

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        """With the guide's task; a group that is left out with the group itself."""
        return Q(batch__store__in=store_ids) | Q(batch=None) & org.through("group", Group, store_ids)

    def __str__(self) -> str:
        return f"{self.send_id} {self.group_id}"
