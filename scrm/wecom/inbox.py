"""The inbox (企微事件): what WeCom tells us is verified, stored sealed, answered, and understood later.

1. A call is taken when it is signed and encrypted for the endpoint it names, and its timestamp differs from our clock by
   ten minutes at most. What is not is refused alike (403); what is, but cannot be decrypted or read, says so (400).
   Neither leaves a trace.
2. WeCom gives its events no id and tells them again: the same decrypted body is one row however often it comes, and two
   bodies of one second are two rows.
3. An event that tells how a thing now stands is about an aggregate (a customer of a guide, a group, a tag, an employee).
   Events of one aggregate are applied one at a time in the order in which they happened, by one worker at a time. One
   that comes after a newer one was applied is kept and marked as overtaken; a handler gets it only when it asked to, for
   what it says beside the state (a welcome code, a channel). Every other event stands for itself.
4. Upper apps register a handler for an event, or for one kind of its changes. Its effects and the event's state are one
   transaction. An event without a handler is kept as unknown, and is played again when there is one.
5. An event whose handler fails is tried again by the sweep and holds up its own aggregate only. After MAX_ATTEMPTS, or at
   once when a rule says no, it is parked (待核对) with a code. A person may play it again.
6. A welcome code lives for 20 seconds: an event that carries one is taken before the others, and by a task of its own.
7. The broker only rings. A sweep each minute takes what nobody rang for and what was cut short.
8. What was understood, overtaken or unknown is deleted after some months, as long as nothing older about the same waits:
   the newer event must be there to overtake it. Parked events stay.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import secrets
import string
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import OperationalError, connection, transaction
from django.db.models import Exists, F, OuterRef
from django.utils.translation import gettext as _

from scrm import audit, db
from scrm import crypto as seals
from scrm.errors import RuleViolation
from scrm.models import CallbackEndpoint, InboxEvent
from scrm.wecom import crypto
from scrm.wecom.crypto import Keys, NotReadable, NotVerified

WINDOW_SECONDS = 600  # between WeCom's clock and ours; its repeats come within half a minute
MAX_BODY_BYTES = 2**20
MAX_ATTEMPTS = 5  # of an event whose handler fails for reasons that may pass
KEYS_SECONDS = 5  # how long a process may go on using keys that were replaced
BATCH_AGGREGATES = 500
SWEPT_AGGREGATES = 10_000
FORGOTTEN_AT_ONCE = 1_000
PURPOSE_KEYS = "wecom callback keys"  # bound into the seal
PURPOSE_EVENT = "wecom event"

# what a state is about: the tags that name it; userids are the same in upper and lower case
ABOUT = {
    "change_external_contact": ("UserID", "ExternalUserID"),
    "change_external_chat": ("ChatId",),
    "change_external_tag": ("Id",),
    "change_contact": ("UserID", "Id", "TagId"),
}
_NAME = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9]{3,32}", re.ASCII)

Status, Lane = InboxEvent.Status, InboxEvent.Lane
PLAYABLE = (Status.PARKED, Status.UNKNOWN)
log = structlog.get_logger(__name__)


class BadEndpoint(RuleViolation):
    code = "bad_callback_endpoint"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a handler gets. ``fields`` are the tags of the decrypted body, in the shape of ``crypto.read_xml``.

    ``is_overtaken``: something newer about the same was applied before, so the state must not be taken from this one.
    """

    corp_id: str
    event: str
    change_type: str
    event_at: dt.datetime
    fields: dict[str, Any]
    is_overtaken: bool = False


@dataclass(frozen=True, slots=True)
class Heading:
    """What the row says about a body, so that it can be found and put in order without being opened."""

    event: str
    change_type: str
    aggregate: str
    event_at: dt.datetime
    lane: str


@dataclass
class Processed:
    processed: int = 0
    stale: int = 0
    unknown: int = 0
    parked: int = 0
    failed: int = 0  # to be tried again by the sweep


# --- handlers ---------------------------------------------------------------------------------------------------------

Handler = Callable[[Delivery], None]


