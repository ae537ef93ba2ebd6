"""SOPs (标准跟进流程) as rows: versions with their steps, and who is on which step."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.content import Content
from campaigns.models.scripts import Script
from members.models import Coupon, CouponTemplate, Member, Tag
from scrm import org
from scrm.models import Brand

VERSION_STAYS = """
    IF OLD.status <> 'DRAFT' AND (to_jsonb(NEW) - ARRAY['status','retired_at','looked_at']) IS DISTINCT FROM
       (to_jsonb(OLD) - ARRAY['status','retired_at','looked_at']) THEN
        RAISE EXCEPTION 'a published version of an SOP never changes' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""
STEP_STAYS = """
    IF EXISTS (SELECT 1 FROM campaigns_sopversion v
               WHERE v.id = COALESCE(OLD.version_id, NEW.version_id) AND v.status <> 'DRAFT') THEN
        RAISE EXCEPTION 'a step of a published version never changes' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
"""


class Sop(models.Model):
    """A series of steps that each customer goes through from an event of hers on."""

    class Anchor(models.TextChoices):
        FRIEND_ADDED = "FRIEND_ADDED", _("added as a WeCom friend")
        BOUGHT = "BOUGHT", _("has bought")
        BIRTHDAY = "BIRTHDAY", _("birthday")
        LAPSED = "LAPSED", _("has not bought for days")
        GROUP_JOINED = "GROUP_JOINED", _("has joined a customer group")
        GROUP_CREATED = "GROUP_CREATED", _("a customer group was made")

    GROUP_ANCHORS = frozenset({Anchor.GROUP_CREATED})  # of an SOP that groups go through, not customers

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), related_name="+")
    name = models.CharField(_("name"), max_length=64)
    anchor = models.CharField(_("begins with"), max_length=16, choices=Anchor)
    anchor_days = models.PositiveSmallIntegerField(
        _("days of the anchor"), default=0,
        help_text=_("Birthday: how many days before it. Has not bought for days: after how many. Otherwise 0."),
    )  # fmt: skip
    is_active = models.BooleanField(_("takes customers in"), default=True)
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("SOP")
        verbose_name_plural = _("SOPs")
        constraints = (
            models.UniqueConstraint(name="sop_name_once", fields=["brand", "name"]),
            models.CheckConstraint(name="sop_lapse_has_days", condition=~Q(anchor="LAPSED") | Q(anchor_days__gt=0)),
        )

    def __str__(self) -> str:
        return self.name


class SopVersion(models.Model):
    class Status(models.TextChoices):
        DRAFT = "DRAFT", _("draft")
        PUBLISHED = "PUBLISHED", _("in force")
        RETIRED = "RETIRED", _("replaced")

    class BackFill(models.TextChoices):
        NONE = "NONE", _("only events from the publication on")
        IN_TIME = "IN_TIME", _("also earlier events: on the step whose time has come, what is over is passed over")
        FROM_START = "FROM_START", _("also earlier events: from the first step on")

    sop = models.ForeignKey(Sop, models.PROTECT, verbose_name=_("SOP"), related_name="versions")
    number = models.PositiveSmallIntegerField(_("version"))
    status = models.CharField(_("state"), max_length=12, choices=Status, default=Status.DRAFT)
    back_fill = models.CharField(_("back-fill"), max_length=12, choices=BackFill, default=BackFill.NONE)
    back_fill_days = models.PositiveSmallIntegerField(_("back-fill days"), default=0, help_text=_("Up to 90."))
    stops_on_purchase = models.BooleanField(_("a purchase ends it"), default=True)
    pause_days = models.PositiveSmallIntegerField(
        _("days of rest after a reply"), default=3, help_text=_("0: a reply does not pause it.")
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("author"), null=True, related_name="+"
    )
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("published by"), null=True, related_name="+"
    )
    published_at = models.DateTimeField(_("published at"), null=True)
    retired_at = models.DateTimeField(_("replaced at"), null=True)
    looked_at = models.DateTimeField(
        null=True
    )  # the last thorough look for its events; null: not even for the back-fill

    class Meta:
        verbose_name = _("version of an SOP")
        verbose_name_plural = _("versions of SOPs")
        constraints = (
            models.UniqueConstraint(name="sop_version_once", fields=["sop", "number"]),
            models.UniqueConstraint(name="sop_one_in_force", fields=["sop"], condition=Q(status="PUBLISHED")),
            models.UniqueConstraint(name="sop_one_draft", fields=["sop"], condition=Q(status="DRAFT")),
            models.CheckConstraint(
                name="sop_published_says_when", condition=Q(status="DRAFT") | Q(published_at__isnull=False)
            ),
            models.CheckConstraint(
                name="sop_back_fill",
                condition=Q(back_fill="NONE", back_fill_days=0)
                | ~Q(back_fill="NONE") & Q(back_fill_days__range=(1, 90)),
            ),
        )
        triggers = (
            pgtrigger.Trigger(
                name="version_stays", when=pgtrigger.Before, operation=pgtrigger.Update, func=VERSION_STAYS
            ),
        )

    def __str__(self) -> str:
        return f"{self.sop} V{self.number}"


