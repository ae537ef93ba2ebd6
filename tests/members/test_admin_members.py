"""A member in the console: found by number, card and name, on one screen, her number shown for a reason only."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from members import facts, reveals
from members.models import Identity, Member, MemberFacts
from scrm import crypto
from scrm.models import Act
from tests.factories.console import Console, console


@pytest.fixture
def company(db: None) -> Console:
    return console()


def number_of(member: Member) -> str:
    row = Identity.objects.get(member=member, kind="MOBILE")
    assert row.sealed is not None
    return crypto.open_mobile(bytes(row.sealed)).removeprefix("+86")


def page(member: Member, name: str = "change") -> str:
    return reverse(f"admin:members_member_{name}", args=(member.pk,))


def search(client: Any, term: str) -> Any:
    return client.post(reverse("admin:members_member_search"), {"q": term})


def test_a_mobile_number_leads_to_the_member_and_stands_in_no_address(company: Console) -> None:
    member = company.shops.members["安琪"]
    response = search(company.client("hq"), f"+86 {number_of(member)}")
    assert response.url == page(member)
    assert search(company.client("manager"), number_of(company.shops.members["白鹭"])).url == reverse(
        "admin:members_member_changelist"
    )
    listed = company.client("hq").get(reverse("admin:members_member_changelist"), {"q": number_of(member)})
    assert list(listed.context["cl"].result_list) == []  # an address with a number finds nobody
    assert company.client("hq").get(reverse("admin:members_member_search")).status_code == 405


def test_card_and_name_are_found_by_their_index(company: Console) -> None:
    member, client = company.shops.members["安琪"], company.client("hq")
    card = Identity.objects.get(member=member, kind="CARD").value
    for term in (card, card.lower(), "安"):
        found = client.get(search(client, term).url).context["cl"].result_list
        assert [row.pk for row in found] == [member.pk], term


def test_the_list_shows_masked_numbers(company: Console) -> None:
    member = company.shops.members["安琪"]
    text = company.client("hq").get(reverse("admin:members_member_changelist")).content.decode()
    assert number_of(member) not in text
    assert crypto.mask(f"+86{number_of(member)}") in text
    assert "王芳" in text  # her guide


def test_one_screen_at_a_fixed_number_of_queries(company: Console) -> None:
    member, client = company.shops.members["安琪"], company.client("hq")
    client.get(reverse("admin:index"))

    def count() -> int:
        with CaptureQueriesContext(connection) as caught:
            response = client.get(page(member))
        assert response.status_code == 200
        text = response.content.decode()
        assert number_of(member) not in text
        assert all(word in text for word in ("安琪", "王芳", "老客", "金卡", "专属导购历史"))
        return len(caught)

    before = count()
    now = timezone.now()
    for number in range(3):
        company.shops.line(f"x{number}", member="安琪", store="S1", paid_fen=500, at=now)
        Identity.objects.create(member=member, kind="UNIONID", namespace="MAIN", value=f"union{number}")
    assert count() == before <= 30


def test_purchases_are_paged_without_gaps(company: Console) -> None:
    member, client, now = company.shops.members["安琪"], company.client("hq"), timezone.now()
    for number in range(60):
        company.shops.line(f"y{number}", member="安琪", store="S1", paid_fen=100, at=now)  # all at one instant
    first = client.get(page(member, "purchases"))
    second = client.get(page(member, "purchases"), {"before": first.context["next"]})
    shown = [line.pk for response in (first, second) for line in response.context["lines"]]
    assert len(shown) == len(set(shown)) == 61
    assert client.get(page(member, "purchases"), {"before": "nonsense~1"}).context["lines"] == []


def test_a_reveal_needs_a_post_a_reason_and_leaves_an_act(company: Console) -> None:
    member, client = company.shops.members["安琪"], company.client("operator")
    assert number_of(member) not in client.get(page(member, "reveal")).content.decode()
    for data in ({}, {"reason": ""}, {"reason": "看"}):
        refused = client.post(page(member, "reveal"), data)
        assert refused.status_code == 400
        assert number_of(member) not in refused.content.decode()
    assert not Act.objects.filter(verb=reveals.VERB).exists()
    shown = client.post(page(member, "reveal"), {"reason": "回访上周的订单"})
    assert shown.status_code == 200
    assert number_of(member) in shown.content.decode()
    act = Act.objects.get(verb=reveals.VERB)
    assert (act.actor_id, act.target_id, act.reason) == (company.staff["operator"].pk, str(member.pk), "回访上周的订单")
    assert number_of(member) not in str(act.data)


def test_the_budget_ends_in_429(company: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reveals, "REVEALS_PER_DAY", 1)
    member, client = company.shops.members["安琪"], company.client("operator")
    assert client.post(page(member, "reveal"), {"reason": "第一次回访"}).status_code == 200
    refused = client.post(page(member, "reveal"), {"reason": "第二次回访"})
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0
    assert number_of(member) not in refused.content.decode()


@pytest.mark.parametrize("name", ["auditor", "franchisee"])
def test_who_may_not_reveal_is_refused(company: Console, name: str) -> None:
    member = company.shops.members["付雪"]
    client = company.client(name)
    assert page(member, "reveal") not in client.get(page(member)).content.decode()
    assert client.post(page(member, "reveal"), {"reason": "随便看看吧"}).status_code == 403
    assert not Act.objects.filter(verb=reveals.VERB).exists()


def test_a_foreign_members_name_is_not_shown_beside_her_line(company: Console) -> None:
    """A member of S2 buys in S1: its manager sees the line, not who she is."""
    company.shops.line("visit", member="白鹭", store="S1", paid_fen=900, at=timezone.now())
    text = company.client("manager").get(reverse("admin:members_orderline_changelist")).content.decode()
    assert "白鹭" not in text
    assert "安琪" in text


def test_facts_of_all_stores_are_for_who_sees_all_stores(company: Console) -> None:
    """S1: her purchases elsewhere are not told as a sum either."""
    member = company.shops.members["付雪"]
    facts.refresh_all(now=timezone.now())
    assert MemberFacts.objects.filter(member=member).exists()
    address = reverse("admin:members_member_change", args=(member.pk,))
    seen = {name: company.client(name).get(address).context["profile"] for name in ("hq", "franchisee")}
    assert seen["hq"]["facts"].member_id == member.pk and seen["hq"]["scores"] is not None
    assert seen["franchisee"]["facts"] is None and seen["franchisee"]["weekday"] == ""
    assert "只对能看全部门店的人显示" in company.client("franchisee").get(address).content.decode()
