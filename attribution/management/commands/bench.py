"""``bench``: how fast the product is on this machine, beside the floor of the same machine."""

from __future__ import annotations

import inspect
import json
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from scrm import bench
from scrm.bench.database import own_database


class Command(BaseCommand):
    help = "Measure a scenario in a database of its own, which is dropped afterwards."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("scenario", choices=sorted(bench.SCENARIOS))
        parser.add_argument(
            "--rows", type=int, help="members and order lines (default: 1,000,000; welcome: 50 friends)"
        )
        parser.add_argument("--stores", type=int, dest="rows", help="calendar: so many stores (default: 5,000)")
        parser.add_argument("--into", type=int, help="import_members: into tables that hold this many members already")
        parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
        parser.add_argument("--keep", action="store_true", help="leave the bench database behind")
        parser.add_argument(
            "--kept", metavar="NAME", help="simulate: use what --keep has left, without filling it again"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("A bench takes all of the machine: it does not run with PRODUCTION=1.")
        name = options["scenario"]
        rows = bench.ROWS[name] if options["rows"] is None else options["rows"]
        if rows < 1:
            raise CommandError("--rows must be at least 1.")
        if options["into"] and "into" not in inspect.signature(bench.SCENARIOS[name]).parameters:
            raise CommandError(f"{name} has no --into.")
        further = {"into": options["into"]} if options["into"] else {}
        if options["kept"]:
            if "is_filled" not in inspect.signature(bench.SCENARIOS[name]).parameters:
                raise CommandError(f"{name} has no --kept.")
            if not options["kept"].startswith(f"bench_{name}_"):
                raise CommandError(f"{options['kept']} is no database that --keep of {name} has left.")
            further["is_filled"] = True
        with _only_warnings(), own_database(name, keep=options["keep"], kept=options["kept"] or "") as database:
            figures = bench.SCENARIOS[name](rows=rows, say=self._say, **further)
            if options["keep"]:
                self._say(f"kept: {database}")
        report = {"scenario": name, "rows": rows, "cores": os.cpu_count(), "machine": platform.machine(), **figures}
        if options["json"]:
            self.stdout.write(json.dumps(report, ensure_ascii=False))
            return
        for key, value in report.items():
            self.stdout.write(f"{key:<28} {json.dumps(value, ensure_ascii=False)}")

    def _say(self, sentence: str) -> None:
        self.stderr.write(sentence)


@contextmanager
def _only_warnings() -> Iterator[None]:
    """In this process; the web process logs as it always does."""
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
