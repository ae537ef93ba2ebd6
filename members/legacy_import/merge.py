"""Writing persons: members, identities, points openings, tags and what the extra columns bring, chunk by chunk.

A chunk is one durable transaction that writes everything of its persons, so that a killed run leaves whole persons only
and the next run finds them as known members without news.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from django.db import connection, transaction

from members.legacy_import import unchanged
from members.legacy_import.columns import Chunk, extras
from members.legacy_import.persons import Tables
from scrm.models import Brand

CHUNK_ROWS = 10_000
WRITERS = 2  # sessions that write side by side; each chunk has persons of its own

Counts = dict[str, int]


def create_tiers(tables: Tables, brand: Brand) -> int:
    """The tiers that good rows name and the brand does not have; the first one in the list ranks lowest."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"""
            INSERT INTO members_tier (brand_id, name, rank)
            SELECT %s, tier, COALESCE((SELECT max(rank) FROM members_tier WHERE brand_id = %s), 0)
                             + row_number() OVER (ORDER BY min(line_no))
            FROM {tables.checked} t WHERE problem IS NULL AND tier <> '' AND tier_id IS NULL GROUP BY tier
            ON CONFLICT (brand_id, name) DO NOTHING
        """, [brand.pk, brand.pk])  # fmt: skip
        return int(cursor.rowcount)


def create_tags(tables: Tables, brand: Brand) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO members_tag (brand_id, name) SELECT DISTINCT %s::bigint, name FROM {tables.of('tags')} g"
            " WHERE NOT EXISTS (SELECT 1 FROM members_tag x WHERE x.brand_id = %s AND x.name = g.name)"
            " ON CONFLICT (brand_id, name) DO NOTHING",
            [brand.pk, brand.pk],
        )


def find_missing_tags(tables: Tables, brand: Brand) -> int:
    """``missing_tags``: (member, tag) of known members who do not have it yet."""
    with connection.cursor() as cursor:
        name = tables.create(cursor, "missing_tags", f"""
            SELECT DISTINCT p.member_id, x.id AS tag_id
            FROM (SELECT known_id AS member_id, tags FROM {tables.checked} t
                  WHERE problem IS NULL AND known_id IS NOT NULL AND tags <> ''
                    AND NOT EXISTS (SELECT 1 FROM {tables.of('entangled')} e WHERE e.line_no = t.line_no)
                  UNION ALL
                  SELECT r.person, t.tags FROM {tables.of('resolved')} r JOIN {tables.checked} t USING (line_no)
                  WHERE r.person > 0 AND t.tags <> '') p
            JOIN {tables.of('tags')} g ON g.cell = p.tags
            JOIN members_tag x ON x.brand_id = %s AND x.name = g.name
            LEFT JOIN members_membertag h ON h.member_id = p.member_id AND h.tag_id = x.id
            WHERE h.id IS NULL
        """, [brand.pk])  # fmt: skip
        cursor.execute(f"SELECT count(*) FROM {name}")
        return int(cursor.fetchone()[0])


def write_persons(
    tables: Tables, *, brand: Brand, total: int, progress: Callable[[int], None], chunk_rows: int = CHUNK_ROWS
) -> Counts:
    """Write every chunk, by several sessions at once where that is possible. A failed chunk stops the ones after it."""
    counts: Counts = {}
    done = 0
    for part in _written(tables, range(-(-total // chunk_rows)), brand):
        for name, count in part.items():
            counts[name] = counts.get(name, 0) + count
        done = min(total, done + chunk_rows)
        progress(done)
    return counts


def _written(tables: Tables, numbers: range, brand: Brand) -> Iterator[Counts]:
    if len(numbers) < 2 or connection.in_atomic_block:  # inside a transaction no other session sees the working tables
        for number in numbers:
            yield _write_chunk(tables, number, brand)
        return
    todo, results = iter(numbers), SimpleQueue[Counts | BaseException | None]()
    stop = threading.Event()

    def write() -> None:
        """One session: takes the next chunk until none is left or somebody has failed. Iterating a range is atomic."""
        try:
            with bulk_session():
                while not stop.is_set() and (number := next(todo, None)) is not None:
                    results.put(_write_chunk(tables, number, brand))
        except BaseException as error:  # noqa: BLE001  raised again by the thread that waits
            stop.set()
            results.put(error)
        finally:
            connection.close()
            results.put(None)

    writers = [threading.Thread(target=write, name=f"import-{n}", daemon=True) for n in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        yield from _collect(results)
    finally:
        stop.set()
        for writer in writers:
            writer.join()


def _collect(results: SimpleQueue[Counts | BaseException | None]) -> Iterator[Counts]:
    """What the writers report, until each has said None; the first error after all of them have stopped."""
    running, failure = WRITERS, None
    while running:
        result = results.get()
        if result is None:
            running -= 1
        elif isinstance(result, BaseException):
            failure = failure or result
        elif failure is None:
            yield result
    if failure is not None:
        raise failure


@contextmanager
def bulk_session() -> Iterator[None]:
    """Settings of this session only. A lost tail of the import is written again by the next run, so no commit waits; and
    a statement whose client has died ends within a second instead of competing with that run.
    """
    names = ("synchronous_commit = off", "work_mem = '128MB'", "client_connection_check_interval = '1s'")
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET {name}" for name in names))
    try:
        yield
    finally:
        if not connection.needs_rollback and connection.connection is not None:
            with connection.cursor() as cursor:
                cursor.execute("; ".join(f"RESET {name.partition(' ')[0]}" for name in names))


def write_missing_tags(
    tables: Tables, *, total: int, progress: Callable[[int], None], chunk_rows: int = CHUNK_ROWS
) -> int:
    """Tags of known members: deleted from ``missing_tags`` as they are written."""
    written = 0
    while written < total:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute(f"""
                WITH part AS (
                    DELETE FROM {tables.of("missing_tags")} WHERE ctid = ANY (ARRAY(
                        SELECT ctid FROM {tables.of("missing_tags")} LIMIT %s)) RETURNING member_id, tag_id)
                INSERT INTO members_membertag (member_id, tag_id, source)
                SELECT member_id, tag_id, 'IMPORT' FROM part ORDER BY member_id, tag_id
                ON CONFLICT (member_id, tag_id) DO NOTHING
            """, [chunk_rows])  # fmt: skip
        written = min(total, written + chunk_rows)
        progress(written)
    return written


@transaction.atomic(durable=True)
def _write_chunk(tables: Tables, number: int, brand: Brand) -> Counts:
    job_id = tables.job_id
    with connection.cursor() as cursor:
        # Triggers and foreign keys keep their first plan for the whole session. Made while a table is still empty it is
        # a sequential scan, and the import would slow down with the square of its length. Holds until after the commit.
        cursor.execute("SET LOCAL enable_seqscan = off")
        chunk = _open_chunk(cursor, tables, number, brand)
        counts = {
            "created": _insert_members(cursor, chunk, brand),
            "updated": _update_members(cursor, chunk),
            "identities_added": _insert_identities(cursor, chunk, tables, brand),
            "points_opened": _open_points(cursor, chunk, brand, job_id),
            "tags_added": _insert_tags_of_new(cursor, chunk, tables, brand),
        }
        for extra in extras():
            counts |= extra.after_merge(Chunk(cursor, chunk, brand, job_id))
        unchanged.remember_new(cursor, chunk)
        cursor.execute(f"DROP TABLE {chunk}")
    return counts


def _open_chunk(cursor: Any, tables: Tables, number: int, brand: Brand) -> str:
    """The chunk's persons with their ids, which are drawn here: nextval would forbid parallel plans where it stands."""
    part = f"chunk_{number}"
    tables.drop(part)  # a killed run may have left it
    chunk = tables.of(part)
    identity = "nextval(pg_get_serial_sequence('members_identity', 'id'))"
    cursor.execute(f"""
        CREATE UNLOGGED TABLE {chunk} WITH (autovacuum_enabled = off) AS
        SELECT p.*, tier.id AS tier_id, p.known_id IS NULL AS is_new,
               COALESCE(p.known_id, nextval(pg_get_serial_sequence('members_member', 'id'))) AS member_id,
               CASE WHEN p.new_card <> '' THEN {identity} END AS card_id,
               CASE WHEN p.new_mobile <> '' THEN {identity} END AS mobile_id
        FROM {tables.of("persons")} p LEFT JOIN members_tier tier ON tier.brand_id = %s AND tier.name = p.tier
        WHERE p.chunk = %s
    """, [brand.pk, number])  # fmt: skip
    cursor.execute(f"ANALYZE {chunk} (member_id, person)")
    return chunk


