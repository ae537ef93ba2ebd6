"""Intake (接入): order lines and refunds come in as lists or as signed events of a channel, and end decided and posted.

1. A list is recorded in chunks and then decided in the same job, unless the job says not to (``attribute`` false); what is
   not decided waits in its queue.
2. An event is verified on its raw bytes: ``X-Signature`` is the hex HMAC-SHA256, under the channel's secret, of the timestamp,
   a point and the body, and ``X-Timestamp`` differs from our clock by five minutes at most. What does not verify leaves no trace.
3. A verified event is stored sealed and answered; it is understood later. The same body of the same event is one row however
   often it comes.
4. An event is taken by exactly one worker at a time; its lines and refunds are recorded by the same operations as a list's,
   in one transaction with its status, and then decided. Events that wait together are taken together; where one of them
   fails, each is taken by itself.
5. An event that cannot be read, or contradicts what stands, is parked (待核对) with a code and the place in its body. It delays
   nobody, and a person may play it again.
6. An event that was understood is kept for EVENT_DAYS, so that a dispute can be looked up, and then deleted: its body names a
   buyer. Come again after that, it finds its lines as they stand.
7. The broker only rings. A sweep each minute takes what nobody rang for, what was cut short, and lines that still wait.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog
from django.db import OperationalError, connection, transaction
from django.utils.translation import gettext as _

from attribution import decisions, payments
from attribution.channels import order_event, platform_orders
from attribution.models import ChannelEndpoint, ChannelEvent
from guides import coupon_touches
from members import purchase_import, purchases
from members.models import Channel, LineToDecide
from scrm import audit, crypto, db, jobs
from scrm.errors import RuleViolation
from scrm.models import Store

WINDOW_SECONDS = 300  # between the sender's clock and ours
MAX_BODY_BYTES = 2**20
EVENT_ID_LENGTH = 128
BATCH_EVENTS = 50  # recorded in one transaction: ten times the rate of single ones
EVENT_DAYS = 90
FORGOTTEN_AT_ONCE = 5_000  # in one transaction
MAX_ATTEMPTS = 5  # of an event that fails for reasons that may pass
SECRET_SECONDS = 5  # how long a process may go on using a secret that was replaced
PURPOSE_SECRET = "channel secret"  # noqa: S105  bound into the seal
PURPOSE_EVENT = "channel event"

log = structlog.get_logger(__name__)


class NotVerified(Exception):
    """Unknown channel, wrong signature or another time: the sender learns no more than that."""


class NotReadable(Exception):
    """A verified body that is not an event at all: not UTF-8, not JSON, without an id."""


class UnknownChannel(RuleViolation):
    code = "unknown_channel"


@dataclass
class Processed:
    processed: int = 0
    parked: int = 0
    failed: int = 0  # to be tried again by the sweep


# --- lists ------------------------------------------------------------------------------------------------------------


def import_orders(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``import_orders``."""
    return _and_decide(progress, purchase_import.import_orders(progress))


def import_refunds(progress: jobs.Progress) -> dict[str, Any]:
    """The work of a job of kind ``import_refunds``."""
    return _and_decide(progress, purchase_import.import_refunds(progress))


def _and_decide(progress: jobs.Progress, summary: dict[str, Any]) -> dict[str, Any]:
    params = progress.job.params
    if params.get("dry_run"):
        return summary
    purchases.apply_waiting()
    if not params.get("attribute", True):
        return summary
    coupon_touches.hear()
    progress.stage("decide", LineToDecide.objects.count())
    return {**summary, "decided": decisions.decide_open(progress=progress.done, workers=params.get("workers") or 1)}


# --- secrets ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def new_secret(*, channel: str, actor: Any) -> str:
    """A fresh secret for a channel, in plain for this once; the one before it stops working within seconds."""
    if not Channel.objects.filter(code=channel).exists():
        raise UnknownChannel(_("There is no channel with the code %(code)s.") % {"code": channel})
    secret = secrets.token_urlsafe(32)
    endpoint, is_new = ChannelEndpoint.objects.update_or_create(
        channel=channel, defaults={"secret_sealed": crypto.seal_text(PURPOSE_SECRET, secret), "is_active": True}
    )
    audit.record(actor=actor, verb="channel.new_secret", target=endpoint, is_first=is_new)
    return secret


