"""Celery tasks of attribution: doorbells over rows that PostgreSQL already holds."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from attribution import figures, intake


@shared_task
def refresh_figures() -> None:
    figures.refresh(now=timezone.now())


@shared_task
def process_events() -> None:
    intake.process(now=timezone.now())


@shared_task
def sweep_intake() -> None:
    intake.sweep(now=timezone.now())
