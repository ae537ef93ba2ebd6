"""Stock items with something in stock, and many buyers at once."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

from django.db import connections

from campaigns.communities import stock, stock_levels
from campaigns.models import StockItem

_numbers = itertools.count(1)


def key() -> str:
    return f"test {next(_numbers)}"


def item(count: int = 0, store: Any = None, **values: Any) -> StockItem:
    row = StockItem.objects.create(**{"name": "猫山王", **values})
    if count:
        fill(row, store, count)
    return row


def fill(row: StockItem, store: Any, count: int) -> None:
    stock_levels.change(
        item_id=row.pk, store_id=store.pk if store else None, count=count, key=key(), reason="到货", actor=None
    )


def wanted(row: StockItem, store: Any = None, who: str = "walk-in", quantity: int = 1, **values: Any) -> stock.Wanted:
    return stock.Wanted(row.pk, store.pk if store else None, who, quantity, **values)


def at_once(work: Callable[[int], Any], count: int, threads: int = 8) -> list[Any]:
    """``work`` of every number, by threads with connections of their own that start together; what came out, or was raised."""
    found: list[Any] = [None] * count
    gate = threading.Barrier(threads)

    def run(thread: int) -> None:
        try:
            gate.wait()
            for number in range(thread, count, threads):
                try:
                    found[number] = work(number)
                except Exception as error:  # noqa: BLE001  what it is, is asked by the test
                    found[number] = error
        finally:
            connections.close_all()

    running = [threading.Thread(target=run, args=(thread,)) for thread in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return found
