"""``python -m guides.bench.job JOB CALLS_PER_SECOND``: a job in a process of its own; 0 keeps the product's pace."""

from __future__ import annotations

import logging
import os
import sys

import django


def run(job_id: int, calls_per_second: float) -> None:
    from scrm import jobs
    from scrm.wecom import pace

    logging.disable(logging.INFO)
    if calls_per_second:
        pace.CALLS_PER_SECOND = pace.BURST_CALLS = calls_per_second
    jobs.run(job_id)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scrm.settings")
    django.setup()
    run(int(sys.argv[1]), float(sys.argv[2]))
