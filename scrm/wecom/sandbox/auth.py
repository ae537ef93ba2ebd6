"""Who may call what: tokens, classes of callers, trusted addresses and the pace of calls.

1. An app gets the same token until it expires, on the sandbox's clock. An expired one is answered with 42001 or with 40014.
2. The order of refusals is 41001, 40014 or 42001, 60020, 50003, 48002, and only then what is wrong with the call itself.
3. The contact sync gets ids and no names: 48009 for the endpoints that would tell them.
4. Who calls an endpoint too often in a minute or an hour is refused for as long again.
"""

from __future__ import annotations

import secrets
from collections import Counter
from typing import Any

from scrm.wecom.sandbox.records import MINI, SELF, SYNC, App
from scrm.wecom.sandbox.refusals import Refusal
from scrm.wecom.sandbox.registry import Caller, Endpoint
from scrm.wecom.sandbox.world import World

IDS_ONLY = 48009
HOUR = 3600
KEPT_TOKENS = 100  # expired ones too, to say so
NAMES = frozenset({"user/get", "user/list", "department/get", "department/list"})
KINDS = {
    Caller.ANY: {SELF, SYNC, MINI},
    Caller.APP: {SELF, MINI},
    Caller.CC: {SELF},
    Caller.SYNC: {SYNC},
    Caller.MP: {MINI},
}


class Tokens:
    def __init__(self, world: World) -> None:
        self.world = world
        self._refused: dict[str, tuple[int, float]] = {}  # by address: wrong secrets in a row, since when

    def give(self, query: dict[str, str], ip: str) -> dict[str, Any]:
        """gettoken."""
        corp_id, secret = query.get("corpid", ""), query.get("corpsecret", "")
        now = self.world.clock.now()
        self._require_patience(ip, now)
        if not corp_id:
            raise Refusal(41002)
        if not secret:
            raise Refusal(41004)
        if corp_id != self.world.corp_id:
            raise Refusal(40013)
        app = self._app(secret)
        if app is None:
            self._refused[ip] = (self._refused.get(ip, (0, 0.0))[0] + 1, now)
            raise Refusal(40001)
        self._refused.pop(ip, None)
        _require_address(app, ip)
        token, expires_at = self._current(secret, now) or self._new(secret, now)
        return {"access_token": token, "expires_in": max(1, int(expires_at - now))}

    def app_of(self, token: str | None) -> App:
        if not token:
            raise Refusal(41001)
        secret, expires_at = self.world.tokens.get(token, ("", 0.0))
        app = self._app(secret)
        if app is None:
            raise Refusal(40014)
        if expires_at <= self.world.clock.now():
            raise Refusal(self.world.random.choice((40014, 42001)))
        return app

    def forget(self, app: App) -> None:
        """WeCom takes a token back before its time."""
        if current := self._current(app.secret, self.world.clock.now()):
            del self.world.tokens[current[0]]

    def _current(self, secret: str, now: float) -> tuple[str, float] | None:
        for token, (owner, expires_at) in self.world.tokens.items():
            if owner == secret and expires_at > now:
                return token, expires_at
        return None

    def _new(self, secret: str, now: float) -> tuple[str, float]:
        token, expires_at = secrets.token_urlsafe(150), now + self.world.quotas.token_seconds
        with self.world.lock:
            for old in list(self.world.tokens)[:-KEPT_TOKENS]:
                del self.world.tokens[old]
            self.world.tokens[token] = [secret, expires_at]
            self.world.touch()
        return token, expires_at

    def _app(self, secret: str) -> App | None:
        return next((one for one in self.world.apps if secrets.compare_digest(one.secret, secret)), None)

    def _require_patience(self, ip: str, now: float) -> None:
        limit, (count, since) = self.world.quotas.wrong_secrets, self._refused.get(ip, (0, 0.0))
        if limit is not None and count >= limit:
            if now - since < HOUR:
                raise Refusal(45009)
            del self._refused[ip]


def require(endpoint: Endpoint, app: App, ip: str) -> None:
    """Refusal 60020, 50003, 48009 or 48002."""
    _require_address(app, ip)
    if not any(_is(app, caller) for caller in endpoint.callers):
        raise Refusal(IDS_ONLY if app.kind == SYNC and endpoint.path in NAMES else 48002)


def _require_address(app: App, ip: str) -> None:
    if app.trusted_ips and ip not in app.trusted_ips:
        raise Refusal(60020)
    if app.is_disabled:
        raise Refusal(50003)


def _is(app: App, caller: Caller) -> bool:
    return app.kind in KINDS[caller] and (caller is not Caller.CC or app.is_callable)


class Pace:
    """Calls per endpoint and minute or hour; a block lasts one such window from the call that was too many."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._counts: Counter[tuple[str, int, int]] = Counter()
        self._blocked: dict[str, float] = {}

    def take(self, path: str) -> None:
        """Refusal 45009."""
        now = self.world.clock.now()
        if self._blocked.get(path, 0.0) > now:
            raise Refusal(45009)
        quotas = self.world.quotas
        for seconds, most in ((60, quotas.calls_per_minute), (HOUR, quotas.calls_per_hour)):
            if most is None:
                continue
            window = (path, seconds, int(now // seconds))
            self._counts[window] += 1
            if self._counts[window] > most:
                self._blocked[path] = now + seconds
                raise Refusal(45009)
        if len(self._counts) > 10_000:
            self._counts.clear()
