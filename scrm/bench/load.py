"""HTTP load over loopback: keep-alive connections on raw sockets, in processes of their own.

``throughput`` is a closed loop: each connection sends its next request when the last one is answered. ``pace`` is an open
loop: requests have their moment, drawn once as a Poisson process of a fixed seed, and the time of one that had to wait for
a connection counts from its moment, so that a slow server cannot hide its queue.
"""

from __future__ import annotations

import multiprocessing
import random
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

TIMEOUT_SECONDS = 30
START_SECONDS = 1.5  # from the spawn of a load process to its first request
SEED = 20


class Request(NamedTuple):
    """A request as bytes, made once: the load must not cost more than what it measures."""

    raw: bytes

    @classmethod
    def of(cls, method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes = b"") -> Request:
        lines = [f"{method} {path} HTTP/1.1"]
        fields = {"Host": "localhost", **(headers or {})}
        if body or method != "GET":
            fields["Content-Length"] = str(len(body))
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return cls("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


@dataclass(slots=True)
class Burst:
    """What a load measured."""

    seconds: float = 0
    times: list[float] = field(default_factory=list)  # of every answer, in seconds
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        return round(len(self.times) / self.seconds, 1) if self.seconds else 0

    def require(self, *expected: int) -> Burst:
        """Refuse to report figures of errors."""
        wrong = {status: count for status, count in self.statuses.items() if status not in expected}
        if wrong or not self.times:
            raise RuntimeError(f"the load was answered with {self.statuses}, expected {expected}")
        return self


def throughput(
    port: int, requests: Sequence[Request], *, connections: int = 16, seconds: float = 8, processes: int = 1
) -> Burst:
    """As many answers as ``connections`` get in ``seconds``; each request is sent once, or over and over if it is one."""
    return _run("closed", port, requests, connections, processes, seconds=seconds)


def pace(
    port: int,
    requests: Sequence[Request],
    *,
    per_second: float,
    seconds: float,
    connections: int = 32,
    processes: int = 1,
) -> Burst:
    """The times of requests that arrive at a mean rate of ``per_second``."""
    return _run("open", port, requests, connections, processes, seconds=seconds, per_second=per_second)


def _run(
    kind: str, port: int, requests: Sequence[Request], connections: int, processes: int, **options: float
) -> Burst:
    context = multiprocessing.get_context("spawn")
    starts_at = time.time() + START_SECONDS
    shares = [list(requests[number::processes]) or list(requests) for number in range(processes)]
    if "per_second" in options:
        options["per_second"] /= processes
    with context.Pool(processes) as pool:
        each = -(-connections // processes)
        jobs = [
            (kind, port, [request.raw for request in share], each, starts_at, SEED + number, options)
            for number, share in enumerate(shares)
        ]
        parts: list[Burst] = pool.starmap(_load, jobs, chunksize=1)
    whole = Burst(seconds=max(part.seconds for part in parts))
    for part in parts:
        whole.times += part.times
        for status, count in part.statuses.items():
            whole.statuses[status] = whole.statuses.get(status, 0) + count
    return whole


def _load(
    kind: str, port: int, raws: list[bytes], connections: int, starts_at: float, seed: int, options: dict[str, float]
) -> Burst:
    """One load process: its connections are threads that take the next request under a lock."""
    schedule = _schedule(seed, options) if kind == "open" else None
    feed = _Feed(raws, schedule, options["seconds"])
    clients = [_Client(port, feed) for _ in range(connections)]
    time.sleep(max(0.0, starts_at - time.time()))
    feed.started = started = time.perf_counter()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    burst = Burst(seconds=time.perf_counter() - started)
    for client in clients:
        if client.error:
            raise client.error
        burst.times += client.times
        for status in client.statuses:
            burst.statuses[status] = burst.statuses.get(status, 0) + 1
    return burst


def _schedule(seed: int, options: dict[str, float]) -> list[float]:
    rng, at, moments = random.Random(seed), 0.0, []  # noqa: S311  arrivals, no secret
    while at < options["seconds"]:
        moments.append(at)
        at += rng.expovariate(options["per_second"])
    return moments


class _Feed:
    """Hands out each request with the moment from which its time counts."""

    def __init__(self, raws: list[bytes], schedule: list[float] | None, seconds: float) -> None:
        self.raws, self.schedule, self.seconds = raws, schedule, seconds
        self.started = 0.0
        self._next = 0
        self._lock = threading.Lock()

    def take(self) -> tuple[bytes, float] | None:
        with self._lock:
            number = self._next
            self._next += 1
        if len(self.raws) > 1 and number >= len(self.raws):
            return None
        raw = self.raws[number] if len(self.raws) > 1 else self.raws[0]
        now = time.perf_counter()
        if self.schedule is None:
            return (raw, now) if now - self.started < self.seconds else None
        if number >= len(self.schedule):
            return None
        due = self.started + self.schedule[number]
        if due > now:
            time.sleep(due - now)
        return raw, due


class _Client(threading.Thread):
    """One keep-alive connection."""

    def __init__(self, port: int, feed: _Feed) -> None:
        super().__init__(daemon=True)
        self.port, self.feed = port, feed
        self.times: list[float] = []
        self.statuses: list[int] = []
        self.error: Exception | None = None
        self._socket: socket.socket | None = None
        self._buffer = b""

    def run(self) -> None:
        try:
            while (taken := self.feed.take()) is not None:
                raw, since = taken
                status = self._ask(raw)
                self.times.append(time.perf_counter() - since)
                self.statuses.append(status)
        except Exception as error:  # noqa: BLE001  reported by the process that waits for us
            self.error = error
        finally:
            if self._socket:
                self._socket.close()

    def _ask(self, raw: bytes) -> int:
        for attempt in (1, 2):
            try:
                fresh = self._socket is None
                connection = self._connect()
                connection.sendall(raw)
                return self._answer(connection)
            except (ConnectionError, EOFError):
                self._drop()
                if fresh or attempt == 2:  # a kept connection may have been closed by the server meanwhile
                    raise
        raise AssertionError

    def _connect(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _drop(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket, self._buffer = None, b""

    def _answer(self, connection: socket.socket) -> int:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._receive(connection)
        head = self._buffer[:end].decode("latin-1").lower()
        length = next((int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")), None)
        if length is None:
            raise RuntimeError("the answer has no Content-Length")
        while len(self._buffer) < end + 4 + length:
            self._receive(connection)
        self._buffer = self._buffer[end + 4 + length :]
        if "connection: close" in head:
            self._drop()
        return int(head[9:12])

    def _receive(self, connection: socket.socket) -> None:
        data: Any = connection.recv(65_536)
        if not data:
            raise EOFError
        self._buffer += data
