"""Pages of the console that are no list: what waits for a person, and what each role may do."""

from __future__ import annotations

import time

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _

from scrm import approvals, org
from scrm.models import Role
from scrm.org import Right

RIGHT_TEXTS = {
    Right.VIEW: (_("View"), _("See rows of one's part of the organisation")),
    Right.CHANGE: (_("Change"), _("Edit organisation, configuration and rules")),
    Right.ACT: (_("Act"), _("Import, replay, run and cancel jobs")),
    Right.REVEAL: (_("Reveal"), _("See a mobile number in full, with a reason")),
    Right.EXPORT: (_("Export"), _("Take tables out of the system")),
}
SCOPE_TEXTS = {
    Role.HQ_ADMIN: _("everything"),
    Role.HQ_OPERATOR: _("everything"),
    Role.REGION_MANAGER: _("a region with everything below it"),
    Role.FRANCHISEE_OWNER: _("the stores of one legal entity"),
    Role.STORE_MANAGER: _("one store"),
    Role.AUDITOR: _("everything, or a region or an entity"),
}


def waiting(request: HttpRequest) -> HttpResponse:
    """What waits for this person's second approval, over all topics."""
    context = {
        **admin.site.each_context(request),
        "title": _("Waits for me"),
        "content_title": _("Waits for me"),
        "queues": approvals.waiting_for(request.user),
    }
    return TemplateResponse(request, "admin/waiting.html", context)


MARK_SECONDS = 30
_marks: dict[int, tuple[float, str]] = {}  # by user: when it was counted in this process, and the mark


def waiting_badge(request: HttpRequest) -> str:
    """The red mark in the sidebar, half a minute old at most: no page asks every queue for it."""
    user_id, now = request.user.pk, time.monotonic()
    if user_id is None:  # nobody has signed in
        return ""
    counted_at, mark = _marks.get(user_id, (now - MARK_SECONDS, ""))
    if now - counted_at >= MARK_SECONDS:
        mark = str(approvals.count_for(request.user) or "")
        _marks[user_id] = (now, mark)
    return mark


def rights_table(request: HttpRequest) -> HttpResponse:
    rows = [
        {"role": role.label, "scope": SCOPE_TEXTS[role], "cells": [right in org.RIGHTS[role] for right in Right]}
        for role in Role
    ]
    context = {
        **admin.site.each_context(request),
        "title": _("Rights by role"),
        "content_title": _("Rights by role"),
        "rights": [RIGHT_TEXTS[right] for right in Right],
        "rows": rows,
        "own_roles": [Role(role).label for role in sorted(org.roles_of(request.user))],
    }
    return TemplateResponse(request, "admin/rights.html", context)
