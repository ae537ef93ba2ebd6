"""A guide gives coupons to her members and redeems what customers show her."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from members.models import Coupon, CouponEvent, Redemption
from tests.factories import coupons as make
from tests.factories import shops as factory
from tests.factories.coupons import DAY, HOUR

ORDER = {"order_no": "P1", "amount_fen": 12_000}


@pytest.fixture
def template(shops: factory.Shops) -> Any:
    now = timezone.now()
    return make.template(now, guide_month_quota=2, claim_from=now - DAY, claim_until=now + 30 * DAY)


def give(api: Any, who: str, member: Any, template: Any, key: str = "give-0001") -> Any:
    body = {"template_id": template.pk}
    return api(who).post(f"members/{member.pk}/coupons/give", body, Idempotency_Key=key)


def redeem(api: Any, who: str, code: str, key: str = "redeem-01", **said: Any) -> Any:
    return api(who).post("coupons/redeem", {**ORDER, "code": code, **said}, Idempotency_Key=key)


def test_a_guide_gives_to_her_member_within_her_quota(api: Any, shops: factory.Shops, template: Any) -> None:
    (offer,) = api("A").get("coupons/templates").json()["items"]
    assert (offer["headline"], offer["quota_left"]) == ("满¥100减¥20", 2)
    member = shops.members["安琪"]
    answer = give(api, "A", member, template)
    assert answer.status_code == 200 and answer.json()["number"].startswith("****")
    again = give(api, "A", member, template)
    assert again.json() == answer.json() and again["Idempotency-Replayed"] == "true"
    assert give(api, "A", shops.members["白鹭"], template, "give-0002").status_code == 404  # another guide's
    twice = give(api, "A", member, template, "give-0003")
    assert (twice.status_code, twice.json()["code"], twice.json()["extra"]["field"]) == (
        409,
        "coupon_member_cap",
        "member",
    )
    assert give(api, "A", shops.members["安然"], template, "give-0004").status_code == 200
    assert api("A").get("coupons/templates").json()["items"][0]["quota_left"] == 0
    coupon = Coupon.objects.get(member=member)
    assert (coupon.source, coupon.giver, coupon.issuer) == ("GUIDE", shops.guides["A"].user, shops.stores["S1"].entity)
    (shown,) = api("A").get(f"members/{member.pk}/coupons").json()["items"]
    assert shown["id"] == coupon.pk and coupon.code not in str(shown)  # the whole number is the customer's


def test_redeeming_by_number_once_and_taking_it_back(api: Any, shops: factory.Shops, template: Any) -> None:
    coupon = make.give(template, shops.members["白鹭"], timezone.now())
    typed = f"{coupon.code[:8].lower()} {coupon.code[8:]}"
    seen = api("A").post("coupons/quote", {**ORDER, "code": typed}).json()
    assert (seen["can_redeem"], seen["discount_fen"]) == (True, 2_000)
    low = api("A").post("coupons/quote", {**ORDER, "code": typed, "amount_fen": 100}).json()
    assert (low["can_redeem"], low["field"]) == (False, "amount") and "还差" in low["reason"]
    answer = redeem(api, "A", typed)
    assert answer.status_code == 200, answer.json()
    row = Redemption.objects.get()
    assert (row.clerk, row.store, row.cashier_code) == (shops.guides["A"].user, shops.stores["S1"], "G00001")
    assert redeem(api, "A", typed).json()["id"] == row.pk  # the same request
    second = redeem(api, "B", coupon.code, "redeem-02", order_no="P2")
    assert (second.status_code, second.json()["code"]) == (409, "coupon_used") and "S1店" in second.json()["message"]
    assert [each["id"] for each in api("A").get("coupons/redemptions").json()["items"]] == [row.pk]
    path, said = f"coupons/redemptions/{row.pk}/reverse", {"reason": "顾客退货"}
    assert api("B").post(path, said, Idempotency_Key="reverse-1").status_code == 404
    back = api("M").post(path, said, Idempotency_Key="reverse-1")  # the manager of the store
    assert (back.status_code, back.json()["redemption_state"], back.json()["can_reverse"]) == (200, "REVERSED", False)
    event = CouponEvent.objects.filter(coupon=coupon.pk).order_by("-pk")[0]
    assert (event.kind, event.actor_id, event.store_id) == (
        "REVERSED",
        shops.guides["M"].user_id,
        shops.stores["S1"].pk,
    )
    assert redeem(api, "A", coupon.code, "redeem-03", order_no="P3").status_code == 200


@pytest.mark.parametrize(
    "said",
    [
        {"amount_fen": 0}, {"amount_fen": -1}, {"amount_fen": 10**18}, {"amount_fen": 1.5}, {"order_no": ""},
        {"lines": [{"sku": "A", "amount_fen": 1, "quantity": "0"}]}, {"lines": [{"sku": "A", "amount_fen": 1, "quantity": "-1"}]},
        {"lines": [{"sku": "A", "amount_fen": 1, "quantity": "0.0001"}]}, {"lines": [{"sku": "A"}]},
    ],
)  # fmt: skip
def test_numbers_that_are_none_are_refused_at_their_field(
    api: Any, shops: factory.Shops, template: Any, said: Any
) -> None:
    """§8 row 21."""
    coupon = make.give(template, shops.members["白鹭"], timezone.now())
    answer = redeem(api, "A", coupon.code, **said)
    assert answer.status_code == 400 and answer.json()["extra"]["fields"]
    assert Coupon.objects.get().status == "HELD"


def test_guessing_numbers_is_stopped(api: Any, shops: factory.Shops, template: Any) -> None:
    device = api("A")
    codes = [device.post("coupons/quote", {**ORDER, "code": f"NOSUCH{number:010d}"}) for number in range(45)]
    assert {answer.status_code for answer in codes[:40]} == {409}
    assert codes[-1].status_code == 429 and int(codes[-1]["Retry-After"]) > 0


def test_a_late_reversal_is_refused(api: Any, shops: factory.Shops, template: Any) -> None:
    then = timezone.now() - 25 * HOUR
    coupon = make.give(template, shops.members["白鹭"], timezone.now() - 0.9 * DAY)
    Coupon.objects.filter(pk=coupon.pk).update(starts_on=then.date() - DAY)
    row = make.redeem(coupon, make.till(shops.stores["S1"], actor=shops.guides["A"].user), now=then)
    answer = api("A").post(f"coupons/redemptions/{row.pk}/reverse", {"reason": "退货"}, Idempotency_Key="reverse-9")
    assert (answer.status_code, answer.json()["code"]) == (409, "redemption_final")
