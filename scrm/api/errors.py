"""What an error looks like (错误格式): always ``{code, message, extra}``, whatever went wrong.

1. ``code`` is stable and for programs, ``message`` is a sentence for the person, ``extra`` holds what a screen may show.
2. A rule of the business that says no is 409 with the rule's own code, or 429 when it only says "not yet". Fields that cannot be read are 400 and
   ``extra.fields`` names each of them. Another organisation's row is 404, as if it did not exist.
3. A fault of ours is 500 and says nothing about its cause; the log does.
"""

from __future__ import annotations

import math
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views import defaults
from psycopg.errors import LockNotAvailable, QueryCanceled
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import APIView, set_rollback

from scrm.errors import RuleViolation

log = structlog.get_logger(__name__)

BUSY_SECONDS = 2
MESSAGES: dict[str, Promise | str] = {
    "not_found": gettext_lazy("There is nothing here, or it is not yours to see."),
    "not_authenticated": gettext_lazy("Please log in first."),
    "permission_denied": gettext_lazy("You are not allowed to do this."),
    "method_not_allowed": gettext_lazy("This address does not take such a request."),
    "unsupported_media_type": gettext_lazy("Only JSON is read here."),
    "parse_error": gettext_lazy("The body of the request is not valid JSON."),
    "throttled": gettext_lazy("Too many requests; please wait a moment."),
    "busy": gettext_lazy("The system is busy; please try again."),
    "invalid": gettext_lazy("Some of the input cannot be accepted."),
    "error": gettext_lazy("Something went wrong on our side; it has been recorded."),
}


class Unauthorized(exceptions.APIException):
    """401 also where no token is read, such as at login."""

    status_code = status.HTTP_401_UNAUTHORIZED
    default_code = "not_authenticated"


class Retry(exceptions.APIException):
    """409 that passes by itself."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "still_running"
    wait = 1


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """REST_FRAMEWORK["EXCEPTION_HANDLER"]."""
    set_rollback()
    if isinstance(error, RuleViolation):
        return _violation(error)
    if isinstance(error, Http404):
        return _answer(exceptions.NotFound())
    if isinstance(error, PermissionDenied):
        return _answer(exceptions.PermissionDenied())
    if isinstance(error, exceptions.APIException):
        return _answer(error)
    if isinstance(error, OperationalError) and isinstance(error.__cause__, LockNotAvailable | QueryCanceled):
        log.warning("busy", error=type(error.__cause__).__name__)
        headers = {"Retry-After": str(BUSY_SECONDS)}
        body = _body("busy", MESSAGES["busy"], {"retry_after_seconds": BUSY_SECONDS})
        return Response(body, status=status.HTTP_503_SERVICE_UNAVAILABLE, headers=headers)
    log.error("api_error", error=type(error).__name__, exc_info=error)
    view: APIView = context["view"]
    got_request_exception.send(sender=type(view), request=view.request._request)
    return Response(_body("error", MESSAGES["error"]), status=status.HTTP_500_INTERNAL_SERVER_ERROR)


def _violation(error: RuleViolation) -> Response:
    """A limit that passes with time says when; every other rule is a conflict."""
    seconds = error.extra.get("retry_after_seconds")
    body = _body(error.code, error.message, error.extra)
    if seconds is None:
        return Response(body, status=status.HTTP_409_CONFLICT)
    return Response(body, status=status.HTTP_429_TOO_MANY_REQUESTS, headers={"Retry-After": str(seconds)})


def _answer(error: exceptions.APIException) -> Response:
    headers, extra = {}, {}
    if header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if (wait := getattr(error, "wait", None)) is not None:
        extra["retry_after_seconds"] = math.ceil(wait)
        headers["Retry-After"] = str(math.ceil(wait))
    if isinstance(error, exceptions.ValidationError):
        return Response(_body("invalid", MESSAGES["invalid"], {"fields": _fields(error)}), status=error.status_code)
    code = str(error.get_codes())
    message = MESSAGES.get(code, error.detail)
    return Response(_body(code, message, extra), status=error.status_code, headers=headers)


def _fields(error: exceptions.ValidationError) -> dict[str, list[dict[str, str]]]:
    """``{"place": [{code, message}]}``; the place of a nested field is written with dots."""
    found: dict[str, list[dict[str, str]]] = {}

    def walk(detail: Any, place: str) -> None:
        if isinstance(detail, dict):
            for name, inner in detail.items():
                name = "" if name == "non_field_errors" else str(name)
                walk(inner, f"{place}.{name}".strip("."))
        elif isinstance(detail, list):
            for inner in detail:
                walk(inner, place)
        else:
            found.setdefault(place, []).append({"code": detail.code, "message": str(detail)})

    walk(error.detail, "")
    return found


def _body(code: str, message: object, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"code": code, "message": str(message), "extra": extra or {}}


class NothingHere(APIView):
    """The end of the list of API addresses."""

    authentication_classes = ()
    permission_classes = ()
    schema = None

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        raise Http404


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400: what fails before a view is found."""
    if not _is_api(request):
        return defaults.bad_request(request, exception)
    return JsonResponse(_body("bad_request", _("The request cannot be read.")), status=400)


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500: what fails outside a view."""
    if not _is_api(request):
        return defaults.server_error(request)
    return JsonResponse(_body("error", MESSAGES["error"]), status=500)


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")
