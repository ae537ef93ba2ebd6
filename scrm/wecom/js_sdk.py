"""JS-SDK (网页签名): the signatures with which a page inside WeCom opens its functions.

1. The corp's ticket signs for the corp, the app's ticket for the app; they are not interchangeable, nor between apps.
2. A corp fetches 400 tickets an hour, an app 100: a ticket lies sealed in the database and serves all workers until a
   minute before it expires. Whoever needs a new one asks under a lock; the others wait and take what came.
3. After a failure nobody asks again for a minute; each gets the same error instead.
4. The signed address is the page's without what follows ``#``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import secrets
import time
from dataclasses import dataclass, field

from django.utils import timezone

from scrm import crypto, db
from scrm.models import WecomApp, WecomTicket
from scrm.wecom import bounds, client, errors

REFRESH_BEFORE = dt.timedelta(seconds=60)
PAUSE = dt.timedelta(minutes=1)
WAIT_SECONDS = 60
LOOK_SECONDS = 0.1
NONCE_BYTES = 12

_CORP = client.read("get_jsapi_ticket")
_APP = client.read("ticket/get")


@dataclass(frozen=True)
class Signature:
    """What the page hands to ``getConfigSignature`` or ``getAgentConfigSignature``; ``agent_id`` for the latter."""

    corp_id: str
    agent_id: int | None
    timestamp: int
    nonce: str
    signature: str = field(repr=False)


def for_corp(app: WecomApp, url: str, *, now: dt.datetime) -> Signature:
    """The signature of the corp for a page at ``url``."""
    return _signature(app, WecomTicket.Kind.CORP, url, now)


def for_app(app: WecomApp, url: str, *, now: dt.datetime) -> Signature:
    """The signature of the app for a page at ``url``."""
    return _signature(app, WecomTicket.Kind.APP, url, now)


def sign(ticket: str, *, nonce: str, timestamp: int | str, url: str) -> str:
    """The lower-case hex SHA-1 of WeCom's page on signatures: nothing encoded, this order."""
    text = f"jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={url.partition('#')[0]}"
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def ticket(app: WecomApp, kind: str) -> str:
    """The ticket of ``app`` that holds now, fetched when there is none. Raises WecomError when WeCom gives none."""
    db.require_no_transaction()
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if found := _stored(app, kind):
            return found
        with db.advisory_lock(f"wecom ticket {app.pk} {kind}") as is_ours:
            if is_ours:
                return _stored(app, kind) or _fetch(app, kind)  # another may have been done just before the lock
        time.sleep(LOOK_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  spreads the waiting ones
    raise errors.NotYet(_endpoint(kind).path)


def _signature(app: WecomApp, kind: WecomTicket.Kind, url: str, now: dt.datetime) -> Signature:
    bounds.present(_endpoint(kind).path, "url", url)
    nonce, timestamp = secrets.token_hex(NONCE_BYTES), int(now.timestamp())
    signature = sign(ticket(app, kind), nonce=nonce, timestamp=timestamp, url=url)
    agent_id = app.agent_id if kind == WecomTicket.Kind.APP else None
    return Signature(app.corp.corp_id, agent_id, timestamp, nonce, signature)


def _stored(app: WecomApp, kind: str) -> str | None:
    row = WecomTicket.objects.filter(app=app, kind=kind).first()
    now = timezone.now()
    if row is None:
        return None
    if row.paused_until is not None and row.paused_until > now:
        raise _paused(_endpoint(kind).path, row.refused_code)
    if row.ticket_sealed is None or row.expires_at is None or row.expires_at - REFRESH_BEFORE <= now:
        return None
    return crypto.open_text(_purpose(app, kind), bytes(row.ticket_sealed))


def _fetch(app: WecomApp, kind: str) -> str:
    asked_at = timezone.now()
    try:
        answer = client.call(app, _endpoint(kind), {} if kind == WecomTicket.Kind.CORP else {"type": "agent_config"})
        found, seconds = str(answer["ticket"]), int(answer["expires_in"])
    except errors.WecomError as error:
        _keep(app, kind, ticket_sealed=None, expires_at=None, refused_code=error.errcode, paused_until=asked_at + PAUSE)
        raise
    sealed = crypto.seal_text(_purpose(app, kind), found)
    expires_at = asked_at + dt.timedelta(seconds=seconds)
    _keep(app, kind, ticket_sealed=sealed, expires_at=expires_at, refused_code=None, paused_until=None)
    return found


def _keep(app: WecomApp, kind: str, **values: object) -> None:
    WecomTicket.objects.update_or_create(app=app, kind=kind, defaults=values)


def _paused(path: str, code: int | None) -> errors.WecomError:
    return errors.Unreachable(path, may_be_done=False) if code is None else errors.of(code, path)


def _endpoint(kind: str) -> client.Endpoint:
    return _CORP if kind == WecomTicket.Kind.CORP else _APP


def _purpose(app: WecomApp, kind: str) -> str:
    return f"wecom ticket {app.pk} {kind}"
