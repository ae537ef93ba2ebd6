"""F1: a worker is killed (SIGKILL) anywhere in a batch; the next minute goes on, and every item has one effect on WeCom.

Every point is reached, or the test fails: the one that is missed because others were quicker is tried again, a bounded
number of times. Full size: 10,000 codes, 1,000 kills; 200,000 friends; 10,000 customers handed over.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest
from django.db.models import Count
from django.utils import timezone

from guides import contacts, directory_sweep
from guides.contacts import sweeps
from guides.handover import cases, plan
from guides.models import (
    Binding,
    Contact,
    ContactSweep,
    ContactWay,
    FriendNews,
    Friendship,
    Guide,
    HandoverCase,
    HandoverItem,
    StrayWay,
)
from scrm import jobs
from scrm.models import OutboxMessage, User, WecomPace
from tests.factories import shops as factory
from tests.factories.wecom import Wired
from tests.faults.children import Children
from tests.faults.conftest import size
from tests.faults.ways import Ways
from tests.guides.contacts.test_sweeps import fill, here, on_wecom, staging_tables

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = 60
CODES, TRIES = 10, 6
WORN = 4
OUTBOX_POINTS = (
    "nothing reserved", "reserved, not committed", "reserved", "before the request", "request sent", "answer on the wire",
    "answer read", "before settling", "settling, nothing written", "settled, not committed", "settled",
    "about to look after", "looked after", "taken up",
)  # fmt: skip
PLANNING_POINTS = ("before the plan", "accounts listed, not committed", "planned")
PAGE_POINTS = (
    "batch begun", "page asked for", "page on the wire", "page read", "page kept, not committed", "page kept",
)  # fmt: skip
COMPARING_POINTS = ("before comparing", "compared, not committed", "compared")
HANDOVER_POINTS = {
    "open_jobs": ("customers read", "items written", "chunk moved, not committed", "chunk moved"),
    "outbox": OUTBOX_POINTS,
    "results": ("taker claimed", "results on the wire", "results taken, not committed", "results taken"),
}


def rested() -> None:
    """A kill comes after hours of work in life; here they follow each other, and the pace of calls is not the subject."""
    WecomPace.objects.update(allowance=2_000)


# --- the outbox -------------------------------------------------------------------------------------------------------


class Batches:
    """Ten codes more are asked for, and the worker that makes them dies at a point."""

    def __init__(self, box: Wired, children: Children, dice: random.Random) -> None:
        self.box, self.children, self.dice = box, children, dice
        self.ways, self.asked, self.offset = Ways(box), 0, 0
        self.reached: Counter[str] = Counter()

    def die(self, point: str) -> None:
        """Another worker may take the messages before the point comes: then it is tried again, without the other."""
        for attempt in range(TRIES):
            if self._dies(point, is_alone=attempt > 0):
                self.reached[point] += 1
                return
        raise AssertionError(f"{point} is not reached")

    def _dies(self, point: str, *, is_alone: bool) -> bool:
        self.ways.ask(CODES)
        self.asked += CODES
        if "look" in point:  # an answer gets lost, and two minutes later WeCom is asked
            self.box.faults.add("lose", "externalcontact/add_contact_way", times=1)
            self.children.run("send", offset=self.offset)
            self.offset += 2 * MINUTE
        with_other = self.dice.random() < 0.2 and not is_alone
        other = self.children.start("send", offset=self.offset) if with_other else None
        nth = self._nth(point)
        is_dead = self.children.kill_at("outbox", point=point, nth=nth, offset=self.offset)
        if other is not None:
            self.children.kill(other)
        self.offset += MINUTE
        rested()
        return is_dead

    def _nth(self, point: str) -> int:
        return 1 if point in ("about to look after", "looked after", "taken up") else self.dice.randint(1, 6)


def test_f1_a_batch_of_the_outbox(box: Wired, children: Children, dice: random.Random) -> None:
    """W5: each code is made once, wherever the worker died and whoever else was at work; nobody does anything by hand."""
    rounds, batches = size(1, 72), Batches(box, children, dice)
    for point in dice.sample(OUTBOX_POINTS * rounds, k=len(OUTBOX_POINTS) * rounds):
        batches.die(point)
    print(f"killed {children.killed} times at {dict(batches.reached)}")
    for _minute in range(30):
        children.run("outbox", offset=batches.offset)
        batches.offset += MINUTE
        if not OutboxMessage.objects.exclude(status="DONE").exists():
            break
    assert set(OutboxMessage.objects.values_list("status", flat=True)) == {"DONE"}
    made = Counter(way.state for way in box.world.ways.values())
    assert made == Counter(ContactWay.objects.values_list("state", flat=True)) and set(made.values()) == {1}
    assert len(made) == batches.asked >= CODES * len(OUTBOX_POINTS) * rounds and not StrayWay.objects.exists()
    here_now = dict(ContactWay.objects.filter(status="LIVE").values_list("config_id", "state"))
    assert here_now == {config_id: way.state for config_id, way in box.world.ways.items()}
    assert batches.reached == dict.fromkeys(OUTBOX_POINTS, rounds)


# --- a sweep of contacts ----------------------------------------------------------------------------------------------


def test_f1_a_sweep_of_contacts(box: Wired, children: Children, dice: random.Random) -> None:
    """Killed at every point in turn, the sweep goes on behind the last page kept; each friend is written and told of once."""
    rounds = size(1, 8)
    fill(box, *size((220, 3), (8_000, 25)))
    job = sweeps.start(corp=box.corp, kind="FULL", actor=None)
    reading = PAGE_POINTS + COMPARING_POINTS
    for point in (*PLANNING_POINTS, *reading * rounds, "before the end"):
        most = size(1, 12) if point.startswith("page") else 1  # a batch begins and is compared once: there are fewer
        assert children.kill_at("open_jobs", point=point, nth=dice.randint(1, most)), f"{point} is not reached"
        rested()
    children.run("open_jobs")
    print(f"killed {children.killed} times at each of {PLANNING_POINTS + reading} and before the end")
    row = ContactSweep.objects.get()
    assert (row.status, row.failed_count, row.job_id) == ("DONE", 0, job.pk)
    assert here() == on_wecom(box)
    pairs = len(here())
    assert (row.pair_count, row.added_count, row.swept_count) == (pairs, pairs, len(box.world.members))
    assert FriendNews.objects.filter(kind="ADDED").count() == Friendship.objects.count() == pairs
    assert Contact.objects.count() == len(box.world.contacts) and staging_tables() == 0
    assert children.killed == len(PLANNING_POINTS) + len(reading) * rounds + 1
    assert not children.run("open_jobs")


# --- a handover -------------------------------------------------------------------------------------------------------


def shop_with_a_leaver(box: Wired, takers: int, each: int) -> HandoverCase:
    """Guide A's customers, members bound to her and friends of hers, and as many takers as there are messages to be."""
    shops, world = factory.shops(), box.world
    names = ["A", *(f"T{number}" for number in range(takers))]
    for number, name in enumerate(names[1:]):
        shops.guides[name] = factory.hire(f"T{number:05}", f"接替{number}", shops.stores["S1"])
    for name in names:
        world.add_member(f"u{name.lower()}", name, departments=(1,))
        Guide.objects.filter(pk=shops.guides[name].pk).update(wecom_userid=f"u{name.lower()}")
    for number in range(takers * each):
        member = shops.member(f"客{number}", store="S1", guide="A")
        member.identities.create(kind="UNIONID", namespace="MAIN", value=f"o{number}")
        world.add_contact(f"客{number}", unionid=f"o{number}", external_userid=f"wm{number}")
        world.befriend("ua", f"wm{number}")
    contacts.match_guides()
    jobs.run(sweeps.start(corp=box.corp, kind="FULL", actor=None).pk)
    jobs.run(directory_sweep.start(corp=box.corp, actor=None).pk)
    case = cases.open_by_hand(guide=shops.guides["A"], reason="离职", actor=None, now=timezone.now())
    codes = " ".join(shops.guides[name].code for name in names[1:])
    plan.request(case=case, chosen="NAMED", codes=codes, actor=shops.staff["hq"], now=timezone.now())
    return case


