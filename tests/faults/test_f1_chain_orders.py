"""F1: a worker is killed (SIGKILL) between the claim of a chain order's stock and its order: nothing is lost, nothing sold twice (K6, K7)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attribution import decisions
from attribution.models import Decision
from campaigns.communities import stock_levels
from campaigns.models import ChainLine, StockBucket
from members.models import OrderLine
from tests.factories import chains
from tests.factories import shops as factory
from tests.faults.children import Children
from tests.faults.conftest import size

pytestmark = pytest.mark.django_db(transaction=True)

POINTS = (
    "stock claimed, line not written", "chain joined", "chain stock sold, order not written", "chain order written, not committed",
    "chain paid",
)  # fmt: skip


def test_f1_a_buyer_of_a_chain_order(children: Children) -> None:
    """Each is killed once at a point and comes again; two more come when everything is sold."""
    times = size(1, 20)
    buyers = [(f"客{turn}{place}", point) for turn in range(times) for place, point in enumerate(POINTS)]
    chains.chain(factory.shops(), items=(replace(chains.DURIAN, count=len(buyers)),))
    for name, point in buyers:
        assert children.kill_at("chain", point=point, values={"name": name}), point
        bucket = StockBucket.objects.get()
        assert bucket.total_count == bucket.left_count + bucket.reserved_count + bucket.sold_count
        assert children.run("chain", values={"name": name}) == "paid"
    assert [children.run("chain", values={"name": name}) for name in ("晚一", "晚二", buyers[0][0])] == [
        "stock_sold_out",
        "stock_sold_out",
        "paid",
    ]
    bucket = StockBucket.objects.get()
    assert (bucket.sold_count, bucket.left_count, bucket.reserved_count) == (
        len(buyers),
        0,
        0,
    ) and stock_levels.differences() == []
    assert list(ChainLine.objects.values_list("status", flat=True)) == ["PAID"] * len(buyers)
    lines = OrderLine.objects.filter(channel="CHAIN_ORDER")
    assert lines.count() == lines.values("order").distinct().count() == len(buyers)
    decisions.decide_open()
    assert list(Decision.objects.values_list("winner_code", "pot_fen")) == [("G00001", 1_340)] * len(buyers)
