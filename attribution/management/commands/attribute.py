"""``manage.py attribute``: decide and post every line that waits."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _

from attribution import decisions


class Command(BaseCommand):
    help = "Decide and post every waiting order line; returns when none is left."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workers", type=int, default=1, help="processes that share the work")
        parser.add_argument("--chunk", type=int, default=decisions.CHUNK, help="lines in one transaction")
        parser.add_argument("--quiet", action="store_true", help="no progress")
        parser.add_argument("--json", action="store_true", help="print the summary as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        show = None if options["quiet"] else self._show
        summary = decisions.decide_open(progress=show, workers=options["workers"], chunk=options["chunk"])
        if show:
            sys.stderr.write("\n")
        if options["json"]:
            self.stdout.write(json.dumps(summary))
        elif not options["quiet"]:
            self.stdout.write(_("%(lines)s lines looked at, %(posted)s transactions posted.") % summary)

    def _show(self, done: int) -> None:
        sys.stderr.write("\r" + _("%(count)s lines decided") % {"count": f"{done:,}"})
        sys.stderr.flush()
