"""Tags (标签) on members, as rows."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from members.models.identity import Member
from members.models.lists import forget_list_rows
from scrm import org
from scrm.models import Brand


class Tag(models.Model):
    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"), db_index=False)
    name = models.CharField(_("name"), max_length=64)

    class Meta:
        verbose_name = _("tag")
        verbose_name_plural = _("tags")
        constraints = (models.UniqueConstraint(name="tag_name_once", fields=["brand", "name"]),)

    def __str__(self) -> str:
        return self.name


class MemberTag(models.Model):
    class Source(models.TextChoices):
        IMPORT = "IMPORT", _("import")
        MANUAL = "MANUAL", _("manual")
        WECOM = "WECOM", _("marked in WeCom")
        AUTO = "AUTO", _("kept by an audience")
        SOP = "SOP", _("set by an SOP")

    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"), related_name="tags", db_index=False)
    tag = models.ForeignKey(Tag, models.PROTECT, verbose_name=_("tag"))
    source = models.CharField(_("source"), max_length=12, choices=Source)
    tagged_at = models.DateTimeField(_("tagged at"), db_default=models.functions.Now())
    tagged_by = models.ForeignKey(  # who did it by hand
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("tagged by"), null=True, db_index=False, related_name="+",
        db_constraint=False,
    )  # fmt: skip

    class Meta:
        verbose_name = _("member tag")
        verbose_name_plural = _("member tags")
        constraints = (models.UniqueConstraint(name="member_tag_once", fields=["member", "tag"]),)
        triggers = (forget_list_rows("forget_list_row", pgtrigger.Delete),)

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return org.through("member", Member, store_ids)

    def __str__(self) -> str:
        return f"{self.member_id} {self.tag_id}"
