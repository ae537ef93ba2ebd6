"""Evidence (证据) of a flag: the friends it is about, and the small tables that show it on the page. Pure."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from guides.integrity import counting
from guides.integrity.counting import Add, Purchase
from guides.integrity.suspicions import Kind, Signal
from guides.models import IntegritySettings
from guides.touches import SHANGHAI

ROWS = 30  # of a table; the rest is counted


def is_night(hour: int, limits: IntegritySettings) -> bool:
    first, last = limits.night_from_hour, limits.night_until_hour
    return first <= hour < last if first < last else hour >= first or hour < last


def friends_of(
    signal: Signal, adds: Sequence[Add], limits: IntegritySettings, guides_of: Mapping[str, int], silent: frozenset[int]
) -> list[Add]:
    """The friends that a signal is about."""
    if signal.kind in (Kind.ADDS_PER_MINUTE, Kind.NEW_DEVICE):
        crowded = {at for at, _count in counting.bursts(adds, limits)}
        return [add for add in adds if _minute(add.added_at) in crowded]
    if signal.kind == Kind.SAME_SECOND:
        seconds = Counter(_second(add.added_at) for add in adds)
        return [add for add in adds if seconds[_second(add.added_at)] >= limits.same_second]
    chosen = {
        Kind.NIGHT_SHARE: lambda add: is_night(add.hour, limits),
        Kind.DELETE_RATE: lambda add: True,
        Kind.SHARED_PERSON: lambda add: guides_of.get(add.unionid, 0) >= limits.guides_per_person,
        Kind.NO_AVATAR: lambda add: add.has_picture is False,
        Kind.SILENT: lambda add: add.friendship_id in silent,
    }[Kind(signal.kind)]
    return [add for add in adds if chosen(add)]


def of_friends(
    signal: Signal, adds: Sequence[Add], about: Sequence[Add], guides_of: Mapping[str, int], devices: Sequence[Any]
) -> dict[str, Any]:
    """JSON: ``hours`` (24 counts, for the chart), ``days`` and the rows of the kind."""
    shown: dict[str, Any] = {
        "friends": len(adds),
        "about": len(about),
        "hours": [sum(add.hour == hour for add in adds) for hour in range(24)],
        "days": [[day, count] for day, count in sorted(Counter(_day(add.added_at) for add in adds).items())],
    }
    if signal.kind == Kind.NEW_DEVICE:
        shown["rows"] = list(devices)[:ROWS]
    elif signal.kind == Kind.SHARED_PERSON:
        shown["rows"] = [
            {"at": add.added_at.isoformat(), "contact": add.contact_id, "count": guides_of[add.unionid]}
            for add in about[:ROWS]
        ]
    else:
        cut = _second if signal.kind == Kind.SAME_SECOND else _minute
        crowd = Counter(cut(add.added_at) for add in about).most_common(ROWS)
        shown["rows"] = [{"at": at.isoformat(), "count": count} for at, count in crowd]
    return shown


def own_deals(
    purchases: Sequence[Purchase], limits: IntegritySettings
) -> dict[int, list[tuple[Signal, list[Purchase]]]]:
    """By the guide who is credited: what she bought from herself, and what she and another bought from each other."""
    between: dict[tuple[int, int], list[Purchase]] = {}
    for purchase in purchases:
        between.setdefault((purchase.buyer_id, purchase.seller_id), []).append(purchase)
    found: dict[int, list[tuple[Signal, list[Purchase]]]] = {}
    for (buyer_id, seller_id), lines in sorted(between.items()):
        fen = _sum(lines)
        if buyer_id == seller_id:
            if fen >= limits.self_deal_fen:
                found.setdefault(seller_id, []).append((Signal(Kind.SELF_DEAL, fen, limits.self_deal_fen), lines))
            continue
        back = between.get((seller_id, buyer_id), [])
        less = min(fen, _sum(back))
        if less >= limits.loop_fen:
            signal = Signal(Kind.LOOP, less, limits.loop_fen)
            before = [entry for entry in found.get(seller_id, []) if entry[0].kind != Kind.LOOP]
            loops = [line for entry in found.get(seller_id, []) if entry[0].kind == Kind.LOOP for line in entry[1]]
            found[seller_id] = [*before, (signal, [*loops, *lines])]
    return found


def of_purchases(lines: Sequence[Purchase]) -> dict[str, Any]:
    rows = [
        {"at": line.paid_at.isoformat(), "line": line.line_id, "buyer": line.buyer_id, "fen": line.net_fen}
        for line in lines[:ROWS]
    ]
    return {"lines": len(lines), "fen": _sum(lines), "rows": rows}


def _sum(lines: Sequence[Purchase]) -> int:
    return sum(line.net_fen for line in lines)


def _minute(at: dt.datetime) -> dt.datetime:
    return at.replace(second=0, microsecond=0)


def _second(at: dt.datetime) -> dt.datetime:
    return at.replace(microsecond=0)


def _day(at: dt.datetime) -> str:
    return at.astimezone(SHANGHAI).date().isoformat()
