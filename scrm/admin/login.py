"""The login form and the page of somebody who failed too often."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _
from unfold.forms import AuthenticationForm

from scrm import org


class LoginForm(AuthenticationForm):
    error_messages: ClassVar[dict[str, Any]] = {
        "invalid_login": _("User name or password is not right. Mind upper and lower case."),
        "inactive": _("User name or password is not right. Mind upper and lower case."),
    }

    def confirm_login_allowed(self, user: Any) -> None:
        """Whoever has a role in the console; a guide's account has none."""
        if not org.staff(user):
            raise ValidationError(self.error_messages["invalid_login"], code="invalid_login")


def locked(
    request: HttpRequest, response: Any = None, credentials: Any = None, *args: Any, **kwargs: Any
) -> HttpResponse:
    """Answered instead of the login page until the cool-off ends."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    context = {"title": _("Log in"), "minutes": math.ceil(seconds / 60), "site_title": settings.UNFOLD["SITE_TITLE"]}
    answer = TemplateResponse(request, "admin/locked.html", context, status=429, headers={"Retry-After": str(seconds)})
    return answer.render()
