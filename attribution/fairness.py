"""The fairness panel (公平看板): who wins the lines and why, counted by day, so that a screen reads small tables only.

1. A line paid on a day (Asia/Shanghai) counts once, under the candidate that won it (in a split the seller's), or under
   what else became of it: held back, not eligible, waiting for its decision. It counts at its own store, else at that of its
   winner, else at HQ.
2. A line of the HQ pool counts under its reason: why the first of its candidates lost, an unknown buyer, or a member nobody
   serves.
3. A decision that was replaced counts under the rule version it was taken by and the reason of its replacement.
4. A binding request counts on the day it was made, at the guide's store, under its answer: who took a member over, who was
   refused.
5. Unexplained (无法解释) must be 0: a line without decision that does not wait, a decision without a winner or a reason,
   money on a line for somebody whom its decision does not name. The panel shows the query.
6. The concentration is that of commission between the guides of a store who have any: the first one's share and the Gini
   coefficient (基尼系数), 0 when all have the same.
7. Whoever changes what a day says marks the day in the same transaction; a count deletes the marks it sees before it reads.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import QuerySet, Sum

from attribution import explanations, overview
from attribution.models import FairnessDay, FairnessMark, GuideDay
from guides.models import BindingRequest
from scrm import db, org
from scrm.models import Store

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAYS_AT_ONCE = 31
LONGEST = 92  # days on one screen
STORES_SHOWN = 20
LINES_SHOWN = 100
BP = 10_000
TAKEN = ("SNATCH", "REPLACE_EXPIRED")  # answers by which a member came from another guide
BY_PEOPLE = ("OVERRIDDEN",)  # reasons for which people, not facts, replaced a decision
Topic = FairnessDay.Topic

# One row per line of the days, with what became of it. The candidates stand in order of precedence.
LINES = """
    WITH lines AS MATERIALIZED (
        SELECT l.id, l.booked_on, l.store_id, l.paid_fen - l.refunded_fen AS net_fen,
               (l.paid_at AT TIME ZONE 'Asia/Shanghai')::date AS day
        FROM members_orderline l
        WHERE l.paid_at >= %(first)s AND l.paid_at < %(end)s
          AND (l.paid_at AT TIME ZONE 'Asia/Shanghai')::date = ANY(%(days)s)
    ), live AS MATERIALIZED (
        SELECT l.id, l.booked_on, l.day, l.net_fen, coalesce(l.store_id, d.store_id) AS store_id, d.id AS decision_id, d.rule_id,
               d.state, d.winner_code, d.reason, d.member_id, d.shares, d.pots,
               jsonb_path_query_first(d.candidates, 'strict $[*] ? (@[5] starts with "WON")') ->> 0 AS won,
               d.candidates -> 0 ->> 0 AS first_type, d.candidates -> 0 ->> 5 AS first_reason,
               d.id IS NULL AND EXISTS (SELECT 1 FROM members_linetodecide w WHERE w.line_id = l.id) AS is_waiting
        FROM lines l
        LEFT JOIN attribution_decision d ON d.line_id = l.id AND d.booked_on = l.booked_on AND d.state <> 'SUPERSEDED'
    ), topics AS (
        SELECT v.*, 'WINNER' AS topic,
               CASE WHEN is_waiting THEN 'WAITING' WHEN state IN ('HELD', 'INELIGIBLE') THEN state ELSE coalesce(won, 'NONE') END AS key
        FROM live v
        UNION ALL
        SELECT v.*, 'POOL', CASE WHEN first_type <> 'C5' THEN first_type || ' ' || first_reason
                                 WHEN member_id IS NULL THEN 'UNKNOWN_BUYER' ELSE 'NO_GUIDE' END
        FROM live v WHERE winner_code = 'HQ_POOL' AND state IN ('LIVE', 'PROVISIONAL')
        UNION ALL
        SELECT v.*, 'UNEXPLAINED', u.key FROM live v CROSS JOIN LATERAL ({unexplained}) u
    )
"""

# Each row that this finds is a line that nobody could explain.
UNEXPLAINED = """
    SELECT 'NO_DECISION' AS key WHERE v.decision_id IS NULL AND NOT v.is_waiting
    UNION ALL SELECT 'NO_WINNER' WHERE v.state IN ('LIVE', 'PROVISIONAL', 'HELD') AND (v.won IS NULL OR v.winner_code = '')
    UNION ALL SELECT 'NO_REASON' WHERE v.state IN ('HELD', 'INELIGIBLE') AND v.reason = ''
    UNION ALL SELECT 'UNNAMED_MONEY' WHERE EXISTS (
        SELECT 1 FROM attribution_hold h JOIN attribution_beneficiary b ON b.id = h.beneficiary_id
        WHERE h.line_id = v.id AND h.amount_fen > h.reversed_fen + h.clawed_fen
          AND position('"' || b.code || '"' IN concat(v.shares, v.pots)) = 0)
