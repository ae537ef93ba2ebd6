"""The project and its kernel. Celery's app is loaded with it, so that ``task.delay`` finds the broker everywhere."""

from scrm.celery import app as celery_app

__all__ = ["celery_app"]
