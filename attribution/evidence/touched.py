"""The touches (触点) that may claim some lines: of the member, or of a buyer nobody knows by what her order says of her.

A touch is read when it lies within HORIZON, or the longest window of the version that holds, before the order: what has just
expired is shown with its reason. One that says itself until when it counts is signed for no longer than that. For a line
that is decided already, what was recorded or linked to the buyer after that does not count: the decision did not see it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence

from attribution.evidence.lines import Line, Origin
from guides import touches
from scrm import db

HORIZON = dt.timedelta(days=30)
MOST = 20  # touches of one line, the latest ones

Touches = list[tuple[touches.Touch, int]]  # each with its guide's id; the latest first

# line by line, so that each looks only into the partitions of its own window; ``until`` where it is not the line's creation.
# What lies outside of all windows is not even opened, which for one line is most of the work.
OF_LINES = """
    SELECT w.line_id, t.known_at, t.id, t.guide_id, g.code, t.kind, t.at, t.expires_at, t.is_signed, t.object_kind, t.object_code
    FROM (
        SELECT k.line_id, l.member_id, u.until, (u.until AT TIME ZONE 'Asia/Shanghai')::date AS last,
               ((u.until - make_interval(secs => k.back)) AT TIME ZONE 'Asia/Shanghai')::date AS first
        FROM unnest(%s::bigint[], %s::date[], %s::int[], %s::timestamptz[]) k(line_id, booked_on, back, until)
        JOIN members_orderline l ON l.id = k.line_id AND l.booked_on = k.booked_on AND l.booked_on BETWEEN %s AND %s
        CROSS JOIN LATERAL (SELECT coalesce(k.until, l.created_at) AS until) u
    ) w
    CROSS JOIN LATERAL (
        SELECT d.id, d.guide_id, d.kind, d.at, d.expires_at, d.is_signed, d.object_kind, d.object_code, d.recorded_at AS known_at
        FROM guides_touch d
        WHERE d.member_id = w.member_id AND d.touched_on BETWEEN w.first AND w.last AND d.at <= w.until
          AND d.touched_on BETWEEN %s AND %s
        UNION ALL
        SELECT k.id, k.guide_id, k.kind, k.at, k.expires_at, k.is_signed, k.object_kind, k.object_code,
               greatest(k.recorded_at, c.linked_at)
        FROM guides_contact c JOIN guides_touch k ON k.contact_id = c.id
        WHERE c.member_id = w.member_id AND k.touched_on BETWEEN w.first AND w.last AND k.at <= w.until
          AND k.member_id IS DISTINCT FROM w.member_id AND k.touched_on BETWEEN %s AND %s
        UNION ALL
        SELECT o.id, o.guide_id, o.kind, o.at, o.expires_at, o.is_signed, o.object_kind, o.object_code,
               greatest(o.recorded_at, v.linked_at)
        FROM guides_visitor v JOIN guides_touch o ON o.visitor_id = v.id
        WHERE v.member_id = w.member_id AND o.touched_on BETWEEN w.first AND w.last AND o.at <= w.until
          AND o.member_id IS DISTINCT FROM w.member_id AND o.touched_on BETWEEN %s AND %s
    ) t
    JOIN guides_guide g ON g.id = t.guide_id
