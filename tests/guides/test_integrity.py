"""Integrity: what is flagged and what is not, who decides, what becomes of the money meanwhile and after."""

from __future__ import annotations

import datetime as dt
from random import Random
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from attribution import ledger
from attribution import rewards as books
from attribution.models import Account, Hold, MoneyBlock
from guides import integrity, rewards
from guides.integrity import counting, evidence, figures, suspicions
from guides.integrity.suspicions import Counts, Kind
from guides.models import IntegrityCase, IntegrityFlag, IntegritySettings, RewardClaim
from members.models import Identity
from scrm.models import Act, DeviceToken, User
from tests.factories import friends
from tests.factories import shops as factory

NOW = dt.datetime(2026, 6, 30, 4, tzinfo=dt.UTC)
START = NOW - dt.timedelta(days=100)
DAY, SECOND = dt.timedelta(days=1), dt.timedelta(seconds=1)
LIMITS = IntegritySettings()
Status = IntegrityCase.Status


@pytest.fixture
def shops(db: None) -> factory.Shops:
    return factory.shops()


@pytest.fixture
def people(shops: factory.Shops) -> tuple[User, User]:
    return shops.staff["hq"], User.objects.create_user("second")


def burst(shops: factory.Shops, count: int = 8, guide: str = "A", days_ago: int = 10) -> list[Any]:
    at = NOW - days_ago * DAY
    rows = [friends.friend(shops.guides[guide], at + n * 5 * SECOND) for n in range(count)]
    for row in rows:
        friends.wrote(row, at + 60 * SECOND)
    return rows


def flagged(shops: factory.Shops, **values: Any) -> IntegrityCase:
    """A case over a burst of eight friends, 40.00 held."""
    friends.programme(START)
    burst(shops, **values)
    integrity.look(now=NOW)
    books.follow(now=NOW)
    return IntegrityCase.objects.get()


def four_eyes_from(shops: factory.Shops, fen: int) -> None:
    limits = integrity.limits_of(shops.brand.pk)
    limits.four_eyes_fen = fen
    limits.save()


def statuses() -> set[str]:
    return set(RewardClaim.objects.values_list("status", flat=True))


# --- signals, pure --------------------------------------------------------------------------------------------------------


def kinds(counts: Counts, *peers: Counts) -> set[str]:
    return {signal.kind for signal in suspicions.of_guide(counts, [counts, *peers], LIMITS)}


@pytest.mark.parametrize(
    ("field", "limit", "kind"),
    [("most_per_minute", 8, Kind.ADDS_PER_MINUTE), ("most_per_second", 4, Kind.SAME_SECOND),
     ("most_guides_of_one", 4, Kind.SHARED_PERSON)],
)  # fmt: skip
def test_a_limit_is_reached_at_the_limit(field: str, limit: int, kind: str) -> None:
    assert kinds(Counts(1, adds=30, **{field: limit - 1})) == set()
    assert kinds(Counts(1, adds=30, **{field: limit})) == {kind}


def test_shares_of_few_friends_say_nothing() -> None:
    assert kinds(Counts(1, adds=19, at_night=19)) == set()
    assert kinds(Counts(1, adds=20, at_night=8)) == {Kind.NIGHT_SHARE}
    assert kinds(Counts(1, adds=20, at_night=7)) == set()


def test_the_delete_rate_is_held_against_the_peers() -> None:
    peers = [Counts(n, adds=100, judged_for_leaving=100, left_early=5 + n % 3) for n in range(2, 12)]
    assert kinds(Counts(1, adds=100, judged_for_leaving=100, left_early=60), *peers) == {Kind.DELETE_RATE}
    assert kinds(Counts(1, adds=100, judged_for_leaving=100, left_early=12), *peers) == set()
    assert kinds(Counts(1, adds=100, judged_for_leaving=100, left_early=60), *peers[:2]) == set()  # too few to compare


