"""The calendar compiled: rows and tasks, what changes and what stays, sends, coupons and SOPs, conflicts, who sees what."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from campaigns import calendar, sops
from campaigns.calendar import reaching, sweeping
from campaigns.experiments import draw
from campaigns.models import (
    CalendarAdaptation,
    CalendarConflict,
    CalendarDay,
    CalendarEntry,
    CalendarStoreDay,
    ContactBudget,
    Send,
    Sop,
    SopRun,
    SopStep,
)
from guides import actions
from guides.models import Action
from members.models import CouponBatch
from scrm import jobs, org
from scrm.models import Job, Store, User
from tests.campaigns.planning import MONDAY, TUESDAY, at, audience, compiled, entry, rows, tasks
from tests.factories import content as make_content
from tests.factories import coupons as make_coupons
from tests.factories import shops as factory
from tests.factories.shops import Shops

DAY = dt.timedelta(days=1)
ALL = {"S1": "PLANNED", "S2": "PLANNED", "F1": "PLANNED"}


@pytest.fixture
def shops(db: None) -> Shops:
    return factory.shops()


def wish(row: CalendarEntry, **values: Any) -> CalendarAdaptation:
    return CalendarAdaptation(
        **{"entry": row, "starts_on": TUESDAY, "ends_on": TUESDAY, "reason": "门口修路", **values}
    )


def adapt(
    shops: Shops, row: CalendarEntry, *, who: str = "region", level: str = "REGION", **values: Any
) -> CalendarAdaptation:
    user = shops.staff[who]
    return calendar.adapt(wish=wish(row, **values), scope=org.scope_of(user), level=level, actor=user, now=at(8))


# --- compiling ---


def test_compiling_gives_each_store_its_row_and_each_guide_her_task_and_again_changes_nothing(shops: Shops) -> None:
    entry()
    first = compiled(at(8))
    assert (first.new, first.tasks, rows()) == (3, 4, ALL)
    assert tasks() == [
        ("G00001", "会员日：联系 10 位顾客"), ("G00002", "会员日：联系 10 位顾客"), ("G00003", "会员日：联系 4 位顾客"),
        ("G00004", "会员日：联系 10 位顾客"),
    ]  # fmt: skip
    before = list(Action.objects.order_by("pk").values_list("pk", "key", "status"))
    again = compiled(at(9))
    assert (again.new, again.changed, again.gone, again.kept) == (0, 0, 0, 3)
    assert list(Action.objects.order_by("pk").values_list("pk", "key", "status")) == before


def test_a_change_replaces_what_has_not_begun_and_leaves_what_has(shops: Shops) -> None:
    row = entry()
    early = entry(
        title="上新", kind="NEW", from_time=dt.time(7), task_kind="MOMENT", direct_quota=0, franchisee_quota=0
    )
    compiled(at(8))
    CalendarEntry.objects.filter(pk__in=[row.pk, early.pk]).update(text="改过的话")
    found = compiled(at(8, TUESDAY))
    assert (found.changed, found.begun) == (3, 3)
    said = dict(Action.objects.filter(status="OPEN", guide__code="G00001").values_list("title", "text"))
    assert said == {"会员日：联系 10 位顾客": "改过的话", "上新": "今天会员日，全场八折"}
    assert len(tasks("CANCELLED")) == 4
    CalendarEntry.objects.update(is_active=False)
    assert compiled(at(8, TUESDAY)).gone == 3 and rows(entry=row) == dict.fromkeys(ALL, "CANCELLED")
    assert rows(entry=early) == ALL and len(tasks()) == 4
    assert set(CalendarDay.objects.values_list("title", "is_cancelled")) == {("会员日", True), ("上新", False)}
    CalendarEntry.objects.update(is_active=True)
    compiled(at(8, TUESDAY))
    assert rows(entry=row) == ALL and len(tasks()) == 8  # thought better of it


def test_killed_between_pieces_it_goes_on_to_the_same_rows(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    from campaigns.calendar import compiling

    monkeypatch.setattr(compiling, "CHUNK", 1)
    entry()

    class Killed(Exception):
        pass

    def die(stores: int) -> None:
        if stores == 2:
            raise Killed

    brand = shops.brand.pk
    with pytest.raises(Killed):
        calendar.compile_days(brand_id=brand, days=[TUESDAY], now=at(8), done=die)
    assert len(rows()) == 2
    assert compiled(at(9)).new == 1 and rows() == ALL and len(tasks()) == 4


def test_closed_stores_leavers_and_guides_on_leave_get_nothing(shops: Shops) -> None:
    Store.objects.filter(code="S2").update(closed_on=MONDAY)
    factory.leave(shops.guides["A"], at(20))
    shops.guides["M"].delegations.create(
        delegate=shops.guides["A"], started_at=at(8), ended_at=at(8) + 5 * DAY, delegate_bp=5000
    )
    entry()
    compiled(at(8))
    assert rows() == {"S1": "PLANNED", "F1": "PLANNED"} and tasks() == [("G00003", "会员日：联系 4 位顾客")]
    (line,) = calendar.execution(
        entry_id=CalendarEntry.objects.get().pk, day=TUESDAY, level="store", scope=org.EVERYTHING
    )[:1]
    assert line.name in ("S1店", "F1店")
    assert calendar.totals(entry_id=CalendarEntry.objects.get().pk, day=TUESDAY, scope=org.EVERYTHING).idle == 1


def test_compiling_asks_the_database_as_often_for_one_entry_as_for_three(shops: Shops) -> None:
    counts = []
    for number in range(3):
        entry(title=f"第{number}场")
        with CaptureQueriesContext(
            connection,
        ) as asked:
            compiled(at(8))
        counts.append(len(asked))
    assert counts[0] == counts[1] == counts[2]


# --- a guide's day ---


def test_a_guide_sees_the_task_in_her_list_does_it_and_the_store_is_counted(shops: Shops, api: Any) -> None:
    today = timezone.localdate()
    weekday, now = today.isoweekday(), timezone.now()
    row = entry(
        weekdays=[weekday],
        starts_on=today,
        from_time=dt.time(0),
        until_time=dt.time(23, 59, 59),
        task_kind="MOMENT",
        direct_quota=1,
    )
    compiled(now, today)
    (item,) = api("A").get("actions").json()["items"]
    assert (item["title"], item["asked_by"], item["kind"]) == ("会员日", "CALENDAR", "MOMENT")
    assert api("A").post(f"actions/{item['id']}/done", {}, Idempotency_Key="done-once").status_code == 200
    calendar.count(now=timezone.now())
    lines = {
        line.name: line for line in calendar.execution(entry_id=row.pk, day=today, level="store", scope=org.EVERYTHING)
    }
    own = lines["S1店"]
    assert (own.done_count, own.task_count, own.made_count, own.quota_count, own.reached) == (1, 2, 1, 2, 0)
    task = Action.objects.get(guide=shops.guides["M"], status="OPEN")
    actions.done(
        action_id=task.pk, guide_id=task.guide_id, user=shops.guides["M"].user, outcome="", note="", now=timezone.now()
    )
    calendar.count(now=timezone.now())
    (region,) = [
        line
        for line in calendar.execution(entry_id=row.pk, day=today, level="region", scope=org.EVERYTHING)
        if line.name == "北区"
    ]
    assert (region.planned, region.reached, region.done, region.made_bp) == (2, 1, 1, 3_333)


# --- adapting ---


def test_a_region_leaves_an_entry_out_with_a_reason_and_only_as_hq_allows(shops: Shops) -> None:
    row = entry(adapted_by="REGION", may_drop=True, least_quota_percent=50)
    compiled(at(8))
    with pytest.raises(calendar.BadAdaptation) as refused:
        adapt(shops, row, store=shops.stores["S1"], quota=4)
    assert refused.value.extra["fields"] == {"quota": "总部允许配额最低降到 5。"}
    with pytest.raises(calendar.BadAdaptation) as refused:
        adapt(shops, row, store=shops.stores["S2"], is_dropped=True)  # in another region
    assert list(refused.value.extra["fields"]) == ["store"]
    with pytest.raises(calendar.BadAdaptation) as refused:
        adapt(shops, row, who="franchisee", level="STORE", store=shops.stores["F1"], is_dropped=True)
    assert list(refused.value.extra["fields"]) == ["entry"]
    with pytest.raises(calendar.BadAdaptation) as refused:
        adapt(shops, row, store=shops.stores["F1"], is_dropped=True, reason=" ")
    assert list(refused.value.extra["fields"]) == ["reason"]
    found = adapt(shops, row, region=shops.stores["S1"].region, is_dropped=True)
    adapt(shops, row, store=shops.stores["F1"], quota=2)
    compiled(at(9))
    assert rows() == {"S1": "DROPPED", "S2": "PLANNED", "F1": "PLANNED"}
    assert tasks() == [("G00002", "会员日：联系 10 位顾客"), ("G00003", "会员日：联系 2 位顾客")]
    user = shops.staff["franchisee"]
    with pytest.raises(calendar.BadAdaptation):  # it sees it, and it is not hers alone
        calendar.withdraw(adaptation=found, scope=org.scope_of(user), actor=user, reason="我要做")
    user = shops.staff["region"]
    calendar.withdraw(adaptation=found, scope=org.scope_of(user), actor=user, reason="路修好了")
    assert compiled(at(9)).changed == 1 and rows() == ALL


def test_scope_rows_and_figures_are_cut_to_the_stores_of_who_looks(shops: Shops) -> None:
    everybody, north = entry(), entry(title="北区上新", region=shops.stores["S1"].region)
    franchised = entry(title="加盟活动", entity=shops.stores["F1"].entity)
    south = entry(title="南店试吃", store=shops.stores["S2"])
    for row in (everybody, south):
        CalendarAdaptation.objects.create(
            entry=row, store=shops.stores["S2"], starts_on=TUESDAY, ends_on=TUESDAY, is_dropped=True, reason="修路",
            made_by=shops.staff["hq"],
        )  # fmt: skip
    compiled(at(8))
    for who, titles, stores in (
        ("region", {"会员日", "北区上新", "加盟活动"}, 2), ("franchisee", {"会员日", "北区上新", "加盟活动"}, 1), ("hq", {row.title for row in (everybody, north, franchised, south)}, 3),
    ):  # fmt: skip
        scope = org.scope_of(shops.staff[who])
        assert {row.title for row in org.visible(CalendarEntry.objects.all(), scope)} == titles
        assert {row.title for row in org.visible(CalendarDay.objects.all(), scope)} == titles
        assert org.visible(CalendarAdaptation.objects.all(), scope).exists() == (who == "hq")
        line = calendar.totals(entry_id=everybody.pk, day=TUESDAY, scope=scope)
        assert line.planned + line.dropped == stores


# --- what an audience gets ---


@pytest.fixture
def reached(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> CalendarEntry:
    """An entry that brings everybody a mass send, a coupon and an SOP."""
    from scrm.models import Corp

    monkeypatch.setattr(draw, "HOLDOUT_BP", 0)
    for name, store, guide in (("安琪", "S1", "A"), ("白鹭", "S2", "B"), ("付雪", "F1", "F")):
        shops.member(name, store=store, guide=guide)
    sop = Sop.objects.create(brand=shops.brand, name="会员日跟进", anchor="BOUGHT")
    version = sops.draft_from(sop=sop, actor=None)
    SopStep.objects.create(version=version, position=1, kind="MESSAGE", title="问候", text="{客户称呼}，今天会员日")
    version.refresh_from_db()
    sops.publish(version=version, actor=None, now=at(8) - DAY)
    return entry(
        audience=audience("全体会员"), corp=Corp.objects.create(corp_id="ww1", name="示例"), sop=sop,
        coupon_template=make_coupons.template(now=at(8) - 30 * DAY, claim_from=at(8) - 60 * DAY), content=make_content.material(),
        changed_by=shops.staff["hq"],
    )  # fmt: skip


def day_of(row: CalendarEntry) -> CalendarDay:
    return CalendarDay.objects.select_related("send", "snapshot", "coupon_batch").get(entry=row, day=TUESDAY)


def test_send_coupon_and_sop_are_prepared_and_wait_for_people(shops: Shops, reached: CalendarEntry) -> None:
    compiled(at(8))
    assert calendar.prepare(now=at(8)) == 1
    day = day_of(reached)
    assert day.problem == "" and day.snapshot is not None and day.snapshot.member_count == 3
    assert day.send is not None and (day.send.status, day.send.text, day.send.due_at) == (
        "PLANNING",
        reached.text,
        at(9, TUESDAY),
    )
    assert (
        [row.version.title for row in day.send.materials.all()] == ["榴莲怎么挑"]
        and not CouponBatch.objects.exists()
        and not SopRun.objects.exists()
    )
    with pytest.raises(reaching.NotPossible):
        calendar.approve_coupons(day=day, actor=shops.staff["hq"], now=at(9))  # who wrote the entry
    second = User.objects.create_user("second")
    calendar.approve_coupons(day=day, actor=second, now=at(9))
    calendar.prepare(now=at(10))
    assert Send.objects.count() == 1 and not CouponBatch.objects.exists()  # the day has not begun
    for _again in range(2):
        calendar.prepare(now=at(9, TUESDAY))
    day = day_of(reached)
    assert day.coupon_batch is not None and day.coupon_batch.planned_count == 3 and day.coupons == "GIVEN"
    assert (day.sop_count, SopRun.objects.count(), CouponBatch.objects.count()) == (3, 3, 1)
    while sops.advance(now=at(9, TUESDAY) + dt.timedelta(minutes=1)):
        pass
    assert set(Action.objects.filter(source="SOP").values_list("reason", flat=True)) == {
        "营销日历安排的跟进（会员日跟进）"
    }


def test_a_store_that_leaves_it_out_starts_the_preparation_anew_until_it_is_sent(
    shops: Shops, reached: CalendarEntry
) -> None:
    compiled(at(8))
    calendar.prepare(now=at(8))
    first = day_of(reached)
    calendar.approve_coupons(day=first, actor=User.objects.create_user("second"), now=at(9))
    CalendarEntry.objects.filter(pk=reached.pk).update(adapted_by="REGION", may_drop=True)
    reached.refresh_from_db()
    adapt(shops, reached, store=shops.stores["F1"], is_dropped=True)
    compiled(at(10))
    calendar.prepare(now=at(10))
    day = day_of(reached)
    assert first.send is not None and day.send is not None and first.send != day.send
    first.send.refresh_from_db()
    assert first.send.status == "CANCELLED" and day.coupons == "ASKED" and day.approved_by is None
    assert day.snapshot is not None and day.snapshot.member_count == 2
    Send.objects.filter(pk=day.send.pk).update(status="SENDING")
    CalendarEntry.objects.filter(pk=reached.pk).update(text="太晚了")
    calendar.prepare(now=at(11))
    assert day_of(reached).send == day.send and day_of(reached).snapshot == day.snapshot


def test_what_cannot_be_prepared_says_why(shops: Shops, reached: CalendarEntry) -> None:
    CalendarEntry.objects.filter(pk=reached.pk).update(text="", content=None)
    compiled(at(8))
    calendar.prepare(now=at(8))
    assert day_of(reached).problem == "消息没有文字。"


# --- conflicts ---


def found(scope: org.Scope = org.EVERYTHING, day: dt.date = TUESDAY) -> list[str]:
    brand = CalendarEntry.objects.values_list("brand", flat=True)[0]
    calendar.check(brand_id=brand, days=[day], now=at(8))
    return [one.text for one in calendar.found_on(brand_id=brand, days=[day], scope=scope)]


def test_each_conflict_names_its_place_and_its_remedy(shops: Shops, reached: CalendarEntry) -> None:
    assert found() == []
    other = entry(title="促销", kind="PROMOTION", audience=reached.audience, corp=reached.corp, task_kind="")
    ContactBudget.objects.create(brand=shops.brand, most_count=1, days=7)
    texts = found()
    assert len(texts) == 4 and texts[0].startswith("3月3日“会员日”：有 3 名会员") and "1 次" in texts[0]
    assert any(text == "3月3日“会员日”：当天“促销”也面向其中 3 名会员。请挪开其中一场，或收窄人群。" for text in texts)
    assert not any(
        "3" in text.split("：")[1] for text in found(org.scope_of(shops.staff["region"]))
    )  # numbers are HQ's
    CalendarEntry.objects.filter(pk=other.pk).update(is_active=False)
    type(reached.content).objects.update(is_active=False)  # type: ignore[union-attr]
    CalendarEntry.objects.filter(pk=reached.pk).update(direct_quota=50, store=shops.stores["S1"])
    Store.objects.filter(code="S1").update(closed_on=MONDAY)
    texts = found()
    assert [text.split("：")[1][:12] for text in texts] == ["素材“榴莲指南”已停用。", "S1店（共 1 家门店）"]
    Store.objects.update(closed_on=None)
    assert any("150 分钟" in text and "S1店" in text for text in found())


def test_a_sends_of_earlier_days_count_against_the_budget(shops: Shops, reached: CalendarEntry) -> None:
    ContactBudget.objects.create(brand=shops.brand, most_count=1, days=2)
    entry(title="周一群发", weekdays=[1], audience=reached.audience, corp=reached.corp, starts_on=MONDAY)
    assert [row.kind for row in _conflicts()] == ["BUDGET"]
    ContactBudget.objects.update(days=1)
    assert _conflicts() == []


def _conflicts() -> list[CalendarConflict]:
    found()
    return list(CalendarConflict.objects.all())


# --- the clock ---


def test_the_clock_compiles_the_coming_days_once_and_again_after_a_change(shops: Shops) -> None:
    row = entry(weekdays=[1, 2, 3, 4, 5, 6, 7], starts_on=timezone.localdate())
    now = timezone.now()
    calendar.sweep(now=now)
    calendar.sweep(now=now)
    waiting = Job.objects.filter(kind=calendar.COMPILE)
    assert waiting.count() == 1 and Job.objects.filter(kind=calendar.CHECK).count() == 1
    jobs.run(waiting.get().pk)
    jobs.run(Job.objects.get(kind=calendar.CHECK).pk)
    days = sweeping.COMPILED_AHEAD
    begun = timezone.localtime() >= dt.datetime.combine(
        timezone.localdate(), row.until_time, tzinfo=timezone.localtime().tzinfo
    )
    assert CalendarStoreDay.objects.count() == 3 * (days - begun)
    calendar.sweep(now=timezone.now())
    assert waiting.count() == 1
    row.title = "会员日改"
    row.save()
    calendar.sweep(now=timezone.now())
    assert waiting.count() == 2
