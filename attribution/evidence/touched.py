"""The touches (触点) that may claim some lines: of the member, or of a buyer nobody knows by what her order says of her.

A touch is read when it lies within HORIZON, or the longest window of the version that holds, before the order: what has just
expired is shown with its reason. One that says itself until when it counts is signed for no longer than that.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence

from attribution.evidence.lines import Line, Origin
from guides import touches
from scrm import db

HORIZON = dt.timedelta(days=30)
MOST = 20  # touches of one line, the latest ones

Touches = list[tuple[touches.Touch, int]]  # each with its guide's id

# line by line, so that each looks only into the partitions of its own window; what lies outside of all windows is not even
# opened, which for one line is most of the work
OF_LINES = """
    SELECT w.line_id, t.id, t.guide_id, g.code, t.kind, t.at, t.expires_at, t.is_signed, t.object_kind, t.object_code
    FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::date[], %s::date[]) w(line_id, member_id, until, first, last)
    CROSS JOIN LATERAL (
        SELECT d.id, d.guide_id, d.kind, d.at, d.expires_at, d.is_signed, d.object_kind, d.object_code
        FROM guides_touch d
        WHERE d.member_id = w.member_id AND d.touched_on BETWEEN w.first AND w.last AND d.at <= w.until
          AND d.touched_on BETWEEN %s AND %s
        UNION ALL
        SELECT k.id, k.guide_id, k.kind, k.at, k.expires_at, k.is_signed, k.object_kind, k.object_code
        FROM guides_contact c JOIN guides_touch k ON k.contact_id = c.id
        WHERE c.member_id = w.member_id AND k.touched_on BETWEEN w.first AND w.last AND k.at <= w.until
          AND k.member_id IS DISTINCT FROM w.member_id AND k.touched_on BETWEEN %s AND %s
        UNION ALL
        SELECT o.id, o.guide_id, o.kind, o.at, o.expires_at, o.is_signed, o.object_kind, o.object_code
        FROM guides_visitor v JOIN guides_touch o ON o.visitor_id = v.id
        WHERE v.member_id = w.member_id AND o.touched_on BETWEEN w.first AND w.last AND o.at <= w.until
          AND o.member_id IS DISTINCT FROM w.member_id AND o.touched_on BETWEEN %s AND %s
    ) t
    JOIN guides_guide g ON g.id = t.guide_id
"""


def read(
    lines: Sequence[Line], origins: dict[int, Origin], longest: Callable[[Line], dt.timedelta]
) -> dict[int, Touches]:
    """By line; ``longest``: the longest window of the line's version."""
    windows = {}
    for line in lines:
        until = origins[line.id].created_at if line.id in origins else line.created_at
        windows[line.id] = (until - max(HORIZON, longest(line)), until)
    found = _of_members([line for line in lines if line.member_id], windows)
    unknown = [line for line in lines if line.member_id is None and _buyer(line) != NOBODY]
    if unknown:
        _add_of_buyers(found, unknown, windows)
    return found


Windows = dict[int, tuple[dt.datetime, dt.datetime]]  # from and until when a line's touches count, both inclusive


def _of_members(lines: Sequence[Line], windows: Windows) -> dict[int, Touches]:
    if not lines:
        return {}
    days = [(_day(since), _day(until)) for since, until in (windows[line.id] for line in lines)]
    first, last = min(since for since, _ in days), max(until for _, until in days)
    rows = db.read(
        OF_LINES,
        [
            db.array(line.id for line in lines),
            db.array(line.member_id for line in lines if line.member_id),
            db.array(windows[line.id][1] for line in lines),
            db.array(since for since, _ in days),
            db.array(until for _, until in days),
            *(first, last) * 3,
        ],
    )
    known: dict[int, tuple[touches.Touch, int]] = {}  # one touch serves every line of an order
    found: dict[int, Touches] = {}
    for line_id, touch_id, guide_id, *content in rows:
        pair = known.get(touch_id)
        if pair is None:
            pair = known[touch_id] = (_touch(touch_id, *content), guide_id)
        found.setdefault(line_id, []).append(pair)
    return {line_id: _latest(pairs) for line_id, pairs in found.items()}


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
    if len(pairs) <= MOST:
        return pairs
    return sorted(pairs, key=lambda pair: (pair[0].at, -pair[0].id), reverse=True)[:MOST]


def _add_of_buyers(found: dict[int, Touches], lines: Sequence[Line], windows: Windows) -> None:
    buyers = sorted({_buyer(line) for line in lines}, key=str)
    first = min(windows[line.id][0] for line in lines)
    known = touches.of_buyers(buyers, since=first, until=max(windows[line.id][1] for line in lines))
    ids = guide_ids({touch.guide for ones in known.values() for touch in ones})
    for line in lines:
        since, until = windows[line.id]
        ones = [(t, ids[t.guide]) for t in known.get(_buyer(line), ()) if since <= t.at <= until]
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
