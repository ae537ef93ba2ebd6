"""Contacts in the console: who sees whom, the proof of the count, and what a person decides."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from guides import contacts
from guides.models import Contact, ContactSweep, ContactToRead, Follower, Friendship, HeldEnds, LinkConflict
from scrm.models import Act, Corp, Job, WecomApp
from scrm.wecom.customers import Customer, Follow
from tests.factories.console import Console, console

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
FRIENDS = {"A": 3, "B": 2, "F": 1}


@pytest.fixture
def company(db: None) -> Console:
    """A's three friends (one of them 安琪, one has deleted her), B's two and F's one."""
    made = console()
    corp = Corp.objects.create(corp_id="wwC", name="示例公司")
    WecomApp.objects.create(corp=corp, kind="SELF_BUILT", name="私域", agent_id=1, secret_sealed=b"")
    for name, count in FRIENDS.items():
        guide = made.shops.guides[name]
        guide.wecom_userid = f"u{name.lower()}"
        guide.save()
        for n in range(count):
            customer = Customer(f"wm{name}{n}", f"客{name}{n}", 1, unionid=f"o{name}{n}")
            contacts.record_friend(corp=corp, customer=customer, follow=Follow(guide.wecom_userid, NOW), now=NOW)
    made.shops.members["安琪"].identities.create(kind="UNIONID", namespace="MAIN", value="oA0")
    contacts.recognise_late(now=NOW)
    Friendship.objects.filter(contact__external_userid="wmA1").update(customer_left_at=NOW)
    Follower.objects.update(wecom_count=1, counted_here=2, swept_at=NOW)
    return made


def get(company: Console, who: str, page: str, *args: Any, **query: Any) -> Any:
    return company.client(who).get(reverse(f"admin:{page}", args=args), query)


def post(company: Console, who: str, page: str, *args: Any, **data: Any) -> Any:
    return company.client(who).post(reverse(f"admin:{page}", args=args), data)


def shown(company: Console, who: str, page: str = "guides_contact_changelist", **query: Any) -> set[str]:
    rows = get(company, who, page, **query).context["cl"].result_list
    return {str(getattr(row, "contact", row)) for row in rows}


def test_each_sees_the_contacts_of_the_own_stores(company: Console) -> None:
    everybody = {f"客{name}{n}" for name, count in FRIENDS.items() for n in range(count)}
    assert shown(company, "hq") == shown(company, "hq", "guides_friendship_changelist") == everybody
    assert shown(company, "manager") == {"客A0", "客A1", "客A2"}
    assert shown(company, "franchisee", "guides_friendship_changelist") == {"客F0"}
    assert shown(company, "hq", q="客B") == {"客B0", "客B1"}
    assert shown(company, "hq", q="wmA0") == shown(company, "hq", q="oA0") == {"客A0"}
    assert shown(company, "hq", "guides_friendship_changelist", state="left") == {"客A1"}


def test_the_page_of_a_contact_names_the_member_and_the_guides_one_may_see(company: Console) -> None:
    row = Contact.objects.get(external_userid="wmA0")
    other = Friendship.objects.create(
        contact=row, corp=row.corp, userid="ub", guide=company.shops.guides["B"], added_at=NOW
    )
    page = get(company, "hq", "guides_contact_change", row.pk).content.decode()
    assert "安琪" in page and "王芳" in page and "李娜" in page
    own = get(company, "manager", "guides_contact_change", row.pk).content.decode()
    assert "安琪" in own and "王芳" in own and "李娜" not in own
    assert get(company, "franchisee", "guides_contact_change", row.pk).status_code == 404
    assert other.pk


