"""F1: moments whose workers are killed (SIGKILL) at every step, planning to likes: WeCom makes each once, each guide has it once.

Full size: a moment for each point of the outbox eight times over, for 24 guides.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter

import pytest
from django.utils import timezone

from campaigns import moments
from campaigns.models import Moment, MomentPost
from guides.models import Guide
from scrm.models import OutboxMessage
from scrm.wecom.sandbox import moments as phone
from tests.campaigns.mailing import Mailing, mailing
from tests.factories import shops as factory
from tests.factories.wecom import Wired
from tests.faults.children import Children
from tests.faults.conftest import size
from tests.faults.test_f1_killed_worker import MINUTE, rested
from tests.faults.test_f1_sends import OUTBOX

pytestmark = pytest.mark.django_db(transaction=True)

PLANNING = ("guides judged, not committed", "moment planned")
HANDING = ("guides looked at again", "moment handed over")
POINTS = tuple(point for point in OUTBOX if point != "customers looked at once more")  # which moments do not ask
JOBS = ("job named it, not committed", "job named it")
READING = ("publishers marked, not committed", "publishers marked", "likes counted", "own moments kept")


def company_of(box: Wired, guides: int) -> Mailing:
    box.world.quotas.dispatch_seconds, box.world.quotas.moments_per_minute = 0, 1_000  # hours of life in a minute
    found = mailing(box)
    for number in range(guides):
        code = f"K{number:05}"
        found.shops.guides[code] = factory.hire(code, f"导购{number}", found.shops.stores["S1"])
        Guide.objects.filter(code=code).update(wecom_userid=code.lower())
        box.world.add_member(code, f"导购{number}")
        found.member(f"客{number}", code)
    return found


def test_f1_moments_killed_at_every_step(box: Wired, children: Children, dice: random.Random) -> None:
    guides, times = size((6, 1), (24, 8))
    company = company_of(box, guides)
    points = dice.sample(POINTS, k=len(POINTS)) * times
    drafted = [
        moments.draft(
            corp=box.corp, name=f"到货{number}", text=f"榴莲到货 {number}", due_at=timezone.now() - dt.timedelta(days=31 * number),
            actor=company.hq,
        )
        for number in range(len(points))
    ]  # fmt: skip  # each in a month of its own, so that none is too much
    for point in PLANNING:
        assert children.kill_at("open_jobs", point=point), point
    children.run("open_jobs")
    for moment in drafted:
        asked = moments.submit(moment=moment, actor=company.hq, now=timezone.now())
        if asked.status == Moment.Status.ASKED:
            moments.approve(moment=moment, actor=company.second, now=timezone.now())
    offset = _handed_over(children, len(points))
    killed_at = set()
    for point in points:  # a dead worker holds what it has reserved: later ones find less to do
        if children.kill_at("send", point=point, offset=offset):
            killed_at.add(point)
        offset += MINUTE
        rested()
    assert killed_at == set(POINTS)
    offset = _all_made(children, offset)
    _once(box, drafted, guides)

    for made in box.world.moments.values():
        for userid in made.tasks:
            phone.publish(box.world, made.moment_id, userid)
    phone.post_own(box.world, "K00000", "我自己拍的榴莲")
    for point in READING:
        offset += 61 * MINUTE  # own moments are read once an hour
        assert children.kill_at("moments", point=point, offset=offset), point
        rested()
    for _round in range(size(4, 16)):
        offset += 120 * MINUTE
        children.run("moments", offset=offset)
        rested()
    _once(box, drafted, guides)
    states = Counter(MomentPost.objects.values_list("state", flat=True))
    assert states == {"PUBLISHED": guides * len(points) + 1, "EXCLUDED": _excluded(drafted)}
    assert set(Moment.objects.values_list("status", flat=True)) == {"ENDED"}
    assert set(MomentPost.objects.filter(state="PUBLISHED").values_list("audience_count", flat=True)) == {1}
    assert MomentPost.objects.filter(moment=None).count() == 1
    print(f"killed {children.killed} times")


def _handed_over(children: Children, count: int) -> int:
    """Every moment has one message; the seconds that have gone by."""
    offset = MINUTE
    for point in HANDING:
        assert children.kill_at("moments", point=point, offset=offset), point
        offset += MINUTE
    children.run("moments", offset=offset)
    assert OutboxMessage.objects.filter(topic="campaigns.moment").count() == count
    return offset + MINUTE


def _all_made(children: Children, offset: int) -> int:
    """Whose answer was lost is looked for in WeCom's records; those say for sure only after a while, which is made to have gone by."""
    for point in JOBS:
        assert children.kill_at("moments", point=point, offset=offset), point
        offset += MINUTE
    for _minute in range(60):
        OutboxMessage.objects.update(created_at=timezone.now() - dt.timedelta(minutes=20))
        children.run("outbox", offset=offset)
        children.run("moments", offset=offset)
        offset += MINUTE
        rested()
        if not Moment.objects.exclude(status="OUT").exists():
            return offset
    raise AssertionError(list(Moment.objects.values_list("status", "error_code")))


def _once(box: Wired, drafted: list[Moment], guides: int) -> None:
    """WeCom's own record against ours."""
    texts = Counter(made.content["text"] for made in box.world.moments.values() if not made.creator)
    assert texts == {moment.text: 1 for moment in drafted}
    assert {made.moment_id for made in box.world.moments.values() if not made.creator} == set(
        Moment.objects.values_list("moment_id", flat=True)
    )
    for moment in drafted:
        posts = MomentPost.objects.filter(moment=moment).exclude(state="EXCLUDED")
        assert posts.count() == posts.values("guide").distinct().count() == guides


def _excluded(drafted: list[Moment]) -> int:
    """A, B, F and M have no customers here."""
    return MomentPost.objects.filter(moment=drafted[0], state="EXCLUDED").count() * len(drafted)
