"""Guides (导购): people who serve members, where they were employed and who stood in for them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from scrm.models import Store
from scrm.models.org import history


@history
class Guide(models.Model):
    class Role(models.TextChoices):
        GUIDE = "GUIDE", _("guide")
        STORE_MANAGER = "STORE_MANAGER", _("store manager")

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("user"), related_name="guide")
    code = models.CharField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=64)
    mobile_sealed = models.BinaryField(null=True)
    mobile_index = models.CharField(max_length=32, null=True, unique=True)
    wecom_userid = models.CharField(_("WeCom account"), max_length=64, null=True, blank=True, unique=True)
    unionid = models.CharField(max_length=64, null=True, blank=True, unique=True)  # for the self-deal check

    class Meta:
        verbose_name = _("guide")
        verbose_name_plural = _("guides")

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(pk__in=Employment.objects.filter(store_id__in=store_ids, ended_at=None).values("guide_id"))

    def __str__(self) -> str:
        return f"{self.name} {self.code}"


@history
class Employment(models.Model):
    """A guide works in a store from ``started_on`` up to and including the day before ``ended_on`` (在职区间)."""

    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), related_name="employments")
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), related_name="employments")
    role = models.CharField(_("role"), max_length=16, choices=Guide.Role)
    started_at = models.DateTimeField(_("from"))
    ended_at = models.DateTimeField(_("until"), null=True, blank=True)

    class Meta:
        verbose_name = _("employment")
        verbose_name_plural = _("employments")
        constraints = (
            models.UniqueConstraint(name="one_open_employment", fields=["guide"], condition=Q(ended_at=None)),
            models.CheckConstraint(
                name="employment_interval", condition=Q(ended_at=None) | Q(ended_at__gt=F("started_at"))
            ),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return f"{self.guide_id} {self.store_id}"


class Delegation(models.Model):
    """While a guide is on leave another serves her customers and shares the credit (代管)."""

    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("guide"), related_name="delegations")
    delegate = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("delegate"), related_name="+")
    started_at = models.DateTimeField(_("from"))
    ended_at = models.DateTimeField(_("until"), null=True, blank=True)
    delegate_bp = models.PositiveSmallIntegerField(_("delegate's share (bp)"))

    class Meta:
        verbose_name = _("delegation")
        verbose_name_plural = _("delegations")
        constraints = (
            models.CheckConstraint(name="delegation_not_self", condition=~Q(guide=F("delegate"))),
            models.CheckConstraint(name="delegation_share", condition=Q(delegate_bp__gte=0, delegate_bp__lte=10000)),
            models.CheckConstraint(
                name="delegation_interval", condition=Q(ended_at=None) | Q(ended_at__gt=F("started_at"))
            ),
            models.UniqueConstraint(name="one_open_delegation", fields=["guide"], condition=Q(ended_at=None)),
        )

    def __str__(self) -> str:
        return f"{self.guide_id} → {self.delegate_id}"


@history
class BrandIP(models.Model):
    """A brand IP (品牌号): an account that HQ runs in the brand's name.

    Its WeCom account is that of ``guide``, so that friends, codes and handovers work as everyone's do; while the period lasts,
    bindings and touches of that account are the IP's.
    """

    code = models.CharField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=64)
    guide = models.ForeignKey(Guide, models.PROTECT, verbose_name=_("account"), related_name="brand_ips")
    started_at = models.DateTimeField(_("from"))
    ended_at = models.DateTimeField(_("until"), null=True, blank=True)

    class Meta:
        verbose_name = _("brand IP")
        verbose_name_plural = _("brand IPs")
        constraints = (
            models.UniqueConstraint(name="one_open_brand_ip", fields=["guide"], condition=Q(ended_at=None)),
            models.CheckConstraint(
                name="brand_ip_interval", condition=Q(ended_at=None) | Q(ended_at__gt=F("started_at"))
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} {self.code}"


class LoginCode(models.Model):
    """A one-time code that logs a guide in on a device (登录码); only its hash is kept."""

    guide = models.ForeignKey(Guide, models.CASCADE, related_name="+")
    code_hash = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.guide_id}"
