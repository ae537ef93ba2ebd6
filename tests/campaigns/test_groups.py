"""Customer groups over real HTTP against the sandbox: events, the version chain, the sweep, and the SOPs that begin with them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from campaigns import communities, sops
from campaigns.communities import listing
from campaigns.models import Group, GroupRun, GroupStay, GroupStepDone, GroupSweep, Sop, SopRun, SopStep
from guides.models import Action, Follower, Guide
from members.models import Identity
from scrm import jobs
from scrm.models import Job
from scrm.wecom.sandbox import groups as chats
from tests.campaigns import sopping
from tests.factories import content
from tests.factories import shops as factory
from tests.factories.shops import Shops
from tests.factories.wecom import Wired, sandbox

__all__ = ["sandbox"]
pytestmark = pytest.mark.django_db
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def company(sandbox: Wired) -> Shops:
    """A is wangfang at WeCom; the member 李敏 is known by her unionid."""
    shops = factory.shops()
    Guide.objects.filter(pk=shops.guides["A"].pk).update(wecom_userid="WangFang")
    sandbox.world.add_member("WangFang", "王芳")
    Follower.objects.create(corp=sandbox.corp, userid="wangfang", guide=shops.guides["A"], is_listed=True)
    member = shops.member("李敏", store="S1", guide="A")
    Identity.objects.create(member=member, kind="UNIONID", namespace="MAIN", value="oLimin")
    for external, name, unionid in (("wm1", "敏", "oLimin"), ("wm2", "路人", "oNobody"), ("wm3", "红", "oChenhong")):
        sandbox.world.add_contact(name, unionid=unionid, external_userid=external)
    sandbox.world.is_developer_bound = True
    return shops


def read(sandbox: Wired) -> None:
    """What the events of the last moment ask for, read once WeCom's detail has caught up."""
    sandbox.tell()
    sandbox.later(5)
    Group.objects.filter(due_at__isnull=False).update(due_at=timezone.now() - HOUR)
    communities.read_due()


def inside(group: Group) -> set[str]:
    return set(GroupStay.objects.filter(group=group, left_at=None).values_list("userid", flat=True))


def test_who_comes_and_goes_is_kept_and_a_leaving_needs_no_call(sandbox: Wired, company: Shops) -> None:
    chat = chats.make(sandbox.world, "WangFang", "S1福利群")
    for external in ("wm1", "wm2"):
        chats.invite(sandbox.world, chat.chat_id, external)
    read(sandbox)
    group = Group.objects.get()
    assert (group.name, group.owner, group.store) == ("S1福利群", company.guides["A"], company.stores["S1"])
    assert inside(group) == {"wangfang", "wm1", "wm2"} and (group.member_count, group.customer_count) == (3, 2)
    assert GroupStay.objects.get(userid="wm1").member == company.members["李敏"]
    assert GroupStay.objects.get(userid="wm2").member is None
    sandbox.later(60)
    chats.leave(sandbox.world, chat.chat_id, "wm2")
    sandbox.tell()
    group.refresh_from_db()
    assert (group.due_at, group.customer_count, inside(group)) == (None, 1, {"wangfang", "wm1"})
    assert GroupStay.objects.get(userid="wm2").left_scene == 0
    sandbox.later(60)
    chats.invite(sandbox.world, chat.chat_id, "wm2")
    read(sandbox)
    stays = list(GroupStay.objects.filter(userid="wm2").order_by("joined_at"))
    assert [stay.left_at is None for stay in stays] == [False, True]
    with pytest.raises(DatabaseError, match="stays written"), transaction.atomic():
        GroupStay.objects.filter(pk=stays[0].pk).update(left_at=None, left_scene=None)
    with pytest.raises(DatabaseError), transaction.atomic():
        stays[0].delete()
    late = Identity.objects.create(
        member=company.member("路", store="S1"), kind="UNIONID", namespace="MAIN", value="oNobody"
    )
    assert communities.recognise_late(since=timezone.now() - HOUR) == 2
    assert {stay.member_id for stay in GroupStay.objects.filter(userid="wm2")} == {late.member_id}
    chats.dismiss(sandbox.world, chat.chat_id)
    sandbox.tell()
    group.refresh_from_db()
    assert group.dissolved_at is not None and inside(group) == set()


