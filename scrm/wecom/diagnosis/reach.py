"""Whether WeCom reaches us: our callback addresses asked as WeCom asks them, over the public address (回调自检).

``knock`` does the asking, ``judged`` is a pure rule over what came back.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import requests
import sentry_sdk
from django.conf import settings
from django.db.models import Max
from django.urls import reverse
from django.utils import timezone

from scrm.models import CallbackEndpoint, Corp, InboxEvent
from scrm.wecom import crypto, inbox
from scrm.wecom.crypto import Keys
from scrm.wecom.diagnosis.asking import Budget
from scrm.wecom.diagnosis.findings import Finding

ECHO_SECONDS = 1.0  # WeCom waits no longer for the answer to its verification
KNOCK_SECONDS = 5.0
READ_BYTES = 4096
QUIET = dt.timedelta(days=2)
SIGNATURE_REFUSED, NOT_DECRYPTED, TOO_FAR = 403, 400, 404


@dataclass(frozen=True)
class Knock:
    """``failure`` is the kind of a call without an answer; otherwise status, how long it took and whether it was the echo."""

    failure: str = ""
    status: int = 0
    seconds: float = 0.0
    is_echo: bool = False


def address_findings(url: str) -> list[Finding]:
    """What the public address alone shows."""
    if not url:
        return [Finding("callback.no_address")]
    parts = urlsplit(url)
    if is_on_this_machine(parts.hostname or ""):
        return [] if _sandbox_is_here() else [Finding("callback.only_here", "", {"url": url})]
    return [Finding("callback.not_https", "", {"url": url})] if parts.scheme != "https" else []


def is_on_this_machine(host: str) -> bool:
    """Also the addresses of a private network, which WeCom cannot reach either."""
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def _sandbox_is_here() -> bool:
    return is_on_this_machine(urlsplit(settings.WECOM_API_BASE).hostname or "")


def knock(endpoint: CallbackEndpoint, budget: Budget) -> Knock:
    """The verification that WeCom does when the address is saved in its console."""
    keys = inbox.keys_of(endpoint)
    plain = str(secrets.randbelow(10**19)).encode()
    address = settings.PUBLIC_URL + reverse("wecom-callback", args=(endpoint.name,)) + "?" + _query(keys, plain)
    seconds, began = budget.of_call(KNOCK_SECONDS), time.monotonic()
    try:
        with (
            sentry_sdk.isolation_scope(),
            requests.get(address, timeout=seconds, allow_redirects=False, stream=True) as answer,
        ):
            body = next(answer.iter_content(READ_BYTES), b"")
            return Knock(status=answer.status_code, seconds=time.monotonic() - began, is_echo=body == plain)
    except requests.exceptions.SSLError:
        return Knock("tls")
    except requests.Timeout:
        return Knock("timeout")
    except requests.ConnectionError as error:
        return Knock("name" if _is_unknown_name(endpoint, error) else "refused")
    except requests.RequestException:
        return Knock("refused")


def _query(keys: Keys, plain: bytes) -> str:
    timestamp, nonce, encrypted = str(int(time.time())), secrets.token_hex(5), crypto.encrypt(keys, plain)
    signed = crypto.signature(keys.token, timestamp, nonce, encrypted)
    return urlencode({"msg_signature": signed, "timestamp": timestamp, "nonce": nonce, "echostr": encrypted})


def _is_unknown_name(endpoint: CallbackEndpoint, error: Exception) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, socket.gaierror):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def judged(name: str, url: str, knocked: Knock) -> Finding:
    facts = {"url": url}
    if knocked.failure:
        return Finding(f"callback.failed_{knocked.failure}", name, facts)
    if 300 <= knocked.status < 400:
        return Finding("callback.redirected", name, facts)
    if knocked.status == SIGNATURE_REFUSED:
        return Finding("callback.wrong_token", name, facts)
    if knocked.status == NOT_DECRYPTED:
        return Finding("callback.wrong_key", name, facts)
    if knocked.status != 200:
        return Finding("callback.wrong_answer", name, {**facts, "status": knocked.status})
    if not knocked.is_echo:
        return Finding("callback.wrong_body", name, facts)
    if knocked.seconds > ECHO_SECONDS:
        return Finding("callback.slow", name, {**facts, "milliseconds": int(knocked.seconds * 1000)})
    return Finding("callback.ok", name, {**facts, "milliseconds": int(knocked.seconds * 1000)})


def heard(name: str, last_at: dt.datetime | None, now: dt.datetime) -> Finding:
    """When WeCom last called: our own knock proves the address, not that WeCom was told of it."""
    if last_at is None:
        return Finding("callback.never", name)
    seconds = max(0, int((now - last_at).total_seconds()))
    return Finding("callback.quiet" if now - last_at > QUIET else "callback.heard", name, {"seconds": seconds})


def _last_call(endpoint: CallbackEndpoint, now: dt.datetime) -> dt.datetime | None:
    """The newest days first: they are all that is read where WeCom calls at all."""
    events = InboxEvent.objects.filter(endpoint=endpoint)
    for rows in (events.filter(received_at__gte=now - QUIET), events):
        if found := rows.aggregate(last=Max("received_at"))["last"]:
            return found
    return None


def findings(corp: Corp, budget: Budget) -> list[Finding]:
    endpoints = list(CallbackEndpoint.objects.filter(corp_id=corp.corp_id).order_by("name"))
    if not endpoints:
        return [Finding("callback.none", corp.name)]
    found, url = address_findings(settings.PUBLIC_URL), settings.PUBLIC_URL
    for endpoint in endpoints:
        if not endpoint.is_active:
            found.append(Finding("callback.off", endpoint.name))
            continue
        if url and budget.left:
            address = url + reverse("wecom-callback", args=(endpoint.name,))
            found.append(judged(endpoint.name, address, knock(endpoint, budget)))
        found.append(heard(endpoint.name, _last_call(endpoint, timezone.now()), timezone.now()))
    return found
