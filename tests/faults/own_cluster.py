"""A PostgreSQL of a test's own, with fsync: loaded from the test's database, cut like a power cut, kept and restored."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection

from scrm.embedded import postgres
from tests.factories.clock import NAMES
from tests.faults.children import Children

FUNCTION = """
    CREATE OR REPLACE FUNCTION test_clock.{name}() RETURNS timestamptz LANGUAGE sql STABLE AS
    $$ SELECT pg_catalog.clock_timestamp() + interval '{seconds} seconds' {earlier} $$
"""


class OwnCluster:
    def __enter__(self) -> OwnCluster:
        self.folder = Path(tempfile.mkdtemp(prefix="scrm-own-"))
        self.folder.chmod(0o755)
        self.server = postgres.Postgres(self.folder / "postgres", durable=True)
        self.server._make_home()
        self.server.start()
        self.cuts = 0
        self._load()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)
        if not self.server.sockets.is_relative_to(self.folder):
            shutil.rmtree(self.server.sockets, ignore_errors=True)

    def children(self) -> Children:
        address = self.server.address(postgres.APP_ROLE)
        return Children(
            postgres.DATABASE, DJANGO_SETTINGS_MODULE="tests.faults.own_settings", FAULT_HOST=address["HOST"],
            FAULT_PASSWORD=address["PASSWORD"],
        )  # fmt: skip

    def set_clock(self, seconds: int) -> None:
        """The database's clock goes before or behind the real one from the next connection on."""
        with self._owner() as owner:
            for name in NAMES:
                earlier = "" if name == "clock_timestamp" else "- interval '1 minute'"
                owner.execute(FUNCTION.format(name=name, seconds=seconds, earlier=earlier))

    def cut(self) -> None:
        """No goodbye: connections break, nothing is flushed; then it recovers from its log."""
        self._stop("immediate")
        self.cuts += 1
        self.server.start()

    def keep(self) -> None:
        """A copy of the stopped cluster: tonight's backup."""
        self.server.stop()
        shutil.copytree(self.server.data, self.folder / "backup", symlinks=True, copy_function=_copy_owned)
        self.server.start()

    def restore(self) -> None:
        """The cluster as it was when it was kept; what came since is gone."""
        self._stop("immediate")
        shutil.rmtree(self.server.data)
        shutil.move(self.folder / "backup", self.server.data)
        own(self.server.data)
        self.server.data.chmod(0o700)
        self.server.start()

    def _load(self) -> None:
        """Schema and rows of the test's database."""
        source = connection.settings_dict
        dump = self.folder / "dump"
        with dump.open("wb") as file:
            self._client("pg_dump", "-Fc", "-Z0", source, str(source["NAME"]), stdout=file)
        address = self.server.address(postgres.OWNER_ROLE) | {"USER": postgres.OWNER_ROLE}
        self._client("pg_restore", "--no-comments", address, "-d", postgres.DATABASE, str(dump))
        with self._owner() as owner:
            owner.execute(  # another test of this database may have left its clock in the dump
                "DROP SCHEMA IF EXISTS test_clock CASCADE; CREATE SCHEMA test_clock; GRANT USAGE ON SCHEMA test_clock TO PUBLIC"
            )
            owner.execute(f"ALTER DATABASE {postgres.DATABASE} SET search_path = test_clock, public, pg_catalog")
        self.set_clock(0)

    def _owner(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.server.url(postgres.OWNER_ROLE), autocommit=True)

    def _client(self, program: str, *args: Any, stdout: Any = None) -> None:
        address = next(arg for arg in args if isinstance(arg, dict))
        others = [arg for arg in args if not isinstance(arg, dict)]
        to = ["-h", str(address["HOST"]), "-p", str(address["PORT"]), "-U", str(address["USER"])]
        environment = {**os.environ, "PGPASSWORD": str(address["PASSWORD"])}
        command = [str(self.server.executable(program)), *to, *others]
        done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, env=environment, check=False)
        assert done.returncode == 0, done.stderr.decode()[-2000:]

    def _stop(self, mode: str) -> None:
        self.server._run("pg_ctl", "stop", "-D", str(self.server.data), "-m", mode, "-w", "-t", "60")


def _copy_owned(source: str, target: str) -> None:
    shutil.copy2(source, target)


def own(folder: Path) -> None:
    """The service user's, as root copied it."""
    if os.geteuid() == 0:
        owner = folder.parent.stat()
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
