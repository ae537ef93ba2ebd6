"""From checked rows to persons: who is known, which rows mean the same person, what has to be written.

Nearly every row stands alone and is matched by one join over the whole list. Only rows that share a card, a mobile number
or a member with another row are *entangled*: these are resolved one by one in the order of the file, and folded.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection

from members.legacy_import.columns import TAG_SEPARATORS, extras
from scrm import copyin
from scrm.models import Brand

RESOLVE_ROWS = 50_000
CONFLICT, REPEAT = "identity_conflict", "exact_duplicate"

# (line, key of the card or None, its owner or None, key of the mobile or None, its owner or None, line of the first
# identical row)
Entangled = tuple[int, int | None, int | None, int | None, int | None, int]


# --- pure -------------------------------------------------------------------------------------------------------------


class Resolver:
    """Rows in line order → the person each one means.

    A person is the id of a known member or, for a new one, minus the line on which she first appears. A card and a mobile
    number that mean two persons make the row a conflict; it then links nothing. Otherwise every key of the row belongs to
    its person from here on. Owners stand in flat arrays: two million keys take 16 MB.
    """

    def __init__(self) -> None:
        self._cards, self._mobiles = array("q"), array("q")
        self._conflicts: set[int] = set()

    def resolve(self, rows: Iterable[Entangled]) -> Iterator[tuple[int, int, str]]:
        for line, card, card_owner, mobile, mobile_owner, first_line in rows:
            by_card = card_owner or _look(self._cards, card)
            by_mobile = mobile_owner or _look(self._mobiles, mobile)
            person = by_card or by_mobile or -line
            if by_card and by_mobile and by_card != by_mobile:
                self._conflicts.add(line)
                yield line, 0, CONFLICT
                continue
            _set(self._cards, card, person)
            _set(self._mobiles, mobile, person)
            yield line, person, REPEAT if first_line != line and first_line not in self._conflicts else ""


def _look(owners: array[int], key: int | None) -> int:
    return owners[key] if key is not None and key < len(owners) else 0


def _set(owners: array[int], key: int | None, person: int) -> None:
    if key is None:
        return
    if key >= len(owners):
        owners.extend([0] * (key + 1 - len(owners)))
    owners[key] = person


# --- SQL --------------------------------------------------------------------------------------------------------------


def joins(brand: Brand) -> str:
    """What a typed row ``t`` is matched with. The value of an identity is unique, so no join multiplies rows."""
    namespace = copyin.rules.literal(brand.code)
    own = "\n".join(extra.joins(brand) for extra in extras())
    return f"""
        LEFT JOIN scrm_store home ON home.code = t.store
        LEFT JOIN members_tier tier ON tier.brand_id = {brand.pk} AND tier.name = t.tier
        LEFT JOIN members_identity ci ON ci.value = t.card AND ci.kind = 'CARD' AND ci.namespace = {namespace}
        LEFT JOIN members_identity mi ON mi.value = t.mobile_index AND mi.kind = 'MOBILE' AND mi.namespace = {namespace}
        LEFT JOIN members_member m ON m.id = COALESCE(ci.member_id, mi.member_id)
        LEFT JOIN members_pointsopening co ON co.identity_id = ci.id
        LEFT JOIN members_pointsopening mo ON mo.identity_id = mi.id
        {own}"""


def values() -> str:
    """What is kept of the match; ``has_news``: a known member gains something by this row."""
    own = "".join(f", {sql} AS {name}" for extra in extras() for name, sql in extra.values.items())
    extra_news = " OR ".join(f"({extra.news})" for extra in extras()) or "false"
    # a row without a card opens points only for a member who has none from any list; rows with a card are the rule
    opens_points = """t.points IS NOT NULL AND co.id IS NULL AND mo.id IS NULL AND
        CASE WHEN t.card = '' THEN NOT EXISTS (SELECT 1 FROM members_pointsopening x WHERE x.member_id = m.id) ELSE true END"""
    return f"""
        home.id AS home_store_id, tier.id AS tier_id,
        COALESCE(ci.member_id, mi.member_id) AS known_id, ci.member_id AS card_owner, mi.member_id AS mobile_owner,
        ({opens_points}) AS opens_points, ({extra_news}) AS extra_news, {differs("t", "home.id")} AS differs,
        ({differs("t", "home.id")} OR t.card <> '' AND ci.id IS NULL OR t.mobile_index <> '' AND mi.id IS NULL
         OR ({opens_points}) OR {extra_news}) AS has_news {own}"""


def differs(row: str, home_store_id: str) -> str:
    """Whether filled cells of ``row`` say something that the member ``m`` does not; ``tier`` is the tier they name."""
    return f"""(
            {row}.name <> '' AND {row}.name <> m.name
         OR {row}.gender <> '' AND {row}.gender <> m.gender
         OR {row}.birthday IS NOT NULL AND {row}.birthday IS DISTINCT FROM m.birthday
         OR {row}.tier <> '' AND tier.id IS DISTINCT FROM m.tier_id
         OR {home_store_id} IS NOT NULL AND {home_store_id} IS DISTINCT FROM m.home_store_id
         OR {row}.registered_on IS NOT NULL AND (m.registered_on IS NULL OR {row}.registered_on < m.registered_on)
         OR {row}.remark <> '' AND {row}.remark <> m.remark)"""


@dataclass(frozen=True)
class Tables:
    """The names of one run's working tables, quoted."""

    job_id: int
    checked: str

    def of(self, part: str) -> str:
        return copyin.table_name(self._name(part))

    def create(self, cursor: Any, part: str, select: str, params: list[Any] | None = None) -> str:
        """An unlogged table of that part, replacing what a killed run left. Returns its quoted name."""
        self.drop(part)
        name = self.of(part)
        cursor.execute(f"CREATE UNLOGGED TABLE {name} WITH (autovacuum_enabled = off) AS {select}", params)
        cursor.execute(f"ANALYZE {name}")
        return name

    def drop(self, *parts: str) -> None:
        for part in parts:
            copyin.drop(self._name(part))

    def _name(self, part: str) -> str:
        return f"job_{self.job_id}_{part}"