@dataclass(frozen=True, slots=True)
class Registered:
    handler: Handler
    takes_overtaken: bool


_handlers: dict[tuple[str, str], Registered] = {}


def register(event: str, change_type: str, handler: Handler, *, takes_overtaken: bool = False) -> None:
    """Called from ``AppConfig.ready``. An empty ``change_type`` takes every change that has no handler of its own.

    The handler writes inside the event's transaction and asks nobody over the network; it raises RuleViolation for an
    event that no repetition will make right. ``takes_overtaken``: it also gets events that a newer one has overtaken.
    """
    _handlers[event, change_type] = Registered(handler, takes_overtaken)


def handler_of(event: str, change_type: str) -> Registered | None:
    return _handlers.get((event, change_type)) or _handlers.get((event, ""))


# --- endpoints --------------------------------------------------------------------------------------------------------


@transaction.atomic
def save_endpoint(*, name: str, corp_id: str, token: str, aes_key: str, actor: Any) -> CallbackEndpoint:
    """Create the endpoint ``name`` or replace its keys, as WeCom's console shows them. Raises BadEndpoint.

    The keys before it stop working within seconds.
    """
    if not _NAME.fullmatch(name):
        raise BadEndpoint(_("A name in the address is of small letters, digits and hyphens, 40 at most."))
    if not corp_id.strip() or len(corp_id) > 64:
        raise BadEndpoint(_("The corp id is missing, or too long."))
    try:
        crypto.decode_key(aes_key)
    except ValueError:
        raise BadEndpoint(_("The EncodingAESKey is 43 letters and digits.")) from None
    if not _TOKEN.fullmatch(token):
        raise BadEndpoint(_("The token is of 3 to 32 letters and digits."))
    sealed = {"token_sealed": token, "aes_key_sealed": aes_key}
    endpoint, is_new = CallbackEndpoint.objects.update_or_create(
        name=name,
        defaults={
            "corp_id": corp_id,
            "is_active": True,
            **{column: seals.seal_text(PURPOSE_KEYS, text) for column, text in sealed.items()},
        },
    )
    audit.record(actor=actor, verb="wecom.save_endpoint", target=endpoint, is_first=is_new)
    return endpoint


@transaction.atomic
def switch_endpoint(*, endpoint: CallbackEndpoint, is_active: bool, actor: Any, reason: str) -> None:
    """Take WeCom's calls or refuse them; they are refused within seconds."""
    CallbackEndpoint.objects.filter(pk=endpoint.pk).update(is_active=is_active)
    audit.record(actor=actor, verb="wecom.switch_endpoint", target=endpoint, reason=reason, is_active=is_active)


def new_token() -> str:
    return secrets.token_hex(16)


def new_aes_key() -> str:
    """43 letters and digits, as WeCom's console draws them."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _place in range(43))


def keys_of(endpoint: CallbackEndpoint) -> Keys:
    """What it shares with WeCom, opened: for the self-check, which calls the address as WeCom does."""
    return _opened(endpoint)


Known = tuple[int, Keys]
_known: dict[str, tuple[float, Known | None]] = {}
_NOBODY: Known = (0, Keys("nobody", bytes(crypto.KEY_BYTES), "nobody"))


def _keys_of(name: str) -> Known | None:
    """The id and the keys of an active endpoint, kept in this process for some seconds; None where there is none."""
    known = _known.get(name)
    if known is not None and time.monotonic() - known[0] < KEYS_SECONDS:
        return known[1]
    endpoint = CallbackEndpoint.objects.filter(name=name, is_active=True).first()
    found = (endpoint.pk, _opened(endpoint)) if endpoint is not None else None
    if len(_known) > 100:  # names come from the address: strangers must not fill our memory
        _known.clear()
    _known[name] = (time.monotonic(), found)
    return found


def _opened(endpoint: CallbackEndpoint) -> Keys:
    token = seals.open_text(PURPOSE_KEYS, bytes(endpoint.token_sealed))
    aes_key = seals.open_text(PURPOSE_KEYS, bytes(endpoint.aes_key_sealed))
    return Keys(token, crypto.decode_key(aes_key), endpoint.corp_id)


# --- receiving --------------------------------------------------------------------------------------------------------


def echo(*, name: str, signed: str, timestamp: str, nonce: str, encrypted: str, now: dt.datetime) -> bytes:
    """The answer to WeCom's question whether the address is ours. Raises NotVerified and NotReadable."""
    return _opened_call(name, signed, timestamp, nonce, encrypted, now)[1]


