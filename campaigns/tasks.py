"""Celery tasks of campaigns."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from campaigns import content_media


@shared_task
def upload_files() -> None:
    """Files of materials that are wanted at WeCom, and those that run out soon."""
    content_media.sweep(now=timezone.now())