def test_pictures_say_nothing_where_nobody_has_one() -> None:
    peers = [Counts(n, adds=50, with_known_picture=50, without_picture=50) for n in range(2, 12)]
    assert kinds(Counts(1, adds=50, with_known_picture=50, without_picture=50), *peers) == set()
    seen = [Counts(n, adds=50, with_known_picture=50, without_picture=5) for n in range(2, 12)]
    assert kinds(Counts(1, adds=50, with_known_picture=50, without_picture=45), *seen) == {Kind.NO_AVATAR}


def test_a_new_device_is_a_flag_beside_a_burst_only() -> None:
    assert kinds(Counts(1, adds=9, new_devices_at_burst=1)) == set()
    assert kinds(Counts(1, adds=9, most_per_minute=9, new_devices_at_burst=1)) == {
        Kind.ADDS_PER_MINUTE,
        Kind.NEW_DEVICE,
    }


@given(st.lists(st.integers(0, 10_000), min_size=3, max_size=40), st.integers(10, 50))
def test_the_line_lies_above_the_mean_of_the_peers(shares: list[int], tenths: int) -> None:
    line = suspicions.line_above(shares, tenths)
    assert line is not None and line.limit_bp >= line.mean_bp + suspicions.LEAST_DIFFERENCE_BP - 1
    assert suspicions.line_above(list(reversed(shares)), tenths) == line


@pytest.mark.parametrize(("first", "last", "hour", "expected"), [(0, 6, 5, True), (0, 6, 6, False), (22, 6, 23, True), (22, 6, 6, False)])  # fmt: skip
def test_the_night_may_cross_midnight(first: int, last: int, hour: int, expected: bool) -> None:
    assert evidence.is_night(hour, IntegritySettings(night_from_hour=first, night_until_hour=last)) == expected


# --- the seeded company -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 20260630])
def test_precision_and_recall_of_a_seeded_company(shops: factory.Shops, seed: int, capsys: Any) -> None:
    """25 honest guides with busy days, queues and leavers of their own; 11 dishonest ones in five ways."""
    friends.programme(START)
    seeded = friends.seed_fraud(Random(seed), shops.stores["S1"], honest=25, now=NOW)
    integrity.look(now=NOW)
    found = set(IntegrityCase.objects.values_list("guide__code", flat=True))
    caught = found & seeded.dishonest.keys()
    precision, recall = len(caught) / max(len(found), 1), len(caught) / len(seeded.dishonest)
    missed = sorted(how for code, how in seeded.dishonest.items() if code not in found)
    with capsys.disabled():
        print(f"\nseed {seed}: precision {precision:.2f}, recall {recall:.2f}, missed {missed}")
    assert precision >= 0.9 and recall >= 0.9


def test_honest_guides_alone_are_left_alone(shops: factory.Shops) -> None:
    rng = Random(7)
    for number in range(12):
        friends._honest(rng, factory.hire(f"H{number:03d}", f"导购{number}", shops.stores["S1"]), NOW)
    assert integrity.look(now=NOW) == 0


# --- what a flag does -------------------------------------------------------------------------------------------------------


def test_a_flag_holds_exactly_the_friends_it_is_about(shops: factory.Shops) -> None:
    friends.programme(START)
    crowd = burst(shops)
    other = friends.friend(shops.guides["A"], NOW - 9 * DAY)
    friends.wrote(other, NOW - 8 * DAY)
    assert integrity.look(now=NOW) == 1
    case = IntegrityCase.objects.get()
    assert set(case.claims.values_list("friendship", flat=True)) == {row.pk for row in crowd}
    assert (case.held_fen, case.guide, case.store) == (4_000, shops.guides["A"], shops.stores["S1"])
    rewards.judge(now=NOW)
    assert RewardClaim.objects.get(friendship=other).status == "VESTED"
    assert set(case.claims.values_list("status", flat=True)) == {"CLAIMED"}
    flag = IntegrityFlag.objects.get()
    assert (flag.kind, flag.value, flag.threshold) == (Kind.ADDS_PER_MINUTE, 8, 8)
    assert flag.evidence["rows"][0]["count"] == 8 and sum(flag.evidence["hours"]) == 9


