"""What WeCom is to do, in the console: what waits, what was refused or may be done, and what a person decides."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, NEW, QUIET, display, state
from scrm.admin.words import problem_text, verb_text
from scrm.copyin import problems
from scrm.models import OutboxMessage
from scrm.org import Right
from scrm.wecom import corps, errors, outbox

RETRIED_AT_ONCE = 1_000
STATUS_COLOURS = {
    OutboxMessage.Status.WAITING: NEW,
    OutboxMessage.Status.SENDING: BUSY,
    OutboxMessage.Status.DONE: GOOD,
    OutboxMessage.Status.REFUSED: BAD,
    OutboxMessage.Status.UNKNOWN: BAD,
    OutboxMessage.Status.CANCELLED: QUIET,
    OutboxMessage.Status.EXPIRED: QUIET,
}

words.register(
    {
        "outbox.retry": gettext_lazy("had a message to WeCom sent again"),
        "outbox.cancel": gettext_lazy("cancelled a message to WeCom"),
        "outbox.ask_again": gettext_lazy("had WeCom asked whether a message is done"),
    }
)
_kinds: tuple[type[errors.WecomError], ...] = (
    errors.WecomError,
    *errors.CODES,
    errors.Unreachable,
    errors.Malformed,
    outbox.TooLate,
    outbox.Cancelled,
)
problems.register({kind.code: kind.what for kind in _kinds})
problems.register(
    {corps.AppMissing.code: gettext_lazy("The corp has no WeCom app of this kind yet. Add it under WeCom apps.")}
)


@object_act(
    gettext_lazy("Send again"), right=Right.ACT, icon="send", offered=outbox.may_retry,
    warning=gettext_lazy("If WeCom did it already, it is done twice. Look in WeCom first where the state is unknown."),
)  # fmt: skip
def retry(self: Any, request: HttpRequest, message: OutboxMessage, data: dict[str, Any]) -> str:
    outbox.retry(message=message, actor=request.user, now=timezone.now())
    return _("The message is sent again.")


@object_act(
    gettext_lazy("Cancel"), right=Right.ACT, icon="cancel", offered=outbox.may_cancel,
    warning=gettext_lazy("It is not going to be sent, and what hangs on it is told so."),
)  # fmt: skip
def cancel(self: Any, request: HttpRequest, message: OutboxMessage, data: dict[str, Any]) -> str:
    outbox.cancel(message=message, actor=request.user, now=timezone.now())
    return _("The message is cancelled.")


@object_act(
    gettext_lazy("Ask WeCom again"), right=Right.ACT, icon="help", offered=outbox.may_ask_again,
    warning=gettext_lazy("WeCom is read to see whether this is done. Nothing is sent unless it is certain that it is not."),
)  # fmt: skip
def ask_again(self: Any, request: HttpRequest, message: OutboxMessage, data: dict[str, Any]) -> str:
    outbox.ask_again(message=message, actor=request.user, now=timezone.now())
    return _("WeCom is asked; look again in a minute.")


@admin.register(OutboxMessage)
class OutboxMessageAdmin(BigReadOnlyAdmin):
    acts = (retry, cancel, ask_again)
    actions = ("retry_chosen",)
    list_display = (
        "topic_label", "about", "corp", "status_label", "problem", "attempts", "next_try", "created_at", "settled_at",
    )  # fmt: skip
    list_select_related = ("corp",)
    list_filter = (
        ("status", lists.ChoicesDropdownFilter),
        ("lane", lists.ChoicesDropdownFilter),
        ("created_at", lists.DayFilter),
    )
    search_fields = ("key__exact",)
    search_help_text = gettext_lazy("Complete key")
    fields = (
        "topic_label", "about", "key", "corp", "lane", "status_label", "problem", "error_detail", "attempts", "checks",
        "next_try", "expires_at", "requested_by", "created_at", "settled_at",
    )  # fmt: skip

    @admin.action(description=gettext_lazy("Send the refused ones again"), permissions=["act"])
    def retry_chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """The chosen rows come scoped, whatever keys the form names."""
        refused = queryset.filter(status=OutboxMessage.Status.REFUSED).order_by("pk").values_list("pk", flat=True)
        count = outbox.retry_all(message_ids=refused[:RETRIED_AT_ONCE], actor=request.user, now=timezone.now())
        messages.success(request, _("%(count)s messages are sent again.") % {"count": count})

    @display(description=gettext_lazy("kind"))
    def topic_label(self, message: OutboxMessage) -> str:
        return verb_text(message.topic)

    @display(description=gettext_lazy("what it is about"))
    def about(self, message: OutboxMessage) -> str:
        return message.record or message.key

    @display(description=gettext_lazy("state"), label=STATUS_COLOURS)
    def status_label(self, message: OutboxMessage) -> Any:
        return state(message.status, message.get_status_display())

    @display(description=gettext_lazy("problem"))
    def problem(self, message: OutboxMessage) -> str:
        return problem_text(message.error_code) if message.error_code else EMPTY

    @display(description=gettext_lazy("next try"), ordering="not_before")
    def next_try(self, message: OutboxMessage) -> Any:
        is_left = message.status == OutboxMessage.Status.UNKNOWN and message.not_before is None
        return _("left to you") if is_left else message.not_before
