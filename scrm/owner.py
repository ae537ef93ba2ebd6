"""The two database roles: the owner migrates, the application works without DDL and cannot change what is append-only.

Default privileges let the application read and fill tables that appear between migrations, which are monthly partitions;
the rest of a partitioned table's rights follow from its parent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pghistory.models
from django.apps import apps
from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from scrm.db import AppendOnlyModel


@contextmanager
def as_owner(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Inside, ``connection`` is the owner's; outside it is what it was. The database's name is kept: tests rename it."""
    before = dict(connection.settings_dict)
    _reconnect(connection, {**settings.DATABASE_OWNER, "NAME": before["NAME"]})
    try:
        yield
    finally:
        _reconnect(connection, before)


def grant_rights(alias: str) -> None:
    """Give the application role exactly its rights on everything that exists and will exist."""
    connection = connections[alias]
    role = connection.ops.quote_name(settings.APPLICATION_ROLE)
    with connection.cursor() as cursor:
        for statement in (
            f"GRANT USAGE ON SCHEMA public TO {role}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
            f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}",
            f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {role}",
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT ON TABLES TO {role}",
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {role}",
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO {role}",
            f"REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {role}",
        ):
            cursor.execute(statement)
        tables = [model._meta.db_table for model in append_only_models()]
        cursor.execute(
            "SELECT relation.relid::text FROM unnest(%s::regclass[]) AS parent(id), pg_partition_tree(parent.id) AS relation"
            " UNION SELECT unnest(%s::regclass[])::text",
            [tables, tables],
        )
        for (relation,) in cursor.fetchall():
            cursor.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {relation} FROM {role}")  # quoted by regclass


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
    connection.settings_dict.update({name: values.get(name, "") for name in ("USER", "PASSWORD", "HOST", "PORT", "OPTIONS")})
