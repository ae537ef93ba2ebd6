"""Notices of groups (群公告): what their owners are asked to set, and where WeCom shows it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.group_sends import GroupRecipient
from campaigns.models.groups import Group
from guides.models import Guide
from scrm import org
from scrm.models import Corp, Store


class GroupNotice(models.Model):
    class Status(models.TextChoices):
        DRAFT = "DRAFT", _("preview")
        OUT = "OUT", _("with the owners")
        CANCELLED = "CANCELLED", _("cancelled")

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    name = models.CharField(_("name"), max_length=40)
    text = models.CharField(_("text of the notice"), max_length=1000)
    wish = models.JSONField()  # which groups: sends.choosing.Wish
    status = models.CharField(_("state"), max_length=9, choices=Status, default=Status.DRAFT)
    hours = models.PositiveSmallIntegerField(_("to be done within hours"), default=24)
    due_at = models.DateTimeField(_("until"), null=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("made by"), null=True, related_name="+", db_index=False
    )
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())
    given_at = models.DateTimeField(_("given to the owners at"), null=True)

    class Meta:
        verbose_name = _("group notice")
        verbose_name_plural = _("group notices")
        constraints = (
            models.CheckConstraint(
                name="group_notice_given",
                condition=~Q(status="OUT") | Q(given_at__isnull=False, due_at__isnull=False),
            ),
            models.CheckConstraint(name="group_notice_hours", condition=Q(hours__range=(1, 720))),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        """Seen where an owner is asked for it."""
        return Q(models.Exists(GroupNoticePost.objects.filter(notice=models.OuterRef("pk"), store__in=store_ids)))

    def __str__(self) -> str:
        return self.name


class GroupNoticePost(models.Model):
    """One group of a notice. Whether its owner has set it says her action; ``is_shown`` what WeCom shows after that."""

    notice = models.ForeignKey(GroupNotice, models.PROTECT, related_name="posts", db_index=False)
    group = models.ForeignKey(Group, models.PROTECT, verbose_name=_("customer group"), related_name="+")
    guide = models.ForeignKey(
        Guide, models.PROTECT, verbose_name=_("owner"), null=True, db_index=False, related_name="+"
    )
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, db_index=False, related_name="+"
    )
    reason = models.CharField(_("reason"), max_length=10, choices=GroupRecipient.Reason, blank=True, default="")
    is_shown = models.BooleanField(_("stands in the group"), null=True)
    looked_at = models.DateTimeField(_("looked at WeCom at"), null=True)

    class Meta:
        verbose_name = _("group of a notice")
        verbose_name_plural = _("groups of notices")
        constraints = (
            models.UniqueConstraint(name="group_notice_once", fields=["notice", "group"]),
            models.CheckConstraint(
                name="group_notice_has_owner",
                condition=~Q(reason="") | Q(guide__isnull=False, store__isnull=False),
            ),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids) | Q(store=None) & org.through("group", Group, store_ids)

    def __str__(self) -> str:
        return f"{self.notice_id} {self.group_id}"
