"""The universal hold-out of a quarter: what all marketing brought, read from seeded purchases of a known truth."""

from __future__ import annotations

import datetime as dt
from random import Random
from typing import Any

import pytest
from django.urls import reverse

from campaigns.experiments import draw, universal
from campaigns.models import Holdout
from members.models import Member, Order, OrderLine
from scrm import db, jobs
from scrm.models import Job
from tests.campaigns.test_experiments import line
from tests.factories import shops as factory
from tests.factories.console import Console, console

FIRST = dt.date(2026, 4, 1)
PAID = dt.datetime(2026, 5, 4, 2, tzinfo=dt.UTC)


@pytest.fixture
def company(db: None) -> Console:
    return console()


def seeded(company: Console, count: int, effect: float, share_bp: int = 5000) -> Holdout:
    """Who may be addressed buys once for 100.00 with 0.3 + ``effect``, who is held out with 0.3."""
    rng, brand, number = Random(5), company.shops.brand, Member.objects.count()
    holdout = Holdout.objects.create(brand=brand, first_day=FIRST, salt=f"salt {count}", share_bp=share_bp)
    Member.objects.all().update(registered_on=PAID.date())  # of the fixture: on neither side
    members = Member.objects.bulk_create(
        Member(pk=7_000_000 + number + n, brand=brand, name=f"会员{n}", registered_on=dt.date(2026, 1, 1)) for n in range(count)
    )  # fmt: skip
    product = factory.product("苹果")
    db.ensure_partitions(OrderLine, FIRST, PAID.date())
    buyers = [
        member for member in members
        if rng.random() < 0.3 + (0 if draw.is_held_out(holdout, member.pk) else effect)
    ]  # fmt: skip
    orders = Order.objects.bulk_create(
        Order(channel="POS", shop="S", order_no=f"U{n}", booked_on=PAID.date()) for n, _buyer in enumerate(buyers)
    )
    OrderLine.objects.bulk_create(
        line(order, product, member, PAID, 10_000) for order, member in zip(orders, buyers, strict=True)
    )
    return holdout


def page(company: Console, holdout: Holdout) -> Any:
    return company.client("hq").get(reverse("admin:campaigns_holdout_change", args=(holdout.pk,)))


def test_a_seeded_effect_is_found_and_worth_what_it_is(company: Console) -> None:
    """Through the page: asked for with cost and margin, read by a job, shown in words; the ranges cover the truth."""
    holdout = seeded(company, 3_000, 0.2)
    act = reverse("admin:campaigns_holdout_act", args=(holdout.pk, "read"))
    assert company.client("hq").post(act, {"cost": "2000", "margin": "40"}).status_code == 302
    assert "正在" in page(company, holdout).content.decode()
    done = jobs.run(Job.objects.get(kind=universal.KIND).pk)
    assert done.status == Job.Status.DONE and done.summary["is_final"]
    answer = page(company, holdout)
    report, money = answer.context["report"], answer.context["money"][0]["row"]
    assert sum(arm["count"] for arm in report.arms) == 3_000 and report.is_readable
    found = {finding.metric: finding for finding in report.findings}
    assert found["conversion"].verdict == found["gmv"].verdict == "GAIN"
    assert found["conversion"].low < 0.2 < found["conversion"].high and found["gmv"].low < 2_000 < found["gmv"].high
    addressed = report.arms[1]["count"]
    assert money.low_fen < 2_000 * addressed < money.high_fen
    assert (money.cost_fen, money.attributed_fen) == (200_000, 0)  # nobody was sent anything: nothing would be claimed
    assert money.net_fen == round(money.brought_fen * 0.4) - 200_000
    text = answer.content.decode()
    for words in ("全局留白组", "2026 Q2", "增量成交额", "归因成交额", "划算", "护栏指标", "相符"):
        assert words in text, words


def test_few_members_are_too_small_to_say_and_a_quarter_to_come_says_nothing(company: Console) -> None:
    holdout = seeded(company, 300, 0.0)
    found = universal.report(holdout=holdout, now=PAID + dt.timedelta(days=1))
    assert {finding.verdict for finding in found.findings} == {"TOO_SMALL"}
    assert all(finding.detectable for finding in found.findings)
    with pytest.raises(universal.NotBegun):
        universal.report(holdout=holdout, now=dt.datetime(2026, 3, 31, 15, tzinfo=dt.UTC))
    assert universal.period_of(Holdout(first_day=dt.date(2026, 10, 1)))[1].date() == dt.date(2027, 1, 1)
