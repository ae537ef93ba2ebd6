"""``manage.py commission_report``: what every beneficiary stands at, from the posted ledger or replayed under a mode."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _

from attribution import queries, rulebook, simulation

MODES = ("service_first", "share_first", "pos_first", "split")


class Command(BaseCommand):
    help = "Print beneficiary,fen of the posted ledger: accrued less reversed, sorted, zero balances left out."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=["csv"], default="csv")
        parser.add_argument("--digest", action="store_true", help="print the SHA-256 of the report instead")
        parser.add_argument("--rule", choices=MODES, help="replay the same orders under this mode; posts nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["rule"]:
            book = rulebook.load().with_mode(options["rule"].upper())
            balances = dict(simulation.commission(book=book, progress=self._show))
            sys.stderr.write("\n")
        else:
            balances = queries.commission_by_beneficiary()
        report = "\n".join(sorted(f"{code},{fen}" for code, fen in balances.items() if fen))
        if options["digest"]:
            self.stdout.write(hashlib.sha256(report.encode()).hexdigest())
        elif report:
            self.stdout.write(report)

    def _show(self, done: int) -> None:
        sys.stderr.write("\r" + _("%(count)s lines replayed") % {"count": f"{done:,}"})
        sys.stderr.flush()
