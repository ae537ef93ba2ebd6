"""What a coupon is worth, who may publish, what refuses and how it says so."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.db.models import Sum
from hypothesis import given
from hypothesis import strategies as st

from members import coupons
from members.coupons import CouponRefused, RequestDiffers, batches, clearing, life, passes, templates, terms
from members.coupons.terms import Basket, Goods
from members.models import (
    ClearingEntry,
    Coupon,
    CouponBatch,
    CouponClaim,
    CouponEvent,
    CouponGift,
    CouponStock,
    CouponTemplate,
    Member,
    Redemption,
    RedemptionNews,
)
from scrm import jobs
from scrm.models import Job
from scrm.org import EVERYTHING, Scope
from tests.factories import coupons as make
from tests.factories import shops as factory
from tests.factories.coupons import DAY, HOUR, NOW

SHANGHAI = terms.SHANGHAI


def code_of(work: Any) -> tuple[str, str]:
    with pytest.raises(CouponRefused) as error:
        work()
    assert any("\u4e00" <= sign <= "\u9fff" for sign in error.value.message), error.value.message
    return error.value.code, error.value.extra["field"]


def run(batch: CouponBatch) -> CouponBatch:
    """As the job does, at the time of the test."""
    while batch.ended_at is None:
        batch = batches._chunk(batch.pk, NOW)
    return batch


# --- worth ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "off", "eligible", "unit", "payable", "expected"),
    [
        ("FULL_CUT", 2_000, 0, 12_000, 12_000, 12_000, 2_000),
        ("CASH", 2_000, 0, 1_500, 1_500, 1_500, 1_500),  # never more than the goods
        ("CASH", 2_000, 0, 12_000, 12_000, 700, 700),  # never more than what is left to pay
        ("DISCOUNT", 5_000, 2_000, 12_345, 12_345, 12_345, 2_469),
        ("DISCOUNT", 5_000, 2_000, 100_000, 1, 100_000, 5_000),  # up to the cap
        ("DISCOUNT", 5_000, 2_000, 3, 3, 3, 1),  # 0.6 fen, half up
        ("DISCOUNT", 5_000, 2_000, 2, 2, 2, 0),  # 0.4 fen
        ("EXCHANGE", 3_000, 0, 9_000, 2_980, 9_000, 2_980),
        ("EXCHANGE", 3_000, 0, 9_000, 4_500, 9_000, 3_000),
    ],
)
def test_what_a_coupon_takes_off(
    kind: str, value: int, off: int, eligible: int, unit: int, payable: int, expected: int
) -> None:
    assert expected == terms.takes_off(
        kind=kind, value_fen=value, off_bp=off, eligible_fen=eligible, unit_fen=unit, payable_fen=payable
    )


@given(st.integers(1, 10**9), st.integers(0, 10_000))
def test_shares_sum_to_the_discount(fen: int, share_bp: int) -> None:
    hq, rest = terms.shares(fen, share_bp)
    assert hq + rest == fen and hq >= 0 and rest >= 0


def test_a_weighed_product_counts_by_its_amount() -> None:
    assert terms.dearest_unit([Goods("A", 1_990, Decimal("0.001"))]) == 1_990
    assert terms.dearest_unit([Goods("A", 5_001, Decimal(2)), Goods("B", 1_000)]) == 2_501


@given(
    st.integers(1, 64),
    st.integers(0, 10_000),
    st.integers(0, 10**8),
    st.integers(1, 10**5),
    st.booleans(),
    st.booleans(),
)
def test_k5_buckets_share_cap_and_budget_exactly(
    count: int, cap: int, budget: int, value: int, has_cap: bool, has_budget: bool
) -> None:
    parts = templates.buckets(
        count=count, total_cap=cap if has_cap else None, budget_fen=budget if has_budget else None, value_fen=value
    )
    assert len(parts) == count
    if has_cap:
        assert sum(part[0] or 0 for part in parts) == cap
    if has_budget:
        assert sum(part[1] or 0 for part in parts) == budget
        assert sum((part[1] or 0) // value for part in parts) >= budget // value


# --- templates --------------------------------------------------------------------------------------------------------


def test_nobody_publishes_her_own_template(shops: factory.Shops) -> None:
    """S4."""
    row = make.draft()
    assert code_of(lambda: templates.publish(template=row, actor=row.author, now=NOW)) == ("own_template", "author")
    row.refresh_from_db()
    assert row.status == "DRAFT"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"total_cap": None, "budget_fen": None}, "total_cap"),
        ({"budget_fen": 1_999}, "budget_fen"),
        ({"total_cap": 3, "bucket_count": 4}, "bucket_count"),
        ({"kind": "EXCHANGE", "threshold_fen": 0}, "product_ids"),
        ({"claim_until": NOW - DAY}, "claim_until"),
        ({"valid_days": None, "valid_from": dt.date(2026, 5, 1), "valid_until": dt.date(2026, 6, 29)}, "valid_until"),
    ],
)
def test_an_incomplete_draft_is_refused_at_its_field(shops: factory.Shops, values: dict[str, Any], field: str) -> None:
    row = make.draft(**values)
    refusal = code_of(lambda: templates.publish(template=row, actor=make.person("coupon-approver"), now=NOW))
    assert refusal == ("template_not_complete", field)


def test_a_new_version_ends_the_one_in_force_and_its_coupons_stay(shops: factory.Shops) -> None:
    first = make.template()
    coupon = make.give(first, shops.members["安琪"])
    again = templates.draft_again(template=first, actor=make.person("coupon-author"))
    again.value_fen = 3_000
    again.save()
    templates.publish(template=again, actor=make.person("coupon-approver"), now=NOW)
    first.refresh_from_db()
    assert (first.status, again.number, first.value_fen) == ("ENDED", 2, 2_000)
    assert code_of(lambda: make.give(first, shops.members["白鹭"])) == ("coupon_ended", "template")
    assert make.redeem(coupon, make.till(shops.stores["S1"])).discount_fen == 2_000


# --- giving -----------------------------------------------------------------------------------------------------------


def test_who_gets_one_and_who_does_not(shops: factory.Shops) -> None:
    row, member = make.template(), shops.members["安琪"]
    assert code_of(lambda: make.give(row, member, source="CLAIM")) == ("coupon_not_claimable", "template")
    assert code_of(lambda: make.give(row, member, now=NOW - 31 * DAY)) == ("coupon_not_yet", "template")
    assert code_of(lambda: make.give(row, member, now=NOW + 61 * DAY)) == ("coupon_ended", "template")
    shops.members["白鹭"].status = "FROZEN"
    shops.members["白鹭"].save()
    assert code_of(lambda: make.give(row, shops.members["白鹭"])) == ("coupon_member_not_active", "member")
    assert not Coupon.objects.exists() and not CouponEvent.objects.exists()
    coupon = make.give(row, member)
    assert (coupon.starts_on, coupon.expires_on) == (dt.date(2026, 6, 30), dt.date(2026, 7, 29))
    assert len(coupon.code) == 16 and set(coupon.code) <= set(coupons.issuing.ALPHABET)
    assert code_of(lambda: make.give(row, member)) == ("coupon_member_cap", "member")


def test_the_same_request_is_one_coupon_and_another_content_is_an_error(shops: factory.Shops) -> None:
    row, member = make.template(member_cap=5), shops.members["安琪"]
    first = make.give(row, member, key="one")
    assert make.give(row, member, key="one").pk == first.pk
    with pytest.raises(RequestDiffers):
        make.give(row, shops.members["白鹭"], key="one")
    assert Coupon.objects.count() == 1 and CouponEvent.objects.count() == 1


def test_a_guide_gives_within_her_quota_of_the_month(shops: factory.Shops) -> None:
    row, guide = make.template(guide_month_quota=2, member_cap=None), shops.guides["A"].user
    where = coupons.records.Where(actor=guide, store_id=shops.stores["S1"].pk)
    gift: dict[str, Any] = {"source": "GUIDE", "where": where}
    coupon = make.give(row, shops.members["安琪"], **gift)
    make.give(row, shops.members["白鹭"], **gift)
    assert (coupon.giver, coupon.issuer) == (guide, shops.stores["S1"].entity)
    assert code_of(lambda: make.give(row, shops.members["付雪"], **gift)) == ("coupon_quota_spent", "template")
    make.give(row, shops.members["付雪"], now=NOW + DAY, **gift)  # July by Shanghai
    assert code_of(lambda: make.give(make.template(), shops.members["付雪"], **gift)) == (
        "coupon_not_for_guides",
        "template",
    )


# --- using ------------------------------------------------------------------------------------------------------------


def test_every_refusal_names_its_field_and_changes_nothing(shops: factory.Shops) -> None:
    """Wrong store, channel, hour, product, too little, used, expired, held: all said in Chinese, nothing lost."""
    fruit, other = factory.product("榴莲"), factory.product("西瓜")
    member, store = shops.members["安琪"], shops.stores["S1"]
    basket = Basket(12_000, (Goods(other.sku, 12_000),))
    cases: list[tuple[dict[str, Any], Any, tuple[str, str]]] = [
        ({"store_ids": [shops.stores["S2"].pk]}, basket, ("coupon_wrong_store", "store")),
        ({"region_ids": [shops.stores["S2"].region_id]}, basket, ("coupon_wrong_store", "store")),
        ({"channels": ["MINI_PROGRAM"]}, basket, ("coupon_wrong_channel", "channel")),
        ({"weekdays": [7]}, basket, ("coupon_wrong_time", "time")),
        ({"product_ids": [fruit.pk]}, Basket(12_000), ("coupon_needs_lines", "lines")),
        ({"product_ids": [fruit.pk]}, basket, ("coupon_wrong_product", "lines")),
        ({}, Basket(9_999), ("coupon_below_threshold", "amount")),
    ]
    for values, what, expected in cases:
        coupon = make.give(make.template(**values), member)
        assert code_of(lambda c=coupon, w=what: make.redeem(c, make.till(store), basket=w)) == expected
        assert Coupon.objects.get(pk=coupon.pk).status == "HELD"
    coupon = make.give(make.template(), member)
    assert code_of(lambda: make.redeem(coupon, make.till(store), now=NOW + 30 * DAY)) == ("coupon_expired", "code")
    row = make.redeem(coupon, make.till(store))
    assert code_of(lambda: make.redeem(coupon, make.till(store))) == ("coupon_used", "code")
    assert Redemption.objects.get() == row


def test_products_categories_and_exchange(shops: factory.Shops) -> None:
    fruit, other = factory.product("榴莲"), factory.product("西瓜")
    assert fruit.category_id == other.category_id
    member, store = shops.members["安琪"], shops.stores["S1"]
    lines = (Goods(fruit.sku, 9_000, Decimal(2)), Goods(other.sku, 5_000), Goods("UNKNOWN", 90_000))
    exchange = make.give(
        make.template(kind="EXCHANGE", value_fen=4_000, threshold_fen=0, product_ids=[fruit.pk]), member
    )
    row = make.redeem(exchange, make.till(store), basket=Basket(104_000, lines))
    assert (row.discount_fen, row.eligible_fen) == (4_000, 9_000)  # one of two at 45.00, up to 40.00
    part = make.give(
        make.template(
            kind="DISCOUNT", off_bp=1_000, value_fen=9_999, threshold_fen=14_000, category_ids=[fruit.category_id]
        ),
        member,
    )
    assert make.redeem(part, make.till(store), basket=Basket(104_000, lines)).discount_fen == 1_400


def test_stackable_coupons_share_an_order_and_others_stand_alone(shops: factory.Shops) -> None:
    member, till = shops.members["安琪"], make.till(shops.stores["S1"], "SAME")
    cash: dict[str, Any] = {"kind": "CASH", "value_fen": 700, "threshold_fen": 0, "is_stackable": True}
    together = [make.give(make.template(**cash), member) for _number in range(3)]
    alone = make.give(make.template(), member)
    first, second = (make.redeem(each, till, 1_000) for each in together[:2])
    assert (first.discount_fen, second.discount_fen) == (700, 300)  # never below nothing
    assert code_of(lambda: make.redeem(together[2], till, 1_000)) == ("coupon_nothing_off", "amount")
    assert code_of(lambda: make.redeem(alone, till)) == ("coupon_not_stackable", "order_no")
    other = make.till(shops.stores["S1"], "OTHER")
    make.redeem(alone, other)
    assert code_of(lambda: make.redeem(together[2], other, 15_000)) == ("coupon_not_stackable", "order_no")


def test_k4_a_lock_holds_for_its_order_and_comes_back_once(shops: factory.Shops) -> None:
    coupon = make.give(make.template(), shops.members["安琪"])
    till, other = make.till(shops.stores["S1"], "L1"), make.till(shops.stores["S1"], "L2")
    lock = life.lock(coupon_id=coupon.pk, till=till, basket=Basket(12_000), key=make.key(), now=NOW)
    assert lock.until == NOW + dt.timedelta(minutes=30)
    assert life.lock(coupon_id=coupon.pk, till=till, basket=Basket(12_000), key=make.key(), now=NOW) == lock
    assert code_of(lambda: make.redeem(coupon, other)) == ("coupon_locked", "code")
    assert life.expire(today=dt.date(2027, 1, 1), now=NOW) == 0  # it waits for its order
    order: dict[str, Any] = {"channel": "POS", "shop": "", "order_no": "L1"}
    assert [life.release(**order, now=NOW) for _time in range(2)] == [1, 0]
    life.lock(coupon_id=coupon.pk, till=other, basket=Basket(12_000), key=make.key(), now=NOW)
    assert [life.lapse_locks(now=NOW + dt.timedelta(minutes=m)) for m in (29, 30, 31)] == [0, 1, 0]
    life.lock(coupon_id=coupon.pk, till=other, basket=Basket(12_000), key=make.key(), now=NOW)
    make.redeem(coupon, other)
    assert life.release(channel="POS", shop="", order_no="L2", now=NOW) == 0
    kinds = CouponEvent.objects.filter(coupon=coupon.pk).order_by("pk").values_list("kind", flat=True)
    assert list(kinds) == ["ISSUED", "LOCKED", "RELEASED", "LOCKED", "LAPSED", "LOCKED", "REDEEMED"]


def test_k4_reversal_gives_back_within_the_hours_and_not_after(shops: factory.Shops) -> None:
    row = make.template(valid_days=1)
    coupon, late = make.give(row, shops.members["安琪"]), make.give(row, shops.members["白鹭"])
    used, used_late = (make.redeem(each, make.till(shops.stores["S1"])) for each in (coupon, late))

    def take_back(what: Redemption, now: dt.datetime, key: str = "") -> Any:
        return coupons.redeeming.reverse(redemption_id=what.pk, reason="退货", key=key or make.key(), now=now)

    assert take_back(used, NOW + 24 * HOUR, "back").is_new and not take_back(used, NOW + 24 * HOUR, "back").is_new
    coupon.refresh_from_db()
    assert (coupon.status, coupon.expires_on) == ("HELD", dt.date(2026, 7, 4))  # three days more, it was for one
    assert code_of(lambda: take_back(used, NOW + HOUR)) == ("redemption_reversed", "redemption")
    assert code_of(lambda: take_back(used_late, NOW + 25 * HOUR)) == ("redemption_final", "redemption")
    assert make.redeem(coupon, make.till(shops.stores["S2"]), now=NOW + 2 * DAY).status == "REDEEMED"


def test_a_repeated_redemption_is_answered_with_its_own(shops: factory.Shops) -> None:
    coupon = make.give(make.template(), shops.members["安琪"])
    till = make.till(shops.stores["S1"], "again")

    def redeem(key: str) -> Any:
        return coupons.redeeming.redeem(coupon_id=coupon.pk, till=till, basket=Basket(12_000), key=key, now=NOW)

    first = redeem("K1").redemption
    coupons.redeeming.reverse(redemption_id=first.pk, reason="退货", key=make.key(), now=NOW)
    second = redeem("K2").redemption
    again = redeem("K2")
    assert (again.redemption, again.redemption.status, again.is_new) == (second, "REDEEMED", False)
    assert (redeem("K1").redemption, redeem("K1").redemption.status) == (first, "REVERSED")


def test_k5_what_a_percentage_did_not_need_returns_when_it_is_final(shops: factory.Shops) -> None:
    row = make.template(
        kind="DISCOUNT", off_bp=1_000, value_fen=5_000, threshold_fen=0, budget_fen=9_999, total_cap=None
    )
    make.redeem(make.give(row, shops.members["安琪"]), make.till(shops.stores["S1"]), 10_000)

    def money() -> tuple[Any, ...]:
        stock = CouponStock.objects.get(template=row)
        return stock.left_fen, stock.reserved_fen, stock.spent_fen

    assert money() == (4_999, 4_000, 1_000)
    assert coupons.redeeming.make_final(now=NOW + 24 * HOUR) == 0
    assert coupons.redeeming.make_final(now=NOW + 25 * HOUR) == 1
    assert money() == (8_999, 0, 1_000) and coupons.daily.differences() == []
    make.give(row, shops.members["白鹭"])


# --- gifts, printed codes, passes ----------------------------------------------------------------------------------------


def test_a_gift_is_taken_once_by_another_with_a_place(shops: factory.Shops) -> None:
    row = make.template(is_giftable=True, gift_hours=2)
    giver, taker, third = (shops.members[name] for name in ("安琪", "白鹭", "付雪"))
    coupon = make.give(row, giver)
    gift = life.offer(coupon_id=coupon.pk, giver_id=giver.pk, key="offer", now=NOW)
    assert life.offer(coupon_id=coupon.pk, giver_id=giver.pk, key="offer", now=NOW) == gift
    assert code_of(lambda: make.redeem(coupon, make.till(shops.stores["S1"]))) == ("coupon_given", "code")

    def take(member: Any, now: dt.datetime = NOW, token: str = gift.token) -> Coupon:
        return life.take(token=token, taker_id=member.pk, key=make.key(), now=now)

    assert code_of(lambda: take(giver)) == ("gift_own", "member")
    assert code_of(lambda: take(taker, NOW + 2 * HOUR)) == ("gift_over", "token")
    assert take(taker).member_id == taker.pk
    assert code_of(lambda: take(third)) == ("gift_over", "token")
    assert code_of(lambda: life.offer(coupon_id=coupon.pk, giver_id=taker.pk, key=make.key(), now=NOW)) == (
        "coupon_not_giftable", "code",
    )  # fmt: skip
    full = make.give(row, third)
    assert code_of(lambda: make.give(row, giver)) == ("coupon_member_cap", "member")  # her place stays taken
    second = life.offer(coupon_id=full.pk, giver_id=third.pk, key=make.key(), now=NOW)
    assert code_of(lambda: take(taker, token=second.token)) == ("coupon_member_cap", "member")
    assert life.lapse_gifts(now=NOW + 2 * HOUR) == 1 and Coupon.objects.get(pk=full.pk).status == "HELD"


def test_a_gift_is_not_taken_after_the_last_day_of_the_coupon(shops: factory.Shops) -> None:
    row = make.template(is_giftable=True, gift_hours=240, valid_days=1)
    giver, keeper = shops.members["安琪"], shops.members["付雪"]
    coupon, other = make.give(row, giver), make.give(row, keeper)
    gift = life.offer(coupon_id=coupon.pk, giver_id=giver.pk, key=make.key(), now=NOW)
    assert coupon.expires_on
    midnight = dt.datetime.combine(coupon.expires_on + DAY, dt.time(), terms.SHANGHAI)
    assert gift.until == midnight

    CouponGift.objects.create(  # as earlier releases offered it
        coupon=other, giver=keeper, token="long", offered_at=NOW, until=midnight + DAY
    )

    def take(now: dt.datetime, token: str = gift.token) -> Coupon:
        return life.take(token=token, taker_id=shops.members["白鹭"].pk, key=make.key(), now=now)

    assert code_of(lambda: take(midnight)) == ("gift_over", "token")
    assert code_of(lambda: take(midnight, "long")) == ("gift_over", "token")
    assert take(midnight - dt.timedelta(seconds=1)).member_id == shops.members["白鹭"].pk


def test_coupons_of_a_merged_member_are_her_survivors(shops: factory.Shops) -> None:
    """In whatever state, with one event each; K3: both have had theirs together, and what is over the cap stays, but is the last."""
    her, survivor, hq = shops.members["安琪"], shops.members["白鹭"], make.person("hq")
    double, once, free = (
        make.template(member_cap=2),
        make.template(member_cap=1),
        make.template(member_cap=None, is_giftable=True),
    )
    used, own = make.give(double, her), make.give(once, her)
    row = make.redeem(used, make.till(shops.stores["S1"]))
    make.give(double, her)
    make.give(double, survivor)
    gift = life.offer(coupon_id=make.give(free, her).pk, giver_id=her.pk, key=make.key(), now=NOW)
    batch = batches.start(
        template=free, source="STORES", value=[shops.stores[c].pk for c in ("S1", "S2")], key="b", actor=hq, now=NOW
    )
    assert run(batch).given_count == 2
    digits, _until = passes.show(member_id=survivor.pk, now=NOW)

    Member.objects.filter(pk=her.pk).update(status="MERGED", merged_into=survivor)

    assert not Coupon.objects.filter(member=her).exists() and Coupon.objects.filter(member=survivor).count() == 7
    assert CouponEvent.objects.filter(kind="MERGED", member_id=survivor.pk).count() == 5
    assert CouponClaim.objects.filter(member=survivor, template=double).count() == 2
    for template in (double, once):
        assert code_of(lambda template=template: make.give(template, survivor)) == ("coupon_member_cap", "member")
    assert sorted(Coupon.objects.filter(batch=batch).values_list("is_gifted", flat=True)) == [False, True]
    coupons.redeeming.reverse(redemption_id=row.pk, reason="退货", key="back", now=NOW)
    taken = life.take(token=gift.token, taker_id=shops.members["付雪"].pk, key=make.key(), now=NOW)
    assert taken.member_id == shops.members["付雪"].pk
    mobile = factory.mobile(int(her.identities.get(kind="CARD").value[3:]))
    assert passes.owner(mobile=mobile, digits=digits, now=NOW, uses=True) == survivor.pk  # by her old number
    make.redeem(Coupon.objects.get(pk=own.pk), make.till(shops.stores["S1"]))
    assert coupons.daily.differences() == []
    with pytest.raises(DatabaseError, match="changes hands"), transaction.atomic():
        Coupon.objects.filter(member=survivor).update(member=shops.members["付雪"])


def test_printed_codes_are_claimed_once_and_the_rest_lapses(shops: factory.Shops) -> None:
    row, hq = make.template(total_cap=5, claim_until=NOW + DAY), make.person("hq")
    batch = batches.start_codes(template=row, count=4, key="print", actor=hq, now=NOW)
    assert batches.start_codes(template=row, count=4, key="print", actor=hq, now=NOW) == batch
    run(batch)
    codes = list(Coupon.objects.filter(batch=batch).order_by("pk").values_list("code", flat=True))
    claim = coupons.issuing.claim_code
    text = f" {codes[0][:4]}-{codes[0][4:].lower()} "
    got = claim(code=text, member_id=shops.members["安琪"].pk, key="c1", now=NOW)
    assert got.is_new and got.coupon.status == "HELD"
    assert not claim(code=text, member_id=shops.members["安琪"].pk, key="c1", now=NOW).is_new
    assert code_of(lambda: claim(code=codes[0], member_id=shops.members["白鹭"].pk, key="c2", now=NOW)) == (
        "coupon_code_taken",
        "code",
    )
    assert code_of(lambda: claim(code=codes[1], member_id=shops.members["安琪"].pk, key="c3", now=NOW)) == (
        "coupon_member_cap",
        "member",
    )
    assert code_of(lambda: claim(code="NOSUCHCODE", member_id=1, key="c4", now=NOW)) == ("coupon_unknown", "code")
    assert life.withdraw(now=NOW + 2 * DAY) == 3 and life.withdraw(now=NOW + 2 * DAY) == 0
    stock = CouponStock.objects.get(template=row)
    assert (stock.issued_count, stock.left_count, stock.unclaimed_count, stock.reserved_fen) == (1, 4, 0, 2_000)
    assert coupons.daily.differences() == []


def test_a_pass_opens_once_for_its_owner_and_no_guess_is_free(shops: factory.Shops) -> None:
    member = shops.members["安琪"]
    mobile = factory.mobile(int(member.identities.get(kind="CARD").value[3:]))
    digits, until = passes.show(member_id=member.pk, now=NOW)
    wrong = f"{(int(digits) + 1) % 10**6:06d}"
    assert passes.owner(mobile=mobile, digits=digits, now=NOW, uses=False) == member.pk
    assert code_of(lambda: passes.owner(mobile=mobile, digits=digits, now=until, uses=True)) == (
        "coupon_pass_wrong",
        "pass",
    )
    assert passes.owner(mobile=mobile, digits=digits, now=NOW, uses=True) == member.pk
    assert code_of(lambda: passes.owner(mobile=mobile, digits=digits, now=NOW, uses=True)) == (
        "coupon_pass_wrong",
        "pass",
    )
    digits, _until = passes.show(member_id=member.pk, now=NOW)
    wrong = f"{(int(digits) + 1) % 10**6:06d}"
    for _guess in range(passes.TRIES):
        code_of(lambda: passes.owner(mobile=mobile, digits=wrong, now=NOW, uses=False))
    assert code_of(lambda: passes.owner(mobile=mobile, digits=digits, now=NOW, uses=True)) == (
        "coupon_pass_wrong",
        "pass",
    )
    assert code_of(lambda: passes.owner(mobile="15499999999", digits=digits, now=NOW, uses=True)) == (
        "coupon_pass_wrong",
        "pass",
    )


# --- batches ------------------------------------------------------------------------------------------------------------


def test_a_batch_that_is_killed_goes_on_and_gives_nobody_two(
    shops: factory.Shops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F1 in small: the job dies after each chunk and is run again."""
    monkeypatch.setattr(batches, "CHUNK", 4)
    people = [shops.member(f"会员{number}", store="S1") for number in range(15)]
    row = make.template(member_cap=1)
    make.give(row, people[3])
    value = [member.pk for member in people]
    seen = batches.preview(template=row, source="LIST", value=value)
    assert (seen.members, seen.left_out, seen.coupons, seen.fen, seen.is_possible) == (15, 1, 14, 28_000, True)
    batch = batches.start(template=row, source="LIST", value=value, key="b", actor=make.person("hq"), now=NOW)
    assert batches.start(template=row, source="LIST", value=value, key="b", actor=make.person("hq"), now=NOW) == batch
    assert batch.job_id is not None
    job = Job.objects.get(pk=batch.job_id)
    reached = []
    while batch.ended_at is None:
        reached.append(batch.reached_id)
        batch = batches._chunk(batch.pk, NOW)  # a worker that dies between two chunks
        assert Coupon.objects.filter(batch=batch).count() == batch.given_count
    assert reached == sorted(reached) and len(reached) == 5
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.status, job.summary) == ("DONE", {"given": 14, "left_out": 1, "short": 0})
    owners = Coupon.objects.filter(template=row).values_list("member_id", flat=True)
    assert sorted(owners) == sorted(value)


