"""Numbers of order lines (行号): a small whole number as it is, anything else as a digest with the original kept beside it.

1. Platforms number lines with up to nineteen digits or with letters; ``line_no`` is a small integer in every table and key. A
   number of up to nine digits is itself. Any other is a digest of 31 bits with the highest set, the same for the same original
   wherever it comes from (a platform's reply, a list, a webhook); the original stands in ``line_ref``.
2. Two originals of one order with one digest (one in 10⁹) contradict each other and are parked for a person.
3. A list may also write a small number with leading zeros, or with the ".0" of a spreadsheet; up to 2147483647 it was always
   taken as it is, and still is.
"""

from __future__ import annotations

import hashlib

from django.db import connection

from scrm import db

DIGEST_BIT = 2**30
LONGEST = 64
# in a list, over the text of a cell
NUMBER = (
    "CASE WHEN t.number ~ '^[0-9]{1,9}([.]0+)?$' THEN split_part(t.number, '.', 1)::bigint"
    " WHEN t.number ~ '^[12][0-9]{9}$' THEN CASE WHEN t.number::bigint <= 2147483647 THEN t.number::bigint END END"
)
IS_NO_NUMBER = "t.number !~ '^([0-9]{1,9}([.]0+)?|[0-9A-Za-z][0-9A-Za-z_-]*)$' OR t.number ~ '^[0-9]+[Ee][0-9]+$'"


def of(ref: str) -> int:
    """Rule 1."""
    if ref.isascii() and ref.isdecimal() and len(ref) <= 9 and (ref == "0" or ref[0] != "0"):
        return int(ref)
    return int.from_bytes(hashlib.blake2b(ref.encode(), digest_size=4).digest(), "big") % DIGEST_BIT + DIGEST_BIT


def number_long_ones(table: str) -> bool:
    """Give the rows of a checked list whose number is no small one their digest (``line_number``); whether there are any."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT number FROM {table} WHERE line_number IS NULL AND problem IS NULL ORDER BY number"
        )
        refs = [ref for (ref,) in cursor.fetchall()]
        if not refs:
            return False
        cursor.execute("DROP TABLE IF EXISTS long_line_numbers")
        cursor.execute(
            "CREATE TEMPORARY TABLE long_line_numbers (number text PRIMARY KEY, line_number bigint NOT NULL)"
        )
        db.copy_rows("long_line_numbers", ("number", "line_number"), ((ref, of(ref)) for ref in refs))
        cursor.execute("ANALYZE long_line_numbers")
        cursor.execute(
            f"UPDATE {table} t SET line_number = n.line_number FROM long_line_numbers n"
            " WHERE n.number = t.number AND t.line_number IS NULL AND t.problem IS NULL"
        )
        cursor.execute("DROP TABLE long_line_numbers")
    return True