"""

COUNT = (
    LINES.replace("{unexplained}", UNEXPLAINED)
    + """
    INSERT INTO attribution_fairnessday (day, store_id, rule_id, topic, key, row_count, net_fen)
    SELECT day, store_id, rule_id, topic, key, count(*), sum(net_fen) FROM topics GROUP BY 1, 2, 3, 4, 5
    UNION ALL
    SELECT v.day, v.store_id, o.rule_id, 'OVERTURNED', n.reason, count(*), sum(v.net_fen)
    FROM live v
    JOIN attribution_decision n ON n.line_id = v.id AND n.booked_on = v.booked_on AND n.sequence > 1
    JOIN attribution_decision o ON o.line_id = v.id AND o.booked_on = v.booked_on AND o.id = n.supersedes_id
    GROUP BY 1, 2, 3, 5
    UNION ALL
    SELECT (r.at AT TIME ZONE 'Asia/Shanghai')::date, r.store_id, NULL, 'SNATCH', r.answer, count(*), 0
    FROM guides_bindingrequest r
    WHERE r.at >= %(first)s AND r.at < %(end)s AND (r.at AT TIME ZONE 'Asia/Shanghai')::date = ANY(%(days)s)
    GROUP BY 1, 2, 5
"""
)

COUNT_GUIDES = """
    INSERT INTO attribution_guideday (day, store_id, guide_code, line_count, commission_fen)
    SELECT h.earned_on, h.store_id, b.code, count(DISTINCT h.line_id), sum(h.amount_fen - h.reversed_fen - h.clawed_fen)
    FROM members_orderline l
    JOIN attribution_hold h ON h.line_id = l.id
    JOIN attribution_beneficiary b ON b.id = h.beneficiary_id AND b.guide_id IS NOT NULL
    WHERE l.paid_at >= %(first)s AND l.paid_at < %(end)s AND h.earned_on = ANY(%(days)s)
    GROUP BY 1, 2, 3
"""


# --- counting ---


def mark(days: Iterable[dt.date]) -> None:
    """Have these business days counted again; in the transaction of the change."""
    marked = db.array(sorted(set(days)))
    db.write("INSERT INTO attribution_fairnessmark (day) SELECT unnest(%s::date[])", [marked])


def mark_request(request: BindingRequest) -> None:
    """The day of a binding request; called by ``guides.bindings`` in its transaction."""
    mark([request.at.astimezone(SHANGHAI).date()])


def recount(*, limit: int = 400) -> int:
    """Count the marked days, at most ``limit`` of them; the number counted. Somebody else counting: 0."""
    done = 0
    while done < limit:
        with transaction.atomic(durable=True):
            days = _take_marks() if _is_alone() else []
            if days:
                count_days(days=days)
        if not days:
            break
        done += len(days)
    return done


@transaction.atomic
def count_days(*, days: list[dt.date]) -> None:
    """Replace the rows of these days."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM attribution_fairnessday WHERE day = ANY(%s)", [days])
        cursor.execute("DELETE FROM attribution_guideday WHERE day = ANY(%s)", [days])
        cursor.execute(COUNT, _bounds(days))
        cursor.execute(COUNT_GUIDES, _bounds(days))


def _bounds(days: Sequence[dt.date]) -> dict[str, Any]:
    first = dt.datetime.combine(min(days), dt.time(), SHANGHAI)
    end = dt.datetime.combine(max(days) + dt.timedelta(days=1), dt.time(), SHANGHAI)
    return {"days": list(days), "first": first, "end": end}