def test_the_sweep_finds_what_no_event_told_and_goes_on_after_a_kill(
    sandbox: Wired, company: Shops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W11 for groups: a lost join, a lost leaving, a lost dissolution and a group nobody told of."""
    for number in range(1, 4):
        sandbox.world.add_member(f"g{number}", f"导购{number}")
        Follower.objects.create(corp=sandbox.corp, userid=f"g{number}", is_listed=True)
    Follower.objects.create(corp=sandbox.corp, userid="nosuchaccount", is_listed=True)
    first = chats.make(sandbox.world, "WangFang", "甲群")
    second = chats.make(sandbox.world, "WangFang", "乙群")
    chats.invite(sandbox.world, first.chat_id, "wm1")
    read(sandbox)
    sandbox.faults.road.drop = 1.0
    chats.leave(sandbox.world, first.chat_id, "wm1")
    chats.invite(sandbox.world, first.chat_id, "wm3")
    chats.dismiss(sandbox.world, second.chat_id)
    chats.make(sandbox.world, "g3", "丙群")
    sandbox.later(5)
    monkeypatch.setattr(listing.wecom, "OWNERS_PER_CALL", 1)
    job, keep = listing.start_now(corp=sandbox.corp, actor=None), listing._keep
    seen: list[str] = []

    def dies(sweep: GroupSweep, page: Any) -> None:
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(sweep.reached)
        keep(sweep, page)

    with monkeypatch.context() as patch:
        patch.setattr(listing, "_keep", dies)
        with pytest.raises(KeyboardInterrupt):
            jobs.run(job.pk)
    Job.objects.filter(pk=job.pk).update(status="RUNNING", ended_at=None)  # a kill leaves it so
    reached = GroupSweep.objects.get().reached
    assert reached == "g3"
    done = jobs.run(job.pk)
    assert done.summary == {"listed_groups": 2, "new_groups": 1, "missing_groups": 1, "unseen_owners": 1}
    read(sandbox)
    assert inside(Group.objects.get(name="甲群")) == {"wangfang", "wm3"}
    assert Group.objects.get(name="乙群").dissolved_at is not None
    assert inside(Group.objects.get(name="丙群")) == {"g3"}


def test_joining_a_group_begins_an_sop_and_a_new_group_begins_its_owners_posts(
    sandbox: Wired, company: Shops, client: Any
) -> None:
    now = dt.datetime.fromtimestamp(sandbox.world.clock.epoch(), dt.UTC)
    sopping.sop(company, {"title": "欢迎进群"}, anchor="GROUP_JOINED", at=now - HOUR)
    material = content.material("群规", "TEXT")
    post = {
        "kind": "GROUP_POST", "title": "开群", "text": "欢迎来到{群名称}，我是{门店名称}的{导购姓名}", "content": material, "valid_hours": 48,
    }  # fmt: skip
    sopping.sop(company, post, {**post, "title": "第二天", "wait_days": 1}, anchor="GROUP_CREATED", at=now - HOUR)
    chat = chats.make(sandbox.world, "WangFang", "S1福利群")
    chats.invite(sandbox.world, chat.chat_id, "wm1")
    chats.invite(sandbox.world, chat.chat_id, "wm2")
    read(sandbox)
    soon = now + dt.timedelta(minutes=5)
    sops.enrol(now=soon)
    assert [run.member for run in SopRun.objects.all()] == [company.members["李敏"]]  # the stranger is nobody's yet
    run = GroupRun.objects.get()
    day = max(run.due_at, SopRun.objects.get().due_at, soon)
    sopping.sweep(day)
    sopping.sweep(day)
    asked = Action.objects.get(kind="GROUP_POST")
    assert (asked.guide, asked.store, asked.member) == (company.guides["A"], company.stores["S1"], None)
    assert asked.text == "欢迎来到S1福利群，我是S1店的王芳" and "S1福利群" in asked.reason
    assert Action.objects.get(title="欢迎进群").member == company.members["李敏"]
    Action.objects.update(starts_at=timezone.now() - HOUR, due_at=timezone.now() + HOUR)
    headers = {"Authorization": f"Bearer {company.token('A')}"}
    assert "开群" in [item["title"] for item in client.get("/api/guide/actions", headers=headers).json()["items"]]
    shown = client.get(f"/api/guide/actions/{asked.pk}", headers=headers).json()
    assert (shown["asked_by"], shown["material"]["name"]) == ("GROUP_SOP", "群规")
    chats.dismiss(sandbox.world, chat.chat_id)
    sandbox.tell()
    sopping.sweep(day + dt.timedelta(days=2))
    run.refresh_from_db()
    assert (run.status, run.why) == ("STOPPED", "GONE") and GroupStepDone.objects.count() == 1
    assert Action.objects.get(kind="GROUP_POST").status == "CANCELLED"


def test_a_plan_for_groups_holds_posts_only_and_one_for_customers_none(db: None) -> None:
    shops = factory.shops()
    for anchor, kind in (("GROUP_CREATED", "MESSAGE"), ("BOUGHT", "GROUP_POST")):
        sop = Sop.objects.create(brand=shops.brand, name=anchor, anchor=anchor)
        draft = sops.draft_from(sop=sop, actor=None)
        SopStep.objects.create(version=draft, position=1, kind=kind, title="问候", text="您好")
        with pytest.raises(sops.BadSop, match="群"):
            sops.publish(version=draft, actor=None, now=timezone.now())
