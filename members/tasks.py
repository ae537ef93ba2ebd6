"""Celery tasks of members."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from members import coupons, facts, taste


@shared_task
def refresh_facts() -> None:
    facts.refresh_all(now=timezone.now())


@shared_task
def count_facts_at_night() -> None:
    facts.start_nightly(now=timezone.now())


@shared_task
def sweep_coupons() -> None:
    """Locks and gifts whose time is up."""
    coupons.daily.sweep(now=timezone.now())


@shared_task
def end_coupons() -> None:
    """The job of the business day, once."""
    coupons.daily.start(now=timezone.now())


@shared_task
def count_tastes() -> None:
    taste.nightly(now=timezone.now())
