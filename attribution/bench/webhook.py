"""Taking signed events over HTTP, beside a view that only stores them.

Both run in the same gunicorn with the same middleware and database. First each in a closed loop, as fast as it goes; then
the product's view in an open loop at a fixed share of the store-only view's rate, whose answers must stay quick.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from attribution import intake
from attribution.bench import filling
from attribution.models import ChannelEvent
from scrm import bench

CHANNEL = "TMALL"
SHARE_OF_FLOOR = 0.6
CONNECTIONS = 16
CLOSED_SECONDS, OPEN_SECONDS = 8, 20
PROCESSED = 2_000  # events that are understood afterwards, to see that the worker keeps up


def webhook(*, rows: int, say: Callable[[str], None]) -> dict[str, Any]:
    filling.fill(rows=rows, say=say)
    secret = intake.new_secret(channel=CHANNEL, actor=None).encode()
    with bench.web() as address, bench.Memory(address.pid) as memory:
        say("the floor: a view that only stores")
        plain = bench.Request.of("POST", "/bench/store", headers=JSON, body=_body(0))
        bench.throughput(address.port, [plain], connections=CONNECTIONS, seconds=2).require(200)  # warm
        floor = bench.throughput(address.port, [plain], connections=CONNECTIONS, seconds=CLOSED_SECONDS).require(200)
        say(f"  {floor.per_second}/s; signed events, as fast as they go")
        first = int(floor.per_second * CLOSED_SECONDS)
        events = _requests(secret, 1, first)
        top = bench.throughput(address.port, events, connections=CONNECTIONS, seconds=CLOSED_SECONDS).require(200)
        rate = SHARE_OF_FLOOR * floor.per_second
        say(f"  {top.per_second}/s; signed events at {rate:.0f}/s")
        events = _requests(secret, first + 1, int(rate * OPEN_SECONDS * 1.1) + 100)
        open_loop = bench.pace(address.port, events, per_second=rate, seconds=OPEN_SECONDS, connections=64).require(200)
    answered = len(top.times) + len(open_loop.times)
    stored = ChannelEvent.objects.filter(channel=CHANNEL).count()
    if stored != answered:
        raise RuntimeError(f"{answered} events were answered and {stored} are stored")
    say("understanding what was stored")
    return {
        "rows_per_second": top.per_second,
        **bench.percentiles(open_loop.times),
        "at_per_second": round(rate, 1),
        "peak_mb": memory.peak_mb,
        "floor_per_second": floor.per_second,
        "ratio": round(top.per_second / floor.per_second, 3),
        "answered_and_stored": stored,
        "processed_per_second": _process(),
    }


JSON = {"Content-Type": "application/json"}


def _process() -> float:
    ChannelEvent.objects.filter(channel="FLOOR").delete()
    seconds, done = bench.timed(lambda: intake.process(now=timezone.now(), limit=PROCESSED))
    if done.processed != min(PROCESSED, ChannelEvent.objects.count()):
        raise RuntimeError(f"not every event was understood: {done}")
    return round(done.processed / seconds, 1)


def _requests(secret: bytes, first: int, count: int) -> list[bench.Request]:
    """Signed deliveries, each of an order of its own; they must be sent within five minutes."""
    timestamp = str(int(time.time()))
    path, requests = f"/api/channels/{CHANNEL}/events", []
    for number in range(first, first + count):
        body = _body(number)
        headers = JSON | {"X-Timestamp": timestamp, "X-Signature": intake.signature(secret, timestamp, body)}
        requests.append(bench.Request.of("POST", path, headers=headers, body=body))
    return requests


def _body(number: int) -> bytes:
    """An order of two lines with a buyer, a discount and points: about a kilobyte."""
    at = "2026-06-30T12:00:00+08:00"
    lines = [
        {
            "line_no": 1,
            "sku": f"SKU{1 + number % filling.PRODUCTS}",
            "name": "金枕榴莲",
            "quantity": "2.5",
            "list_fen": 14_950,
        },
        {"line_no": 2, "sku": f"SKU{2 + number % 100}", "name": "阳光玫瑰葡萄", "quantity": "1", "list_fen": 3_980},
    ]
    order = {
        "paid_at": at,
        "buyer": {"card_no": f"VIP{1 + number % 1000:09d}"},
        "discounts": [{"sponsor": "PLATFORM", "amount_fen": 1_000}],
        "points_fen": 200,
        "lines": lines,
    }
    event = {
        "schema": "order-event/1",
        "event_id": f"event-{number}",
        "version": at,
        "shop": "main",
        "order_no": f"W{number}",
    }
    return json.dumps(event | {"order": order}, ensure_ascii=False).encode()
