"""Worker processes that a test starts and kills: forked from one warm process, each told what to do and where to die."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

from tests import cluster

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 600.0


class ChildFailed(AssertionError):
    """A worker ended with an exception of its own; the text is its traceback."""


class Children:
    """``children.run("outbox", offset=60)`` works to its end; ``children.kill_at("outbox", point="reserved", nth=3)`` dies."""

    def __init__(self, database: str, **environment: str) -> None:
        self.database, self.environment = database, environment
        self.killed = 0
        self._lines: list[tuple[int, str, str]] = []
        self._rest = b""
        self._log: BinaryIO | None = None

    def logging_to(self, log: BinaryIO) -> Children:
        self._log = log
        return self

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a process of this test."""
        return {
            **os.environ, "DJANGO_SETTINGS_MODULE": "tests.faults.settings", "SCRM_TEST_VAR": cluster.folder(),
            "FAULT_DATABASE": self.database, **self.environment,
        }  # fmt: skip

    def __enter__(self) -> Children:
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, cwd=ROOT, env=self.variables,
        )  # fmt: skip
        assert self._said(self._zygote.pid)[0] == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._zygote.stdin is not None and self._zygote.stdout is not None
        self._zygote.stdin.close()
        self._zygote.wait(30)
        self._zygote.stdout.close()

    def start(self, work: str, **values: Any) -> int:
        """The pid of a worker that has begun. ``point`` and ``nth``: where it stops and waits to be killed."""
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps({"work": work, **values}).encode() + b"\n")
        self._zygote.stdin.flush()
        word, pid = self._said(self._zygote.pid)
        assert word == "forked", word
        return int(pid)

    def wait(self, pid: int) -> Any:
        """What the worker's work gave."""
        word, text = self._said(pid)
        if word == "failed":
            raise ChildFailed(json.loads(text))
        assert word == "ended", word
        return json.loads(text)

    def run(self, work: str, **values: Any) -> Any:
        return self.wait(self.start(work, **values))

    def kill_at(self, work: str, *, point: str, nth: int = 1, **values: Any) -> bool:
        """Whether the worker came to the point for the nth time, and was killed there; else it worked to its end."""
        pid = self.start(work, point=point, nth=nth, **values)
        word, text = self._said(pid)
        if word == "failed":
            raise ChildFailed(json.loads(text))
        if word == "reached":
            self.kill(pid)
        return word == "reached"

    def kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it may have come to its end
            os.kill(pid, signal.SIGKILL)
        self.killed += 1
        deadline = time.monotonic() + 10
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < deadline:
                os.kill(pid, 0)  # its descriptors are closed once it is gone
                time.sleep(0.002)
            raise AssertionError(f"{pid} survives SIGKILL")

    def _said(self, pid: int) -> tuple[str, str]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            for number, (who, word, text) in enumerate(self._lines):
                if who == pid:
                    del self._lines[number]
                    return word, text
            self._read(deadline)

    def _read(self, deadline: float) -> None:
        assert self._zygote.stdout is not None
        if not select.select([self._zygote.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError("a worker says nothing")
        piece = os.read(self._zygote.stdout.fileno(), 1 << 16)
        if not piece:
            raise ChildFailed("the process that workers are forked from has ended")
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            who, word, text = line.decode().split(" ", 2)
            self._lines.append((int(who), word, text))
