"""Brands, legal entities, regions and stores in the console."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from import_export import fields
from import_export.widgets import ForeignKeyWidget

from scrm.admin import lists
from scrm.admin.bases import ScopedAdmin
from scrm.admin.exchange import ChoiceWidget, ConfigAdmin, ConfigResource
from scrm.admin.shown import GOOD, NEW, QUIET, display, state
from scrm.models import Brand, LegalEntity, Region, Store
from scrm.org import Right


class StoreResource(ConfigResource):
    code = fields.Field("code", column_name="门店编码")
    name = fields.Field("name", column_name="门店名称")
    entity = fields.Field("entity", column_name="法人主体编码", widget=ForeignKeyWidget(LegalEntity, "code"))
    region = fields.Field("region", column_name="区域编码", widget=ForeignKeyWidget(Region, "code"))
    ownership = fields.Field("ownership", column_name="经营性质", widget=ChoiceWidget(Store.Ownership))
    city = fields.Field("city", column_name="城市")
    address = fields.Field("address", column_name="地址")
    opened_on = fields.Field("opened_on", column_name="开业日期", widget=ConfigResource.DATE)
    closed_on = fields.Field("closed_on", column_name="闭店日期", widget=ConfigResource.DATE)

    class Meta(ConfigResource.Meta):
        model = Store
        import_id_fields = ("code",)
        fields = ("code", "name", "entity", "region", "ownership", "city", "address", "opened_on", "closed_on")


@admin.register(Store)
class StoreAdmin(ConfigAdmin):
    resource_classes = (StoreResource,)
    list_display = ("code", "name", "ownership_label", "entity_name", "region_name", "city", "opened_on", "closed_on")
    list_display_links = ("code", "name")
    list_select_related = ("entity", "region")
    list_filter = (
        ("ownership", lists.ChoicesDropdownFilter),
        ("entity", lists.ScopedFilter),
        ("region", lists.ScopedFilter),
    )
    search_fields = ("code__exact", "name__startswith", "code__startswith", "city__exact")
    search_help_text = _("Store code or the beginning of the name")
    autocomplete_fields = ("entity", "region")
    ordering = ("code",)
    fieldsets = (
        (None, {"fields": (("code", "name"), ("entity", "region"), "ownership")}),
        (_("Place"), {"fields": ("city", "address", ("longitude", "latitude"))}),
        (_("Dates"), {"fields": (("opened_on", "closed_on"),)}),
    )

    @display(description=_("ownership"), label={Store.Ownership.DIRECT: QUIET, Store.Ownership.FRANCHISEE: NEW})
    def ownership_label(self, store: Store) -> Any:
        return state(store.ownership, store.get_ownership_display())

    @display(description=_("legal entity"))
    def entity_name(self, store: Store) -> str:
        return store.entity.name

    @display(description=_("region"))
    def region_name(self, store: Store) -> str:
        return store.region.name


@admin.register(Region)
class RegionAdmin(ConfigAdmin):
    list_display = ("code", "name", "parent")
    list_display_links = ("code", "name")
    list_select_related = ("parent",)
    search_fields = ("code__exact", "name__startswith")
    search_help_text = _("Region code or the beginning of the name")
    autocomplete_fields = ("parent",)
    ordering = ("code",)
    fields = ("code", "name", "parent")


@admin.register(LegalEntity)
class LegalEntityAdmin(ConfigAdmin):
    list_display = ("code", "name", "kind_label", "is_active")
    list_display_links = ("code", "name")
    list_filter = (("kind", lists.ChoicesDropdownFilter), ("is_active", lists.BooleanRadioFilter))
    search_fields = ("code__exact", "name__startswith")
    search_help_text = _("Entity code or the beginning of the name")
    ordering = ("code",)
    fields = ("code", "name", "kind", "is_active")

    @display(
        description=_("kind"),
        label={LegalEntity.Kind.HQ: GOOD, LegalEntity.Kind.DIRECT: QUIET, LegalEntity.Kind.FRANCHISEE: NEW},
    )
    def kind_label(self, entity: LegalEntity) -> Any:
        return state(entity.kind, entity.get_kind_display())


@admin.register(Brand)
class BrandAdmin(ScopedAdmin):
    change_right = Right.CHANGE
    list_display = ("code", "name")
    fields = ("code", "name")
    readonly_fields = ("code",)
    search_fields = ("code__exact", "name__startswith")
