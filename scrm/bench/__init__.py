"""Benches (性能测试): how fast the product is, beside what the same machine can do at all.

1. A scenario is a function registered under a name in ``AppConfig.ready``; it takes ``rows`` and ``say`` (a sentence for
   the person who waits) and returns JSON values: rows_per_second, p50_ms, p95_ms, p99_ms, peak_mb and ratio as they apply.
2. ``ratio`` compares with a floor that the scenario measures in the same run, on the same tables and the same server.
3. Benches run in a database of their own, made for the run and dropped after it; nobody's data is touched.
4. Peak memory is that of the job's process and its children; PostgreSQL's is apart.

``fill`` makes members, order lines and what hangs on them by set-based SQL; an app above brings it with ``register_fill``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scrm.bench.load import Burst, Request, pace, throughput
from scrm.bench.measure import Cpu, Memory, percentiles, timed
from scrm.bench.web import Address, web

__all__ = [
    "SCENARIOS", "Address", "Burst", "Cpu", "Memory", "Request", "fill", "pace", "percentiles", "register", "register_fill",
    "register_url", "throughput", "timed", "web",
]  # fmt: skip

Say = Callable[[str], None]
Scenario = Callable[..., dict[str, Any]]

SCENARIOS: dict[str, Scenario] = {}
ROWS: dict[str, int] = {}  # where nobody says how many
URLS: list[Any] = []  # floor views, served by a bench's own web process only
_fills: list[Callable[..., None]] = []


def register(name: str, scenario: Scenario, *, rows: int = 1_000_000) -> None:
    """``scenario(rows=…, say=…)`` is run on an empty, migrated database by ``manage.py bench <name>``."""
    SCENARIOS[name], ROWS[name] = scenario, rows


def register_url(pattern: Any) -> None:
    """A ``path(…)`` of a floor view, below ``/bench/``."""
    URLS.append(pattern)


def register_fill(function: Callable[..., None]) -> None:
    """``function(rows=…, say=…)`` fills the bench database with ``rows`` members and ``rows`` order lines."""
    _fills.append(function)


def fill(*, rows: int, say: Say) -> None:
    for function in _fills:
        function(rows=rows, say=say)
