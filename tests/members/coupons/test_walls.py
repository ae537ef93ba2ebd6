"""What the database refuses by itself, whoever asks: raw updates and inserts that go past the operations. K1–K5."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from members import coupons
from members.coupons import life
from members.coupons.terms import Basket
from members.models import (
    ClearingEntry,
    Coupon,
    CouponClaim,
    CouponEvent,
    CouponLock,
    CouponStock,
    CouponTemplate,
    Redemption,
)
from scrm.models import Region
from tests.factories import coupons as make
from tests.factories.coupons import DAY, HOUR, NOW


def refused(work: Any, match: str) -> None:
    """``match`` in what the database says, or in the constraint it names."""
    with pytest.raises(DatabaseError) as error, transaction.atomic():
        work()
    said = f"{error.value} {coupons.constraint_of(error.value)}"
    assert re.search(match, said), said


def row_of(coupon: Coupon, store: Any, **values: Any) -> Redemption:
    """A redemption as somebody might write it past ``redeeming``."""
    return Redemption(
        **{
            "coupon": coupon, "template_id": coupon.template_id, "member_id": coupon.member_id, "store": store,
            "entity_id": store.entity_id, "bearer_id": store.entity_id, "channel": "POS", "order_no": "RAW",
            "is_stackable": False, "basket_fen": 12_000, "eligible_fen": 12_000, "discount_fen": 2_000, "hq_fen": 2_000,
            "rest_fen": 0, "redeemed_at": NOW, **values,
        }
    )  # fmt: skip


def test_k1_counts_cannot_be_written_so_that_they_do_not_add_up(shops: Any) -> None:
    row = make.template()
    make.give(row, shops.members["安琪"])
    stock = CouponStock.objects.filter(template=row)
    refused(lambda: stock.update(held_count=2), "coupon_counts")
    refused(lambda: stock.update(left_count=100), "coupon_total_cap")
    refused(lambda: stock.update(spent_fen=1), "coupon_budget")
    refused(stock.delete, "Cannot delete")


def test_k1_the_proof_finds_a_count_that_is_wrong(shops: Any) -> None:
    row = make.template()
    make.give(row, shops.members["安琪"])
    assert coupons.daily.differences() == []
    CouponStock.objects.filter(template=row).update(held_count=0, expired_count=1)
    assert coupons.daily.differences() == [(row.pk, 0)]


@pytest.mark.parametrize("after", ["LOCKED", "GIVEN", "REDEEMED", "UNCLAIMED", "WITHDRAWN"])
def test_k2_a_coupon_moves_only_with_its_row(shops: Any, after: str) -> None:
    coupon = make.give(make.template(), shops.members["安琪"])
    refused(lambda: Coupon.objects.filter(pk=coupon.pk).update(status=after), "coupon")
    refused(lambda: Coupon.objects.filter(pk=coupon.pk).update(member=shops.members["白鹭"]), "changes hands")
    refused(lambda: Coupon.objects.filter(pk=coupon.pk).update(value_fen=1), "never changes")
    refused(lambda: Coupon.objects.filter(pk=coupon.pk).delete(), "Cannot delete")


def test_k2_an_end_is_an_end(shops: Any) -> None:
    coupon = make.give(make.template(), shops.members["安琪"])
    life.make_void(coupon_ids=[coupon.pk], reason="发错", actor=make.person("hq"), now=NOW)
    refused(lambda: Coupon.objects.filter(pk=coupon.pk).update(status="HELD"), "does not go from VOID")


def test_k2_a_code_has_one_live_redemption(shops: Any) -> None:
    coupon = make.give(make.template(), shops.members["安琪"])
    row_of(coupon, shops.stores["S1"]).save()
    refused(lambda: row_of(coupon, shops.stores["S1"], order_no="RAW2").save(), "coupon_redeemed_once|at hand")


@pytest.mark.parametrize(
    ("scope", "values", "wall"),
    [
        ({"store_ids": "S2"}, {}, "redemption_store"),
        ({"entity_ids": "F1"}, {}, "redemption_store"),
        ({"region_ids": "S2"}, {}, "redemption_store"),
        ({"channels": ["MINI_PROGRAM"]}, {}, "redemption_channel"),
        ({"weekdays": [6, 7]}, {}, "redemption_time"),
        ({"hour_from": dt.time(13), "hour_until": dt.time(17)}, {}, "redemption_time"),
        ({"hour_from": dt.time(22), "hour_until": dt.time(6)}, {}, "redemption_time"),
        ({}, {"redeemed_at": NOW + 30 * DAY}, "redemption_day"),
        ({}, {"redeemed_at": NOW - DAY}, "redemption_day"),
        ({}, {"eligible_fen": 9_999}, "redemption_worth"),
        ({}, {"discount_fen": 2_001, "hq_fen": 2_001}, "redemption_worth"),
        ({}, {"hq_fen": 1_000}, "redemption_amounts"),
        ({}, {"basket_fen": 1_999}, "redemption_amounts"),
    ],
)
def test_k2_scope_is_a_wall_at_redemption(shops: Any, scope: dict[str, Any], values: dict[str, Any], wall: str) -> None:
    """The claim is never held against it; noon of a Tuesday in S1, by the till."""
    parts = {"store_ids": "pk", "entity_ids": "entity_id", "region_ids": "region_id"}
    wanted: dict[str, Any] = {
        name: [getattr(shops.stores[value], parts[name])] if name in parts else value for name, value in scope.items()
    }
    coupon = make.give(make.template(**wanted), shops.members["安琪"])
    refused(lambda: row_of(coupon, shops.stores["S1"], **values).save(), wall)


def test_k2_a_region_counts_with_everything_below_it(shops: Any) -> None:
    north = shops.stores["S1"].region
    top = Region.objects.create(code="ALL", name="全国")
    Region.objects.filter(pk=north.pk).update(parent=top)
    coupon = make.give(make.template(region_ids=[top.pk]), shops.members["安琪"])
    row_of(coupon, shops.stores["S1"]).save()
    other = make.give(make.template(region_ids=[top.pk]), shops.members["白鹭"])
    refused(lambda: row_of(other, shops.stores["S2"], order_no="RAW2").save(), "redemption_store")


def test_k3_no_insert_gets_past_the_caps(shops: Any) -> None:
    """Each coupon inserted by hand takes its place and its money like any other."""
    row = make.template(total_cap=2, member_cap=1)
    first = make.give(row, shops.members["安琪"])

    def copy(member: Any, **values: Any) -> Coupon:
        fields = {f.attname: getattr(first, f.attname) for f in Coupon._meta.concrete_fields if f.name != "id"}
        return Coupon(**{**fields, "code": coupons.issuing.new_code(), "member_id": member.pk, **values})

    refused(lambda: copy(shops.members["安琪"]).save(), "coupon_member_cap|as many as she may")
    refused(lambda: copy(shops.members["白鹭"], member_cap=9).save(), "made of a published template")
    refused(lambda: copy(shops.members["白鹭"], value_fen=1).save(), "made of a published template")
    refused(lambda: copy(shops.members["白鹭"], bucket=7).save(), "no such bucket")
    copy(shops.members["白鹭"]).save()
    refused(lambda: copy(shops.members["付雪"]).save(), "coupon_total_cap")
    refused(lambda: CouponClaim.objects.all().delete(), "Cannot")
    refused(lambda: CouponClaim.objects.all().update(place=1), "Cannot")


def test_k4_a_lock_ends_once(shops: Any) -> None:
    coupon = make.give(make.template(), shops.members["安琪"])
    till = make.till(shops.stores["S1"])
    lock = life.lock(coupon_id=coupon.pk, till=till, basket=Basket(12_000), key=make.key(), now=NOW)
    refused(lambda: Coupon.objects.filter(pk=coupon.pk).update(status="HELD"), "by its own row")
    rows = CouponLock.objects.filter(pk=lock.pk)
    rows.update(ended_at=NOW, ended_as="RELEASED")
    assert Coupon.objects.get(pk=coupon.pk).status == "HELD"
    refused(lambda: rows.update(ended_at=NOW, ended_as="LAPSED"), "ends once")
    refused(lambda: rows.update(ended_at=None, ended_as=""), "ends once")


def test_k4_a_redemption_is_taken_back_once_and_in_time(shops: Any) -> None:
    row = make.redeem(make.give(make.template(), shops.members["安琪"]), make.till(shops.stores["S1"]))
    rows = Redemption.objects.filter(pk=row.pk)
    late = NOW + 24 * HOUR + dt.timedelta(seconds=1)
    refused(lambda: rows.update(status="REVERSED", reversed_at=late, reason="退货"), "too late")
    refused(lambda: rows.update(discount_fen=1_000, hq_fen=1_000), "never changes")
    rows.update(status="REVERSED", reversed_at=NOW + 24 * HOUR, reason="退货")
    refused(lambda: rows.update(status="REDEEMED", reversed_at=None, reason=""), "once")
    assert Coupon.objects.get(pk=row.coupon_id).status == "HELD"


def test_k5_money_never_exceeds_the_budget(shops: Any) -> None:
    row = make.template(total_cap=None, budget_fen=3_999)
    first = make.give(row, shops.members["安琪"])
    fields = {f.attname: getattr(first, f.attname) for f in Coupon._meta.concrete_fields if f.name != "id"}
    second = Coupon(**{**fields, "code": coupons.issuing.new_code(), "member_id": shops.members["白鹭"].pk})
    refused(second.save, "coupon_budget")


def test_events_and_entries_stay(shops: Any) -> None:
    make.redeem(make.give(make.template(), shops.members["安琪"]), make.till(shops.stores["S1"]))
    for model in (CouponEvent, ClearingEntry):
        refused(lambda model=model: model.objects.all().delete(), "Cannot")
        refused(lambda model=model: model._base_manager.update(id=1), "Cannot")


def test_the_application_role_has_no_right_to_change_them(shops: Any, app_role: Any) -> None:
    make.redeem(make.give(make.template(), shops.members["安琪"]), make.till(shops.stores["S1"]))
    for table in ("members_couponevent", "members_clearingentry", "members_couponclaim", "members_couponrequest"):
        with app_role(), pytest.raises(Exception, match="permission denied"), connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET id = id")


def test_a_published_template_only_ends(shops: Any) -> None:
    row = make.template()
    rows = CouponTemplate.objects.filter(pk=row.pk)
    refused(lambda: rows.update(value_fen=1), "only ends")
    refused(lambda: rows.update(claim_until=row.claim_until + DAY), "only ends")
    refused(lambda: rows.update(budget_fen=10**9), "only ends")
    refused(lambda: rows.update(status="DRAFT", approver=None), "only ends")
    refused(rows.delete, "Cannot delete")
    own = make.draft()
    with pytest.raises(IntegrityError, match="coupon_four_eyes"), transaction.atomic():
        CouponTemplate.objects.filter(pk=own.pk).update(status="PUBLISHED", approver=own.author, published_at=NOW)
