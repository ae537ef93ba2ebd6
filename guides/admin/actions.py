"""What guides are to do, in the console: read only; whoever asked for an action withdraws it there."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy

from guides.admin.staff import GuideNames
from guides.models import Action
from scrm.admin import lists
from scrm.admin.bases import BigReadOnlyAdmin
from scrm.admin.shown import BAD, BUSY, GOOD, QUIET, display, state

COLOURS = {
    Action.Status.OPEN: BUSY, Action.Status.DONE: GOOD, Action.Status.SKIPPED: QUIET, Action.Status.UNSUITABLE: QUIET,
    Action.Status.EXPIRED: BAD, Action.Status.CANCELLED: QUIET,
}  # fmt: skip


@admin.register(Action)
class ActionAdmin(BigReadOnlyAdmin, GuideNames):
    list_display = ("title", "kind", "guide_link", "store", "starts_at", "due_at", "status_label", "outcome")
    list_select_related = ("guide", "store")
    list_filter = (
        ("status", lists.ChoicesDropdownFilter), ("kind", lists.ChoicesDropdownFilter), ("store", lists.ScopedFilter),
        ("guide", lists.ScopedFilter),
    )  # fmt: skip
    fields = (
        "title", "kind", "guide_link", "store", "reason", "text", "minutes", "starts_at", "due_at", "status_label", "outcome",
        "note", "ended_at",
    )  # fmt: skip

    @display(description=gettext_lazy("state"), label=COLOURS)
    def status_label(self, action: Action) -> Any:
        return state(action.status, action.get_status_display())
