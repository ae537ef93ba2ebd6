"""Group buys: K8, in any order of acts, and by people who really pay at once."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from campaigns.communities import flash_sales, group_buys, payments, stock, stock_levels
from campaigns.communities.flash_sales import SaleRefused
from campaigns.models import Reservation, SaleRefund, Team, TeamSeat
from guides import shares
from guides.models import Touch
from tests.factories import sales as make
from tests.factories import shops as factory
from tests.factories import stock as shelves

MINUTE = dt.timedelta(minutes=1)
pick = st.integers(0, 10**6)


def pass_time(team: Team) -> None:
    """The team's hours are over, and the minutes in which a payment might be heard of."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE campaigns_team DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE campaigns_team SET until = clock_timestamp() - interval '1 hour' WHERE id = %s", [team.pk]
        )
        cursor.execute("ALTER TABLE campaigns_team ENABLE TRIGGER USER")


def code_of(work: Any) -> str:
    with pytest.raises((SaleRefused, stock.StockRefused)) as error:
        work()
    return error.value.code


def test_k8_two_pay_and_the_team_has_succeeded(shops: factory.Shops) -> None:
    row, store, now = make.sale(shops, {"S1": 3}, kind="GROUP"), shops.stores["S1"], timezone.now()
    captain, joiner, third = (*shops.members.values(), make.members(shops, 1)[0])
    guide = shops.guides["A"]
    share, token = shares.share(
        guide_id=guide.pk, kind="GROUP", now=now, object_kind="GROUP", object_code=f"GB{row.pk}", closes_at=row.ends_at
    )
    said = make.wants(row, store, captain, share_token=token)
    opened = group_buys.open_team(said=said, now=now)
    assert group_buys.open_team(said=said, now=now).seat == opened.seat  # again
    team, join = opened.team, group_buys.join
    assert code_of(lambda: join(code=team.code, said=make.wants(row, store, captain), now=now)) == "team_member_twice"
    second = join(code=team.code.lower(), said=make.wants(row, store, joiner), now=now)
    assert code_of(lambda: join(code=team.code, said=make.wants(row, store, third), now=now)) == "team_full"
    # the leader's touch is carried to whom her captain brought
    touched = set(
        Touch.objects.filter(share_id=share.pk, object_code=f"GB{row.pk}").values_list("member_id", flat=True)
    )
    assert touched == {captain.pk, joiner.pk} and second.seat.reservation.guide_id == guide.pk
    make.order(opened.seat.reservation)
    payments.sweep(now=now)
    team.refresh_from_db()
    assert (team.status, team.paid_count) == ("FORMING", 1)
    make.order(second.seat.reservation)
    payments.sweep(now=now)
    team.refresh_from_db()
    assert (team.status, make.counts(row), group_buys.prove()) == ("SUCCEEDED", (3, 1, 0, 2), [])
    assert code_of(lambda: join(code=team.code, said=make.wants(row, store, third), now=now)) == "team_complete"
    pass_time(team)
    payments.sweep(now=now)
    assert not SaleRefund.objects.exists()


def test_k8_a_team_that_fails_pays_back_once(shops: factory.Shops) -> None:
    row, store, now = make.sale(shops, {"S1": 5}, kind="GROUP", team_size=3), shops.stores["S1"], timezone.now()
    captain, joiner, third = (*shops.members.values(), make.members(shops, 1)[0])
    opened = group_buys.open_team(said=make.wants(row, store, captain), now=now)
    paid = make.order(opened.seat.reservation)
    second = group_buys.join(code=opened.team.code, said=make.wants(row, store, joiner), now=now)
    slow = group_buys.join(code=opened.team.code, said=make.wants(row, store, third), now=now)
    payments.sweep(now=now)
    # who does not pay leaves her seat
    flash_sales.cancel(reservation_id=second.seat.reservation_id, member_id=joiner.pk, now=now)
    payments.sweep(now=now)
    assert Team.objects.get().seat_count == 2
    factory.leave(shops.guides["A"], now)  # a guide who leaves changes nothing for those who wait
    pass_time(opened.team)
    for _again in range(2):
        payments.sweep(now=now)
    due = SaleRefund.objects.get()
    assert (Team.objects.get().status, due.reason, due.amount_fen, due.order_no) == (
        "FAILED", "TEAM_FAILED", 9_900, paid.order_no,
    )  # fmt: skip
    assert (make.counts(row), group_buys.prove(), stock_levels.differences()) == ((5, 5, 0, 0), [], [])
    late = make.order(Reservation.objects.get(pk=slow.seat.reservation_id))  # she pays after the end
    payments.sweep(now=now)
    assert set(SaleRefund.objects.values_list("reason", "order_no")) == {
        ("TEAM_FAILED", paid.order_no), ("PAID_LATE", late.order_no),
    }  # fmt: skip
    number = make.refund(paid)  # the shop refunds, and it comes in as a fact
    payments.sweep(now=now)
    due.refresh_from_db()
    assert (due.status, due.refund_no) == ("DONE", number)
    assert make.counts(row) == (5, 5, 0, 0)  # the stock came back with the failure, not again


