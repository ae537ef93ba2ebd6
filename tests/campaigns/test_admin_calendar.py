"""The calendar in the console: week and month, an entry from its form to its tasks, faults at their field, who sees what."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from attribution.models import StoreDay
from campaigns import calendar
from campaigns.calendar import rules
from campaigns.models import CalendarAdaptation, CalendarDay, CalendarEntry, CalendarStoreDay
from scrm import jobs
from scrm.models import Brand, Corp, Job
from tests.campaigns.planning import entry
from tests.factories.console import Console, console

WEEK, NEW = reverse("admin:campaigns_calendar"), reverse("admin:campaigns_calendarentry_add")


@pytest.fixture
def company(db: None) -> Console:
    return console()


def asked(**values: Any) -> dict[str, Any]:
    return {
        "brand": Brand.objects.get(code="MAIN").pk, "span": "WEEKLY",
        "kind": "MEMBER_DAY", "title": "周二会员日", "weekdays": ["1", "2", "3", "4", "5", "6", "7"],
        "starts_on": f"{timezone.localdate()}", "ends_on": "", "from_time": "09:00", "until_time": "21:00", "ownership": "",
        "task_kind": "MESSAGE", "minutes": "3", "text": "今天会员日", "quota_per": "GUIDE", "direct_quota": "10",
        "franchisee_quota": "4", "holdout_percent": "0", "adapted_by": "NOBODY", "least_quota_percent": "100", "note": "",
        "is_active": "on", "adaptations-TOTAL_FORMS": "0", "adaptations-INITIAL_FORMS": "0", **values,
    }  # fmt: skip


def errors_of(answer: Any) -> set[str]:
    assert answer.status_code == 200
    return set(answer.context["adminform"].form.errors)


def test_an_entry_from_its_form_to_the_tasks_of_the_week(company: Console) -> None:
    hq = company.client("hq")
    assert "日历还是空的" in hq.get(WEEK).content.decode()
    answer = hq.post(NEW, asked())
    row = CalendarEntry.objects.get()
    assert row.changed_by == company.staff["hq"] and answer.url == reverse(
        "admin:campaigns_calendarentry_change", args=(row.pk,)
    )
    for job in Job.objects.order_by("pk"):
        jobs.run(job.pk)
    page = hq.get(answer.url).content.decode()
    assert "没有发现冲突" in page and "未来两周" in page
    compiling = reverse("admin:campaigns_calendar_compile")
    answer = hq.post(compiling, {"preview": ""})
    job = Job.objects.filter(kind=calendar.PREVIEW).latest("pk")
    assert "逐店查看" in hq.get(answer.url).content.decode()
    jobs.run(job.pk)
    rows = CalendarStoreDay.objects.count()
    page = hq.get(answer.url).content.decode()
    assert (
        "导购任务" in page and 'name="compile"' in page and CalendarStoreDay.objects.count() == rows
    )  # nothing is written
    assert 'name="preview"' in hq.get(f"{compiling}?on=2099-01-05&job={job.pk}").content.decode()  # of another week
    answer = hq.post(compiling, {"compile": ""})
    job = Job.objects.filter(kind=calendar.COMPILE).latest("pk")
    jobs.run(job.pk)
    assert "编排完成" in hq.get(answer.url).content.decode()
    day = (
        CalendarDay.objects.filter(day__gt=timezone.localdate()).earliest("day")
        if timezone.localdate().isoweekday() < 7
        else CalendarDay.objects.latest("day")
    )
    page = hq.get(reverse("admin:campaigns_calendarday_change", args=(day.pk,)) + "?level=store").content.decode()
    assert "S2店" in page and "计划" in page
    week = hq.get(f"{WEEK}?on={day.day}").content.decode()
    assert week.count("周二会员日") >= 1 and "家门店" in week and "去年同周" in week
    assert "周二会员日" in hq.get(f"{WEEK}?view=month&on={day.day}").content.decode()


FAULTS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"weekdays": []}, "weekdays"),
    ({"span": "CAMPAIGN"}, "ends_on"),
    ({"ends_on": "2020-01-01"}, "ends_on"),
    ({"until_time": "08:00"}, "until_time"),
    ({"task_kind": ""}, "task_kind"),
    ({"text": ""}, "text"),
    ({"task_kind": "MOMENT", "direct_quota": "11"}, "direct_quota"),
    ({"minutes": "0"}, "minutes"),
    ({"adapted_by": "REGION"}, "adapted_by"),
    ({"may_drop": "on"}, "adapted_by"),
    ({"holdout_percent": "10"}, "holdout_percent"),
    ({"starts_on": "昨天"}, "starts_on"),
)


def test_a_fault_stands_at_its_field_and_nothing_is_lost(company: Console) -> None:
    hq, corp = company.client("hq"), Corp.objects.create(corp_id="wwA", name="示例")
    for values, field in (*FAULTS, ({"corp": corp.pk}, "audience")):
        answer = hq.post(NEW, asked(**values))
        assert errors_of(answer) == {field}, values
        assert "周二会员日" in answer.content.decode()
    assert not CalendarEntry.objects.exists()


def test_a_region_adapts_its_own_stores_and_sees_its_own_part_of_the_week(company: Console) -> None:
    row = entry(
        weekdays=[],
        span="CAMPAIGN",
        starts_on=timezone.localdate(),
        ends_on=timezone.localdate() + dt.timedelta(7),
        adapted_by="REGION",
        may_drop=True,
    )
    south = entry(title="南店试吃", store=company.shops.stores["S2"], weekdays=[1, 2, 3, 4, 5, 6, 7])
    new, region = reverse("admin:campaigns_calendaradaptation_add"), company.client("region")
    tomorrow = timezone.localdate() + dt.timedelta(days=1)
    said = {
        "entry": row.pk,
        "starts_on": f"{tomorrow}",
        "ends_on": f"{tomorrow}",
        "is_dropped": "on",
        "reason": "门口修路",
    }
    assert errors_of(region.post(new, said | {"store": company.shops.stores["S2"].pk})) == {"store"}
    assert errors_of(
        region.post(new, said | {"store": company.shops.stores["S1"].pk, "is_dropped": "", "quota": "5"})
    ) == {"quota"}
    assert region.post(new, said | {"region": company.shops.stores["S1"].region.pk}).status_code == 302
    made = CalendarAdaptation.objects.get()
    assert made.made_by == company.staff["region"]
    calendar.compile_days(brand_id=row.brand_id, days=[tomorrow], now=timezone.now())
    assert set(CalendarStoreDay.objects.filter(status="DROPPED").values_list("store__code", flat=True)) == {"S1", "F1"}
    page = region.get(f"{WEEK}?on={tomorrow}").content.decode()
    assert "2 家不参加" in page and south.title not in page and "新建条目" not in page
    assert company.client("franchisee").get(new).status_code == 403
    act = reverse("admin:campaigns_calendaradaptation_act", args=(made.pk, "withdraw"))
    assert company.client("manager").post(act, {"reason": "我要做"}).status_code == 403
    region.post(act, {"reason": "路修好了"})
    made.refresh_from_db()
    assert not made.is_active


def test_last_years_week_stands_beside_with_what_ran_and_what_was_sold_in_ones_stores(company: Console) -> None:
    today = timezone.localdate()
    monday = rules.last_years(rules.monday_of(today))
    row = entry(title="去年会员日", starts_on=monday, ends_on=monday + dt.timedelta(6), weekdays=[1])
    CalendarDay.objects.create(
        entry=row,
        day=monday,
        kind=row.kind,
        title=row.title,
        starts_at=rules.at(monday, dt.time(9)),
        quota_count=10,
        made_count=5,
    )
    StoreDay.objects.all().delete()
    for code, fen in (("S1", 100_000), ("S2", 300_000)):
        StoreDay.objects.create(
            day=monday, store=company.shops.stores[code], channel="POS", gmv_fen=fen, refunded_fen=1_000
        )
        StoreDay.objects.create(day=today, store=company.shops.stores[code], channel="POS", gmv_fen=2 * fen)
    hq = company.client("hq").get(WEEK)
    assert hq.context["last_week_fen"] == 398_000 and hq.context["so_far_fen"] == 800_000
    page = hq.content.decode()
    assert "去年会员日" in page and "50%" in page
    region = company.client("region").get(WEEK)
    assert (region.context["last_week_fen"], region.context["so_far_fen"]) == (99_000, 200_000)


def test_week_and_month_ask_the_database_as_often_for_one_entry_as_for_three(company: Console) -> None:
    hq, counts = company.client("hq"), set()
    for number in range(3):
        entry(title=f"第{number}场", weekdays=[1, 2, 3, 4, 5, 6, 7], starts_on=timezone.localdate())
        pages = []
        for page in (WEEK, f"{WEEK}?view=month"):
            hq.get(page)
            with CaptureQueriesContext(connection) as queries:
                hq.get(page)
            pages.append(len(queries))
        counts.add(tuple(pages))
    assert len(counts) == 1
