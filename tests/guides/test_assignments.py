"""Assigning a guide: compare and swap, and whoever loses a race is told so."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connections
from django.utils import timezone

from guides import assignments, delegations
from guides.models import Binding, Delegation, Employment, Guide
from members.models import Identity, Member
from scrm.models import Act
from tests.factories import shops as factory

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def shops(db: None) -> factory.Shops:
    company = factory.shops()
    company.member("安琪", store="S1", guide="A")
    company.member("陈晨", store="S1")
    return company


def assign(member: Member, guide: Guide, expected: Binding | None, at: dt.datetime | None = None) -> Binding:
    now = timezone.now()
    return assignments.assign(
        member=member, guide=guide, expected=expected, at=at or now, now=now, actor=None, reason="换店员"
    )


def current(member: Member) -> Binding | None:
    return Binding.objects.filter(member=member, ended_at=None).first()


def test_the_old_binding_ends_where_the_new_one_begins(shops: factory.Shops) -> None:
    member, before = shops.members["安琪"], current(shops.members["安琪"])
    at = timezone.now() - HOUR
    binding = assign(member, shops.guides["B"], before, at)
    assert before is not None
    before.refresh_from_db()
    assert (before.ended_at, binding.started_at, binding.source) == (at, at, Binding.Source.ASSIGNED)
    assert binding.store_id == Employment.objects.get(guide=shops.guides["B"]).store_id
    act = Act.objects.get(verb="binding.assign")
    assert (act.reason, act.data["guide"], act.data["before"]) == ("换店员", shops.guides["B"].pk, shops.guides["A"].pk)


def test_nobody_overwrites_what_she_has_not_seen(shops: factory.Shops) -> None:
    member, seen = shops.members["安琪"], current(shops.members["安琪"])
    assign(member, shops.guides["B"], seen, timezone.now() - HOUR)
    with pytest.raises(assignments.BindingChanged):
        assign(member, shops.guides["F"], seen)
    with pytest.raises(assignments.BindingChanged):
        assign(shops.members["陈晨"], shops.guides["A"], seen)
    assert Binding.objects.filter(member=member).count() == 2


def test_the_same_guide_again_changes_nothing(shops: factory.Shops) -> None:
    binding = current(shops.members["安琪"])
    assert assign(shops.members["安琪"], shops.guides["A"], binding) == binding
    assert not Act.objects.filter(verb="binding.assign").exists()


def test_history_is_not_rewritten_and_the_future_not_promised(shops: factory.Shops) -> None:
    """A2"""
    member, binding = shops.members["安琪"], current(shops.members["安琪"])
    assert binding is not None
    for at in (binding.started_at, binding.started_at - HOUR, timezone.now() + HOUR):
        with pytest.raises(assignments.TooEarly):
            assign(member, shops.guides["B"], binding, at)


def test_a_guide_who_works_nowhere_then_is_refused(shops: factory.Shops) -> None:
    guide = shops.guides["B"]
    Employment.objects.filter(guide=guide).update(ended_at=timezone.now() - HOUR)
    with pytest.raises(assignments.NotEmployed):
        assign(shops.members["陈晨"], guide, None)
    assert assign(shops.members["陈晨"], guide, None, timezone.now() - 2 * HOUR).guide == guide


def test_a_guide_is_never_her_own_customer(shops: factory.Shops) -> None:
    """A7"""
    member, guide = shops.members["陈晨"], shops.guides["A"]
    index = Identity.objects.get(member=member, kind="MOBILE").value
    Guide.objects.filter(pk=guide.pk).update(mobile_index=index)
    guide.refresh_from_db()
    with pytest.raises(assignments.SelfBinding):
        assign(member, guide, None)


@pytest.mark.django_db(transaction=True)
def test_twenty_guides_at_once_bind_one_member_once() -> None:
    """A1, with real connections: one commits, the others learn that the binding has changed."""
    company = factory.shops()
    member = company.member("安琪", store="S1")
    guides = list(company.guides.values())
    barrier = Barrier(20)

    def race(number: int) -> str:
        barrier.wait()
        try:
            assign(member, guides[number % len(guides)], None)
        except assignments.BindingChanged:
            return "changed"
        finally:
            connections.close_all()
        return "bound"

    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(race, range(20)))
    assert results.count("bound") == 1
    assert Binding.objects.filter(member=member).count() == 1


def test_a_leave_names_who_stands_in(shops: factory.Shops) -> None:
    now = timezone.now()
    leave = delegate(shops, "A", "B", now - HOUR, now + HOUR)
    assert (leave.delegate, leave.delegate_bp) == (shops.guides["B"], 4000)
    assert current(shops.members["安琪"]).guide == shops.guides["A"]  # type: ignore[union-attr]
    assert Act.objects.get(verb="delegation.open").reason == "产假"


@pytest.mark.parametrize(
    ("guide", "to", "start", "end"),
    [
        ("A", "A", -1, None),  # herself
        ("A", "B", 0, -1),  # ends before it begins
        ("A", "B", -24 * 365 * 30, None),  # nobody worked yet
        ("A", "F", 1, None),  # overlaps the leave that stands
        ("A", "F", -3, 0),
    ],
)
def test_a_leave_that_cannot_be_is_refused(
    shops: factory.Shops, guide: str, to: str, start: int, end: int | None
) -> None:
    now = timezone.now()
    delegate(shops, "A", "B", now - HOUR, now + 2 * HOUR)
    with pytest.raises(delegations.BadDelegation):
        delegate(shops, guide, to, now + start * HOUR, None if end is None else now + end * HOUR)
    assert Delegation.objects.count() == 1


def delegate(
    shops: factory.Shops, guide: str, to: str, started_at: dt.datetime, ended_at: dt.datetime | None
) -> Delegation:
    return delegations.delegate(
        guide=shops.guides[guide], to=shops.guides[to], started_at=started_at, ended_at=ended_at, delegate_bp=4000,
        actor=None, reason="产假",
    )  # fmt: skip
