"""The list of guides: one person, one user; employments follow the list and none is lost."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from guides import staff
from guides.models import Employment, Guide
from guides.staff import GuideRow, Service, day_start, services_after
from scrm import crypto
from scrm.models import Act, LegalEntity, Region, Store, User
from tests.factories import lists

HEADER = "guide_code,name,mobile,store_code,role,wecom_userid,hired_on,left_on"
TODAY = dt.date(2025, 6, 1)


def date(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def at(text: str) -> dt.datetime:
    return day_start(date(text))


def row(**values: Any) -> GuideRow:
    known: dict[str, Any] = {
        "line": 2, "code": "G1", "name": "王芳", "mobile_index": None, "mobile_sealed": None, "store_id": 1, "role": "GUIDE",
        "wecom_userid": "", "hired_on": date("2020-01-01"), "left_on": None,
    }  # fmt: skip
    return GuideRow(**{**known, **values})


def service(store_id: int, start: str, end: str | None = None, role: str = "GUIDE") -> Service:
    return Service(store_id, role, at(start), at(end) if end else None)


# --- pure -------------------------------------------------------------------------------------------------------------


def test_the_last_day_still_counts() -> None:
    said = row(left_on=date("2024-12-31"))
    assert services_after(said, [], TODAY) == [service(1, "2020-01-01", "2025-01-01")]
    assert services_after(said, [service(1, "2020-01-01")], TODAY) == [service(1, "2020-01-01", "2025-01-01")]


@pytest.mark.parametrize(
    ("said", "before", "after"),
    [
        ({}, [service(1, "2020-01-01")], [service(1, "2020-01-01")]),
        # another store, without and with a day
        ({"store_id": 2}, [service(1, "2020-01-01")], [service(1, "2020-01-01", "2025-06-01"), service(2, "2025-06-01")]),
        (
            {"store_id": 2, "moved_on": date("2025-05-05")},
            [service(1, "2020-01-01")],
            [service(1, "2020-01-01", "2025-05-05"), service(2, "2025-05-05")],
        ),
        # a move on her first day, or dated before it, was a wrong store
        ({"store_id": 2, "hired_on": TODAY}, [service(1, "2025-06-01")], [service(2, "2025-06-01")]),
        # another role
        (
            {"role": "STORE_MANAGER"},
            [service(1, "2020-01-01")],
            [service(1, "2020-01-01", "2025-06-01"), service(1, "2025-06-01", role="STORE_MANAGER")],
        ),
        ({"role": ""}, [service(1, "2020-01-01", role="STORE_MANAGER")], [service(1, "2020-01-01", role="STORE_MANAGER")]),
        # moved and left
        (
            {"store_id": 2, "moved_on": date("2025-05-05"), "left_on": date("2025-05-31")},
            [service(1, "2020-01-01")],
            [service(1, "2020-01-01", "2025-05-05"), service(2, "2025-05-05", "2025-06-01")],
        ),
        # the first day of an unbroken service is corrected, not that of a store
        (
            {"store_id": 2, "hired_on": date("2019-05-01")},
            [service(1, "2020-01-01", "2024-01-01"), service(2, "2024-01-01")],
            [service(1, "2019-05-01", "2024-01-01"), service(2, "2024-01-01")],
        ),
        # she returns
        (
            {"hired_on": date("2025-02-01")},
            [service(1, "2020-01-01", "2024-01-01")],
            [service(1, "2020-01-01", "2024-01-01"), service(1, "2025-02-01")],
        ),
        # another last day
        ({"left_on": date("2024-02-01")}, [service(1, "2020-01-01", "2024-01-01")], [service(1, "2020-01-01", "2024-02-02")]),
    ],
)  # fmt: skip
def test_employments_follow_the_list(said: dict[str, Any], before: list[Service], after: list[Service]) -> None:
    assert services_after(row(**said), before, TODAY) == after


@pytest.mark.parametrize(
    ("said", "before", "problem"),
    [
        ({}, [service(1, "2020-01-01", "2024-01-01")], ("left_on", "has_left")),
        (
            {"store_id": 2, "left_on": date("2023-12-31")},
            [service(1, "2020-01-01", "2024-01-01")],
            ("store_code", "has_left_elsewhere"),
        ),
        (
            {"hired_on": date("2021-06-01")},
            [service(1, "2020-01-01", "2022-01-01"), service(1, "2023-01-01")],
            ("hired_on", "hired_on_contradicts"),
        ),
        (
            {"store_id": 2, "moved_on": date("2025-05-05"), "left_on": date("2025-05-04")},
            [service(1, "2020-01-01")],
            ("left_on", "left_before_start"),
        ),
    ],
)  # fmt: skip
def test_what_contradicts_is_not_guessed(said: dict[str, Any], before: list[Service], problem: tuple[str, str]) -> None:
    with pytest.raises(staff.Impossible) as raised:
        services_after(row(**said), before, TODAY)
    assert (raised.value.column, raised.value.code) == problem


DAYS = st.dates(date("2019-01-01"), date("2025-12-31"))


@given(
    rows=st.lists(
        st.builds(
            row,
            store_id=st.sampled_from([1, 2]),
            hired_on=DAYS,
            left_on=st.none() | DAYS,
            moved_on=st.none() | DAYS,
            role=st.sampled_from(["GUIDE", "STORE_MANAGER"]),
        ),
        max_size=6,
    )
)
def test_no_list_can_make_employments_overlap(rows: list[GuideRow]) -> None:
    """A2 for employments: half-open, in order, at most one open; the same row again changes nothing."""
    services: list[Service] = []
    for said in rows:
        if said.left_on and said.left_on < said.hired_on:
            continue
        try:
            services = services_after(said, services, TODAY)
        except staff.Impossible:
            continue
        assert services_after(said, services, TODAY) == services
        for one, following in itertools.pairwise(services):
            assert one.ended_at is not None and one.started_at < one.ended_at <= following.started_at
        assert services[-1].ended_at is None or services[-1].started_at < services[-1].ended_at


# --- the import -------------------------------------------------------------------------------------------------------


@pytest.fixture
def stores(db: None) -> dict[str, Store]:
    hq = LegalEntity.objects.create(code="HQ", name="HQ", kind="HQ")
    region = Region.objects.create(code="R1", name="R1")
    return {
        code: Store.objects.create(code=code, name=code, entity=hq, region=region, ownership="DIRECT")
        for code in ("S1", "S2")
    }


def take(path: Path, *rows: str, header: str = HEADER, args: tuple[str, ...] = ()) -> dict[str, Any]:
    return lists.take("import_guides", lists.write(path, header, *rows), *args)


def test_every_guide_gets_a_user_and_an_employment(stores: dict[str, Store], tmp_path: Path) -> None:
    summary = take(
        tmp_path / "guides.csv",
        "G00001,牛嘉娟,15400000001,S1,STORE_MANAGER,guide_1,2019-03-01,",
        "G00002,裴伟,,S2,导购,,2019/3/1,2024-06-30",
    )
    assert (summary["created"], summary["bad"]) == (2, 0)
    one, two = Guide.objects.select_related("user").order_by("code")
    assert (one.user.username, one.user.name, one.user.is_active, one.user.has_usable_password()) == (
        "G00001",
        "牛嘉娟",
        True,
        False,
    )
    assert crypto.open_mobile(one.mobile_sealed) == "+8615400000001"  # type: ignore[arg-type]
    assert one.mobile_index == crypto.mobile_index("+8615400000001") and two.mobile_index is None
    job = Employment.objects.get(guide=one)
    assert (job.store, job.role, job.started_at, job.ended_at) == (
        stores["S1"],
        "STORE_MANAGER",
        at("2019-03-01"),
        None,
    )
    left = Employment.objects.get(guide=two)
    assert (left.role, left.started_at, left.ended_at) == ("GUIDE", at("2019-03-01"), at("2024-07-01"))
    assert not two.user.is_active  # she has left


def test_the_same_list_again_changes_nothing_and_says_so(stores: dict[str, Store], tmp_path: Path) -> None:
    rows = ["G1,甲,15400000001,S1,GUIDE,w1,2019-03-01,", "G2,乙,15400000002,S1,GUIDE,w2,2019-03-01,2020-01-01"]
    take(tmp_path / "guides.csv", *rows)
    before = [list(model.objects.order_by("pk").values()) for model in (Guide, Employment, User)]
    summary = take(tmp_path / "guides.csv", *rows)
    assert (summary["unchanged"], summary["created"], summary["updated"], summary["corrected"]) == (2, 0, 0, 0)
    assert [list(model.objects.order_by("pk").values()) for model in (Guide, Employment, User)] == before
    assert Act.objects.filter(verb="guides.record").count() == 1


def test_a_move_closes_one_employment_and_opens_the_next(stores: dict[str, Store], tmp_path: Path) -> None:
    path = tmp_path / "guides.csv"
    take(path, "G1,甲,,S1,GUIDE,,2019-03-01,")
    assert take(path, "G1,甲,,S2,GUIDE,,2019-03-01,")["moved"] == 1
    first, second = Employment.objects.order_by("started_at")
    today = day_start(timezone.localdate())
    assert (first.store, first.ended_at) == (stores["S1"], today)
    assert (second.store, second.started_at, second.ended_at) == (stores["S2"], today, None)
    assert take(path, "G1,甲,,S2,GUIDE,,2019-03-01,")["unchanged"] == 1


def test_who_has_left_cannot_log_in_and_who_returns_can(stores: dict[str, Store], tmp_path: Path) -> None:
    path = tmp_path / "guides.csv"
    take(path, "G1,甲,,S1,GUIDE,,2019-03-01,")
    assert take(path, "G1,甲,,S1,GUIDE,,2019-03-01,2024-01-31")["left"] == 1
    assert not User.objects.get(username="G1").is_active
    summary = take(path, "G1,甲,,S1,GUIDE,,2019-03-01,")
    assert summary["problems"] == {"has_left": 1}
    assert take(path, "G1,甲,,S1,GUIDE,,2025-03-01,")["returned"] == 1
    assert User.objects.get(username="G1").is_active
    assert Employment.objects.count() == 2


def test_one_person_has_one_row(stores: dict[str, Store], tmp_path: Path) -> None:
    User.objects.create_user("G9")
    path = tmp_path / "guides.csv"
    take(path, "G1,甲,15400000001,S1,GUIDE,w1,2019-03-01,")
    summary = take(
        path,
        "G2,乙,+86 154-0000-0001,S1,GUIDE,w2,2019-03-01,",
        "G3,丙,15400000003,S1,GUIDE,w1,2019-03-01,",
        "G9,丁,,S1,GUIDE,,2019-03-01,",
        "G4,戊,15400000004,S1,GUIDE,w4,2019-03-01,",
        "G4,戊,15400000004,S1,GUIDE,w4,2019-03-01,",
        "G4,戊,15400000004,S2,GUIDE,w4,2019-03-01,",
    )
    assert summary["problems"] == {"mobile_taken": 1, "wecom_userid_taken": 1, "username_taken": 1, "repeated_guide": 1}
    assert set(Guide.objects.values_list("code", flat=True)) == {"G1", "G4"}
    assert Employment.objects.get(guide__code="G4").store == stores["S1"]


def test_a_filled_cell_wins_and_an_empty_one_never_erases(stores: dict[str, Store], tmp_path: Path) -> None:
    path = tmp_path / "guides.csv"
    take(path, "G1,甲,15400000001,S1,STORE_MANAGER,w1,2019-03-01,")
    assert take(path, "G1,,,S1,,,2019-03-01,")["unchanged"] == 1
    assert take(path, "G1,乙,15400000002,S1,,w2,2019-03-01,")["updated"] == 1
    guide = Guide.objects.select_related("user").get()
    assert (guide.name, guide.user.name, guide.wecom_userid) == ("乙", "乙", "w2")
    assert guide.mobile_index == crypto.mobile_index("+8615400000002")
    assert Employment.objects.get().role == "STORE_MANAGER"


def test_broken_rows_are_reported_and_do_not_stop_the_good_ones(stores: dict[str, Store], tmp_path: Path) -> None:
    summary = take(
        tmp_path / "guides.csv",
        "G1,甲,15400000001,S1,GUIDE,w1,2019-03-01,",
        ",乙,,S1,GUIDE,,2019-03-01,",
        "G3,丙,1540000,S1,GUIDE,,2019-03-01,",
        "G4,丁,,S9,GUIDE,,2019-03-01,",
        "G5,戊,,S1,老板,,2019-03-01,",
        "G6,己,,S1,GUIDE,,,",
        "G7,庚,,S1,GUIDE,,2019-03-01,2019-02-28",
        "G 8,辛,,S1,GUIDE,,2019-03-01,",
    )
    assert summary["problems"] == {
        "missing_value": 2, "bad_mobile": 1, "unknown_store": 1, "bad_role": 1, "left_before_start": 1, "bad_guide_code": 1,
    }  # fmt: skip
    assert Guide.objects.get().code == "G1"


def test_a_dry_run_writes_nothing(stores: dict[str, Store], tmp_path: Path) -> None:
    summary = take(tmp_path / "guides.csv", "G1,甲,,S1,GUIDE,,2019-03-01,", args=("--dry-run",))
    assert summary["good"] == 1
    assert not Guide.objects.exists()


def test_company_guides(db: None, company_data: Path) -> None:
    expected = json.loads((company_data / "expected.json").read_text())
    lists.take("import_stores", company_data / "stores.csv")
    summary = lists.take("import_guides", company_data / "guides.csv")
    assert (
        summary["created"]
        == expected["guides"]
        == Guide.objects.count()
        == Employment.objects.filter(ended_at=None).count()
    )
    assert summary["problems"] == {} and summary["ignored_columns"] == []
    assert lists.take("import_guides", company_data / "guides.csv")["unchanged"] == expected["guides"]