def test_a_batch_over_the_budget_is_not_begun(shops: factory.Shops) -> None:
    value = [member.pk for member in shops.members.values()]
    hq = make.person("hq")
    poor = make.template(total_cap=None, budget_fen=5_999)
    short = make.template(total_cap=2)

    def start(row: CouponTemplate, who: list[int]) -> Any:
        return batches.start(template=row, source="LIST", value=who, key=make.key(), actor=hq, now=NOW)

    assert code_of(lambda: start(poor, value)) == ("coupon_over_budget", "budget_fen")
    assert code_of(lambda: start(short, value)) == ("coupon_all_given", "total_cap")
    assert code_of(lambda: start(short, [])) == ("coupon_nobody", "source")
    assert not CouponBatch.objects.exists() and not Job.objects.exists()


def test_a_batch_that_runs_dry_says_how_many_went_short(shops: factory.Shops) -> None:
    row = make.template(total_cap=3)
    value = [member.pk for member in shops.members.values()]
    batch = batches.start(template=row, source="LIST", value=value, key="b", actor=make.person("hq"), now=NOW)
    make.give(row, shops.member("快手", store="S1"))
    make.give(row, shops.member("抢先", store="S1"))
    batch = run(batch)
    assert (batch.given_count, batch.short_count) == (1, 2) and batch.ended_at is not None


