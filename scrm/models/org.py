"""Organisation (组织): brands, legal entities, regions, stores, people and what they may see."""

from __future__ import annotations

from typing import Any

import pghistory
import pgtrigger
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from tree_queries.models import TreeNode


def history(model: type[models.Model]) -> Any:
    """Keep every version of the model's rows, written by statement-level triggers: bulk updates are seen too."""
    return pghistory.track(
        pghistory.InsertEvent(level=pgtrigger.Statement),
        pghistory.UpdateEvent(level=pgtrigger.Statement),
        pghistory.DeleteEvent(level=pgtrigger.Statement),
    )(model)


class User(AbstractUser):
    """A person who logs in: HQ staff by password, a guide by a one-time code. One person, one row."""

    name = models.CharField(_("name"), max_length=64, blank=True)

    class Meta(AbstractUser.Meta):
        verbose_name = _("user")  # type: ignore[assignment]
        verbose_name_plural = _("users")  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.name or self.username

    def get_full_name(self) -> str:
        return self.name or self.username


class Brand(models.Model):
    """The namespace of members, identities, bindings and rules; one row unless the company runs several."""

    code = models.CharField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=64)

    class Meta:
        verbose_name = _("brand")
        verbose_name_plural = _("brands")

    def __str__(self) -> str:
        return self.name


@history
class LegalEntity(models.Model):
    """Who employs and who is paid: the HQ company, a direct company, a franchisee (法人主体)."""

    class Kind(models.TextChoices):
        HQ = "HQ", _("HQ company")
        DIRECT = "DIRECT", _("direct company")
        FRANCHISEE = "FRANCHISEE", _("franchisee")

    code = models.CharField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=128)
    kind = models.CharField(_("kind"), max_length=16, choices=Kind)
    is_active = models.BooleanField(_("active"), default=True)

    class Meta:
        verbose_name = _("legal entity")
        verbose_name_plural = _("legal entities")

    def __str__(self) -> str:
        return self.name


@history
class Region(TreeNode):
    """A node of the region tree (大区), any depth."""

    code = models.CharField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=64)

    class Meta:
        verbose_name = _("region")
        verbose_name_plural = _("regions")

    def __str__(self) -> str:
        return self.name


@history
class Store(models.Model):
    """A shop (门店)."""

    class Ownership(models.TextChoices):
        DIRECT = "DIRECT", _("direct store")
        FRANCHISEE = "FRANCHISEE", _("franchised store")

    code = models.CharField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=64)
    entity = models.ForeignKey(LegalEntity, models.PROTECT, verbose_name=_("legal entity"), related_name="stores")
    region = models.ForeignKey(Region, models.PROTECT, verbose_name=_("region"), related_name="stores")
    ownership = models.CharField(_("ownership"), max_length=16, choices=Ownership)
    city = models.CharField(_("city"), max_length=32, blank=True)
    address = models.CharField(_("address"), max_length=256, blank=True)
    longitude = models.DecimalField(_("longitude"), max_digits=10, decimal_places=7, null=True, blank=True)
    latitude = models.DecimalField(_("latitude"), max_digits=10, decimal_places=7, null=True, blank=True)
    opened_on = models.DateField(_("opened on"), null=True, blank=True)
    closed_on = models.DateField(_("closed on"), null=True, blank=True)

    class Meta:
        verbose_name = _("store")
        verbose_name_plural = _("stores")
        constraints = (
            models.CheckConstraint(
                name="store_closes_after_opening",
                condition=Q(closed_on__isnull=True)
                | Q(opened_on__isnull=True)
                | Q(closed_on__gte=models.F("opened_on")),
            ),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(pk__in=store_ids)

    def __str__(self) -> str:
        return f"{self.name} {self.code}"


class Role(models.TextChoices):
    HQ_ADMIN = "HQ_ADMIN", _("HQ administrator")
    HQ_OPERATOR = "HQ_OPERATOR", _("HQ operator")
    REGION_MANAGER = "REGION_MANAGER", _("region manager")
    FRANCHISEE_OWNER = "FRANCHISEE_OWNER", _("franchisee owner")
    STORE_MANAGER = "STORE_MANAGER", _("store manager")
    AUDITOR = "AUDITOR", _("auditor")


@history
class Grant(models.Model):
    """One role of one person over one part of the organisation (授权).

    HQ roles and the auditor see everything and name no part; the others name exactly the part they see.
    """

    user = models.ForeignKey(User, models.CASCADE, verbose_name=_("user"), related_name="grants")
    role = models.CharField(_("role"), max_length=24, choices=Role)
    region = models.ForeignKey(Region, models.PROTECT, verbose_name=_("region"), null=True, blank=True)
    entity = models.ForeignKey(LegalEntity, models.PROTECT, verbose_name=_("legal entity"), null=True, blank=True)
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), null=True, blank=True)

    class Meta:
        verbose_name = _("grant")
        verbose_name_plural = _("grants")
        constraints = (
            models.UniqueConstraint(
                name="grant_once", fields=["user", "role", "region", "entity", "store"], nulls_distinct=False
            ),
            models.CheckConstraint(
                name="grant_names_its_part",
                condition=(
                    Q(role__in=["HQ_ADMIN", "HQ_OPERATOR"], region=None, entity=None, store=None)
                    | Q(role="AUDITOR", store=None)
                    | Q(role="REGION_MANAGER", region__isnull=False, store=None)
                    | Q(role="FRANCHISEE_OWNER", entity__isnull=False, store=None)
                    | Q(role="STORE_MANAGER", store__isnull=False, region=None, entity=None)
                ),
            ),
        )

    def __str__(self) -> str:
        part = self.region or self.entity or self.store
        return f"{self.get_role_display()} {part or ''}".strip()
