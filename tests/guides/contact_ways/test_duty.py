"""Who is added through a code at a moment: days, hours, holidays, caps, backups."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guides.contact_ways import duty, staffing
from guides.contact_ways.duty import SHANGHAI, Shift

MONDAY = dt.datetime(2026, 11, 2, 12, tzinfo=SHANGHAI)
MAIN, SECOND, BACKUP = Shift(1, "Amy"), Shift(2, "bo"), Shift(3, "cai", is_backup=True)


def wanted(
    *shifts: Shift, at: dt.datetime = MONDAY, added: dict[int, int] | None = None, cap: int | None = None
) -> list[str]:
    return list(
        duty.wanted(shifts, at=at, added=added or {}, cap=cap, is_holiday=lambda day: day == dt.date(2026, 11, 3))
    )


def test_main_guides_unless_none_may_be_added() -> None:
    assert wanted(MAIN, SECOND, BACKUP) == ["amy", "bo"]
    assert wanted(MAIN, SECOND, BACKUP, added={1: 5}, cap=5) == ["bo"]
    assert wanted(MAIN, SECOND, BACKUP, added={1: 5, 2: 7}, cap=5) == ["cai"]
    assert wanted(MAIN, SECOND, BACKUP, added={1: 5, 2: 7, 3: 5}, cap=5) == ["amy", "bo"]  # a code must lead somewhere


@pytest.mark.parametrize(
    ("shift", "at", "expected"),
    [
        (Shift(1, "a", weekdays=frozenset({1})), MONDAY, True),
        (Shift(1, "a", weekdays=frozenset({2, 7})), MONDAY, False),
        (Shift(1, "a", starts_at=dt.time(9), ends_at=dt.time(12)), MONDAY, False),  # half-open
        (Shift(1, "a", starts_at=dt.time(12), ends_at=dt.time(18)), MONDAY, True),
        (
            Shift(1, "a", weekdays=frozenset({7}), starts_at=dt.time(22), ends_at=dt.time(2)),
            MONDAY.replace(hour=1),
            True,
        ),
        (
            Shift(1, "a", weekdays=frozenset({1}), starts_at=dt.time(22), ends_at=dt.time(2)),
            MONDAY.replace(hour=1),
            False,
        ),
        (Shift(1, "a", is_off_on_holidays=True), MONDAY, True),
        (Shift(1, "a", is_off_on_holidays=True), MONDAY + duty.DAY, False),
    ],
)
def test_hours_and_days_are_shanghais(shift: Shift, at: dt.datetime, expected: bool) -> None:
    for zone in (SHANGHAI, dt.UTC):
        assert duty.is_on_duty(shift, at.astimezone(zone), lambda day: day == dt.date(2026, 11, 3)) is expected


def test_public_holidays_are_the_calendars_and_weekends_are_none() -> None:
    assert duty.is_public_holiday(dt.date(2025, 10, 1))
    assert not duty.is_public_holiday(dt.date(2025, 3, 8))  # a Saturday
    assert not duty.is_public_holiday(dt.date(2090, 10, 1))  # not published


shifts = st.lists(
    st.builds(
        Shift,
        guide_id=st.integers(1, 9),
        userid=st.sampled_from("abcdefghi"),
        is_backup=st.booleans(),
        weekdays=st.frozensets(st.integers(1, 7), max_size=3),
        starts_at=st.sampled_from([None, dt.time(8), dt.time(20)]),
        ends_at=st.just(dt.time(12)),
        is_off_on_holidays=st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@given(shifts, st.integers(0, 400), st.dictionaries(st.integers(1, 9), st.integers(0, 5)), st.integers(1, 5))
def test_a_code_always_leads_to_somebody_of_its_own(
    people: list[Shift], hours: int, added: dict[int, int], cap: int
) -> None:
    found = duty.wanted(people, at=MONDAY + dt.timedelta(hours=hours), added=added, cap=cap)
    assert found and set(found) <= {shift.userid for shift in people}
    assert list(found) == sorted(set(found))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("周一至周五", (1, 2, 3, 4, 5)), ("周六-日", (6, 7)), ("周六、周日", (6, 7)), ("周五至周一", (1, 5, 6, 7)),
        ("周一三五", (1, 3, 5)), ("周天", (7,)), ("每天", ()), ("09:00-18:00", ()),
    ],
)  # fmt: skip
def test_days_as_people_write_them(word: str, expected: tuple[int, ...]) -> None:
    assert staffing.days_of(word) == expected
