"""专属导购 in a member list: what it binds, and what it never touches."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from guides.models import Binding, Employment, Guide
from members.models import ListRow
from scrm.models import Brand
from tests.factories.member_lists import everything, import_rows, make_store, member_of, problems

pytestmark = pytest.mark.django_db

SHANGHAI = ZoneInfo("Asia/Shanghai")
HEADER = "会员卡号,姓名,专属导购,开卡日期"


def at(year: int, month: int, day: int) -> dt.datetime:
    return dt.datetime(year, month, day, tzinfo=SHANGHAI)


@pytest.fixture(autouse=True)
def guides():
    s1, s2 = make_store("S1"), make_store("S2")
    made = {}
    for code in ("G1", "G2"):
        user = get_user_model().objects.create(username=code)
        made[code] = Guide.objects.create(user=user, code=code, name=code)
    Employment.objects.create(
        guide=made["G1"], store=s1, role="GUIDE", started_at=at(2020, 1, 1), ended_at=at(2024, 1, 1)
    )
    Employment.objects.create(guide=made["G1"], store=s2, role="GUIDE", started_at=at(2024, 2, 1))
    Employment.objects.create(
        guide=made["G2"], store=s2, role="GUIDE", started_at=at(2021, 1, 1), ended_at=at(2022, 1, 1)
    )
    return made


def bindings(card: str = "A1") -> list[tuple]:
    rows = Binding.objects.filter(member=member_of(card=card)).order_by("started_at")
    return [(b.guide.code, b.store.code, b.source, b.started_at, b.ended_at) for b in rows]


def load(tmp_path, *rows: str, **params):
    return import_rows(tmp_path, *rows, header=HEADER, **params)


def test_binds_from_midnight_of_the_registration_day(tmp_path):
    job = load(tmp_path, "A1,甲,G1,2023-05-01")
    assert bindings() == [("G1", "S1", "IMPORT", at(2023, 5, 1), None)]
    binding = Binding.objects.get()
    assert (binding.job, binding.brand) == (job, Brand.objects.get())
    assert job.summary["bindings_opened"] == 1 and job.summary["bindings_kept"] == 0


@pytest.mark.parametrize(
    ("guide", "day", "store"),
    [
        ("G1", "2023-12-31", "S1"), ("G1", "2024-02-01", "S2"), ("G1", "2025-01-01", "S2"),
        ("G1", "2019-01-01", "S1"),  # before her first day
        ("G1", "2024-01-15", "S1"),  # between two stores
        ("G2", "2025-01-01", "S2"),  # after her last day
    ],
)  # fmt: skip
def test_store_of_the_guide_at_that_time(tmp_path, guide, day, store):
    load(tmp_path, f"A1,甲,{guide},{day}")
    assert bindings()[0][1] == store


def test_without_a_registration_day(tmp_path):
    load(tmp_path, "A1,甲,,2023-05-01", "A2,乙,,")
    load(tmp_path, "A1,,G1,", "A2,,G1,")
    today = dt.datetime.now(SHANGHAI).date()
    assert bindings("A1")[0][3] == at(2023, 5, 1)  # the member's own
    assert bindings("A2")[0][3] == at(today.year, today.month, today.day)


def test_covered_day_is_never_rebound_but_counted(tmp_path):
    load(tmp_path, "A1,甲,G1,2023-05-01")
    same = load(tmp_path, "A1,甲,G1,2023-05-01")
    assert same.summary["is_unchanged"] and same.summary["bindings_kept"] == 0
    other = load(tmp_path, "A1,甲,G2,2023-05-01")
    assert [row[0] for row in bindings()] == ["G1"]
    assert other.summary["bindings_kept"] == 1 and other.summary["is_unchanged"]
    with_news = load(tmp_path, "A1,新名,G2,2023-06-01")
    assert [row[0] for row in bindings()] == ["G1"] and with_news.summary["bindings_kept"] == 1
    assert load(tmp_path, "A1,又名,G2,2023-06-01", dry_run=True).summary["bindings_kept"] == 1


def test_day_before_a_later_binding_is_bound_up_to_it(tmp_path):
    load(tmp_path, "A1,甲,G1,2024-05-01")
    job = load(tmp_path, "A1,甲,G2,2023-05-01")
    assert bindings() == [
        ("G2", "S2", "IMPORT", at(2023, 5, 1), at(2024, 5, 1)),
        ("G1", "S2", "IMPORT", at(2024, 5, 1), None),
    ]
    assert job.summary["bindings_opened"] == 1
    assert load(tmp_path, "A1,甲,G2,2023-05-01").summary["is_unchanged"]


def test_gap_after_an_ended_binding_is_bound(tmp_path):
    load(tmp_path, "A1,甲,G1,2023-05-01")
    Binding.objects.update(ended_at=at(2024, 1, 1))
    load(tmp_path, "A1,甲,G2,2023-12-31")
    assert len(bindings()) == 1
    load(tmp_path, "A1,甲,G2,2024-01-01")  # an interval does not contain its end
    assert [row[0] for row in bindings()] == ["G1", "G2"]


def test_rows_of_one_person_bind_once_to_the_last_guide_from_the_first_day(tmp_path):
    rows = ["A1,甲,G1,2023-05-01", "A1,甲,G2,2022-05-01", "A1,乙,,2024-01-01"]
    job = load(tmp_path, *rows)
    assert [(row[0], row[3]) for row in bindings()] == [("G2", at(2022, 5, 1))]
    assert job.summary["bindings_opened"] == 1
    assert load(tmp_path, *rows).summary["is_unchanged"]


def test_unknown_guide_breaks_the_row(tmp_path):
    job = load(tmp_path, "A1,甲,G9,2023-05-01", "A2,乙,G1,2023-05-01")
    assert problems(job) == [(2, "guide", "unknown_guide")] and Binding.objects.count() == 1


def test_many_bindings_in_one_chunk_stay_fast(tmp_path):
    """3,000 bindings within one transaction: with a subtransaction aborted per row they took the square of that."""
    job = load(tmp_path, *[f"A{n},甲,G1,2023-05-01" for n in range(3_000)])
    assert job.summary["bindings_opened"] == 3_000
    assert (job.ended_at - job.started_at).total_seconds() < 20
    before = everything()
    assert load(tmp_path, *[f"A{n},甲,G1,2023-05-01" for n in range(3_000)]).summary["is_unchanged"]
    assert everything() == before
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('enable_seqscan')")
        assert cursor.fetchone() is not None


def test_a_bound_row_is_remembered_and_an_undated_one_is_not(tmp_path):
    """A binding covers a past day for good; what covers today may end tomorrow."""
    load(tmp_path, "A1,甲,G1,2023-05-01", "A2,乙,G1,")
    assert set(ListRow.objects.values_list("member_id", flat=True)) == {member_of(card="A1").pk}


def test_a_row_whose_guide_stands_against_the_binding_is_counted_each_time(tmp_path):
    load(tmp_path, "A1,甲,G1,2023-05-01")
    for _ in range(2):
        assert load(tmp_path, "A1,甲,G2,2023-05-01").summary["bindings_kept"] == 1
