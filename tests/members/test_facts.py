"""Facts of members: what they say, and that refreshing ends in what a rebuild from scratch says."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from members import facts, member_value, purchases
from members.models import (
    Category,
    Identity,
    LifecycleRule,
    Member,
    MemberFacts,
    MemberToRefresh,
    OrderLine,
    Product,
    RfmCuts,
)
from members.purchases import LineVersion, RefundVersion
from scrm.models import Brand

START = dt.datetime(2024, 3, 1, 4, tzinfo=dt.UTC)  # noon in Shanghai
DAY = dt.timedelta(days=1)
NAMES = ("安琪", "宝儿", "采薇", "丹丹")


def person(name: str) -> Member:
    member = Member.objects.create(brand=Brand.objects.get(code="MAIN"), name=name)
    Identity.objects.create(member=member, kind="CARD", namespace="MAIN", value=name)
    return member


def line(order: str, *, card: str = "安琪", at: dt.datetime = START, fen: int = 10_000, **values: Any) -> LineVersion:
    known: dict[str, Any] = {
        "channel": "POS", "shop": "S1", "order_no": order, "line_no": 1, "version_at": at, "created_at": at, "paid_at": at,
        "sku": "K1", "category": "水果", "quantity": Decimal(1), "list_fen": fen, "paid_fen": fen, "buyer_card_no": card,
    }  # fmt: skip
    return LineVersion(**{**known, **values})


def refund(number: str, order: str, fen: int, at: dt.datetime) -> RefundVersion:
    return RefundVersion("POS", "S1", number, order, 1, at, at, Decimal(1), fen)


def facts_of(member: Member) -> MemberFacts | None:
    return MemberFacts.objects.filter(member=member).first()


# --- what they say ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_facts_of_one_member_by_hand():
    member = person("安琪")
    monday = dt.datetime(2024, 3, 4, 1, tzinfo=dt.UTC)  # 09:00 in Shanghai
    said = [
        line("E1", at=monday, fen=3_000),
        line("E1", at=monday, fen=6_000, line_no=2, sku="K2", category="蔬菜"),
        line("E2", at=monday + 40 * DAY, fen=2_001, channel="JD", shop="main"),  # a Saturday
        line("E3", at=monday + 70 * DAY, fen=9_999, is_voided=True),
        line("E4", at=monday + 70 * DAY, fen=9_999, is_test=True),
        line("E5", at=monday + 70 * DAY, fen=9_999, is_gift_card=True),
        line("E6", at=monday + 70 * DAY, fen=5_000),
        line("E7", at=monday + 84 * DAY, card="", fen=7_777),  # nobody's
        line("E8", at=dt.datetime(2024, 5, 12, 17, tzinfo=dt.UTC), fen=1_000),  # the thirteenth, 01:00, a Monday
    ]
    purchases.record_lines(lines=said)
    purchases.record_refunds(refunds=[refund("R6", "E6", 5_000, monday + 75 * DAY)])
    purchases.record_refunds(refunds=[refund("R1", "E1", 500, monday + 80 * DAY)])
    assert facts.refresh_all(now=monday + 80 * DAY) == 1
    row = facts_of(member)
    assert row is not None
    assert (row.first_on, row.last_on) == (dt.date(2024, 3, 4), dt.date(2024, 5, 13))
    assert (row.orders_count, row.spend_fen) == (3, 2_500 + 6_000 + 2_001 + 1_000)
    assert (row.orders_30, row.spend_30_fen, row.orders_90, row.spend_90_fen, row.orders_365) == (
        1,
        1_000,
        3,
        11_501,
        3,
    )
    assert row.average_fen == 3_834
    assert (row.weekday, row.hour, row.category and row.category.code) == (1, 9, "蔬菜")
    assert (row.channels, row.stage) == (["JD", "POS"], "REPEAT")
    assert row.changes_on == dt.date(2024, 3, 4) + 90 * DAY  # the first order leaves the window of 90 days
    assert MemberFacts.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("days", "orders", "stage", "changes_in"),
    [
        (0, 1, "NEW", 30), (29, 1, "NEW", 1), (30, 1, "ACTIVE", 60), (89, 1, "ACTIVE", 1), (90, 1, "SLEEPING", 90),
        (179, 1, "SLEEPING", 1), (180, 1, "LAPSING", 185), (364, 1, "LAPSING", 1), (365, 1, "LOST", None),
        (0, 2, "REPEAT", 30), (89, 2, "REPEAT", 1), (90, 2, "SLEEPING", 90), (400, 2, "LOST", None),
    ],
)  # fmt: skip
def test_each_stage_to_the_day(days, orders, stage, changes_in):
    member = person("安琪")
    purchases.record_lines(lines=[line(f"E{n}") for n in range(orders)])
    now = START + days * DAY
    facts.refresh_all(now=now)
    row = facts_of(member)
    assert row is not None and row.stage == stage
    expected = None if changes_in is None else facts.business_day(now) + changes_in * DAY
    assert row.changes_on == expected


@pytest.mark.django_db
def test_only_those_are_counted_at_night_for_whom_the_day_changes_something():
    for name in NAMES[:2]:
        person(name)
    purchases.record_lines(lines=[line("E1"), line("E2", card="宝儿", at=START + 10 * DAY)])
    facts.refresh_all(now=START + 10 * DAY)
    assert facts.refresh_changed_by_time(now=START + 29 * DAY) == 0
    assert facts.refresh_changed_by_time(now=START + 30 * DAY) == 1
    assert dict(MemberFacts.objects.values_list("member__name", "orders_30")) == {"安琪": 0, "宝儿": 1}
    assert facts.differing(now=START + 30 * DAY) == 0


@pytest.mark.django_db
def test_another_rule_of_stages_and_another_category_reach_everybody_by_a_rebuild():
    member = person("安琪")
    purchases.record_lines(lines=[line("E1")])
    facts.refresh_all(now=START + 20 * DAY)
    rule = LifecycleRule.objects.get(brand=member.brand)
    rule.new_days = 10
    rule.save()
    assert facts.rebuild(now=START + 20 * DAY) == facts.Rebuilt(members=1, differing=2)  # the old row and the new one
    assert facts_of(member).stage == "ACTIVE"
    Product.objects.update(category=Category.objects.create(code="蔬菜", name="蔬菜"))
    assert facts.refresh_all(now=START + 20 * DAY) == 0
    assert MemberToRefresh.objects.get().member_id == 0  # asks for the night
    facts.night(now=START + 20 * DAY)
    assert facts_of(member).category.code == "蔬菜"
    assert not MemberToRefresh.objects.exists()


@pytest.mark.django_db
def test_a_flooded_queue_is_answered_by_one_pass(monkeypatch):
    monkeypatch.setattr(facts, "REBUILD_FROM", 1)
    people = [person(name) for name in NAMES[:2]]
    purchases.record_lines(lines=[line("E1"), line("E2", card="宝儿")])
    assert facts.refresh_all(now=START) == 2
    assert [row.orders_count for row in map(facts_of, people) if row] == [1, 1]
    assert not MemberToRefresh.objects.exists()


@pytest.mark.django_db
def test_an_erased_member_has_no_facts_and_a_circle_of_merges_hurts_nobody():
    first, second = person("安琪"), person("宝儿")
    purchases.record_lines(lines=[line("E1"), line("E2", card="宝儿")])
    facts.refresh_all(now=START)
    Member.objects.filter(pk=first.pk).update(status="ERASED")
    facts.refresh_all(now=START)
    assert list(MemberFacts.objects.values_list("member_id", flat=True)) == [second.pk]
    Member.objects.filter(pk=first.pk).update(status="MERGED", merged_into=second)
    facts.refresh_all(now=START)
    assert facts_of(second).orders_count == 2
    Member.objects.filter(pk=second.pk).update(status="MERGED", merged_into=first)
    facts.refresh_all(now=START)
    assert not MemberFacts.objects.exists() and facts.differing(now=START) == 0


@pytest.mark.django_db(transaction=True)
def test_a_purchase_that_commits_while_facts_are_counted_is_counted_by_the_next_round():
    member = person("安琪")
    purchases.record_lines(lines=[line("E1")])
    with transaction.atomic():
        assert facts.refresh(now=START) == 1
        _elsewhere(lambda: purchases.record_lines(lines=[line("E2")]))
        _elsewhere(lambda: _refused(START))
    assert facts_of(member).orders_count == 1
    assert facts.refresh(now=START) == 1
    assert facts_of(member).orders_count == 2 and facts.differing(now=START) == 0


def _refused(now: dt.datetime) -> None:
    assert facts.refresh(now=now) == 0  # one counter at a time


def _elsewhere(work: Any) -> None:
    import threading

    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not errors, errors


# --- any history ------------------------------------------------------------------------------------------------------

orders = st.sampled_from([f"E{n}" for n in range(6)])
acts = st.one_of(
    st.tuples(
        st.just("buy"), orders, st.sampled_from([*NAMES, "", "晚来"]), st.integers(0, 60), st.integers(0, 30_000)
    ),
    st.tuples(st.just("void"), orders),
    st.tuples(st.just("refund"), orders, st.integers(1, 20_000)),
    st.tuples(st.just("refund all"), orders),
    st.tuples(st.just("late"), st.sampled_from(NAMES)),
    st.tuples(st.just("merge"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("freeze"), st.sampled_from(NAMES), st.sampled_from(["ACTIVE", "FROZEN", "ERASED"])),
    st.tuples(st.just("days"), st.integers(1, 200)),
    st.tuples(st.just("refresh")),
    st.tuples(st.just("night")),
)


class World:
    def __init__(self) -> None:
        self.members = {name: person(name) for name in NAMES}
        self.now, self.count = START, 0
        self.said: dict[str, LineVersion] = {}

    def act(self, name: str, *values: Any) -> None:
        self.count += 1
        getattr(self, name.replace(" ", "_"))(*values)

    def _version(self) -> dt.datetime:
        return self.now + dt.timedelta(seconds=self.count)

    def buy(self, order: str, card: str, days_ago: int, fen: int) -> None:
        at = self.now - days_ago * DAY - dt.timedelta(hours=self.count % 24)
        channel = ("POS", "MINI")[self.count % 2] if order not in self.said else self.said[order].channel
        self.said[order] = line(
            order, card=card, at=at, fen=fen, channel=channel, version_at=self._version(), sku=f"K{self.count % 3}",
            category=("水果", "蔬菜", "")[self.count % 3],
        )  # fmt: skip
        purchases.record_lines(lines=[self.said[order]])

    def void(self, order: str) -> None:
        if order in self.said:
            self.said[order] = replace(self.said[order], is_voided=True, version_at=self._version())
            purchases.record_lines(lines=[self.said[order]])

    def refund(self, order: str, fen: int) -> None:
        channel = self.said[order].channel if order in self.said else "POS"
        one = replace(refund(f"R{self.count}", order, fen, self._version()), channel=channel)
        purchases.record_refunds(refunds=[one])

    def refund_all(self, order: str) -> None:
        row = OrderLine.objects.filter(order__order_no=order).first()
        if row is not None and row.paid_fen > row.refunded_fen:
            self.refund(order, row.paid_fen - row.refunded_fen)

    def late(self, name: str) -> None:
        """The unknown card turns out to be hers."""
        if not Identity.objects.filter(value="晚来").exists():
            Identity.objects.create(member=self.members[name], kind="CARD", namespace="MAIN", value="晚来")
            purchases.recognise_buyers(since=START - 10 * DAY)

    def merge(self, gone: str, kept: str) -> None:
        one, other = (Member.objects.get(pk=self.members[name].pk) for name in (gone, kept))
        if one.pk != other.pk and one.status != "MERGED" and _root(other).pk != one.pk:
            Member.objects.filter(pk=one.pk).update(status="MERGED", merged_into=other)

    def freeze(self, name: str, status: str) -> None:
        Member.objects.filter(pk=self.members[name].pk).exclude(status="MERGED").update(status=status)

    def days(self, count: int) -> None:
        self.now += count * DAY

    def refresh(self) -> None:
        facts.refresh(now=self.now, limit=2)

    def night(self) -> None:
        while facts.refresh_changed_by_time(now=self.now, limit=1):
            pass


def _root(member: Member) -> Member:
    while member.merged_into is not None:
        member = member.merged_into
    return member


def oracle(now: dt.datetime) -> dict[int, tuple[Any, ...]]:
    """The same sentences in plain Python, from the rows of the purchases."""
    today = facts.business_day(now)
    found: dict[int, dict[int, list[OrderLine]]] = defaultdict(lambda: defaultdict(list))
    for row in OrderLine.objects.filter(member__isnull=False).select_related("member", "product"):
        root = _root(row.member)  # type: ignore[arg-type]
        kept = row.paid_fen == 0 or row.refunded_fen < row.paid_fen
        if kept and not row.is_voided and root.status in ("ACTIVE", "FROZEN"):
            found[root.pk][row.order_id].append(row)
    result = {}
    for member_id, per_order in found.items():
        placed = [
            (min(r.paid_at for r in rows).astimezone(facts.SHANGHAI), sum(r.paid_fen - r.refunded_fen for r in rows), rows[0])
            for rows in per_order.values()
        ]  # fmt: skip
        days = [at.date() for at, _fen, _row in placed]
        spend = sum(fen for _at, fen, _row in placed)
        windows = []
        for window in (30, 90, 365):
            inside = [fen for at, fen, _row in placed if at.date() > today - window * DAY]
            windows += [len(inside), sum(inside)]
        idle = (today - max(days)).days
        stage = (
            "LOST" if idle >= 365 else "LAPSING" if idle >= 180 else "SLEEPING" if idle >= 90
            else "REPEAT" if len(placed) >= 2 else "NEW" if (today - min(days)).days < 30 else "ACTIVE"
        )  # fmt: skip
        liked: Counter[int] = Counter()
        for rows in per_order.values():
            for r in rows:
                if r.product.category_id:
                    liked[r.product.category_id] += r.paid_fen - r.refunded_fen
        weekdays, hours = Counter(d.isoweekday() for d in days), Counter(at.hour for at, _fen, _row in placed)
        result[member_id] = (
            min(days), max(days), len(placed), spend, *windows, (2 * spend + len(placed)) // (2 * len(placed)),
            min(weekdays, key=lambda d: (-weekdays[d], d)), min(hours, key=lambda h: (-hours[h], h)),
            min(liked, key=lambda c: (-liked[c], c)) if liked else None, sorted({row.channel for _a, _f, row in placed}), stage,
        )  # fmt: skip
    return result


def standing() -> dict[int, tuple[Any, ...]]:
    rows = MemberFacts.objects.values_list(
        "member_id", "first_on", "last_on", "orders_count", "spend_fen", "orders_30", "spend_30_fen", "orders_90",
        "spend_90_fen", "orders_365", "spend_365_fen", "average_fen", "weekday", "hour", "category_id", "channels", "stage",
    )  # fmt: skip
    return {row[0]: row[1:] for row in rows}


@pytest.mark.django_db
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(programme=st.lists(acts, min_size=1, max_size=25))
def test_refreshing_ends_in_what_a_rebuild_says_after_any_history(programme):
    with transaction.atomic():  # each example leaves nothing behind, also one that fails
        world = World()
        for act in programme:
            world.act(*act)
        facts.refresh_all(now=world.now)
        world.night()
        refreshed = standing()
        assert refreshed == oracle(world.now)
        assert facts.differing(now=world.now) == 0
        MemberFacts.objects.all().delete()
        facts.rebuild(now=world.now)
        assert standing() == refreshed
        transaction.set_rollback(True)


# --- what members are worth -------------------------------------------------------------------------------------------


@given(values=st.lists(st.integers(0, 12), max_size=60))
def test_equal_values_have_equal_scores_and_nobody_above_is_scored_below(values):
    beginnings = member_value.cuts(values)
    scores = {value: member_value.score(value, beginnings) for value in values}
    for value, found in scores.items():
        worse = sum(other < value for other in values)
        assert found == 1 + 5 * worse // len(values)
    ordered = [scores[value] for value in sorted(scores)]
    assert ordered == sorted(ordered)


@pytest.mark.django_db
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spends=st.lists(st.integers(1, 8), min_size=1, max_size=14))
def test_the_database_cuts_where_the_rule_says(spends):
    with transaction.atomic():  # an example leaves nothing behind, also one that fails
        brand = Brand.objects.get(code="MAIN")
        said = []
        for place, spend in enumerate(spends):
            member = person(f"会员{place}")
            said += [
                line(f"{place}-{n}", card=member.name, at=START + spend * DAY, fen=spend * 100)
                for n in range(spend % 3 + 1)
            ]
        purchases.record_lines(lines=said)
        facts.refresh_all(now=START + 10 * DAY)
        member_value.cut(now=START + 10 * DAY)
        found = RfmCuts.objects.get(brand=brand)
        rows = list(MemberFacts.objects.values_list("last_on", "orders_count", "spend_fen"))
        for place, name in enumerate(("recency", "frequency", "money")):
            assert getattr(found, name) == member_value.cuts([row[place] for row in rows]), name
        figures = member_value.figures(brand=brand)
        assert figures is not None and found.member_count == figures.members == len(spends)
        assert sum(map(sum, figures.grid)) == len(spends)
        for fifths in figures.fifths.values():
            assert sum(one.members for one in fifths) == len(spends)
            assert sum(one.spend_fen for one in fifths) == figures.spend_fen
        ordered = sorted((row[2] for row in rows), reverse=True)
        assert figures.top_fen == sum(ordered[: -(-len(ordered) // 10)])
        assert figures.repeat_members == sum(row[1] >= 2 for row in rows)
        transaction.set_rollback(True)