def test_looking_again_opens_nothing_new(shops: factory.Shops) -> None:
    case = flagged(shops)
    assert integrity.look(now=NOW + DAY) == 0
    assert (IntegrityCase.objects.get(), IntegrityFlag.objects.count()) == (case, 1)


def test_what_was_decided_is_not_opened_again_for_the_same_days(
    shops: factory.Shops, people: tuple[User, User]
) -> None:
    integrity.release(case=flagged(shops), actor=people[0], reason="店庆排队", now=NOW)
    assert integrity.look(now=NOW + DAY) == 0
    burst(shops, days_ago=-1)
    assert integrity.look(now=NOW + 2 * DAY) == 1


def test_what_was_earned_before_is_blocked_while_a_case_is_open(
    shops: factory.Shops, people: tuple[User, User]
) -> None:
    friends.programme(START)
    burst(shops)
    rewards.judge(now=NOW)
    books.follow(now=NOW)
    integrity.look(now=NOW)
    books.follow(now=NOW)
    assert MoneyBlock.objects.live().count() == 8
    assert ledger.vest(now=NOW) == 0
    integrity.release(case=IntegrityCase.objects.get(), actor=people[0], reason="店庆排队", now=NOW)
    books.follow(now=NOW)
    assert (MoneyBlock.objects.live().count(), ledger.vest(now=NOW)) == (0, 8)


def test_a_device_beside_a_burst(shops: factory.Shops) -> None:
    shops.token("A")
    at = NOW - 10 * DAY
    DeviceToken.objects.update(created=at - 47 * dt.timedelta(hours=1))
    flagged(shops)
    flag = IntegrityFlag.objects.get(kind=Kind.NEW_DEVICE)
    assert flag.evidence["rows"][0]["what"] == "device"


def test_a_device_long_before_says_nothing(shops: factory.Shops) -> None:
    shops.token("A")
    DeviceToken.objects.update(created=NOW - 13 * DAY)
    flagged(shops)
    assert set(IntegrityFlag.objects.values_list("kind", flat=True)) == {Kind.ADDS_PER_MINUTE}


def test_an_account_bound_anew_beside_a_burst(shops: factory.Shops) -> None:
    guide = shops.guides["A"]
    for userid in ("old_account", "new_account"):
        guide.wecom_userid = userid
        guide.save()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE guides_guideevent SET pgh_created_at = %s", [NOW - 9 * DAY])
    flagged(shops)
    assert IntegrityFlag.objects.get(kind=Kind.NEW_DEVICE).evidence["rows"][0]["what"] == "account"


def test_self_deals_block_the_commission_of_their_lines(shops: factory.Shops, people: tuple[User, User]) -> None:
    """A guide's own purchases over the till under her own name; commission waits for the review."""
    member = own_member(shops, "A", "王芳本人")
    line = shops.line("self", member=member, store="S1", paid_fen=60_000, at=NOW - DAY, cashier="G00002")
    assert integrity.look(now=NOW) == 0  # under a colleague's name it is none
    line.cashier_code = "G00001"
    line.save()
    assert integrity.look(now=NOW) == 1
    case = IntegrityCase.objects.get()
    assert (case.subject, case.line_ids, case.guide) == ("ORDERS", [line.pk], shops.guides["A"])
    books.follow(now=NOW)
    holds = Hold.objects.filter(line_id=line.pk)
    assert holds.exists() and MoneyBlock.objects.live().filter(hold__in=holds).count() == holds.count()
    integrity.release(case=case, actor=people[0], reason="自用已报备", now=NOW)
    books.follow(now=NOW)
    assert not MoneyBlock.objects.live().exists()


