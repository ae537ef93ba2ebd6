"""Customer groups in the console: whose they are, how they live, who came and went, and who is in several of them."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.admin import groups_comparison
from campaigns.communities import entries, group_tags, health
from campaigns.models import Group, GroupHealth, GroupSettings, GroupStay, GroupTag
from guides.admin.staff import GuideNames, guide_link
from members.models import Member
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import BigReadOnlyAdmin, ReadOnlyAdmin, ScopedAdmin
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, NEW, QUIET, display, link, money, percent, state
from scrm.errors import RuleViolation
from scrm.models import Store
from scrm.org import Right

words.register(
    {
        "group_sync": gettext_lazy("comparison of customer groups with WeCom"),
        "group_lists": gettext_lazy("listing the customer groups"),
        "summary.listed_groups": gettext_lazy("customer groups at WeCom"),
        "summary.new_groups": gettext_lazy("groups not known before"),
        "summary.missing_groups": gettext_lazy("groups not listed any more"),
        "summary.unseen_owners": gettext_lazy("owners outside the app's range"),
        health.KIND: gettext_lazy("counting the health of groups"),
        "summary.groups": gettext_lazy("customer groups"),
    }
)
COLOURS = {
    Group.Status.NORMAL: GOOD, Group.Status.OWNER_LEFT: BAD, Group.Status.MOVING: BUSY, Group.Status.MOVED: GOOD, "GONE": QUIET,
}  # fmt: skip
SCENES = {1: gettext_lazy("invited"), 2: gettext_lazy("by a link"), 3: gettext_lazy("by a QR code")}
LEAVINGS = {0: gettext_lazy("left herself"), 1: gettext_lazy("removed")}


Health = GroupHealth.State
HEALTH_COLOURS = {
    Health.HEALTHY: GOOD, Health.NEW: NEW, Health.FULL: BUSY, Health.LEAVING: BAD, Health.SILENT: BAD, Health.SMALL: BUSY,
    Health.NO_OWNER: BAD, "NONE": QUIET,
}  # fmt: skip
CHOSEN_AT_ONCE = 200
CHART_DAYS = 90
DUPLICATES_SHOWN = 200


class TagFilter(lists.DropdownFilter):
    title = gettext_lazy("tag of groups")
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(tag.pk), tag.name) for tag in GroupTag.objects.order_by("name", "pk")[:200]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(tagged__tag=value) if value and value.isdecimal() else queryset


class TagForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("tag of groups"),
        max_length=32,
        help_text=gettext_lazy("One that does not exist yet is made."),
    )
    is_taken = forms.BooleanField(label=gettext_lazy("take it from these groups"), required=False)


@admin.register(Group)
class GroupAdmin(GuideNames, ReadOnlyAdmin):
    guide_fields = ("owner",)
    actions = ("tag_chosen", "plan_chosen")
    change_list_template = "admin/campaigns/group/list.html"
    list_display = (
        "name_text", "owner_link", "store", "health_label", "customers", "growth", "leave_rate", "buyers", "spend", "quiet", "alive",
        "status_label",
    )  # fmt: skip
    list_select_related = ("store", "owner", "health")
    list_filter = (
        ("store", lists.ScopedFilter), ("status", lists.ChoicesDropdownFilter), ("health__state", lists.ChoicesDropdownFilter),
        TagFilter, ("dissolved_at", lists.DayFilter),
    )  # fmt: skip
    search_fields = ("chat_id__exact", "name__startswith")
    search_help_text = gettext_lazy("Beginning of the name, or id at WeCom")
    ordering = ("-pk",)
    fields = ("name_text",)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("duplicates/", view(self.duplicates_view), name="campaigns_group_duplicates"),
            path("tag/", view(self.tag_view), name="campaigns_group_tag"),
            path("comparison/", view(self.comparison_view), name="campaigns_group_comparison"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        store_ids = org.scope_of(request.user).store_ids
        found = health.summary(store_ids=None if store_ids is None else sorted(store_ids))
        shown = [(label, found["states"].get(code, 0), code) for code, label in Health.choices]
        return super().changelist_view(request, {**(extra_context or {}), "health": found, "health_states": shown})

    # --- columns ---

    @display(description=gettext_lazy("name"), ordering="name")
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

    @display(description=gettext_lazy("health"), label=HEALTH_COLOURS, ordering="health__state")
    def health_label(self, group: Group) -> Any:
        found = _health(group)
        return (
            state(found.state, found.get_state_display()) if found else state("NONE", gettext_lazy("not counted yet"))
        )

    @display(description=gettext_lazy("customers"), ordering="customer_count")
    def customers(self, group: Group) -> str:
        return f"{group.customer_count} / {group.member_count}"

    @display(description=gettext_lazy("growth in 30 days"), ordering="health__growth_count")
    def growth(self, group: Group) -> str:
        found = _health(group)
        return f"{found.growth_count:+d}" if found else EMPTY

    @display(description=gettext_lazy("leave rate"), ordering="health__leave_bp")
    def leave_rate(self, group: Group) -> str:
        found = _health(group)
        return percent(found.leave_bp) if found else EMPTY

    @display(description=gettext_lazy("buyers in 30 days"), ordering="health__buyer_count")
    def buyers(self, group: Group) -> str:
        found = _health(group)
        return str(found.buyer_count) if found else EMPTY

    @display(description=gettext_lazy("spend per member and month"), ordering="health__spend_per_member_fen")
    def spend(self, group: Group) -> Any:
        found = _health(group)
        return money(found.spend_per_member_fen) if found else EMPTY

    @display(description=gettext_lazy("days without anything"), ordering="health__quiet_days")
    def quiet(self, group: Group) -> str:
        found = _health(group)
        return str(found.quiet_days) if found else EMPTY

    @display(description=gettext_lazy("days alive"), ordering="founded_at")
    def alive(self, group: Group) -> str:
        found = _health(group)
        return str(found.alive_days) if found else EMPTY

    # --- one group ---

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        group = self.get_object(request, unquote(object_id))
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, group):
            raise PermissionDenied
        days = health.days_of(group, since=timezone.localdate() - dt.timedelta(days=CHART_DAYS))
        names = [f"{row.day:%m-%d}" for row in days]
        series = [
            {"name": str(_("joined")), "type": "bar", "data": [row.joined_count for row in days]},
            {"name": str(_("left")), "type": "bar", "data": [-row.left_count for row in days]},
            {"name": str(_("customers")), "type": "line", "data": [row.customer_count for row in days]},
        ]
        charts = {"chart-people": {"names": names, "series": series}} if days else {}
        context = self.page_context(
            request, group, title=str(group), group=group, health=_health(group), status=self.status_label(group),
            owner=self.owner_link(group), charts=charts, routes=entries.of_group(group), days=days[::-1][:14],
            tags=[row.tag for row in group.tagged.select_related("tag").order_by("tag__name")],
            slots=group.slots.filter(way__store=group.store).select_related("way").order_by("pk"),
            items=group.plan_items.select_related("plan").order_by("-pk")[:10], may_act=self.has_right(request, Right.ACT),
            list_url=reverse("admin:campaigns_group_changelist"), stays_url=reverse("admin:campaigns_groupstay_changelist"),
        )  # fmt: skip
        return TemplateResponse(request, "admin/campaigns/group/page.html", context)

    # --- who is in several groups ---

    def duplicates_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        scope = org.scope_of(request.user)
        stores = org.visible(Store.objects.all(), scope)
        asked = request.GET.get("store", "")
        chosen = stores.filter(pk=asked).first() if asked.isdecimal() else None
        rows = health.duplicates(store_id=chosen.pk, limit=DUPLICATES_SHOWN) if chosen else []
        names = lists.visible_names(request, Member, (row["member_id"] for row in rows))
        counted = GroupHealth.objects.filter(group__dissolved_at=None, duplicate_count__gt=0, group__store__in=stores)
        by_store = counted.order_by().values("group__store", "group__store__name").annotate(n=Sum("duplicate_count"))
        context = self.page_context(
            request, None, title=_("Customers in several groups"), store=chosen, most=DUPLICATES_SHOWN,
            rows=[{**row, "member": names.get(row["member_id"])} for row in rows], by_store=by_store.order_by("-n")[:100],
            list_url=reverse("admin:campaigns_group_changelist"),
        )  # fmt: skip
        return TemplateResponse(request, "admin/campaigns/group/duplicates.html", context)

    def comparison_view(self, request: HttpRequest) -> HttpResponse:
        return groups_comparison.page(self, request)

    # --- many groups ---

    @admin.action(description=gettext_lazy("Tag the chosen groups"), permissions=["act"])
    def tag_chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._go_on(request, queryset, "admin:campaigns_group_tag")

    @admin.action(description=gettext_lazy("Plan for the chosen groups"), permissions=["act"])
    def plan_chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._go_on(request, queryset, "admin:campaigns_groupplan_new")

    def _go_on(self, request: HttpRequest, queryset: QuerySet[Any], name: str) -> HttpResponse | None:
        keys = list(queryset.order_by("pk").values_list("pk", flat=True)[: CHOSEN_AT_ONCE + 1])
        if len(keys) > CHOSEN_AT_ONCE:
            messages.warning(request, _("At most %(most)s groups at a time.") % {"most": CHOSEN_AT_ONCE})
            return None
        return HttpResponseRedirect(lists.with_query(reverse(name), groups=",".join(map(str, keys))))

    def tag_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_right(request, Right.ACT):
            raise PermissionDenied
        chosen = chosen_groups(request)
        form = lists.styled(TagForm(request.POST or None))
        if request.method == "POST" and form.is_valid():
            try:
                count = _tag(request, chosen, form.cleaned_data)
                messages.success(request, _("%(count)s groups have changed.") % {"count": count})
                return HttpResponseRedirect(reverse("admin:campaigns_group_changelist"))
            except RuleViolation as error:
                form.add_error("name", error.message)
        context = self.page_context(
            request, None, title=_("Tag %(count)s groups") % {"count": len(chosen)}, form=form, chosen=chosen,
            back=reverse("admin:campaigns_group_changelist"),
        )  # fmt: skip
        return TemplateResponse(request, "admin/campaigns/group/tag.html", context)


def chosen_groups(request: HttpRequest) -> list[Group]:
    """The groups that the address names, of those that the user may see."""
    keys = [key for key in request.GET.get("groups", "").split(",") if key.isdecimal()][:CHOSEN_AT_ONCE]
    rows = org.visible(Group.objects.filter(pk__in=keys), org.scope_of(request.user))
    return list(rows.select_related("store", "owner", "corp").order_by("pk"))


def _tag(request: HttpRequest, chosen: list[Group], data: dict[str, Any]) -> int:
    if not data["is_taken"]:
        return group_tags.give(groups=chosen, name=data["name"], actor=request.user)
    tag = GroupTag.objects.filter(name=data["name"].strip()).first()
    if tag is None:
        raise group_tags.BadGroupTag(_("There is no such tag of groups."))
    return group_tags.take(groups=chosen, tag=tag, actor=request.user)


def _health(group: Group) -> GroupHealth | None:
    """Read with the page's rows; a group that was not counted yet has none."""
    return getattr(group, "health", None)


@admin.register(GroupSettings)
class GroupSettingsAdmin(ScopedAdmin):
    """The limits: seen by HQ, changed by who may change, each change an act; they hold from the next count on."""

    change_right: ClassVar[Right | None] = Right.CHANGE
    list_display = ("brand", "capacity", "least_count", "leave_rate_bp", "silent_days", "updated_at")
    list_select_related = ("brand",)
    fields = (
        "brand", ("capacity", "full_bp"), ("least_count", "grace_days"), ("leave_rate_bp", "silent_days"), "updated_at",
    )  # fmt: skip
    readonly_fields = ("brand", "updated_at")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        health.settings_of_brand()  # so that there is something to change
        return super().changelist_view(request, extra_context)


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
