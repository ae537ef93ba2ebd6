"""One order after the other: from the signed delivery to its decided and posted lines, as a worker takes it."""

from __future__ import annotations

import json
import time
from typing import Any

from django.utils import timezone

from attribution import intake
from attribution.bench import filling
from attribution.models import Decision
from scrm import bench

CHANNEL = "TMALL"
WARM, ORDERS = 20, 300


def per_order() -> dict[str, Any]:
    """Percentiles in milliseconds, among the orders that the bench has posted before."""
    secret = intake.new_secret(channel=CHANNEL, actor=None).encode()
    before = Decision.objects.count()
    times = []
    for number in range(WARM + ORDERS):
        body = _body(number)
        timestamp = str(int(time.time()))
        signed = intake.signature(secret, timestamp, body)
        started = time.perf_counter()
        intake.receive(channel=CHANNEL, timestamp=timestamp, signed=signed, body=body, now=timezone.now())
        done = intake.process(now=timezone.now(), limit=1)
        times.append(time.perf_counter() - started)
        if done.processed != 1:
            raise RuntimeError(f"order {number} was not understood: {done}")
    decided = Decision.objects.count() - before
    if decided != 2 * (WARM + ORDERS):
        raise RuntimeError(f"{decided} lines of {WARM + ORDERS} orders were decided")
    return {"orders": ORDERS, "lines_each": 2, **bench.percentiles(times[WARM:])}


def _body(number: int) -> bytes:
    """Two lines of a member with a card; every other one has a binding, every third a touch."""
    at = f"2026-06-30T12:{number // 60 % 60:02d}:{number % 60:02d}+08:00"
    lines = [
        {
            "line_no": 1,
            "sku": f"SKU{1 + number % filling.PRODUCTS}",
            "name": "商品",
            "quantity": "1",
            "list_fen": 14_950,
        },
        {
            "line_no": 2,
            "sku": f"SKU{1 + number * 7 % filling.PRODUCTS}",
            "name": "商品",
            "quantity": "2",
            "list_fen": 3_980,
        },
    ]
    order = {"paid_at": at, "buyer": {"card_no": f"VIP{1 + number:09d}"}, "points_fen": 200, "lines": lines}
    head = {
        "schema": "order-event/1",
        "event_id": f"one-{number}",
        "version": at,
        "shop": "main",
        "order_no": f"ONE{number}",
    }
    return json.dumps(head | {"order": order}, ensure_ascii=False).encode()
