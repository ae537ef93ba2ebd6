"""What processes run with that work on a cluster of a test's own: durable, and stopped without warning."""

import os

from tests.faults.settings import *  # noqa: F403

DATABASES["default"] |= {  # noqa: F405
    "ENGINE": "django.db.backends.postgresql",
    "NAME": "scrm",
    "HOST": os.environ["FAULT_HOST"],
    "PORT": "5432",
    "PASSWORD": os.environ["FAULT_PASSWORD"],
}
EMBEDDED_DATABASE = False
