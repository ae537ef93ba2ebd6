"""A7: nobody earns by her own purchase, also when it comes out late whose it was."""

from __future__ import annotations

import datetime as dt

import pytest

from attribution import decisions, rulebook, rules
from attribution.models import Decision
from attribution.simulation import replay
from guides.models import Guide
from members.models import Identity, OrderLine
from scrm import db
from tests.attribution import invariants
from tests.factories import orders
from tests.factories import shops as factory
from tests.factories.orders import owed
from tests.factories.shops import Shops, live_decision

DAY = dt.timedelta(days=1)
MODES = list(rules.Mode)


@pytest.fixture
def company(db: None) -> Shops:
    """周舟, a customer of guide B, is guide A herself."""
    found = factory.shops()
    found.member("周舟", store="S2", guide="B")
    return found


def is_guide(company: Shops, guide: str) -> None:
    number = Identity.objects.get(member=company.members["周舟"], kind="MOBILE").value
    Guide.objects.filter(pk=company.guides[guide].pk).update(mobile_index=number)


def at_the_till(company: Shops, days: int, member: str | None = None) -> OrderLine:
    at = db.clock() - days * DAY
    return company.line(
        "till", member=member, store="S1", paid_fen=10_000, at=at, completed_at=at, cashier=company.guides["A"].code
    )


def is_as_a_replay_says() -> bool:
    keys = list(OrderLine.objects.values_list("pk", "booked_on"))
    book = rulebook.load()
    sides = replay.sides(keys, then=book, now=book, as_known_at=db.clock())
    return not any(replay.is_changed(one.now, one.then) for one in sides)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("days", [2, 400])
def test_a7_a_till_sale_that_turns_out_to_be_the_cashiers_own(company: Shops, mode: str, days: int) -> None:
    """In time her own guide serves her; after the late-link window (A12) the pool keeps what the cashier loses."""
    orders.rule(mode=mode)
    is_guide(company, "A")
    line = at_the_till(company, days)
    decisions.finalise(now=db.clock())
    first = live_decision(line)
    assert (first.state, first.winner_code) == ("LIVE", company.guides["A"].code)
    orders.changed(line, member=company.members["周舟"])
    again = live_decision(line)
    assert (again.supersedes_id, again.reason) == (first.pk, "BUYER_RECOGNISED")
    assert company.guides["A"].code not in owed(line)  # nothing is left of it
    assert again.winner_code == (company.guides["B"].code if days < 15 else "HQ_POOL")
    assert is_as_a_replay_says()
    invariants.hold(now=db.clock())


def test_a4_whoever_becomes_a_guide_later_takes_nothing_back(company: Shops) -> None:
    """The buyer was known when it was decided: what she becomes afterwards is no late identity link."""
    line = at_the_till(company, 2, member="周舟")
    is_guide(company, "A")
    company.refund("till", 1_000, db.clock())
    assert Decision.objects.filter(line_id=line.pk).count() == 1