def test_two_guides_who_buy_from_each_other(shops: factory.Shops) -> None:
    for name, other, own in (("A", "G00002", "王芳本人"), ("B", "G00001", "李娜本人")):
        member = own_member(shops, name, own)
        shops.line(name, member=member, store="S1", paid_fen=100_000, at=NOW - DAY, cashier=other)
    assert integrity.look(now=NOW) == 2
    cases = IntegrityCase.objects.order_by("guide__code")
    assert [case.guide.code for case in cases] == ["G00001", "G00002"]
    assert {flag.kind for flag in IntegrityFlag.objects.all()} == {Kind.LOOP}


def test_one_way_is_no_loop(shops: factory.Shops) -> None:
    member = own_member(shops, "A", "王芳本人")
    shops.line("one", member=member, store="S1", paid_fen=900_000, at=NOW - DAY, cashier="G00002")
    assert integrity.look(now=NOW) == 0


def own_member(shops: factory.Shops, guide: str, name: str) -> str:
    member = shops.member(name, store="S1")
    row = shops.guides[guide]
    row.mobile_index = Identity.objects.get(member=member, kind="MOBILE").value
    row.save()
    return name


# --- who decides ------------------------------------------------------------------------------------------------------------


def test_fraud_over_an_amount_takes_two_people(shops: factory.Shops, people: tuple[User, User]) -> None:
    """S4."""
    case, (first, second) = flagged(shops), people
    four_eyes_from(shops, 4_000)
    assert integrity.confirm(case=case, actor=first, reason="号商批量添加", now=NOW).status == Status.PROPOSED
    with pytest.raises(integrity.CannotDecide) as error:
        integrity.confirm(case=case, actor=first, reason="号商批量添加", now=NOW)
    assert error.value.code == "own_proposal"
    assert IntegrityCase.objects.get().status == Status.PROPOSED
    with pytest.raises(Exception, match="case_four_eyes"), transaction.atomic():
        IntegrityCase.objects.update(status="CONFIRMED", decided_by=first, decided_at=NOW)
    assert integrity.confirm(case=case, actor=second, reason="复核属实", now=NOW).status == Status.CONFIRMED
    assert list(Act.objects.filter(verb__startswith="integrity.").order_by("pk").values_list("verb", flat=True)) == [
        "integrity.open", "integrity.propose", "integrity.confirm",
    ]  # fmt: skip


def test_below_the_amount_one_person_suffices(shops: factory.Shops, people: tuple[User, User]) -> None:
    case = flagged(shops)
    four_eyes_from(shops, 4_001)
    assert integrity.confirm(case=case, actor=people[0], reason="属实", now=NOW).status == Status.CONFIRMED


def test_nobody_decides_about_herself(shops: factory.Shops) -> None:
    with pytest.raises(integrity.CannotDecide) as error:
        integrity.release(case=flagged(shops), actor=shops.guides["A"].user, reason="没有问题", now=NOW)
    assert error.value.code == "own_case"


def test_released_money_is_judged_like_all_other(shops: factory.Shops, people: tuple[User, User]) -> None:
    integrity.release(case=flagged(shops), actor=people[0], reason="店庆排队", now=NOW)
    rewards.judge(now=NOW)
    books.follow(now=NOW)
    assert statuses() == {"VESTED"} and ledger.vest(now=NOW) == 8


