"""What follows from a new friend: touch, count, claim, now or when she is recognised."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db.models import Sum

from guides import contact_ways, contacts, directory, new_friends
from guides.contacts import listeners, pairs
from guides.models import (
    Binding,
    BindingRequest,
    Contact,
    ContactToRead,
    ContactWay,
    FriendNews,
    Friendship,
    Touch,
    WayDay,
)  # fmt: skip
from members.models import Identity, Member
from scrm import db
from scrm.models import Corp
from scrm.wecom import corps, customers
from tests.factories import shops as factory

T0 = dt.datetime(2026, 11, 2, 2, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def shops(db: None, monkeypatch: pytest.MonkeyPatch) -> factory.Shops:
    for name, listener in (("friend_added", new_friends.friend_added), ("member_linked", new_friends.member_linked)):
        monkeypatch.setattr(listeners, name, [listener])
    company = factory.shops()
    for name, userid in (("A", "guide_a"), ("B", "guide_b")):
        company.guides[name].wecom_userid = userid
        company.guides[name].save()
    company.member("安琪", store="S1")
    return company


@pytest.fixture
def corp(db: None) -> Corp:
    return Corp.objects.create(corp_id="wwTEST00000001", name="示例公司")


@pytest.fixture
def way(shops: factory.Shops, corp: Corp) -> ContactWay:
    staff = [contact_ways.Staff(shops.guides["A"])]
    return contact_ways.draft(
        corp=corp, purpose="GUIDE", name="王芳", staff=staff, guide=shops.guides["A"], actor=None, now=T0
    )


def hear(corp: Corp, userid: str, state: str = "", at: dt.datetime = T0, ext: str = "wmA1") -> Friendship:
    change = pairs.Change(pairs.ADDED, at, state=state)
    return contacts.hear(corp=corp, userid=userid, external_userid=ext, change=change)


def read(
    corp: Corp, userid: str, *, unionid: str = "", add_way: int = 1, state: str = "", at: dt.datetime = T0
) -> Contact:
    customer = customers.Customer("wmA1", "晚风", 1, unionid=unionid)
    follow = customers.Follow(userid, at, add_way=add_way, state=state)
    return contacts.record(corp=corp, customer=customer, follows=[follow], read_at=db.clock())


def known_as(member: Member, unionid: str) -> None:
    Identity.objects.create(member=member, kind="UNIONID", namespace="MAIN", value=unionid)


def counts(way: ContactWay) -> tuple[Any, ...]:
    row = WayDay.objects.get(way=way)
    return row.guide_id, row.day, row.friend_count, row.member_count, row.bound_count


def test_a_scan_becomes_touch_contact_member_and_binding(shops: factory.Shops, corp: Corp, way: ContactWay) -> None:
    """The event first, the reading after it: the binding opens when the reading says who she is."""
    known_as(shops.members["安琪"], "oU1")
    hear(corp, "guide_a", way.state)
    touch = Touch.objects.get()
    assert (touch.kind, touch.guide, touch.way_id, touch.at, touch.member) == (
        "QR",
        shops.guides["A"],
        way.pk,
        T0,
        None,
    )
    assert touch.store == shops.stores["S1"]
    assert counts(way) == (shops.guides["A"].pk, dt.date(2026, 11, 2), 1, 0, 0)
    assert not Binding.objects.exists()
    contact = read(corp, "guide_a", unionid="oU1", state=way.state)
    binding = Binding.objects.get()
    assert (binding.member, binding.guide, binding.source) == (shops.members["安琪"], shops.guides["A"], "SCAN")
    assert binding.started_at == contact.linked_at
    assert counts(way)[2:] == (1, 1, 1)


def test_the_same_told_again_changes_nothing(shops: factory.Shops, corp: Corp, way: ContactWay) -> None:
    """W3: events and readings repeated."""
    known_as(shops.members["安琪"], "oU1")
    for _again in range(3):
        friendship = hear(corp, "guide_a", way.state)
        read(corp, "guide_a", unionid="oU1", state=way.state)
        new_friends.friend_added(Friendship.objects.get(pk=friendship.pk))
        new_friends.member_linked(Contact.objects.get())
    assert (Touch.objects.count(), Binding.objects.count(), BindingRequest.objects.count()) == (1, 1, 1)
    assert counts(way)[2:] == (1, 1, 1)


def test_a_friend_who_is_no_member_is_bound_when_she_registers(
    shops: factory.Shops, corp: Corp, way: ContactWay
) -> None:
    """Principle 15: until then she is a contact; the binding begins with the link, not with the scan."""
    hear(corp, "guide_a", way.state)
    read(corp, "guide_a", unionid="oU1", state=way.state)
    assert not BindingRequest.objects.exists()
    known_as(shops.members["安琪"], "oU1")
    now = db.clock()
    contacts.recognise_late(now=now)
    contacts.tell_news(now=db.clock())
    binding = Binding.objects.get()
    assert (binding.member, binding.source, binding.started_at) == (shops.members["安琪"], "SCAN", now)
    assert counts(way)[2:] == (1, 1, 1)


def test_the_second_guide_is_told_why_and_keeps_her_touch(shops: factory.Shops, corp: Corp, way: ContactWay) -> None:
    known_as(shops.members["安琪"], "oU1")
    hear(corp, "guide_a", way.state)
    read(corp, "guide_a", unionid="oU1", state=way.state)
    refused_at = db.clock() + MINUTE
    hear(corp, "guide_b", at=refused_at)
    read(corp, "guide_b", unionid="oU1", add_way=2, at=refused_at)
    new_friends.friend_added(Friendship.objects.get(userid="guide_b"))
    request = BindingRequest.objects.get(guide=shops.guides["B"])
    assert (request.answer, request.holder, request.source) == ("REFUSED_PROTECTED", shops.guides["A"], "FRIEND_ADDED")
    assert request.touch_id is not None
    assert Touch.objects.get(pk=request.touch_id).guide == shops.guides["B"]
    assert Binding.objects.get().guide == shops.guides["A"]


def test_the_oldest_friend_claims_first_when_she_is_recognised(
    shops: factory.Shops, corp: Corp, way: ContactWay
) -> None:
    for userid, at in (("guide_b", T0 - MINUTE), ("guide_a", T0)):
        hear(corp, userid, way.state, at=at)
    read(corp, "guide_a", unionid="oU1", state=way.state)
    known_as(shops.members["安琪"], "oU1")
    contacts.recognise_late(now=db.clock())
    contacts.tell_news(now=db.clock())
    assert Binding.objects.get().guide == shops.guides["B"]
    assert set(BindingRequest.objects.values_list("answer", flat=True)) == {"OPEN", "REFUSED_PROTECTED"}


def test_how_a_friend_was_added_is_waited_for(shops: factory.Shops, corp: Corp) -> None:
    """An assigned customer chose nobody: no touch, no claim; the event alone does not tell."""
    known_as(shops.members["安琪"], "oU1")
    at = db.clock()
    hear(corp, "guide_b", at=at)
    assert not Touch.objects.exists()
    assert FriendNews.objects.get().due_at > at
    read(corp, "guide_b", unionid="oU1", add_way=202, at=at)
    contacts.tell_news(now=at + 2 * MINUTE)
    assert not Touch.objects.exists() and not BindingRequest.objects.exists() and not FriendNews.objects.exists()


def test_a_friend_added_without_a_code_is_one_after_the_reading(shops: factory.Shops, corp: Corp) -> None:
    known_as(shops.members["安琪"], "oU1")
    at = db.clock()
    hear(corp, "guide_b", at=at)
    read(corp, "guide_b", unionid="oU1", add_way=3, at=at)
    contacts.tell_news(now=at + 2 * MINUTE)
    assert (Touch.objects.get().kind, Binding.objects.get().source) == ("FRIEND", "FRIEND_ADDED")


def test_an_account_that_is_no_guide_touches_nobody(shops: factory.Shops, corp: Corp, way: ContactWay) -> None:
    hear(corp, "stranger", way.state)
    assert not Touch.objects.exists()


def has_account(shops: factory.Shops, name: str, userid: str | None) -> None:
    shops.guides[name].wecom_userid = userid
    shops.guides[name].save()


def test_an_account_that_gets_its_guide_later_gives_her_its_friends(
    shops: factory.Shops, corp: Corp, way: ContactWay
) -> None:
    """Touch and claim as of the moment of adding; who has left her by then, or only asked, is nobody's."""
    known_as(shops.members["安琪"], "oU1")
    has_account(shops, "A", None)
    hear(corp, "newcomer", way.state)
    read(corp, "newcomer", unionid="oU1", state=way.state)
    hear(corp, "newcomer", way.state, ext="wmLeft")
    contacts.hear(corp=corp, userid="newcomer", external_userid="wmLeft", change=pairs.Change(pairs.LEFT, T0 + MINUTE))
    contacts.hear(corp=corp, userid="newcomer", external_userid="wmAsked", change=pairs.Change(pairs.ASKED, T0))
    assert not Touch.objects.exists() and not BindingRequest.objects.exists()
    has_account(shops, "A", "Newcomer")
    directory.match_guides()
    assert contacts.tell_news(now=db.clock()) == 1
    touch, binding = Touch.objects.get(), Binding.objects.get()
    assert (touch.guide, touch.at, touch.way_id, touch.kind) == (shops.guides["A"], T0, way.pk, "QR")
    assert (binding.guide, binding.member, binding.source, binding.started_at) == (
        shops.guides["A"], shops.members["安琪"], "SCAN", T0,
    )  # fmt: skip
    assert counts(way)[2:] == (1, 1, 1)
    assert Friendship.objects.filter(guide=shops.guides["A"]).count() == 3
    for _again in range(2):
        directory.match_guides()
        contacts.tell_news(now=db.clock())
    assert (Touch.objects.count(), BindingRequest.objects.count()) == (1, 1)