_secrets: dict[str, tuple[float, bytes | None]] = {}


def _secret_of(channel: str) -> bytes | None:
    """The secret of an active endpoint, kept in this process for some seconds; None where there is none."""
    known = _secrets.get(channel)
    if known is not None and time.monotonic() - known[0] < SECRET_SECONDS:
        return known[1]
    sealed = (
        ChannelEndpoint.objects.filter(channel=channel, is_active=True).values_list("secret_sealed", flat=True).first()
    )
    secret = crypto.open_text(PURPOSE_SECRET, bytes(sealed)).encode() if sealed is not None else None
    if len(_secrets) > 100:  # names of channels come from the address: strangers must not fill our memory
        _secrets.clear()
    _secrets[channel] = (time.monotonic(), secret)
    return secret


# --- receiving --------------------------------------------------------------------------------------------------------


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """What the sender puts into ``X-Signature``."""
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


STORE = """
    INSERT INTO attribution_channelevent (channel, event_id, body_hash, body_sealed, status, attempts, error_code, error_place)
    VALUES (%(channel)s, %(event_id)s, %(hash)s, %(sealed)s, 'RECEIVED', 0, '', '') ON CONFLICT DO NOTHING RETURNING id
"""


def receive(*, channel: str, timestamp: str, signed: str, body: bytes, now: dt.datetime) -> bool:
    """Verify and store one delivery in one statement. False for a repeat. Raises NotVerified, NotReadable."""
    verify(channel=channel, timestamp=timestamp, signed=signed, body=body, now=now)
    text, event_id = _event_id(body)
    sealed = crypto.seal_text(PURPOSE_EVENT, text)
    values = {"channel": channel, "event_id": event_id, "hash": hashlib.sha256(body).hexdigest(), "sealed": sealed}
    return bool(db.fetch(STORE, values))


def verify(*, channel: str, timestamp: str, signed: str, body: bytes, now: dt.datetime) -> None:
    """Whether the channel itself has said so, just now. Raises NotVerified."""
    secret = _secret_of(channel)
    expected = signature(secret or b"nobody", timestamp if timestamp.isascii() else "", body)
    is_signed = hmac.compare_digest(expected, signed.lower() if signed.isascii() else "")
    if secret is None or not is_signed or not _is_now(timestamp, now):
        raise NotVerified


def _is_now(timestamp: str, now: dt.datetime) -> bool:
    is_number = timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12
    return is_number and abs(int(timestamp) - now.timestamp()) <= WINDOW_SECONDS


def _event_id(body: bytes) -> tuple[str, str]:
    try:
        text = body.decode()
        event = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise NotReadable from None
    event_id = event.get("event_id") if isinstance(event, dict) else None
    if not isinstance(event_id, str) or not 1 <= len(event_id) <= EVENT_ID_LENGTH or not event_id.isprintable():
        raise NotReadable
    return text, event_id


def _refuse(constant: str) -> None:
    raise ValueError(constant)


# --- processing -------------------------------------------------------------------------------------------------------


def process(*, now: dt.datetime, again: bool = False, limit: int = 1_000) -> Processed:
    """Take events that wait until none is left. ``again`` also takes those that failed before, one by one."""
    done = Processed()
    seen: list[int] = []
    while len(seen) < limit:
        event_ids = _claim(again, seen, 1 if again else min(BATCH_EVENTS, limit - len(seen)))
        if not event_ids:
            break
        seen += event_ids
        _process(event_ids, now, done)
    return done


@transaction.atomic
def replay(*, event_ids: Iterable[int], actor: Any) -> int:
    """Parked events wait again, as if they had just come; the number of them."""
    events = db.lock(ChannelEvent.objects.filter(pk__in=list(event_ids), status=ChannelEvent.Status.PARKED))
    for event in events:
        audit.record(actor=actor, verb="event.replay", target=event)
    return ChannelEvent.objects.filter(pk__in=[event.pk for event in events]).update(
        status=ChannelEvent.Status.RECEIVED, attempts=0, error_code="", error_place="", processed_at=None
    )