def receive(*, name: str, signed: str, timestamp: str, nonce: str, body: bytes, now: dt.datetime) -> str | None:
    """Verify and store one call in one statement. The lane of a new event, None for a repeat.

    Raises NotVerified for what WeCom has not signed now, NotReadable for what it has signed and nobody can read.
    """
    try:
        encrypted = crypto.read_xml(body).get("Encrypt")
    except NotReadable:
        raise NotVerified from None
    if not isinstance(encrypted, str):
        raise NotVerified
    endpoint_id, message = _opened_call(name, signed, timestamp, nonce, encrypted.strip(), now)
    body_hash = hashlib.sha256(message).hexdigest()
    try:
        heading, text = read_heading(crypto.read_xml(message), body_hash), message.decode()
    except (NotReadable, UnicodeDecodeError):
        log.warning("wecom_message_not_readable", endpoint=name)  # signed, yet nothing that WeCom ever sends
        raise NotReadable from None
    return heading.lane if _store(endpoint_id, body_hash, text, heading) else None


def read_heading(fields: dict[str, Any], body_hash: str) -> Heading:
    """Raises NotReadable for a body without a kind or a time."""
    event, change_type = _text(fields, "Event") or _text(fields, "MsgType"), _text(fields, "ChangeType")
    created = _text(fields, "CreateTime")
    if not event or len(event) > 64 or len(change_type) > 64 or not (created.isascii() and created.isdecimal()):
        raise NotReadable
    if len(created) > 10:  # beyond the year 2286: a watermark that nothing would ever pass
        raise NotReadable
    names = [_text(fields, tag).lower() if tag == "UserID" else _text(fields, tag) for tag in ABOUT.get(event, ())]
    aggregate = "|".join([event, *names]) if any(names) else f"|{body_hash}"
    if len(aggregate) > 255:
        raise NotReadable
    lane = Lane.WELCOME if _text(fields, "WelcomeCode") else Lane.NORMAL
    return Heading(event, change_type, aggregate, dt.datetime.fromtimestamp(int(created), dt.UTC), lane.value)


def _text(fields: dict[str, Any], tag: str) -> str:
    value = fields.get(tag)
    return value.strip() if isinstance(value, str) else ""


def _opened_call(
    name: str, signed: str, timestamp: str, nonce: str, encrypted: str, now: dt.datetime
) -> tuple[int, bytes]:
    """An unknown name takes the same way as a known one, and fails at the signature."""
    endpoint_id, keys = _keys_of(name) or _NOBODY
    is_signed = crypto.is_signed(keys, signed=signed, timestamp=timestamp, nonce=nonce, encrypted=encrypted)
    if not (is_signed and endpoint_id and _is_now(timestamp, now)):
        raise NotVerified
    try:
        return endpoint_id, crypto.decrypt(keys, encrypted)
    except NotVerified:
        log.warning("wecom_message_not_decrypted", endpoint=name)  # our EncodingAESKey or corp id is another
        raise NotReadable from None


def _is_now(timestamp: str, now: dt.datetime) -> bool:
    is_number = timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12
    return is_number and abs(int(timestamp) - now.timestamp()) <= WINDOW_SECONDS


def _store(endpoint_id: int, body_hash: str, text: str, heading: Heading) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO scrm_inboxevent (endpoint_id, body_hash, body_sealed, event, change_type, aggregate, event_at,"
            " lane, status, attempts, error_code, error_place)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'RECEIVED', 0, '', '') ON CONFLICT DO NOTHING",
            [
                endpoint_id, body_hash, seals.seal_text(PURPOSE_EVENT, text), heading.event, heading.change_type,
                heading.aggregate, heading.event_at, heading.lane,
            ],
        )  # fmt: skip
        return cursor.rowcount == 1


