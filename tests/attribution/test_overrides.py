"""Two people name the guide of a line (C0), neither a party; the line is decided anew and explained (A13's re-attribution)."""

from __future__ import annotations

import datetime as dt
import threading

import pytest
from django.db import IntegrityError, connection, transaction

from attribution import overrides
from attribution.models import Hold, Override, Txn
from guides.models import Guide
from members.models import LineToDecide, OrderLine
from scrm.models import User
from tests.factories import defaults
from tests.factories.shops import Shops, leave, live_decision, shops

AT = dt.datetime(2026, 5, 1, 4, tzinfo=dt.UTC)


@pytest.fixture
def company(db: None) -> Shops:
    return shops()


@pytest.fixture
def sold(company: Shops) -> OrderLine:
    company.member("林小满", store="S1", guide="A")
    return company.line("x", member="林小满", store="S1", paid_fen=76_500, at=AT, cashier="G00004")


def second(name: str = "second") -> User:
    return User.objects.create_user(name)


def owed(line: OrderLine) -> dict[str, int]:
    rows = Hold.objects.filter(line_id=line.pk).order_by("pk")
    found: dict[str, int] = {}
    for hold in rows.select_related("beneficiary"):
        left = hold.amount_fen - hold.reversed_fen - hold.clawed_fen
        found[hold.beneficiary.code] = found.get(hold.beneficiary.code, 0) + left
    return found


def asked(company: Shops, line: OrderLine, guide: Guide | None = None) -> Override:
    wanted = guide or company.guides["B"]
    return overrides.request(line=line, guide=wanted, reason="活码被覆盖", actor=company.staff["hq"])


def test_an_approved_override_moves_the_commission(company: Shops, sold: OrderLine) -> None:
    assert owed(sold) == {"G00001": 3_825}
    row = overrides.approve(override=asked(company, sold), actor=second())
    assert owed(sold) == {"G00001": 0, "G00002": 3_825}
    decision = live_decision(sold)
    assert (decision.sequence, decision.reason, decision.candidates[0][:3]) == (
        2,
        "OVERRIDDEN",
        ["C0", str(row.pk), "G00002"],
    )
    assert {txn.effective_at for txn in Txn.objects.filter(line_id=sold.pk)} == {AT}
    assert (row.store, row.status) == (company.stores["S2"], "APPROVED")
    third = overrides.request(line=sold, guide=company.guides["M"], reason="再改", actor=company.staff["hq"])
    overrides.approve(override=third, actor=second("third"))
    assert owed(sold) == {"G00001": 0, "G00002": 0, "G00004": 3_825}


def test_a_refused_one_changes_nothing(company: Shops, sold: OrderLine) -> None:
    overrides.refuse(override=asked(company, sold), actor=second(), answer="没有证据")
    assert owed(sold) == {"G00001": 3_825}
    assert Override.objects.get().status == "REFUSED"


def test_whoever_asked_does_not_approve(company: Shops, sold: OrderLine) -> None:
    row = asked(company, sold)
    with pytest.raises(overrides.CannotOverride, match="另一人"):
        overrides.approve(override=row, actor=company.staff["hq"])
    with pytest.raises(IntegrityError, match="override_four_eyes"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE attribution_override SET status = 'APPROVED', answered_by_id = requested_by_id, answered_at = now()"
        )
    assert owed(sold) == {"G00001": 3_825}


@pytest.mark.parametrize("party", ["A", "B"])
def test_a_party_neither_asks_nor_approves(company: Shops, sold: OrderLine, party: str) -> None:
    user = company.guides[party].user  # A has the line, B is to have it
    with pytest.raises(overrides.CannotOverride):
        overrides.request(line=sold, guide=company.guides["B"], reason="我的", actor=user)
    assert not Override.objects.exists()
    row = asked(company, sold)
    with pytest.raises(overrides.CannotOverride):
        overrides.approve(override=row, actor=user)
    assert Override.objects.get().status == "REQUESTED"


def test_who_had_left_at_payment_is_not_named(company: Shops, sold: OrderLine) -> None:
    leave(company.guides["B"], AT)
    with pytest.raises(overrides.CannotOverride, match="付款时该导购不在职"):
        asked(company, sold)
    assert not Override.objects.exists()


def test_one_request_at_a_time_and_one_answer(company: Shops, sold: OrderLine) -> None:
    row = asked(company, sold)
    with pytest.raises(overrides.CannotOverride):
        asked(company, sold, company.guides["M"])
    overrides.approve(override=row, actor=second())
    with pytest.raises(overrides.CannotOverride):
        overrides.approve(override=row, actor=second("third"))
    with pytest.raises(overrides.CannotOverride):
        overrides.request(line=sold, guide=company.guides["M"], reason="  ", actor=company.staff["hq"])


@pytest.mark.django_db(transaction=True)
def test_an_approval_waits_for_a_decider_who_has_claimed_the_line() -> None:
    """Whoever claimed the line read it without the answer: it is decided once more behind him."""
    defaults.restore()
    company = shops()
    company.member("林小满", store="S1", guide="A")
    line = company.line("x", member="林小满", store="S1", paid_fen=76_500, at=AT, cashier="G00004")
    row, approver, done = asked(company, line), second(), threading.Event()
    LineToDecide.objects.create(line_id=line.pk, booked_on=line.booked_on)

    def approve() -> None:
        try:
            overrides.approve(override=row, actor=approver)
        finally:
            connection.close()
            done.set()

    thread = threading.Thread(target=approve)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM members_linetodecide WHERE line_id = %s FOR UPDATE", [line.pk]
        )  # as a claim begins
        thread.start()
        waited = not done.wait(1)
        cursor.execute("DELETE FROM members_linetodecide WHERE line_id = %s", [line.pk])
    thread.join()
    assert waited
    assert owed(line) == {"G00001": 0, "G00002": 3_825} and not LineToDecide.objects.exists()
