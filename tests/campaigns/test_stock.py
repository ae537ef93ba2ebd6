"""Stock of community sales: K6, K7, by any order of acts and by real buyers at once."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from campaigns.communities import stock, stock_levels
from campaigns.models import Reservation, StockBucket, StockBuyer, StockItem
from tests.factories import stock as make

MINUTE = dt.timedelta(minutes=1)
pick = st.integers(0, 10**6)


def counts(item: StockItem) -> tuple[int, int, int, int]:
    """(stock, left, reserved, sold)"""
    rows = StockBucket.objects.filter(item=item).values_list(
        "total_count", "left_count", "reserved_count", "sold_count"
    )
    total, left, reserved, sold = (sum(column) for column in zip(*rows, strict=True))
    return total, left, reserved, sold


def code_of(found: Any) -> str:
    return getattr(found, "code", "") if isinstance(found, Exception) else "taken"


def test_a_claim_is_paid_or_comes_back_once(db: None) -> None:
    item = make.item(3, hold_minutes=10)
    first = stock.claim(wanted=make.wanted(item, quantity=2), key="a")
    again = stock.claim(wanted=make.wanted(item, quantity=2), key="a")
    assert (first.is_new, again.is_new, again.reservation.pk) == (True, False, first.reservation.pk)
    assert first.reservation.until == first.reservation.held_at + 10 * MINUTE
    with pytest.raises(stock.KeyDiffers):
        stock.claim(wanted=make.wanted(item, quantity=1), key="a")
    with pytest.raises(stock.StockShort) as short:
        stock.claim(wanted=make.wanted(item, quantity=2), key="b")
    assert (short.value.code, short.value.extra["left"]) == ("stock_not_enough", 1)
    now = timezone.now()
    number = first.reservation.pk
    assert stock.resize(reservation_id=number, quantity=3).quantity == 3
    with pytest.raises(stock.StockShort) as taken:
        stock.claim(wanted=make.wanted(item), key="c")
    assert taken.value.code == "stock_all_reserved"
    stock.confirm(reservation_id=number, paid_at=now, channel="SHOP", shop="1", order_no="T1")
    stock.confirm(reservation_id=number, paid_at=now, channel="SHOP", shop="1", order_no="T1")
    assert counts(item) == (3, 0, 0, 3)
    with pytest.raises(stock.StockRefused) as paid:
        stock.release(reservation_id=number, now=now)
    assert paid.value.code == "stock_paid"
    with pytest.raises(stock.StockShort) as gone:
        stock.claim(wanted=make.wanted(item), key="c")
    assert gone.value.code == "stock_sold_out"
    assert [stock.give_back(reservation_id=number, quantity=count, now=now) for count in (1, 1, 3, 3)] == [1, 0, 2, 0]
    assert counts(item) == (3, 3, 0, 0) and stock_levels.differences() == []


def test_the_window_the_cap_and_the_stop_are_kept(db: None) -> None:
    now = timezone.now()
    early = make.item(1, opens_at=now + MINUTE)
    late = make.item(1, opens_at=now - 2 * MINUTE, closes_at=now - MINUTE)
    capped = make.item(5, member_cap=2)
    stock.claim(wanted=make.wanted(capped, who="王姐", quantity=2), key="1")
    stock.claim(wanted=make.wanted(capped, who="李姐"), key="2")
    stopped = make.item(1)
    held = stock.claim(wanted=make.wanted(stopped), key="3").reservation
    make.fill(stopped, None, 1)
    assert (
        stock_levels.stop(item_ids=[stopped.pk], now=now) == 1
        and stock_levels.stop(item_ids=[stopped.pk], now=now) == 0
    )
    refused = {}
    for item, who in ((early, "x"), (late, "x"), (capped, "王姐"), (stopped, "x"), (make.item(), "x")):
        with pytest.raises(stock.StockRefused) as error:
            stock.claim(wanted=make.wanted(item, who=who), key=make.key())
        refused[item.pk] = error.value.code
    assert list(refused.values()) == [
        "stock_not_yet", "stock_closed", "stock_member_cap", "stock_stopped", "stock_unknown"
    ]  # fmt: skip
    stock.confirm(reservation_id=held.pk, paid_at=now)  # what was reserved before the stop can be paid
    assert counts(stopped) == (2, 1, 0, 1)
    # what she gives back counts for her again
    stock.release(reservation_id=Reservation.objects.get(key="1").pk, now=now)
    assert stock.claim(wanted=make.wanted(capped, who="王姐", quantity=2), key="4").is_new


def test_scattered_stock_is_put_together_before_anybody_is_told_no(db: None) -> None:
    item = make.item(8, bucket_count=8)
    assert stock.claim(wanted=make.wanted(item, quantity=5), key="a").is_new
    assert stock.claim(wanted=make.wanted(item, quantity=3), key="b").is_new
    assert counts(item) == (8, 0, 8, 0)
    stock.release(reservation_id=Reservation.objects.get(key="b").pk, now=timezone.now())
    stock_levels.change(item_id=item.pk, store_id=None, count=-3, key="out", reason="撤货", actor=None)
    stock_levels.change(item_id=item.pk, store_id=None, count=-3, key="out", reason="撤货", actor=None)
    with pytest.raises(stock.StockShort) as short:
        stock_levels.change(item_id=item.pk, store_id=None, count=-1, key="more", reason="撤货", actor=None)
    assert (short.value.code, counts(item)) == ("stock_not_left", (5, 0, 5, 0))
    assert stock_levels.differences() == []


def test_who_pays_late_gets_what_is_left_and_nothing_that_is_not(db: None) -> None:
    item = make.item(1, hold_minutes=1)
    late = stock.claim(wanted=make.wanted(item, who="late"), key="late").reservation
    Reservation.objects.filter(pk=late.pk).update(until=timezone.now() - MINUTE)
    assert (stock.expire(), stock.expire()) == (1, 0) and counts(item) == (1, 1, 0, 0)
    with transaction.atomic():
        stock.confirm(reservation_id=late.pk, paid_at=timezone.now())
        assert counts(item) == (1, 0, 0, 1)
        transaction.set_rollback(True)
    stock.claim(wanted=make.wanted(item, who="quick"), key="quick")
    with pytest.raises(stock.StockShort) as short:
        stock.confirm(reservation_id=late.pk, paid_at=timezone.now())
    assert short.value.code == "stock_paid_too_late"
    late.refresh_from_db()
    assert (late.status, counts(item)) == ("EXPIRED", (1, 0, 1, 0))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE campaigns_stockbucket SET left_count = left_count - 1",
        "UPDATE campaigns_stockbucket SET left_count = -1, total_count = reserved_count - 1",
        "UPDATE campaigns_reservation SET status = 'RETURNED', returned_count = 1, paid_at = now(), ended_at = now()",
        "UPDATE campaigns_reservation SET buyer = 'somebody else'",
        "DELETE FROM campaigns_reservation",
        "UPDATE campaigns_stockbuyer SET taken_count = cap_count + 1",
        "UPDATE campaigns_stockitem SET member_cap = 9",
        "UPDATE campaigns_stockchange SET change_count = 100",
    ],
)
def test_the_database_itself_says_no(db: None, statement: str) -> None:
    item = make.item(2, member_cap=1)
    stock.claim(wanted=make.wanted(item), key="a")
    with pytest.raises(Exception, match=r"\w"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert counts(item) == (2, 1, 1, 0) and stock_levels.differences() == []


# --- K6, K7: any order -------------------------------------------------------------------------------------------------


class Sales(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.item = make.item(7, bucket_count=3, member_cap=4, hold_minutes=5)
        self.stock, self.taken_back = 7, Counter[int]()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    def one(self, number: int) -> Reservation | None:
        rows = list(Reservation.objects.filter(item=self.item).order_by("pk"))
        return rows[number % len(rows)] if rows else None

    def attempt(self, work: Any) -> Any:
        """A refusal leaves no trace."""
        before = sorted(Reservation.objects.values_list("pk", "status", "quantity")), counts(self.item)
        try:
            with transaction.atomic():
                return work()
        except stock.StockRefused:
            assert before == (sorted(Reservation.objects.values_list("pk", "status", "quantity")), counts(self.item))
            return None

    @rule(who=st.integers(0, 3), quantity=st.integers(1, 5))
    def claim(self, who: int, quantity: int) -> None:
        left = counts(self.item)[1]
        mine = sum(row.taken_count for row in StockBuyer.objects.filter(item=self.item, buyer=f"b{who}"))
        wanted = make.wanted(self.item, who=f"b{who}", quantity=quantity)
        found = self.attempt(lambda: stock.claim(wanted=wanted, key=make.key()))
        assert (found is not None) == (quantity <= left and mine + quantity <= 4)  # no more, and no less

    @rule(which=pick)
    def pay(self, which: int) -> None:
        if row := self.one(which):
            self.attempt(lambda: stock.confirm(reservation_id=row.pk, paid_at=timezone.now()))

    @rule(which=pick)
    def release(self, which: int) -> None:
        if row := self.one(which):
            done = self.attempt(lambda: stock.release(reservation_id=row.pk, now=timezone.now()))
            assert bool(done) == (row.status == "HELD")

    @rule(which=pick, quantity=st.integers(1, 6))
    def resize(self, which: int, quantity: int) -> None:
        if row := self.one(which):
            self.attempt(lambda: stock.resize(reservation_id=row.pk, quantity=quantity))

    @rule(which=pick, quantity=st.integers(1, 5))
    def refund(self, which: int, quantity: int) -> None:
        if row := self.one(which):
            self.taken_back[row.pk] += stock.give_back(reservation_id=row.pk, quantity=quantity, now=timezone.now())
            row.refresh_from_db()
            assert self.taken_back[row.pk] == row.returned_count <= row.quantity

    @rule(which=pick)
    def run_out(self, which: int) -> None:
        row = self.one(which)
        if row and row.status == "HELD":
            Reservation.objects.filter(pk=row.pk).update(until=timezone.now() - MINUTE)
            assert (stock.expire(), stock.expire()) == (1, 0)  # K7

    @rule(count=st.integers(-4, 4).filter(bool))
    def change(self, count: int) -> None:
        done = self.attempt(
            lambda: stock_levels.change(item_id=self.item.pk, store_id=None, count=count, key=make.key(), reason="盘点", actor=None)
        )  # fmt: skip
        self.stock += count if done else 0

    @invariant()
    def it_adds_up(self) -> None:
        total, left, reserved, sold = counts(self.item)
        assert total == self.stock == left + reserved + sold and min(left, reserved, sold) >= 0
        assert stock_levels.differences() == []


def test_k6_k7_any_order(db: None) -> None:
    run_state_machine_as_test(
        Sales,
        settings=settings(
            max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


# --- K6, K7: really at once ---------------------------------------------------------------------------------------------


def test_k6_many_buyers_at_once(transactional_db: None) -> None:
    """Sold is exactly what is there, by one bucket or by several; who is told no was told the truth; a key sells once."""
    for buckets in (1, 5):
        item = make.item(23, bucket_count=buckets, member_cap=1)

        def buy(number: int, item: StockItem = item) -> Any:
            name = f"buyer {number // 2}"  # everybody asks twice, at once, under one key
            return stock.claim(wanted=make.wanted(item, who=name), key=f"{item.pk} {name}")

        found = make.at_once(buy, 80)
        said = Counter(code_of(each) for each in found)
        assert counts(item) == (23, 0, 23, 0) and Reservation.objects.filter(item=item).count() == 23
        assert said["taken"] + said["stock_all_reserved"] == 80 and said["taken"] >= 23
        assert sum(each.is_new for each in found if not isinstance(each, Exception)) == 23
    assert stock_levels.differences() == []


def test_k7_paying_cancelling_and_running_out_at_once(transactional_db: None) -> None:
    """Three ways for each reservation to end, at the same moment: one of them counts."""
    item = make.item(12, bucket_count=2, hold_minutes=1)
    for number in range(12):
        stock.claim(wanted=make.wanted(item, who=f"{number}"), key=f"{number}")
    Reservation.objects.update(until=timezone.now() - MINUTE)
    ids = list(Reservation.objects.order_by("pk").values_list("pk", flat=True))
    now = timezone.now()

    def end(number: int) -> Any:
        if number % 3 == 0:
            return stock.confirm(reservation_id=ids[number // 3], paid_at=now)
        if number % 3 == 1:
            return stock.release(reservation_id=ids[number // 3], now=now)
        return stock.expire()

    found = make.at_once(end, 36)
    assert {code_of(each) for each in found} <= {"taken", "stock_paid", "stock_busy"}
    while stock.expire():
        pass
    total, left, reserved, sold = counts(item)
    assert (total, reserved, left + sold) == (12, 0, 12)
    assert sold == Reservation.objects.filter(status="SOLD").count() and stock_levels.differences() == []


def test_the_stop_is_a_line_in_time(transactional_db: None) -> None:
    """Who waits for the row while the sale is stopped gets nothing after the stop."""
    item = make.item(50)

    def act(number: int) -> Any:
        if number == 20:
            stock_levels.stop(item_ids=[item.pk], now=timezone.now())
            return counts(item)
        return stock.claim(wanted=make.wanted(item, who=f"{number}"), key=f"{number}")

    found = make.at_once(act, 48)
    assert counts(item) == found[20]
    assert {code_of(each) for each in found} <= {"taken", "stock_stopped", "stock_busy"}


def test_a_refusal_leaves_the_callers_transaction_alive(db: None) -> None:
    item = make.item(1)
    with transaction.atomic():
        stock.claim(wanted=make.wanted(item), key="a")
        with pytest.raises(IntegrityError), transaction.atomic():  # as another worker took it between look and claim
            Reservation.objects.create(
                key="b", content_hash="", item=item, bucket=item.buckets.get(), buyer="x", quantity=1, status="HELD",
                held_at=timezone.now(),
            )  # fmt: skip
        assert counts(item) == (1, 0, 1, 0)
