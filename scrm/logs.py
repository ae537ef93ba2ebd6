"""Logs for people in development, JSON in production; never a mobile number or a secret in either."""

from __future__ import annotations

import re
from typing import Any

import structlog

# 13912345678, +8613912345678 and 86-139..., but not a part of a longer number such as an order's
_MOBILE = re.compile(r"(?<![0-9])((?:\+?86[- ]?)?1[3-9][0-9])[0-9]{4}([0-9]{4})(?![0-9])", re.ASCII)
_SECRET_NAMES = re.compile(r"password|secret|token|authorization|cookie|seal|mobile|phone|code_verifier", re.I)
HIDDEN = "***"


def hide_mobiles(text: str) -> str:
    return _MOBILE.sub(r"\1****\2", text)


BEGINNINGS = frozenset({"request_started", "task_enqueued", "task_started"})


def one_line_each(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The finished request or task says it all; a request's query may hold what a person searched for."""
    if event.get("event") in BEGINNINGS:
        raise structlog.DropEvent
    if "request" in event:
        event["request"] = str(event["request"]).partition("?")[0]
    return event


def hide_secrets(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {name: HIDDEN if _SECRET_NAMES.search(name) and value else value for name, value in event.items()}


class Scrubbed:
    """A renderer whose text is read once more: a traceback or a path may hold a number that no field name betrays."""

    def __init__(self, renderer: Any) -> None:
        self.renderer = renderer

    def __call__(self, logger: Any, method: str, event: structlog.typing.EventDict) -> str:
        return hide_mobiles(self.renderer(logger, method, event))


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    one_line_each,
    hide_secrets,
]
PROCESSORS: list[Any] = [
    structlog.stdlib.filter_by_level,
    *_SHARED,
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]


def configuration(*, level: str, as_json: bool) -> dict[str, Any]:
    """For logging.config.dictConfig: everything to stderr, through one formatter."""
    if as_json:
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        render: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
        rendering: list[Any] = [stamp, structlog.processors.format_exc_info, Scrubbed(render)]
    else:
        stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
        traceback = structlog.dev.plain_traceback
        render = structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=traceback, pad_event_to=0, pad_level=False
        )
        rendering = [stamp, Scrubbed(render)]
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": _SHARED,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
    }
    quiet = {"level": "WARNING"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"level": "INFO", "handlers": [], "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
            "gunicorn.error": {"handlers": [], "propagate": True},
            "django.security.DisallowedHost": {"level": "CRITICAL"},  # scanners, with a traceback each
            "axes": quiet,
            "celery.app.trace": quiet,  # django_structlog tells how each task ended
            "celery.beat": quiet,
            "celery.worker.strategy": quiet,
            "django_celery_beat": quiet,
            "kombu": quiet,
        },
    }


def scrub_report(report: Any, _hint: dict[str, Any]) -> Any:
    """For Sentry's before_send: no local variables, no numbers."""
    for exception in report.get("exception", {}).get("values", []):
        exception["value"] = hide_mobiles(str(exception.get("value", "")))
        for frame in exception.get("stacktrace", {}).get("frames", []):
            frame.pop("vars", None)
    if "logentry" in report:
        report["logentry"] = {
            key: hide_mobiles(str(value)) for key, value in report["logentry"].items() if key != "params"
        }
    request = report.get("request", {})
    for name in ("data", "cookies", "headers", "query_string"):
        request.pop(name, None)
    return report