def test_a_stopped_sale_ends_its_teams_and_pays_back(shops: factory.Shops) -> None:
    row, store, now = make.sale(shops, {"S1": 5}, kind="GROUP"), shops.stores["S1"], timezone.now()
    opened = group_buys.open_team(said=make.wants(row, store, shops.members["安琪"]), now=now)
    make.order(opened.seat.reservation)
    payments.sweep(now=now)
    flash_sales.stop(sale=row, reason="门店停电", actor=make.person("approver"), now=now)
    said = make.wants(row, store, shops.members["白鹭"])
    assert code_of(lambda: group_buys.join(code=opened.team.code, said=said, now=now)) == "stock_stopped"
    payments.sweep(now=now)
    assert (Team.objects.get().status, SaleRefund.objects.count(), make.counts(row)) == ("FAILED", 1, (5, 5, 0, 0))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE campaigns_team SET status = 'SUCCEEDED', ended_at = now()",
        "UPDATE campaigns_team SET paid_count = 2",
        "UPDATE campaigns_teamseat SET status = 'LEFT' WHERE status = 'PAID'",
        "UPDATE campaigns_teamseat SET status = 'JOINED', paid_at = NULL, paid_fen = NULL WHERE status = 'PAID'",
        "DELETE FROM campaigns_teamseat",
        "DELETE FROM campaigns_team",
    ],
)
def test_k8_the_database_itself_says_no(shops: factory.Shops, statement: str) -> None:
    row, now = make.sale(shops, {"S1": 5}, kind="GROUP"), timezone.now()
    opened = group_buys.open_team(said=make.wants(row, shops.stores["S1"], shops.members["安琪"]), now=now)
    make.order(opened.seat.reservation)
    payments.sweep(now=now)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


# --- K8: any order ------------------------------------------------------------------------------------------------------


