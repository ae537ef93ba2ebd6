"""Handing customers over: the plan, the four eyes, and our bindings."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from guides import assignments, delegations, queries
from guides.handover import cases, figures, moving, plan, transfers
from guides.models import Binding, Guide, HandoverCase, HandoverItem
from members.models import Identity
from scrm import jobs
from scrm.errors import RuleViolation
from scrm.models import Act, Grant, Job, OutboxMessage, Role, User
from scrm.wecom.outbox import ending
from tests.factories import shops as factory
from tests.guides import handover_company
from tests.guides.handover_company import Company, Transfers
from tests.scrm.wecom.conftest import Wecom, in_threads, no_long_pauses, refusal, wecom  # noqa: F401

NAMES = ("安琪", "白露", "晨曦", "丁香")


@pytest.fixture
def company(db: None) -> Company:
    return handover_company.company()


@pytest.fixture
def other_side(wecom: Wecom) -> Transfers:  # noqa: F811
    return Transfers(wecom)


# --- cases ------------------------------------------------------------------------------------------------------------


def test_one_open_case_per_guide(company: Company) -> None:
    first = company.case()
    with pytest.raises(cases.WrongState):
        company.case()
    again = cases.open_case(
        guide=company.guide("A"), cause="LEFT_WECOM", at=timezone.now(), actor=None, corp=company.corp, userid="wangfang",
        is_resigned=True,
    )  # fmt: skip
    first.refresh_from_db()
    assert again == first and first.is_resigned  # the account went while the case stood open
    assert (first.corp, first.userid, first.store) == (company.corp, "wangfang", company.shops.stores["S1"])


def test_an_employment_that_has_ended_opens_a_case_while_customers_stand_there(company: Company) -> None:
    company.customer("安琪", friend_of=None)
    now = timezone.now()
    assert cases.open_for_leavers(now=now) == 0
    factory.leave(company.guide("A"), now - dt.timedelta(hours=1))
    factory.leave(company.guide("C"), now - dt.timedelta(hours=1))  # serves nobody
    assert cases.open_for_leavers(now=now) == 1
    case = HandoverCase.objects.get()
    assert (case.guide, case.cause, case.is_resigned) == (company.guide("A"), "EMPLOYMENT_ENDED", False)
    cases.cancel(case=case, actor=company.hq, reason="手工处理", now=now)
    assert cases.open_for_leavers(now=now) == 0  # one case for one departure
    with pytest.raises(cases.WrongState):
        cases.cancel(case=case, actor=company.hq, reason="再来", now=now)


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_the_plan_counts_each_person_once_and_spreads_by_value(company: Company, other_side: Transfers) -> None:
    now = timezone.now()
    for name in NAMES:
        company.customer(name)
    company.befriend("第二个微信", "A", company.shops.members["安琪"])  # one member, two contacts
    company.customer("只是好友", guide=None)
    company.customer("只是会员", friend_of=None)
    company.customer("删了她", guide=None)
    company.friends["删了她"].friendships.update(customer_left_at=now)
    company.shops.line("big", member="丁香", store="S1", paid_fen=600_000, at=now - dt.timedelta(days=30))
    company.shops.line("old", member="晨曦", store="S1", paid_fen=900_000, at=now - dt.timedelta(days=400))
    company.shops.line("small", member="白露", store="S1", paid_fen=5_000, at=now - dt.timedelta(days=1))
    company.shops.refund("small", 1_000, now)
    other_side.chats = ["wrA", "wrB", "wrC"]
    case = company.planned("M", "C")
    assert (case.status, case.item_count, case.needs_second) == ("PLANNED", 7, False)
    assert set(company.states(case)) == {*NAMES, "只是好友", "只是会员"}
    shown = figures.preview(case=case)
    assert (shown.customers, shown.members, shown.friends, shown.without_taker) == (7, 5, 6, 0)
    assert (shown.value_fen, shown.group_count) == (604_000, 3)
    by_code = {taker.code: taker for taker in shown.takers}
    assert sum(count for taker in shown.takers for count, _fen in taker.bands) == 7
    assert [sum(taker.bands[n][0] for taker in shown.takers) for n in range(4)] == [1, 0, 1, 5]
    assert by_code["G00004"].bands[0] == (1, 600_000)  # the first named takes the most valuable
    assert by_code["G00005"].bands[2] == (1, 4_000)
    assert sum(taker.load_after - taker.load_before for taker in shown.takers) == 5
    assert {taker.group_count for taker in shown.takers} == {1, 2}


def test_colleagues_of_the_store_who_are_there_take_over(company: Company, other_side: Transfers) -> None:
    now = timezone.now()
    company.customer("安琪")
    job = plan.request(case=company.case(), chosen="SAME_STORE", actor=company.hq, now=now)
    jobs.run(job.pk)
    takers = HandoverCase.objects.get().takers
    assert set(takers.values_list("guide__code", flat=True)) == {"G00004", "G00005"}
    delegations.delegate(
        guide=company.guide("M"), to=company.guide("C"), started_at=now - dt.timedelta(days=1), ended_at=None,
        delegate_bp=5000, actor=None, reason="产假",
    )  # fmt: skip
    plan.request(case=HandoverCase.objects.get(), chosen="SAME_STORE", actor=company.hq, now=now)
    assert list(takers.values_list("guide__code", flat=True)) == ["G00005"]
    factory.leave(company.guide("C"), now)
    with pytest.raises(plan.NoTaker):
        plan.request(case=HandoverCase.objects.get(), chosen="SAME_STORE", actor=company.hq, now=timezone.now())


def test_brand_accounts_take_over_where_they_are_set_up(company: Company) -> None:
    case = company.case()
    with pytest.raises(plan.NoTaker, match="WECOM_BRAND_ACCOUNTS"):
        plan.request(case=case, chosen="BRAND_ACCOUNT", actor=company.hq, now=timezone.now())
    with override_settings(WECOM_BRAND_ACCOUNTS=["lina", "nobody"]):
        plan.request(case=case, chosen="BRAND_ACCOUNT", actor=company.hq, now=timezone.now())
    assert list(case.takers.values_list("userid", flat=True)) == ["lina"]


def test_a_taker_who_cannot_take_over_is_refused_and_nothing_is_half_done(company: Company) -> None:
    case, now = company.case(), timezone.now()
    factory.leave(company.guide("C"), now - dt.timedelta(days=1))
    before = HandoverCase.objects.values().get()
    for codes, error in (
        ("G404", plan.UnknownTaker), ("G00004, G404", plan.UnknownTaker), ("G00005", plan.UnknownTaker),
        ("G00001", plan.NoTaker), ("", plan.NoTaker),
    ):  # fmt: skip
        with pytest.raises(error):
            plan.request(case=case, chosen="NAMED", codes=codes, actor=company.hq, now=now)
    region = User.objects.create_user("r")
    Grant.objects.create(user=region, role=Role.REGION_MANAGER, region=company.shops.stores["S1"].region)
    with pytest.raises(plan.NotAllowed):
        plan.request(case=case, chosen="NAMED", codes="G00002", actor=region, now=now)
    assert HandoverCase.objects.values().get() == before
    assert not case.takers.exists() and not Job.objects.filter(kind=plan.KIND).exists()


def test_a_cap_leaves_the_rest_without_a_taker(company: Company, other_side: Transfers) -> None:
    for name in NAMES:
        company.customer(name)
    case = company.planned("M", most_each=3)
    assert figures.preview(case=case).without_taker == 1
    company.run(case)
    assert sorted(company.states(case).values()) == ["ASKED", "ASKED", "ASKED", "NO_TAKER"]
    assert Binding.objects.filter(guide=company.guide("A"), ended_at=None).count() == 1


def test_a_newer_plan_makes_an_older_one_void(company: Company, other_side: Transfers) -> None:
    company.customer("安琪")
    case = company.case()
    old = plan.request(case=case, chosen="NAMED", codes="G00004", actor=company.hq, now=timezone.now())
    new = plan.request(case=case, chosen="NAMED", codes="G00005", actor=company.hq, now=timezone.now())
    assert jobs.run(old.pk).summary == {"is_void": True}
    jobs.run(new.pk)
    assert [taker.code for taker in figures.preview(case=case).takers] == ["G00005"]
    assert HandoverItem.objects.count() == 1


def test_without_wecom_the_plan_says_so_and_stands(company: Company, wecom: Wecom) -> None:  # noqa: F811
    company.customer("安琪")
    wecom.on("externalcontact/groupchat/list", refusal(48002))
    case = company.planned()
    assert (case.status, case.groups_problem, case.item_count) == ("PLANNED", "wecom_no_permission", 1)


def test_customers_that_only_wecom_knows_of_are_planned_too(company: Company, other_side: Transfers) -> None:
    company.customer("安琪")
    company.friends["安琪"].friendships.update(ended_at=timezone.now(), ended_by="MISSING")
    other_side.unassigned = [("WangFang", "wm安琪"), ("wangfang", "wmStranger"), ("somebody", "wmOther")]
    case = company.case()
    HandoverCase.objects.update(is_resigned=True)
    case = company.planned()
    found = {
        external: binding is not None
        for external, binding in case.items.values_list("contact__external_userid", "binding")
    }
    assert found == {"wmStranger": False, "wm安琪": True}


def test_a_friend_whom_another_guide_serves_goes_to_that_one(company: Company, other_side: Transfers) -> None:
    company.customer("有导购", guide="B")
    company.customer("已是好友", guide="B")
    company.befriend("已是好友", "B")
    company.customer("前导购", guide="F")  # bound to a guide without WeCom
    case = company.planned("M")
    takers = dict(case.items.values_list("contact__name", "taker__guide__code"))
    assert takers == {"有导购": "G00002", "前导购": "G00004"}
    company.run(case)
    assert company.bound_to("有导购") == "B"
    assert company.states(case) == {"有导购": "ASKED", "前导购": "KEPT"}


# --- four eyes and the one run ----------------------------------------------------------------------------------------


def test_a_large_handover_is_confirmed_by_somebody_else(
    company: Company, other_side: Transfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S4"""
    monkeypatch.setattr(plan, "FOUR_EYES_FROM", 2)
    company.customer("安琪")
    company.customer("白露")
    case = company.planned()
    with pytest.raises(plan.SamePerson):
        plan.confirm(case=case, actor=company.hq, now=timezone.now())
    with pytest.raises(Exception, match="handover_four_eyes"), connection.cursor() as cursor:
        cursor.execute("UPDATE guides_handovercase SET approved_by_id = planned_by_id")


