"""Claims of one hot item by 32 clients, beside a bare conditional update.

Both are one statement per sale on the same server, by the same driver and the same clients, with commits that wait for the disk. The
floor is ``UPDATE … SET left_count = left_count - 1 WHERE id = 1 AND left_count > 0`` on one row: what any shop with a stock must do.
The product also writes the reservation under its key, the buyer's count against her cap, and keeps sold + reserved + left = stock.

A commit latency of 2 ms is made by a deferred trigger on the row that is counted: at its commit each transaction sleeps 2 ms with its
locks held, and then waits for the disk as always. Floor and product bear it alike; one row cannot sell more than 500 a second then,
and several buckets are several rows. Rounds of floor and product alternate, so that what else the machine does bears on both.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connection, connections
from django.utils import timezone

from campaigns.communities import stock, stock_levels
from campaigns.models import StockItem
from members.models import Member
from scrm import bench, db
from scrm.models import Brand
from scrm.owner import as_owner

ROWS = 6_000  # sales of each kind
CLIENTS, PROCESSES = 32, 4
BUCKETS = 8
ROUNDS = 4
LATENCY_MS = 2
WARM = 3  # sales of each client before the clock runs

Say = Callable[[str], None]
Work = Callable[[int], None]

FLOOR = "UPDATE staging.floor_stock SET left_count = left_count - 1 WHERE id = 1 AND left_count > %(none)s RETURNING left_count"
TABLE = """
    CREATE TABLE staging.floor_stock (id int PRIMARY KEY, left_count int NOT NULL CHECK (left_count >= 0));
    CREATE FUNCTION staging.late_commit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$;
"""
LATE = """
    CREATE CONSTRAINT TRIGGER late_commit AFTER UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION staging.late_commit()
"""


def flash_sale(*, rows: int, say: Say) -> dict[str, Any]:
    each = max(CLIENTS * WARM, rows // ROUNDS)
    brand = Brand.objects.order_by("pk")[0]
    made = Member.objects.bulk_create((Member(brand=brand, name=f"会员{n}") for n in range(each)), batch_size=5_000)
    members = [member.pk for member in made]
    with connection.cursor() as cursor:
        cursor.execute(TABLE.format(seconds=LATENCY_MS / 1000))
        cursor.execute("INSERT INTO staging.floor_stock VALUES (1, %s)", [10**9])
    say(f"{CLIENTS} clients, {ROUNDS} rounds of {each:,} sales each; commits as they are")
    plain = _compare(members, each, {"one_bucket": 1, "buckets": BUCKETS}, say)
    with connection.cursor() as cursor:
        cursor.execute(LATE.format(table="staging.floor_stock"))
    with as_owner(connection), connection.cursor() as cursor:
        cursor.execute(LATE.format(table="campaigns_stockbucket"))
    say(f"commits that take {LATENCY_MS} ms more")
    late = _compare(members, each, {"one_bucket": 1, "buckets": BUCKETS}, say)
    if stock_levels.differences():
        raise RuntimeError(f"the counts differ: {stock_levels.differences()[:5]}")
    return {  # a hot item has several buckets, any other one
        "rows_per_second": plain["buckets"]["per_second"], "ratio": plain["buckets"]["ratio"],
        "ratio_one_bucket": plain["one_bucket"]["ratio"], "ratio_2ms": late["buckets"]["ratio"],
        "ratio_2ms_one_bucket": late["one_bucket"]["ratio"],
        "plain": plain, "late_2ms": late, "clients": CLIENTS, "buckets": BUCKETS,
        "latency": "deferred trigger: 2 ms at commit, locks held; fdatasync on top",
    }  # fmt: skip


def _compare(members: list[int], each: int, kinds: dict[str, int], say: Say) -> dict[str, Any]:
    """``{kind: sold a second, percentiles, ratio to the floor}`` of alternating rounds."""
    seconds: dict[str, float] = dict.fromkeys(("floor", *kinds), 0.0)
    times: dict[str, list[float]] = {name: [] for name in seconds}
    for number in range(ROUNDS):
        for name in seconds:
            work: Work = _take_one
            warm: Work = _take_one
            if name != "floor":
                work, warm = (_claims(_item(count, kinds[name]), members) for count in (each, CLIENTS * WARM))
            took, found = _at_once(work, warm, each)
            seconds[name] += took
            times[name] += found
        say(
            f"  round {number + 1}: "
            + ", ".join(f"{name} {each / took:,.0f}/s" for name, took in _mean(seconds, number))
        )
    rates = {name: each * ROUNDS / took for name, took in seconds.items()}
    return {
        name: {"per_second": round(rate, 1), "ratio": round(rate / rates["floor"], 3), **bench.percentiles(times[name])}
        for name, rate in rates.items()
    }


def _mean(seconds: dict[str, float], number: int) -> list[tuple[str, float]]:
    return [(name, took / (number + 1)) for name, took in seconds.items()]


def _item(count: int, buckets: int) -> int:
    """Exactly as many as will be claimed."""
    now = timezone.now()
    item = StockItem.objects.create(
        name="猫山王",
        member_cap=1,
        hold_minutes=60,
        bucket_count=buckets,
        opens_at=now,
        closes_at=now.replace(year=now.year + 1),
    )
    stock_levels.change(item_id=item.pk, store_id=None, count=count, key=f"bench {item.pk}", reason="到货", actor=None)
    return item.pk


def _take_one(number: int) -> None:
    if not db.fetch(FLOOR, {"none": 0}):
        raise RuntimeError("the floor has no stock")


def _claims(item_id: int, members: list[int]) -> Work:
    def claim(number: int) -> None:
        member = members[number]
        wanted = stock.Wanted(item_id, None, stock.buyer_of(member), member_id=member, unit_fen=9_900)
        if not stock.claim(wanted=wanted, key=f"bench {item_id} {number}").is_new:
            raise RuntimeError("a claim came twice")

    return claim


def _at_once(work: Work, warm: Work, count: int) -> tuple[float, list[float]]:
    """Every number once, by threads of several processes that start together: seconds, and those of each.

    Each has sold something before, so that no connection plans its statements while the clock runs.
    """
    connections.close_all()
    fork = multiprocessing.get_context("fork")
    gate, answers = fork.Barrier(CLIENTS + 1), fork.Queue()
    children = [
        fork.Process(target=_clients, args=(work, warm, count, first, gate, answers), daemon=True)
        for first in range(PROCESSES)
    ]
    for child in children:
        child.start()
    gate.wait()
    started = time.perf_counter()
    found = [answers.get() for _child in children]
    seconds = max(ended for ended, _times, _fault in found) - started
    for child in children:
        child.join()
    for _ended, _times, fault in found:
        if fault:
            raise RuntimeError(fault)
    return seconds, [each for _ended, times, _fault in found for each in times]


def _clients(work: Work, warm: Work, count: int, process: int, gate: Any, answers: Any) -> None:
    times: list[float] = []
    faults: list[str] = []

    def run(client: int) -> None:
        try:
            for number in range(client, CLIENTS * WARM, CLIENTS):
                warm(number)
            gate.wait()
            for number in range(client, count, CLIENTS):
                started = time.perf_counter()
                work(number)
                times.append(time.perf_counter() - started)
        except Exception as error:  # noqa: BLE001  told to the parent, which raises it
            faults.append(repr(error))
            gate.abort()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(client,)) for client in range(process, CLIENTS, PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.put((time.perf_counter(), times, "; ".join(faults[:3])))
