"""The base of every API view."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class ApiView(APIView):
    """A screen or an act. Its answers hold personal data and are kept by nobody on the way.

    ``Output`` is the contract that the schema shows. Answers of read screens are the plain values of one query; a test
    holds every answer against the schema. Passing twenty rows through serializers would double the time of a page.
    """

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    def read(self, serializer: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
        """The validated input; a field that cannot be read is a 400 that names it."""
        reader = serializer(data=data)
        reader.is_valid(raise_exception=True)
        return reader.validated_data
