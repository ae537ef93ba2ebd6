"""The product's settings with fixed keys, on a private PostgreSQL cluster that lives as long as the test run."""

import base64
import os

from tests import cluster

KEY = base64.b64encode(bytes(range(32))).decode()
os.environ.update(
    ENV_FILE=os.devnull,
    SCRM_VAR=cluster.folder(),
    SECRET_KEY="tests-only",
    MOBILE_SEAL_KEYS=f"1:{KEY}",
    MOBILE_INDEX_KEY=KEY,
    SECRET_SEAL_KEYS=f"1:{KEY}",
    LOG_LEVEL="WARNING",
    DJANGO_ALLOW_ASYNC_UNSAFE="1",  # a browser test runs inside Playwright's event loop
)
for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "BROKER_URL", "PRODUCTION", "DEBUG", "SENTRY_DSN", "SCRM_PROCESS"):
    os.environ.pop(name, None)

from scrm.settings import *  # noqa: F403

EMBEDDED_DURABLE = False
# the owner, so that a TransactionTestCase can flush; the fixture app_role looks through the application's eyes
DATABASES["default"]["USER"] = DATABASE_OWNER["USER"]  # noqa: F405
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
CELERY_BROKER_URL = "memory://"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}  # noqa: F405
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True  # a clean checkout has collected nothing
AXES_ENABLED = False  # the test client logs in without a request; tests of the lock switch it on
SILENCED_SYSTEM_CHECKS += ["axes.W001"]  # noqa: F405  the cache of one process is enough for a test
