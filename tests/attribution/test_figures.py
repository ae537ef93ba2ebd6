"""The figures of the overview equal what the big tables say, whatever happened in between."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone

from attribution import figures, overview
from attribution.models import FigureMark, Hold, StoreDay, StoreStock
from members.models import Member, OrderLine
from scrm import org
from scrm.org import Scope
from tests.factories import shops as factory
from tests.factories.console import Console, console

EVERYTHING = org.EVERYTHING


@pytest.fixture
def company(db: None) -> Console:
    return console()


def total(name: str, **filters: Any) -> int:
    return StoreDay.objects.filter(**filters).aggregate(total=Sum(name))["total"] or 0


def test_deciding_marks_its_days(company: Console) -> None:
    assert FigureMark.objects.filter(day=timezone.localdate()).exists()


def test_the_figures_equal_the_tables(company: Console) -> None:
    figures.recount(now=timezone.now())
    lines, holds = OrderLine.objects.all(), Hold.objects.all()
    assert total("gmv_fen") == lines.aggregate(total=Sum("paid_fen"))["total"] == 30_000
    assert total("refunded_fen") == lines.aggregate(total=Sum("refunded_fen"))["total"] == 2_000
    assert total("order_count") == 3
    assert total("member_gmv_fen") == 30_000
    assert total("accrued_fen") == holds.aggregate(total=Sum("amount_fen"))["total"]
    assert total("reversed_fen") == holds.aggregate(total=Sum("reversed_fen"))["total"] == 100
    assert total("gmv_fen", store__code="S1", channel="POS") == 10_000
    assert not FigureMark.objects.exists()


def test_counting_twice_changes_nothing(company: Console) -> None:
    figures.recount(now=timezone.now())
    before = sorted(StoreDay.objects.values_list("day", "store", "channel", "gmv_fen", "accrued_fen", "order_count"))
    figures.mark([timezone.localdate()])
    assert figures.recount(now=timezone.now()) == 1
    assert (
        sorted(StoreDay.objects.values_list("day", "store", "channel", "gmv_fen", "accrued_fen", "order_count"))
        == before
    )


def test_void_and_test_lines_are_no_sales(company: Console) -> None:
    now = timezone.now()
    company.shops.line("void", member="安琪", store="S1", paid_fen=5_000, at=now, is_voided=True)
    company.shops.line("test", member="安琪", store="S1", paid_fen=5_000, at=now, is_test=True)
    figures.recount(now=timezone.now())
    assert total("gmv_fen", store__code="S1") == 10_000


def test_a_line_that_moves_to_another_day_leaves_the_old_one(company: Console) -> None:
    line = company.shops.lines["S1"]
    figures.recount(now=timezone.now())
    earlier = line.paid_at - dt.timedelta(days=3)
    OrderLine.objects.filter(pk=line.pk, booked_on=line.booked_on).update(paid_at=earlier)
    figures.mark_lines(paid_at=[earlier], decided_before=[line.pk])
    figures.recount(now=timezone.now())
    assert total("gmv_fen", day=timezone.localtime(line.paid_at).date(), store__code="S1") == 0
    assert total("gmv_fen", day=timezone.localtime(earlier).date(), store__code="S1") == 10_000


def test_midnight_is_shanghais(company: Console) -> None:
    at = dt.datetime(2026, 3, 1, 15, 59, 59, tzinfo=dt.UTC)  # 23:59:59 on 1 March
    company.shops.line("late", member="安琪", store="S1", paid_fen=100, at=at)
    company.shops.line("next", member="安琪", store="S1", paid_fen=200, at=at + dt.timedelta(seconds=1))
    figures.recount(now=timezone.now())
    assert total("gmv_fen", day=dt.date(2026, 3, 1)) == 100
    assert total("gmv_fen", day=dt.date(2026, 3, 2)) == 200


def test_members_and_bound_ones_per_store(company: Console) -> None:
    company.shops.member("散客", store="S1")
    assert figures.members_are_stale(now=timezone.now())
    assert figures.count_members(now=timezone.now())
    assert not figures.members_are_stale(now=timezone.now())
    stock = StoreStock.objects.get(store__code="S1")
    assert (stock.member_count, stock.bound_count) == (2, 1)
    assert total("new_member_count", day=dt.date(2024, 1, 1), store__code="S1") == 2
    Member.objects.filter(name="散客").update(registered_on=dt.date(2024, 1, 2))
    figures.count_members(now=timezone.now())
    assert total("new_member_count", store__code="S1", day=dt.date(2024, 1, 1)) == 1


def test_the_overview_adds_up_what_the_scope_sees(company: Console) -> None:
    figures.recount(now=timezone.now())
    figures.count_members(now=timezone.now())
    today = timezone.localdate()
    whole = overview.read(scope=EVERYTHING, part=overview.Part(), today=today)
    assert (whole.today.gmv_fen + whole.yesterday.gmv_fen, whole.members, whole.bound) == (30_000, 3, 3)
    assert sum(row["gmv_fen"] for row in whole.days) == 30_000
    own = org.scope_of(company.staff["franchisee"])
    seen = overview.read(scope=own, part=overview.Part(), today=today)
    assert sum(row["gmv_fen"] for row in seen.days) == 10_000
    assert {row["code"] for row in seen.stores} <= {"F1"}
    foreign = overview.Part(store_id=company.shops.stores["S2"].pk)
    assert sum(row["gmv_fen"] for row in overview.read(scope=own, part=foreign, today=today).days) == 0
    assert overview.read(scope=Scope(frozenset()), part=overview.Part(), today=today).has_stores is False


def test_the_overview_reads_no_big_table(company: Console, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(10) as caught:
        overview.read(scope=EVERYTHING, part=overview.Part(), today=timezone.localdate())
    statements = " ".join(query["sql"] for query in caught.captured_queries)
    for table in ("members_orderline", "members_member", "attribution_hold", "attribution_entry"):
        assert f'"{table}"' not in statements


@pytest.mark.parametrize(
    ("today", "first", "end"),
    [
        ("2026-03-31", "2026-02-01", "2026-03-01"),
        ("2026-03-15", "2026-02-01", "2026-02-16"),
        ("2026-01-10", "2025-12-01", "2025-12-11"),
    ],
)
def test_the_same_days_of_the_month_before(today: str, first: str, end: str) -> None:
    found = overview.month_before(dt.date.fromisoformat(today))
    assert found == (dt.date.fromisoformat(first), dt.date.fromisoformat(end))


def test_the_start_page(company: Console) -> None:
    from django.core.cache import cache

    cache.clear()
    figures.recount(now=timezone.now())
    text = company.client("franchisee").get("/admin/").content.decode()
    assert "F1店" in text or "成交额" in text
    assert "S2店" not in text
    assert company.shops.stores["S2"].region.name not in text
    empty = factory.User.objects.create_user("empty")
    factory.Grant.objects.create(
        user=empty, role="AUDITOR", entity=factory.LegalEntity.objects.create(code="X", name="空", kind="DIRECT")
    )
    client = company.client("hq")
    client.force_login(empty)
    assert "还没有门店" in client.get("/admin/").content.decode()
