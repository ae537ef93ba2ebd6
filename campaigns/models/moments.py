"""Moments (客户朋友圈): HQ's posts, which guides publish, and what each guide has posted, HQ's or her own."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.content import ContentVersion
from campaigns.models.reach import ForPart
from guides.models import Guide
from scrm.models import Brand, Corp, Job, Store


class Moment(ForPart):
    """One post of HQ's, given to the guides of a part of the company as tasks to publish."""

    class Status(models.TextChoices):
        PLANNING = "PLANNING", _("being planned")
        PLANNED = "PLANNED", _("planned")
        ASKED = "ASKED", _("waiting for approval")
        MAKING = "MAKING", _("on its way to WeCom")
        OUT = "OUT", _("with the guides")
        ENDED = "ENDED", _("ended")
        FAILED = "FAILED", _("refused by WeCom")
        CANCELLED = "CANCELLED", _("cancelled")

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), db_index=False, related_name="+")
    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    name = models.CharField(_("name"), max_length=64)
    text = models.CharField(_("text"), max_length=2000, blank=True)
    kind = models.CharField(max_length=5, blank=True)  # WeCom's word for what it shows: image, video, link, or nothing
    status = models.CharField(_("state"), max_length=10, choices=Status, default=Status.PLANNING)
    due_at = models.DateTimeField(_("to be posted at"))
    planned_at = models.DateTimeField(_("planned at"), null=True)
    guide_count = models.IntegerField(_("guides"), default=0)
    friend_count = models.BigIntegerField(_("friends of these guides"), default=0)  # of two guides: counted twice
    customer_count = models.BigIntegerField(_("customers of these guides"), default=0, db_default=0)
    spent_count = models.BigIntegerField(_("customers who have had HQ's moments of the month"), default=0, db_default=0)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, verbose_name=_("requested by"), related_name="+", db_index=False
    )  # fmt: skip
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, verbose_name=_("approved by"), related_name="+", db_index=False
    )  # fmt: skip
    handed_at = models.DateTimeField(null=True)  # asked of WeCom: from then on nobody is left out any more
    wecom_job = models.CharField(max_length=64, blank=True)  # WeCom's job that makes it
    moment_id = models.CharField(max_length=128, null=True, unique=True)
    made_at = models.DateTimeField(_("given to the guides at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)
    poll_at = models.DateTimeField(null=True)  # when WeCom is asked next who has published; null: not any more
    error_code = models.CharField(_("problem"), max_length=64, blank=True)
    job = models.ForeignKey(Job, models.SET_NULL, null=True, verbose_name=_("job"), related_name="+")
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("moment")
        verbose_name_plural = _("moments")
        constraints = (
            models.CheckConstraint(  # S4
                name="moment_by_two_people", condition=Q(approved_by=None) | ~Q(approved_by=F("requested_by"))
            ),
            models.CheckConstraint(
                name="moment_out_has_id",
                condition=~Q(status="OUT") | Q(moment_id__isnull=False, made_at__isnull=False),
            ),
        )
        indexes = (
            models.Index(fields=["poll_at"], name="moment_poll", condition=Q(poll_at__isnull=False)),
            models.Index(fields=["due_at"], name="moment_due"),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        """Seen where guides have it to publish."""
        return Q(models.Exists(MomentPost.objects.filter(moment=models.OuterRef("pk"), store__in=store_ids)))

    def __str__(self) -> str:
        return self.name


class MomentMaterial(models.Model):
    """What a moment shows, in the version it had when the moment was planned."""

    moment = models.ForeignKey(Moment, models.PROTECT, related_name="materials", db_index=False)
    position = models.PositiveSmallIntegerField()
    version = models.ForeignKey(
        ContentVersion, models.PROTECT, verbose_name=_("content material"), related_name="+", db_index=False
    )

    class Meta:
        verbose_name = _("material of a moment")
        verbose_name_plural = _("materials of moments")
        constraints = (models.UniqueConstraint(name="moment_material_once", fields=["moment", "position"]),)

    def __str__(self) -> str:
        return f"{self.moment_id} {self.position}"


class MomentPost(models.Model):
    """One moment in one guide's name: HQ's, to be published by her, or her own. One row for ever, whatever happens."""

    class State(models.TextChoices):
        EXCLUDED = "EXCLUDED", _("left out")
        PLANNED = "PLANNED", _("not published yet")
        PUBLISHED = "PUBLISHED", _("published")
        LEFT = "LEFT", _("never published")

    class Reason(models.TextChoices):
        NONE = "", _("none")
        NO_ACCOUNT = "NO_ACCOUNT", _("no WeCom account that may have customers")
        NO_FRIEND = "NO_FRIEND", _("no customer on WeCom")
        NOT_WORKING = "NO_WORK", _("does not work in a store any more")
        OFTEN = "OFTEN", _("each of her customers has had HQ's moments of the month")
        REFUSED = "REFUSED", _("not taken by WeCom")

    moment = models.ForeignKey(Moment, models.PROTECT, null=True, related_name="posts", db_index=False)
    corp = models.ForeignKey(Corp, models.PROTECT, db_index=False, related_name="+")
    own_id = models.CharField(max_length=128, blank=True)  # WeCom's id of a moment of her own
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), db_index=False, related_name="+")
    userid = models.CharField(_("WeCom account"), max_length=64, blank=True)
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, db_index=False, related_name="+"
    )
    state = models.CharField(_("state"), max_length=9, choices=State)
    reason = models.CharField(_("reason"), max_length=10, choices=Reason, blank=True, default="")
    kind = models.CharField(_("kind"), max_length=5, blank=True)
    text = models.CharField(_("text"), max_length=2000, blank=True)  # of her own ones
    at = models.DateTimeField(_("at"))  # when it was to be posted; of her own ones: when it was
    posted_at = models.DateTimeField(_("published at"), null=True)
    audience_count = models.IntegerField(_("customers who can see it"), default=0)
    like_count = models.IntegerField(_("likes"), default=0)
    comment_count = models.IntegerField(_("comments"), default=0)
    poll_at = models.DateTimeField(null=True)  # when WeCom is asked next for likes and comments

    class Meta:
        verbose_name = _("moment of a guide")
        verbose_name_plural = _("moments of guides")
        constraints = (
            models.UniqueConstraint(
                name="moment_post_once", fields=["moment", "guide"], condition=Q(moment__isnull=False)
            ),
            models.UniqueConstraint(name="own_moment_once", fields=["corp", "own_id"], condition=~Q(own_id="")),
            models.CheckConstraint(
                name="moment_post_is_of_one",
                condition=Q(moment=None) & ~Q(own_id="") | Q(moment__isnull=False, own_id=""),
            ),
            models.CheckConstraint(
                name="moment_left_out_says_why",
                condition=Q(state="EXCLUDED") & ~Q(reason="") | ~Q(state="EXCLUDED") & Q(reason=""),
            ),
            models.CheckConstraint(
                name="moment_published_has_time", condition=~Q(state="PUBLISHED") | Q(posted_at__isnull=False)
            ),
        )
        indexes = (
            models.Index(fields=["poll_at"], name="moment_post_poll", condition=Q(poll_at__isnull=False)),
            models.Index(fields=["store", "at"], name="moment_post_assessed"),
            models.Index(fields=["guide", "at"], name="moment_post_guide"),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store__in=store_ids)

    @property
    def is_own(self) -> bool:
        return self.moment_id is None

    def __str__(self) -> str:
        return f"{self.guide_id} {self.moment_id or self.own_id}"


class OwnMomentReading(models.Model):
    """How far the guides' own moments of a corp have been read."""

    corp = models.OneToOneField(Corp, models.PROTECT, related_name="+")
    read_until = models.DateTimeField()

    class Meta:
        verbose_name = _("reading of own moments")
        verbose_name_plural = _("readings of own moments")

    def __str__(self) -> str:
        return str(self.corp_id)
