"""The folder of a test run's embedded servers: made by the first process, shared by xdist's workers, removed at the end.

A run that was killed leaves its folder and its server; the next run finds that nobody uses them and clears them away.
"""

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
        os.environ["SCRM_TEST_STARTER"] = str(os.getpid())
    return os.environ["SCRM_TEST_VAR"]


def remove() -> None:
    """Called at the end of every process; only the one that made the folder removes it."""
    var = Path(folder())
    server = postgres.of(var, durable=False)
    server.release()
    if os.environ["SCRM_TEST_STARTER"] == str(os.getpid()):
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
