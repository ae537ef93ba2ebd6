"""What a test's own processes run with: the test's database through the eyes of the application, a broker if there is one."""

import os
from pathlib import Path

from scrm import logs
from scrm.embedded.postgres import DATABASE, Postgres
from tests.settings import *  # noqa: F403

DATABASES["default"]["NAME"] = os.environ["FAULT_DATABASE"]  # noqa: F405
DATABASES["default"]["USER"] = APPLICATION_ROLE  # noqa: F405
if "FAULT_CLUSTER" in os.environ:  # a server that the test stops and starts; with the pool of the product's web process
    DATABASES["default"] |= {  # noqa: F405
        **Postgres(Path(os.environ["FAULT_CLUSTER"])).address(APPLICATION_ROLE),  # noqa: F405
        "ENGINE": "django.db.backends.postgresql", "NAME": DATABASE,
    }  # fmt: skip
    DATABASES["default"]["OPTIONS"]["pool"] = {"min_size": 1, "max_size": WEB_THREADS + 2, "timeout": 10}  # noqa: F405
if "FAULT_BROKER" in os.environ:
    BROKER_URL = CELERY_BROKER_URL = os.environ["FAULT_BROKER"]
    CELERY_BROKER_CONNECTION_RETRY = True
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": BROKER_URL.replace("redis+socket://", "unix://", 1),
        }
    }
LOGGING = logs.configuration(level=os.environ.get("FAULT_LOG_LEVEL", "WARNING"), as_json=True)