PARTS = ("settled", "entangled", "resolved", "folded", "keys", "tags", "persons", "missing_tags")


def resolve(tables: Tables) -> None:
    """Fill ``entangled`` (rows that share something) and ``resolved`` (line, person, verdict)."""
    checked = tables.checked
    good = f"FROM {checked} WHERE problem IS NULL"
    with connection.cursor() as cursor:
        entangled = tables.create(cursor, "entangled", f"""
            SELECT line_no, row_number() OVER (ORDER BY line_no) AS place,
                   CASE WHEN card <> '' THEN dense_rank() OVER (ORDER BY card) END AS card_key, card_owner,
                   CASE WHEN mobile_index <> '' THEN dense_rank() OVER (ORDER BY mobile_index) END AS mobile_key,
                   mobile_owner, min(line_no) OVER (PARTITION BY row_hash, card, mobile_index) AS first_line
            FROM {checked} WHERE line_no IN (
                SELECT line_no {good} AND card_owner IS NULL AND card IN (
                    SELECT card {good} AND card_owner IS NULL AND card <> '' GROUP BY card HAVING count(*) > 1)
                UNION ALL
                SELECT line_no {good} AND mobile_owner IS NULL AND mobile_index IN (
                    SELECT mobile_index {good} AND mobile_owner IS NULL AND mobile_index <> ''
                    GROUP BY mobile_index HAVING count(*) > 1)
                UNION ALL
                SELECT line_no {good} AND known_id IN (
                    SELECT known_id {good} AND known_id IS NOT NULL GROUP BY known_id HAVING count(*) > 1)
            )
        """)  # fmt: skip
        cursor.execute(f"CREATE INDEX ON {entangled} (place)")
        tables.drop("resolved")
        resolved = tables.of("resolved")
        cursor.execute(f"CREATE UNLOGGED TABLE {resolved} (line_no bigint, person bigint, verdict text)")
        resolver = Resolver()
        for rows in _batches(cursor, entangled):
            found = list(resolver.resolve(rows))
            with cursor.copy(f"COPY {resolved} FROM STDIN") as copy:
                copy.write("".join([f"{line}\t{person}\t{verdict}\n" for line, person, verdict in found]))
        cursor.execute(f"ANALYZE {resolved}")


def _batches(cursor: Any, entangled: str) -> Iterator[list[Entangled]]:
    place = 0
    while True:
        cursor.execute(
            f"SELECT line_no, card_key, card_owner, mobile_key, mobile_owner, first_line FROM {entangled}"
            " WHERE place > %s AND place <= %s ORDER BY place",
            [place, place + RESOLVE_ROWS],
        )
        rows = cursor.fetchall()
        if not rows:
            return
        yield rows
        place += RESOLVE_ROWS


