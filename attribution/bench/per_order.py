"""One order after the other: from the signed delivery to its decided and posted lines, as a worker takes it.

The floor takes turns with it and writes copies of exactly the rows that the order has left behind (event, order, lines,
decisions, transactions, entries, holds) into the same tables, a table a statement, planned once: it reads no evidence, judges
no version, decides nothing and commits once instead of four times.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import psutil
from django.db import connection
from django.utils import timezone

from attribution import decisions, intake
from attribution.bench import filling
from attribution.models import Decision, Txn
from members.models import Order, OrderLine
from scrm import bench, db
from scrm.owner import as_owner

CHANNEL = "TMALL"
WARM, ORDERS = 20, 300
WORKERS = 2  # one a core, for what is in the books before
TOP = 12  # statements shown

Statements = dict[str, list[float]]


def scenario(*, rows: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Orders that come alone, among ``rows`` lines in the books."""
    filling.fill(rows=rows, say=say)
    say("deciding and posting")
    decisions.decide_open(workers=WORKERS)
    with as_owner(connection), connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
    say("one order after the other, from the signed delivery on")
    return per_order()


def per_order() -> dict[str, Any]:
    """Percentiles in milliseconds, among the lines that are in the books; where the time goes, per order."""
    secret = intake.new_secret(channel=CHANNEL, actor=None).encode()
    before = Decision.objects.count()
    times: list[float] = []
    floors: list[float] = []
    cpu = _Cpu()
    statements: Statements = defaultdict(list)
    for number in range(WARM + ORDERS):
        if number == WARM:
            cpu = _Cpu()
            for measured in (times, floors, statements):
                measured.clear()
        with cpu, db.watching(lambda statement, seconds: statements[statement].append(seconds)):
            times.append(_take(secret, number))
        floors.append(_copy(number))
    decided = Decision.objects.count() - before
    if decided != 2 * 2 * (WARM + ORDERS):  # the orders and their copies
        raise RuntimeError(f"{decided} lines of {WARM + ORDERS} orders were decided")
    found, floor = bench.percentiles(times), bench.percentiles(floors)
    return {
        "orders": ORDERS,
        "lines_each": 2,
        **found,
        "floor": floor,
        "ratio": round(floor["p50_ms"] / found["p50_ms"], 3),
        "cpu_ms": cpu.per_order(),
        **_where(statements, sum(times)),
    }


def _take(secret: bytes, number: int) -> float:
    body = _body(number)
    timestamp = str(int(time.time()))
    signed = intake.signature(secret, timestamp, body)
    started = time.perf_counter()
    intake.receive(channel=CHANNEL, timestamp=timestamp, signed=signed, body=body, now=timezone.now())
    done = intake.process(now=timezone.now(), limit=1)
    seconds = time.perf_counter() - started
    if done.processed != 1:
        raise RuntimeError(f"order {number} was not understood: {done}")
    return seconds


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


# --- where the time goes ------------------------------------------------------------------------------------------------


class _Cpu:
    """What this process and its server spend computing; the server's where it runs on this machine."""

    def __init__(self) -> None:
        self._ours, self._server, self._orders = 0.0, 0.0, 0

    def __enter__(self) -> None:
        self._orders += 1
        self._before = time.process_time(), _server_seconds()

    def __exit__(self, *_error: object) -> None:
        ours, server = self._before
        self._ours += time.process_time() - ours
        self._server += _server_seconds() - server

    def per_order(self) -> dict[str, float]:
        """Milliseconds; the server's clock ticks a hundred times a second, which is enough for the sum of all orders."""
        return {
            "client": round(self._ours * 1000 / self._orders, 2),
            "server": round(self._server * 1000 / self._orders, 2),
        }


def _server_seconds() -> float:
    connection.ensure_connection()
    try:
        spent = psutil.Process(connection.connection.info.backend_pid).cpu_times()
    except psutil.Error:  # on another machine
        return 0.0
    return float(spent.user + spent.system)


