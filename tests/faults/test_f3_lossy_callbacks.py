"""F3: of what WeCom tells, each callback comes 1 to 5 times, shuffled, a fifth an hour late, a twentieth never.

Whatever people did over there, the mirror is that of WeCom after a sweep. Full size: 100,000 events.
"""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from guides import directory_sweep
from guides.contacts import sweeps
from guides.models import ContactToRead, Friendship, HeldEnds
from scrm import jobs
from scrm.models import InboxEvent, WecomPace
from scrm.wecom.sandbox import Sandbox
from scrm.wecom.sandbox.callbacks import Parcel
from scrm.wecom.sandbox.records import LEFT, Delivery, Event
from tests.factories.wecom import Wired, wire
from tests.faults.children import Children
from tests.faults.conftest import size
from tests.faults.lives import LEAVERS, RENAMED, Life
from tests.faults.web import Web
from tests.guides.contacts.test_sweeps import here, on_wecom

pytestmark = pytest.mark.django_db(transaction=True)

DAYS = 6 * 86_400.0
HOUR = 3_600.0
DROPPED, DELAYED, MOST_COPIES, SHUFFLED = 0.05, 0.2, 5, 600.0


@dataclass
class Road:
    """What the way from WeCom to us does with events; its time is the world's."""

    box: Wired
    dice: random.Random
    dropped: list[Event] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)
    sent: int = 0
    _waiting: list[tuple[float, int, Event]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def take(self, event: Event) -> None:
        self.told.append(event)
        if self.dice.random() < DROPPED:
            self.dropped.append(event)
            return
        for _copy in range(self.dice.randint(1, MOST_COPIES)):
            due = event.at + self.dice.random() * SHUFFLED + (HOUR if self.dice.random() < DELAYED else 0.0)
            heapq.heappush(self._waiting, (due, next(self._numbers), event))

    def send_due(self, until: float) -> None:
        due = []
        while self._waiting and self._waiting[0][0] <= until:
            due.append(heapq.heappop(self._waiting)[2])
        self.dice.shuffle(due)
        with ThreadPoolExecutor(3) as threads:
            for _sent in threads.map(self._send, due):
                self.sent += 1

    def _send(self, event: Event) -> None:
        (first, *_more) = event.deliveries
        delivery = Delivery(first.agent_id)
        self.box.callbacks._send(Parcel(time.monotonic(), next(self._numbers), event, delivery))
        assert delivery.state == "delivered", (delivery.state, delivery.error)


@pytest.fixture
def box(transactional_db: None, seed: int, settings: Settings, tmp_path: Path) -> Iterator[Wired]:
    """A WeCom that began six days ago and calls our web process; ``road`` has what it tells."""
    with Sandbox(seed=seed, sends=False) as sandbox:
        sandbox.world.clock.offset = -DAYS - 3 * HOUR
        quotas = sandbox.world.quotas
        quotas.token_seconds, quotas.calls_per_minute, quotas.calls_per_hour = 10**8, None, None
        settings.WECOM_API_BASE = sandbox.api_base
        variables = Children(str(connection.settings_dict["NAME"]), WECOM_API_BASE=sandbox.api_base).variables
        with Web(variables, tmp_path / "web.log") as web:
            wired = wire(sandbox, url=web.url)
            sandbox.world.listeners.remove(sandbox.callbacks.take)
            yield wired


def oracle(box: Wired) -> set[tuple[object, ...]]:
    """The friends of everybody who works there, from the world's own state."""
    left = {key for key, member in box.world.members.items() if member.status == LEFT}
    return {pair for pair in on_wecom(box) if pair[0] not in left}


def mirror(box: Wired) -> set[tuple[object, ...]]:
    """Ours, of the same people. Of an account that is gone we keep what was."""
    there = {key for key, member in box.world.members.items() if member.status != LEFT}
    return {pair for pair in here() if pair[0] in there}


def settle(children: Children) -> None:
    """What rings do: the inbox, then the readings it asked for."""
    workers = [children.start("inbox"), children.start("process")]
    for worker in workers:
        children.wait(worker)
    WecomPace.objects.update(allowance=2_000)
    readers = [children.start("read"), children.start("read")]
    for reader in readers:
        children.wait(reader)


def test_f3_lossy_callbacks(box: Wired, children: Children, dice: random.Random) -> None:
    """W2, W3, W4, W11."""
    count = size(600, 100_000)
    road, life = Road(box, dice), Life(box.world, dice, size(12, 100))
    box.world.listeners.append(road.take)
    jobs.run(directory_sweep.start(corp=box.corp, actor=None).pk)
    jobs.run(sweeps.start(corp=box.corp, kind="FULL", actor=None).pk)
    rare = {count * (number + 1) // 7: act for number, act in enumerate([
        life.rename_somebody, life.somebody_leaves, *[life.rename_somebody] * (RENAMED - 1), *[life.somebody_leaves] * (LEAVERS - 1),
    ])}  # fmt: skip
    block, step = size(150, 2_000), DAYS / count / 1.2
    while len(road.told) < count:
        end = len(road.told) + block
        while len(road.told) < end:
            before = len(road.told)
            box.world.clock.advance(step * 2 * dice.random())
            life.act()
            for moment in [moment for moment in rare if moment <= before]:
                rare.pop(moment)()
        road.send_due(box.world.clock.now())
        settle(children)
    box.world.clock.advance(2 * 86_400 if box.world.clock.offset < -2 * 86_400 else 0)
    box.world.clock.advance(2 * HOUR)
    road.send_due(box.world.clock.now() + 2 * HOUR)
    settle(children)
    heal(box, road, life)


