"""What members are worth (会员价值): RFM by fifths, repeat rate, share of the top tenth. Of members who have facts.

1. Recency (R) is the day of the last purchase, frequency (F) the number of purchases, money (M) the net spend, all of them
   ever; see ``members.facts`` for what a purchase is.
2. Each is scored 1 to 5, 5 the best: with n members of the brand who have bought, and ``worse`` of them strictly worse (an
   earlier day, fewer purchases, less money), the score is 1 + ⌊5 × worse ÷ n⌋. So equal values always have equal scores
   (同值同分), nobody's number decides, and fifths are of unequal size where many are equal: of members who bought once nobody
   stands above another.
3. The days, counts and amounts at which a score begins are cut once a night and kept by day (``RfmCuts``); between two nights
   a member is scored by the last cuts.
4. Repeat rate (复购率): members with two purchases or more ÷ members with one or more.
5. Share of the top tenth (头部 10% 贡献): the net spend of the ⌈n ÷ 10⌉ members who spent most ÷ that of all.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Sum

from members import facts
from members.models import MemberFacts, RfmCuts
from scrm.models import Brand

FIFTHS = 5
FIELDS = {"recency": "last_on", "frequency": "orders_count", "money": "spend_fen"}


@dataclass(frozen=True, slots=True)
class Fifth:
    """Members with one score of one measure; ``lowest``: the value from which on it is given."""

    score: int
    lowest: Any
    members: int
    spend_fen: int


@dataclass(frozen=True, slots=True)
class Figures:
    on_date: dt.date
    members: int  # who have bought
    orders: int
    spend_fen: int
    repeat_members: int
    top_members: int
    top_fen: int
    fifths: dict[str, list[Fifth]]  # recency, frequency, money: scores 1 to 5
    grid: list[list[int]]  # members by score of recency (row) and frequency (column), from 1
    grid_fen: list[list[int]]  # their spend
    stages: dict[str, tuple[int, int]]  # members and spend

    @property
    def repeat_bp(self) -> int:
        return share_bp(self.repeat_members, self.members)

    @property
    def top_bp(self) -> int:
        return share_bp(self.top_fen, self.spend_fen)


# --- pure rules -------------------------------------------------------------------------------------------------------


def share_bp(part: int, whole: int) -> int:
    """Basis points, half up; 0 of nothing."""
    return (20_000 * part + whole) // (2 * whole) if whole else 0


def cuts(values: Sequence[Any]) -> list[Any]:
    """Where the scores 2 to 5 begin among these values (rule 2); None: nobody scores so. The reference for the SQL."""
    ordered, found = sorted(values), []
    worse = {value: index for index, value in reversed(list(enumerate(ordered)))}
    for step in range(1, FIFTHS):
        above = [value for value in worse if worse[value] * FIFTHS >= step * len(ordered)]
        found.append(min(above) if above else None)
    return found


def score(value: Any, beginnings: Sequence[Any]) -> int:
    return 1 + sum(beginning is not None and value >= beginning for beginning in beginnings)


# --- operations -------------------------------------------------------------------------------------------------------

_CUT = """
    SELECT {cuts}, coalesce(max(total), 0) FROM (
        SELECT f.{field} AS value, sum(count(*)) OVER (ORDER BY f.{field}) - count(*) AS worse, sum(count(*)) OVER () AS total
        FROM members_memberfacts f JOIN members_member m ON m.id = f.member_id WHERE m.brand_id = %s GROUP BY f.{field}
    ) v"""


@transaction.atomic
def cut(*, now: dt.datetime) -> None:
    """The cuts of the business day, of every brand; again on the same day replaces them."""
    for brand in Brand.objects.order_by("pk"):
        values: dict[str, Any] = {}
        for name, field in FIELDS.items():
            wanted = ", ".join(f"min(value) FILTER (WHERE worse * {FIFTHS} >= {n} * total)" for n in range(1, FIFTHS))
            with connection.cursor() as cursor:
                cursor.execute(_CUT.format(cuts=wanted, field=field), [brand.pk])
                *values[name], values["member_count"] = cursor.fetchone()
        RfmCuts.objects.update_or_create(brand=brand, on_date=facts.business_day(now), defaults=values)


def latest_cuts(brand_id: int) -> RfmCuts | None:
    return RfmCuts.objects.filter(brand=brand_id).order_by("-on_date").first()


# --- figures ----------------------------------------------------------------------------------------------------------


def figures(*, brand: Brand) -> Figures | None:
    """Of the brand's members, scored by the brand's last cuts; None before the first night."""
    found = latest_cuts(brand.pk)
    if found is None:
        return None
    rows = MemberFacts.objects.filter(member__brand=brand)
    sums = rows.aggregate(members=Count("pk"), orders=Sum("orders_count"), spend=Sum("spend_fen"))
    members = sums["members"]
    top = -(-members // 10)
    largest = rows.order_by("-spend_fen").values_list("spend_fen", flat=True)[:top]
    stages = rows.values_list("stage").annotate(Count("pk"), Sum("spend_fen")).order_by("stage")
    scored = _scored(rows, found)
    return Figures(
        on_date=found.on_date, members=members, orders=sums["orders"] or 0, spend_fen=sums["spend"] or 0,
        repeat_members=rows.filter(orders_count__gte=2).count(), top_members=top, top_fen=sum(largest),
        fifths={name: _fifths(scored, place, getattr(found, name)) for place, name in enumerate(FIELDS)},
        grid=_grid(scored, 3), grid_fen=_grid(scored, 4), stages={stage: (count, fen) for stage, count, fen in stages},
    )  # fmt: skip


Scored = list[tuple[int, int, int, int, int]]  # the three scores, members, spend


def _scored(rows: Any, found: RfmCuts) -> Scored:
    """One row for each combination of scores: 125 at most, counted by the database."""
    inner, params = rows.values_list(*FIELDS.values()).query.sql_with_params()
    scores, values = [], []
    for name, kind in (("recency", "date"), ("frequency", "int"), ("money", "bigint")):
        terms = [f"(v.{name} >= %s::{kind})::int" for beginning in getattr(found, name) if beginning is not None]
        values += [beginning for beginning in getattr(found, name) if beginning is not None]
        scores.append(" + ".join(["1", *terms]))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(scores)}, count(*), sum(v.money)::bigint FROM ({inner}) v (recency, frequency, money) GROUP BY 1, 2, 3",
            [*values, *params],
        )
        return cursor.fetchall()


def _fifths(scored: Scored, place: int, beginnings: Sequence[Any]) -> list[Fifth]:
    found = []
    for number in range(1, FIFTHS + 1):
        rows = [row for row in scored if row[place] == number]
        lowest = beginnings[number - 2] if number > 1 else None
        found.append(Fifth(number, lowest, sum(row[3] for row in rows), sum(row[4] for row in rows)))
    return found


def _grid(scored: Scored, column: int) -> list[list[int]]:
    every = range(1, FIFTHS + 1)
    return [[sum(row[column] for row in scored if row[:2] == (r, f)) for f in every] for r in every]
