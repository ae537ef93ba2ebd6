"""Statements that a connection plans once, reads that go together, and who watches them."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import DatabaseError, connection, transaction

from scrm import db
from scrm.models import Brand

OF_A_DAY = "SELECT count(*) FROM members_orderline WHERE id = ANY(%s::bigint[]) AND booked_on BETWEEN %s AND %s"
PLANS = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE %s"
TODAY = dt.date(2025, 5, 1)

pytestmark = pytest.mark.django_db(transaction=True)


def plans() -> list[tuple[int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(PLANS, ["SELECT count(*) FROM members_orderline%"])
        return [tuple(row) for row in cursor.fetchall()]


def test_a_statement_is_planned_once_for_whatever_values() -> None:
    """Never for the values: of a year of partitions only the first plan would be cheap, and the driver would make it anew."""
    connection.close()
    for line_id in range(3):
        with db.plans_kept():
            assert db.read(OF_A_DAY, [db.array([line_id]), TODAY, TODAY]) == [(0,)]
            with db.plans_kept():  # the same transaction
                assert db.read(OF_A_DAY, [db.array([line_id, 7]), TODAY, TODAY + dt.timedelta(days=line_id)]) == [(0,)]
    assert plans() == [(6, 0)]


def test_a_large_read_has_a_plan_of_its_own_again() -> None:
    connection.close()
    with db.plans_kept():
        db.read(OF_A_DAY, [db.array([1]), TODAY, TODAY])
    db.read(OF_A_DAY, [db.array(range(1_000)), TODAY, TODAY])
    with connection.cursor() as cursor:
        cursor.execute("SHOW plan_cache_mode")
        assert cursor.fetchone() == ("auto",)
    assert plans() == [(1, 0)]


def test_an_error_takes_everything_back_and_the_connection_goes_on() -> None:
    with pytest.raises(DatabaseError), db.plans_kept():
        db.write("INSERT INTO attribution_figuremark (day) SELECT unnest(%s::date[])", [db.array([TODAY])])
        db.read("SELECT 1 / %s::int", [0])
    with transaction.atomic():
        assert db.read("SELECT count(*) FROM attribution_figuremark") == [(0,)]


def test_reads_that_go_together_answer_in_their_order() -> None:
    with db.plans_kept():
        assert db.read_together(
            ("SELECT %s::int", [1]), ("SELECT generate_series(1, %s::int)", [2]), ("SELECT now()", [])
        )[:2] == [[(1,)], [(1,), (2,)]]
    with pytest.raises(DatabaseError), db.plans_kept():
        db.read_together(("SELECT 1", []), ("SELECT 1 / %s::int", [0]), ("SELECT 2", []))
    assert db.read_together(("SELECT 1", []), ("SELECT 2", [])) == [[(1,)], [(2,)]]


def test_a_watcher_is_told_of_every_statement() -> None:
    heard: list[str] = []
    with db.watching(lambda statement, seconds: heard.append(statement) if seconds >= 0 else None):
        db.read("SELECT 1")
        db.read_together(("SELECT 2", []), ("SELECT 3", []))
        db.fetch("SELECT %(n)s::int", {"n": 4})
        with connection.cursor() as cursor:
            cursor.execute("SELECT 5")
    db.read("SELECT 6")
    assert heard == ["SELECT 1", "SELECT 2; SELECT 3", "SELECT %(n)s::int", "SELECT 5"]


@pytest.mark.parametrize("ask", ["read", "write", "read_together", "Django"])
def test_rows_that_ask_while_they_are_copied_are_refused_and_never_wait(ask: str) -> None:
    """They would wait for their own connection for ever."""

    def row() -> tuple[str, str]:
        if ask == "Django":
            Brand.objects.count()
        elif ask == "read_together":
            db.read_together(("SELECT 1", []), ("SELECT 2", []))
        else:
            getattr(db, ask)("SELECT 1")
        return "X", "有问题的品牌"

    with pytest.raises(db.AskedWhileCopying), transaction.atomic():
        db.copy_rows("scrm_brand", ("code", "name"), (row() for _once in range(1)))
    assert not Brand.objects.filter(code="X").exists()
    db.copy_rows("scrm_brand", ("code", "name"), [("Y", "好品牌")])
    assert Brand.objects.filter(code="Y").exists()
