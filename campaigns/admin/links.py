"""Short links in the console: allowed hosts, who shared what, and how often it was opened."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from campaigns import queries
from campaigns.models import LinkDay, LinkHost, ShortLink
from guides.admin.staff import GuideNames
from scrm.admin import lists
from scrm.admin.bases import BigReadOnlyAdmin, ReadOnlyInline
from scrm.admin.exchange import ConfigAdmin
from scrm.admin.shown import display
from scrm.org import Right


@admin.register(LinkHost)
class LinkHostAdmin(ConfigAdmin):
    delete_right: ClassVar[Right | None] = Right.CHANGE
    list_display = ("host", "note")
    search_fields = ("host__startswith",)
    ordering = ("host",)
    fields = ("host", "note")


class DayInline(ReadOnlyInline):
    model = LinkDay
    fields = ("day", "open_count", "repeat_count", "robot_count")
    readonly_fields = fields
    ordering = ("-day",)
    max_num = 31


@admin.register(ShortLink)
class ShortLinkAdmin(BigReadOnlyAdmin, GuideNames):
    inlines = (DayInline,)
    list_display = ("code", "guide_link", "store", "content", "opened", "robots", "expires_at", "created_at")
    list_select_related = ("guide", "store", "content")
    list_filter = (("guide", lists.ScopedFilter), ("store", lists.ScopedFilter), ("content", lists.ScopedFilter))
    search_fields = ("code__exact",)
    search_help_text = gettext_lazy("The whole code")
    fields = ("address", "guide_link", "store", "content", "target", "expires_at", "created_at")

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        super().decorate(request, rows)
        counts = queries.openings_of(link_ids=[row.pk for row in rows])
        for row in rows:
            row.shown_counts = counts.get(row.pk, (0, 0))

    @display(description=gettext_lazy("openings"))
    def opened(self, row: Any) -> int:
        return int(row.shown_counts[0])

    @display(description=gettext_lazy("robots and previews"))
    def robots(self, row: Any) -> int:
        return int(row.shown_counts[1])

    @display(description=gettext_lazy("address"))
    def address(self, row: ShortLink) -> str:
        return f"{settings.PUBLIC_URL}/s/{row.code}"
