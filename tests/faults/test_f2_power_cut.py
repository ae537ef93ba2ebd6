"""F2 and F10 for the money: the database is cut off at random moments, or yesterday's backup is restored.

F2, full size: 50 cuts over 2,000 orders. PostgreSQL is stopped at once (``pg_ctl -m immediate``) while channels send, the
commission runs, money vests and a month is settled to the bank's answer; then everything goes on by itself. F10, full size:
1,000 orders a day that are sent and 40 that are polled. The cluster is a durable one of the test's own.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from attribution import intake
from members.models import Channel, Identity
from scrm.models import User
from tests.attribution.channels.sandbox import Sales
from tests.attribution.channels.test_polling import NOW, UPDATED, connect, numbered
from tests.factories import defaults
from tests.factories import shops as factory
from tests.faults import books
from tests.faults.children import Children
from tests.faults.conftest import size
from tests.faults.own_cluster import OwnCluster

pytestmark = pytest.mark.django_db(transaction=True)
ZONE = ZoneInfo("Asia/Shanghai")


class Company:
    """Three members of two companies' guides; orders of the month before last, everything else posted last month."""

    def __init__(self) -> None:
        defaults.restore()
        shops = self.shops = factory.shops()
        for name, store, guide in (("林小满", "S1", "A"), ("周舟", "S2", "B"), ("方圆", "F1", "F")):
            shops.member(name, store=store, guide=guide)
        self.cards = list(Identity.objects.filter(kind="CARD").order_by("pk").values_list("value", flat=True))
        for name in ("maker", "approver"):
            User.objects.create_user(name)
        assert Channel.objects.filter(code="MINI_PROGRAM").exists()
        self.secret = intake.new_secret(channel="MINI_PROGRAM", actor=None)
        now = timezone.now().astimezone(ZONE)
        month = (now.replace(day=1) - dt.timedelta(days=1)).replace(day=5, hour=12)
        self.period = f"{month:%Y-%m}"
        self.behind = round((month - now).total_seconds())
        self.paid_at = (month - dt.timedelta(days=25)).isoformat(timespec="seconds")

    def bodies(self, numbers: range, **values: Any) -> list[dict[str, Any]]:
        """Every fourth order is nobody's."""
        cards = [*self.cards, ""]
        return [books.event(n, self.paid_at, member=cards[n % len(cards)], **values) for n in numbers]


@pytest.fixture
def company(transactional_db: None) -> Company:
    return Company()


@pytest.fixture
def sales(company: Company) -> Iterator[Sales]:
    """A shop on a platform with the orders of yesterday."""
    with Sales() as made:
        for number in range(size(4, 40)):
            made.put("TMALL", *numbered("TMALL", number), UPDATED)
        connect(made, "TMALL")
        yield made


@pytest.fixture
def cluster(company: Company) -> Iterator[OwnCluster]:
    with OwnCluster() as own:
        yield own


