"""Celery tasks of guides."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from guides import login


@shared_task
def forget_login_codes() -> None:
    login.forget_codes(timezone.now())
