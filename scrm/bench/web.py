"""The product's own web process on the bench database: gunicorn as it serves people, with the floor views added."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

from scrm.embedded import valkey

READY_SECONDS = 60


class Address(NamedTuple):
    port: int
    pid: int
    broker_url: str


@contextlib.contextmanager
def web(**environment: str) -> Iterator[Address]:
    """Serve the bench database; ends with the block. Its broker is its own: no worker of the user's hears of it."""
    with tempfile.TemporaryDirectory(prefix="scrm-bench-") as folder, _broker(Path(folder)) as broker_url:
        port = _free_port()
        surroundings = {
            **os.environ,
            "WEB_HOST": "127.0.0.1",
            "WEB_PORT": str(port),
            "BROKER_URL": broker_url,
            "SCRM_PROCESS": "web",
            "LOG_LEVEL": "WARNING",
            "ALLOWED_HOSTS": "localhost",
            **environment,
        }
        log = Path(folder) / "web.log"
        command = [sys.executable, "-m", "gunicorn", "-c", "python:scrm.gunicorn", "scrm.bench.wsgi"]
        with log.open("wb") as out:
            process = subprocess.Popen(command, env=surroundings, cwd=settings.BASE_DIR, stdout=out, stderr=out)
            try:
                _wait(process, port, log)
                yield Address(port, process.pid, broker_url)
            finally:
                process.terminate()
                process.wait()


@contextlib.contextmanager
def _broker(folder: Path) -> Iterator[str]:
    server = valkey.Valkey(folder / "valkey")
    server.attach()
    try:
        yield server.url
    finally:
        server.release()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with (
            contextlib.suppress(OSError),
            contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=2)) as connection,
        ):
            connection.request("GET", "/healthz", headers={"Host": "localhost"})
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the web process did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
