"""Group notices in the console (群公告): previewed, given to the owners, watched down to the group."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelect2MultipleWidget

from campaigns.admin import group_board, picking
from campaigns.admin.planned import PlannedAdmin, level_of
from campaigns.communities import notices
from campaigns.models import GroupNotice
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import object_act
from scrm.admin.shown import BUSY, NEW, QUIET, display, state
from scrm.models import Corp
from scrm.org import Right

words.register(
    {
        "group_notice.draft": gettext_lazy("drafted a group notice"),
        "group_notice.give": gettext_lazy("gave a group notice to the owners"),
        "group_notice.cancel": gettext_lazy("took a group notice back"),
    }
)
COLOURS = {GroupNotice.Status.DRAFT: NEW, GroupNotice.Status.OUT: BUSY, GroupNotice.Status.CANCELLED: QUIET}
LEVELS = ("region", "store", "group")
UNDER = {"region": "store", "store": "group"}


class NoticeForm(picking.PickForm):
    corp = forms.ModelChoiceField(Corp.objects.none(), label=gettext_lazy("WeCom corp"))
    name = forms.CharField(label=gettext_lazy("name"), max_length=40)
    text = forms.CharField(
        label=gettext_lazy("text of the notice"), widget=forms.Textarea, strip=False, max_length=notices.TEXT_CHARS,
        help_text=gettext_lazy("The owner copies it and pastes it into the notice of her group."),
    )  # fmt: skip
    hours = forms.IntegerField(label=gettext_lazy("to be done within hours"), min_value=1, max_value=720, initial=24)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        corps = Corp.objects.order_by("pk")
        self.fields["corp"].queryset = corps  # type: ignore[attr-defined]
        self.fields["corp"].initial = corps[:1].first()
        self.choose()
        lists.styled(self)
        regions = self.fields["regions"]
        regions.widget = UnfoldAdminSelect2MultipleWidget(choices=regions.choices)  # type: ignore[attr-defined]
        self.order_fields(["corp", "name", "text", "hours", *picking.ORDER])

    @property
    def asked(self) -> dict[str, Any]:
        return {**{name: self.cleaned_data[name] for name in ("corp", "name", "text", "hours")}, "groups": self.wish}


@object_act(
    gettext_lazy("Give to the owners"), right=Right.CHANGE, icon="campaign", offered=lambda row: row.status == GroupNotice.Status.DRAFT,
    warning=gettext_lazy("Each owner is asked to set the notice of her group; WeCom lets nobody else do it."),
)  # fmt: skip
def give(self: Any, request: HttpRequest, row: GroupNotice, data: dict[str, Any]) -> str:
    count = notices.give(notice=row, actor=request.user, now=timezone.now())
    return _("The owners of %(count)s groups are asked.") % {"count": f"{count:,}"}


@object_act(
    gettext_lazy("Take back"), right=Right.CHANGE, icon="cancel", offered=lambda row: row.status != GroupNotice.Status.CANCELLED,
    warning=gettext_lazy("Who has not set it yet is not asked any more. What stands in a group stays."),
)  # fmt: skip
def take_back(self: Any, request: HttpRequest, row: GroupNotice, data: dict[str, Any]) -> str:
    count = notices.cancel(notice=row, actor=request.user, now=timezone.now())
    return _("%(count)s owners are not asked any more.") % {"count": f"{count:,}"}


@admin.register(GroupNotice)
class GroupNoticeAdmin(PlannedAdmin):
    acts = (give, take_back)
    list_display = ("name", "status_label", "given_at", "due_at", "made_by", "created_at")
    list_select_related = ("made_by",)
    new_template = "admin/campaigns/groupnotice/new.html"
    change_list_template = "admin/campaigns/groupnotice/list.html"

    def get_urls(self) -> list[Any]:
        new = path("new/", self.admin_site.admin_view(self.new_view), name="campaigns_groupnotice_new")
        board = path("board/", self.admin_site.admin_view(group_board.page), name="campaigns_group_board")
        return [new, board, *super().get_urls()]

    @display(description=gettext_lazy("state"), label=COLOURS)
    def status_label(self, row: GroupNotice) -> Any:
        return state(row.status, row.get_status_display())

    def new_view(self, request: HttpRequest) -> HttpResponse:
        form = NoticeForm(request.POST or None, request.FILES or None)
        return self.plan_page(
            request, form, lambda: notices.draft(actor=request.user, now=timezone.now(), **form.asked), title=_("New group notice"),
            back=reverse("admin:campaigns_groupnotice_changelist"),
        )  # fmt: skip

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row: GroupNotice = self.get_object(request, object_id)
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, row):
            raise PermissionDenied
        scope, (level, within) = org.scope_of(request.user), level_of(request, LEVELS)
        is_of_groups = level == "group"
        context = self.page_context(
            request, row, title=row.name, notice=row, buttons=self.acts_for(request, row), level=level, under=UNDER.get(level, ""),
            list_url=reverse("admin:campaigns_groupnotice_changelist"), is_everything=scope.is_everything,
            left_out=notices.left_out(notice=row) if scope.is_everything else [],
            lines=[] if is_of_groups else notices.execution(notice=row, level=level, scope=scope, within=within),
            groups=notices.groups_of(notice=row, scope=scope, store_id=within) if is_of_groups else [],
        )  # fmt: skip
        return TemplateResponse(request, "admin/campaigns/groupnotice/page.html", context)
