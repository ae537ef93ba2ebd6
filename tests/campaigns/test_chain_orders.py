"""Chain orders: stock held from the joining on, orders that attribution decides, pick-up once, and two leaders on one stock."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from attribution import decisions, explanations
from attribution.models import Decision
from campaigns.communities import chain_orders, stock_levels
from campaigns.communities.chain_orders import pasting, pickup
from campaigns.communities.chain_orders.paying import CHANNEL
from campaigns.models import ChainLine, ChainPerson, Reservation, StockBucket
from guides.models import Touch
from members.models import LineToDecide, OrderLine, Refund
from scrm import crypto, org
from tests.factories import chains
from tests.factories import stock as buyers
from tests.factories.shops import Shops, mobile

CASH = "CASH"


def paid(person: ChainPerson, kind: str = CASH, **values: Any) -> Any:
    (one,) = pickup.standing(chain_id=person.chain_id, person_id=person.pk)
    return chain_orders.pay(
        person_id=person.pk, kind=kind, amount_fen=one.due_fen, actor=None, now=timezone.now(), **values
    )


def left(chain: Any) -> dict[str, int]:
    return {offer.item.label: offer.left for offer in pickup.offers(chain_id=chain.pk)}


def refused(code: str, work: Any) -> Any:
    with pytest.raises(chain_orders.ChainRefused) as error:
        work()
    assert error.value.code == code, error.value.message
    return error.value


def decided() -> list[Decision]:
    decisions.decide_lines(line_ids=list(LineToDecide.objects.values_list("line_id", flat=True)))
    return list(Decision.objects.order_by("pk"))


def test_a_line_from_the_joining_to_the_commission(shops: Shops) -> None:
    """Held at once, changed, paid, an order with the leader's touch, picked up once; what is refunded comes back once."""
    chain = chains.chain(shops)
    wang = chains.join(chain, "王姐", {"猫山王": 2, "丹东": 1}, mobile=mobile(90_001))
    assert left(chain)["猫山王榴莲"] == 3 and wang.number == 1 and len(wang.pickup_code) == 8
    assert chains.join(chain, "王姐", {"猫山王": 1}) == wang and left(chain)["猫山王榴莲"] == 4
    chains.join(chain, "王姐", {"丹东": 0})
    assert left(chain)["丹东草莓"] == 10
    refused(
        "chain_amount_changed",
        lambda: chain_orders.pay(person_id=wang.pk, kind=CASH, amount_fen=1, actor=None, now=timezone.now()),
    )
    refused(
        "chain_unpaid",
        lambda: chain_orders.redeem(code=wang.pickup_code, store_ids=None, actor=None, now=timezone.now()),
    )
    paid(wang)
    refused("chain_nothing_to_pay", lambda: paid(wang))
    (line,) = OrderLine.objects.filter(channel=CHANNEL)
    assert (line.paid_fen, line.group_no, line.store_id, line.completed_at) == (
        26_800,
        chain.code,
        shops.stores["S1"].pk,
        None,
    )
    (decision,) = [row for row in decided() if row.line_id == line.pk]
    assert (decision.winner_code, decision.pot_fen) == ("G00001", 1_340)
    said = explanations.decision_page(decision=decision, scope=org.EVERYTHING)
    assert "分享触点 王芳" in said.winners[0], said.winners
    wrong = refused(
        "chain_wrong_store",
        lambda: chain_orders.redeem(
            code=wang.pickup_code, store_ids={shops.stores["S2"].pk}, actor=None, now=timezone.now()
        ),
    )
    assert "S1店" in wrong.message
    chain_orders.redeem(code=wang.pickup_code, store_ids={shops.stores["S1"].pk}, actor=None, now=timezone.now())
    refused(
        "chain_picked_up",
        lambda: chain_orders.redeem(code=wang.pickup_code, store_ids=None, actor=None, now=timezone.now()),
    )
    line.refresh_from_db()
    assert line.completed_at is not None
    bought = ChainLine.objects.get(person=wang, status="PAID")
    assert [
        chain_orders.refund(line_id=bought.pk, actor=None, now=timezone.now(), reason="坏果") for _again in range(2)
    ] == [True, False]
    assert left(chain)["猫山王榴莲"] == 5 and Refund.objects.get().amount_fen == 26_800
    decided()
    assert stock_levels.differences() == []


