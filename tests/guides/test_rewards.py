"""Add-friend rewards: who earns what, when, and what becomes of it in the books."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections import Counter
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from attribution import intake, ledger
from attribution import rewards as books
from attribution.models import Account, Hold, Txn
from guides import rewards
from guides.models import Contact, IntegrityCase, RewardClaim, RewardProgramme
from members.models import Channel, Identity
from scrm.models import User
from tests.factories import friends
from tests.factories import shops as factory

NOW = dt.datetime(2026, 6, 30, 4, tzinfo=dt.UTC)
START = NOW - dt.timedelta(days=100)
DAY, SECOND = dt.timedelta(days=1), dt.timedelta(seconds=1)
Status = RewardClaim.Status


@pytest.fixture
def shops(db: None) -> factory.Shops:
    return factory.shops()


def won(shops: factory.Shops, days_ago: float = 10, guide: str = "A", **values: Any) -> Any:
    return friends.friend(shops.guides[guide], NOW - days_ago * DAY, **values)


def earned(shops: factory.Shops, days_ago: float = 10, guide: str = "A", **values: Any) -> Any:
    friendship = won(shops, days_ago, guide, **values)
    friends.wrote(friendship, friendship.added_at + SECOND)
    return friendship


def state(friendship: Any) -> tuple[str, str]:
    row = RewardClaim.objects.get(friendship=friendship)
    return row.status, row.reason or row.earned_by


def balance(code: str) -> int:
    return Account.objects.filter(code=code).values_list("balance_fen", flat=True).first() or 0


def post(now: dt.datetime = NOW) -> None:
    books.follow(now=now)
    while ledger.vest(now=now):
        pass


# --- programmes ---------------------------------------------------------------------------------------------------------


def draft(author: Any, **values: Any) -> RewardProgramme:
    return friends.programme(NOW + DAY, status="DRAFT", published_at=None, author=author, **values)


def test_nobody_publishes_her_own_programme(shops: factory.Shops) -> None:
    """S4: two people; the refusal leaves no trace."""
    author, other = User.objects.create_user("author"), shops.staff["hq"]
    row = draft(author)
    with pytest.raises(rewards.CannotPublish) as error:
        rewards.publish(programme=row, actor=author, now=NOW)
    assert error.value.code == "own_programme"
    row.refresh_from_db()
    assert (row.status, row.approver) == ("DRAFT", None)
    rewards.publish(programme=row, actor=other, now=NOW)
    row.refresh_from_db()
    assert (row.status, row.approver) == ("PUBLISHED", other)


def test_published_programmes_do_not_overlap_nor_begin_in_the_past(shops: factory.Shops) -> None:
    friends.programme(NOW + 100 * DAY)
    author = User.objects.create_user("author")
    with pytest.raises(rewards.CannotPublish) as error:
        rewards.publish(programme=draft(author), actor=shops.staff["hq"], now=NOW)
    assert error.value.code == "programme_overlaps"
    with pytest.raises(rewards.CannotPublish) as error:
        rewards.publish(programme=draft(author), actor=shops.staff["hq"], now=NOW + 2 * DAY)
    assert error.value.code == "programme_begins_in_past"


def test_a_published_programme_only_ends(shops: factory.Shops) -> None:
    row = friends.programme(START)
    with pytest.raises(Exception, match="only ends"), transaction.atomic():
        RewardProgramme.objects.filter(pk=row.pk).update(amount_fen=1)
    rewards.end(programme=row, actor=shops.staff["hq"], reason="预算用完", now=NOW)
    assert won(shops, 0) and not RewardClaim.objects.exists()


# --- judging ------------------------------------------------------------------------------------------------------------


def test_a_friend_who_stays_and_writes_is_earned_after_seven_days(shops: factory.Shops) -> None:
    friends.programme(START)
    friendship = won(shops)
    friends.wrote(friendship, NOW - 9 * DAY)
    rewards.judge(now=friendship.added_at + 7 * DAY - SECOND)
    assert state(friendship) == (Status.CLAIMED, "")
    rewards.judge(now=friendship.added_at + 7 * DAY)
    assert state(friendship) == (Status.VESTED, "MESSAGE")


def test_each_behaviour_earns_and_silence_does_not(shops: factory.Shops) -> None:
    friends.programme(START)
    silent, writing, registering, buying = (won(shops) for _ in range(4))
    friends.wrote(writing, NOW - DAY)
    friends.registered(registering, NOW - 2 * DAY)
    member = friends.registered(buying, NOW - 2 * DAY)
    Identity.objects.filter(member=member).update(is_verified=False)  # a number nobody has verified is no registration
    shops.members["买家"] = member
    shops.line("b", member="买家", store="S1", paid_fen=1_000, at=NOW - DAY)
    rewards.judge(now=NOW)
    assert [state(each)[1] for each in (silent, writing, registering, buying)] == [
        "", "MESSAGE", "REGISTRATION", "PURCHASE",
    ]  # fmt: skip


def test_only_what_the_programme_names_earns(shops: factory.Shops) -> None:
    friends.programme(START, by_message=False)
    friendship = earned(shops)
    rewards.judge(now=NOW)
    assert state(friendship) == (Status.CLAIMED, "")


@pytest.mark.parametrize(
    ("left_after", "expected"),
    [(7 * DAY - SECOND, (Status.VOID, "DELETED_EARLY")), (7 * DAY, (Status.VESTED, "MESSAGE"))],
)
def test_who_leaves_too_early(shops: factory.Shops, left_after: dt.timedelta, expected: tuple[str, str]) -> None:
    friends.programme(START)
    at = NOW - 10 * DAY
    by_customer = earned(shops, customer_left_at=at + left_after)
    by_guide = earned(shops, ended_at=at + left_after, ended_by="DELETED")
    handed_over = earned(shops, ended_at=at + DAY, ended_by="TRANSFERRED")
    rewards.judge(now=NOW)
    assert [state(each) for each in (by_customer, by_guide)] == [expected, expected]
    assert state(handed_over) == (Status.VESTED, "MESSAGE")


def test_who_was_known_before_is_not_new(shops: factory.Shops) -> None:
    won(shops, 200, "B", unionid="oOLD")  # before any programme: no claim, but a friend
    old_member = shops.member("老会员", store="S1")
    Identity.objects.create(member=old_member, kind="UNIONID", namespace="MAIN", value="oMEMBER")
    friends.programme(START)
    friend_of_b, member = earned(shops, unionid="oOLD"), earned(shops, unionid="oMEMBER")
    rewards.judge(now=NOW)
    assert [state(each) for each in (friend_of_b, member)] == [(Status.VOID, "NOT_NEW")] * 2


def test_members_may_count_as_new(shops: factory.Shops) -> None:
    member = shops.member("老会员", store="S1")
    friends.programme(START, counts_members=True)
    friendship = earned(shops, member=member)
    rewards.judge(now=NOW)
    assert state(friendship) == (Status.VESTED, "MESSAGE")


def test_a_colleague_is_no_customer(shops: factory.Shops) -> None:
    shops.guides["B"].unionid = "oGUIDEB"
    shops.guides["B"].save()
    friends.programme(START)
    friendship = earned(shops, unionid="oGUIDEB")
    rewards.judge(now=NOW)
    assert state(friendship) == (Status.VOID, "SELF")


def test_nothing_followed_in_time(shops: factory.Shops) -> None:
    friends.programme(START)
    friendship = won(shops, 59)
    rewards.judge(now=NOW)
    assert state(friendship) == (Status.CLAIMED, "")
    rewards.judge(now=friendship.added_at + 60 * DAY)
    assert state(friendship) == (Status.VOID, "EXPIRED")


def test_one_person_is_one_claim(shops: factory.Shops) -> None:
    friends.programme(START)
    first, second = earned(shops, 10, unionid="oX"), earned(shops, 9, "B", unionid="oX")
    assert state(second) == (Status.VOID, "DUPLICATE")
    rewards.judge(now=NOW)
    assert state(first) == (Status.VESTED, "MESSAGE")


def test_a_unionid_that_is_told_later(shops: factory.Shops) -> None:
    """Until then the claim waits; the earliest friend has it."""
    friends.programme(START)
    second, first = earned(shops, 9, "B", unionid=""), earned(shops, 10, unionid="")
    rewards.judge(now=NOW)
    assert {state(second), state(first)} == {(Status.CLAIMED, "")}
    Contact.objects.filter(pk__in=[first.contact_id, second.contact_id]).update(unionid="oLATE")
    rewards.judge(now=NOW)
    assert (state(first), state(second)) == ((Status.VESTED, "MESSAGE"), (Status.VOID, "DUPLICATE"))


@pytest.mark.parametrize(
    ("caps", "vested"), [({"guide_day_cap": 2}, 2), ({"store_month_cap": 3}, 3), ({"guide_day_cap": 0}, 0), ({}, 4)]
)
def test_caps_count_what_was_earned_the_earliest_first(shops: factory.Shops, caps: Any, vested: int) -> None:
    friends.programme(START, **caps)
    gone = earned(shops, 10, customer_left_at=NOW - 9 * DAY)  # takes no place
    rows = [earned(shops, 10 - number / 1_000) for number in range(4)]
    rewards.judge(now=NOW)
    rewards.judge(now=NOW)
    assert state(gone)[1] == "DELETED_EARLY"
    assert [state(row)[0] == Status.VESTED for row in rows] == [number < vested for number in range(4)]


@given(
    day=st.one_of(st.none(), st.integers(0, 3)), month=st.one_of(st.none(), st.integers(0, 3)),
    today=st.integers(0, 5), this_month=st.integers(0, 5),
)  # fmt: skip
def test_null_is_no_cap_and_zero_is_none_at_all(day: Any, month: Any, today: int, this_month: int) -> None:
    why = rewards.over_cap(rewards.Caps(day, month), of_guide_today=today, of_store_this_month=this_month)
    too_many = (day is not None and today >= day) or (month is not None and this_month >= month)
    assert bool(why) == too_many


def test_a_review_stops_the_clock(shops: factory.Shops) -> None:
    friends.programme(START)
    friendship = earned(shops)
    case = IntegrityCase.objects.create(
        brand=shops.brand, guide=shops.guides["A"], subject="FRIENDS", opened_at=NOW, since=START, until=NOW, due_at=NOW
    )
    RewardClaim.objects.update(case=case)
    rewards.judge(now=NOW + 90 * DAY)
    assert state(friendship) == (Status.CLAIMED, "")
    IntegrityCase.objects.update(status="RELEASED", decided_at=NOW, decided_by=shops.staff["hq"], reason="正常")
    rewards.judge(now=NOW)
    assert state(friendship) == (Status.VESTED, "MESSAGE")


# --- the books ----------------------------------------------------------------------------------------------------------


def test_example_22_add_friend_rewards(shops: factory.Shops) -> None:
    """5.00 x 100 claims: 12 deleted within 7 days, 3 flagged, 2 of one unionid each: 83 vest, 17 stay held or are void."""
    friends.programme(START)
    rows = [earned(shops, 20 - n / 100) for n in range(83)]
    deleted = [earned(shops, 15, customer_left_at=NOW - 14 * DAY) for _ in range(12)]
    flagged = [earned(shops, 14) for _ in range(3)]
    twice = [earned(shops, 13, "A", unionid=rows[n].contact.unionid) for n in range(2)]
    case = IntegrityCase.objects.create(
        brand=shops.brand, guide=shops.guides["A"], subject="FRIENDS", opened_at=NOW, since=START, until=NOW, due_at=NOW
    )
    RewardClaim.objects.filter(friendship__in=flagged).update(case=case)
    assert RewardClaim.objects.count() == 100
    books.follow(now=NOW)
    assert (balance("X:budget:promo"), balance("L:hold:G00001")) == (-49_000, 49_000)  # the 2 were void from the start

    rewards.judge(now=NOW)
    post()
    assert Counter(RewardClaim.objects.values_list("status", flat=True)) == {"VESTED": 83, "VOID": 14, "CLAIMED": 3}
    assert {state(row)[1] for row in deleted} == {"DELETED_EARLY"}
    assert {state(row)[1] for row in twice} == {"DUPLICATE"}
    assert balance("L:due:G00001") == 41_500
    assert balance("L:hold:G00001") == 1_500
    assert balance("X:budget:promo") == -43_000
    assert 41_500 + 8_500 == 100 * 500

    # a vested one is proven bought
    bought = RewardClaim.objects.get(friendship=rows[0])
    with transaction.atomic():
        assert rewards.take_away(claim_ids=[bought.pk], now=NOW) == (0, 1)
    post()
    assert balance("A:recv:G00001") == -500
    assert (balance("L:due:G00001"), balance("X:budget:promo")) == (41_500, -42_500)
    clawback = Txn.objects.get(kind="CLAWBACK")
    assert (clawback.fact, clawback.reason, clawback.reverses_id) == (
        f"REWARD {bought.pk}", "FRAUD", Txn.objects.get(kind="ACCRUE", fact=f"REWARD {bought.pk}").pk,
    )  # fmt: skip
    hold = Hold.objects.get(fact=f"REWARD {bought.pk}")
    assert (hold.amount_fen, hold.vested_fen, hold.clawed_fen) == (500, 500, 500)


def test_following_again_posts_nothing(shops: factory.Shops) -> None:
    """L3: the claim is the business fact."""
    friends.programme(START)
    earned(shops)
    rewards.judge(now=NOW)
    post()
    count = Txn.objects.count()
    RewardClaim.objects.update(posted_as="")  # as if the mark had been lost
    post()
    assert Txn.objects.count() == count and RewardClaim.objects.get().posted_as == Status.VESTED


def test_a_claim_that_never_stood_posts_nothing(shops: factory.Shops) -> None:
    friends.programme(START)
    earned(shops, customer_left_at=NOW - 9 * DAY)
    rewards.judge(now=NOW)
    post()
    assert not Txn.objects.exists() and not Hold.objects.exists()


def test_a_reversal_takes_what_has_not_vested_first(shops: factory.Shops) -> None:
    friends.programme(START)
    earned(shops)
    rewards.judge(now=NOW)
    books.follow(now=NOW)  # accrued, ripe, not yet vested
    with transaction.atomic():
        rewards.take_away(claim_ids=[RewardClaim.objects.get().pk], now=NOW)
    post()
    assert [txn.kind for txn in Txn.objects.order_by("pk")] == ["ACCRUE", "UNHOLD"]
    assert {account.balance_fen for account in Account.objects.all()} == {0}


@pytest.mark.django_db(transaction=True)
def test_twenty_guides_claim_one_person_at_once() -> None:
    """L3: one of them has it, the others are told that they come second."""
    company = factory.shops()
    friends.programme(START)
    guides = [factory.hire(f"T{n:04d}", f"导购{n}", company.stores["S1"]) for n in range(20)]
    friends.corp()
    ready = threading.Barrier(20)

    def claim(guide: Any) -> None:
        ready.wait()
        friends.friend(guide, NOW - DAY, unionid="oONE")
        connections.close_all()

    threads = [threading.Thread(target=claim, args=(guide,)) for guide in guides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = Counter(RewardClaim.objects.values_list("status", "reason"))
    assert found == {("CLAIMED", ""): 1, ("VOID", "DUPLICATE"): 19}


def test_the_database_refuses_two_rewards_for_a_person(shops: factory.Shops) -> None:
    friends.programme(START)
    earned(shops, unionid="oX")
    second = earned(shops, unionid="oX")
    with pytest.raises(Exception, match="one_reward_per_person"), transaction.atomic():
        RewardClaim.objects.filter(friendship=second).update(status="CLAIMED", reason="")


def test_a_pass_over_many_claims_asks_few_questions(shops: factory.Shops, django_assert_max_num_queries: Any) -> None:
    friends.programme(START)
    for number in range(60):
        earned(shops, 10 + number / 100)
    with django_assert_max_num_queries(16):
        assert rewards.judge(now=NOW).vested == 60
    assert connection.vendor == "postgresql"


# --- the chat archive -----------------------------------------------------------------------------------------------------


def report(secret: str, **said: Any) -> Any:
    body, timestamp = json.dumps(said).encode(), str(int(timezone.now().timestamp()))
    headers = {"X-Timestamp": timestamp, "X-Signature": intake.signature(secret.encode(), timestamp, body)}
    return Client().post("/api/channels/ARCHIVE/messages", body, content_type="application/json", headers=headers)


def test_the_archive_says_that_a_customer_has_written(shops: factory.Shops) -> None:
    """Once; a stranger is not found; another secret is not heard; a friend of eight days is earned at once."""
    Channel.objects.create(code="ARCHIVE", name="会话存档")
    intake._secrets.clear()
    secret = intake.new_secret(channel="ARCHIVE", actor=None)
    now = timezone.now()
    friends.programme(now - 90 * DAY)
    friendship = friends.friend(shops.guides["A"], now - 8 * DAY)
    said = {
        "corp_id": friendship.corp.corp_id, "userid": "G00001", "external_userid": friendship.contact.external_userid,
        "at": (now - DAY).isoformat(),
    }  # fmt: skip
    assert report("guessed", **said).status_code == 403
    assert state(friendship) == (Status.CLAIMED, "")
    assert [report(secret, **said).json()["result"] for _ in range(2)] == ["recorded", "known"]
    assert state(friendship) == (Status.VESTED, "MESSAGE")
    assert report(secret, **{**said, "external_userid": "wmNOBODY"}).status_code == 404
    assert report(secret, **{**said, "at": (now + DAY).isoformat()}).status_code == 422
    assert report(secret, **{**said, "at": "gestern"}).json()["extra"] == {"place": "/at"}
