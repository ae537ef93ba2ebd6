"""Worked examples 6, 10, 11, 17 and 18: pools, resignation, leave, brand IP and a late link, on posted money."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from attribution.models import Txn
from guides.models import BrandIP, HandoverCase, HandoverItem, HandoverTaker, ServiceAct
from scrm import db
from tests.factories.orders import changed, live, order, owed, rule
from tests.factories.shops import Shops, bind, hire, leave

JUNE = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
AT = dt.datetime(2026, 6, 10, 4, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)
A, B, M = "G00001", "G00002", "G00004"


def test_example_06_nobody_but_the_home_store(company: Shops) -> None:
    """12.90 = 6.45 to the store's pool + 6.45 to HQ's."""
    rule(home_pool_bp=5_000)
    [line] = order(company, 25_800, at=AT, member="林小满")
    assert owed(line) == {"STORE:S1": 645, "HQ_POOL": 645}


@pytest.mark.parametrize(("gap_pool_bp", "gap"), [(10_000, {"STORE:S1": 1_195}), (5_000, {"STORE:S1": 598, B: 597})])
def test_example_10_resignation_and_handover(company: Shops, gap_pool_bp: int, gap: dict[str, int]) -> None:
    """A leaves on 10 June 18:00, the handover to B is planned; B is assigned on 11 June 10:00. Times are Shanghai's."""
    rule(gap_pool_bp=gap_pool_bp)
    member, guides, stores = company.members["林小满"], company.guides, company.stores
    old = bind(member, guides["A"], stores["S1"])
    [sold] = order(company, 52_900, at=JUNE + 8 * DAY, member="林小满")
    leaves = dt.datetime(2026, 6, 10, 10, tzinfo=dt.UTC)
    leave(guides["A"], leaves)
    case = HandoverCase.objects.create(
        guide=guides["A"], store=stores["S1"], cause="EMPLOYMENT_ENDED", status="PLANNED", opened_at=leaves,
        planned_at=leaves + HOUR,
    )  # fmt: skip
    taker = HandoverTaker.objects.create(case=case, guide=guides["B"])
    HandoverItem.objects.create(case=case, taker=taker, member=member, binding=old, state_at=leaves)
    [waiting] = order(company, 23_900, at=dt.datetime(2026, 6, 11, 1, tzinfo=dt.UTC), member="林小满")
    old.ended_at = assigned = dt.datetime(2026, 6, 11, 2, tzinfo=dt.UTC)
    old.save()
    bind(member, guides["B"], stores["S2"], assigned)
    [served] = order(company, 31_900, at=dt.datetime(2026, 6, 12, 0, tzinfo=dt.UTC), member="林小满")
    assert (owed(sold), owed(waiting), owed(served)) == ({A: 2_645}, gap, {B: 1_595})


def test_example_10_a_handover_planned_after_the_payment_names_no_successor(company: Shops) -> None:
    """A4: what was planned later does not count, the pool has it all."""
    rule(gap_pool_bp=5_000)
    member, guides = company.members["林小满"], company.guides
    old = bind(member, guides["A"], company.stores["S1"])
    leave(guides["A"], AT)
    case = HandoverCase.objects.create(
        guide=guides["A"], cause="EMPLOYMENT_ENDED", status="PLANNED", opened_at=AT, planned_at=AT + 2 * HOUR
    )
    taker = HandoverTaker.objects.create(case=case, guide=guides["B"])
    HandoverItem.objects.create(case=case, taker=taker, member=member, binding=old, state_at=AT)
    [line] = order(company, 23_900, at=AT + HOUR, member="林小满")
    assert owed(line) == {"STORE:S1": 1_195}


def test_example_11_on_leave_with_a_delegate(company: Shops) -> None:
    """44.40 = 22.20 + 22.20; the binding stays with A."""
    binding = bind(company.members["林小满"], company.guides["A"], company.stores["S1"])
    company.guides["A"].delegations.create(delegate=company.guides["B"], started_at=AT - DAY, delegate_bp=5_000)
    [line] = order(company, 88_800, at=AT, member="林小满")
    assert owed(line) == {A: 2_220, B: 2_220}
    binding.refresh_from_db()
    assert (binding.guide, binding.ended_at) == (company.guides["A"], None)


def test_example_17_a_brand_ip_and_the_home_store(company: Shops) -> None:
    """479.00: 23.95 = 9.58 to the IP + 14.37 to the home store. Before the account was the IP's it was a guide's."""
    account = hire("G00099", "小果官方号", company.stores["S2"])
    BrandIP.objects.create(code="main", name="小果", guide=account, started_at=AT - DAY)
    bind(company.members["林小满"], account, company.stores["S2"])
    [line] = order(company, 47_900, at=AT, member="林小满")
    assert owed(line) == {"IP:main": 958, "STORE:S1": 1_437}
    [before] = order(company, 47_900, at=AT - 2 * DAY, member="林小满")
    assert owed(before) == {"G00099": 2_395}


@pytest.mark.parametrize(("days", "expected"), [(9, {B: 3_825}), (16, {"HQ_POOL": 3_825})])
def test_example_18_late_link(company: Shops, days: int, expected: dict[str, int]) -> None:
    """A12: JD order of 765.00 of a buyer nobody knew; her number is matched within, or after, 15 days."""
    bind(company.members["林小满"], company.guides["B"], company.stores["S2"])
    paid_at = timezone.now() - days * DAY
    [line] = order(company, 76_500, at=paid_at, channel="JD")
    assert (owed(line), live(line).state) == ({"HQ_POOL": 3_825}, "PROVISIONAL")
    changed(line, member=company.members["林小满"])
    assert (owed(line), live(line).state) == (expected, "LIVE")
    assert {txn.effective_at for txn in Txn.objects.filter(line_id=line.pk)} == {paid_at}


def test_a_service_act_keeps_a_binding_valid(company: Shops) -> None:
    """Validity counts from the last purchase or renewing act; what happened at or after the payment does not count."""
    rule(binding_validity_days=30)
    member, guide = company.members["林小满"], company.guides["A"]
    bind(member, guide, company.stores["S1"], AT - 100 * DAY)
    [late] = order(company, 10_000, at=AT, member="林小满")
    assert owed(late) == {"HQ_POOL": 500}
    for at in (AT + 5 * DAY, AT + 50 * DAY):
        db.ensure_partitions(ServiceAct, at.date(), at.date())
        ServiceAct.objects.create(
            acted_on=at.date(), key=f"act-{at}", kind="CALL", guide=guide, holder=guide, store=company.stores["S1"],
            member=member, at=at, note="回访",
        )  # fmt: skip
    # 31 days after her last purchase, and a day's less than 30 after the act
    [renewed] = order(company, 10_000, at=AT + 34 * DAY, member="林小满")
    assert owed(renewed) == {A: 500}
    assert M not in owed(renewed)
