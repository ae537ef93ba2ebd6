"""Celery tasks of campaigns."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from campaigns import experiments, sends


@shared_task
def sweep_sends() -> None:
    """Tasks that are due go to WeCom, and WeCom is asked about those that are out."""
    sends.sweep(now=timezone.now())


@shared_task
def read_experiments() -> None:
    """Experiments whose window has ended are read once."""
    experiments.due(now=timezone.now())
