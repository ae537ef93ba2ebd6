"""A database that lives as long as a bench."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from psycopg import sql

from scrm.owner import as_owner


@contextlib.contextmanager
def own_database(scenario: str, *, keep: bool = False) -> Iterator[str]:
    """Create ``bench_<scenario>_<pid>``, migrate it and use it inside the block; drop it afterwards unless ``keep``."""
    name, home = f"bench_{scenario}_{os.getpid()}", str(connection.settings_dict["NAME"])
    _execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        _use(name)
        call_command("migrate", verbosity=0)
        yield name
    finally:
        _use(home)
        if not keep:
            _execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _execute(statement: sql.Composed) -> None:
    """As the owner and outside a transaction, as CREATE DATABASE demands. The owner needs CREATEDB."""
    with as_owner(connection), connection.cursor() as cursor:
        cursor.execute(statement.as_string(None))


def _use(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name
    settings.DATABASES["default"]["NAME"] = settings.DATABASE_OWNER["NAME"] = name
