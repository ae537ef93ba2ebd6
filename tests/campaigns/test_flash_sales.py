"""Flash sales: four eyes on the price, claims in the window, payment by orders, money and stock that come back once."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from campaigns.communities import flash_sales, payments, stock, stock_levels
from campaigns.communities.flash_sales import SaleRefused
from campaigns.models import Group, GroupStay, Reservation, Sale, SaleRefund, StockItem
from guides import shares
from guides.models import Touch
from scrm.models import Act, Corp
from tests.factories import sales as make
from tests.factories import shops as factory
from tests.factories import stock as shelves

pytestmark = pytest.mark.django_db
MINUTE = dt.timedelta(minutes=1)


def refusal(work: Any) -> str:
    with pytest.raises((SaleRefused, stock.StockRefused)) as error:
        work()
    return error.value.code


def late(row: Reservation) -> None:
    """Its minutes are over, those in which its order might be heard of too."""
    Reservation.objects.filter(pk=row.pk).update(until=timezone.now() - 2 * stock.PAYMENT_GRACE)


def test_price_and_stock_need_a_second_person_and_then_stay(shops: factory.Shops) -> None:
    now, author = timezone.now(), make.person("author")
    row = make.asked(shops, {"S1": 3, "S2": 2})
    assert refusal(lambda: flash_sales.approve(sale=row, actor=author, now=now)) == "sale_own_approval"
    row = flash_sales.send_back(sale=row, reason="价格太低", actor=make.person("approver"))
    row = flash_sales.edit(sale=row, said=make.said(shops, {"S1": 4}, price_fen=12_900), actor=author, now=now)
    flash_sales.ask(sale=row, actor=author, now=now)
    with pytest.raises(IntegrityError), transaction.atomic():  # also whoever writes past the operations
        Sale.objects.filter(pk=row.pk).update(price_fen=1, status="PUBLISHED", approver=make.person("approver"))
    row = flash_sales.approve(sale=row, actor=make.person("approver"), now=now)
    assert (row.price_fen, make.counts(row)) == (12_900, (4, 4, 0, 0))
    with pytest.raises(IntegrityError), transaction.atomic():
        Sale.objects.filter(pk=row.pk).update(price_fen=100)
    assert list(Act.objects.filter(verb__startswith="sale.").order_by("pk").values_list("verb", flat=True)) == [
        "sale.draft", "sale.ask", "sale.send_back", "sale.edit", "sale.ask", "sale.approve",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("price_fen", {"price_fen": 20_000}),
        ("ends_at", {"ends_at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC), "starts_at": dt.datetime(2019, 1, 1, tzinfo=dt.UTC)}),
        ("stock", {"stock": {}}),
        ("bucket_count", {"bucket_count": 8}),
        ("team_size", {"team_size": 3, "team_hours": 2}),
    ],
)  # fmt: skip
def test_what_is_wrong_stands_at_its_field(shops: factory.Shops, field: str, values: dict[str, Any]) -> None:
    said = dataclasses.replace(make.said(shops), **values)
    with pytest.raises(SaleRefused) as error:
        flash_sales.draft(said=said, actor=make.person("author"), now=timezone.now())
    assert field in error.value.extra["fields"] and not Sale.objects.exists()


def test_a_claim_is_paid_by_the_order_that_names_it(shops: factory.Shops) -> None:
    row, store = make.sale(shops, {"S1": 2}, member_cap=2), shops.stores["S1"]
    said = make.wants(row, store, shops.members["安琪"], quantity=2)
    claimed = flash_sales.claim(said=said, now=timezone.now()).reservation
    assert not flash_sales.claim(said=said, now=timezone.now()).is_new  # the phone asks again
    assert (claimed.unit_fen, make.counts(row)) == (9_900, (2, 0, 2, 0))
    with pytest.raises(stock.StockRefused):  # somebody else's is not there
        flash_sales.cancel(reservation_id=claimed.pk, member_id=shops.members["白鹭"].pk, now=timezone.now())
    line = make.order(claimed, quantity=1)  # half of it
    assert payments.settle(now=timezone.now()) == 0
    make.order(Reservation.objects.get(pk=claimed.pk), timezone.now() + MINUTE, order_no=line.order_no)
    assert (payments.settle(now=timezone.now()), payments.settle(now=timezone.now())) == (1, 0)
    assert make.counts(row) == (2, 0, 0, 2) and stock_levels.differences() == []


def test_who_pays_in_time_is_heard_of_in_time(shops: factory.Shops) -> None:
    """The order comes in two minutes after the reservation's end: it named its order, so it was waited for."""
    row, store = make.sale(shops, {"S1": 1}), shops.stores["S1"]
    claimed = flash_sales.claim(said=make.wants(row, store, shops.members["安琪"]), now=timezone.now()).reservation
    flash_sales.name_order(
        reservation_id=claimed.pk,
        member_id=shops.members["安琪"].pk,
        channel="MINI_PROGRAM",
        shop="main",
        order_no="T1",
    )
    Reservation.objects.filter(pk=claimed.pk).update(until=timezone.now() - 2 * MINUTE)
    payments.sweep(now=timezone.now())
    assert make.counts(row) == (1, 0, 1, 0)
    make.order(Reservation.objects.get(pk=claimed.pk), timezone.now() - 3 * MINUTE)
    payments.sweep(now=timezone.now())
    assert make.counts(row) == (1, 0, 0, 1) and not SaleRefund.objects.exists()


