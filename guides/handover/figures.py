"""What a handover shows: the plan before it happens, where it stands, and who stayed. Each is bounded by its case."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Count

from guides.handover import policy
from guides.models import HandoverCase, HandoverGroup, HandoverItem
from scrm import db

HORIZONS = (7, 30, 90)  # days


@dataclass(frozen=True, slots=True)
class TakerFigures:
    """``bands``: (customers, fen) by ``policy.BANDS``."""

    guide_id: int
    name: str
    code: str
    store: str
    userid: str
    is_chosen: bool
    load_before: int
    load_after: int
    group_count: int
    bands: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Preview:
    customers: int
    members: int
    friends: int
    without_taker: int
    value_fen: int
    group_count: int
    takers: tuple[TakerFigures, ...]


_BAND = (
    "CASE "
    + " ".join(f"WHEN i.value_fen >= {least} THEN {n}" for n, (_name, least) in enumerate(policy.BANDS))
    + " END"
)
TAKERS = f"""
    SELECT t.id, g.id, g.name, g.code, coalesce(s.name, ''), t.userid, t.is_chosen, t.load_before,
           coalesce(d.bound, 0), (SELECT count(*) FROM guides_handovergroup q WHERE q.taker_id = t.id), d.bands, d.counts,
           d.fens
    FROM guides_handovertaker t JOIN guides_guide g ON g.id = t.guide_id
    LEFT JOIN LATERAL (
        SELECT e.store_id FROM guides_employment e WHERE e.guide_id = g.id ORDER BY e.started_at DESC LIMIT 1
    ) e ON true
    LEFT JOIN scrm_store s ON s.id = e.store_id
    LEFT JOIN (
        SELECT taker_id, sum(bound)::bigint AS bound, array_agg(band ORDER BY band) AS bands, array_agg(n ORDER BY band) AS counts,
               array_agg(fen ORDER BY band) AS fens
        FROM (
            SELECT i.taker_id, {_BAND} AS band, count(*) AS n, count(i.binding_id) AS bound, sum(i.value_fen)::bigint AS fen
            FROM guides_handoveritem i WHERE i.case_id = %(case)s AND i.taker_id IS NOT NULL GROUP BY 1, 2
        ) x GROUP BY taker_id
    ) d ON d.taker_id = t.id
    WHERE t.case_id = %(case)s ORDER BY t.is_chosen DESC, t.id
"""
TOTALS = """
    SELECT count(*), count(binding_id), count(contact_id), count(*) FILTER (WHERE taker_id IS NULL),
           coalesce(sum(value_fen), 0)::bigint
    FROM guides_handoveritem WHERE case_id = %(case)s
