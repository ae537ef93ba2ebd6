"""Lists: one number of queries whatever they show, counted without reading a big table, paged to a limit."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from guides import touches
from guides.models import (
    BindingRequest,
    Contact,
    ContactWay,
    CorpTag,
    Department,
    DirectorySweep,
    Friendship,
    StrayWay,
    TagGroup,
    TagMapping,
    TagPush,
    WecomMember,
    Welcome,
    WelcomeSend,
)
from members.models import Member, OrderLine, Tag
from scrm.admin import lists
from scrm.models import Corp, GroupWay
from tests.factories import shops as factory
from tests.factories.console import Console, console

LISTS = (
    "members_member", "members_identity", "members_orderline", "members_refund", "guides_guide", "guides_binding",
    "guides_employment", "attribution_decision", "attribution_hold", "attribution_entry", "attribution_txn",
    "attribution_account", "attribution_beneficiary", "scrm_outboxmessage", "scrm_store", "scrm_user", "scrm_grant",
    "scrm_act", "scrm_job",
    "guides_wecommember", "guides_department", "guides_directorysweep", "guides_contactway", "guides_touch",
    "guides_bindingrequest", "guides_welcomesend", "guides_welcome", "guides_tagmapping", "guides_corptag", "guides_tagpush",
    "guides_strayway", "scrm_groupway",
)  # fmt: skip


@pytest.fixture
def company(db: None) -> Console:
    return console()


def queries(client: Any, address: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as caught:
        assert client.get(address).status_code == 200
    return len(caught)


def grow(company: Console) -> None:
    """Three of everything where there was one."""
    now = timezone.now()
    wecom_rows(company, 3)
    for number in range(3):
        name = f"成员{number}"
        company.shops.member(name, store="S1", guide="A")
        company.shops.line(
            f"more{number}", member=name, store="S1", paid_fen=7_700, at=now - dt.timedelta(hours=3), cashier="G00001"
        )
        company.shops.refund(f"more{number}", 700, now)
        guide = factory.hire(f"G1000{number}", f"新导购{number}", company.shops.stores["S1"])
        factory.bind(company.shops.member(f"新成员{number}", store="S1"), guide, company.shops.stores["S1"])


def wecom_rows(company: Console, count: int) -> None:
    now = timezone.now()
    corp, _is_new = Corp.objects.get_or_create(corp_id="ww1", defaults={"name": "示例公司"})
    for _time in range(count):
        number = WecomMember.objects.count() + 1
        sign = {"corp": corp, "state_at": now}
        Department.objects.create(number=number, name=f"S{number}店", parent_number=max(0, number - 1), **sign)
        WecomMember.objects.create(userid=f"u{number}", name="王芳", departments=[number], **sign)
        DirectorySweep.objects.create(corp=corp, started_at=now)
        friend_rows(company, corp, number)


def friend_rows(company: Console, corp: Corp, number: int) -> None:
    """One of what follows from a friend."""
    now, guide, store = timezone.now(), company.shops.guides["A"], company.shops.stores["S1"]
    member = company.shops.members["安琪"]
    contact = Contact.objects.create(corp=corp, external_userid=f"wm{number}", name="晚风")
    friend = Friendship.objects.create(contact=contact, userid="guide_a", corp=corp, guide=guide)
    way = ContactWay.objects.create(corp=corp, purpose="STORE", store=store, name="门店码", state=f"w{number}")
    touches.record(
        key=f"f{number}", kind="QR", guide_id=guide.pk, store_id=store.pk, member_id=member.pk, at=now, way_id=way.pk
    )
    BindingRequest.objects.create(
        key=f"f{number}", member=member, guide=guide, store=store, source="SCAN", answer="REFUSED_PROTECTED", holder=guide, at=now
    )  # fmt: skip
    welcome = Welcome.objects.create(corp=corp, name="欢迎", text="您好", way=way)
    WelcomeSend.objects.create(friendship=friend, guide=guide, welcome=welcome, code_hash=f"f{number}", event_at=now)
    group = TagGroup.objects.create(corp=corp, group_id=f"g{number}", name="口味")
    corp_tag = CorpTag.objects.create(corp=corp, group=group, tag_id=f"t{number}", name="少糖")
    tag = Tag.objects.create(brand=company.shops.brand, name=f"标签{number}")
    TagMapping.objects.create(corp=corp, tag=tag, group_name="口味", corp_tag=corp_tag)
    TagPush.objects.create(friendship=friend, add_ids=[corp_tag.tag_id], changed_at=now)
    StrayWay.objects.create(corp=corp, config_id=f"c{number}", way=way, found_at=now)
    GroupWay.objects.create(corp=corp, state=f"j{number}", remark="入群码", status="LOST")
    GroupWay.objects.create(corp=corp, state=f"k{number}", remark="入群码")


def test_no_list_asks_row_by_row(company: Console) -> None:
    wecom_rows(company, 1)
    clients = {name: company.client(name) for name in ("hq", "manager")}
    for client in clients.values():
        client.get(reverse("admin:index"))  # the session's first click writes its times
    before = {
        (name, label): queries(client, reverse(f"admin:{label}_changelist"))
        for name, client in clients.items()
        for label in LISTS
        if name == "hq" or label in ("members_member", "members_orderline", "attribution_decision", "guides_binding")
    }
    grow(company)
    after = {(name, label): queries(clients[name], reverse(f"admin:{label}_changelist")) for name, label in before}
    assert after == before
    assert max(after.values()) <= 14, sorted(after.items(), key=lambda item: -item[1])[:3]


def test_a_filtered_list_is_counted_to_the_cap(company: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "COUNT_CAP", 2)
    counted = lists.CappedPaginator(Member.objects.filter(name__startswith="").order_by("-pk"), 50)
    assert (counted.count, counted.count_text) == (2, "2+")
    few = lists.CappedPaginator(Member.objects.filter(name="安琪").order_by("-pk"), 50)
    assert (few.count, few.count_text) == (1, "1")


def test_an_unfiltered_list_is_counted_by_the_planner(company: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "estimated_rows", lambda model: 30_000_000)
    with CaptureQueriesContext(connection) as caught:
        counted = lists.CappedPaginator(OrderLine.objects.order_by("-pk"), 50)
        assert (counted.count, counted.count_text) == (30_000_000, "≈ 30,000,000")
        assert counted.num_pages == lists.COUNT_CAP // 50
    assert len(caught) == 0


def test_the_estimate_adds_up_the_partitions(company: Console) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE members_orderline")
    assert lists.estimated_rows(OrderLine) == 3


def test_no_page_lies_beyond_the_cap(company: Console) -> None:
    client, address = company.client("hq"), reverse("admin:members_member_changelist")
    assert client.get(address, {"p": 2}).context["cl"].result_list == []
    assert client.get(address, {"p": lists.COUNT_CAP // 30 + 1}).status_code == 302  # back to the list, with the reason
    assert client.get(address, {"p": 0}).status_code == 302


def test_pages_carry_no_copy_in_caches_and_the_policy(company: Console) -> None:
    for name in ("members_member_changelist", "index", "imports"):
        response = company.client("hq").get(reverse(f"admin:{name}"))
        assert "no-store" in response["Cache-Control"]
        policy = response["Content-Security-Policy"]
        assert "script-src 'self' 'unsafe-eval';" in policy + ";"
        assert "style-src 'self' 'unsafe-inline'" in policy


def test_no_page_has_a_script_in_it(company: Console) -> None:
    """The policy forbids it, so such a script would silently not run."""
    client, member = company.client("hq"), company.shops.members["安琪"]
    for address in (
        reverse("admin:index"), reverse("admin:members_member_change", args=(member.pk,)), reverse("admin:import_start"),
        reverse("admin:members_member_changelist"),
    ):  # fmt: skip
        for tag in client.get(address).content.decode().split("<script")[1:]:
            head = tag.split(">", 1)[0]
            assert "src=" in head or 'type="application/json"' in head, (address, head)
