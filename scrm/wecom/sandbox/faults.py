"""What goes wrong on purpose (故障注入): answers per endpoint and events on their way, by chance with a seed.

An answer's fault counts down with ``times`` and strikes a ``share`` of the calls. ``path`` "*" is every endpoint but gettoken.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from random import Random
from threading import Lock
from typing import Any

from scrm.wecom.sandbox.clock import Clock
from scrm.wecom.sandbox.refusals import Refusal

CODE, WINDOW, PARALLEL, PAGE, HANG, LOSE, WARN, SLOW = (
    "code", "window", "parallel", "page", "hang", "lose", "warn", "slow",
)  # fmt: skip
KINDS = {
    CODE: "返回错误码",
    WINDOW: "45009 频率超限（持续一段时间）",
    PARALLEL: "45033 并发超限",
    PAGE: "返回一页 HTML",
    HANG: "很久不答复",
    LOSE: "办了，但答复丢失",
    WARN: "wrong json format 警告",
    SLOW: "处理得慢（写同一对关系时会 45035）",
}


@dataclass
class Fault:
    kind: str
    path: str = "*"
    code: int = -1
    seconds: float = 60.0  # of a window, a silence or a slow write
    most: int = 1  # calls at a time
    times: int | None = None  # None: until it is taken away
    share: float = 1.0
    until: float = 0.0  # of a window that has begun


@dataclass
class Road:
    """What may happen to an event between WeCom and us; each is a share of the events."""

    drop: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    delay_seconds: float = 3.0
    reorder: float = 0.0
    reorder_seconds: float = 1.0


class Faults:
    def __init__(self, seed: int, clock: Clock) -> None:
        self.random = Random(f"faults {seed}")  # noqa: S311  chance, not secrecy
        self.clock = clock
        self.list: list[Fault] = []
        self.road = Road()
        self._lock = Lock()
        self._inside: dict[str, int] = {}

    def add(self, kind: str, path: str = "*", **values: Any) -> Fault:
        """``box.faults.add("code", "externalcontact/remark", code=-1, times=2)``"""
        if kind not in KINDS:
            raise ValueError(kind)
        fault = Fault(kind, path, **values)
        if kind == WINDOW:
            fault.until = self.clock.now() + fault.seconds
        with self._lock:
            self.list.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self.list.clear()
            self.road = Road()

    def described(self) -> list[dict[str, Any]]:
        return [asdict(fault) | {"number": number} for number, fault in enumerate(self.list)]

    def striking(self, path: str) -> list[Fault]:
        """The faults that strike this call, counted."""
        with self._lock:
            struck = [fault for fault in self.list if self._strikes(fault, path)]
            for fault in struck:
                if fault.times is not None:
                    fault.times -= 1
            self.list = [fault for fault in self.list if fault.times != 0 and not self._is_over(fault)]
        return struck

    @contextmanager
    def inside(self, path: str, struck: list[Fault]) -> Iterator[None]:
        """The call itself; Refusal 45033 when too many are in it."""
        with self._lock:
            count = self._inside[path] = self._inside.get(path, 0) + 1
        try:
            if any(fault.kind == PARALLEL and count > fault.most for fault in struck):
                raise Refusal(45033)
            yield
        finally:
            with self._lock:
                self._inside[path] -= 1

    def _strikes(self, fault: Fault, path: str) -> bool:
        is_meant = fault.path == path or (fault.path == "*" and path != "gettoken")
        return is_meant and not self._is_over(fault) and self.random.random() < fault.share

    def _is_over(self, fault: Fault) -> bool:
        return fault.kind == WINDOW and fault.until <= self.clock.now()
