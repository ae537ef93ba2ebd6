"""The web process behind an ASGI server; gunicorn with threads (wsgi.py) is what is measured and shipped."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scrm.settings")
os.environ.setdefault("SCRM_PROCESS", "web")

from django.core.asgi import get_asgi_application

application = get_asgi_application()

from scrm.checks import require_keys_of_data  # needs the apps that the line above loads

require_keys_of_data()
