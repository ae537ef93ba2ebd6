"""What may be done here at all (许可)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request


class OutsideProduction(BasePermission):
    """For what only a newcomer and a developer need."""

    code = "off_in_production"
    message = _("Login codes are switched off here; log in through WeCom.")

    def has_permission(self, request: Request, view: Any) -> bool:
        return not settings.PRODUCTION
