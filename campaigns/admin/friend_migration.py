"""Migration of customers in the console: drives with their targets, and the funnel by region, store and guide."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import TabularInline

from campaigns import friend_migration
from campaigns.admin.planned import OPEN, UNDER, level_of
from campaigns.models import FriendMigration, FriendMigrationTarget
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import ScopedAdmin, object_act
from scrm.admin.shown import BUSY, GOOD, QUIET, display, state
from scrm.models import Job
from scrm.org import Right

words.register(
    {
        "migration.start": gettext_lazy("started a migration of customers"),
        "migration.end": gettext_lazy("ended a migration of customers"),
        "make_migration_codes": gettext_lazy("codes of a migration"),
        "follow_migration": gettext_lazy("following a migration"),
        "follow migration": gettext_lazy("following a migration"),
        "import_personal_contacts": gettext_lazy("personal contacts of guides"),
        "summary.listed": gettext_lazy("newly listed"),
        "summary.actions": gettext_lazy("actions given"),
    }
)
Status = FriendMigration.Status
CONTENT = ("brand", "corp", "name", "invite_text", "starts_on", "ends_on", "kept_days", "remind_days")


def _preview(row: FriendMigration) -> str:
    found = friend_migration.drives.preview(row)
    return _(
        "%(guides)s guides get a code of their own for it (%(left)s codes are left of WeCom's quota); %(without)s guides without a WeCom"
        " account stay out. Nothing is sent to customers. A drive that runs is not changed any more."
    ) % {"guides": f"{found.guide_count:,}", "left": f"{found.quota_left:,}", "without": f"{found.without_account:,}"}


@object_act(
    gettext_lazy("Start"),
    right=Right.CHANGE,
    icon="play_arrow",
    offered=lambda row: row.status == Status.DRAFT,
    warning=_preview,
)
def start(self: Any, request: HttpRequest, row: FriendMigration, data: dict[str, Any]) -> str:
    friend_migration.drives.start(drive=row, actor=request.user, now=timezone.now())
    return _("It runs; the codes are being made.")


@object_act(
    gettext_lazy("End now"), right=Right.CHANGE, icon="stop_circle", offered=lambda row: row.status == Status.RUNNING,
    warning=gettext_lazy("Nobody is listed or reminded any more. The codes go on working, and who adds a guide by one is still counted."),
)  # fmt: skip
def end(self: Any, request: HttpRequest, row: FriendMigration, data: dict[str, Any]) -> str:
    friend_migration.drives.end(drive=row, actor=request.user, now=timezone.now())
    return _("It has ended.")


class TargetInline(TabularInline):
    model = FriendMigrationTarget
    extra = 1

    def _may(self, request: HttpRequest, obj: Any) -> bool:
        return org.may(request.user, Right.CHANGE) and (obj is None or obj.status != Status.ENDED)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)


@admin.register(FriendMigration)
class FriendMigrationAdmin(ScopedAdmin):
    add_right = Right.CHANGE
    change_right = Right.CHANGE
    acts = (start, end)
    inlines = (TargetInline,)
    list_display = ("name", "status_label", "starts_on", "ends_on", "author", "started_at")
    list_select_related = ("author",)
    list_filter = (("status", lists.ChoicesDropdownFilter),)
    ordering = ("-pk",)
    change_form_template = "admin/campaigns/friendmigration/form.html"
    fields = (
        ("brand", "corp"),
        ("name", "status_label"),
        "invite_text",
        ("starts_on", "ends_on"),
        ("kept_days", "remind_days"),
        ("author", "started_at", "ended_at"),
    )
    always_readonly = ("status_label", "author", "started_at", "ended_at")

    def get_urls(self) -> list[Any]:
        figures = path(
            "<path:object_id>/figures/",
            self.admin_site.admin_view(self.figures_view),
            name="campaigns_friendmigration_figures",
        )
        return [figures, *super().get_urls()]

    def figures_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: FriendMigration = self.get_object(request, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        scope, (level, within), found = org.scope_of(request.user), level_of(request), friend_migration.figures
        making = Job.objects.filter(key=f"{friend_migration.drives.KIND} {row.pk}", status__in=OPEN)
        context = self.page_context(
            request, row, title=row.name, level=level, within=within, under=UNDER.get(level, ""), back=self.url_of(row),
            total=found.total(drive=row, scope=scope), target=found.target_bp(row, timezone.localdate()), is_busy=making.exists(),
            lines=found.lines(drive=row, level=level, scope=scope, within=within),
        )  # fmt: skip
        return TemplateResponse(request, "admin/campaigns/friendmigration/figures.html", context)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        is_open = obj is None or (obj.status == Status.DRAFT and org.may(request.user, Right.CHANGE))
        return self.always_readonly if is_open else (*self.always_readonly, *CONTENT)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.author = request.user
        super().save_model(request, obj, form, change)

    @display(description=gettext_lazy("state"), label={Status.DRAFT: BUSY, Status.RUNNING: GOOD, Status.ENDED: QUIET})
    def status_label(self, row: FriendMigration) -> Any:
        return state(row.status, row.get_status_display())
