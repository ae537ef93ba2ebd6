"""Shares (分享): what a guide gave out, and until when it may be opened."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from guides.models.staff import Guide
from guides.models.touches import Touch
from scrm.db import AppendOnlyModel
from scrm.models import Store


class Share(AppendOnlyModel):
    """A link, poster, coupon, live room or group of a guide; its token is made from this row and proves it."""

    class Kind(models.TextChoices):
        """Those kinds of touches that begin with a share."""

        SHARE = Touch.Kind.SHARE, _("shared link")
        POSTER = Touch.Kind.POSTER, _("poster")
        COUPON = Touch.Kind.COUPON, _("coupon")
        LIVE = Touch.Kind.LIVE, _("live room")
        GROUP = Touch.Kind.GROUP, _("group")

    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), db_index=False, related_name="+")
    store = models.ForeignKey(  # where the guide worked then
        Store, models.PROTECT, verbose_name=_("store"), db_index=False, related_name="+"
    )
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    object_kind = models.CharField(_("covers"), max_length=8, choices=Touch.Covers, default=Touch.Covers.ALL)
    object_code = models.CharField(_("object"), max_length=64, blank=True)
    reference = models.CharField(_("coupon no."), max_length=64, blank=True)
    expires_at = models.DateTimeField(_("may be opened until"))
    closes_at = models.DateTimeField(_("counts until"), null=True)  # null: the window of the rule decides
    created_at = models.DateTimeField(_("shared at"))

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("share")
        verbose_name_plural = _("shares")
        constraints = (
            models.CheckConstraint(name="share_lasts", condition=Q(expires_at__gt=F("created_at"))),
            models.CheckConstraint(
                name="share_names_object",
                condition=Q(object_kind="ALL", object_code="") | ~Q(object_kind="ALL") & ~Q(object_code=""),
            ),
        )
        indexes = (
            models.Index(fields=["guide", "-id"], name="share_guide"),
            models.Index(fields=["store", "-id"], name="share_store"),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"
