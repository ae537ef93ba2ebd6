"""The web process of a bench."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scrm.settings")

from django.conf import settings

settings.ROOT_URLCONF = "scrm.bench.urls"

from scrm.wsgi import application

__all__ = ["application"]
