"""Counting (疑点计数): what the guides' friends and own purchases of the days looked at amount to, for all of them at once."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from django.db import connection

from guides.integrity.suspicions import Counts
from guides.models import IntegritySettings
from scrm import db

KIND = "look_for_fraud"
KEPT_DAYS = 7  # a friendship that ended sooner has ended early

# Friends won in the days looked at, without those that a decided case has looked at before.
_ADDS = """
    SELECT f.id, f.guide_id, f.contact_id, f.added_at, k.unionid, k.has_picture,
        f.customer_left_at < f.added_at + kept.days OR f.ended_at < f.added_at + kept.days AND f.ended_by <> 'TRANSFERRED'
            AS left_early,
        extract(hour FROM f.added_at AT TIME ZONE 'Asia/Shanghai')::int AS hour
    FROM guides_friendship f JOIN guides_contact k ON k.id = f.contact_id
    CROSS JOIN (SELECT make_interval(days => %(kept)s) AS days) kept
    WHERE f.guide_id IS NOT NULL AND f.is_confirmed AND f.add_way <> 202
        AND f.added_at >= %(since)s AND f.added_at < %(until)s AND {which}
        AND NOT EXISTS (
            SELECT 1 FROM guides_integritycase d WHERE d.guide_id = f.guide_id AND d.subject = 'FRIENDS'
                AND d.status IN ('RELEASED', 'FINAL') AND d.until > f.added_at AND d.since <= f.added_at
        )
"""
_IS_NIGHT = """CASE WHEN %(from)s < %(to)s THEN a.hour >= %(from)s AND a.hour < %(to)s
    ELSE a.hour >= %(from)s OR a.hour < %(to)s END"""
_COUNTS = f"""
    WITH adds AS MATERIALIZED ({_ADDS.format(which="true")}),
    whole AS (
        SELECT a.guide_id, count(*) AS adds, count(*) FILTER (WHERE {_IS_NIGHT}) AS at_night,
            count(*) FILTER (WHERE a.left_early OR a.added_at < %(until)s - make_interval(days => %(kept)s)) AS judged,
            count(*) FILTER (WHERE a.left_early) AS left_early,
            count(*) FILTER (WHERE a.has_picture = false) AS without_picture, count(a.has_picture) AS with_picture,
            count(*) FILTER (WHERE m.id IS NULL) AS silent
        FROM adds a LEFT JOIN guides_firstmessage m ON m.friendship_id = a.id GROUP BY a.guide_id
    ), minutes AS (
        SELECT guide_id, max(n) AS most FROM (
            SELECT guide_id, count(*) AS n FROM adds GROUP BY guide_id, date_trunc('minute', added_at)) x GROUP BY guide_id
    ), seconds AS (
        SELECT guide_id, max(n) AS most FROM (
            SELECT guide_id, count(*) AS n FROM adds GROUP BY guide_id, date_trunc('second', added_at)) x GROUP BY guide_id
    ), persons AS (
        SELECT a.guide_id, max(p.n) AS most FROM adds a JOIN (
            SELECT unionid, count(DISTINCT guide_id) AS n FROM adds WHERE unionid <> '' GROUP BY unionid
        ) p ON p.unionid = a.unionid GROUP BY a.guide_id
    )
    SELECT w.guide_id, w.adds, minutes.most, seconds.most, w.at_night, w.judged, w.left_early, w.without_picture,
        w.with_picture, w.silent, coalesce(persons.most, 0)
    FROM whole w JOIN minutes USING (guide_id) JOIN seconds USING (guide_id) LEFT JOIN persons USING (guide_id)
    ORDER BY w.guide_id
"""
# a login on a phone, or the WeCom account of the guide set anew
_DEVICES = """
    SELECT g.id, t.created, 'device' FROM guides_guide g JOIN scrm_devicetoken t ON t.user_id = g.user_id
    WHERE g.id = ANY(%(ids)s::bigint[]) AND t.created >= %(since)s - %(near)s AND t.created < %(until)s + %(near)s
    UNION ALL
    SELECT e.pgh_obj_id, e.pgh_created_at, 'account' FROM (
        SELECT pgh_obj_id, pgh_created_at, wecom_userid,
            lag(wecom_userid) OVER (PARTITION BY pgh_obj_id ORDER BY pgh_id) AS before
        FROM guides_guideevent WHERE pgh_obj_id = ANY(%(ids)s::bigint[])
    ) e
    WHERE e.before IS NOT NULL AND e.wecom_userid IS DISTINCT FROM e.before
        AND e.pgh_created_at >= %(since)s - %(near)s AND e.pgh_created_at < %(until)s + %(near)s
    ORDER BY 1, 2
