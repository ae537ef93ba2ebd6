"""The web process."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scrm.settings")
os.environ.setdefault("SCRM_PROCESS", "web")

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from scrm.checks import require_keys_of_data  # needs the apps that the line above loads

require_keys_of_data()
