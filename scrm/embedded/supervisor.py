"""Runs the processes of one machine: their lines prefixed, their end in reverse order, nothing left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

import psutil

LAST_WORDS_SECONDS = 1
GRACE_SECONDS = 10  # a job that is cut off goes on at the next start
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
COLOURS = {"web": 36, "worker": 33, "welcome": 32, "beat": 35, "postgres": 34, "valkey": 31}

_printing = threading.Lock()


def say(name: str, line: str) -> None:
    if not line.strip():
        return
    prefix = f"{name:>8} │ "
    if sys.stdout.isatty():
        prefix = f"\033[{COLOURS.get(name, 32)}m{prefix}\033[0m"
    with _printing:
        sys.stdout.write(f"{prefix}{line.rstrip()}\n")
        sys.stdout.flush()


class Said:
    """A stream for commands that run inside the supervisor: their lines get its prefix."""

    def __init__(self, name: str) -> None:
        self.name = name

    def write(self, text: str) -> int:
        for line in text.splitlines():
            say(self.name, line)
        return len(text)

    def flush(self) -> None:
        sys.stdout.flush()


@dataclass
class Child:
    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    _repeating: threading.Thread | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command, env={**os.environ, "PYTHONUNBUFFERED": "1", **self.environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops in order
            preexec_fn=_die_with_parent if LIBC else None,  # noqa: PLW1509  one system call, nothing that takes a lock
        )  # fmt: skip
        assert self.process.stdout is not None
        self._repeating = threading.Thread(target=_repeat, args=(self.name, self.process.stdout), daemon=True)
        self._repeating.start()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self) -> None:
        if self.process is None:
            return
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            say(self.name, f"{GRACE_SECONDS} 秒内没有结束,强制停止。")
        self._signal(signal.SIGKILL)  # whatever is left of its group
        self.process.wait()
        if self._repeating is not None:
            self._repeating.join(
                LAST_WORDS_SECONDS
            )  # what it said while it stopped comes before what the next one says

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        try:
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)
        except (ProcessLookupError, PermissionError):
            return


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP asked for the end; like KeyboardInterrupt, no ``except Exception`` swallows it."""


class Supervisor:
    """Use as a context: signals become the end of ``watch``, and leaving stops every child, the last one first."""

    def __init__(self, record: Path | None = None) -> None:
        """``record``: a file that names the running children, for the next supervisor if this one is killed."""
        self.children: list[Child] = []
        self._record = record
        self._asked = 0

    def __enter__(self) -> Supervisor:
        self._before = {
            number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        if self._record is not None:
            _stop_orphans(self._record)
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self.children):
            child.stop()
        if self._record is not None:
            self._record.unlink(missing_ok=True)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def start(self, child: Child) -> None:
        self.children.append(child)
        child.start()
        if self._record is not None:
            with self._record.open("a") as file:
                file.write(_identity_of(child.pid) + "\n")

    def watch(self) -> Child | None:
        """Return when the end is asked for (None), or with the first child that ended by itself."""
        while not self._asked:
            if ended := self.ended():
                return ended
            time.sleep(0.2)
        return None

    def ended(self) -> Child | None:
        return next((child for child in self.children if child.process and child.process.poll() is not None), None)

    def require_going_on(self) -> None:
        if self._asked:
            raise Interrupted

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self._asked = number
        if not self.children:  # still preparing: nothing to stop in order, so leave at once
            raise Interrupted


def follow(name: str, log: Path) -> None:
    """Repeat what is added to a server's log file from now on."""
    file = log.open(errors="replace")
    file.seek(0, os.SEEK_END)
    threading.Thread(target=_tail, args=(name, file), daemon=True).start()


def _tail(name: str, file: IO[str]) -> None:
    while True:
        line = file.readline()
        if line:
            say(name, line)
        else:
            time.sleep(0.3)


def _repeat(name: str, stream: IO[str]) -> None:
    for line in stream:
        say(name, line)


def _identity_of(pid: int) -> str:
    """A process for good: numbers are used again, a number with its start is not. Empty when it has ended."""
    try:
        return f"{pid} {psutil.Process(pid).create_time()}"
    except psutil.Error:
        return ""


def _stop_orphans(record: Path) -> None:
    """Children of a killed supervisor: asked to end by its death, yet one that was just starting may not have heard it."""
    known = record.read_text().split("\n") if record.exists() else []
    orphans = [int(line.split()[0]) for line in known if line and line == _identity_of(int(line.split()[0]))]
    for pid in orphans:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGTERM)
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in orphans if psutil.pid_exists(pid)], GRACE_SECONDS)
    for pid in orphans:  # whatever is left of their groups, the workers of a dead master too
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    psutil.wait_procs(alive, GRACE_SECONDS)
    record.unlink(missing_ok=True)


def _die_with_parent() -> None:
    """A supervisor that is killed outright takes its children along (Linux)."""
    assert LIBC is not None
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
