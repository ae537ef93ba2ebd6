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


def test_append_only_tables_take_rows_and_never_lose_them() -> None:
    tables = [model._meta.db_table for model in append_only_models()]
    assert {"attribution_entry", "scrm_act"} <= set(tables)
    for table in tables:
        assert may(table, "INSERT") and may(table, "SELECT"), table
        assert not any(may(table, privilege) for privilege in ("UPDATE", "DELETE", "TRUNCATE")), table


def test_partitions_have_no_rights_of_their_own() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")
        partitions = [name for (name,) in cursor.fetchall()]
    assert not [name for name in partitions if may(name, "INSERT") or may(name, "DELETE")]


def test_a_month_that_the_owner_opens_stays_the_owners() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT scrm_ensure_partitions('attribution_entry'::regclass, '2093-05-02', '2093-05-02')")
        cursor.execute("SELECT count(*) FROM public.attribution_entry_209305")
        assert cursor.fetchone() == (0,)


def test_a_month_that_the_application_opens_is_read_through_its_table(app_role: Role) -> None:
    with app_role(), connection.cursor() as cursor:
        cursor.execute("SELECT scrm_ensure_partitions('attribution_entry'::regclass, '2093-06-02', '2093-06-02')")
        cursor.execute("SELECT count(*) FROM attribution_entry WHERE posted_on = '2093-06-02'")
        assert cursor.fetchone() == (0,)
    assert not may("public.attribution_entry_209306", "SELECT")


def test_business_rows_can_be_changed() -> None:
    assert all(may("scrm_store", privilege) for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE"))


def test_the_application_cannot_change_the_schema(app_role: Role) -> None:
    with app_role(), pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
        cursor.execute("CREATE TABLE public.mine (id int)")


def test_the_application_cannot_delete_from_a_ledger(app_role: Role) -> None:
    with app_role(), pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
        cursor.execute("DELETE FROM attribution_entry")


def test_bulk_intake_may_make_its_own_tables(app_role: Role) -> None:
    with app_role(), connection.cursor() as cursor:
        cursor.execute("CREATE UNLOGGED TABLE staging.mine (id int); DROP TABLE staging.mine")
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("scrm_app",)