def test_f1_a_handover(box: Wired, children: Children, dice: random.Random) -> None:
    """W5: planned, moved, asked of WeCom and read back by workers that die: each customer is handed over once."""
    takers, each = size((24, 3), (120, 84))
    case = shop_with_a_leaver(box, takers, each)
    reached: Counter[str] = Counter()

    def die(work: str, point: str, offset: int = 0) -> int:
        """The giver's messages follow each other: one that is being looked after holds up the next for some minutes.

        A message whose worker has died WORN times over looking after it meets one that lives: after MAX_CHECKS such deaths
        it would be left to people, as it should.
        """
        tries = 0
        while not children.kill_at(work, point=point, offset=offset):
            offset += MINUTE
            tries += 1
            assert tries < 30, f"{point} is not reached"
        reached[point] += 1
        rested()
        if OutboxMessage.objects.filter(status="UNKNOWN", checks__gte=WORN).exists():
            offset += 60 * MINUTE
            children.run("look_after", offset=offset)
        return offset

    for point in HANDOVER_POINTS["open_jobs"][:2]:
        die("open_jobs", point)
    children.run("open_jobs")
    plan.confirm(case=case, actor=User.objects.create_user("second"), now=timezone.now())
    for point in HANDOVER_POINTS["open_jobs"][2:]:
        die("open_jobs", point)
    children.run("open_jobs")
    offset = 0
    for point in dice.sample(OUTBOX_POINTS * size(1, 5), k=len(OUTBOX_POINTS) * size(1, 5)):
        if "look" in point:
            offset = die("outbox", "answer read", offset)  # WeCom has begun, and nobody here knows
        offset = die("outbox", point, offset + 2 * MINUTE) + 2 * MINUTE
    for _minute in range(30):
        children.run("outbox", offset=offset)
        offset += MINUTE
        if not OutboxMessage.objects.exclude(status="DONE").exists():
            break
    assert set(OutboxMessage.objects.values_list("status", flat=True)) == {"DONE"}
    asked = Counter(one.external_userid for one in box.world.transfers.values())
    assert asked == Counter({f"wm{number}": 1 for number in range(takers * each)})
    box.world.clock.advance(25 * 3600)
    offset = 26 * 3600
    for point in HANDOVER_POINTS["results"]:
        die("results", point, offset)
        offset += 3700  # a reading is held for an hour
    for _hour in range(3):
        children.run("results", offset=offset)
        offset += 3700
    print(f"killed {children.killed} times at {dict(reached)}")
    assert dict(HandoverItem.objects.values_list("state").annotate(Count("pk"))) == {"DONE": takers * each}
    case.refresh_from_db()
    assert case.status == "DONE"
    assert not Binding.objects.filter(guide=case.guide, ended_at=None).exists()
    assert set(Binding.objects.values("member").annotate(all=Count("pk")).values_list("all", flat=True)) == {2}
    assert Binding.objects.filter(ended_at=None).count() == takers * each
    assert here_by_ids() == {(userid, ext) for userid, staff in box.world.members.items() for ext in staff.follows}
    assert set(Friendship.objects.filter(userid="ua").values_list("ended_by", flat=True)) == {"TRANSFERRED"}
    assert set(reached) == {*OUTBOX_POINTS, *HANDOVER_POINTS["open_jobs"], *HANDOVER_POINTS["results"]}


def here_by_ids() -> set[tuple[str, str]]:
    rows = Friendship.objects.filter(ended_at=None, is_confirmed=True)
    return set(rows.values_list("userid", "contact__external_userid"))
