"""``guide_login_code G00001``: a one-time code with which the guide logs in on her phone."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from guides import login
from scrm.errors import RuleViolation


class Command(BaseCommand):
    help = "Print a one-time login code of a guide, valid for five minutes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("guide", help="code of the guide")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError(_("Login codes are switched off here; log in through WeCom."))
        try:
            code, expires_at = login.issue_code(guide_code=options["guide"], now=timezone.now())
        except RuleViolation as error:
            raise CommandError(error.message) from None
        self.stdout.write(code)
        until = timezone.localtime(expires_at).strftime("%H:%M:%S")
        self.stderr.write(_("Valid until %(until)s, for one login.") % {"until": until})
