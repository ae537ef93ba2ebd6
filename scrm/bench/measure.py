"""Time and memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Self, TypeVar

import psutil
from django.db import connection

SAMPLE_SECONDS = 0.02
FAMILY_SECONDS = 0.5  # in which a new child is noticed
SERVERS = ("postgres", "valkey-server", "redis-server")  # counted apart, should one ever be our child

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds and the result."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds, by nearest rank."""
    ordered = sorted(seconds)
    if not ordered:
        raise ValueError("nothing was measured")
    ranks = {f"p{p}_ms": ordered[max(0, -(-len(ordered) * p // 100) - 1)] for p in (50, 95, 99)}
    return {name: round(value * 1000, 2) for name, value in ranks.items()}


class Cpu:
    """``with Cpu() as cpu: …`` then ``cpu.python`` and ``cpu.server``: CPU seconds, which other work on the machine hardly moves.

    Of this process with its children that have ended; and of the PostgreSQL server, all of its databases together, where it
    runs on this machine (else 0).
    """

    def __init__(self) -> None:
        self.python = self.server = 0.0

    def __enter__(self) -> Self:
        self.python, self.server = -_python_cpu(), -_server_cpu()
        return self

    def __exit__(self, *_error: object) -> None:
        self.python, self.server = round(self.python + _python_cpu(), 1), round(self.server + _server_cpu(), 1)


def _python_cpu() -> float:
    return sum(os.times()[:4])


def _server_cpu() -> float:
    """A server adds up the processes that have ended; those that live are added here."""
    connection.ensure_connection()
    try:
        server = psutil.Process(connection.connection.info.backend_pid).parent()
    except psutil.Error:  # it runs elsewhere
        return 0.0
    if server is None or server.name() not in SERVERS:
        return 0.0
    total = sum(server.cpu_times()[:4])
    for child in server.children():
        try:
            total += sum(child.cpu_times()[:2])
        except psutil.Error:  # it has just ended: the server counts it the next time
            continue
    return float(total)


class Memory:
    """``with Memory() as memory: …`` then ``memory.peak_mb``: resident memory of this process (or of ``pid``) and its children.

    Pages shared after a fork count in every process, so the figure is rather too high than too low.
    """

    def __init__(self, pid: int | None = None) -> None:
        self._process = psutil.Process(pid or os.getpid())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._peak = 0
        self._children: list[psutil.Process] = []
        self._looked_at = 0.0

    @property
    def peak_mb(self) -> float:
        return round(self._peak / 2**20, 1)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self._peak = max(self._peak, self._now())
            if self._stop.wait(SAMPLE_SECONDS):
                return

    def _now(self) -> int:
        try:
            total, now = self._process.memory_info().rss, time.monotonic()
            if now - self._looked_at >= FAMILY_SECONDS:  # it looks at every process of the machine
                self._children, self._looked_at = self._process.children(recursive=True), now
        except psutil.Error:  # the process that is watched has ended
            return 0
        for child in self._children:
            try:
                if child.name() not in SERVERS:
                    total += child.memory_info().rss
            except psutil.Error:  # it has just ended
                continue
        return total
