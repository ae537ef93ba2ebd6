"""``manage.py simulate``: what the orders of a period would have paid under another rule; posts nothing."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from attribution import simulation
from attribution.models import RuleVersion, Simulation
from attribution.simulation import results
from scrm import jobs, org
from scrm.errors import RuleViolation
from scrm.models import Job
from scrm.money import yuan

BAR_WIDTH = 40


class Command(BaseCommand):
    _shown = ""
    help = "Replay the orders of a period under a rule version, another mode, or both; posts nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rule", type=int, help="number of a rule version; without it the published ones")
        parser.add_argument("--mode", choices=[mode.value.lower() for mode in RuleVersion.Mode], help="another mode")
        parser.add_argument("--from", dest="first_day", type=dt.date.fromisoformat, help="first day of payment")
        parser.add_argument("--to", dest="last_day", type=dt.date.fromisoformat, help="last day of payment")
        parser.add_argument("--workers", type=int, help="processes that share the work (default: one a core)")
        parser.add_argument("--json", action="store_true", help="print the summary as JSON")
        parser.add_argument("--help-with", type=int, metavar="ID", help="do ranges of a simulation that runs elsewhere")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["help_with"]:
            simulation.take_part(simulation_id=options["help_with"])
            return
        if not options["first_day"] or not options["last_day"]:
            raise CommandError("--from and --to name the period.")
        found = self._run(options)
        total = results.total(simulation=found, scope=org.EVERYTHING)
        summary = {
            "simulation": found.pk, "lines": found.line_count, "changed": found.changed_count,
            "undecided": found.undecided_count, "commission_now_fen": total.commission_now_fen,
            "commission_then_fen": total.commission_then_fen,
        }  # fmt: skip
        if options["json"]:
            self.stdout.write(json.dumps(summary))
            return
        words = {"now": yuan(total.commission_now_fen), "then": yuan(total.commission_then_fen)}
        self.stdout.write(
            _("%(changed)s of %(lines)s lines change; commission %(now)s → %(then)s.") % (summary | words)
        )

    def _run(self, options: dict[str, Any]) -> Simulation:
        rule = (
            RuleVersion.objects.filter(number=options["rule"], brand__code="MAIN").first() if options["rule"] else None
        )
        if options["rule"] and rule is None:
            raise CommandError(f"There is no rule version {options['rule']}.")
        try:
            asked = simulation.start(
                actor=None, rule_id=rule.pk if rule else None, mode=(options["mode"] or "").upper(),
                first_day=options["first_day"], last_day=options["last_day"], workers=options["workers"],
            )  # fmt: skip
            assert asked.job_id is not None
            job = jobs.run(asked.job_id, show=None if options["json"] else self._show)
        except RuleViolation as error:
            raise CommandError(str(error.message)) from error
        if job.status != Job.Status.DONE:
            raise CommandError(f"The job ended as {job.status}.")
        return Simulation.objects.get(pk=asked.pk)

    def _show(self, stage: str, done: int, total: int | None) -> None:
        """A bar that stays on its line until the stage is over."""
        text = f"{stage} {done:,}"
        if total:
            filled = BAR_WIDTH * done // total
            text = f"{stage} [{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {100 * done // total} %  {done:,} / {total:,}"
        if text == self._shown:
            return
        self._shown = text
        sys.stderr.write(f"\r{text}" + ("\n" if done == total else ""))
        sys.stderr.flush()
