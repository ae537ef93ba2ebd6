"""The database's clock, set by a test: months pass between two lines of it.

Functions of the same names in a schema of their own stand before ``pg_catalog`` in the search path of this connection, so
that everything the ledger asks of the clock, its triggers included, hears the time that was set.
"""

from __future__ import annotations

import datetime as dt

from django.db import connection

NAMES = ("clock_timestamp", "transaction_timestamp", "statement_timestamp", "now")
FUNCTION = """
    CREATE OR REPLACE FUNCTION test_clock.{name}() RETURNS timestamptz LANGUAGE sql STABLE AS
    $$ SELECT pg_catalog.clock_timestamp() + current_setting('test_clock.offset')::interval {earlier} $$
"""


class Clock:
    def __init__(self) -> None:
        self._offset = dt.timedelta(0)
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA IF NOT EXISTS test_clock")
            for name in NAMES:
                # a transaction has begun some time before what happens in it
                earlier = "" if name == "clock_timestamp" else "- interval '1 minute'"
                cursor.execute(FUNCTION.format(name=name, earlier=earlier))

    def set(self, at: dt.datetime) -> dt.datetime:
        self._offset = at - dt.datetime.now(dt.UTC)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('test_clock.offset', %s, false)", [f"{self._offset.total_seconds()} seconds"]
            )
            cursor.execute("SET search_path = test_clock, public, pg_catalog")
        return at

    def stop(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path = DEFAULT")
