"""Many at once, each with a connection of its own: K2, K3, K4, K5."""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

from members import coupons
from members.coupons import CouponRefused, life
from members.coupons.terms import Basket
from members.models import ClearingEntry, Coupon, CouponClaim, CouponEvent, CouponLock, CouponStock, Redemption
from scrm import db
from tests.factories import coupons as make
from tests.factories.coupons import NOW

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What ``work(0)`` … ``work(count - 1)`` answered, or the code of the refusal, started together."""
    answers: list[Any] = [None] * count
    gate = threading.Barrier(count)

    def one(number: int) -> None:
        try:
            gate.wait(30)
            answers[number] = work(number)
        except CouponRefused as error:
            answers[number] = error.code
        except BaseException as error:  # noqa: BLE001  shown by the assertion
            answers[number] = repr(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_a_claim_asks_the_server_twice_and_a_redemption_three_times(real_shops: Any) -> None:
    """The hot paths: what one of them holds, nobody else of the template can have until it has committed."""
    row, store = make.template(member_cap=9), real_shops.stores["S1"]
    make.redeem(make.give(row, real_shops.members["安琪"]), make.till(store))  # partitions are there
    statements: list[str] = []
    with db.watching(lambda statement, _seconds: statements.append(statement)):
        coupon = make.give(row, real_shops.members["安琪"])
        claim = len(statements)
        make.redeem(coupon, make.till(store))
    assert (claim, len(statements) - claim) == (2, 3), statements


def test_k2_fifty_tills_one_code(real_shops: Any) -> None:
    """One till wins; each other one hears that it was used; one event, one entry, one redemption."""
    store = real_shops.stores["S1"]
    coupon = make.give(make.template(), real_shops.members["安琪"])

    def till(number: int) -> str:
        row = coupons.redeeming.redeem(
            coupon_id=coupon.pk,
            till=make.till(store, f"T-{number}"),
            basket=Basket(12_000),
            key=f"till-{number}",
            now=NOW,
        )
        return "won" if row.is_new else "again"

    assert Counter(at_once(50, till)) == {"won": 1, "coupon_used": 49}
    assert Redemption.objects.count() == ClearingEntry.objects.count() == 1
    assert CouponEvent.objects.filter(kind="REDEEMED").count() == 1
    assert coupons.daily.differences() == []


def test_k2_one_request_sent_by_twenty_threads_is_one_redemption(real_shops: Any) -> None:
    store = real_shops.stores["S1"]
    coupon = make.give(make.template(), real_shops.members["安琪"])

    def till(_number: int) -> tuple[bool, int]:
        done = coupons.redeeming.redeem(
            coupon_id=coupon.pk, till=make.till(store, "T-1"), basket=Basket(12_000), key="the-key", now=NOW
        )
        return done.is_new, done.redemption.pk

    answers = at_once(20, till)
    assert len({pk for _is_new, pk in answers}) == 1 and sum(is_new for is_new, _pk in answers) == 1


@pytest.mark.parametrize("buckets", [1, 4])
def test_k3_total_cap_under_twenty_threads(real_shops: Any, buckets: int) -> None:
    """Thirteen for forty members: thirteen get one, the others hear that all are given, and no bucket keeps any."""
    members = [real_shops.member(f"会员{number}", store="S1") for number in range(40)]
    row = make.template(total_cap=13, budget_fen=None, bucket_count=buckets)

    def claim(number: int) -> str:
        got = []
        for member in (members[number], members[20 + number]):
            try:
                make.give(row, member)
                got.append("given")
            except CouponRefused as error:
                got.append(error.code)
        return " ".join(got)

    counted = Counter(word for answer in at_once(20, claim) for word in answer.split())
    assert counted == {"given": 13, "coupon_all_given": 27}
    assert set(CouponStock.objects.values_list("left_count", flat=True)) == {0}
    assert coupons.daily.differences() == []


def test_k3_member_cap_under_twenty_threads(real_shops: Any) -> None:
    """Three a member, twenty claims with keys of their own: three, whoever comes first."""
    member = real_shops.members["安琪"]
    row = make.template(member_cap=3)

    def claim(_number: int) -> str:
        make.give(row, member)
        return "given"

    assert Counter(at_once(20, claim)) == {"given": 3, "coupon_member_cap": 17}
    assert sorted(CouponClaim.objects.values_list("place", flat=True)) == [1, 2, 3]
    assert sum(CouponStock.objects.values_list("issued_count", flat=True)) == 3


@pytest.mark.parametrize("buckets", [1, 3])
def test_k5_budget_under_twenty_threads(real_shops: Any, buckets: int) -> None:
    """Money for seven: seven are given, whatever the number of claims and buckets; a void one frees money for one more."""
    members = [real_shops.member(f"会员{number}", store="S1") for number in range(20)]
    row = make.template(total_cap=None, budget_fen=15_999, bucket_count=buckets)

    def claim(number: int) -> str:
        make.give(row, members[number])
        return "given"

    assert Counter(at_once(20, claim)) == {"given": 7, "coupon_over_budget": 13}
    stock = list(CouponStock.objects.order_by("bucket"))
    assert sum(each.reserved_fen for each in stock) == 14_000 and sum(each.left_fen or 0 for each in stock) == 1_999
    first = Coupon.objects.order_by("pk")[0]
    life.make_void(coupon_ids=[first.pk], reason="发错", actor=make.person("hq"), now=NOW)
    make.give(row, real_shops.members["白鹭"])
    assert coupons.daily.differences() == []


def test_k4_release_redeem_and_lapse_at_once_end_a_lock_once(real_shops: Any) -> None:
    """Ten rounds of cancel, pay and the sweep against each other: one end, one event, and nobody waits for nobody."""
    store = real_shops.stores["S1"]
    row = make.template(member_cap=None, lock_minutes=1)
    for round_number in range(10):
        coupon = make.give(row, real_shops.members["安琪"])
        till = make.till(store, f"R{round_number}")
        life.lock(coupon_id=coupon.pk, till=till, basket=Basket(12_000), key=make.key(), now=NOW)
        later = NOW + dt.timedelta(minutes=2)

        def act(number: int, till: Any = till, coupon: Any = coupon, later: Any = later) -> str:
            if number % 3 == 0:
                return f"released {life.release(channel='POS', shop='', order_no=till.order_no, now=later)}"
            if number % 3 == 1:
                return f"lapsed {life.lapse_locks(now=later)}"
            make.redeem(coupon, till, now=later)
            return "redeemed 1"

        answers = at_once(6, act)
        assert all(isinstance(each, str) and "Error" not in each for each in answers), answers
        lock = CouponLock.objects.get(coupon=coupon)
        assert lock.ended_as != ""
        given_back = sum(int(each.split()[1]) for each in answers if each.startswith(("released", "lapsed")))
        ends = CouponEvent.objects.filter(coupon=coupon.pk, kind__in=["RELEASED", "LAPSED"]).count()
        assert given_back == ends == (0 if lock.ended_as == "REDEEMED" else 1)
        assert sum(each == "redeemed 1" for each in answers) == 1  # before or after the release, never twice
    assert coupons.daily.differences() == []
