"""Handovers (继承): the customers of one guide go to others, on our side and on WeCom's."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from guides.models.bindings import Binding
from guides.models.contacts import Contact
from guides.models.staff import Guide
from members.models import Member
from scrm.models import Corp, Job, Store
from scrm.money import FenField


class HandoverCase(models.Model):
    """One guide whose customers go to others (继承单). At most one is open per guide."""

    class Cause(models.TextChoices):
        LEFT_WECOM = "LEFT_WECOM", _("account deleted on WeCom")
        EMPLOYMENT_ENDED = "EMPLOYMENT_ENDED", _("employment ended")
        BY_HAND = "BY_HAND", _("asked for by HQ")

    class Status(models.TextChoices):
        OPEN = "OPEN", _("to be planned")
        PLANNED = "PLANNED", _("planned, to be confirmed")
        RUNNING = "RUNNING", _("under way")
        DONE = "DONE", _("done")
        CANCELLED = "CANCELLED", _("cancelled")

    class Policy(models.TextChoices):
        SAME_STORE = "SAME_STORE", _("colleagues in the same store")
        BRAND_ACCOUNT = "BRAND_ACCOUNT", _("brand accounts")
        NAMED = "NAMED", _("named guides")

    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide who hands over"), related_name="handovers")
    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), null=True, related_name="+")
    userid = models.CharField(_("WeCom account"), max_length=64, blank=True)
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), null=True, related_name="+")
    cause = models.CharField(_("cause"), max_length=20, choices=Cause)
    status = models.CharField(_("status"), max_length=12, choices=Status, default=Status.OPEN)
    is_resigned = models.BooleanField(_("account is gone"), default=False)  # WeCom has other calls for these
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    opened_at = models.DateTimeField(_("opened at"))
    policy = models.CharField(_("who takes over"), max_length=16, choices=Policy, blank=True, default="")
    most_each = models.PositiveIntegerField(_("at most per guide"), null=True)
    message = models.CharField(_("message to the customer"), max_length=200, blank=True)
    plan_number = models.PositiveIntegerField(default=0)  # a plan that was asked for later makes an earlier one void
    planned_at = models.DateTimeField(_("planned at"), null=True)
    planned_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("planned by"), null=True, related_name="+"
    )
    item_count = models.PositiveIntegerField(_("customers"), default=0)
    needs_second = models.BooleanField(_("needs a second person"), default=False)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("confirmed by"), null=True, related_name="+"
    )
    started_at = models.DateTimeField(_("started at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)
    groups_problem = models.CharField(_("groups not read"), max_length=48, blank=True)
    job = models.ForeignKey(Job, models.SET_NULL, verbose_name=_("job"), null=True, related_name="+")

    class Meta:
        verbose_name = _("handover")
        verbose_name_plural = _("handovers")
        constraints = (
            models.UniqueConstraint(
                name="one_open_handover", fields=["guide"], condition=Q(status__in=["OPEN", "PLANNED", "RUNNING"])
            ),
            models.CheckConstraint(
                name="handover_four_eyes",
                condition=Q(needs_second=False) | Q(approved_by=None) | ~Q(approved_by=F("planned_by")),
            ),
            models.CheckConstraint(
                name="handover_runs_confirmed",
                condition=~Q(status__in=["RUNNING", "DONE"]) | Q(approved_by__isnull=False, started_at__isnull=False),
            ),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.guide} #{self.pk}"


class HandoverTaker(models.Model):
    """A guide who takes customers of a case (接替人)."""

    case = models.ForeignKey(HandoverCase, models.CASCADE, verbose_name=_("handover"), related_name="takers")
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide who takes over"), related_name="+")
    userid = models.CharField(_("WeCom account"), max_length=64, blank=True)
    is_chosen = models.BooleanField(default=True)  # False: serves some of them already, takes their friendship only
    load_before = models.PositiveIntegerField(_("customers before"), default=0)
    polled_at = models.DateTimeField(_("result read at"), null=True)
    next_poll_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("guide who takes over")
        verbose_name_plural = _("guides who take over")
        constraints = (models.UniqueConstraint(name="taker_once", fields=["case", "guide"]),)
        indexes = (
            models.Index(fields=["next_poll_at"], name="taker_to_poll", condition=Q(next_poll_at__isnull=False)),
        )

    def __str__(self) -> str:
        return f"{self.case_id} → {self.guide_id}"


class HandoverItem(models.Model):
    """One customer of a case: her binding, her friendship, or both."""

    class State(models.TextChoices):
        PLANNED = "PLANNED", _("planned")
        NO_TAKER = "NO_TAKER", _("nobody has room")
        KEPT = "KEPT", _("served by another meanwhile")
        BOUND = "BOUND", _("re-bound, nothing to do on WeCom")
        ASKED = "ASKED", _("re-bound, WeCom is asked")
        WAITING = "WAITING", _("WeCom waits for the customer (24 hours)")
        DONE = "DONE", _("handed over")
        REFUSED = "REFUSED", _("the customer refused")
        AT_LIMIT = "AT_LIMIT", _("the new guide's WeCom is full")
        TWICE_IN_90_DAYS = "TWICE_IN_90_DAYS", _("handed over twice in 90 days already")
        NOT_CUSTOMER = "NOT_CUSTOMER", _("no longer a friend of the former guide")
        FAILED = "FAILED", _("failed")

    case = models.ForeignKey(
        HandoverCase, models.CASCADE, verbose_name=_("handover"), related_name="items", db_index=False
    )
    taker = models.ForeignKey(
        HandoverTaker, models.CASCADE, verbose_name=_("guide who takes over"), null=True, related_name="items",
        db_index=False,
    )  # fmt: skip
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"), null=True, db_index=False)
    contact = models.ForeignKey(Contact, models.PROTECT, verbose_name=_("WeCom contact"), null=True, db_index=False)
    binding = models.ForeignKey(  # the one believed current; null: only the friendship is handed over
        Binding, models.PROTECT, null=True, related_name="+", db_index=False
    )
    new_binding = models.ForeignKey(Binding, models.PROTECT, null=True, related_name="+", db_index=False)
    value_fen = FenField(_("spent in a year"), default=0)
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.PLANNED)
    code = models.CharField(_("reason"), max_length=48, blank=True)  # of a refusal: ours, or WeCom's number
    state_at = models.DateTimeField(_("since"))
    bound_at = models.DateTimeField(_("re-bound at"), null=True)
    asked_at = models.DateTimeField(_("asked at"), null=True)
    asked_count = models.PositiveSmallIntegerField(default=0)
    takeover_at = models.DateTimeField(_("takes effect at"), null=True)

    class Meta:
        verbose_name = _("customer handed over")
        verbose_name_plural = _("customers handed over")
        constraints = (
            models.UniqueConstraint(
                name="handover_contact_once", fields=["case", "contact"], condition=Q(contact__isnull=False)
            ),
            models.UniqueConstraint(
                name="handover_binding_once", fields=["case", "binding"], condition=Q(binding__isnull=False)
            ),
            models.CheckConstraint(
                name="handover_of_something", condition=Q(contact__isnull=False) | Q(binding__isnull=False)
            ),
            models.CheckConstraint(
                name="handover_planned_has_taker", condition=Q(state="NO_TAKER") | Q(taker__isnull=False)
            ),
        )
        indexes = (
            models.Index(fields=["case", "state", "taker", "id"], name="handover_by_state"),
            models.Index(fields=["taker", "-id"], name="handover_of_taker"),
            # an event names the contact and nothing else
            models.Index(fields=["contact"], name="handover_of_contact", condition=Q(contact__isnull=False)),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(case__store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.case_id} {self.member_id or self.contact_id}"


class HandoverGroup(models.Model):
    """A customer group of a case (群继承)."""

    class State(models.TextChoices):
        PLANNED = "PLANNED", _("planned")
        ASKED = "ASKED", _("WeCom is asked")
        DONE = "DONE", _("handed over")
        FAILED = "FAILED", _("failed")

    case = models.ForeignKey(HandoverCase, models.CASCADE, verbose_name=_("handover"), related_name="groups")
    taker = models.ForeignKey(
        HandoverTaker, models.CASCADE, verbose_name=_("guide who takes over"), related_name="groups", db_index=False
    )
    chat_id = models.CharField(_("customer group"), max_length=64)
    name = models.CharField(_("name"), max_length=128, blank=True, default="", db_default="")  # read when it failed
    asked_count = models.PositiveSmallIntegerField(default=0, db_default=0)
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.PLANNED)
    code = models.CharField(_("reason"), max_length=48, blank=True)
    state_at = models.DateTimeField(_("since"))

    class Meta:
        verbose_name = _("customer group handed over")
        verbose_name_plural = _("customer groups handed over")
        constraints = (models.UniqueConstraint(name="handover_group_once", fields=["case", "chat_id"]),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(case__store_id__in=store_ids)

    def __str__(self) -> str:
        return self.chat_id
