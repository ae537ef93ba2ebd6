"""Experiments from draft to end: the draw (X1), by assigned arm (X2), outcomes net of refunds, looks that stay."""

from __future__ import annotations

import datetime as dt
import itertools
from random import Random
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from scipy import stats

from campaigns import experiments
from campaigns.experiments import draw, outcomes, reading, running
from campaigns.models import Arm, Assignment, Experiment, Holdout, Look
from guides.models import Contact, Friendship
from members.models import Member, Order, OrderLine, Product
from scrm import db, jobs
from scrm.errors import RuleViolation
from scrm.models import Brand, Job
from tests.factories import friends
from tests.factories import shops as factory

DAY = dt.timedelta(days=1)
NOW = dt.datetime(2026, 5, 4, 2, tzinfo=dt.UTC)


@pytest.fixture
def brand(db: None) -> Brand:
    return Brand.objects.get(code="MAIN")


FIRST = 5_000_000


@pytest.fixture(autouse=True)
def dice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A draw depends on its salt and on the members' numbers: both are told, or an interval of 95 % misses once in twenty."""
    salts = itertools.count()
    monkeypatch.setattr(draw, "new_salt", lambda: f"salt {next(salts)}")


def people(brand: Brand, count: int) -> list[Member]:
    first = FIRST + Member.objects.filter(pk__gte=FIRST).count()
    return Member.objects.bulk_create(Member(pk=first + n, brand=brand, name=f"会员{n}") for n in range(count))


def bought(member: Member, fen: int, at: dt.datetime, refunded_fen: int = 0, lines: int = 1, **values: Any) -> None:
    day = timezone.localtime(at).date()
    db.ensure_partitions(OrderLine, day, day)
    number = Order.objects.count() + 1
    order = Order.objects.create(channel="POS", shop="S", order_no=f"X{number}", booked_on=day)
    for line_no in range(1, lines + 1):
        OrderLine.objects.create(
            order=order, booked_on=day, line_no=line_no, channel="POS", version_at=at, content_hash=f"{number}-{line_no}",
            created_at=at, paid_at=at, member=member, product=factory.product("苹果"), quantity=1, list_fen=fen, paid_fen=fen,
            refunded_fen=refunded_fen, **values,
        )  # fmt: skip


def drafted(brand: Brand, **values: Any) -> Experiment:
    row = experiments.draft(
        brand=brand, actor=None, **{"name": "五一回访", "window_days": 14, "holdout_bp": 5000, **values}
    )
    experiments.plan(experiment_id=row.pk, now=NOW)
    return Experiment.objects.get(pk=row.pk)


def frozen(brand: Brand, **values: Any) -> Experiment:
    return experiments.freeze(experiment_id=drafted(brand, **values).pk, now=NOW)


# --- the draw ---


def test_x1_python_and_sql_draw_alike(brand: Brand) -> None:
    salt, ids = "a1b2", [1, 2, 3, 999_999_999_999, *range(10_000, 12_000)]
    statement = f"SELECT {draw.place_sql('%(salt)s::text', 'i')}, {draw.arm_sql('%(salt)s::text', 'i', '%(b)s')} FROM unnest(%(ids)s::bigint[]) i"
    weights = [1000, 4500, 4500]
    with connection.cursor() as cursor:
        cursor.execute(statement, {"salt": salt, "ids": ids, "b": draw.borders(weights)})
        found = cursor.fetchall()
    assert found == [(draw.place(salt, i), draw.arm_of(salt, i, weights)) for i in ids]