"""


def preview(*, case: HandoverCase) -> Preview:
    """Three queries."""
    values = {"case": case.pk}
    customers, members, friends, without, fen = _fetch(TOTALS, values)[0]
    takers = tuple(_taker(row) for row in _fetch(TAKERS, values))
    group_count = HandoverGroup.objects.filter(case=case).count()
    return Preview(customers, members, friends, without, fen, group_count, takers)


def _taker(row: Sequence[Any]) -> TakerFigures:
    bands, counts, fens = row[10] or [], row[11] or [], row[12] or []
    by_band = {band: (count, int(fen)) for band, count, fen in zip(bands, counts, fens, strict=True)}
    return TakerFigures(
        guide_id=row[1], name=row[2], code=row[3], store=row[4], userid=row[5], is_chosen=row[6], load_before=row[7],
        load_after=row[7] + int(row[8]), group_count=row[9],
        bands=tuple(by_band.get(number, (0, 0)) for number in range(len(policy.BANDS))),
    )  # fmt: skip


def states(*, case: HandoverCase) -> list[tuple[str, str, int]]:
    """(state, its word, customers) in the order of a handover; states without customers are left out."""
    rows = HandoverItem.objects.filter(case=case).values("state").annotate(count=Count("pk")).order_by("state")
    counts = {row["state"]: row["count"] for row in rows}
    return [(state.value, str(state.label), counts[state]) for state in HandoverItem.State if state in counts]


def group_states(*, case: HandoverCase) -> list[tuple[str, str, int]]:
    """(the state's word, why it failed, groups)."""
    rows = HandoverGroup.objects.filter(case=case).values("state", "code").annotate(count=Count("pk"))
    found = [(HandoverGroup.State(row["state"]), row["code"], row["count"]) for row in rows.order_by("state", "code")]
    return [(str(state.label), code, count) for state, code, count in found]


def failed_groups(*, case: HandoverCase, limit: int = 100) -> list[HandoverGroup]:
    """The groups that stayed with their owner, and who was to have them."""
    rows = HandoverGroup.objects.filter(case=case, state=HandoverGroup.State.FAILED)
    return list(rows.select_related("taker__guide").order_by("code", "pk")[:limit])


# --- who stayed -------------------------------------------------------------------------------------------------------

RETENTION = """
    SELECT g.name, g.code, count(*) AS moved,
           count(*) FILTER (WHERE i.state = 'DONE') AS done,
           count(*) FILTER (WHERE i.state = 'REFUSED') AS refused,
           {columns}
    FROM guides_handoveritem i
    JOIN guides_handovertaker t ON t.id = i.taker_id JOIN guides_guide g ON g.id = t.guide_id
    LEFT JOIN guides_friendship f ON i.state = 'DONE' AND f.contact_id = i.contact_id AND f.userid = t.userid
    LEFT JOIN LATERAL (
        SELECT min(l.paid_at) AS paid_at FROM members_orderline l
        WHERE l.member_id = i.member_id AND l.booked_on >= %(first)s AND l.booked_on <= %(last)s
          AND l.paid_at >= coalesce(i.bound_at, i.takeover_at) AND NOT l.is_test AND NOT l.is_voided
    ) b ON i.member_id IS NOT NULL
    WHERE i.case_id = %(case)s AND (i.bound_at IS NOT NULL OR i.state = 'DONE')
    GROUP BY g.id, g.name, g.code ORDER BY g.code, g.id
"""
# of those for whom the days are over: how many there are, who is still a friend, who has bought
HORIZON = """
    count(*) FILTER (WHERE i.state = 'DONE' AND i.takeover_at <= %(now)s - interval '{days} days'),
    count(*) FILTER (WHERE i.state = 'DONE' AND i.takeover_at <= %(now)s - interval '{days} days'
        AND f.id IS NOT NULL AND (f.ended_at IS NULL OR f.ended_at > i.takeover_at + interval '{days} days')
        AND (f.customer_left_at IS NULL OR f.customer_left_at > i.takeover_at + interval '{days} days')),
    count(*) FILTER (WHERE coalesce(i.bound_at, i.takeover_at) <= %(now)s - interval '{days} days'),
    count(*) FILTER (WHERE coalesce(i.bound_at, i.takeover_at) <= %(now)s - interval '{days} days'
        AND b.paid_at <= coalesce(i.bound_at, i.takeover_at) + interval '{days} days')
"""


@dataclass(frozen=True, slots=True)
class Stay:
    """Of the friends handed over (``friends``) ``kept`` are still friends after so many days; of all moved ones who bought."""

    days: int
    friends: int
    kept: int
    moved: int
    bought: int

    @property
    def kept_bp(self) -> int | None:
        return self.kept * 10_000 // self.friends if self.friends else None

    @property
    def bought_bp(self) -> int | None:
        return self.bought * 10_000 // self.moved if self.moved else None


@dataclass(frozen=True, slots=True)
class Retention:
    """One taker's cohort, or all of them together (``name`` empty)."""

    name: str
    code: str
    moved: int
    done: int
    refused: int
    stays: tuple[Stay, ...]


def retention(*, case: HandoverCase, now: dt.datetime) -> list[Retention]:
    """The whole cohort first, then each taker; empty before anything has moved. One query."""
    if case.started_at is None:
        return []
    columns = ", ".join(HORIZON.format(days=days) for days in HORIZONS)
    first = case.started_at.date()
    values = {
        "case": case.pk,
        "now": now,
        "first": first - dt.timedelta(days=1),
        "last": min(now.date(), first + dt.timedelta(days=max(HORIZONS) + 30)) + dt.timedelta(days=1),
    }
    rows = _fetch(RETENTION.format(columns=columns), values)
    if not rows:
        return []
    total = [sum(row[place] for row in rows) for place in range(2, len(rows[0]))]
    return [_retention(("", "", *total)), *(_retention(row) for row in rows)]


def _retention(row: Sequence[Any]) -> Retention:
    stays = tuple(Stay(days, *row[5 + 4 * n : 9 + 4 * n]) for n, days in enumerate(HORIZONS))
    return Retention(row[0], row[1], row[2], row[3], row[4], stays)


# --- the taker's own list ---------------------------------------------------------------------------------------------

HANDED_OVER = f"""
    SELECT i.id, i.member_id, coalesce(nullif(m.name, ''), c.name, '') AS name, i.state,
           {db.iso("coalesce(i.bound_at, i.state_at)")} AS handed_at, {db.iso("i.takeover_at")} AS takeover_at,
           g.name AS from_guide, s.name AS from_store
    FROM guides_handovertaker t
    JOIN guides_handoveritem i ON i.taker_id = t.id
    JOIN guides_handovercase k ON k.id = i.case_id AND k.status IN ('RUNNING', 'DONE')
    JOIN guides_guide g ON g.id = k.guide_id
    LEFT JOIN scrm_store s ON s.id = k.store_id
    LEFT JOIN members_member m ON m.id = i.member_id
    LEFT JOIN guides_contact c ON c.id = i.contact_id
    WHERE t.guide_id = %(guide)s AND i.id < %(after)s AND i.state NOT IN ('PLANNED', 'NO_TAKER', 'KEPT')
      AND (i.state <> 'FAILED' OR i.bound_at IS NOT NULL)
      AND NOT EXISTS (  -- somebody else's by now
          SELECT 1 FROM guides_binding b
          WHERE b.member_id = i.member_id AND b.ended_at IS NULL AND b.guide_id <> %(guide)s
      )
    ORDER BY i.id DESC LIMIT %(limit)s
"""


def handed_over(*, guide_id: int, after: int | None, limit: int) -> list[dict[str, Any]]:
    """Customers handed to the guide, the newest first, below the id ``after``; one query."""
    values = {"guide": guide_id, "after": after if after is not None else 2**63 - 1, "limit": limit}
    return db.fetch_dicts(HANDED_OVER, values)


def _fetch(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()