"""

# When a line was decided: what was found out later did not count. None: everything counts.
Seen = Callable[[Line], dt.datetime | None]


def read(lines: Sequence[Line], origins: dict[int, Origin], back: Sequence[int], seen: Seen) -> dict[int, Touches]:
    """By line. ``back``: from how many seconds before each order its touches count."""
    known = [(line, seconds) for line, seconds in zip(lines, back, strict=True) if line.member_id is not None]
    found = _of_members(known, origins, seen)
    unknown = [
        (line, seconds)
        for line, seconds in zip(lines, back, strict=True)
        if line.member_id is None and _buyer(line) != NOBODY
    ]
    if unknown:
        _add_of_buyers(found, unknown, origins, seen)
    return found


def seconds_back(window: dt.timedelta) -> int:
    """How long before an order its touches are read; ``window``: the longest one of the version that holds."""
    return int(max(HORIZON, window).total_seconds())


Asked = Sequence[tuple[Line, int]]


def _of_members(asked: Asked, origins: dict[int, Origin], seen: Seen) -> dict[int, Touches]:
    """Asked once for all lines of an order, which stand side by side: they have the same buyer and the same moment."""
    groups: list[tuple[int, list[Line]]] = []
    last, last_back = None, 0
    for line, back in asked:
        if (
            last is not None
            and line.member_id == last.member_id
            and line.created_at == last.created_at
            and back == last_back
            and not line.exchange_of
            and not last.exchange_of
        ):
            groups[-1][1].append(line)
        else:
            groups.append((back, [line]))
        last, last_back = line, back
    if not groups:
        return {}
    firsts = [lines[0] for _back, lines in groups]
    untils = [origins[line.id].created_at if line.id in origins else line.created_at for line in firsts]
    backs = [back for back, _lines in groups]
    days = (_day(min(untils) - dt.timedelta(seconds=max(backs))), _day(max(untils)))
    booked = [line.booked_on for line in firsts]
    rows = db.read(
        OF_LINES,
        [
            db.array(line.id for line in firsts),
            db.array(booked),
            db.array(backs),
            untils if origins else None,
            *(min(booked), max(booked)),
            *days * 3,
        ],
    )
    known: dict[int, tuple[touches.Touch, int]] = {}  # one touch serves every order of the buyer
    of_first: dict[int, list[tuple[dt.datetime, tuple[touches.Touch, int]]]] = {}
    for line_id, known_at, touch_id, guide_id, *content in rows:
        pair = known.get(touch_id)
        if pair is None:
            pair = known[touch_id] = (_touch(touch_id, *content), guide_id)
        of_first.setdefault(line_id, []).append((known_at, pair))
    found: dict[int, Touches] = {}
    for _back, lines in groups:
        dated = of_first.get(lines[0].id)
        if dated is not None:
            _share(found, lines, dated, seen)
    return found


def _share(
    found: dict[int, Touches],
    lines: Sequence[Line],
    dated: list[tuple[dt.datetime, tuple[touches.Touch, int]]],
    seen: Seen,
) -> None:
    """The touches of an order to each of its lines, but for what its decision did not see."""
    last = max(known_at for known_at, _ in dated)
    whole = _latest([pair for _, pair in dated])
    for line in lines:
        at = seen(line)
        if at is None or last <= at:
            found[line.id] = whole
        elif ones := [pair for known_at, pair in dated if known_at <= at]:
            found[line.id] = _latest(ones)


def _touch(
    touch_id: int, guide: str, kind: str, at: dt.datetime, expires_at: dt.datetime | None, is_signed: bool,
    object_kind: str, object_code: str,
) -> touches.Touch:  # fmt: skip
    return touches.Touch(
        touch_id,
        guide,
        touches.TouchKind(kind),
        at,
        expires_at,
        is_signed,
        touches.TouchObject(object_kind),
        object_code,
    )


def _latest(pairs: Touches) -> Touches:
    """In the order in which they claim a line, as ``touches.latest_first`` has it."""
    if len(pairs) == 1:
        return pairs
    return sorted(pairs, key=lambda pair: (pair[0].at, -pair[0].id), reverse=True)[:MOST]


def _add_of_buyers(found: dict[int, Touches], asked: Asked, origins: dict[int, Origin], seen: Seen) -> None:
    windows = {}  # from and until when a line's touches count, both inclusive
    for line, back in asked:
        until = origins[line.id].created_at if line.id in origins else line.created_at
        windows[line.id] = (until - dt.timedelta(seconds=back), until)
    buyers = sorted({_buyer(line) for line, _back in asked}, key=str)
    first = min(since for since, _ in windows.values())
    known = touches.of_buyers(buyers, since=first, until=max(until for _, until in windows.values()))
    ids = guide_ids({touch.guide for ones in known.values() for touch in ones})
    for line, _back in asked:
        (since, until), decided_at = windows[line.id], seen(line)
        ones = [
            (touch, ids[touch.guide])
            for touch in known.get(_buyer(line), ())
            if since <= touch.at <= until
            and (decided_at is None or touch.known_at is None or touch.known_at <= decided_at)
        ]
        if ones:
            found[line.id] = _latest(ones)


NOBODY = touches.Buyer()


def _buyer(line: Line) -> touches.Buyer:
    namespace = f"{line.channel}/{line.shop}" if line.buyer_account else ""
    return touches.Buyer(line.buyer_unionid, namespace, line.buyer_account, line.buyer_mobile_index)


def guide_ids(codes: Iterable[str]) -> dict[str, int]:
    wanted = sorted(codes)
    return dict(db.read("SELECT code, id FROM guides_guide WHERE code = ANY(%s::text[])", [wanted])) if wanted else {}


def _day(at: dt.datetime) -> dt.date:
    return at.astimezone(touches.SHANGHAI).date()
