"""Invitations into groups (邀请入群): lists per guide out of a frozen audience, and who has come."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.groups import Group
from campaigns.models.groups_entry import JoinWay
from guides.models import Guide
from members.models import AudienceSnapshot, Member
from scrm.models import Brand, Corp, Job, Store


class GroupInvitation(models.Model):
    class Status(models.TextChoices):
        PLANNING = "PLANNING", _("being planned")
        PLANNED = "PLANNED", _("planned")
        OUT = "OUT", _("with the guides")
        ENDED = "ENDED", _("ended")
        CANCELLED = "CANCELLED", _("cancelled")

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), db_index=False, related_name="+")
    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    name = models.CharField(_("name"), max_length=64)
    snapshot = models.ForeignKey(AudienceSnapshot, models.PROTECT, verbose_name=_("audience"), related_name="+")
    text = models.CharField(_("what to say"), max_length=500)
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    status = models.CharField(_("state"), max_length=9, choices=Status, default=Status.PLANNING)
    audience_count = models.IntegerField(_("members of the audience"), default=0)
    invited_count = models.IntegerField(_("to be invited"), default=0)
    joined_count = models.IntegerField(_("joined"), default=0)
    job = models.ForeignKey(Job, models.SET_NULL, null=True, verbose_name=_("job"), related_name="+")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, verbose_name=_("requested by"), related_name="+", db_index=False
    )  # fmt: skip
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("invitation into groups")
        verbose_name_plural = _("invitations into groups")
        constraints = (models.CheckConstraint(name="invitation_time", condition=Q(ends_at__gt=models.F("starts_at"))),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        """Seen where guides have somebody to invite."""
        return Q(models.Exists(Invitee.objects.filter(invitation=models.OuterRef("pk"), store__in=store_ids)))

    def __str__(self) -> str:
        return self.name


class Invitee(models.Model):
    """A member of the audience: invited by one guide into the groups of one store, or left out for one reason."""

    class Reason(models.TextChoices):
        NONE = "", _("invited")
        HELD_OUT = "HELD_OUT", _("in the universal hold-out")
        NOT_ACTIVE = "NOT_ACTIVE", _("membership is not active")
        NO_CONSENT = "NO_CONSENT", _("has opted out of WeCom marketing")
        NO_GUIDE = "NO_GUIDE", _("no guide has her as a friend")
        IN_GROUP = "IN_GROUP", _("is in a group of the store already")
        BUDGET = "BUDGET", _("has had her share of messages")
        NO_WAY = "NO_WAY", _("the store has no join way in use")

    invitation = models.ForeignKey(GroupInvitation, models.PROTECT, db_index=False, related_name="invitees")
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"), related_name="+")
    guide = models.ForeignKey(
        Guide, models.PROTECT, verbose_name=_("guide"), null=True, db_index=False, related_name="+"
    )
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, db_index=False, related_name="+"
    )
    way = models.ForeignKey(
        JoinWay, models.PROTECT, verbose_name=_("join way"), null=True, db_index=False, related_name="+"
    )
    reason = models.CharField(_("left out"), max_length=10, choices=Reason, blank=True, default="")
    sent_at = models.DateTimeField(_("invited at"), null=True)  # as the guide says
    joined_at = models.DateTimeField(_("joined at"), null=True)
    joined_group = models.ForeignKey(
        Group, models.PROTECT, verbose_name=_("joined"), null=True, db_index=False, related_name="+"
    )
    is_by_way = models.BooleanField(_("by the code"), default=False)

    class Meta:
        verbose_name = _("invited member")
        verbose_name_plural = _("invited members")
        constraints = (
            models.UniqueConstraint(name="invitee_once", fields=["invitation", "member"]),
            models.CheckConstraint(
                name="invitee_or_reason", condition=~Q(reason="") | Q(guide__isnull=False, way__isnull=False)
            ),
        )
        indexes = (
            models.Index(fields=["guide", "invitation"], name="invitee_guide", condition=Q(reason="")),
            models.Index(fields=["invitation", "store"], name="invitee_store"),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.invitation_id} {self.member_id}"
