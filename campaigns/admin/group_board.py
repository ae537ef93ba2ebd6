"""The activity board of groups in the console: one page, each role with its own stores."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns.admin.planned import level_of
from campaigns.communities import board
from scrm import org
from scrm.org import Right

LEVELS = tuple(board.LEVELS)
UNDER = {"region": "store", "store": "group"}


def page(request: HttpRequest) -> HttpResponse:
    if not org.may(request.user, Right.VIEW):
        raise PermissionDenied
    level, within = level_of(request, LEVELS)
    lines = board.lines(level=level, scope=org.scope_of(request.user), now=timezone.now(), within=within)
    context: dict[str, Any] = {
        **admin.site.each_context(request), "title": _("Activity of groups"), "lines": lines, "total": board.total(lines),
        "level": level, "under": UNDER.get(level, ""), "most": board.SHOWN,
    }  # fmt: skip
    return TemplateResponse(request, "admin/campaigns/group_board.html", context)
