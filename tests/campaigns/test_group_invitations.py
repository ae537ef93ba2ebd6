"""Invitations into groups: who is left out and why, each guide's list, and who has come; against the sandbox."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from campaigns.communities import invitations
from campaigns.experiments import draw
from campaigns.models import ContactBudget, Group, GroupInvitation, GroupStay, Holdout, Invitee, JoinWay, Recipient
from members import consent
from members.models import Member
from scrm import jobs
from tests.campaigns.mailing import Mailing, mailing
from tests.factories.wecom import Wired, sandbox

__all__ = ["sandbox"]
pytestmark = pytest.mark.django_db
DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)


@pytest.fixture
def company(sandbox: Wired) -> Mailing:
    found = mailing(sandbox)
    for code in ("S1",):
        store, guide = found.shops.stores[code], found.shops.guides["A"]
        Group.objects.create(
            corp=sandbox.corp,
            chat_id=f"wr{code}",
            name=f"{code}福利群",
            owner=guide,
            store=store,
            asked_at=timezone.now(),
        )
        JoinWay.objects.create(
            corp=sandbox.corp,
            store=store,
            name=f"{code}入群码",
            state=f"j{code}",
            status="LIVE",
            config_id=code,
            qr_code="https://work.weixin.qq.com/gm/x",
        )
    return found


def asked(company: Mailing, *members: Member) -> GroupInvitation:
    now = timezone.now()
    row = invitations.draft(
        corp=company.wired.corp, name="会员日入群", snapshot=company.snapshot(*members), text="{客户称呼}，{导购姓名}邀请您进{门店名称}的群",
        starts_at=now - HOUR, ends_at=now + 7 * DAY, actor=company.hq,
    )  # fmt: skip
    assert row.job is not None
    jobs.run(row.job.pk)
    invitations.give_out(invitation=row, actor=company.hq, now=now)
    row.refresh_from_db()
    return row


def reasons(row: GroupInvitation) -> dict[str, str]:
    return {one.member.name: one.reason for one in row.invitees.select_related("member")}


def enters(member: Member, *, state: str = "", ago: dt.timedelta = dt.timedelta()) -> GroupStay:
    group = Group.objects.get(chat_id="wrS1")
    at = timezone.now() - ago
    return GroupStay.objects.create(group=group, userid=f"wm{member.pk}", member=member, joined_at=at, state=state)


def test_everybody_is_invited_once_or_left_out_for_the_first_reason(
    company: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = company.member("可邀", "A", bound="A")
    inside, refused = company.member("在群", "A"), company.member("退订", "A")
    alone, far = company.member("无导购"), company.member("无码", "B", store="S2")
    frozen = company.member("冻结", "A", status="FROZEN")
    spent, held = company.member("触达满", "A"), company.member("留白", "A")
    enters(inside, ago=DAY)
    now = timezone.now()
    consent.say(member=refused, purpose="WECOM_MARKETING", is_given=False, source="WECOM", said_at=now, now=now)
    ContactBudget.objects.create(brand=company.shops.brand, most_count=1, days=30)
    send = company.planned(spent)
    Recipient.objects.filter(send=send, member=spent).update(contacted_at=now - DAY)
    place = draw.place_sql
    monkeypatch.setattr(
        draw,
        "place_sql",
        lambda salt, who: f"CASE WHEN {who} = {held.pk} THEN 0 ELSE 9999 + 0 * {place(salt, who)} END",
    )
    row = asked(company, fine, inside, refused, alone, far, frozen, spent, held)
    assert reasons(row) == {
        "可邀": "", "在群": "IN_GROUP", "退订": "NO_CONSENT", "无导购": "NO_GUIDE", "无码": "NO_WAY", "冻结": "NOT_ACTIVE", "触达满": "BUDGET",
        "留白": "HELD_OUT",
    }  # fmt: skip
    assert (row.audience_count, row.invited_count) == (8, 1)
    one = Invitee.objects.get(invitation=row, reason="")
    assert (one.guide, one.store, one.way) == (
        company.shops.guides["A"],
        company.shops.stores["S1"],
        JoinWay.objects.get(),
    )
    with pytest.raises(invitations.BadInvitation):
        invitations.draft(
            corp=company.wired.corp, name="x", snapshot=row.snapshot, text=" ", starts_at=now, ends_at=now, actor=None
        )


def test_a_guide_has_her_list_with_words_and_code_and_who_joins_is_counted(company: Mailing, client: Any) -> None:
    today = draw.quarter_of(timezone.now())
    Holdout.objects.create(brand=company.shops.brand, first_day=today, salt="none", share_bp=0)
    first, second, third = (company.member(name, "A", bound="A") for name in ("李敏", "王芬", "赵云"))
    never = company.member("后退订", "A")
    row = asked(company, first, second, third, never)
    headers = {"Authorization": f"Bearer {company.shops.token('A')}"}

    def listed() -> dict[str, Any]:
        items = client.get("/api/guide/group-invitations", headers=headers).json()["items"]
        return {item["member_name"]: item for item in items}

    assert set(listed()) == {"李敏", "王芬", "赵云", "后退订"}
    now = timezone.now()
    consent.say(member=never, purpose="WECOM_MARKETING", is_given=False, source="WECOM", said_at=now, now=now)
    shown = listed()
    assert set(shown) == {"李敏", "王芬", "赵云"} and "王芳邀请您进S1店的群" in shown["李敏"]["text"]
    picture = client.get(f"/api/guide/join-ways/{shown['李敏']['way_id']}/picture", headers=headers)
    assert picture["Content-Type"] == "image/png" and picture.content.startswith(b"\x89PNG")
    said = client.post(
        f"/api/guide/group-invitations/{shown['李敏']['id']}/sent", json.dumps({}), content_type="application/json",
        headers={**headers, "Idempotency-Key": "invited-1"},
    )  # fmt: skip
    assert said.status_code == 200 and said.json()["sent_at"]
    enters(first, state="jS1")
    enters(second)
    assert invitations.sweep(now=timezone.now()) == 2 and invitations.sweep(now=timezone.now()) == 0
    assert set(listed()) == {"赵云"}
    joined = {
        one.member.name: one.is_by_way for one in row.invitees.filter(joined_at__isnull=False).select_related("member")
    }
    assert joined == {"李敏": True, "王芬": False}
    invitations.sweep(now=timezone.now() + 8 * DAY)
    row.refresh_from_db()
    assert (row.status, row.joined_count) == ("ENDED", 2) and listed() == {}
    client.force_login(company.shops.staff["hq"])
    page = client.get(reverse("admin:campaigns_groupinvitation_change", args=(row.pk,))).content.decode()
    assert "1 / 4" in page and "会员日入群" in page


def test_a_guide_sees_her_groups_and_a_manager_those_of_the_store(company: Mailing, client: Any) -> None:
    group = Group.objects.get()

    def names(who: str) -> list[str]:
        headers = {"Authorization": f"Bearer {company.shops.token(who)}"}
        return [item["name"] for item in client.get("/api/guide/groups", headers=headers).json()["items"]]

    assert (names("A"), names("M"), names("B")) == (["S1福利群"], ["S1福利群"], [])
    headers = {"Authorization": f"Bearer {company.shops.token('M')}"}
    enters(company.member("李敏", "A"), state="jS1", ago=HOUR)
    found = client.get(f"/api/guide/groups/{group.pk}", headers=headers).json()
    assert (found["is_mine"], found["health"], found["routes"][0]["way"]) == (False, "NONE", "S1入群码")
    ways = client.get("/api/guide/join-ways", headers=headers).json()["items"]
    assert [(way["name"], way["joined_ever"]) for way in ways] == [("S1入群码", 1)]
