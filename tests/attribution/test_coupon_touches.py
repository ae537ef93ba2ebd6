"""A coupon handed by a guide and used is her touch: from the till's redemption to the fen of the commission."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import Any

import pytest
from django.test import Client

from attribution import intake
from attribution.models import Decision
from guides import coupon_touches, tasks
from guides.models import RewardClaim, Touch
from members import coupons
from members.coupons.records import Where
from members.models import OrderLine, RedemptionNews
from scrm import db
from tests.factories import coupons as make
from tests.factories import friends
from tests.factories import shops as factory
from tests.factories.orders import owed

DAY, MINUTE = dt.timedelta(days=1), dt.timedelta(minutes=1)


@pytest.fixture
def shops(db: None) -> factory.Shops:
    intake._secrets.clear()
    shops = factory.shops()
    for name in ("安琪", "白鹭"):
        shops.member(name, store="S2")
    return shops


def post(path: str, secret: str, **said: Any) -> Any:
    body, timestamp = json.dumps(said).encode(), str(int(time.time()))
    signed = {"X-Timestamp": timestamp, "X-Signature": intake.signature(secret.encode(), timestamp, body)}
    answer = Client().post(f"/api/channels/MINI_PROGRAM/{path}", body, content_type="application/json", headers=signed)
    assert answer.status_code == 200, answer.content
    return answer.json()


def given_by(shops: factory.Shops, member: str, source: str, now: dt.datetime) -> Any:
    template = make.template(
        now, guide_month_quota=9, is_giftable=True, claim_from=now - 30 * DAY, claim_until=now + DAY
    )
    guide = shops.guides["A"]
    return make.give(
        template, shops.members[member], now - 20 * DAY, source=source,
        where=Where(actor=guide.user, store_id=shops.stores["S1"].pk),
    )  # fmt: skip


def paid_with(shops: factory.Shops, secret: str, coupon: Any, order_no: str, now: dt.datetime) -> OrderLine:
    """319.00 with 20.00 off: the order is made, the coupon used while it is paid, and then the shop tells us of it."""
    order = {"store": "S2", "shop": "main", "order_no": order_no, "amount_fen": 31_900}
    done = post("coupons/redeem", secret, request_id=f"r-{order_no}", code=coupon.code, **order)
    card = coupon.member.identities.get(kind="CARD").value
    line = {"line_no": 1, "sku": "K1", "quantity": "1", "list_fen": 31_900}
    post(
        "events", secret, schema="order-event/1", event_id=order_no, version=now.isoformat(), shop="main", order_no=order_no,
        order={
            "created_at": (now - 10 * MINUTE).isoformat(), "paid_at": now.isoformat(), "buyer": {"card_no": card},
            "lines": [{**line, "discounts": [{"sponsor": "HQ", "amount_fen": done["discount_fen"]}]}],
        },
    )  # fmt: skip
    intake.process(now=now)
    return OrderLine.objects.get(order__order_no=order_no)


def test_a_coupon_of_a_guide_brings_her_the_order_to_the_fen(shops: factory.Shops) -> None:
    """299.00 at 5 %: 14.95 for A, who has moved no binding and sold nothing; the company's coupon brings nobody anything."""
    secret, now = intake.new_secret(channel="MINI_PROGRAM", actor=None), db.clock()
    line = paid_with(shops, secret, given_by(shops, "安琪", "GUIDE", now), "W1", now)
    assert owed(line) == {"G00001": 1_495}
    decision = Decision.objects.get(line_id=line.pk)
    assert (decision.winner_code, decision.store) == ("G00001", shops.stores["S1"])
    touch = Touch.objects.get()
    assert (touch.kind, touch.member_id, touch.guide, touch.store) == (
        "COUPON", shops.members["安琪"].pk, shops.guides["A"], shops.stores["S1"],
    )  # fmt: skip
    other = paid_with(shops, secret, given_by(shops, "白鹭", "STAFF", now), "W2", now)
    assert "G00001" not in owed(other) and Touch.objects.count() == 1


def test_a_redemption_is_heard_once_and_stays_a_touch_when_it_is_taken_back(shops: factory.Shops) -> None:
    now = db.clock()
    coupon = given_by(shops, "安琪", "GUIDE", now)
    row = make.redeem(coupon, make.till(shops.stores["S2"]), now=now)
    heard = RedemptionNews.objects.get(follower=coupon_touches.FOLLOWER)
    coupons.redeeming.reverse(redemption_id=row.pk, reason="退货", key="back", now=now + MINUTE)
    tasks.hear_redemptions()
    assert Touch.objects.count() == 1 and not RedemptionNews.objects.exists()
    heard.pk = None
    heard.save()  # as if a backup had been restored
    assert coupon_touches.hear() == 0 and Touch.objects.count() == 1
    assert Touch.objects.get().at == now - 30 * MINUTE  # as long as a coupon may be held for an order


def test_a_friend_who_uses_a_coupon_earns_the_reward_at_once(shops: factory.Shops) -> None:
    now = db.clock()
    friends.programme(now - 90 * DAY)
    friends.friend(shops.guides["A"], now - 10 * DAY, member=shops.members["安琪"])
    shops.members["安琪"].registered_on = now.date()
    shops.members["安琪"].save()
    make.redeem(given_by(shops, "安琪", "STAFF", now), make.till(shops.stores["S2"]), now=now)
    assert RewardClaim.objects.get().status == "CLAIMED"
    tasks.hear_redemptions()
    claim = RewardClaim.objects.get()
    assert (claim.status, claim.earned_by, claim.get_earned_by_display()) == ("VESTED", "REDEMPTION", "使用了优惠券")