def sweep(*, now: dt.datetime) -> dict[str, Any]:
    """What keeps the intake going without a broker; one sweep at a time over all processes."""
    with db.advisory_lock("intake sweep") as is_ours:
        if not is_ours:
            return {}
        _park_killers(now)
        done = process(now=now, again=True)
        applied = purchases.apply_waiting()
        coupon_touches.hear()
        decided = decisions.decide_open()
    return {**vars(done), "refunds_applied": applied.applied, "decided": decided}


def forget_events(*, now: dt.datetime) -> int:
    """Delete the events that were understood long ago; returns how many."""
    done = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM attribution_channelevent WHERE id = ANY(ARRAY("
                " SELECT id FROM attribution_channelevent WHERE received_at < %s AND status = 'PROCESSED' LIMIT %s))",
                [now - dt.timedelta(days=EVENT_DAYS), FORGOTTEN_AT_ONCE],
            )
            done += cursor.rowcount
            if cursor.rowcount < FORGOTTEN_AT_ONCE:
                return done


CLAIM = """
    UPDATE attribution_channelevent SET attempts = attempts + 1 WHERE id = ANY(ARRAY(
        SELECT id FROM attribution_channelevent WHERE status = 'RECEIVED' AND (attempts = 0 OR %(again)s)
        AND id <> ALL(%(seen)s::bigint[]) ORDER BY id LIMIT %(count)s::bigint FOR UPDATE SKIP LOCKED
    )) RETURNING id
"""


def _claim(again: bool, seen: list[int], count: int) -> list[int]:
    """The next events, their attempt counted before anything is done: an event that kills its worker ends parked too."""
    claimed = db.fetch(CLAIM, {"again": again, "seen": db.array(seen), "count": count})
    return sorted(event_id for (event_id,) in claimed)


def _process(event_ids: list[int], now: dt.datetime, done: Processed) -> None:
    """Record some events in one transaction and decide their lines; where that fails, each event by itself."""
    try:
        with db.plans_kept():
            line_ids, parked, processed = _record(event_ids, now)
    except Exception as error:  # noqa: BLE001  one event must not stop the others; the log and the row say what it was
        if len(event_ids) > 1:
            for event_id in event_ids:
                _process([event_id], now, done)
        else:
            _failed(event_ids[0], error, now)
            done.failed += 1
        return
    done.processed += processed
    done.parked += parked
    try:
        coupon_touches.hear()
        decisions.decide_lines(line_ids=line_ids)
    except Exception:  # the lines wait in their queue, and the sweep decides them
        log.exception("lines_of_events_not_decided", events=event_ids)


class _Event(NamedTuple):
    pk: int
    channel: str
    shop_id: int | None
    body_sealed: bytes


WAITING = """
    SELECT id, channel, shop_id, body_sealed FROM attribution_channelevent
    WHERE id = ANY(%s::bigint[]) AND status = 'RECEIVED' ORDER BY id FOR UPDATE SKIP LOCKED
"""


def _record(event_ids: list[int], now: dt.datetime) -> tuple[list[int], int, int]:
    """The lines to decide, and how many events were parked and how many are done."""
    events = [_Event._make(row) for row in db.read(WAITING, [db.array(event_ids)])]
    problems: dict[int, tuple[str, str]] = {}
    lines: list[tuple[int, str, purchases.LineVersion]] = []
    refunds: list[tuple[int, str, purchases.RefundVersion]] = []
    for event, delivery in _deliveries(events, problems, now):
        lines += [(event.pk, f"/order/lines/{n}", line) for n, line in enumerate(delivery.lines)]
        refunds += [(event.pk, f"/refunds/{n}", refund) for n, refund in enumerate(delivery.refunds)]
    recorded = purchases.record_lines(lines=[line for _event, _place, line in lines])
    given_back = purchases.record_refunds(refunds=[refund for _event, _place, refund in refunds])
    for said, refused in ((lines, recorded.parked), (refunds, given_back.refused)):
        for seq, code in refused:
            problems.setdefault(said[seq][0], (code, said[seq][1]))
    _end(events, problems, now)
    return [*recorded.line_ids, *given_back.line_ids], len(problems), len(events) - len(problems)


def _deliveries(
    events: list[_Event], problems: dict[int, tuple[str, str]], now: dt.datetime
) -> Iterator[tuple[_Event, order_event.Delivery]]:
    bodies = [json.loads(crypto.open_text(PURPOSE_EVENT, event.body_sealed)) for event in events]
    codes = {code for body in bodies if (code := order_event.store_of(body))}
    stores = dict(Store.objects.filter(code__in=codes).values_list("code", "pk")) if codes else {}
    shops = platform_orders.shops_of({event.shop_id for event in events if event.shop_id is not None})
    paid = _payments(events, bodies)
    for event, body in zip(events, bodies, strict=True):
        try:
            if event.shop_id is not None:
                yield event, platform_orders.read(shops[event.shop_id], body, now)
            else:
                yield event, order_event.read(event.channel, body, stores=stores, now=now, paid=paid)
        except order_event.Unreadable as error:
            problems[event.pk] = (error.code, error.place)


def _payments(events: list[_Event], bodies: list[Any]) -> dict[str, order_event.Paid]:
    """What means of payment told about the numbers that the events await."""
    named: dict[str, tuple[list[str], list[str]]] = {}
    for event, body in zip(events, bodies, strict=True):
        trades, refunds = order_event.awaited(body) if event.shop_id is None else ([], [])
        if trades or refunds:
            of_channel = named.setdefault(event.channel, ([], []))
            of_channel[0].extend(trades)
            of_channel[1].extend(refunds)
    if not named:
        return {}
    payments.await_turn(
        awaited=[
            (channel, place)
            for channel, (trades, refunds) in named.items()
            for place in (*map(order_event.place_of_payment, trades), *map(order_event.place_of_refund, refunds))
        ]
    )
    found: dict[str, order_event.Paid] = {}
    for channel, (trades, refunds) in named.items():
        found |= payments.known(channel=channel, trade_nos=trades, refund_nos=refunds)
    return found


END = """
    UPDATE attribution_channelevent e
    SET status = CASE WHEN p.id IS NULL THEN 'PROCESSED' ELSE 'PARKED' END, error_code = coalesce(p.code, ''),
        error_place = coalesce(p.place, ''), processed_at = %s
    FROM unnest(%s::bigint[]) k(id) LEFT JOIN unnest(%s::bigint[], %s::text[], %s::text[]) p(id, code, place) USING (id)
    WHERE e.id = k.id
"""


def _end(events: list[_Event], problems: dict[int, tuple[str, str]], now: dt.datetime) -> None:
    codes, places = [code for code, _place in problems.values()], [place for _code, place in problems.values()]
    db.write(END, [now, db.array(event.pk for event in events), db.array(problems), codes, places])


def _park_killers(now: dt.datetime) -> None:
    """An event whose worker died at every attempt left no error behind; its attempts are all there is."""
    with transaction.atomic():
        waiting = ChannelEvent.objects.filter(status=ChannelEvent.Status.RECEIVED, attempts__gte=MAX_ATTEMPTS)
        ids = list(waiting.select_for_update(skip_locked=True).values_list("pk", flat=True))
        ChannelEvent.objects.filter(pk__in=ids).update(
            status=ChannelEvent.Status.PARKED, error_code="internal_error", error_place="worker", processed_at=now
        )


def _failed(event_id: int, error: Exception, now: dt.datetime) -> None:
    """Leave it to the sweep, up to MAX_ATTEMPTS; then park it under the kind of error."""
    if not isinstance(error, OperationalError):
        log.error("channel_event_failed", event_id=event_id, exc_info=error)
    ChannelEvent.objects.filter(pk=event_id, status=ChannelEvent.Status.RECEIVED, attempts__gte=MAX_ATTEMPTS).update(
        status=ChannelEvent.Status.PARKED,
        error_code="internal_error",
        error_place=type(error).__name__,
        processed_at=now,
    )
