"""Celery tasks of the inbox: doorbells over rows that PostgreSQL already holds."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from scrm.wecom import inbox


@shared_task
def process_welcomes() -> None:
    """The fast lane: however long the other one is, a welcome code lives for 20 seconds."""
    inbox.process(now=timezone.now(), lane=inbox.Lane.WELCOME)


@shared_task
def process_events() -> None:
    inbox.process(now=timezone.now())


@shared_task
def sweep_inbox() -> None:
    inbox.sweep(now=timezone.now())
