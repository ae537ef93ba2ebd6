"""K1, K4, K5: whatever happens to coupons in whatever order, counts and money add up and nothing comes back twice."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from members import coupons
from members.coupons import CouponRefused, life
from members.coupons.terms import Basket
from members.models import ClearingEntry, Coupon, CouponEvent, CouponLock, CouponStock, Redemption
from tests.factories import coupons as make
from tests.factories.coupons import DAY, HOUR, NOW

pick = st.integers(0, 10**6)


class Lives(RuleBasedStateMachine):
    shops: Any

    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.now = NOW
        self.members = list(self.shops.members.values())
        self.template = make.template(
            value_fen=3_000, kind="DISCOUNT", off_bp=2_000, threshold_fen=0, member_cap=4, total_cap=9, budget_fen=24_000,
            bucket_count=2, is_giftable=True, valid_days=3, reversal_hours=24, lock_minutes=30, claim_until=NOW + 900 * DAY,
        )  # fmt: skip
        self.given_back: dict[int, int] = {}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    def one(self, number: int, **filters: Any) -> Coupon | None:
        rows = list(Coupon.objects.filter(template=self.template, **filters).order_by("pk"))
        return rows[number % len(rows)] if rows else None

    def attempt(self, work: Any) -> Any:
        """A refusal leaves no trace."""
        before = counts(self.template)
        try:
            with transaction.atomic():
                return work()
        except CouponRefused:
            assert counts(self.template) == before
            return None

    @rule(who=pick)
    def give(self, who: int) -> None:
        self.attempt(lambda: make.give(self.template, self.members[who % 3], self.now))

    @rule(which=pick, fen=st.integers(1, 30_000), order=st.integers(1, 4))
    def lock(self, which: int, fen: int, order: int) -> None:
        coupon = self.one(which)
        if coupon and coupon.member_id:
            till = make.till(self.shops.stores["S1"], f"O{order}")
            self.attempt(
                lambda: life.lock(coupon_id=coupon.pk, till=till, basket=Basket(fen), key=make.key(), now=self.now)
            )

    @rule(order=st.integers(1, 4))
    def release(self, order: int) -> None:
        terms: dict[str, Any] = {"channel": "POS", "shop": "", "order_no": f"O{order}"}
        held = CouponLock.objects.filter(order_no=f"O{order}", ended_at=None).count()
        assert life.release(**terms, now=self.now) == held
        assert life.release(**terms, now=self.now) == 0  # K4: never two releases

    @rule(which=pick, fen=st.integers(1, 30_000), order=st.integers(1, 9))
    def redeem(self, which: int, fen: int, order: int) -> None:
        coupon = self.one(which)
        if coupon and coupon.member_id:
            till = make.till(self.shops.stores["F1"], f"O{order}")
            self.attempt(lambda: make.redeem(coupon, till, fen, self.now))

    @rule(which=pick)
    def reverse(self, which: int) -> None:
        rows = list(Redemption.objects.filter(template=self.template).order_by("pk"))
        if not rows:
            return
        row = rows[which % len(rows)]
        done = self.attempt(
            lambda: coupons.redeeming.reverse(redemption_id=row.pk, reason="退货", key=make.key(), now=self.now)
        )
        if done:
            assert self.now <= row.redeemed_at + 24 * HOUR and row.status == "REDEEMED"
            assert Coupon.objects.get(pk=row.coupon_id).status == "HELD"

    @rule(which=pick, who=pick)
    def gift(self, which: int, who: int) -> None:
        coupon = self.one(which, status="HELD")
        if coupon and coupon.member_id:
            giver_id = coupon.member_id
            gift = self.attempt(
                lambda: life.offer(coupon_id=coupon.pk, giver_id=giver_id, key=make.key(), now=self.now)
            )
            if gift and who % 4 < 3:
                taker = self.members[who % 3]
                self.attempt(lambda: life.take(token=gift.token, taker_id=taker.pk, key=make.key(), now=self.now))

    @rule(which=pick)
    def make_void(self, which: int) -> None:
        coupon = self.one(which)
        if coupon:
            life.make_void(coupon_ids=[coupon.pk], reason="发错", actor=make.person("hq"), now=self.now)

    @rule(hours=st.integers(1, 40))
    def time_passes(self, hours: int) -> None:
        self.now += dt.timedelta(hours=hours)
        coupons.daily.sweep(now=self.now)
        life.expire(today=coupons.terms.business_day(self.now), now=self.now)
        coupons.redeeming.make_final(now=self.now)
        assert life.expire(today=coupons.terms.business_day(self.now), now=self.now) == 0

    @invariant()
    def k1_k5_counts_and_money_add_up(self) -> None:
        assert coupons.daily.differences() == []
        seen = counts(self.template)
        assert seen["issued"] == seen["unclaimed"] + seen["held"] + seen["redeemed"] + seen["expired"] + seen["void"]
        assert seen["issued"] <= 9 and seen["left"] == 9 - seen["issued"]
        assert (
            seen["left_fen"] + seen["reserved"] + seen["spent"] == 24_000 and seen["spent"] + seen["reserved"] <= 24_000
        )

    @invariant()
    def k4_each_end_of_a_lock_is_one_event(self) -> None:
        ended = CouponLock.objects.filter(ended_as__in=["RELEASED", "LAPSED"]).count()
        assert CouponEvent.objects.filter(kind__in=["RELEASED", "LAPSED"]).count() == ended
        live = Redemption.objects.filter(status="REDEEMED")
        assert live.count() == Coupon.objects.filter(status="REDEEMED").count()
        assert sum(ClearingEntry.objects.values_list("amount_fen", flat=True)) == sum(
            live.values_list("discount_fen", flat=True)
        )


def counts(template: Any) -> dict[str, int]:
    names = {
        "issued": "issued_count", "unclaimed": "unclaimed_count", "held": "held_count", "redeemed": "redeemed_count",
        "expired": "expired_count", "void": "void_count", "left": "left_count", "left_fen": "left_fen",
        "reserved": "reserved_fen", "spent": "spent_fen",
    }  # fmt: skip
    rows = list(CouponStock.objects.filter(template=template))
    return {name: sum(getattr(row, field) or 0 for row in rows) for name, field in names.items()}


@pytest.mark.django_db
def test_k1_k4_k5_whatever_happens(shops: Any) -> None:
    Lives.shops = shops
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