def test_an_account_linked_by_hand_gives_its_friends_too(shops: factory.Shops, corp: Corp) -> None:
    known_as(shops.members["安琪"], "oU1")
    read(corp, "stranger", unionid="oU1", add_way=3)
    member = directory.say_member(corp=corp, userid="stranger", at=T0, is_there=True)
    directory.link(member=member, guide=shops.guides["B"], actor=None)
    contacts.tell_news(now=db.clock())
    binding = Binding.objects.get()
    assert (binding.guide, binding.source, binding.started_at) == (shops.guides["B"], "FRIEND_ADDED", T0)


def test_an_account_that_was_another_guides(shops: factory.Shops, corp: Corp, way: ContactWay) -> None:
    """The friends become hers; what the first guide was given stays and is not counted twice."""
    known_as(shops.members["安琪"], "oU1")
    hear(corp, "guide_a", way.state)
    hear(corp, "guide_a", way.state, ext="wmA2")
    read(corp, "guide_a", unionid="oU1", state=way.state)
    has_account(shops, "A", None)
    has_account(shops, "B", "guide_a")
    directory.match_guides()
    contacts.tell_news(now=db.clock())
    assert set(Friendship.objects.values_list("guide", flat=True)) == {shops.guides["B"].pk}
    assert sorted(Touch.objects.values_list("guide__code", flat=True)) == ["G00001", "G00001", "G00002", "G00002"]
    assert Binding.objects.get().guide == shops.guides["A"]
    assert BindingRequest.objects.get(guide=shops.guides["B"]).answer == "REFUSED_PROTECTED"
    assert WayDay.objects.filter(way=way).aggregate(n=Sum("friend_count"))["n"] == 2


