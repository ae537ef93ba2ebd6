"""Channels' deliveries in the console: what came in, what is parked, and playing it again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from attribution import intake
from attribution.models import ChannelEndpoint, ChannelEvent
from scrm.admin import lists
from scrm.admin.bases import BigReadOnlyAdmin, ReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, display, state
from scrm.admin.words import problem_text
from scrm.org import Right


@admin.register(ChannelEndpoint)
class ChannelEndpointAdmin(ReadOnlyAdmin):
    list_display = ("channel", "is_active")
    ordering = ("channel",)
    fields = ("channel", "is_active")


REPLAYED_AT_ONCE = 1_000


@object_act(
    gettext_lazy("Replay"),
    right=Right.ACT,
    icon="replay",
    offered=lambda event: event.status == ChannelEvent.Status.PARKED,
    warning=gettext_lazy(
        "The delivery is understood again from its sealed body; what was already recorded stays as it is."
    ),
)
def replay(self: Any, request: HttpRequest, event: ChannelEvent, data: dict[str, Any]) -> str:
    count = intake.replay(event_ids=[event.pk], actor=request.user)
    return _("%(count)s deliveries are played again.") % {"count": count}


@admin.register(ChannelEvent)
class ChannelEventAdmin(BigReadOnlyAdmin):
    acts = (replay,)
    actions = ("replay_chosen",)
    list_display = ("event_id", "channel", "status_label", "problem", "attempts", "received_at", "processed_at")
    list_filter = (("status", lists.ChoicesDropdownFilter), ("received_at", lists.DayFilter))
    search_fields = ("event_id__exact",)
    search_help_text = gettext_lazy("Complete event id")
    fields = (
        "event_id", "channel", "status_label", "problem", "error_place", "attempts", "received_at", "processed_at",
    )  # fmt: skip

    @admin.action(description=gettext_lazy("Replay the parked ones"), permissions=["act"])
    def replay_chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """The chosen rows come scoped, whatever keys the form names."""
        parked = queryset.filter(status=ChannelEvent.Status.PARKED).order_by("pk")
        keys = list(parked.values_list("pk", flat=True)[:REPLAYED_AT_ONCE])
        count = intake.replay(event_ids=keys, actor=request.user)
        messages.success(request, _("%(count)s deliveries are played again.") % {"count": count})

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
