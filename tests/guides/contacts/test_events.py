"""Friends' events through the front door: the pair, the reading after it, the listeners, the kept counts."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from guides import contacts
from guides.contacts import pairs
from guides.contacts.pairs import ADDED, ASKED, DELETED, EDITED, LEFT
from guides.models import Contact, ContactToRead, Follower, Friendship, Guide
from scrm.models import Corp, InboxEvent
from scrm.wecom import inbox
from tests.guides.contacts.conftest import (
    Heard,
    Wecom,
    at,
    contact,
    followed,
    friendship,
    hear,
    in_threads,
    member,
    person,
    shown,
)
from tests.scrm.wecom import calls
from tests.scrm.wecom.conftest import SECRET

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(corp: Corp, guide: Guide, handlers: None, heard: Heard, wecom: Wecom) -> Any:
    """``told(kind, seconds, …)`` sends an event as WeCom does."""
    corp.corp_id = wecom.secrets[SECRET] = calls.CORP_ID
    corp.save()
    calls.endpoint()

    def send(kind: str, seconds: int, **tags: str) -> None:
        body = calls.event(int(at(seconds).timestamp()), ChangeType=kind, UserID="Guide_0001", **tags)
        assert calls.send(body).status_code == 200

    return send


def process() -> inbox.Processed:
    return inbox.process(now=timezone.now())


def test_a_scan_becomes_friend_contact_and_member(told: Any, guide: Guide, heard: Heard, wecom: Wecom) -> None:
    her = member(UNIONID="oU1")
    told(ASKED, 0, State="a1f3k", WelcomeCode="CODE1")
    told(ADDED, 1, State="a1f3k", WelcomeCode="CODE1")
    assert process().processed == 2
    row = friendship()
    assert (row.guide, row.is_confirmed, row.state, row.added_at) == (guide, True, "a1f3k", at(1))
    assert heard.added == [("guide_0001", "wmA1")]
    assert heard.codes == [("CODE1", False), ("CODE1", False)]
    assert contact().name == "" and contact().read_at is None

    shown(wecom, person(), followed(seconds=1, tags=("et2", "et1"), state="a1f3k"))
    assert contacts.read_due() == 1
    her_contact = contact()
    assert (her_contact.name, her_contact.unionid, her_contact.gender) == ("晚风", "oU1", 2)
    assert (her_contact.member, her_contact.linked_by) == (her, "UNIONID")
    assert heard.linked == ["wmA1"] and heard.added == [("guide_0001", "wmA1")]  # a reading tells no friend twice
    assert friendship().tag_ids == ["et1", "et2"]
    assert not ContactToRead.objects.exists()
    assert set(her.identities.values_list("kind", "namespace", "value")) == {
        ("UNIONID", "MAIN", "oU1"), ("EXTERNAL_USERID", calls.CORP_ID, "wmA1"),
    }  # fmt: skip


def test_remarks_and_mobile_numbers_are_stored_nowhere(told: Any, wecom: Wecom) -> None:
    told(ADDED, 0)
    process()
    shown(wecom, person(), followed())
    contacts.read_due()
    with connection.cursor() as cursor:
        for table in ("guides_contact", "guides_friendship"):
            cursor.execute(
                f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%13800000001%' OR t::text LIKE '%别名%'"
            )
            assert cursor.fetchone()[0] == 0, table


def test_w4_what_a_newer_event_has_overtaken_still_counts_for_its_own_side(told: Any, heard: Heard) -> None:
    told(ADDED, 0)
    told(EDITED, 50)
    process()
    told(LEFT, 20)  # late
    told(ASKED, 0, WelcomeCode="LATE")
    process()
    row = friendship()
    assert row.customer_left_at == at(20)
    assert (row.added_at, row.is_confirmed, row.event_at) == (at(0), True, at(50))
    assert heard.codes == [("LATE", True)]
    assert set(InboxEvent.objects.values_list("status", flat=True)) == {"PROCESSED", "STALE"}


def test_a_friend_again_is_told_again(told: Any, heard: Heard) -> None:
    for seconds, kind in enumerate((ADDED, EDITED, LEFT, ADDED, DELETED, ADDED)):
        told(kind, seconds)
    process()
    assert len(heard.added) == 3


def test_a_failed_transfer_is_handed_on_and_changes_no_pair(told: Any, heard: Heard) -> None:
    told("transfer_fail", 0, FailReason="customer_refused")
    process()
    assert heard.failed == [("guide_0001", "wmA1", "customer_refused")]
    assert not Friendship.objects.exists()


def test_a_handed_over_friend(told: Any) -> None:
    told(ADDED, 0)
    told(DELETED, 5, Source="DELETE_BY_TRANSFER")
    process()
    assert (friendship().ended_by, friendship().ended_at) == ("TRANSFERRED", at(5))


def test_an_event_of_a_corp_that_nobody_entered_is_parked(told: Any, corp: Corp) -> None:
    Corp.objects.update(corp_id="wwANOTHER")
    told(ADDED, 0)
    assert process().parked == 1
    assert InboxEvent.objects.get().error_code == "wecom_unknown_corp"
    Corp.objects.update(corp_id=calls.CORP_ID)
    inbox.replay(event_ids=list(InboxEvent.objects.values_list("pk", flat=True)), actor=None)
    assert process().processed == 1 and friendship().is_confirmed


def test_a_listener_that_fails_takes_the_event_with_it(told: Any, heard: Heard) -> None:
    """Its effects and the pair are one transaction."""

    def fail(row: Friendship) -> None:
        raise LookupError

    contacts.on_friend_added(fail)
    told(ADDED, 0)
    assert process().failed == 1
    assert not Friendship.objects.exists() and not ContactToRead.objects.exists()


# --- readings ---------------------------------------------------------------------------------------------------------


def test_a_reading_waits_while_wecom_is_away(corp: Corp, guide: Guide, wecom: Wecom) -> None:
    hear(corp, ADDED, 0)
    wecom.on("externalcontact/get", {"errcode": -1, "errmsg": "busy"})
    assert contacts.read_due() == 1
    row = ContactToRead.objects.get()
    assert (row.attempts, row.error_code) == (1, "wecom_busy") and row.due_at > timezone.now()
    assert contacts.read_due() == 0  # not due yet
    hear(corp, EDITED, 1)
    assert contacts.read_due() == 0  # another event does not hurry what WeCom refuses
    shown(wecom, person(), followed())
    ContactToRead.objects.update(due_at=timezone.now())
    assert contacts.read_due() == 1
    assert contact().name == "晚风" and not ContactToRead.objects.exists()


def test_without_an_app_a_reading_waits_too(corp: Corp, guide: Guide) -> None:
    hear(corp, ADDED, 0)
    corp.apps.all().delete()
    assert contacts.read_due() == 1
    assert ContactToRead.objects.get().error_code == "wecom_app_missing"


@pytest.mark.parametrize("code", [84061, 40096])
def test_no_such_pair_ends_it(corp: Corp, guide: Guide, wecom: Wecom, code: int) -> None:
    hear(corp, ADDED, 0)
    hear(corp, ASKED, 0, userid="guide_0002")  # waits for the guide: WeCom answers the same, and it goes on
    wecom.on("externalcontact/get", {"errcode": code, "errmsg": "no"})
    contacts.read_due()
    assert friendship().ended_by == "MISSING"
    assert friendship(userid="guide_0002").ended_at is None
    assert not ContactToRead.objects.exists()


def test_a_reading_finds_whom_no_event_told_of(corp: Corp, guide: Guide, wecom: Wecom, heard: Heard) -> None:
    hear(corp, ADDED, 0)
    hear(corp, ADDED, 0, userid="guide_0002")
    hear(corp, ADDED, 0, userid="hidden")
    Follower.objects.filter(userid="hidden").update(is_listed=False)
    heard.added.clear()
    shown(wecom, person(), followed(), followed("GUIDE_0003", 7, add_way=202))
    contacts.read_due()
    assert friendship(userid="guide_0002").ended_by == "MISSING"
    assert friendship(userid="hidden").ended_at is None  # WeCom does not show it to the app
    third = friendship(userid="guide_0003")
    assert (third.added_at, third.add_way, third.is_confirmed) == (at(7), 202, True)
    assert heard.added == [("guide_0003", "wmA1")]


def test_an_event_during_the_reading_wins(corp: Corp, guide: Guide, wecom: Wecom, transactional_db: None) -> None:
    hear(corp, ADDED, 0)

    def answer(request: Any) -> dict[str, Any]:
        in_threads(1, lambda _n: hear(corp, DELETED, 5))
        return {"external_contact": person(), "follow_user": [followed()], "next_cursor": ""}

    wecom.on("externalcontact/get", answer, {"errcode": 84061, "errmsg": "gone"})
    assert contacts.read_due(limit=1) == 1
    assert friendship().ended_by == "DELETED"
    assert contact().name == "晚风"
    assert ContactToRead.objects.get().attempts == 0  # asked for meanwhile: due again at once


def test_what_has_not_changed_is_not_written(corp: Corp, guide: Guide, wecom: Wecom) -> None:
    shown(wecom, person(), followed())
    hear(corp, ADDED, 0)
    contacts.read_due()
    before = versions()
    contacts.ask(contact().pk)
    contacts.read_due()
    assert versions() == before


def versions() -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT xmin, ctid::text FROM guides_contact UNION ALL SELECT xmin, ctid::text FROM guides_friendship"
        )
        return cursor.fetchall()


# --- counts and accounts ----------------------------------------------------------------------------------------------


def test_the_kept_counts_are_those_of_the_rows(corp: Corp, guide: Guide) -> None:
    rng = random.Random(7)
    for second in range(120):
        kind = rng.choice([ADDED, ASKED, EDITED, DELETED, LEFT])
        hear(corp, kind, second, userid=rng.choice(["a", "b"]), ext=rng.choice(["w1", "w2", "w3"]))
    for account in Follower.objects.all():
        current = Friendship.objects.filter(userid=account.userid, ended_at=None, is_confirmed=True)
        assert account.friend_count == current.count()
        assert account.left_count == current.exclude(customer_left_at=None).count()
    assert sum(Follower.objects.values_list("friend_count", flat=True)) > 0


def test_an_account_finds_its_guide_later(corp: Corp, guide: Guide) -> None:
    Guide.objects.update(wecom_userid="other")
    hear(corp, ADDED, 0)
    assert friendship().guide is None
    Guide.objects.update(wecom_userid="Guide_0001")
    assert contacts.match_guides() == 1
    assert friendship().guide == guide and Follower.objects.get().guide == guide
    assert contacts.match_guides() == 0


def test_what_is_deleted_or_renamed_is_counted_where_it_goes(corp: Corp, guide: Guide) -> None:
    hear(corp, ADDED, 0)
    hear(corp, ADDED, 0, ext="wmB2")
    Friendship.objects.filter(contact__external_userid="wmA1").delete()
    Friendship.objects.update(userid="new_name")
    assert dict(Follower.objects.values_list("userid", "friend_count")) == {"guide_0001": 0, "new_name": 1}


# --- many at once -----------------------------------------------------------------------------------------------------


def test_w3_events_told_by_many_workers_in_any_order_end_the_same(
    transactional_db: None, corp: Corp, guide: Guide, wecom: Wecom
) -> None:
    """Real threads, real locks: the fold of all events is what stands, whoever came first, readings in between too."""
    rng = random.Random(11)
    events = [
        (userid, ext, pairs.Change(rng.choice([ADDED, ASKED, EDITED, DELETED, LEFT]), at(rng.randrange(4)), "s"))
        for userid in ("a", "b") for ext in ("w1", "w2", "w3") for _ in range(8)
    ]  # fmt: skip
    wecom.on("externalcontact/get", {"errcode": -1, "errmsg": "busy"})

    def work(number: int) -> None:
        mine = [*events]
        random.Random(number).shuffle(mine)
        for userid, ext, change in mine[: len(mine) if number == 0 else len(mine) // 2]:
            contacts.hear(corp=corp, userid=userid, external_userid=ext, change=change)
        contacts.match_guides()

    assert in_threads(4, work) == [None] * 4
    for userid in ("a", "b"):
        for ext in ("w1", "w2", "w3"):
            expected = pairs.Pair()
            for _userid, _ext, change in (e for e in events if e[:2] == (userid, ext)):
                expected = pairs.after_event(expected, change)
            assert pairs.of(Friendship.objects.get(userid=userid, contact__external_userid=ext)) == expected
    assert Contact.objects.count() == ContactToRead.objects.count() == 3


def test_two_readers_take_different_contacts(transactional_db: None, corp: Corp, guide: Guide, wecom: Wecom) -> None:
    for number in range(12):
        hear(corp, ADDED, 0, ext=f"w{number}")

    def answer(request: Any) -> dict[str, Any]:
        ext = request.query["external_userid"]
        return {"external_contact": person(ext, unionid=""), "follow_user": [followed()], "next_cursor": ""}

    wecom.on("externalcontact/get", answer)
    assert sum(in_threads(3, lambda _n: contacts.read_due())) == 12
    asked = [request.query["external_userid"] for request in wecom.calls("externalcontact/get")]
    assert sorted(asked) == sorted(f"w{number}" for number in range(12))
