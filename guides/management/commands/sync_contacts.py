"""``sync_contacts``: read every friend from WeCom now and compare them with the mirror."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from guides.contacts import sweeps
from guides.models import Guide
from scrm import jobs
from scrm.errors import RuleViolation
from scrm.management.importing import Bar
from scrm.models import Corp


class Command(BaseCommand):
    help = "Compare the friends of all guides, or of one, with WeCom. Killed and started again it goes on where it was."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--corp", help="corp id; needed when there are several")
        parser.add_argument("--guide", action="append", default=[], help="guide code or WeCom account; repeatable")
        parser.add_argument("--rolling", action="store_true", help="only the seventh compared longest ago")

    def handle(self, *args: Any, **options: Any) -> None:
        corps = list(Corp.objects.filter(corp_id=options["corp"]) if options["corp"] else Corp.objects.all()[:2])
        if len(corps) != 1:
            raise CommandError(_("Name one corp with --corp."))
        job = sweeps.start_or_resume(
            corp=corps[0],
            kind=self._kind(options),
            actor=None,
            userids=[self._account(name) for name in options["guide"]],
        )
        bar = Bar(sys.stderr)
        try:
            job = jobs.run(job.pk, show=bar)
        except RuleViolation as error:
            raise CommandError(error.message) from None
        finally:
            bar.close()
        self.stdout.write(json.dumps(job.summary, ensure_ascii=False))
        if "held_up" in job.summary:
            raise CommandError(_("WeCom holds the sweep up; it goes on by itself at %(until)s.") % job.summary)
        if job.summary.get("held_count"):
            raise CommandError(
                _("%(held_count)s friends are missing on WeCom, too many to be believed. Look at them in the console.")
                % job.summary
            )

    def _kind(self, options: dict[str, Any]) -> str:
        if options["guide"]:
            return sweeps.Kind.CHOSEN
        return sweeps.Kind.ROLLING if options["rolling"] else sweeps.Kind.FULL

    def _account(self, name: str) -> str:
        guide = Guide.objects.filter(code=name).first()
        if guide is not None and guide.wecom_userid:
            return guide.wecom_userid
        if guide is not None:
            raise CommandError(_("Guide %(code)s has no WeCom account yet.") % {"code": name})
        return name
