"""Scripts (话术): what a guide says, in up to six levels from generic to personal."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.reach import ForPart
from guides.models import Guide
from members.models import Category, Member, Product
from scrm.db import AppendOnlyModel
from scrm.models import Store


class Level(models.IntegerChoices):
    """How personal a text is (话术层级); the deepest one whose facts are all known is sent."""

    PRODUCT = 1, _("product")
    SMALL_TALK = 2, _("small talk")
    OCCASION = 3, _("festival or birthday")
    LAST_BOUGHT = 4, _("last bought and back in stock")
    TASTE = 5, _("the reason she likes it")
    RHYTHM = 6, _("her buying day and hour")


class Script(ForPart):
    """One script. Its texts are those of its newest version."""

    name = models.CharField(_("name"), max_length=64)
    product = models.ForeignKey(
        Product, models.PROTECT, verbose_name=_("product"), null=True, blank=True, db_index=False, related_name="+"
    )
    category = models.ForeignKey(
        Category, models.PROTECT, verbose_name=_("category"), null=True, blank=True, db_index=False, related_name="+"
    )
    occasion = models.CharField(_("festival"), max_length=32, blank=True)
    arrived_on = models.DateField(_("in stock since"), null=True, blank=True)
    tags = ArrayField(models.CharField(max_length=32), verbose_name=_("keywords"), default=list, blank=True)
    starts_at = models.DateTimeField(_("usable from"), null=True, blank=True)
    ends_at = models.DateTimeField(_("usable until"), null=True, blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    version_no = models.PositiveIntegerField(_("version"), default=0)
    use_count = models.PositiveIntegerField(_("times used"), default=0)
    changed_at = models.DateTimeField(_("changed at"), auto_now=True)

    class Meta:
        verbose_name = _("script")
        verbose_name_plural = _("scripts")
        constraints = (
            models.CheckConstraint(name="script_about_one", condition=Q(product=None) | Q(category=None)),
            models.CheckConstraint(
                name="script_lasts", condition=Q(starts_at=None) | Q(ends_at=None) | Q(ends_at__gt=F("starts_at"))
            ),
        )

    def __str__(self) -> str:
        return self.name


class ScriptText(AppendOnlyModel):
    """The text of one level of one version (话术文本)."""

    script = models.ForeignKey(Script, models.PROTECT, verbose_name=_("script"), db_index=False, related_name="texts")
    version_no = models.PositiveIntegerField(_("version"))
    level = models.PositiveSmallIntegerField(_("level"), choices=Level)
    text = models.TextField(_("text"))
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("made by"), null=True, db_index=False, related_name="+"
    )
    made_at = models.DateTimeField(_("made at"))

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("text of a script")
        verbose_name_plural = _("texts of scripts")
        constraints = (models.UniqueConstraint(name="script_text_once", fields=["script", "version_no", "level"]),)

    def __str__(self) -> str:
        return f"{self.script_id} v{self.version_no} {self.level}"


class ScriptUse(AppendOnlyModel):
    """A guide sent a script to a member (话术使用), at the level that was known of her then."""

    script = models.ForeignKey(Script, models.PROTECT, verbose_name=_("script"), db_index=False)
    version_no = models.PositiveIntegerField(_("version"))
    level = models.PositiveSmallIntegerField(_("level"), choices=Level)
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"), db_index=False, related_name="+")
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), db_index=False, related_name="+")
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), db_index=False, related_name="+")
    used_at = models.DateTimeField(_("used at"))

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("use of a script")
        verbose_name_plural = _("uses of scripts")
        indexes = (
            models.Index(fields=["script", "-id"], name="script_use"),
            models.Index(fields=["store", "-id"], name="script_use_store"),
            models.Index(fields=["member", "-id"], name="script_use_member"),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.script_id} {self.member_id}"
