"""A guide leaves, and a day later her customers are friends of others: our side and WeCom's, over real HTTP."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from guides import contacts, directory, directory_sweep
from guides.handover import cases, figures, plan, results
from guides.models import Friendship, Guide, HandoverCase, HandoverItem, WecomMember
from members.models import Identity
from scrm import jobs
from scrm.models import User, WecomToken
from scrm.wecom import customers, outbox
from scrm.wecom.sandbox import groups, transfers
from tests.factories import shops as factory
from tests.factories.wecom import Wired, sandbox  # noqa: F401

DAY = 24 * 3600
NAMES = ("安琪", "白露", "晨曦", "丁香", "恩惠")
ACCOUNTS = {"A": "WangFang", "M": "ZhangMin", "B": "lina"}


@pytest.fixture
def shops(sandbox: Wired) -> factory.Shops:  # noqa: F811
    company, world = factory.shops(), sandbox.world
    world.add_department(17, "S1店")
    for name, userid in ACCOUNTS.items():
        world.add_member(userid, company.guides[name].name, departments=(17,))
        Guide.objects.filter(pk=company.guides[name].pk).update(wecom_userid=userid.lower())
    for name in NAMES:
        member = company.member(name, store="S1", guide="A")
        Identity.objects.create(member=member, kind="UNIONID", namespace="MAIN", value=f"o{name}")
        world.add_contact(name, unionid=f"o{name}", external_userid=f"wm{name}")
        world.befriend("wangfang", f"wm{name}")
    world.befriend("zhangmin", "wm恩惠")  # knows her already: WeCom sends no event for her
    read(sandbox)
    return company


def read(box: Wired) -> None:
    """What the mirror knows at the beginning, and the directory."""
    now = timezone.now()
    for pair in customers.by_members(box.app, ["wangfang", "zhangmin"]):
        contacts.record_friend(corp=box.corp, customer=pair.customer, follow=pair.follow, now=now)
    jobs.run(directory_sweep.start(corp=box.corp, actor=None).pk)


def handed_over(shops: factory.Shops, case: HandoverCase, chosen: str = "SAME_STORE", codes: str = "") -> HandoverCase:
    """Planned, confirmed, moved, and asked of WeCom."""
    second, _is_new = User.objects.get_or_create(username="second")
    jobs.run(plan.request(case=case, chosen=chosen, codes=codes, actor=shops.staff["hq"], now=timezone.now()).pk)
    plan.confirm(case=case, actor=second, now=timezone.now())
    case.refresh_from_db()
    assert case.job is not None
    jobs.run(case.job.pk)
    outbox.send_due(now=timezone.now())
    case.refresh_from_db()
    return case


def states(case: HandoverCase) -> dict[str, str]:
    return dict(case.items.values_list("contact__name", "state"))


def a_day_later(box: Wired, days: float = 1) -> None:
    box.world.clock.advance(days * DAY + 600)
    WecomToken.objects.all().delete()  # it has expired over there; here no time has passed
    box.tell()
    results.poll_due(now=timezone.now() + dt.timedelta(days=days, hours=1))


def test_a_leavers_customers_are_friends_of_her_colleague_a_day_later(sandbox: Wired, shops: factory.Shops) -> None:  # noqa: F811
    """The event opens the case; a refusal and a full taker are shown and move nothing back."""
    world = sandbox.world
    assert set(WecomMember.objects.values_list("userid", "guide__code")) == {
        ("wangfang", "G00001"), ("zhangmin", "G00004"), ("lina", "G00002"),
    }  # fmt: skip
    chat = groups.make(world, "wangfang", "南山会员群")
    world.leave("wangfang")
    sandbox.tell()
    case = HandoverCase.objects.get()
    assert (case.guide, case.cause, case.is_resigned) == (shops.guides["A"], "LEFT_WECOM", True)
    case = handed_over(shops, case)
    assert set(states(case).values()) == {"WAITING"}
    assert {row.bindings.get(ended_at=None).guide for row in shops.members.values()} == {shops.guides["M"]}
    assert world.groups[chat.chat_id].owner == "zhangmin"
    refusing = next(key for key, one in world.transfers.items() if one.external_userid == "wm白露")
    transfers.refuse(world, refusing)
    sandbox.tell()
    assert states(case)["白露"] == "REFUSED"
    world.quotas.customers_per_member = len(world.members["zhangmin"].follows) + 2
    a_day_later(sandbox)
    case.refresh_from_db()
    ended = states(case)
    assert sorted(ended.values()) == ["AT_LIMIT", "DONE", "DONE", "DONE", "REFUSED"] and ended["恩惠"] == "DONE"
    assert case.status == "DONE"
    friends = Friendship.objects.filter(userid="zhangmin", ended_at=None, is_confirmed=True)
    assert set(friends.values_list("contact__external_userid", flat=True)) == set(world.members["zhangmin"].follows)
    assert {row.bindings.get(ended_at=None).guide for row in shops.members.values()} == {shops.guides["M"]}
    contacts.read_due()
    moved = next(name for name, state in ended.items() if state == "DONE" and name != "恩惠")
    assert Friendship.objects.get(userid="zhangmin", contact__name=moved).add_way == 202
    (everybody, *_takers) = figures.retention(case=case, now=timezone.now() + dt.timedelta(days=10))
    assert (everybody.moved, everybody.done, everybody.refused, everybody.stays[0].kept) == (5, 3, 1, 3)


def test_the_same_customer_a_third_time_in_90_days(sandbox: Wired, shops: factory.Shops) -> None:  # noqa: F811
    """On the job: there and back again, and not once more; the binding goes on all the same."""
    ways = (("A", "M"), ("M", "B"), ("B", "M"))
    ended: dict[str, str] = {}
    for giver, taker in ways:
        case = cases.open_by_hand(guide=shops.guides[giver], reason="调店", actor=None, now=timezone.now())
        case = handed_over(shops, case, "NAMED", shops.guides[taker].code)
        a_day_later(sandbox)
        ended = states(case)
        case.refresh_from_db()
        assert case.status == "DONE"
    assert set(ended.values()) == {"TWICE_IN_90_DAYS"}
    assert {row.bindings.get(ended_at=None).guide for row in shops.members.values()} == {shops.guides["M"]}
    assert len(sandbox.world.members["lina"].follows) == 5


def test_an_account_that_is_renamed_keeps_its_friends(sandbox: Wired, shops: factory.Shops) -> None:  # noqa: F811
    directory.say_member(corp=sandbox.corp, userid="zhangmin", at=timezone.now(), is_there=True, new_userid="zm0001")
    assert set(Friendship.objects.values_list("userid", flat=True)) == {"wangfang", "zm0001"}
    shops.guides["M"].refresh_from_db()
    assert shops.guides["M"].wecom_userid == "zm0001"


def test_what_the_sandbox_lost_on_the_way_is_found(sandbox: Wired, shops: factory.Shops) -> None:  # noqa: F811
    """W11: no event arrives at all; the sweep finds the departure, the reading of results the rest."""
    world = sandbox.world
    world.leave("wangfang")
    world.add_member("newcomer", "新人", departments=(17,))
    jobs.run(directory_sweep.start(corp=sandbox.corp, actor=None).pk)
    case = handed_over(shops, HandoverCase.objects.get())
    world.clock.advance(DAY + 600)
    WecomToken.objects.all().delete()
    assert results.poll_due(now=timezone.now() + dt.timedelta(hours=25)) == 5
    assert set(states(case).values()) == {"DONE"}
    before = Friendship.objects.filter(userid="wangfang")
    assert set(before.values_list("ended_by", flat=True)) == {"TRANSFERRED"}
    assert WecomMember.objects.get(userid="newcomer").guide is None
    assert HandoverItem.objects.filter(state="DONE").count() == 5
