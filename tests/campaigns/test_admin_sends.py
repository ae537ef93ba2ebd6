"""Mass sends in the console: planned with their reasons, agreed to by another person, watched by one's own stores."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from campaigns import sends
from campaigns.experiments import draw
from campaigns.models import ContactBudget, Send
from campaigns.sends import planning
from scrm import jobs
from scrm.models import Grant, Role
from scrm.wecom import outbox
from tests.campaigns.mailing import DAY, Mailing, mailing
from tests.campaigns.test_sends import confirm
from tests.factories.console import Console
from tests.factories.wecom import Wired, sandbox

__all__ = ["sandbox"]

NEW = "admin:campaigns_send_new"


@pytest.fixture
def company(sandbox: Wired, monkeypatch: pytest.MonkeyPatch) -> Mailing:
    monkeypatch.setattr(draw, "HOLDOUT_BP", 0)
    found = mailing(sandbox)
    assert found.second is not None
    Grant.objects.create(user=found.second, role=Role.HQ_OPERATOR)
    return found


def client(company: Mailing, name: str) -> Any:
    staff = {**company.shops.staff, "second": company.second}
    return Console(company.shops, staff).client(name)  # type: ignore[arg-type]


def page_of(send: Send) -> str:
    return reverse("admin:campaigns_send_change", args=(send.pk,))


def act(send: Send, name: str) -> str:
    return reverse("admin:campaigns_send_act", args=(send.pk, name))


def asked(company: Mailing, audience: Any, **values: Any) -> dict[str, Any]:
    return {
        "corp": company.wired.corp.pk, "name": "周三会员日", "snapshot": audience.pk, "text": "周三会员日，全场八折", "link_title": "",
        "link_url": "", "due_at": f"{timezone.localtime():%Y-%m-%d %H:%M}", "holdout": "0", "window_days": "14", "cost": "", "margin": "",
        **values,
    }  # fmt: skip


def run_job(send: Send) -> None:
    send.refresh_from_db()
    assert send.job is not None
    jobs.run(send.job.pk)
    send.refresh_from_db()


def test_from_the_form_to_the_lift_page(company: Mailing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "FOUR_EYES_FROM", 2)
    members = [company.member(f"客{number}", "A" if number % 2 else "B", store="S1") for number in range(30)]
    snapshot = company.snapshot(*members, *[company.member(f"无好友{number}") for number in range(12)])
    hq, second = client(company, "hq"), client(company, "second")
    answer = hq.post(reverse(NEW), asked(company, snapshot, holdout="30", cost="0.1", margin="40"))
    send = Send.objects.get()
    assert answer.url == page_of(send)
    assert "正在规划群发" in hq.get(page_of(send)).content.decode()
    run_job(send)
    page = hq.get(page_of(send)).content.decode()
    for words in ("排除的会员", "对照组", "没有导购好友", "带对照组的实验", act(send, "submit")):
        assert words in page, words
    assert not company.wired.world.mass_sends
    hq.post(act(send, "submit"))
    send.refresh_from_db()
    assert send.status == "ASKED"
    assert "必须由申请人以外的人审批" in hq.post(act(send, "approve"), follow=True).content.decode()
    second.post(act(send, "approve"))
    run_job(send)
    outbox.send_due(now=timezone.now())
    send.refresh_from_db()
    confirm(company, send, "g00001")
    company.read(send)
    page = hq.get(page_of(send), {"level": "guide"}).content.decode()
    assert "王芳" in page and "李娜" in page and "确认率低的在前" in page
    within = hq.get(page_of(send), {"level": "store", "within": company.shops.stores["S2"].region_id}).content.decode()
    assert "S2店" in within and "S1店" not in within
    experiment = hq.get(reverse("admin:campaigns_experiment_change", args=(send.experiment_id,))).content.decode()
    assert "这个实验能看出多大的差异" in experiment
    assert "提醒" in hq.post(act(send, "remind"), follow=True).content.decode()
    run_job(send)
    hq.post(act(send, "cancel"))
    run_job(send)
    outbox.send_due(now=timezone.now())
    send.refresh_from_db()
    assert send.status == "CANCELLED" and sends.prove(send=send) == []
    hq.post(act(send, "send_rest"))
    assert Send.objects.get(rest_of=send).name == "周三会员日（补发）"


def test_a_part_of_the_organisation_sees_its_own_tasks_and_acts_on_none(company: Mailing) -> None:
    send = company.out(company.member("甲", "A"), company.member("乙", "B"), company.member("无好友"))
    region = client(company, "region")  # of S1 and F1
    page = region.get(page_of(send), {"level": "guide"}).content.decode()
    assert "王芳" in page and "李娜" not in page and "没有导购好友" not in page
    assert act(send, "cancel") not in page
    assert region.post(act(send, "cancel")).status_code == 403
    assert region.get(reverse(NEW)).status_code == 403
    assert client(company, "franchisee").get(page_of(send)).status_code == 404


def test_a_part_of_the_organisation_sees_no_count_and_no_rest_of_others(company: Mailing) -> None:
    members = [company.member("甲", "A"), company.member("乙", "B")]
    send = company.out(*members, *[company.member(f"无好友{number}") for number in range(5)])
    confirm(company, send, "g00001")
    company.read(send)
    company.read(send, after=4 * DAY)
    rest = sends.send_rest(send=send, actor=company.hq, now=timezone.now())  # to 乙 of S2 only
    run_job(rest)
    hq, region = client(company, "hq"), client(company, "region")
    wide, part = (one.get(page_of(send)).content.decode() for one in (hq, region))
    assert "<b>7</b>" in wide and page_of(rest) in wide
    assert "<b>7</b>" not in part and page_of(rest) not in part and "补发" not in part
    lists = reverse("admin:campaigns_send_changelist")
    wide, part = (one.get(lists).content.decode() for one in (hq, region))
    assert "column-audience_count" in wide and "周三会员日" in part
    assert "column-audience_count" not in part and "column-planned_count" not in part


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"text": ""}, "text"), ({"text": "字" * 1400}, "4200 字节"), ({"link_title": "看"}, "标题和地址"), ({"holdout": "95"}, "holdout"),
        ({"snapshot": "0"}, "snapshot"), ({"due_at": "明天"}, "due_at"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_nothing_is_lost(company: Mailing, wrong: dict[str, str], words: str) -> None:
    snapshot = company.snapshot(company.member("甲", "A"))
    answer = client(company, "hq").post(reverse(NEW), asked(company, snapshot, **wrong))
    assert answer.status_code == 400
    page = answer.content.decode()
    assert words in page or words in answer.context["form"].errors
    assert "周三会员日" in page
    assert not Send.objects.exists()


def test_contact_budgets_are_hqs(company: Mailing) -> None:
    add = reverse("admin:campaigns_contactbudget_add")
    assert client(company, "region").get(add).status_code == 403
    client(company, "hq").post(add, {"brand": company.shops.brand.pk, "most_count": "2", "days": "7"})
    assert str(ContactBudget.objects.get()) == "2/7"
