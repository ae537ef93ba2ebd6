"""Bindings by the rule: who gets a member, who is refused and why."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connections, transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from guides import bindings
from guides.bindings import Claim
from guides.models import Binding, BindingRequest, Employment, Guide
from guides.snatching import Policy, Snatch, Validity
from members.models import Identity, Member
from scrm import db
from tests.factories import shops as factory

START = dt.datetime(2026, 3, 1, 2, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture
def shops(db: None) -> factory.Shops:
    company = factory.shops()
    company.member("安琪", store="S1")
    return company


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``policy(snatch=…)``: the rule in force."""

    def use(**knobs: Any) -> None:
        monkeypatch.setattr(bindings, "_policy_at", lambda brand_id, at: Policy(**knobs))

    use()
    return use


def claim(member: Member, guide: Guide, at: dt.datetime, key: str = "", **more: Any) -> BindingRequest:
    key = key or f"test {guide.pk} {at.isoformat()}"
    wanted = Claim(key=key, member_id=member.pk, guide_id=guide.pk, source=Binding.Source.SCAN, at=at, **more)
    return bindings.bind(wanted)[0]


def current(member: Member) -> Binding | None:
    return Binding.objects.filter(member=member, ended_at=None).first()


def test_nobody_s_member_is_bound_with_store_source_and_promised_protection(shops: factory.Shops) -> None:
    answer = claim(shops.members["安琪"], shops.guides["B"], START, touch_id=7)
    binding = current(shops.members["安琪"])
    assert binding is not None
    assert (binding.guide, binding.store, binding.source) == (shops.guides["B"], shops.stores["S2"], "SCAN")
    assert (binding.started_at, binding.protected_until) == (START, START + 30 * DAY)
    assert (answer.answer, answer.binding, answer.holder, answer.touch_id) == ("OPEN", binding, None, 7)


def test_example_24_refused_in_the_protection_and_moved_after_it(shops: factory.Shops, policy: Any) -> None:
    """A10 and example 24: day 12 refused and kept with the reason, day 45 the binding moves and the past stays."""
    member, b, c = shops.members["安琪"], shops.guides["B"], shops.guides["F"]
    first = claim(member, b, START).binding
    refused = claim(member, c, START + 12 * DAY)
    assert (refused.answer, refused.holder, refused.binding) == ("REFUSED_PROTECTED", b, None)
    assert refused.protected_until == START + 30 * DAY
    assert current(member) == first
    taken = claim(member, c, START + 45 * DAY)
    assert (taken.answer, taken.holder) == ("SNATCH", b)
    rows = Binding.objects.filter(member=member).order_by("started_at")
    assert [(row.guide, row.started_at, row.ended_at) for row in rows] == [
        (b, START, START + 45 * DAY),
        (c, START + 45 * DAY, None),
    ]


def test_a_promised_protection_outlives_a_shorter_rule(shops: factory.Shops, policy: Any) -> None:
    claim(shops.members["安琪"], shops.guides["B"], START)
    policy(protected_days=1)
    assert claim(shops.members["安琪"], shops.guides["F"], START + 12 * DAY).answer == "REFUSED_PROTECTED"


def test_an_expired_binding_goes_to_whoever_asks(shops: factory.Shops, policy: Any) -> None:
    """Validity counts from the last purchase; a voided one is none."""
    member, b, c = shops.members["安琪"], shops.guides["B"], shops.guides["F"]
    policy(validity=Validity.DAYS_SINCE_ACTIVITY, validity_days=10, snatch=Snatch.NEVER)
    claim(member, b, START)
    shops.line("voided", member="安琪", store="S1", paid_fen=100, at=START + 19 * DAY, is_voided=True)
    shops.line("real", member="安琪", store="S1", paid_fen=100, at=START + 5 * DAY)
    assert claim(member, c, START + 15 * DAY - dt.timedelta(seconds=1)).answer == "REFUSED_NEVER"
    assert claim(member, c, START + 20 * DAY).answer == "REPLACE_EXPIRED"
    assert current(member).guide == c  # type: ignore[union-attr]


def test_the_same_fact_claims_once(shops: factory.Shops) -> None:
    member, guide = shops.members["安琪"], shops.guides["B"]
    first = claim(member, guide, START, key="friend 1 2")
    again = claim(member, guide, START, key="friend 1 2")
    assert again == first
    assert claim(member, guide, START + DAY).answer == "UNCHANGED"
    assert Binding.objects.filter(member=member).count() == 1


