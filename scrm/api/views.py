"""The base of every API view."""

from __future__ import annotations

from functools import cache
from typing import Any

import structlog
from django.http import QueryDict
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

log = structlog.get_logger(__name__)


class OnlyJson(DefaultContentNegotiation):
    """There is one form of an answer, whatever is asked for."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class ApiView(APIView):
    """A screen or an act. Its answers hold personal data and are kept by nobody on the way.

    ``Output`` is the contract that the schema shows. Answers of read screens are the plain values of one query; a test
    holds every answer against the schema. Passing twenty rows through serializers would double the time of a page.
    """

    content_negotiation_class = OnlyJson

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    def read(self, serializer: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
        """The validated input; a field that cannot be read is a 400 that names it.

        A query parameter that does not exist is refused: a filter with a typing error would show everything. In a body it is
        ignored and logged: nobody changes a field that was not asked for.
        """
        is_query = isinstance(data, QueryDict)
        if is_query and not data:
            return dict(_nothing_asked(serializer))
        values = data.dict() if is_query else data  # of a form, an empty value would count as none
        reader = serializer(data=values)
        reader.is_valid(raise_exception=True)
        unknown = sorted(set(values) - reader.fields.keys())
        if unknown and is_query:
            message = _("There is no such parameter.")
            raise serializers.ValidationError({name: [message] for name in unknown}, "unknown")
        if unknown:
            log.warning("fields_ignored", view=type(self).__name__, names=[name[:40] for name in unknown[:20]])
        return reader.validated_data


@cache
def _nothing_asked(serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    """The input of a bare address, most of what is asked; making the fields of a serializer costs as much as a query."""
    reader = serializer(data={})
    reader.is_valid(raise_exception=True)
    return reader.validated_data
