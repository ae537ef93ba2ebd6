"""A database that lives as long as a bench."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection
from psycopg import sql

from scrm.owner import as_owner

DROP_ATTEMPTS = 20


@contextlib.contextmanager
def own_database(scenario: str, *, keep: bool = False, kept: str = "") -> Iterator[str]:
    """Create ``bench_<scenario>_<pid>``, migrate it and use it inside the block; drop it afterwards unless ``keep``.

    ``kept``: one that an earlier run has left behind, used again and left again. Child processes find it too: DATABASE_URL
    and DATABASE_OWNER_URL name it as long as the block lasts.
    """
    if kept and not kept.startswith(f"bench_{scenario}_"):
        raise ValueError(f"{kept} is no database of the bench {scenario}")
    name, home = kept or f"bench_{scenario}_{os.getpid()}", str(connection.settings_dict["NAME"])
    before = {variable: os.environ.get(variable) for variable in ("DATABASE_URL", "DATABASE_OWNER_URL")}
    if not kept:
        _execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        _use(name)
        connection.ensure_connection()  # an embedded server tells its address only now
        os.environ["DATABASE_URL"] = _url(connection.settings_dict)
        with as_owner(connection):
            connection.ensure_connection()
            os.environ["DATABASE_OWNER_URL"] = _url(connection.settings_dict)
        call_command("migrate", verbosity=0, skip_checks=True)
        yield name
    finally:
        for variable, value in before.items():
            os.environ.pop(variable, None)
            os.environ.update({variable: value} if value is not None else {})
        _use(home)
        if not keep and not kept:
            _drop(name)


def _execute(statement: sql.Composed) -> None:
    """As the owner and outside a transaction, as CREATE DATABASE demands. The owner needs CREATEDB."""
    with as_owner(connection), connection.cursor() as cursor:
        cursor.execute(statement.as_string(None))


def _drop(name: str) -> None:
    """A worker of autovacuum may be busy in it, which only a superuser may end and which goes by itself when asked twice."""
    for attempt in range(DROP_ATTEMPTS):
        try:
            _execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        except DatabaseError:
            if attempt == DROP_ATTEMPTS - 1:
                raise
            time.sleep(1)
        else:
            return


def _use(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name
    settings.DATABASES["default"]["NAME"] = settings.DATABASE_OWNER["NAME"] = name


def _url(values: dict[str, Any]) -> str:
    where = {"host": values["HOST"], "port": values["PORT"]}
    query = urlencode({name: value for name, value in where.items() if value})
    return f"postgresql://{quote(values['USER'])}:{quote(values['PASSWORD'], safe='')}@/{values['NAME']}?{query}"
