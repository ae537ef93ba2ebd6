"""The shop's mini-program sells over signed requests: claims, teams, orders, refunds, and the commission of who led there."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from attribution import decisions, intake
from campaigns.communities import payments
from campaigns.models import Reservation, SaleRefund, Team
from guides import shares
from members.models import OrderLine
from tests.campaigns.test_group_buys import pass_time
from tests.factories import orders
from tests.factories import sales as make
from tests.factories import shops as factory

pytestmark = pytest.mark.django_db


@pytest.fixture
def shops(db: None) -> factory.Shops:
    cache.clear()
    company = factory.shops()
    for name in ("安琪", "白鹭", "陈晨"):
        company.member(name, store="S1")
    return company


@pytest.fixture
def ask(shops: factory.Shops) -> Any:
    intake._secrets.clear()
    secret = intake.new_secret(channel="MINI_PROGRAM", actor=None).encode()

    def post(act: str, *, signed: bytes = secret, **said: Any) -> tuple[int, dict[str, Any]]:
        body, timestamp = json.dumps(said).encode(), str(int(time.time()))
        headers = {"X-Timestamp": timestamp, "X-Signature": intake.signature(signed, timestamp, body)}
        path = f"/api/channels/MINI_PROGRAM/sales/{act}"
        answer = Client().post(path, body, content_type="application/json", headers=headers)
        return answer.status_code, answer.json()

    return post


def who(shops: factory.Shops, name: str) -> dict[str, Any]:
    return {"card_no": shops.members[name].identities.get(kind="CARD").value}


def test_from_the_list_to_the_paid_order(ask: Any, shops: factory.Shops) -> None:
    row = make.sale(shops, {"S1": 2})
    status, answer = ask("list", store="S1")
    (item,) = answer["items"]
    assert (status, item["sale_id"], item["left"], item["price_fen"], item["seconds_to_start"]) == (
        200,
        row.pk,
        2,
        9_900,
        0,
    )
    assert ask("list", store="S2") == (200, {"items": []})
    said = {"request_id": "1", "sale_id": row.pk, "store": "S1", "member": who(shops, "安琪")}
    status, first = ask("claim", **said)
    assert (status, first["state"]) == (200, "HELD") and ask("claim", **said) == (200, first)
    assert ask("claim", **{**said, "sale_id": row.pk, "quantity": 2})[1]["code"] == "stock_request_differs"
    assert ask("claim", **{**said, "request_id": "2"})[1]["code"] == "stock_member_cap"
    named = {"reservation_id": first["reservation_id"], "member": said["member"], "shop": "main", "order_no": "T1"}
    assert ask("order", **{**named, "member": who(shops, "白鹭")})[1]["code"] == "stock_no_reservation"
    assert ask("order", **named)[1]["order_no"] == "T1"
    make.order(Reservation.objects.get())
    assert ask("own", member=said["member"])[1]["items"][0]["state"] == "SOLD"  # the shop asks, and it is looked for
    assert ask("cancel", reservation_id=first["reservation_id"], member=said["member"])[1]["code"] == "stock_paid"


def test_what_is_wrong_is_said(ask: Any, shops: factory.Shops) -> None:
    row = make.sale(shops, {"S1": 2})
    said = {"request_id": "1", "sale_id": row.pk, "store": "S1", "member": who(shops, "安琪")}
    assert ask("claim", signed=b"x" * 32, **said)[0] == 403
    assert ask("nothing", **said)[0] == 404
    assert ask("claim", **{**said, "store": "S2"})[1]["code"] == "stock_unknown"
    assert ask("claim", **{**said, "sale_id": 10**9})[1]["code"] == "sale_unknown"
    for wrong in ({"quantity": 0}, {"quantity": "1"}, {"request_id": ""}, {"member": None}, {"sale_id": -1}):
        cache.clear()
        assert ask("claim", **{**said, **wrong})[0] == 400
    assert ask("team", team="NOSUCHTEAM")[1]["code"] == "team_unknown"
    assert not Reservation.objects.exists()
    cache.clear()
    assert any(ask("claim", **{**said, "request_id": f"t{n}"})[0] == 429 for n in range(60))


def test_a_team_that_fails_is_refunded_by_the_shop_once(ask: Any, shops: factory.Shops) -> None:
    row = make.sale(shops, {"S1": 5}, kind="GROUP")
    said = {"request_id": "1", "sale_id": row.pk, "store": "S1", "member": who(shops, "安琪")}
    status, opened = ask("open-team", **said)
    code = opened["team"]["team"]
    assert (status, opened["team"]["joined"], ask("open-team", **said)[1]["team"]["team"]) == (200, 1, code)
    status, joined = ask("join-team", request_id="2", team=code, member=who(shops, "白鹭"))
    assert (status, joined["team"]["joined"]) == (200, 2)
    assert ask("join-team", request_id="3", team=code, member=who(shops, "陈晨"))[1]["code"] == "team_full"
    make.order(Reservation.objects.get(pk=opened["reservation_id"]))
    payments.sweep(now=timezone.now())
    assert ask("team", team=code)[1]["paid"] == 1 and ask("refunds-due", request_id="r1") == (200, {"items": []})
    pass_time(Team.objects.get())
    payments.sweep(now=timezone.now())
    (due,) = ask("refunds-due", request_id="r1")[1]["items"]
    assert (due["amount_fen"], due["reason"], ask("refunds-due", request_id="r2")[1]["items"]) == (
        9_900,
        "TEAM_FAILED",
        [],
    )
    done = ask("refund-done", refund_id=due["refund_id"], refund_no="R1")
    assert done[1]["state"] == "DONE" and ask("refund-done", refund_id=due["refund_id"], refund_no="R1") == done
    assert ask("refund-done", refund_id=due["refund_id"], refund_no="R2")[1]["code"] == "sale_refund_done"
    assert SaleRefund.objects.count() == 1


def test_the_leaders_touch_becomes_commission_also_of_whom_the_captain_brought(ask: Any, shops: factory.Shops) -> None:
    """Nobody is bound; A's link opened the team, so both orders of it are hers; example 21 when it fails: nothing is left."""
    now, guide = timezone.now(), shops.guides["A"]
    orders.rule(since=now - make.HOUR, rate_bp=500, mode="SHARE_FIRST")
    row = make.sale(shops, {"S1": 5}, kind="GROUP", product=factory.product("猫山王"))
    _share, token = shares.share(
        guide_id=guide.pk, kind="GROUP", now=now, object_kind="GROUP", object_code=f"GB{row.pk}", closes_at=row.ends_at
    )
    said = {"request_id": "1", "sale_id": row.pk, "store": "S1", "share": token, "member": who(shops, "安琪")}
    opened = ask("open-team", **said)[1]
    ask("join-team", request_id="2", team=opened["team"]["team"], member=who(shops, "白鹭"))
    lines = []
    for name in ("安琪", "白鹭"):
        reservation = Reservation.objects.get(member=shops.members[name])
        card = who(shops, name)["card_no"]
        lines.append(make.order(reservation, group_no=opened["team"]["group_no"], buyer_card_no=card))
    payments.sweep(now=timezone.now())
    assert Team.objects.get().status == "SUCCEEDED"
    rows = list(OrderLine.objects.order_by("pk"))
    decisions.decide_lines(line_ids=[line.pk for line in rows])
    assert [orders.owed(line) for line in rows] == [{"G00001": 495}, {"G00001": 495}]
    for line in lines:
        make.refund(dataclasses.replace(line))
    decisions.decide_lines(line_ids=[line.pk for line in rows])
    assert [orders.owed(line) for line in rows] == [{}, {}]
