"""WeCom's directory (通讯录) as it was read last: departments, members, and the sweeps that compared them with ours."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from guides.models.staff import Guide
from scrm.models import Corp, Job, Store


class Department(models.Model):
    """A department of a corp (部门); a person says which store it is."""

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    number = models.BigIntegerField(_("number on WeCom"))
    parent_number = models.BigIntegerField(_("belongs to"), default=0)  # 0: the root; may be unknown to us yet
    name = models.CharField(_("name"), max_length=128, blank=True)  # events carry none: read by the sweep
    store = models.ForeignKey(Store, models.SET_NULL, verbose_name=_("store"), null=True, blank=True, related_name="+")
    named_at = models.DateTimeField(null=True)
    parent_at = models.DateTimeField(null=True)  # of the newest word on where it belongs
    state_at = models.DateTimeField()  # of the newest word on whether it exists
    gone_at = models.DateTimeField(_("deleted at"), null=True)

    class Meta:
        verbose_name = _("WeCom department")
        verbose_name_plural = _("WeCom departments")
        constraints = (models.UniqueConstraint(name="department_once", fields=["number", "corp"]),)

    def __str__(self) -> str:
        return self.name or f"#{self.number}"


class WecomMember(models.Model):
    """An account in a corp's directory (企业成员).

    ``userid`` is in lower case and may change once; ``former_userid`` is what it was, so that a late event finds her.
    """

    class Status(models.IntegerChoices):
        """WeCom's own numbers; 0: the app may not see it."""

        UNSEEN = 0, _("outside the app's range")
        ACTIVE = 1, _("active")
        DISABLED = 2, _("disabled")
        NOT_ACTIVATED = 4, _("not activated")
        LEFT = 5, _("has left")

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    userid = models.CharField(_("WeCom account"), max_length=64)
    former_userid = models.CharField(_("former account"), max_length=64, blank=True, default="")
    renamed_at = models.DateTimeField(_("renamed at"), null=True)
    guide = models.ForeignKey(
        Guide, models.SET_NULL, verbose_name=_("guide"), null=True, blank=True, related_name="wecom_members"
    )
    name = models.CharField(_("name"), max_length=64, blank=True)
    departments = ArrayField(models.BigIntegerField(), verbose_name=_("departments"), default=list, blank=True)
    status = models.PositiveSmallIntegerField(_("status"), choices=Status, default=Status.UNSEEN)
    has_feature = models.BooleanField(_("may have customers"), default=False)  # 客户联系 is switched on for her
    placed_at = models.DateTimeField(null=True)  # of the newest word on her departments
    state_at = models.DateTimeField()  # of the newest word on whether she is there
    left_at = models.DateTimeField(_("left WeCom at"), null=True)
    ignored_at = models.DateTimeField(_("ignored at"), null=True)  # somebody said: not a guide
    created_at = models.DateTimeField(_("first seen at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("WeCom member")
        verbose_name_plural = _("WeCom members")
        constraints = (
            models.UniqueConstraint(name="wecom_member_once", fields=["userid", "corp"]),
            models.UniqueConstraint(
                name="one_account_per_guide", fields=["guide", "corp"], condition=Q(guide__isnull=False, left_at=None)
            ),
        )
        indexes = (
            models.Index(fields=["former_userid"], name="wecom_member_former", condition=~Q(former_userid="")),
            models.Index(fields=["name"], name="wecom_member_name", opclasses=["text_pattern_ops"]),
        )

    def __str__(self) -> str:
        return f"{self.name} {self.userid}".strip()


class DirectorySweep(models.Model):
    """One complete reading of the directory and what it found (通讯录核对)."""

    class Status(models.TextChoices):
        RUNNING = "RUNNING", _("running")
        DONE = "DONE", _("done")
        HELD = "HELD", _("waits for a person")  # too many seem to have left: nobody was marked

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), related_name="+")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+", db_index=False)
    status = models.CharField(_("status"), max_length=8, choices=Status, default=Status.RUNNING)
    started_at = models.DateTimeField(_("started at"))
    ended_at = models.DateTimeField(_("ended at"), null=True)
    known_count = models.PositiveIntegerField(_("known before"), default=0)
    seen_count = models.PositiveIntegerField(_("seen"), default=0)
    joined_count = models.PositiveIntegerField(_("joined"), default=0)
    moved_count = models.PositiveIntegerField(_("other departments"), default=0)
    missing_count = models.PositiveIntegerField(_("missing"), default=0)
    unseen_count = models.PositiveIntegerField(_("departments without names"), default=0)
    # how many may be marked as having left, by the word of a person about an earlier sweep that was held
    allowed_count = models.PositiveIntegerField(_("allowed to leave"), null=True)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, verbose_name=_("approved by"), null=True, related_name="+"
    )

    class Meta:
        verbose_name = _("directory sweep")
        verbose_name_plural = _("directory sweeps")

    def __str__(self) -> str:
        return f"{self.corp} {self.started_at:%Y-%m-%d %H:%M}"
