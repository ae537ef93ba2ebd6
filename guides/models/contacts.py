"""Contacts (企微客户): people who are friends of our staff on WeCom, mirrored here with each friendship."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from guides.models.staff import Guide
from members.models import Member
from scrm import org
from scrm.models import Corp


class Contact(models.Model):
    """One person as WeCom knows her. She is a member once her unionid or a verified number says who she is."""

    class Kind(models.IntegerChoices):
        """WeCom's own numbers."""

        WECHAT = 1, _("WeChat user")
        WECOM = 2, _("WeCom user of another company")

    class LinkedBy(models.TextChoices):
        NOBODY = "", _("not a member yet")
        UNIONID = "UNIONID", _("WeChat unionid")
        MOBILE = "MOBILE", _("verified mobile number")

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    external_userid = models.CharField(_("WeCom contact"), max_length=64)
    kind = models.PositiveSmallIntegerField(_("kind"), choices=Kind, default=Kind.WECHAT)
    name = models.CharField(_("name"), max_length=128, blank=True)
    gender = models.PositiveSmallIntegerField(_("gender"), default=0)  # WeCom's: 0 unknown, 1 male, 2 female
    unionid = models.CharField(_("WeChat unionid"), max_length=64, blank=True)
    member = models.ForeignKey(
        Member, models.PROTECT, verbose_name=_("member"), null=True, related_name="contacts", db_index=False
    )
    linked_by = models.CharField(_("recognised by"), max_length=8, choices=LinkedBy, blank=True, default="")
    linked_at = models.DateTimeField(_("recognised at"), null=True)
    created_at = models.DateTimeField(_("first seen at"), db_default=models.functions.Now())
    read_at = models.DateTimeField(_("read from WeCom at"), null=True)  # null: known from an event only

    class Meta:
        verbose_name = _("WeCom contact")
        verbose_name_plural = _("WeCom contacts")
        constraints = (
            models.UniqueConstraint(name="contact_once", fields=["external_userid", "corp"]),
            models.CheckConstraint(
                name="contact_link_says_how",
                condition=Q(member=None, linked_by="", linked_at=None)
                | Q(member__isnull=False, linked_at__isnull=False) & ~Q(linked_by=""),
            ),
        )
        indexes = (
            models.Index(fields=["unionid"], name="contact_unionid", condition=~Q(unionid="")),
            models.Index(fields=["member"], name="contact_member", condition=Q(member__isnull=False)),
            models.Index(fields=["name"], name="contact_name", opclasses=["text_pattern_ops"]),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        """Seen by the stores whose guides are or were her friends."""
        return Q(models.Exists(Friendship.objects.filter(Friendship.scope_q(store_ids), contact=models.OuterRef("pk"))))

    def __str__(self) -> str:
        return self.name or self.external_userid


class Friendship(models.Model):
    """One member of staff and one contact (好友关系), with the state of both sides.

    ``userid`` is WeCom's account in lower case; ``guide`` is null while the account is nobody's we know.
    """

    class Ended(models.TextChoices):
        """Why the guide's side is gone."""

        NO = "", _("lasts")
        DELETED = "DELETED", _("deleted by the guide")
        TRANSFERRED = "TRANSFERRED", _("handed over to another guide")
        MISSING = "MISSING", _("no longer on WeCom")  # found by a sweep

    contact = models.ForeignKey(
        Contact, models.PROTECT, verbose_name=_("WeCom contact"), related_name="friendships", db_index=False
    )
    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    userid = models.CharField(_("WeCom account"), max_length=64)
    guide = models.ForeignKey(
        Guide, models.PROTECT, verbose_name=_("guide"), null=True, related_name="friendships", db_index=False
    )
    is_confirmed = models.BooleanField(_("confirmed"), default=True)  # False: she asked, the guide has not yet accepted
    added_at = models.DateTimeField(_("added at"), null=True)
    add_way = models.PositiveSmallIntegerField(_("way of adding"), default=0)  # WeCom's number, unknown ones too
    state = models.CharField(_("state of the code"), max_length=64, blank=True)
    oper_userid = models.CharField(_("begun by"), max_length=64, blank=True)
    tag_ids = ArrayField(models.CharField(max_length=64), verbose_name=_("corp tags"), default=list, blank=True)
    customer_left_at = models.DateTimeField(_("deleted by the customer at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)
    ended_by = models.CharField(_("ended by"), max_length=12, choices=Ended, blank=True, default="")
    event_at = models.DateTimeField(null=True)  # of the newest event applied

    class Meta:
        verbose_name = _("WeCom friend")
        verbose_name_plural = _("WeCom friends")
        constraints = (
            models.UniqueConstraint(name="friendship_once", fields=["contact", "userid"]),
            models.CheckConstraint(
                name="friendship_end_says_why",
                condition=Q(ended_at=None, ended_by="") | Q(ended_at__isnull=False) & ~Q(ended_by=""),
            ),
        )
        indexes = (
            # the friends of one account: a sweep compares them with WeCom's, a count reads nothing else
            models.Index(fields=["corp", "userid"], name="friendship_current", condition=Q(ended_at=None)),
            models.Index(fields=["guide", "-id"], name="friendship_guide"),
            models.Index(fields=["state"], name="friendship_state", condition=~Q(state="")),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("guide", Guide, store_ids)

    def __str__(self) -> str:
        return f"{self.userid} – {self.contact_id}"
