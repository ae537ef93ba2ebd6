"""What guides are to do (待办), as rows."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from guides.models.staff import Guide
from members.models import Member
from scrm.models import Store
from scrm.money import FenField


class Action(models.Model):
    """One thing for one guide, for one customer or for nobody in particular: why, what to say, until when. It ends once."""

    class Kind(models.TextChoices):
        MESSAGE = "MESSAGE", _("message")
        CALL = "CALL", _("telephone call")
        INVITE = "INVITE", _("invitation")
        COUPON = "COUPON", _("give a coupon")
        MOMENT = "MOMENT", _("post in moments")
        GROUP_POST = "GROUP_POST", _("post in a group")
        GROUP_NOTICE = "GROUP_NOTICE", _("set the notice of a group")
        OTHER = "OTHER", _("other task")

    class Source(models.TextChoices):
        SOP = "SOP", _("SOP")
        GROUP_SOP = "GROUP_SOP", _("SOP of a group")
        GROUP_NOTICE = "GROUP_NOTICE", _("group notice")
        CALENDAR = "CALENDAR", _("calendar")
        SCENARIO = "SCENARIO", _("scenario")
        RESERVOIR = "RESERVOIR", _("pre-opening pool")
        HQ = "HQ", _("headquarters")

    class Status(models.TextChoices):
        OPEN = "OPEN", _("to do")
        DONE = "DONE", _("done")
        SKIPPED = "SKIPPED", _("skipped")
        UNSUITABLE = "UNSUITABLE", _("not suitable")
        EXPIRED = "EXPIRED", _("not done in time")
        CANCELLED = "CANCELLED", _("withdrawn")

    class Outcome(models.TextChoices):
        NONE = "", _("nothing said")
        REPLIED = "REPLIED", _("customer replied")
        COMES = "COMES", _("customer comes to the store")
        BOUGHT = "BOUGHT", _("customer bought")
        NO_ANSWER = "NO_ANSWER", _("no answer")
        REFUSED = "REFUSED", _("customer wants no messages")

    key = models.CharField(max_length=96)  # the fact that asks for it: the same one comes again and stays one row
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), db_index=False, related_name="actions")
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, db_index=False, related_name="+"
    )
    member = models.ForeignKey(
        Member, models.PROTECT, verbose_name=_("member"), null=True, db_index=False, related_name="+"
    )
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    source = models.CharField(_("asked for by"), max_length=12, choices=Source)
    source_id = models.BigIntegerField()  # the row of that topic: an SOP's run, a planned item
    title = models.CharField(_("title"), max_length=80)
    reason = models.CharField(_("why"), max_length=200)
    text = models.TextField(_("what to say"), blank=True)
    minutes = models.PositiveSmallIntegerField(_("minutes"), default=2)
    # chance x worth, where whoever asks for it has measured it; nothing else decides the order of the day's list
    expected_fen = FenField(_("expected value"), null=True)
    starts_at = models.DateTimeField(_("from"))
    due_at = models.DateTimeField(_("until"))
    status = models.CharField(_("state"), max_length=12, choices=Status, default=Status.OPEN)
    outcome = models.CharField(_("outcome"), max_length=12, choices=Outcome, blank=True, default="")
    note = models.CharField(_("note"), max_length=200, blank=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("ended by"), null=True, related_name="+"
    )
    created_at = models.DateTimeField(_("created at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("action of a guide")
        verbose_name_plural = _("actions of guides")
        constraints = (
            models.UniqueConstraint(name="action_once", fields=["key"]),
            models.CheckConstraint(name="action_time", condition=Q(due_at__gt=models.F("starts_at"))),
            models.CheckConstraint(
                name="action_ends_once",
                condition=Q(status="OPEN", ended_at=None, outcome="") | ~Q(status="OPEN") & Q(ended_at__isnull=False),
            ),
        )
        indexes = (
            models.Index(fields=["guide", "due_at", "id"], name="action_open", condition=Q(status="OPEN")),
            models.Index(fields=["due_at"], name="action_expiry", condition=Q(status="OPEN")),
            models.Index(fields=["member", "-id"], name="action_member", condition=Q(member__isnull=False)),
            models.Index(fields=["source", "source_id"], name="action_source"),
            models.Index(fields=["store", "-id"], name="action_store"),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return self.title
