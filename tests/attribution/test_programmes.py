"""Programmes at random: months of orders, rebinds, leaves, refunds, disputes and settlements keep L1-L16 and A1-A15."""

from __future__ import annotations

import datetime as dt
import os
from contextlib import suppress

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from attribution import blocks, decisions, ledger, overrides, settlement
from attribution.disputes import hearing
from attribution.models import Batch, Dispute, Statement
from guides import bindings
from guides.models import Guide
from members.models import Identity
from scrm.errors import RuleViolation
from scrm.models import User
from tests.attribution import invariants
from tests.attribution.settling import Books, day
from tests.factories import orders
from tests.factories.clock import Clock
from tests.factories.shops import leave, shops

MEMBERS, STORES, GUIDES = ("林小满", "周舟", "方圆"), ("S1", "S2", "F1"), ("A", "B", "F")
IS_LONG = os.environ.get("FULL_SIZE") == "1"
who, whom = st.integers(0, 2), st.integers(0, 3)


class Company(RuleBasedStateMachine):
    """Each step goes on by some hours; the clock only goes forward. 周舟 is guide A herself."""

    lines = Bundle("lines")
    disputed = Bundle("disputed")

    @initialize(is_split=st.booleans())
    def open(self, is_split: bool) -> None:
        self.example = transaction.atomic()
        self.example._from_testcase = True  # type: ignore[attr-defined]  # what is durable is so within the example
        self.example.__enter__()
        self.at, self.count = day("01-02"), 0
        self.books = Books(shops(), Clock())
        self.shops, self.clock = self.books.shops, self.books.clock
        self.clock.set(self.at)
        for name, store, guide in zip(MEMBERS, STORES, ("A", "B", "F"), strict=True):
            self.shops.member(name, store=store, guide=guide)
        herself = Identity.objects.get(member=self.shops.members["周舟"], kind="MOBILE")
        Guide.objects.filter(pk=self.shops.guides["A"].pk).update(mobile_index=herself.value)
        mode = {"mode": "SPLIT", "seller_bp": 7_000, "service_bp": 3_000} if is_split else {"mode": "SERVICE_FIRST"}
        orders.rule(snatch="AFTER_PROTECTION", protected_days=30, **mode)
        self.first, self.second = (User.objects.create_user(name) for name in ("first", "second"))

    def later(self, hours: int = 7) -> dt.datetime:
        self.at = self.clock.forward(self.at + dt.timedelta(hours=hours))
        self.count += 1
        return self.at

    # orders ---------------------------------------------------------------------------------------------------------

    @rule(target=lines, who=who, fen=st.integers(1, 500_000), till=whom, is_known=st.booleans())
    def sell(self, who: int, fen: int, till: int, is_known: bool) -> str:
        at, name = self.later(), f"s{self.count}"
        store = STORES[who] if till < 3 else None  # else an online order
        self.shops.line(
            name, member=MEMBERS[who] if is_known else None, store=store, paid_fen=fen, at=at, completed_at=at,
            cashier=self.shops.guides[GUIDES[till]].code if store else "",
        )  # fmt: skip
        return name

    @rule(name=lines, who=who)
    def recognise(self, name: str, who: int) -> None:
        """Whose order it was comes out late."""
        self.later()
        line = self.shops.lines[name]
        line.refresh_from_db()
        if line.member_id is None:
            orders.changed(line, member=self.shops.members[MEMBERS[who]])

    @rule(name=lines, percent=st.integers(1, 100))
    def refund(self, name: str, percent: int) -> None:
        line = self.shops.lines[name]
        line.refresh_from_db()
        if fen := (line.paid_fen - line.refunded_fen) * percent // 100:
            self.shops.refund(name, fen, self.later())

    # relations ------------------------------------------------------------------------------------------------------

    @rule(who=who, guide=whom)
    def rebind(self, who: int, guide: int) -> None:
        at, names = self.later(), (*GUIDES, "M")
        member, bound = self.shops.members[MEMBERS[who]], self.shops.guides[names[guide]]
        bindings.bind(bindings.Claim(f"scan {self.count}", member.pk, bound.pk, "SCAN", at))

    @rule(guide=whom, who=who)
    def share(self, guide: int, who: int) -> None:
        orders.touch(self.shops, (*GUIDES, "M")[guide], MEMBERS[who], self.later())

    @rule(guide=who)
    def resign(self, guide: int) -> None:
        leave(self.shops.guides[GUIDES[guide]], self.later())

    # disputes -------------------------------------------------------------------------------------------------------

    @rule(target=disputed, name=lines, guide=whom)
    def dispute(self, name: str, guide: int) -> int:
        at, claimant = self.later(), self.shops.guides[(*GUIDES, "M")[guide]]
        with suppress(hearing.CannotDispute):
            return hearing.open_dispute(
                line_id=self.shops.lines[name].pk, guide=claimant, ground="OTHER", statement="是我的顾客", actor=claimant.user,
                now=at,
            ).pk  # fmt: skip
        return 0

    @rule(number=disputed, is_for=st.booleans())
    def hear(self, number: int, is_for: bool) -> None:
        """The store's opinion, or its silence until the clock hands the dispute on."""
        at, found = self.later(), Dispute.objects.filter(pk=number, status="STORE").first()
        if found is None:
            return
        if is_for:
            hearing.give_opinion(dispute=found, opinion="FOR", text="属实", actor=self.first, now=at)
        else:
            hearing.hand_on_overdue(now=self.later(24 * 4))

    @rule(number=disputed, is_upheld=st.booleans(), is_agreed=st.booleans())
    def judge(self, number: int, is_upheld: bool, is_agreed: bool) -> None:
        """One person proposes, another confirms or sends it back."""
        at, found = self.later(), Dispute.objects.filter(pk=number, status="HQ").first()
        if found is None:
            return
        try:
            with transaction.atomic():
                found = hearing.propose(dispute=found, is_upheld=is_upheld, reason="证据一致", actor=self.first, now=at)
        except overrides.CannotOverride:  # she did not work here then, or bought it herself
            return
        with pytest.raises(hearing.IsParty), transaction.atomic():
            hearing.confirm(dispute=found, actor=self.first, now=at)
        if is_agreed:
            hearing.confirm(dispute=found, actor=self.second, now=at)
        else:
            hearing.send_back(dispute=found, reason="请补充", actor=self.second, now=at)

    @rule(number=disputed)
    def withdraw(self, number: int) -> None:
        at, found = self.later(), Dispute.objects.filter(pk=number, status__in=["STORE", "HQ"]).first()
        if found is not None:
            hearing.withdraw(dispute=found, actor=found.claimant.user, now=at)

    # money ----------------------------------------------------------------------------------------------------------

    @rule(name=lines, cause=who)
    def block(self, name: str, cause: int) -> None:
        blocks.block(line_ids=[self.shops.lines[name].pk], cause=f"REVIEW {cause}", actor=None)

    @rule(cause=who)
    def release(self, cause: int) -> None:
        blocks.release(cause=f"REVIEW {cause}")

    @rule(days=st.integers(1, 25))
    def vest(self, days: int) -> None:
        at = self.later(24 * days)
        decisions.finalise(now=at)
        hearing.hold_what_came_later()
        while ledger.vest(now=at):
            pass

    @rule(returned=whom)
    def settle(self, returned: int) -> None:
        on = f"{self.later():%m-%d}"
        period = settlement.batches.next_period(now=self.at)
        with suppress(RuleViolation):
            batch = self.books.make(period, on=on)
            self.later(0)
            if returned == 3:
                settlement.cancel(batch_id=batch.pk, actor=self.books.approver, reason="again", now=self.at)
                return
            batch = self.books.approve(batch, on=on)
            if batch.status == Batch.Status.POSTED:
                self.books.pay(batch, on=on, returned=frozenset({"G00001"} if returned == 1 else ()))
        settlement.write_off_exits(now=self.at)

    def teardown(self) -> None:
        """The last months are vested and settled; then every invariant is asked of the rows."""
        if not hasattr(self, "example"):
            return
        try:
            if hasattr(self, "second") and not connection.needs_rollback:
                self.vest(40)
                self.settle(0)
                invariants.hold(now=self.at)
                connection.check_constraints()
        finally:
            transaction.set_rollback(True)
            self.example.__exit__(None, None, None)
            self.clock.stop()


@pytest.mark.django_db
def test_l1_to_l16_and_a1_to_a15_hold_after_random_programmes() -> None:
    """L1-L16, A1-A15: any order of sales, refunds, recognitions, claims on members, leaves, disputes and settlements."""
    run_state_machine_as_test(
        Company,
        settings=settings(
            max_examples=150 if IS_LONG else 12, stateful_step_count=60 if IS_LONG else 30, deadline=None,
            suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
            phases=[Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if IS_LONG else [])],
        ),
    )  # fmt: skip
    assert not Statement.objects.exists() and not User.objects.filter(username="first").exists()
