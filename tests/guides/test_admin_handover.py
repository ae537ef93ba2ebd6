"""Directory and handovers as people meet them: in the console, and on the phone of who takes over."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from guides import directory_sweep
from guides.handover import plan
from guides.models import Department, DirectorySweep, Guide, HandoverCase, HandoverItem, WecomMember
from scrm import jobs
from scrm.models import Act, Grant, Job, Role, User
from tests.factories.shops import leave
from tests.guides import handover_company
from tests.guides.conftest import Api
from tests.guides.handover_company import Company, Transfers, send
from tests.scrm.wecom.conftest import Wecom, no_long_pauses, wecom  # noqa: F401

NAMES = ("安琪", "白露", "晨曦")


@pytest.fixture
def company(db: None, wecom: Wecom) -> Company:  # noqa: F811
    Transfers(wecom)
    firm = handover_company.company()
    Grant.objects.create(user=firm.second, role=Role.HQ_OPERATOR)
    return firm


def client(user: User) -> Any:
    from django.test import Client

    client = Client(raise_request_exception=True)
    client.force_login(user)
    return client


def act(user: User, row: Any, name: str, **data: Any) -> str:
    """The message shown after an act."""
    address = reverse(f"admin:guides_{row._meta.model_name}_act", args=(row.pk, name))
    answer = client(user).post(address, data, follow=True)
    return "".join(str(message) for message in answer.context["messages"])


def page(user: User, case: HandoverCase) -> str:
    return client(user).get(reverse("admin:guides_handovercase_change", args=(case.pk,))).content.decode()


def test_a_handover_from_the_guides_page_to_its_end(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "FOUR_EYES_FROM", 3)
    for name in NAMES:
        company.customer(name)
    company.shops.line("x", member="安琪", store="S1", paid_fen=123_400, at=timezone.now())
    act(company.hq, company.guide("A"), "hand_over", reason="调往总部")
    case = HandoverCase.objects.get()
    assert "调往总部" in page(company.hq, case)
    shown = act(company.hq, case, "plan_it", policy="NAMED", codes="G00004，G00005")
    assert "计划" in shown
    jobs.run(Job.objects.get(kind=plan.KIND).pk)
    case.refresh_from_db()
    text = page(company.hq, case)
    assert "张敏" in text and "陈曦" in text and "1,234.00" in text
    assert "请由其他人确认" in text or "其他人" in text
    assert "其他人" in act(company.hq, case, "confirm")
    case.refresh_from_db()
    assert case.status == "PLANNED"
    act(company.second, case, "confirm")
    jobs.run(Job.objects.get(kind=plan.RUN_KIND).pk)
    send()
    text = page(company.second, case)
    assert "等待接替" in text
    assert Act.objects.filter(verb="handover.confirm", actor=company.second).exists()
    address = reverse("admin:guides_handoveritem_changelist")
    listed = client(company.hq).get(address, {"case__id__exact": case.pk}).content.decode()
    assert all(name in listed for name in NAMES)


def test_what_cannot_be_is_said_and_changes_nothing(company: Company) -> None:
    company.customer("安琪")
    case = company.case()
    assert "G404" in act(company.hq, case, "plan_it", policy="NAMED", codes="G404")
    assert "WECOM_BRAND_ACCOUNTS" in act(company.hq, case, "plan_it", policy="BRAND_ACCOUNT")
    assert not Job.objects.exists() and not HandoverItem.objects.exists()
    assert act(company.hq, company.guide("A"), "hand_over", reason="再来一次") != ""
    assert HandoverCase.objects.count() == 1
    act(company.hq, case, "cancel", reason="不走了")
    case.refresh_from_db()
    assert case.status == "CANCELLED"


def test_a_store_manager_looks_and_acts_not(company: Company) -> None:
    company.customer("安琪")
    case = company.planned("B")
    manager = company.guide("M").user
    text = page(manager, case)
    assert "一年消费" not in text and "一年消费" in page(company.hq, case)  # S1: of the purchases of all stores
    assert "G00002" in text and "李娜" not in text  # outside her store: by the code only
    address = reverse("admin:guides_handovercase_act", args=(case.pk, "confirm"))
    assert client(manager).post(address).status_code == 403
    assert client(company.guide("F").user).get(address).status_code in (302, 404)


def test_the_pages_of_a_case_cost_the_same_for_one_customer_and_for_many(company: Company) -> None:
    def cost(case: HandoverCase) -> list[int]:
        counts = []
        browser = client(company.hq)
        for address in (
            reverse("admin:guides_handovercase_change", args=(case.pk,)),
            reverse("admin:guides_handoveritem_changelist") + f"?case__id__exact={case.pk}",
            reverse("admin:guides_handovercase_changelist"),
        ):
            browser.get(address)
            with CaptureQueriesContext(connection) as caught:
                assert browser.get(address).status_code == 200
            counts.append(len(caught))
        return counts

    company.customer("安琪")
    case = company.run(company.planned("M", "C"))
    before = cost(case)
    HandoverCase.objects.update(status="DONE")
    for number in range(6):
        company.customer(f"客户{number}")
    assert cost(company.run(company.planned("M", "C"))) == before


def test_a_failed_sweep_is_allowed_and_departments_are_mapped_in_the_console(company: Company) -> None:
    now = timezone.now()
    sweep = DirectorySweep.objects.create(corp=company.corp, started_at=now, status="HELD", missing_count=9)
    department = Department.objects.create(corp=company.corp, number=3, name="S2店", state_at=now)
    account = WecomMember.objects.create(corp=company.corp, userid="new", name="陈静", departments=[3], state_at=now)
    Guide.objects.filter(pk=company.guide("M").pk).update(name="陈静")
    for label in ("department", "wecommember"):
        address = reverse(f"admin:guides_{label}_changelist")
        assert client(company.hq).get(address).status_code == 200
        assert client(company.hq).get(address, {"q": "abc"}).status_code == 200
    choose = {"_selected_action": [department.pk], "action": "map_suggested"}
    client(company.hq).post(reverse("admin:guides_department_changelist"), choose)
    department.refresh_from_db()
    assert department.store == company.shops.stores["S2"]
    assert "没有" in act(company.hq, department, "map_store", code="NO")
    assert "没有" in act(company.hq, account, "link_guide", code="G404")
    act(company.hq, account, "link_guide", code="G00003")
    account.refresh_from_db()
    assert account.guide == company.guide("F")
    act(company.hq, sweep, "allow")
    job = Job.objects.get(kind=directory_sweep.KIND)
    assert job.params == {"corp": company.corp.pk, "allowed": 9}


@pytest.mark.parametrize("link", ["open", "linked", "ignored", "left", "contradiction"])
def test_accounts_are_found_by_what_is_to_be_done(company: Company, link: str) -> None:
    now, corp = timezone.now(), company.corp
    sign = {"corp": corp, "state_at": now}
    WecomMember.objects.create(userid="open", **sign)
    WecomMember.objects.create(userid="linked", guide=company.guide("A"), **sign)
    WecomMember.objects.create(userid="ignored", ignored_at=now, **sign)
    WecomMember.objects.create(userid="left", left_at=now, **sign)
    User.objects.filter(pk=company.guide("C").user_id).update(is_active=False)
    WecomMember.objects.create(userid="contradiction", guide=company.guide("C"), **sign)
    found = client(company.hq).get(reverse("admin:guides_wecommember_changelist"), {"link": link}).context["cl"]
    expected = {"linked", "contradiction"} if link == "linked" else {link}
    assert {row.userid for row in found.result_list} == expected


# --- the guide's phone ------------------------------------------------------------------------------------------------


def device(company: Company, name: str) -> Api:
    return Api(company.shops.token(name))


def test_who_takes_over_sees_her_new_customers_and_how_to_begin(company: Company) -> None:
    for name in (*NAMES, "丁香"):
        company.customer(name)
    company.customer("只是好友", guide=None)
    case = company.planned("M")
    assert device(company, "M").get("handovers").json()["items"] == []  # nothing has moved yet
    company.run(case)
    HandoverItem.objects.filter(member__name="安琪").update(state="DONE")
    HandoverItem.objects.filter(member__name="白露").update(state="REFUSED")
    member = company.shops.members["晨曦"]
    member.bindings.filter(ended_at=None).update(ended_at=timezone.now())
    from tests.factories.shops import bind

    bind(member, company.guide("B"), company.shops.stores["S2"], timezone.now())  # went on to another
    answer = device(company, "M").get("handovers", size=2).json()
    seen = answer["items"] + device(company, "M").get("handovers", cursor=answer["next_cursor"]).json()["items"]
    rows = {row["name"]: row for row in seen}
    assert set(rows) == {"安琪", "白露", "丁香", "只是好友"}
    assert "王芳" in rows["安琪"]["first_words"] and "张敏" in rows["安琪"]["first_words"]
    assert (rows["白露"]["state_text"], rows["白露"]["first_words"]) == ("客户拒绝", "")
    assert device(company, "A").get("handovers").json()["items"] == []
    leave(company.guide("M"), timezone.now())
    assert device(company, "M").get("handovers").status_code in (401, 403)
