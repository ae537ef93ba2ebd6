"""Jobs, uploads and acts in the console."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from scrm import jobs
from scrm.admin import lists
from scrm.admin.bases import BigReadOnlyAdmin, ReadOnlyAdmin, ReadOnlyInline, object_act
from scrm.admin.shown import BAD, BUSY, EMPTY, GOOD, QUIET, display, state
from scrm.admin.words import column_text, kind_text, problem_text, stage_text, target_text, verb_text
from scrm.models import Act, Job, JobProblem, Upload
from scrm.org import Right

STATUS_COLOURS = {
    Job.Status.QUEUED: QUIET,
    Job.Status.RUNNING: BUSY,
    Job.Status.DONE: GOOD,
    Job.Status.FAILED: BAD,
    Job.Status.CANCELLED: QUIET,
}
OPEN = (Job.Status.QUEUED, Job.Status.RUNNING)


@object_act(
    gettext_lazy("Cancel"), right=Right.ACT, icon="cancel", offered=lambda job: job.status in OPEN,
    warning=gettext_lazy("What is already written stays; the job stops at its next step."),
)  # fmt: skip
def cancel(self: Any, request: HttpRequest, job: Job, data: dict[str, Any]) -> str:
    return _("The job stops.") if jobs.cancel(job=job, actor=request.user) else _("The job had already ended.")


class ProblemInline(ReadOnlyInline):
    model = JobProblem
    fields = ("line_no", "column_label", "reason")
    readonly_fields = fields
    ordering = ("line_no",)
    per_page = 20

    @display(description=gettext_lazy("column"))
    def column_label(self, problem: JobProblem) -> str:
        return column_text(problem.column) or EMPTY

    @display(description=gettext_lazy("reason"))
    def reason(self, problem: JobProblem) -> str:
        return problem_text(problem.code)


@admin.register(Job)
class JobAdmin(BigReadOnlyAdmin):
    acts = (cancel,)
    inlines = (ProblemInline,)
    list_display = ("number", "kind_label", "status_label", "progress", "requested_by", "created_at", "ended_at")
    list_select_related = ("requested_by",)
    list_filter = (("status", lists.ChoicesDropdownFilter), ("created_at", lists.DayFilter))
    fields = (
        "kind_label", "status_label", "progress", "upload", "requested_by", "created_at", "started_at", "ended_at",
        "summary_text", "error",
    )  # fmt: skip

    @display(description="#")
    def number(self, job: Job) -> str:
        return str(job.pk)

    @display(description=gettext_lazy("kind"))
    def kind_label(self, job: Job) -> str:
        return kind_text(job.kind)

    @display(description=gettext_lazy("state"), label=STATUS_COLOURS)
    def status_label(self, job: Job) -> Any:
        return state(job.status, job.get_status_display())

    @display(description=gettext_lazy("progress"))
    def progress(self, job: Job) -> SafeString | str:
        if job.status == Job.Status.DONE:
            return _("finished")
        if not job.total_count:
            return stage_text(job.stage) or EMPTY
        share = min(100, 100 * job.done_count // job.total_count)
        return format_html("{} {}%", stage_text(job.stage), share)

    @display(description=gettext_lazy("summary"))
    def summary_text(self, job: Job) -> SafeString | str:
        if not job.summary:
            return EMPTY
        return format_html('<pre class="scrm-pre">{}</pre>', json.dumps(job.summary, ensure_ascii=False, indent=1))


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin):
    list_display = ("name", "purpose_label", "size_text", "uploaded_by", "uploaded_at", "expires_at")
    list_select_related = ("uploaded_by",)
    list_filter = (("uploaded_at", lists.DayFilter),)
    ordering = ("-pk",)
    fields = ("name", "purpose_label", "size_text", "sha256", "uploaded_by", "uploaded_at", "expires_at")

    @display(description=gettext_lazy("purpose"))
    def purpose_label(self, upload: Upload) -> str:
        return kind_text(upload.purpose)

    @display(description=gettext_lazy("size"))
    def size_text(self, upload: Upload) -> str:
        return f"{upload.size / 2**20:,.1f} MB" if upload.size >= 2**20 else f"{upload.size / 1024:,.1f} KB"


@admin.register(Act)
class ActAdmin(BigReadOnlyAdmin):
    list_display = ("at", "actor_name", "what", "target", "reason")
    list_select_related = ("actor",)
    list_filter = (("actor", lists.ScopedFilter), ("at", lists.DayFilter))
    fields = ("at", "actor_name", "what", "target", "reason", "details")

    @display(description=gettext_lazy("actor"))
    def actor_name(self, act: Act) -> str:
        return str(act.actor) if act.actor_id else _("the system")

    @display(description=gettext_lazy("act"))
    def what(self, act: Act) -> str:
        return verb_text(act.verb)

    @display(description=gettext_lazy("target"))
    def target(self, act: Act) -> str:
        return target_text(act.target_type, act.target_id)

    @display(description=gettext_lazy("details"))
    def details(self, act: Act) -> SafeString | str:
        return format_html('<pre class="scrm-pre">{}</pre>', json.dumps(act.data, ensure_ascii=False, indent=1))
