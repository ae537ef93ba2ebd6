"""How gunicorn serves: ``gunicorn -c python:scrm.gunicorn scrm.wsgi``. Requests are logged by the application."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scrm.settings")
os.environ.setdefault("SCRM_PROCESS", "web")

from django.conf import settings

bind = f"{settings.WEB_HOST}:{settings.WEB_PORT}"
worker_class = "gthread"
preload_app = True  # one import for all workers: half the start, shared memory, and a bad setting ends the master
workers = settings.WEB_WORKERS
threads = settings.WEB_THREADS
timeout = 60
graceful_timeout = 20
keepalive = 5
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108  heartbeats must not wait for a disk
control_socket_disable = True  # it would lie in the home folder, shared by every checkout
logconfig_dict = settings.LOGGING
loglevel = settings.LOG_LEVEL.lower()
forwarded_allow_ips = "*" if settings.TRUSTED_PROXY_COUNT else "127.0.0.1"

# A request that waits for its turn gets it ten times sooner than Python's 5 ms: the slowest twentieth of signed events was
# answered in 32 instead of 50 ms.
SWITCH_SECONDS = 0.0005


def post_worker_init(_worker: Any) -> None:
    """What is loaded by now stays: the collector need not walk through it again and again in the middle of requests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    sys.setswitchinterval(SWITCH_SECONDS)


def child_exit(_server: Any, worker: Any) -> None:
    """A dead process's gauges leave the metrics."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)