@pytest.mark.parametrize(
    ("name", "one"), [("contact", "wmF0"), ("friendship", "wmF0"), ("follower", "uf"), ("heldends", None)]
)
def test_a_list_asks_the_same_for_one_row_and_for_many(company: Console, name: str, one: str | None) -> None:
    held_back(company, "A")
    client = company.client("hq")
    counts: list[int] = []
    for query in ({"q": one} if one else {}, {}):
        if not one and counts:
            held_back(company, "B")
            held_back(company, "F")
        client.get(reverse(f"admin:guides_{name}_changelist"), query)  # what a process asks once
        with CaptureQueriesContext(connection) as queries:
            assert client.get(reverse(f"admin:guides_{name}_changelist"), query).status_code == 200
        counts.append(len(queries))
    assert counts[1] - counts[0] in (-1, 0, 1)  # a page without members asks for no names; a search is counted


def test_the_member_page_shows_her_friends(company: Console) -> None:
    page = get(company, "manager", "members_member_change", company.shops.members["安琪"].pk).content.decode()
    assert "客A0" in page and "客A1" not in page


def test_reading_again_is_an_act(company: Console) -> None:
    row = Contact.objects.get(external_userid="wmF0")
    assert post(company, "franchisee", "guides_contact_act", row.pk, "read_again").status_code == 403
    post(company, "operator", "guides_contact_act", row.pk, "read_again")
    assert ContactToRead.objects.get().contact == row
    assert Act.objects.filter(verb="contacts.read_again", target_id=str(row.pk)).exists()


def test_a_conflict_is_seen_and_checked_again(company: Console) -> None:
    row = Contact.objects.get(external_userid="wmA0")
    other = company.shops.members["白鹭"].identities.create(kind="EXTERNAL_USERID", namespace="wwC", value="wmA1")
    company.shops.members["安琪"].identities.create(kind="UNIONID", namespace="MAIN", value="oA1")
    contacts.recognise_late(now=NOW)
    conflict = LinkConflict.objects.get()
    assert get(company, "hq", "guides_linkconflict_changelist").status_code == 200
    page = get(company, "hq", "guides_contact_changelist").content.decode()
    assert page.count("身份冲突") > get(company, "hq", "guides_friendship_changelist").content.decode().count(
        "身份冲突"
    )
    post(company, "hq", "guides_linkconflict_act", conflict.pk, "check_again")
    assert LinkConflict.objects.get().resolved_at is None
    other.delete()
    post(company, "hq", "guides_linkconflict_act", conflict.pk, "check_again")
    assert LinkConflict.objects.get().resolved_at is not None
    assert row.member == Contact.objects.get(external_userid="wmA1").member


# --- the proof --------------------------------------------------------------------------------------------------------


def test_the_proof_adds_up_region_by_region_store_by_store(company: Console) -> None:
    response = get(company, "hq", "guides_follower_proof")
    rows = {row.name: row for row in response.context["rows"]}
    assert {name: (row.friend_count, row.left_count, row.account_count) for name, row in rows.items()} == {
        "北区": (4, 1, 2), "南区": (2, 0, 1),
    }  # fmt: skip
    assert (rows["北区"].difference, rows["北区"].since_then) == (2, 0)
    assert response.context["total"]["friend_count"] == 6
    north = get(company, "hq", "guides_follower_proof", region=rows["北区"].key).context["rows"]
    assert {row.name: row.friend_count for row in north} == {"S1店 S1": 3, "F1店 F1": 1}
    store = get(company, "hq", "guides_follower_proof", region=rows["北区"].key, store=company.shops.stores["S1"].pk)
    assert [row.name for row in store.context["rows"]] == ["王芳 G00001 · ua"]


def test_s1_the_proof_counts_the_own_stores_only(company: Console) -> None:
    Follower.objects.create(corp=Corp.objects.get(), userid="nobody", friend_count=7)
    total = {who: get(company, who, "guides_follower_proof").context["total"]["friend_count"] for who in company.staff}
    assert total == {
        "hq": 13,
        "operator": 13,
        "auditor": 13,
        "region": 4,
        "franchisee": 1,
        "franchisee_b": 0,
        "manager": 3,
    }
    foreign = company.shops.stores["S2"].pk
    assert get(company, "manager", "guides_follower_proof", store=foreign).context["rows"] == []
    assert get(company, "manager", "guides_follower_proof", store="x", region="-1").status_code == 200


