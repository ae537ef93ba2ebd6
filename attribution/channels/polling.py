"""Reading shops (渠道读取): by the time of change, window by window, page by page, and what pushes point at.

1. A reading is claimed by one worker (SKIP LOCKED) for a while; whoever is late finds its claim gone and writes nothing.
2. A window begins ``overlap`` before the last one ended and ends ``delay`` ago. What is read twice comes to nothing.
3. A page's details are asked for outside of any transaction; then its deliveries and the place of the next page are written in
   one. Killed anywhere, the reading goes on from the last page that was written.
4. A delivery lies sealed in the inbox like any other event, and is understood there.
5. A failure puts the reading off, longer each time, up to an hour; the place stays and the console shows it. A platform that
   refuses a place starts the window again.
6. A push only wakes: the order is read by its number, once, however often it was told.
7. A push for a shop that is not ours is kept sealed, up to ``MOST_STRANGE`` of them, and taken when the shop is connected.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from attribution.channels import client, shops
from attribution.channels.platform import WRONG, Found, NotVerified, Platform, Stream, Unreadable, compact
from attribution.models import ChannelCursor, ChannelNotice, ChannelShop, StrangePush
from scrm import audit, crypto
from scrm.errors import RuleViolation

CLAIM = dt.timedelta(minutes=10)
RUN_SECONDS = 45.0  # of one reading; then another one has its turn
EVERY = dt.timedelta(minutes=2)  # how often a shop that is up to date is read
FIRST_PAUSE, LONGEST_PAUSE = dt.timedelta(minutes=1), dt.timedelta(hours=1)
NOTICE_TRIES = 8
NOTICE_BATCH = 50
MOST_STRANGE = 1_000
PURPOSE_EVENT = "channel event"
PURPOSE_STRANGE = "strange push"

log = structlog.get_logger(__name__)


@dataclass
class Ran:
    pages: int = 0
    stored: int = 0  # deliveries that were new
    failed: int = 0


class _Lost(Exception):
    """Another worker has taken the reading over."""


CLAIM_DUE = """
    UPDATE attribution_channelcursor SET claimed_until = %(until)s, ran_at = %(now)s
    WHERE id = (
        SELECT c.id FROM attribution_channelcursor c JOIN attribution_channelshop s ON s.id = c.shop_id AND s.is_enabled
        WHERE c.due_at <= %(now)s AND (c.claimed_until IS NULL OR c.claimed_until <= %(now)s)
        ORDER BY c.due_at, c.id LIMIT 1 FOR UPDATE OF c SKIP LOCKED
    )
    RETURNING id"""


def run_due(*, now: dt.datetime, limit: int = 20) -> Ran:
    """Read what is due, one claim after the other, and what pushes point at."""
    ran = Ran()
    read_notices(now=now, ran=ran)
    for _turn in range(limit):
        cursor_id = _claim(now)
        if cursor_id is None:
            break
        _run(cursor_id, now, ran)
    return ran


def _claim(now: dt.datetime) -> int | None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(CLAIM_DUE, {"now": now, "until": now + CLAIM})
        row = cursor.fetchone()
    return row[0] if row else None


def _run(cursor_id: int, now: dt.datetime, ran: Ran) -> None:
    reading = ChannelCursor.objects.select_related("shop").get(pk=cursor_id)
    started = time.monotonic()
    try:
        while _page(reading, now, ran):
            if time.monotonic() - started > RUN_SECONDS:
                _update(reading, due_at=now)
                break
    except _Lost:
        log.warning("channel_reading_lost", cursor_id=cursor_id)
    except client.ChannelError as error:
        ran.failed += 1
        _fail(reading, error, now)
    except Unreadable as error:  # an answer that is not what its documents say
        ran.failed += 1
        _fail(reading, client.ChannelError(WRONG, f"{error.code} {error.place}"), now)


def _page(reading: ChannelCursor, now: dt.datetime, ran: Ran) -> bool:
    """One page; False when there is nothing more to read now."""
    shop, platform = reading.shop, shops.platform_of(reading.shop)
    stream = platform.streams[reading.stream]
    window = _window(reading, stream, now)
    if window is None:
        _rest(reading, now)
        return False
    since, until = window
    data = client.ask(shop, platform.list_call(reading.stream, since, until, reading.place))
    page = platform.listed(reading.stream, data, reading.place)
    said = [(found, completed(shop, platform, found)) for found in page.found]
    deliveries = [delivery for _found, delivery in said if delivery is not None]
    with transaction.atomic():
        ran.stored += store(shop, deliveries)
        _note(shop, [found for found, delivery in said if delivery is None], now + FIRST_PAUSE)
        reading.read_count += len(deliveries)
        reading.place = page.place
        reading.window_until = until if page.place is not None else None
        if page.place is None:
            reading.read_until = until
        _update(
            reading, place=reading.place, window_until=reading.window_until, read_until=reading.read_until, failures=0,
            error_code="", succeeded_at=now, read_count=reading.read_count, due_at=now,
        )  # fmt: skip
    ran.pages += 1
    return True


def _window(reading: ChannelCursor, stream: Stream, now: dt.datetime) -> tuple[dt.datetime, dt.datetime] | None:
    latest = min(now - stream.delay, reading.stops_at or now)
    earliest = now - stream.look_back
    since = max(reading.read_until, earliest) - (stream.overlap if reading.read_until > earliest else dt.timedelta(0))
    if reading.window_until is not None:
        return since, reading.window_until
    if reading.read_until >= latest or (
        reading.stops_at is None and latest - reading.read_until < dt.timedelta(seconds=30)
    ):
        return None
    return since, min(since + stream.window, latest)


def _rest(reading: ChannelCursor, now: dt.datetime) -> None:
    if reading.stops_at is not None:
        ChannelCursor.objects.filter(pk=reading.pk).delete()
    else:
        _update(reading, due_at=now + EVERY, is_free=True)


def _fail(reading: ChannelCursor, error: client.ChannelError, now: dt.datetime) -> None:
    reading.failures += 1
    pause = min(FIRST_PAUSE * 2 ** min(reading.failures - 1, 10), LONGEST_PAUSE)
    values: dict[str, Any] = {
        "failures": reading.failures,
        "error_code": error.code,
        "due_at": now + pause,
        "is_free": True,
    }
    if error.kind == WRONG:
        values |= {"place": None, "window_until": None}
    try:
        _update(reading, **values)
    except _Lost:
        log.warning("channel_reading_lost", cursor_id=reading.pk)


def _update(reading: ChannelCursor, *, is_free: bool = False, **values: Any) -> None:
    """Only while the claim is ours."""
    ours = ChannelCursor.objects.filter(pk=reading.pk, claimed_until=reading.claimed_until)
    if not ours.update(**values, **({"claimed_until": None} if is_free else {})):
        raise _Lost


# --- deliveries -----------------------------------------------------------------------------------------------------------


def completed(shop: ChannelShop, platform: Platform, found: Found) -> dict[str, Any] | None:
    """What there is to know about something on a page; None where the platform does not have its detail, or not yet."""
    refund, order, order_no = found.refund, found.order, found.order_no
    if found.refund_no and refund is None and platform.is_refund_detailed:
        refund = platform.refund_of(client.ask(shop, platform.refund_call(found.refund_no)))
        order_no = order_no or platform.order_no_in(refund)
    if order is None and order_no:
        order = platform.order_of(client.ask(shop, platform.order_call(order_no)))
    if order is None and refund is None:
        return None
    key = f"{shop.shop_no}/{order_no}" + (f"/{found.refund_no}" if found.refund_no else "")
    return {"key": key[:128], "body": {"order": order, "refunds": [refund] if refund is not None else []}}


def store(shop: ChannelShop, deliveries: list[dict[str, Any]]) -> int:
    """Into the inbox, sealed; how many of them were new. Part of the caller's transaction."""
    count = 0
    with connection.cursor() as cursor:
        for delivery in sorted(deliveries, key=lambda each: each["key"]):
            text = compact(delivery["body"])
            cursor.execute(
                "INSERT INTO attribution_channelevent (channel, shop_id, event_id, body_hash, body_sealed, status, attempts,"
                " error_code, error_place) VALUES (%s, %s, %s, %s, %s, 'RECEIVED', 0, '', '') ON CONFLICT DO NOTHING",
                [shop.channel, shop.pk, delivery["key"], hashlib.sha256(text.encode()).hexdigest(),
                 crypto.seal_text(PURPOSE_EVENT, text)],
            )  # fmt: skip
            count += cursor.rowcount
    return count


