"""Shares, touches, service acts and the claims that followed from them, with the answer each got."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from guides.admin.staff import GuideNames, guide_link
from guides.models import Binding, BindingRequest, Contact, ContactWay, ServiceAct, Share, Touch
from guides.snatching import OPENING
from members.models import Member
from scrm.admin import lists
from scrm.admin.bases import BigReadOnlyAdmin
from scrm.admin.shown import BAD, EMPTY, GOOD, QUIET, display, link, state

ANSWER_COLOURS = {
    answer: GOOD if answer in OPENING else QUIET if answer == BindingRequest.Answer.UNCHANGED else BAD
    for answer in BindingRequest.Answer
}


class Named(BigReadOnlyAdmin, GuideNames):
    """Rows that name a member, a guide and perhaps a contact."""

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        super().decorate(request, rows)
        members = lists.visible_names(request, Member, (row.member_id for row in rows))
        contacts = lists.visible_names(request, Contact, (getattr(row, "contact_id", None) for row in rows))
        ways = lists.visible_names(request, ContactWay, (getattr(row, "way_id", None) for row in rows))
        for row in rows:
            row.shown_member, row.shown_contact = (
                members.get(row.member_id),
                contacts.get(getattr(row, "contact_id", 0)),
            )
            row.shown_way = ways.get(getattr(row, "way_id", 0))

    @display(description=gettext_lazy("member"))
    def member_link(self, row: Any) -> SafeString | str:
        return link("members_member", row.member_id, row.shown_member) if row.shown_member else EMPTY


@admin.register(Touch)
class TouchAdmin(Named):
    list_display = (
        "at",
        "kind_label",
        "guide_link",
        "store",
        "customer",
        "way_link",
        "object_text",
        "expires_at",
        "is_signed",
    )
    list_select_related = ("guide", "store")
    list_filter = (
        ("store", lists.ScopedFilter), ("guide", lists.ScopedFilter), ("kind", lists.ChoicesDropdownFilter),
    )  # fmt: skip
    fields = (
        "at", "kind_label", "guide_link", "store", "customer", "member_link", "way_link", "object_text", "expires_at",
        "is_signed", "recorded_at",
    )  # fmt: skip

    @display(description=gettext_lazy("kind"), label=dict.fromkeys(Touch.Kind, QUIET))
    def kind_label(self, touch: Touch) -> Any:
        return state(touch.kind, touch.get_kind_display())

    @display(description=gettext_lazy("customer"))
    def customer(self, touch: Any) -> SafeString | str:
        return self.member_link(touch) if touch.shown_member else touch.shown_contact or EMPTY

    @display(description=gettext_lazy("contact way"))
    def way_link(self, touch: Any) -> SafeString | str:
        return link("guides_contactway", touch.way_id, touch.shown_way) if touch.shown_way else EMPTY

    @display(description=gettext_lazy("covers"))
    def object_text(self, touch: Touch) -> str:
        return f"{touch.get_object_kind_display()} {touch.object_code}".strip()


@admin.register(Share)
class ShareAdmin(BigReadOnlyAdmin, GuideNames):
    list_display = (
        "created_at", "kind_label", "guide_link", "store", "object_text", "reference", "expires_at", "closes_at",
    )  # fmt: skip
    list_select_related = ("guide", "store")
    list_filter = (
        ("store", lists.ScopedFilter), ("guide", lists.ScopedFilter), ("kind", lists.ChoicesDropdownFilter),
    )  # fmt: skip
    fields = list_display

    @display(description=gettext_lazy("kind"), label=dict.fromkeys(Share.Kind, QUIET))
    def kind_label(self, share: Share) -> Any:
        return state(share.kind, share.get_kind_display())

    @display(description=gettext_lazy("covers"))
    def object_text(self, share: Share) -> str:
        return f"{share.get_object_kind_display()} {share.object_code}".strip()


@admin.register(ServiceAct)
class ServiceActAdmin(Named):
    guide_fields = ("guide", "holder")
    list_display = ("at", "kind_label", "guide_link", "store", "member_link", "note", "proof", "holder_link")
    list_select_related = ("guide", "store", "holder")
    list_filter = (
        ("store", lists.ScopedFilter), ("guide", lists.ScopedFilter), ("kind", lists.ChoicesDropdownFilter),
    )  # fmt: skip
    fields = (*list_display, "recorded_at")

    @display(description=gettext_lazy("kind"), label=dict.fromkeys(ServiceAct.Kind, QUIET))
    def kind_label(self, act: ServiceAct) -> Any:
        return state(act.kind, act.get_kind_display())

    @display(description=gettext_lazy("renews the binding of"))
    def holder_link(self, act: ServiceAct) -> SafeString | str:
        return guide_link(act, "holder") if act.holder_id else EMPTY


@admin.register(BindingRequest)
class BindingRequestAdmin(Named):
    guide_fields = ("guide", "holder")
    list_display = (
        "at",
        "member_link",
        "guide_link",
        "store",
        "answer_label",
        "holder_link",
        "protected_until",
        "source_label",
    )
    list_select_related = ("guide", "store", "holder")
    list_filter = (
        ("store", lists.ScopedFilter), ("guide", lists.ScopedFilter), ("answer", lists.ChoicesDropdownFilter),
    )  # fmt: skip
    fields = (
        "at", "member_link", "guide_link", "store", "answer_label", "holder_link", "protected_until", "source_label",
        "recorded_at",
    )  # fmt: skip

    @display(description=gettext_lazy("answer"), label=ANSWER_COLOURS)
    def answer_label(self, request: BindingRequest) -> Any:
        return state(request.answer, request.get_answer_display())

    @display(description=gettext_lazy("guide at that time"))
    def holder_link(self, request: BindingRequest) -> SafeString | str:
        return guide_link(request, "holder") if request.holder_id else EMPTY

    @display(description=gettext_lazy("source"), label=dict.fromkeys(Binding.Source, QUIET))
    def source_label(self, request: BindingRequest) -> Any:
        return state(request.source, request.get_source_display())
