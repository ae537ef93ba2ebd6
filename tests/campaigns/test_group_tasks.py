"""Tasks of groups: steps that are mass sends or notices, notices from headquarters, and the activity board."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from campaigns import sops
from campaigns.communities import board, notices
from campaigns.models import Group, GroupNotice, GroupNoticePost, GroupRun, GroupStay, GroupStepDone, Send
from campaigns.sends import Wish, planning
from campaigns.sops import group_steps
from guides import actions
from guides.models import Action
from scrm import org
from scrm.wecom.sandbox import groups as chats
from tests.campaigns import sopping
from tests.campaigns.mailing import DAY, Mailing
from tests.campaigns.test_group_sends import company, confirm, group, reached
from tests.factories.console import Console
from tests.factories.wecom import sandbox

__all__ = ["company", "sandbox"]

HOUR = dt.timedelta(hours=1)


def line_of(company: Mailing, name: str, **values: Any) -> board.Line:
    found = board.lines(level="group", scope=org.EVERYTHING, now=timezone.now(), **values)
    (line,) = [one for one in found if one.name == name]
    return line


def end_actions(company: Mailing, code: str) -> None:
    guide = company.shops.guides[code]
    for pk in Action.objects.filter(guide=guide, status="OPEN").values_list("pk", flat=True):
        actions.done(action_id=pk, guide_id=guide.pk, user=guide.user, outcome="", note="", now=timezone.now())


def test_steps_of_groups_are_sent_to_all_that_come_to_them_at_once(
    company: Mailing, monkeypatch: pytest.MonkeyPatch, client: Any
) -> None:
    """One send for the groups on the step, waiting for approval from the size on; a notice for each owner; both on the board."""
    now = timezone.now()
    mine, theirs = group(company, "甲群", founded_at=now - HOUR), group(company, "乙群", "B", founded_at=now - HOUR)
    gone = group(company, "无主群", owner=None, owner_userid="stranger", store=None, founded_at=now - HOUR)
    steps = (
        {"kind": "GROUP_SEND", "title": "开群福利", "text": "今晚8点接龙开团"},
        {"kind": "GROUP_NOTICE", "title": "群公告", "text": "欢迎来到{群名称}", "wait_minutes": 1},
    )
    sopping.sop(company.shops, *steps, anchor="GROUP_CREATED", at=now - 2 * HOUR)
    sops.enrol(now=now)
    GroupRun.objects.update(due_at=now)
    assert line_of(company, "甲群").due_count == 1
    sops.advance(now=now)
    send = Send.objects.get()
    assert (send.goes_to, send.status, send.planned_count, send.text) == ("GROUPS", "SENDING", 2, "今晚8点接龙开团")
    done = {row.run.group_id: row for row in GroupStepDone.objects.filter(position=1)}
    assert [done[one.pk].result for one in (mine, theirs, gone)] == ["SENT", "SENT", "NOBODY"]
    assert done[mine.pk].send == send and group_steps.outcome(done[mine.pk]) == "已计划"
    company.go(send)
    company.wired.later(10)
    confirm(company)
    company.read(send)
    assert reached(company) == sorted([mine.chat_id, theirs.chat_id]) and group_steps.outcome(done[mine.pk]) == "已发送"
    GroupRun.objects.update(due_at=now)
    sops.advance(now=now + dt.timedelta(minutes=2))
    asked = Action.objects.get(kind="GROUP_NOTICE", guide=company.shops.guides["A"])
    assert (asked.text, asked.source) == ("欢迎来到甲群", "GROUP_SOP") and "群公告" in asked.reason
    line = line_of(company, "甲群")
    assert (line.due_count, line.done_count, line.sent_count) == (1, 1, 1)
    Action.objects.update(starts_at=now - HOUR)
    end_actions(company, "A")
    assert line_of(company, "甲群").due_count == 0
    run = GroupRun.objects.get(group=mine)
    page = (
        Console(company.shops, company.shops.staff)
        .client("hq")
        .get(reverse("admin:campaigns_grouprun_change", args=(run.pk,)))
    )
    assert "已作为群发下发给群主" in page.content.decode() and "已完成" in page.content.decode()
    monkeypatch.setattr(planning, "FOUR_EYES_FROM", 50)
    sopping.sop(company.shops, steps[0], anchor="GROUP_CREATED", at=now - 2 * HOUR)
    sops.enrol(now=now)
    GroupRun.objects.filter(status="ACTIVE").update(due_at=now)
    sops.advance(now=now)
    assert Send.objects.order_by("-pk")[0].status == "ASKED"


def test_a_notice_is_the_owners_to_set_and_wecom_says_whether_it_stands(company: Mailing) -> None:
    shops, now = company.shops, timezone.now()
    mine, theirs = group(company, "甲群"), group(company, "乙群", "B")
    group(company, "散群", dissolved_at=now - DAY)
    staff = Console(shops, shops.staff)
    hq, region = staff.client("hq"), staff.client("region")
    new = reverse("admin:campaigns_groupnotice_new")
    asked = {
        "corp": company.wired.corp.pk, "name": "周末公告", "text": "每晚8点接龙", "hours": "24", "stores": "S1 S2", "owners": "", "part": "",
        "least": "", "most": "",
    }  # fmt: skip
    assert region.get(new).status_code == 403
    refused = hq.post(new, {**asked, "stores": "", "text": "每晚8点接龙"})
    assert refused.status_code == 400 and "请说明发给哪些群" in refused.content.decode()
    hq.post(new, asked)
    notice = GroupNotice.objects.get()
    page = reverse("admin:campaigns_groupnotice_change", args=(notice.pk,))
    assert "群已解散" in hq.get(page).content.decode() and not Action.objects.exists()
    hq.post(reverse("admin:campaigns_groupnotice_act", args=(notice.pk, "give")))
    assert Action.objects.filter(source="GROUP_NOTICE", text="每晚8点接龙").count() == 2
    assert line_of(company, "甲群").due_count == 1
    chats.set_notice(company.wired.world, mine.chat_id, " 每晚8点接龙\n")
    company.wired.later(10)
    for code in ("A", "B"):  # B says so and has not set it
        end_actions(company, code)
    assert notices.look(now=timezone.now() + HOUR) == 2 and notices.look(now=timezone.now() + HOUR) == 0
    shown = dict(GroupNoticePost.objects.filter(reason="").values_list("group__name", "is_shown"))
    assert shown == {"甲群": True, "乙群": False}
    found = hq.get(page, {"level": "group"}).content.decode()
    assert "群里已显示" in found and "群里显示的不是这段" in found
    lines = notices.execution(notice=notice, level="store", scope=org.Scope(frozenset({shops.stores["S1"].pk})))
    assert [(line.name, line.done_count, line.group_count, line.shown_count) for line in lines] == [("S1店", 1, 1, 1)]
    assert "乙群" not in region.get(page, {"level": "group"}).content.decode()
    second = notices.draft(
        corp=company.wired.corp,
        name="第二条",
        text="停",
        hours=1,
        groups=Wish(groups=[theirs.pk]),
        actor=None,
        now=timezone.now(),
    )
    notices.give(notice=second, actor=None, now=timezone.now())
    assert notices.cancel(notice=second, actor=None, now=timezone.now()) == 1
    with pytest.raises(notices.WrongState):
        notices.give(notice=second, actor=None, now=timezone.now())


def test_the_board_counts_who_came_and_went_and_shows_each_role_her_own(company: Mailing, client: Any) -> None:
    shops, now = company.shops, timezone.now()
    mine, theirs = group(company, "甲群", people=10), group(company, "乙群", "B", people=20)
    for number, (row, joined, left) in enumerate(
        (
            (mine, now - DAY, None),
            (mine, now - 9 * DAY, now - DAY),
            (mine, now - 9 * DAY, now - 8 * DAY),
            (theirs, now - DAY, now),
        )
    ):
        GroupStay.objects.create(group=row, userid=f"wm{number}", joined_at=joined, left_at=left)
    GroupStay.objects.create(group=mine, userid="g00001", is_staff=True, joined_at=now)
    line = line_of(company, "甲群")
    assert (line.customer_count, line.joined_count, line.left_count, line.growth) == (10, 1, 1, 0)
    regions = board.lines(level="region", scope=org.EVERYTHING, now=now)
    assert sum(one.group_count for one in regions) == 2 and board.total(regions).customer_count == 30
    inside = board.lines(level="store", scope=org.EVERYTHING, now=now, within=shops.stores["S2"].region_id)
    assert [(one.name, one.group_count) for one in inside] == [("S2店", 1)]
    page = reverse("admin:campaigns_group_board")
    staff = Console(shops, shops.staff)
    seen = staff.client("region").get(page, {"level": "group"}).content.decode()
    assert "甲群" in seen and "乙群" not in seen
    headers = {"Authorization": f"Bearer {shops.token('A')}"}
    told = client.get("/api/guide/group-board", headers=headers).json()
    assert [item["name"] for item in told["items"]] == ["甲群"] and told["total"]["joined_count"] == 1
    assert Group.objects.count() == 2