def test_the_leader_earns_nothing_from_herself(shops: Shops) -> None:
    """A7: by her own name, by her own number, and whoever else stands beside her still counts."""
    leader = shops.guides["A"]
    leader.mobile_index = crypto.mobile_index(f"+86{mobile(90_007)}")
    leader.save()
    chain = chains.chain(shops)
    for place, who in enumerate(({"name": "王芳"}, {"name": "换个名字", "mobile": mobile(90_007)})):
        person = chains.join(chain, wishes={"丹东": 1 + place}, **who)
        assert person.is_leader
        paid(person)
    paid(chains.join(chain, "李姐", {"丹东": 3}))
    assert Touch.objects.filter(object_code=chain.code).count() == 1
    ours = set(OrderLine.objects.filter(channel=CHANNEL).values_list("pk", flat=True))
    mine = [(row.winner_code, row.pot_fen) for row in decided() if row.line_id in ours]
    assert [one for one in mine if one[0] == "G00001"] == [("G00001", 599)] and len(
        mine
    ) == 3  # 5 % of 119.70, half up: of 李姐 alone


def test_two_leaders_of_one_stock_sell_it_exactly(transactional_db: None) -> None:
    """12 buyers at two leaders' chains of 7 durians: 7 are sold, and who is late learns what is left."""
    from tests.factories import shops as factory

    shops = factory.shops()
    first = chains.chain(shops, items=(replace(chains.DURIAN, count=7), chains.BERRIES))
    shared = chains.item(first, "猫山王")
    offer = replace(chains.DURIAN, count=0, stock=shared.stock, stock_store=shared.stock_store)
    second = chains.chain(shops, leader="B", items=(offer, chains.BERRIES))

    def buy(number: int) -> Any:
        person = chains.join((first, second)[number % 2], f"客{number}", {"猫山王": 1})
        return paid(person)

    found = buyers.at_once(buy, 12, threads=6)
    said = [one for one in found if isinstance(one, chain_orders.ChainRefused)]
    assert len(said) == 5 and all("售罄" in one.message and "丹东草莓 10盒" in one.message for one in said), found
    bucket = StockBucket.objects.get(item=shared.stock)
    assert (bucket.sold_count, bucket.left_count, bucket.reserved_count) == (7, 0, 0)
    assert OrderLine.objects.filter(channel=CHANNEL).count() == 7 and stock_levels.differences() == []
    assert set(ChainPerson.objects.values_list("lines__status", flat=True)) == {
        "PAID"
    }  # who got nothing left nothing behind


def test_pasting_shows_first_and_saves_what_was_shown(shops: Shops) -> None:
    chain = chains.chain(shops)
    chains.join(chain, "李姐", {"丹东": 1})
    chains.join(chain, "赵姐", {"丹东": 2})
    text = "#接龙\n周末榴莲团\n\n1. 王姐 猫山王2个 自提\n2. 李姐 草莓3盒\n3. 老周 D24 2号\n4. 小美 草莓半盒\n5. 钱姐 西瓜1个\n6. 孙姐 草莓1盒 老地方\n哈哈\n李姐：不要了"
    plan = pasting.plan(chain=chain, text=text)
    what = {row.name: row.what for row in plan.rows}
    assert what["王姐"] == "NEW" and what["老周"] == "NEW" and what["小美"] == "FAULT" and what["李姐"] == "CANCELS"
    assert plan.unread == ["钱姐 西瓜1个", "老地方"] and "哈哈" in plan.talk and plan.missing == ["赵姐"]
    assert ChainPerson.objects.count() == 2  # nothing is written by looking
    chains.join(chain, "李姐", {"丹东": 2})  # in between
    rows = [row for row in plan.rows if row.what != "FAULT"]
    saved = pasting.save(chain_id=chain.pk, rows=rows, actor=None, now=timezone.now())
    assert saved.saved == 3 and [(row.name, "变成" in why or "2" in why) for row, why in saved.refused] == [
        ("李姐", True)
    ]
    again = pasting.plan(chain=chain, text="1. 王姐 猫山王2个 自提\n3. 老周 D24 2号")
    assert [row.what for row in again.rows] == ["SAME", "SAME"]
    assert ChainPerson.objects.get(name="王姐").note == "自提"
    assert left(chain) == {"猫山王榴莲": 3, "D24榴莲 1号 1.820kg": 1, "D24榴莲 2号 2.140kg": 0, "丹东草莓": 5}


