"""A guide sees her rewards and the reviews about her, and says her side."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from guides import integrity, rewards
from guides.models import IntegrityCase, RewardClaim
from tests.factories import friends
from tests.factories import shops as factory
from tests.factories.console import console

DAY = dt.timedelta(days=1)


@pytest.fixture
def claimed(shops: factory.Shops) -> factory.Shops:
    """One earned, one waiting for its days, one for behaviour, one deleted too early; a burst under review."""
    now = timezone.now()
    friends.programme(now - 90 * DAY)
    guide = shops.guides["A"]
    friends.wrote(friends.friend(guide, now - 30 * DAY), now - 29 * DAY)
    friends.friend(guide, now - 29 * DAY)
    friends.friend(guide, now - DAY)
    friends.friend(guide, now - 28 * DAY, customer_left_at=now - 27 * DAY)
    for number in range(8):
        friends.friend(guide, (now - 10 * DAY).replace(second=number))
    integrity.look(now=now)
    rewards.judge(now=now)
    return shops


def test_my_rewards_say_what_they_wait_for(claimed: factory.Shops, api: Any) -> None:
    page = api("A").get("rewards", size=50).json()
    assert (page["held"], page["vested"], page["void"]) == (
        {"count": 10, "amount_fen": 5_000}, {"count": 1, "amount_fen": 500}, {"count": 1, "amount_fen": 500},
    )  # fmt: skip
    shown = {row["id"]: row for row in page["items"]}
    oldest = sorted(shown)[:4]
    assert [(shown[key]["state_text"], shown[key]["reason_text"], shown[key]["missing_text"]) for key in oldest] == [
        ("已解冻", "", ""), ("待结", "", "顾客还没有注册、消费或来信"), ("待结", "", "好友还需再保留几天"), ("作废", "好友保留时间不够就删除了", ""),
    ]  # fmt: skip
    assert shown[oldest[0]]["earned_text"] == "已来信"
    reviewed = [row for row in page["items"] if row["missing_text"] == "核查中"]
    assert len(reviewed) == 8 and {row["review_id"] for row in reviewed} == {IntegrityCase.objects.get().pk}
    assert page["paid_then_fake_bp"] == 0
    assert api("B").get("rewards").json()["items"] == []


def test_pages_of_rewards_follow_each_other(claimed: factory.Shops, api: Any) -> None:
    device, cursor, seen = api("A"), None, []
    while True:
        page = device.get("rewards", size=5, **({"cursor": cursor} if cursor else {})).json()
        seen += [row["id"] for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(RewardClaim.objects.values_list("pk", flat=True), reverse=True)


def test_a_review_shows_its_evidence_and_takes_an_appeal(claimed: factory.Shops, api: Any) -> None:
    (review,) = api("A").get("reviews").json()["items"]
    assert (review["state_text"], review["can_appeal"], review["held_fen"]) == ("待裁定", True, 4_000)
    assert next((flag["flag_text"], flag["value"], flag["threshold"]) for flag in review["flags"]) == (
        "一分钟内添加多位好友", 8, 8,
    )  # fmt: skip
    path = f"reviews/{review['id']}/appeal"
    said = {"text": "当天店庆，顾客排队扫码"}
    assert api("B").post(path, said, Idempotency_Key="appeal-01").status_code == 404
    answer = api("A").post(path, said, Idempotency_Key="appeal-01")
    assert (answer.status_code, answer.json()["appeal"], answer.json()["can_appeal"]) == (200, said["text"], False)
    again = api("A").post(path, said, Idempotency_Key="appeal-02")
    assert (again.status_code, again.json()["code"]) == (409, "appealed_already")


def test_the_console_shows_the_case_and_takes_the_decision(db: None) -> None:
    """The evidence as tables and a chart; a reason is asked; the proposal is confirmed by somebody else."""
    company = console()
    now = timezone.now()
    friends.programme(now - 90 * DAY)
    for number in range(30):
        friends.friend(company.shops.guides["A"], (now - 10 * DAY).replace(second=number))
    integrity.look(now=now)
    case = IntegrityCase.objects.get()
    hq, operator, manager = (company.client(name) for name in ("hq", "operator", "manager"))
    page = hq.get(f"/admin/guides/integritycase/{case.pk}/change/").content.decode()
    assert "一分钟内添加多位好友" in page and "<svg" in page and "¥150.00" in page
    act = f"/admin/guides/integritycase/{case.pk}/act/confirm/"
    assert manager.get(act).status_code == 403  # a store manager sees the case, HQ decides
    hq.post(act, {"reason": ""})
    assert IntegrityCase.objects.get().status == "OPEN"
    hq.post(act, {"reason": "号商批量添加"})
    hq.post(act, {"reason": "号商批量添加"})
    assert IntegrityCase.objects.get().status == "PROPOSED"
    operator.post(act, {"reason": "复核属实"})
    assert IntegrityCase.objects.get().status == "CONFIRMED"
    figures = manager.get("/admin/guides/integritycase/figures/")
    assert figures.status_code == 200 and "奖励后证实为假" in figures.content.decode()
    queue = hq.get("/admin/guides/integritycase/").content.decode()
    assert "一分钟内添加多位好友" in queue


def test_a_programme_is_written_by_one_and_published_by_another(db: None) -> None:
    company = console()
    hq, operator = company.client("hq"), company.client("operator")
    tomorrow = timezone.localtime() + DAY
    values = {
        "brand": company.shops.brand.pk, "name": "春季加好友", "amount_fen": 300, "kept_days": 7, "expires_days": 60,
        "by_registration": "on", "starts_at_0": tomorrow.date().isoformat(), "starts_at_1": "00:00:00",
        "ends_at_0": (tomorrow + 30 * DAY).date().isoformat(), "ends_at_1": "00:00:00", "guide_day_cap": "",
        "store_month_cap": "0",
    }  # fmt: skip
    answer = hq.post("/admin/guides/rewardprogramme/add/", values)
    assert answer.status_code == 302, answer.context["adminform"].errors
    row = rewards.RewardProgramme.objects.get()
    assert (row.status, row.author, row.guide_day_cap, row.store_month_cap) == ("DRAFT", company.staff["hq"], None, 0)
    act = f"/admin/guides/rewardprogramme/{row.pk}/act/publish/"
    hq.post(act)
    assert rewards.RewardProgramme.objects.get().status == "DRAFT"
    operator.post(act)
    row.refresh_from_db()
    assert (row.status, row.approver) == ("PUBLISHED", company.staff["operator"])
    refused = hq.post(f"/admin/guides/rewardprogramme/{row.pk}/change/", {**values, "amount_fen": 9_900})
    assert refused.status_code == 403
    row.refresh_from_db()
    assert row.amount_fen == 300
