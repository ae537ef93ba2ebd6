"""Leaving a group ends the SOP that joining it began; the form of a group's SOP; reading all groups again from the console."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.urls import reverse

from campaigns import sops
from campaigns.models import Group, GroupSweep, Sop, SopRun
from guides.models import Action
from scrm import jobs
from scrm.models import Job
from scrm.wecom.sandbox import groups as chats
from tests.campaigns import sopping
from tests.campaigns.test_groups import HOUR, company, read
from tests.factories.console import Console
from tests.factories.shops import Shops
from tests.factories.wecom import Wired, sandbox

__all__ = ["company", "sandbox"]
pytestmark = pytest.mark.django_db
MINUTE = dt.timedelta(minutes=1)


def test_who_leaves_the_group_leaves_its_sop_and_begins_again_when_she_comes_back(
    sandbox: Wired, company: Shops
) -> None:
    """Her waiting action is withdrawn; the next step is never given; a new stay within the same minute is a run of its own."""

    def clock() -> dt.datetime:
        return dt.datetime.fromtimestamp(sandbox.world.clock.epoch(), dt.UTC)

    sopping.sop(
        company, {"title": "欢迎进群"}, {"title": "第二天", "wait_days": 1}, anchor="GROUP_JOINED", at=clock() - HOUR
    )
    chat = chats.make(sandbox.world, "WangFang", "S1福利群")
    chats.invite(sandbox.world, chat.chat_id, "wm1")
    read(sandbox)
    sops.enrol(now=clock() + MINUTE)
    first = SopRun.objects.get()
    SopRun.objects.update(due_at=clock())
    sops.advance(now=clock() + MINUTE)
    asked = Action.objects.get(title="欢迎进群")
    assert asked.status == "OPEN"
    sandbox.later(600)
    chats.leave(sandbox.world, chat.chat_id, "wm1")
    sandbox.tell()
    sandbox.later(5)
    chats.invite(sandbox.world, chat.chat_id, "wm1")
    read(sandbox)
    sops.enrol(now=clock() + MINUTE)
    first.refresh_from_db()
    asked.refresh_from_db()
    assert (first.status, first.why, asked.status) == ("STOPPED", "LEFT", "CANCELLED")
    second = SopRun.objects.get(status="ACTIVE")
    assert second.anchor_key != first.anchor_key and second.anchored_at > first.ended_at  # type: ignore[operator]
    chats.leave(sandbox.world, chat.chat_id, "wm1")
    sandbox.tell()
    SopRun.objects.filter(pk=second.pk).update(due_at=clock())
    sops.advance(now=clock() + MINUTE)  # found when the step is due
    second.refresh_from_db()
    assert (second.status, second.why) == ("STOPPED", "LEFT") and Action.objects.count() == 1


def test_the_form_of_a_groups_sop_asks_only_what_has_a_meaning_for_groups(company: Shops) -> None:
    hq = Console(company, company.staff).client("hq")
    for anchor, has_it in (("GROUP_CREATED", False), ("BOUGHT", True)):
        draft = sops.draft_from(
            sop=Sop.objects.create(brand=company.brand, name=anchor, anchor=anchor), actor=company.staff["hq"]
        )
        page = hq.get(reverse("admin:campaigns_sopversion_change", args=(draft.pk,))).content.decode()
        for field in ("stops_on_purchase", "pause_days", "__prefix__-coupon", "__prefix__-question", 'value="MESSAGE"'):
            assert (field in page) is has_it, (anchor, field)
        assert ('value="GROUP_POST"' in page) is not has_it


def test_all_groups_are_read_again_from_the_console(sandbox: Wired, company: Shops) -> None:
    chats.make(sandbox.world, "WangFang", "甲群")
    staff = Console(company, company.staff)
    hq, region = staff.client("hq"), staff.client("region")
    page, start = reverse("admin:campaigns_groupsweep_changelist"), reverse("admin:campaigns_groupsweep_start")
    asked: dict[str, Any] = {"corp": sandbox.corp.pk}
    assert region.post(start, asked).status_code == 403
    assert "重新读取" in hq.get(page).content.decode()
    hq.post(start, asked)
    assert "已在读取" in hq.post(start, asked, follow=True).content.decode()  # once at a time
    sweep = GroupSweep.objects.get()
    assert "reload.js" in hq.get(page).content.decode()
    jobs.run(sweep.job_id)
    sweep.refresh_from_db()
    assert (sweep.job.status, sweep.listed_count) == (Job.Status.DONE, 1)
    shown = hq.get(page).content.decode()
    assert "1 / 1" in shown and "1 个群等待读取" in shown and Group.objects.filter(due_at__isnull=False).count() == 1