def test_small_ones_may_be_confirmed_alone_old_and_empty_ones_by_nobody(
    company: Company, other_side: Transfers
) -> None:
    empty = company.planned()
    with pytest.raises(plan.NoTaker):
        plan.confirm(case=empty, actor=company.hq, now=timezone.now())
    company.customer("安琪")
    case = company.planned()
    with pytest.raises(plan.TooOld):
        plan.confirm(case=case, actor=company.second, now=timezone.now() + dt.timedelta(days=8))
    assert plan.confirm(case=case, actor=company.hq, now=timezone.now()).status == "RUNNING"
    with pytest.raises(cases.WrongState):
        plan.request(case=case, chosen="SAME_STORE", actor=company.hq, now=timezone.now())
    with pytest.raises(cases.WrongState):
        cases.cancel(case=case, actor=company.hq, reason="晚了", now=timezone.now())


def test_two_people_who_confirm_at_once_start_one_run(transactional_db: None, wecom: Wecom) -> None:  # noqa: F811
    """Concurrency with commits: one wins, the other is told."""
    Transfers(wecom)
    firm = handover_company.company()
    firm.customer("安琪")
    case = firm.planned()
    people = (firm.hq, firm.second, firm.hq, firm.second)
    ended = in_threads(4, lambda n: plan.confirm(case=case, actor=people[n], now=timezone.now()))
    assert [type(one) for one in ended].count(cases.WrongState) == 3
    assert Job.objects.filter(kind=plan.RUN_KIND).count() == 1
    assert Act.objects.filter(verb="handover.confirm").count() == 1