# --- clock, news, clearing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Shanghai"])
def test_f6_days_are_shanghai_days_whatever_the_host_says(shops: factory.Shops, monkeypatch: Any, zone: str) -> None:
    """The last day ends at midnight in Shanghai; the job of a day runs once, also when the clock jumps back."""
    monkeypatch.setenv("TZ", zone)
    coupon = make.give(make.template(valid_days=1), shops.members["安琪"])
    last = dt.datetime(2026, 6, 30, 15, 59, 59, tzinfo=dt.UTC)  # 23:59:59 in Shanghai
    assert life.expire(today=terms.business_day(last), now=last) == 0
    midnight = last + dt.timedelta(seconds=1)
    assert code_of(lambda: make.redeem(coupon, make.till(shops.stores["S1"]), now=midnight)) == (
        "coupon_expired",
        "code",
    )
    assert life.expire(today=terms.business_day(midnight), now=midnight) == 1
    back = midnight - dt.timedelta(minutes=10)
    assert life.expire(today=terms.business_day(back), now=back) == 0
    for now in (midnight, back, midnight + 8 * HOUR, midnight - 8 * HOUR, midnight):
        coupons.daily.start(now=now)
    assert sorted(str(key) for key in Job.objects.values_list("key", flat=True)) == [
        "end_coupons 2026-06-30",
        "end_coupons 2026-07-01",
    ]
    assert CouponEvent.objects.filter(kind="EXPIRED").count() == 1