def _where(statements: Statements, total: float) -> dict[str, Any]:
    """Round trips and milliseconds of an order; what is neither is spent in Python and in the commits."""
    asked = sum(map(sum, statements.values()))
    slowest = sorted(statements.items(), key=lambda item: -sum(item[1]))[:TOP]
    return {
        "statements": round(sum(map(len, statements.values())) / ORDERS, 1),
        "statements_ms": round(asked * 1000 / ORDERS, 2),
        "python_and_commits_ms": round((total - asked) * 1000 / ORDERS, 2),
        "slowest_statements": [
            {
                "ms": round(sum(times) * 1000 / ORDERS, 3),
                "times": round(len(times) / ORDERS, 1),
                "sql": _short(statement),
            }
            for statement, times in slowest
        ],
    }


def _short(statement: str) -> str:
    """The end of it, where a statement with passed rows says what it does."""
    words = " ".join(statement.split())
    return words if len(words) <= 120 else f"{words[:50]} … {words[-65:]}"


# --- the floor ----------------------------------------------------------------------------------------------------------

NOW = {
    "posted_at": "transaction_timestamp()",
    "posted_on": "(transaction_timestamp() AT TIME ZONE 'Asia/Shanghai')::date",
}
LINE = "JOIN unnest(%(lines)s::bigint[], %(new_lines)s::bigint[]) l(old, new) ON l.old = t."
TXN = "JOIN unnest(%(txns)s::bigint[], %(new_txns)s::bigint[]) x(old, new) ON x.old = t."
# table: which rows, and what the copy says instead
COPIES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "attribution_channelevent": (
        f"WHERE t.channel = '{CHANNEL}' AND t.event_id = %(event)s",
        {"event_id": "t.event_id || '-copy'", "id": ""},
    ),
    "members_order": ("WHERE t.id = %(order)s", {"order_no": "t.order_no || '-copy'", "id": "%(new_order)s::bigint"}),
    "members_orderline": (
        f"{LINE}id WHERE t.booked_on = %(day)s",
        {"id": "l.new", "order_id": "%(new_order)s::bigint"},
    ),
    "attribution_decision": (f"{LINE}line_id WHERE t.booked_on = %(day)s", {"id": "", "line_id": "l.new"}),
    "attribution_txn": (
        f"{LINE}line_id {TXN}id",
        {"id": "x.new", "key": "t.key || '|copy'", "line_id": "l.new", "decision_id": "NULL", **NOW},
    ),
    "attribution_entry": (f"{TXN}txn_id WHERE t.posted_on = %(today)s", {"id": "", "txn_id": "x.new", **NOW}),
    "attribution_hold": (f"{LINE}line_id {TXN}txn_id", {"id": "", "line_id": "l.new", "txn_id": "x.new"}),
}
_copies: list[str] = []


def _copy(number: int) -> float:
    """Seconds to write the rows of an order once more."""
    order = Order.objects.get(order_no=f"ONE{number}", channel=CHANNEL)
    lines = [*OrderLine.objects.filter(order=order, booked_on=order.booked_on).values_list("pk", flat=True)]
    txns = [*Txn.objects.filter(line_id__in=lines).values_list("pk", "posted_on")]
    values = {
        "event": f"one-{number}", "order": order.pk, "new_order": db.next_ids(Order, 1)[0], "day": order.booked_on,
        "lines": lines, "new_lines": db.next_ids(OrderLine, len(lines)), "txns": [pk for pk, _day in txns],
        "new_txns": db.next_ids(Txn, len(txns)), "today": txns[0][1],
    }  # fmt: skip
    if not _copies:
        _copies.extend(_statement(table, *copy) for table, copy in COPIES.items())
    started = time.perf_counter()
    with db.plans_kept():
        for statement in _copies:
            db.write(statement, values)
    return time.perf_counter() - started


def _statement(table: str, which: str, changes: Mapping[str, str]) -> str:
    rows = db.read(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped", [table]
    )
    said = {column: changes.get(column, f"t.{column}") for (column,) in rows}
    columns = [column for column in said if said[column]]
    values = ", ".join(said[column] for column in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} t {which}"
