"""Who calls the guide API: a guide who is employed at this moment, known from her device's token in one query.

``request.user`` is her user, ``request.auth`` the ``Caller``. Somebody who has left is refused with her next request.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from guides import queries
from scrm.api import authentication


class GuideTokenAuthentication(authentication.DeviceTokenAuthentication):
    def tokens(self, token_key: str, now: dt.datetime) -> list[Any]:
        return queries.token_holders(token_key=token_key, now=now)

    def validate(self, token: queries.TokenHolder, now: dt.datetime) -> tuple[Any, Any]:
        user, _token = super().validate(token, now)
        if token.is_guide and token.caller is None:
            raise authentication.refusal()
        return user, token.caller


class IsGuide(BasePermission):
    """Staff without a guide of their own work in the console."""

    code = "guides_only"
    message = _("This is for guides; please use the console.")

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.auth, queries.Caller)