"""
_IS_ARCHIVED = "SELECT EXISTS (SELECT 1 FROM guides_firstmessage WHERE at >= %s AND at < %s)"


class Add(NamedTuple):
    """A friend won."""

    friendship_id: int
    guide_id: int
    contact_id: int
    added_at: dt.datetime
    unionid: str
    has_picture: bool | None
    left_early: bool | None
    hour: int


def counts(*, limits: IntegritySettings, since: dt.datetime, until: dt.datetime) -> list[Counts]:
    """Of every guide who has won a friend in those days; four queries whatever their number."""
    values = _values(limits, since, until)
    is_archived = db.read(_IS_ARCHIVED, [since, until])[0][0]
    found = [
        Counts(
            guide_id, adds, minute, second, at_night, judged, left_early, without, with_picture,
            silent if is_archived else 0, adds if is_archived else 0, most_guides,
        )
        for guide_id, adds, minute, second, at_night, judged, left_early, without, with_picture, silent, most_guides
        in _fetch(_COUNTS, values)
    ]  # fmt: skip
    bursting = [c.guide_id for c in found if c.most_per_minute >= limits.adds_per_minute or c.most_per_second >= limits.same_second]  # fmt: skip
    beside = devices_at_bursts(limits, bursting, since, until) if bursting else {}
    return [replace(c, new_devices_at_burst=len(beside.get(c.guide_id, ()))) for c in found]


def adds_of(
    guide_ids: Sequence[int], *, limits: IntegritySettings, since: dt.datetime, until: dt.datetime
) -> dict[int, list[Add]]:
    """Their friends of those days, the earliest first."""
    query = _ADDS.format(which="f.guide_id = ANY(%(ids)s::bigint[])") + " ORDER BY f.added_at, f.id"
    found: dict[int, list[Add]] = defaultdict(list)
    for row in _fetch(query, _values(limits, since, until) | {"ids": list(guide_ids)}):
        found[row[1]].append(Add(*row))
    return found


def people_of_many(
    *, limits: IntegritySettings, since: dt.datetime, until: dt.datetime, unionids: Sequence[str]
) -> dict[str, int]:
    """By how many guides each of these persons was added in those days."""
    query = f"SELECT unionid, count(DISTINCT guide_id) FROM ({_ADDS.format(which='k.unionid = ANY(%(unionids)s)')}) a GROUP BY 1"
    return dict(_fetch(query, _values(limits, since, until) | {"unionids": list(unionids)}))


def bursts(adds: Sequence[Add], limits: IntegritySettings) -> list[tuple[dt.datetime, int]]:
    """Minutes with as many friends as the limit, or with a second that has."""
    minutes: dict[dt.datetime, int] = defaultdict(int)
    seconds: dict[dt.datetime, int] = defaultdict(int)
    for add in adds:
        minutes[add.added_at.replace(second=0, microsecond=0)] += 1
        seconds[add.added_at.replace(microsecond=0)] += 1
    crowded = {second.replace(second=0) for second, count in seconds.items() if count >= limits.same_second}
    return sorted((at, n) for at, n in minutes.items() if n >= limits.adds_per_minute or at in crowded)


def devices_at_bursts(
    limits: IntegritySettings, guide_ids: Sequence[int], since: dt.datetime, until: dt.datetime
) -> dict[int, list[dict[str, Any]]]:
    """Logins on a phone and changes of the account within so many hours of a burst."""
    near = dt.timedelta(hours=limits.device_hours)
    values = {"ids": list(guide_ids), "since": since, "until": until, "near": near}
    adds = adds_of(guide_ids, limits=limits, since=since, until=until)
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for guide_id, at, what in _fetch(_DEVICES, values):
        for burst_at, count in bursts(adds[guide_id], limits):
            if abs(burst_at - at) <= near:
                found[guide_id].append(
                    {"what": what, "at": at.isoformat(), "burst_at": burst_at.isoformat(), "count": count}
                )
                break
    return found


# --- own purchases --------------------------------------------------------------------------------------------------------

# Who is credited: the cashier on the ticket, else the guide who had the buyer. The buyer is a guide by a number or unionid.
_OWN_PURCHASES = """
    WITH own AS (
        SELECT DISTINCT g.id AS guide_id, i.member_id FROM guides_guide g JOIN members_identity i
            ON i.value = g.mobile_index AND i.kind = 'MOBILE' OR i.value = g.unionid AND i.kind = 'UNIONID'
    )
    SELECT own.guide_id, coalesce(c.id, b.guide_id) AS seller_id, l.id, l.paid_at, l.paid_fen - l.refunded_fen
    FROM own JOIN members_orderline l ON l.member_id = own.member_id
    LEFT JOIN guides_guide c ON c.code = l.cashier_code AND l.cashier_code <> ''
    LEFT JOIN LATERAL (
        SELECT b.guide_id FROM guides_binding b WHERE b.member_id = l.member_id AND b.started_at <= l.paid_at
            AND (b.ended_at IS NULL OR b.ended_at > l.paid_at) ORDER BY b.started_at DESC LIMIT 1
    ) b ON true
    WHERE l.paid_at >= %(since)s AND l.paid_at < %(until)s AND NOT l.is_voided AND NOT l.is_test
        AND l.paid_fen > l.refunded_fen AND coalesce(c.id, b.guide_id) IS NOT NULL
        AND NOT EXISTS (
            SELECT 1 FROM guides_integritycase d WHERE d.guide_id = coalesce(c.id, b.guide_id) AND d.subject = 'ORDERS'
                AND d.status IN ('RELEASED', 'FINAL') AND d.until > l.paid_at AND d.since <= l.paid_at
        )
    ORDER BY l.paid_at, l.id
"""


class Purchase(NamedTuple):
    buyer_id: int  # guides, both
    seller_id: int
    line_id: int
    paid_at: dt.datetime
    net_fen: int


def own_purchases(*, since: dt.datetime, until: dt.datetime) -> list[Purchase]:
    return [Purchase(*row) for row in _fetch(_OWN_PURCHASES, {"since": since, "until": until})]


def _values(limits: IntegritySettings, since: dt.datetime, until: dt.datetime) -> dict[str, Any]:
    return {
        "since": since, "until": until, "kept": KEPT_DAYS, "from": limits.night_from_hour, "to": limits.night_until_hour,
    }  # fmt: skip


def _fetch(query: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()