def test_a_sweep_is_begun_for_what_one_sees(company: Console) -> None:
    assert get(company, "hq", "guides_follower_sweep").status_code == 405
    assert post(company, "manager", "guides_follower_sweep").status_code == 403
    post(company, "region", "guides_follower_sweep", store=company.shops.stores["S2"].pk)
    assert not Job.objects.filter(kind="contact_sync").exists()
    post(company, "region", "guides_follower_sweep")
    assert Job.objects.get(kind="contact_sync").params["userids"] == ["ua", "uf"]
    Job.objects.all().delete()
    post(company, "operator", "guides_follower_sweep")
    assert Job.objects.get(kind="contact_sync").params["kind"] == "FULL"


def test_a_sweep_under_way_is_shown_with_its_share(company: Console) -> None:
    ContactSweep.objects.create(
        corp=Corp.objects.get(), kind="FULL", status="PAUSED", started_at=NOW, account_count=8, swept_count=2,
        error_code="wecom_rate_limited",
    )  # fmt: skip
    page = get(company, "hq", "guides_follower_proof").content.decode()
    assert "width: 25%" in page and "reload.js" in page
    assert "reload.js" not in get(company, "manager", "guides_follower_proof").content.decode()


# --- ends held back ---------------------------------------------------------------------------------------------------


def held_back(company: Console, name: str) -> HeldEnds:
    account = Follower.objects.get(userid=f"u{name.lower()}")
    ids = list(Friendship.objects.filter(userid=account.userid).values_list("pk", flat=True))
    sweep = ContactSweep.objects.create(corp=account.corp, kind="FULL", status="DONE", started_at=NOW)
    return HeldEnds.objects.create(
        sweep=sweep,
        follower=account,
        read_from=timezone.now(),
        friendship_ids=ids,
        missing_count=len(ids),
        friend_count=len(ids),
    )


def test_ends_are_confirmed_with_a_reason_by_who_may_and_sees_them(company: Console) -> None:
    ours, foreign = held_back(company, "A"), held_back(company, "B")
    assert post(company, "manager", "guides_heldends_act", ours.pk, "confirm", reason="r").status_code == 403
    assert post(company, "region", "guides_heldends_act", foreign.pk, "confirm", reason="r").status_code == 404
    post(company, "region", "guides_heldends_act", ours.pk, "confirm")  # no reason
    assert HeldEnds.objects.get(pk=ours.pk).status == "WAITING"
    post(company, "region", "guides_heldends_act", ours.pk, "confirm", reason="店员确认")
    row = HeldEnds.objects.get(pk=ours.pk)
    assert (row.status, row.ended_count, row.decided_by) == ("CONFIRMED", 3, company.staff["region"])
    assert Follower.objects.get(userid="ua").friend_count == 0
    assert Act.objects.get(verb="contacts.confirm_ends").reason == "店员确认"


def test_chosen_ends_are_decided_together(company: Console) -> None:
    rows = [held_back(company, name) for name in "AB"]
    chosen = {"action": "dismiss_chosen", "_selected_action": [row.pk for row in rows]}
    company.client("region").post(reverse("admin:guides_heldends_changelist"), chosen)
    assert [row.status for row in HeldEnds.objects.order_by("pk")] == ["DISMISSED", "WAITING"]


def test_a_page_of_no_single_row_ends_its_way_with_its_own_name(db: None) -> None:
    """The header of the proof spoke of the accounts only; so did those of all pages that stand beside a list."""
    client = console().client("hq")
    for path, title in (
        ("follower/proof/", "好友数对账"),
        ("contactway/bulk/", "批量生成导购活码"),
        ("contactway/new/", "新建渠道活码"),
    ):
        page = client.get(f"/admin/guides/{path}").content.decode()
        assert f'aria-current="page">{title}</span>' in page, path
