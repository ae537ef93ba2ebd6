"""Access tokens (访问凭证) of our apps, shared by all workers.

1. A token lies sealed in the database and serves until a minute before it expires. Whoever needs a new one asks under a
   lock; the others wait and take what came.
2. A token that WeCom refuses early is replaced: whoever comes with the refused one later finds the new one. One that is
   refused fresh is not, or an endpoint that accepts none would have us ask for tokens all day.
3. After a failure nobody asks again for a while, each gets the same error instead: repeated wrong secrets have WeCom
   block the IP for an hour. A new secret ends the pause (``corps.replace_secret``).
"""

from __future__ import annotations

import datetime as dt
import random
import time

from django.utils import timezone

from scrm import crypto, db
from scrm.models import WecomApp, WecomToken
from scrm.wecom import errors, transport

ENDPOINT = "gettoken"
SECRET_PURPOSE = "wecom secret"  # noqa: S105
REFRESH_BEFORE = dt.timedelta(seconds=60)
WAIT_SECONDS = 60  # for another worker's refresh: longer than one exchange may take
LOOK_SECONDS = 0.1  # between two looks while waiting
PAUSE = dt.timedelta(seconds=5)
FRESH = dt.timedelta(seconds=30)
CONFIGURATION_PAUSE = dt.timedelta(minutes=5)
BANNING_CODES = frozenset({40001, 45009})  # asked again and again, they have WeCom block the IP
UNANSWERED = -2  # our own number for a call without an answer; WeCom's are -1, 0 and positive


def current(app: WecomApp, *, refused: str | None = None) -> str:
    """A token of ``app`` other than the ``refused`` one. Raises WecomError when WeCom gives none."""
    db.require_no_transaction()
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if token := _stored(app, refused):
            return token
        with db.advisory_lock(f"wecom token {app.pk}") as is_ours:
            if is_ours:
                return _stored(app, refused) or _fetch(app)  # another may have been done just before the lock
        time.sleep(LOOK_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  spreads the waiting ones
    raise errors.NotYet(ENDPOINT)


def proven(app: WecomApp, *, seconds: float) -> str:
    """A token that WeCom has given just now, however long the stored one holds: for the self-check.

    What a person may have put right on WeCom meanwhile is asked again at once; a wrong secret is not, see 3.
    """
    db.require_no_transaction()
    row = WecomToken.objects.filter(app=app, paused_until__gt=timezone.now()).first()
    if row is not None and row.paused_until is not None and row.refused_code in BANNING_CODES:
        raise _error(row.refused_code, row.paused_until)
    with db.advisory_lock(f"wecom token {app.pk}") as is_ours:
        if is_ours:
            return _fetch(app, seconds)
    return current(app)


def _stored(app: WecomApp, refused: str | None) -> str | None:
    """The token that still holds, or None. Raises what WeCom said last while the pause lasts, and on a fresh refused one."""
    row = WecomToken.objects.filter(app=app).first()
    now = timezone.now()
    if row is None:
        return None
    if row.paused_until is not None and row.paused_until > now:
        raise _error(row.refused_code, row.paused_until)
    if row.token_sealed is None or row.fetched_at is None or row.expires_at is None:
        return None
    is_fresh = row.fetched_at + FRESH > now  # WeCom may give the old token again, with the little time it has left
    if row.expires_at - (dt.timedelta(0) if is_fresh else REFRESH_BEFORE) <= now:
        return None
    token = crypto.open_text(_purpose(app), bytes(row.token_sealed))
    if token == refused and is_fresh:
        raise errors.TokenRefused(ENDPOINT)
    return None if token == refused else token


def _fetch(app: WecomApp, seconds: float | None = None) -> str:
    app = WecomApp.objects.select_related("corp").get(pk=app.pk)  # the caller's may hold an older secret
    secret = crypto.open_text(SECRET_PURPOSE, bytes(app.secret_sealed))
    asked_at = timezone.now()
    try:
        token, lifetime = _asked(app.corp.corp_id, secret, seconds)
    except errors.WecomError as error:
        _pause(app, error)
        raise
    WecomToken.objects.update_or_create(
        app=app,
        defaults={
            "token_sealed": crypto.seal_text(_purpose(app), token),
            "fetched_at": asked_at,
            "expires_at": asked_at + dt.timedelta(seconds=lifetime),
            "refused_code": None,
            "paused_until": None,
        },
    )
    return token


def _asked(corp_id: str, secret: str, seconds: float | None) -> tuple[str, int]:
    """The token and for how many seconds it holds."""
    try:
        answer = transport.exchange("GET", ENDPOINT, {"corpid": corp_id, "corpsecret": secret}, seconds=seconds)
    except errors.Unreachable as error:
        error.may_be_done = False  # whoever wanted the token has sent nothing yet
        raise
    token, lifetime = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(token, str) or not token or not isinstance(lifetime, int):
        raise errors.Malformed(ENDPOINT)
    return token, lifetime


def _pause(app: WecomApp, error: errors.WecomError) -> None:
    is_passing = isinstance(error, errors.Retryable) and not isinstance(error, errors.RateLimited)
    WecomToken.objects.update_or_create(
        app=app,
        defaults={
            "token_sealed": None,
            "fetched_at": None,
            "expires_at": None,
            "refused_code": UNANSWERED if error.errcode is None else error.errcode,
            "paused_until": timezone.now() + (PAUSE if is_passing else CONFIGURATION_PAUSE),
        },
    )


def _error(code: int | None, paused_until: dt.datetime) -> errors.WecomError:
    if code is None or code == UNANSWERED:
        return errors.Unreachable(ENDPOINT, may_be_done=False)
    error = errors.of(code, ENDPOINT)
    return errors.RateLimited(ENDPOINT, code, retry_at=paused_until) if isinstance(error, errors.RateLimited) else error


def _purpose(app: WecomApp) -> str:
    return f"wecom token {app.pk}"
