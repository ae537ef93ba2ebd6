"""My day (今日清单): everything open for a guide as one list, one entry per customer, in the order in which it is worth her time. Pure.

1. What HQ, the calendar or an SOP wants done by the end of today stands first, by its time: it was promised to somebody.
2. Then by expected value, the highest first; what nobody has measured follows by its time.
3. An entry takes the minutes of its longest action and a minute for each further one: the customer is met once.
4. The day ends where the minutes are used up; what stands behind that is for later, and stays in the list.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MEASURED = "SCENARIO"


class Because(StrEnum):
    DUE = "DUE"  # wanted by the end of today
    WORTH = "WORTH"  # by expected value
    TIME = "TIME"  # not measured


@dataclass(slots=True)
class Entry:
    """``actions``: rows of ``guides.actions.of_guide``, the one that decides the place first."""

    member_id: int | None
    member_name: str | None
    actions: list[Mapping[str, Any]] = field(default_factory=list)
    because: Because = Because.TIME
    minutes: int = 0
    is_today: bool = True

    @property
    def expected_fen(self) -> int | None:
        measured = [row["expected_fen"] for row in self.actions if row["expected_fen"] is not None]
        return max(measured, default=None)

    @property
    def due_at(self) -> str:
        return min(str(row["due_at"]) for row in self.actions)


def arrange(rows: Iterable[Mapping[str, Any]], *, end_of_day: dt.datetime, minutes: int) -> list[Entry]:
    """``due_at`` of a row is ISO 8601 with an offset."""
    entries: dict[Any, Entry] = {}
    for row in rows:
        key = row["member_id"] if row["member_id"] is not None else ("alone", row["id"])
        entry = entries.setdefault(key, Entry(row["member_id"], row["member_name"]))
        entry.actions.append(row)
    for entry in entries.values():
        _judge(entry, end_of_day)
    ordered = sorted(entries.values(), key=_place)
    used = 0
    for entry in ordered:
        used += entry.minutes
        entry.is_today = used <= minutes or entry.because is Because.DUE
    return ordered


def _judge(entry: Entry, end_of_day: dt.datetime) -> None:
    entry.actions.sort(
        key=lambda row: (row["asked_by"] == MEASURED, -(row["expected_fen"] or 0), str(row["due_at"]), row["id"])
    )
    wanted = any(row["asked_by"] != MEASURED and _at(row["due_at"]) <= end_of_day for row in entry.actions)
    entry.because = Because.DUE if wanted else Because.WORTH if entry.expected_fen is not None else Because.TIME
    longest = max(row["minutes"] for row in entry.actions)
    entry.minutes = longest + len(entry.actions) - 1


def _place(entry: Entry) -> tuple[Any, ...]:
    rank = list(Because).index(entry.because)
    worth = -(entry.expected_fen or 0) if entry.because is Because.WORTH else 0
    return rank, worth, _at(entry.due_at), entry.actions[0]["id"]


def _at(text: Any) -> dt.datetime:
    return dt.datetime.fromisoformat(str(text))
