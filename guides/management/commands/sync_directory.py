"""``sync_directory``: read WeCom's directory now."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from guides import directory_sweep
from scrm import jobs
from scrm.errors import RuleViolation
from scrm.management.importing import Bar
from scrm.models import Corp


class Command(BaseCommand):
    help = "Read the directory of a corp (all members and departments) and mark who came, moved and left."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--corp", help="corp id; needed when there are several")
        parser.add_argument("--allow", type=int, help="mark up to as many missing members as having left")

    def handle(self, *args: Any, **options: Any) -> None:
        corps = list(Corp.objects.filter(corp_id=options["corp"]) if options["corp"] else Corp.objects.all()[:2])
        if len(corps) != 1:
            raise CommandError(_("Name one corp with --corp."))
        job = directory_sweep.start(corp=corps[0], actor=None, allowed=options["allow"])
        bar = Bar(sys.stderr)
        try:
            job = jobs.run(job.pk, show=bar)
        except RuleViolation as error:
            raise CommandError(error.message) from None
        finally:
            bar.close()
        self.stdout.write(json.dumps(job.summary, ensure_ascii=False))
        if job.summary.get("status") == "HELD":
            raise CommandError(
                _(
                    "%(count)s members are missing, too many to be believed. Look, then allow them with --allow %(count)s."
                )
                % {"count": job.summary["missing"]}
            )
