"""Acquisition links and the figures of what was done."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from scrm.wecom import acquisition, customers, errors, statistics
from scrm.wecom.sandbox import activity, links, people
from scrm.wecom.sandbox import groups as life
from scrm.wecom.sandbox.records import Approach
from tests.factories.wecom import Wired

DAY = 86_400


@pytest.fixture
def box(sandbox: Wired) -> Wired:
    world = sandbox.world
    world.add_department(17, "南山店")
    world.add_member("guide_0001", departments=(17,))
    world.add_member("guide_0002", departments=(17,))
    for number in range(4):
        world.add_contact(f"客户{number}", external_userid=f"wm{number}")
    _to_noon(sandbox)
    return sandbox


def _to_noon(box: Wired) -> None:
    """Away from midnight, so that minutes do not change the day."""
    now = box.world.clock.now()
    noon = activity.midnight(activity.day_of(now)) + DAY + DAY // 2
    box.later(noon - now)


def today(box: Wired) -> dt.date:
    return activity.day_of(box.world.clock.now())


def event_types(box: Wired) -> list[str]:
    return [event.change_type for event in box.world.events]


def test_from_the_link_to_the_friend_who_writes(box: Wired) -> None:
    link = acquisition.create(box.app, name="抖音开业-南山", userids=["guide_0001"])
    assert acquisition.get(box.app, link.id).name == "抖音开业-南山"
    assert list(acquisition.ids(box.app)) == [link.id]
    asked = links.click(box.world, link.id, "wm0", "dy-0101")
    assert isinstance(asked, Approach) and asked.is_half
    assert acquisition.quota(box.app).balance == 1000  # nobody is a friend yet
    box.world.confirm("guide_0001", "wm0")
    assert acquisition.quota(box.app).balance == 999
    (customer,) = acquisition.customers(box.app, link.id)
    assert customer == acquisition.Customer("wm0", "guide_0001", acquisition.NOT_WRITTEN, "dy-0101")
    assert customers.get(box.app, "wm0")[1][0].add_way == 16
    people.chat(box.world, "guide_0001", "wm0", count=3)
    (customer,) = acquisition.customers(box.app, link.id)
    assert customer.chat_status == acquisition.HAS_WRITTEN
    assert event_types(box)[-2:] == ["customer_start_chat", "message_from_customer"]
    key = re.findall(r"<ChatKey><!\[CDATA\[(.*?)\]\]>", box.world.events[-1].xml)[0]
    assert acquisition.chat(box.app, key) == acquisition.Chat("guide_0001", "wm0", 3, link.id, "dy-0101")
    box.later(1801)
    with pytest.raises(errors.NotFound):
        acquisition.chat(box.app, key)
    one_day = {"first": today(box), "last": today(box), "today": today(box)}
    assert acquisition.statistic(box.app, link_id=link.id, **one_day) == acquisition.Statistic(1, 1)


def test_departments_take_turns_and_a_link_changes_and_ends(box: Wired) -> None:
    link = acquisition.create(box.app, name="南山", department_ids=[17], skip_verify=False)
    asked = [links.click(box.world, link.id, f"wm{number}").userid for number in range(4)]
    assert sorted(asked) == ["guide_0001", "guide_0001", "guide_0002", "guide_0002"]
    acquisition.update(box.app, link_id=link.id, userids=["guide_0002"])
    assert acquisition.get(box.app, link.id).department_ids == ()
    acquisition.delete(box.app, link.id)
    with pytest.raises(errors.WecomError):
        acquisition.get(box.app, link.id)
    with pytest.raises(people.Impossible):
        links.click(box.world, link.id, "wm0")


def test_the_quota_runs_out(box: Wired) -> None:
    link = acquisition.create(box.app, name="南山", userids=["guide_0001"])
    links.set_balance(box.world, 1)
    links.click(box.world, link.id, "wm0")
    box.world.confirm("guide_0001", "wm0")
    assert event_types(box)[-2:] == ["balance_exhausted", "add_external_contact"]
    with pytest.raises(people.Impossible, match="用完"):
        links.click(box.world, link.id, "wm1")
    links.set_balance(box.world, 21)
    assert event_types(box)[-1] == "balance_increased"
    box.world.quotas.links = 1
    with pytest.raises(errors.QuotaExhausted):
        acquisition.create(box.app, name="又一条", userids=["guide_0001"])


def test_a_channel_is_cut_at_sixty_four_bytes(box: Wired) -> None:
    link = acquisition.create(box.app, name="南山", userids=["guide_0001"])
    asked = links.click(box.world, link.id, "wm0", "南" * 30)
    assert asked.state == "南" * 21


# ---- figures ----


def test_a_day_with_chats_and_one_without(box: Wired) -> None:
    world = box.world
    people.approach(world, "guide_0001", "wm0", add_way=1, skips=True)
    world.confirm("guide_0001", "wm0")
    people.add_by_member(world, "guide_0001", "wm1")
    people.add_by_member(world, "guide_0001", "wm2")
    people.chat(world, "guide_0001", "wm0")
    people.chat(world, "guide_0001", "wm1")
    box.later(240)
    people.chat(world, "guide_0001", "wm0", is_by_member=True, count=5)
    people.chat(world, "guide_0001", "wm2", is_by_member=True)
    world.delete_by_customer("guide_0001", "wm2")
    yesterday = today(box)
    box.later(DAY)
    days = statistics.behaviour(box.app, userid="guide_0001", first=yesterday, last=today(box), today=today(box))
    assert days == [
        statistics.Day(yesterday, requests_sent=2, new_contacts=3, chats=2, messages_sent=6, reply_percentage=50.0, reply_minutes=4, lost=1),
        statistics.Day(today(box), 0, 0, 0, 0, None, None, 0),
    ]  # fmt: skip
    (day, _empty) = statistics.behaviour(
        box.app, department_ids=[17], first=yesterday, last=today(box), today=today(box)
    )
    assert day.messages_sent == 6


def test_figures_of_groups_by_owner_and_by_day(box: Wired) -> None:
    world = box.world
    one = life.make(world, "guide_0001", "群")
    life.make(world, "guide_0002", "群")
    life.invite(world, one.chat_id, "wm0")
    life.talk(world, one.chat_id, "wm0")
    life.talk(world, one.chat_id, "wm0")
    box.later(DAY)
    life.invite(world, one.chat_id, "wm1")
    period = {"first": today(box) - dt.timedelta(days=1), "last": today(box), "today": today(box)}
    figures = dict(statistics.groups_by_owner(box.app, ["guide_0001", "guide_0002"], **period))
    assert figures["guide_0001"] == statistics.GroupFigures(1, 1, 1, 3, 3, 1, 2)
    assert figures["guide_0002"] == statistics.GroupFigures(1, 1, 0, 1, 1, 0, 0)
    (_first, before), (_second, after) = statistics.groups_by_day(box.app, ["guide_0001"], **period)
    assert (before.new_groups, before.total_members, after.new_groups, after.total_members) == (1, 2, 0, 3)
