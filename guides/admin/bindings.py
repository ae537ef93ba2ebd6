"""Bindings (专属导购) in the console: who serves whom, from when to when."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from guides.admin.staff import GuideNames
from guides.models import Binding
from members.models import Member
from scrm.admin import lists
from scrm.admin.bases import BigTableAdmin
from scrm.admin.shown import EMPTY, GOOD, QUIET, display, link, state, until


class ActiveFilter(lists.DropdownFilter):
    title = gettext_lazy("state")
    parameter_name = "active"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", gettext_lazy("active")), ("0", gettext_lazy("ended"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(Q(ended_at__isnull=self.value() == "1")) if self.value() in ("0", "1") else queryset


@admin.register(Binding)
class BindingAdmin(BigTableAdmin, GuideNames):
    list_display = ("member_link", "guide_link", "store", "source_label", "started_at", "end_text")
    list_display_links = ("started_at",)
    list_select_related = ("guide", "store")
    list_filter = (("store", lists.ScopedFilter), ("guide", lists.ScopedFilter), ActiveFilter)
    fields = (
        "member_link", "guide_link", "store", "source_label", "started_at", "end_text", "protected_until", "created_at",
    )  # fmt: skip

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        super().decorate(request, rows)
        members = lists.visible_names(request, Member, (row.member_id for row in rows))
        for row in rows:
            row.shown_member = members.get(row.member_id)

    @display(description=gettext_lazy("member"))
    def member_link(self, binding: Any) -> SafeString | str:
        return link("members_member", binding.member_id, binding.shown_member) if binding.shown_member else EMPTY

    @display(description=gettext_lazy("source"), label=dict.fromkeys(Binding.Source, QUIET))
    def source_label(self, binding: Binding) -> Any:
        return state(binding.source, binding.get_source_display())

    @display(description=gettext_lazy("until"), label={True: GOOD, False: ""})
    def end_text(self, binding: Binding) -> Any:
        return state(binding.ended_at is None, until(binding.ended_at))
