"""Mass sends under real concurrency: several workers hand over at once, members withdraw meanwhile, two sends share a budget."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from django.utils import timezone

from campaigns import sends
from campaigns.experiments import draw
from campaigns.models import ContactBudget, Recipient, SendBatch
from campaigns.sends import results
from campaigns.sends.planning import BadSend
from members import consent
from members.models import Member
from scrm import jobs
from scrm.models import OutboxMessage
from scrm.wecom import outbox
from tests.campaigns.mailing import Mailing, mailing
from tests.factories import shops as factory
from tests.factories.wecom import Wired, sandbox

__all__ = ["sandbox"]


@pytest.fixture
def company(transactional_db: None, sandbox: Wired, monkeypatch: pytest.MonkeyPatch) -> Mailing:
    monkeypatch.setattr(draw, "HOLDOUT_BP", 0)
    found = mailing(sandbox)
    for number in range(6):
        code = f"K{number:05}"
        found.shops.guides[code] = factory.hire(code, f"导购{number}", found.shops.stores["S1"])
        sandbox.world.add_member(code, code)
    return found


def at_once(*works: Callable[[], object]) -> None:
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        try:
            barrier.wait(60)
            work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        for found in [pool.submit(run, work) for work in works]:
            found.result(300)


def test_s7_and_m1_workers_hand_over_while_members_withdraw(company: Mailing) -> None:
    members = [company.member(f"客{number}", f"K{number % 6:05}") for number in range(24)]
    send = company.planned(*members)
    sends.submit(send=send, actor=company.hq, now=timezone.now())
    gone = members[::4]

    def withdraw(those: list[Member]) -> None:
        for member in those:
            now = timezone.now()
            consent.say(member=member, purpose="WECOM_MARKETING", is_given=False, source="WECOM", said_at=now, now=now)

    at_once(
        lambda: sends.hand_over(send_id=send.pk, now=timezone.now()),
        lambda: sends.hand_over(send_id=send.pk, now=timezone.now()),
        lambda: withdraw(gone),
    )
    at_once(*[lambda: outbox.send_due(now=timezone.now())] * 3)
    made = [
        target
        for one in company.wired.world.mass_sends.values()
        for task in one.tasks.values()
        for target in task.targets
    ]
    willing = {company.outside[member.name] for member in members if member not in gone}
    assert sorted(made) == sorted(willing)  # everybody once, nobody who had said no before WeCom was asked
    assert OutboxMessage.objects.count() == 6
    assert Recipient.objects.filter(send=send, reason="NO_CONSENT").count() == len(gone)


def test_two_last_tasks_that_end_at_once_end_their_send(company: Mailing) -> None:
    send = company.out(company.member("甲", "K00000"), company.member("乙", "K00001"))
    one, other = SendBatch.objects.filter(send=send, status="MADE").order_by("pk")
    has_asked, is_over = threading.Event(), threading.Event()

    def first() -> None:
        with transaction.atomic():
            results.end(one, now=timezone.now())
            has_asked.set()
            is_over.wait(3)  # not committed while the other one ends

    def second() -> None:
        assert has_asked.wait(60)
        with transaction.atomic():
            results.end(other, now=timezone.now())
        is_over.set()

    at_once(first, second)
    send.refresh_from_db()
    assert (send.status, send.ended_at is not None) == ("ENDED", True)


def test_guides_are_reminded_once_while_tasks_end(company: Mailing) -> None:
    members = [company.member(f"客{number}", f"K{number % 6:05}") for number in range(6)]
    send = company.out(*members)
    counts: list[int] = []

    def end(pk: int) -> None:
        results.take(batch_id=pk, confirmed_at=timezone.now() - results.SETTLES_AFTER, rows=[], now=timezone.now())

    def remind() -> None:
        with contextlib.suppress(BadSend):  # somebody is reminding already
            counts.append(sends.remind(send=send, actor=company.hq, now=timezone.now()))

    first = SendBatch.objects.filter(send=send).order_by("-pk")[0].pk
    at_once(remind, remind, lambda: end(first))
    assert sum(counts) in (5, 6)
    send.refresh_from_db()
    assert send.job_id
    jobs.run(send.job_id)
    reminders = OutboxMessage.objects.filter(topic="campaigns.send_remind")
    assert 5 <= reminders.count() <= sum(counts)  # who confirmed before her turn is not reminded


def test_two_sends_at_once_spend_the_contact_budget_once(company: Mailing) -> None:
    ContactBudget.objects.create(brand=company.shops.brand, most_count=1, days=7)
    members = [company.member(f"客{number}", f"K{number % 6:05}") for number in range(12)]
    both = [company.planned(*members), company.planned(*members)]
    for send in both:
        sends.submit(send=send, actor=company.hq, now=timezone.now())
    at_once(*[lambda pk=send.pk: sends.hand_over(send_id=pk, now=timezone.now()) for send in both])
    for member in members:
        rows = Recipient.objects.filter(member=member)
        assert sorted(rows.values_list("state", flat=True)) == ["EXCLUDED", "PLANNED"]
