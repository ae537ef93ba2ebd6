"""Celery tasks of guides."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from guides import contacts, directory, directory_sweep, login
from guides.handover import cases
from scrm import celery


@shared_task
def forget_login_codes() -> None:
    login.forget_codes(timezone.now())


@shared_task
def read_contacts() -> None:
    contacts.read_due()


reading = celery.Doorbell(read_contacts)


@shared_task
def sweep_contacts() -> None:
    """What keeps the mirror going without a broker."""
    now = timezone.now()
    contacts.match_guides()
    contacts.read_due()
    contacts.recognise_late(now=now, since=now - contacts.RECENT)
    contacts.tell_news(now=now)


@shared_task
def sweep_directories() -> None:
    """The directory of each corp, once a business day; then guides whose employment has ended without a word from WeCom."""
    now = timezone.now()
    directory.match_guides()
    directory_sweep.start_daily(now=now)
    cases.open_for_leavers(now=now)
