"""Visitors (访客): people who opened a guide's share and whom nobody knows yet."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from members.models import Member


class Visitor(models.Model):
    """One person as a mini-program shows her; she is a member once one of her identities names one.

    ``account`` is her openid in ``namespace`` (channel/shop), as on an order. Her touches stay as they are: what is found
    out later stands here.
    """

    unionid = models.CharField(_("WeChat unionid"), max_length=64, blank=True, default="")
    namespace = models.CharField(max_length=96, blank=True, default="")
    account = models.CharField(_("channel account"), max_length=128, blank=True, default="")
    mobile_index = models.CharField(max_length=32, blank=True, default="")
    member = models.ForeignKey(
        Member, models.PROTECT, verbose_name=_("member"), null=True, related_name="+", db_index=False
    )
    linked_at = models.DateTimeField(_("recognised at"), null=True)
    created_at = models.DateTimeField(_("first seen at"), db_default=models.functions.Now())

    class Meta:
        verbose_name = _("visitor")
        verbose_name_plural = _("visitors")
        constraints = (
            models.UniqueConstraint(name="visitor_unionid", fields=["unionid"], condition=~Q(unionid="")),
            models.UniqueConstraint(name="visitor_account", fields=["account", "namespace"], condition=~Q(account="")),
            models.UniqueConstraint(name="visitor_mobile", fields=["mobile_index"], condition=~Q(mobile_index="")),
            models.CheckConstraint(name="visitor_has_identity", condition=~Q(unionid="", account="", mobile_index="")),
            models.CheckConstraint(
                name="visitor_link_says_when",
                condition=Q(member=None, linked_at=None) | Q(member__isnull=False, linked_at__isnull=False),
            ),
        )
        indexes = (models.Index(fields=["member"], name="visitor_member", condition=Q(member__isnull=False)),)

    def __str__(self) -> str:
        return f"#{self.pk}"
