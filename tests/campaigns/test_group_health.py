"""Health of groups: counted once a day against a plain reckoning of the same rows; seen by scope."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse
from django.utils import timezone

from campaigns.communities import group_tags, health
from campaigns.models import Group, GroupDay, GroupHealth, GroupStay
from members import audiences
from scrm import db, jobs
from scrm.models import Corp
from scrm.org import EVERYTHING
from tests.factories.console import Console, console

pytestmark = pytest.mark.django_db
ZONE = ZoneInfo("Asia/Shanghai")
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


@pytest.fixture
def company(db: None) -> Console:
    return console()


def noon(ago: int) -> dt.datetime:
    day = timezone.now().astimezone(ZONE).date() - ago * DAY
    return dt.datetime.combine(day, dt.time(12), ZONE)


def group(company: Console, name: str, store: str = "S1", founded: int = 100, **values: Any) -> Group:
    corp, _is_new = Corp.objects.get_or_create(corp_id="wwH", defaults={"name": "示例公司"})
    return Group.objects.create(
        corp=corp, chat_id=name, name=name, store=company.shops.stores[store], asked_at=noon(founded), founded_at=noon(founded),
        **values,
    )  # fmt: skip


def stay(of: Group, who: str, joined: int, left: int | None = None, member: Any = None) -> None:
    at = noon(left) if left is not None else None
    GroupStay.objects.create(group=of, userid=who, joined_at=noon(joined), left_at=at, member=member)


def yesterday() -> dt.date:
    return noon(1).date()


def test_a_day_is_counted_once_and_again_to_the_same_rows(company: Console) -> None:
    shops = company.shops
    anna, bella = shops.members["安琪"], shops.members["白鹭"]
    first, second = group(company, "甲"), group(company, "乙")
    for who in ("a", "b"):
        stay(first, who, joined=50, member={"a": anna, "b": bella}[who])
    stay(first, "c", joined=1)
    stay(first, "d", joined=60, left=1)
    stay(first, "e", joined=60, left=40)
    stay(first, "f", joined=0)  # today: not of yesterday
    stay(second, "a", joined=20, member=anna)
    GroupStay.objects.create(group=second, userid="boss", is_staff=True, joined_at=noon(100))
    shops.line("bought", member="安琪", store="S2", paid_fen=9_000, at=noon(1))
    shops.refund("bought", 1_000, noon(0))
    shops.line("earlier", member="白鹭", store="S1", paid_fen=2_000, at=noon(20))
    shops.line("long ago", member="白鹭", store="S1", paid_fen=70_000, at=noon(40))
    shops.line("test", member="白鹭", store="S1", paid_fen=5_000, at=noon(2), is_test=True)
    assert health.count(day=yesterday()) == 2 and health.count(day=yesterday()) == 2
    day = GroupDay.objects.get(group=first)
    assert (day.customer_count, day.joined_count, day.left_count, day.buyer_count, day.spend_fen) == (3, 1, 1, 1, 8_000)
    found = GroupHealth.objects.get(group=first)
    assert (found.customer_count, found.matched_count, found.duplicate_count) == (3, 2, 1)
    assert (found.joined_count, found.left_count, found.growth_count, found.leave_bp) == (1, 1, 0, 2_500)
    assert (found.buyer_count, found.spend_fen, found.spend_per_member_fen) == (2, 10_000, 5_000)
    assert (found.alive_days, found.quiet_days, found.state) == (99, 0, "LEAVING")
    quiet = GroupHealth.objects.get(group=second)
    assert (quiet.buyer_count, quiet.spend_fen, quiet.state) == (1, 8_000, "SMALL")
    assert [row["userid"] for row in health.duplicates(store_id=shops.stores["S1"].pk, limit=9)] == ["a"]
    health.count(day=yesterday() - DAY)  # an earlier day leaves the newest health alone
    assert GroupHealth.objects.get(group=first).day == yesterday() and GroupDay.objects.filter(group=first).count() == 2
    assert health.summary(store_ids=None)["matched_bp"] == 7_500


def test_states_follow_the_limits_and_a_missed_night_is_made_up_for(company: Console) -> None:
    limits = health.settings_of_brand()
    limits.least_count, limits.capacity, limits.silent_days = 2, 10, 7
    limits.save()
    cases = {
        "NEW": group(company, "新", founded=3), "NO_OWNER": group(company, "无主", status=Group.Status.OWNER_LEFT),
        "SILENT": group(company, "静"), "FULL": group(company, "满"), "HEALTHY": group(company, "好"), "SMALL": group(company, "小"),
    }  # fmt: skip
    for number in range(10):
        stay(cases["FULL"], f"x{number}", joined=2)
    for number in range(3):
        stay(cases["HEALTHY"], f"y{number}", joined=2)
        stay(cases["SILENT"], f"z{number}", joined=30)
    stay(cases["SMALL"], "one", joined=2)
    night = noon(0).replace(hour=5)
    (job,) = health.start_daily(now=night)
    assert jobs.run(job.pk).summary == {"groups": 6}
    assert {row.group_id: row.state for row in GroupHealth.objects.all()} == {
        one.pk: code for code, one in cases.items()
    }
    assert len(health.start_daily(now=night + 3 * DAY)) == 3 and health.start_daily(now=night.replace(hour=2)) == []


def test_the_list_sorts_and_filters_and_shows_only_the_own_stores(company: Console) -> None:
    mine, other = group(company, "甲群"), group(company, "乙群", "S2")
    stay(mine, "a", joined=2, member=company.shops.members["安琪"])
    stay(group(company, "甲二群"), "a", joined=2, member=company.shops.members["安琪"])
    health.count(day=yesterday())
    group_tags.give(groups=[mine], name="高活跃", actor=None)
    address = reverse("admin:campaigns_group_changelist")
    assert "乙群" not in company.client("manager").get(address).content.decode()
    hq = company.client("hq")
    shown = hq.get(
        address, {"o": "-6", "health__state__exact": "SMALL", "tag": str(mine.tagged.get().tag_id)}
    ).content.decode()
    assert "甲群" in shown and "甲二群" not in shown
    page = hq.get(reverse("admin:campaigns_group_change", args=(mine.pk,))).content.decode()
    assert "高活跃" in page and "chart-people" in page and "人数太少" in page
    twice = reverse("admin:campaigns_group_duplicates")
    assert "甲群、甲二群" in company.client("manager").get(twice, {"store": mine.store_id}).content.decode()
    assert "甲群" not in company.client("franchisee").get(twice, {"store": mine.store_id}).content.decode()
    form = reverse("admin:campaigns_group_tag") + f"?groups={mine.pk},{other.pk}"
    assert hq.post(form, {"name": "会员日"}).status_code == 302 and other.tagged.get().tag.name == "会员日"
    assert company.client("manager").post(form, {"name": "别的"}).status_code == 403


def test_audiences_ask_for_tags_of_groups_and_for_how_many(company: Console) -> None:
    anna, bella = company.shops.members["安琪"], company.shops.members["白鹭"]
    first, second = group(company, "甲"), group(company, "乙")
    stay(first, "a", joined=5, member=anna)
    stay(second, "a", joined=5, member=anna)
    stay(second, "b", joined=5, member=bella)
    group_tags.give(groups=[first], name="高活跃", actor=None)

    def meant(field: str, op: str, value: Any) -> int:
        asked = audiences.compile(
            {"field": field, "is": op, "value": value},
            brand_id=company.shops.brand.pk,
            scope=EVERYTHING,
            now=timezone.now(),
        )
        return len(db.read(asked.ids(), asked.params))

    assert meant("group_tags", "any_of", [first.tagged.get().tag_id]) == 1
    assert (meant("group_count", "gte", 2), meant("group_count", "gte", 1), meant("group_count", "eq", 0)) == (1, 2, 1)
