"""``make_sample``: a sample company for a newcomer, loaded through the same imports as anybody's data."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from attribution import sample
from attribution.sample import files, loading
from scrm.errors import RuleViolation
from scrm.management.importing import Bar


class Command(BaseCommand):
    help = "Make the five files of a sample company and load them into an empty database."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seed", type=int, default=1, help="another seed is another company")
        parser.add_argument("--today", type=dt.date.fromisoformat, help="the last day of its orders (default: today)")
        parser.add_argument("--if-empty", action="store_true", help="do nothing when the database holds any store")
        parser.add_argument("--output", type=Path, help="write the files into this folder and load nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        today = options["today"] or timezone.localdate(now)
        if options["output"]:
            for path in files.write(sample.until(sample.make(options["seed"], today), now), options["output"]):
                self.stdout.write(str(path))
            return
        if options["if_empty"] and not loading.is_wanted():
            return
        bar = Bar(sys.stderr)
        try:
            job = loading.load(seed=options["seed"], today=today, now=now, show=bar)
        except RuleViolation as error:
            raise CommandError(error.message) from error
        finally:
            bar.close()
        counts = loading.counts(job).items()
        self.stdout.write(_("The sample company is loaded:") + " " + ", ".join(f"{k} {v:,}" for k, v in counts))