def test_x1_a_million_ids_fall_evenly_and_salts_are_independent() -> None:
    """Chi square over 100 strips of places; and two salts share no more than chance has it."""
    count = 1_000_000
    one = [draw.place("one", number) // 100 for number in range(count)]
    strips = [0] * 100
    for strip in one:
        strips[strip] += 1
    assert stats.chisquare(strips).pvalue > 0.001
    both = [[0, 0], [0, 0]]
    for number in range(200_000):
        both[one[number] < 5][draw.place("two", number) < 1000] += 1
    assert stats.chi2_contingency(both).pvalue > 0.001


def test_x1_the_same_salt_gives_the_same_arms_again() -> None:
    assert [draw.place("a1b2c3", number) for number in (1, 7, 30_000_000)] == [3117, 8829, 241]


# --- freezing ---


def test_the_audience_is_frozen_as_drawn_without_the_universal_holdout(brand: Brand) -> None:
    members = people(brand, 900)
    Member.objects.filter(pk=members[0].pk).update(status="FROZEN")
    row = frozen(brand)
    holdout = Holdout.objects.get()
    assert (holdout.first_day, holdout.share_bp) == (dt.date(2026, 4, 1), 500)
    wanted = {
        member.pk: draw.arm_of(row.salt, member.pk, [5000, 5000])
        for member in members[1:]
        if not draw.is_held_out(holdout, member.pk)
    }
    assert dict(Assignment.objects.filter(experiment=row).values_list("member_id", "arm_number")) == wanted
    assert row.held_out_count == 899 - len(wanted) > 0
    counts = dict(row.arms.values_list("number", "member_count"))
    assert counts == {0: list(wanted.values()).count(0), 1: list(wanted.values()).count(1)}
    assert (row.status, row.ends_at) == ("RUNNING", NOW + 14 * DAY)
    people(brand, 50)  # who comes later stays outside
    assert experiments.freeze(experiment_id=row.pk, now=NOW + DAY).frozen_at == NOW
    assert Assignment.objects.filter(experiment=row).count() == len(wanted)


def test_x1_nobody_comes_or_changes_sides_afterwards(brand: Brand) -> None:
    people(brand, 60)
    row = frozen(brand)
    late = Member.objects.create(brand=brand, name="后来")
    treated = Assignment.objects.filter(arm_number=1)[0].member_id
    for wrong in (
        lambda: Assignment.objects.create(experiment=row, member=late, arm_number=1),
        lambda: Assignment.objects.filter(member=treated).update(arm_number=0),
        lambda: Assignment.objects.all().delete(),
        lambda: Experiment.objects.filter(pk=row.pk).update(salt="other"),
        lambda: Experiment.objects.filter(pk=row.pk).update(ends_at=NOW + 99 * DAY),
        lambda: Holdout.objects.update(share_bp=1),
        lambda: Holdout.objects.all().delete(),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            wrong()


def test_the_holdout_of_a_quarter_is_drawn_once(brand: Brand) -> None:
    end = dt.datetime(2026, 6, 30, 15, 59, tzinfo=dt.UTC)  # 23:59 in Shanghai
    first = draw.holdout_of(brand_id=brand.pk, at=NOW)
    assert draw.holdout_of(brand_id=brand.pk, at=end) == first
    later = draw.holdout_of(brand_id=brand.pk, at=end + dt.timedelta(minutes=1))
    assert later.first_day == dt.date(2026, 7, 1) and later.salt != first.salt


def test_an_empty_arm_starts_nothing_and_leaves_the_draft(brand: Brand) -> None:
    people(brand, 3)
    row = drafted(brand, holdout_bp=1)
    with transaction.atomic():
        experiments.start(experiment=row, actor=None)
    row.refresh_from_db()
    assert row.job is not None
    with pytest.raises(RuleViolation):
        jobs.run(row.job.pk)
    row.refresh_from_db()
    assert (row.status, Assignment.objects.count()) == ("DRAFT", 0)
    assert "受众太小" in Job.objects.get(kind=experiments.FREEZE).error


def test_only_a_planned_draft_starts(brand: Brand) -> None:
    row = experiments.draft(brand=brand, name="无计划", window_days=7, actor=None)
    with pytest.raises(running.NotPlanned):
        experiments.start(experiment=row, actor=None)
    people(brand, 60)
    row = frozen(brand)
    with pytest.raises(running.WrongState):
        experiments.start(experiment=row, actor=None)


def test_shares_that_leave_nobody_are_refused(brand: Brand) -> None:
    for holdout_bp in (0, 10_000):
        with pytest.raises(running.WrongShares):
            experiments.draft(brand=brand, name="全留白", window_days=7, actor=None, holdout_bp=holdout_bp)


# --- outcomes ---


def test_outcomes_are_what_stayed_of_purchases_in_the_window(brand: Brand) -> None:
    members = people(brand, 80)
    row = frozen(brand)
    mine = list(
        Member.objects.filter(pk__in=Assignment.objects.filter(arm_number=1).values("member_id")).order_by("pk")
    )
    hour = dt.timedelta(hours=1)
    bought(mine[0], 10_000, NOW + hour, lines=2)
    bought(mine[0], 3_000, NOW + DAY, refunded_fen=1_000)
    bought(mine[1], 5_000, NOW + DAY, refunded_fen=5_000)  # nothing stayed
    bought(mine[2], 7_000, NOW - hour)  # before
    bought(mine[3], 7_000, NOW + 14 * DAY)  # at the end: outside
    bought(mine[4], 7_000, NOW + DAY, is_test=True)
    bought(mine[5], 7_000, NOW + DAY, is_voided=True)
    bought(mine[6], 9_900, NOW - 91 * DAY)  # too long before
    survivor = Member.objects.create(brand=brand, name="合并后")
    Member.objects.filter(pk=mine[7].pk).update(status="MERGED", merged_into=survivor)
    bought(survivor, 400, NOW + DAY)
    friends.friend(
        factory.hire("G9", "导购", factory.shops().stores["S1"]), NOW, member=mine[8], customer_left_at=NOW + DAY
    )
    assert Contact.objects.count() == Friendship.objects.count() == 1
    sums = outcomes.of_experiment(experiment=row, until=NOW + 14 * DAY)
    found = sums[1]
    assert found["conversion"].total == 2
    assert (found["orders"].total, found["orders"].squares, found["orders"].before_total) == (3, 5, 1)
    gmv = found["gmv"]
    assert (gmv.total, gmv.squares) == (22_400, 22_000**2 + 400**2)
    assert (gmv.before_total, gmv.before_squares, gmv.cross) == (7_000, 7_000**2, 0)
    assert (found["left"].total, found["refunded"].total) == (1, 2)
    assert {name: sums[0][name].total for name in sums[0]} == dict.fromkeys(found, 0)
    assert sum(arm["gmv"].count for arm in sums.values()) == Assignment.objects.count()  # X2
    assert outcomes.of_experiment(experiment=row, until=NOW + 2 * hour)[1]["orders"].total == 1
    assert len(members) == 80


def test_x2_totals_equal_the_audience(brand: Brand) -> None:
    """By assigned arm, whatever was done: every assigned member and every fen of theirs stand in exactly one arm."""
    rng = Random(5)
    members = people(brand, 300)
    row = frozen(brand, names=("短信", "企微"), holdout_bp=2000)
    for member in members:
        if rng.random() < 0.5:
            bought(member, rng.randint(100, 99_999), NOW + rng.randint(1, 300) * dt.timedelta(hours=1))
    found = experiments.look(experiment_id=row.pk, actor=None, now=NOW + 15 * DAY)
    assigned = Assignment.objects.filter(experiment=row)
    inside = OrderLine.objects.filter(member__in=assigned.values("member_id"))
    arms = reading.from_json(found.content).arms
    assert sum(arm["count"] for arm in arms) == assigned.count()
    assert sum(int(arm["totals"]["gmv"]) for arm in arms) == sum(inside.values_list("paid_fen", flat=True))
    assert [arm["weight"] for arm in arms] == [2000, 4000, 4000]


# --- looks ---


def seeded(brand: Brand, *, count: int = 2500, effect: float = 0.25) -> Experiment:
    """Half of the people spend; those treated do so more often. The truth is known."""
    rng = Random(11)
    members = people(brand, count)
    row = frozen(brand, cost_fen=50, margin_bp=4000)
    arm_of = dict(Assignment.objects.values_list("member_id", "arm_number"))
    product = factory.product("苹果")
    db.ensure_partitions(OrderLine, dt.date(2026, 3, 1), dt.date(2026, 6, 1))
    at, before = NOW + DAY, NOW - 10 * DAY
    lines: list[tuple[Member, dt.datetime, int]] = []
    orders: list[Order] = []
    for member in members:
        habit = rng.randint(2_000, 20_000)
        times = [before, at] if rng.random() < 0.3 + effect * arm_of.get(member.pk, 0) else [before]
        for when in times:
            orders.append(Order(channel="POS", shop="S", order_no=f"S{len(orders)}", booked_on=when.date()))
            fen = max(0, habit + rng.randint(-900, 900))
            lines.append((member, when, fen))
    Order.objects.bulk_create(orders)
    OrderLine.objects.bulk_create(line(order, product, *values) for order, values in zip(orders, lines, strict=True))
    return row


def line(order: Order, product: Product, member: Member, at: dt.datetime, fen: int) -> OrderLine:
    return OrderLine(
        order=order, booked_on=order.booked_on, line_no=1, channel="POS", version_at=at, content_hash=order.order_no, created_at=at,
        paid_at=at, member=member, product=product, quantity=1, list_fen=fen, paid_fen=fen,
    )  # fmt: skip


def test_a_seeded_effect_is_found_and_its_interval_covers_the_truth(brand: Brand) -> None:
    row = seeded(brand)
    found = experiments.look(experiment_id=row.pk, actor=None, now=NOW + 14 * DAY)
    report = reading.from_json(found.content)
    assert report.is_readable
    by_name = {finding.metric: finding for finding in report.findings}
    assert by_name["conversion"].verdict == "GAIN"
    assert by_name["conversion"].low < 0.25 < by_name["conversion"].high
    money = report.money[0]
    treated = next(arm for arm in report.arms if arm["number"] == 1)
    assert money.low_fen < 0.25 * 11_000 * treated["count"] < money.high_fen
    assert money.low_fen < money.brought_fen < money.attributed_fen
    assert money.net_fen == round(money.brought_fen * 0.4) - 50 * treated["count"]
    row.refresh_from_db()
    assert (found.is_final, row.status) == (True, "ENDED")


def test_every_look_is_kept(brand: Brand) -> None:
    row = seeded(brand, count=300)
    with pytest.raises(running.WrongState):
        experiments.look(experiment_id=row.pk, actor=None, now=NOW)
    early = experiments.look(experiment_id=row.pk, actor=None, now=NOW + 3 * DAY)
    late = experiments.look(experiment_id=row.pk, actor=None, now=NOW + 20 * DAY)
    assert [(row.number, row.is_final) for row in (early, late)] == [(1, False), (2, True)]
    assert late.until == NOW + 14 * DAY
    for wrong in (lambda: Look.objects.all().delete(), lambda: Look.objects.update(content={})):
        with pytest.raises(DatabaseError), transaction.atomic():
            wrong()


def test_a_window_that_has_ended_is_read_by_itself_once(brand: Brand) -> None:
    row = seeded(brand, count=200)
    assert experiments.due(now=NOW + 13 * DAY) == 0
    for _again in range(2):
        experiments.due(now=NOW + 14 * DAY)
    job = Job.objects.get(kind=experiments.LOOK)
    jobs.run(job.pk)
    assert Look.objects.filter(experiment=row).count() == 1
    row.refresh_from_db()
    assert row.status == "ENDED"


def test_before_the_start_it_stands_there_what_could_be_found(brand: Brand) -> None:
    members = people(brand, 400)
    for member in members[:100]:
        bought(member, 10_000, NOW - 3 * DAY)
    row = drafted(brand, holdout_bp=1000, cost_fen=100, margin_bp=5000)
    found = row.plan["metrics"]
    assert (row.plan["people"], row.plan["in_arms"]) == (400, 380)
    assert found["conversion"]["mean"] == pytest.approx(0.25)
    from statsmodels.stats.power import NormalIndPower

    size = found["conversion"]["detectable"] / (0.25 * 0.75) ** 0.5
    assert NormalIndPower().power(size, 38, 0.05, ratio=342 / 38) == pytest.approx(0.8, abs=1e-6)
    assert found["gmv"]["worth"] == pytest.approx(200)  # one yuan at a margin of half costs two of sales


def test_a_broken_sample_ratio_forbids_to_read() -> None:
    metric = reading.Metric("conversion", reading.Kind.SHARE)
    arms = [
        reading.Arm(number, name, 5000, count, {"conversion": reading.Moments(count, yes, yes)})
        for number, name, count, yes in ((0, "对照", 5_000, 500), (1, "活动", 4_600, 900))
    ]
    report = reading.read(arms=arms, metrics=[metric], terms=reading.Terms())
    assert not report.is_readable
    assert (report.findings, report.money) == ([], [])


@pytest.mark.parametrize(
    ("yes_t", "yes_c", "count", "verdict"),
    [
        (130, 100, 1000, "GAIN"), (100, 140, 1000, "LOSS"),
        (11, 10, 100, "TOO_SMALL"), (0, 0, 50, "TOO_SMALL"),
        (100_100, 100_000, 1_000_000, "NOTHING_WORTH"),
    ],
)  # fmt: skip
def test_a_small_test_is_never_called_without_effect(yes_t: int, yes_c: int, count: int, verdict: str) -> None:
    metric = reading.Metric("conversion", reading.Kind.SHARE)
    arms = [
        reading.Arm(0, "对照", 1, count, {"conversion": reading.Moments(count, yes_c, yes_c)}),
        reading.Arm(1, "活动", 1, count, {"conversion": reading.Moments(count, yes_t, yes_t)}),
    ]
    found = reading.read(arms=arms, metrics=[metric], terms=reading.Terms()).findings[0]
    assert found.verdict == verdict


def test_several_arms_share_the_chance_of_error() -> None:
    metric = reading.Metric("conversion", reading.Kind.SHARE)
    sums = {"conversion": reading.Moments(1000, 100, 100)}
    arms = [reading.Arm(number, str(number), 1, 1000, sums) for number in range(3)]
    report = reading.read(arms=arms, metrics=[metric], terms=reading.Terms())
    assert report.alpha == 0.025
    assert [finding.arm for finding in report.findings] == [1, 2]
    assert Arm(name="x").name == "x"