# --- processing -------------------------------------------------------------------------------------------------------


def process(*, now: dt.datetime, lane: str = "") -> Processed:
    """Take events that wait, of one lane or of both, until none is left that could be taken.

    It looks again after each batch: an event whose aggregate was in our hands when another worker came for it is ours.
    One of the other lane is left to the sweep.
    """
    done = Processed()
    while True:
        before = sum(vars(done).values())
        for endpoint_id, aggregate in _waiting(lane):
            _process_aggregate(endpoint_id, aggregate, now, done, again=False)
        if sum(vars(done).values()) == before:
            return done


def sweep(*, now: dt.datetime) -> dict[str, int]:
    """What keeps the inbox going without a broker; one sweep at a time over all processes."""
    with db.advisory_lock("wecom inbox sweep") as is_ours:
        if not is_ours:
            return {}
        done = Processed(parked=_park_killers(now))
        for endpoint_id, aggregate in _failing():
            _process_aggregate(endpoint_id, aggregate, now, done, again=True)
        fresh = process(now=now)
    return {name: count + getattr(fresh, name) for name, count in vars(done).items()}


@transaction.atomic
def replay(*, event_ids: Iterable[int], actor: Any) -> int:
    """Parked and unknown events wait again, as if they had just come; the number of them.

    One that was overtaken meanwhile is marked so instead of being applied.
    """
    left = InboxEvent.objects.filter(pk__in=list(event_ids), status__in=PLAYABLE)
    events = db.lock(left)
    for event in events:
        audit.record(actor=actor, verb="wecom.replay", target=event)
    return InboxEvent.objects.filter(pk__in=[event.pk for event in events]).update(
        status=Status.RECEIVED, attempts=0, error_code="", error_place="", processed_at=None
    )


