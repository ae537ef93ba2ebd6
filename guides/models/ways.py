"""Contact ways (渠道活码): the codes by which customers add a guide, who stands behind each, what came of it."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from guides.models.staff import Guide
from scrm import org
from scrm.models import Corp, Store


class ContactWay(models.Model):
    """One code. ``state`` is what WeCom gives back with whoever scanned it.

    ``live_userids`` is what WeCom was last told; ``is_shifting`` says that it depends on the hour or on a cap.
    """

    class Purpose(models.TextChoices):
        GUIDE = "GUIDE", _("a guide's own code")
        STORE = "STORE", pgettext_lazy("purpose of a contact way", "store code")
        CAMPAIGN = "CAMPAIGN", _("campaign code")

    class Status(models.TextChoices):
        DRAFT = "DRAFT", _("draft")
        CREATING = "CREATING", _("being made")
        LIVE = "LIVE", _("in use")
        FAILED = "FAILED", _("failed")
        RETIRED = "RETIRED", _("retired")

    class StandInBy(models.TextChoices):
        """Why another is added through the code of a guide who is gone."""

        NO = "", _("the guide herself")
        TAKER = "TAKER", _("took her customers over")
        MANAGER = "MANAGER", _("manager of her store")
        COLLEAGUE = "COLLEAGUE", _("colleague in her store")
        BRAND = "BRAND", _("brand account")
        NOBODY = "NOBODY", _("nobody found")

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    purpose = models.CharField(_("purpose"), max_length=8, choices=Purpose)
    name = models.CharField(_("name"), max_length=30)  # WeCom's remark: 30 characters
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, blank=True, db_index=False, related_name="ways"
    )
    guide = models.ForeignKey(
        Guide, models.PROTECT, verbose_name=_("guide"), null=True, blank=True, db_index=False, related_name="ways"
    )
    state = models.CharField(_("state of the code"), max_length=30, unique=True)
    is_multi = models.BooleanField(_("several people"), default=False)  # WeCom's type: it can never change
    skip_verify = models.BooleanField(_("add without confirmation"), default=True)
    daily_cap = models.PositiveIntegerField(_("new friends a day, per guide"), null=True, blank=True)
    is_shifting = models.BooleanField(default=False)
    status = models.CharField(_("state"), max_length=8, choices=Status, default=Status.DRAFT)
    attempt = models.PositiveSmallIntegerField(default=0)  # of making it; part of the outbox's key
    version = models.PositiveIntegerField(default=0)  # of what WeCom is to know; part of the outbox's key
    config_id = models.CharField(_("WeCom's id"), max_length=64, null=True, blank=True, unique=True)
    qr_code = models.CharField(_("address of the code"), max_length=512, blank=True)
    live_userids = ArrayField(
        models.CharField(max_length=64), verbose_name=_("who is added now"), default=list, blank=True
    )
    asked_userids = ArrayField(models.CharField(max_length=64), default=list, blank=True)  # what it was last asked for
    stand_in = models.ForeignKey(  # who is added while the guide is gone
        Guide, models.PROTECT, verbose_name=_("stands in"), null=True, db_index=False, related_name="+"
    )
    stand_in_by = models.CharField(
        _("who stands in"), max_length=9, choices=StandInBy, blank=True, default="", db_default=""
    )
    stand_in_since = models.DateTimeField(_("guide gone since"), null=True)
    expires_at = models.DateTimeField(_("retired by itself at"), null=True, blank=True)
    error_code = models.CharField(_("problem"), max_length=64, blank=True)
    error_text = models.CharField(_("what WeCom said"), max_length=300, blank=True)
    failed_at = models.DateTimeField(null=True)
    missing_at = models.DateTimeField(_("missing at WeCom since"), null=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("made by"), related_name="+"
    )
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())
    live_at = models.DateTimeField(_("in use since"), null=True)
    retired_at = models.DateTimeField(_("retired at"), null=True)

    class Meta:
        verbose_name = _("contact way")
        verbose_name_plural = _("contact ways")
        constraints = (
            models.UniqueConstraint(
                name="one_way_per_guide", fields=["guide", "corp"], condition=Q(purpose="GUIDE") & ~Q(status="RETIRED")
            ),
            models.CheckConstraint(
                name="way_names_its_target",
                condition=Q(purpose="GUIDE", guide__isnull=False, store=None)
                | Q(purpose="STORE", store__isnull=False, guide=None)
                | Q(purpose="CAMPAIGN", guide=None),
            ),
            models.CheckConstraint(
                name="way_stand_in_says_why",
                condition=Q(stand_in=None, stand_in_by__in=["", "NOBODY"])
                | Q(stand_in__isnull=False) & ~Q(stand_in_by__in=["", "NOBODY"]),
            ),
            models.CheckConstraint(
                name="live_way_has_its_id", condition=~Q(status="LIVE") | Q(config_id__isnull=False)
            ),
        )
        indexes = (
            models.Index(fields=["status", "id"], name="way_open", condition=Q(status__in=["CREATING", "FAILED"])),
            models.Index(fields=["id"], name="way_shifting", condition=Q(status="LIVE", is_shifting=True)),
            models.Index(
                fields=["expires_at"], name="way_expiring", condition=Q(status="LIVE", expires_at__isnull=False)
            ),
            models.Index(fields=["store", "-id"], name="way_store"),
            models.Index(fields=["guide", "-id"], name="way_guide"),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids) | Q(guide__isnull=False) & org.through("guide", Guide, store_ids)

    def __str__(self) -> str:
        return self.name


class WayStaff(models.Model):
    """A guide behind a code, and when she is (排班). Backups (备用) come in when no main guide may be added."""

    way = models.ForeignKey(ContactWay, models.CASCADE, verbose_name=_("contact way"), related_name="staff")
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), db_index=False, related_name="+")
    is_backup = models.BooleanField(_("backup"), default=False)
    weekdays = ArrayField(
        models.PositiveSmallIntegerField(), verbose_name=_("days of the week"), default=list, blank=True
    )  # 1 Monday to 7 Sunday; empty: every day
    starts_at = models.TimeField(_("from"), null=True, blank=True)
    ends_at = models.TimeField(_("until"), null=True, blank=True)  # before starts_at: over midnight
    is_off_on_holidays = models.BooleanField(_("not on public holidays"), default=False)

    class Meta:
        verbose_name = _("guide behind a code")
        verbose_name_plural = _("guides behind a code")
        constraints = (
            models.UniqueConstraint(name="way_staff_once", fields=["way", "guide"]),
            models.CheckConstraint(
                name="way_hours_have_two_ends",
                condition=Q(starts_at=None, ends_at=None)
                | Q(starts_at__isnull=False, ends_at__isnull=False) & ~Q(starts_at=F("ends_at")),
            ),
        )
        indexes = (models.Index(fields=["guide"], name="way_staff_guide"),)

    def __str__(self) -> str:
        return f"{self.way_id} {self.guide_id}"


class WayDay(models.Model):
    """What a code brought one guide on one business day: kept while it happens, never counted from the big tables."""

    way = models.ForeignKey(ContactWay, models.CASCADE, db_index=False, related_name="days")
    guide = models.ForeignKey(Guide, models.PROTECT, db_index=False, related_name="+")
    day = models.DateField()
    asked_count = models.PositiveIntegerField(_("scanned and asked"), default=0)
    friend_count = models.PositiveIntegerField(_("friends"), default=0)
    member_count = models.PositiveIntegerField(_("members among them"), default=0)
    bound_count = models.PositiveIntegerField(_("bound"), default=0)

    class Meta:
        verbose_name = _("day of a contact way")
        verbose_name_plural = _("days of contact ways")
        constraints = (models.UniqueConstraint(name="way_day_once", fields=["way", "day", "guide"]),)

    def __str__(self) -> str:
        return f"{self.way_id} {self.day}"


class WayPicture(models.Model):
    """The picture of a code as WeCom draws it."""

    way = models.OneToOneField(ContactWay, models.CASCADE, primary_key=True, related_name="picture")
    content = models.BinaryField()
    content_type = models.CharField(max_length=32)
    fetched_at = models.DateTimeField()

    class Meta:
        verbose_name = _("picture of a contact way")
        verbose_name_plural = _("pictures of contact ways")

    def __str__(self) -> str:
        return f"{self.way_id}"


class StrayWay(models.Model):
    """A code at WeCom that no row of ours names (无主活码): it counts against the quota and nobody can see it there."""

    class Status(models.TextChoices):
        OPEN = "OPEN", _("to be looked at")
        ADOPTED = "ADOPTED", _("taken over")
        DELETING = "DELETING", _("being deleted")
        DELETED = "DELETED", _("deleted")
        GONE = "GONE", _("no longer at WeCom")

    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    config_id = models.CharField(_("WeCom's id"), max_length=64, unique=True)
    state = models.CharField(_("state of the code"), max_length=64, blank=True)
    remark = models.CharField(_("remark"), max_length=64, blank=True)
    qr_code = models.CharField(_("address of the code"), max_length=512, blank=True)
    userids = ArrayField(models.CharField(max_length=64), verbose_name=_("who is added"), default=list, blank=True)
    way = models.ForeignKey(  # ours, by the state
        ContactWay, models.SET_NULL, verbose_name=_("contact way"), null=True, db_index=False, related_name="+"
    )
    status = models.CharField(_("state"), max_length=8, choices=Status, default=Status.OPEN)
    found_at = models.DateTimeField(_("found at"))
    attempt = models.PositiveSmallIntegerField(default=0)  # of deleting it; part of the outbox's key
    error_text = models.CharField(_("what WeCom said"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("stray contact way")
        verbose_name_plural = _("stray contact ways")
        indexes = (
            models.Index(fields=["status", "id"], name="stray_way_open", condition=Q(status__in=["OPEN", "DELETING"])),
        )

    def __str__(self) -> str:
        return self.config_id
