"""Scenarios (数字化场景) as rows: when this is so for a customer, her guide does that; each turn, and what came of it."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.content import Content
from campaigns.models.scripts import Script
from guides.models import Action, Guide
from members.models import Audience, CouponTemplate, Member
from members.models.facts import Stage
from scrm.models import Brand, Store
from scrm.money import FenField

# what was decided stays; what came of it is written once, and no more when the window has closed
TURN_STAYS = """
    IF (to_jsonb(NEW) - ARRAY['replied_at','came_at','bought_at','bought_fen','is_closed']) IS DISTINCT FROM
       (to_jsonb(OLD) - ARRAY['replied_at','came_at','bought_at','bought_fen','is_closed']) OR OLD.is_closed THEN
        RAISE EXCEPTION 'a turn of a scenario stays as it was' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""


class DayRule(models.Model):
    """How much of a guide's day scenarios may take, per brand (每日待办规则)."""

    brand = models.OneToOneField(Brand, models.PROTECT, verbose_name=_("brand"))
    minutes = models.PositiveSmallIntegerField(
        _("minutes a day"), default=60, help_text=_("So much of a guide's day everything on her list may take together")
    )
    most = models.PositiveSmallIntegerField(_("customers a day"), default=20)

    class Meta:
        verbose_name = _("rule of the day")
        verbose_name_plural = _("rules of the day")
        constraints = (
            models.CheckConstraint(name="day_rule_sense", condition=Q(minutes__range=(5, 480), most__range=(1, 200))),
        )

    def __str__(self) -> str:
        return f"{self.brand} {self.minutes}"


class Scenario(models.Model):
    class Status(models.TextChoices):
        DRAFT = "DRAFT", _("draft")
        ACTIVE = "ACTIVE", _("in force")
        PAUSED = "PAUSED", _("paused")

    class Event(models.TextChoices):
        """Besides each morning: as soon as this has happened to a customer of the audience."""

        NONE = "", _("each morning only")
        BOUGHT = "BOUGHT", _("an order")
        FRIEND_ADDED = "FRIEND_ADDED", _("a new friend")

    KINDS = (Action.Kind.MESSAGE, Action.Kind.CALL, Action.Kind.INVITE, Action.Kind.COUPON, Action.Kind.OTHER)

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), db_index=False)
    code = models.SlugField(_("code"), max_length=32, db_index=False)
    name = models.CharField(_("name"), max_length=64)
    audience = models.ForeignKey(
        Audience, models.PROTECT, verbose_name=_("audience"), db_index=False, related_name="+",
        help_text=_("For whom it is so: looked up anew each morning"),
    )  # fmt: skip
    event = models.CharField(_("begins also with"), max_length=16, choices=Event, default=Event.NONE, blank=True)
    kind = models.CharField(_("what the guide does"), max_length=12, choices=[(k.value, k.label) for k in KINDS])
    title = models.CharField(_("title"), max_length=80)
    reason = models.CharField(
        _("why, in one sentence"), max_length=200,
        help_text=_("For the guide. {未购天数}, {会员等级} and {生日} are filled for the customer."),
    )  # fmt: skip
    text = models.TextField(
        _("what to say"), blank=True, help_text=_("Where no script fits; {客户称呼} {导购姓名} {门店名称} are filled.")
    )
    script = models.ForeignKey(
        Script, models.PROTECT, verbose_name=_("script"), null=True, blank=True, db_index=False, related_name="+"
    )
    content = models.ForeignKey(
        Content, models.PROTECT, verbose_name=_("material"), null=True, blank=True, db_index=False, related_name="+"
    )
    coupon = models.ForeignKey(
        CouponTemplate,
        models.PROTECT,
        verbose_name=_("coupon"),
        null=True,
        blank=True,
        db_index=False,
        related_name="+",
    )
    minutes = models.PositiveSmallIntegerField(_("minutes"), default=3)
    due_days = models.PositiveSmallIntegerField(_("to be done within days"), default=1)
    cooldown_days = models.PositiveSmallIntegerField(
        _("not again for days"), default=30, help_text=_("For the same customer")
    )
    most_per_guide = models.PositiveSmallIntegerField(_("at most so many a guide and day"), default=10)
    window_days = models.PositiveSmallIntegerField(
        _("outcome within days"), default=7, help_text=_("A purchase within so many days counts as its outcome")
    )
    value_fen = FenField(
        _("worth of a success"), null=True, blank=True, help_text=_("Empty: the customer's own average order")
    )
    first_guess_bp = models.PositiveSmallIntegerField(
        _("first guess of its effect"), default=300,
        help_text=_("So many more of 10,000 customers buy because of it; what is measured takes its place by and by"),
    )  # fmt: skip
    holdout_bp = models.PositiveSmallIntegerField(
        _("left alone to compare"), default=1_000, help_text=_("Of 10,000; nobody can tell the effect without them")
    )
    salt = models.CharField(max_length=32)
    status = models.CharField(_("state"), max_length=8, choices=Status, default=Status.DRAFT)
    looked_at = models.DateTimeField(null=True)  # events up to here were looked at
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("changed by"), null=True, related_name="+"
    )
    changed_at = models.DateTimeField(_("changed at"), auto_now=True)

    class Meta:
        verbose_name = _("scenario")
        verbose_name_plural = _("scenarios")
        constraints = (
            models.UniqueConstraint(name="scenario_code_once", fields=["brand", "code"]),
            models.CheckConstraint(
                name="scenario_sense",
                condition=Q(
                    minutes__range=(1, 60), due_days__range=(1, 14), cooldown_days__range=(1, 365), window_days__range=(1, 30),
                    most_per_guide__range=(1, 200), first_guess_bp__lte=10_000, holdout_bp__lte=5_000,
                ) & (Q(value_fen=None) | Q(value_fen__gte=0)),
                violation_error_message=_("Minutes 1 to 60, days 1 to 14, cool-down 1 to 365 days, window 1 to 30 days, at most a half left alone."),
            ),
        )  # fmt: skip

    def __str__(self) -> str:
        return self.name


