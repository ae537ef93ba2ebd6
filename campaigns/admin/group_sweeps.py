"""Reading all groups again in the console (客户群核对): how far it is, what it has found, and starting one now."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from campaigns.communities import listing
from campaigns.models import Group, GroupSweep
from scrm.admin import words
from scrm.admin.bases import ReadOnlyAdmin
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, QUIET, display, link, state
from scrm.errors import RuleViolation
from scrm.models import Corp, Job
from scrm.org import Right

words.register({"group.read_all": gettext_lazy("had all customer groups read again")})
COLOURS = {
    Job.Status.QUEUED: BUSY, Job.Status.RUNNING: BUSY, Job.Status.DONE: GOOD, Job.Status.FAILED: BAD, Job.Status.CANCELLED: QUIET,
}  # fmt: skip


@admin.register(GroupSweep)
class GroupSweepAdmin(ReadOnlyAdmin):
    change_list_template = "admin/campaigns/groupsweep/list.html"
    list_display = (
        "number", "corp", "status_label", "progress", "listed_count", "new_count", "missing_count", "unseen_count", "started_at", "ended_at",
    )  # fmt: skip
    list_select_related = ("corp", "job")
    ordering = ("-pk",)
    fields = (
        "corp", "status_label", "problem", "progress", "job_link", "listed_count", "new_count", "missing_count", "unseen_count",
        "started_at", "ended_at",
    )  # fmt: skip

    def get_urls(self) -> list[Any]:
        start = self.admin_site.admin_view(require_POST(self.start_view))
        return [path("start/", start, name="campaigns_groupsweep_start"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        open_ones = GroupSweep.objects.filter(job__status__in=(Job.Status.QUEUED, Job.Status.RUNNING))
        sweeps = [(sweep, _share(sweep.job)) for sweep in open_ones.select_related("corp", "job").order_by("pk")]
        unread = Group.objects.filter(dissolved_at=None, due_at__isnull=False).count()
        more = {
            "sweeps": sweeps, "unread": unread, "is_live": bool(sweeps or unread), "corps": Corp.objects.order_by("pk"),
            "may_start": self.has_right(request, Right.ACT),
        }  # fmt: skip
        return super().changelist_view(request, {**(extra_context or {}), **more})

    def start_view(self, request: HttpRequest) -> HttpResponse:
        if not (self.has_right(request, Right.ACT) and self.has_view_permission(request)):
            raise PermissionDenied
        number = request.POST.get("corp", "")
        corp = get_object_or_404(Corp, pk=int(number) if number.isdecimal() and len(number) < 19 else 0)
        try:
            listing.start_by_hand(corp=corp, actor=request.user)
            messages.success(request, _("All groups are being read again."))
        except RuleViolation as error:
            messages.warning(request, error.message)
        return HttpResponseRedirect(reverse("admin:campaigns_groupsweep_changelist"))

    @display(description="#")
    def number(self, sweep: GroupSweep) -> str:
        return str(sweep.pk)

    @display(description=gettext_lazy("state"), label=COLOURS)
    def status_label(self, sweep: GroupSweep) -> Any:
        return state(sweep.job.status, sweep.job.get_status_display())

    @display(description=gettext_lazy("owners asked for"))
    def progress(self, sweep: GroupSweep) -> str:
        job = sweep.job
        return EMPTY if job.total_count is None else f"{job.done_count:,} / {job.total_count:,}"

    @display(description=gettext_lazy("problem"))
    def problem(self, sweep: GroupSweep) -> str:
        return sweep.job.error or EMPTY

    @display(description=gettext_lazy("job"))
    def job_link(self, sweep: GroupSweep) -> SafeString | str:
        return link("scrm_job", sweep.job_id, f"#{sweep.job_id}")


def _share(job: Job) -> int:
    return min(100, job.done_count * 100 // job.total_count) if job.total_count else 0