def test_confirmed_money_waits_for_the_appeal_and_is_then_taken(
    shops: factory.Shops, people: tuple[User, User]
) -> None:
    """Held claims end, earned and paid ones are clawed back."""
    friends.programme(START)
    rows = burst(shops)
    rewards.judge(now=NOW)
    RewardClaim.objects.filter(friendship__in=rows[:3]).update(status="CLAIMED", earned_by="", vested_at=None)
    books.follow(now=NOW)
    assert ledger.vest(now=NOW) == 5
    integrity.look(now=NOW)
    case = IntegrityCase.objects.get()
    integrity.confirm(case=case, actor=people[0], reason="号商批量添加", now=NOW)
    over = NOW + 7 * DAY
    assert integrity.finish(now=over - SECOND) == 0
    rewards.judge(now=over)
    assert statuses() == {"CLAIMED", "VESTED"}
    assert integrity.finish(now=over) == 1
    books.follow(now=over)
    assert statuses() == {"VOID", "CLAWED_BACK"}
    balances = dict(Account.objects.filter(code__contains="G00001").values_list("code", "balance_fen"))
    assert balances == {"L:hold:G00001": 0, "L:due:G00001": 2_500, "A:recv:G00001": -2_500}
    assert Account.objects.get(code="X:budget:promo").balance_fen == 0
    assert not MoneyBlock.objects.live().exists()
    shown = figures.paid_then_fake()
    assert (shown.paid, shown.fake, shown.share_bp, shown.fake_fen) == (5, 5, 10_000, 2_500)


# --- appeal -----------------------------------------------------------------------------------------------------------------


def test_an_appeal_opens_a_confirmed_case_again_for_somebody_else(
    shops: factory.Shops, people: tuple[User, User]
) -> None:
    case, (first, second) = flagged(shops), people
    integrity.confirm(case=case, actor=first, reason="属实", now=NOW)
    guide = shops.guides["A"].pk
    row = integrity.appeal(case_id=case.pk, guide_id=guide, text="当天店庆，有照片", now=NOW + DAY)
    assert (row.status, row.appealed_against) == (Status.OPEN, first)
    with pytest.raises(integrity.CannotDecide) as error:
        integrity.release(case=case, actor=first, reason="再看一次", now=NOW + DAY)
    assert error.value.code == "own_decision"
    with pytest.raises(integrity.CannotAppeal) as refused:
        integrity.appeal(case_id=case.pk, guide_id=guide, text="再申诉", now=NOW + DAY)
    assert refused.value.code == "appealed_already"
    integrity.release(case=case, actor=second, reason="照片属实", now=NOW + 2 * DAY)
    rewards.judge(now=NOW + 2 * DAY)
    assert statuses() == {"VESTED"}


def test_what_is_confirmed_after_an_appeal_is_final(shops: factory.Shops, people: tuple[User, User]) -> None:
    case = flagged(shops)
    integrity.appeal(case_id=case.pk, guide_id=shops.guides["A"].pk, text="都是真客户", now=NOW)
    assert integrity.confirm(case=case, actor=people[0], reason="属实", now=NOW).status == Status.FINAL
    assert statuses() == {"VOID"}


def test_the_clock_of_an_appeal(shops: factory.Shops, people: tuple[User, User]) -> None:
    case = integrity.confirm(case=flagged(shops), actor=people[0], reason="属实", now=NOW)
    assert case.appeal_until == NOW + 7 * DAY
    guide = shops.guides["A"].pk
    with pytest.raises(integrity.CannotAppeal) as error:
        integrity.appeal(case_id=case.pk, guide_id=guide, text="都是真客户", now=case.appeal_until)
    assert error.value.code == "appeal_too_late"
    in_time = integrity.appeal(case_id=case.pk, guide_id=guide, text="都是真客户", now=case.appeal_until - SECOND)
    assert in_time.status == Status.OPEN


def test_a_colleagues_case_is_not_hers_to_appeal(shops: factory.Shops) -> None:
    with pytest.raises(integrity.CannotAppeal):
        integrity.appeal(case_id=flagged(shops).pk, guide_id=shops.guides["B"].pk, text="不是她", now=NOW)


def test_counting_asks_few_questions_whatever_the_number(
    shops: factory.Shops, django_assert_max_num_queries: Any
) -> None:
    for number in range(40):
        friends.friend(shops.guides["A" if number % 2 else "B"], NOW - DAY + number * dt.timedelta(minutes=3))
    with django_assert_max_num_queries(4):
        found = counting.counts(limits=LIMITS, since=NOW - 14 * DAY, until=NOW)
    assert {(counts.adds, counts.most_per_minute) for counts in found} == {(20, 1)}
