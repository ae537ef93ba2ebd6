"""``wecom_check``: whether WeCom works, and which setting is missing. Ends with 1 when something does not work."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from scrm.management.importing import Bar
from scrm.models import Corp, WecomCheck
from scrm.wecom import diagnosis
from scrm.wecom.diagnosis import runs

MARKS = {diagnosis.ERROR: "✗", diagnosis.WARNING: "!", diagnosis.OK: "✓"}


class Command(BaseCommand):
    help = "Check credentials, callbacks, permissions, trusted IP, unionids, quotas and backlog of WeCom."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--corp", help="corp id or name; all corps without it")
        parser.add_argument("--json", action="store_true", help="findings as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        corps = list(Corp.objects.order_by("pk"))
        if options["corp"]:
            corps = [corp for corp in corps if options["corp"] in (corp.corp_id, corp.name)]
        if not corps:
            raise CommandError(_("There is no such WeCom corp here. Add it in the console under WeCom corps."))
        checks = [self._checked(corp) for corp in corps]
        if options["json"]:
            self.stdout.write(json.dumps([_as_json(check) for check in checks], ensure_ascii=False, indent=1))
        else:
            for check in checks:
                self._print(check)
        if any(check.error_count for check in checks):
            sys.exit(1)

    def _checked(self, corp: Corp) -> WecomCheck:
        bar = Bar(sys.stderr)
        try:
            return diagnosis.run(corp, tell=bar)
        finally:
            bar.close()

    def _print(self, check: WecomCheck) -> None:
        counts = {"errors": check.error_count, "warnings": check.warning_count}
        self.stdout.write(f"{check.corp} ({check.corp.corp_id})")
        for found in runs.findings_of(check):
            self.stdout.write(f"  {MARKS[found.level]} {found.seen}")
            if found.remedy and found.level != diagnosis.OK:
                self.stdout.write(f"      → {found.remedy}")
        self.stdout.write(_("%(errors)s errors, %(warnings)s warnings") % counts)


def _as_json(check: WecomCheck) -> dict[str, Any]:
    return {
        "corp": check.corp.corp_id,
        "errors": check.error_count,
        "warnings": check.warning_count,
        "findings": [found.as_json() for found in runs.findings_of(check)],
    }
