"""Mass sends under real concurrency: several workers hand over at once, members withdraw meanwhile, two sends share a budget."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone

from campaigns import sends
from campaigns.experiments import draw
from campaigns.models import ContactBudget, Recipient
from members import consent
from members.models import Member
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

    def withdraw(member: Member) -> None:
        now = timezone.now()
        consent.say(member=member, purpose="WECOM_MARKETING", is_given=False, source="WECOM", said_at=now, now=now)

    at_once(
        lambda: sends.hand_over(send_id=send.pk, now=timezone.now()),
        lambda: sends.hand_over(send_id=send.pk, now=timezone.now()),
        lambda: [withdraw(member) for member in gone],
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