def _is_alone() -> bool:
    """One count at a time; the lock ends with the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended('attribution fairness', 0))")
        return bool(cursor.fetchone()[0])


def _take_marks() -> list[dt.date]:
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH wanted AS (SELECT DISTINCT day FROM attribution_fairnessmark ORDER BY day DESC LIMIT %s),"
            " gone AS (DELETE FROM attribution_fairnessmark m USING wanted w WHERE m.day = w.day)"
            " SELECT day FROM wanted ORDER BY day",
            [DAYS_AT_ONCE],
        )
        return [row[0] for row in cursor.fetchall()]


# --- pure ---


def gini_bp(amounts: Sequence[int]) -> int:
    """The Gini coefficient of amounts >= 0 in bp; 0 when all are alike, near 10,000 when one has everything."""
    ordered = sorted(amounts)
    whole, count = sum(ordered), len(ordered)
    if not whole:
        return 0
    weighted = sum((2 * rank - count - 1) * amount for rank, amount in enumerate(ordered, start=1))
    return weighted * BP // (count * whole)


def top_bp(amounts: Sequence[int], count: int) -> int:
    """The share of the greatest ``count`` amounts in the whole, in bp."""
    whole = sum(amounts)
    return sum(sorted(amounts, reverse=True)[:count]) * BP // whole if whole else 0


@dataclass(frozen=True, slots=True)
class Concentration:
    """How the commission of a store lies with its guides."""

    store: str
    guide_count: int
    commission_fen: int
    first_code: str
    first_name: str
    first_bp: int
    gini_bp: int


@dataclass(frozen=True, slots=True)
class Count:
    key: str
    count: int
    net_fen: int
    share_bp: int


@dataclass(frozen=True, slots=True)
class Panel:
    """Everything the screen shows of a period and a part of the organisation."""

    first: dt.date
    last: dt.date
    line_count: int
    winners: list[Count]
    days: list[dict[str, Any]]  # day and {key: lines}, oldest first
    pool: list[Count]
    snatch: list[Count]
    overturned: list[dict[str, Any]]  # per rule version and reason
    overturned_bp: list[dict[str, Any]]  # per rule version: decided, overturned by people, share
    unexplained: list[Count]
    stores: list[Concentration]
    guide_count: int
    first_bp: int  # of the first guide
    tenth_bp: int  # of the first tenth of the guides
    is_counting: bool

    @property
    def unexplained_count(self) -> int:
        return sum(row.count for row in self.unexplained)


# --- reads ---


def read(*, scope: org.Scope, part: overview.Part, first: dt.date, last: dt.date) -> Panel:
    """A fixed number of queries over the daily rows; no big table is touched."""
    first = max(first, last - dt.timedelta(days=LONGEST - 1))
    rows, guides = _cut(scope, part, first, last)
    sums = rows.values("topic", "key", "rule_id", "rule__name", "rule__number").annotate(
        count=Sum("row_count"), net=Sum("net_fen")
    )
    topics: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sums.order_by("topic", "key", "rule_id"):
        topics[row["topic"]].append(dict(row))
    winners = _counts(topics[Topic.WINNER])
    stores, amounts = _concentration(guides, scope)
    return Panel(
        first=first, last=last, line_count=sum(row.count for row in winners), winners=winners, days=_days(rows, first, last),
        pool=_counts(topics[Topic.POOL]), snatch=_counts(topics[Topic.SNATCH]), overturned=topics[Topic.OVERTURNED],
        overturned_bp=_overturned(topics), unexplained=_counts(topics[Topic.UNEXPLAINED]), stores=stores,
        guide_count=len(amounts), first_bp=top_bp(amounts, 1), tenth_bp=top_bp(amounts, max(1, len(amounts) // 10)),
        is_counting=FairnessMark.objects.filter(day__gte=first, day__lte=last).exists(),
    )  # fmt: skip


def _cut(
    scope: org.Scope, part: overview.Part, first: dt.date, last: dt.date
) -> tuple[QuerySet[FairnessDay], QuerySet[GuideDay]]:
    rows = FairnessDay.objects.filter(day__gte=first, day__lte=last)
    guides = GuideDay.objects.filter(day__gte=first, day__lte=last)
    if scope.is_everything and part == overview.Part():
        return rows, guides  # with what stands under no store
    stores = overview.stores_of(scope=scope, part=part).values("pk")
    return rows.filter(store__in=stores), guides.filter(store__in=stores)


def _counts(rows: Iterable[dict[str, Any]]) -> list[Count]:
    """By key, whatever the rule; the most frequent first."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        found[row["key"]][0] += row["count"]
        found[row["key"]][1] += row["net"]
    whole = sum(count for count, _net in found.values())
    counts = [Count(key, count, net, count * BP // whole if whole else 0) for key, (count, net) in found.items()]
    return sorted(counts, key=lambda row: (-row.count, row.key))


def _days(rows: QuerySet[FairnessDay], first: dt.date, last: dt.date) -> list[dict[str, Any]]:
    counted: dict[dt.date, dict[str, int]] = defaultdict(dict)
    sums = (
        rows.filter(topic=Topic.WINNER)
        .values_list("day", "key")
        .annotate(count=Sum("row_count"))
        .order_by("day", "key")
    )
    for day, key, count in sums:
        counted[day][key] = count
    span = [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
    return [{"day": day, "counts": counted.get(day, {})} for day in span]


def _overturned(topics: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Per rule version how many of its decisions people have replaced. The replaced ones are counted among the decided."""
    found: dict[int, dict[str, Any]] = {}
    for topic in (Topic.WINNER, Topic.OVERTURNED):
        for row in topics[topic]:
            if row["rule_id"] is None:
                continue
            name = f"{row['rule__name']} v{row['rule__number']}"
            one = found.setdefault(row["rule_id"], {"rule": name, "pk": row["rule_id"], "decided": 0, "overturned": 0})
            one["decided"] += row["count"]
            if topic == Topic.OVERTURNED and row["key"] in BY_PEOPLE:
                one["overturned"] += row["count"]
    for one in found.values():
        one["share_bp"] = one["overturned"] * BP // one["decided"] if one["decided"] else 0
    return sorted(found.values(), key=lambda one: -one["pk"])


def _concentration(guides: QuerySet[GuideDay], scope: org.Scope) -> tuple[list[Concentration], list[int]]:
    by_store: dict[tuple[int | None, str], list[tuple[int, str]]] = defaultdict(list)
    amounts: dict[str, int] = defaultdict(int)
    sums = guides.values_list("store_id", "store__name", "guide_code").annotate(fen=Sum("commission_fen"))
    for store_id, name, code, fen in sums.order_by("store_id", "guide_code"):
        if fen > 0:
            by_store[store_id, name or ""].append((fen, code))
            amounts[code] += fen
    found = []
    for (_store, name), shares in by_store.items():
        if len(shares) > 1:
            fens = [fen for fen, _code in shares]
            first = max(shares)
            found.append(Concentration(name, len(fens), sum(fens), first[1], first[1], top_bp(fens, 1), gini_bp(fens)))
    shown = sorted(found, key=lambda row: (-row.gini_bp, -row.first_bp, row.store))[:STORES_SHOWN]
    names = explanations.beneficiary_names(codes=[row.first_code for row in shown], scope=scope)
    return [replace(row, first_name=names.get(row.first_code, row.first_code)) for row in shown], list(amounts.values())


# --- drilling down ---


OF_ONE_DAY = (
    LINES.replace("{unexplained}", UNEXPLAINED)
    + """
    SELECT t.id, t.booked_on, t.decision_id, t.winner_code, t.net_fen, t.store_id FROM topics t
    WHERE t.topic = %(topic)s AND t.key = %(key)s AND (%(everything)s OR t.store_id = ANY(%(stores)s))
    ORDER BY t.id LIMIT %(limit)s
"""
)

REPLACED = (
    LINES.replace("{unexplained}", UNEXPLAINED)
    + """
    SELECT v.id, v.booked_on, n.supersedes_id AS decision_id, v.winner_code, v.net_fen, v.store_id FROM live v
    JOIN attribution_decision n ON n.line_id = v.id AND n.booked_on = v.booked_on AND n.sequence > 1
    WHERE n.reason = %(key)s AND (%(everything)s OR v.store_id = ANY(%(stores)s)) AND %(topic)s <> ''
    ORDER BY v.id LIMIT %(limit)s
"""
)


def days_with(
    *, scope: org.Scope, part: overview.Part, first: dt.date, last: dt.date, topic: str, key: str
) -> list[tuple[dt.date, int]]:
    """The days on which there is something behind a figure, the newest first."""
    rows, _guides = _cut(scope, part, first, last)
    found = rows.filter(topic=topic, key=key).values_list("day").annotate(count=Sum("row_count"))
    return list(found.order_by("-day"))


def lines(*, scope: org.Scope, part: overview.Part, topic: str, key: str, day: dt.date) -> list[dict[str, Any]]:
    """The lines of one day behind a figure, at most LINES_SHOWN; reads that day of the big tables and no other."""
    everything = scope.is_everything and part == overview.Part()
    stores = [] if everything else list(overview.stores_of(scope=scope, part=part).values_list("pk", flat=True))
    values = {
        **_bounds([day]),
        "topic": topic,
        "key": key,
        "everything": everything,
        "stores": stores,
        "limit": LINES_SHOWN,
    }
    found = db.fetch_dicts(REPLACED if topic == Topic.OVERTURNED else OF_ONE_DAY, values)
    orders = explanations.order_numbers(keys={(row["id"], row["booked_on"]) for row in found})
    names = explanations.beneficiary_names(codes=[row["winner_code"] or "" for row in found], scope=scope)
    stores_of = dict(Store.objects.filter(pk__in={row["store_id"] for row in found}).values_list("pk", "name"))
    return [
        {
            **row,
            "order": orders.get(row["id"], str(row["id"])),
            "winner": names.get(row["winner_code"] or "", row["winner_code"]),
            "store": stores_of.get(row["store_id"], ""),
        }
        for row in found
    ]


def requests(*, scope: org.Scope, part: overview.Part, key: str, day: dt.date) -> list[BindingRequest]:
    """The binding requests of one day behind a figure."""
    bounds = _bounds([day])
    rows = BindingRequest.objects.filter(answer=key, at__gte=bounds["first"], at__lt=bounds["end"])
    if not (scope.is_everything and part == overview.Part()):
        rows = rows.filter(store__in=overview.stores_of(scope=scope, part=part).values("pk"))
    return list(rows.select_related("guide", "holder", "store").order_by("-at", "-pk")[:LINES_SHOWN])
