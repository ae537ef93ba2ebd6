"""The database's clock, set by a test: months pass between two lines of it.

Functions of the same names in a schema of their own stand before ``pg_catalog`` in the search path of this connection, so
that everything the ledger asks of the clock, its triggers included, hears the time that was set.
"""

from __future__ import annotations

import datetime as dt
from contextlib import suppress

from django.db import DatabaseError, connection

NAMES = ("clock_timestamp", "transaction_timestamp", "statement_timestamp", "now")
FUNCTION = """
    CREATE OR REPLACE FUNCTION test_clock.{name}() RETURNS timestamptz LANGUAGE sql STABLE AS
    $$ SELECT pg_catalog.clock_timestamp() + current_setting('test_clock.offset')::interval {earlier} $$
"""


class Clock:
    def __init__(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA IF NOT EXISTS test_clock")
            for name in NAMES:
                # a transaction has begun some time before what happens in it
                earlier = "" if name == "clock_timestamp" else "- interval '1 minute'"
                cursor.execute(FUNCTION.format(name=name, earlier=earlier))

    def set(self, at: dt.datetime) -> dt.datetime:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('test_clock.offset', (%s::timestamptz - pg_catalog.clock_timestamp())::text, false)",
                [at],
            )
            cursor.execute("SET search_path = test_clock, public, pg_catalog")
        return at

    def forward(self, at: dt.datetime) -> dt.datetime:
        """Like ``set``, but never back: a time that has passed is now."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT greatest(clock_timestamp(), %s)", [at])
            return self.set(cursor.fetchone()[0])

    def stop(self) -> None:
        with suppress(DatabaseError), connection.cursor() as cursor:  # a failed transaction takes it back by itself
            cursor.execute("SET search_path = DEFAULT")
