"""When a touch counts (A8)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guides import touches
from guides.touches import Fault, Touch, TouchKind, TouchObject, Windows

ORDER = datetime(2025, 6, 10, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WINDOWS = Windows()


@dataclass
class Line:
    sku: str = "APPLE"
    category: str | None = "FRUIT"
    live_no: str | None = None
    group_no: str | None = None


def touch(age: timedelta = timedelta(days=2), **changes: Any) -> Touch:
    return Touch(**{"id": 1, "guide": "G00001", "kind": TouchKind.SHARE, "at": ORDER - age, **changes})


def fault(of: Touch, line: Line | None = None, *, is_employed: bool = True) -> Fault | None:
    return touches.fault(of, line or Line(), created_at=ORDER, is_employed=is_employed, windows=WINDOWS)


@pytest.mark.parametrize(
    ("kind", "age", "expected"),
    [
        (TouchKind.SHARE, timedelta(days=7) - SECOND, None),
        (TouchKind.SHARE, timedelta(days=7), Fault.EXPIRED),
        (TouchKind.SHARE, timedelta(days=7) + SECOND, Fault.EXPIRED),
        (TouchKind.LIVE, timedelta(hours=24) - SECOND, None),
        (TouchKind.LIVE, timedelta(hours=24), Fault.EXPIRED),
        (TouchKind.SHARE, timedelta(0), None),
    ],
)
def test_a8_window_to_the_second(kind: TouchKind, age: timedelta, expected: Fault | None) -> None:
    """A8 (example 4): the moment of expiry itself is too late."""
    assert fault(touch(age, kind=kind)) == expected


def test_a8_its_own_expiry_beats_the_window() -> None:
    """A8: a group order counts until it closes, however long that is."""
    group = touch(timedelta(days=20), kind=TouchKind.GROUP, expires_at=ORDER + SECOND)
    assert fault(group) is None
    assert fault(touch(SECOND, expires_at=ORDER)) == Fault.EXPIRED


def test_a8_unsigned_and_left_guides_never_count() -> None:
    """A8."""
    assert fault(touch(is_signed=False)) == Fault.UNSIGNED
    assert fault(touch(), is_employed=False) == Fault.GUIDE_NOT_EMPLOYED


@pytest.mark.parametrize(
    ("kind", "code", "is_covered"),
    [
        (TouchObject.ALL, "", True),
        (TouchObject.SKU, "APPLE", True),
        (TouchObject.SKU, "PEAR", False),
        (TouchObject.CATEGORY, "FRUIT", True),
        (TouchObject.CATEGORY, "FISH", False),
        (TouchObject.LIVE, "L1", True),
        (TouchObject.LIVE, "L2", False),
        (TouchObject.GROUP, "T1", True),
        (TouchObject.GROUP, "T2", False),
    ],
)
def test_a8_object_covers_the_line(kind: TouchObject, code: str, is_covered: bool) -> None:
    """A8: a touch of another product, room or group never wins."""
    of = touch(object_kind=kind, object_code=code)
    assert fault(of, Line(live_no="L1", group_no="T1")) == (None if is_covered else Fault.OTHER_OBJECT)


def test_a8_a_line_outside_any_room_is_not_covered_by_a_room() -> None:
    """A8."""
    assert fault(touch(object_kind=TouchObject.LIVE, object_code="L1")) == Fault.OTHER_OBJECT


@given(
    facts=st.lists(st.tuples(st.integers(1, 1_000), st.integers(-5, 5)), unique_by=lambda fact: fact[0], max_size=12),
    random=st.randoms(use_true_random=False),
)
@settings(max_examples=300, deadline=None)
def test_a8_latest_first_whatever_the_arrival(facts: list[tuple[int, int]], random: Random) -> None:
    """A8: future touches are left out; latest at first, then the smallest id, never the order of arrival."""
    all_touches = [touch(timedelta(seconds=-offset), id=number) for number, offset in facts]
    ordered = touches.latest_first(random.sample(all_touches, len(all_touches)), created_at=ORDER)
    assert ordered == sorted(
        (t for t in all_touches if t.at <= ORDER), key=lambda t: (-((t.at - ORDER) // SECOND), t.id)
    )
