"""Tiers and tags in the console."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from import_export import fields
from import_export.widgets import ForeignKeyWidget

from members.models import Tag, Tier
from scrm.admin.exchange import ConfigAdmin, ConfigResource
from scrm.models import Brand


class TierResource(ConfigResource):
    brand = fields.Field("brand", column_name="品牌编码", widget=ForeignKeyWidget(Brand, "code"))
    name = fields.Field("name", column_name="等级名称")
    rank = fields.Field("rank", column_name="排序")

    class Meta(ConfigResource.Meta):
        model = Tier
        import_id_fields = ("brand", "name")
        fields = ("brand", "name", "rank")


@admin.register(Tier)
class TierAdmin(ConfigAdmin):
    resource_classes = (TierResource,)
    list_display = ("name", "rank", "brand")
    list_select_related = ("brand",)
    search_fields = ("name__startswith",)
    ordering = ("rank", "pk")
    fields = ("brand", "name", "rank")


@admin.register(Tag)
class TagAdmin(ConfigAdmin):
    list_display = ("name", "brand")
    list_select_related = ("brand",)
    search_fields = ("name__startswith",)
    search_help_text = _("Beginning of the name")
    ordering = ("name",)
    fields = ("brand", "name")
