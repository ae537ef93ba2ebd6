"""Bindings (专属导购关系): which guide is responsible for a member, as a history of intervals."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from guides.models.staff import Guide
from guides.snatching import Verdict
from members.models import Member
from scrm.db import AppendOnlyModel
from scrm.models import Brand, Job, Store

# A new interval may begin only where the member's last one has ended. Together with the unique open binding this is
# all that an exclusion constraint would say, at a twelfth of its cost on load. The member's row is locked first, so
# that two transactions cannot both look before either has committed.
NO_OVERLAP = """
    PERFORM 1 FROM members_member WHERE id = NEW.member_id FOR NO KEY UPDATE;
    IF EXISTS (
        SELECT 1 FROM guides_binding b
        WHERE b.member_id = NEW.member_id AND b.brand_id = NEW.brand_id AND b.id <> NEW.id
          AND b.started_at < COALESCE(NEW.ended_at, 'infinity') AND COALESCE(b.ended_at, 'infinity') > NEW.started_at
    ) THEN
        RAISE EXCEPTION 'binding overlaps another of member %', NEW.member_id
            USING ERRCODE = 'exclusion_violation', CONSTRAINT = 'binding_no_overlap';
    END IF;
    RETURN NEW;
"""

ONLY_ENDS = """
    IF (OLD.brand_id, OLD.member_id, OLD.guide_id, OLD.store_id, OLD.source, OLD.started_at)
       IS DISTINCT FROM (NEW.brand_id, NEW.member_id, NEW.guide_id, NEW.store_id, NEW.source, NEW.started_at)
       OR OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'binding history is append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""


class Binding(models.Model):
    class Source(models.TextChoices):
        SCAN = "SCAN", _("scan of the guide's code")
        FRIEND_ADDED = "FRIEND_ADDED", _("WeCom friend added")
        REGISTRATION = "REGISTRATION", _("registration through the guide's link")
        CASHIER = "CASHIER", _("cashier's choice")
        IMPORT = "IMPORT", _("import")
        ASSIGNED = "ASSIGNED", _("assigned by HQ")

    brand = models.ForeignKey(Brand, models.PROTECT, db_index=False)
    member = models.ForeignKey(
        Member, models.PROTECT, verbose_name=_("member"), related_name="bindings", db_index=False
    )
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), db_index=False)
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), db_index=False)
    source = models.CharField(_("source"), max_length=16, choices=Source)
    started_at = models.DateTimeField(_("from"))
    ended_at = models.DateTimeField(_("until"), null=True)
    protected_until = models.DateTimeField(_("protected until"), null=True)
    job = models.ForeignKey(Job, models.SET_NULL, null=True, db_index=False)
    created_at = models.DateTimeField(_("recorded at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("binding")
        verbose_name_plural = _("bindings")
        constraints = (
            models.UniqueConstraint(name="one_active_binding", fields=["member", "brand"], condition=Q(ended_at=None)),
            models.UniqueConstraint(name="binding_start_once", fields=["member", "brand", "started_at"]),
            models.CheckConstraint(
                name="binding_interval", condition=Q(ended_at=None) | Q(ended_at__gt=F("started_at"))
            ),
        )
        indexes = (
            models.Index(fields=["guide", "member"], name="binding_guide_active", condition=Q(ended_at=None)),
            models.Index(fields=["store", "member"], name="binding_store_active", condition=Q(ended_at=None)),
        )
        triggers = (
            pgtrigger.Trigger(
                name="no_overlap",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.UpdateOf("ended_at"),
                func=NO_OVERLAP,
            ),
            pgtrigger.Trigger(name="only_ends", when=pgtrigger.Before, operation=pgtrigger.Update, func=ONLY_ENDS),
            pgtrigger.Protect(name="no_delete", operation=pgtrigger.Delete),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.member_id} → {self.guide_id}"


class BindingRequest(AppendOnlyModel):
    """A guide's claim on a member and the answer it got (绑定申请): the refused one can read why.

    ``holder`` is the guide who had the member at that moment; ``touch_id`` the contact on which the claim rests.
    """

    class Answer(models.TextChoices):
        OPEN = Verdict.OPEN, _("bound: nobody had her")
        SNATCH = Verdict.SNATCH, _("bound: taken over")
        REPLACE_EXPIRED = Verdict.REPLACE_EXPIRED, _("bound: the earlier binding had expired")
        UNCHANGED = Verdict.UNCHANGED, _("bound already")
        REFUSED_SELF = Verdict.REFUSED_SELF, _("refused: a guide cannot be her own customer")
        REFUSED_PROTECTED = Verdict.REFUSED_PROTECTED, _("refused: another guide's binding is still protected")
        REFUSED_NEVER = Verdict.REFUSED_NEVER, _("refused: the rule lets nobody take over")
        REFUSED_OVERTAKEN = Verdict.REFUSED_OVERTAKEN, _("refused: another guide was bound later than this contact")
        REFUSED_NOT_EMPLOYED = Verdict.REFUSED_NOT_EMPLOYED, _("refused: the guide worked in no store then")

    key = models.CharField(max_length=96, unique=True)  # the fact on which the claim rests
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"), db_index=False, related_name="+")
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), db_index=False, related_name="+")
    store = models.ForeignKey(
        Store, models.PROTECT, verbose_name=_("store"), null=True, db_index=False, related_name="+"
    )
    source = models.CharField(_("source"), max_length=16, choices=Binding.Source)
    answer = models.CharField(_("answer"), max_length=24, choices=Answer)
    binding = models.ForeignKey(Binding, models.PROTECT, null=True, db_index=False, related_name="+")
    holder = models.ForeignKey(
        Guide, models.PROTECT, verbose_name=_("guide at that time"), null=True, db_index=False, related_name="+"
    )
    protected_until = models.DateTimeField(_("protected until"), null=True)
    touch_id = models.BigIntegerField(_("touch"), null=True)
    at = models.DateTimeField(_("at"))
    recorded_at = models.DateTimeField(_("recorded at"), db_default=models.functions.Now())

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("binding request")
        verbose_name_plural = _("binding requests")
        indexes = (
            models.Index(fields=["guide", "-id"], name="binding_request_guide"),
            models.Index(fields=["member", "-id"], name="binding_request_member"),
            models.Index(fields=["store", "-id"], name="binding_request_store"),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.member_id} → {self.guide_id} {self.answer}"
