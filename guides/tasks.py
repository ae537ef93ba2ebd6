"""Celery tasks of guides."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from guides import (
    actions,
    contact_ways,
    contacts,
    corp_tags,
    coupon_touches,
    directory,
    directory_sweep,
    integrity,
    login,
    rewards,
    visitors,
    welcomes,
)
from guides.contacts import gaps, sweeps
from guides.handover import cases, results
from scrm import celery


@shared_task
def forget_login_codes() -> None:
    login.forget_codes(timezone.now())


@shared_task
def read_contacts() -> None:
    contacts.read_due()


reading = celery.Doorbell(read_contacts)


@shared_task
def read_new_friends() -> None:
    """In the queue of welcomes (settings.CELERY_TASK_ROUTES); what is left is rung for again, behind the welcomes."""
    if contacts.read_new_friends():
        reading_new_friends.ring()


reading_new_friends = celery.Doorbell(read_new_friends)


@shared_task
def tell_news() -> None:
    """Until nothing is left, a piece at a time: thousands of friends may have got their guide."""
    while contacts.tell_news(now=timezone.now()):
        pass


telling = celery.Doorbell(tell_news)


@shared_task
def sweep_contacts() -> None:
    """What keeps the mirror going without a broker."""
    now = timezone.now()
    contacts.match_guides()
    contacts.read_due()
    contacts.recognise_late(now=now, since=now - contacts.RECENT)
    contacts.tell_news(now=now)
    visitors.recognise_late(now=now, since=now - contacts.RECENT)
    directory_sweep.start_first(now=now)
    sweeps.start_first()
    sweeps.go_on(now=now)


@shared_task
def plan_contact_sweeps() -> None:
    """The night's sweep where it has not begun yet, and those that a gap in the events calls for."""
    now = timezone.now()
    sweeps.start_nightly(now=now)
    gaps.look(now=now)


@shared_task
def recognise_all_members() -> None:
    contacts.recognise_late(now=timezone.now())


@shared_task
def sweep_directories() -> None:
    """The directory of each corp, once a business day; then guides whose employment has ended without a word from WeCom."""
    now = timezone.now()
    directory.match_guides()
    directory_sweep.start_daily(now=now)
    cases.open_for_leavers(now=now)


@shared_task
def read_transfer_results() -> None:
    results.poll_due(now=timezone.now())


@shared_task
def refresh_ways() -> None:
    """Codes by the hour and by the cap, those whose time is up, and the pictures of new ones."""
    now = timezone.now()
    contact_ways.refresh(now=now)
    contact_ways.pictures.fetch_pictures(now=now)


@shared_task
def compare_ways() -> None:
    contact_ways.ledger.start(now=timezone.now())


@shared_task
def upload_materials() -> None:
    welcomes.upload_materials(now=timezone.now())


@shared_task
def sweep_tags() -> None:
    """The catalogue where it changed, then the next piece of friends."""
    now = timezone.now()
    corp_tags.pull_due(now=now)
    corp_tags.follow_names(now=now)
    corp_tags.sweep(now=now)


@shared_task
def judge_rewards() -> None:
    """Look for what needs a review first: what a case holds is not earned on the same morning."""
    now = timezone.now()
    integrity.start_daily(now=now)
    rewards.start_daily(now=now)


@shared_task
def expire_actions() -> None:
    now = timezone.now()
    while actions.expire(now=now) >= 5_000:
        pass


@shared_task
def hear_redemptions() -> None:
    """Coupons used since the last minute: touches of guides, and rewards they may have earned."""
    coupon_touches.hear()
    rewards.hear_redemptions()
