"""Service acts (服务记录): what a guide did for a member besides selling."""

from __future__ import annotations

from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from guides.models.staff import Guide
from members.models import Member
from scrm import db
from scrm.db import AppendOnlyModel
from scrm.models import Store


class ServiceAct(AppendOnlyModel):
    """Partitioned by month of ``acted_on``, the business day of ``at``.

    ``holder`` is the guide whose binding the act renews: the one who did it, or the one for whom she stood in. Null: the
    member was bound to somebody else, and the act renews nothing.
    """

    class Kind(models.TextChoices):
        CHAT = "CHAT", _("chat task done")
        FOLLOW_UP = "FOLLOW_UP", _("follow-up visit")
        FITTING = "FITTING", _("fitting")
        CALL = "CALL", _("telephone call")

    acted_on = models.DateField()
    key = models.CharField(max_length=96)  # the fact: the same one comes again and stays one row
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), db_index=False, db_constraint=False)
    holder = models.ForeignKey(
        Guide, models.PROTECT, verbose_name=_("renews the binding of"), null=True, related_name="+", db_index=False,
        db_constraint=False,
    )  # fmt: skip
    store = models.ForeignKey(  # where the guide worked then
        Store, models.PROTECT, verbose_name=_("store"), db_index=False, db_constraint=False
    )
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"), db_index=False, db_constraint=False)
    at = models.DateTimeField(_("at"))
    note = models.CharField(_("what was done"), max_length=200)
    proof = models.CharField(_("proof"), max_length=96, blank=True)  # an appointment, a chat task, a picture's id
    recorded_at = models.DateTimeField(_("recorded at"), db_default=models.functions.Now())

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("service act")
        verbose_name_plural = _("service acts")
        constraints = (models.UniqueConstraint(name="service_act_once", fields=["key", "acted_on"]),)
        indexes = (
            # until when a binding is valid: its member's last act
            models.Index(
                fields=["member", "holder", "-at"], name="service_act_member", condition=Q(holder__isnull=False)
            ),
            models.Index(
                fields=["member", "-at"], name="service_act_contacted"
            ),  # whether and when, whoever she was bound to
            models.Index(fields=["guide", "-id"], name="service_act_guide"),
            models.Index(fields=["store", "-id"], name="service_act_store"),
        )
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            *AppendOnlyModel.Meta.triggers,
            db.references_exist(guide_id="guides_guide", store_id="scrm_store", member_id="members_member"),
        ]

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.kind} {self.guide_id} {self.member_id}"