def heal(box: Wired, road: Road, life: Life) -> None:
    """The sweeps of a night, and what they had to find."""
    heard = {event.xml for event in road.told} - {event.xml for event in road.dropped}
    assert InboxEvent.objects.count() == len(heard)  # W2: each body once
    assert set(InboxEvent.objects.values_list("status", flat=True)) <= {"PROCESSED", "STALE"}
    assert not ContactToRead.objects.exists()
    expected, drift = oracle(box), oracle(box) ^ mirror(box)
    jobs.run(directory_sweep.start(corp=box.corp, actor=None).pk)
    done = jobs.run(sweeps.start(corp=box.corp, kind="FULL", actor=None).pk).summary
    kinds = Counter(event.change_type for event in road.dropped)
    print(f"{len(road.told)} events of {dict(life.done)}, {road.sent} callbacks; never told: {dict(kinds)}")
    print(
        f"{len(expected)} friends, {len({pair[:2] for pair in drift})} of them other here before the sweep; it wrote {done}"
    )
    assert mirror(box) == expected  # W11
    assert not HeldEnds.objects.filter(status="WAITING").exists()
    assert_old_names(box, road)
    assert_left_by_customers(box, road)
    again = jobs.run(sweeps.start(corp=box.corp, kind="FULL", actor=None).pk).summary
    assert (again["added_count"], again["changed_count"], again["ended_count"]) == (0, 0, 0)


def assert_old_names(box: Wired, road: Road) -> None:
    """Nobody is a friend of an account that has another name by now, unless nobody told that it has."""
    untold = {event.about for event in road.dropped if "<NewUserID>" in event.xml}
    assert {str(pair[0]) for pair in here()} - set(box.world.members) <= untold


def assert_left_by_customers(box: Wired, road: Road) -> None:
    """What no reading of WeCom shows is right wherever its event was told; the number that was not is said."""
    untold = {event.about for event in road.dropped if event.change_type == "del_follow_user"}
    theirs = {
        (key, follow.external_userid)
        for key, member in box.world.members.items() if member.status != LEFT
        for follow in member.follows.values() if follow.customer_left_at
    }  # fmt: skip
    rows = Friendship.objects.filter(ended_at=None, is_confirmed=True).exclude(customer_left_at=None)
    ours = {pair for pair in rows.values_list("userid", "contact__external_userid") if pair[0] in box.world.members}
    missed = theirs - ours
    print(
        f"{len(theirs)} deleted by the customer, {len(missed)} of them unknown here because their event was never told"
    )
    assert {external_userid for _userid, external_userid in missed} <= {about.split()[1] for about in untold}
    assert {pair for pair in ours if pair in present(box)} <= theirs


def present(box: Wired) -> set[tuple[str, str]]:
    return {(str(pair[0]), str(pair[1])) for pair in oracle(box)}