def _insert_members(cursor: Any, chunk: str, brand: Brand) -> int:
    cursor.execute(f"""
        INSERT INTO members_member (id, brand_id, name, gender, birthday, tier_id, points_brought_in, home_store_id,
                                    registered_on, remark, status)
        SELECT member_id, %s, name, gender, birthday, tier_id, COALESCE(points, 0), home_store_id, registered_on, remark,
               'ACTIVE'
        FROM {chunk} WHERE is_new ORDER BY member_id
    """, [brand.pk])  # fmt: skip
    return int(cursor.rowcount)


def _update_members(cursor: Any, chunk: str) -> int:
    """A filled cell replaces, an empty one keeps; the earliest registration stays. Locked in the order of the key.

    Returns how many of the chunk were known, with or without a change of their own row.
    """
    cursor.execute(f"SELECT count(*), count(*) FILTER (WHERE differs) FROM {chunk} WHERE NOT is_new")
    known, different = cursor.fetchone()
    if not different:
        return int(known)
    cursor.execute(
        f"SELECT 1 FROM members_member WHERE id IN (SELECT member_id FROM {chunk} WHERE NOT is_new AND differs)"
        " ORDER BY id FOR NO KEY UPDATE"
    )
    cursor.execute(f"""
        UPDATE members_member m
        SET name = COALESCE(NULLIF(c.name, ''), m.name), gender = COALESCE(NULLIF(c.gender, ''), m.gender),
            birthday = COALESCE(c.birthday, m.birthday), tier_id = COALESCE(c.tier_id, m.tier_id),
            home_store_id = COALESCE(c.home_store_id, m.home_store_id),
            registered_on = LEAST(c.registered_on, m.registered_on),
            remark = COALESCE(NULLIF(c.remark, ''), m.remark), updated_at = now()
        FROM {chunk} c WHERE m.id = c.member_id AND NOT c.is_new AND c.differs
    """)
    return int(known)


