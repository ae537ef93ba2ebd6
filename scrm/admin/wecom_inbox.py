"""WeCom's events in the console: what came in, what is parked or unknown, and playing it again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, QUIET, display, state
from scrm.admin.words import problem_text
from scrm.models import InboxEvent
from scrm.org import Right
from scrm.wecom import inbox

REPLAYED_AT_ONCE = 1_000
STATUS_COLOURS = {
    InboxEvent.Status.RECEIVED: BUSY,
    InboxEvent.Status.PROCESSED: GOOD,
    InboxEvent.Status.STALE: QUIET,
    InboxEvent.Status.UNKNOWN: QUIET,
    InboxEvent.Status.PARKED: BAD,
}

words.register({"wecom.replay": gettext_lazy("replayed a WeCom event")})


@object_act(
    gettext_lazy("Replay"),
    right=Right.ACT,
    icon="replay",
    offered=lambda event: event.status in inbox.PLAYABLE,
    warning=gettext_lazy(
        "The event is understood again from its sealed body. Where something newer about the same is known, it is not applied."
    ),
)
def replay(self: Any, request: HttpRequest, event: InboxEvent, data: dict[str, Any]) -> str:
    count = inbox.replay(event_ids=[event.pk], actor=request.user)
    return _("%(count)s events are played again.") % {"count": count}


@admin.register(InboxEvent)
class InboxEventAdmin(BigReadOnlyAdmin):
    acts = (replay,)
    actions = ("replay_chosen",)
    list_display = (
        "event", "change_type", "aggregate", "lane", "status_label", "problem", "attempts", "event_at", "received_at",
        "processed_at",
    )  # fmt: skip
    list_filter = (("status", lists.ChoicesDropdownFilter), ("received_at", lists.DayFilter))
    search_fields = ("aggregate__exact",)
    search_help_text = gettext_lazy("Complete object, for example change_external_chat|wr…")
    fields = (
        "endpoint", "event", "change_type", "aggregate", "lane", "status_label", "problem", "error_place", "attempts",
        "event_at", "received_at", "processed_at",
    )  # fmt: skip

    @admin.action(description=gettext_lazy("Replay the parked and the unknown ones"), permissions=["act"])
    def replay_chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """The chosen rows come scoped, whatever keys the form names."""
        left = queryset.filter(status__in=inbox.PLAYABLE).order_by("pk")
        keys = list(left.values_list("pk", flat=True)[:REPLAYED_AT_ONCE])
        count = inbox.replay(event_ids=keys, actor=request.user)
        messages.success(request, _("%(count)s events are played again.") % {"count": count})

    @display(description=gettext_lazy("state"), label=STATUS_COLOURS)
    def status_label(self, event: InboxEvent) -> Any:
        return state(event.status, event.get_status_display())

    @display(description=gettext_lazy("problem"))
    def problem(self, event: InboxEvent) -> str:
        return problem_text(event.error_code) if event.error_code else EMPTY
