"""The guide of a member list (专属导购列): which guide a list names for a member.

1. A member list may name a guide per member. That opens a binding from 00:00 (Shanghai) of the registration date on, with
   the store in which the guide worked then.
2. It does so only where no binding covers that moment. Otherwise nothing is re-bound; a difference is counted.
3. Before a later binding the imported one ends where that one begins.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from guides.models import Guide
from members import legacy_import
from members.legacy_import import Chunk, ExtraColumn
from scrm import copyin
from scrm.copyin import Column, Kind
from scrm.copyin.rules import Check
from scrm.models import Brand

ZONE = copyin.rules.ZONE

GUIDE_COLUMN = Column(
    "guide", _("guide"), ("专属导购", "专属导购编码", "导购编码", "导购", "服务导购", "guide_code", "guide"), kind=Kind.CODE
)  # fmt: skip

# The store in which the guide worked then; before her first day the first one, in a gap and after her last day the last.
_EMPLOYED = """
    LEFT JOIN guides_employment e ON e.guide_id = w.guide_id AND e.started_at <= w.started_at
          AND (e.ended_at IS NULL OR e.ended_at > w.started_at)"""
_STORE = """COALESCE(e.store_id,
    (SELECT x.store_id FROM guides_employment x WHERE x.guide_id = w.guide_id
     ORDER BY x.started_at <= w.started_at DESC, abs(extract(epoch FROM x.started_at - w.started_at)) LIMIT 1))"""

copyin.problems.register(
    {"unknown_guide": _("There is no guide with this code. Import the list of guides first, or correct the code.")}
)


def register_import_column() -> None:
    """专属导购 as a column of the member list."""
    legacy_import.add_column(
        ExtraColumn(
            column=GUIDE_COLUMN,
            before="registered_on",
            joins=_joins,
            values={
                "guide_id": "g.id",
                "bound_on": "COALESCE(t.registered_on, m.registered_on)",
                "covered_by": "b.guide_id",
            },
            earliest=frozenset({"bound_on"}),
            checks=(Check("guide", "unknown_guide", "t.guide <> '' AND g.id IS NULL"),),
            news="g.id IS NOT NULL AND b.id IS NULL",
            counts={"bindings_kept": "guide_id <> covered_by"},
            after_merge=bind_imported,
            references=lambda: dict(Guide.objects.values_list("code", "pk")),
            settled="guide_id IS NULL OR bound_on IS NOT NULL",  # a binding covers a past moment for good
        )
    )


def bind_imported(chunk: Chunk) -> dict[str, int]:
    """Open the bindings of one chunk's persons; counts of opened ones and of those that stand against the list.

    New members are bound by a statement of their own: they have no history to look at.
    """
    return {"bindings_opened": _bind_new(chunk) + _bind_known(chunk), "bindings_kept": _count_kept(chunk)}


def _bind_new(chunk: Chunk) -> int:
    chunk.cursor.execute(f"""
        INSERT INTO guides_binding (brand_id, member_id, guide_id, store_id, source, started_at, job_id)
        SELECT %s, w.member_id, w.guide_id, {_STORE}, 'IMPORT', w.started_at, %s
        FROM ({_wanted(chunk)}) w {_EMPLOYED} WHERE w.is_new ORDER BY w.member_id
    """, [chunk.brand.pk, chunk.job_id])  # fmt: skip
    return int(chunk.cursor.rowcount)


def _bind_known(chunk: Chunk) -> int:
    chunk.cursor.execute(f"""
        INSERT INTO guides_binding (brand_id, member_id, guide_id, store_id, source, started_at, ended_at, job_id)
        SELECT %s, w.member_id, w.guide_id, {_STORE}, 'IMPORT', w.started_at,
               (SELECT min(b.started_at) FROM guides_binding b
                WHERE b.member_id = w.member_id AND b.brand_id = %s AND b.started_at > w.started_at), %s
        FROM ({_wanted(chunk)}) w {_EMPLOYED}
        WHERE NOT w.is_new AND NOT EXISTS (SELECT 1 {_covering(chunk)}) ORDER BY w.member_id
    """, [chunk.brand.pk, chunk.brand.pk, chunk.job_id])  # fmt: skip
    return int(chunk.cursor.rowcount)


def _count_kept(chunk: Chunk) -> int:
    chunk.cursor.execute(
        f"SELECT count(*) FROM ({_wanted(chunk)}) w WHERE NOT w.is_new"
        f" AND EXISTS (SELECT 1 {_covering(chunk)} AND b.guide_id <> w.guide_id)"
    )
    return int(chunk.cursor.fetchone()[0])


def _wanted(chunk: Chunk) -> str:
    return f"""
        SELECT c.member_id, c.guide_id, c.is_new, {_starts_at("c.bound_on")} AS started_at
        FROM {chunk.table} c WHERE c.guide_id IS NOT NULL"""


def _covering(chunk: Chunk) -> str:
    return f"""FROM guides_binding b WHERE b.member_id = w.member_id AND b.brand_id = {chunk.brand.pk}
        AND b.started_at <= w.started_at AND (b.ended_at IS NULL OR b.ended_at > w.started_at)"""


def _joins(brand: Brand) -> str:
    start = _starts_at("COALESCE(t.registered_on, m.registered_on)")
    return f"""
        LEFT JOIN guides_guide g ON g.code = t.guide
        LEFT JOIN guides_binding b ON b.member_id = m.id AND b.brand_id = {brand.pk}
             AND b.started_at <= {start} AND (b.ended_at IS NULL OR b.ended_at > {start})"""


def _starts_at(day: str) -> str:
    """00:00 in Shanghai of ``day``; of today for a member whose registration nobody knows."""
    return f"COALESCE({day}, (now() AT TIME ZONE '{ZONE}')::date)::timestamp AT TIME ZONE '{ZONE}'"