def test_the_daily_job_ends_what_is_over_and_proves_the_counts(shops: factory.Shops) -> None:
    make.give(make.template(), shops.members["安琪"])
    Coupon.objects.update(expires_on=dt.date(2026, 6, 30))
    coupons.daily.start(now=NOW + 365 * DAY)
    job = jobs.run(Job.objects.get().pk)
    assert job.summary == {"expired": 1, "withdrawn": 0, "final": 0}


def test_followers_hear_of_each_redemption_and_its_end_once(shops: factory.Shops, monkeypatch: Any) -> None:
    monkeypatch.setattr(coupons.records, "_followers", {"touches", "rewards"})
    row = make.redeem(make.give(make.template(), shops.members["安琪"]), make.till(shops.stores["S1"]))
    coupons.redeeming.reverse(redemption_id=row.pk, reason="退货", key=make.key(), now=NOW)
    assert [(each.pk, status) for each, status in coupons.take_news(follower="touches")] == [
        (row.pk, "REDEEMED"), (row.pk, "REVERSED"),
    ]  # fmt: skip
    assert coupons.take_news(follower="touches") == []
    assert RedemptionNews.objects.filter(follower="rewards").count() == 2


def test_clearing_says_who_owes_whom_and_a_closed_month_stays(shops: factory.Shops) -> None:
    """HQ bears 40 % of 20.00; the rest is the giving company's: the franchisee's guide gave it, an HQ store redeemed it."""
    franchisee, hq = shops.stores["F1"].entity, clearing.hq()
    row = make.template(hq_share_bp=4_000, bearer="ISSUER", guide_month_quota=9, reversal_hours=720, member_cap=None)
    where = coupons.records.Where(actor=shops.guides["F"].user, store_id=shops.stores["F1"].pk)
    coupon, own = (
        make.give(row, shops.members["付雪"], source="GUIDE", where=where),
        make.give(row, shops.members["付雪"], source="GUIDE", where=where),
    )
    at_hq = make.redeem(coupon, make.till(shops.stores["S1"]))
    make.redeem(own, make.till(shops.stores["F1"]))
    found = clearing.statement(period="2026-06", scope=EVERYTHING)
    assert {(each["payee_id"], each["payer_id"]): each["fen"] for each in found} == {
        (hq.pk, hq.pk): 800, (hq.pk, franchisee.pk): 1_200, (franchisee.pk, hq.pk): 800, (franchisee.pk, franchisee.pk): 1_200,
    }  # fmt: skip
    nets = {each["name"]: each["net"] for each in clearing.balances(found)}
    assert nets == {hq.name: 400, franchisee.name: -400}
    assert code_of(lambda: clearing.close(period="2026-06", actor=make.person("hq"), now=NOW)) == (
        "clearing_month_not_over",
        "period",
    )
    july = NOW + 2 * DAY
    closed = clearing.close(period="2026-06", actor=make.person("hq"), now=july)
    assert (closed.entry_count, closed.amount_fen) == (4, 4_000)
    coupons.redeeming.reverse(redemption_id=at_hq.pk, reason="退货", key=make.key(), now=july)
    corrections = ClearingEntry.objects.filter(period="2026-07")
    assert set(corrections.values_list("adjusts_period", flat=True)) == {"2026-06"}
    assert corrections.aggregate(fen=Sum("amount_fen"))["fen"] == -2_000
    assert clearing.digest("2026-06") == closed.digest
    late = make.redeem(make.give(row, shops.members["安琪"]), make.till(shops.stores["S2"]))  # a clock that jumped back
    assert set(late.entries.values_list("period", "adjusts_period")) == {("2026-07", "2026-06")}
    assert code_of(lambda: clearing.close(period="2026-06", actor=make.person("hq"), now=july)) == (
        "clearing_month_closed",
        "period",
    )


