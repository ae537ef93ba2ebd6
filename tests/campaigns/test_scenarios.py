"""Scenarios: for whom it is so each morning, who gets it, who is left alone, and what came of it."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from campaigns import scenarios
from campaigns.admin.scenarios import WRITTEN
from campaigns.api import actions as api_actions
from campaigns.api import day as api_day
from campaigns.models import DayRule, Scenario, ScenarioChance, ScenarioDay, ScenarioTurn
from campaigns.scenarios import day
from campaigns.scenarios.chances import GUESS, Counts, chance_bp
from campaigns.scenarios.starter import STARTERS
from guides import actions
from guides.models import Action
from members import consent, facts
from members.models import Audience, AudienceVersion, Purpose
from scrm.models import Act, User
from tests.factories import shops as factory
from tests.factories.shops import Shops

ZONE = ZoneInfo("Asia/Shanghai")
MORNING = dt.datetime(2026, 3, 10, 9, tzinfo=ZONE)
DAY = dt.timedelta(days=1)
EVERYBODY = {"field": "registered_on", "is": "known"}
BOUGHT = {"field": "orders_count", "is": "gte", "value": 1}

pytestmark = pytest.mark.django_db


# --- the chance: pure -----------------------------------------------------------------------------------------------------


def test_the_first_guess_stands_until_something_is_measured() -> None:
    assert chance_bp(Counts(given=50, given_bought=50), 300) == 300  # nobody left alone: nothing to compare with
    assert chance_bp(Counts(), 300) == 300


def test_what_is_measured_takes_the_place_of_the_guess() -> None:
    # 200 comparisons out of 400 and 400: as heavy as the guess; 10 % against 5 %
    assert GUESS == 200
    assert chance_bp(Counts(400, 40, 400, 20), 300) == (300 + 500) // 2
    assert chance_bp(Counts(40_000, 4_000, 40_000, 2_000), 300) == pytest.approx(500, abs=3)
    assert chance_bp(Counts(4_000, 100, 4_000, 400), 300) == 0  # it keeps them away: never below nothing


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1), st.integers(0, 10_000))
def test_a_chance_is_a_chance(given: int, held: int, of_given: float, of_held: float, guess: int) -> None:
    found = chance_bp(Counts(given, int(given * of_given), held, int(held * of_held)), guess)
    assert 0 <= found <= 10_000


# --- the morning ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shops() -> Shops:
    made = factory.shops()
    for number, (store, guide) in enumerate([("S1", "A")] * 6 + [("S2", "B")] * 2, start=1):
        made.member(f"客人{number}", store=store, guide=guide)
    return made


def audience(shops: Shops, rule: Any) -> Audience:
    row = Audience.objects.create(brand=shops.brand, name=f"人群{Audience.objects.count()}", rule=rule)
    AudienceVersion.objects.create(audience=row, version_no=1, rule=rule, digest=f"{row.pk:064d}")
    return row


def scenario(shops: Shops, rule: Any = EVERYBODY, **values: Any) -> Scenario:
    number = Scenario.objects.count()
    row = scenarios.create(
        actor=None, **{
            "brand": shops.brand, "code": f"s{number}", "name": f"场景{number}", "audience": audience(shops, rule), "kind": "MESSAGE",
            "title": "问候", "reason": "{未购天数} 天没来的{会员等级}", "text": "{客户称呼}您好，我是{导购姓名}", "holdout_bp": 0,
            "value_fen": 10_000, **values,
        }
    )  # fmt: skip
    Scenario.objects.filter(pk=row.pk).update(salt=f"test {number}")
    scenarios.put_in_force(scenario=row, actor=None, now=MORNING - DAY)
    return row


def morning(shops: Shops, at: dt.datetime = MORNING) -> ScenarioDay | None:
    return scenarios.morning(brand_id=shops.brand.pk, now=at)


def test_each_customer_gets_the_scenario_that_is_worth_most_once_a_day(shops: Shops) -> None:
    small = scenario(shops, first_guess_bp=100)
    large = scenario(
        shops, {"field": "home_store", "is": "any_of", "value": [shops.stores["S2"].pk]}, first_guess_bp=900
    )
    made = morning(shops)
    assert made is not None and (made.candidate_count, made.given_count, made.held_count, made.guide_count) == (
        8,
        8,
        0,
        2,
    )
    given_to = dict(Action.objects.values_list("member__name", "source_id"))
    assert len(given_to) == Action.objects.count() == 8
    assert {name for name, source in given_to.items() if source == large.pk} == {"客人7", "客人8"}
    assert set(given_to.values()) == {small.pk, large.pk}
    one = Action.objects.get(member__name="客人7")
    assert (one.expected_fen, one.guide.code, one.store.code if one.store else "") == (900, "G00002", "S2")
    assert one.text == f"客人7您好，我是{one.guide.name}" and "天没来的" in one.reason and "{" not in one.reason
    assert one.due_at.astimezone(ZONE) == dt.datetime(2026, 3, 10, 21, tzinfo=ZONE)
    assert morning(shops) is None and scenarios.mornings(now=MORNING) == 0
    assert Action.objects.count() == 8


def test_it_comes_again_only_after_the_cool_down(shops: Shops) -> None:
    scenario(shops, cooldown_days=3)
    for days, expected in ((0, 8), (1, 8), (2, 8), (3, 16)):
        morning(shops, MORNING + days * DAY)
        actions.expire(now=MORNING + days * DAY + dt.timedelta(hours=13))
        assert ScenarioTurn.objects.count() == expected, days


def test_a_guides_day_has_so_many_minutes_and_the_best_come_first(shops: Shops) -> None:
    DayRule.objects.create(brand=shops.brand, minutes=10, most=20)
    for number in (1, 2, 3, 4):
        shops.line(f"o{number}", member=f"客人{number}", store="S1", paid_fen=number * 10_000, at=MORNING - 20 * DAY)
    facts.refresh(now=MORNING - DAY)
    scenario(shops, BOUGHT, minutes=4, value_fen=None, first_guess_bp=1_000)
    made = morning(shops)
    assert made is not None and (made.candidate_count, made.given_count, made.later_count) == (4, 2, 2)
    assert set(Action.objects.values_list("member__name", flat=True)) == {"客人3", "客人4"}
    assert Action.objects.get(member__name="客人4").expected_fen == 4_000
    # what is still to do takes its minutes first: of the ten, two are left
    Action.objects.update(due_at=MORNING + 2 * DAY)
    made = morning(shops, MORNING + DAY)
    assert made is not None and made.candidate_count == 0


def test_each_scenario_gives_a_guide_at_most_its_number(shops: Shops) -> None:
    scenario(shops, most_per_guide=2)
    morning(shops)
    assert sorted(Action.objects.values_list("guide__code", flat=True)) == ["G00001", "G00001", "G00002", "G00002"]


def test_who_has_said_no_and_whose_guide_has_left_get_nothing(shops: Shops) -> None:
    scenario(shops)
    consent.say(
        member=shops.members["客人1"], purpose=Purpose.WECOM_MARKETING, is_given=False, source="WECOM", said_at=MORNING - DAY, now=MORNING - DAY,
    )  # fmt: skip
    factory.leave(shops.guides["B"], MORNING - DAY)
    morning(shops)
    assert set(Action.objects.values_list("member__name", flat=True)) == {f"客人{n}" for n in range(2, 7)}


def test_a_share_is_left_alone_and_takes_up_its_place(shops: Shops) -> None:
    row = scenario(shops, holdout_bp=5_000)
    made = morning(shops)
    assert made is not None
    held = set(ScenarioTurn.objects.filter(is_held_out=True).values_list("member_id", flat=True))
    assert 0 < len(held) < 8 and made.held_count == len(held) and made.given_count == 8 - len(held)
    assert not Action.objects.filter(member_id__in=held).exists()
    # by hash: who is left alone once is left alone the next time
    actions.expire(now=MORNING + DAY)
    morning(shops, MORNING + row.cooldown_days * DAY)
    assert set(ScenarioTurn.objects.filter(is_held_out=True).values_list("member_id", flat=True)) == held


def test_a_scenario_that_cannot_be_asked_says_so_and_holds_up_nobody(shops: Shops) -> None:
    bad, good = scenario(shops), scenario(shops)
    Audience.objects.filter(pk=bad.audience_id).update(rule={"field": "tags", "is": "any_of", "value": [999_999]})
    made = morning(shops)
    assert made is not None and [one["scenario"] for one in made.problems] == [bad.name]
    assert set(Action.objects.values_list("source_id", flat=True)) == {good.pk}


def test_an_order_starts_it_within_the_minute(shops: Shops) -> None:
    row = scenario(shops, BOUGHT, event="BOUGHT")
    assert scenarios.fall_due(now=MORNING) == 0
    shops.line("o1", member="客人1", store="S1", paid_fen=9_900, at=MORNING + dt.timedelta(minutes=1))
    facts.refresh(now=MORNING + dt.timedelta(minutes=2))
    assert scenarios.fall_due(now=MORNING + dt.timedelta(minutes=2)) == 1
    assert Action.objects.get().member_id == shops.members["客人1"].pk
    assert scenarios.fall_due(now=MORNING + dt.timedelta(minutes=3)) == 0
    scenarios.pause(scenario=row, actor=None, reason="测试")
    assert morning(shops) is not None and Action.objects.count() == 1


# --- what came of it --------------------------------------------------------------------------------------------------------


def test_outcomes_stand_beside_the_turns_and_move_the_chance(shops: Shops) -> None:
    row = scenario(shops, holdout_bp=5_000, window_days=7)
    morning(shops)
    action = Action.objects.order_by("pk").first()
    assert action is not None and action.member is not None
    user = User.objects.get(pk=action.guide.user_id)
    actions.done(
        action_id=action.pk,
        guide_id=action.guide_id,
        user=user,
        outcome="REPLIED",
        note="",
        now=MORNING + dt.timedelta(hours=1),
    )
    line = shops.line("after", member=action.member.name, store="S1", paid_fen=8_800, at=MORNING + 2 * DAY)
    shops.line("before", member=action.member.name, store="S1", paid_fen=5_000, at=MORNING - DAY)
    scenarios.follow(now=MORNING + 3 * DAY)
    turn = ScenarioTurn.objects.get(member=action.member)
    assert (turn.bought_at, turn.bought_fen, turn.came_at, turn.is_closed) == (line.paid_at, 8_800, line.paid_at, False)
    assert turn.replied_at == MORNING + dt.timedelta(hours=1)
    assert ScenarioTurn.objects.exclude(bought_at=None).count() == 1
    scenarios.follow(now=MORNING + 9 * DAY)
    assert not ScenarioTurn.objects.filter(is_closed=False).exists()
    whole = ScenarioChance.objects.get(scenario=row, stage="")
    given = ScenarioTurn.objects.filter(is_held_out=False).count()
    assert (whole.given_count, whole.given_bought, whole.held_count, whole.held_bought) == (given, 1, 8 - given, 0)
    assert whole.chance_bp == chance_bp(Counts(given, 1, 8 - given, 0), row.first_guess_bp) > row.first_guess_bp
    with pytest.raises(DatabaseError), transaction.atomic():
        ScenarioTurn.objects.update(bought_fen=1)
    # the next morning reckons with it
    actions.expire(now=MORNING + 20 * DAY)
    morning(shops, MORNING + row.cooldown_days * DAY)
    assert set(Action.objects.filter(status="OPEN").values_list("expected_fen", flat=True)) == {whole.chance_bp}


def test_what_is_given_back_in_time_is_no_outcome(shops: Shops) -> None:
    scenario(shops)
    morning(shops)
    shops.line("o1", member="客人1", store="S1", paid_fen=8_800, at=MORNING + DAY)
    scenarios.follow(now=MORNING + 2 * DAY)
    shops.refund("o1", 8_800, MORNING + 2 * DAY)
    scenarios.follow(now=MORNING + 3 * DAY)
    assert not ScenarioTurn.objects.exclude(bought_at=None).exists()


# --- writing them -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"reason": "她爱吃{最爱水果}"}, "reason"),
        ({"text": "{姓名}您好"}, "text"),
        ({"text": "", "kind": "MESSAGE"}, "text"),
        ({"kind": "COUPON"}, "coupon"),
        ({"minutes": 0}, None),
        ({"holdout_bp": 9_000}, None),
        ({"code": "s0"}, "code"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(shops: Shops, values: dict[str, Any], field: str | None) -> None:
    scenario(shops)
    with pytest.raises(scenarios.BadScenario) as raised:
        scenario(shops, **values)
    assert field in raised.value.extra["fields"]
    assert Scenario.objects.count() == 1


def test_the_starter_set_has_fifteen_scenarios_that_all_can_be_put_in_force(shops: Shops) -> None:
    assert len(STARTERS) == 15
    assert scenarios.install(brand=shops.brand, actor=None, now=MORNING) == 15
    assert scenarios.install(brand=shops.brand, actor=None, now=MORNING) == 0
    for row in Scenario.objects.select_related("audience"):
        scenarios.put_in_force(scenario=row, actor=None, now=MORNING)
    made = morning(shops)
    assert made is not None and made.problems == []
    assert Act.objects.filter(verb="scenario.put_in_force").count() == 15


# --- the day's list and the console -------------------------------------------------------------------------------------------


def row(number: int, **values: Any) -> dict[str, Any]:
    return {
        "id": number, "member_id": number, "member_name": f"客人{number}", "asked_by": "SCENARIO", "expected_fen": None, "minutes": 3,
        "due_at": "2026-03-12T21:00:00+08:00", **values,
    }  # fmt: skip


def test_the_day_is_one_entry_a_customer_in_the_order_of_its_worth() -> None:
    tonight = "2026-03-10T20:00:00+08:00"
    rows = [
        row(1, expected_fen=200), row(2, expected_fen=900), row(3, member_id=1, asked_by="SOP"),
        row(4, asked_by="HQ", member_id=None, member_name=None, due_at=tonight), row(5, asked_by="SOP"), row(6, expected_fen=500),
    ]  # fmt: skip
    entries = day.arrange(rows, end_of_day=dt.datetime(2026, 3, 10, 23, 59, tzinfo=ZONE), minutes=10)
    assert [(e.member_id, e.because.value, e.minutes, e.is_today) for e in entries] == [
        (None, "DUE", 3, True), (2, "WORTH", 3, True), (6, "WORTH", 3, True), (1, "WORTH", 4, False), (5, "TIME", 3, False),
    ]  # fmt: skip
    assert [a["id"] for a in entries[3].actions] == [3, 1]


def test_a_guide_reads_her_day(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario(shops, first_guess_bp=500)
    morning(shops)
    monkeypatch.setattr(api_day, "now", lambda: MORNING + dt.timedelta(hours=1))
    client = Client(headers={"Authorization": f"Bearer {shops.token('A')}"})
    said = client.get("/api/guide/day").json()
    assert (said["day"], said["minutes"], len(said["entries"])) == ("2026-03-10", 60, 6)
    first = said["entries"][0]
    assert (first["because"], first["expected_fen"], first["because_text"]) == ("WORTH", 500, "预计带来 ¥5.00")
    monkeypatch.setattr(api_actions, "now", lambda: MORNING + dt.timedelta(hours=1))
    opened = client.get(f"/api/guide/actions/{first['actions'][0]['id']}").json()
    assert opened["asked_by"] == "SCENARIO" and opened["coupon"] is None


def test_hq_takes_the_starter_set_looks_and_puts_one_in_force(shops: Shops, client: Client) -> None:
    user = shops.staff["hq"]
    user.is_staff = True
    user.save()
    client.force_login(user)
    listed = client.get("/admin/campaigns/scenario/").content.decode()
    assert "放入 15 个常用场景" in listed
    client.post("/admin/campaigns/scenario/starter/")
    assert Scenario.objects.count() == 15
    found = Scenario.objects.get(code="member-not-friend")
    page = client.get(f"/admin/campaigns/scenario/{found.pk}/change/").content.decode()
    assert "现在符合的顾客" in page and "人数太少，还说不出效果" in page
    wrong = client.post(f"/admin/campaigns/scenario/{found.pk}/edit/", {**_written(found), "reason": "她爱吃{水果}"})
    assert wrong.status_code == 400 and "没有数据能填写 {水果}" in wrong.content.decode()
    right = client.post(f"/admin/campaigns/scenario/{found.pk}/edit/", {**_written(found), "minutes": 4})
    assert right.status_code == 302 and Scenario.objects.get(pk=found.pk).minutes == 4
    client.post(f"/admin/campaigns/scenario/{found.pk}/act/put_in_force/")
    assert Scenario.objects.get(pk=found.pk).status == "ACTIVE"


def _written(found: Scenario) -> dict[str, Any]:
    values = {name: getattr(found, name) for name in WRITTEN if getattr(found, name) is not None}
    return {**values, "brand": found.brand_id, "audience": found.audience_id}


def test_where_a_guide_has_enough_of_the_best_the_next_best_follows(shops: Shops) -> None:
    best = scenario(shops, most_per_guide=2, first_guess_bp=900)
    next_best = scenario(shops, most_per_guide=3, first_guess_bp=100)
    morning(shops)
    of_a = Action.objects.filter(guide__code="G00001").values_list("source_id", flat=True)
    assert sorted(of_a) == sorted([best.pk] * 2 + [next_best.pk] * 3)