class SopStep(models.Model):
    class Kind(models.TextChoices):
        MESSAGE = "MESSAGE", _("the guide sends a message")
        CALL = "CALL", _("the guide calls")
        GROUP_POST = "GROUP_POST", _("the owner posts in the group")
        GROUP_SEND = "GROUP_SEND", _("mass send to the group")
        GROUP_NOTICE = "GROUP_NOTICE", _("the owner sets the notice of the group")
        COUPON = "COUPON", _("the customer gets a coupon")
        TAG = "TAG", _("the customer gets a tag")
        BRANCH = "BRANCH", _("branch")

    class Question(models.TextChoices):
        BOUGHT = "BOUGHT", _("has she bought since she entered?")
        REPLIED = "REPLIED", _("has she replied since she entered?")
        DONE = "DONE", _("was the last action done?")
        TAGGED = "TAGGED", _("has she the tag?")

    GROUP_KINDS = frozenset({Kind.GROUP_POST, Kind.GROUP_SEND, Kind.GROUP_NOTICE})

    version = models.ForeignKey(SopVersion, models.CASCADE, verbose_name=_("version"), related_name="steps")
    position = models.PositiveSmallIntegerField(_("no."))
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    title = models.CharField(_("title"), max_length=40)
    text = models.TextField(
        _("what to say"), blank=True, max_length=1300,
        help_text=_(
            "May hold {客户称呼} {导购姓名} {门店名称}; with a coupon also {优惠券} {有效期}; in a group {群名称} instead of {客户称呼}. With a script: what is said where the "
            "script cannot be filled."
        ),
    )  # fmt: skip
    wait_days = models.PositiveSmallIntegerField(_("days after the step before"), default=0)
    at_time = models.TimeField(_("time of day"), null=True, blank=True)
    wait_minutes = models.PositiveSmallIntegerField(_("minutes after the step before"), default=0)
    valid_hours = models.PositiveSmallIntegerField(_("to be done within hours"), default=24)
    minutes = models.PositiveSmallIntegerField(_("minutes of work"), default=2)
    tag = models.ForeignKey(Tag, models.PROTECT, verbose_name=_("tag"), null=True, blank=True, related_name="+")
    coupon = models.ForeignKey(  # of its code the version in force is given
        CouponTemplate,
        models.PROTECT,
        verbose_name=_("coupon"),
        null=True,
        blank=True,
        db_index=False,
        related_name="+",
    )
    script = models.ForeignKey(
        Script, models.PROTECT, verbose_name=_("script"), null=True, blank=True, db_index=False, related_name="+",
        help_text=_("Filled for the customer when her guide opens the action, as personally as what is known allows."),
    )  # fmt: skip
    content = models.ForeignKey(
        Content,
        models.PROTECT,
        verbose_name=_("content material"),
        null=True,
        blank=True,
        db_index=False,
        related_name="+",
    )
    question = models.CharField(_("question"), max_length=12, choices=Question, blank=True, default="")
    yes_to = models.PositiveSmallIntegerField(_("if so, to no."), null=True, blank=True)
    next_to = models.PositiveSmallIntegerField(
        _("then to no."), null=True, blank=True, help_text=_("Empty: the next one; 0: the end. Of a branch: if not.")
    )

    class Meta:
        verbose_name = _("step of an SOP")
        verbose_name_plural = _("steps of SOPs")
        ordering = ("position",)  # a handful per version
        constraints = (
            models.UniqueConstraint(name="sop_step_once", fields=["version", "position"]),
            models.CheckConstraint(
                name="sop_step_branch",
                condition=Q(kind="BRANCH", yes_to__isnull=False) & ~Q(question="")
                | ~Q(kind="BRANCH") & Q(question="", yes_to=None),
            ),
            models.CheckConstraint(
                name="sop_step_coupon",
                condition=Q(kind="COUPON", coupon__isnull=False) | ~Q(kind="COUPON") & Q(coupon=None),
            ),
            models.CheckConstraint(
                name="sop_step_numbers", condition=Q(position__gt=0, minutes__gt=0, valid_hours__range=(1, 720))
            ),
        )
        triggers = (
            pgtrigger.Trigger(
                name="step_stays", when=pgtrigger.Before,
                operation=pgtrigger.Update | pgtrigger.Delete | pgtrigger.Insert, func=STEP_STAYS,
            ),
        )  # fmt: skip

    def __str__(self) -> str:
        return f"{self.position} {self.title}"