# --- pushes ---------------------------------------------------------------------------------------------------------------

TELL = """
    INSERT INTO attribution_channelnotice (shop_id, order_no, refund_no, topic, is_late, status, told_count, attempts, error_code,
                                           due_at)
    VALUES (%s, %s, %s, %s, %s, 'WAITING', 1, 0, '', %s)
    ON CONFLICT (shop_id, order_no, refund_no) DO UPDATE
    SET told_count = attribution_channelnotice.told_count + 1, status = 'WAITING', attempts = 0, topic = EXCLUDED.topic,
        is_late = attribution_channelnotice.is_late OR EXCLUDED.is_late, due_at = EXCLUDED.due_at
"""


def receive_push(
    *, channel: str, shop_no: str, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, now: dt.datetime
) -> Platform | None:
    """Verify a push and note what it is about. None: no shop of ours, the push is kept. Raises NotVerified, Unreadable."""
    shop = ChannelShop.objects.filter(channel=channel, shop_no=shop_no).first()
    if shop is None:
        _keep_strange(channel, shop_no, headers, query, body)
        return None
    platform = shops.platform_of(shop)
    _tell(shop, platform, headers, query, body, now)
    return platform


def check_address(*, channel: str, shop_no: str, query: Mapping[str, str]) -> str | None:
    """The answer to a platform that checks our address; None for anybody else."""
    shop = ChannelShop.objects.filter(channel=channel, shop_no=shop_no).first()
    return shops.platform_of(shop).checked(query, shops.keys_of(shop)) if shop is not None else None


