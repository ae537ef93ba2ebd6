"""The application role: works on business rows, cannot touch what is append-only, has no DDL."""

import pytest
from django.db import connection
from django.db.utils import ProgrammingError

from scrm.owner import append_only_models
from tests.conftest import Role

pytestmark = pytest.mark.django_db


def may(table: str, privilege: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('scrm_app', %s::regclass, %s)", [table, privilege])
        return bool(cursor.fetchone()[0])


def test_append_only_tables_and_their_partitions_take_rows_and_never_lose_them() -> None:
    tables = [model._meta.db_table for model in append_only_models()]
    assert "attribution_entry" in tables
    with connection.cursor() as cursor:
        cursor.execute("SELECT relid::text FROM unnest(%s::regclass[]) t(id), pg_partition_tree(t.id)", [tables])
        tables += [relation for (relation,) in cursor.fetchall()]
    for table in tables:
        assert may(table, "INSERT") and may(table, "SELECT"), table
        assert not any(may(table, privilege) for privilege in ("UPDATE", "DELETE", "TRUNCATE")), table


def test_business_rows_can_be_changed() -> None:
    assert all(may("scrm_store", privilege) for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE"))


def test_the_application_cannot_change_the_schema(app_role: Role) -> None:
    with app_role(), pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
        cursor.execute("CREATE TABLE public.mine (id int)")


def test_the_application_cannot_delete_from_a_ledger(app_role: Role) -> None:
    with app_role(), pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
        cursor.execute("DELETE FROM attribution_entry")


def test_a_table_made_between_migrations_can_be_filled_but_not_emptied(app_role: Role) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE public.later (id int)")
    assert may("later", "INSERT") and not may("later", "DELETE")
