"""Moments in the console: planned with their reasons, agreed to, watched by region, store and guide; and the assessment."""

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
from unfold.widgets import UnfoldAdminSelect2MultipleWidget

from campaigns import moments
from campaigns.admin.planned import OPEN, UNDER, PlannedAdmin, level_of, this_minute
from campaigns.models import Content, Moment, MomentPost
from campaigns.models.content import usable
from campaigns.moments import planning
from scrm import org
from scrm.admin import lists, words
from scrm.admin.bases import ReadOnlyAdmin, object_act
from scrm.admin.shown import BAD, BUSY, GOOD, NEW, display, state
from scrm.models import Corp, LegalEntity, Region, Store
from scrm.org import Right

words.register(
    {
        "moment.draft": gettext_lazy("planned a moment"),
        "moment.plan": gettext_lazy("planning a moment"),
        "moment.submit": gettext_lazy("asked for a moment"),
        "moment.approve": gettext_lazy("approved a moment"),
        "moment.cancel": gettext_lazy("cancelled a moment"),
        "campaigns.moment": gettext_lazy("moment of HQ"),
        "campaigns.moment_cancel": gettext_lazy("taking back a moment"),
        "summary.guides": gettext_lazy("guides"),
    }
)
Status = Moment.Status
STATUS_COLOURS = {
    Status.PLANNING: BUSY, Status.PLANNED: NEW, Status.ASKED: NEW, Status.MAKING: BUSY, Status.OUT: BUSY, Status.ENDED: GOOD,
    Status.FAILED: BAD, Status.CANCELLED: BAD,
}  # fmt: skip
POST_COLOURS = {
    MomentPost.State.EXCLUDED: BAD, MomentPost.State.PLANNED: NEW, MomentPost.State.PUBLISHED: GOOD, MomentPost.State.LEFT: BAD,
}  # fmt: skip
DAYS = (7, 30, 90)


