"""Customer groups (客户群) as rows: the mirror of WeCom's groups, and who was in them from when to when."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from guides.models import Guide
from members.models import Member
from scrm import org
from scrm.models import Corp, Job, Store

# a stay ends once; the rest of it was so when it began, or was not known yet
STAY_STAYS = """
    IF (to_jsonb(NEW) - ARRAY['left_at','left_scene','member_id','unionid']) IS DISTINCT FROM
       (to_jsonb(OLD) - ARRAY['left_at','left_scene','member_id','unionid'])
       OR OLD.left_at IS NOT NULL AND (NEW.left_at, NEW.left_scene) IS DISTINCT FROM (OLD.left_at, OLD.left_scene) THEN
        RAISE EXCEPTION 'what was in a group stays written' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""


class Group(models.Model):
    """A customer group as WeCom showed it last. Its store is that of its owner then."""

    class Status(models.IntegerChoices):
        """WeCom's own numbers."""

        NORMAL = 0, _("in use")
        OWNER_LEFT = 1, _("its owner has left")
        MOVING = 2, _("being handed over")
        MOVED = 3, _("handed over")

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    chat_id = models.CharField(_("id at WeCom"), max_length=64)
    name = models.CharField(_("name"), max_length=128, blank=True)
    owner_userid = models.CharField(_("owner's WeCom account"), max_length=64, blank=True)  # in lower case
    owner = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("owner"), null=True, related_name="+")
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, db_index=False, related_name="+"
    )
    status = models.PositiveSmallIntegerField(_("state"), choices=Status, default=Status.NORMAL)
    founded_at = models.DateTimeField(_("made at"), null=True)
    dissolved_at = models.DateTimeField(_("dissolved at"), null=True)
    member_count = models.PositiveIntegerField(_("people"), default=0)
    customer_count = models.PositiveIntegerField(_("of them customers"), default=0)
    version = models.CharField(max_length=64, blank=True)  # of the list of people that stands here
    heard_version = models.CharField(max_length=64, blank=True)  # the newest one that an event has named
    listed_at = models.DateTimeField(null=True)  # when it was last in the list of its owner
    read_at = models.DateTimeField(_("read at"), null=True)
    asked_at = models.DateTimeField()  # of the last asking; a reading that began earlier does not answer it
    due_at = models.DateTimeField(null=True)  # to be read; while somebody reads: when another may take it over
    attempts = models.PositiveSmallIntegerField(default=0)
    error_code = models.CharField(_("problem"), max_length=64, blank=True)

    class Meta:
        verbose_name = _("customer group")
        verbose_name_plural = _("customer groups")
        constraints = (models.UniqueConstraint(name="group_once", fields=["chat_id", "corp"]),)
        indexes = (
            models.Index(fields=["due_at"], name="group_due", condition=Q(due_at__isnull=False)),
            models.Index(fields=["store", "-id"], name="group_store"),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return self.name or self.chat_id


class GroupStay(models.Model):
    """Somebody in a group from her joining until she left (进退群记录); one who comes again has another."""

    group = models.ForeignKey(
        Group, models.PROTECT, verbose_name=_("customer group"), db_index=False, related_name="stays"
    )
    userid = models.CharField(_("id at WeCom"), max_length=64)  # external_userid; of staff the account in lower case
    is_staff = models.BooleanField(_("staff"), default=False)
    unionid = models.CharField(max_length=64, blank=True)
    member = models.ForeignKey(
        Member, models.PROTECT, verbose_name=_("member"), null=True, db_index=False, related_name="+"
    )
    joined_at = models.DateTimeField(_("joined at"))
    join_scene = models.PositiveSmallIntegerField(_("joined by"), default=0)  # 1 invited, 2 by link, 3 by QR code
    inviter = models.CharField(_("invited by"), max_length=64, blank=True)
    state = models.CharField(_("state of the code"), max_length=64, blank=True)
    left_at = models.DateTimeField(_("left at"), null=True)
    left_scene = models.PositiveSmallIntegerField(_("left by"), null=True)  # 0 herself, 1 removed; null: not told

    class Meta:
        verbose_name = _("stay in a group")
        verbose_name_plural = _("stays in groups")
        constraints = (
            models.UniqueConstraint(name="group_stay_once", fields=["group", "userid", "joined_at"]),
            models.UniqueConstraint(name="group_stay_open", fields=["group", "userid"], condition=Q(left_at=None)),
            models.CheckConstraint(name="group_stay_lasts", condition=Q(left_at=None) | Q(left_at__gte=F("joined_at"))),
        )
        indexes = (
            models.Index(fields=["member", "-joined_at"], name="group_stay_member", condition=Q(member__isnull=False)),
            # whose SOP begins with it: by the moment of joining
            models.Index(fields=["joined_at"], name="group_stay_joined", condition=Q(is_staff=False)),
            models.Index(
                fields=["unionid"], name="group_stay_unknown", condition=Q(member=None, is_staff=False) & ~Q(unionid="")
            ),
            # whose SOP ends with it, and the comings and goings of a week
            models.Index(
                fields=["left_at"], name="group_stay_left", condition=Q(is_staff=False, left_at__isnull=False)
            ),
            models.Index(fields=["state", "joined_at"], name="group_stay_code", condition=~Q(state="")),
            models.Index(fields=["userid"], name="group_stay_stranger", condition=Q(member=None, is_staff=False)),
        )
        triggers = (
            pgtrigger.Trigger(name="stay_stays", when=pgtrigger.Before, operation=pgtrigger.Update, func=STAY_STAYS),
            pgtrigger.Protect(name="stay_kept", operation=pgtrigger.Delete),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("group", Group, store_ids)

    def __str__(self) -> str:
        return f"{self.group_id} {self.userid}"


class GroupSweep(models.Model):
    """The list of all groups of a corp, read again (客户群核对)."""

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), related_name="+")
    job = models.OneToOneField(Job, models.PROTECT, verbose_name=_("job"), related_name="+")
    started_at = models.DateTimeField(_("started at"))
    reached = models.CharField(max_length=64, blank=True)  # the owners up to this account are listed
    listed_count = models.PositiveIntegerField(_("groups at WeCom"), default=0)
    new_count = models.PositiveIntegerField(_("groups not known before"), default=0)
    missing_count = models.PositiveIntegerField(_("groups not listed any more"), default=0)
    unseen_count = models.PositiveIntegerField(_("owners outside the app's range"), default=0)
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("sweep of groups")
        verbose_name_plural = _("sweeps of groups")

    def __str__(self) -> str:
        return f"#{self.pk}"