def told(path: Path) -> list[list[Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def under_cuts(
    cluster: OwnCluster, children: Children, works: list[dict[str, Any]], cuts: int, dice: random.Random
) -> None:
    """Every work is done, however often the database goes away under it; the last time it stays."""
    todo = list(works)
    for last in [False] * cuts + [True]:
        running = [(work, children.start("books", values=work)) for work in todo]
        if not last:
            time.sleep(dice.uniform(0.05, 1.5))
            cluster.cut()
        todo = [work for work, pid in running if not children.wait(pid)]
    assert not todo


def test_f2_nothing_promised_is_lost_and_nothing_is_done_twice(
    company: Company, cluster: OwnCluster, dice: random.Random, tmp_path: Path
) -> None:
    """L4, L12, W1: the books are proven, no line is twice in a batch, and whatever was told to somebody is there."""
    orders, cuts = size((120, 2), (2_000, 17))
    file = tmp_path / "told"
    bodies = company.bodies(range(orders))
    cluster.set_clock(company.behind)
    with cluster.children() as children:
        senders = [
            {"step": "post", "secret": company.secret, "bodies": bodies[part::2], "file": str(file)} for part in (0, 1)
        ]
        under_cuts(cluster, children, [*senders, {"step": "decide"}, {"step": "decide"}], cuts, dice)
        under_cuts(cluster, children, [{"step": "decide"}, {"step": "vest"}], cuts, dice)
        children.run("books", values={"step": "decide"})
        children.run("books", values={"step": "vest"})
        cluster.set_clock(0)
        settling = {"step": "settle", "period": company.period, "file": str(file)}
        under_cuts(cluster, children, [settling], cuts, dice)
        stands = children.run("books", values={"step": "state"})
    print(f"cut off {cluster.cuts} times; {stands['kinds']}")
    assert stands["differences"] == []
    assert (stands["waiting"], stands["parked"], stands["lines"], stands["decided"]) == (0, 0, 2 * orders, 2 * orders)
    said = told(file)
    assert {words[1] for words in said if words[0] == "event"} == set(stands["events"])
    assert len(stands["events"]) == orders  # each once
    paid = (
        sum(line["list_fen"] * 5 + 50 for body in bodies if body["order"]["buyer"] for line in body["order"]["lines"])
        // 100
    )
    assert abs(stands["batch"][2] - paid) <= orders  # half fens, rounded line by line
    known = sum(bool(body["order"]["buyer"]) for body in bodies)
    assert (stands["batches"], stands["batch_lines"]) == (1, 2 * known)
    assert stands["batch"][4] == "SETTLED" and stands["kinds"]["PAY"] == stands["kinds"]["SETTLED"] == 3
    for word, *rest in said:
        if word == "approved":
            assert stands["batch"][:4] == rest
        if word in ("file", "paid"):
            assert stands["files"][rest[0]][0 if word == "file" else 1] == rest[1]


def test_f10_yesterdays_backup_and_the_channels_give_the_books_that_were_lost(
    sales: Sales, cluster: OwnCluster, company: Company, dice: random.Random, tmp_path: Path
) -> None:
    """Senders send the day again, in another order and some of it twice; a shop is read on from where its cursor stood then."""
    orders = size(40, 1_000)
    file = str(tmp_path / "told")
    yesterday, today = company.bodies(range(orders)), company.bodies(range(orders, 2 * orders))
    # today some of yesterday's orders came cheaper, and some money went back
    later = (dt.datetime.fromisoformat(company.paid_at) + dt.timedelta(days=1)).isoformat()
    today += company.bodies(range(0, orders, 5), fen=9_000, version=later)
    today += [refund(body, later) for body in yesterday[1::7]]
    cluster.set_clock(company.behind)

    def day(bodies: list[dict[str, Any]], noon: dt.datetime) -> Any:
        with cluster.children() as children:
            post = {"step": "post", "secret": company.secret, "bodies": bodies, "file": file}
            poll = {"step": "poll", "at": noon.isoformat()}
            for work in (post, poll, {"step": "decide"}, {"step": "vest"}):
                assert children.run("books", values=work)
            return children.run("books", values={"step": "state"})

    polled = size(4, 40)
    before = day(yesterday, NOW)
    cluster.keep()
    for number in range(polled, 2 * polled):
        sales.put("TMALL", *numbered("TMALL", number), NOW + dt.timedelta(hours=number / polled))
    tomorrow = NOW + dt.timedelta(days=1)
    lost = day(today, tomorrow)
    per_order = before["lines"] - 2 * orders
    assert lost["digest"] != before["digest"] and lost["lines"] == 4 * orders + 2 * per_order > 4 * orders
    cluster.restore()
    again = today + dice.sample(today, k=len(today) // 3) + yesterday[:5]
    dice.shuffle(again)
    restored = day(again, tomorrow)
    assert restored["standing"] == lost["standing"]
    assert restored["digest"] == lost["digest"]
    assert restored["differences"] == lost["differences"] == [] and restored["parked"] == 0


def refund(body: dict[str, Any], at: str) -> dict[str, Any]:
    back = {"refund_no": f"R{body['order_no']}", "line_no": 1, "refunded_at": at, "amount_fen": 777}
    return {
        "schema": "order-event/1", "event_id": f"r{body['event_id']}", "version": at, "shop": body["shop"],
        "order_no": body["order_no"], "refunds": [back],
    }  # fmt: skip