@pytest.mark.parametrize("kind", ["MOBILE", "UNIONID", "contact"])
def test_a_guide_never_binds_herself(shops: factory.Shops, kind: str) -> None:
    """A7: her number, her unionid, or the unionid that WeCom tells of the contact."""
    member, guide = shops.members["安琪"], shops.guides["B"]
    more: frozenset[str] = frozenset()
    if kind == "MOBILE":
        guide.mobile_index = Identity.objects.get(member=member, kind="MOBILE").value
    else:
        guide.unionid = "oHERSELF"
        if kind == "UNIONID":
            Identity.objects.create(member=member, kind="UNIONID", namespace="MAIN", value="oHERSELF")
        more = frozenset({"unionid:oHERSELF"})
    guide.save()
    assert claim(member, guide, START, more_keys=more).answer == "REFUSED_SELF"
    assert current(member) is None


def test_who_works_nowhere_then_binds_nobody(shops: factory.Shops) -> None:
    guide = shops.guides["B"]
    Employment.objects.filter(guide=guide).update(ended_at=START)
    answer = claim(shops.members["安琪"], guide, START)
    assert (answer.answer, answer.store) == ("REFUSED_NOT_EMPLOYED", None)
    assert claim(shops.members["安琪"], guide, START - DAY).answer == "OPEN"


def test_what_is_learned_late_rewrites_nothing(shops: factory.Shops, policy: Any) -> None:
    """A2: a claim from before the present binding is overtaken; one from within an ended binding begins at its end."""
    member, b, c = shops.members["安琪"], shops.guides["B"], shops.guides["F"]
    policy(snatch=Snatch.ANY_TIME)
    claim(member, b, START)
    assert claim(member, c, START - DAY).answer == "REFUSED_OVERTAKEN"
    assert claim(member, c, START, key="same instant").answer == "REFUSED_OVERTAKEN"
    Binding.objects.filter(member=member).update(ended_at=START + 2 * DAY)
    late = claim(member, c, START + DAY)
    assert late.answer == "OPEN" and late.binding is not None
    assert late.binding.started_at == START + 2 * DAY


def test_an_answer_is_never_changed(shops: factory.Shops) -> None:
    answer = claim(shops.members["安琪"], shops.guides["B"], START)
    with pytest.raises(Exception, match="Cannot update or delete"), transaction.atomic():
        BindingRequest.objects.filter(pk=answer.pk).update(answer="SNATCH")


@pytest.mark.django_db(transaction=True)
def test_twenty_guides_at_once_get_one_binding_and_nineteen_reasons() -> None:
    """A1, A10, with real connections: the first to commit wins, the others are told who has her."""
    company = factory.shops()
    member = company.member("安琪", store="S1")
    guides = [factory.hire(f"G9{number:03d}", f"导购{number}", company.stores["S1"]) for number in range(20)]
    barrier = Barrier(20)

    def race(number: int) -> BindingRequest:
        barrier.wait()
        try:
            return claim(member, guides[number], START + number * dt.timedelta(seconds=1))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(race, range(20)))
    winner = next(answer for answer in answers if answer.answer == "OPEN")
    counts = Counter(answer.answer for answer in answers)
    assert counts["OPEN"] == 1
    assert counts["REFUSED_PROTECTED"] + counts["REFUSED_OVERTAKEN"] == 19
    assert {answer.holder_id for answer in answers if answer != winner} == {winner.guide_id}
    assert Binding.objects.filter(member=member).count() == 1


class AnyOrder(TestCase):
    """A2, A10 over any sequence of claims, in any order of arrival."""

    @given(
        claims=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 90)), min_size=1, max_size=8),
        snatch=st.sampled_from(Snatch),
    )
    @settings(max_examples=40, deadline=None)
    def test_history_never_overlaps_and_the_protected_stay(self, claims: list[tuple[int, int]], snatch: Snatch) -> None:
        with transaction.atomic():
            company = factory.shops()
            member = company.member("安琪", store="S1")
            people = list(company.guides.values())
            before = bindings._policy_at
            bindings.take_policy_from(lambda brand_id, at: Policy(snatch=snatch))
            try:
                for number, (who, day) in enumerate(claims):
                    held = current(member)
                    answer = claim(member, people[who], START + day * DAY, key=f"claim {number}")
                    if answer.answer == "SNATCH":
                        assert held is not None and snatch != Snatch.NEVER
                        if snatch == Snatch.AFTER_PROTECTION:
                            assert held.protected_until is not None and answer.at >= held.protected_until
                    elif held is not None:
                        assert current(member) == held
            finally:
                bindings.take_policy_from(before)
            rows = list(Binding.objects.filter(member=member).order_by("started_at"))
            assert [row.ended_at for row in rows[:-1]] == [row.started_at for row in rows[1:]]
            assert rows[-1].ended_at is None
            transaction.set_rollback(True)


def test_locks_are_taken_on_the_member(shops: factory.Shops) -> None:
    """A claim inside a larger transaction (an event) is that transaction's."""
    with transaction.atomic():
        claim(shops.members["安琪"], shops.guides["B"], START)
        assert db.lock(Member.objects.filter(pk=shops.members["安琪"].pk))
        transaction.set_rollback(True)
    assert current(shops.members["安琪"]) is None
