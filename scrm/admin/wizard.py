"""The import wizard: upload, columns, a dry run to look at, the real run, what came of it.

Everything between the steps stands in rows (upload, job): a closed browser loses nothing, and the pages work without
script. Imports write across all stores, so they are HQ's.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from scrm import copyin, crypto, imports, jobs, org, uploads
from scrm.admin import lists
from scrm.admin.words import kind_text, stage_text
from scrm.errors import RuleViolation
from scrm.models import Job, Upload
from scrm.money import yuan
from scrm.org import Right

ORDER = (
    "import_stores",
    "import_guides",
    "import_members",
    "import_orders",
    "import_refunds",
    "import_tags",
    "import_personal_contacts",
)
SAMPLE_ROWS = 3
PROBLEMS_SHOWN = 20
RUNS_SHOWN = 30
OPEN = (Job.Status.QUEUED, Job.Status.RUNNING)
STEPS = (
    gettext_lazy("File"),
    gettext_lazy("Columns"),
    gettext_lazy("Trial run"),
    gettext_lazy("Import"),
    gettext_lazy("Result"),
)
# options that an import takes besides the file: kind → (parameter, label)
OPTIONS: dict[str, tuple[tuple[str, Any], ...]] = {
    "import_members": (("create_tiers", gettext_lazy("Create tiers that do not exist yet")),),
}
# figures of a summary that are no counts of rows
NOT_COUNTED = {"dry_run", "rows", "good", "bad", "problems", "ignored_columns", "is_unchanged"}
RESULTS = {
    "import_stores": "scrm_store",
    "import_guides": "guides_guide",
    "import_members": "members_member",
    "import_orders": "attribution_decision",
    "import_refunds": "members_refund",
    "import_tags": "members_tag",
    "import_personal_contacts": "campaigns_friendmigration",
}


class UploadForm(forms.Form):
    kind = forms.ChoiceField(label=gettext_lazy("What is in the file?"), widget=forms.RadioSelect)
    file = forms.FileField(
        label=gettext_lazy("File"),
        widget=lists.FileWidget(attrs={"accept": ".csv,.tsv,.txt,.xlsx,.gz", "id": "id_file"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kind: Any = self.fields["kind"]
        kind.choices = [(code, kind_text(code)) for code in kinds()]


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("What do you need the file for?"), min_length=uploads.SHORTEST_REASON, max_length=200
    )


def kinds() -> list[str]:
    """In the order in which a company brings its lists."""
    return sorted(imports.kinds(), key=lambda kind: ORDER.index(kind) if kind in ORDER else len(ORDER))


def urls(site: Any) -> list[Any]:
    def page(route: str, view: Any, name: str) -> Any:
        return path(f"imports/{route}", site.admin_view(_for_importers(view)), name=name)

    return [
        page("", overview, "imports"),
        page("new/", start, "import_start"),
        page("<int:upload_id>/columns/", columns, "import_columns"),
        page("jobs/<int:job_id>/", progress, "import_job"),
        page("jobs/<int:job_id>/state/", state, "import_state"),
        page("jobs/<int:job_id>/run/", require_POST(run), "import_run"),
        page("jobs/<int:job_id>/cancel/", require_POST(cancel), "import_cancel"),
        page("jobs/<int:job_id>/errors/", errors, "import_errors"),
    ]


def _for_importers(view: Any) -> Any:
    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not (org.scope_of(request.user).is_everything and org.may(request.user, Right.ACT)):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return inner


def overview(request: HttpRequest) -> HttpResponse:
    """The latest imports and the way to a new one."""
    found = Job.objects.filter(kind__in=kinds()).select_related("upload", "requested_by").order_by("-pk")[:RUNS_SHOWN]
    context = _context(request, _("Imports"), None, jobs=[_described(job) for job in found])
    return TemplateResponse(request, "admin/imports/overview.html", context)


def start(request: HttpRequest) -> HttpResponse:
    form = UploadForm(
        request.POST or None, request.FILES or None, initial={"kind": request.GET.get("kind", "import_members")}
    )
    if request.method == "POST" and form.is_valid():
        sent, kind = form.cleaned_data["file"], form.cleaned_data["kind"]
        try:
            upload = uploads.store(
                actor=request.user, purpose=kind, name=sent.name, chunks=sent.chunks(), now=timezone.now()
            )
            uploads.opened(upload, imports.columns_of(kind))
            return HttpResponseRedirect(reverse("admin:import_columns", args=(upload.pk,)))
        except RuleViolation as error:
            form.add_error("file", error.message)
    limit = uploads.MAX_BYTES // 2**20
    context = _context(request, _("New import"), 0, form=form, limit=limit, chosen=form["kind"].value())
    return TemplateResponse(request, "admin/imports/start.html", context, status=400 if form.errors else 200)


def columns(request: HttpRequest, upload_id: int) -> HttpResponse:
    """Which title of the file is which column: guessed, and corrected by a person."""
    upload = get_object_or_404(Upload, pk=upload_id, purpose__in=kinds())
    kind = upload.purpose
    try:
        table = uploads.opened(upload, imports.columns_of(kind))
        if request.method == "POST":
            job = _trial(request, upload, table)
            return HttpResponseRedirect(reverse("admin:import_job", args=(job.pk,)))
    except RuleViolation as error:
        messages.error(request, error.message)
        if request.method != "POST" or isinstance(error, uploads.FileGone):
            return HttpResponseRedirect(reverse("admin:import_start"))
    layout = copyin.guess(table.header, imports.columns_of(kind))
    context = _context(
        request, _("Columns of %s") % upload.name, 1, upload=upload, table=table, kind=kind_text(kind),
        rows=_mapping_rows(request, table, layout), ignored=layout.ignored, titles=[t for t in table.header if t],
        options=OPTIONS.get(kind, ()), samples=_samples(table), width=len(table.header),
    )  # fmt: skip
    return TemplateResponse(request, "admin/imports/columns.html", context)


def progress(request: HttpRequest, job_id: int) -> HttpResponse:
    """One run: its bar while it runs, then what came of it."""
    job = _job(job_id)
    is_trial = bool(job.params.get("dry_run"))
    is_open = job.status in OPEN
    step = 2 if is_trial else (3 if is_open else 4)
    title = _("Trial run") if is_trial else _("Import")
    problems = imports.first_problems(job, PROBLEMS_SHOWN) if not is_open else []
    context = _context(
        request, f"{title} · {kind_text(job.kind)}", step, job=job, is_trial=is_trial, is_open=is_open,
        state=job_state(job), shown=_counts(job), problems=_problem_rows(job, problems), summary=job.summary,
        may_take_errors=org.may(request.user, Right.REVEAL), kind=kind_text(job.kind),
        result_url=_result_url(job),
    )  # fmt: skip
    return TemplateResponse(request, "admin/imports/job.html", context)


def state(request: HttpRequest, job_id: int) -> HttpResponse:
    """For the script of the progress bar."""
    return JsonResponse(job_state(_job(job_id)))


def run(request: HttpRequest, job_id: int) -> HttpResponse:
    """The real run of a trial that was looked at; asked twice, it is the same job."""
    trial = _job(job_id)
    if not trial.params.get("dry_run") or trial.status != Job.Status.DONE:
        messages.error(request, _("Only a finished trial run can be imported."))
        return HttpResponseRedirect(reverse("admin:import_job", args=(trial.pk,)))
    params = {**trial.params, "dry_run": False}
    job = jobs.enqueue(
        trial.kind, actor=request.user, params=params, upload=trial.upload, key=f"import of trial {trial.pk}"
    )
    return HttpResponseRedirect(reverse("admin:import_job", args=(job.pk,)))


def cancel(request: HttpRequest, job_id: int) -> HttpResponse:
    stopped = jobs.cancel(job=_job(job_id), actor=request.user)
    messages.success(request, _("The job stops.") if stopped else _("The job had already ended."))
    return HttpResponseRedirect(reverse("admin:import_job", args=(job_id,)))


def errors(request: HttpRequest, job_id: int) -> HttpResponseBase:
    """GET asks what for; POST records it and hands the file out."""
    job = _job(job_id)
    if not org.may(request.user, Right.REVEAL):
        raise PermissionDenied
    form = lists.styled(ReasonForm(request.POST if request.method == "POST" else None))
    if request.method == "POST" and form.is_valid():
        try:
            stream = uploads.error_file(actor=request.user, job=job, reason=form.cleaned_data["reason"])
            return FileResponse(stream, as_attachment=True, filename=f"errors-{job.pk}.csv", content_type="text/csv")
        except RuleViolation as error:
            form.add_error(None, error.message)
    back = reverse("admin:import_job", args=(job.pk,))
    context = _context(request, _("Error file"), 4, form=form, back=back, job=job)
    return TemplateResponse(request, "admin/imports/errors.html", context, status=400 if form.errors else 200)


# --- what the pages show ---


def _trial(request: HttpRequest, upload: Upload, table: copyin.Table) -> Job:
    kind = upload.purpose
    mapping = {c.name: request.POST.get(f"column_{c.name}") or None for c in imports.columns_of(kind)}
    copyin.apply_mapping(table.header, imports.columns_of(kind), mapping).require()
    options = {name: request.POST.get(name) == "on" for name, _label in OPTIONS.get(kind, ())}
    params = {"dry_run": True, "mapping": mapping, "encoding": table.encoding or None, **options}
    return jobs.enqueue(kind, actor=request.user, params=params, upload=upload)


def _mapping_rows(request: HttpRequest, table: copyin.Table, layout: copyin.Layout) -> list[dict[str, Any]]:
    samples = _samples(table)
    rows = []
    for column in layout.columns:
        title = request.POST.get(f"column_{column.name}", layout.mapping.get(column.name, ""))
        place = table.header.index(title) if title in table.header else None
        cells = [row[place] for row in samples if row[place]] if place is not None else []
        rows.append(
            {"name": column.name, "label": column.label, "required": column.required, "title": title, "cells": cells}
        )
    return rows


def _samples(table: copyin.Table) -> list[list[str]]:
    """The first rows; what looks like a mobile number is masked whatever column it stands in."""
    for batch in table.batches():
        if batch.rows:
            return [[_masked(cell) for cell in row] for row in batch.rows[:SAMPLE_ROWS]]
    return []


def _masked(cell: str) -> str:
    mobile = crypto.normalise_mobile(cell)
    return crypto.mask(mobile) if mobile else cell[:40]


def _job(job_id: int) -> Job:
    job = Job.objects.select_related("upload", "requested_by").filter(pk=job_id, kind__in=kinds()).first()
    if job is None:
        raise Http404
    return job


def job_state(job: Job) -> dict[str, Any]:
    """What a page and its script show of a job under way."""
    total = job.total_count or 0
    share = 100 if job.status == Job.Status.DONE else min(99, 100 * job.done_count // total) if total else 0
    return {
        "status": job.status,
        "status_text": job.get_status_display(),
        "is_open": job.status in OPEN,
        "stage": stage_text(job.stage) if job.stage else _("waiting for a worker"),
        "share": share,
    }


def _counts(job: Job) -> list[tuple[str, str]]:
    """The figures of a summary with words; what is nought is left out, except the rows themselves."""
    summary = job.summary
    if not summary:
        return []
    decided = summary.get("decided")
    more = {**summary, **{k: v for k, v in decided.items() if k != "lines"}} if isinstance(decided, dict) else summary
    first = [(_("rows in the file"), "rows"), (_("good"), "good"), (_("broken"), "bad")]
    figures = [(text, f"{summary.get(name, 0):,}") for text, name in first]
    for name, value in more.items():
        if name not in NOT_COUNTED and isinstance(value, int) and value:
            figures.append((kind_text(f"summary.{name}"), yuan(value) if name.endswith("_fen") else f"{value:,}"))
    return figures


def _problem_rows(job: Job, problems: list[Any]) -> list[dict[str, Any]]:
    labels = {column.name: column.label for column in imports.columns_of(job.kind)}
    return [
        {"line": p.line_no, "column": labels.get(p.column, p.column), "code": p.code, "reason": imports.reason(p.code)}
        for p in problems
    ]


def _result_url(job: Job) -> str:
    return reverse(f"admin:{RESULTS[job.kind]}_changelist") if job.kind in RESULTS else ""


def _described(job: Job) -> dict[str, Any]:
    return {
        "job": job,
        "kind": kind_text(job.kind),
        "is_trial": bool(job.params.get("dry_run")),
        "state": job_state(job),
    }


def _context(request: HttpRequest, title: str, step: int | None, **more: Any) -> dict[str, Any]:
    site = admin.site.each_context(request)
    return {**site, "title": title, "content_title": title, "steps": STEPS, "step": step, **more}
