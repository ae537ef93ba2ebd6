"""Channels' deliveries in the console: what came in, what is parked, and playing it again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy

from attribution.models import ChannelEndpoint, ChannelEvent
from scrm.admin import lists
from scrm.admin.bases import BigReadOnlyAdmin, ReadOnlyAdmin
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, display, state
from scrm.admin.words import problem_text


@admin.register(ChannelEndpoint)
class ChannelEndpointAdmin(ReadOnlyAdmin):
    list_display = ("channel", "is_active")
    ordering = ("channel",)
    fields = ("channel", "is_active")


@admin.register(ChannelEvent)
class ChannelEventAdmin(BigReadOnlyAdmin):
    list_display = ("event_id", "channel", "status_label", "problem", "attempts", "received_at", "processed_at")
    list_filter = (("status", lists.ChoicesDropdownFilter), ("received_at", lists.DayFilter))
    search_fields = ("event_id__exact",)
    search_help_text = gettext_lazy("Complete event id")
    fields = (
        "event_id", "channel", "status_label", "problem", "error_place", "attempts", "received_at", "processed_at",
    )  # fmt: skip

    @display(
        description=gettext_lazy("state"),
        label={
            ChannelEvent.Status.RECEIVED: BUSY,
            ChannelEvent.Status.PROCESSED: GOOD,
            ChannelEvent.Status.PARKED: BAD,
        },
    )
    def status_label(self, event: ChannelEvent) -> Any:
        return state(event.status, event.get_status_display())

    @display(description=gettext_lazy("problem"))
    def problem(self, event: ChannelEvent) -> str:
        return problem_text(event.error_code) if event.error_code else EMPTY
