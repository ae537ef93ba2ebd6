"""The product's beat with the entries of the outbox at a second instead of a minute: ``python -m tests.faults.quick_beat``."""

from __future__ import annotations

import os


def main() -> None:
    os.environ["SCRM_PROCESS"] = "beat"
    import django

    django.setup()
    from scrm import celery, schedule

    kept = ("messages to WeCom", "open jobs")
    for name in list(schedule.ENTRIES):
        if name not in kept:
            del schedule.ENTRIES[name]
        else:
            schedule.ENTRIES[name]["schedule"] = 1.0
    celery.app.start(["beat", "--pidfile=", "--max-interval", "1", "--loglevel", "ERROR"])


if __name__ == "__main__":
    main()