def test_what_a_chain_refuses(shops: Shops) -> None:
    now = timezone.now()
    chain = chains.chain(shops)
    strange = chain_orders.Who(name="王姐", mobile=mobile(90_001))
    wish = [chain_orders.Wish(chains.item(chain, "猫山王").pk, 1)]

    def join(who: chain_orders.Who, wishes: Any = wish, at: dt.datetime = now) -> ChainPerson:
        return chain_orders.join(chain_id=chain.pk, who=who, wishes=wishes, source="FORM", actor=None, now=at)

    wang = join(strange)
    refused("chain_joined_before", lambda: join(strange))  # her lines are not a stranger's to change
    refused("chain_person", lambda: join(chain_orders.Who(name="李姐")))
    refused("chain_person", lambda: join(chain_orders.Who(name="李姐", mobile="123")))
    refused("chain_nothing", lambda: join(strange, []))
    refused("chain_closed", lambda: join(strange, at=chain.closes_at))
    refused("chain_not_yet", lambda: join(strange, at=chain.opens_at - dt.timedelta(seconds=1)))
    mine = chain_orders.Who(person_id=wang.pk)
    refused("chain_changed_since", lambda: join(mine, [replace(wish[0], quantity=3, was=0)]))
    short = refused("stock_not_enough", lambda: join(mine, [replace(wish[0], quantity=9)]))
    assert "只剩" in short.message and "丹东草莓 10盒" in short.message
    refused(
        "stock_not_enough",
        lambda: join(chain_orders.Who("孙", mobile(90_002)), [chain_orders.Wish(wish[0].item_id, 5)]),
    )
    paid(wang, "ORDER", order_no="M1")
    other = join(chain_orders.Who("赵姐", mobile(90_003)))
    refused("chain_order_used", lambda: paid(other, "ORDER", order_no="M1"))
    assert (
        Reservation.objects.get(order_no="M1").channel == "MINI_PROGRAM"
        and not OrderLine.objects.filter(channel=CHANNEL).exists()
    )
    assert chain_orders.close(chain_id=chain.pk, actor=None, now=now) and not chain_orders.close(
        chain_id=chain.pk, actor=None, now=now
    )
    refused("chain_closed", lambda: join(strange))
    assert [chain_orders.cancel_unpaid(chain_id=chain.pk, actor=None, now=now) for _again in range(2)] == [1, 0]
    faulty = chains.draft(
        shops, title=" ", closes_at=now, items=(replace(chains.PIECES[0], count=2), replace(chains.DURIAN, unit_fen=0))
    )
    error = refused("chain_draft", lambda: chain_orders.publish(draft=faulty, key="f", actor=None, now=now))
    assert set(error.extra["fields"]) == {"title", "closes_at", "items.0", "items.1"}
    assert stock_levels.differences() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE campaigns_chainline SET status = 'PAID'",
        "UPDATE campaigns_chainline SET quantity = 0",
        "UPDATE campaigns_chainline SET status = 'CANCELLED'",
        "UPDATE campaigns_chainitem SET unit_fen = 0",
    ],
)
def test_the_database_itself_says_no(shops: Shops, statement: str) -> None:
    chains.join(chains.chain(shops), "王姐", {"猫山王": 1})
    with pytest.raises(Exception, match="chain_"), connection.cursor() as cursor:
        cursor.execute(statement)
