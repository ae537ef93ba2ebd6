"""Asking a platform (调用): one exchange over HTTP with timeouts, tokens, a pace, and tries that end.

1. Nothing is asked inside a transaction. Every exchange has a timeout, follows no redirect and reads a bounded answer.
2. A refusal for the pace, or one that passes, is tried again after a pause that grows, at most ``TRIES`` times; a wrong call is
   not tried again. A refused token is replaced once, where the platform has a way to; otherwise the merchant grants anew.
3. A process asks one shop at most ``CALLS_PER_SECOND`` times a second.
4. Neither address nor answer ever reach a log or an error: both carry secrets and buyers. A code does.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from typing import Any
from urllib.parse import urlencode

import requests
import sentry_sdk
from django.utils import timezone

from attribution.channels import shops
from attribution.channels.platform import PACE, PASSING, TOKEN, WRONG, Call, Http, Platform, Refused, Unreadable
from attribution.models import ChannelShop
from scrm import db

CONNECT_SECONDS, ANSWER_SECONDS = 5, 20
MOST_BYTES = 32 << 20
TRIES = 4
PAUSE_SECONDS = 1.0  # before the second try; doubled for each one after
CALLS_PER_SECOND = 10.0
REFRESH_BEFORE = dt.timedelta(minutes=10)

_local = threading.local()
_last: dict[int, float] = {}


class ChannelError(Exception):
    """The platform did not answer as asked; ``code`` says why, ``kind`` what helps."""

    def __init__(self, kind: str, code: str) -> None:
        super().__init__(f"{kind}:{code}")
        self.kind, self.code = kind, f"{kind}:{code}"[:80]


def ask(shop: ChannelShop, call: Call) -> Any:
    """What the platform answers to ``call``. Raises ChannelError."""
    db.require_no_transaction()
    platform = shops.platform_of(shop)
    _refresh_early(shop, platform)
    is_token_new = False
    tries = 0
    while True:
        try:
            return _exchange(shop, platform, call)
        except Refused as refused:
            kind, code = refused.kind, refused.code
        tries += 1
        if kind == TOKEN and not is_token_new and _refresh(shop, platform):
            is_token_new = True
            continue
        if kind in (TOKEN, WRONG) or tries >= TRIES:
            raise ChannelError(kind, code)
        time.sleep(PAUSE_SECONDS * 2 ** (tries - 1))


def test(shop: ChannelShop) -> None:
    """Does the platform accept our keys? One short page of the last minutes. Raises ChannelError."""
    platform = shops.platform_of(shop)
    now = timezone.now()
    ask(shop, platform.list_call("orders", now - dt.timedelta(minutes=10), now - dt.timedelta(minutes=5), None))


def _refresh_early(shop: ChannelShop, platform: Platform) -> None:
    until = shop.token_until
    if shop.token_sealed is None or (until is not None and until - REFRESH_BEFORE <= timezone.now()):
        _refresh(shop, platform)


def _refresh(shop: ChannelShop, platform: Platform) -> bool:
    """A new token, by one worker at a time; another's is taken when it came first. False: there is no way to one."""
    call = platform.token_call(shops.keys_of(shop))
    if call is None:
        return False
    with db.advisory_lock(f"channel token {shop.pk}") as is_ours:
        if not is_ours:
            time.sleep(PAUSE_SECONDS)
        before = bytes(shop.token_sealed) if shop.token_sealed is not None else None
        shop.refresh_from_db(fields=["token_sealed", "token_until", "secrets_sealed"])
        now = bytes(shop.token_sealed) if shop.token_sealed is not None else None
        if now != before or not is_ours:
            return True
        try:
            shops.keep_token(shop, platform.token_of(_sent(shop, platform, call)), timezone.now())
        except (Refused, Unreadable):
            return False
    return True


def _exchange(shop: ChannelShop, platform: Platform, call: Call) -> Any:
    try:
        return platform.opened(call, _sent(shop, platform, call))
    except Unreadable as error:
        raise Refused(PASSING, f"answer {error.place}") from None


def _sent(shop: ChannelShop, platform: Platform, call: Call) -> Any:
    """The answer as JSON. Raises Refused for what did not arrive."""
    http = platform.sign(call, shops.keys_of(shop), timezone.now())
    _pace(shop)
    failure = ""
    try:
        with sentry_sdk.isolation_scope(), _send(shop.base_url or http.base or platform.base_url, http) as answer:
            body = _body(answer)
            if answer.status_code == 429:
                raise Refused(PACE, "HTTP 429")
            if answer.status_code != 200:
                raise Refused(PASSING if answer.status_code >= 500 else WRONG, f"HTTP {answer.status_code}")
        return json.loads(body)
    except requests.RequestException as error:
        failure = type(error).__name__
    except (ValueError, RecursionError):
        failure = "no JSON"
    raise Refused(PASSING, failure)


def _send(base: str, http: Http) -> requests.Response:
    url = base.rstrip("/") + "/" + http.path if http.path else base
    if http.query:
        url += "?" + urlencode(http.query)
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
        _local.session.trust_env = False
    session: requests.Session = _local.session
    return session.request(
        http.verb,
        url,
        data=http.body or None,
        headers=dict(http.headers),
        timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
        allow_redirects=False,
        stream=True,
    )


def _body(answer: requests.Response) -> bytes:
    content = bytearray()
    for piece in answer.iter_content(1 << 16):
        content += piece
        if len(content) > MOST_BYTES:
            raise Refused(WRONG, "answer too large")
    return bytes(content)


def _pace(shop: ChannelShop) -> None:
    wait = _last.get(shop.pk, 0.0) + 1 / CALLS_PER_SECOND - time.monotonic()
    if wait > 0:
        time.sleep(wait)
    _last[shop.pk] = time.monotonic()