def _tell(
    shop: ChannelShop,
    platform: Platform,
    headers: Mapping[str, str],
    query: Mapping[str, str],
    body: bytes,
    now: dt.datetime,
) -> None:
    pushed = platform.pushed(headers, query, body, shops.keys_of(shop))
    with transaction.atomic(), connection.cursor() as cursor:
        for each in sorted(pushed, key=lambda one: (one.order_no, one.refund_no)):
            is_late, due_at = each.topic in platform.late_topics, now + platform.push_delay
            numbers = [each.order_no[:64], each.refund_no[:64], each.topic]
            cursor.execute(TELL, [shop.pk, *numbers, is_late, due_at])


def read_notices(*, now: dt.datetime, ran: Ran, limit: int = 500) -> None:
    """Read the orders that pushes point at. Each notice is put off while it is read, so that two workers do not read it."""
    done = 0
    while done < limit:
        with transaction.atomic():
            due = ChannelNotice.objects.filter(status="WAITING", due_at__lte=now, shop__is_enabled=True)
            notices = list(
                due.select_for_update(skip_locked=True, of=("self",)).order_by("due_at", "pk")[:NOTICE_BATCH]
            )
            for notice in notices:
                notice.attempts += 1
                notice.due_at = now + FIRST_PAUSE * 2 ** min(notice.attempts - 1, 6)
            ChannelNotice.objects.bulk_update(notices, ["attempts", "due_at"])
        if not notices:
            return
        known = {shop.pk: shop for shop in ChannelShop.objects.filter(pk__in={notice.shop_id for notice in notices})}
        for notice in notices:
            _read_notice(notice, known[notice.shop_id], now, ran)
        done += len(notices)


def _read_notice(notice: ChannelNotice, shop: ChannelShop, now: dt.datetime, ran: Ran) -> None:
    unchanged = ChannelNotice.objects.filter(pk=notice.pk, told_count=notice.told_count)
    try:
        delivery = completed(shop, shops.platform_of(shop), Found(notice.order_no, notice.refund_no))
        if delivery is None:
            raise client.ChannelError(WRONG, "no such order")
    except (client.ChannelError, Unreadable) as error:
        ran.failed += 1
        is_over = notice.attempts >= NOTICE_TRIES
        unchanged.update(error_code=error.code[:80], status="PARKED" if is_over else "WAITING")
        return
    if notice.is_late:
        delivery["body"]["read_at"] = now.isoformat()
    with transaction.atomic():
        ran.stored += store(shop, [delivery])
        unchanged.delete()


def _note(shop: ChannelShop, missed: list[Found], due_at: dt.datetime) -> None:
    """A list knows an order whose detail is not there yet: read it a little later, like one that a push pointed at."""
    with connection.cursor() as cursor:
        for found in sorted(missed, key=lambda each: (each.order_no, each.refund_no)):
            cursor.execute(TELL, [shop.pk, found.order_no[:64], found.refund_no[:64], "", False, due_at])


# --- pushes for nobody ------------------------------------------------------------------------------------------------------


def _keep_strange(
    channel: str, shop_no: str, headers: Mapping[str, str], query: Mapping[str, str], body: bytes
) -> None:
    """Whoever writes to us may fill ``MOST_STRANGE`` rows, not our disk."""
    digest = hashlib.sha256(body).hexdigest()
    known = StrangePush.objects.filter(channel=channel[:64], shop_no=shop_no[:64], body_hash=digest)
    if (
        known.update(told_count=F("told_count") + 1)
        or StrangePush.objects.filter(taken_at=None).count() >= MOST_STRANGE
    ):
        return
    said = {"headers": dict(headers), "query": dict(query), "body": base64.b64encode(body).decode()}
    StrangePush.objects.bulk_create(
        [StrangePush(channel=channel[:64], shop_no=shop_no[:64], body_hash=digest,
                     request_sealed=crypto.seal_text(PURPOSE_STRANGE, json.dumps(said)))],
        ignore_conflicts=True,
    )  # fmt: skip


class StillStrange(RuleViolation):
    code = "push_still_strange"


@transaction.atomic
def take_strange(*, actor: Any, push: StrangePush, now: dt.datetime) -> None:
    """A kept push after its shop was connected: verified like a fresh one. Raises StillStrange."""
    shop = ChannelShop.objects.filter(channel=push.channel, shop_no=push.shop_no).first()
    if shop is None or push.taken_at is not None:
        raise StillStrange(_("Connect the shop %(shop)s first.") % {"shop": push.shop_no})
    said = json.loads(crypto.open_text(PURPOSE_STRANGE, bytes(push.request_sealed)))
    try:
        _tell(shop, shops.platform_of(shop), said["headers"], said["query"], base64.b64decode(said["body"]), now)
    except (NotVerified, Unreadable):
        raise StillStrange(_("The signature of this push does not fit the secret of the shop.")) from None
    audit.record(actor=actor, verb="channel.take_strange", target=push)
    push.request_sealed, push.taken_at = b"", now
    push.save(update_fields=["request_sealed", "taken_at"])
