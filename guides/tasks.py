"""Celery tasks of guides."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from guides import directory, directory_sweep, login
from guides.handover import cases


@shared_task
def forget_login_codes() -> None:
    login.forget_codes(timezone.now())


@shared_task
def sweep_directories() -> None:
    """The directory of each corp, once a business day; then guides whose employment has ended without a word from WeCom."""
    now = timezone.now()
    directory.match_guides()
    directory_sweep.start_daily(now=now)
    cases.open_for_leavers(now=now)