# --- our bindings -----------------------------------------------------------------------------------------------------


def test_bindings_move_first_and_wecom_is_asked_after(company: Company, other_side: Transfers) -> None:
    for name in NAMES:
        company.customer(name)
    company.customer("只是会员", friend_of=None)
    case = company.run(company.planned("M", "C"))
    assert Binding.objects.filter(guide=company.guide("A"), ended_at=None).count() == 0
    assert sorted(company.bound_to(name) for name in NAMES) in (["C", "C", "M", "M"],)
    item = HandoverItem.objects.get(member__name="安琪")
    assert item.binding is not None and item.new_binding is not None
    assert item.binding.ended_at == item.new_binding.started_at == item.bound_at
    assert (item.new_binding.source, item.new_binding.store) == ("ASSIGNED", company.shops.stores["S1"])
    assert company.states(case) == dict.fromkeys(NAMES, "ASKED") | {"只是会员": "BOUND"}
    assert case.status == "RUNNING" and other_side.asked == []
    assert OutboxMessage.objects.filter(topic=transfers.TOPIC).count() == 2


def test_who_was_bound_to_another_meanwhile_stays_there(company: Company, other_side: Transfers) -> None:
    """A1: compare and swap for every customer."""
    for name in NAMES:
        company.customer(name)
    case = company.planned("M")
    member, now = company.shops.members["白露"], timezone.now()
    assignments.assign(
        member=member, guide=company.guide("B"), expected=member.bindings.get(ended_at=None), at=now, now=now, actor=None,
        reason="她自己选的",
    )  # fmt: skip
    company.run(case)
    assert company.bound_to("白露") == "B"
    assert company.states(case) == {"安琪": "ASKED", "白露": "KEPT", "晨曦": "ASKED", "丁香": "ASKED"}


