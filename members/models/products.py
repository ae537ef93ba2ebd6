"""Products (商品) and their categories."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from members.models import refreshing


class Category(models.Model):
    code = models.CharField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=64)

    class Meta:
        verbose_name = _("category")
        verbose_name_plural = _("categories")

    def __str__(self) -> str:
        return self.name


class Product(models.Model):
    sku = models.CharField(_("SKU"), max_length=64, unique=True)
    name = models.CharField(_("name"), max_length=200)
    category = models.ForeignKey(Category, models.PROTECT, verbose_name=_("category"), null=True, blank=True)

    class Meta:
        verbose_name = _("product")
        verbose_name_plural = _("products")
        # favourite categories are counted again, once a night
        triggers = (refreshing.refresh_everybody_when_changed("refresh_categories", ("category_id",)),)

    def __str__(self) -> str:
        return f"{self.name} {self.sku}"
