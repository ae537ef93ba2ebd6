"""The sandbox's clock: the real one plus an offset that only grows."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """``happen(until)`` runs what is due by then, moving the clock along."""

    def __init__(self, happen: Callable[[float], None]) -> None:
        self.offset = 0.0
        self._happen = happen

    def now(self) -> float:
        """Unix seconds."""
        return time.time() + self.offset

    def epoch(self) -> int:
        """Whole unix seconds, as WeCom writes every moment."""
        return int(self.now())

    def advance(self, seconds: float) -> None:
        """Let time pass, and what was to happen meanwhile happen, each at its moment."""
        if seconds < 0:
            raise ValueError("the clock does not go back")
        target = self.now() + seconds
        self._happen(target)
        self.set(target)

    def set(self, moment: float) -> None:
        """No job runs; a moment that is past leaves the clock alone."""
        self.offset += max(0.0, moment - self.now())