def test_paid_too_late_the_money_goes_back_once(shops: factory.Shops) -> None:
    row, store, now = make.sale(shops, {"S1": 1}), shops.stores["S1"], timezone.now()
    slow = flash_sales.claim(said=make.wants(row, store, shops.members["安琪"]), now=now).reservation
    line = make.order(slow)
    late(slow)
    stock.expire()  # the order is not seen before
    flash_sales.claim(said=make.wants(row, store, shops.members["白鹭"]), now=now)
    payments.sweep(now=now)
    payments.sweep(now=now)
    due = SaleRefund.objects.get()
    assert (due.reason, due.amount_fen, due.order_no, make.counts(row)) == (
        "PAID_LATE",
        9_900,
        line.order_no,
        (1, 0, 1, 0),
    )
    assert [each.pk for each in payments.take_refunds(channel="MINI_PROGRAM", key="a", now=now)] == [due.pk]
    assert payments.take_refunds(channel="MINI_PROGRAM", key="b", now=now) == []  # somebody is at it
    assert [each.pk for each in payments.take_refunds(channel="MINI_PROGRAM", key="a", now=now)] == [due.pk]
    assert payments.take_refunds(channel="MINI_PROGRAM", key="b", now=now + 2 * payments.LEASE) == [due]  # a died
    payments.refund_done(refund_id=due.pk, refund_no="R9", channel="MINI_PROGRAM", now=now)
    payments.refund_done(refund_id=due.pk, refund_no="R9", channel="MINI_PROGRAM", now=now)
    with pytest.raises(SaleRefused):
        payments.refund_done(refund_id=due.pk, refund_no="R10", channel="MINI_PROGRAM", now=now)
    with pytest.raises(IntegrityError), transaction.atomic():
        SaleRefund.objects.update(status="DUE", refund_no="", done_at=None)


@pytest.mark.parametrize("goes_back", [True, False])
def test_a_refund_brings_the_stock_back_where_the_sale_says_so(shops: factory.Shops, goes_back: bool) -> None:
    row = make.sale(shops, {"S1": 2}, member_cap=2, returns_stock=goes_back)
    said = make.wants(row, shops.stores["S1"], shops.members["安琪"], quantity=2)
    claimed = flash_sales.claim(said=said, now=timezone.now()).reservation
    line = make.order(claimed)
    payments.sweep(now=timezone.now())
    make.refund(line, 1, 9_900)
    payments.sweep(now=timezone.now())
    payments.sweep(now=timezone.now())
    assert make.counts(row) == ((2, 1, 0, 1) if goes_back else (2, 0, 0, 2))
    make.refund(line, 1, 9_900)
    payments.sweep(now=timezone.now())
    assert make.counts(row) == ((2, 2, 0, 0) if goes_back else (2, 0, 0, 2))
    assert stock_levels.differences() == []


def test_the_stop_and_the_stock_of_a_running_sale(shops: factory.Shops) -> None:
    row, store, now = make.sale(shops, {"S1": 1}), shops.stores["S1"], timezone.now()
    actor = make.person("approver")
    claimed = flash_sales.claim(said=make.wants(row, store, shops.members["安琪"]), now=now).reservation
    for _again in range(2):
        flash_sales.change_stock(sale=row, store=store, count=3, reason="又到一批", key="more", actor=actor)
    assert make.counts(row) == (4, 3, 1, 0)
    other = shops.stores["S2"]
    assert refusal(
        lambda: flash_sales.change_stock(sale=row, store=other, count=3, reason="补货", key="s2", actor=actor)
    ) == "sale_store_unknown"  # fmt: skip
    row = flash_sales.stop(sale=row, reason="价格标错", actor=actor, now=now)
    assert refusal(
        lambda: flash_sales.claim(said=make.wants(row, store, shops.members["白鹭"]), now=now)
    ) == "stock_stopped"  # fmt: skip
    make.order(claimed)
    payments.sweep(now=now)
    assert make.counts(row) == (4, 3, 0, 1)


