"""``bench callback``: taking WeCom's events over HTTP, beside a view that only inserts the same row.

Both run in the same gunicorn with the same middleware and database, into an inbox that holds ``rows`` events already. First
each in a closed loop, as fast as it goes; then the callback in an open loop at a fixed share of the inserting view's rate,
whose answers must stay quick: WeCom waits for five seconds, and repeats.
"""

from __future__ import annotations

import base64
import hashlib
import random
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from scrm import bench
from scrm import crypto as seals
from scrm.models import InboxEvent
from scrm.owner import as_owner
from scrm.wecom import crypto, inbox

NAME, CORP_ID, TOKEN = "bench", "wwbench000000001", "tokenOfTheBench"
AES_KEY = base64.b64encode(bytes(range(32))).decode().rstrip("=")
SHARE_OF_FLOOR = 0.6
CONNECTIONS = 16
CLOSED_SECONDS, OPEN_SECONDS = 8, 20
XML = {"Content-Type": "text/xml"}
FILL = """
    INSERT INTO scrm_inboxevent (endpoint_id, body_hash, body_sealed, event, change_type, aggregate, event_at, lane, status,
                                 attempts, error_code, error_place, processed_at)
    SELECT %s, encode(sha256(n::text::bytea), 'hex'), %s, 'change_external_contact',
           'edit_external_contact', 'change_external_contact|guide' || n %% 5000 || '|wm' || n, now(), 'NORMAL', 'PROCESSED',
           1, '', '', now()
    FROM generate_series(1, %s) n
"""
INSERT = """
    INSERT INTO scrm_inboxevent (endpoint_id, body_hash, body_sealed, event, change_type, aggregate, event_at, lane, status,
                                 attempts, error_code, error_place)
    SELECT id, %s, %s, 'change_external_contact', 'edit_external_contact', %s, now(), 'NORMAL', 'PROCESSED', 0, '', ''
    FROM scrm_callbackendpoint LIMIT 1
"""


@csrf_exempt
def insert_only(request: HttpRequest) -> HttpResponse:
    """No signature, no key, no seal, no look inside, no ring; the row is as large."""
    body = request.body
    with connection.cursor() as cursor:
        cursor.execute(INSERT, [hashlib.sha256(uuid.uuid4().bytes).hexdigest(), body, f"floor|{uuid.uuid4().hex}"])
    return HttpResponse(b"success", content_type="text/plain")


def register() -> None:
    """Called from ``AppConfig.ready``."""
    bench.register("callback", callback)
    bench.register_url(path("insert-event", insert_only))


def callback(*, rows: int, say: Callable[[str], None]) -> dict[str, Any]:
    endpoint = inbox.save_endpoint(name=NAME, corp_id=CORP_ID, token=TOKEN, aes_key=AES_KEY, actor=None)
    say(f"an inbox of {rows:,} events")
    with connection.cursor() as cursor:
        cursor.execute(FILL, [endpoint.pk, seals.seal_text(inbox.PURPOSE_EVENT, _message(0).decode()), rows])
    with as_owner(connection), connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) scrm_inboxevent")
    with bench.web() as address, bench.Memory(address.pid) as memory:
        say("the floor: a view that only inserts")
        plain = bench.Request.of("POST", "/bench/insert-event", headers=XML, body=_message(0))
        bench.throughput(address.port, [plain], connections=CONNECTIONS, seconds=2).require(200)  # warm
        floor = bench.throughput(address.port, [plain], connections=CONNECTIONS, seconds=CLOSED_SECONDS).require(200)
        say(f"  {floor.per_second}/s; events of WeCom, as fast as they go")
        events = _requests(1, int(floor.per_second * CLOSED_SECONDS))
        top = bench.throughput(address.port, events, connections=CONNECTIONS, seconds=CLOSED_SECONDS).require(200)
        rate = SHARE_OF_FLOOR * floor.per_second
        say(f"  {top.per_second}/s; events at {rate:.0f}/s")
        events = _requests(len(events) + 1, int(rate * OPEN_SECONDS * 1.1) + 100)
        calm = bench.pace(address.port, events, per_second=rate, seconds=OPEN_SECONDS, connections=64).require(200)
    answered, stored = len(top.times) + len(calm.times), InboxEvent.objects.filter(status="RECEIVED").count()
    if stored != answered:
        raise RuntimeError(f"{answered} events were answered and {stored} are stored")
    return {
        "rows_per_second": top.per_second,
        **bench.percentiles(calm.times),
        "at_per_second": round(rate, 1),
        "peak_mb": memory.peak_mb,
        "floor_per_second": floor.per_second,
        "ratio": round(top.per_second / floor.per_second, 3),
        "answered_and_stored": stored,
    }


def _requests(first: int, count: int) -> list[bench.Request]:
    """Signed and encrypted calls, each of an event of its own; they must be sent within ten minutes."""
    keys, timestamp = crypto.Keys(TOKEN, crypto.decode_key(AES_KEY), CORP_ID), str(int(time.time()))
    requests = []
    for number in range(first, first + count):
        encrypted = crypto.encrypt(keys, _message(number))
        nonce = f"{random.getrandbits(32)}"
        signed = crypto.signature(TOKEN, timestamp, nonce, encrypted)
        query = urlencode({"msg_signature": signed, "timestamp": timestamp, "nonce": nonce})
        body = f"<xml><ToUserName><![CDATA[{CORP_ID}]]></ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
        requests.append(bench.Request.of("POST", f"/wecom/callback/{NAME}?{query}", headers=XML, body=body.encode()))
    return requests


def _message(number: int) -> bytes:
    return (
        f"<xml><ToUserName><![CDATA[{CORP_ID}]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName>"
        f"<CreateTime>{int(time.time())}</CreateTime><MsgType><![CDATA[event]]></MsgType>"
        "<Event><![CDATA[change_external_contact]]></Event><ChangeType><![CDATA[edit_external_contact]]></ChangeType>"
        f"<UserID><![CDATA[guide{number % 20_000:05}]]></UserID><ExternalUserID><![CDATA[wmBench{number:025}]]></ExternalUserID></xml>"
    ).encode()
