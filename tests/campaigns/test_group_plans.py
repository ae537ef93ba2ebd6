"""Plans over many groups against the sandbox: handing over with WeCom's limits, rotating, merging and closing through owners."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from campaigns import communities
from campaigns.communities import fleet, join_ways
from campaigns.models import Group, GroupPlan, GroupPlanItem, JoinWay
from guides.models import Action, Follower, Guide
from scrm import jobs
from scrm.models import OutboxMessage
from scrm.wecom import outbox
from scrm.wecom.sandbox import groups as chats
from scrm.wecom.sandbox import people
from tests.factories.console import Console, console
from tests.factories.wecom import Wired, sandbox

__all__ = ["sandbox"]
pytestmark = pytest.mark.django_db
DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)


@pytest.fixture
def company(sandbox: Wired) -> Console:
    """A and M of S1 have accounts at WeCom."""
    found = console()
    for code in ("A", "M"):
        guide = found.shops.guides[code]
        sandbox.world.add_member(guide.code, guide.name)
        Guide.objects.filter(pk=guide.pk).update(wecom_userid=guide.code)
        guide.wecom_userid = guide.code
        Follower.objects.get_or_create(
            corp=sandbox.corp, userid=guide.code.lower(), defaults={"guide": guide, "is_listed": True}
        )
    return found


def make(sandbox: Wired, *names: str, owner: str = "G00001") -> list[Group]:
    made = [chats.make(sandbox.world, owner, name).chat_id for name in names]
    settle(sandbox)
    return list(Group.objects.filter(chat_id__in=made).order_by("pk"))


def settle(sandbox: Wired) -> None:
    sandbox.tell()
    sandbox.later(5)
    Group.objects.filter(due_at__isnull=False).update(due_at=timezone.now() - HOUR)
    communities.read_due()


def plan(company: Console, kind: str, groups: list[Group], **values: Any) -> GroupPlan:
    said: dict[str, Any] = {"new_owner": company.shops.guides["M"], **values}
    return fleet.draft(
        kind=kind, groups_chosen=groups, actor=company.staff["hq"], now=timezone.now(), reason="调店", **said
    )


def run(row: GroupPlan, *, now: dt.datetime | None = None) -> GroupPlan:
    started = fleet.apply(plan=row, actor=None, now=timezone.now())
    assert started.job is not None
    jobs.run(started.job.pk)
    outbox.send_due(now=now or timezone.now())
    row.refresh_from_db()
    return row


def states(row: GroupPlan) -> dict[str, str]:
    return {item.group.name: item.state for item in row.items.select_related("group")}


def test_groups_go_to_the_new_owner_and_each_outcome_is_shown(sandbox: Wired, company: Console) -> None:
    first, second, third, gone = make(sandbox, "甲", "乙", "丙", "丁")
    chats.dismiss(sandbox.world, gone.chat_id)
    sandbox.world.groups[second.chat_id].transferred_at = (sandbox.world.clock.epoch(),) * 2
    row = plan(company, "HAND_OVER", [first, second, third, gone])
    assert (
        states(row) == {"甲": "PLANNED", "乙": "PLANNED", "丙": "PLANNED", "丁": "PLANNED"}
        and sandbox.world.groups[first.chat_id].owner == "g00001"
    )
    run(row)
    assert states(row) == {"甲": "DONE", "乙": "FAILED", "丙": "DONE", "丁": "FAILED"} and row.status == "ENDED"
    assert "90 天" in GroupPlanItem.objects.get(group=second).reason
    first.refresh_from_db()
    assert (first.owner, first.store) == (company.shops.guides["M"], company.shops.stores["S1"])
    assert sandbox.world.groups[first.chat_id].owner == "g00004"
    again = plan(company, "HAND_OVER", [first])
    assert again.items.get().state == "LEFT_OUT"
    with pytest.raises(fleet.BadPlan, match="都不执行"):
        fleet.apply(plan=again, actor=None, now=timezone.now())
    page = company.client("hq").get(reverse("admin:campaigns_groupplan_change", args=(row.pk,))).content.decode()
    assert "90 天" in page and "甲" in page


def test_an_owner_who_resigned_meanwhile_is_handed_over_by_the_other_call(sandbox: Wired, company: Console) -> None:
    (one,) = make(sandbox, "甲")
    row = plan(company, "HAND_OVER", [one])
    people.leave(sandbox.world, "G00001")
    run(row)
    outbox.send_due(now=timezone.now())
    item = row.items.get()
    assert (item.state, item.was_resigned, item.asked_count) == ("DONE", True, 2)
    one.refresh_from_db()
    assert one.status == Group.Status.MOVED and GroupPlan.objects.get().status == "ENDED"


def test_a_lost_answer_is_looked_for_and_nothing_is_handed_over_twice(sandbox: Wired, company: Console) -> None:
    first, second = make(sandbox, "甲", "乙")
    sandbox.faults.add("lose", "externalcontact/groupchat/onjob_transfer", times=1)
    row = run(plan(company, "HAND_OVER", [first, second]))
    message = OutboxMessage.objects.get(topic=fleet.TOPIC)
    assert message.status == "UNKNOWN"
    outbox.sweep(now=timezone.now() + HOUR)
    assert states(row) == {"甲": "DONE", "乙": "DONE"}
    assert len(sandbox.world.groups[first.chat_id].transferred_at) == 1


def test_more_than_wecom_takes_a_day_waits_for_the_next(
    sandbox: Wired, company: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "A_DAY", 3)
    monkeypatch.setattr(fleet.transfers, "GROUPS_PER_CALL", 2)
    row = run(plan(company, "HAND_OVER", make(sandbox, "一", "二", "三", "四")))
    assert sorted(states(row).values()) == ["ASKED", "ASKED", "DONE", "DONE"] and row.status == "RUNNING"
    sandbox.later(86_400)
    outbox.send_due(now=timezone.now() + DAY)
    assert set(states(row).values()) == {"DONE"} and GroupPlan.objects.get().status == "ENDED"


def test_closing_and_merging_leave_the_codes_and_are_done_by_owners(sandbox: Wired, company: Console) -> None:
    first, second, third = make(sandbox, "甲", "乙", "丙")
    way = join_ways.draft(
        corp=sandbox.corp,
        store=company.shops.stores["S1"],
        name="一号码",
        of=[first, third],
        full_at=100,
        makes_groups=True,
        actor=None,
    )
    join_ways.create(way=way, actor=None, now=timezone.now())
    outbox.send_due(now=timezone.now())
    merge = run(plan(company, "MERGE", [first, second, third], target=third, way=JoinWay.objects.get()))
    assert states(merge) == {"甲": "TO_DO", "乙": "TO_DO", "丙": "LEFT_OUT"}
    way.refresh_from_db()
    assert sandbox.world.join_ways[way.config_id or ""].chat_ids == (third.chat_id,)
    asked = Action.objects.filter(guide=company.shops.guides["A"], status="OPEN")
    assert asked.count() == 2 and all("「丙」" in row.text and "一号码" in row.text for row in asked)
    chats.dismiss(sandbox.world, first.chat_id)
    settle(sandbox)
    fleet.follow(now=timezone.now())
    assert states(merge)["甲"] == "DONE" and asked.all().count() == 1
    fleet.follow(now=timezone.now() + 8 * DAY)
    merge.refresh_from_db()
    assert (states(merge)["乙"], merge.status) == ("FAILED", "ENDED")
    close = run(plan(company, "CLOSE", [second]))
    fleet.cancel(plan=close, actor=company.staff["hq"], now=timezone.now())
    assert (
        states(close) == {"乙": "LEFT_OUT"}
        and not Action.objects.filter(key=f"group plan {close.items.get().pk}", status="OPEN").exists()
    )


def test_a_plan_is_made_in_the_console_for_the_groups_one_may_see(sandbox: Wired, company: Console) -> None:
    mine, other = make(sandbox, "甲", "乙")
    Group.objects.filter(pk=other.pk).update(store=company.shops.stores["S2"])
    address = reverse("admin:campaigns_groupplan_new") + f"?groups={mine.pk},{other.pk}"
    region = company.client("region")
    refused = region.post(address, {"kind": "HAND_OVER", "new_owner": "G00002", "reason": "调店"})
    assert refused.status_code == 400 and "G00002" in refused.content.decode()
    assert region.post(address, {"kind": "HAND_OVER", "new_owner": "G00004", "reason": "调店"}).status_code == 302
    assert [item.group for item in GroupPlan.objects.get().items.all()] == [mine]
    assert company.client("manager").post(address, {"kind": "CLOSE", "reason": "调店"}).status_code == 403
    mixed = plan(company, "CLOSE", [mine, other])
    apply = reverse("admin:campaigns_groupplan_act", args=(mixed.pk, "apply"))
    assert region.post(apply).status_code == 403  # one of its groups is not hers
    assert company.client("hq").post(apply).status_code == 302
