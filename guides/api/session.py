"""Log in, log out, who am I."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils.crypto import salted_hmac
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from guides import login, queries
from guides.api.base import GuideView, now
from guides.models import Guide
from scrm.api import authentication, throttles
from scrm.api.errors import Unauthorized
from scrm.api.permissions import OutsideProduction
from scrm.api.views import ApiView

STORE = {"code": "S0001", "name": "人民路店"}
GUIDE = {
    "code": "G00001", "name": "王芳", "role": "GUIDE", "store": STORE, "employed_since": "2024-03-01T00:00:00+08:00",
    "managed_store_count": 0,
}  # fmt: skip


class StoreOutput(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()


class GuideOutput(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=Guide.Role.choices)
    store = StoreOutput()
    employed_since = serializers.DateTimeField(help_text="in this store")
    managed_store_count = serializers.IntegerField(help_text="stores whose members she sees besides her own")


class LoginThrottle(throttles.WindowThrottle):
    """Tries for one account from one address: a stranger elsewhere cannot lock the guide out."""

    scope = "login"
    limit = 5
    seconds = throttles.MINUTE

    def owner(self, request: Request, view: Any) -> str | None:
        code = request.data.get("code") if isinstance(request.data, dict) else None
        return f"{login.account_of(str(code))[:64]} {self.get_ident(request)}"


class AddressThrottle(throttles.WindowThrottle):
    """Tries from one address for whatever account; a shop's phones share one."""

    scope = "login_address"
    limit = 60
    seconds = throttles.MINUTE

    def owner(self, request: Request, view: Any) -> str | None:
        return self.get_ident(request)


class LoginView(ApiView):
    authentication_classes = ()
    permission_classes = (OutsideProduction,)
    throttle_classes = (AddressThrottle, LoginThrottle)
    error_codes: ClassVar[set[str]] = {"401", "403", "409"}

    class Input(serializers.Serializer[Any]):
        code = serializers.CharField(max_length=64, help_text="the one-time code")
        device = serializers.RegexField(r"^[A-Za-z0-9._-]{8,64}\Z", help_text="the device's own name for itself")

        class Meta:
            ref_name = "Login"

    class Output(serializers.Serializer[Any]):
        token = serializers.CharField(help_text="to be sent as `Authorization: Bearer …`")
        expires_at = serializers.DateTimeField()
        guide = GuideOutput()

        class Meta:
            ref_name = "LoginAnswer"

    @extend_schema(
        operation_id="login",
        tags=["session"],
        summary="Log in with a one-time code",
        description=(
            "`manage.py guide_login_code G00001` prints a code that is good for one login within five minutes. The token "
            "replaces the one this device had. Switched off in production, where WeCom says who logs in."
        ),
        request=Input,
        responses={200: Output},
        examples=[
            OpenApiExample(
                "login", request_only=True, value={"code": "G00001-7KQ2M-X9PTA", "device": "phone-4c1d9e02"}
            ),
            OpenApiExample(
                "token",
                response_only=True,
                status_codes=["200"],
                value={"token": "5f2c…", "expires_at": "2026-12-22T09:00:00+08:00", "guide": GUIDE},
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        wanted, at = self.read(self.Input, request.data), now()
        try:
            done = login.log_in(code=wanted["code"], device=wanted["device"], now=at)
        except login.CodeRefused as error:
            raise Unauthorized(error.message, code=error.code) from None
        caller = queries.token_holders(token_key=done.token_key, now=at)[0].caller
        if caller is None:  # she left between the two
            raise Unauthorized
        return Response({"token": done.token, "expires_at": done.expires_at, "guide": _guide(caller)})


class LogoutView(GuideView):
    @extend_schema(
        operation_id="logout",
        tags=["session"],
        summary="Log this device out",
        description="The token is worth nothing from this moment on. Other devices stay logged in.",
        request=None,
        responses={204: None},
    )
    def post(self, request: Request) -> Response:
        authentication.revoke(digest=self.caller.token_digest)
        return Response(status=status.HTTP_204_NO_CONTENT)


class MeView(GuideView):
    @extend_schema(
        operation_id="me",
        tags=["session"],
        summary="Who am I",
        description="Answers 304 to a matching `If-None-Match`.",
        responses={200: GuideOutput, 304: None},
        examples=[OpenApiExample("guide", response_only=True, status_codes=["200"], value=GUIDE)],
    )
    def get(self, request: Request) -> Response:
        body = _guide(self.caller)
        etag = f'"{salted_hmac("guides.me", repr(sorted(body.items()))).hexdigest()[:20]}"'
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if request.headers.get("If-None-Match") == etag:
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers=headers)
        return Response(body, headers=headers)


def _guide(caller: queries.Caller) -> dict[str, Any]:
    return {
        "code": caller.code,
        "name": caller.name,
        "role": caller.role,
        "store": {"code": caller.store_code, "name": caller.store_name},
        "employed_since": caller.employed_since,
        "managed_store_count": len(caller.managed_store_ids),
    }