class Teams(RuleBasedStateMachine):
    shops: Any

    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.row = make.sale(self.shops, {"S1": 6}, kind="GROUP", team_size=3, member_cap=3)
        self.people = make.members(self.shops, 5)
        self.store = self.shops.stores["S1"]
        self.orders: dict[int, Any] = {}  # reservation → what was paid for it

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    def one(self, model: Any, number: int) -> Any:
        rows = list(model.objects.order_by("pk"))
        return rows[number % len(rows)] if rows else None

    def attempt(self, work: Any) -> Any:
        before = sorted(TeamSeat.objects.values_list("pk", "status")), make.counts(self.row)
        try:
            with transaction.atomic():
                return work()
        except (SaleRefused, stock.StockRefused):
            assert before == (sorted(TeamSeat.objects.values_list("pk", "status")), make.counts(self.row))
            return None

    @rule(who=pick)
    def open_team(self, who: int) -> None:
        said = make.wants(self.row, self.store, self.people[who % 5])
        self.attempt(lambda: group_buys.open_team(said=said, now=timezone.now()))

    @rule(who=pick, which=pick)
    def join(self, who: int, which: int) -> None:
        if team := self.one(Team, which):
            said = make.wants(self.row, self.store, self.people[who % 5])
            self.attempt(lambda: group_buys.join(code=team.code, said=said, now=timezone.now()))

    @rule(which=pick)
    def pay(self, which: int) -> None:
        """The shop takes the money, whatever has become of the reservation meanwhile."""
        row = self.one(Reservation, which)
        if row and row.pk not in self.orders:
            self.orders[row.pk] = make.order(row)

    @rule()
    def sweep(self) -> None:
        payments.sweep(now=timezone.now())

    @rule(which=pick)
    def cancel(self, which: int) -> None:
        row = self.one(Reservation, which)
        if row and row.member_id:
            self.attempt(lambda: flash_sales.cancel(reservation_id=row.pk, member_id=row.member_id, now=timezone.now()))

    @rule(which=pick)
    def run_out(self, which: int) -> None:
        row = self.one(Reservation, which)
        if row and row.status == "HELD":
            Reservation.objects.filter(pk=row.pk).update(until=timezone.now() - 2 * stock.PAYMENT_GRACE)

    @rule(which=pick)
    def end(self, which: int) -> None:
        team = self.one(Team, which)
        if team and team.status == "FORMING":
            pass_time(team)
            payments.sweep(now=timezone.now())

    @rule(which=pick)
    def refund(self, which: int) -> None:
        """The shop refunds what is due, and says so twice."""
        due = self.one(SaleRefund, which)
        if due and due.status != "DONE":
            for _again in range(2):
                payments.refund_done(refund_id=due.pk, refund_no=f"R{due.pk}", now=timezone.now())

    @invariant()
    def k8(self) -> None:
        assert group_buys.prove() == [] and stock_levels.differences() == []
        for team in Team.objects.prefetch_related("seats"):
            paid = [seat for seat in team.seats.all() if seat.status == "PAID"]
            assert (team.status == "SUCCEEDED") == (len(paid) == 3)
            refunds = SaleRefund.objects.filter(reservation__in=[seat.reservation_id for seat in paid])
            assert refunds.count() == (len(paid) if team.status == "FAILED" else 0)
        # whoever paid and was looked at has either her goods, or waits for her team, or gets her money: one of them
        for row in Reservation.objects.filter(pk__in=self.orders).select_related("seat__team"):
            has_goods = row.status == "SOLD"
            has_refund = SaleRefund.objects.filter(reservation=row).exists()
            assert not (has_goods and has_refund)
            assert has_goods or has_refund or row.status in ("HELD", "EXPIRED", "RELEASED")


def test_k8_any_order(shops: factory.Shops) -> None:
    machine = type("Teams", (Teams,), {"shops": shops})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


# --- K8: really at once -------------------------------------------------------------------------------------------------


@pytest.fixture
def company(transactional_db: None) -> factory.Shops:
    return factory.shops()


def test_k8_joining_paying_and_ending_at_once(company: factory.Shops) -> None:
    """Twelve want the two seats that are left; then all who have one pay while the team's time is over."""
    row, store, now = make.sale(company, {"S1": 20}, kind="GROUP", team_size=3), company.stores["S1"], timezone.now()
    people = make.members(company, 13)
    opened = group_buys.open_team(said=make.wants(row, store, people[0]), now=now)

    def join(number: int) -> Any:
        said = dataclasses.replace(make.wants(row, store, people[1 + number // 2]), key=f"join {number // 2}")
        return group_buys.join(code=opened.team.code, said=said, now=timezone.now())

    found = shelves.at_once(join, 24)  # everybody asks twice under one key
    assert sum(not isinstance(each, Exception) and each.is_new for each in found) == 2
    assert make.counts(row) == (20, 17, 3, 0)
    for seat in TeamSeat.objects.select_related("reservation"):
        make.order(seat.reservation)
    pass_time(opened.team)

    def act(number: int) -> Any:
        return payments.sweep(now=timezone.now()) if number % 2 else payments.settle(now=timezone.now())

    shelves.at_once(act, 8, threads=4)
    payments.sweep(now=timezone.now())
    team = Team.objects.get()
    paid, refunds = TeamSeat.objects.filter(status="PAID").count(), SaleRefund.objects.count()
    assert (team.status, paid, refunds) == ("SUCCEEDED", 3, 0) or (team.status, refunds) == ("FAILED", 3)
    assert group_buys.prove() == [] and stock_levels.differences() == []
