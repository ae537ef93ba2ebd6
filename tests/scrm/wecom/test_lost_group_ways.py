"""A code of groups whose answer was lost: what the console finds out at WeCom, and what a person decides about it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from scrm.models import Act, GroupWay, OutboxMessage
from scrm.wecom import errors, group_ways, join_ways, outbox
from scrm.wecom.sandbox import groups as life
from tests.factories.console import SEES, Console, console
from tests.factories.wecom import Wired

ADD = "externalcontact/groupchat/add_join_way"


@dataclass
class Lost:
    """One whose answer was lost; it exists over there."""

    wecom: Wired
    company: Console
    chat_id: str
    way: GroupWay
    client: Any

    def act(self, name: str, **data: str) -> Any:
        return self.client.post(self.address(name), data, follow=True)

    def address(self, name: str) -> str:
        return reverse("admin:scrm_groupway_act", args=(self.way.pk, name))

    def preview(self, name: str) -> str:
        return str(self.client.get(self.address(name), follow=True).content.decode())

    def page(self) -> str:
        return str(self.client.get(reverse("admin:scrm_groupway_change", args=(self.way.pk,))).content.decode())

    def offered(self) -> set[str]:
        page = self.page()
        return {act.name for act in group_ways_acts() if self.address(act.name) in page}

    def send(self, minutes: int = 0) -> GroupWay:
        outbox.sweep(now=timezone.now() + dt.timedelta(minutes=minutes))
        self.way.refresh_from_db()
        return self.way

    @property
    def made(self) -> list[str]:
        return list(self.wecom.world.join_ways)


def group_ways_acts() -> Any:
    from scrm.admin.wecom_group_ways import GroupWayAdmin

    return GroupWayAdmin.acts


def said(answer: Any) -> str:
    return "".join(str(one) for one in answer.context["messages"])


@pytest.fixture
def lost(transactional_db: None, sandbox: Wired) -> Lost:
    company = console()
    sandbox.world.add_member("guide_0001", "林晓")
    chat_id = life.make(sandbox.world, "guide_0001", "福利群").chat_id
    sandbox.faults.add("lose", ADD, times=1)
    with pytest.raises(errors.Unreachable):
        join_ways.add(sandbox.app, join_ways.JoinWay([chat_id], remark="南山店1群", state="j:1"))
    return Lost(sandbox, company, chat_id, GroupWay.objects.get(), company.client("hq"))


def acts(verb: str) -> list[tuple[str, str]]:
    return list(Act.objects.filter(verb=f"group_way.{verb}").order_by("pk").values_list("actor__username", "reason"))


# --- looking ----------------------------------------------------------------------------------------------------------


def test_a_look_that_finds_nobody_leaves_the_decision_to_a_person(lost: Lost) -> None:
    assert lost.offered() == {"look", "name_id"}  # nothing is decided before somebody looked
    assert "企业微信不提供入群码列表" in lost.preview("look") and not OutboxMessage.objects.exists()
    lost.act("look")
    assert lost.offered() == set() and "正在到企业微信查找" in lost.page()
    way = lost.send()
    assert (way.status, way.looked_at is not None, group_ways.joined(way)) == ("LOST", True, 0)
    assert lost.offered() == {"look", "name_id", "ask_again", "close"} and "没有客户由此码入群" in lost.page()
    assert join_ways.used(lost.wecom.corp) == 1 and acts("look") == [("hq", "")]


def test_who_came_in_by_it_proves_that_it_exists(lost: Lost) -> None:
    (config_id,) = lost.made
    for name in ("晚风", "小雨"):
        life.scan_as(lost.wecom.world, config_id, name=name)
    lost.wecom.later(3)  # the detail of a group lags
    lost.act("look")
    way = lost.send()
    assert group_ways.joined(way) == 2 and "已有 2 位客户由此码入群" in lost.page()
    assert lost.offered() == {"look", "name_id"}
    for name in ("ask_again", "close"):
        lost.act(name, reason="没看到")
    with pytest.raises(group_ways.ItExists):
        group_ways.close(way=way, actor=None, now=timezone.now(), reason="没看到")
    way.refresh_from_db()
    assert way.status == "LOST" and lost.made == [config_id]


def test_a_look_that_wecom_refuses_decides_nothing(lost: Lost) -> None:
    lost.wecom.faults.add("code", "externalcontact/groupchat/get", code=48002, times=1)
    lost.act("look")
    way = lost.send()
    assert way.report == {"error": errors.NoPermission.code} and "没能查找" in lost.page()
    assert lost.offered() == {"look", "name_id"}
    with pytest.raises(group_ways.NotLookedFor):
        group_ways.ask_again(way=way, actor=None, now=timezone.now(), reason="没看到")
    life.dismiss(lost.wecom.world, lost.chat_id)
    lost.act("look")
    assert (lost.send().report or {})["unread"] == [lost.chat_id]


# --- it exists --------------------------------------------------------------------------------------------------------


def test_its_id_is_shown_before_it_is_taken_over(lost: Lost) -> None:
    (config_id,) = lost.made
    lost.act("name_id", config_id=f" {config_id} ")
    assert lost.send().status == "LOST"  # naming alone changes nothing
    assert "就是这个码" in lost.page() and lost.offered() == {"look", "name_id", "take_over"}
    with pytest.raises(group_ways.ItExists):
        group_ways.ask_again(way=lost.way, actor=None, now=timezone.now(), reason="没看到")
    assert config_id in lost.preview("take_over") and "备注“南山店1群”" in lost.preview("take_over")
    lost.act("take_over")
    lost.way.refresh_from_db()
    assert (lost.way.status, lost.way.config_id, lost.way.error_code) == ("LIVE", config_id, "")
    assert join_ways.lost(lost.wecom.corp, now=timezone.now()) == 0 and join_ways.used(lost.wecom.corp) == 1
    assert lost.offered() == set() and acts("name") == acts("take_over") == [("hq", "")]
    join_ways.delete(lost.wecom.app, config_id)  # like any other
    assert join_ways.used(lost.wecom.corp) == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"state": "j:2"}, "渠道参数"), ({"remark": "宝安店"}, "备注"), ({"other_group": True}, "群不一致")],
)
def test_another_code_is_not_taken_over(lost: Lost, change: dict[str, Any], expected: str) -> None:
    groups = [lost.chat_id]
    if change.pop("other_group", False):
        groups = [life.make(lost.wecom.world, "guide_0001", "另一个群").chat_id]
    values = {"remark": "南山店1群", "state": "j:1", **change}
    other = join_ways.ask(lost.wecom.app, join_ways._values(ADD, join_ways.JoinWay(groups, **values)))
    lost.act("name_id", config_id=other)
    way = lost.send()
    assert "这是另一个码" in lost.page() and expected in lost.page() and "take_over" not in lost.offered()
    with pytest.raises(group_ways.NotThisOne):
        group_ways.take_over(way=way, actor=None, now=timezone.now())
    assert GroupWay.objects.get().status == "LOST"


def test_an_id_that_wecom_does_not_know_or_that_is_another_row_s(lost: Lost) -> None:
    lost.act("name_id", config_id="nothing")
    assert lost.send().status == "LOST" and "没有这个编号的码" in lost.page() and "take_over" not in lost.offered()
    mine = join_ways.add(lost.wecom.app, join_ways.JoinWay([lost.chat_id], remark="南山店1群", state="j:1"))
    answer = lost.act("name_id", config_id=mine)
    assert "属于我们的另一个码" in said(answer)
    lost.way.refresh_from_db()
    assert lost.way.claimed_id == "nothing"


# --- it was not made --------------------------------------------------------------------------------------------------


def never_made(lost: Lost) -> None:
    """The request was lost on its way there, and somebody has looked."""
    lost.wecom.world.join_ways.clear()
    lost.act("look")
    lost.send()


def test_it_is_asked_for_again_with_a_reason(lost: Lost) -> None:
    never_made(lost)
    assert "备注“南山店1群”" in lost.preview("ask_again") and "没有客户由此码入群" in lost.preview("ask_again")
    lost.act("ask_again", reason="")
    assert not lost.made and not OutboxMessage.objects.filter(topic=group_ways.CREATE).exists()
    lost.act("ask_again", reason="企业微信后台没有")
    assert lost.offered() == set()
    way = lost.send()
    assert (way.status, [way.config_id], way.attempt) == ("LIVE", lost.made, 2)
    made = lost.wecom.world.join_ways[str(way.config_id)]
    assert (made.remark, made.state, list(made.chat_ids)) == ("南山店1群", "j:1", [lost.chat_id])
    assert acts("ask_again") == [("hq", "企业微信后台没有")] and join_ways.used(lost.wecom.corp) == 1


def test_a_second_answer_that_is_lost_comes_back_to_people(lost: Lost) -> None:
    never_made(lost)
    lost.wecom.faults.add("lose", ADD, times=1)
    lost.act("ask_again", reason="企业微信后台没有")
    lost.send()
    way = lost.send(minutes=3)  # nothing can be read: it ends here, and no message waits for ever
    assert (way.status, len(lost.made), way.report) == ("LOST", 1, None)
    assert lost.wecom.box.counts[ADD] == 2
    assert not OutboxMessage.objects.exclude(status="DONE").exists()
    assert lost.offered() == {"look", "name_id"}
    lost.act("name_id", config_id=lost.made[0])
    lost.send()
    lost.act("take_over")
    assert GroupWay.objects.get().status == "LIVE"


def test_what_wecom_refuses_then_is_not_made_and_may_be_asked_again(lost: Lost) -> None:
    never_made(lost)
    lost.wecom.faults.add("code", ADD, code=41045, times=1)
    lost.act("ask_again", reason="企业微信后台没有")
    way = lost.send()
    assert (way.status, way.error_code) == ("UNMADE", errors.QuotaExhausted.code)
    assert join_ways.used(lost.wecom.corp) == 0 and lost.offered() == {"ask_again"}
    lost.act("ask_again", reason="额度已腾出")
    assert lost.send().status == "LIVE" and len(lost.made) == 1


def test_a_limit_is_waited_for_and_is_no_loss(lost: Lost) -> None:
    never_made(lost)
    lost.wecom.faults.add("code", ADD, code=45009, times=1)
    lost.act("ask_again", reason="企业微信后台没有")
    assert lost.send().status == "MAKING"
    GroupWay.objects.update(asked_at=timezone.now() - dt.timedelta(hours=1))
    assert join_ways.lost(lost.wecom.corp, now=timezone.now()) == 0 and lost.offered() == set()


def test_one_that_nobody_wants_any_more_is_closed(lost: Lost) -> None:
    never_made(lost)
    lost.act("close", reason="活动取消")
    lost.way.refresh_from_db()
    assert lost.way.status == "UNMADE" and join_ways.used(lost.wecom.corp) == 0
    assert acts("close") == [("hq", "活动取消")]


def test_what_was_asked_for_before_it_was_noted_can_only_be_named_or_closed(lost: Lost) -> None:
    GroupWay.objects.update(wish=None)
    never_made(lost)
    assert lost.offered() == {"look", "name_id", "close"}
    with pytest.raises(group_ways.WrongState):
        group_ways.ask_again(way=lost.way, actor=None, now=timezone.now(), reason="没有")


def test_two_people_at_once_have_it_made_once(lost: Lost) -> None:
    never_made(lost)
    stale = GroupWay.objects.get()
    lost.act("ask_again", reason="企业微信后台没有")
    with pytest.raises(group_ways.WrongState):
        group_ways.ask_again(way=stale, actor=None, now=timezone.now(), reason="企业微信后台没有")
    lost.send()
    assert len(lost.made) == 1


# --- who, and the list ------------------------------------------------------------------------------------------------


def test_one_whose_asker_died_is_lost_too(lost: Lost) -> None:
    GroupWay.objects.update(status="MAKING", error_code="")
    assert "生成中" in lost.page()
    assert lost.offered() == set()
    GroupWay.objects.update(asked_at=timezone.now() - dt.timedelta(minutes=11))
    assert "答复丢失" in lost.page() and lost.offered() == {"look", "name_id"}


@pytest.mark.parametrize("who", SEES)
def test_who_sees_and_decides(lost: Lost, who: str) -> None:
    client = lost.company.client(who)
    listed = client.get(reverse("admin:scrm_groupway_changelist"), {"status__exact": "LOST"})
    assert listed.status_code == (200 if SEES[who] is None else 403)
    may = who in ("hq", "operator")
    answer = client.post(lost.address("look"))
    assert answer.status_code == (302 if may else 403 if SEES[who] is None else 404)
    assert OutboxMessage.objects.filter(topic=group_ways.LOOK).exists() is may
    if SEES[who] is None:
        assert "南山店1群" in listed.content.decode() and "答复丢失" in listed.content.decode()
