"""Codes of groups in the console: what counts against the quota, and what a person decides about those whose answer was lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, QUIET, display, state
from scrm.admin.staff import ReasonForm
from scrm.admin.words import problem_text
from scrm.models import GroupWay
from scrm.wecom import group_ways, join_ways

STATUS_COLOURS = {
    GroupWay.Status.MAKING: BUSY, GroupWay.Status.LIVE: GOOD, GroupWay.Status.LOST: BAD, GroupWay.Status.GONE: QUIET,
    GroupWay.Status.UNMADE: QUIET,
}  # fmt: skip
DIFFERENCES = {
    "state": gettext_lazy("state of the code"), "remark": gettext_lazy("remark"), "groups": gettext_lazy("groups"),
}  # fmt: skip

words.register(
    {
        "group_way.look": gettext_lazy("had a code of groups looked for at WeCom"),
        "group_way.name": gettext_lazy("named the id of a code of groups"),
        "group_way.take_over": gettext_lazy("took over the id of a code of groups"),
        "group_way.ask_again": gettext_lazy("had a code of groups asked for again"),
        "group_way.close": gettext_lazy("closed a code of groups as not made"),
        "group_way.create": gettext_lazy("make a code of groups"),
    }
)


class IdForm(forms.Form):
    config_id = forms.CharField(
        label=gettext_lazy("WeCom's id"), max_length=group_ways.ID_CHARS,
        help_text=gettext_lazy("config_id, from the record of whoever made or used the code"),
    )  # fmt: skip


def _offered(is_possible: Callable[..., bool]) -> Callable[[GroupWay], bool]:
    return lambda way: is_possible(way, now=timezone.now())


@object_act(
    gettext_lazy("Look for it at WeCom again"), icon="search", offered=_offered(group_ways.may_look),
    warning=gettext_lazy(
        "WeCom lists no codes of groups. Its groups are read for customers who came in by this code, and the id that was named, if any. Nothing is changed."
    ),
)  # fmt: skip
def look(self: Any, request: HttpRequest, way: GroupWay, data: dict[str, Any]) -> str:
    group_ways.look(way=way, actor=request.user, now=timezone.now())
    return _("WeCom is asked; look again in a minute.")


@object_act(
    gettext_lazy("It exists: give its id"), icon="key", form=IdForm, offered=_offered(group_ways.may_look),
    warning=gettext_lazy("WeCom is asked which code that is. You see the answer here and decide then."),
)  # fmt: skip
def name_id(self: Any, request: HttpRequest, way: GroupWay, data: dict[str, Any]) -> str:
    group_ways.name(way=way, config_id=data["config_id"], actor=request.user, now=timezone.now())
    return _("WeCom is asked; look again in a minute.")


def _what_is_taken(way: GroupWay) -> str:
    found = group_ways.named(way) or {}
    return _("WeCom's code %(id)s: remark “%(remark)s”, state %(state)s, %(count)s groups. From now on it is ours.") % {
        "id": found.get("config_id"), "remark": found.get("remark"), "state": found.get("state") or EMPTY,
        "count": len(found.get("chat_ids", [])),
    }  # fmt: skip


@object_act(
    gettext_lazy("Take this id over"), icon="move_to_inbox", offered=_offered(group_ways.may_take_over),
    warning=_what_is_taken,
)  # fmt: skip
def take_over(self: Any, request: HttpRequest, way: GroupWay, data: dict[str, Any]) -> str:
    group_ways.take_over(way=way, actor=request.user, now=timezone.now())
    return _("The code is in use.")


def _what_is_asked(way: GroupWay) -> str:
    wish = way.wish or {}
    asked = _("WeCom is asked for a code once more: remark “%(remark)s”, %(count)s groups.") % {
        "remark": wish.get("remark", ""), "count": len(wish.get("chat_id_list", [])),
    }  # fmt: skip
    if way.status == GroupWay.Status.UNMADE:
        return asked
    risk = _("Should the first one exist all the same, it works too, counts against the quota and cannot be deleted.")
    return f"{asked}{_report(way)}{risk}"


@object_act(
    gettext_lazy("It was not made: ask again"), icon="send", form=ReasonForm, offered=_offered(group_ways.may_ask_again),
    warning=_what_is_asked,
)  # fmt: skip
def ask_again(self: Any, request: HttpRequest, way: GroupWay, data: dict[str, Any]) -> str:
    group_ways.ask_again(way=way, actor=request.user, now=timezone.now(), reason=data["reason"])
    return _("WeCom is making the code; look at this page again in a moment.")


@object_act(
    gettext_lazy("It was not made: close"), icon="delete", form=ReasonForm, offered=_offered(group_ways.may_close),
    warning=gettext_lazy("It no longer counts against the quota. Should it exist all the same, WeCom goes on counting it."),
)  # fmt: skip
def close(self: Any, request: HttpRequest, way: GroupWay, data: dict[str, Any]) -> str:
    group_ways.close(way=way, actor=request.user, now=timezone.now(), reason=data["reason"])
    return _("The code is closed as not made.")


@admin.register(GroupWay)
class GroupWayAdmin(BigReadOnlyAdmin):
    acts = (look, name_id, take_over, ask_again, close)
    list_display = ("title", "state", "corp", "status_label", "config_id", "problem", "asked_at", "looked_at", "found")
    list_select_related = ("corp",)
    list_filter = (("status", lists.ChoicesDropdownFilter), ("asked_at", lists.DayFilter))
    search_fields = ("state__exact", "config_id__exact", "remark__startswith")
    search_help_text = gettext_lazy("State of the code, WeCom's id, or beginning of the remark")
    fields = (
        "remark", "state", "corp", "groups", "status_label", "config_id", "problem", "asked_at", "attempt", "compared_at",
        "looked_at", "found", "claimed_id", "named",
    )  # fmt: skip

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        lost = join_ways.lost_ones(now=timezone.now()).filter(pk__in=[row.pk for row in rows])
        keys = set(lost.values_list("pk", flat=True))
        for row in rows:
            row.is_lost = row.pk in keys

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        self.decorate(request, [found])
        return found

    @display(description=gettext_lazy("remark"))
    def title(self, way: GroupWay) -> str:
        return way.remark or EMPTY

    @display(description=gettext_lazy("state"), label=STATUS_COLOURS)
    def status_label(self, way: Any) -> Any:
        if way.is_lost:  # also where whoever asked died with the answer
            return state(GroupWay.Status.LOST, GroupWay.Status.LOST.label)
        return state(way.status, way.get_status_display())

    @display(description=gettext_lazy("problem"))
    def problem(self, way: GroupWay) -> str:
        return problem_text(way.error_code) if way.error_code else EMPTY

    @display(description=gettext_lazy("groups asked for"))
    def groups(self, way: GroupWay) -> str:
        return "、".join((way.wish or {}).get("chat_id_list", [])) or EMPTY

    @display(description=gettext_lazy("what the look found"))
    def found(self, way: GroupWay) -> str:
        return _report(way) or EMPTY

    @display(description=gettext_lazy("WeCom's code of the named id"))
    def named(self, way: GroupWay) -> str:
        if not way.claimed_id or not group_ways.is_looked_for(way):
            return EMPTY
        found = group_ways.named(way)
        if found is None:
            return _("WeCom has no code of this id for our app.")
        others = [str(DIFFERENCES[one]) for one in group_ways.differences(way)]
        if others:
            return _("It is another code: %(what)s differ.") % {"what": "、".join(others)}
        return _("It is this one: state, remark and groups are those asked for.")


def _report(way: GroupWay) -> str:
    """In a sentence; empty before anybody looked."""
    if group_ways.is_looking(way):
        return _("WeCom is being asked.")
    if way.report and "error" in way.report:
        return _("It could not be looked for: %(why)s") % {"why": problem_text(way.report["error"])}
    if not group_ways.is_looked_for(way):
        return ""
    if not way.state:
        return _("The code has no state, so nobody can be seen to have come in by it.")
    came = group_ways.joined(way)
    read = len(way.report["groups"]) if way.report else 0
    if came:
        return _("%(count)s customers came in by it: it exists.") % {"count": came}
    return _("Nobody in its %(read)s groups came in by it.") % {"read": read}
