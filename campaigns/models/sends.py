"""Mass sends (群发): who is sent to by which guide, what became of each member, and how often anybody may be contacted."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from campaigns.models.content import ContentVersion
from campaigns.models.experiments import Experiment
from guides.models import Guide
from members.models import AudienceSnapshot, Member
from scrm import db
from scrm.models import Brand, Corp, Job, Store


class ContactBudget(models.Model):
    """At most ``most_count`` mass sends within ``days`` days per member (触达频次), over all sends of the brand."""

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), db_index=False)
    most_count = models.PositiveSmallIntegerField(_("at most so many sends"))
    days = models.PositiveSmallIntegerField(_("within so many days"))

    class Meta:
        verbose_name = _("contact budget")
        verbose_name_plural = _("contact budgets")
        constraints = (
            models.UniqueConstraint(name="one_budget_per_days", fields=["brand", "days"]),
            models.CheckConstraint(name="budget_sense", condition=Q(most_count__gte=1, days__gte=1, days__lte=92)),
        )

    def __str__(self) -> str:
        return f"{self.most_count}/{self.days}"


class Send(models.Model):
    """One message to the members of a frozen audience, or to customer groups, given to guides as tasks to confirm."""

    class GoesTo(models.TextChoices):
        CUSTOMERS = "CUSTOMERS", pgettext_lazy("whom a mass send goes to", "customers")
        GROUPS = "GROUPS", _("customer groups")

    class Status(models.TextChoices):
        PLANNING = "PLANNING", _("being planned")
        PLANNED = "PLANNED", _("planned")
        ASKED = "ASKED", _("waiting for approval")
        SENDING = "SENDING", _("with the guides")
        ENDED = "ENDED", _("ended")
        CANCELLED = "CANCELLED", _("cancelled")

    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), db_index=False)
    corp = models.ForeignKey(Corp, models.PROTECT, verbose_name=_("WeCom corp"), db_index=False, related_name="+")
    name = models.CharField(_("name"), max_length=64)
    text = models.CharField(_("text"), max_length=4000, blank=True)  # WeCom counts bytes: planning
    link_title = models.CharField(_("title of the link"), max_length=42, blank=True)
    link_url = models.CharField(_("link"), max_length=2048, blank=True)
    goes_to = models.CharField(
        _("goes to"), max_length=9, choices=GoesTo, default=GoesTo.CUSTOMERS, db_default=GoesTo.CUSTOMERS
    )
    snapshot = models.ForeignKey(
        AudienceSnapshot, models.PROTECT, verbose_name=_("audience"), null=True, related_name="+"
    )
    wish = models.JSONField(null=True)  # which groups: sends.choosing.Wish
    rest_of = models.ForeignKey(  # the members whom another send did not reach
        "self", models.PROTECT, verbose_name=_("the rest of"), null=True, related_name="rests", db_index=False
    )
    experiment = models.ForeignKey(
        Experiment, models.PROTECT, verbose_name=_("experiment"), null=True, related_name="sends"
    )
    status = models.CharField(_("state"), max_length=10, choices=Status, default=Status.PLANNING)
    due_at = models.DateTimeField(_("to be sent at"))
    planned_at = models.DateTimeField(_("planned at"), null=True)
    audience_count = models.BigIntegerField(_("audience"), default=0)
    planned_count = models.BigIntegerField(_("to be sent to"), default=0)
    people_count = models.BigIntegerField(_("customers in these groups"), default=0, db_default=0)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, verbose_name=_("requested by"), related_name="+", db_index=False
    )  # fmt: skip
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, verbose_name=_("approved by"), related_name="+", db_index=False
    )  # fmt: skip
    approved_count = models.BigIntegerField(_("members approved"), null=True)
    job = models.ForeignKey(Job, models.SET_NULL, null=True, verbose_name=_("job"), related_name="+")
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("mass send")
        verbose_name_plural = _("mass sends")
        constraints = (
            models.CheckConstraint(
                name="send_has_one_audience",
                condition=Q(goes_to="CUSTOMERS", snapshot__isnull=False, rest_of=None, wish=None)
                | Q(goes_to="GROUPS", snapshot=None, rest_of=None, wish__isnull=False)
                | Q(snapshot=None, rest_of__isnull=False, wish=None),
            ),
            models.CheckConstraint(  # S4
                name="send_by_two_people", condition=Q(approved_by=None) | ~Q(approved_by=F("requested_by"))
            ),
            models.CheckConstraint(
                name="send_no_more_than_approved",
                condition=Q(approved_count=None) | Q(planned_count__lte=F("approved_count")),
            ),
        )
        indexes = (models.Index(fields=["due_at"], name="send_open", condition=Q(status="SENDING")),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        """Seen where guides have tasks of it."""
        return Q(models.Exists(SendBatch.objects.filter(send=models.OuterRef("pk"), store__in=store_ids)))

    @property
    def reach(self) -> int:
        """How many people it is meant to reach: from so many on somebody else agrees first."""
        return self.people_count if self.goes_to == self.GoesTo.GROUPS else self.planned_count

    def __str__(self) -> str:
        return self.name


class SendMaterial(models.Model):
    """A material that a send carries, in the version it had when the send was planned."""

    send = models.ForeignKey(Send, models.PROTECT, related_name="materials", db_index=False)
    position = models.PositiveSmallIntegerField()
    version = models.ForeignKey(
        ContentVersion, models.PROTECT, verbose_name=_("content material"), related_name="+", db_index=False
    )

    class Meta:
        verbose_name = _("material of a send")
        verbose_name_plural = _("materials of sends")
        constraints = (models.UniqueConstraint(name="send_material_once", fields=["send", "position"]),)

    def __str__(self) -> str:
        return f"{self.send_id} {self.position}"


class SendBatch(models.Model):
    """The part of a send that one guide is given as one task: at most WeCom's 10,000 customers (群发任务)."""

    class Status(models.TextChoices):
        PLANNED = "PLANNED", _("planned")
        QUEUED = "QUEUED", _("on its way to WeCom")
        MADE = "MADE", _("waiting for the guide")
        ENDED = "ENDED", _("ended")
        CANCELLED = "CANCELLED", _("cancelled")

    send = models.ForeignKey(Send, models.PROTECT, related_name="batches", db_index=False)
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), related_name="+", db_index=False)
    userid = models.CharField(_("WeCom account"), max_length=64)
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, related_name="+", db_index=False
    )
    number = models.PositiveIntegerField()
    round_no = models.PositiveSmallIntegerField(default=1)  # made again without somebody who has withdrawn: one more
    status = models.CharField(_("state"), max_length=9, choices=Status, default=Status.PLANNED)
    msgid = models.CharField(max_length=128, null=True, unique=True)
    planned_count = models.IntegerField(_("planned"))
    sent_count = models.IntegerField(_("sent"), default=0)
    failed_count = models.IntegerField(_("failed"), default=0)
    left_count = models.IntegerField(_("not executed"), default=0)
    excluded_count = models.IntegerField(_("taken out when sending"), default=0)
    made_at = models.DateTimeField(_("given to the guide at"), null=True)
    confirmed_at = models.DateTimeField(_("confirmed at"), null=True)
    reminded_at = models.DateTimeField(_("reminded at"), null=True)
    poll_at = models.DateTimeField(null=True)  # when WeCom is asked next; null: not any more
    error_code = models.CharField(_("problem"), max_length=64, blank=True)

    class Meta:
        verbose_name = _("task of a send")
        verbose_name_plural = _("tasks of sends")
        constraints = (
            models.UniqueConstraint(name="batch_once", fields=["send", "userid", "number"]),
            models.CheckConstraint(  # M2, as far as one row can say it
                name="batch_adds_up",
                condition=~Q(status__in=["ENDED", "CANCELLED"])
                | Q(planned_count=F("sent_count") + F("failed_count") + F("left_count") + F("excluded_count")),
            ),
            models.CheckConstraint(name="batch_size", condition=Q(planned_count__gte=1, planned_count__lte=10_000)),
        )
        indexes = (
            models.Index(fields=["poll_at"], name="batch_poll", condition=Q(poll_at__isnull=False)),
            models.Index(fields=["send", "id"], name="batch_to_hand_over", condition=Q(status="PLANNED")),
        )

    def __str__(self) -> str:
        return f"{self.send_id} {self.userid} {self.number}"


