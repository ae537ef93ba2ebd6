"""Celery tasks of campaigns."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from campaigns import (
    calendar,
    communities,
    content_media,
    experiments,
    friend_migration,
    moments,
    referrals,
    scenarios,
    sends,
    sops,
)
from campaigns.communities import notices, payments, reservoir


@shared_task
def sweep_sends() -> None:
    """Tasks that are due go to WeCom, and WeCom is asked about those that are out."""
    sends.sweep(now=timezone.now())


@shared_task
def sweep_moments() -> None:
    """Moments whose time has come go to WeCom; who has published them, likes, and what guides post themselves is read."""
    moments.sweep(now=timezone.now())


@shared_task
def read_experiments() -> None:
    """Experiments whose window has ended are read once."""
    experiments.due(now=timezone.now())


@shared_task
def upload_files() -> None:
    """Files of materials that are wanted at WeCom, and those that run out soon."""
    content_media.sweep(now=timezone.now())


@shared_task
def read_groups() -> None:
    """Groups that events or the nightly list have named, and people in them whose member came later; and where an owner
    has set a notice, what stands there."""
    communities.recognise_late(since=timezone.now() - communities.RECENT)
    communities.read_due()
    notices.look(now=timezone.now())


@shared_task
def list_groups() -> None:
    """The night's sweep of groups where it has not begun yet."""
    communities.start_daily(now=timezone.now())


@shared_task
def refresh_join_ways() -> None:
    """Codes of groups: the next group where one is full or gone, and what WeCom has made."""
    communities.join_ways.refresh(now=timezone.now())


@shared_task
def follow_invitations() -> None:
    """Who has come into a group after an invitation, and invitations whose time is over."""
    communities.invitations.sweep(now=timezone.now())


@shared_task
def follow_group_plans() -> None:
    """Groups whose owners were asked to close or merge them."""
    communities.fleet.follow(now=timezone.now())


@shared_task
def sweep_sales() -> None:
    """Orders of reservations, reservations and teams whose time is up, and refunds that have come in."""
    payments.sweep(now=timezone.now())


@shared_task
def sweep_reservoirs() -> None:
    """Pools of stores that open: who has come, gifts, the countdown, and who stands behind the codes."""
    reservoir.sweep(now=timezone.now())


@shared_task
def count_group_health() -> None:
    """Yesterday of all groups, where it has not been counted."""
    communities.health.start_daily(now=timezone.now())


@shared_task
def sweep_sops() -> None:
    """Who enters an SOP, and whose next step is due; a piece at a time until nothing is left."""
    sops.enrol(now=timezone.now())
    while sops.advance(now=timezone.now()):
        pass


@shared_task
def sweep_calendar() -> None:
    """The coming days where wishes have changed, and what the days bring."""
    calendar.sweep(now=timezone.now())


@shared_task
def count_calendar() -> None:
    """How far the stores are, today and yesterday."""
    calendar.count(now=timezone.now())


@shared_task
def make_mornings() -> None:
    """The day's actions where they are not made yet, and scenarios that begin with an event."""
    now = timezone.now()
    scenarios.mornings(now=now)
    scenarios.fall_due(now=now)


@shared_task
def follow_scenarios() -> None:
    """What came of the customers on whom a scenario fell."""
    scenarios.follow(now=timezone.now())


@shared_task
def judge_referrals() -> None:
    """Once a day: which referrals are earned and which have ended; coupons that could not be given are tried again."""
    referrals.judging.start_daily(now=timezone.now())
    referrals.judging.deliver(now=timezone.now())


@shared_task
def follow_migration() -> None:
    """Who has added a guide, registered and bought; lists whose days are over are erased."""
    friend_migration.following.start_daily(now=timezone.now())
