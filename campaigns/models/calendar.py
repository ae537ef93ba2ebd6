"""The marketing calendar (营销日历): what happens when and where, what stores change of it, and what came out of it per day."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.content import Content
from campaigns.models.reach import ForPart, part_q
from campaigns.models.sends import Send
from campaigns.models.sops import Sop
from guides.models import Action
from members.models import Audience, AudienceSnapshot, CouponBatch, CouponTemplate
from scrm.models import Brand, Corp, Job, Region, Store

MOST_QUOTA = 500


def _user(label: Any, *, is_optional: bool = True) -> Any:
    return models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=label, null=is_optional, related_name="+", db_index=False,
        editable=False,
    )  # fmt: skip


class CalendarEntry(ForPart):
    """Something of the weekly rhythm, or a campaign of some days: what guides do, what customers get, for which stores."""

    class Span(models.TextChoices):
        WEEKLY = "WEEKLY", _("weekly rhythm")
        CAMPAIGN = "CAMPAIGN", _("campaign")

    class Kind(models.TextChoices):
        MEMBER_DAY = "MEMBER_DAY", _("member day")
        NEW_PRODUCT = "NEW", _("new products")
        TASTING = "TASTING", _("tasting")
        PROMOTION = "PROMOTION", _("promotion")
        CONTENT = "CONTENT", _("something to read or watch")
        CARE = "CARE", _("looking after customers")
        OTHER = "OTHER", _("other")

    class QuotaPer(models.TextChoices):
        GUIDE = "GUIDE", _("per guide")
        STORE = "STORE", _("per store")

    class AdaptedBy(models.TextChoices):
        NOBODY = "NOBODY", _("nobody")
        REGION = "REGION", _("regions")
        STORE = "STORE", _("regions and stores")

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), related_name="+")
    span = models.CharField(_("repeats"), max_length=8, choices=Span, default=Span.WEEKLY)
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    title = models.CharField(_("title"), max_length=30)
    weekdays = ArrayField(
        models.PositiveSmallIntegerField(), verbose_name=_("on weekdays"), default=list, blank=True,
        help_text=_("A campaign without weekdays takes place every day."),
    )  # fmt: skip
    starts_on = models.DateField(_("from"))
    ends_on = models.DateField(
        _("up to and including"), null=True, blank=True, help_text=_("Weekly rhythm: empty is for ever.")
    )
    from_time = models.TimeField(_("begins at"), default="09:00")
    until_time = models.TimeField(_("ends at"), default="21:00")
    ownership = models.CharField(
        _("kind of stores"), max_length=16, choices=Store.Ownership, blank=True, default="", help_text=_("Empty: all.")
    )
    # what guides do
    task_kind = models.CharField(
        _("task of the guides"), max_length=12, choices=Action.Kind, blank=True, default="",
        help_text=_("Empty: no task, the day is only shown."),
    )  # fmt: skip
    text = models.TextField(
        _("what to say"), blank=True, max_length=1300,
        help_text=_("Stands in the task, and is the text of the mass send."),
    )  # fmt: skip
    quota_per = models.CharField(_("quota"), max_length=8, choices=QuotaPer, default=QuotaPer.GUIDE)
    direct_quota = models.PositiveSmallIntegerField(
        _("quota of direct stores"), default=0, validators=[MaxValueValidator(MOST_QUOTA)],
        help_text=_("Customers to contact, or posts to make, in a day; 0: none is asked."),
    )  # fmt: skip
    franchisee_quota = models.PositiveSmallIntegerField(
        _("quota of franchised stores"), default=0, validators=[MaxValueValidator(MOST_QUOTA)]
    )
    minutes = models.PositiveSmallIntegerField(
        _("minutes each"), default=3, validators=[MinValueValidator(1), MaxValueValidator(240)],
        help_text=_("For one customer or one post; without a quota for the task as a whole."),
    )  # fmt: skip
    # what customers get
    content = models.ForeignKey(
        Content, models.PROTECT, verbose_name=_("content material"), null=True, blank=True, related_name="+"
    )
    audience = models.ForeignKey(
        Audience, models.PROTECT, verbose_name=_("audience"), null=True, blank=True, related_name="+",
        help_text=_("Whom the mass send, the coupon and the SOP are for."),
    )  # fmt: skip
    corp = models.ForeignKey(
        Corp, models.PROTECT, verbose_name=_("mass send through"), null=True, blank=True, related_name="+", db_index=False,
        help_text=_("Empty: no mass send. It is planned by itself and sent by people only."),
    )  # fmt: skip
    holdout_percent = models.PositiveSmallIntegerField(
        _("control group (%)"), default=0, validators=[MaxValueValidator(90)],
        help_text=_("Of the mass send, so that it can be seen what it brought; 0: none."),
    )  # fmt: skip
    coupon_template = models.ForeignKey(
        CouponTemplate, models.PROTECT, verbose_name=_("coupon"), null=True, blank=True, related_name="+",
        help_text=_("Given to the audience once a second person has agreed."),
    )  # fmt: skip
    sop = models.ForeignKey(
        Sop, models.PROTECT, verbose_name=_("SOP"), null=True, blank=True, related_name="+",
        help_text=_("The audience enters it when the day begins."),
    )  # fmt: skip
    # what regions and stores may change of it
    adapted_by = models.CharField(_("may be adapted by"), max_length=8, choices=AdaptedBy, default=AdaptedBy.NOBODY)
    may_drop = models.BooleanField(_("they may leave it out"), default=False)
    may_move = models.BooleanField(_("they may change the hours"), default=False)
    least_quota_percent = models.PositiveSmallIntegerField(
        _("they may lower the quota to (%)"), default=100, validators=[MaxValueValidator(100)],
        help_text=_("100: not at all."),
    )  # fmt: skip
    note = models.CharField(_("note"), max_length=200, blank=True)
    is_active = models.BooleanField(_("in use"), default=True)
    changed_by = _user(_("changed by"))
    changed_at = models.DateTimeField(_("changed at"), auto_now=True)

    class Meta:
        verbose_name = _("calendar entry")
        verbose_name_plural = _("calendar entries")
        constraints = (
            models.CheckConstraint(name="calendar_days", condition=Q(ends_on=None) | Q(ends_on__gte=F("starts_on"))),
            models.CheckConstraint(name="calendar_hours", condition=Q(until_time__gt=F("from_time"))),
            models.CheckConstraint(
                name="calendar_span",
                condition=Q(span="WEEKLY", weekdays__len__gt=0) | Q(span="CAMPAIGN", ends_on__isnull=False),
            ),
            models.CheckConstraint(
                name="calendar_audience",
                condition=Q(audience__isnull=False) | Q(corp=None, coupon_template=None, sop=None),
            ),
        )
        indexes = (models.Index(fields=["brand", "starts_on"], name="calendar_brand"),)

    def __str__(self) -> str:
        return self.title


class CalendarAdaptation(models.Model):
    """What one region or store does otherwise, inside what HQ allows: leaves it out, moves the hours, lowers the quota."""

    entry = models.ForeignKey(
        CalendarEntry, models.PROTECT, verbose_name=_("calendar entry"), related_name="adaptations"
    )
    region = models.ForeignKey(
        Region, models.PROTECT, verbose_name=_("for region"), null=True, blank=True, db_index=False, related_name="+"
    )
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("for store"), null=True, blank=True, db_index=False, related_name="+"
    )
    starts_on = models.DateField(_("from"))
    ends_on = models.DateField(_("up to and including"))
    is_dropped = models.BooleanField(_("does not take part"), default=False)
    from_time = models.TimeField(_("begins at"), null=True, blank=True)
    until_time = models.TimeField(_("ends at"), null=True, blank=True)
    quota = models.PositiveSmallIntegerField(_("quota"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=200)
    is_active = models.BooleanField(_("in use"), default=True)
    made_by = _user(_("made by"), is_optional=False)
    changed_at = models.DateTimeField(_("changed at"), auto_now=True)

    class Meta:
        verbose_name = _("adaptation of the calendar")
        verbose_name_plural = _("adaptations of the calendar")
        constraints = (
            models.CheckConstraint(
                name="calendar_adapts_one_part",
                condition=Q(region__isnull=False, store=None) | Q(region=None, store__isnull=False),
            ),
            models.CheckConstraint(name="calendar_adapts_days", condition=Q(ends_on__gte=F("starts_on"))),
            models.CheckConstraint(
                name="calendar_adapts_hours",
                condition=Q(from_time=None, until_time=None) | Q(until_time__gt=F("from_time")),
            ),
            models.CheckConstraint(
                name="calendar_adapts_something",
                condition=Q(is_dropped=True, from_time=None, quota=None)
                | Q(is_dropped=False) & (Q(from_time__isnull=False) | Q(quota__isnull=False)),
            ),
        )
        indexes = (models.Index(fields=["ends_on"], name="calendar_adapts", condition=Q(is_active=True)),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        """A region's is seen by whoever has a store in it; a store's by who sees the store."""
        regions = Q(region__in=Region.objects.filter(pk__in=_regions_above(store_ids)))
        return Q(store_id__in=store_ids) | regions

    def __str__(self) -> str:
        return f"{self.entry} {self.region or self.store}"


def _regions_above(store_ids: frozenset[int]) -> set[int]:
    parents = dict(Region.objects.values_list("pk", "parent_id"))
    found: set[int] = set()
    for region_id in set(Store.objects.filter(pk__in=store_ids).values_list("region_id", flat=True)):
        at: int | None = region_id
        while at is not None and at not in found:
            found.add(at)
            at = parents.get(at)
    return found


class CalendarDay(models.Model):
    """One entry on one day, as it was compiled: its mass send, its coupons, its SOP, and how far the stores are together."""

    class Coupons(models.TextChoices):
        NONE = "", _("no coupons")
        ASKED = "ASKED", _("waiting for approval")
        AGREED = "AGREED", _("approved, given out when the day begins")
        GIVEN = "GIVEN", _("given out")

    entry = models.ForeignKey(CalendarEntry, models.PROTECT, verbose_name=_("calendar entry"), related_name="days")
    day = models.DateField(_("day"))
    kind = models.CharField(_("kind"), max_length=12, choices=CalendarEntry.Kind)  # as it was then
    title = models.CharField(_("title"), max_length=30)
    starts_at = models.DateTimeField(_("begins at"))
    is_cancelled = models.BooleanField(_("cancelled"), default=False)
    digest = models.CharField(max_length=32, blank=True)  # of what its send, coupons and SOP were made from
    snapshot = models.ForeignKey(
        AudienceSnapshot, models.PROTECT, verbose_name=_("audience"), null=True, related_name="+", db_index=False
    )
    send = models.OneToOneField(
        Send, models.PROTECT, verbose_name=_("mass send"), null=True, related_name="calendar_day"
    )
    coupons = models.CharField(_("coupons"), max_length=8, choices=Coupons, blank=True, default="")
    coupon_batch = models.OneToOneField(
        CouponBatch, models.PROTECT, verbose_name=_("batch of coupons"), null=True, related_name="calendar_day"
    )
    asked_by = _user(_("requested by"))
    asked_at = models.DateTimeField(_("requested at"), null=True)
    approved_by = _user(_("approved by"))
    sop_started_at = models.DateTimeField(_("SOP began at"), null=True)
    sop_count = models.IntegerField(_("entered the SOP"), default=0)
    problem = models.CharField(_("problem"), max_length=300, blank=True)
    # of all stores together, as last compiled and counted
    store_count = models.IntegerField(_("stores"), default=0)
    dropped_count = models.IntegerField(_("does not take part"), default=0)
    reached_count = models.IntegerField(_("stores that reached the quota"), default=0)
    task_count = models.IntegerField(_("tasks"), default=0)
    done_count = models.IntegerField(_("tasks done"), default=0)
    quota_count = models.IntegerField(_("quota"), default=0)
    made_count = models.IntegerField(_("reached"), default=0)

    class Meta:
        verbose_name = _("day of the calendar")
        verbose_name_plural = _("days of the calendar")
        constraints = (
            models.UniqueConstraint(name="calendar_day_once", fields=["day", "entry"]),
            models.CheckConstraint(  # S4
                name="calendar_coupons_by_two", condition=Q(approved_by=None) | ~Q(approved_by=F("asked_by"))
            ),
            models.CheckConstraint(
                name="calendar_coupons_agreed",
                condition=~Q(coupons__in=["AGREED", "GIVEN"]) | Q(approved_by__isnull=False),
            ),
        )
        indexes = (models.Index(fields=["asked_at"], name="calendar_coupons_wait", condition=Q(coupons="ASKED")),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return part_q(store_ids, "entry__")

    def __str__(self) -> str:
        return f"{self.title} {self.day}"


class CalendarStoreDay(models.Model):
    """One entry in one store on one day: what was asked of it and what became of it. Nobody but the compile writes it."""

    class Status(models.TextChoices):
        PLANNED = "PLANNED", _("planned")
        DROPPED = "DROPPED", _("does not take part")
        CANCELLED = "CANCELLED", _("cancelled")

    entry = models.ForeignKey(
        CalendarEntry, models.PROTECT, verbose_name=_("calendar entry"), db_index=False, related_name="+"
    )
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), db_index=False, related_name="+")
    day = models.DateField(_("day"))
    status = models.CharField(_("state"), max_length=10, choices=Status)
    revision = models.PositiveSmallIntegerField(default=1)  # tasks given anew have a number of their own
    digest = models.CharField(max_length=32)  # of what it was compiled from
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    adaptation = models.ForeignKey(
        CalendarAdaptation, models.PROTECT, verbose_name=_("adaptation"), null=True, db_index=False, related_name="+"
    )
    quota_count = models.IntegerField(_("quota"), default=0)
    task_count = models.IntegerField(_("tasks"), default=0)
    done_count = models.IntegerField(_("tasks done"), default=0)
    skipped_count = models.IntegerField(_("tasks skipped"), default=0)
    made_count = models.IntegerField(_("reached"), default=0)  # towards the quota
    counted_at = models.DateTimeField(_("counted at"), null=True)

    class Meta:
        verbose_name = _("day of a store")
        verbose_name_plural = _("days of stores")
        constraints = (models.UniqueConstraint(name="calendar_store_day_once", fields=["day", "entry", "store"]),)
        indexes = (models.Index(fields=["store", "day"], name="calendar_store_day"),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.entry_id} {self.store_id} {self.day}"


class CalendarCompiled(models.Model):
    """Up to which moment's wishes a day is compiled, and its conflicts looked for."""

    brand = models.ForeignKey(Brand, models.PROTECT, related_name="+", db_index=False)
    day = models.DateField()
    compiled_at = models.DateTimeField(null=True)
    checked_at = models.DateTimeField(null=True)
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+", db_index=False)

    class Meta:
        constraints = (models.UniqueConstraint(name="calendar_compiled_once", fields=["brand", "day"]),)

    def __str__(self) -> str:
        return f"{self.brand_id} {self.day}"


class CalendarConflict(models.Model):
    """What does not fit together on a day, of what takes the members or the stores to be counted."""

    class Kind(models.TextChoices):
        OVERLAP = "OVERLAP", _("the same members twice on a day")
        BUDGET = "BUDGET", _("more messages than the contact budget")
        MINUTES = "MINUTES", _("more than a guide's day holds")
        AUDIENCE = "AUDIENCE", _("the audience cannot be asked")

    entry = models.ForeignKey(CalendarEntry, models.CASCADE, related_name="conflicts", db_index=False)
    other = models.ForeignKey(CalendarEntry, models.CASCADE, null=True, related_name="+", db_index=False)
    day = models.DateField()
    kind = models.CharField(max_length=10, choices=Kind)
    count = models.BigIntegerField(default=0)  # members; of MINUTES stores
    numbers = models.JSONField(default=dict)  # what the sentence names besides

    class Meta:
        constraints = (
            models.UniqueConstraint(
                name="calendar_conflict_once", fields=["day", "entry", "kind", "other"], nulls_distinct=False
            ),
        )

    def __str__(self) -> str:
        return f"{self.day} {self.entry_id} {self.kind}"
