"""Contacts (企微客户): people who are friends of our staff on WeCom, mirrored here with each friendship."""

from __future__ import annotations

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from guides.models.staff import Guide
from members.models import Member
from scrm import org
from scrm.models import Corp

_CURRENT = "ended_at IS NULL AND is_confirmed"
_COUNT = """
    INSERT INTO guides_follower (corp_id, userid, friend_count, left_count)
    SELECT corp_id, userid, sum(friends), sum(lost) FROM ({rows}) r
    GROUP BY corp_id, userid HAVING sum(friends) <> 0 OR sum(lost) <> 0 ORDER BY corp_id, userid
    ON CONFLICT (corp_id, userid) DO UPDATE SET
        friend_count = guides_follower.friend_count + EXCLUDED.friend_count,
        left_count = guides_follower.left_count + EXCLUDED.left_count;
    RETURN NULL;
"""
_ROWS = (
    "SELECT corp_id, userid, {sign}1 AS friends, CASE WHEN customer_left_at IS NULL THEN 0 ELSE {sign}1 END AS lost"
    f" FROM {{table}} WHERE {_CURRENT}"
)


def _counts() -> tuple[pgtrigger.Trigger, ...]:
    """What keeps ``Follower.friend_count``: a count over millions belongs to no request."""
    new, old = _ROWS.format(sign="", table="new_rows"), _ROWS.format(sign="-", table="old_rows")
    each = (
        ("count_new", pgtrigger.Insert, {"new": "new_rows"}, new),
        ("count_changed", pgtrigger.Update, {"old": "old_rows", "new": "new_rows"}, f"{new} UNION ALL {old}"),
        ("count_deleted", pgtrigger.Delete, {"old": "old_rows"}, old),
    )
    return tuple(
        pgtrigger.Trigger(
            name=name, level=pgtrigger.Statement, when=pgtrigger.After, operation=operation,
            referencing=pgtrigger.Referencing(**tables), func=_COUNT.format(rows=rows),
        )
        for name, operation, tables, rows in each
    )  # fmt: skip


