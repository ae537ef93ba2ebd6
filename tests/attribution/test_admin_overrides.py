"""Manual attribution and the common inbox in the console: what would move, two people, refusals in words, own part only."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from attribution.disputes import hearing
from attribution.models import Batch, Decision, Override
from scrm import approvals
from tests.factories.console import Console, console
from tests.factories.orders import owed
from tests.factories.shops import live_decision

pytestmark = pytest.mark.django_db
SAID = {"guide": "G00002", "reason": "顾客由她接待，收银选错"}


@pytest.fixture
def company() -> Console:
    """A line of 100.00 less 20.00 refunded of S1, which belongs to A."""
    return console()


def ask(company: Console, who: str, **data: str) -> Any:
    decision = live_decision(company.shops.lines["S1"])
    return company.client(who).post(
        reverse("admin:attribution_decision_override", args=(decision.pk,)), data, follow=True
    )


def answer(company: Console, who: str, name: str, **data: str) -> Any:
    row = Override.objects.get()
    return company.client(who).post(reverse("admin:attribution_override_act", args=(row.pk, name)), data, follow=True)


def test_what_would_move_is_shown_before_anything_is_asked(company: Console) -> None:
    text = ask(company, "operator", **SAID, preview="1").content.decode()
    assert "李娜" in text and "王芳" in text and text.count("4.00") >= 3 and "提出申请" in text
    assert not Override.objects.exists() and owed(company.shops.lines["S1"]) == {"G00001": 400}


def test_one_person_asks_and_another_approves(company: Console) -> None:
    line = company.shops.lines["S1"]
    assert "由另一人审批" in ask(company, "operator", **SAID, ask="1").content.decode()
    page = reverse("admin:attribution_override_change", args=(Override.objects.get().pk,))
    assert "须由另一人审批" in company.client("operator").get(page).content.decode()
    assert owed(line) == {"G00001": 400}
    answer(company, "operator", "approve")
    assert Override.objects.get().status == "REQUESTED"  # not by who asked
    assert "已归被指定的导购" in answer(company, "hq", "approve").content.decode()
    assert owed(line) == {"G00002": 400}
    decision = reverse("admin:attribution_decision_change", args=(live_decision(line).pk,))
    assert SAID["reason"] in company.client("hq").get(decision).content.decode()


def test_a_refusal_says_why_and_moves_nothing(company: Console) -> None:
    ask(company, "operator", **SAID, ask="1")
    answer(company, "hq", "refuse", answer="监控里不是她")
    row = Override.objects.get()
    assert (row.status, row.answer) == ("REFUSED", "监控里不是她")
    assert (
        owed(company.shops.lines["S1"]) == {"G00001": 400} and Decision.objects.filter(line_id=row.line_id).count() == 1
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"guide": "G9", "reason": "收银选错"}, "没有这个编号的导购"),
        ({"guide": "G00002", "reason": ""}, "必填"),
        ({"guide": "G00005", "reason": "收银选错"}, "不在职"),
    ],
    ids=["unknown", "no reason", "not employed"],
)
def test_what_cannot_be_asked_is_refused_in_words(company: Console, data: dict[str, str], words: str) -> None:
    from tests.factories.shops import hire

    hire("G00005", "新人", company.shops.stores["S1"]).employments.update(started_at=timezone.now())
    assert words in ask(company, "operator", **data, ask="1").content.decode()
    assert not Override.objects.exists()


def test_who_may_not_act_or_sees_another_part_asks_nothing(company: Console) -> None:
    assert ask(company, "auditor", **SAID, ask="1").status_code == 403
    assert ask(company, "franchisee", **SAID, ask="1").status_code == 404
    assert not Override.objects.exists()


# What waits for me ----------------------------------------------------------------------------------------------------


def inbox(company: Console, who: str) -> dict[str, int]:
    found = company.client(who).get(reverse("admin:waiting")).context["queues"]
    assert sum(len(queue.rows) for queue in found) == approvals.count_for(company.staff[who])
    return {str(queue.title): len(queue.rows) for queue in found}


def test_the_inbox_shows_what_others_asked_and_she_may_answer(company: Console) -> None:
    ask(company, "operator", **SAID, ask="1")
    dispute = hearing.open_dispute(
        line_id=company.shops.lines["F1"].pk, guide=company.shops.guides["B"], ground="OTHER", statement="是我的顾客",
        actor=company.shops.guides["B"].user, now=timezone.now(),
    )  # fmt: skip
    hearing.hand_on_overdue.__wrapped__(now=timezone.now() + dt.timedelta(days=9))  # type: ignore[attr-defined]
    dispute.refresh_from_db()
    hearing.propose(dispute=dispute, is_upheld=True, reason="证据充分", actor=company.staff["hq"], now=timezone.now())
    Batch.objects.create(
        period="2026-05", number=1, status="READY", requested_by=company.staff["hq"], requested_at=timezone.now()
    )
    assert inbox(company, "hq") == {"待审批的人工指定": 1}  # the verdict and the batch are her own
    assert inbox(company, "operator") == {"待审批的结算批次": 1, "待确认的申诉裁决": 1}
    assert inbox(company, "region") == {
        "待确认的申诉裁决": 1
    }  # F1 lies in the north; the override's guide is of the south
    for who in ("auditor", "franchisee", "manager"):
        assert inbox(company, who) == {}, who
    home = company.client("operator").get(reverse("admin:index")).content.decode()
    assert "待审批的结算批次 1" in home and reverse("admin:waiting") in home


def test_every_topic_with_four_eyes_has_its_queue(company: Console) -> None:
    wanted = {
        "rules",
        "batches",
        "overrides",
        "disputes",
        "reward programmes",
        "integrity",
        "handovers",
        "calendar coupons",
        "mass sends",
        "moments",
        "sales",
        "referral programmes",
        "referrals",
        "files",
    }
    assert set(approvals.names()) == wanted
