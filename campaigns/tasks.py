"""Celery tasks of campaigns."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from campaigns import sops


@shared_task
def sweep_sops() -> None:
    """Who enters an SOP, and whose next step is due; a piece at a time until nothing is left."""
    sops.enrol(now=timezone.now())
    while sops.advance(now=timezone.now()):
        pass
