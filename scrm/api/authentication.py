"""Who calls (身份认证): opaque tokens, hashed at rest, one per device.

1. A token is refused from the moment it expires, is revoked, or its user is deactivated; each request asks anew.
2. A login on a device replaces that device's token and no other.
3. A token in use lives on, at most for AUTO_REFRESH_MAX_TTL; its expiry is written at most once a day.
"""

from __future__ import annotations

import datetime as dt
from hmac import compare_digest
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from knox.models import get_digest_token
from knox.settings import CONSTANTS, knox_settings
from rest_framework.exceptions import AuthenticationFailed

from scrm import db
from scrm.models import DeviceToken, User

REFUSED = _("Your login has ended. Please log in again.")


class DeviceTokenAuthentication(TokenAuthentication):
    """``request.auth`` is the token. A subclass joins more to ``tokens`` and checks it in ``validate``: no more queries."""

    def authenticate_credentials(self, token: bytes) -> tuple[Any, Any]:
        try:
            text = token.decode("ascii")
        except UnicodeDecodeError:
            raise refusal() from None
        digest, now = hash_token(text), timezone.now()
        for row in self.tokens(text[: CONSTANTS.TOKEN_KEY_LENGTH], now):
            if compare_digest(digest, row.digest):
                return self.validate(row, now)
        raise refusal()

    def tokens(self, token_key: str, now: dt.datetime) -> list[Any]:
        return list(DeviceToken.objects.filter(token_key=token_key).select_related("user")[:5])

    def validate(self, token: Any, now: dt.datetime) -> tuple[Any, Any]:
        if token.expiry is None or token.expiry <= now or not token.user.is_active:
            raise refusal()
        refresh(token, now)
        return token.user, token


def issue(*, user: User, device: str, now: dt.datetime) -> tuple[DeviceToken, str]:
    """A fresh token of this device and its text, which is not kept. Needs an open transaction."""
    db.lock(User.objects.filter(pk=user.pk))  # two logins of one device at once: the later one replaces the earlier
    DeviceToken.objects.filter(user=user, device=device).delete()
    digest, text = get_digest_token()
    token = DeviceToken(
        digest=digest,
        token_key=text[: CONSTANTS.TOKEN_KEY_LENGTH],
        user=user,
        device=device,
        expiry=now + knox_settings.TOKEN_TTL,
    )
    token.save(force_insert=True)
    return token, text


def refresh(token: Any, now: dt.datetime) -> None:
    """Move the expiry on when a day of it is used up."""
    expiry = min(now + knox_settings.TOKEN_TTL, token.created + knox_settings.AUTO_REFRESH_MAX_TTL)
    if expiry - token.expiry > dt.timedelta(days=1):
        DeviceToken.objects.filter(pk=token.digest).update(expiry=expiry)


def revoke(*, digest: str) -> None:
    """End one device's login at once."""
    DeviceToken.objects.filter(digest=digest).delete()


def forget_expired(now: dt.datetime) -> int:
    """Delete tokens that nobody can use any more; a daily task."""
    return DeviceToken.objects.filter(expiry__lte=now).delete()[0]


def refusal() -> AuthenticationFailed:
    return AuthenticationFailed(REFUSED, code="token_refused")
