"""F1 for the money: the commission run and the payout file die at named points, and whoever comes next goes on.

Full size: 10,000 lines, 200 kills. Making and posting of a batch die in ``tests/attribution/test_settlement_faults.py``.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from attribution import ledger, proving
from attribution.models import Decision, Payment, PayoutFile, PayoutResult, Txn
from members.models import LineToDecide
from tests.attribution.settling import balance
from tests.factories import defaults
from tests.factories.clock import Clock
from tests.factories.shops import Shops, shops
from tests.faults.children import Children
from tests.faults.conftest import size
from tests.faults.test_f2_power_cut import Company

pytestmark = pytest.mark.django_db(transaction=True)
RUN_POINTS = ("lines claimed", "lines decided, not posted", "lines posted, not committed", "lines posted")
FILE_POINTS = (
    "file written, not committed", "file written", "payments booked, not committed", "payments booked",
)  # fmt: skip
BATCH_POINTS = (
    "batch asked for, not committed", "batch asked for", "batch approved, not committed", "batch approved",
)  # fmt: skip


def waiting_lines(company: Shops, count: int) -> None:
    """Lines that wait to be decided, each of its own order, by copying one."""
    company.member("林小满", store="S1", guide="A")
    first = company.line(
        "one", member="林小满", store="S1", paid_fen=10_000, at=timezone.now(), completed_at=timezone.now()
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO members_order (channel, shop, order_no, booked_on) SELECT 'POS', 'S1', 'K' || n, %s FROM generate_series(1, %s) n",
            [first.booked_on, count],
        )
        columns = ", ".join(str(f.column) for f in first._meta.concrete_fields if f.column not in ("id", "order_id"))
        cursor.execute(
            f"INSERT INTO members_orderline (order_id, {columns}) SELECT o.id, {columns.replace('booked_on', 'l.booked_on').replace('channel', 'l.channel')}"
            " FROM members_order o, members_orderline l WHERE l.id = %s AND o.order_no LIKE 'K%%'",
            [first.pk],
        )
        cursor.execute(
            "INSERT INTO members_linetodecide (line_id, booked_on) SELECT l.id, l.booked_on FROM members_orderline l WHERE l.id <> %s",
            [first.pk],
        )


def test_f1_a_commission_run(transactional_db: None, dice: random.Random) -> None:
    """A6: every line has one decision and one accrual, wherever the workers died and whoever else was at work."""
    defaults.restore()
    count, rounds = size((700, 2), (10_000, 50))
    waiting_lines(shops(), count)
    reached: Counter[str] = Counter()
    with Children(str(connection.settings_dict["NAME"])) as children:
        # a run that is killed after its last chunk leaves nothing to the next: that point comes last
        early = dice.sample(RUN_POINTS[:-1] * rounds, k=(len(RUN_POINTS) - 1) * rounds)
        for point in [*early, *RUN_POINTS[-1:] * rounds]:
            other = children.start("books", values={"step": "decide"}) if dice.random() < 0.3 else None
            if children.kill_at(
                "books",
                point=point,
                nth=1 if point == "lines posted" else dice.randint(1, size(1, 3)),
                values={"step": "decide"},
            ):
                reached[point] += 1
            if other is not None:
                children.kill(other)
        children.run("books", values={"step": "decide"})
        print(f"killed {children.killed} times at {dict(reached)}")
    assert len(reached) >= 3 and not LineToDecide.objects.exists()
    assert Decision.objects.count() == Txn.objects.filter(kind="ACCRUE").count() == count + 1
    proof = proving.run(now=timezone.now())
    assert proof.is_proven, proof.differences


def test_f1_a_batch_and_its_payout_file(transactional_db: None, dice: random.Random, tmp_path: Path) -> None:
    """L12, F9: one batch, one file and one booking of the bank's answer, wherever the clicks died."""
    company, file = Company(), str(tmp_path / "told")
    clock, at = Clock(), dt.datetime.fromisoformat(company.paid_at)
    clock.set(timezone.now() + dt.timedelta(seconds=company.behind))
    for number in range(6):
        member, store = (("林小满", "S1"), ("周舟", "S2"), ("方圆", "F1"))[number % 3]
        company.shops.line(f"l{number}", member=member, store=store, paid_fen=10_001, at=at, completed_at=at)
    assert ledger.vest(now=timezone.now()) == 6
    clock.stop()
    settle = {"step": "settle", "period": company.period, "file": file}
    reached: Counter[str] = Counter()
    with Children(str(connection.settings_dict["NAME"])) as children:
        for point in (*BATCH_POINTS, *FILE_POINTS):
            if children.kill_at("books", point=point, values=settle):
                reached[point] += 1
        assert children.run("books", values=settle)
        print(f"killed {children.killed} times at {dict(reached)}")
    assert PayoutFile.objects.count() == PayoutResult.objects.count() == 2  # HQ and the franchisee
    assert set(Payment.objects.values_list("status", flat=True)) == {"SETTLED"}
    assert Txn.objects.filter(kind="SETTLED").count() == Txn.objects.filter(kind="PAY").count() == 3
    assert (
        balance("A:bank:HQ") + balance("A:bank:FE")
        == sum(PayoutFile.objects.values_list("total_fen", flat=True))
        == 6 * 500
    )
    proof = proving.run(now=timezone.now())
    assert proof.is_proven, proof.differences
    assert reached.total() >= 6
