"""Taste in the console: the attributes, and how much of each a product has."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from import_export import fields
from import_export.widgets import ForeignKeyWidget

from members.models import Product, ProductAttribute, TasteAttribute
from scrm.admin import lists
from scrm.admin.exchange import ConfigAdmin, ConfigResource
from scrm.org import Right


class ProductAttributeResource(ConfigResource):
    product = fields.Field("product", column_name="SKU", widget=ForeignKeyWidget(Product, "sku"))
    attribute = fields.Field("attribute", column_name="口味属性", widget=ForeignKeyWidget(TasteAttribute, "name"))
    value = fields.Field("value", column_name="数值")

    class Meta(ConfigResource.Meta):
        model = ProductAttribute
        import_id_fields = ("product", "attribute")
        fields = ("product", "attribute", "value")


@admin.register(TasteAttribute)
class TasteAttributeAdmin(ConfigAdmin):
    list_display = ("name", "words", "low_words", "position", "is_active")
    search_fields = ("name__startswith",)
    ordering = ("position", "pk")
    fields = ("name", "words", "low_words", "position", "is_active")


@admin.register(ProductAttribute)
class ProductAttributeAdmin(ConfigAdmin):
    resource_classes = (ProductAttributeResource,)
    delete_right: ClassVar[Right | None] = Right.CHANGE
    list_display = ("product", "attribute", "value")
    list_select_related = ("product", "attribute")
    list_filter = (("attribute", lists.ScopedDropdownFilter), ("product", lists.ScopedFilter))
    search_fields = ("product__sku__exact", "product__name__startswith")
    search_help_text = _("SKU or the beginning of the name")
    autocomplete_fields = ("product",)
    ordering = ("product_id", "attribute__position", "pk")
    fields = ("product", "attribute", "value")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("product", "attribute")
