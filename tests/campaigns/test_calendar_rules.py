"""What the calendar means for a store on a day: pure rules."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.calendar import rules
from campaigns.calendar.rules import Adaptation, Entry, Limits, Place, Standing

TUESDAY = dt.date(2026, 3, 3)
DAYS = st.dates(dt.date(2026, 1, 1), dt.date(2026, 12, 31))
MEMBER_DAY = Entry(
    1, "会员日", frozenset({2}), dt.date(2026, 1, 1), None, dt.time(9), dt.time(21), task_kind="MESSAGE", direct_quota=10,
    franchisee_quota=4, minutes=3,
)  # fmt: skip
CITY, NORTH, COUNTRY = 7, 3, 1
SHOP = Place(11, (CITY, NORTH, COUNTRY), 5, "DIRECT")
OPEN_LIMITS = Limits("STORE", True, True, 50)
EVER = {"starts_on": dt.date(2026, 1, 1), "ends_on": dt.date(2026, 12, 31)}


def wish(pk: int = 1, **values: Any) -> Adaptation:
    return Adaptation(pk, 1, **{**EVER, **values})


def item(
    entry: Entry = MEMBER_DAY, *adaptations: Adaptation, place: Place = SHOP, guides: tuple[int, ...] = (1, 2)
) -> Any:
    return rules.item(entry, place, TUESDAY, adaptations, guides)


@given(DAYS)
def test_a_weekly_entry_takes_place_on_its_weekdays_within_its_days(day: dt.date) -> None:
    entry = replace(MEMBER_DAY, starts_on=dt.date(2026, 2, 1), ends_on=dt.date(2026, 6, 30))
    inside = dt.date(2026, 2, 1) <= day <= dt.date(2026, 6, 30)
    assert rules.occurs(entry, day) == (inside and day.isoweekday() == 2)
    assert rules.occurs(replace(entry, weekdays=frozenset()), day) == inside


def test_a_quota_per_guide_is_a_task_of_each_guide_and_adds_up_for_the_store() -> None:
    found = item()
    assert [(task.guide_id, task.title, task.minutes) for task in found.tasks] == [
        (1, "会员日：联系 10 位顾客", 30), (2, "会员日：联系 10 位顾客", 30),
    ]  # fmt: skip
    assert found.quota == 20 and item(place=replace(SHOP, ownership="FRANCHISEE")).quota == 8


@given(st.integers(0, 300), st.lists(st.integers(1, 99), unique=True, min_size=1, max_size=12))
def test_a_stores_quota_is_shared_without_a_rest(total: int, guides: list[int]) -> None:
    shares = rules.shares(total, guides)
    assert sum(shares.values()) == total and max(shares.values()) - min(shares.values()) <= 1
    entry = replace(MEMBER_DAY, quota_per="STORE", direct_quota=total)
    found = item(entry, guides=tuple(guides))
    assert found.quota == total and len(found.tasks) == (len(guides) if not total else min(total, len(guides)))


def test_each_post_is_a_task_of_its_own() -> None:
    found = item(replace(MEMBER_DAY, task_kind="MOMENT", direct_quota=2), guides=(1,))
    assert [(task.number, task.title, task.minutes) for task in found.tasks] == [
        (1, "会员日（1/2）", 3),
        (2, "会员日（2/2）", 3),
    ]


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        (replace(MEMBER_DAY, region_ids=frozenset({99})), SHOP),
        (replace(MEMBER_DAY, entity_id=6), SHOP),
        (replace(MEMBER_DAY, store_id=12), SHOP),
        (replace(MEMBER_DAY, ownership="FRANCHISEE"), SHOP),
        (MEMBER_DAY, replace(SHOP, closed_on=TUESDAY - dt.timedelta(1))),
        (MEMBER_DAY, replace(SHOP, opened_on=TUESDAY + dt.timedelta(1))),
        (replace(MEMBER_DAY, weekdays=frozenset({3})), SHOP),
    ],
)
def test_a_store_that_is_not_meant_or_not_open_gets_nothing(entry: Entry, place: Place) -> None:
    assert item(entry, place=place) is None


def test_the_nearest_adaptation_wins_and_the_newer_of_two_alike() -> None:
    country, city = wish(1, region_id=COUNTRY, is_dropped=True), wish(2, region_id=CITY, quota=8)
    assert item(MEMBER_DAY, country).is_dropped and item(MEMBER_DAY, country).tasks == ()
    assert item(MEMBER_DAY, country, city).quota == 16
    own = wish(3, store_id=11, from_time=dt.time(14), until_time=dt.time(18))
    assert item(MEMBER_DAY, own, country, city).starts_at.hour == 14
    newer = wish(4, store_id=11, quota=6)
    assert item(MEMBER_DAY, own, newer).quota == 12
    assert item(MEMBER_DAY, wish(5, store_id=12, quota=1), wish(6, region_id=99, quota=1)).quota == 20
    assert item(MEMBER_DAY, wish(7, store_id=11, quota=30)).quota == 20  # never more than HQ asks for


@given(
    st.permutations(
        [wish(1, region_id=COUNTRY, quota=9), wish(2, region_id=CITY, quota=8), wish(3, region_id=CITY, quota=7)]
    )
)
def test_the_order_in_which_adaptations_are_read_says_nothing(found: list[Adaptation]) -> None:
    assert item(MEMBER_DAY, *found).quota == 14


# --- what is replaced ---


def standing(one: Any, *, starts_at: dt.datetime | None = None, **values: Any) -> Standing:
    return Standing(
        **{"pk": 1, "status": "PLANNED", "digest": one.digest, "starts_at": starts_at or one.starts_at, **values}
    )


KEY = (1, 11, TUESDAY)


@given(st.booleans(), st.booleans(), st.sampled_from(["PLANNED", "DROPPED", "CANCELLED"]), st.integers(-30, 30))
def test_what_has_begun_stays_and_the_same_wishes_change_nothing(
    is_wanted: bool, is_same: bool, status: str, hours: int
) -> None:
    one = item()
    row = standing(one, status=status, digest=one.digest if is_same else "other")
    now = one.starts_at + dt.timedelta(hours=hours)
    found = rules.changes({KEY: one} if is_wanted else {}, {KEY: row}, now)
    has_begun = row.starts_at <= now and status != "CANCELLED"
    touched = bool(found.changed or found.gone)
    assert not found.new
    if has_begun or (is_wanted and is_same and status == "PLANNED"):
        assert not touched
    elif is_wanted:
        assert bool(found.changed) == (one.ends_at > now)
    else:
        assert bool(found.gone) == (status != "CANCELLED")


def test_what_is_over_is_not_begun_any_more() -> None:
    one = item()
    assert rules.changes({KEY: one}, {}, one.ends_at).new == [] and rules.changes(
        {KEY: one}, {}, one.starts_at
    ).new == [one]


# --- what may be adapted ---


@pytest.mark.parametrize(
    ("limits", "level", "asked", "field"),
    [
        (OPEN_LIMITS, "STORE", {"is_dropped": True}, ""),
        (OPEN_LIMITS, "STORE", {"quota": 5}, ""),
        (OPEN_LIMITS, "REGION", {"from_time": dt.time(10), "until_time": dt.time(20)}, ""),
        (replace(OPEN_LIMITS, adapted_by="NOBODY"), "REGION", {"is_dropped": True}, "entry"),
        (replace(OPEN_LIMITS, adapted_by="REGION"), "STORE", {"is_dropped": True}, "entry"),
        (replace(OPEN_LIMITS, may_drop=False), "STORE", {"is_dropped": True}, "is_dropped"),
        (replace(OPEN_LIMITS, may_move=False), "STORE", {"from_time": dt.time(10), "until_time": dt.time(20)}, "from_time"),
        (OPEN_LIMITS, "STORE", {"from_time": dt.time(10)}, "until_time"),
        (OPEN_LIMITS, "STORE", {"from_time": dt.time(10), "until_time": dt.time(9)}, "until_time"),
        (OPEN_LIMITS, "STORE", {"quota": 4}, "quota"),
        (OPEN_LIMITS, "STORE", {"quota": 11}, "quota"),
        (OPEN_LIMITS, "STORE", {}, "is_dropped"),
        (OPEN_LIMITS, "STORE", {"is_dropped": True, "quota": 5}, "is_dropped"),
        (OPEN_LIMITS, "STORE", {"is_dropped": True, "starts_on": TUESDAY + dt.timedelta(1), "ends_on": TUESDAY + dt.timedelta(3)}, "starts_on"),
    ],
)  # fmt: skip
def test_only_what_hq_allows(limits: Limits, level: str, asked: dict[str, Any], field: str) -> None:
    found = rules.refusals(MEMBER_DAY, limits, wish(store_id=11, **asked), quotas=[10], level=level)
    assert list(found) == ([field] if field else [])


def test_last_years_week_is_the_same_iso_week() -> None:
    assert rules.last_years(dt.date(2026, 3, 2)) == dt.date(2025, 3, 3)
    assert rules.last_years(dt.date(2026, 12, 28)) == dt.date(2025, 12, 22)  # 2025 has no week 53
    assert [day.isoweekday() for day in rules.week_of(TUESDAY)] == [1, 2, 3, 4, 5, 6, 7]