def test_a_thousand_friends_of_an_account_follow_by_the_same_statements(
    shops: factory.Shops, corp: Corp, django_assert_num_queries: Any
) -> None:
    hear(corp, "newcomer", "x", ext="wm0")
    people = Contact.objects.bulk_create(Contact(corp=corp, external_userid=f"wm{n}") for n in range(1, 1000))
    Friendship.objects.bulk_create(
        Friendship(corp=corp, contact=one, userid="newcomer", added_at=T0, state="x") for one in people
    )
    has_account(shops, "A", "newcomer")
    with django_assert_num_queries(7):  # one look for accounts, then five statements within a savepoint
        contacts.match_guides()
    assert FriendNews.objects.count() == 1000
    assert Friendship.objects.filter(guide=shops.guides["A"]).count() == 1000


def test_the_reading_of_a_friend_without_a_code_tells_at_once(
    shops: factory.Shops, corp: Corp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for the next minute: the reader tells what waited for her. A way of adding that WeCom does not know, too."""
    known_as(shops.members["安琪"], "oU1")
    follow = customers.Follow("guide_b", T0, add_way=0)
    monkeypatch.setattr(
        customers, "get", lambda app, ext: (customers.Customer(ext, "晚风", 1, unionid="oU1"), [follow])
    )
    monkeypatch.setattr(corps, "app_of", lambda corp: None)
    read(corp, "guide_a", unionid="oU1", add_way=3)
    contacts.read_due()
    for old in range(20):
        contacts.ask(hear(corp, "stranger", "x", ext=f"wmOld{old}").contact_id)
    ContactToRead.objects.update(due_at=db.clock())
    hear(corp, "guide_b", at=T0)
    assert not Touch.objects.filter(guide=shops.guides["B"]).exists()
    assert contacts.read_new_friends() is False
    assert ContactToRead.objects.count() == 20  # she came before all others, who are no new friends
    assert Touch.objects.get(guide=shops.guides["B"]).kind == "FRIEND"
    assert BindingRequest.objects.filter(guide=shops.guides["B"]).exists()
    assert not FriendNews.objects.exists()