def test_a_taker_who_left_meanwhile_or_is_the_customer_takes_nobody(company: Company, other_side: Transfers) -> None:
    """A7, A9"""
    for name in NAMES:
        company.customer(name)
    case = company.planned("M", "C")
    hers = HandoverItem.objects.filter(taker__guide=company.guide("M")).values_list("member_id", flat=True)
    index = Identity.objects.get(member_id=hers[0], kind="MOBILE").value
    Guide.objects.filter(pk=company.guide("M").pk).update(mobile_index=index)
    factory.leave(company.guide("C"), timezone.now() - dt.timedelta(hours=1))
    company.run(case)
    codes = list(HandoverItem.objects.exclude(state="ASKED").order_by("code").values_list("state", "code"))
    assert codes == [("FAILED", "guide_not_employed")] * 2 + [("FAILED", "self_binding")]
    assert Binding.objects.filter(guide=company.guide("A"), ended_at=None).count() == 3


def test_a_taker_without_wecom_gets_the_binding_only(company: Company, other_side: Transfers) -> None:
    company.customer("安琪")
    Guide.objects.filter(pk=company.guide("M").pk).update(wecom_userid=None)
    case = company.run(company.planned("M"))
    item = HandoverItem.objects.get()
    assert (item.state, item.code, case.status) == ("BOUND", "taker_without_wecom", "DONE")