def test_a_sale_for_a_group_and_the_group_dissolved(shops: factory.Shops) -> None:
    """Its people buy; when it is dissolved what they hold can be paid, and nobody buys more."""
    now, corp = timezone.now(), Corp.objects.create(corp_id="wwSALE00000001", name="企业")
    group = Group.objects.create(
        corp=corp, chat_id="wrSALE1", name="人民路一群", store=shops.stores["S1"], asked_at=now
    )
    for name in ("安琪", "白鹭"):
        GroupStay.objects.create(group=group, userid=f"wm{name}", member=shops.members[name], joined_at=now)
    row, store = make.sale(shops, {"S1": 5}, groups=[group]), shops.stores["S1"]
    stranger = make.members(shops, 1)[0]
    assert refusal(lambda: flash_sales.claim(said=make.wants(row, store, stranger), now=now)) == "sale_not_in_group"
    held = flash_sales.claim(said=make.wants(row, store, shops.members["安琪"]), now=now).reservation
    GroupStay.objects.filter(group=group).update(left_at=timezone.now())
    Group.objects.filter(pk=group.pk).update(dissolved_at=timezone.now())
    assert refusal(
        lambda: flash_sales.claim(said=make.wants(row, store, shops.members["白鹭"]), now=now)
    ) == "sale_group_dissolved"  # fmt: skip
    make.order(held)
    payments.sweep(now=timezone.now())
    assert make.counts(row) == (5, 4, 0, 1)


def test_whose_link_it_was_is_carried_also_when_she_has_left(shops: factory.Shops) -> None:
    now, guide = timezone.now(), shops.guides["A"]
    row, store = make.sale(shops, {"S1": 5}), shops.stores["S1"]
    share, token = shares.share(
        guide_id=guide.pk, kind="SHARE", now=now, object_kind="SKU", object_code=row.product.sku
    )
    said = make.wants(row, store, shops.members["安琪"], share_token=token)
    first = flash_sales.claim(said=said, now=timezone.now()).reservation
    flash_sales.claim(said=said, now=timezone.now())
    touch = Touch.objects.get(share_id=share.pk)
    assert (first.guide_id, first.share_id, touch.member_id, touch.object_code, touch.at) == (
        guide.pk, share.pk, shops.members["安琪"].pk, row.product.sku, first.held_at,
    )  # fmt: skip
    by_guide = make.wants(row, store, shops.members["白鹭"], guide_id=shops.guides["B"].pk)
    second = flash_sales.claim(said=by_guide, now=timezone.now()).reservation
    assert Touch.objects.filter(guide=shops.guides["B"], member=shops.members["白鹭"], object_kind="SKU").count() == 1
    assert second.guide_id == shops.guides["B"].pk
    forged = token[:-4] + "AAAA"
    third = flash_sales.claim(said=make.wants(row, store, make.members(shops, 1)[0], share_token=forged), now=now)
    assert third.reservation.share_id is None
    factory.leave(guide, timezone.now())
    stray = make.wants(row, store, make.members(shops, 1)[0], share_token=token)
    fourth = flash_sales.claim(said=stray, now=timezone.now()).reservation
    assert (fourth.guide_id, fourth.share_id) == (None, share.pk)  # her link sells, she gets nothing


def test_a_killed_worker_between_claim_and_order_loses_nothing(shops: factory.Shops) -> None:
    """The claim is committed, its answer is lost: the same request finds it; without one it comes back by itself, once."""
    row, store = make.sale(shops, {"S1": 1}), shops.stores["S1"]
    said = make.wants(row, store, shops.members["安琪"])
    lost = flash_sales.claim(said=said, now=timezone.now()).reservation
    assert flash_sales.claim(said=said, now=timezone.now()).reservation.pk == lost.pk
    late(lost)
    for _again in range(2):
        payments.sweep(now=timezone.now())
        assert make.counts(row) == (1, 1, 0, 0)


def test_one_order_pays_for_one_reservation(shops: factory.Shops) -> None:
    row, store = make.sale(shops, {"S1": 5}), shops.stores["S1"]
    first, second = (
        flash_sales.claim(said=make.wants(row, store, shops.members[name]), now=timezone.now()).reservation
        for name in ("安琪", "白鹭")
    )
    line = make.order(first)
    assert refusal(
        lambda: flash_sales.name_order(
            reservation_id=second.pk, member_id=shops.members["白鹭"].pk, channel=line.channel, shop=line.shop, order_no=line.order_no
        )
    ) == "stock_order_taken"  # fmt: skip


def test_the_window_is_the_databases(shops: factory.Shops) -> None:
    row = make.sale(shops, {"S1": 5})
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE campaigns_stockitem SET opens_at = clock_timestamp() + interval '1 minute', closes_at = NULL"
        )
    said = make.wants(row, shops.stores["S1"], shops.members["安琪"])
    assert refusal(lambda: flash_sales.claim(said=said, now=timezone.now() + 24 * make.HOUR)) == "stock_not_yet"
    assert StockItem.objects.count() == 1 and shelves.key()
