"""The self-check of WeCom in the console: the newest run with what does not work first, and running it again.

It asks WeCom and names all stores, so it is HQ's; running it is an act. The page works without script.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from scrm import org
from scrm.admin import words
from scrm.admin.wizard import job_state
from scrm.models import Corp, Job, WecomCheck
from scrm.org import Right
from scrm.wecom import diagnosis
from scrm.wecom.diagnosis import findings, runs

RUNS_SHOWN = 10
TITLES = {
    diagnosis.ERROR: gettext_lazy("Does not work"),
    diagnosis.WARNING: gettext_lazy("To be looked at"),
    diagnosis.OK: gettext_lazy("In order"),
}

words.register(
    {
        diagnosis.KIND: gettext_lazy("self-check of WeCom"),
        "ask_wecom": gettext_lazy("asking WeCom"),
        "call_ourselves": gettext_lazy("calling our own callbacks"),
        "look_here": gettext_lazy("looking at what waits here"),
        "summary.errors": gettext_lazy("errors"),
        "summary.warnings": gettext_lazy("warnings"),
    }
)


def may_see(user: Any) -> bool:
    return org.scope_of(user).is_everything and org.may(user, Right.VIEW)


def may_run(user: Any) -> bool:
    return org.scope_of(user).is_everything and org.may(user, Right.ACT)


def urls(site: Any) -> list[Any]:
    def page(route: str, view: Any, name: str, allowed: Any = may_see) -> Any:
        return path(f"wecom-check/{route}", site.admin_view(_for(allowed, view)), name=name)

    return [
        page("", require_GET(overview), "wecom_check"),
        page("<int:corp_id>/", require_GET(of_corp), "wecom_check_corp"),
        page("<int:corp_id>/run/", require_POST(run), "wecom_check_run", may_run),
        page("<int:corp_id>/state/", require_GET(state), "wecom_check_state"),
    ]


def _for(allowed: Any, view: Any) -> Any:
    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not allowed(request.user):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return inner


def overview(request: HttpRequest) -> HttpResponse:
    """The first corp's, as nearly every company has one."""
    corp = Corp.objects.order_by("pk").first()
    if corp is None:
        return _page(request, None)
    return HttpResponseRedirect(reverse("admin:wecom_check_corp", args=(corp.pk,)))


def of_corp(request: HttpRequest, corp_id: int) -> HttpResponse:
    return _page(request, get_object_or_404(Corp, pk=corp_id))


def run(request: HttpRequest, corp_id: int) -> HttpResponse:
    diagnosis.start(corp=get_object_or_404(Corp, pk=corp_id), actor=request.user)
    return HttpResponseRedirect(reverse("admin:wecom_check_corp", args=(corp_id,)))


def state(request: HttpRequest, corp_id: int) -> HttpResponse:
    """For the script of the progress bar."""
    newest = Job.objects.filter(kind=diagnosis.KIND, params__corp=corp_id).order_by("-pk").first()
    return JsonResponse(job_state(newest) if newest else {"is_open": False, "share": 100, "stage": ""})


def badge(request: HttpRequest) -> str:
    """The red mark in the sidebar: errors that nobody has looked at since they appeared."""
    return str(diagnosis.news() or "")


def _page(request: HttpRequest, corp: Corp | None) -> HttpResponse:
    check = diagnosis.latest(corp) if corp else None
    job = runs.open_job(corp) if corp else None
    if check is not None and may_run(request.user):
        diagnosis.look_at(check)
    context = {
        **admin.site.each_context(request),
        "title": _("Self-check"),
        "content_title": _("Self-check"),
        "corp": corp,
        "corps": list(Corp.objects.order_by("pk")),
        "check": check,
        "age": findings.age((timezone.now() - check.ended_at).total_seconds()) if check else "",
        "groups": _groups(check),
        "job": job,
        "state": job_state(job) if job else None,
        "failed": _failed(corp, check),
        "history": list(WecomCheck.objects.filter(corp=corp).order_by("-pk")[:RUNS_SHOWN]) if corp else [],
        "may_run": may_run(request.user),
    }
    return TemplateResponse(request, "admin/wecom_check.html", context)


def _groups(check: WecomCheck | None) -> list[dict[str, Any]]:
    found = runs.findings_of(check) if check else []
    grouped = [(level, [one for one in found if one.level == level]) for level in findings.LEVELS]
    return [{"level": level, "title": TITLES[level], "findings": ones} for level, ones in grouped if ones]


def _failed(corp: Corp | None, check: WecomCheck | None) -> Job | None:
    """The newest run, when it broke off after the one shown."""
    if corp is None:
        return None
    newest = Job.objects.filter(kind=diagnosis.KIND, params__corp=corp.pk).order_by("-pk").first()
    if newest is None or newest.status != Job.Status.FAILED:
        return None
    return newest if check is None or newest.created_at > check.ended_at else None