def test_a_run_that_is_killed_goes_on_where_it_stopped(
    transactional_db: None,
    wecom: Wecom,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F1: after each chunk, in a chunk before its commit, and after the last message; each customer moves once."""
    Transfers(wecom)
    firm = handover_company.company()
    names = [f"客户{n}" for n in range(12)]
    for name in names:
        firm.customer(name)
    case = firm.planned("M", "C")
    monkeypatch.setattr(moving, "CHUNK", 5)
    plan.confirm(case=case, actor=firm.second, now=timezone.now())
    case.refresh_from_db()
    assert case.job is not None
    write, move = moving._write, moving.move_some
    calls = {"write": 0, "move": 0}

    class Killed(BaseException):
        pass

    def dies_before_commit(*args: Any) -> None:
        write(*args)
        calls["write"] += 1
        if calls["write"] == 2:
            raise Killed

    def dies_after_commit(**options: Any) -> int:
        count = move(**options, limit=5)
        calls["move"] += 1
        if calls["move"] == 1:
            raise Killed
        return count

    monkeypatch.setattr(moving, "_write", dies_before_commit)
    monkeypatch.setattr(moving, "move_some", dies_after_commit)
    for _time in range(2):
        with pytest.raises(Killed):
            jobs.run(case.job.pk)
        Job.objects.filter(pk=case.job.pk).update(status="RUNNING")  # as a kill leaves it
    assert HandoverItem.objects.filter(state="PLANNED").exists()
    jobs.run(case.job.pk)
    assert Binding.objects.filter(guide=firm.guide("A"), ended_at=None).count() == 0
    for name in names:
        assert firm.shops.members[name].bindings.count() == 2
    asked = [key for message in OutboxMessage.objects.all() for key in _items(message)]
    assert sorted(asked) == sorted(HandoverItem.objects.values_list("pk", flat=True))


def _items(message: OutboxMessage) -> list[int]:
    return ending.intent_of(message).payload["items"]


def test_an_assignment_at_the_same_time_and_the_move_agree(transactional_db: None, wecom: Wecom) -> None:  # noqa: F811
    """A1, A2: whoever locks the member first wins; the other sees it."""
    Transfers(wecom)
    firm = handover_company.company()
    for name in NAMES:
        firm.customer(name)
    case = firm.planned("M")
    plan.confirm(case=case, actor=firm.second, now=timezone.now())
    seen = {name: firm.shops.members[name].bindings.get(ended_at=None) for name in NAMES}

    def work(number: int) -> Any:
        if number == 0:
            return moving.move_some(case_id=case.pk, now=timezone.now())
        name, now = NAMES[number - 1], timezone.now()
        return assignments.assign(
            member=firm.shops.members[name], guide=firm.guide("B"), expected=seen[name], at=now, now=now, actor=None, reason="x"
        )  # fmt: skip

    ended = in_threads(5, work)
    assert ended[0] == 4
    for name, outcome in zip(NAMES, ended[1:], strict=True):
        won = not isinstance(outcome, RuleViolation)
        assert firm.bound_to(name) == ("B" if won else "M")
        assert firm.states(case)[name] == ("KEPT" if won else "ASKED")
        assert firm.shops.members[name].bindings.count() == 2


def test_the_clock_of_a_binding_that_begins_later_is_not_turned_back(company: Company, other_side: Transfers) -> None:
    """A2"""
    company.customer("安琪")
    case = company.planned()
    plan.confirm(case=case, actor=company.second, now=timezone.now())
    assert moving.move_some(case_id=case.pk, now=factory.LONG_AGO) == 1
    item = HandoverItem.objects.get()
    assert (item.state, item.code) == ("FAILED", "guide_not_employed") or item.code == "binding_time"
    assert company.bound_to("安琪") == "A"


def test_the_number_of_queries_does_not_grow_with_the_customers(
    company: Company, other_side: Transfers, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        company.customer(f"客户{number}")
    case = company.case()
    job = plan.request(case=case, chosen="NAMED", codes="G00004", actor=company.hq, now=timezone.now())
    with django_assert_max_num_queries(50):
        jobs.run(job.pk)
    plan.confirm(case=case, actor=company.second, now=timezone.now())
    with django_assert_max_num_queries(25):
        assert moving.move_some(case_id=case.pk, now=timezone.now()) == 30


def test_the_successor_to_be_is_read_as_of_a_moment(company: Company) -> None:
    """Example 10, the variant that shares the gap: from the plan on, until the binding has moved."""
    member = company.customer("安琪")
    assert member is not None
    old = member.bindings.get(ended_at=None)
    before = timezone.now()
    case = company.planned("M")
    planned = timezone.now()
    found = queries.successors_at([(old.pk, before), (old.pk, planned)])
    assert {at: one.guide_id for (_key, at), one in found.items()} == {planned: company.guide("M").pk}
    company.run(case)
    moved = timezone.now()
    found = queries.successors_at([(old.pk, planned), (old.pk, moved)])
    assert {at: one.case_id for (_key, at), one in found.items()} == {planned: case.pk}


def test_a_cancelled_handover_names_no_successor_from_its_end_on(company: Company) -> None:
    member = company.customer("安琪")
    assert member is not None
    old = member.bindings.get(ended_at=None)
    case = company.planned("M")
    planned = timezone.now()
    cases.cancel(case=case, actor=company.hq, reason="不走了", now=timezone.now())
    found = queries.successors_at([(old.pk, planned), (old.pk, timezone.now())])
    assert [at for _key, at in found] == [planned]
