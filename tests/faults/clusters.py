"""A durable PostgreSQL of a test's own, with some tables of the test's database and their rows."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection

from scrm.embedded.postgres import DATABASE, OWNER_ROLE, Postgres

END_SECONDS = 60


class Cluster:
    """``with Cluster("scrm_corp", …) as cluster: cluster.stop_at_once(); cluster.start()``."""

    def __init__(self, *tables: str) -> None:
        self.tables = tables

    def __enter__(self) -> Cluster:
        self._folder = Path(tempfile.mkdtemp(prefix="f2-"))
        self._folder.chmod(0o755)  # the service user passes through when root runs the tests
        self.server = Postgres(self._folder / "postgres", durable=True)
        try:
            self.server.attach()
            self._copy()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.server.is_running():
            self.stop_at_once()
        self.server.release()
        shutil.rmtree(self._folder, ignore_errors=True)
        if not self.server.sockets.is_relative_to(self._folder):
            shutil.rmtree(self.server.sockets, ignore_errors=True)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a process that works on it."""
        return {"FAULT_CLUSTER": str(self.server.home)}

    def stop_at_once(self) -> None:
        """An immediate stop: backends are cut off where they are, nothing is written any more, recovery comes with the start."""
        number = int((self.server.data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(number, signal.SIGQUIT)
        deadline = time.monotonic() + END_SECONDS
        while (self.server.data / "postmaster.pid").exists():
            assert time.monotonic() < deadline, "PostgreSQL does not end"
            time.sleep(0.01)

    def start(self) -> None:
        self.server.start()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.server.url(OWNER_ROLE)) as connected:
            return connected.execute(sql).fetchall()

    def shown(self, setting: str) -> str:
        return str(self.rows(f"SHOW {setting}")[0][0])

    def _copy(self) -> None:
        values, tables = connection.settings_dict, (f"--table={table}" for table in self.tables)
        dump = subprocess.run(
            [self.server.executable("pg_dump"), *tables, "-h", values["HOST"], "-p", values["PORT"], "-U", values["USER"],
             values["NAME"]],
            env={**os.environ, "PGPASSWORD": values["PASSWORD"]}, capture_output=True, check=True,
        )  # fmt: skip
        address = self.server.address(OWNER_ROLE)
        subprocess.run(
            [self.server.executable("psql"), "-q", "-v", "ON_ERROR_STOP=1", "-h", address["HOST"], "-p", address["PORT"],
             "-U", OWNER_ROLE, DATABASE],
            env={**os.environ, "PGPASSWORD": address["PASSWORD"]}, input=dump.stdout, capture_output=True, check=True,
        )  # fmt: skip