class Contact(models.Model):
    """One person as WeCom knows her. She is a member once her unionid or a verified number says who she is."""

    class Kind(models.IntegerChoices):
        """WeCom's own numbers."""

        WECHAT = 1, _("WeChat user")
        WECOM = 2, _("WeCom user of another company")

    class LinkedBy(models.TextChoices):
        NOBODY = "", _("not a member yet")
        UNIONID = "UNIONID", _("WeChat unionid")
        CONTACT = "CONTACT", _("WeCom contact id")
        MOBILE = "MOBILE", _("verified mobile number")

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    external_userid = models.CharField(_("WeCom contact"), max_length=64)
    kind = models.PositiveSmallIntegerField(_("kind"), choices=Kind, default=Kind.WECHAT)
    name = models.CharField(_("name"), max_length=128, blank=True)
    gender = models.PositiveSmallIntegerField(_("gender"), default=0)  # WeCom's: 0 unknown, 1 male, 2 female
    unionid = models.CharField(_("WeChat unionid"), max_length=64, blank=True)
    has_picture = models.BooleanField(_("has a picture"), null=True)  # null: not read one by one yet
    mobile_index = models.CharField(max_length=32, blank=True, default="")  # of a number she has proved to us herself
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
            models.Index(fields=["mobile_index"], name="contact_mobile", condition=~Q(mobile_index="")),
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
    added_at = models.DateTimeField(_("added at"), null=True)  # asked, while it is not confirmed; WeCom's clock
    add_way = models.PositiveSmallIntegerField(_("way of adding"), default=0)  # WeCom's number, unknown ones too
    state = models.CharField(_("state of the code"), max_length=64, blank=True)
    oper_userid = models.CharField(_("begun by"), max_length=64, blank=True)
    tag_ids = ArrayField(models.CharField(max_length=64), verbose_name=_("corp tags"), default=list, blank=True)
    customer_left_at = models.DateTimeField(_("deleted by the customer at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)
    ended_by = models.CharField(_("ended by"), max_length=12, choices=Ended, blank=True, default="")
    event_at = models.DateTimeField(null=True)  # of the newest event applied, by WeCom's clock
    heard_at = models.DateTimeField(null=True)  # when WeCom last told us something new of the pair, by our clock

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
        triggers = _counts()

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("guide", Guide, store_ids)

    def __str__(self) -> str:
        return f"{self.userid} – {self.contact_id}"


class Follower(models.Model):
    """A WeCom account that may have customers (客户联系成员), with the numbers that prove its list of friends.

    Whoever writes friendships of an account locks its row first: events, readings and sweeps of one account follow
    each other.
    """

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    userid = models.CharField(_("WeCom account"), max_length=64)  # in lower case
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), null=True, related_name="+")
    # null: nobody has asked WeCom yet; False: without the feature, or outside what the app may see
    is_listed = models.BooleanField(_("has the customer contact feature"), null=True)
    friend_count = models.IntegerField(_("friends here"), db_default=0)  # kept by triggers on friendships
    left_count = models.IntegerField(_("of them deleted by the customer"), db_default=0)
    wecom_count = models.IntegerField(_("friends on WeCom"), null=True)  # at the last sweep
    counted_here = models.IntegerField(_("friends here then"), null=True)
    swept_at = models.DateTimeField(_("last compared with WeCom"), null=True)  # our clock, before WeCom was asked
    error_code = models.CharField(_("problem"), max_length=64, blank=True, db_default="")  # of the last sweep

    class Meta:
        verbose_name = _("WeCom account with customers")
        verbose_name_plural = _("WeCom accounts with customers")
        constraints = (models.UniqueConstraint(name="follower_once", fields=["corp", "userid"]),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("guide", Guide, store_ids)

    def __str__(self) -> str:
        return self.userid


class ContactToRead(models.Model):
    """An event names ids only: this contact is still to be read from WeCom. One row however often it is asked for."""

    contact = models.OneToOneField(Contact, models.CASCADE, primary_key=True, related_name="+")
    asked_at = models.DateTimeField()  # of the last asking; a reading that began earlier does not answer it
    due_at = models.DateTimeField(_("due at"))  # while somebody reads: when another may take it over
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    error_code = models.CharField(_("problem"), max_length=64, blank=True, default="")

    class Meta:
        verbose_name = _("contact to read")
        verbose_name_plural = _("contacts to read")
        indexes = (models.Index(fields=["due_at"], name="contact_read_due"),)

    def __str__(self) -> str:
        return f"{self.contact_id}"


class LinkConflict(models.Model):
    """What is known of a contact names two members (身份冲突): nobody guesses which one she is."""

    contact = models.ForeignKey(Contact, models.PROTECT, verbose_name=_("WeCom contact"), related_name="conflicts")
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"), related_name="+", db_index=False)
    kind = models.CharField(_("recognised by"), max_length=8, choices=Contact.LinkedBy)
    other_member = models.ForeignKey(
        Member, models.PROTECT, verbose_name=_("other member"), related_name="+", db_index=False
    )
    other_kind = models.CharField(_("other recognised by"), max_length=8, choices=Contact.LinkedBy)
    found_at = models.DateTimeField(_("found at"))
    resolved_at = models.DateTimeField(_("resolved at"), null=True)

    class Meta:
        verbose_name = _("conflict of identities")
        verbose_name_plural = _("conflicts of identities")
        constraints = (
            models.UniqueConstraint(name="one_open_conflict", fields=["contact"], condition=Q(resolved_at=None)),
        )

    def __str__(self) -> str:
        return f"{self.contact_id}: {self.member_id} / {self.other_member_id}"


class FriendNews(models.Model):
    """What other topics must still be told of friends that a sweep or a bulk link has found."""

    class Kind(models.TextChoices):
        ADDED = "ADDED", _("friend found")
        LINKED = "LINKED", _("member recognised")

    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    contact = models.ForeignKey(Contact, models.CASCADE, related_name="+", db_index=False)
    friendship = models.ForeignKey(Friendship, models.CASCADE, null=True, related_name="+", db_index=False)
    due_at = models.DateTimeField(db_default=models.functions.Now())
    attempts = models.PositiveSmallIntegerField(default=0)
    error_code = models.CharField(_("problem"), max_length=64, blank=True, db_default="")

    class Meta:
        verbose_name = _("news of friends")
        verbose_name_plural = _("news of friends")
        indexes = (models.Index(fields=["due_at"], name="friend_news_due"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.contact_id}"
