"""``check_migrations``: may every migration since the last release run while people work?

The SQL goes through squawk. A statement on a table that is itself new since the last release (the newest tag v…) blocks
nobody and passes. Needs the development packages.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from scrm.catalogues import APPS

# a matter of taste, or set by `migrate` for the whole session
NOT_ASKED = ("prefer-text-field", "prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-identity",
             "prefer-robust-stmts", "require-statement-timeout", "require-lock-timeout")  # fmt: skip
NAME = r'(?:"?public"?\.)?"?(\w+)"?'
CREATED = re.compile(rf"\b(?:CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?|RENAME TO ){NAME}", re.I)
TOUCHED = re.compile(rf"\b(?:ALTER TABLE|DROP TABLE|INDEX [^;]*? ON)\s+(?:ONLY |IF EXISTS )*{NAME}", re.I | re.S)


class Command(BaseCommand):
    help = "Fail when a migration since the last release would lock or break what is running."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        loader = MigrationLoader(connection)
        released = released_migrations(settings.BASE_DIR)
        keys = [key for key in loader.graph._generate_plan(loader.graph.leaf_nodes(), at_end=True) if key[0] in APPS]
        statements = {key: _sql(key) for key in keys if key not in released}
        found = []
        for key, sql in statements.items():
            found += problems(
                sql, name=".".join(key), new=tables_of(statements.values()), atomic=loader.graph.nodes[key].atomic
            )
        for problem in found:
            self.stderr.write(problem)
        if found:
            raise CommandError(f"{len(found)} statements that block or break a running system")
        self.stdout.write(f"{len(statements)} migrations since the last release, {len(released)} before")


def released_migrations(root: Path) -> set[tuple[str, str]]:
    """(app, name) of every migration in the newest tag; none before the first release."""
    tag = _git(root, "describe", "--tags", "--abbrev=0", "--match", "v*").strip()
    if not tag:
        return set()
    files = [Path(name) for name in _git(root, "ls-tree", "-r", "--name-only", tag).splitlines()]
    return {
        (file.parts[0], file.stem) for file in files if file.parts[1:2] == ("migrations",) and file.stem != "__init__"
    }


def tables_of(statements: Any) -> set[str]:
    return {name for sql in statements for name in CREATED.findall(sql)}


def problems(sql: str, *, name: str, new: set[str], atomic: bool) -> list[str]:
    """One sentence for each thing squawk finds in ``sql``, except on the tables ``new``."""
    sql = re.sub(r"^(BEGIN;|COMMIT;|--.*)$", "", sql, flags=re.M)  # squawk is told about the transaction instead
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(sql)
        file.flush()
        command = [
            str(Path(sys.executable).with_name("squawk")),
            "--reporter",
            "json",
            "--pg-version",
            "16",
            "--exclude",
            ",".join(NOT_ASKED),
        ]
        command += ["--assume-in-transaction"] if atomic else ["--no-assume-in-transaction"]
        result = subprocess.run([*command, file.name], capture_output=True, text=True, check=False)
    violations = json.loads(result.stdout or "[]")
    if result.returncode != 0 and not violations:
        raise CommandError(f"squawk: {result.stderr}")
    return [
        f"{name}: {violation['rule_name']}: {violation['message']}\n    {' '.join(statement.split())}"
        for violation in violations
        if not _touches_only(statement := _statement(sql, violation["line"]), new)
    ]


def _touches_only(statement: str, tables: set[str]) -> bool:
    touched = set(TOUCHED.findall(statement))
    return bool(touched) and touched <= tables


def _statement(sql: str, line: int) -> str:
    """The statement around a line, counted from 0."""
    start = sum(len(row) + 1 for row in sql.split("\n")[:line])
    return sql[sql.rfind(";\n", 0, start) + 1 : (sql.find(";", start) + 1) or None]


def _sql(key: tuple[str, str]) -> str:
    return str(call_command("sqlmigrate", *key, stdout=io.StringIO(), no_color=True))


def _git(root: Path, *args: str) -> str:
    return subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True, check=False).stdout  # noqa: S607
