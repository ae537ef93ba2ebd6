"""Products, categories and channels in the console."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from import_export import fields
from import_export.widgets import ForeignKeyWidget

from members import offers, taste
from members.models import Category, Channel, Product
from scrm.admin import lists
from scrm.admin.exchange import ConfigAdmin, ConfigResource


class ProductResource(ConfigResource):
    sku = fields.Field("sku", column_name="SKU")
    name = fields.Field("name", column_name="商品名称")
    category = fields.Field("category", column_name="品类编码", widget=ForeignKeyWidget(Category, "code"))

    class Meta(ConfigResource.Meta):
        model = Product
        import_id_fields = ("sku",)
        fields = ("sku", "name", "category")


@admin.register(Product)
class ProductAdmin(ConfigAdmin):
    resource_classes = (ProductResource,)
    list_display = ("sku", "name", "category")
    list_display_links = ("sku", "name")
    list_select_related = ("category",)
    list_filter = (("category", lists.ScopedFilter),)
    search_fields = ("sku__exact", "sku__startswith", "name__startswith")
    search_help_text = _("SKU or the beginning of the name")
    autocomplete_fields = ("category",)
    ordering = ("sku",)
    fields = ("sku", "name", "category")
    change_form_template = "admin/members/product/change_form.html"

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        product = context.get("original")
        if product is not None:
            context |= {
                "near": offers.near_to(product_id=product.pk), "needed": taste.ALIKE_ATTRIBUTES, "most_apart": taste.ALIKE_DISTANCE,
            }  # fmt: skip
        return super().render_change_form(request, context, *args, **kwargs)


@admin.register(Category)
class CategoryAdmin(ConfigAdmin):
    list_display = ("code", "name")
    list_display_links = ("code", "name")
    search_fields = ("code__exact", "name__startswith")
    search_help_text = _("Code or the beginning of the name")
    ordering = ("code",)
    fields = ("code", "name")


@admin.register(Channel)
class ChannelAdmin(ConfigAdmin):
    list_display = ("code", "name", "is_in_store")
    list_display_links = ("code", "name")
    search_fields = ("code__exact", "name__startswith")
    ordering = ("code",)
    fields = ("code", "name", "is_in_store")
