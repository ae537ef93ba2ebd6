"""Brand IPs (品牌号) in the console: which WeCom account HQ runs in the brand's name, and since when."""

from __future__ import annotations

from django.contrib import admin

from guides.models import BrandIP
from scrm.admin import lists
from scrm.admin.exchange import ConfigAdmin


@admin.register(BrandIP)
class BrandIPAdmin(ConfigAdmin):
    list_display = ("code", "name", "guide", "started_at", "ended_at")
    list_display_links = ("code", "name")
    list_select_related = ("guide",)
    list_filter = (("guide", lists.ScopedFilter),)
    search_fields = ("code__exact", "name__startswith")
    autocomplete_fields = ("guide",)
    ordering = ("code",)
    fields = ("code", "name", "guide", ("started_at", "ended_at"))
