"""Tracked short links (短链): one guide's address of something, and what came of it."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.content import Content
from guides.models import Guide, Share
from scrm.db import AppendOnlyModel
from scrm.models import Store


class LinkHost(models.Model):
    """A host that short links and materials may lead to (允许的网址主机)."""

    host = models.CharField(
        _("host"), max_length=253, unique=True,
        validators=[RegexValidator(r"^(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,24}$", _("Write the host alone, in lower case, for example shop.example.com."))],
    )  # fmt: skip
    note = models.CharField(_("note"), max_length=100, blank=True)

    class Meta:
        verbose_name = _("allowed host")
        verbose_name_plural = _("allowed hosts")

    def __str__(self) -> str:
        return self.host


class ShortLink(AppendOnlyModel):
    """``/s/<code>``; who shared it and until when it lasts stands in its share."""

    code = models.CharField(_("code"), max_length=16, unique=True)
    share = models.OneToOneField(Share, models.PROTECT, verbose_name=_("share"), related_name="+")
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), db_index=False, related_name="+")
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), db_index=False, related_name="+")
    content = models.ForeignKey(
        Content, models.PROTECT, verbose_name=_("content material"), null=True, db_index=False, related_name="+"
    )
    target = models.CharField(_("leads to"), max_length=2048)
    expires_at = models.DateTimeField(_("may be opened until"))
    created_at = models.DateTimeField(_("created at"))

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("short link")
        verbose_name_plural = _("short links")
        indexes = (
            models.Index(fields=["guide", "-id"], name="short_link_guide"),
            models.Index(fields=["store", "-id"], name="short_link_store"),
            models.Index(fields=["content", "-id"], name="short_link_content", condition=Q(content__isnull=False)),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return self.code


class LinkDay(models.Model):
    """Openings of a link on a business day (短链日计数)."""

    link = models.ForeignKey(
        ShortLink, models.PROTECT, verbose_name=_("short link"), related_name="days", db_index=False
    )
    day = models.DateField(_("day"))
    open_count = models.PositiveIntegerField(_("openings"), default=0)
    repeat_count = models.PositiveIntegerField(_("opened again at once"), default=0)
    robot_count = models.PositiveIntegerField(_("robots and previews"), default=0)

    class Meta:
        verbose_name = _("day of a short link")
        verbose_name_plural = _("days of short links")
        constraints = (models.UniqueConstraint(name="link_day_once", fields=["link", "day"]),)

    def __str__(self) -> str:
        return f"{self.link_id} {self.day}"
