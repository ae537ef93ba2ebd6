"""Posters (海报): a picture of HQ with the guide's own code in it."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.content import ContentFile
from campaigns.models.links import ShortLink
from campaigns.models.reach import ForPart
from guides.models import Guide


class Poster(ForPart):
    """The template. Places are thousandths of the picture's width and height, so that another size keeps them."""

    class Code(models.TextChoices):
        LINK = "LINK", _("her short link to an address")
        WAY = "WAY", _("her WeCom code, to add her")

    name = models.CharField(_("name"), max_length=64)
    picture = models.ForeignKey(
        ContentFile, models.PROTECT, verbose_name=_("picture"), db_index=False, related_name="+"
    )
    code = models.CharField(_("code in it"), max_length=4, choices=Code, default=Code.LINK)
    target = models.CharField(_("address"), max_length=2048, blank=True)
    code_left = models.PositiveSmallIntegerField(_("code: left edge, ‰ of the width"), default=680)
    code_top = models.PositiveSmallIntegerField(_("code: upper edge, ‰ of the height"), default=780)
    code_width = models.PositiveSmallIntegerField(_("code: width, ‰ of the width"), default=240)
    has_name = models.BooleanField(_("guide and store below the code"), default=True)
    starts_at = models.DateTimeField(_("usable from"), null=True, blank=True)
    ends_at = models.DateTimeField(_("usable until"), null=True, blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    changed_at = models.DateTimeField(_("changed at"), auto_now=True)

    class Meta:
        verbose_name = _("poster")
        verbose_name_plural = _("posters")
        constraints = (
            models.CheckConstraint(
                name="poster_code_inside",
                condition=Q(code_width__gte=120, code_left__lte=1000 - F("code_width"), code_top__lte=960),
                violation_error_message=_("The code has at least 120 ‰ of the width and lies inside the picture."),
            ),
            models.CheckConstraint(
                name="poster_lasts", condition=Q(starts_at=None) | Q(ends_at=None) | Q(ends_at__gt=F("starts_at"))
            ),
        )  # fmt: skip

    def __str__(self) -> str:
        return self.name


class PosterPicture(models.Model):
    """One guide's poster as it was drawn (海报成图); drawn again when anything in it has changed."""

    poster = models.ForeignKey(Poster, models.CASCADE, related_name="drawn", db_index=False)
    guide = models.ForeignKey(Guide, models.CASCADE, db_index=False, related_name="+")
    link = models.ForeignKey(ShortLink, models.PROTECT, null=True, db_index=False, related_name="+")
    digest = models.CharField(max_length=64)  # of everything that is in it
    content = models.BinaryField()
    made_at = models.DateTimeField(_("made at"))

    class Meta:
        verbose_name = _("drawn poster")
        verbose_name_plural = _("drawn posters")
        constraints = (models.UniqueConstraint(name="poster_picture_once", fields=["poster", "guide"]),)

    def __str__(self) -> str:
        return f"{self.poster_id} {self.guide_id}"