def forget(*, now: dt.datetime, days: int) -> int:
    """Delete events that came more than ``days`` ago and ask for nothing more; returns how many."""
    done = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM scrm_inboxevent WHERE id = ANY(ARRAY("
                " SELECT id FROM scrm_inboxevent e WHERE received_at < %s AND status IN ('PROCESSED', 'STALE', 'UNKNOWN')"
                " AND NOT EXISTS (SELECT FROM scrm_inboxevent o WHERE o.endpoint_id = e.endpoint_id"
                "  AND o.aggregate = e.aggregate AND o.status IN ('RECEIVED', 'PARKED')) LIMIT %s))",
                [now - dt.timedelta(days=days), FORGOTTEN_AT_ONCE],
            )
            done += cursor.rowcount
            if cursor.rowcount < FORGOTTEN_AT_ONCE:
                return done


def _waiting(lane: str) -> list[tuple[int, str]]:
    """Aggregates with fresh events, welcomes first. Those that a failed event holds up are left to the sweep."""
    failed = InboxEvent.objects.filter(
        endpoint=OuterRef("endpoint"), aggregate=OuterRef("aggregate"), status=Status.RECEIVED, attempts__gt=0
    )
    fresh = InboxEvent.objects.filter(~Exists(failed), status=Status.RECEIVED, attempts=0)
    return _aggregates(fresh.filter(lane=lane) if lane else fresh, BATCH_AGGREGATES)


def _failing() -> list[tuple[int, str]]:
    return _aggregates(InboxEvent.objects.filter(status=Status.RECEIVED, attempts__gt=0), SWEPT_AGGREGATES)


def _aggregates(events: Any, count: int) -> list[tuple[int, str]]:
    heads = events.order_by("-lane", "pk").values_list("endpoint_id", "aggregate")[:count]
    return list(dict.fromkeys(heads))


def _process_aggregate(endpoint_id: int, aggregate: str, now: dt.datetime, done: Processed, *, again: bool) -> None:
    """Its open events in the order in which they happened, up to the first that fails."""
    with db.advisory_lock(f"wecom inbox {endpoint_id} {aggregate}") as is_ours:
        if not is_ours:
            return
        open_events = InboxEvent.objects.filter(endpoint=endpoint_id, aggregate=aggregate, status=Status.RECEIVED)
        in_order = open_events.order_by("event_at", "pk").values_list("pk", "attempts")
        for event_id, attempts in list(in_order):
            if attempts and not again:
                return
            # counted before anything is done: an event that kills its worker ends parked too
            InboxEvent.objects.filter(pk=event_id).update(attempts=F("attempts") + 1)
            if not _attempt(event_id, now, done):
                return


def _attempt(event_id: int, now: dt.datetime, done: Processed) -> bool:
    """Whether the events after this one may go on."""
    try:
        with transaction.atomic():
            status = _apply(event_id, now)
    except RuleViolation as violation:
        status = Status.PARKED
        _park(InboxEvent.objects.filter(pk=event_id), violation.code, "", now)
    except Exception as error:  # noqa: BLE001  one event must not stop the others; the log and the row say what it was
        status = _failed(event_id, error, now)
    name = "failed" if status == Status.RECEIVED else status.lower()
    setattr(done, name, getattr(done, name) + 1)
    return status != Status.RECEIVED


def _apply(event_id: int, now: dt.datetime) -> InboxEvent.Status:
    """The event's new state, written in the transaction of its handler's effects."""
    event = InboxEvent.objects.select_for_update(of=("self",)).select_related("endpoint").get(pk=event_id)
    known = handler_of(event.event, event.change_type)
    if event.status != Status.RECEIVED:  # the sweep gave it up between our list and our lock
        return Status(event.status)
    if known is None:
        event.status = Status.UNKNOWN
    else:
        is_overtaken = _is_overtaken(event)
        if known.takes_overtaken or not is_overtaken:
            known.handler(_delivery(event, is_overtaken))
        event.status = Status.STALE if is_overtaken else Status.PROCESSED
    event.processed_at = now
    event.save(update_fields=["status", "processed_at"])
    return Status(event.status)


def _is_overtaken(event: InboxEvent) -> bool:
    """The watermark: something newer about the same has been applied. What happened in the same second has not overtaken."""
    same = InboxEvent.objects.filter(endpoint=event.endpoint_id, aggregate=event.aggregate)
    return same.filter(event_at__gt=event.event_at, status=Status.PROCESSED).exists()


def _delivery(event: InboxEvent, is_overtaken: bool) -> Delivery:
    fields = crypto.read_xml(seals.open_text(PURPOSE_EVENT, bytes(event.body_sealed)).encode())
    corp_id = event.endpoint.corp_id
    return Delivery(corp_id, event.event, event.change_type, event.event_at, fields, is_overtaken)


def _failed(event_id: int, error: Exception, now: dt.datetime) -> InboxEvent.Status:
    """Leave it to the sweep, up to MAX_ATTEMPTS; then park it under the kind of error."""
    if not isinstance(error, OperationalError):
        log.error("wecom_event_failed", event_id=event_id, exc_info=error)
    given_up = InboxEvent.objects.filter(pk=event_id, attempts__gte=MAX_ATTEMPTS)
    return Status.PARKED if _park(given_up, "internal_error", type(error).__name__, now) else Status.RECEIVED


def _park_killers(now: dt.datetime) -> int:
    """An event whose worker died at every attempt left no error behind; its attempts are all there is."""
    with transaction.atomic():
        killers = InboxEvent.objects.filter(status=Status.RECEIVED, attempts__gte=MAX_ATTEMPTS)
        ids = list(killers.select_for_update(skip_locked=True).values_list("pk", flat=True))
        return _park(InboxEvent.objects.filter(pk__in=ids), "internal_error", "worker", now)


def _park(events: Any, code: str, place: str, now: dt.datetime) -> int:
    return events.filter(status=Status.RECEIVED).update(
        status=Status.PARKED, error_code=code, error_place=place, processed_at=now
    )
