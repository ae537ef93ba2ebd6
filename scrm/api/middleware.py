"""The short way (中间件) of the guide API: what a request with a token does not need is not done for it.

Sessions, cookies, CSRF, messages and the console's login cost more than the API's own work (0.45 of 1.1 ms for ``me``,
measured) and mean nothing to it: a cookie that comes along is not looked at. What stays is in ``API_MIDDLEWARE``.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.module_loading import import_string

log = structlog.get_logger(__name__)

Answer = Callable[[HttpRequest], HttpResponse]
PREFIX = "/api/guide/"


class ShortWay:
    """A middleware behind ``SecurityMiddleware``; everything after it is for the other addresses."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response
        handler = BaseHandler()
        handler._view_middleware, handler._template_response_middleware, handler._exception_middleware = [], [], []  # type: ignore[attr-defined]
        answer: Any = convert_exception_to_response(handler._get_response)  # type: ignore[attr-defined]
        for path in reversed(settings.API_MIDDLEWARE):
            middleware = import_string(path)(answer)
            if hasattr(middleware, "process_view"):
                handler._view_middleware.insert(0, middleware.process_view)  # type: ignore[attr-defined]
            answer = convert_exception_to_response(middleware)
        self.answer: Answer = answer

    def __call__(self, request: HttpRequest) -> HttpResponse:
        way = self.answer if request.path_info.startswith(PREFIX) else self.get_response
        return way(request)


class Language:
    """The language the phone asks for, Chinese when it does not ask; and the length, so that the connection stays open."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        asked = request.headers.get("Accept-Language")
        language = translation.get_language_from_request(request) if asked else settings.LANGUAGE_CODE
        with translation.override(language):
            response = self.get_response(request)
        if not response.streaming and not response.has_header("Content-Length"):
            response.headers["Content-Length"] = str(len(response.content))
        return response


class RequestLog:
    """One line per request, and its id on every line that is written meanwhile. Never the query: it may hold a name."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.monotonic()
        request_id = request.headers.get("X-Request-ID", "")[:64] or str(uuid.uuid4())
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self.get_response(request)
            write = log.info if response.status_code < 500 else log.error
            write(
                "request_finished",
                request=f"{request.method} {request.path}",
                code=response.status_code,
                user_id=getattr(getattr(request, "user", None), "pk", None),
                ms=round((time.monotonic() - started) * 1000, 1),
            )
        return response
