"""The two database roles: the owner migrates, the application works without DDL and cannot change what is append-only.

Partitions get no rights of their own: rows go through the parent, whose rights and triggers hold for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pghistory.models
from django.apps import apps
from django.conf import settings
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from scrm.db import AppendOnlyModel

STAGING = "staging"  # where bulk intake makes its unlogged tables
TABLES = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition
      AND relowner = current_user::regrole
"""

# pgtrigger asks this function, in every row of every trigger, whether a setting switches the trigger off. Any role may set
# that setting, and reading it while it is unset aborts a subtransaction per row. Ours have no off switch.
NEVER_IGNORED = """
    CREATE OR REPLACE FUNCTION public._pgtrigger_should_ignore(trigger_name NAME) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT false'
"""


@contextmanager
def as_owner(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Inside, ``connection`` is the owner's; outside it is what it was. The database's name is kept: tests rename it."""
    before = dict(connection.settings_dict)
    _reconnect(connection, {**settings.DATABASE_OWNER, "NAME": before["NAME"]})
    try:
        yield
    finally:
        _reconnect(connection, before)


def keep_triggers_on(alias: str) -> None:
    """Take the off switch out of every trigger. Each trigger that a migration makes brings it back."""
    with connections[alias].cursor() as cursor:
        cursor.execute(NEVER_IGNORED)


def grant_rights(alias: str) -> None:
    """Give the application role exactly its rights on everything that exists."""
    connection = connections[alias]
    role = connection.ops.quote_name(settings.APPLICATION_ROLE)
    with (
        transaction.atomic(using=alias),
        connection.cursor() as cursor,
    ):  # no moment without rights for who works meanwhile
        cursor.execute(TABLES)
        every = {name for (name,) in cursor.fetchall()}
        append_only = {model._meta.db_table for model in append_only_models()} & every
        read_only = {"django_migrations"}

        def on_tables(verb: str, names: set[str]) -> str:
            return f"{verb} ON {', '.join(map(connection.ops.quote_name, sorted(names)))}"

        for statement in (
            f"GRANT USAGE ON SCHEMA public TO {role}",
            f"GRANT USAGE, CREATE ON SCHEMA {STAGING} TO {role}",
            f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}",
            on_tables("REVOKE ALL", every) + f" FROM {role}",
            on_tables("GRANT SELECT, INSERT, UPDATE, DELETE", every - append_only - read_only) + f" TO {role}",
            on_tables("GRANT SELECT, INSERT", append_only) + f" TO {role}",
            on_tables("GRANT SELECT", read_only) + f" TO {role}",
        ):
            cursor.execute(statement)


def append_only_models() -> list[type[Model]]:
    """Ledgers and events, and the row history that triggers write."""
    kinds = (AppendOnlyModel, pghistory.models.Event)
    return [model for model in apps.get_models() if issubclass(model, kinds) and model._meta.managed]


def _reconnect(connection: BaseDatabaseWrapper, values: dict[str, object]) -> None:
    if connection.in_atomic_block:
        if connection.settings_dict["USER"] == values["USER"]:
            return
        raise RuntimeError("the role cannot change inside a transaction")
    if connection.settings_dict["USER"] == values["USER"]:
        return
    connection.close()
    connection.settings_dict.update(
        {name: values.get(name, "") for name in ("USER", "PASSWORD", "HOST", "PORT", "OPTIONS")}
    )