class ScenarioTurn(models.Model):
    """A customer on whom a scenario fell on a day: given to her guide, or left alone for comparison."""

    scenario = models.ForeignKey(Scenario, models.PROTECT, verbose_name=_("scenario"), db_index=False)
    member = models.ForeignKey(
        Member, models.PROTECT, verbose_name=_("member"), db_index=False, db_constraint=False, related_name="+"
    )
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), db_index=False, db_constraint=False)
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), db_index=False, db_constraint=False)
    given_on = models.DateField(_("day"))
    given_at = models.DateTimeField(_("at"))
    is_held_out = models.BooleanField(_("left alone"))
    stage = models.CharField(_("stage"), max_length=8, choices=Stage)
    chance_bp = models.PositiveSmallIntegerField(_("chance"))
    value_fen = FenField(_("worth"))
    replied_at = models.DateTimeField(_("replied"), null=True)
    came_at = models.DateTimeField(_("came"), null=True)
    bought_at = models.DateTimeField(_("bought"), null=True)
    bought_fen = FenField(_("amount"), default=0)
    is_closed = models.BooleanField(_("window closed"), default=False)

    class Meta:
        verbose_name = _("turn of a scenario")
        verbose_name_plural = _("turns of scenarios")
        constraints = (
            models.UniqueConstraint(name="scenario_turn_once", fields=["member", "scenario", "given_on"]),
            models.CheckConstraint(
                name="turn_outcome_after", condition=Q(bought_at=None) | Q(bought_at__gte=F("given_at"))
            ),
        )
        indexes = (
            models.Index(fields=["scenario", "given_on"], name="turn_scenario_day"),
            models.Index(fields=["given_on", "member"], name="turn_open", condition=Q(is_closed=False)),
            models.Index(fields=["store", "given_on"], name="turn_store_day"),
        )
        triggers = (
            pgtrigger.Trigger(name="turn_stays", when=pgtrigger.Before, operation=pgtrigger.Update, func=TURN_STAYS),
            pgtrigger.Protect(name="turn_kept", operation=pgtrigger.Delete),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.scenario_id} {self.member_id} {self.given_on}"


class ScenarioChance(models.Model):
    """What a scenario has brought so far, in all (``stage`` empty) and per life-cycle stage: counted each night."""

    scenario = models.ForeignKey(Scenario, models.CASCADE, verbose_name=_("scenario"), db_index=False)
    stage = models.CharField(_("stage"), max_length=8, choices=Stage, blank=True)
    given_count = models.IntegerField(_("given"), default=0)
    given_bought = models.IntegerField(_("of them bought"), default=0)
    held_count = models.IntegerField(_("left alone"), default=0)
    held_bought = models.IntegerField(_("of them bought"), default=0)
    chance_bp = models.PositiveSmallIntegerField(_("chance"))
    counted_on = models.DateField(_("as of"))

    class Meta:
        verbose_name = _("chance of a scenario")
        verbose_name_plural = _("chances of scenarios")
        constraints = (models.UniqueConstraint(name="scenario_chance_once", fields=["scenario", "stage"]),)

    def __str__(self) -> str:
        return f"{self.scenario_id} {self.stage}"


class ScenarioDay(models.Model):
    """A morning that was generated, per brand: once per business day, and what it came to."""

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), db_index=False)
    day = models.DateField(_("day"))
    candidate_count = models.IntegerField(_("customers for whom something was so"), default=0)
    given_count = models.IntegerField(_("given to guides"), default=0)
    held_count = models.IntegerField(_("left alone"), default=0)
    later_count = models.IntegerField(_("no room today"), default=0)
    guide_count = models.IntegerField(_("guides"), default=0)
    problems = models.JSONField(_("problems"), default=list, blank=True)
    made_at = models.DateTimeField(_("made at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("morning")
        verbose_name_plural = _("mornings")
        constraints = (models.UniqueConstraint(name="scenario_day_once", fields=["brand", "day"]),)

    def __str__(self) -> str:
        return f"{self.day}"
