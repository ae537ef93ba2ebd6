"""Group members against matched others: a known effect is found, pairs are alike, and the page says that it is no experiment."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.urls import reverse

from campaigns.communities import comparison
from campaigns.models import Group, GroupStay
from members.models import Member, Order, OrderLine
from scrm import db, jobs
from scrm.models import Corp, Job
from tests.factories.console import Console, console
from tests.factories.shops import product

pytestmark = pytest.mark.django_db
MONTH = dt.date(2026, 3, 1)


def bought(members: list[Member], day: dt.date, fen: Any) -> None:
    """Each of them buys once on ``day`` for ``fen(place)``: written as rows, nothing is decided."""
    db.ensure_partitions(OrderLine, day, day)
    at, what = dt.datetime.combine(day, dt.time(4), dt.UTC), product("榴莲")
    orders = Order.objects.bulk_create(
        Order(channel="POS", shop="S1", order_no=f"{day}-{member.pk}", booked_on=day) for member in members
    )
    OrderLine.objects.bulk_create(
        OrderLine(
            order=order, booked_on=day, line_no=1, channel="POS", version_at=at, content_hash=f"{order.pk:032x}", created_at=at, paid_at=at,
            member=member, product=what, quantity=1, list_fen=fen(place), paid_fen=fen(place),
        )
        for place, (order, member) in enumerate(zip(orders, members, strict=True))
    )  # fmt: skip


@pytest.fixture
def company(db: None) -> Console:
    """40 who joined in March and 60 who never did, all at 80 to 99 yuan in February; in April the ones buy for 30 yuan more."""
    found = console()
    store, joined = found.shops.stores["S1"], dt.datetime(2026, 3, 10, tzinfo=dt.UTC)
    rows = [
        Member(brand=found.shops.brand, name=f"会员{n}", home_store=store, registered_on=dt.date(2024, 1, 1))
        for n in range(100)
    ]
    people = Member.objects.bulk_create(rows)
    corp = Corp.objects.create(corp_id="wwK", name="示例公司")
    group = Group.objects.create(corp=corp, chat_id="wrK", name="群", store=store, asked_at=joined)
    GroupStay.objects.bulk_create(
        GroupStay(
            group=group, userid=f"wm{row.pk}", member=row, joined_at=joined, left_at=joined + dt.timedelta(days=n % 2)
        )
        for n, row in enumerate(people[:40])
    )
    bought(people, dt.date(2026, 2, 10), lambda place: 8_000 + place % 20 * 100)
    bought(people, dt.date(2026, 3, 20), lambda place: 500_000)  # the month of joining is on neither side
    bought(
        people, dt.date(2026, 4, 10), lambda place: 8_000 + place % 20 * 100 + (3_000 if place < 40 else 0) + place % 7
    )
    return found


def test_a_known_difference_is_found_between_alike_pairs(company: Console) -> None:
    found = comparison.compare(month=MONTH, months=1)
    assert (found["joined"], found["pairs"], found["unmatched"]) == (40, 40, 0)
    change, adjusted = found["change"], found["adjusted"]
    assert (
        2_990 < change["difference_fen"] < 3_010 and change["low_fen"] <= change["difference_fen"] <= change["high_fen"]
    )
    assert change["high_fen"] - change["low_fen"] < 20 and change["p"] < 0.001
    assert 2_990 < adjusted["difference_fen"] < 3_010 and adjusted["reduction_bp"] > 9_000
    assert comparison.compare(month=MONTH, months=1) == found  # the same question, the same answer
    assert comparison.compare(month=dt.date(2026, 5, 1), months=1)["pairs"] == 0


def test_who_finds_nobody_alike_is_left_out_and_few_pairs_tell_no_interval(company: Console) -> None:
    Member.objects.filter(name__in=[f"会员{n}" for n in range(15)]).update(home_store=company.shops.stores["S2"])
    found = comparison.compare(month=MONTH, months=1)
    assert (found["pairs"], found["unmatched"]) == (25, 15) and "change" not in found


def test_it_is_asked_for_in_the_console_and_says_what_it_is_not(
    company: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "clock_day", lambda: dt.date(2026, 6, 2))
    address, hq = reverse("admin:campaigns_group_comparison"), company.client("hq")
    assert company.client("manager").get(address).status_code == 403
    assert hq.post(address, {"month": "2026-04-01", "months": 3}).status_code == 400
    assert company.client("auditor").post(address, {"month": "2026-03-01", "months": 1}).status_code == 403
    assert hq.post(address, {"month": "2026-03-01", "months": 1}).status_code == 302
    jobs.run(Job.objects.get(kind=comparison.KIND).pk)
    page = hq.get(address).content.decode()
    assert "不是实验" in page and "2026-03" in page and "30.0" in page
