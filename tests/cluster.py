"""The folder of a test run's embedded servers: made by the first process, shared by xdist's workers, removed at the end.

A run that was killed leaves its folder and its server; the next run finds that nobody uses them and clears them away.
"""

import atexit
import os
import shutil
import tempfile
import time
from pathlib import Path

from scrm.embedded import postgres

PREFIX = "scrm-test-"
STARTING_SECONDS = 60  # a folder this young may belong to a run that has not started its server yet


def folder() -> str:
    if "SCRM_TEST_VAR" not in os.environ:
        _clear_leftovers()
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        path.chmod(0o755)  # PostgreSQL's service user passes through when root runs the tests
        os.environ["SCRM_TEST_VAR"] = str(path)
        atexit.register(_remove, path, os.getpid())
    return os.environ["SCRM_TEST_VAR"]


def _remove(var: Path, starter: int) -> None:
    """At the end of the process that made the folder; a forked child of it leaves the folder alone."""
    if os.getpid() == starter:
        postgres.of(var, False).release()
        _clear(var)


def _clear_leftovers() -> None:
    for var in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if os.access(var, os.W_OK) and time.time() - var.stat().st_mtime > STARTING_SECONDS:
            _clear(var)


def _clear(var: Path) -> None:
    server = postgres.Postgres(var / "postgres", durable=False)
    if (server.home / "users").exists():
        if server.has_users():
            return
        if server.is_running():
            server.stop()
    shutil.rmtree(var, ignore_errors=True)
    if not server.sockets.is_relative_to(var):
        shutil.rmtree(server.sockets, ignore_errors=True)
