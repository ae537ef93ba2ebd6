"""Invitations into groups in the console: planned with their reasons, given out, and who has come."""

from __future__ import annotations

import datetime as dt
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

from campaigns.admin.planned import OPEN, PlannedAdmin, this_minute
from campaigns.communities import invitations
from campaigns.models import GroupInvitation, Invitee
from members.models import AudienceSnapshot
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import object_act
from scrm.admin.shown import BAD, BUSY, GOOD, NEW, display, state
from scrm.models import Corp
from scrm.org import Right

words.register(
    {
        invitations.KIND: gettext_lazy("planning an invitation into groups"),
        "group_invitation.draft": gettext_lazy("planned an invitation into groups"),
        "group_invitation.give_out": gettext_lazy("gave an invitation out to guides"),
        "group_invitation.cancel": gettext_lazy("cancelled an invitation into groups"),
    }
)
Status = GroupInvitation.Status
COLOURS = {Status.PLANNING: BUSY, Status.PLANNED: NEW, Status.OUT: BUSY, Status.ENDED: GOOD, Status.CANCELLED: BAD}
GUIDES_SHOWN = 300


class InvitationForm(forms.Form):
    corp = forms.ModelChoiceField(Corp.objects.none(), label=gettext_lazy("WeCom corp"))
    name = forms.CharField(label=gettext_lazy("name"), max_length=64)
    snapshot = forms.ModelChoiceField(
        AudienceSnapshot.objects.none(), label=gettext_lazy("audience"),
        help_text=gettext_lazy("Frozen audiences only; the newest first."),
    )  # fmt: skip
    text = forms.CharField(
        label=gettext_lazy("what to say"), max_length=500, widget=forms.Textarea(attrs={"rows": 4}),
        help_text=gettext_lazy("May hold {客户称呼} {导购姓名} {门店名称}. The code of the store goes with it."),
    )  # fmt: skip
    starts_at = forms.DateTimeField(label=gettext_lazy("from"))
    ends_at = forms.DateTimeField(label=gettext_lazy("until"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        corps = Corp.objects.order_by("pk")
        fields["corp"].queryset, fields["corp"].initial = corps, corps[:1].first()
        ready = AudienceSnapshot.objects.filter(status=AudienceSnapshot.Status.READY)
        fields["snapshot"].queryset = ready.select_related("version__audience").order_by("-pk")
        lists.styled(self)


@object_act(
    gettext_lazy("Give it to the guides"), right=Right.CHANGE, icon="send", offered=lambda row: row.status == Status.PLANNED,
    warning=lambda row: _("%(count)s members come into the lists of their guides.") % {"count": f"{row.invited_count:,}"},
)  # fmt: skip
def give_out(self: Any, request: HttpRequest, row: GroupInvitation, data: dict[str, Any]) -> str:
    invitations.give_out(invitation=row, actor=request.user, now=timezone.now())
    return _("The guides have it in their lists.")


@object_act(
    gettext_lazy("Cancel"), right=Right.CHANGE, icon="cancel",
    offered=lambda row: row.status in (Status.PLANNING, Status.PLANNED, Status.OUT),
    warning=gettext_lazy("Nobody is invited any more. Who has been invited or has joined stays counted."),
)  # fmt: skip
def cancel(self: Any, request: HttpRequest, row: GroupInvitation, data: dict[str, Any]) -> str:
    invitations.cancel(invitation=row, actor=request.user, now=timezone.now())
    return _("The invitation is cancelled.")


@admin.register(GroupInvitation)
class GroupInvitationAdmin(PlannedAdmin):
    acts = (give_out, cancel)
    list_display = ("name", "status_label", "starts_at", "ends_at", "audience_count", "invited_count", "joined_count")
    wide_columns = ("audience_count", "invited_count", "joined_count")
    new_template = "admin/campaigns/groupinvitation/new.html"
    change_list_template = "admin/campaigns/groupinvitation/list.html"

    def get_urls(self) -> list[Any]:
        new = path("new/", self.admin_site.admin_view(self.new_view), name="campaigns_groupinvitation_new")
        return [new, *super().get_urls()]

    @display(description=gettext_lazy("state"), label=COLOURS)
    def status_label(self, row: GroupInvitation) -> Any:
        return state(row.status, row.get_status_display())

    def new_view(self, request: HttpRequest) -> HttpResponse:
        now = this_minute()
        form = InvitationForm(request.POST or None, initial={"starts_at": now, "ends_at": now + dt.timedelta(days=7)})
        return self.plan_page(
            request, form, lambda: invitations.draft(actor=request.user, **form.cleaned_data), title=_("New invitation into groups"),
            back=reverse("admin:campaigns_groupinvitation_changelist"),
        )  # fmt: skip

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row: GroupInvitation = self.get_object(request, object_id)
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, row):
            raise PermissionDenied
        scope = org.scope_of(request.user)
        mine = org.scope_q(Invitee, scope)
        lines = invitations.by_guide(invitation=row, scope_q=mine, limit=GUIDES_SHOWN)
        is_busy = row.job is not None and row.job.status in OPEN
        context = self.page_context(
            request, row, title=row.name, invitation=row, job=row.job, is_busy=is_busy, buttons=self.acts_for(request, row),
            left_out=invitations.left_out(invitation=row, scope_q=mine), lines=lines, is_everything=scope.is_everything,
            total={name: sum(line[name] for line in lines) for name in ("planned", "sent", "joined", "by_way")}, most=GUIDES_SHOWN,
            list_url=reverse("admin:campaigns_groupinvitation_changelist"),
        )  # fmt: skip
        return TemplateResponse(request, "admin/campaigns/groupinvitation/page.html", context)
