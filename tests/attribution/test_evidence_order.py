"""A3, A4 from the database: the same digest whatever the order of the rows, the zone of the connection, and what came later."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection

from attribution import evidence, rulebook, rules
from attribution.models import Decision
from members.models import OrderLine
from scrm import db
from tests.factories.orders import order, rule, touch
from tests.factories.shops import Shops, bind, leave, shops

AT = dt.datetime(2026, 5, 10, 4, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture
def company(db: None) -> Shops:
    company = shops()
    for name in ("林小满", "陈晨"):
        company.member(name, store="S1", guide="A")
    rule(mode="SPLIT", layers=[{"channel": "TMALL", "rate_bp": 300}], home_pool_bp=2_500, binding_validity_days=90)
    return company


def digests(lines: list[OrderLine]) -> list[str]:
    book = rulebook.load()
    cases = evidence.load([(line.pk, line.booked_on) for line in lines], book)
    return [rules.decide(case.facts, case.evidence, case.rule).digest for case in cases]


def orders(company: Shops) -> list[OrderLine]:
    return [
        order(company, 10_000 + n, at=AT + n * DAY, member=("林小满", "陈晨")[n % 2], channel=("TMALL", "JD")[n % 2])[0]
        for n in range(4)
    ]


def test_a3_the_order_in_which_touches_are_recorded_says_nothing(company: Shops) -> None:
    """A3: of two companies with the same touches, recorded forwards and backwards, each touch wins in the same place."""
    ats = [AT - n * DAY for n in range(1, 6)]
    for at in ats:
        touch(company, "B", "林小满", at)
    for at in reversed(ats):
        touch(company, "B", "陈晨", at)
    lines = [order(company, 10_000, at=AT, member=name)[0] for name in ("林小满", "陈晨")]
    won = []
    for line in lines:
        candidates = Decision.objects.get(line_id=line.pk).candidates
        won.append([(c[0], c[2], c[4], c[5]) for c in candidates])
    assert won[0] == won[1]
    assert digests(lines) == list(Decision.objects.order_by("line_id").values_list("digest", flat=True))


def test_a3_another_time_zone_of_the_connection_says_nothing(company: Shops) -> None:
    """A3"""
    touch(company, "B", "林小满", AT - 3 * DAY)
    lines = orders(company)
    first = digests(lines)
    with connection.cursor() as cursor:
        for zone in ("America/Los_Angeles", "Asia/Kathmandu", "UTC"):
            cursor.execute("SELECT set_config('TimeZone', %s, false)", [zone])
            assert digests(lines) == first


def test_a4_later_facts_leave_every_digest(company: Shops) -> None:
    """A4: later touches, a rebinding, a guide who leaves, later purchases; read again, each line has its digest."""
    touch(company, "B", "林小满", AT - 3 * DAY)
    lines = orders(company)
    first = digests(lines)
    after = AT + 30 * DAY
    touch(company, "M", "林小满", after)
    member = company.members["林小满"]
    member.bindings.update(ended_at=after)
    bind(member, company.guides["B"], company.stores["S2"], after)
    leave(company.guides["A"], after)
    order(company, 99, at=after + DAY, member="林小满")
    assert digests(lines) == first


def test_touches_are_not_asked_for_where_no_rule_can_use_them(company: Shops) -> None:
    """Only the till counts from here on."""
    rule(mode="POS_FIRST", since=AT - DAY)
    touch(company, "B", "林小满", AT - 2 * DAY)
    [line] = order(company, 10_000, at=AT, member="林小满")
    [case] = evidence.load([(line.pk, line.booked_on)], rulebook.load())
    assert case.evidence.touches == ()


def test_a_buyer_nobody_knows_is_claimed_by_the_touch_of_her_visit(company: Shops) -> None:
    """C2 needs no member: the visitor shares her unionid with the order."""
    from guides.models import Visitor

    visitor = Visitor.objects.create(unionid="u-1")
    touch(company, "B", "林小满", AT - DAY, member_id=None, visitor_id=visitor.pk)
    [line] = order(company, 10_000, at=AT, buyer_unionid="u-1")
    decision = Decision.objects.get(line_id=line.pk)
    assert (decision.winner_code, decision.state) == ("G00002", "LIVE")


def test_who_is_first_met_as_a_delegate_is_known_with_who_stands_in_for_her(company: Shops) -> None:
    """Facts that many chunks share are the same whichever guide was met first."""
    guides = company.guides
    guides["A"].delegations.create(delegate=guides["B"], started_at=AT - DAY, delegate_bp=4_000)
    guides["B"].delegations.create(delegate=guides["M"], started_at=AT - DAY, delegate_bp=3_000)
    guides["M"].delegations.create(delegate=guides["A"], started_at=AT - DAY, delegate_bp=2_000)
    staff = evidence.Staff.read([guides["A"].pk])
    staff.add([guides["B"].pk, guides["M"].pk])
    assert [staff.delegation(guides[who].pk, AT) for who in "ABM"] == [
        (guides["B"].pk, 4_000), (guides["M"].pk, 3_000), (guides["A"].pk, 2_000)
    ]  # fmt: skip
    assert staff.alone(guides["B"].pk, AT) is None


def test_who_has_no_delegate_costs_no_further_statement(company: Shops) -> None:
    asked: list[str] = []
    with db.watching(lambda statement, _seconds: asked.append(statement)):
        evidence.Staff.read([company.guides["A"].pk, company.guides["B"].pk])
    assert sum("guides_delegation" in statement for statement in asked) == 1
