"""The product's web process of a test's own: gunicorn on a free port of this machine, started and killed by the test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.faults.children import ROOT

START_SECONDS = 120


class Web:
    """``with Web(children.variables, log) as web: web.url``; ``web.kill()`` is SIGKILL for all of it."""

    def __init__(self, variables: dict[str, str], log: Path, *, app: str = "scrm.wsgi") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log, self._app = log, app
        self._variables = {**variables, "WEB_PORT": str(self.port), "WEB_WORKERS": "1", "WEB_THREADS": "4"}

    def __enter__(self) -> Web:
        command = [sys.executable, "-m", "gunicorn", "-c", "python:scrm.gunicorn", self._app]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=self._variables, start_new_session=True, stdout=self.log.open("ab"),
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
