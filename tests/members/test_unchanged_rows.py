"""Rows that an earlier list has brought: left out, and heard again as soon as anything they say may differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from members.legacy_import import merge
from members.models import Identity, ListRow, Member, MemberTag, Tier
from scrm.copyin import staging
from tests.factories.member_lists import HEADER, import_rows, make_store, member_of

pytestmark = pytest.mark.django_db

ROWS = [f"A{n},会员{n},1390000000{n},女,1990-01-01,银卡,{n},S1,,2024-01-0{n},红|蓝,." for n in range(1, 6)]


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows of each reading went into staging."""
    counts: list[int] = []
    stage = staging.stage

    def counting(*args: Any, **kwargs: Any) -> staging.Staged:
        result = stage(*args, **kwargs)
        counts.append(result.row_count - result.settled_count)
        return result

    monkeypatch.setattr("scrm.copyin.stage", counting)
    return counts


@pytest.fixture(autouse=True)
def first(tmp_path: Path) -> None:
    make_store("S1")
    import_rows(tmp_path, *ROWS)
    assert ListRow.objects.count() == 5


def test_only_what_is_new_or_changed_is_looked_at(tmp_path: Path, staged: list[int]) -> None:
    changed = ROWS[2].replace("会员3", "新名")
    job = import_rows(tmp_path, *ROWS[:2], changed, *ROWS[3:], "A9,新人,13900000009,,,,,,,,,", "A8,坏,123,,,,,,,,,")
    assert staged == [3]
    assert member_of(card="A3").name == "新名"
    wanted = {"rows": 7, "good": 6, "bad": 1, "created": 1, "updated": 1, "unchanged": 4, "is_unchanged": False}
    assert {name: job.summary[name] for name in wanted} == wanted
    again = import_rows(tmp_path, *ROWS[:2], changed, *ROWS[3:], "A9,新人,13900000009,,,,,,,,,", "A8,坏,123,,,,,,,,,")
    assert staged == [3, 1]  # a broken row is reported each time
    assert again.summary["is_unchanged"] and again.summary["unchanged"] == 6
    assert again.summary["problems"] == {"bad_mobile": 1}


def test_a_dry_run_counts_them_and_remembers_nothing(tmp_path: Path, staged: list[int]) -> None:
    job = import_rows(tmp_path, *ROWS, "A9,新人,13900000009,,,,,,,,,", dry_run=True)
    assert (job.summary["created"], job.summary["unchanged"], staged) == (1, 5, [1])
    assert ListRow.objects.count() == 5


def rename() -> None:
    Member.objects.filter(pk=member_of(card="A2").pk).update(name="改了")


def untag() -> None:
    MemberTag.objects.filter(member=member_of(card="A2"), tag__name="红").delete()


def lose_number() -> None:
    Identity.objects.filter(member=member_of(card="A2"), kind="MOBILE").delete()


def freeze() -> None:
    Member.objects.filter(pk=member_of(card="A2").pk).update(status="FROZEN")


@pytest.mark.parametrize("change", [rename, untag, lose_number, freeze])
def test_whoever_changes_the_member_makes_her_row_heard_again(tmp_path: Path, staged: list[int], change: Any) -> None:
    before = picture()
    change()
    assert picture() != before
    assert ListRow.objects.count() == 4
    import_rows(tmp_path, *ROWS)
    assert staged == [1]
    assert picture()[:-1] == before[:-1]  # all that a list says; the status is none of its business
    assert ListRow.objects.count() == 5


def picture() -> tuple[Any, ...]:
    member = member_of(card="A2")
    return (
        member.name,
        sorted(member.tags.values_list("tag__name", flat=True)),
        member.identities.count(),
        member.status,
    )


def test_what_the_list_does_not_say_forgets_nothing(tmp_path: Path, staged: list[int]) -> None:
    Member.objects.update(points_brought_in=1)
    import_rows(tmp_path, *ROWS)
    assert staged == [0]


def test_a_second_row_of_the_same_member_has_all_read_again(tmp_path: Path, staged: list[int]) -> None:
    """Her last filled cell counts, so the row that was left out does."""
    job = import_rows(tmp_path, "A1,甲,13900000007,,,,,,,,,", *ROWS)
    assert staged == [1, 6]
    assert member_of(card="A1").name == "会员1"
    assert member_of(mobile="13900000007") == member_of(card="A1")
    assert job.summary["rows"] == 6 and job.summary["good"] == 6


def test_a_row_that_stands_twice_is_a_repeat(tmp_path: Path, staged: list[int]) -> None:
    job = import_rows(tmp_path, *ROWS, ROWS[0])
    assert staged == [0]
    assert (job.summary["exact_duplicate"], job.summary["unchanged"], job.summary["rows"]) == (1, 5, 6)


def test_another_list_takes_the_row_s_place(tmp_path: Path, staged: list[int]) -> None:
    other = [row.replace("会员", "顾客") for row in ROWS]
    import_rows(tmp_path, *other)
    import_rows(tmp_path, *ROWS)
    import_rows(tmp_path, *ROWS)
    assert staged == [5, 5, 0]
    assert member_of(card="A1").name == "会员1"


def test_a_renamed_tier_or_store_is_not_what_the_row_said(tmp_path: Path, staged: list[int]) -> None:
    Tier.objects.filter(name="银卡").update(name="白银")
    job = import_rows(tmp_path, *ROWS)
    assert staged == [5]
    assert job.summary["problems"] == {"unknown_tier": 5}


def test_another_mapping_is_another_row(tmp_path: Path, staged: list[int]) -> None:
    import_rows(tmp_path, *ROWS, mapping={"remark": None})
    assert staged == [5]
    header = HEADER.replace("姓名", "名字")  # the same column under another title
    import_rows(tmp_path, *ROWS, header=header, mapping={"remark": None})
    assert staged == [5, 0]


def test_a_member_who_is_changed_while_the_list_is_written_is_not_remembered(
    tmp_path: Path, staged: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the end there is no row that her change could make forgotten."""
    write = merge.write_missing_tags

    def meanwhile(*args: Any, **kwargs: Any) -> int:
        Member.objects.filter(pk=member_of(card="A2").pk).update(name="改了")
        return write(*args, **kwargs)

    other = [row.replace("会员", "顾客") for row in ROWS]
    with monkeypatch.context() as patch:
        patch.setattr(merge, "write_missing_tags", meanwhile)
        import_rows(tmp_path, *other)
    assert ListRow.objects.count() == 4
    import_rows(tmp_path, *other)
    assert staged == [5, 1]
    assert member_of(card="A2").name == "顾客2"