def fold(tables: Tables, brand: Brand) -> None:
    """``folded``: one row per entangled person; ``keys``: the cards and numbers she gains."""

    def last(column: str, filled: str) -> str:
        return f"(array_agg(t.{column} ORDER BY t.line_no DESC) FILTER (WHERE t.{filled}))[1]"

    def text(column: str) -> str:
        return f"COALESCE({last(column, f'{column} <> {chr(39) * 2}')}, '')"

    own = "".join(
        f", min(t.{name}) AS {name}" if name in extra.earliest else f", {last(name, f'{name} IS NOT NULL')} AS {name}"
        for extra in extras()
        for name in extra.values
    )
    rows = f"{tables.of('resolved')} r JOIN {tables.checked} t USING (line_no) WHERE r.person <> 0"
    with connection.cursor() as cursor:
        keys = tables.create(cursor, "keys", f"""
            SELECT DISTINCT ON (kind, value) person, kind, value, sealed FROM (
                SELECT r.person, 'CARD' AS kind, t.card AS value, NULL::bytea AS sealed, r.line_no
                FROM {rows} AND t.card <> '' AND t.card_owner IS NULL
                UNION ALL
                SELECT r.person, 'MOBILE', t.mobile_index, t.mobile_sealed, r.line_no
                FROM {rows} AND t.mobile_index <> '' AND t.mobile_owner IS NULL
            ) k ORDER BY kind, value, line_no
        """)  # fmt: skip
        folded = f"""
            SELECT r.person, {text("name")} AS name, {text("gender")} AS gender,
                   {last("birthday", "birthday IS NOT NULL")} AS birthday, {text("tier")} AS tier,
                   {last("home_store_id", "home_store_id IS NOT NULL")} AS home_store_id,
                   min(t.registered_on) AS registered_on, {text("remark")} AS remark,
                   {last("points", "points IS NOT NULL")} AS points,
                   {last("card", "points IS NOT NULL")} AS own_card,
                   COALESCE(NULLIF({last("card", "points IS NOT NULL")}, ''), {last("card", "card <> ''")}, '') AS points_card,
                   {last("mobile_index", "points IS NOT NULL")} AS points_mobile,
                   bool_or(t.extra_news) AS extra_news {own}
            FROM {rows} GROUP BY r.person"""
        tables.create(cursor, "folded", f"""
            SELECT f.*, {differs("f", "f.home_store_id")} AS differs, (f.person < 0 OR f.opens_points OR f.extra_news OR {differs("f", "f.home_store_id")}
                         OR EXISTS (SELECT 1 FROM {keys} k WHERE k.person = f.person)) AS has_news
            FROM (SELECT p.*, (p.points IS NOT NULL AND {_POINTS_ARE_NEW}) AS opens_points FROM ({folded}) p OFFSET 0) f
            LEFT JOIN members_member m ON m.id = f.person
            LEFT JOIN members_tier tier ON tier.brand_id = %s AND tier.name = f.tier
        """, [brand.code, brand.pk])  # fmt: skip


# the rule of ``values`` for a folded person: her line with the points has a card, or she has no opening at all
_POINTS_ARE_NEW = """
    CASE WHEN p.own_card = '' THEN NOT EXISTS (SELECT 1 FROM members_pointsopening x WHERE x.member_id = p.person)
    ELSE NOT EXISTS (
        SELECT 1 FROM members_pointsopening x JOIN members_identity i ON i.id = x.identity_id
        WHERE i.namespace = %s AND (i.kind = 'CARD' AND i.value = p.own_card
                                    OR i.kind = 'MOBILE' AND i.value = p.points_mobile)) END"""


def collect(tables: Tables, *, chunk_rows: int, is_settled: str) -> int:
    """``persons``: everybody to write, in the order of the mobile index. Returns how many.

    ``digest`` stays where ``is_settled`` says that the row may be remembered.
    That order lets each chunk fill one region of the unique index instead of touching all of it.
    """
    own = "".join(f", {name}" for extra in extras() for name in extra.values)
    with connection.cursor() as cursor:
        persons = tables.create(cursor, "persons", f"""
            SELECT ((row_number() OVER ()) - 1) / {int(chunk_rows)} AS chunk, q.* FROM (
                SELECT known_id, NULL::bigint AS person, line_no, name, gender, birthday, tier, home_store_id,
                       registered_on, remark, differs, points, opens_points,
                       CASE WHEN card_owner IS NULL THEN card ELSE '' END AS new_card,
                       CASE WHEN mobile_owner IS NULL THEN mobile_index END AS new_mobile,
                       CASE WHEN mobile_owner IS NULL THEN mobile_sealed END AS sealed,
                       tags, card AS points_card, mobile_index AS points_mobile,
                       CASE WHEN {is_settled} THEN digest END AS digest {own}
                FROM {tables.checked} t
                WHERE problem IS NULL AND (known_id IS NULL OR has_news)
                  AND NOT EXISTS (SELECT 1 FROM {tables.of('entangled')} e WHERE e.line_no = t.line_no)
                UNION ALL
                SELECT CASE WHEN person > 0 THEN person END, person, abs(person), name, gender, birthday, tier,
                       home_store_id, registered_on, remark, differs, points, opens_points, '', NULL, NULL,
                       '', points_card, points_mobile, NULL::uuid {own}
                FROM {tables.of('folded')} WHERE has_news
                ORDER BY points_mobile, line_no
            ) q
        """)  # fmt: skip
        cursor.execute(f"CREATE INDEX ON {persons} (chunk)")
        cursor.execute(f"SELECT count(*) FROM {persons}")
        return int(cursor.fetchone()[0])


def split_tags(tables: Tables) -> None:
    """``tags``: the names in each different tags cell. A list has few different cells, however long it is."""
    with connection.cursor() as cursor:
        tables.create(cursor, "tags", f"""
            SELECT DISTINCT cell, btrim(name, {copyin.rules.BLANKS}) AS name
            FROM (SELECT tags AS cell FROM {tables.checked} WHERE problem IS NULL AND tags <> '' GROUP BY tags) c,
                 regexp_split_to_table(cell, '{TAG_SEPARATORS}') AS name
            WHERE btrim(name, {copyin.rules.BLANKS}) <> ''
        """)  # fmt: skip