class MomentForm(forms.Form):
    corp = forms.ModelChoiceField(Corp.objects.none(), label=gettext_lazy("WeCom corp"))
    name = forms.CharField(label=gettext_lazy("name"), max_length=64)
    text = forms.CharField(
        label=gettext_lazy("text"), widget=forms.Textarea, required=False,
        help_text=gettext_lazy("At most 2,000 characters and 4,000 bytes."),
    )  # fmt: skip
    materials = forms.ModelMultipleChoiceField(
        Content.objects.none(), label=gettext_lazy("materials"), required=False,
        help_text=gettext_lazy("Up to nine pictures, or one video, or one link."),
    )  # fmt: skip
    due_at = forms.DateTimeField(label=gettext_lazy("to be posted at"))
    region = forms.ModelChoiceField(
        Region.objects.none(), label=gettext_lazy("for region"), required=False,
        help_text=gettext_lazy("Region, legal entity and store empty: all guides."),
    )  # fmt: skip
    entity = forms.ModelChoiceField(LegalEntity.objects.none(), label=gettext_lazy("for legal entity"), required=False)
    store = forms.ModelChoiceField(Store.objects.none(), label=gettext_lazy("for store"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        corps = Corp.objects.order_by("pk")
        fields["corp"].queryset, fields["corp"].initial = corps, corps[:1].first()
        shown = Content.objects.filter(usable(timezone.now()), version_no__gt=0, kind__in=list(planning.KINDS))
        fields["materials"].queryset = shown.order_by("kind", "-pk")
        fields["materials"].label_from_instance = lambda row: f"{row.get_kind_display()} · {row.name}"
        for name, model in (("region", Region), ("entity", LegalEntity), ("store", Store)):
            fields[name].queryset = model.objects.order_by("code")
        lists.styled(self)
        fields["materials"].widget = UnfoldAdminSelect2MultipleWidget(choices=fields["materials"].choices)


@object_act(
    gettext_lazy("Post"), right=Right.CHANGE, icon="send", offered=lambda row: row.status == Status.PLANNED and row.guide_count > 0,
    warning=lambda row: _("%(guides)s guides are asked to publish it to %(friends)s friends. From %(limit)s friends on somebody else has to approve first.") % {
        "guides": f"{row.guide_count:,}", "friends": f"{row.friend_count:,}", "limit": moments.FOUR_EYES_FROM,
    },
)  # fmt: skip
def submit(self: Any, request: HttpRequest, row: Moment, data: dict[str, Any]) -> str:
    found = moments.submit(moment=row, actor=request.user, now=timezone.now())
    return (
        _("Somebody else has to approve it now.")
        if found.status == Status.ASKED
        else _("It goes to the guides in time.")
    )


@object_act(
    gettext_lazy("Approve"), right=Right.CHANGE, icon="verified", offered=lambda row: row.status == Status.ASKED,
    asker=lambda row: row.requested_by_id,
    warning=lambda row: _("You agree that %(guides)s guides publish “%(name)s”.") % {"name": row.name, "guides": f"{row.guide_count:,}"},
)  # fmt: skip
def approve(self: Any, request: HttpRequest, row: Moment, data: dict[str, Any]) -> str:
    moments.approve(moment=row, actor=request.user, now=timezone.now())
    return _("Approved: it goes to the guides in time.")


@object_act(
    gettext_lazy("Cancel"), right=Right.CHANGE, icon="cancel",
    offered=lambda row: row.status in (Status.PLANNING, Status.PLANNED, Status.ASKED, Status.MAKING, Status.OUT),
    warning=gettext_lazy("What is not published is taken back from the guides. What is published stays."),
)  # fmt: skip
def cancel(self: Any, request: HttpRequest, row: Moment, data: dict[str, Any]) -> str:
    moments.cancel(moment=row, actor=request.user, now=timezone.now())
    return _("It is being taken back.")


@admin.register(Moment)
class MomentAdmin(PlannedAdmin):
    acts = (submit, approve, cancel)
    list_display = ("name", "status_label", "due_at", "guide_count", "friend_count", "requested_by", "created_at")
    wide_columns = ("guide_count", "friend_count")
    new_template = "admin/campaigns/moment/new.html"
    change_list_template = "admin/campaigns/moment/list.html"

    def get_urls(self) -> list[Any]:
        new = path("new/", self.admin_site.admin_view(self.new_view), name="campaigns_moment_new")
        assessed = path(
            "assessment/", self.admin_site.admin_view(self.assessment_view), name="campaigns_moment_assessment"
        )
        return [new, assessed, *super().get_urls()]

    @display(description=gettext_lazy("state"), label=STATUS_COLOURS)
    def status_label(self, row: Moment) -> Any:
        return state(row.status, row.get_status_display())

    def new_view(self, request: HttpRequest) -> HttpResponse:
        form = MomentForm(request.POST or None, initial={"due_at": this_minute()})
        return self.plan_page(
            request, form, lambda: moments.draft(actor=request.user, **form.cleaned_data), title=_("New moment"),
            back=reverse("admin:campaigns_moment_changelist"), most=moments.MOST_A_MONTH,
        )  # fmt: skip

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row: Moment = self.get_object(request, object_id)
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, row):
            raise PermissionDenied
        scope, (level, within) = org.scope_of(request.user), level_of(request)
        is_busy = row.job is not None and row.job.status in OPEN
        context = self.page_context(
            request, row, title=row.name, moment=row, buttons=self.acts_for(request, row), job=row.job, is_busy=is_busy,
            is_live=is_busy or row.status in (Status.MAKING, Status.OUT), is_everything=scope.is_everything, level=level,
            list_url=reverse("admin:campaigns_moment_changelist"), under=UNDER.get(level, ""), problem=row.error_code,
            materials=[version.content for version, _kind in planning.versions_of(row)],
            left_out=moments.left_out(moment=row, scope=scope), total=moments.totals(moment=row, scope=scope),
            lines=moments.execution(moment=row, level=level, scope=scope, within=within), most=moments.MOST_A_MONTH,
        )  # fmt: skip
        return TemplateResponse(request, "admin/campaigns/moment/page.html", context)

    def assessment_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        asked = request.GET.get("days", "")
        days = int(asked) if asked in {str(one) for one in DAYS} else DAYS[1]
        (level, within), now = level_of(request), timezone.now()
        lines = moments.assess(
            since=now - dt.timedelta(days=days), until=now, level=level, scope=org.scope_of(request.user), within=within
        )
        context = self.page_context(
            request, None, title=_("Assessment of moments"), lines=lines, level=level, within=within, under=UNDER.get(level, ""), days=days,
            choices=DAYS, list_url=reverse("admin:campaigns_moment_changelist"), posts_url=reverse("admin:campaigns_momentpost_changelist"),
        )  # fmt: skip
        return TemplateResponse(request, "admin/campaigns/moment/assessment.html", context)


@admin.register(MomentPost)
class MomentPostAdmin(ReadOnlyAdmin):
    list_display = (
        "guide", "store", "whose", "state_label", "posted_at", "audience_count", "like_count", "comment_count",
    )  # fmt: skip
    list_select_related = ("guide", "store", "moment")
    list_filter = (("state", lists.ChoicesDropdownFilter),)
    search_fields = ("=guide__code", "=guide__name")
    ordering = ("-pk",)
    fields = (
        "guide", "store", "whose", "text", "state_label", "reason", "at", "posted_at", "audience_count", "like_count", "comment_count",
    )  # fmt: skip

    @display(description=gettext_lazy("moment"))
    def whose(self, row: MomentPost) -> str:
        return row.moment.name if row.moment else _("her own: %(text)s") % {"text": row.text[:24] or "…"}

    @display(description=gettext_lazy("state"), label=POST_COLOURS)
    def state_label(self, row: MomentPost) -> Any:
        return state(row.state, row.get_state_display())
