"""Who a contact is as a member: by identities that name exactly one; never by a remark, never by a guess."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from guides import contacts
from guides.contacts import listeners
from guides.contacts.pairs import ADDED
from guides.models import FriendNews, Guide, LinkConflict
from members.models import Identity, Member
from scrm.models import Corp
from scrm.wecom.customers import Customer, Follow
from tests.guides.contacts.conftest import Heard, at, contact, hear, member

pytestmark = pytest.mark.django_db
NOW = at(1000)


def read(corp: Corp, ext: str = "wmA1", unionid: str = "", **more: Any) -> Any:
    customer = Customer(ext, "晚风", 1, unionid=unionid)
    return contacts.record(corp=corp, customer=customer, follows=[Follow("guide_0001", at(0), **more)], read_at=NOW)


def link_of(ext: str = "wmA1") -> tuple[Member | None, str]:
    row = contact(ext)
    return row.member, row.linked_by


@pytest.mark.parametrize(
    ("identities", "how"),
    [({"UNIONID": "oU1"}, "UNIONID"), ({"EXTERNAL_USERID": "wmA1"}, "CONTACT"), ({"UNIONID": "oOther"}, "")],
)
def test_one_member_is_named(corp: Corp, heard: Heard, identities: dict[str, str], how: str) -> None:
    her = member(**identities)
    read(corp, unionid="oU1")
    assert link_of() == (her if how else None, how)
    assert heard.linked == (["wmA1"] if how else [])


def test_a_contact_without_unionid_is_nobody(corp: Corp, heard: Heard) -> None:
    member(UNIONID="", MOBILE="")
    read(corp)
    assert link_of() == (None, "")


def test_a_number_counts_when_both_sides_have_proved_it(corp: Corp, heard: Heard) -> None:
    her = member(MOBILE="aa11")  # in our list, not verified
    read(corp, remark_mobiles=("aa11",))
    assert link_of() == (None, "")
    contacts.prove_mobile(contact=contact(), mobile_index="aa11", now=NOW)
    assert link_of() == (None, "")
    Identity.objects.update(is_verified=True)
    contacts.prove_mobile(contact=contact(), mobile_index="aa11", now=NOW)
    assert link_of() == (her, "MOBILE")
    assert heard.linked == ["wmA1"]
    assert Identity.objects.filter(member=her, kind="EXTERNAL_USERID", value="wmA1").exists()


def test_two_members_are_a_conflict_and_nothing_is_guessed(corp: Corp, heard: Heard) -> None:
    one, other = member(UNIONID="oU1"), member(EXTERNAL_USERID="wmA1")
    read(corp, unionid="oU1")
    assert link_of() == (None, "") and heard.linked == []
    conflict = LinkConflict.objects.get()
    assert (conflict.member, conflict.kind, conflict.other_member, conflict.other_kind) == (
        one,
        "UNIONID",
        other,
        "CONTACT",
    )
    read(corp, unionid="oU1")
    assert LinkConflict.objects.count() == 1
    Identity.objects.filter(member=other).delete()
    read(corp, unionid="oU1")
    assert link_of() == (one, "UNIONID")
    assert LinkConflict.objects.get().resolved_at == NOW


def test_an_identity_of_somebody_else_stays_hers(corp: Corp, heard: Heard) -> None:
    one = member(EXTERNAL_USERID="wmA1")
    read(corp)
    assert link_of() == (one, "CONTACT")
    other = member(UNIONID="oU1")
    read(corp, unionid="oU1")  # the brand has bound its Official Account meanwhile
    assert link_of() == (one, "CONTACT")
    assert LinkConflict.objects.get().other_member == other
    assert Identity.objects.get(kind="UNIONID").member == other


def test_a_unionid_that_comes_later_links_and_is_kept(corp: Corp, heard: Heard) -> None:
    her = member(UNIONID="oU1")
    read(corp)
    read(corp, unionid="oU1")
    read(corp)  # where the app may not see it the answer holds none
    assert contact().unionid == "oU1" and link_of() == (her, "UNIONID")
    assert heard.linked == ["wmA1"]


def test_the_survivor_of_a_merge_is_named_and_the_erased_is_not(corp: Corp, heard: Heard) -> None:
    survivor, merged = member(UNIONID="oOther"), member(UNIONID="oU1")
    Member.objects.filter(pk=merged.pk).update(status="MERGED", merged_into=survivor)
    read(corp, unionid="oU1")
    assert link_of() == (survivor, "UNIONID")
    Member.objects.filter(pk=member(UNIONID="oU2").pk).update(status="ERASED")
    read(corp, "wmB2", unionid="oU2")
    assert link_of("wmB2") == (None, "")


def test_the_member_comes_later(corp: Corp, guide: Guide, heard: Heard) -> None:
    hear(corp, ADDED, 0)
    read(corp, unionid="oU1")
    read(corp, "wmB2", unionid="oU2")
    since = timezone.now() - dt.timedelta(minutes=1)
    assert contacts.recognise_late(now=NOW, since=since) == 0
    her = member(UNIONID="oU1")
    assert contacts.recognise_late(now=NOW, since=timezone.now() + dt.timedelta(hours=1)) == 0
    assert contacts.recognise_late(now=NOW, since=since) == 1
    assert link_of() == (her, "UNIONID") and heard.linked == []
    assert contacts.tell_news(now=timezone.now()) == 1
    assert heard.linked == ["wmA1"] and not FriendNews.objects.exists()
    assert contacts.recognise_late(now=NOW) == 0


def test_an_old_identity_is_found_by_the_nightly_pass(corp: Corp, heard: Heard) -> None:
    read(corp, unionid="oU1")
    her = member(UNIONID="oU1")
    Identity.objects.update(linked_at=at(-(10**6)))
    assert contacts.recognise_late(now=NOW, since=at(0)) == 0
    assert contacts.recognise_late(now=NOW) == 1
    assert link_of()[0] == her


def test_news_whose_listener_fails_waits_and_holds_up_nobody(corp: Corp, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def listener(row: Any) -> None:
        if row.external_userid == "wmA1":
            raise LookupError
        told.append(row.external_userid)

    monkeypatch.setattr(listeners, "member_linked", [listener])
    for number, ext in enumerate(("wmA1", "wmB2")):
        read(corp, ext, unionid=f"oU{number}")
        member(UNIONID=f"oU{number}")
    assert contacts.recognise_late(now=NOW) == 2
    assert contacts.tell_news(now=timezone.now()) == 2
    assert told == ["wmB2"]
    left = FriendNews.objects.get()
    assert (left.error_code, left.attempts) == ("LookupError", 1) and left.due_at > timezone.now()