def _insert_identities(cursor: Any, chunk: str, tables: Tables, brand: Brand) -> int:
    """No ON CONFLICT: somebody who has linked the same number meanwhile makes the chunk fail and the rows match anew."""
    cursor.execute(f"""
        INSERT INTO members_identity (id, member_id, kind, namespace, value, sealed, is_verified)
        SELECT id, member_id, kind, %s, value, sealed, false FROM (
            SELECT card_id AS id, member_id, 'CARD' AS kind, new_card AS value, NULL::bytea AS sealed
            FROM {chunk} WHERE card_id IS NOT NULL
            UNION ALL
            SELECT mobile_id, member_id, 'MOBILE', new_mobile, sealed FROM {chunk} WHERE mobile_id IS NOT NULL
            UNION ALL
            SELECT nextval(pg_get_serial_sequence('members_identity', 'id')), c.member_id, k.kind, k.value, k.sealed
            FROM {chunk} c JOIN {tables.of("keys")} k ON k.person = c.person
        ) i ORDER BY value
    """, [brand.code])  # fmt: skip
    return int(cursor.rowcount)


def _open_points(cursor: Any, chunk: str, brand: Brand, job_id: int) -> int:
    """Once per card; for a row without a card once per number. Never again, whatever later lists say."""
    cursor.execute(f"""
        WITH wanted AS (
            SELECT COALESCE(c.card_id, CASE WHEN c.points_card = '' THEN c.mobile_id END, i.id) AS identity_id,
                   c.member_id, c.points
            FROM {chunk} c LEFT JOIN members_identity i
              ON i.kind = CASE WHEN c.points_card <> '' THEN 'CARD' ELSE 'MOBILE' END
             AND i.value = CASE WHEN c.points_card <> '' THEN c.points_card ELSE c.points_mobile END
             AND i.namespace = %s AND c.card_id IS NULL AND (c.points_card <> '' OR c.mobile_id IS NULL)
            WHERE c.opens_points),
        opened AS (
            INSERT INTO members_pointsopening (identity_id, member_id, points, job_id)
            SELECT identity_id, member_id, points, %s FROM wanted ORDER BY identity_id
            ON CONFLICT (identity_id) DO NOTHING RETURNING member_id, points),
        added AS (
            UPDATE members_member m SET points_brought_in = m.points_brought_in + o.points, updated_at = now()
            FROM opened o JOIN {chunk} c USING (member_id) WHERE m.id = o.member_id AND NOT c.is_new)
        SELECT count(*) FROM opened
    """, [brand.code, job_id])  # fmt: skip
    return int(cursor.fetchone()[0])


def _insert_tags_of_new(cursor: Any, chunk: str, tables: Tables, brand: Brand) -> int:
    cursor.execute(f"""
        INSERT INTO members_membertag (member_id, tag_id, source)
        SELECT DISTINCT p.member_id, x.id, 'IMPORT'
        FROM (SELECT member_id, tags FROM {chunk} WHERE is_new AND tags <> ''
              UNION ALL
              SELECT c.member_id, t.tags FROM {chunk} c JOIN {tables.of("resolved")} r ON r.person = c.person
              JOIN {tables.checked} t ON t.line_no = r.line_no WHERE c.is_new AND t.tags <> '') p
        JOIN {tables.of("tags")} g ON g.cell = p.tags JOIN members_tag x ON x.brand_id = %s AND x.name = g.name
        ORDER BY 1, 2
    """, [brand.pk])  # fmt: skip
    return int(cursor.rowcount)
