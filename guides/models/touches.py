"""Touches (触点) as rows: each moment in which a guide reached somebody."""

from __future__ import annotations

from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from guides.models.contacts import Contact
from guides.models.staff import Guide
from guides.models.visitors import Visitor
from members.models import Member
from scrm import db
from scrm.db import AppendOnlyModel
from scrm.models import Store


class Touch(AppendOnlyModel):
    """Partitioned by month of ``touched_on``, the business day of ``at``.

    Who was reached is a member, a contact, both, or a visitor nobody knows: a contact or visitor who becomes a member later
    brings her touches along through ``Contact.member`` or ``Visitor.member``.
    """

    class Kind(models.TextChoices):
        """Those of ``touches.TouchKind``."""

        SHARE = "SHARE", _("shared link")
        COUPON = "COUPON", _("coupon")
        LIVE = "LIVE", _("live room")
        GROUP = "GROUP", _("group")
        POSTER = "POSTER", _("poster")
        QR = "QR", _("code scanned")
        FRIEND = "FRIEND", _("friend added")

    class Covers(models.TextChoices):
        """Those of ``touches.TouchObject``."""

        ALL = "ALL", _("everything")
        SKU = "SKU", _("one product")
        CATEGORY = "CATEGORY", _("one category")
        LIVE = "LIVE", _("one live room")
        GROUP = "GROUP", _("one group")

    touched_on = models.DateField()
    key = models.CharField(max_length=96)  # the fact: the same one comes again and stays one row
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), db_index=False, db_constraint=False)
    store = models.ForeignKey(  # where the guide worked then
        Store, models.PROTECT, verbose_name=_("store"), null=True, db_index=False, db_constraint=False
    )
    contact = models.ForeignKey(
        Contact, models.PROTECT, verbose_name=_("WeCom contact"), null=True, db_index=False, db_constraint=False
    )
    member = models.ForeignKey(
        Member, models.PROTECT, verbose_name=_("member"), null=True, db_index=False, db_constraint=False
    )
    visitor = models.ForeignKey(
        Visitor, models.PROTECT, verbose_name=_("visitor"), null=True, db_index=False, db_constraint=False
    )
    way_id = models.BigIntegerField(_("contact way"), null=True)
    share_id = models.BigIntegerField(_("share"), null=True)
    object_kind = models.CharField(_("covers"), max_length=8, choices=Covers, default=Covers.ALL)
    object_code = models.CharField(_("object"), max_length=64, blank=True)
    at = models.DateTimeField(_("at"))
    expires_at = models.DateTimeField(_("expires at"), null=True)  # null: the window of the rule decides
    is_signed = models.BooleanField(_("signed by us"), default=True)
    recorded_at = models.DateTimeField(_("recorded at"), db_default=models.functions.Now())

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("touch")
        verbose_name_plural = _("touches")
        constraints = (models.UniqueConstraint(name="touch_once", fields=["key", "touched_on"]),)
        indexes = (
            # evidence of an order: what touched this member, directly or as a contact, up to a moment
            models.Index(fields=["member", "-at"], name="touch_member", condition=Q(member__isnull=False)),
            models.Index(fields=["contact", "-at"], name="touch_contact", condition=Q(contact__isnull=False)),
            models.Index(fields=["visitor", "-at"], name="touch_visitor", condition=Q(visitor__isnull=False)),
            models.Index(fields=["guide", "-id"], name="touch_guide"),
            models.Index(fields=["store", "-id"], name="touch_store"),
        )
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            *AppendOnlyModel.Meta.triggers,
            db.references_exist(guide_id="guides_guide", store_id="scrm_store"),
        ]

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.kind} {self.guide_id}"
