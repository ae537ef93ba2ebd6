"""F1: a mass send whose workers are killed (SIGKILL) at every step, planning to results: everybody is sent to exactly once.

Full size: 10,000 recipients of 40 guides, every point several times over.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from typing import Any

import pytest
from django.utils import timezone

from campaigns import sends
from campaigns.models import Group, Send, SendBatch
from campaigns.sends import targets
from guides.models import Follower, Guide
from scrm.models import OutboxMessage
from scrm.wecom.sandbox import groups as chats
from scrm.wecom.sandbox import sends as sandbox_sends
from tests.campaigns.mailing import Mailing, mailing
from tests.factories import shops as factory
from tests.factories.wecom import Wired
from tests.faults.children import Children
from tests.faults.conftest import size
from tests.faults.test_f1_killed_worker import MINUTE, rested

pytestmark = pytest.mark.django_db(transaction=True)

PLANNING = ("audience judged, not committed", "send planned")
HANDING = ("task handed over, not committed", "task handed over")
OUTBOX = (
    "reserved, not committed", "reserved", "customers looked at once more", "request sent", "answer on the wire", "answer read",
    "before settling", "settled, not committed", "settled",
)  # fmt: skip
READING = ("task read", "fates written, not committed", "fates written")


def company_of(box: Wired, guides: int, each: int) -> tuple[Mailing, Send]:
    box.world.quotas.dispatch_seconds = 0
    found = mailing(box)
    members = []
    for number in range(guides):
        code = f"K{number:05}"
        found.shops.guides[code] = factory.hire(code, f"导购{number}", found.shops.stores["S1"])
        Guide.objects.filter(code=code).update(wecom_userid=code.lower())
        box.world.add_member(code, f"导购{number}")
        members += [found.member(f"客{number}-{each_one}", code) for each_one in range(each)]
    send = sends.draft(
        corp=box.corp,
        name="会员日",
        text="会员日",
        due_at=timezone.now(),
        actor=found.hq,
        snapshot=found.snapshot(*members),
    )
    return found, send


def company_of_groups(box: Wired, guides: int, each: int) -> tuple[Mailing, Send]:
    """``each`` customer groups of every guide, and a send to all of them."""
    box.world.quotas.dispatch_seconds = 0
    found, now = mailing(box), timezone.now()
    for number in range(guides):
        code = f"K{number:05}"
        guide = factory.hire(code, f"导购{number}", found.shops.stores["S1"])
        box.world.add_member(code, f"导购{number}")
        Follower.objects.create(corp=box.corp, userid=code.lower(), guide=guide, is_listed=True)
        for one in range(each):
            chat = chats.make(box.world, code, f"群{number}-{one}")
            Group.objects.create(
                corp=box.corp, chat_id=chat.chat_id, name=chat.name, owner_userid=code.lower(), owner=guide,
                store=found.shops.stores["S1"], customer_count=1, asked_at=now, read_at=now,
            )  # fmt: skip
    wish = sends.Wish(stores=[found.shops.stores["S1"].pk])
    return found, sends.draft(corp=box.corp, name="接龙", text="接龙", due_at=now, actor=found.hq, groups=wish)


@pytest.mark.parametrize("make", [company_of, company_of_groups])
def test_f1_a_send_killed_at_every_step(box: Wired, children: Children, dice: random.Random, make: Any) -> None:
    """To customers and to groups."""
    guides, each = size((24, 2), (160, 62))
    company, send = make(box, guides, each)
    for point in PLANNING:
        assert children.kill_at("open_jobs", point=point), point
    children.run("open_jobs")
    send.refresh_from_db()
    assert (send.status, send.audience_count) == ("PLANNED", guides * each)
    released = sends.submit(send=send, actor=company.hq, now=timezone.now())
    if released.status == Send.Status.ASKED:
        sends.approve(send=send, actor=company.second, now=timezone.now())
    for point in HANDING:
        assert children.kill_at("open_jobs", point=point, nth=dice.randint(1, 3)), point
    children.run("open_jobs")
    assert not SendBatch.objects.filter(status="PLANNED").exists()

    offset = 0
    for point in dice.sample(OUTBOX, k=len(OUTBOX)) * size(1, 8):
        children.kill_at("send", point=point, nth=1, offset=offset)
        offset += MINUTE
        rested()
    for _minute in range(40):
        children.run("outbox", offset=offset)
        offset += MINUTE
        if not OutboxMessage.objects.exclude(status="DONE").exists():
            break
    assert set(OutboxMessage.objects.values_list("status", flat=True)) == {"DONE"}
    for msgid, made in list(box.world.mass_sends.items()):
        for userid in made.tasks:
            sandbox_sends.confirm(box.world, msgid, userid)
    for point in READING:
        assert children.kill_at("mass_sends", point=point, offset=offset), point
        rested()
    for _minute in range(10):
        children.run("mass_sends", offset=offset)
        offset += 5 * MINUTE
    _everybody_once(box, send)
    print(f"killed {children.killed} times")


def _everybody_once(box: Wired, send: Send) -> None:
    """WeCom's own record against ours: no customer twice, nobody planned left without her message."""
    send.refresh_from_db()
    reached = Counter(one.to for one in box.world.sent if one.kind == "mass")
    assert set(reached.values()) == {1}
    states = Counter(targets.of(send).model.objects.filter(send=send).values_list("state", flat=True))
    assert states["SENT"] == len(reached) == send.planned_count
    assert sum(states.values()) == send.audience_count == states["SENT"] + states["EXCLUDED"]
    assert send.status == Send.Status.ENDED and sends.prove(send=send) == []


def test_f5_a_storm_while_tasks_are_made(box: Wired, dice: random.Random) -> None:
    """W9: limits, passing errors, pages of HTML and lost answers; it ends, nobody is left out and nobody is sent to twice."""
    from scrm.wecom import outbox

    company, send = company_of(box, *size((6, 2), (40, 20)))
    sends.plan(send_id=send.pk, now=timezone.now())
    sends.submit(send=send, actor=company.hq, now=timezone.now())
    if Send.objects.get(pk=send.pk).status == Send.Status.ASKED:
        sends.approve(send=send, actor=company.second, now=timezone.now())
    sends.hand_over(send_id=send.pk, now=timezone.now())
    path = "externalcontact/add_msg_template"
    for kind, values in (
        ("code", {"code": 45009}),
        ("code", {"code": 45033}),
        ("code", {"code": -1}),
        ("lose", {}),
        ("page", {}),
    ):
        box.faults.add(kind, path, times=2, **values)
    offset = timezone.now()
    for _minute in range(120):
        rested()
        outbox.sweep(now=offset)
        offset += dt.timedelta(minutes=2)
        if not OutboxMessage.objects.exclude(status="DONE").exists():
            break
    assert set(OutboxMessage.objects.values_list("status", flat=True)) == {"DONE"}
    for msgid, made in list(box.world.mass_sends.items()):
        for userid in made.tasks:
            sandbox_sends.confirm(box.world, msgid, userid)
    for _round in range(3):
        offset += dt.timedelta(hours=2)
        sends.poll_due(now=offset)
    _everybody_once(box, send)
