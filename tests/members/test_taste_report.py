"""The measurement of the ranking: on orders held out, by the statements of every day, without touching ours."""

from __future__ import annotations

import datetime as dt
import math

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from members import taste_report
from members.models import MemberTaste, OrderLine, ProductPopularity
from tests.factories import content as content_factory
from tests.factories import shops as factory

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def two_tastes(db):
    """Half of them buy what is sweet, half what is sour; the last order is of the same taste, and new."""
    shops = factory.shops()
    content_factory.attribute("甜度", "很甜")
    for number in range(30):
        content_factory.values_of(factory.product(f"果{number}"), 甜度=9 if number % 2 else 1)
    for member in range(8):
        name = f"客{member}"
        shops.member(name, store="S1", guide="A")
        for order in range(4):
            key = f"{name}-{order}"
            shops.line(key, member=name, store="S1", paid_fen=100, at=NOW - dt.timedelta(days=40 - 10 * order - member))
            fruit = factory.product(f"果{(member % 2) + 2 * ((member * 3 + order) % 15)}")
            OrderLine.objects.filter(pk=shops.lines[key].pk).update(product=fruit)
    return shops


def test_a_taste_that_is_there_is_found_and_nothing_of_ours_changes(two_tastes):
    report = taste_report.measure(now=NOW)
    assert (report.member_count, report.attribute_count) == (8, 1)
    ours, sellers, rated = report.new_products
    assert [row.ranking for row in report.new_products] == ["taste", "best-sellers", "mean rating"]
    assert ours.gain.mean > sellers.gain.mean and sellers.more_gain.mean == pytest.approx(
        ours.gain.mean - sellers.gain.mean
    )
    assert ours.more_gain is None and rated.more_hits is not None
    assert not MemberTaste.objects.exists() and not ProductPopularity.objects.exists()


def test_figures():
    assert taste_report.ndcg([1, 2, 3], frozenset({1})) == 1
    assert taste_report.ndcg([2, 1, 3], frozenset({1})) == pytest.approx(1 / math.log2(3))
    assert taste_report.ndcg([4], frozenset({1, 2})) == 0
    assert taste_report.figure([1.0, 0.0, 1.0, 0.0]).half == pytest.approx(1.96 * math.sqrt(1 / 3) / 2, rel=1e-4)


def test_the_command_says_what_is_missing_and_prints_the_figures(two_tastes, capsys):
    call_command("taste_report", members=5)
    said = capsys.readouterr().out
    assert "best-sellers" in said and said.count("±") == 2 * (2 + 4 + 4)
    from members.models import ProductAttribute

    ProductAttribute.objects.all().delete()
    with pytest.raises(CommandError):
        call_command("taste_report")
