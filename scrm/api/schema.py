"""The OpenAPI schema (接口文档), complete without a word in the views that the code already says.

Every operation shows the errors it can answer with: what it reads decides that, and nobody can forget it.
"""

from __future__ import annotations

from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework import serializers

ERRORS = {
    "400": "Input that cannot be read; `extra.fields` names each place with its problems.",
    "401": "No token, or one that has expired or was revoked: log in again.",
    "403": "Not for this person, or switched off here.",
    "404": "There is no such row, or it belongs to somebody else.",
    "409": "A rule says no (`code` says which), or the same request is still running (`Retry-After`).",
    "429": "Too often; `Retry-After` says in how many seconds to come back.",
    "500": "A fault of ours, recorded.",
    "503": "Busy; `Retry-After` says in how many seconds to come back.",
}


class Error(serializers.Serializer[Any]):
    """Every error looks like this."""

    code = serializers.CharField(help_text="stable, for programs")
    message = serializers.CharField(help_text="a sentence for the person")
    extra = serializers.DictField(help_text="what a screen may show; empty when there is nothing")


class DeviceTokenScheme(OpenApiAuthenticationExtension):
    target_class = "scrm.api.authentication.DeviceTokenAuthentication"
    match_subclasses = True
    name = "deviceToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "The token of `POST /api/guide/login`."}


class Schema(AutoSchema):
    def get_override_parameters(self) -> list[Any]:
        from scrm.api import idempotency  # its views ask for this class while they are made

        if not self._is_idempotent():
            return []
        shortest, longest = idempotency.KEY_LENGTH
        return [
            OpenApiParameter(
                idempotency.HEADER,
                {"type": "string", "minLength": shortest, "maxLength": longest, "pattern": "^[!-~]+$"},
                OpenApiParameter.HEADER,
                required=True,
                description="A new value for every act; the same value again gets the first answer again.",
                examples=[OpenApiExample("uuid", value="3f0a7c2e-6a0c-4a3e-9a51-0b6d6a6f7f11")],
            )
        ]

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for code in sorted(self._error_codes() - bodies.keys()):
            body = self._get_response_for_code(Error, code, direction=direction)
            body["description"] = ERRORS[code]
            bodies[code] = body
        return bodies

    def _error_codes(self) -> set[str]:
        codes = {"500", "503"} | getattr(self.view, "error_codes", set())
        if self.view.authentication_classes:
            codes |= {"401", "403"}
        if "{" in self.path:
            codes.add("404")
        if self.method != "GET" or self._get_parameters():
            codes.add("400")
        if self._is_idempotent() or getattr(self.view, "has_rules", False):  # a look that a rule may refuse
            codes.add("409")
        if self.view.throttle_classes:
            codes.add("429")
        return codes

    def _is_idempotent(self) -> bool:
        return getattr(getattr(self.view, self.method.lower(), None), "is_idempotent", False)
