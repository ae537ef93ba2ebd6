"""The whole loop against the sandbox: a code is scanned, and friend, welcome, member and binding follow."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from guides import welcomes
from guides.models import (
    Binding,
    BindingRequest,
    Contact,
    Friendship,
    Material,
    Touch,
    WayDay,
    Welcome,
    WelcomePart,
    WelcomeSend,
)
from scrm.wecom import outbox
from scrm.wecom.sandbox import people
from tests.guides.contact_ways.conftest import Company

PNG = b"\x89PNG\r\n\x1a\n"
TEXT = "{客户昵称}您好，我是{门店名称}的{导购姓名}"


def test_from_a_scan_to_a_bound_member(company: Company) -> None:
    """Ends in the same rows when WeCom tells everything twice (W3)."""
    member = company.shops.member("安琪", store="S2")
    member.identities.create(kind="UNIONID", namespace="MAIN", value="oU1")
    Welcome.objects.create(corp=company.wecom.corp, name="通用", text=TEXT)
    way = company.make()
    company.wecom.faults.road.duplicate = 1.0
    external_userid = company.scan(way, "晚风", unionid="oU1")
    contact = Contact.objects.get(external_userid=external_userid)
    assert (contact.member, contact.name) == (member, "晚风")
    binding = Binding.objects.get()
    assert (binding.member, binding.guide, binding.store, binding.source) == (
        member, company.shops.guides["A"], company.shops.stores["S1"], "SCAN",
    )  # fmt: skip
    assert (Touch.objects.get().way_id, BindingRequest.objects.get().answer) == (way.pk, "OPEN")
    day = WayDay.objects.get()
    assert (day.asked_count, day.friend_count, day.member_count, day.bound_count) == (1, 1, 1, 1)
    assert not company.wecom.world.sent  # her nickname was not known before the guide accepted
    outbox.send_due(now=timezone.now() + dt.timedelta(seconds=3))
    (sent,) = company.wecom.world.sent
    assert sent.content["text"] == "晚风您好，我是S1店的王芳"
    assert [row.outcome for row in WelcomeSend.objects.all()] == ["SENT"]


def test_a_nickname_that_does_not_come_is_not_waited_for_long(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    Welcome.objects.create(corp=company.wecom.corp, name="通用", text=TEXT)
    way = company.make()
    people.scan(company.wecom.world, way.config_id or "", company.wecom.world.add_contact("晚风").external_userid)
    company.hear()
    assert not company.wecom.world.sent
    monkeypatch.setattr(welcomes, "NAME_WAITED_FOR", dt.timedelta(0))
    outbox.send_due(now=timezone.now() + dt.timedelta(seconds=3))
    assert company.wecom.world.sent[0].content["text"].startswith("朋友您好")


def test_a_stranger_stays_a_contact(company: Company) -> None:
    company.scan(company.make(), unionid="oNobody")
    assert Friendship.objects.get().is_confirmed and not Binding.objects.exists()
    assert Touch.objects.count() == 1


def test_a_welcome_of_the_code_with_its_picture(company: Company) -> None:
    way = company.make()
    Welcome.objects.create(corp=company.wecom.corp, name="通用", text="通用")
    own = Welcome.objects.create(corp=company.wecom.corp, name="专属", text="专属", way=way)
    company.wecom.world.media["M1"] = {"kind": "image", "until": float("inf"), "name": "a.png"}
    known = {"corp": company.wecom.corp, "kind": "image", "content": PNG, "size": len(PNG)}
    there = Material.objects.create(
        **known, name="a.png", media_id="M1", expires_at=timezone.now() + dt.timedelta(days=1)
    )
    gone = Material.objects.create(**known, name="b.png", media_id="M0", expires_at=timezone.now())
    for picture in (there, gone):  # what has run out at WeCom is left off
        WelcomePart.objects.create(welcome=own, kind="image", material=picture)
    company.scan(way)
    (sent,) = company.wecom.world.sent
    assert sent.content["text"] == "专属" and len(sent.content["attachments"]) == 1


def greeted(company: Company, **at: Any) -> WelcomeSend:
    """A scan whose event we hear now and whose welcome we send at another time."""
    Welcome.objects.create(corp=company.wecom.corp, name="通用", text="您好")
    way = company.make()
    contact = company.wecom.world.add_contact("晚风")
    people.scan(company.wecom.world, way.config_id or "", contact.external_userid)
    return WelcomeSend()


def test_what_comes_too_late_is_said_to_be_so(company: Company) -> None:
    greeted(company)
    company.wecom.tell()
    row = WelcomeSend.objects.get()
    assert row.outcome == "WAITING"
    outbox.send_due(now=timezone.now() + welcomes.TRIED_FOR)
    row.refresh_from_db()
    assert row.outcome == "LATE" and not company.wecom.world.sent


def test_another_app_or_the_customer_was_first(company: Company) -> None:
    greeted(company)
    company.wecom.tell()
    company.wecom.faults.add("code", "externalcontact/send_welcome_msg", code=41051)
    company.send()
    assert WelcomeSend.objects.get().outcome == "TAKEN"


def test_another_app_is_sending_and_then_we_may(company: Company) -> None:
    """41096 is tried again within the twenty seconds."""
    greeted(company)
    company.wecom.tell()
    company.wecom.faults.add("code", "externalcontact/send_welcome_msg", code=41096, times=2)
    company.send()
    outbox.send_due(now=timezone.now() + dt.timedelta(seconds=8))
    assert WelcomeSend.objects.get().outcome == "SENT"


def test_without_a_message_the_friend_is_noted_all_the_same(company: Company) -> None:
    company.scan(company.make())
    assert set(WelcomeSend.objects.values_list("outcome", flat=True)) == {"NONE"}