class SopRun(models.Model):
    """One customer in one SOP because of one event. She stays with the version she entered."""

    class Status(models.TextChoices):
        ACTIVE = "ACTIVE", _("under way")
        DONE = "DONE", _("gone through")
        STOPPED = "STOPPED", _("stopped")

    class Why(models.TextChoices):
        NONE = "", _("under way")
        THROUGH = "THROUGH", _("all steps done")
        BOUGHT = "BOUGHT", _("has bought")
        REFUSED = "REFUSED", _("wants no messages")
        GONE = "GONE", _("is no member any more")
        LEFT = "LEFT", _("has left the group")
        HAND = "HAND", _("stopped by hand")

    sop = models.ForeignKey(Sop, models.PROTECT, verbose_name=_("SOP"), db_index=False, related_name="runs")
    version = models.ForeignKey(
        SopVersion, models.PROTECT, verbose_name=_("version"), db_index=False, related_name="runs"
    )
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"), db_index=False, related_name="+")
    anchor_key = models.CharField(max_length=64)  # the event, see ``sops.anchors``
    anchored_at = models.DateTimeField(_("event at"))
    entered_at = models.DateTimeField(_("entered at"))
    position = models.PositiveSmallIntegerField(_("step"))  # the one that comes next
    due_at = models.DateTimeField(_("due at"))  # of that step by the plan; the steps behind it count from there
    rested_for = models.DateTimeField(_("rested after the reply of"), null=True)  # the newest reply that has put it off
    status = models.CharField(_("state"), max_length=8, choices=Status, default=Status.ACTIVE)
    why = models.CharField(_("why"), max_length=8, choices=Why, blank=True, default="")
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("customer in an SOP")
        verbose_name_plural = _("customers in SOPs")
        constraints = (
            models.UniqueConstraint(name="sop_run_once", fields=["sop", "member", "anchor_key"]),
            models.UniqueConstraint(
                name="sop_run_one_at_a_time", fields=["sop", "member"], condition=Q(status="ACTIVE")
            ),
            models.CheckConstraint(
                name="sop_run_end_says_why",
                condition=Q(status="ACTIVE", why="", ended_at=None)
                | ~Q(status="ACTIVE") & ~Q(why="") & Q(ended_at__isnull=False),
            ),
        )
        indexes = (
            models.Index(fields=["due_at"], name="sop_run_due", condition=Q(status="ACTIVE")),
            models.Index(fields=["member", "-id"], name="sop_run_member"),
            models.Index(fields=["sop", "-id"], name="sop_run_sop"),
            models.Index(fields=["version", "status"], name="sop_run_version"),  # counted beside each version
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("member", Member, store_ids)

    def __str__(self) -> str:
        return f"{self.sop_id} #{self.pk}"


class SopStepDone(models.Model):
    """What became of one step of one run: each is taken once."""

    class Result(models.TextChoices):
        GIVEN = "GIVEN", _("given to the guide")
        SENT = "SENT", _("given to the owner as a mass send")
        NOT_SENT = "NOT_SENT", _("could not be sent")
        TAGGED = "TAGGED", _("tagged")
        COUPON = "COUPON", _("coupon given")
        REFUSED = "REFUSED", _("no coupon")
        YES = "YES", _("yes")
        NO = "NO", _("no")
        PASSED = "PASSED", _("passed over: its time was over")
        NOBODY = "NOBODY", _("no guide serves her")

    run = models.ForeignKey(SopRun, models.CASCADE, related_name="steps_done", db_index=False)
    position = models.PositiveSmallIntegerField(_("step"))
    result = models.CharField(_("result"), max_length=8, choices=Result)
    note = models.CharField(_("why"), max_length=200, blank=True, db_default="", default="")
    coupon = models.ForeignKey(
        Coupon, models.PROTECT, verbose_name=_("coupon"), null=True, db_index=False, related_name="+"
    )
    at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("step taken")
        verbose_name_plural = _("steps taken")
        constraints = (models.UniqueConstraint(name="sop_step_taken_once", fields=["run", "position"]),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("run", SopRun, store_ids)

    def __str__(self) -> str:
        return f"{self.run_id} {self.position}"
