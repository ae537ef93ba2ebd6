"""Who takes whom: pure, without a clock or a table.

1. The most valuable customers are given first, so that nobody gets all of them and nobody all of the rest.
2. Each goes to the taker with the fewest customers so far, old and new; among equals to the one with fewer new ones, then
   to the one named first.
3. A taker gets at most as many new ones as the cap says. Who finds nobody with room stays.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

# by what was spent in a year, in fen; the first that is reached
BANDS: tuple[tuple[str, int], ...] = (("OVER_5000", 500_000), ("OVER_1000", 100_000), ("BOUGHT", 1), ("NOTHING", 0))


@dataclass(frozen=True, slots=True)
class Taker:
    key: int
    load: int  # customers before
    most: int | None = None  # new ones; None: no cap


def spread(values: Sequence[int], takers: Sequence[Taker]) -> list[int | None]:
    """The taker's key for each customer, in the order of ``values`` (fen); None: nobody has room."""
    chosen: list[int | None] = [None] * len(values)
    free = [(taker.load, 0, place, taker) for place, taker in enumerate(takers) if taker.most is None or taker.most > 0]
    heapq.heapify(free)
    for index in sorted(range(len(values)), key=lambda index: (-values[index], index)):
        if not free:
            break
        total, new, place, taker = free[0]
        chosen[index] = taker.key
        if taker.most is not None and new + 1 >= taker.most:
            heapq.heappop(free)
        else:
            heapq.heapreplace(free, (total + 1, new + 1, place, taker))
    return chosen


def band(value_fen: int) -> str:
    return next((name for name, least in BANDS if value_fen >= least), BANDS[-1][0])
