"""Celery tasks of members."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from members import taste


@shared_task
def count_tastes() -> None:
    taste.nightly(now=timezone.now())