def test_a_closed_month_takes_no_entry_from_anybody(shops: factory.Shops) -> None:
    row = make.redeem(make.give(make.template(), shops.members["安琪"]), make.till(shops.stores["S1"]))
    clearing.close(period="2026-06", actor=make.person("hq"), now=NOW + 2 * DAY)
    entry = row.entries.get()
    entry.pk, entry.is_reversal, entry.amount_fen = None, True, -entry.amount_fen
    with pytest.raises(Exception, match="the month is closed"):
        entry.save(force_insert=True)


def test_a_franchisee_sees_her_own_company_only(shops: factory.Shops) -> None:
    shops.stores["F2"] = _other_franchise(shops)
    row = make.template(hq_share_bp=5_000, member_cap=None)
    for code in ("F1", "F2", "S1"):
        make.redeem(make.give(row, shops.members["安琪"]), make.till(shops.stores[code]))
    mine = Scope(frozenset({shops.stores["F1"].pk}))
    found = clearing.statement(period="2026-06", scope=mine)
    company = shops.stores["F1"].entity_id
    assert {(each["payee_id"], each["payer_id"]) for each in found} == {(company, clearing.hq().pk), (company, company)}
    manager_of_one_of_many = Scope(frozenset({shops.stores["S1"].pk}))
    assert clearing.statement(period="2026-06", scope=manager_of_one_of_many) == []


def _other_franchise(shops: factory.Shops) -> Any:
    from scrm.models import LegalEntity, Store

    other = LegalEntity.objects.create(code="FB", name="加盟公司乙", kind="FRANCHISEE")
    return Store.objects.create(
        code="F2", name="F2店", entity=other, region=shops.stores["F1"].region, ownership="FRANCHISEE"
    )
