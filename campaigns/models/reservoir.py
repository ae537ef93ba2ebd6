"""Pools of customers of stores that are not open yet (开业蓄水池)."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from guides.models import Contact, ContactWay, Guide, HandoverCase
from members.models import Coupon, CouponTemplate, Member
from scrm.models import Corp, Store
from scrm.money import BP, FenField


class Reservoir(models.Model):
    """The plan of one opening: who collects whom, where, with which gift."""

    class Status(models.TextChoices):
        DRAFT = "DRAFT", _("draft")
        OPEN = "OPEN", _("collecting")
        ENDED = "ENDED", _("ended")
        CANCELLED = "CANCELLED", _("cancelled")

    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), db_index=False, related_name="reservoirs")
    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    name = models.CharField(_("name"), max_length=30)
    starts_on = models.DateField(_("collects from"))
    opens_on = models.DateField(_("opening day"))
    target_count = models.PositiveIntegerField(
        _("friends wanted"), validators=[MinValueValidator(1), MaxValueValidator(100_000)]
    )
    gift = models.ForeignKey(
        CouponTemplate, models.PROTECT, verbose_name=_("gift for joining"), null=True, blank=True, db_index=False,
        related_name="+", help_text=_("Its number and budget are the stock; empty: no gift."),
    )  # fmt: skip
    cost_fen = FenField(
        _("other costs"), default=0, validators=[MinValueValidator(0)], help_text=_("Signs, staff, posters; gifts are added."),
    )  # fmt: skip
    margin_bp = models.PositiveIntegerField(
        _("gross margin"), default=3_000, validators=[MinValueValidator(1), MaxValueValidator(BP)],
        help_text=_("What remains of a sale, for the payback."),
    )  # fmt: skip
    status = models.CharField(_("state"), max_length=9, choices=Status, default=Status.DRAFT)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("made by"), null=True, db_index=False, related_name="+"
    )
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())
    started_at = models.DateTimeField(_("started at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("pre-opening pool")
        verbose_name_plural = _("pre-opening pools")
        constraints = (
            models.UniqueConstraint(
                name="one_live_reservoir", fields=["store"], condition=Q(status__in=["DRAFT", "OPEN"])
            ),
            models.CheckConstraint(name="reservoir_before_opening", condition=Q(opens_on__gt=F("starts_on"))),
            models.CheckConstraint(
                name="reservoir_started", condition=Q(status__in=["DRAFT", "CANCELLED"]) | Q(started_at__isnull=False)
            ),
        )
        indexes = (models.Index(fields=["store", "-id"], name="reservoir_store"),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.name} {self.opens_on}"


class ReservoirPlace(models.Model):
    """Where a code of the pool hangs (点位), and the code."""

    reservoir = models.ForeignKey(Reservoir, models.CASCADE, related_name="places", db_index=False)
    name = models.CharField(_("place"), max_length=20)
    longitude = models.DecimalField(_("longitude"), max_digits=10, decimal_places=7, null=True)
    latitude = models.DecimalField(_("latitude"), max_digits=10, decimal_places=7, null=True)
    way = models.OneToOneField(ContactWay, models.PROTECT, verbose_name=_("contact way"), null=True, related_name="+")

    class Meta:
        verbose_name = _("place of a pool")
        verbose_name_plural = _("places of pools")
        constraints = (models.UniqueConstraint(name="reservoir_place_once", fields=["reservoir", "name"]),)

    def __str__(self) -> str:
        return self.name


class ReservoirStaff(models.Model):
    """A guide borrowed for the pool up to and including ``ends_on`` (临时导购); she stays employed where she is."""

    reservoir = models.ForeignKey(Reservoir, models.CASCADE, related_name="staff", db_index=False)
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), db_index=False, related_name="+")
    ends_on = models.DateField(_("up to and including"))
    removed_at = models.DateTimeField(_("taken off the codes at"), null=True)

    class Meta:
        verbose_name = _("temporary guide")
        verbose_name_plural = _("temporary guides")
        constraints = (models.UniqueConstraint(name="reservoir_staff_once", fields=["reservoir", "guide"]),)
        indexes = (models.Index(fields=["guide"], name="reservoir_staff_guide"),)

    def __str__(self) -> str:
        return f"{self.guide_id} {self.ends_on}"


class ReservoirStep(models.Model):
    """What the guides of the pool do so many days before the opening (倒计时 SOP)."""

    reservoir = models.ForeignKey(Reservoir, models.CASCADE, related_name="steps", db_index=False)
    days_before = models.PositiveSmallIntegerField(_("days before the opening"), validators=[MaxValueValidator(90)])
    title = models.CharField(_("title"), max_length=60)
    text = models.TextField(_("what to say"), max_length=1300)
    given_at = models.DateTimeField(_("given to the guides at"), null=True)
    given_count = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("countdown step")
        verbose_name_plural = _("countdown steps")
        constraints = (models.UniqueConstraint(name="reservoir_step_once", fields=["reservoir", "days_before"]),)

    def __str__(self) -> str:
        return self.title


class ReservoirEntry(models.Model):
    """A customer in the pool, once however often she scans, and her gift."""

    class Gift(models.TextChoices):
        WAITS = "WAITS", _("waits for her registration")
        GIVEN = "GIVEN", _("given")
        REFUSED = "REFUSED", _("not given")
        NONE = "NONE", _("no gift")

    reservoir = models.ForeignKey(Reservoir, models.CASCADE, related_name="entries", db_index=False)
    contact = models.ForeignKey(
        Contact, models.PROTECT, verbose_name=_("WeCom contact"), db_index=False, related_name="+"
    )
    place = models.ForeignKey(ReservoirPlace, models.PROTECT, verbose_name=_("place"), db_index=False, related_name="+")
    guide = models.ForeignKey(
        Guide, models.PROTECT, verbose_name=_("guide"), null=True, db_index=False, related_name="+"
    )
    member = models.ForeignKey(
        Member, models.PROTECT, verbose_name=_("member"), null=True, db_index=False, related_name="+"
    )
    joined_at = models.DateTimeField(_("joined at"))
    gift = models.CharField(_("gift"), max_length=7, choices=Gift)
    gift_problem = models.CharField(_("why not"), max_length=200, blank=True)
    coupon = models.OneToOneField(Coupon, models.PROTECT, null=True, related_name="+")
    gifted_at = models.DateTimeField(_("gift given at"), null=True)

    class Meta:
        verbose_name = _("customer of a pool")
        verbose_name_plural = _("customers of pools")
        constraints = (
            models.UniqueConstraint(name="reservoir_contact_once", fields=["reservoir", "contact"]),
            models.UniqueConstraint(
                name="reservoir_member_gift_once", fields=["reservoir", "member"], condition=Q(gift="GIVEN")
            ),
            models.CheckConstraint(
                name="reservoir_gift_is_a_coupon",
                condition=Q(gift="GIVEN", coupon__isnull=False, gifted_at__isnull=False)
                | ~Q(gift="GIVEN") & Q(coupon=None),
            ),
        )
        indexes = (
            models.Index(fields=["reservoir", "joined_at"], name="reservoir_joined"),
            models.Index(fields=["reservoir", "id"], name="reservoir_waiting", condition=Q(gift="WAITS")),
            models.Index(fields=["member"], name="reservoir_member", condition=Q(member__isnull=False)),
            models.Index(fields=["contact"], name="reservoir_contact"),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(reservoir__store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.reservoir_id} {self.contact_id}"


class ReservoirCase(models.Model):
    """A handover of the pool: the customers of one temporary guide to the hired ones."""

    reservoir = models.ForeignKey(Reservoir, models.CASCADE, related_name="cases", db_index=False)
    case = models.OneToOneField(HandoverCase, models.PROTECT, verbose_name=_("handover"), related_name="+")

    class Meta:
        verbose_name = _("handover of a pool")
        verbose_name_plural = _("handovers of pools")
        indexes = (models.Index(fields=["reservoir"], name="reservoir_case"),)

    def __str__(self) -> str:
        return f"{self.case_id}"