class Recipient(models.Model):
    """One member of the audience of a send, and what became of her: exactly one row, whatever happens (M1)."""

    class State(models.TextChoices):
        EXCLUDED = "EXCLUDED", _("left out")
        PLANNED = "PLANNED", _("planned")
        SENT = "SENT", _("sent")
        NOT_FRIENDS = "GONE", _("no longer a friend")
        OVER_QUOTA = "OVER", _("had her share of mass messages")
        LEFT = "LEFT", _("not executed")

    class Reason(models.TextChoices):
        NONE = "", _("none")
        HELD_OUT = "HELD_OUT", _("universal hold-out")
        CONTROL = "CONTROL", _("control group")
        NO_CONSENT = "NO_CONSENT", _("does not want marketing")
        NOT_ACTIVE = "NOT_ACTIVE", _("no active member any more")
        NO_FRIEND = "NO_FRIEND", _("no guide's friend on WeCom")
        NO_GUIDE = "NO_GUIDE", _("her guides do not work any more")
        BUDGET = "BUDGET", _("contacted often enough lately")

    pk = models.CompositePrimaryKey("send_id", "member_id")
    send = models.ForeignKey(Send, models.PROTECT, related_name="recipients", db_index=False, db_constraint=False)
    member = models.ForeignKey(Member, models.PROTECT, related_name="+", db_index=False, db_constraint=False)
    contact_id = models.BigIntegerField(null=True)  # guides.Contact
    batch = models.ForeignKey(
        SendBatch, models.PROTECT, null=True, related_name="recipients", db_index=False, db_constraint=False
    )
    state = models.CharField(_("state"), max_length=8, choices=State)
    reason = models.CharField(_("reason"), max_length=10, choices=Reason, blank=True, default="")
    contacted_at = models.DateTimeField(null=True)  # counts against the contact budget from then on
    sent_at = models.DateTimeField(_("sent at"), null=True)

    class Meta:
        verbose_name = _("recipient")
        verbose_name_plural = _("recipients")
        constraints = (
            models.CheckConstraint(
                name="recipient_left_out_says_why",
                condition=Q(state="EXCLUDED") & ~Q(reason="") | ~Q(state="EXCLUDED") & Q(reason=""),
            ),
            models.CheckConstraint(
                name="recipient_not_left_out_has_batch",
                condition=Q(state="EXCLUDED") | Q(batch__isnull=False, contact_id__isnull=False),
            ),
            models.CheckConstraint(
                name="recipient_sent_has_time", condition=Q(state="SENT", sent_at__isnull=False) | ~Q(state="SENT")
            ),
        )
        indexes = (
            models.Index(fields=["batch"], name="recipient_batch", condition=Q(batch__isnull=False)),
            models.Index(
                fields=["member", "contacted_at"], name="recipient_contacted", condition=Q(contacted_at__isnull=False)
            ),
        )
        triggers = (
            pgtrigger.Protect(name="stays", operation=pgtrigger.Delete),
            # whoever is sent to is sent to once: what has ended does not begin again
            pgtrigger.Protect(
                name="ends_once", operation=pgtrigger.Update,
                condition=pgtrigger.Condition("OLD.state NOT IN ('PLANNED') AND NEW.state IS DISTINCT FROM OLD.state"),
            ),
            db.references_exist(send_id="campaigns_send", member_id="members_member"),
        )  # fmt: skip

    def __str__(self) -> str:
        return f"{self.send_id} {self.member_id}"
