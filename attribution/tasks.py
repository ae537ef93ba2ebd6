"""Celery tasks of attribution: doorbells over rows that PostgreSQL already holds."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from attribution import caps, decisions, fairness, figures, intake, ledger, proving, rewards, settlement, tiers
from attribution.channels import bills, polling
from attribution.disputes import hearing


@shared_task
def vest_ripe() -> None:
    """What has waited for its term becomes due."""
    now = timezone.now()
    while ledger.vest(now=now):
        pass


@shared_task
def prepare_settlement() -> None:
    """On the day of the batch and after it: the batch of the month before, once; debts of guides who have left."""
    now = timezone.now()
    tiers.true_up_recent(now=now)
    caps.follow_refunds(now=now)
    settlement.request_due(now=now)
    settlement.write_off_exits(now=now)


@shared_task
def prove_books() -> None:
    proving.run(now=timezone.now())


@shared_task
def refresh_figures() -> None:
    figures.refresh(now=timezone.now())


@shared_task
def refresh_fairness() -> None:
    fairness.recount()


@shared_task
def process_events() -> None:
    intake.process(now=timezone.now())


@shared_task
def read_channels() -> None:
    """Shops that are due, and what their platforms told us about."""
    if polling.run_due(now=timezone.now()).stored:
        intake.process(now=timezone.now())


@shared_task
def compare_bills() -> None:
    """Recent bills against books to which orders have come since."""
    bills.compare_again(now=timezone.now())


@shared_task
def sweep_intake() -> None:
    intake.sweep(now=timezone.now())


@shared_task
def decide_waiting() -> None:
    """Lines whose deciding was cut off, or put off, after they had been recorded."""
    decisions.decide_open()


@shared_task
def finalise_decisions() -> None:
    decisions.finalise(now=timezone.now())


@shared_task
def forget_events() -> None:
    intake.forget_events(now=timezone.now())


@shared_task
def follow_rewards() -> None:
    rewards.follow(now=timezone.now())


@shared_task
def hand_on_disputes() -> None:
    hearing.hand_on_overdue(now=timezone.now())
    hearing.hold_what_came_later()
