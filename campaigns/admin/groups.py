"""Customer groups in the console: whose they are, how many are in them, and who came and went."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from campaigns.models import Group, GroupStay
from guides.admin.staff import GuideNames, guide_link
from members.models import Member
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, QUIET, display, link, state

words.register(
    {
        "group_sync": gettext_lazy("comparison of customer groups with WeCom"),
        "group_lists": gettext_lazy("listing the customer groups"),
        "summary.listed_groups": gettext_lazy("customer groups at WeCom"),
        "summary.new_groups": gettext_lazy("groups not known before"),
        "summary.missing_groups": gettext_lazy("groups not listed any more"),
        "summary.unseen_owners": gettext_lazy("owners outside the app's range"),
    }
)
COLOURS = {
    Group.Status.NORMAL: GOOD, Group.Status.OWNER_LEFT: BAD, Group.Status.MOVING: BUSY, Group.Status.MOVED: GOOD, "GONE": QUIET,
}  # fmt: skip
SCENES = {1: gettext_lazy("invited"), 2: gettext_lazy("by a link"), 3: gettext_lazy("by a QR code")}
LEAVINGS = {0: gettext_lazy("left herself"), 1: gettext_lazy("removed")}


@admin.register(Group)
class GroupAdmin(BigReadOnlyAdmin, GuideNames):
    guide_fields = ("owner",)
    list_display = ("name_text", "owner_link", "store", "customer_count", "member_count", "status_label", "founded_at")
    list_select_related = ("store", "owner")
    list_filter = (("store", lists.ScopedFilter), ("status", lists.ChoicesDropdownFilter))
    search_fields = ("chat_id__exact", "name__startswith")
    search_help_text = gettext_lazy("Beginning of the name, or id at WeCom")
    fields = (
        "name_text", "chat_id", "owner_link", "owner_userid", "store", "status_label", "customer_count", "member_count", "founded_at",
        "dissolved_at", "read_at", "error_code",
    )  # fmt: skip

    @display(description=gettext_lazy("name"))
    def name_text(self, group: Group) -> str:
        return str(group)

    @display(description=gettext_lazy("owner"))
    def owner_link(self, group: Group) -> Any:
        return guide_link(group, "owner") if group.owner_id else group.owner_userid or EMPTY

    @display(description=gettext_lazy("state"), label=COLOURS)
    def status_label(self, group: Group) -> Any:
        if group.dissolved_at is not None:
            return state("GONE", gettext_lazy("dissolved"))
        return state(group.status, group.get_status_display())


@admin.register(GroupStay)
class GroupStayAdmin(BigReadOnlyAdmin):
    """Who came and went, the newest first."""

    list_display = (
        "group_link",
        "member_link",
        "is_staff",
        "joined_at",
        "scene_text",
        "inviter",
        "left_at",
        "leaving_text",
    )
    list_select_related = ("group",)
    list_filter = (("group", lists.ScopedFilter), ("is_staff", lists.BooleanRadioFilter))
    fields = (
        "group_link", "member_link", "userid", "is_staff", "joined_at", "scene_text", "inviter", "state", "left_at", "leaving_text",
    )  # fmt: skip

    def decorate(self, request: HttpRequest, rows: list[Any]) -> None:
        names = lists.visible_names(request, Member, (row.member_id for row in rows if row.member_id))
        for row in rows:
            row.shown_member = names.get(row.member_id)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        if found is not None:
            self.decorate(request, [found])
        return found

    @display(description=gettext_lazy("customer group"))
    def group_link(self, stay: GroupStay) -> Any:
        return link("campaigns_group", stay.group_id, str(stay.group))

    @display(description=gettext_lazy("member"))
    def member_link(self, stay: Any) -> Any:
        if stay.member_id is None:
            return EMPTY
        return link("members_member", stay.member_id, stay.shown_member or f"#{stay.member_id}")

    @display(description=gettext_lazy("joined by"))
    def scene_text(self, stay: GroupStay) -> Any:
        return SCENES.get(stay.join_scene, EMPTY)

    @display(description=gettext_lazy("left by"))
    def leaving_text(self, stay: GroupStay) -> Any:
        return EMPTY if stay.left_scene is None else LEAVINGS.get(stay.left_scene, EMPTY)
