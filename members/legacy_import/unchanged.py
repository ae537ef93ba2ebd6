"""Rows that an earlier list has brought already (未变行): known by their digest, they are neither checked nor matched again.

1. A row is remembered with its member when it stands alone for her, is good, and everything it says is written.
2. Its digest covers the cells of all mapped columns, in what order they stand, and what its codes mean: a store, tier or guide
   that was renamed makes another digest.
3. Whoever changes what lists say of a member makes her row forgotten (``ListRow``): it is then heard again, as a new one.
4. Where another row of the same list means the same member, nothing may be left out: the list is read once more in full.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from typing import Any

from django.db import connection

from members.legacy_import import persons
from members.legacy_import.columns import extras
from members.legacy_import.persons import Tables
from members.models import Tier
from scrm import copyin, crypto, db
from scrm.models import Brand, Store

TRIED_ROWS = 20_000  # of a list; where fewer than one in ten is known, no further ones are looked up
# in the order of the digest: neighbours in the index are read together
FIND = """
    WITH asked AS MATERIALIZED (
        SELECT u.place, r.member_id
        FROM (SELECT digest, place::int FROM unnest(%s::uuid[]) WITH ORDINALITY u(digest, place) ORDER BY digest) u
        LEFT JOIN members_listrow r USING (digest)),
    noted AS (INSERT INTO {settled} SELECT member_id FROM asked WHERE member_id IS NOT NULL)
    SELECT place FROM asked WHERE member_id IS NULL ORDER BY place
"""


class Unchanged:
    """Told group by group which rows the file has (``copyin.Settle``). Looks up one group while the next one is read."""

    def __init__(self, layout: copyin.Layout, brand: Brand, settled: str, *, look: bool) -> None:
        self._find, self._look = FIND.format(settled=settled), look
        self._read = self._known = 0
        places = [layout.positions[column.name] for column in layout.present]
        self._cells = itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)
        self._references = [
            (layout.positions[name], _Ids(ids)) for name, ids in _references(brand).items() if layout.has(name)
        ]
        context = "\x1f".join([brand.code, *(column.name for column in layout.present)])
        self._start = crypto.row_digests(context.encode())
        # inside a transaction no other session sees what it has written
        self._session = None if connection.in_atomic_block else ThreadPoolExecutor(1, "unchanged")

    def __enter__(self) -> Unchanged:
        return self

    def __exit__(self, *_: object) -> None:
        if self._session:
            self._session.submit(lambda: connection.close()).result()  # noqa: PLW0108  the thread's own
            self._session.shutdown()

    def __call__(self, rows: list[list[str]]) -> Callable[[], tuple[list[str], Sequence[int]]]:
        digests = self._digests(rows)
        if not self._look:
            return lambda: (digests, range(len(rows)))
        asked = self._session.submit(self._find_new, digests) if self._session else None

        def answer() -> tuple[list[str], Sequence[int]]:
            unknown = asked.result() if asked else self._find_new(digests)
            self._read += len(rows)
            self._known += len(rows) - len(unknown)
            self._look = self._read < TRIED_ROWS or self._known * 10 >= self._read
            return digests, unknown

        return answer

    def _digests(self, rows: list[list[str]]) -> list[str]:
        """Empty where a code is unknown, or in an unusual spelling."""
        columns = [[ids[row[place]] for row in rows] for place, ids in self._references]
        named = zip(*columns, strict=True) if columns else itertools.repeat((), len(rows))
        cells, start, digests = self._cells, self._start, []
        for row, ids in zip(rows, named, strict=True):
            if None in ids:
                digests.append("")
                continue
            digest = start.copy()
            digest.update("\x1f".join((*cells(row), *ids)).encode())
            digests.append(digest.hexdigest())
        return digests

    def _find_new(self, digests: list[str]) -> list[int]:
        """The places of rows that no list has brought; the members of the others are noted."""
        array = "{" + ",".join(digest or "NULL" for digest in digests) + "}"
        return [place - 1 for (place,) in db.read(self._find, [array])]


class _Ids(dict[str, str | None]):
    """What a cell names, as text; None for what is unknown, empty for an empty cell."""

    def __init__(self, ids: dict[str, int]) -> None:
        super().__init__({name: str(one) for name, one in ids.items()} | {"": ""})

    def __missing__(self, _name: str) -> None:
        return None


def _references(brand: Brand) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {
        "store": dict(Store.objects.values_list("code", "pk")),
        "tier": dict(Tier.objects.filter(brand=brand).values_list("name", "pk")),
    }
    return found | {extra.column.name: extra.references() for extra in extras() if extra.references}


def prepare(tables: Tables) -> str:
    """An empty ``settled``: a member per row that is left out. Returns its quoted name."""
    tables.drop("settled")
    name = tables.of("settled")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE UNLOGGED TABLE {name} (member_id bigint NOT NULL) WITH (autovacuum_enabled = off)")
    return name


def is_touched(tables: Tables) -> bool:
    """Whether a row that was looked at means a member whose own row was left out."""
    with connection.cursor() as cursor:
        cursor.execute(f"""
            SELECT EXISTS (SELECT 1 FROM {tables.checked} t JOIN {tables.of("settled")} s
                           ON s.member_id = t.card_owner OR s.member_id = t.mobile_owner WHERE t.problem IS NULL)
        """)  # fmt: skip
        return bool(cursor.fetchone()[0])


def count(tables: Tables) -> tuple[int, int]:
    """Members whose rows were left out, and the repeats among those rows."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(DISTINCT member_id), count(*) FROM {tables.of('settled')}")
        members, rows = cursor.fetchone()
        return members, rows - members


def is_settled() -> str:
    """SQL: whether a stand-alone row with its ``extras`` may be remembered once it is written."""
    conditions = [f"({extra.settled})" for extra in extras()]
    conditions += [f"({counted}) IS NOT TRUE" for extra in extras() for counted in extra.counts.values()]
    return " AND ".join(["digest IS NOT NULL", *conditions])


def remember_new(cursor: Any, chunk: str) -> None:
    """The rows of the members that a chunk has created, in its transaction."""
    cursor.execute(f"""
        INSERT INTO members_listrow (member_id, digest)
        SELECT member_id, digest FROM {chunk} WHERE is_new AND digest IS NOT NULL ORDER BY digest
    """)


def remember_known(tables: Tables, brand: Brand) -> None:
    """The rows of members that existed, once all is written, where they still say what the member says.

    Somebody may have changed her while the list was being written, before there was a row to forget.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"""
            INSERT INTO members_listrow AS l (member_id, digest)
            SELECT t.known_id, t.digest FROM {tables.checked} t JOIN members_member m ON m.id = t.known_id
            LEFT JOIN members_tier tier ON tier.brand_id = {brand.pk} AND tier.name = t.tier
            WHERE t.problem IS NULL AND {is_settled()} AND NOT {persons.differs("t", "t.home_store_id")}
              AND NOT EXISTS (SELECT 1 FROM {tables.of("entangled")} e WHERE e.line_no = t.line_no)
            ORDER BY t.digest
            ON CONFLICT (member_id) DO UPDATE SET digest = EXCLUDED.digest WHERE l.digest <> EXCLUDED.digest
        """)
