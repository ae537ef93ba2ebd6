"""The web process of a bench."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scrm.settings")

from scrm.bench.web import serve_bench_database

serve_bench_database()

from scrm.wsgi import application

__all__ = ["application"]
